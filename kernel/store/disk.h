/* A store on a disk of the kernel's: which part of the disk, and the store's operations on it. */
#ifndef STORE_DISK_H
#define STORE_DISK_H

#include "dev/block.h"
#include "store/store.h"

struct store_disk {
	struct block_device *dev; /* [I] */
	u64 first;		  /* [I] sector of block 0 */
	u64 blocks;		  /* [I] */
	struct block_batch batch; /* what was begun since the last flush */
	bool flushing;		  /* a flush was begun for it */
	/* Or NULL: told when what a commit writes is written, though it is not durable yet. */
	void (*landed)(void *arg);
	void *landed_arg;
	struct store_ahead *ahead; /* NULL: what is asked for is read, and no more */
};

/* Memory given to the operations is the kernel's own, as block_batch_add wants it. */
extern const struct store_ops store_disk_ops;

/* The partition of type 0xD3, or the whole disk where there is none. 0, -EIO, -ENOMEM. */
int __must_check store_disk_find(struct store_disk *d, struct block_device *dev);
/* From now on a read of one block fetches and keeps those around it, too: at a resume records and
 * pages are wanted one by one that were written side by side. Without memory for that it is as
 * before. `on` false: no more. => as for the store: one call at a time */
void store_disk_read_ahead(struct store_disk *d, bool on);
/* Looks at every disk, says what is on it, and makes /proc/holdfast/disks and store-trial.
 * `open`, or NULL: the disk of the store that is open already, `its`. */
int __must_check store_disks_init(const struct block_device *open, const struct store *its);
/* Figures of a store that nothing was committed to yet, as text; see trial.c. */
int __must_check store_trial(struct store_disk *d, char *buf, size_t size);

#endif
