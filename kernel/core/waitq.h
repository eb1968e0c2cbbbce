/*
 * The one way to wait: a queue, a condition, a deadline.
 *
 * A waitq belongs to an object and is guarded by that object's spinlock. The waiter tests its
 * condition under the lock and sleeps with waitq_sleep(), which enqueues, releases the lock and
 * takes it again; the waker changes the condition and wakes under the same lock. So no wake-up
 * can be lost. doc/waitq.md has the protocol, doc/waitq.pml its Spin model.
 *
 *	spin_lock(&o->lock);
 *	while (!ready(o)) {
 *		err = waitq_sleep(&o->readers, &o->lock, deadline, WAIT_INTERRUPTIBLE);
 *		if (err)
 *			break;
 *	}
 *	...
 *	spin_unlock(&o->lock);
 *
 * Pollers (poll, select, epoll) hang a struct waiter with their own function on the same queue.
 */
#ifndef CORE_WAITQ_H
#define CORE_WAITQ_H

#include "core/spinlock.h"
#include "lib/list.h"

struct thread;

struct waitq {
	struct list waiters;
};

struct waiter {
	struct list link;      /* [q] in waitq.waiters; points at itself when not queued */
	struct spinlock *lock; /* [I] while queued: the lock that guards the queue */
	struct thread *thread; /* the sleeper, for the default function */
	bool exclusive;	       /* counts against the number to wake */
	bool woken;	       /* [q] */
	/* Called under the queue's lock by the waker; `events` are poll bits, 0 if not said.
	 * Returns whether it counts as a wake-up. The default marks the thread runnable and
	 * dequeues. */
	bool (*wake)(struct waiter *w, unsigned events);
};

/* How to wait. The deadline is monotonic but with this, on the real-time clock: */
#define WAIT_WALL 32u

#define WAIT_INTERRUPTIBLE 1u /* a signal ends the wait: -ERESTARTSYS */
#define WAIT_EXCLUSIVE	   2u /* wake one at a time, first come first served */
#define WAIT_KILLABLE	   4u /* only a fatal signal ends the wait: -EINTR */
/* For core/quiesce.h, which waits for threads in other than interruptible waits: */
#define WAIT_QUIET    8u  /* the call can be issued again from here (core/blocked.h) */
#define WAIT_BOUNDARY 16u /* there is no call: the thread is on its way to user mode */

/* Whether the caller may sleep: no spinlock held, not in an interrupt. For asserts. */
bool may_sleep(void);
void waitq_init(struct waitq *q);
/* => called with *lock held; released while asleep, held again on return. May sleep.
 * 0: woken (test again), -ETIMEDOUT, -ERESTARTSYS (interrupted). `deadline` is absolute
 * monotonic ns, NS_FOREVER for none. */
int __must_check waitq_sleep(struct waitq *q, struct spinlock *lock, ns_t deadline, unsigned how);
/* For waitq_wake_events(), when somebody waits. */
unsigned waitq_wake_some(struct waitq *q, unsigned n, unsigned events);

/* Wakes all non-exclusive waiters and at most `n` exclusive ones, telling pollers `events`. Returns
 * how many were woken. => called with the queue's lock held */
static inline unsigned
waitq_wake_events(struct waitq *q, unsigned n, unsigned events)
{
	return list_empty(&q->waiters) ? 0 : waitq_wake_some(q, n, events);
}

static inline unsigned
waitq_wake_one(struct waitq *q)
{
	return waitq_wake_events(q, 1, 0);
}

static inline unsigned
waitq_wake_all(struct waitq *q)
{
	return waitq_wake_events(q, ~0u, 0);
}

/* For pollers. => called with the queue's lock held. */
void waitq_add(struct waitq *q, struct spinlock *lock, struct waiter *w);
/* Takes the lock itself; harmless when w is not queued any more. */
void waitq_remove(struct waiter *w);

/* Sleeps until the deadline or a signal: 0 when the time came, -ERESTARTSYS. No lock held. */
int __must_check sleep_until(ns_t deadline, unsigned how);

#endif
