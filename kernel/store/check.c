/*
 * The checker: goes through the whole tree and all it leads to, and counts every block's holders
 * once more from nothing.
 */
#include "store/impl.h"

struct check {
	struct store *s;
	struct store_report *r;
	u8 **count; /* by chunk, as it should be */
	u8 *block;
	u64 block_at;
	struct key last;
	bool any;
	long faults;
};

static void
fault(struct check *c, const char *what, u64 a, u64 b)
{
	c->faults++;
	if (c->r->fault)
		c->r->fault(c->r->arg, what, a, b);
}

static void
count_block(struct check *c, u64 block)
{
	u8 *n = &c->count[block / MAP_BLOCKS][block % MAP_BLOCKS];

	if (*n == BLOCK_HOLDS_MAX)
		fault(c, "block %llu has too many holders", block, 0);
	else
		++*n;
}

static void
check_item(struct check *c, const struct store_item *item)
{
	struct store *s = c->s;

	if (c->any && key_cmp(c->last.oid, c->last.idx, item->oid, item->idx) >= 0)
		fault(c, "object %llu: item %llu is out of order", item->oid, item->idx);
	c->last = (struct key){item->oid, item->idx};
	c->any = true;
	count_block(c, item->block);
	if (item->oid != STORE_OID_MAP) {
		c->r->items++;
		c->r->pages += item->length == STORE_BLOCK;
		c->r->bytes += item->length;
	}
	if (c->block_at != item->block && s->ops->read(s->dev, item->block, c->block, 1) != 0) {
		c->block_at = 0;
		fault(c, "object %llu: item %llu cannot be read", item->oid, item->idx);
		return;
	}
	c->block_at = item->block;
	if (!item_is(item, c->block + item->offset))
		fault(c, "object %llu: item %llu is damaged", item->oid, item->idx);
}

/* => returns -ENOMEM alone */
static int
check_tree(struct check *c, struct bnode *n)
{
	struct bnode *kid;
	int err = 0;

	if (n->block)
		count_block(c, n->block);
	for (unsigned i = 0; i < n->page->count && err != -ENOMEM; i++) {
		if (n->page->level == 0) {
			check_item(c, &n->page->item[i]);
			continue;
		}
		err = btree_kid(c->s, n, i, &kid);
		if (err == 0)
			err = check_tree(c, kid);
		else if (err != -ENOMEM)
			fault(c, "the tree's page %llu, entry %llu, is damaged", n->block, i);
	}
	return err == -ENOMEM ? err : 0;
}

/* What else holds blocks. */
static void
count_rest(struct check *c)
{
	struct store *s = c->s;

	for (size_t i = s->pending_head; i < s->pending.n; i += 2)
		count_block(c, *vec_at(&s->pending, i));
	for (size_t i = 0; i < s->base_dead.n; i++)
		count_block(c, *vec_at(&s->base_dead, i));
	count_block(c, s->chain.next[0]);
	count_block(c, s->chain.next[1]);
}

static int
compare_counts(struct check *c)
{
	struct store *s = c->s;
	u64 used = 0;
	u8 *is;
	int err;

	for (u64 b = STORE_DATA_FIRST; b < s->super.blocks; b++) {
		u8 want = c->count[b / MAP_BLOCKS][b % MAP_BLOCKS];

		err = space_count(s, b, &is);
		if (err == -ENOMEM)
			return err;
		if (err) {
			fault(c, "the count of blocks from %llu cannot be read", b, 0);
			b |= MAP_BLOCKS - 1;
			continue;
		}
		used += *is > 0;
		if (*is < want)
			fault(c, "block %llu is in use and counted %llu", b, *is);
		else if (*is > want)
			fault(c, "block %llu is counted %llu and not in use", b, *is);
	}
	if (used != s->super.blocks - STORE_DATA_FIRST - s->space.free)
		fault(c, "%llu blocks are in use, not %llu", used,
		      s->super.blocks - STORE_DATA_FIRST - s->space.free);
	return 0;
}

/* => nothing is put and not committed */
long
store_check(struct store *s, struct store_report *r)
{
	struct check c = {.s = s, .r = r};
	int err = 0;

	assert(!s->tx.open);
	r->items = r->pages = r->bytes = 0;
	c.block = store_zalloc(s, STORE_BLOCK);
	c.count = store_zalloc(s, s->space.chunks * sizeof(*c.count));
	if (!c.block || !c.count)
		err = -ENOMEM;
	for (u64 i = 0; i < s->space.chunks && !err; i++) {
		c.count[i] = store_zalloc(s, MAP_BLOCKS);
		err = c.count[i] ? 0 : -ENOMEM;
	}
	if (!err)
		err = check_tree(&c, s->root);
	if (!err) {
		count_rest(&c);
		err = compare_counts(&c);
	}
	for (u64 i = 0; c.count && i < s->space.chunks; i++)
		if (c.count[i])
			s->ops->free(c.count[i]);
	if (c.count)
		s->ops->free(c.count);
	if (c.block)
		s->ops->free(c.block);
	return err ? err : c.faults;
}
