/* See virtqueue.h. Ordering is that of x86: stores are seen in order, a full fence where a store
 * must be seen before a later load (kick and interrupt suppression, virtio 1.2, 2.7.13 and 2.7.14).
 */
#include <asm/errno.h>
#include "lib/atomic.h"
#include "lib/virtqueue.h"

#define AVAIL_NO_INTERRUPT 1u
#define USED_NO_NOTIFY	   1u

struct vq_layout
virtqueue_layout(u16 size, size_t align)
{
	struct vq_layout l;

	l.avail = sizeof(struct vring_desc_k) * size;
	l.used = ALIGN_UP(l.avail + 2u * (3u + size), align);
	l.bytes = l.used + 6 + sizeof(struct vring_used_elem_k) * size;
	return l;
}

void
virtqueue_init(struct virtqueue *q, u16 size, void *mem, size_t align, struct vq_slot *slots)
{
	struct vq_layout l = virtqueue_layout(size, align);

	*q = (struct virtqueue){.size = size, .free_count = size, .slot = slots};
	q->desc = mem;
	q->avail = (volatile u16 *)((char *)mem + l.avail);
	q->used = (volatile u16 *)((char *)mem + l.used);
	for (u16 i = 0; i < size; i++)
		slots[i] = (struct vq_slot){.next = (u16)(i + 1)};
}

void
virtqueue_set_indirect(struct virtqueue *q, u16 each, void *mem, u64 addr)
{
	q->max_indirect = each;
	q->indirect = mem;
	q->indirect_addr = addr;
}

static volatile u16 *
used_event(struct virtqueue *q)
{
	return &q->avail[2 + q->size];
}

static u16
avail_event(const struct virtqueue *q)
{
	return q->used[2 + q->size * 4];
}

static void
desc_set(volatile struct vring_desc_k *d, const struct vq_buf *b, unsigned flags, u16 next)
{
	d->addr = b->addr;
	d->len = b->len;
	d->flags = (u16)flags;
	d->next = next;
}

/* One ring descriptor that names a table of the others. */
static void
add_indirect(struct virtqueue *q, u16 head, const struct vq_buf *bufs, unsigned nout, unsigned n)
{
	volatile struct vring_desc_k *t = &q->indirect[(size_t)head * q->max_indirect];
	struct vq_buf table = {.addr = q->indirect_addr + (u64)head * q->max_indirect * sizeof(*t),
			       .len = n * sizeof(*t)};

	for (unsigned i = 0; i < n; i++)
		desc_set(&t[i], &bufs[i],
			 (i < nout ? 0 : VQ_DESC_WRITE) | (i + 1 < n ? VQ_DESC_NEXT : 0),
			 (u16)(i + 1));
	desc_set(&q->desc[head], &table, VQ_DESC_INDIRECT, 0);
}

static void
add_direct(struct virtqueue *q, u16 head, const struct vq_buf *bufs, unsigned nout, unsigned n)
{
	u16 at = head;

	for (unsigned i = 0; i < n; i++) {
		desc_set(&q->desc[at], &bufs[i],
			 (i < nout ? 0 : VQ_DESC_WRITE) | (i + 1 < n ? VQ_DESC_NEXT : 0),
			 q->slot[at].next);
		at = q->slot[at].next;
	}
}

int
virtqueue_add(struct virtqueue *q, const struct vq_buf *bufs, unsigned nout, unsigned nin,
	      void *cookie)
{
	unsigned n = nout + nin;
	bool indirect = n > 1 && n <= q->max_indirect;
	u16 count = indirect ? 1 : (u16)n;
	u16 head = q->free_head, last = head;
	u32 in_bytes = 0;

	if (q->broken)
		return -EIO;
	if (n == 0 || n > q->size || !cookie)
		return -EINVAL;
	if (count > q->free_count)
		return -ENOSPC;
	for (unsigned i = nout; i < n; i++)
		in_bytes += bufs[i].len;
	if (indirect)
		add_indirect(q, head, bufs, nout, n);
	else
		add_direct(q, head, bufs, nout, n);
	for (u16 i = 1; i < count; i++)
		last = q->slot[last].next;
	q->free_head = q->slot[last].next;
	q->free_count = (u16)(q->free_count - count);
	q->slot[head].cookie = cookie;
	q->slot[head].in_bytes = in_bytes;
	q->slot[head].count = count;
	q->avail[2 + (q->avail_idx & (q->size - 1))] = head;
	q->avail_idx++;
	atomic_store(&q->avail[1], q->avail_idx);
	return 0;
}

/* Puts the descriptors of the chain at `head` back on the free list; the chain's cookie. */
static void *
chain_free(struct virtqueue *q, u16 head)
{
	struct vq_slot *s = &q->slot[head];
	void *cookie = s->cookie;
	u16 last = head;

	for (u16 i = 1; i < s->count; i++)
		last = q->slot[last].next;
	q->slot[last].next = q->free_head;
	q->free_head = head;
	q->free_count = (u16)(q->free_count + s->count);
	s->cookie = NULL;
	return cookie;
}

bool
virtqueue_pending(const struct virtqueue *q)
{
	return !q->broken && atomic_load(&q->used[1]) != q->used_idx;
}

void *
virtqueue_get(struct virtqueue *q, u32 *len)
{
	volatile struct vring_used_elem_k *ring =
		(volatile struct vring_used_elem_k *)(volatile void *)&q->used[2];
	volatile struct vring_used_elem_k *e = &ring[q->used_idx & (q->size - 1)];
	u16 ahead;
	u32 id, n;

	if (q->broken)
		return NULL;
	ahead = (u16)(atomic_load(&q->used[1]) - q->used_idx);
	if (ahead == 0)
		return NULL;
	id = e->id;
	n = e->len;
	if (ahead > q->size || id >= q->size || !q->slot[id].cookie) {
		q->broken = true;
		return NULL;
	}
	q->used_idx++;
	*len = min(n, q->slot[id].in_bytes);
	return chain_free(q, (u16)id);
}

bool
virtqueue_need_kick(struct virtqueue *q)
{
	u16 old = q->kicked_idx, new = q->avail_idx;

	if (old == new)
		return false;
	q->kicked_idx = new;
	atomic_fence();
	if (q->event_idx)
		return (u16)(new - avail_event(q) - 1) < (u16)(new - old);
	return !(q->used[0] & USED_NO_NOTIFY);
}

void
virtqueue_cb_off(struct virtqueue *q)
{
	if (!q->event_idx)
		q->avail[0] = AVAIL_NO_INTERRUPT;
	else
		*used_event(q) = (u16)(q->used_idx - 1);
}

static bool
cb_at(struct virtqueue *q, u16 after)
{
	q->avail[0] = 0;
	if (q->event_idx)
		*used_event(q) = (u16)(q->used_idx + after);
	atomic_fence();
	return !q->broken && (u16)(q->used[1] - q->used_idx) > after;
}

bool
virtqueue_cb_on(struct virtqueue *q)
{
	return cb_at(q, 0);
}

bool
virtqueue_cb_on_delayed(struct virtqueue *q)
{
	u16 outstanding = (u16)(q->avail_idx - q->used_idx);

	return cb_at(q, (u16)(outstanding * 3 / 4));
}

void *
virtqueue_detach(struct virtqueue *q)
{
	q->broken = true;
	for (u16 i = 0; i < q->size; i++)
		if (q->slot[i].cookie)
			return chain_free(q, i);
	return NULL;
}
