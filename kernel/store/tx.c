/*
 * A transaction: what was put, in parts that are records, and its way to the disk. Its tree is made
 * beside the committed one and takes its place when everything is durable; before that nothing the
 * committed epoch has is changed on the disk, or in memory for good (btree.c).
 */
#include "store/impl.h"

#define PLAIN_FEW 64u /* so many hashes cost less than to tell the disk */

int
tx_begin(struct store *s)
{
	struct tx *tx = &s->tx;

	if (tx->open || tx->error)
		return tx->error;
	if (!tx->desc)
		tx->desc = store_zalloc(s, PART_ITEMS / STORE_LEAF_MAX * sizeof(tx->desc[0]));
	if (!tx->blk)
		tx->blk = store_zalloc(s, PART_BLOCKS * sizeof(tx->blk[0]));
	if (!tx->desc || !tx->blk)
		return -ENOMEM;
	tx->open = true;
	tx->head_block = 0;
	tx->written = tx->begun = false;
	tx->number++;
	tx->root = s->root;
	tx->chain = s->chain;
	tx->items = tx->blks = tx->plain = tx->part = 0;
	tx->all_items = tx->all_blks = tx->freed = 0;
	tx->pack = NULL;
	tx->in_place = false;
	return 0;
}

/* Everything that is only for the making. => nothing is being written any more */
static void
tx_end(struct store *s)
{
	struct tx *tx = &s->tx;

	vec_free_bufs(s, &tx->bufs);
	vec_clear(s, &tx->dead);
	vec_clear(s, &tx->base_dead);
	vec_clear(s, &tx->given);
	tx->root = NULL;
	tx->open = false;
}

void
tx_drop(struct store *s)
{
	struct tx *tx = &s->tx;
	u8 *count;

	s->out.segs = 0;
	s->out.blocks = 0;
	tx->error = 0;
	if (!tx->open)
		return;
	btree_settle(s, false);
	for (size_t i = 0; i < tx->given.n; i++) {
		if (space_count(s, *vec_at(&tx->given, i), &count) == 0 && *count > 0) {
			*count = 0;
			s->space.free++;
		}
	}
	tx_end(s);
}

/* What dies in an epoch is kept for one more than those that can be opened: as the youngest, an
 * epoch is only believed with all that it put, also what it put and took out again.
 * => pending and base_dead have room */
void
tx_keep(struct store *s)
{
	struct tx *tx = &s->tx;

	for (size_t i = 0; i < tx->dead.n; i++) {
		vec_add(&s->pending, *vec_at(&tx->dead, i));
		vec_add(&s->pending, tx->chain.epoch + 1);
	}
	for (size_t i = 0; i < tx->base_dead.n; i++)
		vec_add(&s->base_dead, *vec_at(&tx->base_dead, i));
	s->root = tx->root;
	btree_settle(s, true);
	tx_end(s);
}

static int
apply_delete(struct store *s, const struct store_item *range)
{
	struct store_item item;
	int err;

	for (u64 idx = range->idx;; idx = item.idx + 1) {
		err = btree_next(s, s->tx.root, range->oid, idx, &item);
		if (err == -ENOENT)
			return 0;
		if (err)
			return err;
		if (item.oid != range->oid || item.idx > range->block)
			return 0;
		err = btree_remove(s, item.oid, item.idx, &item);
		if (!err)
			err = space_dying(s, &s->tx.dead, item.block);
		s->tx.freed += item.length;
		if (err || item.idx == range->block)
			return err;
	}
}

int
tx_apply(struct store *s, const struct store_item *item, bool hold)
{
	struct store_item old = {0};
	bool had = false;
	int err;

	if (item->op == STORE_DELETE)
		return apply_delete(s, item);
	err = hold ? space_hold(s, item->block) : 0;
	if (!err)
		err = btree_insert(s, item, &old, &had);
	if (!err && had)
		err = space_dying(s, &s->tx.dead, old.block);
	s->tx.freed += had ? old.length : 0;
	return err;
}

int
out_end(struct store *s)
{
	struct out *o = &s->out;
	int err = o->segs ? s->ops->write(s->dev, o->block, o->seg, o->segs) : 0;

	o->segs = 0;
	o->blocks = 0;
	return err;
}

/* Begins to write a block, together with those before it when they are neighbours. */
int
out_put(struct store *s, u64 block, const void *data)
{
	struct out *o = &s->out;
	struct store_seg *last = o->segs ? &o->seg[o->segs - 1] : NULL;
	int err = 0;

	if (last && block == o->block + o->blocks &&
	    (const u8 *)last->data + (size_t)last->blocks * STORE_BLOCK == data) {
		last->blocks++;
		o->blocks++;
		return 0;
	}
	if (o->segs == OUT_SEGS || (last && block != o->block + o->blocks))
		err = out_end(s);
	if (o->segs == 0)
		o->block = block;
	o->seg[o->segs++] = (struct store_seg){data, 1};
	o->blocks++;
	return err;
}

/* => there are PART_ITEMS at most, whose blocks all have room wherever they lie */
static void
extent_add(struct store_record *r, u64 block)
{
	struct store_extent *x = r->extents ? &r->extent[r->extents - 1] : NULL;

	if (x && block == x->block + x->count) {
		x->count++;
		return;
	}
	assert(r->extents < STORE_EXTENTS);
	r->extent[r->extents++] = (struct store_extent){block, 1};
}

/* Places for the descriptors' blocks, in runs. */
static int
place_descs(struct store *s, struct store_record *r, u32 blocks, struct run *meta)
{
	u64 block;
	int err = 0;

	for (u32 i = 0; i < blocks && !err; i++) {
		err = reuse_alloc(s, meta, &block);
		if (!err)
			err = space_dying(s, &s->tx.base_dead, block);
		if (!err)
			extent_add(r, block);
	}
	return err;
}

/* Places for the payload and for the next record's head; the block of this one's. */
static int
place_rest(struct store *s, struct store_record *r, u64 *head, struct run *meta)
{
	struct tx *tx = &s->tx;
	int spare = tx->part == 0 && s->tries > 0, err = 0;

	for (u32 i = 0; i < tx->blks && !err; i++)
		err = reuse_alloc(s, meta ? &s->space.body : NULL, &tx->blk[i].block);
	*head = tx->chain.next[spare];
	if (!err)
		err = reuse_alloc(s, meta, &r->next[0]);
	r->next[1] = tx->chain.next[1];
	if (!err)
		err = space_dying(s, &tx->base_dead, *head);
	if (!err && spare) {
		err = space_dying(s, &tx->base_dead, tx->chain.next[0]);
		if (!err)
			err = reuse_alloc(s, meta, &r->next[1]);
	}
	return err;
}

static struct store_item *
part_item(const struct tx *tx, u32 i)
{
	return &tx->desc[i / STORE_LEAF_MAX]->item[i % STORE_LEAF_MAX];
}

/* The descriptors get their places and hashes, and go into the record or its sum. */
static void
fill_descs(struct tx *tx, struct store_record *r)
{
	for (u32 i = 0; i < tx->items; i++) {
		struct store_item *item = part_item(tx, i);

		if (item->op == STORE_PUT) {
			const struct payload *b = &tx->blk[item->block];

			item->block = b->block;
			if (!b->hashed)
				item->hash = item_hash(item, (const u8 *)b->data + item->offset);
		}
		if (r->extents == 0)
			r->item[i] = *item;
		else if ((i + 1) % STORE_LEAF_MAX == 0 || i + 1 == tx->items)
			r->desc_hash = record_fold(r->desc_hash, tx->desc[i / STORE_LEAF_MAX]);
	}
}

/* The descriptors, into the tree. A block was given with one holder, which its first item is. */
static int
apply_descs(struct store *s)
{
	struct tx *tx = &s->tx;
	int err = 0;

	for (u32 d = 0, left = tx->items; left > 0 && !err; d++) {
		u32 n = min(left, STORE_LEAF_MAX);

		for (u32 i = 0; i < n && !err; i++)
			err = tx_apply(s, &tx->desc[d]->item[i], tx->desc[d]->item[i].offset > 0);
		left -= n;
	}
	return err;
}

static void
push(const struct store *s)
{
	if (s->ops->push)
		s->ops->push(s->dev);
}

/* Gives the payload to the disk. Where many hashes have to be made it has it while they are, else
 * together with what follows: each time that it is told costs some hashes, too. */
static int
out_payload(struct store *s)
{
	struct tx *tx = &s->tx;
	int err = 0;

	tx->begun = true;
	for (u32 i = 0; i < tx->blks && !err; i++)
		err = out_put(s, tx->blk[i].block, tx->blk[i].data);
	if (!err)
		err = out_end(s);
	if (tx->plain > PLAIN_FEW)
		push(s);
	return err;
}

static int
out_head(struct store *s, u64 head, struct store_record *r)
{
	struct tx *tx = &s->tx;
	int err;

	if (tx->part == 0) {
		tx->head = r;
		tx->head_block = head;
	}
	err = out_put(s, head, r);
	for (u32 x = 0, i = 0; x < r->extents; x++)
		for (u64 n = 0; n < r->extent[x].count && !err; n++)
			err = out_put(s, r->extent[x].block + n, tx->desc[i++]);
	return err;
}

/* The buffers of the descriptors stay until the flush; the part begins anew. */
static void
part_done(struct store *s)
{
	struct tx *tx = &s->tx;

	for (u32 i = 0; i < DIV_ROUND_UP(tx->items, STORE_LEAF_MAX); i++)
		tx->desc[i] = NULL;
	tx->all_items += tx->items;
	tx->all_blks += tx->blks;
	tx->items = tx->blks = tx->plain = 0;
	tx->pack = NULL;
	tx->part++;
	push(s);
}

/* Whether the part, which has its places, leaves what is reserved. */
static int
part_fits(const struct store *s)
{
	const struct tx *tx = &s->tx;
	u64 kept = space_reserve(s), taken = tx->all_blks + tx->blks;

	if (taken * STORE_BLOCK <= tx->freed)
		kept = tx->blks > 0 ? kept / 2 : 0;
	return s->space.free < kept ? -ENOSPC : 0;
}

/* What the record says, but for what it describes. */
static void
part_seal(struct store *s, struct store_record *r, const struct store_note *note, u32 flags)
{
	struct tx *tx = &s->tx;

	r->magic = STORE_RECORD_MAGIC;
	memcpy(r->uuid, s->super.uuid, sizeof(r->uuid));
	r->epoch = s->chain.epoch + 1;
	r->seq = tx->chain.seq + 1;
	r->prev = tx->chain.record;
	r->flags = flags;
	r->items = tx->items;
	r->part = tx->part;
	r->payload = tx->blks;
	r->kept = s->kept;
	r->note = *note;
	record_seal(r);
	tx->chain = (struct chain){r->epoch, r->seq, r->hash, {r->next[0], r->next[1]}};
}

/* Writes what was put as a record. The tree is changed while the disk works, but where it has to
 * say first whether the part frees enough to have its room. */
static int
part_write(struct store *s, const struct store_note *note, u32 flags)
{
	struct tx *tx = &s->tx;
	struct store_record *r = store_buf(s, &tx->bufs);
	u32 descs = tx->items > STORE_INLINE ? DIV_ROUND_UP(tx->items, STORE_LEAF_MAX) : 0;
	struct run *meta = NULL; /* where the head goes; of a large epoch beside the payload */
	bool tight;
	u64 head;
	int err;

	if (!r)
		return -ENOMEM;
	if (tx->part == 0 && (flags & STORE_LAST) && tx->blks <= REUSE_BLOCKS) {
		meta = &s->space.meta;
		reuse_begin(&s->space, tx->blks);
	}
	err = place_descs(s, r, descs, meta);
	if (!err)
		err = place_rest(s, r, &head, meta);
	tight = s->space.free < space_reserve(s);
	if (!err && !tight)
		err = out_payload(s);
	if (err)
		return err;
	fill_descs(tx, r);
	if (tight) {
		err = apply_descs(s);
		if (!err)
			err = part_fits(s);
		if (!err)
			err = out_payload(s);
		if (err)
			return err;
	}
	part_seal(s, r, note, flags);
	err = out_head(s, head, r);
	if (!err && (flags & STORE_LAST)) {
		err = base_publish(s, r->epoch);
		if (!err)
			err = out_end(s);
		tx->written = !err;
		if (!err && s->ops->flush_begin)
			s->ops->flush_begin(s->dev);
	}
	tx->in_place = flags & STORE_LAST;
	if (!err && !tight)
		err = apply_descs(s);
	part_done(s);
	return err;
}

static int
tx_error(struct store *s, int err)
{
	if (err)
		s->tx.error = err;
	return err;
}

/* What has to be durable before the first record, each time or once in a store's life. */
static int
way_clear(struct store *s)
{
	bool upgrade = STORE_INCOMPAT & ~s->super.incompat;
	int err;

	s->tx.begun = s->tx.begun || s->cut || upgrade;
	err = s->cut ? store_cut(s) : 0;
	return err || !upgrade ? err : super_upgrade(s);
}

static int
tx_ready(struct store *s)
{
	const struct store_note none = {0};
	int err = s->readonly ? -EROFS : s->failed ? s->failed : tx_begin(s);

	if (err)
		return err;
	if (s->tx.items < PART_ITEMS)
		return 0;
	err = way_clear(s);
	return err ? err : part_write(s, &none, 0);
}

static int
desc_add(struct store *s, const struct store_item *item)
{
	struct tx *tx = &s->tx;
	struct store_desc_block **d = &tx->desc[tx->items / STORE_LEAF_MAX];

	if (tx->items % STORE_LEAF_MAX == 0)
		*d = store_buf(s, &tx->bufs);
	if (!*d)
		return -ENOMEM;
	(*d)->item[tx->items++ % STORE_LEAF_MAX] = *item;
	return 0;
}

/* Room for a small item in the block that is being filled. */
static int
pack_add(struct store *s, struct store_item *item, const void *data)
{
	struct tx *tx = &s->tx;

	if (!tx->pack || tx->pack_used + item->length > STORE_BLOCK ||
	    tx->pack_items == BLOCK_HOLDS_MAX - 1) {
		tx->pack = store_buf(s, &tx->bufs);
		if (!tx->pack)
			return -ENOMEM;
		tx->pack_used = tx->pack_items = 0;
		tx->blk[tx->blks++] = (struct payload){.data = tx->pack};
		tx->plain++;
		tx->pack_block = tx->blks - 1;
	}
	memcpy(tx->pack + tx->pack_used, data, item->length);
	item->block = tx->pack_block;
	item->offset = (u16)tx->pack_used;
	tx->pack_used = ALIGN_UP(tx->pack_used + item->length, 16u);
	tx->pack_items++;
	return 0;
}

static int
put(struct store *s, struct store_item *item, const void *data, bool hashed)
{
	int err;

	assert(item->oid >= STORE_OID_USER);
	err = tx_ready(s);
	if (err)
		return tx_error(s, err);
	if (item->length == STORE_BLOCK) {
		item->block = s->tx.blks;
		s->tx.blk[s->tx.blks++] = (struct payload){.data = data, .hashed = hashed};
		s->tx.plain += !hashed;
	} else {
		err = pack_add(s, item, data);
	}
	return tx_error(s, err ? err : desc_add(s, item));
}

int
store_put(struct store *s, u64 oid, u64 idx, const void *data, u32 length)
{
	struct store_item item = {
		.oid = oid, .idx = idx, .length = (u16)length, .sum = STORE_SUM_64};

	assert(length > 0 && length <= STORE_BLOCK);
	return put(s, &item, data, false);
}

int
store_put_hashed(struct store *s, u64 oid, u64 idx, const void *block, u64 hash)
{
	struct store_item item = {.oid = oid,
				  .idx = idx,
				  .length = STORE_BLOCK,
				  .sum = STORE_SUM_64,
				  .hash = {.low = hash}};

	return put(s, &item, block, true);
}

int
store_delete(struct store *s, u64 oid, u64 first, u64 last)
{
	struct store_item item = {.oid = oid, .idx = first, .block = last, .op = STORE_DELETE};
	int err;

	assert(oid >= STORE_OID_USER && first <= last);
	err = tx_ready(s);
	return tx_error(s, err ? err : desc_add(s, &item));
}

/* Makes sure that no old record can be taken for one that follows ours. The place that counts less
 * goes first: without the other it would be believed. */
int
store_cut(struct store *s)
{
	void *zero = store_buf(s, &s->tx.bufs);
	int err = zero ? 0 : -ENOMEM;

	if (!err && s->kept)
		err = mark_flush(s);
	for (int i = 0; i < 2 && !err; i++) {
		err = out_put(s, s->chain.next[i], zero);
		if (!err)
			err = out_end(s);
		if (!err)
			err = s->ops->flush(s->dev);
	}
	if (!err)
		s->cut = false;
	return err;
}

/* All that the epoch is goes to the disk, and there is room in memory for what it ends. */
static int
commit_write(struct store *s, const struct store_note *note)
{
	struct tx *tx = &s->tx;
	int err = s->base_lost ? base_again(s) : 0;

	if (!err)
		err = way_clear(s);
	if (!err)
		err = part_write(s, note, STORE_LAST);
	if (!err)
		err = vec_room(s, &s->pending, 2 * tx->dead.n);
	if (!err)
		err = vec_room(s, &s->base_dead, tx->base_dead.n);
	return err;
}

/* The epoch that did not come about was written in whole: nobody is to find it. */
static int
head_clear(struct store *s)
{
	int err;

	assert(s->out.segs == 0);
	memset(s->tx.head, 0, STORE_BLOCK);
	err = out_put(s, s->tx.head_block, s->tx.head);
	if (!err)
		err = out_end(s);
	return s->ops->flush(s->dev) ? -EIO : err;
}

/* What was begun must be over before its memory is anything else. A head that the disk refused, or
 * lost count of, is not written again in its place. When it was memory, room or a page of the tree
 * that lacked, the disk has what it was given, and takes the next head in its place. */
static void
commit_failed(struct store *s, bool disk)
{
	bool headed = s->tx.open && s->tx.head_block != 0;

	if (s->tx.open && s->ops->flush(s->dev))
		disk = true;
	if (headed && s->tx.written && !disk)
		disk = head_clear(s) != 0;
	tx_drop(s);
	base_redo(s);
	if (headed && disk && ++s->tries == 2)
		s->failed = -EIO;
}

/* The epoch is durable: it is the one that is shown. */
static void
commit_done(struct store *s, const struct store_note *note)
{
	struct tx *tx = &s->tx;
	u64 epoch = tx->chain.epoch;

	s->recent[epoch % STORE_KEEP] = (struct store_epoch){.epoch = epoch,
							     .records = tx->part,
							     .items = tx->all_items,
							     .payload = tx->all_blks,
							     .note = *note};
	s->chain = tx->chain;
	s->tries = 0;
	s->attempts = 0;
	s->sealed = false;
	s->items_since_base += tx->all_items + tx->part;
	tx_keep(s);
	base_durable(s);
	store_horizon(s);
}

/* Epochs that can be opened keep what they have; and so does the tree that recovery may begin at.
 */
void
store_horizon(struct store *s)
{
	u64 epoch = s->chain.epoch;
	u64 horizon = epoch < STORE_KEEP ? 0 : epoch - (STORE_KEEP - 1);

	if (s->base_waits)
		horizon = min(horizon, s->new_base.epoch - 1);
	s->horizon = max(s->horizon, horizon);
	space_mature(s);
}

int
store_commit(struct store *s, const struct store_note *note, u64 *epoch)
{
	int err = s->readonly ? -EROFS : s->failed ? s->failed : tx_begin(s);
	bool disk;
	u64 payload;

	if (!err)
		err = commit_write(s, note);
	disk = err && err != -ENOMEM && err != -ENOSPC && !s->tx.written;
	if (!err) {
		if (s->ops->written)
			s->ops->written(s->dev);
		err = s->ops->flush(s->dev);
		disk = err != 0;
	}
	if (err) {
		commit_failed(s, disk);
		return err;
	}
	payload = s->tx.all_blks;
	commit_done(s, note);
	*epoch = s->chain.epoch;
	base_write(s);
	if (payload <= REUSE_BLOCKS)
		reuse_prepare(s, payload);
	if (payload >= SEAL_BLOCKS)
		mark_seal(s);
	push(s);
	return 0;
}

/* What died in the last epoch may be used two and STORE_KEEP epochs later, and as many more when a
 * base is waiting for its superblock. */
int
store_recycle(struct store *s)
{
	const struct store_note note = s->recent[s->chain.epoch % STORE_KEEP].note;
	u64 before = s->space.free, epoch;
	int err = 0;

	for (unsigned i = 0; i < 2 * STORE_KEEP + 2 && !err && s->pending.n > s->pending_head; i++)
		err = store_commit(s, &note, &epoch);
	return err ? err : s->space.free > before ? 0 : -ENOSPC;
}

void
store_abort(struct store *s)
{
	if (s->tx.open && s->tx.begun)
		(void)s->ops->flush(s->dev);
	tx_drop(s);
}
