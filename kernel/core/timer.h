/*
 * One-shot timers, one queue per core, no periodic tick. The handler runs in interrupt context on
 * the core where the timer was started, with interrupts off and no lock of the queue held.
 */
#ifndef CORE_TIMER_H
#define CORE_TIMER_H

#include "lib/rbtree.h"
#include "lib/types.h"

struct core;

struct timer {
	struct rb_node node;
	struct core *core; /* [a] whose queue it is or was on; NULL: never started */
	bool pending;	   /* [core->timers.lock] */
	ns_t expires;	   /* [core->timers.lock] absolute monotonic */
	ns_t wall;	   /* [core->timers.lock] if not 0: the same on the real-time clock */
	void (*fn)(struct timer *t);
};

void timer_init(struct timer *t, void (*fn)(struct timer *));
/* Starts or restarts on this core. */
void timer_start(struct timer *t, ns_t expires);
/* The same, at a time of the real-time clock: when that is set, the timer moves. */
void timer_start_wall(struct timer *t, ns_t wall);
/* The real-time clock was set. => the new offset is in place */
void timers_clock_was_set(void);
/* The monotonic clock jumped ahead: every core looks at its timers. Their hardware was set by the
 * old time, and what is started now is not earlier than what it was set for. => any thread */
void timers_clock_went_on(void);
/* True if it was pending and will not fire. On return the handler is not running on any core
 * (unless called from the handler itself). => the caller holds no lock that the handler takes. */
bool timer_cancel(struct timer *t);
bool timer_pending(const struct timer *t);
/* The interrupt: runs what is due and arms the hardware for the next. */
void timer_interrupt(void);
/* Arms the hardware for the earliest of the queue and the running thread's slice end. */
void timer_rearm(void);

#endif
