/* pipe, pipe2, on file/pipe.c. */
#include <asm/errno.h>
#include <asm/fcntl.h>

#include "calls.h"
#include "file/fdtable.h"
#include "file/kinds.h"
#include "mm/user.h"

/* Installs both ends and tells the program; consumes the files in every case. */
static long
install_both(struct file *rd, struct file *wr, int __user *fds, bool cloexec)
{
	int pair[2];

	pair[0] = fd_install(rd, 0, cloexec);
	if (pair[0] < 0) {
		file_put(rd);
		file_put(wr);
		return pair[0];
	}
	pair[1] = fd_install(wr, 0, cloexec);
	if (pair[1] < 0) {
		fd_close(pair[0]);
		file_put(wr);
		return pair[1];
	}
	if (copy_to_user(fds, pair, sizeof(pair))) {
		fd_close(pair[0]);
		fd_close(pair[1]);
		return -EFAULT;
	}
	return 0;
}

long
sys_pipe2(int __user *fds, int flags)
{
	struct file *rd, *wr;
	int err;

	if (flags & ~(O_CLOEXEC | O_NONBLOCK))
		return -EINVAL;
	err = pipe_create(flags & O_NONBLOCK, &rd, &wr);
	return err ? err : install_both(rd, wr, fds, flags & O_CLOEXEC);
}

long
sys_pipe(int __user *fds)
{
	return sys_pipe2(fds, 0);
}
