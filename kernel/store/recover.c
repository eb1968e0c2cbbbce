/*
 * Recovery: from the best superblock's tree, along the records to the first that does not verify.
 * An epoch counts when its last record is there and, if it is the youngest, when all that it put
 * is: those before it were flushed before it was written. Nothing is written; it may be cut and
 * begun again at any point.
 */
#include "store/impl.h"

struct log { /* the records found, oldest first: pairs of block, epoch */
	struct vec at;
	u64 last; /* epoch that is complete */
};

static void
log_cut(struct log *l)
{
	while (l->at.n && *vec_at(&l->at, l->at.n - 1) > l->last)
		l->at.n -= 2;
}

/* Follows the records from the base as far as they are right. */
static int
log_walk(struct store *s, struct log *l, struct store_record *r)
{
	struct chain c = s->chain;
	u64 block;
	int err;

	l->last = c.epoch;
	while ((err = record_follow(s, &c, r, &block)) == 0) {
		if (r->epoch != c.epoch && c.epoch != l->last)
			break; /* the one before had no end */
		err = vec_push(s, &l->at, block);
		if (!err)
			err = vec_push(s, &l->at, r->epoch);
		if (err)
			return err;
		c = (struct chain){r->epoch, r->seq, r->hash, {r->next[0], r->next[1]}};
		if (r->flags & STORE_LAST)
			l->last = r->epoch;
	}
	log_cut(l);
	return err == -ENOENT ? 0 : err;
}

#define VERIFY_BLOCKS 16u /* read at once: a record's payload lies in runs */

struct verify {
	u8 *mem;
	u64 at, n; /* the blocks that are in it */
};

/* Reads the block, and what follows if that can be read, too: it may be nobody's. */
static int
verify_read(struct store *s, struct verify *v, u64 block)
{
	int err;

	v->at = block;
	v->n = min((u64)VERIFY_BLOCKS, s->super.blocks - block);
	err = s->ops->read(s->dev, block, v->mem, (u32)v->n);
	if (err && v->n > 1) {
		v->n = 1;
		err = s->ops->read(s->dev, block, v->mem, 1);
	}
	if (err)
		v->n = 0;
	return err;
}

static int
verify_item(struct store *s, const struct store_item *item, void *arg)
{
	struct verify *v = arg;
	const u8 *data;
	int err = 0;

	if (item->op != STORE_PUT)
		return 0;
	if (item->block < v->at || item->block >= v->at + v->n)
		err = verify_read(s, v, item->block);
	if (err)
		return err;
	data = v->mem + (item->block - v->at) * STORE_BLOCK + item->offset;
	return item_is(item, data) ? 0 : -EBADMSG;
}

/* Whether all that the youngest epoch put is there. */
static int
verify_last(struct store *s, const struct log *l, struct store_record *r)
{
	struct verify v = {.mem = s->ops->alloc(VERIFY_BLOCKS * STORE_BLOCK)};
	struct store_mark m = {0};
	int err = v.mem ? 0 : -ENOMEM;

	for (size_t i = l->at.n; i > 0 && *vec_at(&l->at, i - 1) == l->last && !err; i -= 2) {
		err = s->ops->read(s->dev, *vec_at(&l->at, i - 2), r, 1);
		if (!err && i == l->at.n) {
			struct chain c = {.epoch = r->epoch, .record = r->hash};

			err = mark_read(s, &c, &m);
		}
		if (m.sealed)
			break;
		if (!err)
			err = record_each(s, r, verify_item, &v);
	}
	if (v.mem)
		s->ops->free(v.mem);
	return err;
}

/* What the youngest epoch put may be beyond reading: it is neither opened then nor given up, but
 * one that is older can be asked for. */
static int
log_find(struct store *s, struct log *l, u64 want, struct store_record *r)
{
	int err = log_walk(s, l, r);

	while (!err && l->at.n > 0) {
		err = verify_last(s, l, r);
		if (err == -EIO && want && want < l->last)
			return 0;
		if (err != -EBADMSG)
			break;
		l->last--;
		log_cut(l);
		err = 0;
	}
	return err;
}

/* From which epoch on they are whole, by the youngest's record and mark. */
static int
log_kept(struct store *s, const struct log *l, struct store_record *r)
{
	struct chain c = s->chain;
	struct store_mark m;
	int err = 0;

	if (l->at.n > 0) {
		err = s->ops->read(s->dev, *vec_at(&l->at, l->at.n - 2), r, 1);
		c = (struct chain){.epoch = r->epoch, .record = r->hash};
		s->kept = r->kept;
	}
	if (!err)
		err = mark_read(s, &c, &m);
	if (!err)
		s->kept = max(s->kept, m.kept);
	return err;
}

/* What was noted of the epoch that is shown. */
static int
marked(struct store *s)
{
	struct store_mark m;
	int err = mark_read(s, &s->chain, &m);

	if (err)
		return err;
	s->attempts = m.attempts;
	s->sealed = m.sealed;
	return 0;
}

static int
replay_item(struct store *s, const struct store_item *item, void *arg)
{
	return tx_apply(s, item, true);
}

/* What a record's blocks are: its head was reserved by the one before. */
static int
replay_blocks(struct store *s, const struct store_record *r, u64 head)
{
	struct chain *c = &s->tx.chain;
	u64 other = c->next[head == c->next[0]];
	int err = space_dying(s, &s->base_dead, head);

	for (u32 x = 0; x < r->extents; x++) {
		for (u64 i = 0; i < r->extent[x].count && !err; i++) {
			err = space_hold(s, r->extent[x].block + i);
			if (!err)
				err = space_dying(s, &s->base_dead, r->extent[x].block + i);
		}
	}
	if (!err && r->next[1] != other)
		err = space_dying(s, &s->base_dead, other);
	if (!err && r->next[1] != other)
		err = space_hold(s, r->next[1]);
	return err ? err : space_hold(s, r->next[0]);
}

/* What ended in an epoch waits in `pending` as of that epoch. */
static int
replay_deaths(struct store *s, u64 epoch)
{
	struct vec *dead = &s->tx.dead;
	int err = vec_room(s, &s->pending, 2 * dead->n);

	for (size_t i = 0; i < dead->n && !err; i++) {
		vec_add(&s->pending, *vec_at(dead, i));
		vec_add(&s->pending, epoch + 1);
	}
	dead->n = 0;
	return err;
}

static void
remember(struct store *s, const struct store_record *r)
{
	struct store_epoch *e = &s->recent[r->epoch % STORE_KEEP];

	if (e->epoch != r->epoch)
		*e = (struct store_epoch){.epoch = r->epoch};
	e->records++;
	e->items += r->items;
	e->payload += r->payload;
	e->note = r->note;
}

static int
replay_record(struct store *s, struct store_record *r, u64 block)
{
	struct chain *c = &s->tx.chain;
	int err = s->ops->read(s->dev, block, r, 1);

	/* The disk may say something else than when it was followed. */
	if (!err && (r->seq != c->seq + 1 || !hash128_equal(r->prev, c->record) ||
		     !hash128_equal(r->hash, hash128(r, offsetof(struct store_record, hash)))))
		err = -EBADMSG;
	if (!err)
		err = replay_blocks(s, r, block);
	if (!err)
		err = record_each(s, r, replay_item, NULL);
	if (!err)
		err = replay_deaths(s, r->epoch);
	if (err)
		return err;
	remember(s, r);
	s->items_since_base += r->items + 1;
	*c = (struct chain){r->epoch, r->seq, r->hash, {r->next[0], r->next[1]}};
	return 0;
}

/* Whole epochs let go of older ones as their commits did: their blocks were taken again, and a
 * block that is taken over and over has only as many holders as can be counted. */
static void
replay_commit(struct store *s, const struct store_record *r)
{
	if (!(r->flags & STORE_LAST))
		return;
	s->chain = s->tx.chain;
	store_horizon(s);
}

static int
replay(struct store *s, const struct log *l, u64 epoch, struct store_record *r)
{
	int err = tx_begin(s);

	for (int i = 0; i < 2 && !err; i++)
		err = space_hold(s, s->chain.next[i]);
	for (size_t i = 0; i < l->at.n && *vec_at(&l->at, i + 1) <= epoch && !err; i += 2) {
		err = replay_record(s, r, *vec_at(&l->at, i));
		if (!err)
			replay_commit(s, r);
	}
	if (!err)
		err = vec_room(s, &s->base_dead, s->tx.base_dead.n);
	if (err) {
		tx_drop(s);
		return err;
	}
	tx_keep(s);
	return 0;
}

/* What lies where our follower's head will: an old one has to go before anything else is written.
 */
static int
look_behind(struct store *s, struct store_record *r)
{
	int err = 0;

	for (int i = 0; i < 2 && !err; i++) {
		err = s->ops->read(s->dev, s->chain.next[i], r, 1);
		s->cut = s->cut || (!err && record_ours(s, r));
	}
	return err;
}

static int
load_root(struct store *s)
{
	const struct store_base *b = &s->super.base;

	if (b->root == 0)
		return btree_empty(s);
	return btree_load(s, b->root, b->root_hash, (unsigned)b->root_level, &s->root);
}

/* => s->super is the best superblock */
int
store_recover(struct store *s, u64 want)
{
	const struct store_base *b = &s->super.base;
	struct store_record *r = s->ops->alloc(sizeof(*r));
	struct log l = {.last = b->epoch};
	u64 epoch;
	int err = r ? load_root(s) : -ENOMEM;

	s->chain = (struct chain){b->epoch, b->seq, b->record, {b->next[0], b->next[1]}};
	if (!err)
		err = log_find(s, &l, want, r);
	if (!err)
		err = log_kept(s, &l, r);
	epoch = want ? want : l.last;
	s->horizon = b->epoch;
	if (!err && (epoch > l.last || epoch < store_oldest(s, l.last, s->kept)))
		err = -ENOENT;
	if (epoch < l.last)
		s->kept = store_oldest(s, l.last, s->kept);
	if (!err)
		err = replay(s, &l, epoch, r);
	if (!err)
		err = look_behind(s, r);
	if (!err)
		err = marked(s);
	vec_free(s, &l.at);
	if (r)
		s->ops->free(r);
	return err;
}
