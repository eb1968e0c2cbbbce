/*
 * What is on a disk, or comes from it, and must not be believed: superblocks, marks, records and
 * items that are damaged, or say what cannot be under right hashes; a disk that says one thing and
 * then another, or nothing. What is believed is an epoch as it was put.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "store_bench.h"

static void *
block_at(struct bench *b, u64 block)
{
	return b->d.mem + block * STORE_BLOCK;
}

/* --- superblocks --- */

static void
super_reseal(struct store_super *sb)
{
	sb->hash = hash128(sb, offsetof(struct store_super, hash));
}

static unsigned
newest_slot(struct bench *b)
{
	unsigned best = 0;

	for (unsigned i = 1; i < STORE_SLOTS; i++)
		if (tdisk_super(&b->d, i)->seq > tdisk_super(&b->d, best)->seq)
			best = i;
	return best;
}

/* Any byte of any one slot may be wrong, with a base behind it: the others lead to the same. */
static void
any_one_superblock_may_be_lost(void **state)
{
	struct bench *b = bench_new(10);

	for (int i = 1; i <= 30; i++)
		put(b, 0, 5, i);
	assert_true(b->s->super.base.epoch > 0);
	for (unsigned slot = 0; slot < STORE_SLOTS; slot++) {
		for (unsigned at = 0; at < sizeof(struct store_super); at++) {
			u8 *byte = (u8 *)block_at(b, STORE_SLOT_BLOCK[slot]) + at;

			*byte ^= 0xff;
			assert_found(b, 30, 30);
			*byte ^= 0xff;
		}
	}
	assert_true(newest_slot(b) == b->s->super.seq % STORE_SLOTS);
	bench_end(b);
}

enum super_lie {
	SUPER_MAGIC,
	SUPER_BLOCK_SIZE,
	SUPER_FEW,
	SUPER_MANY,
	SUPER_NEXT_LOW,
	SUPER_NEXT_HIGH,
	SUPER_NEXT2_LOW,
	SUPER_NEXT2_HIGH,
	SUPER_NEXT_SAME,
	SUPER_ROOT_LOW,
	SUPER_ROOT_HIGH,
	SUPER_LEVEL,
	SUPER_USED,
	SUPER_LIES
};

static void
super_lie(struct store_super *sb, enum super_lie lie)
{
	switch (lie) {
	case SUPER_MAGIC:
		sb->magic++;
		break;
	case SUPER_BLOCK_SIZE:
		sb->block_size = 512;
		break;
	case SUPER_FEW:
		sb->blocks = STORE_MIN_BLOCKS - 1;
		break;
	case SUPER_MANY:
		sb->blocks = STORE_MAX_BLOCKS + 1;
		break;
	case SUPER_NEXT_LOW:
		sb->base.next[0] = STORE_DATA_FIRST - 1;
		break;
	case SUPER_NEXT_HIGH:
		sb->base.next[0] = sb->blocks;
		break;
	case SUPER_NEXT2_LOW:
		sb->base.next[1] = STORE_DATA_FIRST - 1;
		break;
	case SUPER_NEXT2_HIGH:
		sb->base.next[1] = sb->blocks;
		break;
	case SUPER_NEXT_SAME:
		sb->base.next[1] = sb->base.next[0];
		break;
	case SUPER_ROOT_LOW:
		sb->base.root = STORE_DATA_FIRST - 1;
		break;
	case SUPER_ROOT_HIGH:
		sb->base.root = sb->blocks;
		break;
	case SUPER_LEVEL:
		sb->base.root_level = STORE_HEIGHT;
		break;
	default:
		sb->base.used = sb->blocks - STORE_DATA_FIRST - 1;
	}
}

/* A superblock that says what cannot be is none, whatever its hash; and the next best is taken. */
static void
superblocks_that_lie_are_none(void **state)
{
	struct bench *b = bench_new(10);
	enum store_kind kind;
	struct store *s;

	for (int i = 1; i <= 30; i++)
		put(b, 0, 5, i);
	for (enum super_lie lie = 0; lie < SUPER_LIES; lie++) {
		struct store_super kept[STORE_SLOTS];
		unsigned newest = newest_slot(b);

		for (unsigned i = 0; i < STORE_SLOTS; i++)
			kept[i] = *tdisk_super(&b->d, i);
		super_lie(block_at(b, STORE_SLOT_BLOCK[newest]), lie);
		super_reseal(block_at(b, STORE_SLOT_BLOCK[newest]));
		assert_found(b, 30, 30);
		for (unsigned i = 0; i < STORE_SLOTS; i++) {
			memcpy(block_at(b, STORE_SLOT_BLOCK[i]), &kept[i], sizeof(kept[i]));
			super_lie(block_at(b, STORE_SLOT_BLOCK[i]), lie);
			super_reseal(block_at(b, STORE_SLOT_BLOCK[i]));
		}
		assert_int_equal(store_open(&bench_ops, b, b->d.blocks, &(struct store_how){0}, &s),
				 -ENODEV);
		assert_int_equal(store_probe(&bench_ops, b, b->d.blocks, &kind), 0);
		assert_int_equal(kind, STORE_OTHER);
		for (unsigned i = 0; i < STORE_SLOTS; i++)
			memcpy(block_at(b, STORE_SLOT_BLOCK[i]), &kept[i], sizeof(kept[i]));
	}
	assert_found(b, 30, 30);
	bench_end(b);
}

/* Features of later: not to be read, or not to be written. */
static void
later_features_are_respected(void **state)
{
	struct bench *b = bench_new(10);
	const struct store_note note = {0};
	struct store *s;
	u64 epoch;

	put(b, 0, 5, 1);
	for (int way = 0; way < 4; way++) {
		struct store_super kept[STORE_SLOTS];
		int err;

		for (unsigned i = 0; i < STORE_SLOTS; i++) {
			struct store_super *sb = tdisk_super(&b->d, i);

			kept[i] = *sb;
			sb->version += way == 0;
			sb->incompat |= way == 1 ? 2 : 0;
			sb->ro_compat |= way == 2;
			sb->compat |= way == 3;
			super_reseal(sb);
		}
		err = store_open(&bench_ops, b, b->d.blocks, &(struct store_how){0}, &s);
		assert_int_equal(err, way < 2 ? -EOPNOTSUPP : 0);
		if (err == 0) {
			assert_int_equal(page_byte(s, 0), 1);
			if (way == 2)
				assert_int_equal(store_commit(s, &note, &epoch), -EROFS);
			store_close(s);
		}
		for (unsigned i = 0; i < STORE_SLOTS; i++)
			memcpy(block_at(b, STORE_SLOT_BLOCK[i]), &kept[i], sizeof(kept[i]));
	}
	bench_end(b);
}

/* --- marks --- */

static u32
attempts_found(struct bench *b)
{
	struct store_status st;
	struct store *s;

	assert_int_equal(
		store_open(&bench_ops, b, b->d.blocks, &(struct store_how){.readonly = true}, &s),
		0);
	store_status(s, &st);
	store_close(s);
	return st.attempts;
}

/* A mark counts for its epoch, its record and its store, with its hash. */
static void
marks_of_something_else_say_nothing(void **state)
{
	struct bench *b = bench_new(1000);
	struct store_mark *m = block_at(b, STORE_MARK_BLOCK[2]), kept;

	put(b, 0, 3, 1);
	put(b, 0, 3, 2);
	assert_int_equal(store_attempt(b->s), 0);
	assert_int_equal(store_attempt(b->s), 0);
	assert_int_equal(attempts_found(b), 2);
	kept = *m;
	for (unsigned at = 0; at < sizeof(*m); at++) {
		((u8 *)m)[at] ^= 1;
		assert_int_equal(attempts_found(b), 0);
		((u8 *)m)[at] ^= 1;
	}
	for (unsigned way = 0; way < 4; way++) {
		m->magic += way == 0;
		m->uuid[15] ^= way == 1;
		m->epoch += way == 2 ? STORE_MARKS : 0;
		m->record.high ^= way == 3;
		m->hash = hash128(m, offsetof(struct store_mark, hash));
		assert_int_equal(attempts_found(b), 0);
		*m = kept;
	}
	assert_int_equal(attempts_found(b), 2);
	bench_end(b);
}

/* A mark that says that an epoch was flushed is of that epoch as it was put the last time. */
static void
a_mark_of_an_epoch_given_up_vouches_for_nothing(void **state)
{
	struct bench *b = bench_new(1000);
	u64 head;

	put(b, 0, 3, 1);
	put(b, 0, SEAL_BLOCKS, 2);
	bench_reopen(b, 1, 1000);
	head = b->s->chain.next[0];
	put(b, 0, 3, 3);
	assert_found(b, 2, 3);
	memset(block_at(b, payload_of(b, head)), 0, STORE_BLOCK);
	assert_found(b, 1, 1);
	bench_end(b);
}

/* --- records --- */

enum record_lie {
	RECORD_MAGIC,
	RECORD_UUID,
	RECORD_SEQ,
	RECORD_EPOCH_SAME,
	RECORD_EPOCH_LATER,
	RECORD_PREV,
	RECORD_NEXT_LOW,
	RECORD_NEXT_HIGH,
	RECORD_NEXT2_LOW,
	RECORD_NEXT2_HIGH,
	RECORD_NEXT_SAME,
	RECORD_ITEMS,
	RECORD_EXTENTS,
	RECORD_EXTENT_LOW,
	RECORD_EXTENT_HIGH,
	RECORD_EXTENT_LONG,
	RECORD_EXTENT_END,
	RECORD_EXTENT_SHORT,
	RECORD_DESC_HASH,
	ITEM_BLOCK_LOW,
	ITEM_BLOCK_HIGH,
	ITEM_EMPTY,
	ITEM_LONG,
	ITEM_OFFSET,
	ITEM_OP,
	ITEM_SUM,
	ITEM_RANGE,
	RECORD_LIES
};

static void
item_lie(struct store_item *item, u64 blocks, enum record_lie lie)
{
	switch (lie) {
	case ITEM_BLOCK_LOW:
		item->block = STORE_DATA_FIRST - 1;
		break;
	case ITEM_BLOCK_HIGH:
		item->block = blocks;
		break;
	case ITEM_EMPTY:
		item->length = 0;
		item->hash = (struct hash128){.low = hash64("", 0)};
		break;
	case ITEM_LONG:
		item->length = STORE_BLOCK + 1;
		break;
	case ITEM_OFFSET:
		item->offset = 1;
		break;
	case ITEM_OP:
		item->op = 2;
		break;
	case ITEM_SUM:
		item->sum = 2;
		break;
	default:
		item->op = STORE_DELETE;
		item->block = item->idx - 1;
	}
}

static void
extent_lie(struct store_record *r, u64 blocks, enum record_lie lie)
{
	switch (lie) {
	case RECORD_ITEMS:
		if (r->extents)
			r->items = PART_ITEMS + 1;
		else
			r->items = STORE_INLINE + 1;
		break;
	case RECORD_EXTENTS:
		r->extents = STORE_EXTENTS + 1;
		break;
	case RECORD_EXTENT_LOW:
		r->extent[0].block = STORE_DATA_FIRST - 1;
		break;
	case RECORD_EXTENT_HIGH:
		r->extent[0].block = blocks;
		break;
	case RECORD_EXTENT_LONG:
		r->extent[0].count = UINT64_MAX;
		break;
	case RECORD_EXTENT_END:
		r->extent[0].block = blocks - r->extent[0].count + 1;
		break;
	case RECORD_EXTENT_SHORT:
		r->extent[0].count--;
		break;
	default:
		r->desc_hash.high ^= 1;
	}
}

static void
record_lie(struct store_record *r, u64 blocks, enum record_lie lie)
{
	switch (lie) {
	case RECORD_MAGIC:
		r->magic++;
		break;
	case RECORD_UUID:
		r->uuid[15] ^= 1;
		break;
	case RECORD_SEQ:
		r->seq++;
		break;
	case RECORD_EPOCH_SAME:
		r->epoch--;
		break;
	case RECORD_EPOCH_LATER:
		r->epoch++;
		break;
	case RECORD_PREV:
		r->prev.low ^= 1;
		break;
	case RECORD_NEXT_LOW:
		r->next[0] = STORE_DATA_FIRST - 1;
		break;
	case RECORD_NEXT_HIGH:
		r->next[0] = blocks;
		break;
	case RECORD_NEXT2_LOW:
		r->next[1] = STORE_DATA_FIRST - 1;
		break;
	case RECORD_NEXT2_HIGH:
		r->next[1] = blocks;
		break;
	case RECORD_NEXT_SAME:
		r->next[1] = r->next[0];
		break;
	default:
		if (lie < ITEM_BLOCK_LOW)
			extent_lie(r, blocks, lie);
		else
			item_lie(&r->item[0], blocks, lie);
	}
}

/* The last record says what cannot be, under a right hash: it never happened. */
static void
records_that_lie_never_happened(void **state)
{
	for (int large = 0; large < 2; large++) {
		struct bench *b = bench_new(1000);
		struct store_record *r, kept;

		put(b, 0, 3, 1);
		r = block_at(b, b->s->chain.next[0]);
		put(b, 0, large ? STORE_LEAF_MAX + 1 : 3, 2);
		kept = *r;
		assert_int_equal(kept.extents > 0, large);
		for (enum record_lie lie = 0; lie < RECORD_LIES; lie++) {
			if (large ? lie >= ITEM_BLOCK_LOW
				  : lie > RECORD_ITEMS && lie < ITEM_BLOCK_LOW)
				continue;
			record_lie(r, b->d.blocks, lie);
			r->hash = hash128(r, offsetof(struct store_record, hash));
			assert_found(b, 1, 1);
			*r = kept;
			r->hash.low++;
			assert_found(b, 1, 1);
			*r = kept;
		}
		assert_found(b, 2, 2);
		bench_end(b);
	}
}

/* A descriptor in a block of its own is damaged, or says what cannot be with right hashes. */
static void
descriptors_that_lie_never_happened(void **state)
{
	struct bench *b = bench_new(1000);
	struct store_desc_block *d, kept;
	struct store_record *r;

	put(b, 0, 3, 1);
	r = block_at(b, b->s->chain.next[0]);
	put(b, 0, STORE_INLINE + 1, 2);
	d = block_at(b, r->extent[0].block);
	kept = *d;
	for (unsigned at = 0; at < sizeof(*d); at += 7) {
		((u8 *)d)[at] ^= 4;
		assert_found(b, 1, 1);
		((u8 *)d)[at] ^= 4;
	}
	for (enum record_lie lie = ITEM_BLOCK_LOW; lie < RECORD_LIES; lie++) {
		item_lie(&d->item[STORE_INLINE], b->d.blocks, lie);
		r->desc_hash = record_fold((struct hash128){0}, d);
		record_seal(r);
		assert_found(b, 1, 1);
		*d = kept;
	}
	r->desc_hash = record_fold((struct hash128){0}, d);
	record_seal(r);
	assert_found(b, 2, 2);
	bench_end(b);
}

/* --- a disk that says something else the next time --- */

static struct {
	unsigned long at, n; /* the read that is wrong; of so many */
	unsigned byte;
} lying;

static int
lying_read(void *dev, u64 block, void *buf, u32 blocks)
{
	int err = bench_read(dev, block, buf, blocks);

	if (++lying.n == lying.at)
		((u8 *)buf)[lying.byte] ^= 1;
	return err;
}

/* One bit of one read is wrong, any read: the epochs that are shown are as they were put, and
 * nothing was counted wrong; or it is an error. */
static void
a_read_that_is_wrong_once_is_found(void **state)
{
	static const unsigned bytes[] = {0, 24, 80, 200, 4090};
	struct bench *b = bench_new(1000);
	struct store_ops ops = bench_ops;
	unsigned refused = 0;

	ops.read = lying_read;
	for (int i = 1; i <= 3; i++)
		put(b, 0, 100, i);
	put(b, 0, 3, 4);
	for (unsigned k = 0; k < ARRAY_SIZE(bytes); k++) {
		bool more = true;

		lying.byte = bytes[k];
		for (lying.at = 1; more; lying.at++) {
			const struct store_how how = {.readonly = true};
			struct store *s;
			int err;

			lying.n = 0;
			err = store_open(&ops, b, b->d.blocks, &how, &s);
			more = lying.n >= lying.at;
			refused += err == -EBADMSG;
			assert_true(err == 0 || err == -EBADMSG);
			if (err)
				continue;
			lying.n = lying.at; /* from here on what it reads is right */
			if (shown(s) > 0)   /* else the first record was it */
				assert_int_equal(page_byte(s, 0), (int)shown(s));
			assert_sound(s);
			store_close(s);
		}
	}
	assert_true(refused > 0);
	bench_end(b);
}

/* What the youngest epoch put cannot be read: it is told, until an older epoch is asked for. What
 * lies behind it on the disk, and is read with it, does not matter. */
static void
what_cannot_be_read_of_the_youngest_epoch(void **state)
{
	struct bench *b = bench_new(1000);
	struct store_item item;
	u64 behind = 0;
	struct store *s;

	for (int i = 1; i <= 3; i++)
		put(b, 0, 3, i);
	for (u64 k = 0; k < 3; k++) {
		assert_int_equal(store_next(b->s, OBJECT, STORE_PAGE(k), &item), 0);
		assert_int_equal(item.idx, STORE_PAGE(k));
		behind = max(behind, item.block + 1);
		b->unread = item.block;
		assert_int_equal(store_open(&bench_ops, b, b->d.blocks, &(struct store_how){0}, &s),
				 -EIO);
		assert_int_equal(
			store_open(&bench_ops, b, b->d.blocks, &(struct store_how){.epoch = 3}, &s),
			-EIO);
		assert_int_equal(
			store_open(&bench_ops, b, b->d.blocks, &(struct store_how){.epoch = 2}, &s),
			0);
		assert_int_equal(shown(s), 2);
		assert_int_equal(page_byte(s, k), 2);
		store_close(s);
		assert_int_equal(
			store_open(&bench_ops, b, b->d.blocks, &(struct store_how){.epoch = 4}, &s),
			-EIO);
	}
	for (b->unread = behind; b->unread < behind + 16; b->unread++) {
		if (b->unread == b->s->chain.next[0] || b->unread == b->s->chain.next[1])
			continue;
		bench_reopen(b, 0, 1000);
		assert_int_equal(shown(b->s), 3);
	}
	b->unread = 0;
	assert_sound(b->s);
	bench_end(b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_one_superblock_may_be_lost),
		cmocka_unit_test(superblocks_that_lie_are_none),
		cmocka_unit_test(later_features_are_respected),
		cmocka_unit_test(marks_of_something_else_say_nothing),
		cmocka_unit_test(a_mark_of_an_epoch_given_up_vouches_for_nothing),
		cmocka_unit_test(records_that_lie_never_happened),
		cmocka_unit_test(descriptors_that_lie_never_happened),
		cmocka_unit_test(a_read_that_is_wrong_once_is_found),
		cmocka_unit_test(what_cannot_be_read_of_the_youngest_epoch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
