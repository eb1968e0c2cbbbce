/* Does the reader of arch_info.bin take what is right, and refuse what is not, saying why? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/archinfo.h"
#include "lib/checksum.h"

#define MIB	  (1ul << 20)
#define FILE_SIZE 768
#define CLUSTERS  128
#define CORES	  256
#define RANGES	  320
#define DEVICES	  448
#define IRQS	  576
#define DISTANCES 640

static void
put(u8 *p, u64 v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		p[i] = (u8)(v >> 8 * i);
}

static void
seal(u8 *f, u32 size)
{
	put(f + 16, 0, 4);
	put(f + 16, crc32(0, f, size), 4);
}

static void
put_table(u8 *f, u32 at, u32 count, u32 offset)
{
	put(f + at, count, 4);
	put(f + at + 4, offset, 4);
}

/* Clusters 3 and 7 with cores 0, 1 and 2, 3; 64 MiB each, the second's partly reserved. */
static u8 *
make_file(void)
{
	u8 *f = calloc(1, FILE_SIZE);

	put(f, ARCHFILE_MAGIC, 4);
	put(f + 4, 1, 2);
	put(f + 6, 128, 2);
	put(f + 8, FILE_SIZE, 8);
	put_table(f, 24, 2, CLUSTERS);
	put_table(f, 32, 4, CORES);
	put_table(f, 40, 3, RANGES);
	put_table(f, 48, 1, DEVICES);
	put_table(f, 56, 1, IRQS);
	put(f + 64, 3, 2);
	put(f + 66, 7, 2);
	put(f + 72, DISTANCES, 4);
	memcpy(f + 76, "two", 4);
	for (u32 c = 0; c < 2; c++) {
		u8 *e = f + CLUSTERS + 64 * c;

		put(e, c ? 7 : 3, 2);
		put(e + 2, 2, 2);
		put(e + 4, 2 * c, 4);
		put(e + 8, c + 1, 2);
		put(e + 10, c, 2);
		put(e + 12, c, 4);
		put(e + 20, 40 + c, 4);
	}
	for (u32 i = 0; i < 4; i++) {
		put(f + CORES + 16 * i, i, 4);
		put(f + CORES + 16 * i + 4, i < 2 ? 3 : 7, 2);
		put(f + CORES + 16 * i + 6, i % 2, 2);
		put(f + CORES + 16 * i + 8, 1, 4);
	}
	for (u32 i = 0; i < 3; i++) {
		u8 *e = f + RANGES + 32 * i;

		put(e, i == 0 ? 0 : 64 * MIB, 8);
		put(e + 8, i == 2 ? MIB : 64 * MIB, 8);
		put(e + 16, i ? 7 : 3, 2);
		put(e + 18, i == 2 ? ARCH_RESERVED : ARCH_RAM, 2);
	}
	put(f + DEVICES + 20, 7, 2);
	put(f + DEVICES + 24, 0x18, 4);
	put(f + DEVICES + 48, 1, 2);
	memcpy(f + DISTANCES, "\x0a\x1e\x1e\x0a", 4);
	seal(f, FILE_SIZE);
	return f;
}

static const char *
read_it(struct archinfo *ai, const u8 *f, u64 size)
{
	struct archinfo_fault fault = {NULL, 0};
	u8 *exact = malloc(size ? size : 1); /* a read beyond it shows */
	int err;

	memcpy(exact, f, size);
	err = archinfo_read(ai, exact, size, &fault);
	free(exact);
	assert_int_equal(err != 0, fault.what != NULL);
	return fault.what;
}

static void
right_file(void **state)
{
	struct archinfo *ai = malloc(sizeof(*ai));
	u8 *f = make_file();

	(void)state;
	assert_null(read_it(ai, f, FILE_SIZE));
	assert_string_equal(ai->name, "two");
	assert_int_equal(ai->ndomains, 2);
	assert_int_equal(ai->pxm[1], 41);
	assert_int_equal(ai->io, 1);
	assert_int_equal(ai->ncores, 4);
	assert_int_equal(ai->core[3].domain, 1);
	assert_int_equal(ai->nranges, 3);
	assert_int_equal(ai->range[2].kind, ARCH_RESERVED);
	assert_int_equal(ai->distance[0][1], 30);
	assert_int_equal(ai->ndevices, 1);
	assert_int_equal(ai->device[0].bdf, 0x18);
	free(f);
	free(ai);
}

/* A change of some bytes and the words that the refusal has to hold. */
static const struct {
	u32 at, bytes;
	u64 value;
	const char *why;
} faults[] = {
	{0, 4, 0x12345678, "magic"},
	{4, 2, 9, "version"},
	{6, 2, 64, "header size"},
	{8, 8, FILE_SIZE + 1, "size is not what it says"},
	{8, 8, 100, "size is not what it says"},
	{8, 8, ~0ul, "size is not what it says"},
	{24, 4, 0, "number of clusters"},
	{24, 4, 33, "number of clusters"},
	{28, 4, FILE_SIZE - 64, "beyond the file"},
	{28, 4, 100, "impossible offset"},
	{32, 4, 0xffffffff, "too many"},
	{36, 4, CORES + 4, "impossible offset"},
	{36, 4, RANGES, "tables overlap"},
	{44, 4, 0xffffffc0, "beyond the file"},
	{64, 2, 5, "boot cluster"},
	{66, 2, 5, "input/output"},
	{76, 32, ~0ul, NULL}, /* 8 bytes of 0xff, then zeros: a name */
	{CLUSTERS, 2, 7, "same cxy"},
	{CLUSTERS + 4, 4, 1, "runs of clusters overlap"},
	{CLUSTERS + 4, 4, 3, "beyond its table"},
	{CLUSTERS + 4, 4, 0xffffffff, "beyond its table"},
	{CLUSTERS + 12, 4, 1, "runs of clusters overlap"},
	{CORES + 4, 2, 7, "another cluster"},
	{CORES + 6, 2, 2, "lid"},
	{CORES + 16, 4, 0, "same id"},
	{RANGES + 8, 8, 64 * MIB + 1, "ranges overlap"},
	{RANGES + 8, 8, 0, "impossible length"},
	{RANGES, 8, ~0ul - 5, "impossible length"},
	{RANGES + 16, 2, 7, "another cluster"},
	{RANGES + 18, 2, 5, "unknown kind"},
	{DEVICES + 44, 4, 1, "beyond its table"},
	{DEVICES + 20, 2, 3, "another cluster"},
	{IRQS, 4, 1, "no device"},
	{IRQS + 6, 1, 3, "unknown mode"},
	{DISTANCES + 1, 1, 9, "distance"},
	{DISTANCES, 1, 11, "distance"},
};

static void
wrong_files(void **state)
{
	struct archinfo *ai = malloc(sizeof(*ai));

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(faults); i++) {
		u8 *f = make_file();
		const char *why;

		put(f + faults[i].at, faults[i].value, min(faults[i].bytes, 8u));
		seal(f, FILE_SIZE);
		why = read_it(ai, f, FILE_SIZE);
		if (!faults[i].why)
			assert_null(why);
		else if (!why || !strstr(why, faults[i].why))
			fail_msg("%u: '%s' for '%s'", i, why ? why : "taken", faults[i].why);
		free(f);
	}
	free(ai);
}

/* is every changed bit seen by the checksum, and every shorter file refused? */
static void
damaged_files(void **state)
{
	struct archinfo *ai = malloc(sizeof(*ai));
	u8 *f = make_file();

	(void)state;
	for (u32 bit = 0; bit < 8 * FILE_SIZE; bit++) {
		f[bit / 8] ^= (u8)(1 << bit % 8);
		assert_non_null(read_it(ai, f, FILE_SIZE));
		f[bit / 8] ^= (u8)(1 << bit % 8);
	}
	for (u32 size = 0; size < FILE_SIZE; size++)
		assert_non_null(read_it(ai, f, size));
	assert_null(read_it(ai, f, FILE_SIZE));
	free(f);
	free(ai);
}

struct held {
	struct acpi a;
	struct boot_ranges ram;
	struct archinfo file;
	struct archinfo_dropped dropped;
	struct archinfo_fault fault;
};

/* 4 cores, 128 MiB without a hole at 640 KiB; no SRAT. */
static struct held *
make_held(void)
{
	struct held *h = calloc(1, sizeof(*h));
	u8 *f = make_file();

	for (u32 i = 0; i < 4; i++)
		h->a.core[h->a.ncores++].apic_id = i;
	ranges_add(&h->ram, 0, 640 << 10);
	ranges_add(&h->ram, MIB, 127 * MIB);
	h->a.memory[h->a.nmemories++] = (struct acpi_range){.base = 0, .size = 128 * MIB};
	assert_null(read_it(&h->file, f, FILE_SIZE));
	free(f);
	return h;
}

static int
hold(struct held *h, u32 boot_gid)
{
	return archinfo_restrict(&h->file, &h->a, &h->ram, boot_gid, &h->dropped, &h->fault);
}

static void
held_against_acpi(void **state)
{
	struct held *h = make_held();

	(void)state;
	assert_int_equal(hold(h, 0), 0);
	assert_int_equal(h->dropped.ncores, 0);
	assert_true(ranges_cover(&h->ram, MIB, 64 * MIB));
	assert_false(ranges_cover(&h->ram, 640 << 10, MIB)); /* a hole stays one */
	assert_int_equal(ranges_bytes(&h->ram), (640 << 10) + 126 * MIB);
	free(h);
	h = make_held(); /* a core of another machine is dropped */
	h->a.ncores = 3;
	assert_int_equal(hold(h, 0), 0);
	assert_int_equal(h->dropped.ncores, 1);
	assert_int_equal(h->dropped.gid[0], 3);
	assert_int_equal(h->file.ncores, 3);
	free(h);
	h = make_held(); /* the boot core cannot be left out */
	h->file.ncores = 2;
	assert_int_not_equal(hold(h, 2), 0);
	assert_non_null(strstr(h->fault.what, "boot core"));
	free(h);
}

static void
phantom_memory(void **state)
{
	struct held *h = make_held();
	u64 before = ranges_bytes(&h->ram);

	(void)state;
	h->file.range[1].size += 1;
	assert_int_not_equal(hold(h, 0), 0);
	assert_non_null(strstr(h->fault.what, "no such memory"));
	assert_int_equal(h->fault.where, 128 * MIB);
	assert_int_equal(ranges_bytes(&h->ram), before);
	h->a.nmemories = 0; /* without an SRAT the firmware's map says it */
	assert_int_not_equal(hold(h, 0), 0);
	assert_int_equal(h->fault.where, 128 * MIB);
	h->file.range[1].size -= 1;
	assert_int_equal(hold(h, 0), 0);
	assert_int_equal(ranges_bytes(&h->ram), (640 << 10) + 126 * MIB);
	free(h);
}

/* a file may name a part of the memory; the rest is not used */
static void
part_of_memory(void **state)
{
	struct held *h = make_held();

	(void)state;
	h->file.range[0].base = 3 * MIB + 5;
	h->file.range[0].size = 10 * MIB;
	assert_int_equal(hold(h, 0), 0);
	assert_true(ranges_cover(&h->ram, 3 * MIB + PAGE_SIZE, 13 * MIB));
	assert_int_equal(ranges_bytes(&h->ram), 10 * MIB - PAGE_SIZE + 63 * MIB);
	free(h);
}

/* The ACPI side: domains by number, distances by SLIT or HMAT, memory's initiators. */
static void
from_acpi(void **state)
{
	struct acpi *a = calloc(1, sizeof(*a));
	struct archinfo *ai = malloc(sizeof(*ai));

	(void)state;
	a->has_srat = true;
	for (u32 i = 0; i < 3; i++) {
		a->core[i] =
			(struct acpi_core){.apic_id = i, .pxm = i == 0 ? 9 : 4, .has_pxm = i < 2};
		a->memory[i] = (struct acpi_range){.base = i * MIB, .size = MIB, .pxm = 4 + 5 * i};
	}
	a->ncores = a->nmemories = 3;
	a->latency[4][4] = 10;
	a->latency[4][9] = 35;
	a->attached[a->nattached++] = (struct acpi_attached){.initiator = 9, .memory = 14};
	archinfo_from_acpi(ai, a);
	assert_int_equal(ai->ndomains, 3);
	assert_int_equal(ai->pxm[0], 4);
	assert_int_equal(ai->pxm[2], 14);
	assert_int_equal(ai->core[0].domain, 1);
	assert_false(ai->core[2].has_domain);
	assert_int_equal(ai->range[2].domain, 2);
	assert_int_equal(ai->near[2], 1);
	assert_int_equal(ai->near[0], 0);
	assert_int_equal(ai->distance[0][1], 35);
	assert_int_equal(ai->distance[1][0], 20);
	a->nmemories = 0; /* an SRAT without memory makes no domains */
	archinfo_from_acpi(ai, a);
	assert_int_equal(ai->ndomains, 0);
	free(ai);
	free(a);
}

static void
known_crc(void **state)
{
	(void)state;
	assert_int_equal(crc32(0, "123456789", 9), 0xcbf43926);
	assert_int_equal(crc32(crc32(0, "12345", 5), "6789", 4), 0xcbf43926);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_crc),	     cmocka_unit_test(right_file),
		cmocka_unit_test(wrong_files),	     cmocka_unit_test(damaged_files),
		cmocka_unit_test(held_against_acpi), cmocka_unit_test(phantom_memory),
		cmocka_unit_test(part_of_memory),    cmocka_unit_test(from_acpi),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
