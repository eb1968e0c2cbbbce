/*
 * Disks as the rest of the kernel sees them: requests of whole sectors over physical memory, given
 * to a driver and finished by its interrupt, in any order.
 *
 * A request belongs to the driver from block_submit until its `end` is called: with no lock held,
 * in interrupt context or in the submitter's. What a disk does not keep over a power cut before a
 * flush is all that was not finished when the flush was submitted (as in Linux's block layer).
 */
#ifndef DEV_BLOCK_H
#define DEV_BLOCK_H

#include "core/spinlock.h"
#include "core/waitq.h"
#include "lib/list.h"

#define BLOCK_SECTOR   512u
#define BLOCK_SEGS_MAX 32u

enum block_op { BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH };

struct block_seg {
	paddr_t addr;
	u32 len; /* bytes, whole sectors */
};

struct block_request {
	struct list link; /* [driver] */
	enum block_op op;
	u64 sector; /* of 512 bytes */
	u32 segs;
	struct block_seg seg[BLOCK_SEGS_MAX];
	void (*end)(struct block_request *r, int err); /* 0, -EIO, -EOPNOTSUPP */
	void *arg;				       /* of whoever waits */
	/* The driver's. */
	struct block_driver_head {
		u32 type, zero;
		u64 sector;
	} head;
	u8 status;
};

struct block_device;

struct block_ops {
	/* Never fails: errors come by `end`. Any context. */
	void (*submit)(struct block_device *d, struct block_request *r);
};

struct block_device {
	struct list link;      /* [devices->lock] */
	char name[16];	       /* [I] "vda" */
	unsigned major, minor; /* [I] of its file */
	u64 sectors;	       /* [I] of 512 bytes */
	u32 sector_bytes;      /* [I] smallest it writes by itself, at least 512 */
	u32 segs_max, seg_max; /* [I] segments of a request, bytes of a segment */
	bool readonly;	       /* [I] */
	bool volatile_cache;   /* [I] needs flushes */
	bool in_use;	       /* [I] once programs run: by the store, nobody else writes to it */
	const struct block_ops *ops;
};

/* Requests in flight that somebody waits for together; the first error of them. */
struct block_batch {
	struct block_device *dev;
	struct spinlock lock;
	struct waitq done;
	unsigned pending; /* [lock] */
	int err;	  /* [lock] */
	/* [who adds] not yet given to the driver; what lies behind it on the disk joins it */
	struct block_request *open;
	u64 open_end; /* sector */
};

void block_register(struct block_device *d);
/* The disk after this one; NULL: the first, and none. */
struct block_device *block_next(struct block_device *after);
/* How many there are of this major number so far. */
unsigned block_count(unsigned major);

void block_batch_init(struct block_batch *b, struct block_device *d);
/* Begins to read or write `bytes` at `sector`, from memory of the kernel's (the physmap) that stays
 * until the wait. -EINVAL (not inside the disk, not whole sectors), -EROFS, -ENOMEM; what was begun
 * before an error goes on. */
int __must_check block_batch_add(struct block_batch *b, enum block_op op, u64 sector, void *mem,
				 size_t bytes);
/* The same, but the last request may wait for more of it. => block_batch_push or the wait follows
 */
int __must_check block_batch_join(struct block_batch *b, enum block_op op, u64 sector, void *mem,
				  size_t bytes);
void block_batch_push(struct block_batch *b);
/* Sleeps until all is done: 0 or -EIO. => may sleep, uninterruptibly */
int block_batch_wait(struct block_batch *b);

/* One transfer, to its end. */
int __must_check block_transfer(struct block_device *d, enum block_op op, u64 sector, void *mem,
				size_t bytes);
/* What was finished before is durable when it returns 0. */
int __must_check block_flush(struct block_device *d);

#endif
