/*
 * Which page tables a core uses, and keeping its TLB true to them.
 *
 * A pmap counts its removals in tlb_gen; a core notes in seen_gen how far its TLB has followed.
 * Who removes something raises tlb_gen, then sends IPI_TLB to the active cores and waits until each
 * has caught up or is no longer active. A core becomes active first and reads tlb_gen afterwards,
 * with a full fence between, so either the remover sees it active or it sees the new generation.
 * No lock is held while waiting except the caller's; a core that waits serves its own requests, and
 * so does one that spins for a lock, so two removers cannot block each other.
 *
 * The last few removals are remembered by address, and the pages that the last cut changed: a core
 * that is not far behind drops single pages, else its whole TLB. After a cut all that the program
 * does begins with what is translated anew, so this is worth it for more pages there. A table is
 * freed only after all cores that have the pmap loaded at all followed, since an idle core may
 * still walk the tables speculatively.
 *
 * Process context identifiers are not used: they pay only where tagged TLBs exist, which the
 * emulator has not, and every generation would be needed per identifier.
 */
#include "arch/cpu.h"
#include "arch/ipi.h"
#include "cluster/cluster.h"
#include "core/thread.h"
#include "lib/assert.h"
#include "mm/pmap.h"

#define PAUSES_MAX  64u
#define FLUSH_PAGES 16 /* more single pages than this cost more than starting afresh */

static void
flush_all(void)
{
	WRITE_CR(3, READ_CR(3));
}

/* Drops what the last cut changed; false when that is too much, or not removal `gen` any more. One
 * page is dropped in any case: with any of them go all entries of paging-structure caches (SDM 3,
 * 4.10.4.1), which have A bits that the cut took away. */
static bool
flush_cut(const struct pmap *p, u64 gen)
{
	u32 n = atomic_load_relaxed(&p->cut.n);

	if (n > PMAP_CUT_PAGES)
		return false;
	invlpg(0);
	for (u32 i = 0; i < n; i++)
		invlpg(p->cut.va[i]);
	atomic_fence();
	return atomic_load(&p->cut.gen) == gen;
}

/* Drops the pages of the removals behind `seen` up to `gen`; false when that is too much. */
static bool
flush_pages(const struct pmap *p, u64 seen, u64 gen)
{
	u64 pages = 0;

	if (gen - seen > PMAP_FLUSHES / 2)
		return false;
	for (u64 g = seen + 1; g <= gen; g++) {
		vaddr_t start = atomic_load_relaxed(&p->flush[g % PMAP_FLUSHES].start);
		vaddr_t end = atomic_load_relaxed(&p->flush[g % PMAP_FLUSHES].end);

		if (g == atomic_load(&p->cut.gen) && flush_cut(p, g))
			continue;
		pages += (end - start) >> PAGE_SHIFT;
		if (end < start || pages > FLUSH_PAGES)
			return false;
		for (vaddr_t va = start; va < end; va += PAGE_SIZE)
			invlpg(va);
	}
	/* The entries were true if none of them has been used again meanwhile. */
	return atomic_load(&p->tlb_gen) - seen < PMAP_FLUSHES;
}

/* => interrupts off; p is loaded on this core */
static void
catch_up(struct pmap *p, unsigned core)
{
	u64 seen = p->seen_gen[core], gen = atomic_load(&p->tlb_gen);

	if (seen == gen)
		return;
	if (!flush_pages(p, seen, gen))
		flush_all();
	atomic_store(&p->seen_gen[core], gen);
}

static void
forget_core(struct pmap *p, u64 bit)
{
	atomic_fetch_and(&p->active, ~bit);
	atomic_fetch_and(&p->cores, ~bit);
}

/* Goes over to the cluster's own root. => interrupts off */
static void
leave(struct core *c)
{
	struct pmap *p = c->loaded_pmap;

	if (p == NULL)
		return;
	WRITE_CR(3, this_cluster()->master_root);
	c->loaded_pmap = NULL;
	forget_core(p, 1UL << c->arch.index);
}

/* Lists this core as running p and returns the root to load. 0: p is retired, or has no root here
 * yet; then the first fault makes it. */
static paddr_t
join_cores(struct pmap *p, u64 bit)
{
	paddr_t root;

	atomic_fetch_or(&p->cores, bit);
	atomic_fetch_or(&p->active, bit);
	/* From here pmap_retire() waits for this core before it frees this root, or has been seen.
	 */
	root = atomic_load(&p->root[this_core()->arch.cxy]);
	if (!atomic_load(&p->retired) && root != 0)
		return root;
	forget_core(p, bit);
	return 0;
}

static void
load(struct core *c, struct pmap *p)
{
	struct pmap *old = c->loaded_pmap;
	u64 bit = 1UL << c->arch.index;
	paddr_t root = join_cores(p, bit);

	if (root == 0) {
		leave(c);
		return;
	}
	p->seen_gen[c->arch.index] = atomic_load(&p->tlb_gen);
	WRITE_CR(3, root);
	c->loaded_pmap = p;
	if (old != NULL)
		forget_core(old, bit);
}

void
pmap_activate(struct pmap *p)
{
	struct core *c = this_core();
	struct pmap *old = c->loaded_pmap;
	u64 bit = 1UL << c->arch.index;

	if (p == NULL) {
		if (old != NULL && (atomic_load_relaxed(&old->active) & bit))
			atomic_fetch_and(&old->active, ~bit);
	} else if (old != p) {
		load(c, p);
	} else {
		if (!(atomic_load_relaxed(&p->active) & bit))
			atomic_fetch_or(&p->active, bit);
		catch_up(p, c->arch.index);
	}
}

void
pmap_serve_shootdown(void)
{
	struct core *c;
	struct pmap *p;

	irq_push_off();
	c = this_core();
	p = c->loaded_pmap;
	if (p != NULL && atomic_load(&p->retired))
		leave(c);
	else if (p != NULL)
		catch_up(p, c->arch.index);
	irq_pop_off();
}

static void
tell(u64 cores)
{
	struct machine *m = machine();

	for (; cores != 0; cores &= cores - 1) {
		struct core *c = m->core[__builtin_ctzl(cores)];

		atomic_add_relaxed(&c->stat_shootdowns, 1);
		ipi_send(&c->arch, IPI_TLB);
	}
}

static u64
next_gen(struct pmap *p, vaddr_t start, vaddr_t end)
{
	struct pmap_flush *f;
	u64 gen;

	spin_lock(&p->lock);
	gen = p->tlb_gen + 1;
	f = &p->flush[gen % PMAP_FLUSHES];
	atomic_store_relaxed(&f->start, start);
	atomic_store_relaxed(&f->end, end);
	atomic_store(&p->tlb_gen, gen);
	spin_unlock(&p->lock);
	atomic_fence();
	return gen;
}

/* A while that the core spends on its own mailbox alone, twice as long each time: the word that it
 * waits for may be in another cluster. */
static void
pause_serving(unsigned *pauses)
{
	for (unsigned i = 0; i < *pauses; i++) {
		ipi_poll();
		cpu_pause();
	}
	*pauses = min(2 * *pauses, PAUSES_MAX);
}

/* Sends to `targets` and waits until each is at `gen` or out of *mask. */
static void
wait_for_cores(struct pmap *p, u64 targets, const u64 *mask, u64 gen)
{
	tell(targets);
	for (; targets != 0; targets &= targets - 1) {
		unsigned i = __builtin_ctzl(targets), pauses = 1;

		while (atomic_load(&p->seen_gen[i]) < gen && (atomic_load(mask) >> i & 1))
			pause_serving(&pauses);
	}
}

void
pmap_flush(struct pmap *p, vaddr_t start, vaddr_t end, bool everywhere)
{
	const u64 *mask = everywhere ? &p->cores : &p->active;
	u64 gen = next_gen(p, start, end), targets;

	/* A core that only has it loaded follows when it runs a thread of it again. */
	if (atomic_load(mask) >> this_core()->arch.index & 1)
		pmap_serve_shootdown();
	targets = atomic_load(mask) & ~(1UL << this_core()->arch.index);
	if (targets == 0)
		return;
	atomic_add_relaxed(&this_cluster()->shootdowns, 1);
	wait_for_cores(p, targets, mask, gen);
}

/* No other removal is told while the machine stands still: this is the next one. */
void
pmap_harvested(struct pmap *p)
{
	atomic_store(&p->cut.gen, p->tlb_gen + 1);
	pmap_flush(p, 0, USER_TOP, false);
}

void
pmap_barrier(struct pmap *p)
{
	u64 gen = next_gen(p, 0, 0);

	pmap_serve_shootdown();
	wait_for_cores(p, atomic_load(&p->active) & ~(1UL << this_core()->arch.index), &p->active,
		       gen);
}

void
pmap_leave_all(struct pmap *p)
{
	unsigned pauses = 1;

	atomic_fence();
	irq_push_off();
	if (this_core()->loaded_pmap == p)
		leave(this_core());
	irq_pop_off();
	tell(atomic_load(&p->cores));
	while (atomic_load(&p->cores) != 0)
		pause_serving(&pauses);
}
