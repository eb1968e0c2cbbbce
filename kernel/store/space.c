/*
 * Which blocks are free: a count of holders for each, in chunks that are items of the tree and are
 * loaded when first looked at. Blocks are given out from a cursor on, so that a record and what it
 * describes lie in one run where the disk has one; it stays where the disk was written before.
 */
#include "store/impl.h"

#define TURN_USED  2u	/* so many times of what is used was written before, */
#define TURN_LEAST 256u /* and so many blocks: the cursor turns back */

int
space_init(struct store *s)
{
	struct space *sp = &s->space;

	sp->chunks = DIV_ROUND_UP(s->super.blocks, MAP_BLOCKS);
	sp->chunk = store_zalloc(s, sp->chunks * sizeof(*sp->chunk));
	sp->cursor = s->super.base.next[0] + 1;
	sp->top = sp->cursor;
	sp->free = s->super.blocks - STORE_DATA_FIRST - s->super.base.used;
	return sp->chunk ? 0 : -ENOMEM;
}

void
space_free(struct store *s)
{
	for (u64 i = 0; s->space.chunk && i < s->space.chunks; i++)
		if (s->space.chunk[i].count)
			s->ops->free(s->space.chunk[i].count);
	if (s->space.chunk)
		s->ops->free(s->space.chunk);
}

/* Only a base changes the map's items, and it loads every chunk that it changes: what is not in
 * memory is as the committed tree says. */
static int
chunk_load(struct store *s, u64 i)
{
	struct store_item item;
	u8 *count = store_zalloc(s, MAP_BLOCKS);
	int err;

	if (!count)
		return -ENOMEM;
	err = btree_next(s, s->root, STORE_OID_MAP, i, &item);
	if (err == 0 && item.oid == STORE_OID_MAP && item.idx == i)
		err = item.length == MAP_BLOCKS ? item_read(s, &item, count) : -EBADMSG;
	if (err && err != -ENOENT) {
		s->ops->free(count);
		return err;
	}
	s->space.chunk[i].count = count;
	return 0;
}

int
space_count(struct store *s, u64 block, u8 **count)
{
	u64 i = block / MAP_BLOCKS;
	int err = 0;

	assert(block >= STORE_DATA_FIRST && block < s->super.blocks);
	if (!s->space.chunk[i].count)
		err = chunk_load(s, i);
	if (err)
		return err;
	*count = &s->space.chunk[i].count[block % MAP_BLOCKS];
	return 0;
}

int
space_hold(struct store *s, u64 block)
{
	u8 *count;
	int err = space_count(s, block, &count);

	if (err)
		return err;
	if (*count == BLOCK_HOLDS_MAX || (*count == 0 && s->space.free == 0))
		return -EBADMSG;
	if (++*count == 1)
		s->space.free--;
	s->space.chunk[block / MAP_BLOCKS].dirty = true;
	return 0;
}

void
space_drop(struct store *s, u64 block)
{
	u8 *count = &s->space.chunk[block / MAP_BLOCKS].count[block % MAP_BLOCKS];

	if (*count == 0)
		s->failed = -EBADMSG; /* the map was wrong: write no more by it */
	else if (--*count == 0)
		s->space.free++;
}

int
space_is_free(struct store *s, u64 block, bool *free)
{
	const struct run *fresh = &s->space.fresh;
	u8 *count;
	int err = space_count(s, block, &count);

	*free = !err && *count == 0 && block - fresh->at >= fresh->blocks;
	return err;
}

int
space_take(struct store *s, u64 block, bool *free)
{
	const struct run *fresh = &s->space.fresh;
	u8 *count;
	int err = space_count(s, block, &count);

	*free = !err && *count == 0 && block - fresh->at >= fresh->blocks;
	if (err || !*free)
		return err;
	if (s->space.free == 0)
		return -EBADMSG;
	err = vec_push(s, &s->tx.given, block);
	if (err)
		return err;
	*count = 1;
	s->space.free--;
	s->space.chunk[block / MAP_BLOCKS].dirty = true;
	return 0;
}

/* Where to look next: from the beginning, when most of what was written before is free again. So a
 * disk that is a file stays within some times what is in it, and a flush has little new room to
 * make durable; and what is free there is mostly free in long runs. */
static void
turn_back(struct store *s)
{
	struct space *sp = &s->space;
	u64 used = s->super.blocks - STORE_DATA_FIRST - sp->free;

	if (sp->cursor >= sp->top &&
	    sp->top > STORE_DATA_FIRST + max((u64)TURN_LEAST, TURN_USED * used))
		sp->cursor = STORE_DATA_FIRST;
}

/* How many blocks from here on are surely held, by words of the counts: what never changes lies in
 * long runs, and the cursor comes by again and again. */
static u64
held_words(const struct space *sp, u64 block)
{
	typedef u64 __attribute__((may_alias)) word;
	const u8 *count = sp->chunk[block / MAP_BLOCKS].count;
	u64 first = block % MAP_BLOCKS, at = first;

	if (!count || first % sizeof(word) != 0)
		return 0;
	for (; at < MAP_BLOCKS; at += sizeof(word)) {
		word w = *(const word *)&count[at];

		if ((w - 0x0101010101010101) & ~w & 0x8080808080808080) /* a byte of it is 0 */
			break;
	}
	return at - first;
}

int
space_alloc(struct store *s, u64 *block)
{
	struct space *sp = &s->space;
	u64 span = s->super.blocks - STORE_DATA_FIRST, held;
	bool free = false;
	int err;

	if (sp->free == 0)
		return -ENOSPC;
	turn_back(s);
	for (u64 n = 0; n < span; n++, sp->cursor++) {
		if (sp->cursor < STORE_DATA_FIRST || sp->cursor >= s->super.blocks)
			sp->cursor = STORE_DATA_FIRST;
		held = held_words(sp, sp->cursor);
		if (held > 0) {
			n += held - 1;
			sp->cursor += held - 1;
			continue;
		}
		err = space_take(s, sp->cursor, &free);
		if (err)
			return err;
		if (free)
			break;
	}
	if (!free)
		return -ENOSPC;
	*block = sp->cursor++;
	sp->top = max(sp->top, sp->cursor);
	return 0;
}

/* Its chunk is in memory and will be written, so that dropping it later cannot fail. */
int
space_dying(struct store *s, struct vec *v, u64 block)
{
	u8 *count;
	int err = space_count(s, block, &count);

	if (err)
		return err;
	if (*count == 0)
		return -EBADMSG;
	s->space.chunk[block / MAP_BLOCKS].dirty = true;
	return vec_push(s, v, block);
}

/* What only a base, and up to its half an epoch that frees more than it takes, may use. */
u64
space_reserve(const struct store *s)
{
	u64 part = (s->super.blocks - STORE_DATA_FIRST) / 32;

	return min(part, (u64)4096) + 16;
}

/* What is free or will be, but for the reserve. What is dying is counted by holders: a little more
 * than there is. */
u64
space_room(const struct store *s)
{
	u64 sum = s->space.free + (s->pending.n - s->pending_head) / 2, kept = space_reserve(s);

	return sum > kept ? sum - kept : 0;
}

void
space_mature(struct store *s)
{
	struct vec *p = &s->pending;
	struct run freed = {0};

	while (s->pending_head < p->n && *vec_at(p, s->pending_head + 1) <= s->horizon) {
		u64 block = *vec_at(p, s->pending_head), before = s->space.free;

		space_drop(s, block);
		s->pending_head += 2;
		if (s->space.free == before)
			continue;
		if (block != freed.at + freed.blocks) {
			reuse_note(&s->space, freed);
			freed = (struct run){.at = block};
		}
		freed.blocks++;
	}
	reuse_note(&s->space, freed);
	if (s->pending_head > p->n / 2) {
		vec_drop(s, p, s->pending_head);
		s->pending_head = 0;
	}
}
