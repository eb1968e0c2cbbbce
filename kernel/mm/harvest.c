/*
 * Page tables at a cut: what was written since the last one, and taking the right to write from
 * what is on its way to the disk (pmap.h, cut.c).
 *
 * The processor notes a walk in the A bit of every table's entry, so a part of the space whose
 * entry has none was not walked since the last harvest, which took the bit away: nothing was
 * written there, and its tables are not looked at. What TLBs may keep over a harvest are entries
 * without D; a write through one walks the tables to set it, and sets A on the way. So a harvest
 * takes as long as what was touched, not as what there is; of a large space most is looked at
 * before (survey.c). Code that sets D itself sets A on the way (pmap.c). An entry whose frame is
 * collected at once loses the right to write in the same step, and its A bit: who is the first to
 * come to the page again and writes it, which takes a copy, then need not shoot down other TLBs
 * (pmap.c).
 *
 * Locks: none, the machine stands still. pmap_harvested() comes before it goes on.
 */
#include "cluster/cluster.h"
#include "lib/assert.h"
#include "mm/harvest.h"
#include "mm/home.h"

#define TABLE_SIZE   512
#define KERNEL_FIRST 256
#define ROOT_LEVEL   3

static void
note_changed(struct pmap *p, vaddr_t va)
{
	if (p->cut.n < PMAP_CUT_PAGES)
		p->cut.va[p->cut.n++] = va;
	else
		p->cut.n = PMAP_CUT_PAGES + 1;
}

void
harvest_leaf(pte_t *e, vaddr_t va, struct harvest *h)
{
	pte_t was = *e;

	if ((was & (PTE_P | PTE_PCD)) != PTE_P)
		return;
	note_changed(h->pmap, va);
	*e = was & ~PTE_D;
	if (h->written(h, frame_of_paddr(was & PTE_ADDR)))
		*e = (was & ~(PTE_D | PTE_W | PTE_A)) | PTE_WAS_A;
}

static void
harvest_eight(pte_t *t, vaddr_t va, struct harvest *h)
{
#pragma GCC unroll 8
	for (unsigned i = 0; i < 8; i++)
		if (unlikely(t[i] & PTE_D))
			harvest_leaf(&t[i], va + (vaddr_t)i * PAGE_SIZE, h);
}

static inline pte_t
any_of_eight(const pte_t *t)
{
	return t[0] | t[1] | t[2] | t[3] | t[4] | t[5] | t[6] | t[7];
}

/* Most of a table that was walked is clean. */
static void
harvest_leaves(pte_t *t, vaddr_t va, struct harvest *h)
{
	h->entries += TABLE_SIZE;
	for (unsigned i = 0; i < TABLE_SIZE; i += 16) {
		pte_t low = any_of_eight(t + i), high = any_of_eight(t + i + 8);

		if (likely(!((low | high) & PTE_D)))
			continue;
		if (low & PTE_D)
			harvest_eight(t + i, va + (vaddr_t)i * PAGE_SIZE, h);
		if (high & PTE_D)
			harvest_eight(t + i + 8, va + (vaddr_t)(i + 8) * PAGE_SIZE, h);
	}
}

static void harvest_table(pte_t *t, unsigned level, vaddr_t va, struct harvest *h);

static void
harvest_walked(pte_t *t, unsigned level, vaddr_t va, struct harvest *h)
{
	if ((*t & (PTE_P | PTE_A)) != (PTE_P | PTE_A))
		return;
	assert(!(*t & PTE_PS)); /* none are made where there is a store */
	*t &= ~PTE_A;
	if (level == 1)
		harvest_leaves(pte_table(*t), va, h);
	else
		harvest_table(pte_table(*t), level - 1, va, h);
}

/* Most entries above the leaves are empty. */
static void
harvest_table(pte_t *t, unsigned level, vaddr_t va, struct harvest *h)
{
	unsigned n = level == ROOT_LEVEL ? KERNEL_FIRST : TABLE_SIZE;

	h->tables++;
	for (unsigned i = 0; i < n; i += 8) {
		if (likely(!(any_of_eight(t + i) & PTE_A)))
			continue;
		for (unsigned k = i; k < i + 8; k++)
			harvest_walked(&t[k], level, va + ((vaddr_t)k << (PAGE_SHIFT + 9 * level)),
				       h);
	}
}

void
pmap_harvest_begin(struct pmap *p)
{
	atomic_store(&p->cut.gen, 0UL);
	atomic_fence();
	p->cut.n = 0;
}

void
pmap_harvest(struct pmap *p, struct harvest *h)
{
	h->pmap = p;
	for (unsigned i = 0; i < machine()->nclusters; i++)
		if (p->root[i] != 0)
			harvest_table(phys_to_virt(p->root[i]), ROOT_LEVEL, 0, h);
}

/* The page table for va, or NULL. */
static pte_t *
leaf_table(paddr_t root, vaddr_t va)
{
	pte_t *t = phys_to_virt(root);

	for (unsigned level = ROOT_LEVEL; level > 0; level--) {
		pte_t e = t[pte_index(va, level)];

		if (!(e & PTE_P))
			return NULL;
		t = pte_table(e);
	}
	return t;
}

static void
shield_replica(struct pmap *p, unsigned cxy, vaddr_t va, const u64 *set, vaddr_t start, vaddr_t end)
{
	vaddr_t table_va = ~0UL;
	pte_t *t = NULL;
	unsigned i;

	for_each_in_group(i, set)
	{
		vaddr_t at = va + (vaddr_t)i * PAGE_SIZE;
		pte_t e;

		if (at < start || at >= end)
			continue;
		if (ALIGN_DOWN(at, HUGE_SIZE) != table_va) {
			table_va = ALIGN_DOWN(at, HUGE_SIZE);
			t = leaf_table(p->root[cxy], at);
		}
		e = t != NULL ? t[pte_index(at, 0)] : 0;
		if (!(e & PTE_W))
			continue;
		t[pte_index(at, 0)] = e & ~PTE_W;
		note_changed(p, at);
	}
}

void
pmap_shield(struct pmap *p, vaddr_t va, const u64 *set, vaddr_t start, vaddr_t end)
{
	for (unsigned i = 0; i < machine()->nclusters; i++)
		if (p->root[i] != 0)
			shield_replica(p, i, va, set, start, end);
}
