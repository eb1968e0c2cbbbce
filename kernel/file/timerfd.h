/* Setting and asking a timerfd, for linux/timerfd.c. Times in ns; `f` of another kind: -EINVAL. */
#ifndef FILE_TIMERFD_H
#define FILE_TIMERFD_H

#include "file/file.h"

struct timerfd_setting {
	ns_t value;    /* 0: disarmed; until the next expiry, or its absolute time */
	ns_t interval; /* 0: once */
};

/* flags: TFD_TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET. `old` gets what was set, relative. */
int timerfd_set(struct file *f, int flags, const struct timerfd_setting *s,
		struct timerfd_setting *old);
int timerfd_get(struct file *f, struct timerfd_setting *out);

#endif
