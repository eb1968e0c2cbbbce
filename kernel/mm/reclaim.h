/*
 * Taking pages of files out of memory that the last epoch has as they are. They come in again when
 * they are missed (home.h). All does nothing without a store.
 *
 * Who makes pages calls reclaim_balance(); who finds no memory for one calls reclaim_some() and
 * tries again; the engine calls reclaim_after_cut(), since a checkpoint is what makes pages that
 * were written fit to leave.
 */
#ifndef MM_RECLAIM_H
#define MM_RECLAIM_H

#include "core/thread.h"
#include "mm/home.h"

/* Below this many free pages, files give way: copies at a cut need more. */
static inline bool
memory_is_low(void)
{
	return persisting() && unlikely(!home_may_copy());
}

/* Slow parts of what follows. */
void reclaim_balance_low(void);
void reclaim_ahead_low(void);

/* Takes some pages out at once, of mapped files too if need be. False: there are none.
 * => no spinlock held */
bool reclaim_some(void);

/* Before a page is brought in. => no spinlock held */
static inline void
reclaim_ahead(void)
{
	if (memory_is_low())
		reclaim_ahead_low();
}

/* After memory was taken that stays taken: asks for a checkpoint when it is low and that promises
 * pages; when it is short the thread waits for one before it goes on in user mode.
 * => a thread of a process; no spinlock held */
static inline void
reclaim_balance(void)
{
	if (memory_is_low())
		reclaim_balance_low();
}

/* The calling thread found no memory at all: true if it waits for a checkpoint before it goes on in
 * user mode, and should try again then; not twice before reclaim_helped(). => a thread of a process
 */
bool reclaim_later(void);

/* It found some. */
static inline void
reclaim_helped(void)
{
	struct thread *t = current_thread();

	if (unlikely(t->waited))
		t->waited = false;
}

/* About how many pages of files may leave memory, some of them behind a checkpoint. */
u64 reclaim_available(void);

/* After each checkpoint, which ended with `err`. => the engine's thread */
void reclaim_after_cut(int err);

#endif
