/* Times as the calls carry them: fetching, checking, putting. Shared by the families. */
#ifndef LINUX_TIME_ARGS_H
#define LINUX_TIME_ARGS_H

#include "lib/types.h"

/* struct __kernel_timespec at `user` to ns. 0, -EFAULT, -EINVAL (negative, or 10^9 and more ns). */
int fetch_timespec(ns_t *out, const void __user *user);
int put_timespec(void __user *user, ns_t t);
/* struct __kernel_old_timeval. */
int fetch_timeval(ns_t *out, const void __user *user);
int put_timeval(void __user *user, ns_t t);

#endif
