/*
 * Spinlocks. A held spinlock means: interrupts are off on this core and the thread is not switched.
 *
 * Interrupts are off from the first lock taken to the last one released (a depth per core), so any
 * lock may be taken from interrupt handlers and in any nesting. Holders never sleep and never touch
 * user memory. A core that waits for a lock answers TLB shootdowns meanwhile, so a holder may wait
 * for one. Plain test-and-set with PAUSE: under a hypervisor the next in line may not be running,
 * so queue locks lose.
 *
 * Ranks: a lock may be taken only while all held ones have a lower or equal-and-ordered rank;
 * debug builds check.
 */
#ifndef CORE_SPINLOCK_H
#define CORE_SPINLOCK_H

#include "lib/types.h"

enum lock_rank {
	RANK_NONE = 0, /* not checked */
	RANK_NET,
	RANK_FILE, /* pipes, sockets, ttys, eventfds: objects with wait queues */
	RANK_NAMESPACE,
	RANK_PROCESS,
	RANK_SIGNAL,
	RANK_FUTEX,
	RANK_OBJECT,
	RANK_PMAP,
	RANK_EPOLL, /* pollers and ready lists: taken by wakers, under the lock of what is watched
		     */
	RANK_WAITQ, /* queues inside mutexes and rwlocks */
	RANK_SLAB,
	RANK_FRAME,
	RANK_RUNQ,
	RANK_TIMER,
	RANK_RPC,
	RANK_LOG,
};

struct spinlock {
	u32 locked;	  /* [a] */
	u8 rank;	  /* [I] */
	const char *name; /* [I] */
	void *holder;	  /* core that holds it; for asserts and panics */
};

#define SPINLOCK_INIT(nm, rk)                                                                      \
	{                                                                                          \
		.name = (nm), .rank = (rk)                                                         \
	}

void spin_init(struct spinlock *l, const char *name, enum lock_rank rank);
void spin_lock(struct spinlock *l);
bool spin_trylock(struct spinlock *l);
void spin_unlock(struct spinlock *l);
bool spin_held(const struct spinlock *l); /* by this core */

/* The same nesting without a lock: interrupts off, no switch, until the matching pop. */
void irq_push_off(void);
void irq_pop_off(void);

#endif
