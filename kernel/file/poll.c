/*
 * The poller of poll(2) and select(2): hangs a waiter on every queue its files have, and sleeps on
 * a queue of its own until one of them fires.
 *
 * Waiters lie in the poller while there are few, on the heap beyond. They stay on their queues
 * until poller_done, so a wait can be repeated without polling with the table again. Locks: the
 * object's, then the poller's.
 */
#include "file/poll.h"

#include <asm/errno.h>

#include "lib/atomic.h"
#include "mm/slab.h"

static bool
poller_wake(struct waiter *w, unsigned events)
{
	struct poller *p = container_of(w, struct poller_entry, waiter)->poller;

	spin_lock(&p->lock);
	p->triggered = true;
	waitq_wake_all(&p->queue);
	spin_unlock(&p->lock);
	return true;
}

/* => the queue's lock (l) is held. */
static void
poller_add(struct poll_table *pt, struct waitq *q, struct spinlock *l)
{
	struct poller *p = container_of(pt, struct poller, table);
	struct poller_entry *e;

	if (p->used < POLLER_INLINE) {
		e = &p->entry[p->used++];
	} else {
		e = kmalloc(sizeof(*e));
		if (!e) {
			p->no_memory = true;
			return;
		}
		e->next = p->more;
		p->more = e;
	}
	e->poller = p;
	e->waiter = (struct waiter){.wake = poller_wake};
	list_init(&e->waiter.link);
	waitq_add(q, l, &e->waiter);
}

void
poller_init(struct poller *p)
{
	p->table.add = poller_add;
	spin_init(&p->lock, "poller", RANK_EPOLL);
	waitq_init(&p->queue);
	p->triggered = false;
	p->no_memory = false;
	p->used = 0;
	p->more = NULL;
}

int
poller_wait(struct poller *p, ns_t deadline)
{
	int err = 0;

	if (p->no_memory)
		return -ENOMEM;
	spin_lock(&p->lock);
	while (!p->triggered && !err)
		err = waitq_sleep(&p->queue, &p->lock, deadline, WAIT_INTERRUPTIBLE);
	if (p->triggered)
		err = 0;
	p->triggered = false;
	spin_unlock(&p->lock);
	return err;
}

void
poller_done(struct poller *p)
{
	struct poller_entry *e, *next;

	for (unsigned i = 0; i < p->used; i++)
		waitq_remove(&p->entry[i].waiter);
	for (e = p->more; e; e = next) {
		next = e->next;
		waitq_remove(&e->waiter);
		kfree(e);
	}
}
