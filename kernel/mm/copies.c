/*
 * Copying pages at a cut: see copies.h. The commit wants their hashes, which cost least while what
 * was copied is near.
 *
 * Their frames are taken many at a time, side by side: what lies so goes to the disk as one piece
 * of memory, and an emulated disk looks at each piece.
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
#define ROOM_ORDER 5 /* frames that are taken at a time, as a power of two */

struct copies {
	u32 n;	   /* [c] */
	u32 ready; /* [a] */
	u32 taken; /* [a] */
	u32 left;  /* [c] frames at `room` */
	struct frame *room;
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

	if (w != NULL)
		w->n = w->ready = w->taken = w->left = 0;
	return w;
}

void
copies_free(struct copies *w)
{
	for (; w != NULL && w->left > 0; w->left--)
		frame_put(w->room++);
	kfree(w);
}

struct frame *
copies_frame(struct copies *w)
{
	if (w->left == 0) {
		w->room = frame_alloc(ROOM_ORDER, FRAME_KERNEL | FRAME_LOCAL);
		if (w->room == NULL)
			return frame_alloc(0, FRAME_KERNEL);
		frame_split(w->room, ROOM_ORDER);
		w->left = 1u << ROOM_ORDER;
	}
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
