/*
 * The ACPI readers: the input is memory from address 0 on, with the RSDP at its start. Each view is
 * a copy of just the bytes asked for, so a read beyond it is seen; checksums are made right in it,
 * since chance does not find them.
 */
#include "fuzz.h"
#include "lib/acpi.h"

#define VIEWS 256

struct memory {
	const u8 *data;
	size_t size;
	u8 *view[VIEWS];
	unsigned count;
};

static void
fix_checksum(u8 *p, u64 n, unsigned at)
{
	u8 sum = 0;

	p[at] = 0;
	for (u64 i = 0; i < n; i++)
		sum = (u8)(sum + p[i]);
	p[at] = (u8)-sum;
}

static const void *
view(const struct acpi_memory *m, u64 paddr, u64 size)
{
	struct memory *mem = (struct memory *)(uintptr_t)m->arg;
	u8 *copy;

	if (mem->count == VIEWS || paddr > mem->size || size > mem->size - paddr)
		return NULL;
	copy = malloc(size ? size : 1);
	CHECK(copy);
	memcpy(copy, mem->data + paddr, size);
	mem->view[mem->count++] = copy;
	if (size >= 20 && !memcmp(copy, "RSD PTR ", 8)) {
		fix_checksum(copy, 20, 8);
		if (size == 36)
			fix_checksum(copy, 36, 32);
	} else if (size >= 36 && acpi_u32(copy + 4) == size) {
		fix_checksum(copy, size, 9);
	}
	return copy;
}

int
LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct memory mem = {.data = data, .size = size};
	const struct acpi_memory am = {.view = view, .arg = &mem};
	struct acpi *a = malloc(sizeof(*a));
	u64 found;

	CHECK(a);
	if (acpi_read(a, 0, &am) == 0) {
		CHECK(a->ncores <= ACPI_CORES && a->nioapics <= ACPI_IOAPICS);
		CHECK(a->noverrides <= ACPI_OVERRIDES && a->nmemories <= ACPI_MEMORIES);
		CHECK(a->nmcfgs <= ACPI_MCFGS && a->slit_n <= ACPI_PXMS);
		for (u32 i = 0; i < a->nmemories; i++)
			CHECK(a->memory[i].base + a->memory[i].size >= a->memory[i].base);
	}
	found = acpi_find_rsdp(1, size, &am);
	CHECK(found % 16 == 0 && found <= size);
	while (mem.count > 0)
		free(mem.view[--mem.count]);
	free(a);
	return 0;
}
