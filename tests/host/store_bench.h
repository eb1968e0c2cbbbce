/*
 * A store of pages that are each filled with one byte, on a disk that remembers what is durable:
 * for tests that go step by step. Include after cmocka.h.
 */
#ifndef STORE_BENCH_H
#define STORE_BENCH_H

#include "store_common.h"
#include "store_disk.h"
#include "store/impl.h"

#define OBJECT 20

struct bench {
	struct tdisk d;
	struct store *s;
	u64 unread;		/* reads of this block fail, 0: of none */
	u64 bad_block;		/* writes of it fail, 0: of none; */
	bool drops;		/* or come to nothing, and nobody says so */
	unsigned bad_slots;	/* bits: neither do these superblocks' take any */
	unsigned long tries;	/* of these */
	unsigned long calls;	/* of writing so far, of which those */
	unsigned long from, to; /* from the one to before the other fail */
	u8 *stable;		/* before the recorded operations */
	u8 page[512][STORE_BLOCK];
};

/* --- the disk --- */

static inline int
bench_read(void *dev, u64 block, void *buf, u32 blocks)
{
	struct bench *b = dev;

	if (b->unread && b->unread >= block && b->unread < block + blocks)
		return -EIO;
	return tdisk_read(&b->d, block, buf, blocks);
}

static inline int
bench_write(void *dev, u64 block, const struct store_seg *seg, u32 segs)
{
	struct bench *b = dev;
	u64 end = block;

	for (u32 i = 0; i < segs; i++)
		end += seg[i].blocks;
	b->calls++;
	if (b->calls >= b->from && b->calls < b->to)
		return -EIO;
	for (unsigned i = 0; i < STORE_SLOTS; i++)
		if ((b->bad_slots >> i & 1) && STORE_SLOT_BLOCK[i] >= block &&
		    STORE_SLOT_BLOCK[i] < end)
			return -EIO;
	if (b->bad_block >= block && b->bad_block < end) {
		b->tries++;
		return b->drops ? 0 : -EIO;
	}
	return tdisk_write(&b->d, block, seg, segs);
}

static inline void
bench_flush_begin(void *dev)
{
	tdisk_flush_begin(&((struct bench *)dev)->d);
}

static inline int
bench_flush(void *dev)
{
	return tdisk_flush(&((struct bench *)dev)->d);
}

static const struct store_ops bench_ops = {
	.read = bench_read,
	.write = bench_write,
	.flush = bench_flush,
	.alloc = tdisk_alloc,
	.free = free,
	.flush_begin = bench_flush_begin,
};

static inline void
bench_open(struct bench *b, u64 epoch, u32 base_items)
{
	const struct store_how how = {.epoch = epoch, .base_items = base_items};

	assert_int_equal(store_open(&bench_ops, b, b->d.blocks, &how, &b->s), 0);
}

static inline struct bench *
bench_of(u64 blocks, u32 base_items)
{
	struct bench *b = calloc(1, sizeof(*b));

	tdisk_init(&b->d, blocks);
	b->stable = malloc(b->d.blocks * STORE_BLOCK);
	assert_int_equal(store_format(&bench_ops, b, b->d.blocks, uuid, 0), 0);
	bench_open(b, 0, base_items);
	return b;
}

static inline struct bench *
bench_new(u32 base_items)
{
	return bench_of(STORE_MIN_BLOCKS, base_items);
}

static inline void
bench_reopen(struct bench *b, u64 epoch, u32 base_items)
{
	store_close(b->s);
	bench_open(b, epoch, base_items);
}

static inline void
bench_end(struct bench *b)
{
	store_close(b->s);
	tdisk_done(&b->d);
	free(b->stable);
	free(b);
}

/* What is on the disk now is durable; what comes is remembered. */
static inline void
bench_record(struct bench *b)
{
	tdisk_forget(&b->d);
	memcpy(b->stable, b->d.mem, b->d.blocks * STORE_BLOCK);
	b->d.recording = true;
}

/* --- epochs --- */

/* Pages from `at` on, each filled with `byte`. => returns what the commit does */
static inline int
try_put(struct bench *b, u64 at, u64 pages, int byte)
{
	const struct store_note note = {0};
	u64 epoch;

	assert_true(pages <= ARRAY_SIZE(b->page));
	for (u64 i = 0; i < pages; i++) {
		memset(b->page[i], byte, STORE_BLOCK);
		if (store_put(b->s, OBJECT, STORE_PAGE(at + i), b->page[i], STORE_BLOCK))
			break;
	}
	return store_commit(b->s, &note, &epoch);
}

static inline void
put(struct bench *b, u64 at, u64 pages, int byte)
{
	assert_int_equal(try_put(b, at, pages, byte), 0);
}

static inline u64
shown(const struct store *s)
{
	struct store_status st;

	store_status(s, &st);
	return st.epoch;
}

static inline int
page_byte(struct store *s, u64 at)
{
	u8 buf[STORE_BLOCK];
	u32 length;

	assert_int_equal(store_get(s, OBJECT, STORE_PAGE(at), buf, &length), 0);
	for (u32 i = 1; i < length; i++)
		assert_int_equal(buf[i], buf[0]);
	return buf[0];
}

static inline void
assert_sound(struct store *s)
{
	struct store_report r = {.fault = print_fault};

	assert_int_equal(store_check(s, &r), 0);
}

/* What a start would find now: the epoch, and the byte of its first page. */
static inline void
assert_found(struct bench *b, u64 epoch, int byte)
{
	struct store *s;

	assert_int_equal(
		store_open(&bench_ops, b, b->d.blocks, &(struct store_how){.readonly = true}, &s),
		0);
	assert_int_equal(shown(s), epoch);
	assert_int_equal(page_byte(s, 0), byte);
	assert_sound(s);
	store_close(s);
}

/* The same when power goes now, and nothing, or all, of what was not flushed is there. */
static inline void
assert_cut_finds(struct bench *b, u64 epoch, int byte)
{
	size_t flushed = 0, size = b->d.blocks * STORE_BLOCK;
	u8 *now = malloc(size);

	assert_found(b, epoch, byte);
	memcpy(now, b->d.mem, size);
	memcpy(b->d.mem, b->stable, size);
	for (size_t i = 0; i < b->d.ops; i++)
		flushed = b->d.op[i].blocks ? flushed : i;
	for (size_t i = 0; i < flushed; i++)
		if (b->d.op[i].blocks)
			memcpy(b->d.mem + b->d.op[i].block * STORE_BLOCK, b->d.op[i].data,
			       STORE_BLOCK);
	assert_found(b, epoch, byte);
	memcpy(b->d.mem, now, size);
	free(now);
}

static inline void
clear_block(struct bench *b, u64 block)
{
	memset(b->d.mem + block * STORE_BLOCK, 0, STORE_BLOCK);
}

/* Whether a whole head of this store lies there. */
static inline bool
is_head(const struct bench *b, u64 block)
{
	const struct store_record *r = (const void *)(b->d.mem + block * STORE_BLOCK);

	return r->magic == STORE_RECORD_MAGIC &&
	       hash128_equal(r->hash, hash128(r, offsetof(struct store_record, hash)));
}

/* Where the head that lies there says that its first item is. */
static inline u64
payload_of(const struct bench *b, u64 head)
{
	assert_true(is_head(b, head));
	return ((const struct store_record *)(b->d.mem + head * STORE_BLOCK))->item[0].block;
}

#endif
