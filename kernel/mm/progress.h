/*
 * Transfers that may sleep with a part of their work done, so that a call which a power cut ends is
 * issued again behind that part (core/blocked.h):
 *
 *	done = progress_begin(u);
 *	while (u->resid > 0) {
 *		progress_note(done);	before each sleep
 *		...
 *	}
 *	progress_end();
 */
#ifndef MM_PROGRESS_H
#define MM_PROGRESS_H

#include "core/blocked.h"
#include "mm/uio.h"

/* Goes over what was done before; that many bytes. */
static inline size_t
progress_begin(struct uio *u)
{
	size_t done = min(blocked_done(), u->resid);

	if (unlikely(done > 0))
		uio_advance(u, done);
	return done;
}

static inline void
progress_note(size_t done)
{
	blocked_note(done);
}

static inline void
progress_end(void)
{
	blocked_note(0);
}

#endif
