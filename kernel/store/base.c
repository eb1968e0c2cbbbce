/*
 * The base: the tree written out, so that recovery has few records to go through and their blocks
 * can be used again. It is begun behind a commit, becomes durable with the next flush, and is
 * believed when a superblock tells of it: written along with an epoch so late that every epoch kept
 * is younger than the base, and once more along with the next, so that two slots have it. What was
 * to blame when an epoch failed is not known: its next try goes without a superblock.
 */
#include "store/impl.h"

static u64
count_dirty(const struct bnode *n)
{
	u64 sum = 1;

	if (n->block)
		return 0;
	for (unsigned i = 0; n->page->level && i < n->page->count; i++)
		if (n->kid[i])
			sum += count_dirty(n->kid[i]);
	return sum;
}

static int
place_chunk(struct store *s, u64 i)
{
	struct store_item old = {0}, item = {.oid = STORE_OID_MAP, .idx = i, .length = MAP_BLOCKS};
	struct chunk *c = &s->space.chunk[i];
	bool had = false;
	int err = space_alloc(s, &c->new_block);

	item.block = c->new_block;
	if (!err)
		err = btree_insert(s, &item, &old, &had);
	if (!err && had)
		err = space_dying(s, &s->tx.dead, old.block);
	return err;
}

/* Places for all that changed, until finding them changes nothing more. */
static int
place_all(struct store *s, struct vec *nodes)
{
	bool more = true;
	u64 block, want;
	int err;

	while (more) {
		more = false;
		for (u64 i = 0; i < s->space.chunks; i++) {
			if (!s->space.chunk[i].dirty || s->space.chunk[i].new_block)
				continue;
			more = true;
			err = place_chunk(s, i);
			if (err)
				return err;
		}
		want = count_dirty(s->tx.root);
		while (nodes->n < want) {
			more = true;
			err = space_alloc(s, &block);
			if (!err)
				err = vec_push(s, nodes, block);
			if (err)
				return err;
		}
	}
	return 0;
}

/* The map's item i in the tree in the making. => it was just put there: nothing is loaded */
static struct store_item *
map_item(struct store *s, u64 i)
{
	struct bnode *n = s->tx.root;

	for (;;) {
		const struct store_tree_page *p = n->page;
		unsigned at = 0;

		if (p->level == 0) {
			while (at < p->count &&
			       key_cmp(p->item[at].oid, p->item[at].idx, STORE_OID_MAP, i) < 0)
				at++;
			assert(at < p->count && p->item[at].idx == i);
			return &n->page->item[at];
		}
		while (at + 1u < p->count &&
		       key_cmp(p->child[at + 1].oid, p->child[at + 1].idx, STORE_OID_MAP, i) <= 0)
			at++;
		n = n->kid[at];
		assert(n);
	}
}

/* What only dies with this base, or waits for older epochs, does not hold in the base. */
static void
uncount(struct store *s, u8 **image, u64 block, u64 *used)
{
	u8 *count = image[block / MAP_BLOCKS];

	assert(count);
	count += block % MAP_BLOCKS;
	if (*count == 0)
		s->failed = -EBADMSG; /* as in space_drop */
	else if (--*count == 0)
		--*used;
}

/* A reserved head may be of a chunk that did not change, whose item has no count of it already. */
static void
uncount_head(struct store *s, u8 **image, u64 block, u64 *used)
{
	if (image[block / MAP_BLOCKS])
		uncount(s, image, block, used);
	else
		--*used;
}

static void
uncount_all(struct store *s, u8 **image, u64 *used)
{
	for (size_t i = s->pending_head; i < s->pending.n; i += 2)
		uncount(s, image, *vec_at(&s->pending, i), used);
	for (size_t i = 0; i < s->base_dead.n; i++)
		uncount(s, image, *vec_at(&s->base_dead, i), used);
	for (size_t i = 0; i < s->tx.base_dead.n; i++)
		uncount(s, image, *vec_at(&s->tx.base_dead, i), used);
	for (size_t i = 0; i < s->tx.dead.n; i++)
		uncount(s, image, *vec_at(&s->tx.dead, i), used);
	uncount_head(s, image, s->chain.next[0], used);
	uncount_head(s, image, s->chain.next[1], used);
}

static void
base_out(struct store *s, u64 block, const void *data)
{
	vec_add(&s->base_out, block);
	vec_add(&s->base_out, (u64)data);
}

/* The dirty pages below and at n get their places, children before parents. */
static void
settle_nodes(struct store *s, struct bnode *n, const struct vec *nodes, size_t *next)
{
	for (unsigned i = 0; n->page->level && i < n->page->count; i++) {
		if (!n->kid[i] || n->kid[i]->block)
			continue;
		settle_nodes(s, n->kid[i], nodes, next);
		n->page->child[i].block = n->kid[i]->block;
		n->page->child[i].hash = hash128(n->kid[i]->page, STORE_BLOCK);
	}
	n->block = *vec_at(nodes, (*next)++);
	base_out(s, n->block, n->page);
}

/* From here on nothing fails: contents, hashes, and what a superblock will say. */
static void
base_settle(struct store *s, u8 **image, const struct vec *nodes)
{
	struct store_base *b = &s->new_base;
	size_t next = 0;

	*b = (struct store_base){.epoch = s->chain.epoch,
				 .seq = s->chain.seq,
				 .record = s->chain.record,
				 .next = {s->chain.next[0], s->chain.next[1]}};
	b->used = s->super.blocks - STORE_DATA_FIRST - s->space.free;
	uncount_all(s, image, &b->used);
	for (u64 i = 0; i < s->space.chunks; i++) {
		struct chunk *c = &s->space.chunk[i];

		if (!c->new_block)
			continue;
		map_item(s, i)->hash = hash128(image[i], MAP_BLOCKS);
		base_out(s, c->new_block, image[i]);
		c->dirty = false;
		c->new_block = 0;
	}
	settle_nodes(s, s->tx.root, nodes, &next);
	assert(next == nodes->n);
	b->root = s->tx.root->block;
	b->root_hash = hash128(s->tx.root->page, STORE_BLOCK);
	b->root_level = s->tx.root->page->level;
}

/* Copies of the chunks that will be written, and room in all the lists. */
static int
base_room(struct store *s, u8 **image, const struct vec *nodes)
{
	size_t dead = s->base_dead.n + s->tx.base_dead.n + s->tx.dead.n;
	u64 writes = nodes->n;

	for (u64 i = 0; i < s->space.chunks; i++) {
		if (!s->space.chunk[i].new_block)
			continue;
		image[i] = store_buf(s, &s->base_bufs);
		if (!image[i])
			return -ENOMEM;
		memcpy(image[i], s->space.chunk[i].count, MAP_BLOCKS);
		writes++;
	}
	if (vec_room(s, &s->pending, 2 * dead) || vec_room(s, &s->base_out, 2 * writes))
		return -ENOMEM;
	return vec_room(s, &s->base_dead, s->tx.base_dead.n);
}

static void
base_undo(struct store *s)
{
	for (u64 i = 0; i < s->space.chunks; i++)
		s->space.chunk[i].new_block = 0;
	vec_free_bufs(s, &s->base_bufs);
	tx_drop(s);
}

/* What waited for a base dies with this one. */
static void
base_keep(struct store *s)
{
	tx_keep(s);
	for (size_t i = 0; i < s->base_dead.n; i++) {
		vec_add(&s->pending, *vec_at(&s->base_dead, i));
		vec_add(&s->pending, s->chain.epoch);
	}
	vec_clear(s, &s->base_dead);
	s->base_waits = true;
	s->base_copies = 2;
	s->items_since_base = 0;
}

/* Not enough memory or space is no fault: the next commit tries again, and the records stay. */
void
base_write(struct store *s)
{
	struct vec nodes = {0};
	u8 **image;

	if (s->base_copies > 0 || s->items_since_base < s->base_items || tx_begin(s))
		return;
	image = store_zalloc(s, s->space.chunks * sizeof(*image));
	if (!image || place_all(s, &nodes) || base_room(s, image, &nodes)) {
		base_undo(s);
	} else {
		base_settle(s, image, &nodes);
		base_keep(s);
		s->base_lost = base_again(s) != 0;
	}
	if (image)
		s->ops->free(image);
	vec_free(s, &nodes);
}

/* Begins to write what no flush has made durable yet. */
int
base_again(struct store *s)
{
	int err = 0;

	for (size_t i = 0; i < s->base_out.n && !err; i += 2)
		err = out_put(s, *vec_at(&s->base_out, i), (void *)*vec_at(&s->base_out, i + 1));
	return err ? err : out_end(s);
}

void
base_redo(struct store *s)
{
	s->base_lost = s->base_out.n > 0;
}

int
base_publish(struct store *s, u64 epoch)
{
	struct store_super *sb;

	s->super_rides = 0;
	if (s->base_copies == 0 || s->tries > 0 || epoch < s->new_base.epoch + STORE_KEEP)
		return 0;
	sb = store_buf(s, &s->tx.bufs);
	if (!sb)
		return -ENOMEM;
	*sb = s->super;
	sb->seq = s->super_rides = super_number(s);
	sb->base = s->new_base;
	super_seal(sb);
	return out_put(s, STORE_SLOT_BLOCK[sb->seq % STORE_SLOTS], sb);
}

void
base_durable(struct store *s)
{
	vec_free_bufs(s, &s->base_bufs);
	reuse_cleared(&s->space);
	vec_clear(s, &s->base_out);
	s->base_lost = false;
	if (s->super_rides == 0)
		return;
	s->super.seq = s->super_rides;
	s->super.base = s->new_base;
	s->base_waits = --s->base_copies > 0;
}
