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
	u8 *ahead;		  /* NULL: reads are not run ahead of */
	u64 ahead_from;		  /* the block that lies first in it */
	u32 ahead_blocks;	  /* 0: nothing does */
};

/* Memory given to the operations is the kernel's own, as block_batch_add wants it. */
extern const struct store_ops store_disk_ops;

/* The partition of type 0xD3, or the whole disk where there is none. 0, -EIO, -ENOMEM. */
int __must_check store_disk_find(struct store_disk *d, struct block_device *dev);
/* From now on a read of one block fetches those behind it, too, for who reads all there is: records
 * lie beside each other. Without memory for that it is as before. `on` false: no more. */
void store_disk_read_ahead(struct store_disk *d, bool on);
/* Looks at every disk, says what is on it, and makes /proc/holdfast/store and store-trial. */
int __must_check store_disks_init(void);
/* Figures of a store that nothing was committed to yet, as text; see trial.c. */
int __must_check store_trial(struct store_disk *d, char *buf, size_t size);

#endif
