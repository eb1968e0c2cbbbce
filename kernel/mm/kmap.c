/*
 * Kernel translations made after boot (see kmap.h), and device registers.
 *
 * Entry points: kmap_page, mmio_map. A core that loses the race for a table keeps the other's; its
 * own page goes back, or stays unused when it came from bootmem (at most a page for a cluster).
 *
 * All tables exist before the first entry is written, so a call that runs out of memory has mapped
 * nothing anywhere. A core's own cluster is written first: when another core of it sees the entry,
 * the other clusters' may still be missing, but whoever maps the same page writes them too.
 */
#include <asm/errno.h>

#include "arch/cpu.h"
#include "cluster/cluster.h"
#include "core/panic.h"
#include "lib/assert.h"
#include "lib/atomic.h"
#include "mm/frame.h"
#include "mm/kmap.h"
#include "mm/pmap.h"

#define SHARED_FIRST 256 /* entries of a root that say the same in every cluster */
#define SHARED_END   511

void *
kmap_table(unsigned cxy)
{
	struct frame *f = frame_alloc_on(cxy, 0, FRAME_ZERO | FRAME_RESERVE | FRAME_KERNEL);

	if (f == NULL)
		return NULL;
	f->flags = FF_TABLE;
	return frame_virt(f);
}

/* The table that *entry points to, made when there is none. */
static pte_t *
table_below(pte_t *entry, unsigned cxy, void *(*table)(unsigned cxy))
{
	pte_t e = atomic_load(entry);
	void *page;

	if (e & PTE_P)
		return pte_table(e);
	page = table(cxy);
	if (page == NULL)
		return NULL;
	if (atomic_cas(entry, e, virt_to_phys(page) | PTE_P | PTE_W | PTE_A))
		return page;
	if (table == kmap_table)
		page_free(page);
	return pte_table(atomic_load(entry));
}

/* A cluster's entry for a page, its tables made; NULL: out of memory. */
static pte_t *
entry_of(unsigned cxy, vaddr_t va, void *(*table)(unsigned cxy))
{
	pte_t *t = phys_to_virt(machine()->cluster[cxy]->master_root);

	assert(t[pte_index(va, 3)] & PTE_P);
	for (unsigned level = 3; level > 0; level--) {
		assert(!(t[pte_index(va, level)] & PTE_PS));
		t = table_below(&t[pte_index(va, level)], cxy, table);
		if (t == NULL)
			return NULL;
	}
	return &t[pte_index(va, 0)];
}

int
kmap_page(vaddr_t va, paddr_t pa, u64 flags, void *(*table)(unsigned cxy))
{
	unsigned n = machine()->nclusters, own = this_cluster()->cxy;
	pte_t *entry[MAX_CLUSTERS] = {entry_of(own, va, table)};
	bool mine;

	for (unsigned i = 1; i < n && entry[i - 1] != NULL; i++)
		entry[i] = entry_of((own + i) % n, va, table);
	if (entry[n - 1] == NULL)
		return -ENOMEM;
	mine = atomic_cas(entry[0], (pte_t)0, pa | flags);
	for (unsigned i = 1; i < n; i++)
		(void)atomic_cas(entry[i], (pte_t)0, pa | flags);
	return mine ? 0 : -EEXIST;
}

paddr_t
kmap_find(vaddr_t va)
{
	const pte_t *t = phys_to_virt(this_cluster()->master_root);
	unsigned level = 3;
	pte_t e = t[pte_index(va, level)];

	while (level > 0 && (e & PTE_P) && !(e & PTE_PS)) {
		t = pte_table(e);
		level--;
		e = atomic_load(&t[pte_index(va, level)]);
	}
	if (!(e & PTE_P))
		return 0;
	return (e & PTE_ADDR & ~((PAGE_SIZE << 9 * level) - 1)) +
	       (va & ((PAGE_SIZE << 9 * level) - 1));
}

/* Replaces the tables below t that lie in other clusters by copies of this cluster's own. The
 * others may do the same at the same time: what they read of a table that stays here is true
 * whether they see it before or after. */
static void
localise_table(pte_t *t, unsigned first, unsigned end, unsigned level)
{
	unsigned cxy = this_cluster()->cxy;

	for (unsigned i = first; level > 0 && i < end; i++) {
		pte_t e = atomic_load(&t[i]);

		if (!(e & PTE_P) || (e & PTE_PS))
			continue;
		if (frame_of_paddr(e & PTE_ADDR)->cxy != cxy) {
			void *page = kmap_table(cxy);

			if (page == NULL)
				panic("cluster %u: no memory for page tables", cxy);
			page_copy(page, pte_table(e));
			e = virt_to_phys(page) | (e & ~PTE_ADDR);
			atomic_store(&t[i], e);
		}
		localise_table(pte_table(e), 0, 512, level - 1);
	}
}

void
kmap_localise(void)
{
	if (machine()->nclusters > 1 && !machine()->one_copy)
		localise_table(phys_to_virt(this_cluster()->master_root), SHARED_FIRST, SHARED_END,
			       3);
}

/* Changing CR4.PGE drops global entries and what is known of upper tables (SDM 3A 4.10.4.1). */
void
kmap_localised(void)
{
	u64 cr4 = READ_CR(4);

	WRITE_CR(4, cr4 ^ CR4_PGE);
	WRITE_CR(4, cr4);
}

volatile void *
mmio_map(paddr_t paddr, size_t size)
{
	paddr_t first = ALIGN_DOWN(paddr, PAGE_SIZE), end = ALIGN_UP(paddr + size, PAGE_SIZE);

	for (paddr_t p = first; p < end; p += PAGE_SIZE)
		if (kmap_page(MMIO_BASE + p, p, KMAP_DEVICE, kmap_table) == -ENOMEM)
			return NULL;
	return (volatile void *)(MMIO_BASE + paddr);
}
