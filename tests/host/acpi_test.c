/* Do the readers of ACPI tables find what is there, and survive what is not? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/acpi.h"

struct memory {
	const u8 *bytes;
	size_t size;
};

static const void *
view(const struct acpi_memory *m, u64 paddr, u64 size)
{
	const struct memory *mem = m->arg;

	return paddr <= mem->size && size <= mem->size - paddr ? mem->bytes + paddr : NULL;
}

static void
put(u8 *p, u64 v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		p[i] = (u8)(v >> 8 * i);
}

static void
fix_checksum(u8 *p, u32 n, u32 at)
{
	u8 sum = 0;

	p[at] = 0;
	for (u32 i = 0; i < n; i++)
		sum += p[i];
	p[at] = (u8)-sum;
}

static void
finish_table(u8 *t, const char *signature, u32 len)
{
	memcpy(t, signature, 4);
	put(t + 4, len, 4);
	fix_checksum(t, len, 9);
}

/* An RSDP at 0, an XSDT at 64 that names a SRAT at 256 before the MADT at 512. */
static void
make_tables(u8 *m)
{
	memset(m, 0, 1024);
	memcpy(m, "RSD PTR ", 8);
	m[15] = 2;
	put(m + 20, 36, 4);
	put(m + 24, 64, 8);
	fix_checksum(m, 20, 8);
	fix_checksum(m, 36, 32);
	put(m + 64 + 36, 256, 8);
	put(m + 64 + 44, 512, 8);
	finish_table(m + 64, "XSDT", 52);
	m[256 + 48] = 0; /* core 7 is in domain 3 */
	m[256 + 49] = 16;
	m[256 + 50] = 3;
	m[256 + 51] = 7;
	put(m + 256 + 52, 1, 4);
	m[256 + 64] = 1; /* memory of domain 3 */
	m[256 + 65] = 40;
	put(m + 256 + 66, 3, 4);
	put(m + 256 + 72, 0x100000, 8);
	put(m + 256 + 80, 0x200000, 8);
	put(m + 256 + 92, 1, 4);
	finish_table(m + 256, "SRAT", 104);
	put(m + 512 + 36, 0xfee00000, 4);
	m[512 + 45] = 8; /* core 7, enabled */
	m[512 + 47] = 7;
	put(m + 512 + 48, 1, 4);
	m[512 + 53] = 8; /* core 9, not enabled */
	m[512 + 55] = 9;
	finish_table(m + 512, "APIC", 60);
}

static void
cores_and_domains(void **state)
{
	u8 *m = malloc(1024);
	struct memory mem = {m, 1024};
	const struct acpi_memory am = {view, &mem};
	struct acpi *a = malloc(sizeof(*a));

	(void)state;
	make_tables(m);
	assert_int_equal(acpi_read(a, 0, &am), 0);
	assert_int_equal(a->ncores, 1);
	assert_int_equal(a->core[0].apic_id, 7);
	assert_true(a->core[0].has_pxm);
	assert_int_equal(a->core[0].pxm, 3);
	assert_int_equal(a->nmemories, 1);
	assert_int_equal(a->memory[0].size, 0x200000);
	m[512 + 47]++; /* a wrong checksum: the table does not count */
	assert_int_equal(acpi_read(a, 0, &am), 0);
	assert_int_equal(a->ncores, 0);
	free(a);
	free(m);
}

static void
sleep_package(void **state)
{
	u8 aml[64] = {0};
	struct acpi *a = calloc(1, sizeof(*a));

	(void)state;
	memcpy(aml + 40, "\x08_S5_\x12\x06\x04\x0a\x05\x00", 11);
	acpi_read_s5(a, aml, sizeof(aml));
	assert_true(a->has_s5);
	assert_int_equal(a->s5_a, 5);
	assert_int_equal(a->s5_b, 0);
	free(a);
}

/* Every byte of good tables in turn is changed; checksums are made right again. */
static void
changed_bytes(void **state)
{
	u8 *m = malloc(1024);
	struct memory mem = {m, 1024};
	const struct acpi_memory am = {view, &mem};
	struct acpi *a = malloc(sizeof(*a));

	(void)state;
	srand(1);
	for (int i = 0; i < 40000; i++) {
		make_tables(m);
		m[rand() % 600] = (u8)rand();
		m[256 + rand() % 104] = (u8)rand();
		m[512 + rand() % 60] = (u8)rand();
		fix_checksum(m + 64, 52, 9);
		fix_checksum(m + 256, 104, 9);
		fix_checksum(m + 512, 60, 9);
		if (acpi_read(a, 0, &am) == 0)
			assert_true(a->ncores <= ACPI_CORES);
	}
	free(a);
	free(m);
}

static void
random_tables(void **state)
{
	struct acpi *a = malloc(sizeof(*a));

	(void)state;
	srand(2);
	for (int i = 0; i < 40000; i++) {
		u32 n = 36 + (u32)rand() % 220;
		u8 *t = malloc(n);

		for (u32 k = 0; k < n; k++)
			t[k] = (u8)(rand() % 4 ? rand() % 20 : rand());
		memset(a, 0, sizeof(*a));
		acpi_read_madt(a, t, n);
		acpi_read_srat(a, t, n);
		acpi_read_slit(a, t, n);
		acpi_read_mcfg(a, t, n);
		acpi_read_hpet(a, t, n);
		acpi_read_fadt(a, t, n);
		acpi_read_s5(a, t, n);
		free(t);
	}
	free(a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cores_and_domains),
		cmocka_unit_test(sleep_package),
		cmocka_unit_test(changed_bytes),
		cmocka_unit_test(random_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
