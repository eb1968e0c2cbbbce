/*
 * inotify (man 7 inotify): queues of what happened to watched vnodes.
 *
 * An instance has watches; a watch is on one vnode, holds a reference on it, and is on the vnode's
 * list. namei and file call inotify_event, which makes an event for every watch that wants it; an
 * event equal to the last one queued is dropped; a full queue gets one IN_Q_OVERFLOW. A watch ends
 * by inotify_rm_watch, IN_ONESHOT or the deletion of its vnode, each followed by IN_IGNORED.
 *
 * Life: an instance goes with its file; a watch with the instance, or before it as said.
 * Locks: one spinlock, shared->lock, guards all watches and queues: changes of watched directories
 * are rare. Vnodes are put without it, as that may sleep.
 */
#include "file/inotify.h"

#include <asm/errno.h>
#include <asm/fcntl.h>
#include <asm/ioctls.h>
#include <linux/inotify.h>
#include <linux/stat.h>

#include "file/dentry.h"
#include "file/ipc_impl.h"
#include "file/kinds.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "mm/user.h"

#define QUEUE_MAX   16384 /* fs.inotify.max_queued_events */
#define WATCHES_MAX 1048576
#define EVENT_BITS  IN_ALL_EVENTS

struct inotify_shared {
	struct spinlock lock; /* rank RANK_FILE */
};

struct instance {
	struct list watches;  /* [shared->lock] */
	struct list events;   /* [shared->lock] */
	u32 queued;	      /* [shared->lock] */
	u32 nwatches;	      /* [shared->lock] */
	int next_wd;	      /* [shared->lock] */
	bool overflowed;      /* [shared->lock] the overflow event is queued */
	struct waitq readers; /* [shared->lock] */
};

struct watch {
	struct list link;	/* [shared->lock] of the instance; `dying` lists afterwards */
	struct list vnode_link; /* [shared->lock] */
	struct instance *in;
	struct vnode *vnode; /* with a reference */
	int wd;
	u32 mask; /* [shared->lock] */
};

struct event {
	struct list link;
	struct inotify_event head;
	char name[]; /* head.len bytes, padded with zeros */
};

static struct inotify_shared *
inotify_root(void)
{
	return machine()->inotify;
}

int
inotify_init(void)
{
	struct inotify_shared *s = kzalloc(sizeof(*s));

	if (!s)
		return -ENOMEM;
	spin_init(&s->lock, "inotify", RANK_FILE);
	machine()->inotify = s;
	return 0;
}

/* --- queueing --- */

static struct event *
event_make(int wd, u32 mask, u32 cookie, const char *name)
{
	size_t len = name ? ALIGN_UP(strlen(name) + 1, sizeof(struct inotify_event)) : 0;
	struct event *e = kzalloc(sizeof(*e) + len);

	if (!e)
		return NULL;
	e->head.wd = wd;
	e->head.mask = mask;
	e->head.cookie = cookie;
	e->head.len = len;
	if (name)
		memcpy(e->name, name, strlen(name));
	return e;
}

static bool
same_as_last(const struct instance *in, const struct event *e)
{
	const struct event *last;

	if (list_empty(&in->events))
		return false;
	last = list_last(&in->events, struct event, link);
	return memcmp(&last->head, &e->head, sizeof(e->head)) == 0 &&
	       memcmp(last->name, e->name, e->head.len) == 0;
}

static void
enqueue(struct instance *in, struct event *e)
{
	list_add_tail(&in->events, &e->link);
	in->queued++;
	waitq_wake_events(&in->readers, ~0u, POLL_IN | POLL_RDNORM);
}

/* => shared->lock held. */
static void
post(struct instance *in, int wd, u32 mask, u32 cookie, const char *name)
{
	struct event *e = NULL;

	if (in->queued < QUEUE_MAX)
		e = event_make(wd, mask, cookie, name);
	if (!e) {
		if (in->overflowed)
			return;
		e = event_make(-1, IN_Q_OVERFLOW, 0, NULL);
		if (!e)
			return;
		in->overflowed = true;
	}
	if (same_as_last(in, e))
		kfree(e);
	else
		enqueue(in, e);
}

/* Takes a watch out; the caller frees it from `dying` without the lock. => shared->lock held. */
static void
watch_end(struct watch *w, struct list *dying)
{
	list_del(&w->vnode_link);
	list_del(&w->link);
	w->in->nwatches--;
	list_add_tail(dying, &w->link);
}

static void
watches_free(struct list *dying)
{
	while (!list_empty(dying)) {
		struct watch *w = list_first(dying, struct watch, link);

		list_del(&w->link);
		vnode_put(w->vnode);
		kfree(w);
	}
}

/* Tells the watches of one vnode. => shared->lock held. */
static void
tell(struct vnode *v, const char *name, u32 mask, u32 cookie, struct list *dying)
{
	struct watch *w, *next;

	list_for_each_entry_safe (w, next, &v->watches, vnode_link) {
		if (w->mask & mask & EVENT_BITS) {
			post(w->in, w->wd, mask, cookie, name);
			if (w->mask & IN_ONESHOT) {
				post(w->in, w->wd, IN_IGNORED, 0, NULL);
				watch_end(w, dying);
				continue;
			}
		}
		if (!name && (mask & IN_DELETE_SELF)) {
			post(w->in, w->wd, IN_IGNORED, 0, NULL);
			watch_end(w, dying);
		}
	}
}

void
inotify_event(struct vnode *dir, struct vnode *v, const char *name, u32 mask, u32 cookie)
{
	struct inotify_shared *s = inotify_root();
	struct list dying;

	if (!s)
		return;
	if (v && S_ISDIR(v->attr.mode) && !(mask & (IN_DELETE_SELF | IN_MOVE_SELF)))
		mask |= IN_ISDIR;
	list_init(&dying);
	spin_lock(&s->lock);
	if (dir)
		tell(dir, name, mask, cookie, &dying);
	/* The count of links falls to zero first: Linux tells that of files. */
	if (v && (mask & IN_DELETE_SELF) && !S_ISDIR(v->attr.mode))
		tell(v, NULL, IN_ATTRIB, 0, &dying);
	if (v)
		tell(v, NULL, mask, cookie, &dying);
	spin_unlock(&s->lock);
	watches_free(&dying);
}

/* --- watches --- */

static const struct file_ops inotify_ops;

/* => shared->lock held. */
static struct watch *
watch_of(struct instance *in, const struct vnode *v)
{
	struct watch *w;

	list_for_each_entry (w, &v->watches, vnode_link)
		if (w->in == in)
			return w;
	return NULL;
}

/* Changes the watch that is there: its number, or -EEXIST. => shared->lock held. */
static int
watch_change(struct watch *w, u32 mask)
{
	if (mask & IN_MASK_CREATE)
		return -EEXIST;
	if (mask & IN_MASK_ADD)
		w->mask |= mask & (EVENT_BITS | IN_ONESHOT);
	else
		w->mask = mask & (EVENT_BITS | IN_ONESHOT);
	return w->wd;
}

int
inotify_watch(struct file *f, struct vnode *v, u32 mask)
{
	struct inotify_shared *s = inotify_root();
	struct watch *fresh, *w;
	struct instance *in;
	int wd;

	if (f->ops != &inotify_ops)
		return -EINVAL;
	in = f->private;
	fresh = kzalloc(sizeof(*fresh));
	if (!fresh)
		return -ENOMEM;
	spin_lock(&s->lock);
	w = watch_of(in, v);
	if (w) {
		wd = watch_change(w, mask);
	} else if (in->nwatches >= WATCHES_MAX) {
		wd = -ENOSPC;
	} else {
		vnode_get(v);
		fresh->in = in;
		fresh->vnode = v;
		fresh->mask = mask & (EVENT_BITS | IN_ONESHOT);
		wd = fresh->wd = ++in->next_wd;
		list_add_tail(&in->watches, &fresh->link);
		list_add_tail(&v->watches, &fresh->vnode_link);
		in->nwatches++;
		fresh = NULL;
	}
	spin_unlock(&s->lock);
	kfree(fresh);
	return wd;
}

int
inotify_unwatch(struct file *f, int wd)
{
	struct inotify_shared *s = inotify_root();
	struct watch *w, *next;
	struct instance *in;
	struct list dying;
	int err = -EINVAL;

	if (f->ops != &inotify_ops)
		return -EINVAL;
	in = f->private;
	list_init(&dying);
	spin_lock(&s->lock);
	list_for_each_entry_safe (w, next, &in->watches, link) {
		if (w->wd != wd)
			continue;
		post(in, wd, IN_IGNORED, 0, NULL);
		watch_end(w, &dying);
		err = 0;
		break;
	}
	spin_unlock(&s->lock);
	watches_free(&dying);
	return err;
}

/* --- the instance's file --- */

/* Waits for an event: 0, -EAGAIN, -ERESTARTSYS. => shared->lock held. */
static int
wait_event(struct instance *in, struct spinlock *lock, bool nonblock)
{
	int err = 0;

	while (list_empty(&in->events) && !err) {
		if (nonblock)
			err = -EAGAIN;
		else
			err = waitq_sleep(&in->readers, lock, NS_FOREVER, WAIT_INTERRUPTIBLE);
	}
	return list_empty(&in->events) ? err : 0;
}

/* Takes the first event if `room` bytes hold it. => shared->lock held. */
static struct event *
take_event(struct instance *in, size_t room)
{
	struct event *e;

	if (list_empty(&in->events))
		return NULL;
	e = list_first(&in->events, struct event, link);
	if (sizeof(e->head) + e->head.len > room)
		return NULL;
	list_del(&e->link);
	in->queued--;
	if (e->head.mask & IN_Q_OVERFLOW)
		in->overflowed = false;
	return e;
}

static ssize_t
inotify_read(struct file *f, struct uio *u, u64 *pos)
{
	struct inotify_shared *s = inotify_root();
	struct instance *in = f->private;
	struct event *e;
	size_t done = 0;
	int err;

	spin_lock(&s->lock);
	err = wait_event(in, &s->lock, file_nonblock(f));
	while (!err && (e = take_event(in, u->resid))) {
		size_t n = sizeof(e->head) + e->head.len;

		spin_unlock(&s->lock);
		/* The head and the name lie side by side. */
		if (uio_copy_out(u, &e->head, sizeof(e->head)) < sizeof(e->head) ||
		    uio_copy_out(u, e->name, e->head.len) < e->head.len)
			err = -EFAULT;
		else
			done += n;
		kfree(e);
		spin_lock(&s->lock);
	}
	if (!err && done == 0)
		err = -EINVAL; /* too small for the first event */
	spin_unlock(&s->lock);
	return done > 0 ? (ssize_t)done : err;
}

static unsigned
inotify_poll(struct file *f, struct poll_table *pt)
{
	struct inotify_shared *s = inotify_root();
	struct instance *in = f->private;
	unsigned events;

	spin_lock(&s->lock);
	poll_add(pt, &in->readers, &s->lock);
	events = list_empty(&in->events) ? 0 : POLL_IN | POLL_RDNORM;
	spin_unlock(&s->lock);
	return events;
}

static long
inotify_ioctl(struct file *f, unsigned cmd, unsigned long arg)
{
	struct inotify_shared *s = inotify_root();
	struct instance *in = f->private;
	struct event *e;
	int n = 0;

	if (cmd != FIONREAD)
		return -ENOTTY;
	spin_lock(&s->lock);
	list_for_each_entry (e, &in->events, link)
		n += sizeof(e->head) + e->head.len;
	spin_unlock(&s->lock);
	return put_user(n, (int __user *)arg);
}

static void
inotify_release(struct file *f)
{
	struct inotify_shared *s = inotify_root();
	struct instance *in = f->private;
	struct list dying, events;

	list_init(&dying);
	list_init(&events);
	spin_lock(&s->lock);
	while (!list_empty(&in->watches))
		watch_end(list_first(&in->watches, struct watch, link), &dying);
	list_splice_tail(&events, &in->events);
	spin_unlock(&s->lock);
	watches_free(&dying);
	while (!list_empty(&events)) {
		struct event *e = list_first(&events, struct event, link);

		list_del(&e->link);
		kfree(e);
	}
	kfree(in);
}

static size_t
inotify_name(struct file *f, char *buf, size_t size)
{
	return format(buf, size, "anon_inode:inotify");
}

static struct instance *
instance_alloc(void)
{
	struct instance *in = kzalloc(sizeof(*in));

	if (!in)
		return NULL;
	list_init(&in->watches);
	list_init(&in->events);
	waitq_init(&in->readers);
	return in;
}

/* --- the store --- */

enum { NOTIFY_NEXT_WD = 1, NOTIFY_WATCH = 2, NOTIFY_EVENT = 3 };
enum { WATCH_VNODE = 1, WATCH_WD = 2, WATCH_MASK = 3 };
enum { EVENT_WD = 1, EVENT_MASK = 2, EVENT_COOKIE = 3, EVENT_NAME = 4 };

/* Watches in /proc and /sys end: what they watched is made anew. */
static void
inotify_save(struct persist_writer *w, struct file *f)
{
	struct instance *in = f->private;
	struct watch *watch;
	struct event *e;
	size_t group;

	tag_u64(&w->tags, NOTIFY_NEXT_WD, (u64)in->next_wd);
	list_for_each_entry (watch, &in->watches, link) {
		if (!vnode_is_saved(watch->vnode))
			continue;
		group = tag_begin(&w->tags, NOTIFY_WATCH);
		persist_ref(w, WATCH_VNODE, &vnode_persist, watch->vnode);
		tag_u64(&w->tags, WATCH_WD, (u64)watch->wd);
		tag_u64(&w->tags, WATCH_MASK, watch->mask);
		tag_end(&w->tags, group);
	}
	list_for_each_entry (e, &in->events, link) {
		group = tag_begin(&w->tags, NOTIFY_EVENT);
		tag_u64(&w->tags, EVENT_WD, (u64)(s64)e->head.wd);
		tag_u64(&w->tags, EVENT_MASK, e->head.mask);
		tag_u64(&w->tags, EVENT_COOKIE, e->head.cookie);
		if (e->head.len)
			tag_string(&w->tags, EVENT_NAME, e->name);
		tag_end(&w->tags, group);
	}
}

/* Of one that nothing has happened to. */
static u64
inotify_version(struct persist_writer *w, u64 h, struct file *f)
{
	const struct instance *in = f->private;
	struct watch *watch;

	if (!list_empty(&in->events))
		return 0;
	h = persist_mix(h, (u64)in->next_wd);
	list_for_each_entry (watch, &in->watches, link) {
		if (!vnode_is_saved(watch->vnode))
			continue;
		h = persist_mix_ref(w, h, &vnode_persist, watch->vnode);
		h = persist_mix(h, (u64)watch->wd << 32 | watch->mask);
	}
	return h;
}

static int
load_watch(struct persist_reader *r, const struct tag_reader *t, struct instance *in)
{
	struct vnode *v = persist_get(r, t, WATCH_VNODE, &vnode_persist);
	struct watch *w = v ? kzalloc(sizeof(*w)) : NULL;

	if (!w)
		return v ? -ENOMEM : -EBADMSG;
	vnode_get(v);
	w->in = in;
	w->vnode = v;
	w->wd = (int)tag_get_u64(t, WATCH_WD, 0);
	w->mask = (u32)tag_get_u64(t, WATCH_MASK, 0);
	list_add_tail(&in->watches, &w->link);
	list_add_tail(&v->watches, &w->vnode_link);
	in->nwatches++;
	return 0;
}

static int
load_event(const struct tag_reader *t, struct instance *in)
{
	char name[NAME_LENGTH_MAX + 1];
	bool named = tag_get_string(t, EVENT_NAME, name, sizeof(name));
	struct event *e =
		event_make((int)tag_get_u64(t, EVENT_WD, 0), (u32)tag_get_u64(t, EVENT_MASK, 0),
			   (u32)tag_get_u64(t, EVENT_COOKIE, 0), named ? name : NULL);

	if (!e)
		return -ENOMEM;
	if (e->head.mask & IN_Q_OVERFLOW)
		in->overflowed = true;
	enqueue(in, e);
	return 0;
}

static int
inotify_link(struct persist_reader *r, const struct tag_reader *t, struct file *f)
{
	struct inotify_shared *s = inotify_root();
	struct instance *in = instance_alloc();
	struct tag_field field = {0};
	int err = 0;

	if (!in)
		return -ENOMEM;
	f->private = in;
	in->next_wd = (int)tag_get_u64(t, NOTIFY_NEXT_WD, 0);
	while (err == 0 && tag_next(t, NOTIFY_WATCH, &field)) {
		struct tag_reader group = tag_group(&field);

		err = load_watch(r, &group, in);
	}
	field = (struct tag_field){0};
	while (err == 0 && tag_next(t, NOTIFY_EVENT, &field)) {
		struct tag_reader group = tag_group(&field);

		spin_lock(&s->lock);
		err = load_event(&group, in);
		spin_unlock(&s->lock);
	}
	return err;
}

/*
 * Members of struct instance over a power cut:
 *	written	watches events next_wd
 *	made	queued nwatches overflowed readers
 */
/*
 * Members of struct watch over a power cut:
 *	written	vnode wd mask
 *	made	link vnode_link in
 */
/*
 * Members of struct event over a power cut:
 *	written	head name
 *	made	link
 */
static const struct file_persist inotify_persist = {
	.number = FILE_INOTIFY,
	.save = inotify_save,
	.version = inotify_version,
	.link = inotify_link,
};

static const struct file_ops inotify_ops = {
	.kind = "inotify",
	.read = inotify_read,
	.poll = inotify_poll,
	.ioctl = inotify_ioctl,
	.release = inotify_release,
	.name = inotify_name,
	.persist = &inotify_persist,
};

int
inotify_create(unsigned flags, struct file **out)
{
	struct instance *in = instance_alloc();

	if (!in)
		return -ENOMEM;
	*out = file_create(&inotify_ops, O_RDONLY | (flags & O_NONBLOCK), in);
	if (!*out) {
		kfree(in);
		return -ENOMEM;
	}
	return 0;
}

void
inotify_register(void)
{
	file_persist_register(&inotify_ops);
}
