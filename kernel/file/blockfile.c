/*
 * Disks as files: /dev/vda. Reads and writes go straight to the disk, through a buffer of this
 * file's; a write is with the disk when it returns, and durable after fsync. What is not whole
 * sectors is read, changed and written back under the disk's lock.
 *
 * Nothing is cached and nothing can be mapped: the page cache is for files.
 */
#include <asm/errno.h>
#include <asm/fcntl.h>
#include <linux/fs.h>
#include <linux/stat.h>
#include "core/mutex.h"
#include "dev/block.h"
#include "file/kinds.h"
#include "file/vnode.h"
#include "mm/slab.h"
#include "mm/user.h"

#define CHUNK 65536u /* bytes of a transfer */

struct block_file {		   /* one a disk, never freed */
	struct block_device *disk; /* [I] */
	struct mutex lock;	   /* around read, change, write */
};

static u64
disk_bytes(const struct block_device *d)
{
	return d->sectors * BLOCK_SECTOR;
}

/* The whole sectors around [pos, pos + n). */
struct span {
	u64 start;
	size_t bytes, skip, n;
};

static struct span
span_of(const struct block_device *d, u64 pos, size_t n)
{
	struct span s = {.start = ALIGN_DOWN(pos, (u64)d->sector_bytes)};

	s.skip = pos - s.start;
	s.n = min(n, CHUNK - s.skip);
	s.n = min(s.n, disk_bytes(d) - pos);
	s.bytes = ALIGN_UP(s.skip + s.n, (size_t)d->sector_bytes);
	return s;
}

static ssize_t
block_read(struct file *f, struct uio *u, u64 *pos)
{
	struct block_file *bf = f->private;
	char *buf = kmalloc(CHUNK);
	size_t done = 0, n;
	int err = buf ? 0 : -ENOMEM;

	while (!err && !u->fault && u->resid > 0 && *pos < disk_bytes(bf->disk)) {
		struct span s = span_of(bf->disk, *pos, u->resid);

		err = block_transfer(bf->disk, BLOCK_READ, s.start / BLOCK_SECTOR, buf, s.bytes);
		if (err)
			break;
		n = uio_copy_out(u, buf + s.skip, s.n);
		*pos += n;
		done += n;
	}
	kfree(buf);
	return done == 0 && err ? err : uio_result(u, done);
}

/* => bf->lock held. *n: the bytes that came from the user and are on their way. */
static int
write_span(struct block_file *bf, struct uio *u, char *buf, const struct span *s, size_t *n)
{
	u64 sector = s->start / BLOCK_SECTOR;
	int err = 0;

	if (s->skip || s->n != s->bytes)
		err = block_transfer(bf->disk, BLOCK_READ, sector, buf, s->bytes);
	if (err)
		return err;
	*n = uio_copy_in(u, buf + s->skip, s->n);
	if (*n < s->n) { /* a fault: nothing of this span is written */
		uio_revert(u, *n);
		*n = 0;
		return 0;
	}
	return block_transfer(bf->disk, BLOCK_WRITE, sector, buf, s->bytes);
}

static ssize_t
block_write(struct file *f, struct uio *u, u64 *pos)
{
	struct block_file *bf = f->private;
	char *buf;
	size_t done = 0, n = 0;
	int err = 0;

	if (*pos >= disk_bytes(bf->disk))
		return -ENOSPC;
	buf = kmalloc(CHUNK);
	if (!buf)
		return -ENOMEM;
	while (!err && !u->fault && u->resid > 0 && *pos < disk_bytes(bf->disk)) {
		struct span s = span_of(bf->disk, *pos, u->resid);

		mutex_lock(&bf->lock);
		err = write_span(bf, u, buf, &s, &n);
		mutex_unlock(&bf->lock);
		if (err)
			break;
		*pos += n;
		done += n;
	}
	kfree(buf);
	if (!err && done > 0 && (f->flags & (O_SYNC | O_DSYNC)))
		err = block_flush(bf->disk);
	return done == 0 && err ? err : uio_result(u, done);
}

static int
block_sync(struct file *f)
{
	struct block_file *bf = f->private;

	return block_flush(bf->disk);
}

static s64
block_seek(struct file *f, s64 offset, int whence)
{
	struct block_file *bf = f->private;

	return whence == SEEK_END ? (s64)disk_bytes(bf->disk) : -EINVAL;
}

static long
block_ioctl(struct file *f, unsigned cmd, unsigned long arg)
{
	const struct block_device *d = ((struct block_file *)f->private)->disk;

	switch (cmd) {
	case BLKGETSIZE64:
		return put_user(disk_bytes(d), (u64 __user *)arg);
	case BLKGETSIZE:
		return put_user(d->sectors, (u64 __user *)arg);
	case BLKSSZGET:
	case BLKPBSZGET:
		return put_user((int)d->sector_bytes, (int __user *)arg);
	case BLKROGET:
		return put_user((int)d->readonly, (int __user *)arg);
	case BLKFLSBUF:
		return block_sync(f);
	default:
		return -ENOTTY;
	}
}

static const struct file_ops block_file_ops = {
	.kind = "block",
	.persist = &file_reopened,
	.read = block_read,
	.write = block_write,
	.seek = block_seek,
	.sync = block_sync,
	.ioctl = block_ioctl,
};

static int
block_open(struct vnode *v, struct file *f)
{
	struct block_file *bf = devfs_arg(v);

	if (!bf)
		return -ENXIO;
	if (f->writable && bf->disk->readonly)
		return -EROFS;
	if (f->writable && bf->disk->in_use)
		return -EBUSY;
	f->private = bf;
	f->ops = &block_file_ops;
	return 0;
}

int
block_files_init(void)
{
	struct block_file *bf;
	int err = 0;

	for (struct block_device *d = block_next(NULL); d && !err; d = block_next(d)) {
		bf = kzalloc(sizeof(*bf));
		if (!bf)
			return -ENOMEM;
		bf->disk = d;
		mutex_init(&bf->lock, "block file");
		err = devfs_add(d->name, S_IFBLK | 0660, d->major, d->minor, block_open, bf);
	}
	return err;
}
