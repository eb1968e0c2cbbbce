/*
 * signalfd (man 2 signalfd): reads take pending signals of the calling task that are in its mask.
 * The signals, their queue and lock are proc/'s, reached by the operations it registers.
 */
#include "file/ipc_impl.h"

#include <asm/errno.h>
#include <asm/fcntl.h>
#include <asm/signal.h>
#include <linux/signalfd.h>

#include "lib/format.h"
#include "mm/slab.h"

#define UNBLOCKABLE (1UL << (SIGKILL - 1) | 1UL << (SIGSTOP - 1))

_Static_assert(sizeof(struct signalfd_siginfo) == 128, "as proc/ writes it");

struct watcher { /* a process on whose queue an epoll may hang because of this file */
	struct list link;
	void *process; /* [I] with a reference */
};

struct signalfd {
	u64 mask;	      /* [a] */
	struct spinlock lock; /* rank RANK_FILE */
	struct list watchers; /* [lock] */
};

/* Waits until a signal of the mask is pending for the caller. */
static int
wait_signal(const struct signalfd_ops *ops, struct signalfd *s)
{
	struct spinlock *lock;
	struct waitq *q = ops->queue(&lock);
	int err = 0;

	spin_lock(lock);
	while (!ops->pending(atomic_load(&s->mask)) && !err)
		err = waitq_sleep(q, lock, NS_FOREVER, WAIT_INTERRUPTIBLE);
	spin_unlock(lock);
	return err;
}

static ssize_t
signalfd_read(struct file *f, struct uio *u, u64 *pos)
{
	const struct signalfd_ops *ops = atomic_load(&ipc_root()->signalfd);
	struct signalfd *s = f->private;
	struct signalfd_siginfo info;
	size_t done = 0;
	int r = 0;

	if (u->resid < sizeof(info))
		return -EINVAL;
	while (u->resid >= sizeof(info)) {
		r = ops->dequeue(atomic_load(&s->mask), &info);
		if (r > 0) {
			if (uio_copy_out(u, &info, sizeof(info)) < sizeof(info))
				break;
			done += sizeof(info);
			continue;
		}
		if (r == 0)
			r = file_nonblock(f) ? -EAGAIN : 0;
		if (done > 0 || r < 0)
			break;
		r = wait_signal(ops, s);
		if (r)
			break;
	}
	return done == 0 && r < 0 ? r : uio_result(u, done);
}

/* An epoll's waiters stay on the caller's queue until the file goes, and a child may hold that
 * longer than the caller lives: the queue has to stay as well. => returns -ENOMEM */
static int
keep_caller(const struct signalfd_ops *ops, struct signalfd *s)
{
	struct watcher *w, *mine = kmalloc(sizeof(*mine));
	bool known = false;

	if (!mine)
		return -ENOMEM;
	mine->process = ops->owner_get();
	spin_lock(&s->lock);
	list_for_each_entry (w, &s->watchers, link)
		known |= w->process == mine->process;
	if (!known)
		list_add_tail(&s->watchers, &mine->link);
	spin_unlock(&s->lock);
	if (known) {
		ops->owner_put(mine->process);
		kfree(mine);
	}
	return 0;
}

/* At a resume an epoll is on the queue that it was on. What is pending there, the process sees when
 * it waits. */
static unsigned
watch_again(const struct signalfd_ops *ops, struct signalfd *s, struct poll_table *pt)
{
	struct spinlock *lock;
	struct watcher *w;
	struct waitq *q;

	list_for_each_entry (w, &s->watchers, link) {
		q = ops->owner_queue(w->process, &lock);
		spin_lock(lock);
		poll_add(pt, q, lock);
		spin_unlock(lock);
	}
	return POLL_IN;
}

static unsigned
signalfd_poll(struct file *f, struct poll_table *pt)
{
	const struct signalfd_ops *ops = atomic_load(&ipc_root()->signalfd);
	struct signalfd *s = f->private;
	struct spinlock *lock;
	struct waitq *q;
	unsigned events;

	if (!current_thread()->process)
		return watch_again(ops, s, pt);
	q = ops->queue(&lock);
	if (pt && keep_caller(ops, s))
		return POLL_ERR;
	spin_lock(lock);
	poll_add(pt, q, lock);
	events = ops->pending(atomic_load(&s->mask)) ? POLL_IN : 0;
	spin_unlock(lock);
	return events;
}

static void
signalfd_release(struct file *f)
{
	struct signalfd *s = f->private;
	struct watcher *w, *next;

	list_for_each_entry_safe (w, next, &s->watchers, link) {
		atomic_load(&ipc_root()->signalfd)->owner_put(w->process);
		kfree(w);
	}
	kfree(s);
}

static size_t
signalfd_fdinfo(struct file *f, char *buf, size_t size)
{
	struct signalfd *s = f->private;

	return format(buf, size, "sigmask:\t%016lx\n", (unsigned long)atomic_load(&s->mask));
}

static size_t
signalfd_name(struct file *f, char *buf, size_t size)
{
	return format(buf, size, "anon_inode:[signalfd]");
}

static struct signalfd *
signalfd_alloc(u64 mask)
{
	struct signalfd *s = kzalloc(sizeof(*s));

	if (!s)
		return NULL;
	s->mask = mask & ~UNBLOCKABLE;
	spin_init(&s->lock, "signalfd", RANK_FILE);
	list_init(&s->watchers);
	return s;
}

/* --- the store --- */

enum { SIGNAL_MASK = 1, SIGNAL_WATCHER = 2 };

/* The watchers first to last: an epoll hangs itself on their queues again. */
static void
signalfd_save(struct persist_writer *w, struct file *f)
{
	const struct signalfd_ops *ops = atomic_load(&ipc_root()->signalfd);
	struct signalfd *s = f->private;
	struct watcher *p;

	tag_u64(&w->tags, SIGNAL_MASK, s->mask);
	list_for_each_entry (p, &s->watchers, link)
		persist_ref(w, SIGNAL_WATCHER, ops->owner_kind, p->process);
}

static u64
signalfd_version(struct persist_writer *w, u64 h, struct file *f)
{
	const struct signalfd_ops *ops = atomic_load(&ipc_root()->signalfd);
	const struct signalfd *s = f->private;
	struct watcher *p;

	h = persist_mix(h, s->mask);
	list_for_each_entry (p, &s->watchers, link)
		h = persist_mix_ref(w, h, ops->owner_kind, p->process);
	return h;
}

static int
signalfd_link(struct persist_reader *r, const struct tag_reader *in, struct file *f)
{
	const struct signalfd_ops *ops = atomic_load(&ipc_root()->signalfd);
	struct signalfd *s = signalfd_alloc(tag_get_u64(in, SIGNAL_MASK, 0));
	struct tag_field field = {0};

	if (!s)
		return -ENOMEM;
	f->private = s;
	while (tag_next(in, SIGNAL_WATCHER, &field)) {
		void *process = persist_field(r, &field, ops->owner_kind);
		struct watcher *p = process ? kmalloc(sizeof(*p)) : NULL;

		if (!p)
			return process ? -ENOMEM : -EBADMSG;
		p->process = process;
		ops->owner_hold(process);
		list_add_tail(&s->watchers, &p->link);
	}
	return 0;
}

/*
 * Members of struct signalfd over a power cut:
 *	written	mask watchers
 *	made	lock
 */
static const struct file_persist signalfd_persist = {
	.number = FILE_SIGNALFD,
	.save = signalfd_save,
	.version = signalfd_version,
	.link = signalfd_link,
};

static const struct file_ops signalfd_file_ops = {
	.kind = "signalfd",
	.read = signalfd_read,
	.poll = signalfd_poll,
	.release = signalfd_release,
	.fdinfo = signalfd_fdinfo,
	.name = signalfd_name,
	.persist = &signalfd_persist,
};

int
signalfd_create(u64 mask, unsigned flags, struct file **out)
{
	struct signalfd *s;

	if (!atomic_load(&ipc_root()->signalfd))
		return -ENODEV;
	s = signalfd_alloc(mask);
	if (!s)
		return -ENOMEM;
	*out = file_create(&signalfd_file_ops, O_RDWR | (flags & O_NONBLOCK), s);
	if (!*out) {
		kfree(s);
		return -ENOMEM;
	}
	return 0;
}

void
signalfd_register(void)
{
	file_persist_register(&signalfd_file_ops);
}

int
signalfd_set_mask(struct file *f, u64 mask)
{
	const struct signalfd_ops *ops = atomic_load(&ipc_root()->signalfd);
	struct signalfd *s = f->private;
	struct spinlock *lock;
	struct waitq *q;

	if (f->ops != &signalfd_file_ops)
		return -EINVAL;
	atomic_store(&s->mask, mask & ~UNBLOCKABLE);
	q = ops->queue(&lock);
	spin_lock(lock);
	waitq_wake_all(q);
	spin_unlock(lock);
	return 0;
}
