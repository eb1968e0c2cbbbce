/*
 * Buddy system (Knuth, volume 1, 2.5). A free block is on the list of its order by its first frame,
 * which alone carries FF_FREE and the order. A buddy is merged when it is free, of the same order
 * and of the same cluster, so blocks never cross into memory that was not given to this buddy.
 */
#include "lib/assert.h"
#include "mm/buddy.h"

void
buddy_init(struct buddy *b, struct frame *base, u8 cxy)
{
	for (unsigned i = 0; i <= FRAME_MAX_ORDER; i++)
		list_init(&b->free[i]);
	b->nfree = 0;
	b->base = base;
	b->cxy = cxy;
}

static void
block_put(struct buddy *b, struct frame *f, unsigned order)
{
	f->order = order;
	f->flags |= FF_FREE;
	list_add(&b->free[order], &f->link);
}

static void
block_take(struct frame *f)
{
	list_del(&f->link);
	f->flags &= ~FF_FREE;
}

struct frame *
buddy_alloc(struct buddy *b, unsigned order)
{
	struct frame *f;
	unsigned have = order;

	while (have <= FRAME_MAX_ORDER && list_empty(&b->free[have]))
		have++;
	if (have > FRAME_MAX_ORDER)
		return NULL;
	f = list_first(&b->free[have], struct frame, link);
	block_take(f);
	while (have > order) {
		have--;
		block_put(b, f + (1UL << have), have);
	}
	f->order = order;
	b->nfree -= 1UL << order;
	return f;
}

void
buddy_free(struct buddy *b, struct frame *f, unsigned order)
{
	u64 number = f - b->base;

	assert(!(f->flags & (FF_FREE | FF_RESERVED)) && f->cxy == b->cxy);
	b->nfree += 1UL << order;
	while (order < FRAME_MAX_ORDER) {
		struct frame *other = b->base + (number ^ (1UL << order));

		if (other->cxy != b->cxy || !(other->flags & FF_FREE) || other->order != order)
			break;
		block_take(other);
		number &= ~(1UL << order);
		order++;
	}
	block_put(b, b->base + number, order);
}

void
buddy_add(struct buddy *b, u64 first, u64 n)
{
	while (n > 0) {
		unsigned order = FRAME_MAX_ORDER;

		while (first & ((1UL << order) - 1) || 1UL << order > n)
			order--;
		buddy_free(b, b->base + first, order);
		first += 1UL << order;
		n -= 1UL << order;
	}
}
