/*
 * The kernel's half of the virtual address space. The same in every cluster, but for KCODE,
 * KRODATA and KDATA, which each cluster maps onto its own copy (DESIGN section 2).
 *
 * All PML4 entries of the kernel half exist from boot on and never change, so a new process root
 * copies entries 256..511 of its cluster's master root and stays right for ever. Each cluster
 * has tables of its own below PHYSMAP, MMIO, FRAMES and KSTACKS, which say the same (mm/kmap.h).
 */
#ifndef ARCH_LAYOUT_H
#define ARCH_LAYOUT_H

#define USER_TOP      0x00007ffffffff000UL /* first address a program may not map */
#define PHYSMAP_BASE  0xffff800000000000UL /* all RAM, RW NX; 64 TiB of room */
#define FRAMES_BASE   0xffffc00000000000UL /* struct frame of page n at FRAMES_BASE + n * size */
#define KSTACKS_BASE  0xffffd00000000000UL /* kernel stacks with guard pages */
#define KSTACKS_SHIFT 32		   /* 4 GiB of it for each cluster */
#define MMIO_BASE     0xffffe00000000000UL /* device registers, uncacheable: MMIO_BASE + paddr */
#define KCODE_BASE    0xffffffff80000000UL /* one 2 MiB page, R-X */
#define KRODATA_BASE  0xffffffff80200000UL /* R-- */
#define KDATA_BASE    0xffffffff80400000UL /* RW-; struct boot_info is the first thing in it */

#define MAX_CLUSTERS 8
#define MAX_CORES    64

#define KSTACK_SIZE 16384UL

#ifndef __ASSEMBLER__
#include "lib/types.h"

static inline void *
phys_to_virt(paddr_t p)
{
	return (void *)(PHYSMAP_BASE + p);
}

/* => v is a pointer into the physmap (allocated memory), not a static or a stack. */
static inline paddr_t
virt_to_phys(const void *v)
{
	return (vaddr_t)v - PHYSMAP_BASE;
}
#endif
#endif
