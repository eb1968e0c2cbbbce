/*
 * Calls on open files: open and close, read and write in all their forms, seeking, sizes, syncing.
 *
 * A memory file system has nothing to write back: fsync and sync wait for a checkpoint when there
 * is a store, and are done when there is none.
 */
#include <asm/errno.h>
#include <asm/fcntl.h>
#include <asm/signal.h>
#include <linux/falloc.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <linux/stat.h>
#include "calls.h"
#include "core/persist.h"
#include "file/dentry.h"
#include "file/fdtable.h"
#include "lib/string.h"
#include "mm/object.h"
#include "mm/slab.h"
#include "mm/user.h"

#define MAX_TRANSFER 0x7ffff000UL
#define MAX_VECS     1024u
#define STACK_VECS   8u

#define OPEN_FLAGS                                                                                 \
	(O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_DSYNC |     \
	 FASYNC | O_DIRECT | O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC |      \
	 __O_SYNC | O_PATH | __O_TMPFILE)

static long
do_open(int dirfd, const char __user *name, unsigned flags, u32 mode, unsigned lookup)
{
	struct user_path p;
	struct file *f;
	int fd, err = user_path_get(&p, name);

	if (err)
		return err;
	err = vfs_open_how(dirfd, p.name, flags, mode, lookup, &f);
	user_path_put(&p);
	if (err)
		return err;
	fd = fd_install(f, 0, flags & O_CLOEXEC);
	if (fd < 0)
		file_put(f);
	return fd;
}

long
sys_openat(int dirfd, const char __user *name, int flags, unsigned mode)
{
	/* open and openat ignore flags they do not know (man 2 open, NOTES). */
	if ((flags & __O_TMPFILE) && (flags & O_TMPFILE) != O_TMPFILE)
		return -EINVAL;
	return do_open(dirfd, name, (unsigned)flags & OPEN_FLAGS, mode, 0);
}

long
sys_open(const char __user *name, int flags, unsigned mode)
{
	return sys_openat(AT_FDCWD, name, flags, mode);
}

long
sys_creat(const char __user *name, unsigned mode)
{
	return sys_openat(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

static int
resolve_flags(u64 resolve, unsigned *how)
{
	static const struct {
		u64 resolve;
		unsigned how;
	} map[] = {{RESOLVE_NO_XDEV, LOOKUP_NO_XDEV},
		   {RESOLVE_NO_MAGICLINKS, LOOKUP_NO_MAGIC},
		   {RESOLVE_NO_SYMLINKS, LOOKUP_NO_LINKS},
		   {RESOLVE_BENEATH, LOOKUP_BENEATH},
		   {RESOLVE_IN_ROOT, LOOKUP_IN_ROOT}};

	*how = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(map); i++) {
		if (resolve & map[i].resolve)
			*how |= map[i].how;
		resolve &= ~map[i].resolve;
	}
	if (resolve & RESOLVE_CACHED)
		return -EAGAIN;
	if (resolve ||
	    (*how & (LOOKUP_BENEATH | LOOKUP_IN_ROOT)) == (LOOKUP_BENEATH | LOOKUP_IN_ROOT))
		return -EINVAL;
	return 0;
}

long
sys_openat2(int dirfd, const char __user *name, struct open_how __user *uhow, size_t size)
{
	struct open_how how;
	unsigned lookup;
	int err;

	if (size < sizeof(how))
		return -EINVAL;
	if (size > sizeof(how)) /* of a newer structure we know nothing */
		return -E2BIG;
	if (copy_from_user(&how, uhow, sizeof(how)))
		return -EFAULT;
	if (how.flags & ~(u64)OPEN_FLAGS)
		return -EINVAL;
	if ((how.flags & (O_CREAT | __O_TMPFILE)) ? how.mode & ~07777ul : how.mode)
		return -EINVAL;
	if ((how.flags & __O_TMPFILE) && (how.flags & O_TMPFILE) != O_TMPFILE)
		return -EINVAL;
	err = resolve_flags(how.resolve, &lookup);
	if (err)
		return err;
	return do_open(dirfd, name, (unsigned)how.flags, (u32)how.mode, lookup);
}

long
sys_close(int fd)
{
	return fd_close(fd);
}

long
sys_close_range(unsigned first, unsigned last, unsigned flags)
{
	if (flags & ~4u) /* CLOSE_RANGE_CLOEXEC; UNSHARE is not offered */
		return -EINVAL;
	return fd_close_range(first, last, flags & 4u);
}

long
sys_read(int fd, void __user *buf, size_t n)
{
	struct file *f = fd_get(fd);
	struct uio u;
	ssize_t r;

	if (!f)
		return -EBADF;
	uio_user(&u, buf, min(n, MAX_TRANSFER));
	r = user_range_ok(buf, n) ? file_read(f, &u, NULL) : -EFAULT;
	file_put(f);
	return r;
}

long
sys_write(int fd, const void __user *buf, size_t n)
{
	struct file *f = fd_get(fd);
	struct uio u;
	ssize_t r;

	if (!f)
		return -EBADF;
	uio_user(&u, (void __user *)buf, min(n, MAX_TRANSFER));
	r = user_range_ok(buf, n) ? file_write(f, &u, NULL) : -EFAULT;
	file_put(f);
	return r;
}

long
sys_pread64(int fd, void __user *buf, size_t n, long offset)
{
	struct file *f = fd_get(fd);
	s64 pos = offset;
	struct uio u;
	ssize_t r;

	if (!f)
		return -EBADF;
	uio_user(&u, buf, min(n, MAX_TRANSFER));
	r = user_range_ok(buf, n) ? file_read(f, &u, &pos) : -EFAULT;
	file_put(f);
	return r;
}

long
sys_pwrite64(int fd, const void __user *buf, size_t n, long offset)
{
	struct file *f = fd_get(fd);
	s64 pos = offset;
	struct uio u;
	ssize_t r;

	if (!f)
		return -EBADF;
	uio_user(&u, (void __user *)buf, min(n, MAX_TRANSFER));
	r = user_range_ok(buf, n) ? file_write(f, &u, &pos) : -EFAULT;
	file_put(f);
	return r;
}

struct user_vecs {
	struct uio_vec small[STACK_VECS];
	struct uio_vec *vec;
};

/* Fetches and checks an iovec array; its layout is that of struct uio_vec. */
static int
fetch_vecs(struct user_vecs *v, const struct iovec __user *iov, unsigned long n, struct uio *u)
{
	size_t total = 0;

	v->vec = v->small;
	if (n > MAX_VECS)
		return -EINVAL;
	if (n > STACK_VECS) {
		v->vec = kmalloc(n * sizeof(*v->vec));
		if (!v->vec)
			return -ENOMEM;
	}
	if (copy_from_user(v->vec, iov, n * sizeof(*v->vec)))
		return -EFAULT;
	for (unsigned long i = 0; i < n; i++) {
		if ((ssize_t)v->vec[i].len < 0)
			return -EINVAL;
		if (!user_range_ok((const void __user __force *)v->vec[i].base, v->vec[i].len))
			return -EFAULT;
		v->vec[i].len = min(v->vec[i].len, MAX_TRANSFER - total);
		total += v->vec[i].len;
	}
	uio_vec(u, v->vec, (unsigned)n, true);
	return 0;
}

static long
vector_call(int fd, const struct iovec __user *iov, unsigned long n, s64 *pos, bool write)
{
	struct file *f = fd_get(fd);
	struct user_vecs v = {.vec = v.small};
	struct uio u;
	ssize_t r;

	if (!f)
		return -EBADF;
	r = fetch_vecs(&v, iov, n, &u);
	if (r == 0)
		r = write ? file_write(f, &u, pos) : file_read(f, &u, pos);
	if (v.vec != v.small)
		kfree(v.vec);
	file_put(f);
	return r;
}

long
sys_readv(int fd, const struct iovec __user *iov, unsigned long n)
{
	return vector_call(fd, iov, n, NULL, false);
}

long
sys_writev(int fd, const struct iovec __user *iov, unsigned long n)
{
	return vector_call(fd, iov, n, NULL, true);
}

long
sys_preadv(int fd, const struct iovec __user *iov, unsigned long n, unsigned long lo,
	   unsigned long hi)
{
	s64 pos = (s64)lo;

	return vector_call(fd, iov, n, &pos, false);
}

long
sys_pwritev(int fd, const struct iovec __user *iov, unsigned long n, unsigned long lo,
	    unsigned long hi)
{
	s64 pos = (s64)lo;

	return vector_call(fd, iov, n, &pos, true);
}

/* RWF_HIPRI is advice; RWF_DSYNC and RWF_SYNC hold of every write here. */
#define RWF_HARMLESS (RWF_HIPRI | RWF_DSYNC | RWF_SYNC)

long
sys_preadv2(int fd, const struct iovec __user *iov, unsigned long n, unsigned long lo,
	    unsigned long hi, int flags)
{
	s64 pos = (s64)lo;

	if (flags & ~(int)RWF_HARMLESS)
		return -EOPNOTSUPP;
	return vector_call(fd, iov, n, pos == -1 ? NULL : &pos, false);
}

long
sys_pwritev2(int fd, const struct iovec __user *iov, unsigned long n, unsigned long lo,
	     unsigned long hi, int flags)
{
	s64 pos = (s64)lo;

	if (flags & ~(int)RWF_HARMLESS)
		return -EOPNOTSUPP;
	return vector_call(fd, iov, n, pos == -1 ? NULL : &pos, true);
}

/* => pos_lock held. */
static s64
seek_locked(struct file *f, s64 offset, int whence)
{
	struct attr a;
	s64 base = 0;
	int err;

	if (whence == SEEK_DATA || whence == SEEK_HOLE)
		return f->ops->seek ? f->ops->seek(f, offset, whence) : -EINVAL;
	if (whence == SEEK_CUR) {
		base = (s64)f->pos;
	} else if (whence == SEEK_END && f->vnode && S_ISBLK(f->vnode->attr.mode)) {
		base = f->ops->seek(f, 0, SEEK_END); /* stat says nothing of a disk's size */
	} else if (whence == SEEK_END) {
		err = file_getattr(f, &a);
		if (err)
			return err;
		base = (s64)a.size;
	} else if (whence != SEEK_SET) {
		return -EINVAL;
	}
	if (__builtin_add_overflow(base, offset, &base))
		return -EOVERFLOW;
	return base < 0 ? -EINVAL : base;
}

long
sys_lseek(int fd, long offset, int whence)
{
	struct file *f = fd_get_io(fd);
	s64 r;

	if (!f)
		return -EBADF;
	if (f->mode & FILE_SEEKABLE) {
		mutex_lock(&f->pos_lock);
		r = seek_locked(f, offset, whence);
		if (r >= 0)
			f->pos = (u64)r;
		mutex_unlock(&f->pos_lock);
	} else {
		r = f->ops->seek ? f->ops->seek(f, offset, whence) : -ESPIPE;
	}
	file_put(f);
	return r;
}

long
sys_truncate(const char __user *name, long size)
{
	struct dentry *d;
	int err;

	if (size < 0)
		return -EINVAL;
	err = path_lookup_user(AT_FDCWD, name, 0, &d);
	if (err)
		return err;
	err = vnode_is_dir(d->vnode) ? -EISDIR : vnode_permission(d->vnode, 2);
	if (err == 0)
		err = vnode_write_begin(d->vnode);
	if (err == 0) {
		err = vfs_truncate(d->vnode, (u64)size);
		vnode_write_end(d->vnode);
	}
	if (err == 0)
		vnode_notify(d, 2 /* IN_MODIFY */);
	dentry_put(d);
	return err;
}

long
sys_ftruncate(int fd, long size)
{
	struct file *f = fd_get_io(fd);
	int err;

	if (!f)
		return -EBADF;
	err = -EINVAL;
	if (size >= 0 && f->writable && f->vnode && S_ISREG(f->vnode->attr.mode))
		err = vfs_truncate(f->vnode, (u64)size);
	file_put(f);
	return err;
}

static int
zero_range(struct vm_object *o, u64 from, u64 to)
{
	u8 zeros[256] = {0};
	struct uio u;

	while (from < to) {
		ssize_t r;

		uio_kernel(&u, zeros, min(to - from, (u64)sizeof(zeros)));
		r = vm_object_write(o, &u, from);
		if (r <= 0)
			return r ? (int)r : -ENOMEM;
		from += (u64)r;
	}
	return 0;
}

/* Partial pages at both ends are overwritten with zeros, whole ones go. */
static int
punch_hole(struct vm_object *o, u64 start, u64 end)
{
	u64 first = ALIGN_UP(start, PAGE_SIZE), last;
	int err;

	end = min(end, o->size);
	last = ALIGN_DOWN(end, PAGE_SIZE);
	if (start >= end)
		return 0;
	if (first > last)
		return zero_range(o, start, end);
	err = zero_range(o, start, first);
	if (err == 0)
		err = zero_range(o, last, end);
	if (err == 0 && last > first)
		err = vm_object_drop(o, first / PAGE_SIZE, (last - first) / PAGE_SIZE);
	return err;
}

/* => v->lock held for writing. */
static int
allocate_locked(struct vnode *v, int mode, u64 offset, u64 n)
{
	struct vm_object *o = v->object;
	int err = 0;

	if (mode & FALLOC_FL_PUNCH_HOLE)
		return v->seals & F_SEAL_WRITE ? -EPERM : punch_hole(o, offset, offset + n);
	if (offset + n > o->size && !(mode & FALLOC_FL_KEEP_SIZE)) {
		if (v->seals & F_SEAL_GROW)
			return -EPERM;
		if (offset + n > current_file_limit()) {
			current_raise(SIGXFSZ);
			return -EFBIG;
		}
		err = vm_object_truncate(o, offset + n);
	}
	return err ? err : vm_object_allocate(o, offset, n);
}

long
sys_fallocate(int fd, int mode, long offset, long n)
{
	struct file *f = fd_get_io(fd);
	int err = -EBADF;

	if (!f)
		return -EBADF;
	if (!f->writable)
		goto out;
	err = -EINVAL;
	if (offset < 0 || n <= 0)
		goto out;
	err = -EFBIG;
	if (offset > INT64_MAX - n)
		goto out;
	err = -EOPNOTSUPP;
	if ((mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE)) || mode == FALLOC_FL_PUNCH_HOLE)
		goto out;
	err = f->mode & FILE_SEEKABLE ? -ENODEV : -ESPIPE;
	if (!f->vnode || !f->vnode->object)
		goto out;
	rwlock_write(&f->vnode->lock);
	err = allocate_locked(f->vnode, mode, (u64)offset, (u64)n);
	f->vnode->attr.ctime = f->vnode->attr.mtime = real_now();
	persist_touch(&f->vnode->persistent);
	rwlock_write_done(&f->vnode->lock);
out:
	file_put(f);
	return err;
}

long
sys_fsync(int fd)
{
	struct file *f = fd_get_io(fd);
	int err = 0;

	if (!f)
		return -EBADF;
	if (f->ops->sync)
		err = f->ops->sync(f);
	else if (!f->vnode || !(S_ISREG(f->vnode->attr.mode) || vnode_is_dir(f->vnode)))
		err = -EINVAL;
	else
		err = persist_durable();
	file_put(f);
	return err;
}

long
sys_fdatasync(int fd)
{
	return sys_fsync(fd);
}

long
sys_sync(void)
{
	(void)!persist_durable(); /* sync(2) cannot fail */
	return 0;
}

long
sys_syncfs(int fd)
{
	struct file *f = fd_get_io(fd);

	if (!f)
		return -EBADF;
	file_put(f);
	return persist_durable();
}

long
sys_sync_file_range(int fd, long offset, long n, unsigned flags)
{
	struct file *f = fd_get_io(fd);
	int err = 0;

	if (!f)
		return -EBADF;
	if ((flags & ~7u) || offset < 0 || n < 0)
		err = -EINVAL;
	else if (!(f->mode & FILE_SEEKABLE))
		err = -ESPIPE;
	file_put(f);
	return err;
}

long
sys_fadvise64(int fd, long offset, long n, int advice)
{
	struct file *f = fd_get_io(fd);
	int err = 0;

	if (!f)
		return -EBADF;
	if (advice < 0 || advice > 5 || n < 0)
		err = -EINVAL;
	else if (!(f->mode & FILE_SEEKABLE))
		err = -ESPIPE;
	file_put(f);
	return err;
}

long
sys_readahead(int fd, long offset, size_t n)
{
	struct file *f = fd_get_io(fd);
	int err = 0;

	if (!f)
		return -EBADF;
	if (!f->readable)
		err = -EBADF;
	else if (!f->vnode || !S_ISREG(f->vnode->attr.mode))
		err = -EINVAL;
	file_put(f);
	return err;
}
