/*
 * What a commit leaves at the two places of the next head, and what has to go from there before
 * anything else is written: the steps of doc/store.md whose lack shows only after some later power
 * cut; and where superblocks go when their places are bad. The disk remembers what is durable; a
 * cut takes everything that was not flushed, or nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "store_bench.h"

/* --- an epoch whose commit failed for want of memory, or of a page of the tree --- */

/* A tree of several leaves that lie on the disk, and a store that has loaded none of them. */
static struct bench *
bench_with_leaves(void)
{
	struct bench *b = bench_new(100);

	put(b, 0, 200, 1);
	for (int i = 0; i < 8; i++)
		put(b, 0, 1, 1);
	bench_reopen(b, 0, 100000);
	return b;
}

/* An epoch is written, and then the tree lacks memory, or a page of it cannot be read: at the first
 * place where that may be, at the second, to the last. May it show after a power cut? The call said
 * that it changed nothing. => returns how many such places there are behind the head's writing */
static unsigned
fail_at_each_place(bool memory)
{
	unsigned behind_the_head = 0;
	int err = 1;

	for (long n = 1; err; n++) {
		struct bench *b = bench_with_leaves();
		long *fail = memory ? &tdisk_fail_alloc : &b->d.fail_read;
		u64 epoch = shown(b->s);

		bench_record(b);
		*fail = n;
		err = try_put(b, 0, 150, 2);
		*fail = 0;
		assert_true(err == 0 || err == (memory ? -ENOMEM : -EIO));
		if (err) {
			behind_the_head += b->d.ops > 150;
			assert_cut_finds(b, epoch, 1);
			put(b, 0, 150, 3);
		}
		assert_cut_finds(b, epoch + 1, err ? 3 : 2);
		bench_end(b);
	}
	return behind_the_head;
}

static void
an_epoch_that_lacked_memory_never_shows(void **state)
{
	assert_true(fail_at_each_place(true) > 3);
}

static void
an_epoch_that_lacked_a_page_of_the_tree_never_shows(void **state)
{
	assert_true(fail_at_each_place(false) > 1);
}

/* And when its head cannot be cleared? Nothing is known of that place then: the next one goes to
 * the other, which is believed first. */
static void
a_head_that_is_not_cleared_is_not_written_over(void **state)
{
	for (int flush = 0; flush < 2; flush++) {
		struct bench *b = bench_with_leaves();
		u64 epoch = shown(b->s), first = b->s->chain.next[0], second = b->s->chain.next[1];

		b->d.fail_read = 1;
		if (flush)
			b->d.fail_flush = 2; /* the first waits for what was begun */
		else
			b->d.fail_write = 4; /* payload, head, descriptors; this */
		assert_true(try_put(b, 0, 150, 2) < 0);
		b->d.fail_write = b->d.fail_flush = b->d.fail_read = 0;
		bench_record(b);
		put(b, 0, 150, 3);
		assert_true(is_head(b, second));
		for (size_t i = 0; i < b->d.ops; i++)
			assert_true(b->d.op[i].blocks == 0 || b->d.op[i].block != first);
		assert_cut_finds(b, epoch + 1, 3);
		bench_end(b);
	}
}

/* --- the second place --- */

/* A block that takes no writes, at the first place of each of many heads: each epoch comes about at
 * its second try, at the other place, and the next begins with the first again. */
static void
a_bad_first_place_costs_one_try(void **state)
{
	struct bench *b = bench_new(40);

	for (u64 epoch = 1; epoch <= 40; epoch++) {
		u64 second = b->s->chain.next[1];

		b->tries = 0;
		b->bad_block = b->s->chain.next[0];
		assert_int_equal(try_put(b, 0, 3, (int)epoch), -EIO);
		assert_int_equal(try_put(b, 0, 3, (int)epoch), 0);
		assert_int_equal(b->tries, 1);
		assert_true(is_head(b, second));
		assert_int_equal(shown(b->s), epoch);
		assert_found(b, epoch, (int)epoch);
		if (epoch % 5 == 0)
			bench_reopen(b, 0, 40);
		assert_sound(b->s);
	}
	b->bad_block = 0;
	bench_end(b);
}

/* When both are bad, the store commits no more, shows what it has, and a start finds that. */
static void
two_bad_places_are_the_end(void **state)
{
	struct bench *b = bench_new(1000);

	put(b, 0, 3, 1);
	b->bad_block = b->s->chain.next[0];
	assert_int_equal(try_put(b, 0, 3, 2), -EIO);
	b->bad_block = b->s->chain.next[1];
	assert_int_equal(try_put(b, 0, 3, 2), -EIO);
	b->bad_block = 0;
	assert_int_equal(try_put(b, 0, 3, 2), -EIO);
	assert_int_equal(b->s->failed, -EIO);
	assert_int_equal(page_byte(b->s, 0), 1);
	assert_found(b, 1, 1);
	bench_end(b);
}

/* Both places hold epoch 2: the first try, whole, which the disk said it had lost; and the one that
 * counts. */
static struct bench *
bench_with_two_heads(u64 *first, u64 *second)
{
	struct bench *b = bench_new(1000);

	put(b, 0, 3, 1);
	*first = b->s->chain.next[0];
	*second = b->s->chain.next[1];
	b->d.fail_flush = 1;
	assert_int_equal(try_put(b, 0, 3, 2), -EIO);
	put(b, 0, 3, 3);
	assert_true(is_head(b, *first) && is_head(b, *second));
	return b;
}

static void
the_second_place_counts_before_the_first(void **state)
{
	u64 first, second;
	struct bench *b = bench_with_two_heads(&first, &second);

	assert_found(b, 2, 3);
	bench_end(b);
}

/* --- what lies behind the epoch that is taken --- */

/* An epoch at the second place did not come about: its payload is torn. The next one goes to the
 * first place; does what is at the second one count before it at the start after that? */
static void
a_torn_epoch_at_the_second_place_is_cut_off(void **state)
{
	u64 first, second;
	struct bench *b = bench_with_two_heads(&first, &second);

	clear_block(b, payload_of(b, first));
	clear_block(b, payload_of(b, second));
	bench_reopen(b, 0, 1000);
	assert_int_equal(shown(b->s), 1);
	put(b, 0, 3, 4);
	assert_found(b, 2, 4);
	put(b, 0, 3, 5);
	assert_found(b, 3, 5);
	bench_end(b);
}

/* The same for an epoch that was whole and is given up. */
static void
a_given_up_epoch_at_the_second_place_is_cut_off(void **state)
{
	u64 first, second;
	struct bench *b = bench_with_two_heads(&first, &second);

	bench_reopen(b, 1, 1000);
	assert_int_equal(page_byte(b->s, 0), 1);
	put(b, 0, 3, 4);
	assert_found(b, 2, 4);
	bench_end(b);
}

/* While they are cut off, power goes: the one that counted is there, or none; never the try that
 * was given up before it, whose blocks may be another's. */
static void
the_place_that_counts_less_is_cut_off_first(void **state)
{
	u64 first, second;
	bool was_young = false, was_old = false;

	for (long n = 2, ok = 0; ok < 2; n++) {
		struct bench *b = bench_with_two_heads(&first, &second);
		struct store *s;
		int err;

		bench_reopen(b, 1, 1000);
		bench_record(b);
		if (n % 2) { /* a write is refused, or a flush fails */
			b->from = b->calls + (unsigned long)n / 2;
			b->to = b->from + 1;
		} else {
			b->d.fail_flush = n / 2;
		}
		err = try_put(b, 0, 3, 4);
		ok = err ? 0 : ok + 1;
		b->d.fail_flush = 0;
		b->from = b->to = 0;
		assert_int_equal(store_open(&bench_ops, b, b->d.blocks,
					    &(struct store_how){.readonly = true}, &s),
				 0);
		was_young = was_young || page_byte(s, 0) == 3;
		was_old = was_old || page_byte(s, 0) == 1;
		assert_int_not_equal(page_byte(s, 0), 2);
		store_close(s);
		/* What failed may have been the clearing: that comes again. */
		if (err)
			put(b, 0, 3, 4);
		assert_cut_finds(b, 2, 4);
		bench_end(b);
	}
	assert_true(was_young && was_old);
}

/* --- the youngest epoch is believed with all that it put, and so is the one that takes its place
 */

static void
epochs_are_left_out_until_one_is_whole(void **state)
{
	struct bench *b = bench_new(1000);
	u64 head[4];

	for (int i = 1; i <= 4; i++) {
		head[i - 1] = b->s->chain.next[0];
		put(b, 0, 3, i);
	}
	for (int i = 3; i > 0; i--) {
		clear_block(b, payload_of(b, head[i]));
		assert_found(b, (u64)i, i);
	}
	bench_reopen(b, 0, 1000);
	put(b, 0, 3, 5);
	assert_found(b, 2, 5);
	bench_end(b);
}

/* An epoch has a first record and no last one. Is the one before it looked at all the same? */
static void
an_epoch_without_an_end_vouches_for_nothing(void **state)
{
	struct bench *b = bench_new(100000);
	u64 head, part;

	put(b, 0, 3, 1);
	head = b->s->chain.next[0];
	put(b, 0, 3, 2);
	part = b->s->chain.next[0];
	for (u64 i = 0; i <= 2 * PART_ITEMS; i++) /* the second one pushes the first out */
		assert_int_equal(store_put(b->s, OBJECT, i, "x", 1), 0);
	bench_reopen(b, 0, 100000);
	assert_true(is_head(b, part));
	assert_found(b, 2, 2);
	clear_block(b, payload_of(b, head));
	assert_found(b, 1, 1);
	bench_reopen(b, 0, 100000);
	put(b, 0, 3, 3);
	assert_found(b, 2, 3);
	bench_end(b);
}

/* --- superblocks --- */

/* Whatever slot is lost, a start finds the epoch. */
static void
assert_any_slot_may_be_lost(struct bench *b, u64 epoch, int byte)
{
	for (unsigned i = 0; i < STORE_SLOTS; i++) {
		u8 *at = b->d.mem + STORE_SLOT_BLOCK[i] * STORE_BLOCK, had[STORE_BLOCK];

		memcpy(had, at, STORE_BLOCK);
		memset(at, 0, STORE_BLOCK);
		assert_found(b, epoch, byte);
		memcpy(at, had, STORE_BLOCK);
	}
}

/* Slots that take no writes, and an epoch a turn: which come about at their first try, or else
 * their second? => returns the base's epoch at the end */
static u64
epochs_with_bad_slots(unsigned bad, bool reopens, unsigned *failed)
{
	struct bench *b = bench_new(40);
	struct store_status st;

	b->bad_slots = bad;
	*failed = 0;
	for (int epoch = 1; epoch <= 60; epoch++) {
		u64 seq = b->s->super.seq;

		if (try_put(b, 0, 3, epoch)) {
			++*failed;
			put(b, 0, 3, epoch);
		}
		assert_found(b, (u64)epoch, epoch);
		if (b->s->super.seq != seq)
			assert_any_slot_may_be_lost(b, (u64)epoch, epoch);
		if (reopens && epoch % 11 == 0)
			bench_reopen(b, 0, 40);
	}
	store_status(b->s, &st);
	assert_sound(b->s);
	bench_end(b);
	return st.base;
}

/* One or two of the four are passed over, and bases come about as ever. */
static void
bad_slots_are_passed_over(void **state)
{
	const u64 base = epochs_with_bad_slots(0, false, &(unsigned){0});
	unsigned failed;

	assert_true(base > 40);
	for (unsigned bad = 1; bad < 13; bad++) {
		if (bad == 7 || bad == 11)
			continue;
		assert_true(epochs_with_bad_slots(bad, bad % 2, &failed) > 30);
		assert_true(failed > 1 && failed < 30);
	}
}

/* With one alone that works, which is never written over, there is no new base; epochs come about.
 */
static void
the_last_good_slot_is_not_written_over(void **state)
{
	for (unsigned good = 0; good < STORE_SLOTS; good++) {
		struct bench *b = bench_new(40);
		u64 seq;

		while (b->s->super.seq % STORE_SLOTS != good)
			put(b, 0, 3, 0);
		seq = b->s->super.seq;
		b->bad_slots = 0xf & ~(1u << good);
		for (int i = 0; i < 40; i++) {
			u64 epoch = shown(b->s) + 1;

			if (try_put(b, 0, 3, i))
				put(b, 0, 3, i);
			assert_found(b, epoch, i);
		}
		assert_int_equal(b->s->super.seq, seq);
		b->bad_slots = 0;
		for (int i = 0; i < 10; i++)
			put(b, 0, 3, i);
		assert_true(b->s->super.seq > seq);
		bench_end(b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_epoch_that_lacked_memory_never_shows),
		cmocka_unit_test(an_epoch_that_lacked_a_page_of_the_tree_never_shows),
		cmocka_unit_test(a_head_that_is_not_cleared_is_not_written_over),
		cmocka_unit_test(a_bad_first_place_costs_one_try),
		cmocka_unit_test(two_bad_places_are_the_end),
		cmocka_unit_test(the_second_place_counts_before_the_first),
		cmocka_unit_test(a_torn_epoch_at_the_second_place_is_cut_off),
		cmocka_unit_test(a_given_up_epoch_at_the_second_place_is_cut_off),
		cmocka_unit_test(the_place_that_counts_less_is_cut_off_first),
		cmocka_unit_test(epochs_are_left_out_until_one_is_whole),
		cmocka_unit_test(an_epoch_without_an_end_vouches_for_nothing),
		cmocka_unit_test(bad_slots_are_passed_over),
		cmocka_unit_test(the_last_good_slot_is_not_written_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
