/*
 * Spinlocks. A held spinlock means: interrupts are off on this core and the thread is not switched.
 *
 * Interrupts are off from the first lock taken to the last one released (a depth per core), so any
 * lock may be taken from interrupt handlers and in any nesting. The processor's flag stays as it
 * is: an interrupt that comes meanwhile is noted (arch/trap.c), clears the flag of what it found
 * and is served when the depth returns to zero, as are IPIs and timer settings that were put off.
 * That is rare, and turning the flag twice a lock is dear, above all where the processor is
 * emulated. Holders never sleep and never touch
 * user memory. A core that waits for a lock answers TLB shootdowns meanwhile, so a holder may wait
 * for one. Plain test-and-set with PAUSE: under a hypervisor the next in line may not be running,
 * so queue locks lose.
 *
 * Ranks: a lock may be taken only while all held ones have a lower or equal-and-ordered rank;
 * debug builds check.
 */
#ifndef CORE_SPINLOCK_H
#define CORE_SPINLOCK_H

#include "arch/percpu.h"
#include "arch/trap.h"
#include "lib/assert.h"
#include "lib/atomic.h"
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
	u32 locked;	  /* [a] by which core: its APIC id + 1; 0: free */
	u8 rank;	  /* [I] */
	const char *name; /* [I] */
};

#define SPINLOCK_INIT(nm, rk)                                                                      \
	{                                                                                          \
		.name = (nm), .rank = (rk)                                                         \
	}

void spin_init(struct spinlock *l, const char *name, enum lock_rank rank);
bool spin_trylock(struct spinlock *l);
/* For spin_lock() and spin_unlock(). */
void spin_lock_slowly(struct spinlock *l);
void spin_note_taken(struct spinlock *l, bool tried);
void spin_note_released(struct spinlock *l);

/* Interrupts off and no switch until the matching pop, without a lock. */
static inline void
irq_push_off(void)
{
	arch_core()->irq_off_depth++;
	compiler_barrier();
}

static inline void
irq_pop_off(void)
{
	struct arch_core *c = arch_core();

	debug_assert(c->irq_off_depth > 0);
	compiler_barrier();
	c->irq_off_depth--;
	compiler_barrier();
	if (unlikely(c->later.any) && c->irq_off_depth == 0)
		trap_settle(c);
}

/* What this core writes into the locks that it holds: the lock is one word, which may lie in
 * another cluster. */
static inline u32
spin_owner(void)
{
	return arch_core()->apic_id + 1;
}

static inline void
spin_lock(struct spinlock *l)
{
	irq_push_off();
	if (unlikely(!atomic_cas(&l->locked, 0, spin_owner())))
		spin_lock_slowly(l);
	if (DEBUG_BUILD)
		spin_note_taken(l, false);
}

static inline void
spin_unlock(struct spinlock *l)
{
	if (DEBUG_BUILD)
		spin_note_released(l);
	atomic_store(&l->locked, 0);
	irq_pop_off();
}

/* By this core. */
static inline bool
spin_held(const struct spinlock *l)
{
	return atomic_load_relaxed(&l->locked) == spin_owner();
}

#endif
