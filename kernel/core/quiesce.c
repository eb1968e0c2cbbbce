/*
 * The standstill of user threads: see quiesce.h.
 *
 * Why no thread is missed: `active` is set before the flags; a thread enters the table
 * under its lock (thread_list) and looks at it there, so it is either in the table when
 * the flags are set or sets its own. Why the waiter is not left asleep: a thread is counted as
 * standing still by its state, which is set before finish_switch() notes an event; quiesce_wait
 * reads the number of events before it looks at the states and sleeps only if it is the same since.
 *
 * Locks: quiesce->lock, a leaf but for the run queues. thread_table->lock while looking.
 */
#include "core/quiesce.h"
#include "core/thread.h"
#include "lib/assert.h"
#include "lib/atomic.h"

void
quiesce_init(struct quiesce *q)
{
	spin_init(&q->lock, "quiesce", RANK_WAITQ);
	waitq_init(&q->changed);
	waitq_init(&q->parked);
	machine()->quiesce = q;
}

static void
ask_to_park(struct thread *t, void *arg)
{
	if (t->process)
		thread_interrupt(t, TF_PARK);
}

void
quiesce_begin(void)
{
	struct quiesce *q = machine()->quiesce;

	assert(!current_thread()->process && !q->active);
	spin_lock(&q->lock);
	q->caller = current_thread();
	spin_unlock(&q->lock);
	atomic_store(&q->active, true);
	thread_for_each(ask_to_park, NULL);
}

static bool
stands_still(const struct thread *t)
{
	if (atomic_load(&t->state) != THREAD_SLEEPING)
		return false;
	if (!t->process)
		return t->locks_held == 0;
	return t->wait_how & (WAIT_INTERRUPTIBLE | WAIT_QUIET | WAIT_BOUNDARY);
}

struct census {
	const struct thread *caller;
	u32 moving;
};

static void
count_moving(struct thread *t, void *arg)
{
	struct census *c = arg;

	if (t != c->caller && !stands_still(t))
		c->moving++;
}

bool
quiesce_reached(void)
{
	struct census c = {.caller = machine()->quiesce->caller};

	thread_for_each(count_moving, &c);
	return c.moving == 0;
}

void
quiesce_wait(void)
{
	struct quiesce *q = machine()->quiesce;
	u64 seen;

	for (;;) {
		seen = atomic_load(&q->events);
		if (quiesce_reached())
			return;
		spin_lock(&q->lock);
		while (q->events == seen)
			(void)!waitq_sleep(&q->changed, &q->lock, NS_FOREVER, 0);
		spin_unlock(&q->lock);
	}
}

void
quiesce_note(const struct thread *who)
{
	struct quiesce *q = machine()->quiesce;

	if (who == q->caller)
		return;
	spin_lock(&q->lock);
	atomic_store(&q->events, q->events + 1);
	waitq_wake_all(&q->changed);
	spin_unlock(&q->lock);
}

void
quiesce_end(void)
{
	struct quiesce *q = machine()->quiesce;

	spin_lock(&q->lock);
	atomic_store(&q->ended, clock_now());
	atomic_store(&q->active, false);
	waitq_wake_all(&q->parked);
	spin_unlock(&q->lock);
}

/* Who is killed goes: a thread that calls execve waits for that, and cannot stand still before. */
void
quiesce_park(void)
{
	struct quiesce *q = machine()->quiesce;
	struct thread *t = current_thread();

	atomic_fetch_and(&t->flags, ~TF_PARK);
	spin_lock(&q->lock);
	while (atomic_load(&q->active) && !(atomic_load(&t->flags) & TF_KILLED))
		(void)!waitq_sleep(&q->parked, &q->lock, NS_FOREVER, WAIT_BOUNDARY | WAIT_KILLABLE);
	spin_unlock(&q->lock);
}
