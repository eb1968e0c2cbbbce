/* Calls on names: making, removing, renaming, listing, working and root directory, mounts. */
#include <asm/errno.h>
#include <asm/fcntl.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/stat.h>
#include "calls.h"
#include "file/dentry.h"
#include "file/fdtable.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "mm/user.h"

#define DIRENT_BUFFER 32768u

long
sys_mkdirat(int dirfd, const char __user *name, unsigned mode)
{
	struct user_path p;
	int err = user_path_get(&p, name);

	if (err)
		return err;
	err = vfs_mkdir(dirfd, p.name, mode);
	user_path_put(&p);
	return err;
}

long
sys_mkdir(const char __user *name, unsigned mode)
{
	return sys_mkdirat(AT_FDCWD, name, mode);
}

long
sys_mknodat(int dirfd, const char __user *name, unsigned mode, unsigned dev)
{
	struct user_path p;
	int err = user_path_get(&p, name);

	if (err)
		return err;
	err = vfs_mknod(dirfd, p.name, mode, dev, NULL);
	user_path_put(&p);
	return err;
}

long
sys_mknod(const char __user *name, unsigned mode, unsigned dev)
{
	return sys_mknodat(AT_FDCWD, name, mode, dev);
}

long
sys_unlinkat(int dirfd, const char __user *name, int flags)
{
	struct user_path p;
	int err;

	if (flags & ~AT_REMOVEDIR)
		return -EINVAL;
	err = user_path_get(&p, name);
	if (err)
		return err;
	err = vfs_unlink(dirfd, p.name, flags & AT_REMOVEDIR);
	user_path_put(&p);
	return err;
}

long
sys_unlink(const char __user *name)
{
	return sys_unlinkat(AT_FDCWD, name, 0);
}

long
sys_rmdir(const char __user *name)
{
	return sys_unlinkat(AT_FDCWD, name, AT_REMOVEDIR);
}

long
sys_symlinkat(const char __user *target, int dirfd, const char __user *name)
{
	struct user_path t, p;
	int err = user_path_get(&t, target);

	if (err)
		return err;
	err = user_path_get(&p, name);
	if (err == 0) {
		err = vfs_symlink(t.name, dirfd, p.name);
		user_path_put(&p);
	}
	user_path_put(&t);
	return err;
}

long
sys_symlink(const char __user *target, const char __user *name)
{
	return sys_symlinkat(target, AT_FDCWD, name);
}

/* The file a link is made of; with AT_EMPTY_PATH that of the descriptor itself. */
static int
link_source(int fd, const char *name, int flags, struct dentry **out)
{
	unsigned how = flags & AT_SYMLINK_FOLLOW ? 0 : LOOKUP_NOFOLLOW;
	struct file *f;

	if (*name || !(flags & AT_EMPTY_PATH))
		return path_lookup(fd, name, how, out);
	f = fd_get(fd);
	if (!f)
		return -EBADF;
	*out = f->dentry;
	if (*out)
		dentry_get(*out);
	file_put(f);
	return *out ? 0 : -ENOENT;
}

long
sys_linkat(int from_fd, const char __user *from, int to_fd, const char __user *to, int flags)
{
	struct user_path p, q;
	struct dentry *d;
	int err;

	if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	err = user_path_get(&p, from);
	if (err)
		return err;
	err = user_path_get(&q, to);
	if (err)
		goto put_p;
	err = link_source(from_fd, p.name, flags, &d);
	if (err == 0) {
		err = vfs_link(d, to_fd, q.name);
		dentry_put(d);
	}
	user_path_put(&q);
put_p:
	user_path_put(&p);
	return err;
}

long
sys_link(const char __user *from, const char __user *to)
{
	return sys_linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

long
sys_renameat2(int from_fd, const char __user *from, int to_fd, const char __user *to,
	      unsigned flags)
{
	struct user_path p, q;
	int err = user_path_get(&p, from);

	if (err)
		return err;
	err = user_path_get(&q, to);
	if (err == 0) {
		err = vfs_rename(from_fd, p.name, to_fd, q.name, flags);
		user_path_put(&q);
	}
	user_path_put(&p);
	return err;
}

long
sys_renameat(int from_fd, const char __user *from, int to_fd, const char __user *to)
{
	return sys_renameat2(from_fd, from, to_fd, to, 0);
}

long
sys_rename(const char __user *from, const char __user *to)
{
	return sys_renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* --- listing --- */

struct dirent64_k {
	u64 ino;
	s64 off;
	u16 reclen;
	u8 type;
	char name[];
} __packed;

struct dirent_k { /* of getdents: the type is in the last byte of the record */
	u64 ino;
	u64 off;
	u16 reclen;
	char name[];
} __packed;

struct listing {
	struct dir_sink sink; /* first */
	char *buf;
	size_t size, used;
	bool old;  /* getdents */
	bool full; /* the next entry had no room */
};

static bool
listing_emit(struct dir_sink *s, const char *name, size_t len, u64 ino, unsigned type, u64 next)
{
	struct listing *l = (struct listing *)s;
	size_t head = l->old ? offsetof(struct dirent_k, name) : offsetof(struct dirent64_k, name);
	size_t n = ALIGN_UP(head + len + (l->old ? 2 : 1), (size_t)8);
	char *p = l->buf + l->used;

	if (l->used + n > l->size) {
		l->full = true;
		return false;
	}
	memset(p, 0, n);
	if (l->old) {
		struct dirent_k *d = (struct dirent_k *)p;

		*d = (struct dirent_k){ino, next, (u16)n};
		p[n - 1] = (char)type;
	} else {
		struct dirent64_k *d = (struct dirent64_k *)p;

		*d = (struct dirent64_k){ino, (s64)next, (u16)n, (u8)type};
	}
	memcpy(p + head, name, len);
	l->used += n;
	return true;
}

static long
list_dir(struct file *f, void __user *buf, unsigned size, bool old)
{
	struct listing l = {.sink.emit = listing_emit, .old = old};
	u64 start;
	long r;

	if (!f->ops->readdir)
		return -ENOTDIR;
	l.size = min(size, DIRENT_BUFFER);
	l.buf = kmalloc(l.size);
	if (!l.buf)
		return -ENOMEM;
	mutex_lock(&f->pos_lock);
	start = f->pos;
	r = f->vnode->attr.nlink == 0 ? -ENOENT : f->ops->readdir(f, &l.sink);
	if (r == 0)
		r = l.used == 0 && l.full ? -EINVAL : (long)l.used;
	if (r > 0 && copy_to_user(buf, l.buf, l.used)) {
		f->pos = start;
		r = -EFAULT;
	}
	mutex_unlock(&f->pos_lock);
	kfree(l.buf);
	return r;
}

static long
list_call(int fd, void __user *buf, unsigned size, bool old)
{
	struct file *f = fd_get_io(fd);
	long r;

	if (!f)
		return -EBADF;
	r = list_dir(f, buf, size, old);
	file_put(f);
	return r;
}

long
sys_getdents64(int fd, void __user *buf, unsigned size)
{
	return list_call(fd, buf, size, false);
}

long
sys_getdents(int fd, void __user *buf, unsigned size)
{
	return list_call(fd, buf, size, true);
}

/* --- working directory, root, mask --- */

long
sys_getcwd(char __user *buf, size_t size)
{
	char *path = kmalloc(PATH_LENGTH_MAX);
	struct dentry *d = NULL;
	int n;

	if (!path)
		return -ENOMEM;
	n = fs_get_cwd(&d);
	if (n == 0)
		n = d->unlinked ? -ENOENT : dentry_path(d, path, PATH_LENGTH_MAX);
	if (n >= 0) {
		n++;
		if ((size_t)n > size)
			n = -ERANGE;
		else if (copy_to_user(buf, path, (size_t)n))
			n = -EFAULT;
	}
	dentry_put(d);
	kfree(path);
	return n;
}

long
sys_chdir(const char __user *name)
{
	struct dentry *d;
	int err = path_lookup_user(AT_FDCWD, name, LOOKUP_DIRECTORY, &d);

	if (err)
		return err;
	err = vnode_permission(d->vnode, 1);
	if (err == 0)
		err = fs_set_cwd(d);
	dentry_put(d);
	return err;
}

long
sys_fchdir(int fd)
{
	struct file *f = fd_get(fd);
	int err;

	if (!f)
		return -EBADF;
	if (!f->dentry || !vnode_is_dir(f->vnode))
		err = -ENOTDIR;
	else
		err = vnode_permission(f->vnode, 1);
	if (err == 0)
		err = fs_set_cwd(f->dentry);
	file_put(f);
	return err;
}

long
sys_chroot(const char __user *name)
{
	struct dentry *d;
	int err = path_lookup_user(AT_FDCWD, name, LOOKUP_DIRECTORY, &d);

	if (err)
		return err;
	err = current_capable() ? vnode_permission(d->vnode, 1) : -EPERM;
	if (err == 0)
		err = fs_set_root(d);
	dentry_put(d);
	return err;
}

long
sys_umask(unsigned mask)
{
	return fs_set_umask(mask);
}

/* --- mounts --- */

/* An optional string argument: *out is NULL for NULL. */
static int
fetch_optional(struct user_path *p, const char __user *s, const char **out)
{
	int err;

	*out = NULL;
	p->name = p->small;
	if (!s)
		return 0;
	err = user_path_get(p, s);
	if (err == 0)
		*out = p->name;
	return err;
}

long
sys_mount(const char __user *source, const char __user *target, const char __user *type,
	  unsigned long flags, const void __user *data)
{
	const char __user *const from[4] = {source, target, type, data};
	struct user_path *p = kcalloc(4, sizeof(*p));
	const char *s[4] = {NULL};
	int err = 0;

	if (!p)
		return -ENOMEM;
	for (int i = 0; i < 4 && err == 0; i++)
		err = fetch_optional(&p[i], from[i], &s[i]);
	if (err == 0)
		err = s[1] ? vfs_mount(s[0] ? s[0] : "none", s[1], s[2] ? s[2] : "", flags, s[3])
			   : -EFAULT;
	for (int i = 0; i < 4; i++)
		if (p[i].name)
			user_path_put(&p[i]);
	kfree(p);
	return err;
}

long
sys_umount2(const char __user *target, int flags)
{
	struct user_path p;
	int err = user_path_get(&p, target);

	if (err)
		return err;
	err = vfs_umount(p.name, (unsigned)flags);
	user_path_put(&p);
	return err;
}
