/*
 * Physical page frames: one struct frame each, and a buddy allocator per cluster.
 *
 * A frame comes from the calling core's cluster while that has memory, else from the nearest one by
 * SLIT (counted), and goes home when freed. Small per-core caches take the lock off the fast path.
 * refs counts owners: an object's slot, a copy-on-write sharer, a kernel user, a page in flight.
 *
 * No free frame holds code that ran. An emulator that translates code watches the pages it came
 * from, and QEMU's TCG makes every write to such a page slow until what was translated is written
 * over: a kernel stack there is slow for ever, by a factor of a hundred.
 */
#ifndef MM_FRAME_H
#define MM_FRAME_H

#include "arch/layout.h"
#include "lib/atomic.h"
#include "lib/list.h"
#include "lib/types.h"
#include "mm/kasan.h"

#define FRAME_MAX_ORDER 10 /* 4 MiB */

#define FF_RESERVED 1u /* never given out: firmware, kernel image */
#define FF_IMAGE    2u /* part of the root image: used in place, read-only */
#define FF_SLAB	    4u
#define FF_DIRTY                                                                                   \
	8u /* written since the last checkpoint through a mapping that is gone, or by the kernel   \
	    */
#define FF_FREE	  16u
#define FF_PINNED 32u
#define FF_ANON	  64u	/* counted as FRAME_USE_ANON until it is freed */
#define FF_CACHE  128u	/* counted as FRAME_USE_CACHE until it is freed */
#define FF_TABLE  256u	/* a page table, kernel's or user's */
#define FF_KERNEL 512u	/* the kernel's own: stacks, large objects, tree nodes, rings, pipes */
#define FF_FLIGHT 1024u /* on its way to the disk: not to be written (mm/cut.h) */
#define FF_CODE	  2048u /* was mapped for execution: overwritten when it is freed */
#define FF_HOT                                                                                     \
	4096u /* was written when its page was on its way to the disk: a cut may take a copy of it \
		 (mm/flight.c) */
#define FF_USED 8192u /* a file's: was read or written since mm/reclaim.c looked at it */

struct frame {
	struct refcount refs; /* [a] */
	u16 flags;	      /* [a] */
	u8 order;	      /* [alloc] of the free or allocated block, in its first frame */
	u8 cxy;		      /* [I] home cluster */
	union {
		struct list link; /* free list */
		struct {
			void *owner; /* of an object's frame: its struct home_group (mm/home.h) */
			u64 index;   /* and which page of that it is */
		};
	};
	u64 private;
	struct frame_poison poison; /* [a] empty but with SAN=1 */
};

_Static_assert(sizeof(struct frame) == 32 + sizeof(struct frame_poison), "32 bytes a frame");

#define FRAME_ZERO    1u /* zeroed */
#define FRAME_LOCAL   2u /* from this cluster or not at all */
#define FRAME_RESERVE 4u /* may dip into the kernel's emergency reserve */
#define FRAME_KERNEL  8u /* the kernel's own: FF_KERNEL */

/* Maps the cluster's part of FRAMES, closes bootmem and takes the free memory over.
 * => each cluster's first core, in D3, after which every allocation of mm/ works */
void frame_init_cluster(void);
/* Gives memory of this machine that was reserved at boot to the allocator (whole pages). Boot code
 * in it is the caller's to overwrite. */
void frame_release_range(paddr_t start, u64 size);

/* 2^order frames, aligned to their size, each with refs 1. NULL when there is none. Never sleeps.
 */
struct frame *frame_alloc(unsigned order, unsigned how);
/* The same on a given cluster first. */
struct frame *frame_alloc_on(unsigned cxy, unsigned order, unsigned how);
/* Frees a block that was allocated with this order (refs of the first frame must be 1 or 0). */
void frame_free(struct frame *f, unsigned order);
/* After frame_alloc(order > 0): turns the block into single frames, each freed by itself. */
void frame_split(struct frame *f, unsigned order);

static inline void
frame_get(struct frame *f)
{
	refcount_get(&f->refs);
}

/* Drops a reference of a single frame; the last one frees it. */
void frame_put(struct frame *f);

static inline struct frame *
frame_of_paddr(paddr_t p)
{
	return (struct frame *)FRAMES_BASE + (p >> PAGE_SHIFT);
}

static inline paddr_t
frame_paddr(const struct frame *f)
{
	return (paddr_t)(f - (const struct frame *)FRAMES_BASE) << PAGE_SHIFT;
}

static inline void *
frame_virt(const struct frame *f)
{
	return phys_to_virt(frame_paddr(f));
}

static inline struct frame *
frame_of_virt(const void *v)
{
	return frame_of_paddr(virt_to_phys(v));
}

/* Page-sized fills and copies, unrolled: dear under emulation. */
void page_zero(void *page);
void pages_zero(void *first, u64 count);
void page_copy(void *to, const void *from);

/* Whole frames as zeroed kernel memory; NULL when there is none. */
void *page_alloc(void);
void page_free(void *page);

/* What frames are used for, counted in the cluster they come from. */
enum frame_use {
	FRAME_USE_SLAB,
	FRAME_USE_KSTACK,
	FRAME_USE_TABLE,
	FRAME_USE_ANON,
	FRAME_USE_CACHE,
	FRAME_USES,
};
void frame_account(const struct frame *f, enum frame_use use, s64 pages);
/* Free pages of the machine, and all it has; both cheap and slightly out of date. */
u64 frame_free_pages(void);
u64 frame_total_pages(void);
u64 frame_cached_pages(void); /* of files, but for what lies in the root image */

/* Whether a cluster has hardly a frame left but for the kernel's reserve. */
bool frame_is_short(unsigned cxy);
/* Whether `p` is memory of this machine, so that it has a struct frame. */
bool frame_exists(paddr_t p);

/* The state of one cluster's frames, while the machine stands still: how many are on the buddy's
 * lists and in caches. `cached` is called for each frame in a core's cache. */
u64 frame_walk_free(unsigned cxy, void (*cached)(const struct frame *f, void *arg), void *arg);
/* The cluster's ranges of RAM as page numbers [first, end); how many ranges there are. */
unsigned frame_range(unsigned cxy, unsigned i, u64 *first, u64 *end);

struct memory_info {
	u64 total, free, reserved, cached, anonymous, slab, kernel_stacks, page_tables; /* pages */
};
void memory_info(struct memory_info *out);
/* For one cluster (/sys/devices/system/node/nodeN/meminfo). */
void memory_info_cluster(unsigned cxy, struct memory_info *out);

#endif
