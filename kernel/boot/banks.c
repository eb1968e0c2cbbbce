/*
 * Only tested memory. The beginning of every bank is tested, a bank that fails is left out as a
 * whole. The place of a cluster's kernel, its anchor, is tested before anything is put there; a
 * page that fails is taken out for good and the anchor moves on. Of these the first word of each
 * cache line is tested (what is then put there is compared, instance.c); with memtest=full every
 * word of all that is free. A cluster without room left for a kernel is dropped, and its cores join
 * the nearest. Each is a line. One core alone does this: nobody else runs yet.
 */
#include "arch/cpu.h"
#include "boot/boot.h"
#include "core/panic.h"
#include "lib/memtest.h"

#define CACHE_LINE 64
#define BAD_PAGES  8		 /* in one piece; with more the rest of it is left out untested */
#define BANK_TEST  (256UL << 10) /* of the beginning of a bank */
#define ANCHORS	   4		 /* that fail in one range; then all of it is left out */

static void
flush(const void *p, u64 size)
{
	for (u64 at = 0; at < size; at += CACHE_LINE)
		cpu_flush_line((const char *)p + at);
}

/* The first address in [at, end) that does not keep what is written, or end. */
static u64
first_bad(struct boot_state *st, u64 at, u64 end)
{
	u32 step = st->cmdline.memtest_full ? MEMTEST_WORDS : MEMTEST_LINES;
	u64 bad = at + memtest(phys_to_virt(at), end - at, step, flush);

	if (st->cmdline.badmem >= at && st->cmdline.badmem < end)
		bad = min(bad, st->cmdline.badmem);
	return bad;
}

static void
take_out(struct boot_state *st, u64 at, u64 size)
{
	ranges_add(&st->taken, at, size);
	ranges_add(&st->bad, at, size);
	if (!ranges_cover(&st->taken, at, at + size))
		panic("memory fails its test in too many places");
	st->report->bad += size;
	boot_say(st, KLOG_WARN, "memory at %llx fails its test: %llu KiB left out",
		 (unsigned long long)at, (unsigned long long)(size >> 10));
}

/* What is free of [at, end). */
static void
take_out_free(struct boot_state *st, u64 at, u64 end)
{
	u64 to;

	while (ranges_free(&st->taken, &at, end, &to)) {
		take_out(st, at, to - at);
		at = to;
	}
}

/* Tests [at, end) and takes out what is bad; whether nothing was. */
static bool
test_piece(struct boot_state *st, u64 at, u64 end)
{
	for (u32 n = 0; at < end; n++) {
		u64 bad = first_bad(st, at, end);

		if (bad == end)
			return n == 0;
		bad = ALIGN_DOWN(bad, PAGE_SIZE);
		if (n == BAD_PAGES)
			break;
		take_out(st, bad, PAGE_SIZE);
		at = bad + PAGE_SIZE;
	}
	if (at < end)
		take_out(st, at, end - at);
	return false;
}

/* memtest=full: what is free of the cluster's memory in [low, high). */
static void
test_free(struct boot_state *st, const struct boot_plan *p, u64 low, u64 high)
{
	for (u32 i = 0; i < p->nranges; i++) {
		u64 at = max(p->range[i].base, low), to;
		u64 end = min(p->range[i].base + p->range[i].size, high);

		while (ranges_free(&st->taken, &at, end, &to)) {
			test_piece(st, at, to);
			st->report->tested += to - at;
			at = to;
		}
	}
}

/* The range of p that holds `at` is not to be relied on. */
static void
give_up_range(struct boot_state *st, const struct boot_plan *p, u64 at)
{
	for (u32 i = 0; i < p->nranges; i++) {
		u64 end = p->range[i].base + p->range[i].size;

		if (at >= p->range[i].base && at < end)
			take_out_free(st, at, end);
	}
}

static bool
choose_anchor(struct boot_state *st, struct boot_plan *p)
{
	u64 anchor;

	p->anchor_size = plan_anchor_size(st->low);
	for (u32 tries = 1; plan_find_anchor(st, p, &anchor); tries++) {
		if (test_piece(st, anchor, anchor + p->anchor_size)) {
			p->anchor = anchor;
			p->kdata = anchor + HUGE_SIZE + ALIGN_UP(st->low->krodata_size, PAGE_SIZE);
			ranges_add(&st->taken, anchor, p->anchor_size);
			return true;
		}
		if (tries % ANCHORS == 0)
			give_up_range(st, p, anchor);
	}
	return false;
}

/* Tests the beginning of what is free in a bank, unless the boot cluster works in it already. */
static void
test_bank(struct boot_state *st, u64 base, u64 end)
{
	const struct boot_plan *b = &st->plan[BOOT_CLUSTER];
	u64 at = base, to, size;

	if ((b->anchor >= base && b->anchor < end) || (b->mem.start >= base && b->mem.start < end))
		return;
	if (!ranges_free(&st->taken, &at, end, &to))
		return;
	size = min(to - at, BANK_TEST);
	if (first_bad(st, at, at + size) != at + size)
		take_out_free(st, base, end);
}

/* Banks as the tables name them, or as the firmware's map has memory in one piece. */
static void
test_banks(struct boot_state *st)
{
	const struct archinfo *ai = &st->arch;

	for (u32 i = 0; i < st->usable.n; i++) {
		u64 base = st->usable.r[i].base, end = base + st->usable.r[i].size;

		for (u32 k = 0; k < ai->nranges; k++) {
			u64 from = max(base, ALIGN_UP(ai->range[k].base, PAGE_SIZE));
			u64 to = min(end,
				     ALIGN_DOWN(ai->range[k].base + ai->range[k].size, PAGE_SIZE));

			if (from < to)
				test_bank(st, from, to);
		}
		if (!ai->nranges)
			test_bank(st, base, end);
	}
}

/* The largest free piece of the cluster below `reach`. */
static bool
choose_bump_range(struct boot_state *st, struct boot_plan *p, u64 reach)
{
	u64 best = 0;

	for (u32 i = 0; i < p->nranges; i++) {
		u64 at = p->range[i].base, end = min(at + p->range[i].size, reach), to;

		while (ranges_free(&st->taken, &at, end, &to)) {
			if (to - at > best) {
				best = to - at;
				p->mem = (struct bootmem){.start = at, .next = at, .end = to};
			}
			at = to;
		}
	}
	return best > 0;
}

void
banks_boot(struct boot_state *st)
{
	struct boot_plan *p = &st->plan[BOOT_CLUSTER];

	if (st->cmdline.memtest_full)
		test_free(st, p, 0, BOOT_REACH);
	if (!choose_anchor(st, p) || !choose_bump_range(st, p, BOOT_REACH))
		panic("cluster 0 has no room for its kernel");
}

void
banks_rest(struct boot_state *st)
{
	test_banks(st);
	if (st->cmdline.memtest_full)
		test_free(st, &st->plan[BOOT_CLUSTER], BOOT_REACH, ~0UL);
	for (u32 c = 1; c < st->nclusters;) {
		struct boot_plan *p = &st->plan[c];

		if (st->cmdline.memtest_full)
			test_free(st, p, 0, ~0UL);
		if (choose_anchor(st, p) && choose_bump_range(st, p, ~0UL)) {
			c++;
			continue;
		}
		boot_say(st, KLOG_WARN, "cluster %u has no room for a kernel", p->origin);
		plan_drop(st, c);
	}
	if (st->cmdline.memtest_full)
		boot_say(st, KLOG_BOOT, "memtest=full: %llu MiB tested, %llu KiB left out",
			 (unsigned long long)(st->report->tested >> 20),
			 (unsigned long long)(st->report->bad >> 10));
}
