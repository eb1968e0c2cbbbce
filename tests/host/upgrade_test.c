/* A store that an older kernel made is read as it is, and says what it has from its first commit
 * on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "store_common.h"
#include "store_disk.h"

/* => s is closed first, if there is one */
static struct store *
reopen(struct tdisk *d, struct store *s)
{
	const struct store_how how = {.base_items = 3};

	if (s)
		store_close(s);
	assert_int_equal(store_open(&tdisk_ops, d, d->blocks, &how, &s), 0);
	return s;
}

/* What a kernel made that knew one kind of sum: an epoch of a page and of a small item, and no
 * feature. */
static void
make_old(struct tdisk *d)
{
	struct store_record *r = (void *)(d->mem + STORE_DATA_FIRST * STORE_BLOCK);
	u8 *page = d->mem + (STORE_DATA_FIRST + 2) * STORE_BLOCK, *small = page + STORE_BLOCK;

	assert_int_equal(store_format(&tdisk_ops, d, d->blocks, uuid, 5), 0);
	tdisk_make_old(d);
	memset(page, 'p', STORE_BLOCK);
	memset(small + 16, 's', 100);
	*r = (struct store_record){.magic = STORE_RECORD_MAGIC,
				   .seq = 1,
				   .epoch = 1,
				   .prev = hash128(uuid, sizeof(uuid)),
				   .next = {STORE_DATA_FIRST + 4, STORE_DATA_FIRST + 1},
				   .flags = STORE_LAST,
				   .items = 2,
				   .payload = 2};
	memcpy(r->uuid, uuid, sizeof(uuid));
	r->item[0] = (struct store_item){.oid = 20,
					 .idx = STORE_PAGE(0),
					 .block = STORE_DATA_FIRST + 2,
					 .length = STORE_BLOCK,
					 .hash = hash128(page, STORE_BLOCK)};
	r->item[1] = (struct store_item){.oid = 21,
					 .block = STORE_DATA_FIRST + 3,
					 .offset = 16,
					 .length = 100,
					 .hash = hash128(small + 16, 100)};
	r->hash = hash128(r, offsetof(struct store_record, hash));
}

static void
assert_item(struct store *s, u64 oid, u64 idx, u16 sum, int byte)
{
	struct store_item item;
	u8 buf[STORE_BLOCK];
	u32 len;

	assert_int_equal(store_next(s, oid, idx, &item), 0);
	assert_true(item.oid == oid && item.idx == idx && item.sum == sum);
	assert_true(sum == STORE_SUM_128 || item.hash.high == 0);
	assert_int_equal(store_get(s, oid, idx, buf, &len), 0);
	assert_true(buf[0] == byte && buf[len - 1] == byte);
}

static void
an_older_store_is_upgraded(void **state)
{
	struct tdisk d;
	struct store *s;
	struct store_note note = {0};
	u8 page[STORE_BLOCK];
	u64 epoch;

	tdisk_init(&d, STORE_MIN_BLOCKS);
	make_old(&d);
	s = reopen(&d, NULL);
	assert_item(s, 20, STORE_PAGE(0), STORE_SUM_128, 'p');
	assert_item(s, 21, 0, STORE_SUM_128, 's');
	assert_int_equal(store_check(s, &(struct store_report){0}), 0);
	assert_int_equal(tdisk_slots_of(&d, STORE_INCOMPAT_SUM64), 0);
	memset(page, 'n', sizeof(page));
	assert_int_equal(store_put(s, 20, STORE_PAGE(1), page, STORE_BLOCK), 0);
	assert_int_equal(store_commit(s, &note, &epoch), 0);
	assert_int_equal(epoch, 2);
	assert_int_equal(tdisk_slots_of(&d, STORE_INCOMPAT_SUM64), 2);
	for (int i = 0; i < 12; i++) { /* from the records, in the end from a base */
		assert_int_equal(store_put(s, 22, (u64)i, page, 7), 0);
		assert_int_equal(store_commit(s, &note, &epoch), 0);
		if (i > 0 && i < 11)
			continue;
		s = reopen(&d, s);
		assert_item(s, 20, STORE_PAGE(0), STORE_SUM_128, 'p');
		assert_item(s, 20, STORE_PAGE(1), STORE_SUM_64, 'n');
		assert_item(s, 21, 0, STORE_SUM_128, 's');
		assert_int_equal(store_check(s, &(struct store_report){0}), 0);
	}
	assert_int_equal(tdisk_slots_of(&d, STORE_INCOMPAT_SUM64), 4);
	store_close(s);
	tdisk_done(&d);
}

/* Every write but a superblock's finds two slots that are durable and say so. */
static void
assert_feature_first(const struct tdisk *d)
{
	unsigned written = 0, durable = 0;

	for (size_t i = 0; i < d->ops; i++) {
		const struct store_super *sb = (const void *)d->op[i].data;

		if (d->op[i].blocks == 0)
			durable = written;
		else if (sb->magic == STORE_SUPER_MAGIC)
			written += sb->incompat == STORE_INCOMPAT_SUM64;
		else
			assert_true(durable >= 2);
	}
}

static void
the_feature_is_durable_before_its_use(void **state)
{
	u8 page[STORE_BLOCK] = {1};
	struct store_note note = {0};
	bool failed = true;
	u64 epoch;

	for (long n = 0; failed; n++) {
		struct tdisk d;
		struct store *s;

		tdisk_init(&d, STORE_MIN_BLOCKS);
		make_old(&d);
		s = reopen(&d, NULL);
		d.recording = true;
		d.fail_write = n / 2 + 1;
		d.fail_flush = n / 2 + 1;
		*(n % 2 ? &d.fail_write : &d.fail_flush) = 0;
		failed = false;
		for (int i = 0; i < 3; i++) {
			(void)!store_put(s, 20, STORE_PAGE(1), page, STORE_BLOCK);
			if (store_commit(s, &note, &epoch)) {
				failed = true;
				(void)!store_put(s, 20, STORE_PAGE(1), page, STORE_BLOCK);
				assert_int_equal(store_commit(s, &note, &epoch), 0);
			}
		}
		failed = failed || n % 2 == 0;
		assert_int_equal(epoch, 4);
		assert_feature_first(&d);
		store_close(s);
		tdisk_done(&d);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_older_store_is_upgraded),
		cmocka_unit_test(the_feature_is_durable_before_its_use),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
