/*
 * Calls that sleep, as the cut leaves them. A thread that sleeps interruptibly in a system call is
 * not woken by a checkpoint. After a resume its call is issued once more from the registers that it
 * was made with, and has to go on where it was:
 *	its deadline	was absolute and is kept: who computes one passes it through
 *			blocked_deadline()
 *	its progress	is noted before each sleep with blocked_note() and found by blocked_done()
 * Both cost nothing but the note. A call that notes takes its note back (blocked_note(0)) before it
 * returns, whatever it returns. One call has one note: its kind knows what it means (bytes moved,
 * the child of vfork, the address of a futex).
 *
 * A call that is made of several transfers (sendfile, recvmmsg) leaves the note to the transfer
 *that is under way and says with blocked_parts() what the ones before it have done. What it has
 *taken out of a stream and not yet passed on is lent to the cut with blocked_carry().
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

static inline void
blocked_parts(u64 done)
{
	current_thread()->blocked.parts = done;
}

/* What blocked_parts() had been told last; 0 in a call that is not issued again. */
static inline u64
blocked_parts_done(void)
{
	return blocked_again() ? current_thread()->blocked.parts : 0;
}

/* Until the next blocked_carry(NULL, 0) the cut writes these bytes down. */
static inline void
blocked_carry(const void *bytes, size_t n)
{
	current_thread()->blocked.carried = bytes;
	current_thread()->blocked.carried_bytes = n;
}

/* The bytes that the call carried when it was cut, for the caller to kfree; NULL: none. */
static inline void *
blocked_carried(size_t *n)
{
	struct blocked_call *b = &current_thread()->blocked;
	void *bytes = (void *)b->carried;

	if (!blocked_again() || !bytes)
		return NULL;
	*n = b->carried_bytes;
	blocked_carry(NULL, 0);
	return bytes;
}

/* The deadline of the sleep in which the call was cut; else `computed`, absolute monotonic ns. */
static inline ns_t
blocked_deadline(ns_t computed)
{
	ns_t then = current_thread()->blocked.deadline;

	return blocked_again() && then != NS_FOREVER ? then : computed;
}

#endif
