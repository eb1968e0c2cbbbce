/*
 * The store at its edges: what is told apart, made and refused; what an engine without some
 * operations has; what is known after a start that was known before; maps of many chunks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "store_bench.h"

static struct store_status
status_of(const struct store *s)
{
	struct store_status st;

	store_status(s, &st);
	return st;
}

/* --- telling disks apart, and making stores --- */

static enum store_kind
probe(struct bench *b, u64 blocks)
{
	enum store_kind kind;

	assert_int_equal(store_probe(&bench_ops, b, blocks, &kind), 0);
	return kind;
}

/* Bytes of somebody else in the first MiBs or the last are seen, at every block of them. */
static void
anything_at_the_edges_is_not_blank(void **state)
{
	struct bench *b = bench_new(1000);
	u64 blocks = b->d.blocks;

	for (unsigned i = 0; i < STORE_SLOTS; i++)
		clear_block(b, STORE_SLOT_BLOCK[i]);
	assert_int_equal(probe(b, blocks), STORE_BLANK);
	assert_int_equal(probe(b, STORE_MIN_BLOCKS), STORE_BLANK);
	assert_int_equal(probe(b, STORE_MIN_BLOCKS - 1), STORE_OTHER);
	for (u64 i = 0; i < blocks; i++) {
		bool edge = i < STORE_DATA_FIRST || i >= blocks - 256;

		b->d.mem[i * STORE_BLOCK + i % STORE_BLOCK] = 1;
		assert_int_equal(probe(b, blocks), edge ? STORE_OTHER : STORE_BLANK);
		b->d.mem[i * STORE_BLOCK + i % STORE_BLOCK] = 0;
	}
	bench_end(b);
}

/* A read that fails or memory that lacks while a disk is looked at: it is told, and nobody takes
 * the disk for a blank one. */
static void
a_probe_tells_what_it_lacks(void **state)
{
	struct bench *b = bench_new(1000);
	enum store_kind kind;
	int err = -EIO;

	for (unsigned i = 0; i < STORE_SLOTS; i++)
		clear_block(b, STORE_SLOT_BLOCK[i]);
	for (long n = 1; err; n++) {
		b->d.fail_read = n;
		err = store_probe(&bench_ops, b, b->d.blocks, &kind);
		assert_true(err == -EIO || (err == 0 && b->d.fail_read > 0));
	}
	b->d.fail_read = 0;
	err = -ENOMEM;
	for (long n = 1; err; n++) {
		tdisk_fail_alloc = n;
		err = store_probe(&bench_ops, b, b->d.blocks, &kind);
		assert_true(err == -ENOMEM || (err == 0 && tdisk_fail_alloc > 0));
	}
	tdisk_fail_alloc = 0;
	bench_end(b);
}

/* One slot cannot be read: the others say that there is a store. */
static void
one_slot_that_cannot_be_read_is_no_matter(void **state)
{
	struct bench *b = bench_new(1000);

	for (long n = 1; n <= STORE_SLOTS; n++) {
		b->d.fail_read = n;
		assert_int_equal(probe(b, b->d.blocks), STORE_IS);
	}
	b->d.fail_read = 0;
	bench_end(b);
}

/* Every request of making a store fails once: it is told; and nothing is written when what is there
 * could not be read. */
static void
a_store_that_is_not_made_is_told(void **state)
{
	static const u8 other[16] = "another store";
	struct bench *b = bench_new(1000);
	int err;

	assert_int_equal(store_format(&bench_ops, b, STORE_MIN_BLOCKS - 1, other, 0), -ENOSPC);
	for (unsigned i = 0; i < STORE_SLOTS; i++)
		clear_block(b, STORE_SLOT_BLOCK[i]);
	bench_record(b);
	b->d.fail_read = 1;
	assert_int_equal(store_format(&bench_ops, b, b->d.blocks, other, 0), -EIO);
	assert_int_equal(b->d.ops, 0);
	err = -ENOMEM;
	for (long n = 1; n <= 2; n++) {
		tdisk_fail_alloc = n;
		assert_int_equal(store_format(&bench_ops, b, b->d.blocks, other, 0), -ENOMEM);
		assert_int_equal(b->d.ops, 0);
	}
	err = -EIO;
	for (long n = 1; err; n++) {
		b->d.fail_flush = n;
		err = store_format(&bench_ops, b, b->d.blocks, other, 0);
		assert_true(err == -EIO || (err == 0 && n == STORE_SLOTS + 2));
	}
	err = -EIO;
	b->d.fail_flush = 0;
	for (long n = 1; err; n++) {
		b->d.fail_write = n;
		err = store_format(&bench_ops, b, b->d.blocks, other, 0);
		assert_true(err == -EIO || (err == 0 && n == STORE_SLOTS + 1));
	}
	b->d.fail_write = 0;
	bench_end(b);
}

/* A store is made where there was one: in all four slots, each durable before the next, numbered on
 * from the old one's, so that whatever is cut short there is the old one or the new. */
static void
a_new_store_follows_the_old(void **state)
{
	static const u8 other[16] = "another store";
	struct bench *b = bench_new(10);
	unsigned flushes = 0;
	u64 seq;

	for (int i = 1; i <= 30; i++)
		put(b, 0, 5, i);
	seq = b->s->super.seq;
	store_close(b->s);
	bench_record(b);
	assert_int_equal(store_format(&bench_ops, b, b->d.blocks, other, 7), 0);
	for (size_t i = 0; i < b->d.ops; i++) {
		const struct store_super *sb = (const void *)b->d.op[i].data;

		flushes += b->d.op[i].blocks == 0;
		if (b->d.op[i].blocks == 0)
			continue;
		assert_true(sb->seq == seq + flushes);
		assert_int_equal(b->d.op[i].block, STORE_SLOT_BLOCK[sb->seq % STORE_SLOTS]);
		assert_int_equal(b->d.op[i + 1].blocks, 0);
	}
	assert_int_equal(flushes, STORE_SLOTS + 1);
	bench_open(b, 0, 10);
	assert_memory_equal(status_of(b->s).uuid, other, 16);
	assert_int_equal(status_of(b->s).epoch, 0);
	assert_int_equal(status_of(b->s).created_ns, 7);
	put(b, 0, 3, 1);
	assert_found(b, 1, 1);
	bench_end(b);
}

/* What was in memory before is not taken for what the disk says. */
static void
only_the_disk_says_which_superblock_is_best(void **state)
{
	struct bench *b = bench_new(1000);
	struct store_super sb;
	unsigned copies;

	memset(&sb, 0xff, sizeof(sb));
	assert_int_equal(super_read(&bench_ops, b, b->d.blocks, &sb, &copies), 0);
	assert_int_equal(sb.seq, b->s->super.seq);
	bench_end(b);
}

/* --- what is known after a start --- */

static void
assert_same_epochs(struct store *a, struct store *b)
{
	struct store_status sa = status_of(a), sb = status_of(b);

	assert_int_equal(sa.epoch, sb.epoch);
	assert_int_equal(sa.oldest, sb.oldest);
	assert_int_equal(sa.base, sb.base);
	assert_int_equal(sa.items_since_base, sb.items_since_base);
	assert_int_equal(sa.used, sb.used);
	for (u64 e = sa.oldest + (sa.oldest == sa.base); e <= sa.epoch; e++) {
		struct store_epoch ea, eb;

		assert_int_equal(store_epoch(a, e, &ea), 0);
		assert_int_equal(store_epoch(b, e, &eb), 0);
		assert_memory_equal(&ea, &eb, sizeof(ea));
	}
	assert_int_equal(store_epoch(b, sb.epoch + 1, &(struct store_epoch){0}), -ENOENT);
	if (sb.oldest > 0)
		assert_int_equal(store_epoch(b, sb.oldest - 1, &(struct store_epoch){0}), -ENOENT);
}

/* Epochs, their sizes and what is in use are the same before and after a start; a large one of
 * several records among them. */
static void
a_start_finds_what_was_known(void **state)
{
	struct bench *b = bench_new(40000);

	for (int i = 1; i <= 12; i++) {
		struct store *s;

		if (i == 6)
			for (u64 k = 0; k < PART_ITEMS + 100; k++)
				assert_int_equal(store_put(b->s, OBJECT, k, &k, sizeof(k)), 0);
		put(b, 0, (u64)i * 9, i);
		assert_int_equal(store_open(&bench_ops, b, b->d.blocks,
					    &(struct store_how){.readonly = true}, &s),
				 0);
		assert_same_epochs(b->s, s);
		assert_sound(s);
		store_close(s);
	}
	bench_end(b);
}

/* What is given up stays given up: epochs that have lost blocks to those that are no more are not
 * opened, though they are among the last four; through starts, and epochs of several records. */
static void
older_epochs_than_are_whole_do_not_open(void **state)
{
	for (int parts = 0; parts < 2; parts++) {
		for (int behind = 0; behind < 3; behind++) {
			struct bench *b = bench_new(100000);
			struct store *s;

			for (int i = 1; i <= 8; i++) {
				for (u64 k = 0; parts && i == 6 && k < PART_ITEMS + 100; k++)
					assert_int_equal(store_put(b->s, OBJECT, k, "x", 1), 0);
				put(b, 0, 3, i);
			}
			/* 5 is the oldest that can be opened: it stays so from 6 on. */
			bench_reopen(b, 6, 100000);
			assert_int_equal(status_of(b->s).oldest, 5);
			for (int i = 0; i < behind; i++)
				put(b, 0, 3, 9);
			if (behind == 0) { /* they are cut off, and then the epoch fails */
				b->d.fail_flush = 4;
				assert_int_equal(try_put(b, 0, 3, 9), -EIO);
				clear_block(b, b->s->chain.next[0]);
			}
			bench_reopen(b, 0, 100000);
			assert_int_equal(status_of(b->s).epoch, 6 + (u64)behind);
			assert_int_equal(status_of(b->s).oldest, 5);
			assert_int_equal(store_open(&bench_ops, b, b->d.blocks,
						    &(struct store_how){true, 4, 0}, &s),
					 -ENOENT);
			assert_int_equal(store_open(&bench_ops, b, b->d.blocks,
						    &(struct store_how){true, 9, 0}, &s),
					 -ENOENT);
			put(b, 0, 3, 10);
			assert_sound(b->s);
			bench_end(b);
		}
	}
}

/* Several blocks at once are read ahead: a failure of that is no matter. */
static int
count_one_block(void *dev, u64 block, void *buf, u32 blocks)
{
	struct tdisk *d = &((struct bench *)dev)->d;
	long left = d->fail_read;
	int err;

	if (blocks == 1)
		return bench_read(dev, block, buf, blocks);
	d->fail_read = 0;
	err = bench_read(dev, block, buf, blocks);
	d->fail_read = left;
	return err;
}

/* Every read of a start fails once, and memory lacks at every place: the start says so, whatever
 * epoch it looks for, and whatever it has to go through: a base, records with descriptors of their
 * own, an epoch of several, one with a mark, one that is torn. */
static void
a_start_tells_what_it_lacks(void **state)
{
	struct store_ops ops = bench_ops;
	struct bench *b = bench_of(2 * STORE_MIN_BLOCKS, 300);
	int err = -EIO;
	u64 head;

	put(b, 0, 300, 1);
	for (int i = 2; i <= 6; i++)
		put(b, 0, 10, i);
	assert_true(b->s->super.base.epoch > 0);
	for (u64 k = 0; k < PART_ITEMS + 100; k++)
		assert_int_equal(store_put(b->s, OBJECT, k, "x", 1), 0);
	b->s->base_items = UINT32_MAX;
	put(b, 0, 300, 7);
	assert_int_equal(store_delete(b->s, OBJECT, 0, UINT32_MAX), 0);
	put(b, 0, 100, 8);
	head = b->s->chain.next[0];
	put(b, 0, 70, 9);
	clear_block(b, ((struct store_extent *)(b->d.mem + head * STORE_BLOCK +
						offsetof(struct store_record, extent)))
			       ->block);
	store_close(b->s);
	ops.read = count_one_block;
	for (long n = 1; err; n++) {
		b->d.fail_read = n;
		err = store_open(&ops, b, b->d.blocks, &(struct store_how){0}, &b->s);
		/* One superblock may be missing. */
		if (err == 0 && n <= (long)STORE_SLOTS) {
			store_close(b->s);
			err = -EIO;
		}
		assert_true(err == -EIO || (err == 0 && b->d.fail_read > 0));
	}
	b->d.fail_read = 0;
	store_close(b->s);
	err = -ENOMEM;
	for (long n = 1; err; n += n < 60 ? 1 : 7) { /* most are alike */
		tdisk_fail_alloc = n;
		err = store_open(&bench_ops, b, b->d.blocks, &(struct store_how){0}, &b->s);
		assert_true(err == -ENOMEM || (err == 0 && tdisk_fail_alloc > 0));
	}
	tdisk_fail_alloc = 0;
	assert_int_equal(shown(b->s), 8);
	assert_int_equal(page_byte(b->s, 0), 8);
	assert_sound(b->s);
	bench_end(b);
}

/* --- operations --- */

/* An epoch of several records comes with a superblock: once, and with one flush. */
static void
a_large_epoch_publishes_a_base_once(void **state)
{
	struct bench *b = bench_of(8 * STORE_MIN_BLOCKS, 10);

	for (int i = 1; i <= 20; i++) {
		bool due = b->s->base_copies && b->s->chain.epoch + 1 >= b->s->new_base.epoch + 4;
		unsigned supers = 0, flushes = 0;

		for (u64 k = 0; due && k < PART_ITEMS + 100; k++)
			assert_int_equal(store_put(b->s, OBJECT, k, "x", 1), 0);
		bench_record(b);
		put(b, 0, 11, i);
		for (size_t k = 0; k < b->d.ops; k++) {
			supers += b->d.op[k].blocks && b->d.op[k].block < STORE_DATA_FIRST;
			flushes += b->d.op[k].blocks == 0;
		}
		assert_int_equal(supers, due);
		assert_int_equal(flushes, 1);
		assert_found(b, (u64)i, i);
	}
	bench_end(b);
}

/* Two writes in a row are refused, any two: what a base has is on the disk before a superblock
 * tells of it. */
static void
a_base_that_was_refused_is_written_again(void **state)
{
	bool more = true;

	for (unsigned long n = 1; more; n++) {
		struct bench *b = bench_new(10);

		b->from = b->calls + n;
		b->to = b->from + 2;
		for (int i = 1; i <= 14; i++) {
			int err = -EIO;

			for (int k = 0; err && k < 4; k++) {
				err = try_put(b, (u64)i * 30, 5, i);
				assert_true(err == 0 || err == -EIO);
				if (b->s->failed) /* both places, one behind the other */
					bench_reopen(b, 0, 10);
			}
			assert_int_equal(err, 0);
		}
		more = b->calls >= b->from;
		bench_reopen(b, 0, 10);
		assert_int_equal(shown(b->s), 14);
		for (int i = 1; i <= 14; i++)
			assert_int_equal(page_byte(b->s, (u64)i * 30), i);
		assert_sound(b->s);
		bench_end(b);
	}
}

/* The store again, through these operations. */
static void
open_through(struct bench *b, const struct store_ops *ops)
{
	store_close(b->s);
	assert_int_equal(store_open(ops, b, b->d.blocks, &(struct store_how){0}, &b->s), 0);
}

static unsigned long allocs, flushes_begun;

static void *
count_alloc(size_t size)
{
	allocs++;
	return tdisk_alloc(size);
}

static void
count_flush_begin(void *dev)
{
	flushes_begun++;
	bench_flush_begin(dev);
}

/* Does an epoch that replaces what others put copy the tree for it? And is its flush begun before
 * the tree is changed? */
static void
what_is_replaced_in_a_young_leaf_costs_no_copies(void **state)
{
	struct bench *b = bench_new(100000);
	struct store_ops ops = bench_ops;

	ops.alloc = count_alloc;
	ops.flush_begin = count_flush_begin;
	open_through(b, &ops);
	put(b, 0, 300, 1);
	put(b, 0, 60, 2);
	flushes_begun = 0;
	for (int i = 3; i <= 12; i++) {
		allocs = 0;
		put(b, (u64)i * 20, 60, i);
		/* The head, descriptors, the beginnings of lists, blocks to be cleared. */
		assert_true(allocs <= 8);
	}
	assert_int_equal(flushes_begun, 10);
	assert_sound(b->s);
	bench_end(b);
}

static unsigned long pushes, pushed_before;

static void
count_push(void *dev)
{
	pushes++;
}

static void
note_pushes(void *dev)
{
	pushed_before = pushes;
	bench_flush_begin(dev);
}

/* The disk is told of an epoch of a few blocks once, by the flush; of one with many hashes to make
 * before them. Nothing that comes behind a commit waits for the next one. */
static void
a_small_epoch_goes_to_the_disk_at_once(void **state)
{
	struct bench *b = bench_new(100000);
	struct store_ops ops = bench_ops;

	ops.push = count_push;
	ops.flush_begin = note_pushes;
	open_through(b, &ops);
	for (int i = 1; i <= 10; i++) {
		pushes = 0;
		put(b, 0, i % 2 ? 60 : 100, i);
		assert_int_equal(pushed_before, i % 2 ? 0 : 1);
		assert_true(pushes > pushed_before);
	}
	assert_sound(b->s);
	bench_end(b);
}

/* A block that something holds is counted free: the map was wrong. Nothing more is written by it,
 * and what is there can be read. */
static void
a_wrong_map_stops_writing(void **state)
{
	for (int base = 0; base < 2; base++) {
		struct bench *b = bench_new(base ? 20 : 100000);
		int err = 0;
		u8 *count;

		put(b, 0, 8, 1);
		put(b, 0, 8, 2);
		assert_true(b->s->pending.n > b->s->pending_head);
		assert_int_equal(
			space_count(b->s, *vec_at(&b->s->pending, b->s->pending_head), &count), 0);
		*count = 0;
		for (int i = 3; i < 12 && !err; i++) {
			err = try_put(b, 0, 8, i);
			if (base && i == 3) /* the base counts without what waits */
				assert_int_equal(b->s->failed, -EBADMSG);
		}
		assert_int_equal(err, -EBADMSG);
		assert_int_equal(b->s->failed, -EBADMSG);
		assert_true(page_byte(b->s, 0) > 1);
		bench_end(b);
	}
}

static struct bench *watched;
static unsigned long written_at, written_calls;

static void
note_written(void *dev)
{
	written_at = watched->d.ops;
	written_calls++;
}

/* An engine that begins no flushes, and one that is told when all is on its way. */
static void
operations_that_may_be_left_out(void **state)
{
	struct bench *b = bench_new(1000);
	struct store_ops ops = bench_ops;

	ops.flush_begin = NULL;
	ops.written = note_written;
	watched = b;
	open_through(b, &ops);
	for (int i = 1; i <= 5; i++) {
		bench_record(b);
		put(b, 0, 100, i);
		assert_int_equal(written_calls, i);
		assert_int_equal(b->d.op[written_at].blocks, 0); /* the flush is next */
	}
	assert_found(b, 5, 5);
	bench_end(b);
}

/* Buffers that were given to the disk are kept until it is done with them. */
static void
nothing_is_freed_that_is_being_written(void **state)
{
	struct bench *b = bench_new(100000);
	unsigned long flushes = b->d.flushes;

	assert_int_equal(store_put(b->s, OBJECT, 1, "x", 1), 0);
	store_abort(b->s);
	assert_int_equal(b->d.flushes, flushes);
	for (u64 k = 0; k <= PART_ITEMS; k++)
		assert_int_equal(store_put(b->s, OBJECT, k, "x", 1), 0);
	store_abort(b->s);
	assert_int_equal(b->d.flushes, flushes + 1);
	assert_int_equal(status_of(b->s).used, 2);
	assert_sound(b->s);
	put(b, 0, 3, 1);
	assert_found(b, 1, 1);
	bench_end(b);
}

/* Does recycling write epochs when there is nothing to be had? */
static void
nothing_to_recycle_costs_nothing(void **state)
{
	struct bench *b = bench_new(1000);
	unsigned long writes = b->d.writes;

	assert_int_equal(store_recycle(b->s), -ENOSPC);
	assert_int_equal(b->d.writes, writes);
	put(b, 0, 10, 1);
	put(b, 0, 10, 2);
	assert_int_equal(store_recycle(b->s), 0);
	assert_int_equal(b->s->pending.n - b->s->pending_head, 0);
	assert_int_equal(store_recycle(b->s), -ENOSPC);
	bench_end(b);
}

/* An attempt that was not noted is told. */
static void
an_attempt_that_is_not_noted_is_told(void **state)
{
	struct bench *b = bench_new(1000);

	put(b, 0, 3, 1);
	tdisk_fail_alloc = 1;
	assert_int_equal(store_attempt(b->s), -ENOMEM);
	tdisk_fail_alloc = 0;
	b->d.fail_flush = 1;
	assert_int_equal(store_attempt(b->s), -EIO);
	b->d.fail_flush = 0;
	b->from = b->calls + 1;
	b->to = b->from + 1;
	assert_int_equal(store_attempt(b->s), -EIO);
	assert_int_equal(store_attempt(b->s), 0);
	assert_int_equal(status_of(b->s).attempts, 4);
	bench_end(b);
}

/* One that is taken back is not there at the next start, and one that was not is. */
static void
an_attempt_is_taken_back(void **state)
{
	struct bench *b = bench_new(1000);

	put(b, 0, 3, 1);
	assert_int_equal(store_attempt(b->s), 0);
	assert_int_equal(store_attempt(b->s), 0);
	assert_int_equal(store_attempt_void(b->s), 0);
	bench_reopen(b, 0, 10);
	assert_int_equal(status_of(b->s).attempts, 1);
	b->d.fail_flush = 1;
	assert_int_equal(store_attempt_void(b->s), -EIO);
	b->d.fail_flush = 0;
	assert_int_equal(store_attempt(b->s), 0);
	assert_int_equal(status_of(b->s).attempts, 1);
	bench_end(b);
}

/* Nor was one that the disk took and did not keep. */
static void
a_note_that_the_disk_drops_is_none(void **state)
{
	struct bench *b = bench_new(1000);

	put(b, 0, 3, 1);
	assert_int_equal(store_attempt(b->s), 0);
	b->bad_block = STORE_MARK_BLOCK[1];
	b->drops = true;
	assert_int_equal(store_attempt(b->s), -EIO);
	b->drops = false;
	b->bad_block = 0;
	assert_int_equal(store_attempt(b->s), 0);
	assert_int_equal(status_of(b->s).attempts, 3);
	bench_end(b);
}

/* On a full disk, who puts as much as he takes the place of goes on; who puts more does not. */
static void
what_takes_the_place_of_as_much_fits(void **state)
{
	struct bench *b = bench_new(UINT32_MAX);
	u64 n = 0;

	while (try_put(b, n, 4, 1) == 0)
		n += 4;
	assert_true(n > 500);
	assert_int_equal(try_put(b, n, 4, 2), -ENOSPC);
	assert_int_equal(try_put(b, 0, 4, 2), 0);
	assert_int_equal(try_put(b, n, 4, 3), -ENOSPC);
	assert_int_equal(page_byte(b->s, 0), 2);
	assert_int_equal(page_byte(b->s, 4), 1);
	assert_sound(b->s);
	bench_end(b);
}

/* --- the map --- */

#define MANY_CHUNKS 130u

/* The disk's map needs a tree of several leaves: every chunk's item is found, when a base is made
 * and when it is read. */
static void
a_map_of_many_chunks(void **state)
{
	struct tdisk d;
	struct store *s;
	const struct store_note note = {0};
	const struct store_how how = {.base_items = 40};
	static u8 page[STORE_BLOCK];
	u64 epoch = 0, bases = 0, maps = 0;
	struct store_item item = {0};

	tdisk_init(&d, MANY_CHUNKS * MAP_BLOCKS);
	assert_int_equal(store_format(&tdisk_ops, &d, d.blocks, uuid, 0), 0);
	assert_int_equal(store_open(&tdisk_ops, &d, d.blocks, &how, &s), 0);
	for (u64 i = 0; i < 3 * MANY_CHUNKS; i++) {
		/* At the end of a chunk: what a base takes is in the next one, too. */
		s->space.cursor = (i * 7 % MANY_CHUNKS + 1) * MAP_BLOCKS - i % 19 - 1;
		s->space.top = d.blocks; /* so it does not turn back */
		s->space.body.blocks = 0;
		memset(s->space.run, 0, sizeof(s->space.run));
		page[0] = (u8)i;
		assert_int_equal(store_put(s, OBJECT, STORE_PAGE(i % 200), page, STORE_BLOCK), 0);
		assert_int_equal(store_commit(s, &note, &epoch), 0);
		bases += s->items_since_base == 0;
		if (i % 5 != 4)
			continue;
		store_close(s);
		assert_int_equal(store_open(&tdisk_ops, &d, d.blocks, &how, &s), 0);
		assert_int_equal(shown(s), epoch);
		assert_sound(s);
	}
	assert_true(bases > 10);
	while (store_next(s, STORE_OID_MAP, maps, &item) == 0 && item.oid == STORE_OID_MAP)
		maps = item.idx + 1;
	assert_int_equal(maps, MANY_CHUNKS);
	store_close(s);
	tdisk_done(&d);
}

/* While one superblock alone tells of a base, its slot may be lost: what the others lead to is
 * whole. After a start, too, the second one is written with the next epoch. */
static void
a_base_that_one_slot_tells_of(void **state)
{
	u8 slot[STORE_BLOCK];

	for (unsigned started = 0; started < 2; started++) {
		struct bench *b = bench_new(40);
		u64 epoch = 0, block;

		while (b->s->base_copies != 1)
			put(b, 0, 3, (int)(++epoch % 200));
		block = STORE_SLOT_BLOCK[b->s->super.seq % STORE_SLOTS];
		memcpy(slot, b->d.mem + block * STORE_BLOCK, STORE_BLOCK);
		if (!started) {
			clear_block(b, block);
			assert_found(b, epoch, (int)(epoch % 200));
			memcpy(b->d.mem + block * STORE_BLOCK, slot, STORE_BLOCK);
		}
		if (started)
			bench_reopen(b, 0, 40);
		assert_int_equal(b->s->base_copies, 1);
		put(b, 0, 3, (int)(++epoch % 200));
		assert_int_equal(b->s->base_copies, 0);
		clear_block(b, block);
		assert_found(b, epoch, (int)(epoch % 200));
		bench_end(b);
	}
}

/* Epochs of a few records, very many between two bases: each takes the blocks of one that was let
 * go, and more holders come to a block than it can have at a time. */
static void
small_epochs_take_the_same_blocks_again(void **state)
{
	enum { epochs = 1200, items = 12, bytes = 100 };
	const struct store_note note = {0};
	struct bench *b = bench_of(8192, 1 << 20);
	u8 buf[STORE_BLOCK];
	u64 epoch = 0;
	u32 length;

	for (unsigned i = 0; i < epochs; i++) {
		memset(buf, (int)(i % 251), bytes);
		for (u64 k = 0; k < items; k++)
			assert_int_equal(store_put(b->s, OBJECT, k, buf, bytes), 0);
		assert_int_equal(store_commit(b->s, &note, &epoch), 0);
		if (i % 400 != 399)
			continue;
		bench_reopen(b, 0, 1 << 20);
		assert_int_equal(shown(b->s), epoch);
		assert_sound(b->s);
		for (u64 k = 0; k < items; k++) {
			assert_int_equal(store_get(b->s, OBJECT, k, buf, &length), 0);
			assert_int_equal(buf[bytes - 1], i % 251);
		}
	}
	assert_int_equal(status_of(b->s).base, 0);
	bench_end(b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(anything_at_the_edges_is_not_blank),
		cmocka_unit_test(a_probe_tells_what_it_lacks),
		cmocka_unit_test(one_slot_that_cannot_be_read_is_no_matter),
		cmocka_unit_test(a_store_that_is_not_made_is_told),
		cmocka_unit_test(a_new_store_follows_the_old),
		cmocka_unit_test(only_the_disk_says_which_superblock_is_best),
		cmocka_unit_test(a_start_finds_what_was_known),
		cmocka_unit_test(older_epochs_than_are_whole_do_not_open),
		cmocka_unit_test(a_start_tells_what_it_lacks),
		cmocka_unit_test(a_large_epoch_publishes_a_base_once),
		cmocka_unit_test(a_base_that_was_refused_is_written_again),
		cmocka_unit_test(what_is_replaced_in_a_young_leaf_costs_no_copies),
		cmocka_unit_test(a_wrong_map_stops_writing),
		cmocka_unit_test(a_small_epoch_goes_to_the_disk_at_once),
		cmocka_unit_test(operations_that_may_be_left_out),
		cmocka_unit_test(nothing_is_freed_that_is_being_written),
		cmocka_unit_test(nothing_to_recycle_costs_nothing),
		cmocka_unit_test(an_attempt_that_is_not_noted_is_told),
		cmocka_unit_test(an_attempt_is_taken_back),
		cmocka_unit_test(a_note_that_the_disk_drops_is_none),
		cmocka_unit_test(what_takes_the_place_of_as_much_fits),
		cmocka_unit_test(a_map_of_many_chunks),
		cmocka_unit_test(a_base_that_one_slot_tells_of),
		cmocka_unit_test(small_epochs_take_the_same_blocks_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
