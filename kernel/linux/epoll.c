/* epoll_create, epoll_ctl, epoll_wait and their relatives, on file/epoll.c. */
#include <asm/errno.h>
#include <limits.h>

#include "calls.h"
#include "file/epoll.h"
#include "file/fdtable.h"
#include "file/kinds.h"
#include "linux/deadline.h"
#include "linux/sigmask.h"

#define MAX_EVENTS (INT_MAX / (int)sizeof(struct epoll_event))

long
sys_epoll_create1(int flags)
{
	struct file *f;
	int fd;

	if (flags & ~EPOLL_CLOEXEC)
		return -EINVAL;
	fd = epoll_create_file(0, &f);
	if (fd)
		return fd;
	fd = fd_install(f, 0, flags & EPOLL_CLOEXEC);
	if (fd < 0)
		file_put(f);
	return fd;
}

long
sys_epoll_create(int size)
{
	return size <= 0 ? -EINVAL : sys_epoll_create1(0);
}

long
sys_epoll_ctl(int epfd, int op, int fd, struct epoll_event __user *event)
{
	struct epoll_event ev = {0};
	struct file *epf, *f;
	long r;

	if (op != EPOLL_CTL_DEL && copy_from_user(&ev, event, sizeof(ev)))
		return -EFAULT;
	epf = fd_get_io(epfd);
	if (!epf)
		return -EBADF;
	r = -EBADF;
	f = fd_get_io(fd);
	if (f) {
		r = epoll_change(epf, op, f, fd, op == EPOLL_CTL_DEL ? NULL : &ev);
		file_put(f);
	}
	file_put(epf);
	return r;
}

static long
do_wait(int epfd, struct epoll_event __user *out, int max, ns_t deadline)
{
	struct file *epf;
	long r;

	if (max <= 0 || max > MAX_EVENTS)
		return -EINVAL;
	if (!user_range_ok(out, max * sizeof(*out)))
		return -EFAULT;
	epf = fd_get_io(epfd);
	if (!epf)
		return -EBADF;
	r = file_is_epoll(epf) ? epoll_collect(epf, out, max, deadline) : -EINVAL;
	file_put(epf);
	return r;
}

long
sys_epoll_wait(int epfd, struct epoll_event __user *out, int max, int timeout_ms)
{
	return do_wait(epfd, out, max, deadline_after_ms(timeout_ms));
}

static long
do_pwait(int epfd, struct epoll_event __user *out, int max, ns_t deadline, const u64 __user *mask,
	 size_t size)
{
	struct temporary_mask m;
	long r = temporary_mask_begin(&m, mask, size);

	if (r)
		return r;
	r = do_wait(epfd, out, max, deadline);
	temporary_mask_end(&m, r == -EINTR);
	return r;
}

long
sys_epoll_pwait(int epfd, struct epoll_event __user *out, int max, int timeout_ms,
		const u64 __user *mask, size_t size)
{
	return do_pwait(epfd, out, max, deadline_after_ms(timeout_ms), mask, size);
}

long
sys_epoll_pwait2(int epfd, struct epoll_event __user *out, int max, const void __user *ts,
		 const u64 __user *mask, size_t size)
{
	ns_t deadline;
	long r = deadline_from_user(ts, &deadline);

	return r ? r : do_pwait(epfd, out, max, deadline, mask, size);
}
