/*
 * Cores that stand still, and those that are held: one word a core, changed in single steps.
 *
 *	STAND_STILL	set by the core itself while it touches nothing that others look at: it
 *			waits for work, halts, or was told to stand
 *	STAND_HELD	set by who stops the machine (cluster/stop.c): the core is not to go on
 *
 * A core that goes on takes STAND_STILL away in one step that fails while it is held. So who has
 * set STAND_HELD and sees STAND_STILL, in whichever order, knows that the core stays where it is
 * until it is let go; one that sleeps in HLT need not be woken for it. The interrupt that ends a
 * HLT comes here before anything else (trap.c), and so does the code behind the HLT.
 *
 * Meanwhile the core answers TLB shootdowns: one that is not still yet may wait for it with a
 * spinlock held.
 *
 *	STAND_SHARE	set by who stops the machine, while all stand: the core, if it does not
 *			sleep, does pieces of the work at `stand_work`
 *	STAND_BUSY	set by the core itself while it does a piece
 *
 * It sets STAND_BUSY in one step that fails without STAND_SHARE. So who has taken STAND_SHARE away
 * and sees no STAND_BUSY knows that the core has done with the work; one that never began is not
 * waited for. doc/quiesce.md says why all this is right, doc/stop.pml checks it.
 */
#ifndef ARCH_STAND_H
#define ARCH_STAND_H

#include "arch/percpu.h"
#include "lib/atomic.h"

#define STAND_STILL 1u
#define STAND_HELD  2u
#define STAND_SHARE 4u
#define STAND_BUSY  8u

/* What cores that stand may do for who stopped them. */
struct stand_work {
	/* Does a piece if there is one; any number of cores at a time, in any of their stacks.
	 * => interrupts off; it waits for nothing but spinlocks that others take for their pieces,
	 * or who stopped the machine for its own part */
	void (*piece)(struct stand_work *w);
};

/* => no spinlock held, not in a handler that is left unfinished; c is this core */
void stand_begin(struct arch_core *c);
/* Waits for as long as it is held. => interrupts off */
void stand_wait(struct arch_core *c);

/* Whether it is to stay where it stands; true may be over at once. */
static inline bool
stand_is_held(const struct arch_core *c)
{
	return atomic_load_relaxed(&c->standing) & STAND_HELD;
}

/* This core goes on, if it stood still. => interrupts off */
static inline void
stand_end(struct arch_core *c)
{
	if (atomic_load_relaxed(&c->standing) & STAND_STILL)
		stand_wait(c);
}

#endif
