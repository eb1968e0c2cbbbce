/*
 * Disks as the rest of the kernel sees them: requests of whole sectors over physical memory, given
 * to a driver and finished by its interrupt, in any order.
 *
 * A request belongs to the driver from block_submit until block_end: with no lock held, in
 * interrupt context or in the submitter's. When the oldest has been that for 30 s (disk-patience=N
 * on the kernel's command line), or the driver asks for it, the disk's thread resets the disk: what
 * it had is given to it once more, and ends with -EIO when that needs a reset, too. What a disk
 * does not keep over a power cut before a flush is all that was not finished when the flush was
 * submitted (as in Linux's block layer).
 */
#ifndef DEV_BLOCK_H
#define DEV_BLOCK_H

#include "core/spinlock.h"
#include "core/waitq.h"
#include "lib/list.h"

#define BLOCK_SECTOR	  512u
#define BLOCK_SEGS_MAX	  96u
#define BLOCK_REQUEST_MAX (1u << 20) /* bytes of a request */

enum block_op { BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH };

struct block_seg {
	paddr_t addr;
	u32 len; /* bytes, whole sectors */
};

struct block_request {
	struct list link;   /* [driver] */
	struct list flight; /* [device's lock] of the disk's requests */
	u8 tries;	    /* [disk's thread] that ended in a reset */
	enum block_op op;
	u64 sector; /* of 512 bytes */
	u32 bytes, segs;
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
	/* Takes the requests of the list, by `link`, and tells the disk once. Never fails: errors
	 * come by block_end. Any context. */
	void (*submit)(struct block_device *d, struct list *requests);
	/* Begins anew with a disk that does not answer or has an error: 0, and in `had` what it was
	 * given and will not finish; or -errno when it cannot be used any more: from then on
	 * submit ends everything with -EIO. The disk's thread; may sleep. Meanwhile submit only
	 * queues. */
	int (*reset)(struct block_device *d, struct list *had);
};

struct block_device {
	struct list link;      /* [devices->lock] */
	char name[16];	       /* [I] "vda" */
	unsigned major, minor; /* [I] of its file */
	u64 sectors;	       /* [I] of 512 bytes */
	u32 sector_bytes;      /* [I] smallest it writes by itself, at least 512 */
	u32 segs_max, seg_max; /* [I] segments of a request, bytes of a segment */
	u32 bytes_max;	       /* [I] of a request; 0: as many as there may be */
	bool by_pages;	       /* [I] segments of a request meet at borders of pages */
	bool readonly;	       /* [I] */
	bool volatile_cache;   /* [I] needs flushes */
	bool in_use;	       /* [I] once programs run: by the store, nobody else writes to it */
	const struct block_ops *ops;
	struct spinlock lock;
	struct waitq trouble; /* [lock] the disk's thread */
	struct list flight;   /* [lock] block_request.flight, oldest first */
	ns_t oldest_since;    /* [lock] when the oldest became that */
	bool watched;	      /* [lock] the thread wakes in time for it */
	bool failing;	      /* [lock] the driver wants a reset */
};

/* Requests in flight that somebody waits for together; the first error of them. */
struct block_batch {
	struct block_device *dev;
	struct spinlock lock;
	struct waitq done;
	unsigned pending;	    /* [lock] */
	int err;		    /* [lock] */
	struct block_request *last; /* [lock] a flush, for when all that is pending is finished */
	bool flushing;		    /* [lock] the disk has it */
	/* [who adds] not yet given to the driver: what lies behind it on the disk joins the first,
	 * and the others go together with it */
	struct block_request *open;
	u64 open_end; /* sector */
	struct list ready;
	size_t ready_bytes;
};

/* => d's fields that are [I] are set. => may sleep. -ENOMEM */
int __must_check block_register(struct block_device *d);
/* For drivers: a request is finished. => no lock held */
void block_end(struct block_device *d, struct block_request *r, int err);
/* For drivers: the disk needs a reset before it takes anything more. Any context. */
void block_needs_reset(struct block_device *d);
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
/* The same, but some of it may wait for more, so that the disk gets few large requests and is told
 * of several at once. => block_batch_push or the wait follows */
int __must_check block_batch_join(struct block_batch *b, enum block_op op, u64 sector, void *mem,
				  size_t bytes);
void block_batch_push(struct block_batch *b);
/* What was begun is made durable: the disk gets a flush as soon as it has finished all of that, and
 * the wait is also for the flush. After an error there is none. => nothing more is begun before the
 * wait. -ENOMEM */
int __must_check block_batch_flush(struct block_batch *b);
/* Sleeps until all but such a flush is done: 0, or -EIO, which the wait tells, too. => a flush was
 * begun. May sleep, uninterruptibly */
int __must_check block_batch_written(struct block_batch *b);
/* Sleeps until all is done: 0 or -EIO. => may sleep, uninterruptibly */
int block_batch_wait(struct block_batch *b);

/* One transfer, to its end. */
int __must_check block_transfer(struct block_device *d, enum block_op op, u64 sector, void *mem,
				size_t bytes);
/* What was finished before is durable when it returns 0. */
int __must_check block_flush(struct block_device *d);

#endif
