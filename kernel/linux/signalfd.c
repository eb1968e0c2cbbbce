/* signalfd, signalfd4, on file/signalfd.c. */
#include <asm/errno.h>
#include <linux/signalfd.h>

#include "calls.h"
#include "file/fdtable.h"
#include "file/kinds.h"
#include "mm/user.h"

static long
change_mask(int fd, u64 mask)
{
	struct file *f = fd_get_io(fd);
	long r;

	if (!f)
		return -EBADF;
	r = signalfd_set_mask(f, mask);
	file_put(f);
	return r ? r : fd;
}

long
sys_signalfd4(int fd, const u64 __user *mask, size_t size, int flags)
{
	struct file *f;
	u64 bits;

	if (flags & ~(SFD_CLOEXEC | SFD_NONBLOCK) || size != sizeof(bits))
		return -EINVAL;
	if (get_user(bits, mask))
		return -EFAULT;
	if (fd != -1)
		return change_mask(fd, bits);
	fd = signalfd_create(bits, flags & SFD_NONBLOCK, &f);
	if (fd)
		return fd;
	fd = fd_install(f, 0, flags & SFD_CLOEXEC);
	if (fd < 0)
		file_put(f);
	return fd;
}

long
sys_signalfd(int fd, const u64 __user *mask, size_t size)
{
	return sys_signalfd4(fd, mask, size, 0);
}
