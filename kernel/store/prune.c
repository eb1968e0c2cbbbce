/*
 * Pages that are put as they are stored are left out of an epoch. A program writes many pages with
 * what they held before (of a BEAM that does the same again and again, half of them), and a page
 * left out is not written to the disk, takes no block, and changes nothing in the tree.
 *
 * It is left out when the hash that the tree has for its key is that of its bytes, both of 64 bits:
 * the same certainty with which it would be verified. And only when nothing that was put or deleted
 * before it in this epoch can have to do with its key; that is known roughly, by object.
 *
 * Hashes are made before the payload is written here, not while it is being written. So epochs of a
 * few blocks, which somebody may be waiting for, are left as they are.
 */
#include "store/impl.h"

#define SEEN_WORDS 16u

struct prune {
	u64 seen[SEEN_WORDS]; /* objects, by hash */
	u64 oid, idx;	      /* the last page that was looked at; 0: none was */
	u32 kept;	      /* items */
};

static void
seen_add(struct prune *p, u64 oid)
{
	u64 h = oid * 0x9e3779b97f4a7c15ull >> 54;

	p->seen[h / 64] |= 1ull << h % 64;
}

static bool
seen_has(const struct prune *p, u64 oid)
{
	u64 h = oid * 0x9e3779b97f4a7c15ull >> 54;

	return p->seen[h / 64] >> h % 64 & 1;
}

/* Of an object's record the engine puts only what changed. */
static bool
is_page(const struct store_item *item)
{
	return item->op == STORE_PUT && item->idx >= STORE_PAGE(0);
}

/* Whether nothing before it in the epoch was of this page. */
static bool
is_first(struct prune *p, const struct store_item *item)
{
	bool first = !seen_has(p, item->oid) && (item->oid != p->oid || item->idx > p->idx);

	if (item->oid != p->oid && p->oid)
		seen_add(p, p->oid);
	p->oid = item->oid;
	p->idx = item->idx;
	return first;
}

/* => item's hash is known */
static int
is_stored(struct store *s, const struct store_item *item, bool *stored)
{
	const struct store_item *old;
	int err = btree_find(s, item->oid, item->idx, &old);

	*stored = !err && old && old->length == item->length && old->sum == item->sum &&
		  hash128_equal(old->hash, item->hash);
	return err;
}

static int
prune_item(struct store *s, struct prune *p, u32 i)
{
	struct store_item *item = tx_item(&s->tx, i);
	struct payload *b = item->op == STORE_PUT ? &s->tx.blk[item->block] : NULL;
	bool stored = false;
	int err = 0;

	if (b)
		item->hash = item_hash(item, (const u8 *)b->data + item->offset);
	if (item->op == STORE_DELETE || (is_page(item) && item->length < STORE_BLOCK))
		seen_add(p, item->oid);
	else if (is_page(item) && is_first(p, item))
		err = is_stored(s, item, &stored);
	if (stored) {
		b->data = NULL;
		return 0;
	}
	if (p->kept != i)
		*tx_item(&s->tx, p->kept) = *item;
	p->kept++;
	return err;
}

/* Closes the gaps among the payload's blocks, and the items' numbers of them. */
static void
close_gaps(struct tx *tx)
{
	u32 n = 0;

	for (u32 i = 0; i < tx->blks; i++) {
		const void *data = tx->blk[i].data;

		tx->blk[i].block = n; /* for now: where it moved */
		if (data)
			tx->blk[n++].data = data;
	}
	tx->blks = n;
	for (u32 i = 0; i < tx->items; i++) {
		struct store_item *item = tx_item(tx, i);

		if (item->op == STORE_PUT)
			item->block = tx->blk[item->block].block;
	}
}

/* => nothing has a place yet, and no more is put. => afterwards all hashes are made */
int
tx_prune(struct store *s)
{
	struct tx *tx = &s->tx;
	struct prune p = {0};
	u32 items = tx->items;
	int err = 0;

	assert(tx->part == 0 && tx->root == s->root);
	for (u32 i = 0; i < items && !err; i++)
		err = prune_item(s, &p, i);
	if (err)
		return err;
	for (u32 i = p.kept; i < items; i++)
		*tx_item(tx, i) = (struct store_item){0};
	tx->items = p.kept;
	for (u32 d = DIV_ROUND_UP(p.kept, STORE_LEAF_MAX); d * STORE_LEAF_MAX < items; d++)
		tx->desc[d] = NULL;
	close_gaps(tx);
	tx->hashed = true;
	return 0;
}
