/*
 * What a disk has and has not finished, and a thread for each disk that looks after it: the oldest
 * request must not stay the oldest for longer than the disk's patience. A lost request becomes the
 * oldest in the end, and one that waits behind others has its time when it is its turn.
 *
 * Then, or when the driver met an error that stops the disk, the driver resets it, and what the
 * disk had is tried once more: a request that was under way twice in vain ends with -EIO, as all do
 * when the reset fails. Writes and flushes may be repeated: nobody was told that they are done.
 *
 * Locks: d->lock, innermost but for the run queue's; the driver's is not taken under it.
 */
#include <asm/errno.h>
#include "arch/clock.h"
#include "cluster/cluster.h"
#include "core/klog.h"
#include "dev/block_watch.h"
#include "mm/kstack.h"

#define PATIENCE  (30 * NS_PER_SEC)
#define TRIES_MAX 2u

void
block_submit(struct block_device *d, struct list *requests)
{
	struct block_request *r;

	spin_lock(&d->lock);
	if (list_empty(&d->flight)) {
		d->oldest_since = clock_now();
		if (!d->watched)
			waitq_wake_all(&d->trouble);
	}
	list_for_each_entry (r, requests, link)
		list_add_tail(&d->flight, &r->flight);
	spin_unlock(&d->lock);
	d->ops->submit(d, requests);
}

void
block_end(struct block_device *d, struct block_request *r, int err)
{
	spin_lock(&d->lock);
	if (d->flight.next == &r->flight)
		d->oldest_since = clock_now();
	list_del(&r->flight);
	spin_unlock(&d->lock);
	r->end(r, err);
}

void
block_needs_reset(struct block_device *d)
{
	spin_lock(&d->lock);
	d->failing = true;
	waitq_wake_all(&d->trouble);
	spin_unlock(&d->lock);
}

static ns_t
patience(void)
{
	unsigned s = machine()->disk_patience;

	return s ? (ns_t)s * NS_PER_SEC : PATIENCE;
}

/* Sleeps until the disk needs help. => returns whether it is late, not failing */
static bool
wait_for_trouble(struct block_device *d)
{
	ns_t until = NS_FOREVER;
	bool late = false;

	spin_lock(&d->lock);
	while (!d->failing && !late) {
		d->watched = !list_empty(&d->flight);
		until = d->watched ? d->oldest_since + patience() : NS_FOREVER;
		late = clock_now() >= until;
		if (!late)
			(void)!waitq_sleep(&d->trouble, &d->lock, until, 0);
	}
	late = !d->failing;
	d->failing = false;
	spin_unlock(&d->lock);
	return late;
}

/* => returns whether the disk can be used */
static bool
reset(struct block_device *d)
{
	struct block_request *r, *next;
	struct list had;
	int err;

	list_init(&had);
	err = d->ops->reset(d, &had);
	spin_lock(&d->lock);
	d->oldest_since = clock_now();
	spin_unlock(&d->lock);
	if (err)
		klog(KLOG_WARN, "block", "%s is given up: error %d", d->name, -err);
	list_for_each_entry_safe (r, next, &had, link) {
		if (!err && ++r->tries < TRIES_MAX)
			continue;
		list_del(&r->link);
		block_end(d, r, -EIO);
	}
	if (!list_empty(&had))
		d->ops->submit(d, &had);
	return !err;
}

static void
watch_thread(void *arg)
{
	struct block_device *d = arg;

	do {
		if (wait_for_trouble(d))
			klog(KLOG_WARN, "block", "%s does not answer: reset", d->name);
		else
			klog(KLOG_WARN, "block", "%s stopped at an error: reset", d->name);
	} while (reset(d));
}

int
block_watch_start(struct block_device *d)
{
	spin_init(&d->lock, "disk", RANK_NONE);
	waitq_init(&d->trouble);
	list_init(&d->flight);
	return kthread_create("disk", watch_thread, d, 0) ? 0 : -ENOMEM;
}
