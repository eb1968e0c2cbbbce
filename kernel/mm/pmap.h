/*
 * The hardware's view of an address space: one page-table root per cluster, each filled on fault
 * and thrown away at will; its tables lie in that cluster's memory. Never owns frames.
 *
 * A removal or downgrade is written into every replica, then the cores that may hold it are told:
 * cores running the pmap by one IPI for a whole batch, cores that merely have it loaded while idle
 * or in a kernel thread by a generation they compare when they next run a thread of it.
 */
#ifndef MM_PMAP_H
#define MM_PMAP_H

#include "arch/pte.h"
#include "core/core.h"
#include "lib/atomic.h"

struct pmap {
	struct refcount refs;
	struct spinlock lock;		/* rank RANK_PMAP */
	paddr_t root[MAX_CLUSTERS];	/* [lock] 0: no replica there yet */
	u64 cores;			/* [a] cores that have a root of it loaded */
	u64 tlb_gen;			/* [a] grows with every removal */
	u64 seen_gen[MAX_CORES];	/* [c of that core] */
	u64 table_pages;		/* [a] */
};

struct pmap *pmap_create(void);
void pmap_get(struct pmap *p);
void pmap_put(struct pmap *p);
/* Enters a translation into this core's cluster's replica. 0 or -ENOMEM. prot: VM_*.
 * => called with the object's lock held, so that the frame cannot leave meanwhile. */
int pmap_enter(struct pmap *p, vaddr_t va, paddr_t pa, unsigned prot);
int pmap_enter_huge(struct pmap *p, vaddr_t va, paddr_t pa, unsigned prot);
/* Remove or write-protect a range in every replica and flush before they return. */
void pmap_remove(struct pmap *p, vaddr_t start, vaddr_t end);
void pmap_protect(struct pmap *p, vaddr_t start, vaddr_t end, unsigned prot);
/* Called by the scheduler's switch: makes p this core's address space (NULL: keep). irqs off. */
void pmap_activate(struct pmap *p);
/* Called when a core goes idle or runs a kernel thread for long: it no longer needs flushes now. */
/* IPI_TLB's part; also called by cores that spin for a lock. */
void pmap_serve_shootdown(void);
/* Whether the translation allows `access` now (for spurious faults). */
bool pmap_allows(struct pmap *p, vaddr_t va, unsigned access);

/* Maps device registers, uncacheable; the mapping stays for ever. */
volatile void *mmio_map(paddr_t paddr, size_t size);

#endif
