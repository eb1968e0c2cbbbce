/*
 * The bookkeeping of one split virtqueue (virtio 1.2, 2.7): pure code over three rings in memory
 * that a device reads and writes. Nothing the device writes is trusted: used ids, lengths and
 * indexes are checked against a private copy of what was handed out, and a device that breaks the
 * rules makes the queue `broken`, after which it gives nothing more.
 *
 * One owner at a time: the caller serialises all calls on a queue, but for virtqueue_cb_off.
 */
#ifndef LIB_VIRTQUEUE_H
#define LIB_VIRTQUEUE_H

#include "lib/types.h"

struct vring_desc_k {
	u64 addr;
	u32 len;
	u16 flags;
	u16 next;
};

struct vring_used_elem_k {
	u32 id;
	u32 len;
};

_Static_assert(sizeof(struct vring_desc_k) == 16, "virtio 1.2, 2.7.5");
_Static_assert(sizeof(struct vring_used_elem_k) == 8, "virtio 1.2, 2.7.8");

#define VQ_DESC_NEXT	 1u
#define VQ_DESC_WRITE	 2u
#define VQ_DESC_INDIRECT 4u

struct vq_slot {      /* what we know of a descriptor */
	void *cookie; /* of the chain that starts here; NULL: none */
	u32 in_bytes; /* what the device may write into it */
	u16 next;     /* in the chain or in the free list */
	u16 count;    /* ring descriptors of the chain */
};

struct vq_buf {
	u64 addr; /* as the device sees it */
	u32 len;
};

struct virtqueue {
	u16 size;	/* [I] a power of two */
	bool event_idx; /* [I] VIRTIO_F_EVENT_IDX was negotiated */
	bool broken;
	u16 free_head, free_count;
	u16 avail_idx;	  /* what we published */
	u16 kicked_idx;	  /* avail_idx at the last look whether to notify */
	u16 used_idx;	  /* what we consumed */
	u16 max_indirect; /* [I] entries of each descriptor's indirect table; 0: none */
	volatile struct vring_desc_k *desc;
	volatile u16 *avail;			/* flags, idx, ring[size], used_event */
	volatile u16 *used;			/* flags, idx, then elements, then avail_event */
	struct vq_slot *slot;			/* [size] private */
	volatile struct vring_desc_k *indirect; /* [size * max_indirect] */
	u64 indirect_addr;			/* as the device sees it */
};

/* Where the rings lie in one block: `align` is 4096 for legacy devices, 64 else. */
struct vq_layout {
	size_t avail, used, bytes;
};
struct vq_layout virtqueue_layout(u16 size, size_t align);

/* Ring memory must be zeroed. `slots` has room for `size` entries. */
void virtqueue_init(struct virtqueue *q, u16 size, void *mem, size_t align, struct vq_slot *slots);
/* Gives every descriptor an indirect table of `each` entries; mem holds size * each. */
void virtqueue_set_indirect(struct virtqueue *q, u16 each, void *mem, u64 addr);

/* Makes nout readable, then nin writable buffers available under `cookie` (not NULL). 0; -ENOSPC
 * when there are too few free descriptors; -EINVAL; -EIO when the queue is broken. */
int __must_check virtqueue_add(struct virtqueue *q, const struct vq_buf *bufs, unsigned nout,
			       unsigned nin, void *cookie);
/* The next chain that the device is done with: its cookie, *len what the device says it wrote (at
 * most what it could write). NULL: none, or broken. */
void *virtqueue_get(struct virtqueue *q, u32 *len);
/* Whether virtqueue_get would give something. */
bool virtqueue_pending(const struct virtqueue *q);
/* Whether the device wants to hear of what was added since this was last asked. */
bool virtqueue_need_kick(struct virtqueue *q);
/* Asks for no interrupts (a hint), and for the next one. The latter returns whether something is
 * pending already, for which no interrupt may come. */
void virtqueue_cb_off(struct virtqueue *q);
bool virtqueue_cb_on(struct virtqueue *q);
/* Asks for an interrupt only when about 3/4 of what is outstanding is done. */
bool virtqueue_cb_on_delayed(struct virtqueue *q);
/* Takes back the cookies of all outstanding chains, one a call, after the device was reset. */
void *virtqueue_detach(struct virtqueue *q);

#endif
