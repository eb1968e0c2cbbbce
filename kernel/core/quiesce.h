/*
 * Bringing all user threads to a standstill, so that the state of every process can be written
 * down. A thread stands still when it is parked where it would enter user mode, or sleeps in a wait
 * that a signal may end (or one marked WAIT_QUIET): such a wait tests its condition again after a
 * resume. Threads that are in the kernel run on until one of the two is true; those that sleep for
 * a mutex or a disk are waited for. Kernel threads stand still when they sleep with no mutex held.
 *
 *	quiesce_begin();
 *	do {
 *		quiesce_wait();
 *		machine_stop();		cluster/stop.h: nothing moves any more
 *	} while (!quiesce_reached() && (machine_go(), true));
 *	...				write everything down; interrupts are off
 *	machine_go();
 *	quiesce_end();
 *
 * doc/quiesce.md says why no thread is missed and nobody left asleep; its model checks it.
 *
 * The wait for the last thread is no polling: as long as it lasts, each thread that leaves its core
 * for a sleep says so (sched.c, finish_switch). Then the cores are stopped, and only what is true
 * then counts.
 */
#ifndef CORE_QUIESCE_H
#define CORE_QUIESCE_H

#include "core/core.h"
#include "core/spinlock.h"
#include "core/waitq.h"

#define QUIESCE_SETTLE_NS NS_PER_MS

struct quiesce {
	struct spinlock lock;  /* rank RANK_WAITQ */
	struct waitq changed;  /* [lock] the caller of quiesce_wait */
	struct waitq parked;   /* [lock] threads at the boundary */
	u64 events;	       /* [lock] threads that went to sleep meanwhile */
	struct thread *caller; /* [lock] who has begun */
	bool active;	       /* [a] threads are to park */
	ns_t ended;	       /* [a] when they were last let go */
};

/* q becomes machine()->quiesce, for ever. Without it nothing here costs anything. */
void quiesce_init(struct quiesce *q);
/* Whether threads are to park. */
static inline bool
quiescing(void)
{
	const struct quiesce *q = machine()->quiesce;

	return q && atomic_load(&q->active);
}

/* Whether threads that want to run may be parked still, or on their way back: they are woken one
 * after the other. */
static inline bool
quiesce_unsettled(ns_t now)
{
	const struct quiesce *q = machine()->quiesce;

	return q && (atomic_load(&q->active) ||
		     now - atomic_load_relaxed(&q->ended) < QUIESCE_SETTLE_NS);
}

/* From now on threads park at the user boundary; new ones, too. => the caller is a kernel thread */
void quiesce_begin(void);
/* Sleeps until all user threads stand still, or did when it looked: they may have been woken since.
 */
void quiesce_wait(void);
/* Whether they do. Exact when the other cores are stopped. */
bool quiesce_reached(void);
/* Lets the parked ones go on. */
void quiesce_end(void);
/* For finish_switch(): `who` (which may be gone) went to sleep or ended while quiescing.
 * => no lock held */
void quiesce_note(const struct thread *who);
/* At the user boundary, when TF_PARK was set: stays until the end of the standstill, or until it is
 * killed. */
void quiesce_park(void);

/* For kernel threads that work on what is saved, between two pieces of work. => no lock held */
static inline void
quiesce_point(void)
{
	if (unlikely(quiescing()))
		quiesce_park();
}

#endif
