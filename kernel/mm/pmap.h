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
#include "lib/list.h"
#include "mm/registry.h"

struct vm_map;
struct frame;

#define PMAP_FLUSHES 8 /* how many removals are remembered by address */

struct pmap_flush {
	vaddr_t start, end;
};

#define PMAP_CUT_PAGES 256 /* pages that the last cut changed, remembered by address */

/* What the last cut changed in the tables, so that a core drops these pages and no others. */
struct pmap_cut {
	u64 gen;		    /* [a] as which removal; 0: it is being written down */
	u32 n;			    /* [cut] above PMAP_CUT_PAGES: they are not all here */
	vaddr_t va[PMAP_CUT_PAGES]; /* [cut] */
};

struct pmap {
	struct refcount refs;
	struct spinlock lock;	    /* rank RANK_PMAP */
	struct vm_map *map;	    /* [a] whose it is; no reference; NULL when it is gone */
	paddr_t root[MAX_CLUSTERS]; /* [lock to change] 0: no replica there yet */
	bool retired;		    /* [a] its cores are leaving it for good */
	u64 cores;		    /* [a] cores that have a root of it loaded */
	u64 active;		    /* [a] of these: cores that run a thread of it */
	u64 tlb_gen;		    /* [lock to change] grows with every removal */
	struct pmap_flush flush[PMAP_FLUSHES]; /* [lock to change] by generation */
	struct pmap_cut cut;
	u64 seen_gen[MAX_CORES]; /* [c of that core] */
	u64 table_pages;	 /* [lock] */
	u64 flown;		 /* [cut] pages that went to the disk themselves, lately; */
	u64 rewritten;		 /* [a] and how often one was written, and so copied, meanwhile */
	struct registered registered; /* mm/registry.c */
};

/* Extra bits for prot, beside VM_READ, VM_WRITE and VM_EXEC. */
#define PMAP_UNCACHED 0x100u
#define PMAP_WRITTEN  0x200u  /* a write is about to happen: set the dirty bit now */
#define PMAP_REPLICA  0x400u  /* other clusters may show another copy of the same bytes */
#define PMAP_UNUSED   0x1000u /* entered ahead: not accessed yet */
#define PMAP_AGREED   0x800u  /* the caller knows that they show this frame or nothing */

struct pmap *pmap_create(struct vm_map *map);
void pmap_get(struct pmap *p);
void pmap_put(struct pmap *p);
/* Makes every core leave p and frees its tables; p stays, empty, for who still refers to it.
 * => no thread of p will enter user mode or touch user memory any more */
void pmap_retire(struct pmap *p);

/* Enters a translation into this core's cluster's replica; one to another frame is first removed
 * from every replica and flushed. 0 or -ENOMEM. prot: VM_* and PMAP_*.
 * => called with the object's lock held, so that the frame cannot leave meanwhile. */
int __must_check pmap_enter(struct pmap *p, vaddr_t va, paddr_t pa, unsigned prot);
int __must_check pmap_enter_huge(struct pmap *p, vaddr_t va, paddr_t pa, unsigned prot);
/* Enters up to n neighbours where nothing is entered yet, here, and no other cluster shows another
 * frame; pa 0 skips a page. As far as it gets; changes pa. Returns how many it entered.
 * => all n pages are covered by one page table */
unsigned pmap_enter_around(struct pmap *p, vaddr_t va, paddr_t *pa, unsigned n, unsigned prot);

/* Gives the right to write to up to n neighbours here that show these frames; pa 0 skips a page.
 * => as for pmap_enter_around */
void pmap_allow_around(struct pmap *p, vaddr_t va, const paddr_t *pa, unsigned n);

/* Remove or write-protect a range in every replica and flush before they return. */
void pmap_remove(struct pmap *p, vaddr_t start, vaddr_t end);
void pmap_protect(struct pmap *p, vaddr_t start, vaddr_t end, unsigned prot);

/* The same for many ranges with one flush at the end. The frames stay in use until then. */
struct pmap_batch {
	struct pmap *pmap;
	vaddr_t start, end; /* hull of what changed; empty: nothing did */
	struct list tables; /* detached, freed after the flush */
};
void pmap_batch_begin(struct pmap_batch *b, struct pmap *p);
void pmap_batch_remove(struct pmap_batch *b, vaddr_t start, vaddr_t end);
/* Takes rights away; rights that prot has in addition come with the next fault. */
void pmap_batch_protect(struct pmap_batch *b, vaddr_t start, vaddr_t end, unsigned prot);
void pmap_batch_end(struct pmap_batch *b);

/* How many pages of a range were read or written, and how many written, as far as the processors of
 * any cluster noted it: the OR over the replicas. */
struct pmap_noted {
	u64 accessed, dirty;
};
struct pmap_noted pmap_count_noted(struct pmap *p, vaddr_t start, vaddr_t end);
/* Takes the note of accesses away in every replica, and flushes, so that the next one is noted. */
void pmap_forget_accesses(struct pmap *p, vaddr_t start, vaddr_t end);

/* For the cut (mm/harvest.c); all => the machine stands still.
 * What the processors noted as written since the last time goes to the frames. */
struct harvest {
	struct pmap *pmap;   /* that is looked at */
	u64 tables, entries; /* looked at */
	/* The frame was; true: it is not to be written through this entry any more. */
	bool (*written)(struct harvest *h, struct frame *f);
};
/* Before all that follows. */
void pmap_harvest_begin(struct pmap *p);
void pmap_harvest(struct pmap *p, struct harvest *h);
/* Takes the right to write from the pages va + i * PAGE_SIZE for each i in the set of a group, as
 * far as they lie in [start, end). */
void pmap_shield(struct pmap *p, vaddr_t va, const u64 *set, vaddr_t start, vaddr_t end);
/* Makes every core follow all of it (tlb.c). */
void pmap_harvested(struct pmap *p);

/* Makes p this core's address space: when a user thread is switched in. NULL, when it is switched
 * out: what is loaded stays, but flushes are not waited for any more; cheap when the next thread is
 * of the same p. Takes no lock and allocates nothing. => interrupts off */
void pmap_activate(struct pmap *p);
/* IPI_TLB's part; also called by cores that spin for a lock. */
void pmap_serve_shootdown(void);
/* Every core that runs p has passed a serialising instruction when this returns (membarrier). */
void pmap_barrier(struct pmap *p);
/* Whether the translation allows `access` now (for spurious faults). */
bool pmap_allows(struct pmap *p, vaddr_t va, unsigned access);

/* Between pmap.c and tlb.c: makes this cluster's root, 0 when out of memory or retired; and the
 * flush of [start, end), on all cores that have p loaded when a table goes away, else on the active
 * ones.
 * => the frames and tables must stay until it returns; no lock but the object's held */
paddr_t pmap_root(struct pmap *p);
void pmap_flush(struct pmap *p, vaddr_t start, vaddr_t end, bool everywhere);
void pmap_leave_all(struct pmap *p);

/* Maps device registers, uncacheable; the mapping stays for ever. NULL: out of memory. */
volatile void *mmio_map(paddr_t paddr, size_t size);

#endif
