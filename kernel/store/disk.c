/*
 * Stores on the kernel's disks. Nothing here writes to a disk but `store-trial`, and that only to a
 * store that is empty.
 *
 *	/proc/holdfast/store		a line for each disk: what it holds
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
#include "mm/slab.h"
#include "store/disk.h"

#define AHEAD		 16ul /* blocks */
#define SECTORS_OF_BLOCK (STORE_BLOCK / BLOCK_SECTOR)
#define TRIAL_TEXT	 1024

struct found { /* on a disk */
	struct store_disk disk;
	enum store_kind kind;
	int err;		/* why it cannot be read */
	struct store_status st; /* of a store */
};

struct store_disks {
	struct mutex lock;
	unsigned n;
	char trial[TRIAL_TEXT]; /* [lock] */
	struct found found[];
};

static int
read_ahead(struct store_disk *d, u64 block, void *buf)
{
	int err;

	if (block - d->ahead_from >= d->ahead_blocks) {
		d->ahead_blocks = 0;
		err = block_transfer(d->dev, BLOCK_READ, d->first + block * SECTORS_OF_BLOCK,
				     d->ahead, min(d->blocks - block, AHEAD) * STORE_BLOCK);
		if (err) /* perhaps one that nobody asked for */
			return block_transfer(d->dev, BLOCK_READ,
					      d->first + block * SECTORS_OF_BLOCK, buf,
					      STORE_BLOCK);
		d->ahead_from = block;
		d->ahead_blocks = (u32)min(d->blocks - block, AHEAD);
	}
	memcpy(buf, d->ahead + (block - d->ahead_from) * STORE_BLOCK, STORE_BLOCK);
	return 0;
}

void
store_disk_read_ahead(struct store_disk *d, bool on)
{
	kfree(d->ahead);
	d->ahead = on ? kmalloc(AHEAD * STORE_BLOCK) : NULL;
	d->ahead_blocks = 0;
}

static int
disk_read(void *dev, u64 block, void *buf, u32 blocks)
{
	struct store_disk *d = dev;

	if (block > d->blocks || blocks > d->blocks - block)
		return -EIO;
	if (d->ahead && blocks == 1)
		return read_ahead(d, block, buf);
	return block_transfer(d->dev, BLOCK_READ, d->first + block * SECTORS_OF_BLOCK, buf,
			      (size_t)blocks * STORE_BLOCK);
}

static int
disk_write(void *dev, u64 block, const struct store_seg *seg, u32 segs)
{
	struct store_disk *d = dev;
	int err = 0;

	d->ahead_blocks = 0;
	for (u32 i = 0; i < segs && !err; i++) {
		err = block_batch_add(&d->batch, BLOCK_WRITE, d->first + block * SECTORS_OF_BLOCK,
				      (void *)seg[i].data, (size_t)seg[i].blocks * STORE_BLOCK);
		block += seg[i].blocks;
	}
	return err;
}

static int
disk_flush(void *dev)
{
	struct store_disk *d = dev;
	int err = block_batch_wait(&d->batch);

	return err ? err : block_flush(d->dev);
}

const struct store_ops store_disk_ops = {
	.read = disk_read,
	.write = disk_write,
	.flush = disk_flush,
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
	d->dev = dev;
	d->first = first;
	d->blocks = count / SECTORS_OF_BLOCK;
	block_batch_init(&d->batch, dev);
	return err;
}

static void
look(struct found *f, struct block_device *dev)
{
	struct store_disk *d = &f->disk;
	struct store *s;

	f->err = store_disk_find(d, dev);
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
store_disks_init(void)
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
		look(&all->found[all->n], d);
		say(&all->found[all->n++]);
	}
	err = procfs_add("holdfast/store", 0444, &disks, all);
	return err ? err : procfs_add("holdfast/store-trial", 0600, &trial, all);
}
