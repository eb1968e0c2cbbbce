/* QEMU fw_cfg: named blobs from the host (ports 0x510/0x511, DMA not needed). */
#ifndef DEV_FWCFG_H
#define DEV_FWCFG_H

#include "core/spinlock.h"
#include "lib/types.h"

struct fwcfg {		      /* machine()->fwcfg, allocated (zeroed) by boot */
	struct spinlock lock; /* rank RANK_LOG: selector and data belong together */
	bool present;	      /* [I] after fwcfg_init */
};

void fwcfg_init(void);
/* Size of blob `name`, or -ENOENT. */
s64 fwcfg_size(const char *name);
/* Reads at most n bytes from the start; returns bytes or -ENOENT. */
ssize_t fwcfg_read(const char *name, void *buf, size_t n);

#endif
