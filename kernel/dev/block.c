/*
 * The list of disks, and transfers: a range of memory becomes requests that the driver can take,
 * and somebody sleeps until the last is finished. block_watch.c looks after what takes too long.
 */
#include <asm/errno.h>
#include "arch/layout.h"
#include "cluster/cluster.h"
#include "dev/block.h"
#include "dev/block_watch.h"
#include "dev/driver.h"
#include "lib/assert.h"
#include "mm/slab.h"

#define READY_MAX (4ul << 20) /* bytes that wait to go together */

int
block_register(struct block_device *d)
{
	struct devices *devs = machine()->devices;
	int err;

	assert(d->segs_max > 0 && d->seg_max >= PAGE_SIZE);
	d->segs_max = min(d->segs_max, BLOCK_SEGS_MAX);
	d->bytes_max = d->bytes_max ? min(d->bytes_max, BLOCK_REQUEST_MAX) : BLOCK_REQUEST_MAX;
	err = block_watch_start(d);
	if (err)
		return err;
	spin_lock(&devs->lock);
	list_add_tail(&devs->blocks, &d->link);
	spin_unlock(&devs->lock);
	return 0;
}

struct block_device *
block_next(struct block_device *after)
{
	struct devices *devs = machine()->devices;
	struct list *at;

	if (!devs)
		return NULL;
	spin_lock(&devs->lock);
	at = after ? after->link.next : devs->blocks.next;
	spin_unlock(&devs->lock);
	return at == &devs->blocks ? NULL : list_entry(at, struct block_device, link);
}

unsigned
block_count(unsigned major)
{
	unsigned n = 0;

	for (struct block_device *d = block_next(NULL); d; d = block_next(d))
		n += d->major == major;
	return n;
}

void
block_batch_init(struct block_batch *b, struct block_device *d)
{
	b->dev = d;
	spin_init(&b->lock, "block batch", RANK_NONE);
	waitq_init(&b->done);
	b->pending = 0;
	b->err = 0;
	b->open = NULL;
	b->last = NULL;
	b->flushing = false;
	list_init(&b->ready);
	b->ready_bytes = 0;
}

/* All is finished: the flush comes next. => b->lock held. => returns what to submit */
static struct block_request *
batch_finished(struct block_batch *b)
{
	struct block_request *last = b->last;

	b->last = NULL;
	waitq_wake_all(&b->done);
	if (last && !b->err) {
		b->pending++;
		b->flushing = true;
		return last;
	}
	kfree(last);
	return NULL;
}

static void
submit_one(struct block_device *d, struct block_request *r)
{
	struct list one;

	list_init(&one);
	list_add_tail(&one, &r->link);
	block_submit(d, &one);
}

static void
batch_end(struct block_request *r, int err)
{
	struct block_batch *b = r->arg;
	struct block_device *d = b->dev;

	kfree(r);
	spin_lock(&b->lock);
	if (err && !b->err)
		b->err = err;
	r = --b->pending == 0 ? batch_finished(b) : NULL;
	spin_unlock(&b->lock);
	if (r)
		submit_one(d, r);
}

int
block_batch_flush(struct block_batch *b)
{
	struct block_request *r;

	block_batch_push(b);
	if (!b->dev->volatile_cache)
		return 0;
	r = kzalloc(sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->op = BLOCK_FLUSH;
	r->end = batch_end;
	r->arg = b;
	spin_lock(&b->lock);
	b->last = r;
	r = b->pending == 0 ? batch_finished(b) : NULL;
	spin_unlock(&b->lock);
	if (r)
		submit_one(b->dev, r);
	return 0;
}

/* The open request takes no more. */
static void
close_open(struct block_batch *b)
{
	struct block_request *r = b->open;

	b->open = NULL;
	if (!r)
		return;
	r->end = batch_end;
	r->arg = b;
	spin_lock(&b->lock);
	b->pending++;
	spin_unlock(&b->lock);
	b->ready_bytes += r->bytes;
	list_add_tail(&b->ready, &r->link);
}

void
block_batch_push(struct block_batch *b)
{
	close_open(b);
	b->ready_bytes = 0;
	if (!list_empty(&b->ready))
		block_submit(b->dev, &b->ready);
}

/* Whether the request may have memory at `at` as its next. */
static bool
fits(const struct block_device *d, const struct block_request *r, paddr_t at)
{
	const struct block_seg *last;

	if (r->segs == 0)
		return true;
	last = &r->seg[r->segs - 1];
	return r->segs < d->segs_max && r->bytes < d->bytes_max &&
	       (!d->by_pages || IS_ALIGNED(at | (last->addr + last->len), PAGE_SIZE));
}

/* What goes on where the last segment ends is part of it. => it fits */
static void
add_seg(const struct block_device *d, struct block_request *r, paddr_t at, u32 len)
{
	struct block_seg *last = r->segs > 0 ? &r->seg[r->segs - 1] : NULL;

	if (last && last->addr + last->len == at && last->len + len <= d->seg_max)
		last->len += len;
	else
		r->seg[r->segs++] = (struct block_seg){at, len};
	r->bytes += len;
}

/* As much of the range as the request takes: a slow disk finishes it in time. => the first of it
 * fits. => returns the bytes */
static size_t
fill(const struct block_device *d, struct block_request *r, void *mem, size_t bytes)
{
	size_t done = 0;

	while (done < bytes && fits(d, r, virt_to_phys((char *)mem + done))) {
		u32 len = (u32)min(bytes - done, (size_t)min(d->seg_max, d->bytes_max - r->bytes));

		add_seg(d, r, virt_to_phys((char *)mem + done), len);
		done += len;
	}
	return done;
}

static bool
range_valid(const struct block_device *d, u64 sector, size_t bytes)
{
	u64 n = bytes / BLOCK_SECTOR;

	return bytes % d->sector_bytes == 0 && sector % (d->sector_bytes / BLOCK_SECTOR) == 0 &&
	       sector <= d->sectors && n <= d->sectors - sector;
}

/* Whether the open request may take more, from this memory, at this sector. */
static bool
joins(const struct block_batch *b, enum block_op op, u64 sector, const void *mem)
{
	return b->open && op != BLOCK_FLUSH && b->open->op == op && b->open_end == sector &&
	       fits(b->dev, b->open, virt_to_phys(mem));
}

/* A new open request; what is ready goes when it is much. -ENOMEM */
static int
open_request(struct block_batch *b, enum block_op op, u64 sector)
{
	close_open(b);
	if (b->ready_bytes >= READY_MAX)
		block_batch_push(b);
	b->open = kzalloc(sizeof(*b->open));
	if (!b->open)
		return -ENOMEM;
	b->open->op = op;
	b->open->sector = sector;
	return 0;
}

int
block_batch_join(struct block_batch *b, enum block_op op, u64 sector, void *mem, size_t bytes)
{
	struct block_device *d = b->dev;

	if (op != BLOCK_FLUSH && !range_valid(d, sector, bytes))
		return -EINVAL;
	if (op == BLOCK_WRITE && d->readonly)
		return -EROFS;
	do {
		size_t n = 0;

		if (!joins(b, op, sector, mem) && open_request(b, op, sector))
			return -ENOMEM;
		if (op != BLOCK_FLUSH)
			n = fill(d, b->open, mem, bytes);
		sector += n / BLOCK_SECTOR;
		b->open_end = sector;
		mem = (char *)mem + n;
		bytes -= n;
	} while (op != BLOCK_FLUSH && bytes > 0);
	return 0;
}

int
block_batch_add(struct block_batch *b, enum block_op op, u64 sector, void *mem, size_t bytes)
{
	int err = block_batch_join(b, op, sector, mem, bytes);

	block_batch_push(b);
	return err;
}

int
block_batch_written(struct block_batch *b)
{
	int err;

	spin_lock(&b->lock);
	while (b->pending > 0 && !b->flushing)
		(void)!waitq_sleep(&b->done, &b->lock, NS_FOREVER, 0);
	err = b->err;
	spin_unlock(&b->lock);
	return err;
}

int
block_batch_wait(struct block_batch *b)
{
	int err;

	block_batch_push(b);
	spin_lock(&b->lock);
	while (b->pending > 0)
		(void)!waitq_sleep(&b->done, &b->lock, NS_FOREVER, 0);
	err = b->err;
	b->err = 0;
	b->flushing = false;
	spin_unlock(&b->lock);
	return err;
}

int
block_transfer(struct block_device *d, enum block_op op, u64 sector, void *mem, size_t bytes)
{
	struct block_batch b;
	int err, e;

	block_batch_init(&b, d);
	err = block_batch_add(&b, op, sector, mem, bytes);
	e = block_batch_wait(&b);
	return err ? err : e;
}

int
block_flush(struct block_device *d)
{
	return d->volatile_cache ? block_transfer(d, BLOCK_FLUSH, 0, NULL, 0) : 0;
}
