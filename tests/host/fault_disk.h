/*
 * A disk in memory whose every request may go wrong, and whose state can be kept and brought back
 * in no time: each version of a block stays in `mem`, the disk itself is a table of which one is
 * where.
 *
 *	fdisk_arm(d, FD_WRITE_LATE, 7)	from now on the seventh write fails when it is flushed
 *	fdisk_arm(d, FD_CUT, 7)		the power goes at the seventh write or flush
 *	fdisk_save, fdisk_load		between two machines: nothing is unflushed
 *
 * What is written must not change in memory before it is flushed: the disk compares. One disk at a
 * time is `fdisk_ops`'s.
 */
#ifndef FAULT_DISK_H
#define FAULT_DISK_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "store/store.h"

#define FD_BLOCKS    (STORE_MIN_BLOCKS + 512)
#define FD_VERSIONS  (1u << 15)
#define FD_UNFLUSHED 2048u
#define FD_ALLOC_MAX (1u << 20) /* as the kernel's */

enum fd_fault {
	FD_NONE,
	FD_READ,	/* a read gives -EIO */
	FD_WRITE_NOW,	/* so does a write, and nothing of it was done, */
	FD_WRITE_LATE,	/* or some: the flush tells */
	FD_FLUSH_KEEPS, /* a flush does, and the next may make durable what it was to, */
	FD_FLUSH_LOSES, /* or it is lost */
	FD_ALLOC,	/* no memory */
	FD_CUT,		/* the power goes */
	FD_FAULTS
};

struct fd_write {
	u32 block, is;
	const void *data; /* in memory, not to change */
};

struct fimage {
	u32 at[FD_BLOCKS];
	u32 used;
};

struct fdisk {
	u8 (*mem)[STORE_BLOCK]; /* versions; the first is zero */
	u32 used;
	u64 blocks;
	u32 now[FD_BLOCKS], stable[FD_BLOCKS];
	struct fd_write unflushed[FD_UNFLUSHED];
	u32 n;
	enum fd_fault fault;
	unsigned long at, count; /* the request of the fault's kind; of that kind so far */
	unsigned long again;	 /* one so many behind it fails, too; 0: none */
	bool for_good;		 /* and so do all after it */
	bool lost;		 /* a write failed since the last flush */
	bool begun;		 /* a flush: of the first `covered` of `unflushed`, */
	bool covered_lost;	 /* one of which failed */
	u32 covered;
	bool down;				   /* the power is off */
	unsigned long hits, flush_errors, changes; /* faults so far; writes and flushes */
};

static struct fdisk *fdisk_now;

static inline void
fdisk_arm(struct fdisk *d, enum fd_fault fault, unsigned long at)
{
	d->fault = fault;
	d->at = at;
	d->count = d->hits = d->flush_errors = d->again = 0;
	d->for_good = false;
}

/* An empty disk, with all its memory. */
static inline void
fdisk_clear(struct fdisk *d)
{
	if (!d->mem)
		d->mem = calloc(FD_VERSIONS, STORE_BLOCK);
	memset(d->now, 0, sizeof(d->now));
	memset(d->stable, 0, sizeof(d->stable));
	d->used = 1;
	d->blocks = d->blocks ? d->blocks : FD_BLOCKS;
	d->n = 0;
	d->lost = d->begun = d->down = false;
	fdisk_arm(d, FD_NONE, 0);
	fdisk_now = d;
}

static inline void
fdisk_save(const struct fdisk *d, struct fimage *image)
{
	memcpy(image->at, d->stable, sizeof(image->at));
	image->used = d->used;
}

static inline void
fdisk_load(struct fdisk *d, const struct fimage *image)
{
	memcpy(d->stable, image->at, sizeof(image->at));
	memcpy(d->now, image->at, sizeof(image->at));
	d->used = image->used;
	d->n = 0;
	d->lost = d->begun = d->down = false;
	fdisk_arm(d, FD_NONE, 0);
}

static inline bool
fdisk_hit(struct fdisk *d, bool concerned)
{
	bool hit;

	if (!concerned)
		return false;
	d->count++;
	hit = d->count == d->at || (d->for_good && d->count > d->at) ||
	      (d->again && d->count == d->at + d->again);
	d->hits += hit;
	return hit;
}

static inline u32
fdisk_version(struct fdisk *d, const void *data, size_t n, u32 rest)
{
	u32 is = d->used++;

	if (is >= FD_VERSIONS)
		abort();
	memcpy(d->mem[is], data, n);
	memcpy(d->mem[is] + n, d->mem[rest] + n, STORE_BLOCK - n);
	return is;
}

static inline int
fdisk_read(void *dev, u64 block, void *buf, u32 blocks)
{
	struct fdisk *d = dev;

	if (d->down || block + blocks > d->blocks || fdisk_hit(d, d->fault == FD_READ))
		return -EIO;
	for (u32 i = 0; i < blocks; i++)
		memcpy((u8 *)buf + (size_t)i * STORE_BLOCK, d->mem[d->now[block + i]], STORE_BLOCK);
	return 0;
}

static inline bool
fdisk_goes_down(struct fdisk *d)
{
	d->changes++;
	if (fdisk_hit(d, d->fault == FD_CUT))
		d->down = true;
	return d->down;
}

static inline int
fdisk_write(void *dev, u64 block, const struct store_seg *seg, u32 segs)
{
	struct fdisk *d = dev;
	size_t part = STORE_BLOCK;

	if (fdisk_hit(d, d->fault == FD_WRITE_NOW))
		return -EIO;
	if (fdisk_hit(d, d->fault == FD_WRITE_LATE)) {
		d->lost = true;
		part = STORE_BLOCK / 2;
	}
	for (u32 i = 0; i < segs; i++) {
		for (u32 k = 0; k < seg[i].blocks; k++, block++) {
			const u8 *data = (const u8 *)seg[i].data + (size_t)k * STORE_BLOCK;
			u32 is;

			if (block >= d->blocks || d->n == FD_UNFLUSHED)
				abort();
			is = fdisk_version(d, data, part, d->now[block]);
			if (d->down)
				continue;
			d->now[block] = is;
			d->unflushed[d->n++] = (struct fd_write){(u32)block, is, data};
		}
	}
	(void)fdisk_goes_down(d);
	return d->down ? -EIO : 0;
}

static inline void
fdisk_lose(struct fdisk *d)
{
	memcpy(d->now, d->stable, sizeof(d->now));
	d->n = 0;
}

static inline void
fdisk_flush_begin(void *dev)
{
	struct fdisk *d = dev;

	d->begun = true;
	d->covered = d->n;
	d->covered_lost = d->lost;
	d->lost = false;
}

/* Of what was written before it was begun; the rest is as far from durable as before. */
static inline int
fdisk_flush(void *dev)
{
	struct fdisk *d = dev;
	bool lost;

	if (!d->begun)
		fdisk_flush_begin(d);
	d->begun = false;
	lost = d->covered_lost;
	if (fdisk_goes_down(d))
		return -EIO;
	for (u32 i = 0; i < d->covered && !lost; i++)
		if (memcmp(d->unflushed[i].data, d->mem[d->unflushed[i].is], STORE_BLOCK) != 0) {
			fprintf(stderr, "block %u changes on its way\n", d->unflushed[i].block);
			abort();
		}
	if (fdisk_hit(d, d->fault == FD_FLUSH_LOSES)) {
		d->flush_errors++;
		d->lost = d->covered < d->n;
		fdisk_lose(d);
		return -EIO;
	}
	if (fdisk_hit(d, d->fault == FD_FLUSH_KEEPS)) {
		d->flush_errors++;
		for (u32 i = 0; i < d->n; i++) /* its memory may be anything from here on */
			d->unflushed[i].data = d->mem[d->unflushed[i].is];
		return -EIO;
	}
	for (u32 i = 0; i < d->covered; i++)
		d->stable[d->unflushed[i].block] = d->unflushed[i].is;
	d->n -= d->covered;
	memmove(d->unflushed, d->unflushed + d->covered, d->n * sizeof(d->unflushed[0]));
	d->flush_errors += lost;
	return lost ? -EIO : 0;
}

static inline void *
fdisk_alloc(size_t size)
{
	if (fdisk_hit(fdisk_now, fdisk_now->fault == FD_ALLOC))
		return NULL;
	return size <= FD_ALLOC_MAX ? malloc(size) : NULL;
}

static const struct store_ops fdisk_ops = {
	.read = fdisk_read,
	.write = fdisk_write,
	.flush = fdisk_flush,
	.alloc = fdisk_alloc,
	.free = free,
	.flush_begin = fdisk_flush_begin,
};

/* What the power may leave of what was not flushed. */
enum fd_left { LEFT_NONE, LEFT_ALL, LEFT_TORN, LEFT_LAST, LEFT_OTHERS, LEFTS };

/* The power is off: so much of what was not flushed is there. => d->n as it was when it went */
static inline void
fdisk_power_cut(struct fdisk *d, enum fd_left left)
{
	for (u32 i = 0; i < d->n; i++) {
		const struct fd_write *w = &d->unflushed[i];
		bool last = i + 1 == d->n;

		if (left == LEFT_NONE || (left == LEFT_LAST && !last) ||
		    (left == LEFT_OTHERS && i % 2 == 0))
			continue;
		d->stable[w->block] = left == LEFT_TORN && last
					      ? fdisk_version(d, d->mem[w->is], STORE_BLOCK / 2,
							      d->stable[w->block])
					      : w->is;
	}
	fdisk_lose(d);
	d->lost = d->begun = d->down = false;
	fdisk_arm(d, FD_NONE, 0);
}

#endif
