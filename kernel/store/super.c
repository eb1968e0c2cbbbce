/*
 * Superblocks and marks: found, judged, written; making a store, and telling what a disk holds.
 * Also the small helpers for memory that the other files use.
 *
 * A superblock is written only after all that it leads to is durable, into the slot that its number
 * gives, which is never that of the last durable one; so whatever happens to that write, the others
 * still hold. Each try has a number of its own: a slot that takes no writes is passed over.
 */
#include "store/impl.h"

void *
store_zalloc(struct store *s, size_t size)
{
	void *p = s->ops->alloc(size);

	if (p)
		memset(p, 0, size);
	return p;
}

static int
more_pointers(struct store *s, struct vec *v)
{
	size_t room = v->room ? v->room * 2 : 16;
	u64 **p = s->ops->alloc(room * sizeof(*p));

	if (!p)
		return -ENOMEM;
	if (v->piece) {
		memcpy(p, v->piece, v->pieces * sizeof(*p));
		s->ops->free(v->piece);
	}
	v->piece = p;
	v->room = room;
	return 0;
}

int
vec_grow(struct store *s, struct vec *v, size_t more)
{
	while (v->n + more > v->pieces * VEC_PIECE) {
		u64 *p;

		if (v->pieces == v->room && more_pointers(s, v))
			return -ENOMEM;
		p = s->ops->alloc(VEC_PIECE * sizeof(*p));
		if (!p)
			return -ENOMEM;
		v->piece[v->pieces++] = p;
	}
	return 0;
}

void
vec_drop(struct store *s, struct vec *v, size_t n)
{
	v->n -= n;
	for (size_t i = 0; i < v->n; i++)
		*vec_at(v, i) = *vec_at(v, i + n);
	while (v->pieces > v->n / VEC_PIECE + 1)
		s->ops->free(v->piece[--v->pieces]);
}

void
vec_clear(struct store *s, struct vec *v)
{
	v->n = 0;
	while (v->pieces > VEC_KEEP)
		s->ops->free(v->piece[--v->pieces]);
}

void
vec_free(struct store *s, struct vec *v)
{
	for (size_t i = 0; i < v->pieces; i++)
		s->ops->free(v->piece[i]);
	if (v->piece)
		s->ops->free(v->piece);
	*v = (struct vec){0};
}

void *
store_buf(struct store *s, struct vec *owner)
{
	void *p = vec_room(s, owner, 1) ? NULL : store_zalloc(s, STORE_BLOCK);

	if (p)
		vec_add(owner, (u64)p);
	return p;
}

void
vec_free_bufs(struct store *s, struct vec *v)
{
	for (size_t i = 0; i < v->n; i++)
		s->ops->free((void *)*vec_at(v, i));
	vec_clear(s, v);
}

bool
extent_valid(u64 blocks, u64 block, u64 count)
{
	return block >= STORE_DATA_FIRST && block < blocks && count <= blocks - block;
}

void
super_seal(struct store_super *sb)
{
	sb->hash = hash128(sb, offsetof(struct store_super, hash));
}

u64
super_number(struct store *s)
{
	s->super_tried++;
	if (s->super_tried % STORE_SLOTS == s->super.seq % STORE_SLOTS)
		s->super_tried++;
	return s->super_tried;
}

static bool
super_valid(const struct store_super *sb)
{
	const struct store_base *b = &sb->base;

	return sb->magic == STORE_SUPER_MAGIC &&
	       hash128_equal(sb->hash, hash128(sb, offsetof(struct store_super, hash))) &&
	       sb->block_size == STORE_BLOCK && sb->blocks >= STORE_MIN_BLOCKS &&
	       sb->blocks <= STORE_MAX_BLOCKS && extent_valid(sb->blocks, b->next[0], 1) &&
	       extent_valid(sb->blocks, b->next[1], 1) && b->next[0] != b->next[1] &&
	       (b->root == 0 || extent_valid(sb->blocks, b->root, 1)) &&
	       b->root_level < STORE_HEIGHT && b->used <= sb->blocks - STORE_DATA_FIRST - 2;
}

/* => returns 0 and the best superblock, -ENODEV for none */
int
super_read(const struct store_ops *ops, void *dev, u64 blocks, struct store_super *out,
	   unsigned *copies)
{
	struct store_super *sb = ops->alloc(STORE_BLOCK);
	int found = -ENODEV, err = 0;

	if (!sb)
		return -ENOMEM;
	memset(out, 0, sizeof(*out));
	*copies = 0;
	for (unsigned i = 0; i < STORE_SLOTS && STORE_SLOT_BLOCK[i] < blocks; i++) {
		int e = ops->read(dev, STORE_SLOT_BLOCK[i], sb, 1);

		err = e ? e : err;
		if (e || !super_valid(sb))
			continue;
		found = 0;
		if (memcmp(&sb->base, &out->base, sizeof(sb->base)) == 0)
			++*copies;
		else if (sb->seq > out->seq)
			*copies = 1;
		if (sb->seq > out->seq)
			*out = *sb;
	}
	ops->free(sb);
	return found ? (err ? err : found) : 0;
}

/* An older store becomes one that only those open who know what it may hold from now on. It leads
 * to the same base. Two slots say so, each with a flush of its own, as any one may be lost.
 * => nothing that is new is being written yet */
int
super_upgrade(struct store *s)
{
	int err = 0;

	for (unsigned i = 0; i < 2 && !err; i++) {
		struct store_super *sb = store_buf(s, &s->tx.bufs);

		if (!sb)
			return -ENOMEM;
		*sb = s->super;
		sb->seq = super_number(s);
		sb->incompat |= STORE_INCOMPAT;
		super_seal(sb);
		err = out_put(s, STORE_SLOT_BLOCK[sb->seq % STORE_SLOTS], sb);
		if (!err)
			err = out_end(s);
		if (!err)
			err = s->ops->flush(s->dev);
		s->super.seq = err ? s->super.seq : sb->seq;
	}
	if (!err)
		s->super.incompat |= STORE_INCOMPAT;
	return err;
}

static struct hash128
mark_hash(const struct store_mark *m)
{
	return hash128(m, offsetof(struct store_mark, hash));
}

/* What the marks say of the epoch that `c` ends with: *m is zero when nothing. */
int
mark_read(struct store *s, const struct chain *c, struct store_mark *m)
{
	struct store_mark *b = s->ops->alloc(STORE_BLOCK);
	int err;

	memset(m, 0, sizeof(*m));
	if (!b)
		return -ENOMEM;
	err = s->ops->read(s->dev, STORE_MARK_BLOCK[c->epoch % STORE_MARKS], b, 1);
	if (!err && b->magic == STORE_MARK_MAGIC && hash128_equal(b->hash, mark_hash(b)) &&
	    memcmp(b->uuid, s->super.uuid, sizeof(b->uuid)) == 0 && b->epoch == c->epoch &&
	    hash128_equal(b->record, c->record))
		*m = *b;
	s->ops->free(b);
	return err;
}

/* => begins to write; buf is a zeroed block that stays until the flush */
static int
mark_write(struct store *s, void *buf)
{
	struct store_mark *m = buf;
	int err;

	*m = (struct store_mark){.magic = STORE_MARK_MAGIC,
				 .epoch = s->chain.epoch,
				 .record = s->chain.record,
				 .attempts = s->attempts,
				 .sealed = s->sealed,
				 .kept = s->kept};
	memcpy(m->uuid, s->super.uuid, sizeof(m->uuid));
	m->hash = mark_hash(m);
	err = out_put(s, STORE_MARK_BLOCK[s->chain.epoch % STORE_MARKS], m);
	return err ? err : out_end(s);
}

/* A hint that spares recovery the reading of a large epoch; without it, it reads. */
void
mark_seal(struct store *s)
{
	void *buf = store_buf(s, &s->base_bufs);

	s->sealed = true;
	if (buf)
		(void)mark_write(s, buf);
}

int
mark_flush(struct store *s)
{
	void *buf = store_zalloc(s, STORE_BLOCK);
	int err, e;

	if (!buf)
		return -ENOMEM;
	assert(s->out.segs == 0);
	err = mark_write(s, buf);
	e = s->ops->flush(s->dev);
	if (e)
		base_redo(s);
	s->ops->free(buf);
	return err ? err : e;
}

static int
note_attempts(struct store *s, u32 attempts)
{
	int err = s->readonly ? -EROFS : s->failed;
	struct store_mark m;

	if (err)
		return err;
	assert(!s->tx.open);
	s->attempts = attempts;
	err = mark_flush(s);
	if (!err)
		err = mark_read(s, &s->chain, &m);
	return err || m.attempts == s->attempts ? err : -EIO;
}

int
store_attempt(struct store *s)
{
	return note_attempts(s, s->attempts + 1);
}

int
store_attempt_void(struct store *s)
{
	assert(s->attempts > 0);
	return note_attempts(s, s->attempts - 1);
}

static bool
all_zero(const u8 *p, size_t n)
{
	return p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
}

/* Blank is what is zero wherever others keep their signatures: in the first MiBs and the last. */
int
store_probe(const struct store_ops *ops, void *dev, u64 blocks, enum store_kind *kind)
{
	const u64 edge = 256, piece = 16;
	struct store_super sb;
	unsigned copies;
	u8 *b;
	int err = super_read(ops, dev, blocks, &sb, &copies);

	*kind = STORE_IS;
	if (err != -ENODEV)
		return err;
	*kind = blocks < STORE_MIN_BLOCKS ? STORE_OTHER : STORE_BLANK;
	b = ops->alloc(piece * STORE_BLOCK);
	if (!b)
		return -ENOMEM;
	err = 0;
	for (u64 i = 0; i < STORE_DATA_FIRST + edge && !err && *kind == STORE_BLANK; i += piece) {
		u64 block = i < STORE_DATA_FIRST ? i : blocks - edge + (i - STORE_DATA_FIRST);

		err = ops->read(dev, block, b, piece);
		if (!err && !all_zero(b, piece * STORE_BLOCK))
			*kind = STORE_OTHER;
	}
	ops->free(b);
	return err;
}

int
store_format(const struct store_ops *ops, void *dev, u64 blocks, const u8 uuid[16], u64 now_ns)
{
	struct store_super *sb, old;
	unsigned copies;
	int err;

	blocks = min(blocks, STORE_MAX_BLOCKS);
	if (blocks < STORE_MIN_BLOCKS)
		return -ENOSPC;
	err = super_read(ops, dev, blocks, &old, &copies);
	if (err && err != -ENODEV)
		return err;
	sb = ops->alloc(STORE_BLOCK);
	if (!sb)
		return -ENOMEM;
	memset(sb, 0, STORE_BLOCK);
	*sb = (struct store_super){.magic = STORE_SUPER_MAGIC,
				   .version = STORE_VERSION,
				   .block_size = STORE_BLOCK,
				   .blocks = blocks,
				   .incompat = STORE_INCOMPAT,
				   .created_ns = now_ns,
				   .base.next = {STORE_DATA_FIRST, STORE_DATA_FIRST + 1}};
	memcpy(sb->uuid, uuid, sizeof(sb->uuid));
	sb->base.record = hash128(uuid, sizeof(sb->uuid));
	err = ops->flush(dev);
	for (unsigned i = 1; i <= STORE_SLOTS && !err; i++) {
		sb->seq = old.seq + i;
		super_seal(sb);
		err = ops->write(dev, STORE_SLOT_BLOCK[sb->seq % STORE_SLOTS],
				 &(struct store_seg){sb, 1}, 1);
		if (!err)
			err = ops->flush(dev);
	}
	ops->free(sb);
	return err;
}
