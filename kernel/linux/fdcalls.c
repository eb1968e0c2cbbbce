/*
 * Calls on descriptors: duplicates, fcntl, ioctl, flock, memfd, and the copies from file to file
 * (sendfile, splice, copy_file_range), which here all copy through a kernel buffer.
 */
#include <asm/errno.h>
#include <asm/fcntl.h>
#include <asm/ioctls.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/memfd.h>
#include <linux/stat.h>
#include "calls.h"
#include "core/blocked.h"
#include "core/sched.h"
#include "file/dentry.h"
#include "file/fdtable.h"
#include "file/kinds.h"
#include "lib/string.h"
#include "mm/object.h"
#include "mm/slab.h"
#include "mm/user.h"

#define COPY_CHUNK   65536u
#define MAX_TRANSFER 0x7ffff000UL
#define SETFL_FLAGS  (O_APPEND | O_NONBLOCK | FASYNC | O_DIRECT | O_NOATIME)

static long
duplicate(int fd, int from, bool cloexec)
{
	struct file *f = fd_get(fd);
	int to;

	if (!f)
		return -EBADF;
	to = fd_install(f, from, cloexec);
	if (to < 0)
		file_put(f);
	return to;
}

long
sys_dup(int fd)
{
	return duplicate(fd, 0, false);
}

static long
duplicate_at(int fd, int to, bool cloexec)
{
	struct file *f = fd_get(fd);
	int r;

	if (!f)
		return -EBADF;
	r = fd_install_at(f, to, cloexec);
	if (r < 0)
		file_put(f);
	return r;
}

long
sys_dup2(int fd, int to)
{
	struct file *f;

	if (fd != to)
		return duplicate_at(fd, to, false);
	f = fd_get(fd);
	if (!f)
		return -EBADF;
	file_put(f);
	return to;
}

long
sys_dup3(int fd, int to, int flags)
{
	if ((flags & ~O_CLOEXEC) || fd == to)
		return -EINVAL;
	return duplicate_at(fd, to, flags & O_CLOEXEC);
}

/* --- fcntl --- */

static void
change_flags(struct file *f, unsigned set, unsigned which)
{
	unsigned old = atomic_load(&f->flags);

	while (!__atomic_compare_exchange_n(&f->flags, &old, (old & ~which) | (set & which), false,
					    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
	if (f->ops->set_flags)
		f->ops->set_flags(f, f->flags);
}

static long
set_owner(struct file *f, unsigned cmd, unsigned long arg)
{
	struct f_owner_ex o;

	if (cmd == F_SETOWN) {
		f->owner_pid = (int)arg;
		return 0;
	}
	if (copy_from_user(&o, (void __user *)arg, sizeof(o)))
		return -EFAULT;
	if (o.type < F_OWNER_TID || o.type > F_OWNER_PGRP)
		return -EINVAL;
	f->owner_pid = o.type == F_OWNER_PGRP ? -o.pid : o.pid;
	return 0;
}

static long
get_owner(struct file *f, unsigned cmd, unsigned long arg)
{
	struct f_owner_ex o = {F_OWNER_PID, f->owner_pid};

	if (cmd == F_GETOWN)
		return f->owner_pid;
	if (f->owner_pid < 0) {
		o.type = F_OWNER_PGRP;
		o.pid = -f->owner_pid;
	}
	return copy_to_user((void __user *)arg, &o, sizeof(o));
}

static long
fcntl_file(struct file *f, unsigned cmd, unsigned long arg)
{
	switch (cmd) {
	case F_GETFL:
		return f->mode & FILE_PATH ? O_PATH : (long)f->flags;
	case F_SETFL:
		change_flags(f, (unsigned)arg, SETFL_FLAGS);
		return 0;
	case F_SETLK:
	case F_SETLKW:
	case F_GETLK:
	case F_OFD_SETLK:
	case F_OFD_SETLKW:
	case F_OFD_GETLK:
		return locks_fcntl(f, cmd, arg);
	case F_SETOWN:
	case F_SETOWN_EX:
		return set_owner(f, cmd, arg);
	case F_GETOWN:
	case F_GETOWN_EX:
		return get_owner(f, cmd, arg);
	case F_SETSIG:
		if (arg > 64)
			return -EINVAL;
		f->owner_sig = (int)arg;
		return 0;
	case F_GETSIG:
		return f->owner_sig;
	case F_SETPIPE_SZ:
	case F_GETPIPE_SZ:
		if (strcmp(f->ops->kind, "pipe") != 0 && strcmp(f->ops->kind, "fifo") != 0)
			return -EBADF;
		return f->ops->fcntl(f, cmd, arg);
	default:
		return f->ops->fcntl ? f->ops->fcntl(f, cmd, arg) : -EINVAL;
	}
}

long
sys_fcntl(int fd, unsigned cmd, unsigned long arg)
{
	struct file *f;
	long r;

	switch (cmd) {
	case F_GETFD:
		return fd_get_cloexec(fd);
	case F_SETFD:
		return fd_set_cloexec(fd, arg & FD_CLOEXEC);
	}
	f = fd_get(fd);
	if (!f)
		return -EBADF;
	if (cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC) {
		file_put(f);
		if (arg >= fd_limit())
			return -EINVAL;
		return duplicate(fd, (int)arg, cmd == F_DUPFD_CLOEXEC);
	}
	if ((f->mode & FILE_PATH) && cmd != F_GETFL)
		r = -EBADF;
	else
		r = fcntl_file(f, cmd, arg);
	file_put(f);
	return r;
}

/* --- ioctl --- */

static long
ioctl_nread(struct file *f, unsigned long arg)
{
	struct attr a;
	s64 left;
	int err;

	if (!f->vnode || !S_ISREG(f->vnode->attr.mode))
		return f->ops->ioctl ? f->ops->ioctl(f, FIONREAD, arg) : -ENOTTY;
	err = file_getattr(f, &a);
	left = (s64)a.size - (s64)f->pos;
	return err ? err
		   : put_user(left < 0 ? 0 : (int)min(left, (s64)INT32_MAX), (int __user *)arg);
}

static long
ioctl_flag(struct file *f, unsigned flag, unsigned long arg)
{
	int on;

	if (get_user(on, (int __user *)arg))
		return -EFAULT;
	change_flags(f, on ? flag : 0, flag);
	return 0;
}

long
sys_ioctl(int fd, unsigned cmd, unsigned long arg)
{
	struct file *f;
	long r;

	if (cmd == FIOCLEX || cmd == FIONCLEX)
		return fd_set_cloexec(fd, cmd == FIOCLEX);
	f = fd_get_io(fd);
	if (!f)
		return -EBADF;
	if (cmd == FIONBIO)
		r = ioctl_flag(f, O_NONBLOCK, arg);
	else if (cmd == FIOASYNC)
		r = ioctl_flag(f, FASYNC, arg);
	else if (cmd == FIONREAD)
		r = ioctl_nread(f, arg);
	else
		r = f->ops->ioctl ? f->ops->ioctl(f, cmd, arg) : -ENOTTY;
	file_put(f);
	return r;
}

long
sys_flock(int fd, int op)
{
	struct file *f = fd_get_io(fd);
	int err;

	if (!f)
		return -EBADF;
	err = f->vnode ? locks_flock(f, op) : -EINVAL;
	file_put(f);
	return err;
}

long
sys_memfd_create(const char __user *uname, unsigned flags)
{
	char name[250];
	struct file *f;
	long n = copy_string_from_user(name, uname, sizeof(name));
	int fd, err;

	if (n < 0)
		return n == -ENAMETOOLONG ? -EINVAL : n;
	if (flags & ~(MFD_CLOEXEC | MFD_ALLOW_SEALING | 8u | 16u)) /* NOEXEC_SEAL, EXEC */
		return -EINVAL;
	if ((flags & 24u) == 24u)
		return -EINVAL;
	err = memfd_create_file(name, flags, &f);
	if (err)
		return err;
	fd = fd_install(f, 0, flags & MFD_CLOEXEC);
	if (fd < 0)
		file_put(f);
	return fd;
}

/* --- copies between files --- */

/* One side of a copy. */
struct copy_end {
	struct file *file;
	s64 *offset; /* the caller's; NULL: the file's own position */
	s64 start;   /* where a seekable file is read or written first; it moves when all is done */
};

struct copying {
	struct copy_end in, out;
	bool nonblock; /* SPLICE_F_NONBLOCK */
	char *buf;
};

static bool
is_seekable(const struct copy_end *e)
{
	return e->file->mode & FILE_SEEKABLE;
}

static void
end_begin(struct copy_end *e)
{
	if (e->offset) {
		e->start = *e->offset;
	} else if (is_seekable(e)) {
		mutex_lock(&e->file->pos_lock);
		e->start = (s64)e->file->pos;
		mutex_unlock(&e->file->pos_lock);
	}
}

/* n bytes went through. */
static void
end_done(struct copy_end *e, size_t n)
{
	if (e->offset) {
		*e->offset += (s64)n;
	} else if (is_seekable(e)) {
		mutex_lock(&e->file->pos_lock);
		e->file->pos = (u64)e->start + n;
		mutex_unlock(&e->file->pos_lock);
	}
}

/* The position behind `done` bytes, in *at; NULL for a stream. One with an offset is refused. */
static s64 *
end_at(const struct copy_end *e, size_t done, s64 *at)
{
	*at = e->start + (s64)done;
	return is_seekable(e) || e->offset ? at : NULL;
}

/* Writes all of the buffer; a full non-blocking stream is waited for, since what was read from a
 * stream cannot go back. Bytes written, or -errno when none was. `before`: of this call. A power
 * cut finds in blocked_parts() what the call has done: of the buffer, when it carries that. */
static ssize_t
write_all(struct copying *c, size_t n, size_t before)
{
	bool stream = !is_seekable(&c->in);
	size_t done = stream ? blocked_parts_done() : 0;

	while (done < n) {
		struct uio u;
		ssize_t r;
		s64 at;

		blocked_parts(stream ? done : before + done);
		uio_kernel(&u, c->buf + done, n - done);
		r = file_write(c->out.file, &u, end_at(&c->out, before + done, &at));
		if (r == -EAGAIN && stream)
			r = file_wait(c->out.file, POLL_OUT);
		else if (r == 0)
			break;
		if (r < 0)
			return done ? (ssize_t)done : r;
		done += (size_t)r;
	}
	return (ssize_t)done;
}

/* The next bytes: those that a power cut found in the buffer, or from the source. */
static ssize_t
fill_buffer(struct copying *c, size_t want, size_t before)
{
	size_t carried;
	char *again = blocked_carried(&carried);
	struct uio u;
	s64 at;

	if (again) {
		kfree(c->buf);
		c->buf = again;
		return (ssize_t)carried;
	}
	if (c->nonblock && !(file_poll(c->in.file, NULL) & (POLL_IN | POLL_HUP)))
		return -EAGAIN;
	if (((c->out.file->flags & O_NONBLOCK) || c->nonblock) &&
	    !(file_poll(c->out.file, NULL) & (POLL_OUT | POLL_ERR | POLL_HUP)))
		return -EAGAIN;
	uio_kernel(&u, c->buf, min(want, (size_t)COPY_CHUNK));
	return file_read(c->in.file, &u, end_at(&c->in, before, &at));
}

static ssize_t
copy_chunk(struct copying *c, size_t want, size_t before)
{
	ssize_t n = fill_buffer(c, want, before), w;

	if (n <= 0)
		return n;
	if (!is_seekable(&c->in))
		blocked_carry(c->buf, (size_t)n);
	w = write_all(c, (size_t)n, before);
	blocked_carry(NULL, 0);
	blocked_parts(0);
	return w;
}

/* Until `n` bytes went through, the source ends or has no more for now. */
static ssize_t
copy_files(struct copying *c, size_t n)
{
	bool stream = !is_seekable(&c->in);
	size_t done = stream ? 0 : blocked_parts_done();
	ssize_t r = 0;

	c->buf = kmalloc(COPY_CHUNK);
	if (!c->buf)
		return -ENOMEM;
	n = min(n, MAX_TRANSFER);
	while (done < n) {
		r = copy_chunk(c, n - done, done);
		if (r <= 0)
			break;
		done += (size_t)r;
		if (stream) /* as splice: what there was */
			break;
		sched_point();
		if (thread_interrupted(current_thread(), WAIT_INTERRUPTIBLE))
			break;
	}
	kfree(c->buf);
	return done ? (ssize_t)done : r;
}

/* Fetches an offset argument; the pointer to use, NULL when there was none. */
static int
fetch_offset(s64 __user *u, s64 *pos, s64 **use)
{
	*use = NULL;
	if (!u)
		return 0;
	if (get_user(*pos, u))
		return -EFAULT;
	*use = pos;
	return *pos < 0 ? -EINVAL : 0;
}

static long
copy_call(struct copying *c, s64 __user *in_off, s64 __user *out_off, size_t n)
{
	s64 in_pos, out_pos;
	long r = fetch_offset(in_off, &in_pos, &c->in.offset);

	if (r == 0)
		r = fetch_offset(out_off, &out_pos, &c->out.offset);
	if (r)
		return r;
	if (!c->in.file->readable || !c->out.file->writable)
		return -EBADF;
	end_begin(&c->in);
	end_begin(&c->out);
	r = copy_files(c, n);
	if (r <= 0)
		return r;
	end_done(&c->in, (size_t)r);
	end_done(&c->out, (size_t)r);
	if (in_off && put_user(in_pos, in_off))
		return -EFAULT;
	if (out_off && put_user(out_pos, out_off))
		return -EFAULT;
	return r;
}

static long
get_pair(int in, int out, struct copying *c)
{
	*c = (struct copying){.in.file = fd_get_io(in), .out.file = fd_get_io(out)};
	return c->in.file && c->out.file ? 0 : -EBADF;
}

static void
put_pair(struct copying *c)
{
	if (c->in.file)
		file_put(c->in.file);
	if (c->out.file)
		file_put(c->out.file);
}

long
sys_sendfile(int out, int in, s64 __user *offset, size_t n)
{
	struct copying c;
	long r = get_pair(in, out, &c);

	if (r == 0 && (c.out.file->flags & O_APPEND))
		r = -EINVAL;
	if (r == 0)
		r = copy_call(&c, offset, NULL, n);
	put_pair(&c);
	return r;
}

static bool
is_pipe(const struct file *f)
{
	const char *k = f->ops->kind;

	return (k[0] == 'p' && k[1] == 'i') || (k[0] == 'f' && k[1] == 'i');
}

long
sys_splice(int in, s64 __user *in_off, int out, s64 __user *out_off, size_t n, unsigned flags)
{
	struct copying c;
	long r;

	if (flags & ~15u)
		return -EINVAL;
	r = get_pair(in, out, &c);
	if (r == 0 && !is_pipe(c.in.file) && !is_pipe(c.out.file))
		r = -EINVAL;
	if (r == 0 && ((is_pipe(c.in.file) && in_off) || (is_pipe(c.out.file) && out_off)))
		r = -ESPIPE;
	if (r == 0 && is_pipe(c.in.file) && is_pipe(c.out.file) &&
	    c.in.file->private == c.out.file->private)
		r = -EINVAL;
	if (r == 0 && (c.out.file->flags & O_APPEND))
		r = -EINVAL;
	if (r == 0) {
		c.nonblock = flags & 2u; /* SPLICE_F_NONBLOCK */
		r = copy_call(&c, in_off, out_off, n);
	}
	put_pair(&c);
	return r;
}

long
sys_copy_file_range(int in, s64 __user *in_off, int out, s64 __user *out_off, size_t n,
		    unsigned flags)
{
	struct copying c;
	long r;

	if (flags)
		return -EINVAL;
	r = get_pair(in, out, &c);
	if (r == 0 && (!c.in.file->vnode || !c.out.file->vnode))
		r = -EINVAL;
	if (r == 0 && (vnode_is_dir(c.in.file->vnode) || vnode_is_dir(c.out.file->vnode)))
		r = -EISDIR;
	if (r == 0 &&
	    (!S_ISREG(c.in.file->vnode->attr.mode) || !S_ISREG(c.out.file->vnode->attr.mode)))
		r = -EINVAL;
	if (r == 0 && (c.out.file->flags & O_APPEND))
		r = -EBADF;
	if (r == 0)
		r = copy_call(&c, in_off, out_off, n);
	put_pair(&c);
	return r;
}

long
sys_vmsplice(int fd, const struct iovec __user *iov, unsigned long n, unsigned flags)
{
	struct file *f;
	long r;

	if (flags & ~15u)
		return -EINVAL;
	f = fd_get_io(fd);
	if (!f)
		return -EBADF;
	if (!is_pipe(f))
		r = -EBADF;
	else
		r = f->writable ? sys_writev(fd, iov, n) : sys_readv(fd, iov, n);
	file_put(f);
	return r;
}
