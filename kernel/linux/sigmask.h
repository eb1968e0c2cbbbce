/* A signal mask for the time of one call: ppoll, pselect6, epoll_pwait. */
#ifndef LINUX_SIGMASK_H
#define LINUX_SIGMASK_H

#include <asm/errno.h>

#include "mm/user.h"
#include "proc/signal.h"

struct temporary_mask {
	bool set;
};

/* Blocks what *mask says (NULL: nothing changes). 0, -EINVAL (size is not 8), -EFAULT. */
static inline int
temporary_mask_begin(struct temporary_mask *t, const u64 __user *mask, size_t size)
{
	u64 bits;

	t->set = mask != NULL;
	if (!mask)
		return 0;
	if (size != sizeof(bits))
		return -EINVAL;
	if (get_user(bits, mask))
		return -EFAULT;
	signal_set_temporary_mask(bits);
	return 0;
}

/* After an interrupted call the old mask comes back once the handler has its frame: by delivery. */
static inline void
temporary_mask_end(struct temporary_mask *t, bool interrupted)
{
	if (t->set && !interrupted)
		signal_restore_mask();
}

#endif
