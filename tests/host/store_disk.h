/*
 * A disk in memory that remembers what was done to it since `mark`: each write with its bytes, each
 * flush. Operations can be told to fail. For the store's tests; one disk at a time is
 * `tdisk_ops`'s.
 */
#ifndef STORE_DISK_H
#define STORE_DISK_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "store/store.h"

struct dop {
	u64 block;
	u32 blocks; /* 0: a flush */
	u8 *data;
};

struct tdisk {
	u8 *mem;
	unsigned long *begun; /* for each block: before which flush it was written last */
	u64 blocks;
	struct dop *op;
	size_t ops, cap;
	bool recording;
	long fail_write, fail_flush, fail_read; /* the n-th from now gives -EIO; 0: none does */
	bool lost;				/* a write failed since the last flush */
	bool flushing;				/* it was begun: for the writes before, */
	size_t covered;				/* in op, */
	bool covered_lost;			/* and when one of those failed */
	unsigned long reads, writes, flushes, write_calls;
};

static inline void
tdisk_init(struct tdisk *d, u64 blocks)
{
	memset(d, 0, sizeof(*d));
	d->blocks = blocks;
	d->mem = calloc(blocks, STORE_BLOCK);
	d->begun = calloc(blocks, sizeof(*d->begun));
}

static inline void
tdisk_forget(struct tdisk *d)
{
	for (size_t i = 0; i < d->ops; i++)
		free(d->op[i].data);
	d->ops = 0;
}

static inline void
tdisk_done(struct tdisk *d)
{
	tdisk_forget(d);
	free(d->op);
	free(d->mem);
	free(d->begun);
}

static inline void
tdisk_record(struct tdisk *d, u64 block, u32 blocks, const void *data)
{
	if (!d->recording)
		return;
	if (d->ops == d->cap) {
		d->cap = d->cap ? d->cap * 2 : 256;
		d->op = realloc(d->op, d->cap * sizeof(*d->op));
	}
	d->op[d->ops] = (struct dop){block, blocks, NULL};
	if (blocks) {
		d->op[d->ops].data = malloc((size_t)blocks * STORE_BLOCK);
		memcpy(d->op[d->ops].data, data, (size_t)blocks * STORE_BLOCK);
	}
	d->ops++;
}

static inline bool
tdisk_fails(long *n)
{
	return *n > 0 && --*n == 0;
}

static inline int
tdisk_read(void *dev, u64 block, void *buf, u32 blocks)
{
	struct tdisk *d = dev;

	d->reads++;
	if (block + blocks > d->blocks || tdisk_fails(&d->fail_read))
		return -EIO;
	memcpy(buf, d->mem + block * STORE_BLOCK, (size_t)blocks * STORE_BLOCK);
	return 0;
}

/* Writes between two flushes are in no order: of two to one block, either may be the last. */
static inline void
tdisk_begin(struct tdisk *d, u64 block)
{
	if (d->begun[block] == d->flushes + 1) {
		fprintf(stderr, "block %llu is written twice before a flush\n",
			(unsigned long long)block);
		abort();
	}
	d->begun[block] = d->flushes + 1;
}

/* A write that fails leaves its first half. */
static inline int
tdisk_write(void *dev, u64 block, const struct store_seg *seg, u32 segs)
{
	struct tdisk *d = dev;
	u64 at = block;
	size_t part = STORE_BLOCK;

	d->write_calls++;
	if (tdisk_fails(&d->fail_write)) {
		d->lost = true;
		part = STORE_BLOCK / 2;
	}
	for (u32 i = 0; i < segs; i++) {
		for (u32 n = 0; n < seg[i].blocks; n++, at++) {
			u8 *to = d->mem + at * STORE_BLOCK;

			if (at >= d->blocks)
				abort();
			tdisk_begin(d, at);
			memcpy(to, (const u8 *)seg[i].data + (size_t)n * STORE_BLOCK, part);
			tdisk_record(d, at, 1, to);
			d->writes++;
		}
	}
	return 0;
}

static inline void
tdisk_flush_begin(void *dev)
{
	struct tdisk *d = dev;

	d->flushing = true;
	d->covered = d->ops;
	d->covered_lost = d->lost;
	d->lost = false;
	d->flushes++;
}

/* What was written since the flush was begun is as far from durable as before. */
static inline int
tdisk_flush(void *dev)
{
	struct tdisk *d = dev;

	if (!d->flushing)
		tdisk_flush_begin(d);
	d->flushing = false;
	if (tdisk_fails(&d->fail_flush) || d->covered_lost)
		return -EIO;
	tdisk_record(d, 0, 0, NULL);
	if (d->recording) {
		struct dop flush = d->op[d->ops - 1];

		memmove(&d->op[d->covered + 1], &d->op[d->covered],
			(d->ops - 1 - d->covered) * sizeof(d->op[0]));
		d->op[d->covered] = flush;
	}
	return 0;
}

/* The superblock in slot i, or NULL. */
static inline struct store_super *
tdisk_super(const struct tdisk *d, unsigned i)
{
	struct store_super *sb = (void *)(d->mem + STORE_SLOT_BLOCK[i] * STORE_BLOCK);
	struct hash128 hash = hash128(sb, offsetof(struct store_super, hash));

	return sb->magic == STORE_SUPER_MAGIC && hash128_equal(sb->hash, hash) ? sb : NULL;
}

/* How many slots have the incompatible features. */
static inline unsigned
tdisk_slots_of(const struct tdisk *d, u64 features)
{
	unsigned n = 0;

	for (unsigned i = 0; i < STORE_SLOTS; i++) {
		const struct store_super *sb = tdisk_super(d, i);

		n += sb && (sb->incompat & features) == features;
	}
	return n;
}

/* A store of before there were incompatible features, from an empty one. */
static inline void
tdisk_make_old(struct tdisk *d)
{
	for (unsigned i = 0; i < STORE_SLOTS; i++) {
		struct store_super *sb = tdisk_super(d, i);

		sb->incompat = 0;
		sb->hash = hash128(sb, offsetof(struct store_super, hash));
	}
}

#define TDISK_ALLOC_MAX (1u << 20) /* the kernel has 4 MiB in one at best */

static long tdisk_fail_alloc __unused_k; /* as fail_write, of all disks: -ENOMEM */
static long tdisk_allocs __unused_k;	 /* what stores have of memory now */

static inline void *
tdisk_alloc(size_t size)
{
	if (tdisk_fails(&tdisk_fail_alloc))
		return NULL;
	if (size > TDISK_ALLOC_MAX)
		return NULL;
	tdisk_allocs++;
	return malloc(size);
}

static inline void
tdisk_free(void *p)
{
	tdisk_allocs--;
	free(p);
}

static const struct store_ops tdisk_ops __unused_k = {
	.read = tdisk_read,
	.write = tdisk_write,
	.flush = tdisk_flush,
	.alloc = tdisk_alloc,
	.free = tdisk_free,
	.flush_begin = tdisk_flush_begin,
};

#endif
