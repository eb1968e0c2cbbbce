/*
 * Only tested memory: the place of a cluster's kernel, its anchor, is tested before anything is put
 * there, and with memtest=full all that is free. A page that fails is taken out for good, with a
 * line; the anchor then moves on. A cluster without room left for a kernel is dropped, and its
 * cores join the nearest. One core alone does this: nobody else runs yet.
 */
#include "arch/cpu.h"
#include "boot/boot.h"
#include "core/panic.h"
#include "lib/memtest.h"

#define CACHE_LINE 64
#define BAD_PAGES  8 /* in one piece; with more the rest of it is left out untested */

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
	u64 bad = at + memtest(phys_to_virt(at), end - at, flush);

	if (st->cmdline.badmem >= at && st->cmdline.badmem < end)
		bad = min(bad, st->cmdline.badmem);
	return bad;
}

static void
take_out(struct boot_state *st, u64 at, u64 size)
{
	ranges_add(&st->taken, at, size);
	ranges_add(&st->bad, at, size);
	st->report->bad += size;
	boot_say(st, KLOG_WARN, "memory at %llx fails its test: %llu KiB left out",
		 (unsigned long long)at, (unsigned long long)(size >> 10));
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

static bool
choose_anchor(struct boot_state *st, struct boot_plan *p)
{
	p->anchor_size = plan_anchor_size(st->low);
	do {
		if (!plan_find_anchor(st, p, &p->anchor)) {
			p->anchor = 0;
			return false;
		}
	} while (!test_piece(st, p->anchor, p->anchor + p->anchor_size));
	p->kdata = p->anchor + HUGE_SIZE + ALIGN_UP(st->low->krodata_size, PAGE_SIZE);
	ranges_add(&st->taken, p->anchor, p->anchor_size);
	return true;
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
