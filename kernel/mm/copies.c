/*
 * Copying pages at a cut: see copies.h. The commit wants their hashes, which cost least while what
 * was copied is near.
 *
 * Their frames are taken many at a time, side by side: what lies so goes to the disk as one piece
 * of memory, and an emulated disk looks at each piece. They stay one block and are freed as that:
 * single ones would come to lie between pages that stay, and the next cut take others.
 *
 * One core adds to the list, at `n`; `ready` of them may be taken by any core, a piece at a time,
 * which moves `taken`. Where the frames lie is not looked at: a core that is near is as likely to
 * sleep as any.
 *
 * Locks: none, the machine stands still.
 */
#include "lib/assert.h"
#include "lib/atomic.h"
#include "lib/hash.h"
#include "mm/copies.h"
#include "mm/slab.h"

#define PIECE	   8
#define ROOM_ORDER 5 /* frames that are taken at a time, as a power of two; else one */

struct copies {
	u32 n;	   /* [c] */
	u32 ready; /* [a] */
	u32 taken; /* [a] */
	u32 left;  /* [c] frames at `room` */
	struct frame *room;
	struct frame *blocks; /* [c] the first frame of each, by its owner */
	struct frame *copy[COPIES_MAX];
};

unsigned
copies_make(struct copies *w)
{
	u32 at = atomic_load(&w->taken), end = min(atomic_load(&w->ready), at + PIECE);

	if (at >= end || !atomic_cas(&w->taken, at, end))
		return 0;
	for (u32 i = at; i < end; i++) {
		void *to = frame_virt(w->copy[i]);
		const void *from = frame_virt(copies_source(w->copy[i]));

		w->copy[i]->index = hash64_copy(to, from, PAGE_SIZE);
	}
	return end - at;
}

struct copies *
copies_create(void)
{
	struct copies *w = kmalloc(sizeof(*w));

	if (w == NULL)
		return NULL;
	w->n = w->ready = w->taken = w->left = 0;
	w->blocks = NULL;
	return w;
}

void
copies_free(struct copies *w)
{
	while (w != NULL && w->blocks != NULL) {
		struct frame *f = w->blocks;

		w->blocks = f->owner;
		frame_free(f, f->order);
	}
	kfree(w);
}

/* False: out of memory. */
static bool
add_block(struct copies *w)
{
	unsigned order = ROOM_ORDER;
	struct frame *f = frame_alloc(order, FRAME_KERNEL | FRAME_LOCAL);

	if (f == NULL) {
		order = 0;
		f = frame_alloc(order, FRAME_KERNEL);
	}
	if (f == NULL)
		return false;
	f->owner = w->blocks;
	w->blocks = w->room = f;
	w->left = 1u << order;
	return true;
}

struct frame *
copies_frame(struct copies *w)
{
	if (w->left == 0 && !add_block(w))
		return NULL;
	w->left--;
	return w->room++;
}

void
copies_add(struct copies *w, struct frame *copy, struct frame *f)
{
	assert(w->n < COPIES_MAX);
	copy->private = (u64)f;
	w->copy[w->n++] = copy;
	if (w->n % PIECE == 0)
		atomic_store(&w->ready, w->n);
}

unsigned
copies_end(struct copies *w)
{
	unsigned own = 0;

	atomic_store(&w->ready, w->n);
	while (atomic_load(&w->taken) < w->n)
		own += copies_make(w);
	return w->n - own;
}
