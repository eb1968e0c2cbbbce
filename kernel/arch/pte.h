/* Page table entries of 4-level paging (SDM 3A 4.5). */
#ifndef ARCH_PTE_H
#define ARCH_PTE_H

#include "arch/layout.h"
#include "lib/types.h"

typedef u64 pte_t;

#define PTE_P	  (1UL << 0)
#define PTE_W	  (1UL << 1)
#define PTE_U	  (1UL << 2)
#define PTE_PWT	  (1UL << 3)
#define PTE_PCD	  (1UL << 4)
#define PTE_A	  (1UL << 5)
#define PTE_D	  (1UL << 6)
#define PTE_PS	  (1UL << 7)
#define PTE_G	  (1UL << 8)
#define PTE_WAS_A (1UL << 9) /* ours: A was there, and was taken away at a cut (mm/harvest.c) */
#define PTE_NX	  (1UL << 63)
#define PTE_ADDR  0x000ffffffffff000UL

static inline unsigned
pte_index(vaddr_t va, unsigned level)
{
	return (va >> (PAGE_SHIFT + 9 * level)) & 511; /* level 0: PT, 3: PML4 */
}

static inline pte_t *
pte_table(pte_t e)
{
	return phys_to_virt(e & PTE_ADDR);
}

#endif
