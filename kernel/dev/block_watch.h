/* Requests on their way to a disk and back: between block.c and block_watch.c. */
#ifndef DEV_BLOCK_WATCH_H
#define DEV_BLOCK_WATCH_H

#include "dev/block.h"

/* Gives the disk its thread. -ENOMEM. => once, before it is used */
int __must_check block_watch_start(struct block_device *d);
/* Gives the requests of the list to the driver. => no lock held; there is one at least */
void block_submit(struct block_device *d, struct list *requests);

#endif
