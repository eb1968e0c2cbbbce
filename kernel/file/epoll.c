/*
 * epoll (man 7 epoll): a set of watched files, and the list of those that became ready.
 *
 * An item watches one (file, descriptor). Its waiters hang on the file's queues; when one fires,
 * the item goes to the ready list. epoll_collect takes items off that list one by one, asks each
 * file for its events, and puts level-triggered ones back: the cost is that of the ready ones only.
 *
 * Life: an epoll is counted: its open file, and each item. Items are freed by EPOLL_CTL_DEL, by the
 * release of the epoll, or by epoll_forget when the last reference of the watched file goes, before
 * its object does: so the queues outlive the waiters on them.
 *
 * Locks: ipc->nesting (mutex, only while an epoll is added to another, so that two threads cannot
 * close a loop), ep->change (mutex: the tree of items, and who may free one; outer epoll before
 * inner one), the watched object's lock, ep->lock (rank RANK_EPOLL: ready list and item states;
 * inner before outer), file->lock (its list of items). Waiting threads hold nothing, so that others
 * may change the set meanwhile.
 */
#include "file/epoll.h"

#include <asm/errno.h>
#include <asm/fcntl.h>

#include "arch/clock.h"
#include "file/epoll_impl.h"
#include "lib/assert.h"
#include "lib/format.h"
#include "mm/slab.h"
#include "mm/user.h"

#define DEPTH_MAX 5 /* epolls in epolls, as Linux */
#define MODE_BITS (EPOLLET | EPOLLONESHOT | EPOLLEXCLUSIVE | EPOLLWAKEUP)
#define EXCLUSIVE_OK                                                                               \
	(EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE)

static const struct file_ops epoll_ops;

bool
file_is_epoll(const struct file *f)
{
	return f->ops == &epoll_ops;
}

static void
epoll_put(struct epoll *ep)
{
	if (refcount_put(&ep->refs))
		kfree(ep);
}

/* --- becoming ready --- */

/* => ep->lock held. */
static void
make_ready(struct epoll *ep, struct epoll_item *it)
{
	if (it->state == ITEM_IDLE) {
		it->state = ITEM_READY;
		list_add_tail(&ep->ready, &it->link);
	} else if (it->state == ITEM_TAKEN) {
		it->state = ITEM_RETAKEN;
	}
}

/* => ep->lock held. Returns whether a thread was woken. */
static bool
tell_waiters(struct epoll *ep)
{
	bool woke = waitq_wake_events(&ep->waiters, 1, 0) > 0;

	return waitq_wake_events(&ep->pollers, 1, POLL_IN | POLL_RDNORM) > 0 || woke;
}

/* A watched file's queue fired. => that queue's lock held. */
static bool
item_wake(struct waiter *w, unsigned events)
{
	struct epoll_item *it = container_of(w, struct item_waiter, waiter)->item;
	struct epoll *ep = it->ep;
	bool exclusive = w->exclusive, woke = false;

	spin_lock(&ep->lock);
	if ((it->events & ~MODE_BITS) && (events == 0 || (events & it->events))) {
		make_ready(ep, it);
		woke = tell_waiters(ep);
	}
	spin_unlock(&ep->lock);
	return exclusive ? woke : true;
}

/* --- items --- */

struct item_table {
	struct poll_table table;
	struct epoll_item *item;
};

/* => the queue's lock (l) is held. */
static void
item_add_waiter(struct poll_table *pt, struct waitq *q, struct spinlock *l)
{
	struct epoll_item *it = container_of(pt, struct item_table, table)->item;
	struct item_waiter *w;

	if (it->used < ITEM_WAITERS) {
		w = &it->waiter[it->used++];
	} else {
		w = kmalloc(sizeof(*w));
		if (!w) {
			it->no_memory = true;
			return;
		}
		w->next = it->more;
		it->more = w;
	}
	w->item = it;
	w->waiter = (struct waiter){
		.wake = item_wake,
		.exclusive = (it->events & EPOLLEXCLUSIVE) != 0,
	};
	list_init(&w->waiter.link);
	waitq_add(q, l, &w->waiter);
}

static int
item_compare(const struct epoll_item *it, const struct file *f, int fd)
{
	if (it->file != f)
		return f < it->file ? -1 : 1;
	return fd < it->fd ? -1 : fd > it->fd;
}

/* => ep->change held. */
static struct epoll_item *
item_find(struct epoll *ep, const struct file *f, int fd)
{
	struct rb_node *n = ep->items.root;

	while (n) {
		struct epoll_item *it = rb_entry(n, struct epoll_item, node);
		int c = item_compare(it, f, fd);

		if (c == 0)
			return it;
		n = c < 0 ? n->left : n->right;
	}
	return NULL;
}

/* Any item that watches f, or NULL: the tree has them side by side. => ep->change held. */
static struct epoll_item *
item_of_file(struct epoll *ep, const struct file *f)
{
	struct rb_node *n = ep->items.root;

	while (n) {
		struct epoll_item *it = rb_entry(n, struct epoll_item, node);

		if (it->file == f)
			return it;
		n = f < it->file ? n->left : n->right;
	}
	return NULL;
}

static void
item_insert(struct epoll *ep, struct epoll_item *it)
{
	struct rb_node **link = &ep->items.root, *parent = NULL;

	while (*link) {
		parent = *link;
		link = item_compare(rb_entry(parent, struct epoll_item, node), it->file, it->fd) < 0
			       ? &parent->left
			       : &parent->right;
	}
	rb_insert(&ep->items, &it->node, parent, link);
	ep->count++;
}

/* Unhooks and frees an item. The watched file may be on its way out: it is not touched after its
 * list of items is left, which is what epoll_forget waits for. => ep->change held. */
static void
item_free(struct epoll *ep, struct epoll_item *it)
{
	struct item_waiter *w, *next;
	struct file *f = it->file;

	for (unsigned i = 0; i < it->used; i++)
		waitq_remove(&it->waiter[i].waiter);
	for (w = it->more; w; w = next) {
		next = w->next;
		waitq_remove(&w->waiter);
		kfree(w);
	}
	spin_lock(&ep->lock);
	assert(it->state == ITEM_IDLE || it->state == ITEM_READY);
	list_del(&it->link);
	spin_unlock(&ep->lock);
	rb_remove(&ep->items, &it->node);
	ep->count--;
	spin_lock(&f->lock);
	list_del(&it->file_link);
	spin_unlock(&f->lock);
	kfree(it);
	epoll_put(ep);
}

/* What of `events` holds now. => ep->change held. */
static unsigned
item_poll(struct epoll_item *it)
{
	return file_poll(it->file, NULL) & (it->events | POLL_ERR | POLL_HUP);
}

/* After a change: ready at once if events hold already. => ep->change held. */
static void
item_check(struct epoll *ep, struct epoll_item *it, unsigned now)
{
	spin_lock(&ep->lock);
	if (now & (it->events | POLL_ERR | POLL_HUP)) {
		make_ready(ep, it);
		tell_waiters(ep);
	}
	spin_unlock(&ep->lock);
}

/* --- changing the set --- */

/* => ep->change held. */
static int
item_add(struct epoll *ep, struct file *f, int fd, const struct epoll_event *ev)
{
	struct epoll_item *it = kzalloc(sizeof(*it));
	struct item_table pt = {.table.add = item_add_waiter, .item = it};
	unsigned now;

	if (!it)
		return -ENOMEM;
	refcount_get(&ep->refs);
	it->ep = ep;
	it->file = f;
	it->fd = fd;
	it->events = ev->events | POLL_ERR | POLL_HUP;
	it->data = ev->data;
	list_init(&it->link);
	item_insert(ep, it);
	spin_lock(&f->lock);
	list_add_tail(&f->epoll_items, &it->file_link);
	spin_unlock(&f->lock);
	now = file_poll(f, &pt.table);
	if (it->no_memory) {
		item_free(ep, it);
		return -ENOMEM;
	}
	item_check(ep, it, now);
	return 0;
}

/* => ep->change held. */
static int
item_modify(struct epoll *ep, struct epoll_item *it, const struct epoll_event *ev)
{
	if ((it->events | ev->events) & EPOLLEXCLUSIVE)
		return -EINVAL;
	spin_lock(&ep->lock);
	it->events = ev->events | POLL_ERR | POLL_HUP;
	it->data = ev->data;
	spin_unlock(&ep->lock);
	/* The new events are in place before the file is asked: what comes later fires item_wake.
	 */
	item_check(ep, it, file_poll(it->file, NULL));
	return 0;
}

static int
change_locked(struct epoll *ep, int op, struct file *f, int fd, const struct epoll_event *ev)
{
	struct epoll_item *it = item_find(ep, f, fd);

	switch (op) {
	case EPOLL_CTL_ADD:
		return it ? -EEXIST : item_add(ep, f, fd, ev);
	case EPOLL_CTL_MOD:
		return it ? item_modify(ep, it, ev) : -ENOENT;
	case EPOLL_CTL_DEL:
		if (!it)
			return -ENOENT;
		item_free(ep, it);
		return 0;
	default:
		return -EINVAL;
	}
}

/* Whether `target` can be reached from `f` (a loop), or the nesting gets too deep. */
static int
check_nesting(struct file *f, const struct file *target, int depth)
{
	struct epoll *ep = f->private;
	struct rb_node *n;
	int err = 0;

	if (f == target || depth > DEPTH_MAX)
		return -ELOOP;
	mutex_lock(&ep->change);
	for (n = rb_first(&ep->items); n && !err; n = rb_next(n)) {
		struct epoll_item *it = rb_entry(n, struct epoll_item, node);

		if (file_is_epoll(it->file))
			err = check_nesting(it->file, target, depth + 1);
	}
	mutex_unlock(&ep->change);
	return err;
}

/* The longest chain of epolls that watch f, one above the other. An item cannot leave while the
 * lock of its file is held, so its epoll and the epoll's own file are there. => ipc->nesting held.
 */
static int
height_above(struct file *f, int limit)
{
	struct epoll_item *it;
	int height = 0;

	spin_lock(&f->lock);
	list_for_each_entry (it, &f->epoll_items, file_link) {
		int h = limit > 0 ? 1 + height_above(it->ep->file, limit - 1) : 1;

		height = max(height, h);
	}
	spin_unlock(&f->lock);
	return height;
}

int
epoll_change(struct file *epf, int op, struct file *f, int fd, const struct epoll_event *ev)
{
	struct ipc *ipc = ipc_root();
	struct epoll *ep;
	bool nested;
	int err = 0;

	if (!f->ops->poll)
		return -EPERM;
	if (!file_is_epoll(epf) || f == epf)
		return -EINVAL;
	nested = op == EPOLL_CTL_ADD && file_is_epoll(f);
	if (ev && (ev->events & EPOLLEXCLUSIVE) &&
	    (op == EPOLL_CTL_MOD || file_is_epoll(f) || (ev->events & ~EXCLUSIVE_OK)))
		return -EINVAL;
	ep = epf->private;
	if (nested) {
		mutex_lock(&ipc->nesting);
		err = check_nesting(f, epf, height_above(epf, DEPTH_MAX) + 2);
	}
	if (!err) {
		mutex_lock(&ep->change);
		err = change_locked(ep, op, f, fd, ev);
		mutex_unlock(&ep->change);
	}
	if (nested)
		mutex_unlock(&ipc->nesting);
	return err;
}

/* Takes the first item that still watches f, with a reference on its epoll. */
static struct epoll *
first_watcher(struct file *f)
{
	struct epoll *ep = NULL;

	spin_lock(&f->lock);
	if (!list_empty(&f->epoll_items)) {
		ep = list_first(&f->epoll_items, struct epoll_item, file_link)->ep;
		refcount_get(&ep->refs);
	}
	spin_unlock(&f->lock);
	return ep;
}

void
epoll_forget(struct file *f)
{
	struct epoll *ep;

	while ((ep = first_watcher(f))) {
		struct epoll_item *it;

		mutex_lock(&ep->change);
		while ((it = item_of_file(ep, f)))
			item_free(ep, it);
		mutex_unlock(&ep->change);
		epoll_put(ep);
	}
}

/* --- waiting --- */

/* => ep->change held. */
static struct epoll_item *
take_ready(struct epoll *ep, struct list *taken)
{
	struct epoll_item *it = NULL;

	spin_lock(&ep->lock);
	if (!list_empty(&ep->ready)) {
		it = list_first(&ep->ready, struct epoll_item, link);
		list_del(&it->link);
		list_add_tail(taken, &it->link);
		it->state = ITEM_TAKEN;
	}
	spin_unlock(&ep->lock);
	return it;
}

/* What was looked at goes back: to the ready list if it is to be seen again. `again` says so of
 * level-triggered items, which carry state ITEM_RETAKEN already. => ep->change held. */
static void
give_back(struct epoll *ep, struct list *taken)
{
	spin_lock(&ep->lock);
	while (!list_empty(taken)) {
		struct epoll_item *it = list_first(taken, struct epoll_item, link);
		bool again = it->state == ITEM_RETAKEN;

		list_del(&it->link);
		it->state = ITEM_IDLE;
		if (again)
			make_ready(ep, it);
	}
	if (!list_empty(&ep->ready))
		tell_waiters(ep);
	spin_unlock(&ep->lock);
}

/* Reports one item. 1, 0 (nothing holds any more), -EFAULT. => ep->change held. */
static int
report(struct epoll *ep, struct epoll_item *it, struct epoll_event __user *out)
{
	struct epoll_event ev;

	ev.events = item_poll(it);
	if (ev.events == 0)
		return 0;
	ev.data = it->data;
	if (copy_to_user(out, &ev, sizeof(ev))) {
		spin_lock(&ep->lock);
		it->state = ITEM_RETAKEN;
		spin_unlock(&ep->lock);
		return -EFAULT;
	}
	spin_lock(&ep->lock);
	if (it->events & EPOLLONESHOT)
		it->events &= MODE_BITS;
	else if (!(it->events & EPOLLET))
		it->state = ITEM_RETAKEN;
	spin_unlock(&ep->lock);
	return 1;
}

static int
collect_ready(struct epoll *ep, struct epoll_event __user *out, int max)
{
	struct epoll_item *it;
	struct list taken;
	int n = 0, r;

	list_init(&taken);
	mutex_lock(&ep->change);
	while (n < max && (it = take_ready(ep, &taken))) {
		if (!(it->events & ~MODE_BITS))
			continue;
		r = report(ep, it, out + n);
		if (r < 0) {
			if (n == 0)
				n = r;
			break;
		}
		n += r;
	}
	give_back(ep, &taken);
	mutex_unlock(&ep->change);
	return n;
}

/* Sleeps until something is on the ready list: 0, -ETIMEDOUT, -EINTR. */
static int
wait_ready(struct epoll *ep, ns_t deadline)
{
	int err = 0;

	spin_lock(&ep->lock);
	while (list_empty(&ep->ready) && !err) {
		if (deadline == 0)
			err = -ETIMEDOUT;
		else
			err = waitq_sleep(&ep->waiters, &ep->lock, deadline,
					  WAIT_INTERRUPTIBLE | WAIT_EXCLUSIVE);
	}
	if (!list_empty(&ep->ready)) {
		/* Woken and cut short at once: the next waiter gets what we leave. */
		if (err && err != -ETIMEDOUT)
			waitq_wake_events(&ep->waiters, 1, 0);
		else
			err = 0;
	}
	spin_unlock(&ep->lock);
	return err == -ERESTARTSYS ? -EINTR : err;
}

int
epoll_collect(struct file *epf, struct epoll_event __user *out, int max, ns_t deadline)
{
	struct epoll *ep = epf->private;
	int n;

	for (;;) {
		int err = wait_ready(ep, deadline);

		if (err)
			return err == -ETIMEDOUT ? 0 : err;
		n = collect_ready(ep, out, max);
		if (n != 0)
			return n;
		if (deadline != NS_FOREVER && clock_now() >= deadline)
			return 0;
	}
}

/* --- the epoll's own file --- */

/* Whether any item on the ready list really is ready; those that are not leave it. */
static bool
any_ready(struct epoll *ep)
{
	struct epoll_item *it;
	struct list taken;
	bool found = false;

	list_init(&taken);
	mutex_lock(&ep->change);
	while (!found && (it = take_ready(ep, &taken))) {
		if (!(it->events & ~MODE_BITS) || item_poll(it) == 0)
			continue;
		found = true;
		spin_lock(&ep->lock);
		it->state = ITEM_RETAKEN;
		spin_unlock(&ep->lock);
	}
	spin_lock(&ep->lock);
	while (!list_empty(&taken)) {
		it = list_last(&taken, struct epoll_item, link);
		list_del(&it->link);
		if (it->state == ITEM_RETAKEN) {
			it->state = ITEM_READY;
			list_add(&ep->ready, &it->link);
		} else {
			it->state = ITEM_IDLE;
		}
	}
	spin_unlock(&ep->lock);
	mutex_unlock(&ep->change);
	return found;
}

static unsigned
epoll_poll(struct file *f, struct poll_table *pt)
{
	struct epoll *ep = f->private;

	if (pt) {
		spin_lock(&ep->lock);
		poll_add(pt, &ep->pollers, &ep->lock);
		spin_unlock(&ep->lock);
	}
	return any_ready(ep) ? POLL_IN | POLL_RDNORM : 0;
}

static void
epoll_release(struct file *f)
{
	struct epoll *ep = f->private;
	struct rb_node *n;

	mutex_lock(&ep->change);
	while ((n = rb_first(&ep->items)))
		item_free(ep, rb_entry(n, struct epoll_item, node));
	mutex_unlock(&ep->change);
	epoll_put(ep);
}

static size_t
epoll_fdinfo(struct file *f, char *buf, size_t size)
{
	struct epoll *ep = f->private;
	struct rb_node *n;
	size_t used = 0;

	mutex_lock(&ep->change);
	for (n = rb_first(&ep->items); n; n = rb_next(n)) {
		struct epoll_item *it = rb_entry(n, struct epoll_item, node);

		used += format(used < size ? buf + used : NULL, used < size ? size - used : 0,
			       "tfd: %8d events: %8x data: %16lx  pos:0 ino:%lx\n", it->fd,
			       it->events, (unsigned long)it->data, (unsigned long)it->file->ino);
	}
	mutex_unlock(&ep->change);
	return used;
}

static size_t
epoll_name(struct file *f, char *buf, size_t size)
{
	return format(buf, size, "anon_inode:[eventpoll]");
}

static struct epoll *
epoll_alloc(void)
{
	struct epoll *ep = kzalloc(sizeof(*ep));

	if (!ep)
		return NULL;
	refcount_init(&ep->refs, 1);
	mutex_init(&ep->change, "epoll");
	spin_init(&ep->lock, "epoll", RANK_EPOLL);
	list_init(&ep->ready);
	waitq_init(&ep->waiters);
	waitq_init(&ep->pollers);
	return ep;
}

/* --- the store --- */

enum { ITEM_FILE = 1, ITEM_FD = 2, ITEM_EVENTS = 3, ITEM_DATA = 4 }; /* in this order, repeated */

/* What is ready is not written: after a resume an item is ready if its file is. An edge that was
 * told already may so be told twice, as it may on Linux; none is lost. */
static void
epoll_save(struct persist_writer *w, struct file *f)
{
	struct epoll *ep = f->private;
	struct rb_node *n;

	for (n = rb_first(&ep->items); n; n = rb_next(n)) {
		struct epoll_item *it = rb_entry(n, struct epoll_item, node);

		persist_ref(w, ITEM_FILE, &file_persist, it->file);
		tag_u64(&w->tags, ITEM_FD, (u64)it->fd);
		tag_u64(&w->tags, ITEM_EVENTS, it->events);
		tag_u64(&w->tags, ITEM_DATA, it->data);
	}
}

static u64
epoll_version(struct persist_writer *w, u64 h, struct file *f)
{
	struct epoll *ep = f->private;
	struct rb_node *n;

	for (n = rb_first(&ep->items); n; n = rb_next(n)) {
		struct epoll_item *it = rb_entry(n, struct epoll_item, node);

		h = persist_mix_ref(w, h, &file_persist, it->file);
		h = persist_mix(h, (u64)it->fd << 32 | it->events);
		h = persist_mix(h, it->data);
	}
	return h;
}

static int
epoll_link(struct persist_reader *r, const struct tag_reader *in, struct file *f)
{
	struct epoll *ep = epoll_alloc();

	if (!ep)
		return -ENOMEM;
	ep->file = f;
	f->private = ep;
	return 0;
}

/* => ep->change held. An item as it was, also when EPOLLONESHOT has disabled it. */
static int
item_restore(struct epoll *ep, struct file *f, int fd, const struct epoll_event *ev)
{
	struct epoll_event quiet = {.events = ev->events & MODE_BITS, .data = ev->data};
	struct epoll_item *it;
	int err = item_find(ep, f, fd) ? -EBADMSG : item_add(ep, f, fd, &quiet);

	if (err)
		return err;
	it = item_find(ep, f, fd);
	spin_lock(&ep->lock);
	it->events = ev->events;
	spin_unlock(&ep->lock);
	if (ev->events & ~MODE_BITS)
		item_check(ep, it, file_poll(f, NULL));
	return 0;
}

/* Everything is linked by now, so the files can be asked. */
static int
epoll_restart(struct persist_reader *r, const struct tag_reader *in, struct file *f)
{
	struct tag_field file = {0}, fd = {0}, events = {0}, data = {0};
	struct epoll *ep = f->private;
	int err = 0;

	mutex_lock(&ep->change);
	while (err == 0 && tag_next(in, ITEM_FILE, &file)) {
		struct file *watched = persist_field(r, &file, &file_persist);
		struct epoll_event ev;

		if (!watched || watched == f || !tag_next(in, ITEM_FD, &fd) ||
		    !tag_next(in, ITEM_EVENTS, &events) || !tag_next(in, ITEM_DATA, &data)) {
			err = -EBADMSG;
			break;
		}
		if (!watched->ops->poll)
			continue; /* it was lost */
		if (file_is_epoll(watched) &&
		    check_nesting(watched, f, height_above(f, DEPTH_MAX) + 2)) {
			err = -EBADMSG; /* they would poll each other without end */
			break;
		}
		ev.events = (u32)tag_field_u64(&events);
		ev.data = tag_field_u64(&data);
		err = item_restore(ep, watched, (int)tag_field_u64(&fd), &ev);
	}
	mutex_unlock(&ep->change);
	return err;
}

static const struct file_persist epoll_persist = {
	.number = FILE_EPOLL,
	.save = epoll_save,
	.version = epoll_version,
	.link = epoll_link,
	.start = epoll_restart,
};

static const struct file_ops epoll_ops = {
	.kind = "epoll",
	.poll = epoll_poll,
	.release = epoll_release,
	.fdinfo = epoll_fdinfo,
	.name = epoll_name,
	.persist = &epoll_persist,
};

int
epoll_create_file(unsigned flags, struct file **out)
{
	struct epoll *ep = epoll_alloc();

	if (!ep)
		return -ENOMEM;
	*out = file_create(&epoll_ops, O_RDWR, ep);
	if (!*out) {
		kfree(ep);
		return -ENOMEM;
	}
	ep->file = *out;
	return 0;
}

void
epoll_register(void)
{
	file_persist_register(&epoll_ops);
}
