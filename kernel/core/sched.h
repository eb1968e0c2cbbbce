/*
 * The scheduler: a run queue per core ordered by virtual run time, wake-up placement on an idle
 * core of its home, stealing by idle cores. Preemption on return to user mode and at
 * sched_point(). Idle cores halt until an interrupt. A thread that is alone on its core is looked
 * at every 10 ms, to tell user from system time.
 */
#ifndef CORE_SCHED_H
#define CORE_SCHED_H

#include "core/thread.h"

void sched_init_core(struct core *c);
/* Gives up the core; the thread stays runnable. */
void sched_yield(void);
/* Yields if TF_RESCHED is set. => no spinlock held. Long loops in the kernel call it. */
void sched_point(void);
/* The idle loop of this core. */
__noreturn void sched_idle(void);
/* Where a new thread starts (context_make's entry): ends the switch, calls thread->entry. */
void sched_first_run(void *thread);
/* CPU time of t so far, the current turn included, ns. */
ns_t sched_thread_time(struct thread *t, ns_t *user, ns_t *system);
/* Called by waitq.c: switches away. => this core's rq lock held, state set; released by the next
 * thread (handover in one function). */
void sched_switch(void);
/* Timer interrupt's part: sets TF_RESCHED at the end of the slice, and splits user and system time
 * by what the interrupt came from. */
void sched_tick(ns_t now);
/* IPI_RESCHED's part. */
void sched_ipi(void);
/* When the running thread's slice, or its time to the next sample, ends; NS_FOREVER when idle. */
ns_t sched_slice_end(void);
/* Moves the calling thread to a core of its affinity mask. => no lock held. May sleep. */
void sched_migrate(void);
/* Runnable threads over all cores, the running ones included. */
u32 sched_runnable(void);
/* Whether a core halts, for want of threads. */
bool sched_is_idle(const struct core *c);

#endif
