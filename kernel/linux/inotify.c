/* inotify_init, inotify_add_watch, inotify_rm_watch, on file/inotify.c. */
#include "file/inotify.h"

#include <asm/errno.h>
#include <linux/fcntl.h>
#include <linux/inotify.h>
#include <linux/stat.h>

#include "calls.h"
#include "file/fdtable.h"
#include "file/kinds.h"

#define WATCH_FLAGS                                                                                \
	(IN_ALL_EVENTS | IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK | IN_MASK_CREATE |           \
	 IN_MASK_ADD | IN_ISDIR | IN_ONESHOT | IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED)

long
sys_inotify_init1(int flags)
{
	struct file *f;
	int fd;

	if (flags & ~(IN_CLOEXEC | IN_NONBLOCK))
		return -EINVAL;
	fd = inotify_create(flags & IN_NONBLOCK, &f);
	if (fd)
		return fd;
	fd = fd_install(f, 0, flags & IN_CLOEXEC);
	if (fd < 0)
		file_put(f);
	return fd;
}

long
sys_inotify_init(void)
{
	return sys_inotify_init1(0);
}

static long
add_watch(struct file *f, const char __user *path, u32 mask)
{
	unsigned how = (mask & IN_DONT_FOLLOW ? LOOKUP_NOFOLLOW : 0) |
		       (mask & IN_ONLYDIR ? LOOKUP_DIRECTORY : 0);
	struct dentry *d;
	struct vnode *v;
	long r = path_lookup_user(AT_FDCWD, path, how, &d);

	if (r)
		return r;
	v = dentry_vnode(d);
	r = v ? vnode_permission(v, 4) : -ENOENT;
	if (!r)
		r = inotify_watch(f, v, mask);
	dentry_put(d);
	return r;
}

long
sys_inotify_add_watch(int fd, const char __user *path, u32 mask)
{
	struct file *f;
	long r;

	if (!(mask & IN_ALL_EVENTS) || (mask & ~WATCH_FLAGS))
		return -EINVAL;
	if ((mask & IN_MASK_ADD) && (mask & IN_MASK_CREATE))
		return -EINVAL;
	f = fd_get_io(fd);
	if (!f)
		return -EBADF;
	r = add_watch(f, path, mask);
	file_put(f);
	return r;
}

long
sys_inotify_rm_watch(int fd, int wd)
{
	struct file *f = fd_get_io(fd);
	long r;

	if (!f)
		return -EBADF;
	r = inotify_unwatch(f, wd);
	file_put(f);
	return r;
}
