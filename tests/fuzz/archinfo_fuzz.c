/*
 * The reader of arch_info.bin and the planner behind it: the input is a file, whose checksum is
 * made right since chance does not find it, and the last bytes are the machine it is held against.
 * What is taken makes clusters in which nothing has two owners and nothing is invented.
 */
#include <setjmp.h>
#include "boot/boot.h"
#include "fuzz.h"
#include "lib/checksum.h"

#define TAIL 16 /* bytes that describe the machine */
#define MIB  (1ul << 20)

static jmp_buf panicked;

void
boot_say(struct boot_state *st, enum klog_level level, const char *fmt, ...)
{
}

__noreturn void
panic(const char *fmt, ...)
{
	longjmp(panicked, 1);
}

static void
check_plan(const struct boot_state *st)
{
	struct boot_ranges left = st->ram;
	u64 cores = 0;

	CHECK(st->nclusters >= 1 && st->nclusters <= MAX_CLUSTERS);
	CHECK(st->plan[0].gid[0] == st->boot_gid);
	for (u32 c = 0; c < st->nclusters; c++) {
		const struct boot_plan *p = &st->plan[c];

		CHECK(p->ncores >= 1 && p->ncores <= MAX_CORES && p->nranges <= BOOT_RANGES);
		for (u32 i = 0; i < p->nranges; i++) {
			CHECK(ranges_cover(&left, p->range[i].base,
					   p->range[i].base + p->range[i].size));
			ranges_remove(&left, p->range[i].base, p->range[i].size);
		}
		for (u32 i = 0; i < p->ncores; i++) {
			CHECK(p->gid[i] < 64 && !(cores & 1ul << p->gid[i]));
			cores |= 1ul << p->gid[i];
		}
	}
}

/* 8 cores and 256 MiB with a hole, as the input's last bytes would have it. */
static void
make_machine(struct boot_state *st, struct boot_low *low, const u8 *tail)
{
	struct acpi *a = &st->tables;

	*low = (struct boot_low){.krodata_size = 300 << 10, .kdata_size = 200 << 10};
	st->low = low;
	for (u32 i = 0; i < 8; i++)
		a->core[a->ncores++].apic_id = i + tail[0] % 4;
	st->boot_gid = a->core[tail[1] % 8].apic_id;
	ranges_add(&st->ram, PAGE_SIZE, 636 << 10);
	ranges_add(&st->ram, MIB, 64 * MIB + tail[2] * PAGE_SIZE);
	ranges_add(&st->ram, 128 * MIB, (tail[3] + 1) * MIB);
	for (u32 i = 0; i < tail[4] % 3; i++)
		a->memory[a->nmemories++] = (struct acpi_range){
			.base = i * 128 * MIB, .size = tail[5 + i] * MIB, .pxm = i};
	a->has_srat = a->nmemories > 0;
	st->cmdline.clusters = tail[8] % 16 < 10 ? 0 : tail[8] % 16 - 9;
	st->cmdline.mem = tail[9] % 4 ? 0 : tail[10] + 32;
	st->smt_shift = tail[11] % 3;
	ranges_add(&st->taken, MIB, 3 * MIB);
	ranges_add(&st->taken, (4 + tail[12] % 60) * MIB, tail[13] * PAGE_SIZE);
}

static bool
take_file(struct boot_state *st, u8 *file, size_t size)
{
	struct archinfo_fault fault = {NULL, 0};
	struct archinfo_dropped dropped;
	u64 before = ranges_bytes(&st->usable);

	if (archinfo_read(&st->arch, file, size, &fault) != 0) {
		CHECK(fault.what);
		return false;
	}
	CHECK(st->arch.ndomains >= 1 && st->arch.ndomains <= ARCH_DOMAINS);
	if (archinfo_restrict(&st->arch, &st->tables, &st->usable, st->boot_gid, &dropped,
			      &fault)) {
		CHECK(fault.what && ranges_bytes(&st->usable) == before);
		return false;
	}
	return true;
}

int
LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct boot_state *st = calloc(1, sizeof(*st));
	static const u8 zero[4];
	struct boot_low low;
	u8 *file;

	CHECK(st);
	if (size < TAIL) {
		free(st);
		return 0;
	}
	size -= TAIL;
	file = malloc(size ? size : 1);
	CHECK(file);
	memcpy(file, data, size);
	if (size >= ARCHFILE_HEADER && acpi_u64(file + 8) <= size && acpi_u64(file + 8) >= 20) {
		u32 crc = crc32(crc32(crc32(0, file, 16), zero, 4), file + 20,
				acpi_u64(file + 8) - 20);

		memcpy(file + 16, &crc, sizeof(crc));
	}
	make_machine(st, &low, data + size);
	st->usable = st->ram;
	if (!take_file(st, file, size)) {
		st->usable = st->ram;
		archinfo_from_acpi(&st->arch, &st->tables);
	}
	if (setjmp(panicked) == 0) {
		plan_clusters(st);
		check_plan(st);
		if (st->nclusters > 1) {
			plan_drop(st, 1);
			check_plan(st);
		}
	}
	free(file);
	free(st);
	return 0;
}
