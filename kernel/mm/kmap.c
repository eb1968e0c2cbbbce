/*
 * Kernel translations made after boot (see kmap.h), and device registers.
 *
 * Entry points: kmap_page, mmio_map. A core that loses the race for a table keeps the other's; its
 * own page goes back, or stays unused when it came from bootmem (at most a page for a cluster).
 */
#include <asm/errno.h>

#include "cluster/cluster.h"
#include "lib/assert.h"
#include "lib/atomic.h"
#include "mm/frame.h"
#include "mm/kmap.h"
#include "mm/pmap.h"

/* The table that *entry points to, made when there is none. */
static pte_t *
table_below(pte_t *entry, void *(*table)(void))
{
	pte_t e = atomic_load(entry);
	void *page;

	if (e & PTE_P)
		return pte_table(e);
	page = table();
	if (page == NULL)
		return NULL;
	if (atomic_cas(entry, e, virt_to_phys(page) | PTE_P | PTE_W | PTE_A))
		return page;
	if (table == page_alloc)
		page_free(page);
	return pte_table(atomic_load(entry));
}

int
kmap_page(vaddr_t va, paddr_t pa, u64 flags, void *(*table)(void))
{
	pte_t *t = phys_to_virt(this_cluster()->master_root);

	assert(t[pte_index(va, 3)] & PTE_P);
	for (unsigned level = 3; level > 0; level--) {
		assert(!(t[pte_index(va, level)] & PTE_PS));
		t = table_below(&t[pte_index(va, level)], table);
		if (t == NULL)
			return -ENOMEM;
	}
	return atomic_cas(&t[pte_index(va, 0)], (pte_t)0, pa | flags) ? 0 : -EEXIST;
}

volatile void *
mmio_map(paddr_t paddr, size_t size)
{
	paddr_t first = ALIGN_DOWN(paddr, PAGE_SIZE), end = ALIGN_UP(paddr + size, PAGE_SIZE);

	for (paddr_t p = first; p < end; p += PAGE_SIZE)
		if (kmap_page(MMIO_BASE + p, p, KMAP_DEVICE, page_alloc) == -ENOMEM)
			return NULL;
	return (volatile void *)(MMIO_BASE + paddr);
}
