/*
 * eventfd (man 2 eventfd): a 64-bit counter. Reads take all of it, or one with EFD_SEMAPHORE;
 * writes add to it and wait while the sum would reach 2^64 - 1.
 */
#include "file/ipc_impl.h"

#include <asm/errno.h>
#include <asm/fcntl.h>

#include "lib/format.h"
#include "mm/slab.h"

#define COUNT_MAX     (UINT64_MAX - 1)
#define EFD_SEMAPHORE 1u /* man 2 eventfd; older UAPI headers do not have it */

struct eventfd {
	struct spinlock lock;	       /* rank RANK_FILE */
	u64 count;		       /* [lock] */
	bool semaphore;		       /* [I] */
	struct waitq readers, writers; /* [lock] */
};

static ssize_t
eventfd_read(struct file *f, struct uio *u, u64 *pos)
{
	struct eventfd *e = f->private;
	u64 value = 0;
	int err = 0;

	if (u->resid < sizeof(value))
		return -EINVAL;
	spin_lock(&e->lock);
	while (e->count == 0 && !err) {
		if (file_nonblock(f))
			err = -EAGAIN;
		else
			err = waitq_sleep(&e->readers, &e->lock, NS_FOREVER, WAIT_INTERRUPTIBLE);
	}
	if (e->count > 0) {
		err = 0;
		value = e->semaphore ? 1 : e->count;
		e->count -= value;
		waitq_wake_events(&e->writers, ~0u, POLL_OUT);
	}
	spin_unlock(&e->lock);
	if (err)
		return err;
	return uio_copy_out(u, &value, sizeof(value)) == sizeof(value) ? (ssize_t)sizeof(value)
								       : -EFAULT;
}

static ssize_t
eventfd_write(struct file *f, struct uio *u, u64 *pos)
{
	struct eventfd *e = f->private;
	int err = 0;
	u64 value;

	if (u->resid < sizeof(value))
		return -EINVAL;
	if (uio_copy_in(u, &value, sizeof(value)) < sizeof(value))
		return -EFAULT;
	if (value == UINT64_MAX)
		return -EINVAL;
	spin_lock(&e->lock);
	while (COUNT_MAX - e->count < value && !err) {
		if (file_nonblock(f))
			err = -EAGAIN;
		else
			err = waitq_sleep(&e->writers, &e->lock, NS_FOREVER, WAIT_INTERRUPTIBLE);
	}
	if (!err) {
		e->count += value;
		if (e->count > 0)
			waitq_wake_events(&e->readers, ~0u, POLL_IN);
	}
	spin_unlock(&e->lock);
	return err ? err : (ssize_t)sizeof(value);
}

static unsigned
eventfd_poll(struct file *f, struct poll_table *pt)
{
	struct eventfd *e = f->private;
	unsigned events = 0;

	spin_lock(&e->lock);
	poll_add(pt, &e->readers, &e->lock);
	poll_add(pt, &e->writers, &e->lock);
	if (e->count > 0)
		events |= POLL_IN;
	if (e->count < COUNT_MAX)
		events |= POLL_OUT;
	spin_unlock(&e->lock);
	return events;
}

static void
eventfd_release(struct file *f)
{
	kfree(f->private);
}

static size_t
eventfd_fdinfo(struct file *f, char *buf, size_t size)
{
	struct eventfd *e = f->private;

	return format(buf, size, "eventfd-count: %16lx\n", (unsigned long)atomic_load(&e->count));
}

static size_t
eventfd_name(struct file *f, char *buf, size_t size)
{
	return format(buf, size, "anon_inode:[eventfd]");
}

static struct eventfd *
eventfd_alloc(u64 initial, bool semaphore)
{
	struct eventfd *e = kzalloc(sizeof(*e));

	if (!e)
		return NULL;
	spin_init(&e->lock, "eventfd", RANK_FILE);
	waitq_init(&e->readers);
	waitq_init(&e->writers);
	e->count = initial;
	e->semaphore = semaphore;
	return e;
}

/* --- the store --- */

enum { EVENT_COUNT = 1, EVENT_SEMAPHORE = 2 };

static void
eventfd_save(struct persist_writer *w, struct file *f)
{
	const struct eventfd *e = f->private;

	tag_u64(&w->tags, EVENT_COUNT, e->count);
	tag_u64(&w->tags, EVENT_SEMAPHORE, e->semaphore);
}

static u64
eventfd_version(struct persist_writer *w, u64 h, struct file *f)
{
	const struct eventfd *e = f->private;

	return persist_mix(persist_mix(h, e->count), e->semaphore);
}

static int
eventfd_link(struct persist_reader *r, const struct tag_reader *in, struct file *f)
{
	f->private = eventfd_alloc(tag_get_u64(in, EVENT_COUNT, 0),
				   tag_get_u64(in, EVENT_SEMAPHORE, 0) != 0);
	return f->private ? 0 : -ENOMEM;
}

/*
 * Members of struct eventfd over a power cut:
 *	written	count semaphore
 *	made	lock readers writers
 */
static const struct file_persist eventfd_persist = {
	.number = FILE_EVENTFD,
	.save = eventfd_save,
	.version = eventfd_version,
	.link = eventfd_link,
};

static const struct file_ops eventfd_ops = {
	.kind = "eventfd",
	.read = eventfd_read,
	.write = eventfd_write,
	.poll = eventfd_poll,
	.release = eventfd_release,
	.fdinfo = eventfd_fdinfo,
	.name = eventfd_name,
	.persist = &eventfd_persist,
};

int
eventfd_create(u64 initial, unsigned flags, struct file **out)
{
	struct eventfd *e = eventfd_alloc(initial, (flags & EFD_SEMAPHORE) != 0);

	if (!e)
		return -ENOMEM;
	*out = file_create(&eventfd_ops, O_RDWR | (flags & O_NONBLOCK), e);
	if (!*out) {
		kfree(e);
		return -ENOMEM;
	}
	return 0;
}

void
eventfd_register(void)
{
	file_persist_register(&eventfd_ops);
}
