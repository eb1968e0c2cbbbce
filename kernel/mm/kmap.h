/*
 * Translations of the kernel's half that are made after boot: the frame array, kernel stacks and
 * device registers. The tables are shared by all clusters and only grow: an entry goes from absent
 * to present by compare-and-swap, once, so there is nothing to lock and nothing to flush.
 */
#ifndef MM_KMAP_H
#define MM_KMAP_H

#include "arch/pte.h"

#define KMAP_MEMORY (PTE_P | PTE_W | PTE_NX | PTE_G | PTE_A | PTE_D)
#define KMAP_DEVICE (KMAP_MEMORY | PTE_PCD | PTE_PWT)

/* Maps one page. `table` gives zeroed pages for tables. 0, -ENOMEM, -EEXIST (left as it is). */
int __must_check kmap_page(vaddr_t va, paddr_t pa, u64 flags, void *(*table)(void));

#endif
