/*
 * The scheduler: a run queue per core ordered by virtual run time, wake-up placement on an idle
 * core near the last one, stealing by idle cores. Preemption on return to user mode and at
 * sched_point(). Idle cores halt until an interrupt; no tick.
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
/* Called by waitq.c: switches away. => this core's rq lock held, state set; released by the next
 * thread (handover in one function). */
void sched_switch(void);
/* Timer interrupt's part: sets TF_RESCHED at the end of the slice. */
void sched_tick(ns_t now);
/* IPI_RESCHED's part. */
void sched_ipi(void);
/* When the running thread's slice ends; NS_FOREVER if nobody else wants the core. */
ns_t sched_slice_end(void);
/* Recent load averages as in /proc/loadavg, fixed point with 11 bits. */
void sched_loadavg(u32 out[3]);
u32 sched_runnable(void);

#endif
