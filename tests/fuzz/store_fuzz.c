/*
 * The store's recovery and checker: a right image of some epochs, spoilt here and there, with a
 * hash that takes everything for right. Whatever is found, what is read lies inside the disk,
 * everything ends, and what can be opened can be written to or says why not.
 *
 * Input: any number of {block, 2 bytes; offset, 2 bytes; count, 1 byte; bytes}. Blocks are counted
 * among those that were ever written.
 */
#include "fuzz.h"
#include "store_model.h"

void assert_failed(const char *expr, const char *file, int line);

void
assert_failed(const char *expr, const char *file, int line)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, expr);
	abort();
}

struct hash128
hash128(const void *data, size_t size)
{
	if (size > 0)
		touch((const u8 *)data + size - 1, 1);
	return (struct hash128){1, size};
}

u64
hash64(const void *data, size_t size)
{
	return hash128(data, size).high;
}

struct image {
	struct tdisk d;
	u8 *clean;
	u64 block[STORE_MIN_BLOCKS]; /* that were written */
	u32 blocks;
};

static struct image *
build(void)
{
	static const u8 uuid[16] = "fuzz";
	struct image *im = calloc(1, sizeof(*im));
	struct store_note note = {0};
	struct model m = {0};
	struct rng r = {3};
	struct store *s;
	u32 next_id = 0;
	u64 epoch;

	tdisk_init(&im->d, STORE_MIN_BLOCKS);
	CHECK(store_format(&tdisk_ops, &im->d, im->d.blocks, uuid, 0) == 0);
	CHECK(store_open(&tdisk_ops, &im->d, im->d.blocks, &(struct store_how){.base_items = 60},
			 &s) == 0);
	for (int i = 0; i < 14; i++) {
		struct pages pages = {0};

		CHECK(model_change(&m, s, &r, &next_id, &pages) == 0);
		CHECK(store_commit(s, &note, &epoch) == 0);
		pages_free(&pages);
	}
	store_close(s);
	im->d.recording = true;
	im->clean = malloc(im->d.blocks * STORE_BLOCK);
	memcpy(im->clean, im->d.mem, im->d.blocks * STORE_BLOCK);
	for (u64 b = 0; b < im->d.blocks; b++)
		for (u32 i = 0; i < STORE_BLOCK; i++)
			if (im->clean[b * STORE_BLOCK + i]) {
				im->block[im->blocks++] = b;
				break;
			}
	return im;
}

static void
spoil(struct image *im, struct input *in)
{
	while (in->left > 0) {
		u64 block = im->block[take(in, 2) % im->blocks];
		u64 at = take(in, 2) % STORE_BLOCK;
		u64 n = take(in, 1);

		tdisk_record(&im->d, block, 1, im->d.mem);
		for (u64 i = 0; i < n && at + i < STORE_BLOCK && in->left > 0; i++)
			im->d.mem[block * STORE_BLOCK + at + i] = (u8)take(in, 1);
	}
}

static void
use(struct store *s, bool write)
{
	struct store_report rep = {0};
	struct store_note note = {0};
	struct store_item item;
	u8 buf[STORE_BLOCK];
	u64 oid = 0, idx = 0, epoch;
	u32 len;

	for (int i = 0; i < 500 && store_next(s, oid, idx, &item) == 0; i++) {
		if (store_get(s, item.oid, item.idx, buf, &len) == 0)
			touch(buf, len);
		oid = item.oid;
		idx = item.idx + 1;
		if (idx == 0)
			break;
	}
	CHECK(store_check(s, &rep) >= 0);
	for (int i = 0; write && i < 5; i++) {
		memset(buf, i, sizeof(buf));
		(void)!store_put(s, 20, (u64)i, buf, STORE_BLOCK);
		(void)!store_put(s, 21, 5, buf, 100);
		(void)!store_delete(s, 22 + (u64)i, 0, UINT64_MAX);
		(void)!store_commit(s, &note, &epoch);
	}
}

int
LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static struct image *im;
	struct input in = {data, size};
	struct store_how how = {.base_items = 5};
	struct store *s;

	if (!im)
		im = build();
	spoil(im, &in);
	how.readonly = size & 1;
	how.epoch = size & 2 ? 12 : 0;
	if (store_open(&tdisk_ops, &im->d, im->d.blocks, &how, &s) == 0) {
		use(s, !how.readonly);
		store_close(s);
	}
	for (size_t i = 0; i < im->d.ops; i++)
		if (im->d.op[i].blocks)
			memcpy(im->d.mem + im->d.op[i].block * STORE_BLOCK,
			       im->clean + im->d.op[i].block * STORE_BLOCK, STORE_BLOCK);
	tdisk_forget(&im->d);
	return 0;
}
