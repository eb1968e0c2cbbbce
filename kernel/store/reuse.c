/*
 * Where the epochs of a few pages go: to blocks that were written before, if there are some side by
 * side. Under a disk that is a file, or one that is given its room as it is written, a flush that
 * also has to make new room durable takes twice as long; and such a disk stays as small as what is
 * in it. (Databases recycle the segments of their logs for the same reason.)
 *
 * Payload goes where older epochs have been let go. Heads and descriptors stay until the next base,
 * and would leave a hole in every such place: they have blocks of their own, which are cleared
 * ahead, behind a commit, many at once. Payload that finds no place takes of these, too.
 *
 * All that is noted here are hints: what is taken is free by the counts, or the cursor looks for
 * another. But for `fresh`: the disk may still be clearing these, so nobody takes them before a
 * flush. Nothing of this is on the disk.
 */
#include "store/impl.h"

#define FRESH_BLOCKS 256u /* cleared at once, where payload finds no place, */
#define META_BLOCKS  64u  /* and where heads and descriptors lack some */
#define META_LOW     2u	  /* then: the next epoch still has one */
#define CLEAR_BLOCKS 16u  /* from one buffer */

/* Blocks came free. What is freed together was written together. */
void
reuse_note(struct space *sp, struct run freed)
{
	struct run *least = &sp->run[0];

	if (freed.blocks == 0)
		return;
	for (struct run *r = &sp->run[0]; r < &sp->run[REUSE_RUNS]; r++) {
		if (r->at + r->blocks == freed.at || freed.at + freed.blocks == r->at) {
			r->at = min(r->at, freed.at);
			r->blocks += freed.blocks;
			return;
		}
		if (r->blocks < least->blocks)
			least = r;
	}
	if (freed.blocks > least->blocks)
		*least = freed;
}

/* The shortest run that has so many. NULL: none */
static struct run *
run_find(struct space *sp, u64 blocks)
{
	struct run *best = NULL;

	for (unsigned i = 0; i < REUSE_RUNS; i++) {
		struct run *r = &sp->run[i];

		if (r->blocks >= blocks && (!best || r->blocks < best->blocks))
			best = r;
	}
	return best;
}

/* An epoch of so many blocks of payload is going to be placed. */
void
reuse_begin(struct space *sp, u64 payload)
{
	struct run *r;

	reuse_note(sp, sp->body);
	sp->body.blocks = 0;
	r = payload > 0 ? run_find(sp, payload) : NULL;
	if (!r)
		return;
	sp->body = (struct run){r->at, payload};
	r->at += payload;
	r->blocks -= payload;
}

int
reuse_alloc(struct store *s, struct run *from, u64 *block)
{
	while (from && from->blocks > 0) {
		bool free;
		int err = space_take(s, from->at, &free);

		if (err)
			return err;
		*block = from->at++;
		from->blocks--;
		if (free)
			return 0;
	}
	return space_alloc(s, block);
}

/* How many blocks lie free behind the cursor, about `want` at most; 0: not even half of that. */
static u64
free_ahead(struct store *s, u64 want)
{
	struct space *sp = &s->space;
	u64 span = s->super.blocks - STORE_DATA_FIRST, n = 0, most = min(span / 32, want);
	bool free = true;

	if (sp->free < span / 4 || sp->cursor < STORE_DATA_FIRST)
		return 0;
	while (n < most && sp->cursor + n < s->super.blocks) {
		if (space_is_free(s, sp->cursor + n, &free) || !free)
			break;
		n++;
	}
	return n < most / 2 ? 0 : n;
}

/* Behind the commit of such an epoch: begins to clear blocks, if the next one will lack some. What
 * goes wrong with that the next flush tells, or it is tried again. */
void
reuse_prepare(struct store *s, u64 payload)
{
	struct space *sp = &s->space;
	struct store_seg seg[FRESH_BLOCKS / CLEAR_BLOCKS];
	u64 blocks = 0, left;
	u32 segs = 0;
	void *zero;

	if (!run_find(sp, payload))
		blocks = FRESH_BLOCKS;
	else if (sp->meta.blocks < META_LOW)
		blocks = META_BLOCKS;
	if (blocks > 0)
		blocks = sp->fresh.blocks ? 0 : free_ahead(s, blocks);
	if (blocks == 0 || vec_room(s, &s->base_bufs, 1))
		return;
	zero = store_zalloc(s, (size_t)CLEAR_BLOCKS * STORE_BLOCK);
	if (!zero)
		return;
	vec_add(&s->base_bufs, (u64)zero);
	for (left = blocks; left > 0; left -= seg[segs++].blocks)
		seg[segs] = (struct store_seg){zero, (u32)min(left, CLEAR_BLOCKS)};
	sp->fresh = (struct run){sp->cursor, blocks};
	sp->cursor += blocks;
	sp->top = max(sp->top, sp->cursor);
	(void)s->ops->write(s->dev, sp->fresh.at, seg, segs);
}

/* A flush succeeded. */
void
reuse_cleared(struct space *sp)
{
	if (sp->fresh.blocks > 0 && sp->meta.blocks < META_LOW) {
		sp->meta = (struct run){sp->fresh.at, min(sp->fresh.blocks, META_BLOCKS)};
		sp->fresh.at += sp->meta.blocks;
		sp->fresh.blocks -= sp->meta.blocks;
	}
	reuse_note(sp, sp->fresh);
	sp->fresh.blocks = 0;
}
