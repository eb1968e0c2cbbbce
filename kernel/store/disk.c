/*
 * Stores on the kernel's disks. Nothing here writes to a disk but `store-trial`, and that only to a
 * store that is empty.
 *
 *	/proc/holdfast/disks		a line for each disk: what it holds
 *	/proc/holdfast/store-trial	written: the name of a disk; read: its figures (trial.c)
 *
 * Locks: none for what is found at start and stays; `lock` around a trial and its text.
 */
#include <asm/errno.h>
#include "core/klog.h"
#include "core/mutex.h"
#include "file/dentry.h"
#include "file/vnode.h"
#include "lib/mbr.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/slab.h"
#include "store/disk.h"

#define AHEAD_BLOCKS	 16ul /* of a window, which begins at a multiple of it */
#define AHEAD_WINDOWS	 128u
#define AHEAD_FREE	 8u /* windows come while 1/8 of memory is free */
#define SECTORS_OF_BLOCK (STORE_BLOCK / BLOCK_SECTOR)
#define TRIAL_TEXT	 1024

struct found { /* on a disk */
	struct store_disk disk;
	enum store_kind kind;
	int err;		/* why it cannot be read */
	struct store_status st; /* of a store */
};

/* What was read together with what was asked for; the window of blocks n * AHEAD_BLOCKS and those
 * behind it is in place n modulo the number of places. */
struct store_ahead {
	struct {
		u8 *mem;
		u64 first;  /* block */
		u64 blocks; /* 0: nothing is in it */
	} window[AHEAD_WINDOWS];
};

struct store_disks {
	struct mutex lock;
	unsigned n;
	char trial[TRIAL_TEXT]; /* [lock] */
	struct found found[];
};

/* Reads the block with its window. -ENOMEM, or an error that another block may be to blame for. */
static int
read_ahead(struct store_disk *d, u64 block, void *buf)
{
	u64 first = ALIGN_DOWN(block, AHEAD_BLOCKS);
	unsigned i = block / AHEAD_BLOCKS % AHEAD_WINDOWS;
	u64 blocks = min(d->blocks - first, AHEAD_BLOCKS);
	int err;

	if (d->ahead->window[i].first != first || d->ahead->window[i].blocks == 0) {
		d->ahead->window[i].blocks = 0;
		if (!d->ahead->window[i].mem &&
		    frame_free_pages() > frame_total_pages() / AHEAD_FREE)
			d->ahead->window[i].mem = kmalloc(AHEAD_BLOCKS * STORE_BLOCK);
		if (!d->ahead->window[i].mem)
			return -ENOMEM;
		err = block_transfer(d->dev, BLOCK_READ, d->first + first * SECTORS_OF_BLOCK,
				     d->ahead->window[i].mem, blocks * STORE_BLOCK);
		if (err)
			return err;
		d->ahead->window[i].first = first;
		d->ahead->window[i].blocks = blocks;
	}
	memcpy(buf, d->ahead->window[i].mem + (block - first) * STORE_BLOCK, STORE_BLOCK);
	return 0;
}

static void
forget_ahead(struct store_disk *d, u64 block, u64 blocks)
{
	for (u64 at = ALIGN_DOWN(block, AHEAD_BLOCKS); at < block + blocks; at += AHEAD_BLOCKS) {
		unsigned i = at / AHEAD_BLOCKS % AHEAD_WINDOWS;

		if (d->ahead->window[i].first == at)
			d->ahead->window[i].blocks = 0;
	}
}

void
store_disk_read_ahead(struct store_disk *d, bool on)
{
	if (on && !d->ahead)
		d->ahead = kzalloc(sizeof(*d->ahead));
	if (on || !d->ahead)
		return;
	for (unsigned i = 0; i < AHEAD_WINDOWS; i++)
		kfree(d->ahead->window[i].mem);
	kfree(d->ahead);
	d->ahead = NULL;
}

static int
disk_read(void *dev, u64 block, void *buf, u32 blocks)
{
	struct store_disk *d = dev;

	if (block > d->blocks || blocks > d->blocks - block)
		return -EIO;
	if (d->ahead && blocks == 1 && read_ahead(d, block, buf) == 0)
		return 0;
	return block_transfer(d->dev, BLOCK_READ, d->first + block * SECTORS_OF_BLOCK, buf,
			      (size_t)blocks * STORE_BLOCK);
}

static int
disk_write(void *dev, u64 block, const struct store_seg *seg, u32 segs)
{
	struct store_disk *d = dev;
	int err = 0;

	for (u32 i = 0; i < segs && !err; i++) {
		if (d->ahead)
			forget_ahead(d, block, seg[i].blocks);
		err = block_batch_join(&d->batch, BLOCK_WRITE, d->first + block * SECTORS_OF_BLOCK,
				       (void *)seg[i].data, (size_t)seg[i].blocks * STORE_BLOCK);
		block += seg[i].blocks;
	}
	return err;
}

static void
disk_push(void *dev)
{
	struct store_disk *d = dev;

	block_batch_push(&d->batch);
}

static void
disk_flush_begin(void *dev)
{
	struct store_disk *d = dev;

	d->flushing = block_batch_flush(&d->batch) == 0;
}

static void
disk_written(void *dev)
{
	struct store_disk *d = dev;

	if (d->landed && block_batch_written(&d->batch) == 0)
		d->landed(d->landed_arg);
}

static int
disk_flush(void *dev)
{
	struct store_disk *d = dev;
	int err = block_batch_wait(&d->batch);
	bool flushed = d->flushing;

	d->flushing = false;
	return err || flushed ? err : block_flush(d->dev);
}

const struct store_ops store_disk_ops = {
	.read = disk_read,
	.write = disk_write,
	.flush = disk_flush,
	.push = disk_push,
	.flush_begin = disk_flush_begin,
	.written = disk_written,
	.alloc = kmalloc,
	.free = kfree,
};

int
store_disk_find(struct store_disk *d, struct block_device *dev)
{
	u8 *sector = kmalloc(STORE_BLOCK);
	u64 first = 0, count = dev->sectors;
	int err = -ENOMEM;

	if (sector)
		err = block_transfer(dev, BLOCK_READ, 0, sector, dev->sector_bytes);
	if (!err)
		(void)mbr_find(sector, MBR_TYPE_STORE, dev->sectors, &first, &count);
	kfree(sector);
	d->ahead = NULL;
	d->flushing = false;
	d->landed = NULL;
	d->dev = dev;
	d->first = first;
	d->blocks = count / SECTORS_OF_BLOCK;
	block_batch_init(&d->batch, dev);
	return err;
}

/* A store that is open is asked, not opened again: that is as long as a recovery. */
static void
look(struct found *f, struct block_device *dev, const struct store *open)
{
	struct store_disk *d = &f->disk;
	struct store *s;

	f->err = store_disk_find(d, dev);
	if (open && !f->err) {
		f->kind = STORE_IS;
		store_status(open, &f->st);
		return;
	}
	if (!f->err)
		f->err = store_probe(&store_disk_ops, d, d->blocks, &f->kind);
	if (f->err || f->kind != STORE_IS)
		return;
	f->err = store_open(&store_disk_ops, d, d->blocks, &(struct store_how){.readonly = true},
			    &s);
	if (f->err)
		return;
	store_status(s, &f->st);
	store_close(s);
}

static void
say(const struct found *f)
{
	const char *name = f->disk.dev->name;

	if (f->err)
		klog(KLOG_WARN, "store", "%s cannot be used: error %d", name, -f->err);
	else if (f->kind == STORE_OTHER)
		klog(KLOG_BOOT, "store", "%s holds something else and is left alone", name);
	else if (f->kind == STORE_IS)
		klog(KLOG_BOOT, "store", "%s: epoch %lu, %lu MiB of %lu in use", name, f->st.epoch,
		     f->st.used >> 8, f->st.blocks >> 8);
}

static size_t
disks_show(char *buf, size_t size, void *arg)
{
	static const char *const kinds[] = {"store", "blank", "other"};
	const struct store_disks *all = arg;
	size_t len = 0;

	for (unsigned i = 0; i < all->n; i++) {
		const struct found *f = &all->found[i];

		gen_printf(buf, size, &len, "disk %s first %lu blocks %lu holds %s error %d",
			   f->disk.dev->name, f->disk.first, f->disk.blocks, kinds[f->kind],
			   -f->err);
		if (f->kind == STORE_IS && !f->err) {
			gen_printf(buf, size, &len, " epoch %lu oldest %lu base %lu used %lu uuid ",
				   f->st.epoch, f->st.oldest, f->st.base, f->st.used);
			for (unsigned k = 0; k < sizeof(f->st.uuid); k++)
				gen_printf(buf, size, &len, "%02x", f->st.uuid[k]);
		}
		gen_printf(buf, size, &len, "\n");
	}
	return len;
}

static size_t
trial_show(char *buf, size_t size, void *arg)
{
	struct store_disks *all = arg;
	size_t len = 0;

	mutex_lock(&all->lock);
	gen_printf(buf, size, &len, "%s", all->trial);
	mutex_unlock(&all->lock);
	return len;
}

static ssize_t
trial_store(const char *buf, size_t n, void *arg)
{
	struct store_disks *all = arg;
	size_t all_n = n;
	int err = -ENODEV;

	while (n > 0 && buf[n - 1] == '\n')
		n--;
	mutex_lock(&all->lock);
	for (unsigned i = 0; i < all->n; i++) {
		struct found *f = &all->found[i];

		if (strlen(f->disk.dev->name) == n && memcmp(f->disk.dev->name, buf, n) == 0)
			err = f->err		    ? f->err
			      : f->disk.dev->in_use ? -EBUSY
						    : store_trial(&f->disk, all->trial, TRIAL_TEXT);
	}
	mutex_unlock(&all->lock);
	return err ? err : (ssize_t)all_n;
}

int
store_disks_init(const struct block_device *open, const struct store *its)
{
	static const struct genfile_ops disks = {disks_show}, trial = {trial_show, trial_store};
	struct store_disks *all;
	unsigned n = 0;
	int err;

	for (struct block_device *d = block_next(NULL); d; d = block_next(d))
		n++;
	all = kzalloc(sizeof(*all) + n * sizeof(all->found[0]));
	if (!all)
		return -ENOMEM;
	mutex_init(&all->lock, "store trial");
	for (struct block_device *d = block_next(NULL); d && all->n < n; d = block_next(d)) {
		look(&all->found[all->n], d, d == open ? its : NULL);
		say(&all->found[all->n++]);
	}
	err = procfs_add("holdfast/disks", 0444, &disks, all);
	return err ? err : procfs_add("holdfast/store-trial", 0600, &trial, all);
}
