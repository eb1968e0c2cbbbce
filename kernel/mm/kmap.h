/*
 * Translations of the kernel's half that are made after boot: the frame array, kernel stacks and
 * device registers. Every cluster has tables of its own for them, which say the same and only grow:
 * an entry goes from absent to present by compare-and-swap, once, so there is nothing to lock and
 * nothing to flush.
 */
#ifndef MM_KMAP_H
#define MM_KMAP_H

#include "arch/pte.h"

#define KMAP_MEMORY (PTE_P | PTE_W | PTE_NX | PTE_G | PTE_A | PTE_D)
#define KMAP_DEVICE (KMAP_MEMORY | PTE_PCD | PTE_PWT)

/* Maps one page in every cluster. `table` gives zeroed pages for a cluster's tables. 0, -ENOMEM,
 * -EEXIST (this cluster's entry is left as it is). */
int __must_check kmap_page(vaddr_t va, paddr_t pa, u64 flags, void *(*table)(unsigned cxy));

/* A page of that cluster for kmap_page, once the page allocator works. NULL: out of memory. */
void *kmap_table(unsigned cxy);

/* Where a kernel address is, by this cluster's tables; 0: nowhere. */
paddr_t kmap_find(vaddr_t va);

/* Gives this cluster tables of its own where it still uses others': until then the boot procedure's
 * are shared by all. => each cluster's first core, between barriers, nobody maps meanwhile */
void kmap_localise(void);
/* Forgets what this core knows of the shared tables. => after every cluster's kmap_localise() */
void kmap_localised(void);

#endif
