/* timerfd_create, timerfd_settime, timerfd_gettime, on file/timerfd.c. */
#include "file/timerfd.h"

#include <asm/errno.h>
#include <linux/time.h>
#include <linux/timerfd.h>

#include "calls.h"
#include "file/fdtable.h"
#include "file/kinds.h"
#include "linux/deadline.h"

long
sys_timerfd_create(int clock, int flags)
{
	struct file *f;
	int fd;

	if (flags & ~(TFD_CLOEXEC | TFD_NONBLOCK))
		return -EINVAL;
	if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME)
		return -EINVAL;
	fd = timerfd_create_file(clock, flags & TFD_NONBLOCK, &f);
	if (fd)
		return fd;
	fd = fd_install(f, 0, flags & TFD_CLOEXEC);
	if (fd < 0)
		file_put(f);
	return fd;
}

static int
setting_to_user(void __user *to, const struct timerfd_setting *s)
{
	struct __kernel_itimerspec k = {
		.it_interval = timespec_from_ns(s->interval),
		.it_value = timespec_from_ns(s->value),
	};

	return copy_to_user(to, &k, sizeof(k));
}

long
sys_timerfd_settime(int fd, int flags, const void __user *new, void __user *old)
{
	struct timerfd_setting s, before;
	struct __kernel_itimerspec k;
	struct file *f;
	long r;

	if (copy_from_user(&k, new, sizeof(k)))
		return -EFAULT;
	if (flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET))
		return -EINVAL;
	if (timespec_to_ns(&k.it_value, &s.value) || timespec_to_ns(&k.it_interval, &s.interval))
		return -EINVAL;
	f = fd_get_io(fd);
	if (!f)
		return -EBADF;
	r = timerfd_set(f, flags, &s, &before);
	file_put(f);
	if (!r && old && setting_to_user(old, &before))
		r = -EFAULT;
	return r;
}

long
sys_timerfd_gettime(int fd, void __user *now)
{
	struct timerfd_setting s;
	struct file *f = fd_get_io(fd);
	long r;

	if (!f)
		return -EBADF;
	r = timerfd_get(f, &s);
	file_put(f);
	return r ? r : setting_to_user(now, &s);
}
