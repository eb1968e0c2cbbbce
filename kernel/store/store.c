/* The store as its users see it: opening, reading, what it says of itself. tx.c writes. */
#include "store/impl.h"

/* Whether this code may read the store, and write to it. */
static int
features(struct store *s)
{
	const struct store_super *sb = &s->super;

	if (sb->version != STORE_VERSION || (sb->incompat & ~STORE_INCOMPAT))
		return -EOPNOTSUPP;
	if (sb->ro_compat & ~STORE_RO_COMPAT)
		s->readonly = true;
	return 0;
}

int
store_open(const struct store_ops *ops, void *dev, u64 blocks, const struct store_how *how,
	   struct store **out)
{
	struct store *s = ops->alloc(sizeof(*s));
	unsigned copies = 0;
	int err;

	if (!s)
		return -ENOMEM;
	memset(s, 0, sizeof(*s));
	s->ops = ops;
	s->dev = dev;
	s->readonly = how->readonly;
	s->base_items = how->base_items ? how->base_items : BASE_ITEMS;
	err = super_read(ops, dev, blocks, &s->super, &copies);
	s->super_tried = s->super.seq;
	if (!err)
		err = features(s);
	if (!err && s->super.blocks > blocks)
		err = -ENXIO;
	if (!err)
		err = space_init(s);
	if (!err)
		err = store_recover(s, how->epoch);
	if (err) {
		store_close(s);
		return err;
	}
	/* The power went between the two superblocks of a base: the second is owed still. */
	if (copies < 2 && s->super.base.epoch > 0) {
		s->new_base = s->super.base;
		s->base_copies = 1;
	}
	*out = s;
	return 0;
}

void
store_close(struct store *s)
{
	if (!s->readonly && s->root)
		(void)s->ops->flush(s->dev);
	tx_drop(s);
	if (s->root)
		btree_free(s, s->root);
	space_free(s);
	vec_free_bufs(s, &s->base_bufs);
	vec_free(s, &s->base_bufs);
	vec_free(s, &s->base_out);
	vec_free(s, &s->base_dead);
	vec_free(s, &s->pending);
	vec_free(s, &s->tx.dead);
	vec_free(s, &s->tx.base_dead);
	vec_free(s, &s->tx.given);
	vec_free(s, &s->tx.bufs);
	vec_free(s, &s->tx.undo);
	if (s->tx.desc)
		s->ops->free(s->tx.desc);
	if (s->tx.blk)
		s->ops->free(s->tx.blk);
	s->ops->free(s);
}

int
store_next(struct store *s, u64 oid, u64 idx, struct store_item *item)
{
	return btree_next(s, s->root, oid, idx, item);
}

int
store_get(struct store *s, u64 oid, u64 idx, void *buf, u32 *length)
{
	struct store_item item;
	int err = btree_next(s, s->root, oid, idx, &item);

	if (!err && (item.oid != oid || item.idx != idx))
		err = -ENOENT;
	if (!err)
		err = item_read(s, &item, buf);
	if (err)
		return err;
	memmove(buf, (u8 *)buf + item.offset, item.length);
	*length = item.length;
	return 0;
}

/* The oldest epoch that can be opened where `last` is the youngest. */
u64
store_oldest(const struct store *s, u64 last, u64 kept)
{
	u64 oldest = last < STORE_KEEP ? 0 : last - (STORE_KEEP - 1);

	oldest = max(oldest, s->super.base.epoch);
	return max(oldest, kept);
}

void
store_status(const struct store *s, struct store_status *st)
{
	*st = (struct store_status){.blocks = s->super.blocks,
				    .used = s->super.blocks - STORE_DATA_FIRST - s->space.free,
				    .created_ns = s->super.created_ns,
				    .epoch = s->chain.epoch,
				    .oldest = store_oldest(s, s->chain.epoch, s->kept),
				    .base = s->super.base.epoch,
				    .items_since_base = s->items_since_base,
				    .room = space_room(s),
				    .attempts = s->attempts,
				    .readonly = s->readonly,
				    .failed = s->failed};
	memcpy(st->uuid, s->super.uuid, sizeof(st->uuid));
}

int
store_epoch(struct store *s, u64 epoch, struct store_epoch *e)
{
	if (epoch < store_oldest(s, s->chain.epoch, s->kept) || epoch > s->chain.epoch)
		return -ENOENT;
	*e = s->recent[epoch % STORE_KEEP];
	if (e->epoch != epoch)
		*e = (struct store_epoch){.epoch = epoch};
	return 0;
}
