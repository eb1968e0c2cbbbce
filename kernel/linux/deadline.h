/* Timeouts as calls give them, and deadlines. */
#ifndef LINUX_DEADLINE_H
#define LINUX_DEADLINE_H

#include <asm/errno.h>
#include <linux/time_types.h>

#include "arch/clock.h"
#include "core/blocked.h"
#include "mm/user.h"

/* 0 or -EINVAL. Times beyond the range of ns_t become NS_FOREVER. */
static inline int
timespec_to_ns(const struct __kernel_timespec *ts, ns_t *out)
{
	if (ts->tv_sec < 0 || ts->tv_nsec < 0 || ts->tv_nsec >= NS_PER_SEC)
		return -EINVAL;
	*out = ts->tv_sec >= NS_FOREVER / NS_PER_SEC ? NS_FOREVER
						     : ts->tv_sec * NS_PER_SEC + ts->tv_nsec;
	return 0;
}

static inline struct __kernel_timespec
timespec_from_ns(ns_t ns)
{
	return (struct __kernel_timespec){ns / NS_PER_SEC, ns % NS_PER_SEC};
}

/* From a relative time; 0 stays 0: do not wait at all. A call that is issued again after a resume
 * keeps the deadline that it had. */
static inline ns_t
deadline_after(ns_t relative)
{
	ns_t now = clock_now();

	if (relative <= 0)
		return 0;
	return blocked_deadline(relative >= NS_FOREVER - now ? NS_FOREVER : now + relative);
}

static inline ns_t
deadline_after_ms(int ms)
{
	return ms < 0 ? NS_FOREVER : deadline_after(ms * NS_PER_MS);
}

/* A relative timespec in user memory (NULL: for ever) as a deadline. 0, -EFAULT, -EINVAL. */
static inline int
deadline_from_user(const void __user *ts, ns_t *out)
{
	struct __kernel_timespec k;
	int err;

	*out = NS_FOREVER;
	if (!ts)
		return 0;
	if (copy_from_user(&k, ts, sizeof(k)))
		return -EFAULT;
	err = timespec_to_ns(&k, out);
	if (!err)
		*out = deadline_after(*out);
	return err;
}

static inline ns_t
deadline_left(ns_t deadline)
{
	ns_t now = clock_now();

	return deadline > now ? deadline - now : 0;
}

#endif
