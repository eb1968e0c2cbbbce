/* The store: what is committed is found again, what is not is not, whatever fails in between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "store_common.h"
#include "store_model.h"

struct bench {
	struct tdisk d;
	struct store *s;
	struct rng r;
	u32 next_id;
	struct model m;
	struct model past[M_EPOCHS];
};

static void
bench_open(struct bench *b, u64 epoch, u32 base_items)
{
	assert_int_equal(store_open(&tdisk_ops, &b->d, b->d.blocks,
				    &(struct store_how){.epoch = epoch, .base_items = base_items},
				    &b->s),
			 0);
}

static struct bench *
bench_new(u64 blocks, u32 base_items)
{
	struct bench *b = calloc(1, sizeof(*b));

	tdisk_init(&b->d, blocks);
	b->r.x = 7;
	assert_int_equal(store_format(&tdisk_ops, &b->d, blocks, uuid, 5), 0);
	bench_open(b, 0, base_items);
	return b;
}

static void
bench_end(struct bench *b)
{
	store_close(b->s);
	tdisk_done(&b->d);
	free(b);
}

static long
check(struct bench *b)
{
	struct store_report r = {.fault = print_fault};

	return store_check(b->s, &r);
}

static int
step(struct bench *b)
{
	struct model m = b->m;
	struct pages pages = {0};
	struct store_note note = {.real_ns = 1};
	u64 epoch;
	int err = model_change(&m, b->s, &b->r, &b->next_id, &pages);

	(void)err;
	err = store_commit(b->s, &note, &epoch);
	pages_free(&pages);
	if (err)
		return err;
	b->m = m;
	b->past[epoch % M_EPOCHS] = m;
	return 0;
}

static void
empty_store(void **state)
{
	struct bench *b = bench_new(STORE_MIN_BLOCKS, 50);
	struct store_item item;
	struct store_status st;
	u8 buf[STORE_BLOCK];
	u32 len;

	assert_int_equal(store_next(b->s, 0, 0, &item), -ENOENT);
	assert_int_equal(store_get(b->s, 16, 0, buf, &len), -ENOENT);
	store_status(b->s, &st);
	assert_int_equal(st.epoch, 0);
	assert_memory_equal(st.uuid, uuid, 16);
	assert_int_equal(check(b), 0);
	bench_end(b);
}

static void
committed_is_found_again(void **state)
{
	struct bench *b = bench_new(STORE_MIN_BLOCKS, 100);

	for (int i = 0; i < 400; i++) {
		int err = step(b);

		if (err == -ENOSPC)
			continue;
		assert_int_equal(err, 0);
		if (i % 7 == 0) {
			store_close(b->s);
			bench_open(b, 0, 100);
		}
		if (i % 5 == 0) {
			assert_true(model_same(&b->m, b->s, false));
			assert_int_equal(check(b), 0);
		}
	}
	bench_end(b);
}

static void
uncommitted_is_not(void **state)
{
	struct bench *b = bench_new(STORE_MIN_BLOCKS, 100);
	struct pages pages = {0};
	struct model scratch;

	assert_int_equal(step(b), 0);
	scratch = b->m;
	assert_int_equal(model_change(&scratch, b->s, &b->r, &b->next_id, &pages), 0);
	assert_true(model_same(&b->m, b->s, false));
	store_abort(b->s);
	assert_true(model_same(&b->m, b->s, false));
	assert_int_equal(model_change(&scratch, b->s, &b->r, &b->next_id, &pages), 0);
	store_close(b->s);
	bench_open(b, 0, 100);
	assert_true(model_same(&b->m, b->s, false));
	assert_int_equal(check(b), 0);
	pages_free(&pages);
	bench_end(b);
}

/* What if the youngest epochs are not wanted? Their place is taken, and they never come back. */
static void
older_epochs_open(void **state)
{
	struct bench *b = bench_new(STORE_MIN_BLOCKS, 60);
	struct store_status st;
	struct store *s;

	for (int round = 0; round < 40; round++) {
		for (int i = 0; i < 6; i++)
			(void)step(b);
		store_status(b->s, &st);
		store_close(b->s);
		assert_true(st.oldest + 3 == st.epoch);
		for (u64 e = st.oldest; e <= st.epoch; e++) {
			assert_int_equal(store_open(&tdisk_ops, &b->d, b->d.blocks,
						    &(struct store_how){true, e, 0}, &s),
					 0);
			assert_true(model_same(&b->past[e % M_EPOCHS], s, false));
			store_close(s);
		}
		assert_int_equal(store_open(&tdisk_ops, &b->d, b->d.blocks,
					    &(struct store_how){true, st.oldest - 1, 0}, &s),
				 -ENOENT);
		bench_open(b, st.oldest + round % 4, 60);
		b->m = b->past[(st.oldest + round % 4) % M_EPOCHS];
	}
	assert_int_equal(check(b), 0);
	bench_end(b);
}

/* Every write, flush and read fails once, at any point; what was committed stays, and the next
 * commit works. */
static void
errors_lose_nothing(void **state)
{
	struct bench *b = bench_new(STORE_MIN_BLOCKS, 60);
	struct store_status st;
	unsigned failed = 0;

	for (int i = 0; i < 600; i++) {
		long n = 1 + rng_below(&b->r, 12);
		int err;

		b->d.fail_write = i % 3 == 0 ? n : 0;
		b->d.fail_flush = i % 3 == 1 ? 1 + n % 2 : 0;
		b->d.fail_read = i % 3 == 2 ? n : 0;
		err = step(b);
		b->d.fail_write = b->d.fail_flush = b->d.fail_read = 0;
		failed += err != 0;
		assert_true(err == 0 || err == -EIO || err == -ENOSPC);
		if (b->d.lost) /* of a base, behind the commit: told by the next */
			err = step(b);
		if (err)
			err = step(b);
		assert_true(err == 0 || err == -ENOSPC || err == -EIO);
		store_status(b->s, &st);
		if (st.failed || i % 10 == 0) {
			store_close(b->s);
			bench_open(b, 0, 60);
		}
		if (i % 4 == 0)
			assert_int_equal(check(b), 0);
		assert_true(model_same(&b->m, b->s, false));
	}
	assert_true(failed > 50);
	bench_end(b);
}

/* Memory that lacks at any point of a commit, ten times in a row, is no fault of the disk. */
static void
no_memory_is_no_fault(void **state)
{
	struct bench *b = bench_new(STORE_MIN_BLOCKS, 60);
	struct store_status st;
	unsigned failed = 0;

	for (int i = 0; i < 1000; i++) {
		int err;

		tdisk_fail_alloc = i % 11 ? 1 + rng_below(&b->r, i % 2 ? 20 : 200) : 0;
		err = step(b);
		tdisk_fail_alloc = 0;
		assert_true(err == 0 || err == -ENOSPC || (err == -ENOMEM && i % 11));
		failed += err == -ENOMEM;
		store_status(b->s, &st);
		assert_int_equal(st.failed, 0);
		if (i % 50 == 0) {
			store_close(b->s);
			bench_open(b, 0, 60);
			assert_int_equal(check(b), 0);
		}
		assert_true(model_same(&b->m, b->s, false));
	}
	assert_true(failed > 100);
	bench_end(b);
}

/* A full store refuses what is too much, keeps what it has, and goes on when something is taken
 * out. */
static void
full_store(void **state)
{
	struct bench *b = bench_new(STORE_MIN_BLOCKS, 200);
	static u8 page[STORE_BLOCK];
	struct store_note note = {0};
	u64 epoch, n = 0, i;
	int err = 0;

	while (!err) {
		for (i = 0; i < 16 && !err; i++) {
			memcpy(page, &n, sizeof(n));
			err = store_put(b->s, 99, STORE_PAGE(n + i), page, STORE_BLOCK);
		}
		err = store_commit(b->s, &note, &epoch);
		if (!err)
			n += 16;
	}
	assert_int_equal(err, -ENOSPC);
	assert_true(n > 800);
	for (int round = 0; round < 6; round++) {
		assert_int_equal(store_delete(b->s, 99, STORE_PAGE(round * 100),
					      STORE_PAGE(round * 100 + 99)),
				 0);
		assert_int_equal(store_commit(b->s, &note, &epoch), 0);
	}
	for (i = 0; i < 16; i++)
		assert_int_equal(store_put(b->s, 99, STORE_PAGE(i), page, STORE_BLOCK), 0);
	assert_int_equal(store_commit(b->s, &note, &epoch), 0);
	store_close(b->s);
	bench_open(b, 0, 200);
	assert_int_equal(check(b), 0);
	bench_end(b);
}

/* Is there a way back from a full store for who deletes and goes on putting? */
static void
what_frees_more_than_it_takes_fits(void **state)
{
	struct bench *b = bench_new(STORE_MIN_BLOCKS, 100000);
	static u8 page[STORE_BLOCK];
	struct store_note note = {0};
	struct store_status st;
	u64 epoch, n = 0, free;
	int err = 0;

	assert_int_equal(store_recycle(b->s), -ENOSPC);
	while (!err) {
		err = store_put(b->s, 99, STORE_PAGE(n), page, STORE_BLOCK);
		if (!err)
			err = store_commit(b->s, &note, &epoch);
		n += !err;
	}
	assert_int_equal(err, -ENOSPC);
	store_status(b->s, &st);
	assert_int_equal(st.room, 0);
	for (int i = 0; i < 4; i++) {
		err = store_put(b->s, 98, STORE_PAGE(i), page, STORE_BLOCK);
		assert_int_equal(err, 0);
	}
	assert_int_equal(store_delete(b->s, 99, STORE_PAGE(0), STORE_PAGE(199)), 0);
	assert_int_equal(store_commit(b->s, &note, &epoch), 0);
	store_status(b->s, &st);
	free = st.blocks - st.used;
	assert_true(st.room > 100);
	assert_int_equal(store_recycle(b->s), 0);
	store_status(b->s, &st);
	assert_true(st.blocks - st.used > free + 150);
	for (int i = 0; i < 100; i++) {
		err = store_put(b->s, 98, STORE_PAGE(i), page, STORE_BLOCK);
		assert_int_equal(err, 0);
	}
	assert_int_equal(store_commit(b->s, &note, &epoch), 0);
	store_close(b->s);
	bench_open(b, 0, 100000);
	assert_int_equal(check(b), 0);
	bench_end(b);
}

/* An epoch of several records: there in whole or not at all. */
static void
large_epoch(void **state)
{
	struct bench *b = bench_new(1u << 16, 100000);
	static u8 page[STORE_BLOCK];
	struct store_note note = {0};
	struct store_epoch e;
	struct store *s;
	u64 epoch;
	u8 small[40] = {1};

	for (u64 i = 0; i < 60000; i++)
		assert_int_equal(store_put(b->s, 50 + i % 7, i, i % 3 ? small : page,
					   i % 3 ? 40 : STORE_BLOCK),
				 0);
	assert_int_equal(store_commit(b->s, &note, &epoch), 0);
	assert_int_equal(store_epoch(b->s, epoch, &e), 0);
	assert_true(e.records > 2);
	assert_int_equal(check(b), 0);
	for (u64 i = 0; i < 60000; i++)
		assert_int_equal(store_put(b->s, 60, i, small, 40), 0);
	store_close(b->s); /* parts of it are on the disk */
	bench_open(b, 0, 1000);
	assert_int_equal(check(b), 0);
	assert_int_equal(store_delete(b->s, 0x10, 0, UINT64_MAX), 0);
	for (u64 i = 50; i < 57; i++)
		assert_int_equal(store_delete(b->s, i, 0, UINT64_MAX), 0);
	for (int i = 0; i < 9; i++)
		assert_int_equal(store_commit(b->s, &note, &epoch), 0);
	assert_int_equal(
		store_open(&tdisk_ops, &b->d, b->d.blocks, &(struct store_how){true, 0, 0}, &s), 0);
	store_close(s);
	assert_int_equal(check(b), 0);
	bench_end(b);
}

/* Does an epoch that replaces very many items need its memory in one piece? */
static void
many_items_need_no_large_memory(void **state)
{
	struct bench *b = bench_new(1u << 15, 4096);
	struct store_note note = {0};
	u64 epoch;

	for (int round = 0; round < 3; round++) {
		for (u64 i = 0; i < 150000; i++)
			assert_int_equal(store_put(b->s, 20, i, &round, sizeof(round)), 0);
		assert_int_equal(store_commit(b->s, &note, &epoch), 0);
	}
	assert_int_equal(check(b), 0);
	bench_end(b);
}

/* What a store has of memory, when it has been told of nothing but small epochs for a while. */
static long
allocs_at_rest(struct bench *b)
{
	struct store_note note = {0};
	u64 epoch;

	for (u32 i = 0; i < 200; i++) {
		assert_int_equal(store_put(b->s, 20, 1, &i, sizeof(i)), 0);
		assert_int_equal(store_commit(b->s, &note, &epoch), 0);
	}
	return tdisk_allocs;
}

/* Is the memory that large epochs took given back when what they put is gone? */
static void
large_epochs_leave_no_memory_behind(void **state)
{
	struct bench *b = bench_new(1u << 15, 100);
	struct store_note note = {0};
	long before = allocs_at_rest(b);
	u64 epoch;

	for (int round = 0; round < 3; round++) {
		for (u64 i = 0; i < 50000; i++)
			assert_int_equal(store_put(b->s, 21, i, &round, sizeof(round)), 0);
		assert_int_equal(store_commit(b->s, &note, &epoch), 0);
	}
	assert_true(tdisk_allocs > before + 800);
	assert_int_equal(store_delete(b->s, 21, 0, ~0ul), 0);
	assert_int_equal(store_commit(b->s, &note, &epoch), 0);
	assert_true(allocs_at_rest(b) < before + 40);
	assert_int_equal(check(b), 0);
	bench_end(b);
}

/* How long does it take to open a large epoch? Its payload is not read when it is known to be
 * there. */
static void
sealed_epochs_are_not_read(void **state)
{
	struct bench *b = bench_new(STORE_MIN_BLOCKS * 2, 100000);
	static u8 page[STORE_BLOCK];
	struct store_note note = {0};
	unsigned long reads;
	u64 epoch;

	for (u64 i = 0; i < 600; i++)
		assert_int_equal(store_put(b->s, 20, STORE_PAGE(i), page, STORE_BLOCK), 0);
	assert_int_equal(store_commit(b->s, &note, &epoch), 0);
	store_close(b->s);
	reads = b->d.reads;
	bench_open(b, 0, 100000);
	assert_true(b->d.reads - reads < 60);
	assert_int_equal(check(b), 0);
	bench_end(b);
}

static void
bytes_written_for_bytes_put(void **state)
{
	struct bench *b = bench_new(1u << 15, 4096);
	static u8 page[STORE_BLOCK];
	struct store_note note = {0};
	unsigned long writes, flushes, calls, pages = 0;
	u64 epoch;

	for (u64 i = 0; i < 4096; i++)
		assert_int_equal(store_put(b->s, 20, STORE_PAGE(i), page, STORE_BLOCK), 0);
	assert_int_equal(store_commit(b->s, &note, &epoch), 0);
	writes = b->d.writes, flushes = b->d.flushes, calls = b->d.write_calls;
	for (int round = 0; round < 256; round++) {
		u64 at = rng_below(&b->r, 4096 - 256);

		for (u64 i = 0; i < 256; i++, pages++)
			assert_int_equal(store_put(b->s, 20, STORE_PAGE(at + i), page, STORE_BLOCK),
					 0);
		assert_int_equal(store_commit(b->s, &note, &epoch), 0);
	}
	printf("256 pages: %.3f bytes written for one, %.2f flushes, %.2f writes a commit\n",
	       (double)(b->d.writes - writes) / (double)pages,
	       (double)(b->d.flushes - flushes) / 256, (double)(b->d.write_calls - calls) / 256);
	assert_true(b->d.writes - writes < pages * 106 / 100);
	assert_int_equal(b->d.flushes - flushes, 256);
	writes = b->d.writes;
	for (int round = 0; round < 1024; round++) {
		assert_int_equal(
			store_put(b->s, 20, STORE_PAGE(rng_below(&b->r, 4096)), page, STORE_BLOCK),
			0);
		assert_int_equal(store_commit(b->s, &note, &epoch), 0);
	}
	printf("1 page: %.3f\n", (double)(b->d.writes - writes) / 1024);
	assert_true(b->d.writes - writes <= 1024 * 31 / 10);
	bench_end(b);
}

/* Do epochs of a few pages stay where the disk was written before? */
static void
small_epochs_stay_where_they_were(void **state)
{
	struct bench *b = bench_new(1u << 15, 4096);
	static u8 page[24][STORE_BLOCK], seen[1u << 15];
	struct store_note note = {0};
	unsigned long fresh = 0, calls = 0;
	u64 epoch;

	b->d.recording = true;
	for (int round = 0; round < 600; round++) {
		if (round == 100) {
			fresh = 0;
			calls = b->d.write_calls;
		}
		for (u64 i = 0; i < 24; i++) {
			page[i][0] = (u8)round;
			assert_int_equal(store_put(b->s, 20, STORE_PAGE(i), page[i], STORE_BLOCK),
					 0);
		}
		assert_int_equal(store_put(b->s, 21, 0, page, 100), 0);
		assert_int_equal(store_commit(b->s, &note, &epoch), 0);
		for (size_t i = 0; i < b->d.ops; i++) {
			fresh += b->d.op[i].blocks && !seen[b->d.op[i].block];
			seen[b->d.op[i].block] = 1;
		}
		tdisk_forget(&b->d);
	}
	printf("24 pages: %.2f new blocks, %.2f writes an epoch\n", (double)fresh / 500,
	       (double)(b->d.write_calls - calls) / 500);
	assert_true(fresh <= 500 * 12 / 10);
	assert_true(b->d.write_calls - calls <= 500 * 25 / 10);
	assert_int_equal(check(b), 0);
	bench_end(b);
}

/* Does a disk stay within some times what is in it, however much is written? */
static void
large_epochs_turn_back(void **state)
{
	struct bench *b = bench_new(1u << 15, 4096);
	static u8 page[STORE_BLOCK], seen[1u << 15];
	struct store_note note = {0};
	struct store_status st;
	unsigned long written = 0;
	u64 epoch, most = 0;

	b->d.recording = true;
	for (int round = 0; round < 600; round++) {
		u64 at = rng_below(&b->r, 900);

		page[0] = (u8)round;
		for (u64 i = 0; i < 100; i++)
			assert_int_equal(store_put(b->s, 20, STORE_PAGE(at + i), page, STORE_BLOCK),
					 0);
		assert_int_equal(store_commit(b->s, &note, &epoch), 0);
		store_status(b->s, &st);
		most = max(most, st.used);
		for (size_t i = 0; i < b->d.ops; i++) {
			for (u32 k = 0; k < b->d.op[i].blocks; k++) {
				written += !seen[b->d.op[i].block + k];
				seen[b->d.op[i].block + k] = 1;
			}
		}
		tdisk_forget(&b->d);
	}
	printf("60,000 pages: at most %lu blocks in use, %lu ever written, %.2f writes an epoch\n",
	       most, written, (double)b->d.write_calls / 600);
	assert_true(written < most * 3);
	assert_int_equal(check(b), 0);
	bench_end(b);
}

/* A bit that turns is found by the check or is of no account; it is never given out. */
static void
bit_flips_are_found(void **state)
{
	struct bench *b = bench_new(STORE_MIN_BLOCKS, 120);
	unsigned found = 0, opened = 0;
	u64 tried = 0;

	for (int i = 0; i < 60; i++)
		(void)step(b);
	store_close(b->s);
	for (int i = 0; i < 1500; i++) {
		u64 byte = (STORE_DATA_FIRST + rng_below(&b->r, 700)) * STORE_BLOCK +
			   rng_below(&b->r, STORE_BLOCK);
		struct store_report r = {0};
		struct store_status st;
		u8 bit = (u8)(1u << rng_below(&b->r, 8));

		b->d.mem[byte] ^= bit;
		tried++;
		if (store_open(&tdisk_ops, &b->d, b->d.blocks, &(struct store_how){true, 0, 0},
			       &b->s) == 0) {
			opened++;
			store_status(b->s, &st);
			found += store_check(b->s, &r) > 0;
			assert_true(model_same(&b->past[st.epoch % M_EPOCHS], b->s, true));
			store_close(b->s);
		} else {
			found++;
		}
		b->d.mem[byte] ^= bit;
	}
	printf("%u of %u flips found, %u opened\n", found, (unsigned)tried, opened);
	assert_true(found > 100 && opened > 500);
	bench_open(b, 0, 100);
	bench_end(b);
}

/* What if the disk forgets what it said was flushed? Older epochs, or damage that is seen: never
 * other bytes. */
static void
a_lying_disk_is_found_out(void **state)
{
	unsigned refused = 0, damaged = 0, older = 0;

	for (int round = 0; round < 300; round++) {
		struct bench *b = bench_new(STORE_MIN_BLOCKS, 40);
		struct store_report r = {0};
		struct store_status st;
		u8 *start;

		b->r.x = (u64)round;
		for (int i = 0; i < 6; i++)
			(void)step(b);
		start = malloc(b->d.blocks * STORE_BLOCK);
		memcpy(start, b->d.mem, b->d.blocks * STORE_BLOCK);
		b->d.recording = true;
		for (int i = 0; i < 8; i++)
			(void)step(b);
		store_close(b->s);
		memcpy(b->d.mem, start, b->d.blocks * STORE_BLOCK);
		for (size_t i = 0; i < b->d.ops; i++)
			if (b->d.op[i].blocks && rng_below(&b->r, 40))
				memcpy(b->d.mem + b->d.op[i].block * STORE_BLOCK, b->d.op[i].data,
				       STORE_BLOCK);
		if (store_open(&tdisk_ops, &b->d, b->d.blocks, &(struct store_how){true, 0, 0},
			       &b->s) == 0) {
			store_status(b->s, &st);
			older += st.epoch < 14;
			damaged += store_check(b->s, &r) > 0;
			assert_true(model_same(&b->past[st.epoch % M_EPOCHS], b->s, true));
			store_close(b->s);
		} else {
			refused++;
		}
		free(start);
		tdisk_done(&b->d);
		free(b);
	}
	printf("300 lies: %u times an older epoch, %u damaged, %u refused\n", older, damaged,
	       refused);
	assert_true(older > 50 && damaged > 50);
}

static void
attempts_are_counted(void **state)
{
	struct bench *b = bench_new(STORE_MIN_BLOCKS, 100);
	struct store_status st;

	assert_int_equal(step(b), 0);
	for (u32 i = 1; i <= 3; i++) {
		store_close(b->s);
		bench_open(b, 0, 100);
		assert_int_equal(store_attempt(b->s), 0);
		store_close(b->s);
		bench_open(b, 0, 100);
		store_status(b->s, &st);
		assert_int_equal(st.attempts, i);
	}
	assert_int_equal(step(b), 0);
	store_status(b->s, &st);
	assert_int_equal(st.attempts, 0);
	bench_end(b);
}

static void
other_disks_are_told_apart(void **state)
{
	struct bench *b = bench_new(STORE_MIN_BLOCKS, 100);
	struct store_super *sb = (void *)(b->d.mem + 16 * STORE_BLOCK);
	enum store_kind kind;
	struct tdisk d;

	assert_int_equal(store_probe(&tdisk_ops, &b->d, b->d.blocks, &kind), 0);
	assert_int_equal(kind, STORE_IS);
	store_close(b->s);
	tdisk_init(&d, STORE_MIN_BLOCKS);
	assert_int_equal(store_probe(&tdisk_ops, &d, d.blocks, &kind), 0);
	assert_int_equal(kind, STORE_BLANK);
	d.mem[1080] = 0x53;
	assert_int_equal(store_probe(&tdisk_ops, &d, d.blocks, &kind), 0);
	assert_int_equal(kind, STORE_OTHER);
	d.mem[1080] = 0;
	d.mem[d.blocks * STORE_BLOCK - 512] = 'E';
	assert_int_equal(store_probe(&tdisk_ops, &d, d.blocks, &kind), 0);
	assert_int_equal(kind, STORE_OTHER);
	assert_int_equal(store_open(&tdisk_ops, &d, d.blocks, &(struct store_how){0}, &b->s),
			 -ENODEV);
	tdisk_done(&d);
	assert_int_equal(
		store_open(&tdisk_ops, &b->d, b->d.blocks - 1, &(struct store_how){0}, &b->s),
		-ENXIO);
	for (unsigned i = 0; i < STORE_SLOTS; i++) {
		sb = (void *)(b->d.mem + STORE_SLOT_BLOCK[i] * STORE_BLOCK);
		sb->incompat = 1ull << 63;
		sb->hash = hash128(sb, offsetof(struct store_super, hash));
	}
	assert_int_equal(store_open(&tdisk_ops, &b->d, b->d.blocks, &(struct store_how){0}, &b->s),
			 -EOPNOTSUPP);
	tdisk_done(&b->d);
	free(b);
}

static void
read_only_writes_nothing(void **state)
{
	struct bench *b = bench_new(STORE_MIN_BLOCKS, 100);
	struct store_note note = {0};
	unsigned long writes;
	u64 epoch;

	assert_int_equal(step(b), 0);
	store_close(b->s);
	writes = b->d.writes;
	assert_int_equal(
		store_open(&tdisk_ops, &b->d, b->d.blocks, &(struct store_how){true, 0, 0}, &b->s),
		0);
	assert_int_equal(store_put(b->s, 20, 0, "x", 1), -EROFS);
	assert_int_equal(store_commit(b->s, &note, &epoch), -EROFS);
	assert_int_equal(store_attempt(b->s), -EROFS);
	assert_int_equal(b->d.writes, writes);
	bench_end(b);
}

static void
hash_is_xxhash(void **state)
{
	_Alignas(8) u8 buf[4096], copy[4096];
	struct hash128 h = hash128("", 0);

	/* XXH3_128bits of nothing, and of 0..255 repeated (xxhsum -H2). */
	assert_true(h.low == 0x6001c324468d497full && h.high == 0x99aa06d3014798d8ull);
	for (unsigned i = 0; i < sizeof(buf); i++)
		buf[i] = (u8)i;
	h = hash128(buf, sizeof(buf));
	buf[4095] ^= 1;
	assert_false(hash128_equal(h, hash128(buf, sizeof(buf))));
	/* XXH64 of nothing (xxhsum -H1). */
	assert_true(hash64("", 0) == 0xef46db3751d8e999ull);
	for (size_t n = 32; n <= sizeof(buf); n *= 2) {
		assert_true(hash64_copy(copy, buf, n) == hash64(buf, n));
		assert_memory_equal(copy, buf, n);
	}
}

/* Who puts a block may know its hash: it is taken as it is. */
static void
hashes_that_are_known_are_taken(void **state)
{
	struct bench *b = bench_new(STORE_MIN_BLOCKS, 50);
	struct store_note note = {.real_ns = 1};
	u8 block[STORE_BLOCK], got[STORE_BLOCK];
	u64 epoch;
	u32 len;

	memset(block, 0x5a, sizeof(block));
	assert_int_equal(store_put_hashed(b->s, 16, 1, block, hash64(block, sizeof(block))), 0);
	assert_int_equal(store_put_hashed(b->s, 16, 2, block, 1), 0);
	assert_int_equal(store_commit(b->s, &note, &epoch), 0);
	assert_int_equal(store_get(b->s, 16, 1, got, &len), 0);
	assert_int_equal(len, STORE_BLOCK);
	assert_memory_equal(got, block, sizeof(block));
	assert_int_equal(store_get(b->s, 16, 2, got, &len), -EBADMSG);
	bench_end(b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hash_is_xxhash),
		cmocka_unit_test(empty_store),
		cmocka_unit_test(committed_is_found_again),
		cmocka_unit_test(uncommitted_is_not),
		cmocka_unit_test(older_epochs_open),
		cmocka_unit_test(errors_lose_nothing),
		cmocka_unit_test(no_memory_is_no_fault),
		cmocka_unit_test(full_store),
		cmocka_unit_test(what_frees_more_than_it_takes_fits),
		cmocka_unit_test(large_epoch),
		cmocka_unit_test(many_items_need_no_large_memory),
		cmocka_unit_test(large_epochs_leave_no_memory_behind),
		cmocka_unit_test(sealed_epochs_are_not_read),
		cmocka_unit_test(bytes_written_for_bytes_put),
		cmocka_unit_test(small_epochs_stay_where_they_were),
		cmocka_unit_test(large_epochs_turn_back),
		cmocka_unit_test(bit_flips_are_found),
		cmocka_unit_test(a_lying_disk_is_found_out),
		cmocka_unit_test(attempts_are_counted),
		cmocka_unit_test(other_disks_are_told_apart),
		cmocka_unit_test(read_only_writes_nothing),
		cmocka_unit_test(hashes_that_are_known_are_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
