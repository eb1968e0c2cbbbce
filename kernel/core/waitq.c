/*
 * Wait queues: see waitq.h for the shape of every wait in the kernel.
 *
 * Why no wake-up is lost: the waiter is on the queue before the object's lock is released, and its
 * state is SLEEPING, under its run queue's lock, before that too. A waker holds the object's lock,
 * so it comes either before the waiter tested its condition or after it was queued. In the second
 * case thread_wake() takes the run queue lock, which the sleeper holds until another thread's stack
 * is in use. An interruption (thread_interrupt) sets its flag first and then looks at the state;
 * the sleeper sets its state first and then looks at the flags: one of them sees the other.
 */
#include "core/waitq.h"
#include "core/sched.h"
#include "core/thread.h"
#include "lib/assert.h"
#include "lib/atomic.h"
#include <asm/errno.h>

static bool
wake_thread(struct waiter *w, unsigned events)
{
	w->woken = true;
	list_del(&w->link);
	thread_wake(w->thread);
	return true;
}

static void
wait_timeout(struct timer *timer)
{
	struct thread *t = container_of(timer, struct thread, wait_timer);

	t->timed_out = true;
	thread_wake(t);
}

bool
may_sleep(void)
{
	return arch_core()->irq_off_depth == 0 && !arch_core()->in_irq;
}

void
waitq_init(struct waitq *q)
{
	list_init(&q->waiters);
}

/* Sleeps with `w` queued. => lock held (may be NULL); not held on return. */
static void
block(struct spinlock *lock, struct waiter *w, ns_t deadline, unsigned how)
{
	struct thread *t = current_thread();
	bool timed = deadline != NS_FOREVER;
	struct runqueue *rq;

	t->waiting = w;
	t->wait_how = how;
	t->timed_out = false;
	if (timed) {
		timer_init(&t->wait_timer, wait_timeout);
		if (how & WAIT_WALL)
			timer_start_wall(&t->wait_timer, deadline);
		else
			timer_start(&t->wait_timer, deadline);
	}
	rq = &this_core()->rq;
	spin_lock(&rq->lock);
	if (lock)
		spin_unlock(lock);
	t->state = THREAD_SLEEPING;
	atomic_fence();
	if (thread_interrupted(t, how) || atomic_load(&t->timed_out)) {
		t->state = THREAD_READY;
		spin_unlock(&rq->lock);
	} else {
		sched_switch();
	}
	if (timed)
		timer_cancel(&t->wait_timer);
	t->waiting = NULL;
}

static int
outcome(const struct waiter *w, const struct thread *t, unsigned how)
{
	if (w->woken)
		return 0;
	if (thread_interrupted(t, how))
		return -ERESTARTSYS;
	if (t->timed_out)
		return -ETIMEDOUT;
	return 0;
}

int
waitq_sleep(struct waitq *q, struct spinlock *lock, ns_t deadline, unsigned how)
{
	struct waiter w = {.lock = lock,
			   .thread = current_thread(),
			   .exclusive = how & WAIT_EXCLUSIVE,
			   .wake = wake_thread};

	assert(spin_held(lock));
	assert(arch_core()->irq_off_depth == 1);
	list_add_tail(&q->waiters, &w.link);
	block(lock, &w, deadline, how);
	spin_lock(lock);
	list_del(&w.link);
	return outcome(&w, w.thread, how);
}

unsigned
waitq_wake_some(struct waitq *q, unsigned n, unsigned events)
{
	struct list later = LIST_INIT(later);
	unsigned woken = 0, exclusive = 0;

	/* A wake function may dequeue its waiter or not: take each off, put back those that stay.
	 */
	while (!list_empty(&q->waiters)) {
		struct waiter *w = list_first(&q->waiters, struct waiter, link);

		/* A waker with another lock may find w's stack in use for something else. */
		debug_assert(!w->lock || spin_held(w->lock));
		list_del(&w->link);
		if (w->exclusive && exclusive >= n) {
			list_add_tail(&later, &w->link);
			continue;
		}
		list_add_tail(&later, &w->link);
		if (w->wake(w, events)) {
			woken++;
			if (w->exclusive)
				exclusive++;
		}
	}
	list_splice_tail(&q->waiters, &later);
	return woken;
}

void
waitq_add(struct waitq *q, struct spinlock *lock, struct waiter *w)
{
	assert(spin_held(lock));
	w->lock = lock;
	list_add_tail(&q->waiters, &w->link);
}

void
waitq_remove(struct waiter *w)
{
	spin_lock(w->lock);
	list_del(&w->link);
	spin_unlock(w->lock);
}

int
sleep_until(ns_t deadline, unsigned how)
{
	struct waiter w = {.thread = current_thread(), .wake = wake_thread};

	assert(arch_core()->irq_off_depth == 0);
	list_init(&w.link);
	for (;;) {
		struct thread *t = current_thread();

		block(NULL, &w, deadline, how);
		if (thread_interrupted(t, how))
			return -ERESTARTSYS;
		if (t->timed_out)
			return 0;
	}
}
