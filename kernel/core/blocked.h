/*
 * Calls that sleep, as the cut leaves them. A thread that sleeps interruptibly in a system call is
 * not woken by a checkpoint. After a resume its call is issued once more from the registers that it
 * was made with, and has to go on where it was:
 *	its deadline	was absolute and is kept: who computes one passes it through
 *blocked_deadline() its progress	is noted before each sleep with blocked_note() and found by
 *blocked_done() Both cost nothing but the note. A call that notes takes its note back
 *(blocked_note(0)) before it returns, whatever it returns. One call has one note: its kind knows
 *what it means (bytes moved, the child of vfork, the address of a futex).
 */
#ifndef CORE_BLOCKED_H
#define CORE_BLOCKED_H

#include "core/thread.h"

/* Whether this call was begun before the machine's last start and is issued again. */
static inline bool
blocked_again(void)
{
	return unlikely(current_thread()->blocked.again);
}

static inline void
blocked_note(u64 done)
{
	current_thread()->blocked.done = done;
}

/* What the call had noted when it was cut; 0 in a call that is not issued again. */
static inline u64
blocked_done(void)
{
	return blocked_again() ? current_thread()->blocked.done : 0;
}

/* The deadline of the sleep in which the call was cut; else `computed`, absolute monotonic ns. */
static inline ns_t
blocked_deadline(ns_t computed)
{
	ns_t then = current_thread()->blocked.deadline;

	return blocked_again() && then != NS_FOREVER ? then : computed;
}

#endif
