/*
 * Physical page frames: one struct frame each, and a buddy allocator per cluster.
 *
 * A frame comes from the calling core's cluster while that has memory, else from the nearest one by
 * SLIT (counted), and goes home when freed. Small per-core caches take the lock off the fast path.
 * refs counts owners: an object's slot, a copy-on-write sharer, a kernel user, a page in flight.
 */
#ifndef MM_FRAME_H
#define MM_FRAME_H

#include "arch/layout.h"
#include "lib/atomic.h"
#include "lib/list.h"
#include "lib/types.h"

#define FRAME_MAX_ORDER 10 /* 4 MiB */

#define FF_RESERVED 1u /* never given out: firmware, kernel image */
#define FF_IMAGE    2u /* part of the root image: used in place, read-only */
#define FF_SLAB	    4u
#define FF_DIRTY    8u /* written since the last checkpoint through a mapping that is gone, or by the kernel */
#define FF_FREE	    16u
#define FF_PINNED   32u

struct frame {
	struct refcount refs; /* [a] */
	u16 flags;	      /* [a] */
	u8 order;	      /* [alloc] of the free or allocated block, in its first frame */
	u8 cxy;		      /* [I] home cluster */
	union {
		struct list link; /* free list */
		struct {
			void *owner; /* slab, object: whoever allocated it */
			u64 index;
		};
	};
	u64 private;
};

_Static_assert(sizeof(struct frame) == 32, "struct frame is 32 bytes");

#define FRAME_ZERO     1u /* zeroed */
#define FRAME_LOCAL    2u /* from this cluster or not at all */
#define FRAME_RESERVE  4u /* may dip into the kernel's emergency reserve */

void frame_init_cluster(void); /* each cluster's first core, in D3 */

/* 2^order frames, aligned to their size, each with refs 1. NULL when there is none. Never sleeps. */
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

/* Whole frames as zeroed kernel memory; NULL when there is none. */
void *page_alloc(void);
void page_free(void *page);

struct memory_info {
	u64 total, free, reserved, cached, anonymous, slab, kernel_stacks, page_tables; /* pages */
};
void memory_info(struct memory_info *out);
/* For one cluster (/sys/devices/system/node/nodeN/meminfo). */
void memory_info_cluster(unsigned cxy, struct memory_info *out);

#endif
