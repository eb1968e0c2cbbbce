/*
 * Records: what one says is believed only when its head has the right number, the right hash and
 * the hash of its predecessor, and its descriptors have theirs.
 */
#include "store/impl.h"

/* The hash of a chain of blocks, block by block. */
struct hash128
record_fold(struct hash128 sum, const void *block)
{
	struct hash128 both[2] = {sum, hash128(block, STORE_BLOCK)};

	return hash128(both, sizeof(both));
}

void
record_seal(struct store_record *r)
{
	r->hash = hash128(r, offsetof(struct store_record, hash));
}

/* Whether it is some record of this store, of whatever time. */
bool
record_ours(const struct store *s, const struct store_record *r)
{
	return r->magic == STORE_RECORD_MAGIC &&
	       memcmp(r->uuid, s->super.uuid, sizeof(r->uuid)) == 0;
}

int
item_valid(const struct store *s, const struct store_item *item)
{
	if (item->op == STORE_DELETE)
		return item->idx <= item->block ? 0 : -EBADMSG;
	if (item->op != STORE_PUT || !extent_valid(s->super.blocks, item->block, 1) ||
	    item->length == 0 || item->length > STORE_BLOCK || item->sum > STORE_SUM_64 ||
	    item->offset > STORE_BLOCK - item->length)
		return -EBADMSG;
	return 0;
}

struct hash128
item_hash(const struct store_item *item, const void *data)
{
	if (item->sum == STORE_SUM_64)
		return (struct hash128){.low = hash64(data, item->length)};
	return hash128(data, item->length);
}

bool
item_is(const struct store_item *item, const void *data)
{
	return hash128_equal(item->hash, item_hash(item, data));
}

int
item_read(struct store *s, const struct store_item *item, u8 *block)
{
	int err = s->ops->read(s->dev, item->block, block, 1);

	if (!err && !item_is(item, block + item->offset))
		err = -EBADMSG;
	return err;
}

static bool
head_valid(const struct store *s, const struct chain *c, const struct store_record *r)
{
	u64 blocks = 0;

	if (!record_ours(s, r) || r->seq != c->seq + 1 || !hash128_equal(r->prev, c->record) ||
	    !hash128_equal(r->hash, hash128(r, offsetof(struct store_record, hash))) ||
	    (r->epoch != c->epoch + 1 && (r->epoch != c->epoch || r->part == 0)) ||
	    !extent_valid(s->super.blocks, r->next[0], 1) ||
	    !extent_valid(s->super.blocks, r->next[1], 1) || r->next[0] == r->next[1])
		return false;
	if (r->extents == 0)
		return r->items <= STORE_INLINE;
	if (r->extents > STORE_EXTENTS || r->items > PART_ITEMS)
		return false;
	for (unsigned i = 0; i < r->extents; i++) {
		if (!extent_valid(s->super.blocks, r->extent[i].block, r->extent[i].count))
			return false;
		blocks += r->extent[i].count;
	}
	return blocks == DIV_ROUND_UP(r->items, STORE_LEAF_MAX);
}

static int
nothing(struct store *s, const struct store_item *item, void *arg)
{
	return 0;
}

int
record_follow(struct store *s, const struct chain *c, struct store_record *r, u64 *block)
{
	for (int i = 1; i >= 0; i--) {
		int err = s->ops->read(s->dev, c->next[i], r, 1);

		if (!err && head_valid(s, c, r)) {
			*block = c->next[i];
			err = record_each(s, r, nothing, NULL);
			if (err != -EBADMSG)
				return err;
		} else if (err) {
			return err;
		}
	}
	return -ENOENT;
}

/* Calls fn with each descriptor until it is not 0. -EBADMSG when the hash is wrong, which is known
 * only in the end. */
int
record_each(struct store *s, const struct store_record *r,
	    int (*fn)(struct store *s, const struct store_item *item, void *arg), void *arg)
{
	struct hash128 sum = {0};
	struct store_desc_block *d;
	u32 left = r->items;
	int err = 0;

	for (u32 i = 0; r->extents == 0 && i < left && !err; i++) {
		err = item_valid(s, &r->item[i]);
		err = err ? err : fn(s, &r->item[i], arg);
	}
	if (r->extents == 0)
		return err;
	d = s->ops->alloc(STORE_BLOCK);
	if (!d)
		return -ENOMEM;
	for (u64 x = 0, at = 0; left > 0 && !err; at++) {
		while (at == r->extent[x].count)
			x++, at = 0;
		err = s->ops->read(s->dev, r->extent[x].block + at, d, 1);
		sum = record_fold(sum, d);
		for (u32 i = 0; i < min(left, STORE_LEAF_MAX) && !err; i++) {
			err = item_valid(s, &d->item[i]);
			err = err ? err : fn(s, &d->item[i], arg);
		}
		left -= min(left, STORE_LEAF_MAX);
	}
	s->ops->free(d);
	if (!err && !hash128_equal(sum, r->desc_hash))
		err = -EBADMSG;
	return err;
}
