/* eventfd, eventfd2, on file/eventfd.c. */
#include <asm/errno.h>
#include <asm/fcntl.h>

#include "calls.h"
#include "file/fdtable.h"
#include "file/kinds.h"

#define EFD_SEMAPHORE 1
#define EFD_CLOEXEC   O_CLOEXEC
#define EFD_NONBLOCK  O_NONBLOCK

long
sys_eventfd2(unsigned initial, int flags)
{
	struct file *f;
	int fd;

	if (flags & ~(EFD_SEMAPHORE | EFD_CLOEXEC | EFD_NONBLOCK))
		return -EINVAL;
	fd = eventfd_create(initial, flags & ~EFD_CLOEXEC, &f);
	if (fd)
		return fd;
	fd = fd_install(f, 0, flags & EFD_CLOEXEC);
	if (fd < 0)
		file_put(f);
	return fd;
}

long
sys_eventfd(unsigned initial)
{
	return sys_eventfd2(initial, 0);
}
