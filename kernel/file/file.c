/*
 * Open files: their life and the generic half of read, write, poll and fstat.
 *
 * The memory of a struct file is only ever reused as a struct file (a free list, not the slabs):
 * that is what lets fd_get take a reference without a lock, see fdtable.c. Everything in it is set
 * before refs becomes 1.
 *
 * Locks: pos_lock around f->pos of seekable files (sleeps); vfs->files_lock for the free list.
 */
#include <asm/errno.h>
#include <asm/fcntl.h>
#include <linux/inotify.h>
#include <linux/stat.h>
#include "core/blocked.h"
#include "core/persist.h"
#include "file/dentry.h"
#include "file/kinds.h"
#include "file/socket.h"
#include "lib/assert.h"
#include "lib/string.h"
#include "mm/slab.h"

static struct file *
file_alloc(struct vfs *vfs)
{
	struct file *f;

	spin_lock(&vfs->files_lock);
	f = vfs->files_free;
	if (f)
		vfs->files_free = f->private;
	spin_unlock(&vfs->files_lock);
	if (!f) {
		f = kzalloc(sizeof(*f));
		if (f)
			atomic_add_relaxed(&vfs->files_made, 1);
	}
	return f;
}

u64
files_free_bytes(void)
{
	struct vfs *vfs = vfs_get();
	u64 open = atomic_load(&vfs->files_open), made = atomic_load(&vfs->files_made), each = 0;

	spin_lock(&vfs->files_lock);
	if (vfs->files_free)
		each = ksize(vfs->files_free);
	spin_unlock(&vfs->files_lock);
	return (made - min(made, open)) * each;
}

u64
file_next_ino(void)
{
	return atomic_add_fetch(&vfs_get()->pipe_ino, 1);
}

struct file *
file_create(const struct file_ops *ops, unsigned flags, void *private)
{
	struct vfs *vfs = vfs_get();
	struct file *f = file_alloc(vfs);

	if (!f)
		return NULL;
	memset((char *)f + sizeof(f->refs), 0, sizeof(*f) - sizeof(f->refs));
	f->ops = ops;
	f->flags = flags & ~O_CLOEXEC;
	f->readable = (flags & O_ACCMODE) != O_WRONLY;
	f->writable = (flags & O_ACCMODE) != O_RDONLY;
	f->private = private;
	f->ino = file_next_ino();
	mutex_init(&f->pos_lock, "file position");
	spin_init(&f->lock, "file", RANK_EPOLL);
	list_init(&f->epoll_items);
	atomic_add_relaxed(&vfs->files_open, 1);
	atomic_store(&f->refs.value, 1);
	return f;
}

void
file_put(struct file *f)
{
	struct vfs *vfs = vfs_get();

	if (!refcount_put(&f->refs))
		return;
	epoll_forget(f);
	if (f->vnode && !(f->mode & FILE_PATH)) {
		vnode_notify(f->dentry, f->writable ? IN_CLOSE_WRITE : IN_CLOSE_NOWRITE);
		if (f->vnode->locks)
			locks_release_file(f);
	}
	if (f->ops->release)
		f->ops->release(f);
	if (f->mode & FILE_WRITER)
		vnode_write_end(f->vnode);
	if (f->vnode)
		vnode_put(f->vnode);
	dentry_put(f->dentry);
	atomic_fetch_sub(&vfs->files_open, 1);
	spin_lock(&vfs->files_lock);
	f->private = vfs->files_free;
	vfs->files_free = f;
	spin_unlock(&vfs->files_lock);
}

const char *
file_kind(const struct file *f)
{
	return f->ops->kind;
}

/* A transfer at an explicit offset, at the file's position, or of a stream. */
static ssize_t
transfer(struct file *f, struct uio *u, s64 *offset,
	 ssize_t (*op)(struct file *f, struct uio *u, u64 *pos))
{
	ssize_t n;
	u64 pos;

	if (offset) {
		if (!(f->mode & FILE_SEEKABLE))
			return -ESPIPE;
		if (*offset < 0)
			return -EINVAL;
		pos = (u64)*offset;
		n = op(f, u, &pos);
		*offset = (s64)pos;
		return n;
	}
	if (!(f->mode & FILE_SEEKABLE))
		return op(f, u, NULL);
	mutex_lock(&f->pos_lock);
	n = op(f, u, &f->pos);
	mutex_unlock(&f->pos_lock);
	return n;
}

static bool
nothing_to_do(struct file *f, struct uio *u)
{
	/* An empty datagram is something. */
	return u->resid == 0 && strcmp(f->ops->kind, "socket") != 0;
}

ssize_t
file_read(struct file *f, struct uio *u, s64 *offset)
{
	ssize_t n;

	if (!f->readable || (f->mode & FILE_PATH))
		return -EBADF;
	if (!f->ops->read)
		return f->ops->readdir ? -EISDIR : -EINVAL;
	if (offset && *offset < 0)
		return -EINVAL;
	if (offset && !(f->mode & FILE_SEEKABLE))
		return -ESPIPE;
	if (nothing_to_do(f, u))
		return 0;
	n = transfer(f, u, offset, f->ops->read);
	if (n > 0 && f->dentry)
		vnode_notify(f->dentry, IN_ACCESS);
	return n;
}

/* Waits until the n bytes just written are durable: n, or why they may not be. */
static ssize_t
settle(ssize_t n)
{
	int err;

	blocked_note((u64)n);
	err = persist_durable();
	blocked_note(0);
	return err ? err : n;
}

ssize_t
file_write(struct file *f, struct uio *u, s64 *offset)
{
	bool settles = (f->flags & O_DSYNC) && f->vnode && S_ISREG(f->vnode->attr.mode);
	ssize_t n;

	if (settles && blocked_done())
		return (ssize_t)blocked_done(); /* written before the cut, durable by it */
	if (!f->writable || (f->mode & FILE_PATH))
		return -EBADF;
	if (!f->ops->write)
		return -EINVAL;
	if (offset && *offset < 0)
		return -EINVAL;
	if (offset && !(f->mode & FILE_SEEKABLE))
		return -ESPIPE;
	if (nothing_to_do(f, u))
		return 0;
	n = transfer(f, u, offset, f->ops->write);
	if (n == -EPIPE && file_socket_ops(f))
		socket_broken(f);
	if (n > 0 && f->dentry)
		vnode_notify(f->dentry, IN_MODIFY);
	return settles && n > 0 ? settle(n) : n;
}

unsigned
file_poll(struct file *f, struct poll_table *pt)
{
	if (f->mode & FILE_PATH)
		return POLL_NVAL;
	if (!f->ops->poll)
		return POLL_IN | POLL_OUT | POLL_RDNORM | POLL_WRNORM;
	return f->ops->poll(f, pt);
}

int
file_getattr(struct file *f, struct attr *a)
{
	const char *kind = f->ops->kind;
	u32 mode = 0600;

	if (f->vnode)
		return vnode_getattr(f->vnode, a);
	if (strcmp(kind, "pipe") == 0)
		mode |= S_IFIFO;
	else if (strcmp(kind, "socket") == 0)
		mode = S_IFSOCK | 0777;
	*a = (struct attr){
		.mode = mode,
		.nlink = 1,
		.ino = f->ino,
		.dev = vfs_get()->hidden->dev,
		.blksize = PAGE_SIZE,
	};
	a->uid = current_ids().uid;
	a->gid = current_ids().gid;
	a->atime = a->mtime = a->ctime = a->btime = real_now();
	return 0;
}

/* --- waiting for readiness --- */

#define WAIT_QUEUES 4

struct file_waiter {
	struct poll_table pt; /* first */
	struct spinlock lock; /* rank RANK_EPOLL */
	struct waitq q;	      /* [lock] the thread */
	bool woken;	      /* [lock] */
	unsigned n;
	struct queued {
		struct waiter w; /* first */
		struct file_waiter *owner;
	} queued[WAIT_QUEUES];
};

static bool
file_waiter_wake(struct waiter *w, unsigned events)
{
	struct file_waiter *fw = ((struct queued *)w)->owner;

	spin_lock(&fw->lock);
	fw->woken = true;
	waitq_wake_all(&fw->q);
	spin_unlock(&fw->lock);
	return true;
}

static void
file_waiter_add(struct poll_table *pt, struct waitq *q, struct spinlock *l)
{
	struct file_waiter *fw = (struct file_waiter *)pt;
	struct queued *e = &fw->queued[fw->n];

	assert(fw->n < WAIT_QUEUES);
	fw->n++;
	e->owner = fw;
	e->w.wake = file_waiter_wake;
	list_init(&e->w.link);
	waitq_add(q, l, &e->w);
}

int
file_wait(struct file *f, unsigned events)
{
	struct file_waiter fw = {.pt.add = file_waiter_add};
	int err = 0;

	spin_init(&fw.lock, "file wait", RANK_EPOLL);
	waitq_init(&fw.q);
	events |= POLL_ERR | POLL_HUP | POLL_NVAL;
	while (err == 0) {
		bool first = fw.n == 0;

		if (file_poll(f, first ? &fw.pt : NULL) & events)
			break;
		if (fw.n == 0) { /* nothing will ever wake us */
			err = -EINVAL;
			break;
		}
		spin_lock(&fw.lock);
		while (!fw.woken && err == 0)
			err = waitq_sleep(&fw.q, &fw.lock, NS_FOREVER, WAIT_INTERRUPTIBLE);
		fw.woken = false;
		spin_unlock(&fw.lock);
	}
	for (unsigned i = 0; i < fw.n; i++)
		waitq_remove(&fw.queued[i].w);
	return err;
}
