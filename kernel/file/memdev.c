/* The memory devices: null, zero, full, random, urandom and kmsg. They keep no state of their own.
 */
#include <asm/errno.h>
#include <asm/fcntl.h>
#include <linux/random.h>
#include "core/klog.h"
#include "core/random.h"
#include "core/sched.h"
#include "file/dentry.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "mm/user.h"

#define CHUNK 1024u

static ssize_t
null_read(struct file *f, struct uio *u, u64 *pos)
{
	return 0;
}

static ssize_t
null_write(struct file *f, struct uio *u, u64 *pos)
{
	return (ssize_t)u->resid;
}

static s64
null_seek(struct file *f, s64 offset, int whence)
{
	return 0;
}

static ssize_t
zero_read(struct file *f, struct uio *u, u64 *pos)
{
	size_t done = 0;

	while (u->resid > 0 && !u->fault) {
		done += uio_zero_out(u, min(u->resid, (size_t)1 << 20));
		sched_point();
		if (thread_interrupted(current_thread(), WAIT_KILLABLE))
			break;
	}
	return uio_result(u, done);
}

static int
zero_mmap(struct file *f, struct vm_mmap_args *a)
{
	a->object = NULL; /* as MAP_ANONYMOUS */
	return 0;
}

static ssize_t
full_write(struct file *f, struct uio *u, u64 *pos)
{
	return -ENOSPC;
}

static ssize_t
random_read(struct file *f, struct uio *u, u64 *pos)
{
	u8 buf[256];
	size_t done = 0;

	while (u->resid > 0 && !u->fault) {
		size_t n = min(u->resid, sizeof(buf));

		random_bytes(buf, n);
		done += uio_copy_out(u, buf, n);
		sched_point();
		if (thread_interrupted(current_thread(), WAIT_INTERRUPTIBLE))
			break;
	}
	memset(buf, 0, sizeof(buf));
	return uio_result(u, done);
}

static ssize_t
random_write(struct file *f, struct uio *u, u64 *pos)
{
	u8 buf[256];
	size_t done = 0, n;

	while (u->resid > 0 && !u->fault) {
		n = uio_copy_in(u, buf, min(u->resid, sizeof(buf)));
		random_add(buf, n);
		done += n;
	}
	return uio_result(u, done);
}

static long
random_ioctl(struct file *f, unsigned cmd, unsigned long arg)
{
	if (cmd == RNDGETENTCNT)
		return put_user(256, (int __user *)arg);
	return -ENOTTY;
}

/* Readers keep their place in the log in f->private as a number. */
static ssize_t
kmsg_read(struct file *f, struct uio *u, u64 *pos)
{
	char *buf = kmalloc(CHUNK);
	u64 seq = (u64)f->private;
	size_t n;
	ssize_t r = -ENOMEM;

	if (!buf)
		return r;
	n = klog_read(buf, min(u->resid, (size_t)CHUNK), &seq);
	f->private = (void *)seq;
	r = uio_result(u, uio_copy_out(u, buf, n));
	kfree(buf);
	return r;
}

static ssize_t
kmsg_write(struct file *f, struct uio *u, u64 *pos)
{
	char *buf = kmalloc(CHUNK);
	size_t n, all = u->resid;
	char *text;

	if (!buf)
		return -ENOMEM;
	n = uio_copy_in(u, buf, min(all, (size_t)CHUNK - 1));
	if (u->fault) {
		kfree(buf);
		return -EFAULT;
	}
	while (n > 0 && buf[n - 1] == '\n')
		n--;
	buf[n] = 0;
	text = buf[0] == '<' && strchr(buf, '>') ? strchr(buf, '>') + 1 : buf;
	klog(KLOG_INFO, "user", "%s", text);
	kfree(buf);
	return (ssize_t)all;
}

enum memdev { DEV_NULL, DEV_ZERO, DEV_FULL, DEV_RANDOM, DEV_KMSG };

static const struct file_ops memdev_ops[] = {
	[DEV_NULL] = {.kind = "null",
		      .read = null_read,
		      .write = null_write,
		      .seek = null_seek,
		      .persist = &file_reopened},
	[DEV_ZERO] = {.kind = "zero",
		      .read = zero_read,
		      .write = null_write,
		      .seek = null_seek,
		      .mmap = zero_mmap,
		      .persist = &file_reopened},
	[DEV_FULL] = {.kind = "full",
		      .read = zero_read,
		      .write = full_write,
		      .seek = null_seek,
		      .persist = &file_reopened},
	[DEV_RANDOM] = {.kind = "random",
			.read = random_read,
			.write = random_write,
			.ioctl = random_ioctl,
			.seek = null_seek,
			.persist = &file_reopened},
	[DEV_KMSG] = {.kind = "kmsg",
		      .read = kmsg_read,
		      .write = kmsg_write,
		      .seek = null_seek,
		      .persist = &file_reopened},
};

static int
memdev_open(struct vnode *v, struct file *f)
{
	f->ops = devfs_arg(v);
	return f->ops ? 0 : -ENXIO;
}

int
memdev_register(void)
{
	static const struct {
		const char *name;
		u32 mode;
		unsigned minor;
		enum memdev dev;
	} devs[] = {{"null", 0666, 3, DEV_NULL},      {"zero", 0666, 5, DEV_ZERO},
		    {"full", 0666, 7, DEV_FULL},      {"random", 0666, 8, DEV_RANDOM},
		    {"urandom", 0666, 9, DEV_RANDOM}, {"kmsg", 0644, 11, DEV_KMSG}};
	int err = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(devs) && err == 0; i++)
		err = devfs_add(devs[i].name, devs[i].mode, 1, devs[i].minor, memdev_open,
				(void *)(vaddr_t)&memdev_ops[devs[i].dev]);
	return err;
}
