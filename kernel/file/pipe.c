/*
 * Pipes and fifos.
 *
 * A pipe is a list of page frames, each with a span of unread bytes, bounded by the bytes they
 * hold. Writers fill a frame from user memory first and then link it, or append to the last one
 * when all of a write fits there, so a write of up to PIPE_BUF bytes is never torn; readers unlink
 * and copy out. User memory is never touched under the lock. Short transfers go through a buffer on
 * the stack, so that a ping-pong neither allocates nor takes a sleeping lock. A frame that was
 * emptied is kept as a spare. Two neighbouring frames always hold more than a page, else they would
 * have been merged: the memory used is at most twice the capacity.
 *
 * Life: pipe_create makes both ends, fifo_open finds or makes the pipe of a vnode; the last end to
 * close frees it. A fifo's pipe hangs on vnode->fifo under ipc->lock.
 * Locks: ipc->lock (fifos only), then pipe->lock. Sleeps in read, write and fifo_open.
 * Left out: packet mode (O_DIRECT), refused with -EINVAL.
 */
#include "file/pipe_impl.h"

#include <asm/errno.h>
#include <asm/fcntl.h>
#include <asm/ioctls.h>
#include <asm/signal.h>
#include <linux/fcntl.h>
#include <linux/limits.h>

#include "file/dentry.h"
#include "lib/assert.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/progress.h"
#include "mm/slab.h"
#include "mm/user.h"

#define CAPACITY     65536u
#define CAPACITY_MAX 1048576u /* /proc/sys/fs/pipe-max-size of Linux */
#define SMALL	     512      /* bytes that go through the stack */

struct pipe *
pipe_alloc(void)
{
	struct pipe *p = kzalloc(sizeof(*p));

	if (!p)
		return NULL;
	spin_init(&p->lock, "pipe", RANK_FILE);
	list_init(&p->frames);
	p->capacity = CAPACITY;
	waitq_init(&p->can_read);
	waitq_init(&p->can_write);
	waitq_init(&p->opened);
	return p;
}

void
pipe_free(struct pipe *p)
{
	struct frame *fr, *next;

	list_for_each_entry_safe (fr, next, &p->frames, link) {
		list_del(&fr->link);
		frame_put(fr);
	}
	if (p->spare)
		frame_put(p->spare);
	kfree(p);
}

/* --- reading --- */

/* => p->lock held; the frame is empty and unlinked. */
static void
frame_done(struct pipe *p, struct frame *fr)
{
	if (p->spare)
		frame_put(fr);
	else
		p->spare = fr;
}

/* Copies up to n bytes from the front. => p->lock held. */
static size_t
take_bytes(struct pipe *p, char *buf, size_t n)
{
	size_t done = 0;

	while (done < n && !list_empty(&p->frames)) {
		struct frame *fr = list_first(&p->frames, struct frame, link);
		u32 start = span_start(fr), end = span_end(fr);
		u32 k = min(n - done, (size_t)(end - start));

		memcpy(buf + done, (char *)frame_virt(fr) + start, k);
		done += k;
		p->bytes -= k;
		span_set(fr, start + k, end);
		if (start + k == end) {
			list_del(&fr->link);
			frame_done(p, fr);
		}
	}
	return done;
}

/* => p->lock held. */
static bool
has_room(const struct pipe *p)
{
	return p->bytes + PIPE_BUF <= p->capacity;
}

/* Readers come one at a time: whoever leaves something behind passes the wake-up on. `made_room`:
 * there was none at some moment of the read, then some. => p->lock held. */
static void
read_done(struct pipe *p, bool made_room)
{
	if (p->bytes < p->capacity)
		waitq_wake_events(&p->can_write, 1,
				  has_room(p) && made_room ? POLL_OUT | POLL_WRNORM : POLL_PASS_ON);
	if (p->bytes > 0)
		waitq_wake_events(&p->can_read, 1, POLL_PASS_ON);
}

/* Waits until there are bytes: 1; 0 at the end of the file; or an error. => p->lock held. */
static int
wait_bytes(struct pipe *p, struct file *f)
{
	while (p->bytes == 0) {
		int err;

		if (p->writers == 0)
			return 0;
		if (file_nonblock(f))
			return -EAGAIN;
		err = waitq_sleep(&p->can_read, &p->lock, NS_FOREVER,
				  WAIT_INTERRUPTIBLE | WAIT_EXCLUSIVE);
		if (err) {
			read_done(p, false);
			return err;
		}
	}
	return 1;
}

/* Puts bytes that user memory did not take back to the front. */
static void
give_back(struct pipe *p, const char *buf, size_t n)
{
	struct frame *fr = frame_alloc(0, FRAME_KERNEL);

	if (!fr)
		return;
	memcpy(frame_virt(fr), buf, n);
	span_set(fr, 0, n);
	spin_lock(&p->lock);
	list_add(&p->frames, &fr->link);
	p->bytes += n;
	read_done(p, false);
	spin_unlock(&p->lock);
}

static ssize_t
read_small(struct pipe *p, struct file *f, struct uio *u)
{
	char buf[SMALL];
	bool had_room;
	size_t n, done;
	int r;

	spin_lock(&p->lock);
	r = wait_bytes(p, f);
	if (r <= 0) {
		spin_unlock(&p->lock);
		return r;
	}
	had_room = has_room(p);
	n = take_bytes(p, buf, u->resid);
	read_done(p, !had_room);
	spin_unlock(&p->lock);
	done = uio_copy_out(u, buf, n);
	if (done < n)
		give_back(p, buf + done, n - done);
	return uio_result(u, done);
}

/* Unlinks the first frame, or NULL. *made_room is set if that made room. => p->lock held. */
static struct frame *
take_frame(struct pipe *p, bool *made_room)
{
	bool had_room = has_room(p);
	struct frame *fr;

	if (list_empty(&p->frames))
		return NULL;
	fr = list_first(&p->frames, struct frame, link);
	list_del(&fr->link);
	p->bytes -= span_end(fr) - span_start(fr);
	*made_room |= !had_room && has_room(p);
	return fr;
}

/* Copies a frame out; what is left of it goes back to the front. => p->lock held, dropped and
 * taken again. */
static size_t
copy_frame_out(struct pipe *p, struct frame *fr, struct uio *u)
{
	u32 start = span_start(fr), end = span_end(fr);
	size_t done;

	spin_unlock(&p->lock);
	done = uio_copy_out(u, (char *)frame_virt(fr) + start,
			    min(u->resid, (size_t)(end - start)));
	spin_lock(&p->lock);
	if (start + done == end) {
		frame_done(p, fr);
		return done;
	}
	span_set(fr, start + done, end);
	list_add(&p->frames, &fr->link);
	p->bytes += end - start - done;
	return done;
}

/* A writer may fill the pipe between any two frames, find no room and wait for it. */
static ssize_t
pipe_read(struct file *f, struct uio *u, u64 *pos)
{
	struct pipe *p = f->private;
	struct frame *fr;
	size_t done = 0;
	bool made_room = false;
	int r;

	if (u->resid <= SMALL)
		return u->resid ? read_small(p, f, u) : 0;
	spin_lock(&p->lock);
	r = wait_bytes(p, f);
	while (r > 0 && u->resid > 0 && !u->fault && (fr = take_frame(p, &made_room)))
		done += copy_frame_out(p, fr, u);
	read_done(p, made_room);
	spin_unlock(&p->lock);
	return r <= 0 ? r : uio_result(u, done);
}

/* --- writing --- */

/* Waits until n bytes fit: 0, -EPIPE (the caller raises SIGPIPE), -EAGAIN, -ERESTARTSYS.
 * => p->lock held. */
static int
wait_room(struct pipe *p, struct file *f, size_t n)
{
	for (;;) {
		int err;

		if (p->readers == 0)
			return -EPIPE;
		if (p->bytes + n <= p->capacity)
			return 0;
		if (file_nonblock(f))
			return -EAGAIN;
		err = waitq_sleep(&p->can_write, &p->lock, NS_FOREVER,
				  WAIT_INTERRUPTIBLE | WAIT_EXCLUSIVE);
		if (err) {
			waitq_wake_events(&p->can_write, 1, POLL_PASS_ON);
			return err;
		}
	}
}

/* => p->lock held. */
static void
write_done(struct pipe *p)
{
	waitq_wake_events(&p->can_read, 1, POLL_IN | POLL_RDNORM);
	if (p->bytes < p->capacity)
		waitq_wake_events(&p->can_write, 1, POLL_PASS_ON);
}

/* Appends to the last frame when all n bytes fit. => p->lock held. */
static bool
append_bytes(struct pipe *p, const char *buf, size_t n)
{
	struct frame *fr;
	u32 end;

	if (list_empty(&p->frames))
		return false;
	fr = list_last(&p->frames, struct frame, link);
	end = span_end(fr);
	if (end + n > PAGE_SIZE)
		return false;
	memcpy((char *)frame_virt(fr) + end, buf, n);
	span_set(fr, span_start(fr), end + n);
	p->bytes += n;
	return true;
}

/* => p->lock held. */
static void
link_frame(struct pipe *p, struct frame *fr, size_t n)
{
	span_set(fr, 0, n);
	list_add_tail(&p->frames, &fr->link);
	p->bytes += n;
}

/* A whole write of at most SMALL bytes from buf. */
static ssize_t
write_small(struct pipe *p, struct file *f, const char *buf, size_t n)
{
	struct frame *fr;
	int err;

	spin_lock(&p->lock);
	err = wait_room(p, f, n);
	if (!err && !append_bytes(p, buf, n)) {
		fr = p->spare;
		p->spare = NULL;
		if (!fr)
			fr = frame_alloc(0, FRAME_KERNEL);
		if (fr) {
			memcpy(frame_virt(fr), buf, n);
			link_frame(p, fr, n);
		} else {
			err = -ENOMEM;
		}
	}
	if (!err)
		write_done(p);
	spin_unlock(&p->lock);
	if (err == -EPIPE)
		current_raise(SIGPIPE);
	return err ? err : (ssize_t)n;
}

/* Links a filled frame; consumes it. `n` bytes must go in whole. */
static int
write_frame(struct pipe *p, struct file *f, struct frame *fr, size_t n)
{
	int err;

	spin_lock(&p->lock);
	err = wait_room(p, f, n);
	if (!err) {
		if (append_bytes(p, frame_virt(fr), n))
			frame_done(p, fr);
		else
			link_frame(p, fr, n);
		write_done(p);
		fr = NULL;
	}
	spin_unlock(&p->lock);
	if (err == -EPIPE)
		current_raise(SIGPIPE);
	if (fr)
		frame_put(fr);
	return err;
}

/* For a non-blocking write of more than PIPE_BUF bytes: as many as fit now, at most a page. */
static size_t
room_now(struct pipe *p)
{
	size_t room;

	spin_lock(&p->lock);
	room = p->capacity > p->bytes ? p->capacity - p->bytes : 0;
	spin_unlock(&p->lock);
	return min(room, PAGE_SIZE);
}

static ssize_t
write_large(struct pipe *p, struct file *f, struct uio *u)
{
	bool torn = u->resid > PIPE_BUF;
	size_t done = progress_begin(u);
	int err = 0;

	while (u->resid > 0) {
		size_t n = min(u->resid, PAGE_SIZE), room;
		struct frame *fr;

		if (torn && file_nonblock(f) && (room = room_now(p)) > 0)
			n = min(n, room);
		fr = frame_alloc(0, FRAME_KERNEL);
		if (!fr) {
			err = -ENOMEM;
			break;
		}
		n = uio_copy_in(u, frame_virt(fr), n);
		if (n == 0) {
			frame_put(fr);
			break;
		}
		progress_note(done);
		err = write_frame(p, f, fr, n);
		if (err) {
			uio_revert(u, n);
			break;
		}
		done += n;
		if (u->fault)
			break;
	}
	progress_end();
	return done == 0 && err ? err : uio_result(u, done);
}

static ssize_t
pipe_write(struct file *f, struct uio *u, u64 *pos)
{
	struct pipe *p = f->private;
	char buf[SMALL];
	size_t n = u->resid;
	ssize_t r;

	if (n == 0)
		return 0;
	if (atomic_load(&p->readers) == 0 && blocked_done() == 0) {
		current_raise(SIGPIPE);
		return -EPIPE;
	}
	if (n > SMALL)
		return write_large(p, f, u);
	if (uio_copy_in(u, buf, n) < n)
		return -EFAULT;
	r = write_small(p, f, buf, n);
	if (r < 0)
		uio_revert(u, n);
	return r;
}

/* --- the other operations --- */

static unsigned
pipe_poll(struct file *f, struct poll_table *pt)
{
	struct pipe *p = f->private;
	unsigned events = 0;

	spin_lock(&p->lock);
	if (f->readable) {
		poll_add(pt, &p->can_read, &p->lock);
		if (p->bytes > 0)
			events |= POLL_IN | POLL_RDNORM;
		if (p->writers == 0 && (p->writer_opens > 0 || !p->vnode))
			events |= POLL_HUP;
	}
	if (f->writable) {
		poll_add(pt, &p->can_write, &p->lock);
		if (has_room(p))
			events |= POLL_OUT | POLL_WRNORM;
		if (p->readers == 0)
			events |= POLL_ERR;
	}
	spin_unlock(&p->lock);
	return events;
}

static long
pipe_ioctl(struct file *f, unsigned cmd, unsigned long arg)
{
	struct pipe *p = f->private;

	if (cmd != FIONREAD)
		return -ENOTTY;
	return put_user((int)atomic_load(&p->bytes), (int __user *)arg);
}

/* --- size --- */

static long
set_size(struct pipe *p, size_t size)
{
	u32 capacity = PAGE_SIZE;
	long r;

	if (size > CAPACITY_MAX)
		return size > 1u << 31 ? -EINVAL : -EPERM;
	while (capacity < size)
		capacity *= 2;
	spin_lock(&p->lock);
	r = capacity;
	if (p->bytes > capacity) {
		r = -EBUSY;
	} else {
		p->capacity = capacity;
		waitq_wake_events(&p->can_write, ~0u, POLL_OUT | POLL_WRNORM);
	}
	spin_unlock(&p->lock);
	return r;
}

static long
pipe_fcntl(struct file *f, unsigned cmd, unsigned long arg)
{
	struct pipe *p = f->private;

	switch (cmd) {
	case F_GETPIPE_SZ:
		return atomic_load(&p->capacity);
	case F_SETPIPE_SZ:
		return set_size(p, (u32)arg);
	default:
		return -EINVAL;
	}
}

static size_t
pipe_name(struct file *f, char *buf, size_t size)
{
	return format(buf, size, "pipe:[%lu]", (unsigned long)f->ino);
}

/* One end is gone: the other side learns. Returns whether nobody has it open any more. */
static bool
close_end(struct pipe *p, struct file *f)
{
	bool last;

	spin_lock(&p->lock);
	if (f->readable)
		p->readers--;
	if (f->writable)
		p->writers--;
	if (p->readers == 0)
		waitq_wake_events(&p->can_write, ~0u, POLL_OUT | POLL_WRNORM | POLL_ERR);
	if (p->writers == 0)
		waitq_wake_events(&p->can_read, ~0u, POLL_IN | POLL_RDNORM | POLL_HUP);
	last = p->readers == 0 && p->writers == 0;
	spin_unlock(&p->lock);
	return last;
}

static void
pipe_release(struct file *f)
{
	struct pipe *p = f->private;

	if (close_end(p, f))
		pipe_free(p);
}

static const struct file_ops pipe_ops = {
	.kind = "pipe",
	.persist = &pipe_file_persist,
	.read = pipe_read,
	.write = pipe_write,
	.poll = pipe_poll,
	.ioctl = pipe_ioctl,
	.fcntl = pipe_fcntl,
	.release = pipe_release,
	.name = pipe_name,
};

int
pipe_create(unsigned flags, struct file **rd, struct file **wr)
{
	struct pipe *p = pipe_alloc();

	if (!p)
		return -ENOMEM;
	*rd = file_create(&pipe_ops, O_RDONLY | (flags & O_NONBLOCK), p);
	if (!*rd)
		goto free;
	p->readers = 1;
	*wr = file_create(&pipe_ops, O_WRONLY | (flags & O_NONBLOCK), p);
	if (!*wr)
		goto put;
	p->writers = 1;
	(*wr)->ino = (*rd)->ino;
	return 0;
put:
	file_put(*rd); /* frees the pipe: no end is left */
	return -ENOMEM;
free:
	pipe_free(p);
	return -ENOMEM;
}

/* --- fifos --- */

static void
fifo_unhold(struct pipe *p)
{
	struct ipc *ipc = ipc_root();
	bool last;

	spin_lock(&ipc->lock);
	last = --p->holds == 0;
	if (last)
		p->vnode->fifo = NULL;
	spin_unlock(&ipc->lock);
	if (last)
		pipe_free(p);
}

static void
fifo_release(struct file *f)
{
	close_end(f->private, f);
	fifo_unhold(f->private);
}

static const struct file_ops fifo_ops = {
	.kind = "fifo",
	.persist = &fifo_file_persist,
	.read = pipe_read,
	.write = pipe_write,
	.poll = pipe_poll,
	.ioctl = pipe_ioctl,
	.fcntl = pipe_fcntl,
	.release = fifo_release,
};

/* The vnode's pipe, made when there is none; held. */
static struct pipe *
fifo_hold(struct vnode *v)
{
	struct pipe *fresh = pipe_alloc(), *p;
	struct ipc *ipc = ipc_root();

	if (!fresh)
		return NULL;
	spin_lock(&ipc->lock);
	p = v->fifo;
	if (!p) {
		p = v->fifo = fresh;
		p->vnode = v;
		fresh = NULL;
	}
	p->holds++;
	spin_unlock(&ipc->lock);
	if (fresh)
		pipe_free(fresh);
	return p;
}

/* Waits until the other side was opened since `seen`. => p->lock held. */
static int
fifo_wait(struct pipe *p, const u32 *side, const u32 *opens, u32 seen)
{
	while (*side == 0 && *opens == seen) {
		int err = waitq_sleep(&p->opened, &p->lock, NS_FOREVER, WAIT_INTERRUPTIBLE);

		if (err)
			return err;
	}
	return 0;
}

/* => p->lock held. Counts this end and waits as man 7 fifo says. */
static int
fifo_open_end(struct pipe *p, struct file *f)
{
	if (f->writable && !f->readable && p->readers == 0 && file_nonblock(f))
		return -ENXIO;
	if (f->readable) {
		p->readers++;
		p->reader_opens++;
	}
	if (f->writable) {
		p->writers++;
		p->writer_opens++;
	}
	waitq_wake_all(&p->opened);
	if ((f->readable && f->writable) || file_nonblock(f))
		return 0;
	if (f->readable)
		return fifo_wait(p, &p->writers, &p->writer_opens, p->writer_opens);
	return fifo_wait(p, &p->readers, &p->reader_opens, p->reader_opens);
}

int
fifo_open(struct vnode *v, struct file *f)
{
	struct pipe *p = fifo_hold(v);
	bool counted;
	int err;

	if (!p)
		return -ENOMEM;
	spin_lock(&p->lock);
	err = fifo_open_end(p, f);
	counted = err != -ENXIO;
	spin_unlock(&p->lock);
	if (err) {
		if (counted)
			close_end(p, f);
		fifo_unhold(p);
		return err;
	}
	f->private = p;
	f->ops = &fifo_ops;
	return 0;
}

void
pipe_register(void)
{
	file_persist_register(&pipe_ops);
	file_persist_register(&fifo_ops);
}
