/* Interval timers, POSIX timers and CPU clocks: see timers.c. */
#ifndef PROC_TIMERS_H
#define PROC_TIMERS_H

#include "lib/types.h"

struct process;
struct siginfo_k;
struct task;

struct itimer_value {
	ns_t value, interval;
};

/* Time of any Linux clock id, CPU clocks of others included. 0 or -EINVAL. */
int clock_read(int clock, ns_t *out);
/* Converts an absolute time of a clock to a monotonic deadline. Wall clock: by today's offset. */
ns_t clock_deadline(int clock, ns_t when, bool absolute);
bool clock_is_cpu(int clock);
bool clock_is_wall(int clock);

/* which: ITIMER_*. new may be NULL (only asks). */
int itimer_exchange(int which, const struct itimer_value *new, struct itimer_value *old);

struct sigevent_k {
	int notify, signo, tid;
	u64 value;
};
/* The new timer's id or -errno. */
int posix_timer_create(int clock, const struct sigevent_k *ev);
int posix_timer_set(int id, bool absolute, const struct itimer_value *new,
		    struct itimer_value *old);
int posix_timer_get(int id, struct itimer_value *out);
int posix_timer_overrun(int id);
int posix_timer_delete(int id);
/* exec and exit drop the POSIX timers; exit the interval timers too. */
void timers_drop_posix(struct process *p);
void timers_drop(struct process *p);
/* A signal was taken off a queue of p: the periodic timer that sent it goes on, and the periods
 * since are added to info->overrun. => p->lock held */
void timers_signal_taken(struct process *p, struct siginfo_k *info);
/* Pending signals of `mask` were thrown away: their timers go on. => p->lock held */
void timers_signals_dropped(struct process *p, u64 mask);

#endif
