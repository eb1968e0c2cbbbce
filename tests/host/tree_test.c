/*
 * The tree where its pages are full or nearly empty, records that have just room, and what the
 * checker says: of items smaller than a page.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "store_bench.h"

#define APART 128u /* indexes of items that are put one behind the other */

/* The item of an index says which it is. */
static void
put_item(struct store *s, u64 idx)
{
	assert_int_equal(store_put(s, OBJECT, idx, &idx, sizeof(idx)), 0);
}

static void
commit(struct store *s)
{
	const struct store_note note = {0};
	u64 epoch;

	assert_int_equal(store_commit(s, &note, &epoch), 0);
}

/* => returns how many items there are, each of them right */
static u64
count_items(struct store *s)
{
	struct store_item item;
	u64 n = 0, was;
	u32 length;
	u8 buf[STORE_BLOCK];

	for (u64 from = 0; store_next(s, OBJECT, from, &item) == 0; from = item.idx + 1, n++) {
		assert_int_equal(item.oid, OBJECT);
		assert_int_equal(store_get(s, OBJECT, item.idx, buf, &length), 0);
		memcpy(&was, buf, sizeof(was));
		assert_true(length == sizeof(was) && was == item.idx);
	}
	return n;
}

static void
assert_holds(struct bench *b, u64 items)
{
	assert_int_equal(count_items(b->s), items);
	assert_sound(b->s);
	bench_reopen(b, 0, UINT32_MAX);
	assert_int_equal(count_items(b->s), items);
	assert_sound(b->s);
}

/* --- full pages --- */

/* A tree of two levels whose root is full, mostly on the disk alone. => returns the items in it */
static u64
fill_root(struct bench *b)
{
	u64 n = 0;

	bench_reopen(b, 0, 3000);
	while (b->s->root->page->level == 0 || b->s->root->page->count < STORE_INNER_MAX) {
		for (unsigned i = 0; i < STORE_LEAF_MAX / 3; i++)
			put_item(b->s, n++ * APART);
		commit(b->s);
		assert_true(b->s->root->page->level < 2);
	}
	assert_true(b->s->super.base.epoch > 0);
	bench_reopen(b, 0, UINT32_MAX);
	return n;
}

/* A leaf is divided, so the full page above it is, too: at its first entry, at its last, and at all
 * that lie about where it is divided. */
static void
full_pages_are_divided_anywhere(void **state)
{
	static const unsigned entries[] = {0, 49, 50, 51, 52, 53, STORE_INNER_MAX - 1};

	for (unsigned k = 0; k < ARRAY_SIZE(entries); k++) {
		struct bench *b = bench_new(UINT32_MAX);
		u64 n = fill_root(b);
		u64 from = b->s->root->page->child[entries[k]].idx;

		for (u64 i = 1; i < APART && i < STORE_LEAF_MAX; i++)
			put_item(b->s, from + i);
		commit(b->s);
		assert_int_equal(b->s->root->page->level, 2);
		assert_holds(b, n + STORE_LEAF_MAX - 1);
		bench_end(b);
	}
}

/* --- pages that are nearly empty --- */

/* Are they joined, and at the end is there one? */
static void
pages_that_empty_are_joined(void **state)
{
	struct bench *b = bench_new(UINT32_MAX);
	u64 n = fill_root(b), left = 0;

	for (u64 i = 0; i < n; i++)
		if (i % 32 != 5)
			assert_int_equal(store_delete(b->s, OBJECT, i * APART, i * APART), 0);
		else
			left++;
	commit(b->s);
	assert_true(b->s->root->page->level == 1);
	assert_true(b->s->root->page->count < 4 * left / STORE_LEAF_MAX + 2);
	assert_holds(b, left);
	for (u64 i = 5 + 32; i < n; i += 32)
		assert_int_equal(store_delete(b->s, OBJECT, i * APART, i * APART), 0);
	commit(b->s);
	assert_int_equal(b->s->root->page->level, 0);
	assert_holds(b, 1);
	bench_end(b);
}

/* --- records that have just room --- */

/* Is an epoch of so many items found again: that lie in the head, or in descriptors, or in one
 * record of them? */
static void
epochs_of_every_length_are_found(void **state)
{
	static const u64 lengths[] = {
		STORE_INLINE - 1,   STORE_INLINE,   STORE_INLINE + 1, STORE_LEAF_MAX,
		STORE_LEAF_MAX + 1, PART_ITEMS - 1, PART_ITEMS,	      PART_ITEMS + 1,
	};

	for (unsigned k = 0; k < ARRAY_SIZE(lengths); k++) {
		struct bench *b = bench_new(UINT32_MAX);

		for (u64 i = 0; i < lengths[k]; i++)
			put_item(b->s, i);
		commit(b->s);
		assert_holds(b, lengths[k]);
		bench_end(b);
	}
}

/* Items of the map and of objects have indexes of one kind: is the one taken for the other where
 * there is no map yet? */
static void
no_item_is_taken_for_the_map(void **state)
{
	struct bench *b = bench_of(3 * MAP_BLOCKS, UINT32_MAX);
	u8 page[STORE_BLOCK];

	memset(page, 3, sizeof(page));
	for (u64 idx = 2; idx > 0; idx--) {
		assert_int_equal(store_put(b->s, OBJECT, idx, page, sizeof(page)), 0);
		commit(b->s);
		assert_sound(b->s);
		bench_reopen(b, 0, UINT32_MAX);
		assert_sound(b->s);
	}
	bench_end(b);
}

/* --- the checker --- */

/* Pages and small items of a tree that lies on the disk, none of it in memory. */
static struct bench *
bench_to_check(void)
{
	struct bench *b = bench_of(3 * MAP_BLOCKS, 100);

	put(b, 0, 200, 1);
	for (u64 i = 0; i < 50; i++)
		put_item(b->s, i);
	for (int i = 0; i < 8; i++)
		put(b, 0, 1, 1);
	bench_reopen(b, 0, UINT32_MAX);
	return b;
}

static void
what_there_is_is_counted(void **state)
{
	struct bench *b = bench_to_check();
	struct store_report r = {.fault = print_fault};

	assert_int_equal(store_check(b->s, &r), 0);
	assert_int_equal(r.items, 250);
	assert_int_equal(r.pages, 200);
	assert_int_equal(r.bytes, 200 * STORE_BLOCK + 50 * sizeof(u64));
	bench_end(b);
}

/* A block that is counted too often is lost, one too seldom is given twice. */
static void
wrong_counts_are_found(void **state)
{
	struct bench *b = bench_to_check();
	struct store_report r = {0};
	u8 *count;

	for (u64 block = STORE_DATA_FIRST; block < b->d.blocks; block += 181) {
		assert_int_equal(space_count(b->s, block, &count), 0);
		++*count;
		assert_int_equal(store_check(b->s, &r), *count == 1 ? 2 : 1);
		--*count;
		if (*count == 0)
			continue;
		--*count;
		assert_int_equal(store_check(b->s, &r), *count == 0 ? 2 : 1);
		++*count;
	}
	b->s->space.free--;
	assert_int_equal(store_check(b->s, &r), 1);
	b->s->space.free++;
	assert_sound(b->s);
	bench_end(b);
}

/* Half a check finds nothing wrong: does it say that it was half of one? */
static void
a_check_that_lacks_memory_says_so(void **state)
{
	struct bench *b = bench_to_check();
	long found = -ENOMEM;
	unsigned lacked = 0;

	for (long n = 1; found; n++) {
		struct store_report r = {.fault = print_fault};

		tdisk_fail_alloc = n;
		found = store_check(b->s, &r);
		lacked += tdisk_fail_alloc == 0;
		assert_int_equal(found, tdisk_fail_alloc == 0 ? -ENOMEM : 0);
		tdisk_fail_alloc = 0;
		assert_sound(b->s);
		bench_reopen(b, 0, UINT32_MAX);
	}
	assert_true(lacked > 8);
	bench_end(b);
}

struct said {
	unsigned items, pages, counts;
};

static void
note_fault(void *arg, const char *what, u64 a, u64 c)
{
	struct said *said = arg;

	said->items += strstr(what, "item") != NULL;
	said->pages += strstr(what, "the tree's page") != NULL;
	said->counts += strstr(what, "the count") != NULL;
}

/* Each read that fails is told as what it is, and all the rest is looked at. */
static void
a_check_tells_what_cannot_be_read(void **state)
{
	struct bench *b = bench_to_check();
	struct said said = {0};
	long found = 1;

	for (long n = 1; found; n++) {
		struct said now = {0};
		struct store_report r = {.fault = note_fault, .arg = &now};

		b->d.fail_read = n;
		found = store_check(b->s, &r);
		assert_true(found >= 0 && (found > 0) == (b->d.fail_read == 0));
		b->d.fail_read = 0;
		if (found)
			assert_int_equal(now.items + now.pages + now.counts, 1);
		if (now.items)
			assert_int_equal(found, 1);
		said.items += now.items;
		said.pages += now.pages;
		said.counts += now.counts;
		bench_reopen(b, 0, UINT32_MAX);
	}
	assert_sound(b->s);
	assert_true(said.items > 200 && said.pages > 1);
	bench_end(b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(full_pages_are_divided_anywhere),
		cmocka_unit_test(pages_that_empty_are_joined),
		cmocka_unit_test(epochs_of_every_length_are_found),
		cmocka_unit_test(no_item_is_taken_for_the_map),
		cmocka_unit_test(what_there_is_is_counted),
		cmocka_unit_test(wrong_counts_are_found),
		cmocka_unit_test(a_check_that_lacks_memory_says_so),
		cmocka_unit_test(a_check_tells_what_cannot_be_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
