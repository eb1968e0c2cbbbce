/* Calls on attributes: stat in all forms, modes, owners, times, access, links' texts, statfs. */
#include <asm/errno.h>
#include <asm/fcntl.h>
#include <asm/stat.h>
#include <asm/statfs.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/stat.h>
#include <linux/time_types.h>
#include "calls.h"
#include "file/dentry.h"
#include "file/fdtable.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/slab.h"
#include "mm/user.h"

#define UTIME_NOW_K  ((1l << 30) - 1l)
#define UTIME_OMIT_K ((1l << 30) - 2l)

static u64
sec(ns_t t)
{
	return (u64)(t / NS_PER_SEC);
}

static u64
nsec(ns_t t)
{
	return (u64)(t % NS_PER_SEC);
}

static long
put_stat(const struct attr *a, struct stat __user *out)
{
	struct stat s = {
		.st_dev = a->dev,
		.st_ino = a->ino,
		.st_nlink = a->nlink,
		.st_mode = a->mode,
		.st_uid = a->uid,
		.st_gid = a->gid,
		.st_rdev = a->rdev,
		.st_size = (long)a->size,
		.st_blksize = a->blksize,
		.st_blocks = (long)a->blocks,
		.st_atime = sec(a->atime),
		.st_atime_nsec = nsec(a->atime),
		.st_mtime = sec(a->mtime),
		.st_mtime_nsec = nsec(a->mtime),
		.st_ctime = sec(a->ctime),
		.st_ctime_nsec = nsec(a->ctime),
	};

	return copy_to_user(out, &s, sizeof(s));
}

/* Attributes by path, or of the descriptor itself for an empty path where that is allowed. */
static int
attr_at(int dirfd, const char __user *name, int flags, struct attr *a)
{
	unsigned how = flags & AT_SYMLINK_NOFOLLOW ? LOOKUP_NOFOLLOW : 0;
	struct user_path p;
	struct dentry *d;
	int err = 0;

	p.name = p.small;
	p.small[0] = 0;
	if (name || !(flags & AT_EMPTY_PATH))
		err = user_path_get(&p, name);
	if (err)
		return err;
	if (!*p.name && (flags & AT_EMPTY_PATH) && dirfd != AT_FDCWD) {
		struct file *f = fd_get(dirfd);

		err = f ? file_getattr(f, a) : -EBADF;
		if (f)
			file_put(f);
	} else {
		err = path_lookup(dirfd, p.name, how | (flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0),
				  &d);
		if (err == 0) {
			err = vnode_getattr(d->vnode, a);
			dentry_put(d);
		}
	}
	user_path_put(&p);
	return err;
}

long
sys_newfstatat(int dirfd, const char __user *name, struct stat __user *out, int flags)
{
	struct attr a;
	int err;

	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT))
		return -EINVAL;
	err = attr_at(dirfd, name, flags, &a);
	return err ? err : put_stat(&a, out);
}

long
sys_stat(const char __user *name, struct stat __user *out)
{
	return sys_newfstatat(AT_FDCWD, name, out, 0);
}

long
sys_lstat(const char __user *name, struct stat __user *out)
{
	return sys_newfstatat(AT_FDCWD, name, out, AT_SYMLINK_NOFOLLOW);
}

long
sys_fstat(int fd, struct stat __user *out)
{
	struct file *f = fd_get(fd);
	struct attr a;
	int err;

	if (!f)
		return -EBADF;
	err = file_getattr(f, &a);
	file_put(f);
	return err ? err : put_stat(&a, out);
}

static struct statx_timestamp
statx_time(ns_t t)
{
	return (struct statx_timestamp){.tv_sec = t / NS_PER_SEC, .tv_nsec = (u32)(t % NS_PER_SEC)};
}

static u32
dev_major(u64 dev)
{
	return (u32)(dev >> 8 & 0xfff);
}

static u32
dev_minor(u64 dev)
{
	return (u32)((dev & 0xff) | (dev >> 12 & ~0xffu));
}

long
sys_statx(int dirfd, const char __user *name, int flags, unsigned mask, struct statx __user *out)
{
	struct statx x = {0};
	struct attr a;
	int err;

	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_SYNC_TYPE))
		return -EINVAL;
	if ((mask & STATX__RESERVED) || (flags & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE)
		return -EINVAL;
	err = attr_at(dirfd, name, flags, &a);
	if (err)
		return err;
	x.stx_mask = STATX_BASIC_STATS | STATX_BTIME;
	x.stx_blksize = a.blksize;
	x.stx_nlink = a.nlink;
	x.stx_uid = a.uid;
	x.stx_gid = a.gid;
	x.stx_mode = (u16)a.mode;
	x.stx_ino = a.ino;
	x.stx_size = a.size;
	x.stx_blocks = a.blocks;
	x.stx_atime = statx_time(a.atime);
	x.stx_btime = statx_time(a.btime);
	x.stx_ctime = statx_time(a.ctime);
	x.stx_mtime = statx_time(a.mtime);
	x.stx_rdev_major = dev_major(a.rdev);
	x.stx_rdev_minor = dev_minor(a.rdev);
	x.stx_dev_major = dev_major(a.dev);
	x.stx_dev_minor = dev_minor(a.dev);
	return copy_to_user(out, &x, sizeof(x));
}

/* --- access --- */

static long
do_access(int dirfd, const char __user *name, int mode, int flags)
{
	unsigned how = flags & AT_SYMLINK_NOFOLLOW ? LOOKUP_NOFOLLOW : 0;
	const struct vfs_proc_ops *ops = vfs_get()->proc_ops;
	struct ids who = current_ids();
	struct dentry *d;
	int err;

	if (mode & ~7)
		return -EINVAL;
	if (flags & AT_EMPTY_PATH)
		how |= LOOKUP_EMPTY;
	err = path_lookup_user(dirfd, name, how, &d);
	if (err)
		return err;
	if (!(flags & AT_EACCESS) && ops && ops->real_ids)
		ops->real_ids(&who.uid, &who.gid);
	if (mode)
		err = permission_check(d->vnode, (unsigned)mode, &who);
	if (err == 0 && (mode & 2) && (d->vnode->mount->flags & MS_RDONLY) &&
	    (S_ISREG(d->vnode->attr.mode) || vnode_is_dir(d->vnode)))
		err = -EROFS;
	dentry_put(d);
	return err;
}

long
sys_faccessat2(int dirfd, const char __user *name, int mode, int flags)
{
	if (flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	return do_access(dirfd, name, mode, flags);
}

long
sys_faccessat(int dirfd, const char __user *name, int mode)
{
	return do_access(dirfd, name, mode, 0);
}

long
sys_access(const char __user *name, int mode)
{
	return do_access(AT_FDCWD, name, mode, 0);
}

/* --- changing --- */

static int
change(struct dentry *d, const struct attr *a, unsigned which)
{
	int err;

	if (d->vnode->mount->flags & MS_RDONLY)
		return -EROFS;
	err = vnode_setattr(d->vnode, a, which);
	if (err == 0)
		vnode_notify(d, 4 /* IN_ATTRIB */);
	return err;
}

static int
change_mode(struct dentry *d, u32 mode)
{
	struct attr a = {.mode = mode & 07777};

	if (S_ISLNK(d->vnode->attr.mode))
		return -EOPNOTSUPP;
	if (!vnode_owned(d->vnode))
		return -EPERM;
	if (!current_capable() && (mode & S_ISGID) && current_ids().gid != d->vnode->attr.gid)
		a.mode &= ~S_ISGID;
	return change(d, &a, ATTR_MODE);
}

static int
change_owner(struct dentry *d, u32 uid, u32 gid)
{
	struct vnode *v = d->vnode;
	struct attr a = {.uid = uid, .gid = gid, .mode = v->attr.mode};
	unsigned which = 0;

	if (uid != ~0u)
		which |= ATTR_UID;
	if (gid != ~0u)
		which |= ATTR_GID;
	if (!current_capable()) {
		struct ids who = current_ids();
		const struct vfs_proc_ops *ops = vfs_get()->proc_ops;

		if (which && who.uid != v->attr.uid)
			return -EPERM;
		if ((which & ATTR_UID) && uid != v->attr.uid)
			return -EPERM;
		if ((which & ATTR_GID) && gid != who.gid &&
		    !(ops && ops->in_group && ops->in_group(gid)))
			return -EPERM;
	}
	if (which && S_ISREG(v->attr.mode) && (v->attr.mode & (S_ISUID | S_ISGID))) {
		a.mode &= ~S_ISUID;
		if (a.mode & 010)
			a.mode &= ~S_ISGID;
		which |= ATTR_MODE;
	}
	return which ? change(d, &a, which) : 0;
}

/* A dentry by path, or that of the descriptor for an empty path. */
static int
target_at(int dirfd, const char __user *name, int flags, struct dentry **out)
{
	unsigned how = flags & AT_SYMLINK_NOFOLLOW ? LOOKUP_NOFOLLOW : 0;
	struct file *f;

	if (flags & AT_EMPTY_PATH)
		how |= LOOKUP_EMPTY;
	if (name)
		return path_lookup_user(dirfd, name, how, out);
	f = fd_get_io(dirfd);
	if (!f)
		return -EBADF;
	if (!f->dentry && anon_dentry(f, out) == 0) {
		file_put(f);
		return 0;
	}
	*out = f->dentry;
	if (*out)
		dentry_get(*out);
	file_put(f);
	return *out ? 0 : -EINVAL;
}

static long
chmod_at(int dirfd, const char __user *name, u32 mode, int flags)
{
	struct dentry *d;
	int err = target_at(dirfd, name, flags, &d);

	if (err)
		return err;
	err = change_mode(d, mode);
	dentry_put(d);
	return err;
}

long
sys_fchmodat2(int dirfd, const char __user *name, unsigned mode, int flags)
{
	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	return name ? chmod_at(dirfd, name, mode, flags) : -EFAULT;
}

long
sys_fchmodat(int dirfd, const char __user *name, unsigned mode)
{
	return name ? chmod_at(dirfd, name, mode, 0) : -EFAULT;
}

long
sys_chmod(const char __user *name, unsigned mode)
{
	return name ? chmod_at(AT_FDCWD, name, mode, 0) : -EFAULT;
}

long
sys_fchmod(int fd, unsigned mode)
{
	return chmod_at(fd, NULL, mode, 0);
}

static long
chown_at(int dirfd, const char __user *name, u32 uid, u32 gid, int flags)
{
	struct dentry *d;
	int err = target_at(dirfd, name, flags, &d);

	if (err)
		return err;
	err = change_owner(d, uid, gid);
	dentry_put(d);
	return err;
}

long
sys_fchownat(int dirfd, const char __user *name, unsigned uid, unsigned gid, int flags)
{
	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	return name ? chown_at(dirfd, name, uid, gid, flags) : -EFAULT;
}

long
sys_chown(const char __user *name, unsigned uid, unsigned gid)
{
	return name ? chown_at(AT_FDCWD, name, uid, gid, 0) : -EFAULT;
}

long
sys_lchown(const char __user *name, unsigned uid, unsigned gid)
{
	return name ? chown_at(AT_FDCWD, name, uid, gid, AT_SYMLINK_NOFOLLOW) : -EFAULT;
}

long
sys_fchown(int fd, unsigned uid, unsigned gid)
{
	return chown_at(fd, NULL, uid, gid, 0);
}

/* --- times --- */

static bool
one_time(const struct __kernel_timespec *t, ns_t now, ns_t *out)
{
	*out = t->tv_nsec == UTIME_NOW_K ? now : t->tv_sec * NS_PER_SEC + t->tv_nsec;
	return t->tv_nsec != UTIME_OMIT_K;
}

static bool
bad_time(const struct __kernel_timespec *t)
{
	return t->tv_nsec != UTIME_NOW_K && t->tv_nsec != UTIME_OMIT_K &&
	       (t->tv_nsec < 0 || t->tv_nsec >= NS_PER_SEC);
}

/* t NULL: both now. */
static int
change_times(struct dentry *d, const struct __kernel_timespec *t)
{
	ns_t now = real_now();
	struct attr a = {.atime = now, .mtime = now};
	unsigned which = ATTR_ATIME | ATTR_MTIME;
	bool both_now = !t || (t[0].tv_nsec == UTIME_NOW_K && t[1].tv_nsec == UTIME_NOW_K);

	if (t && (bad_time(&t[0]) || bad_time(&t[1])))
		return -EINVAL;
	if (t && !one_time(&t[0], now, &a.atime))
		which &= ~ATTR_ATIME;
	if (t && !one_time(&t[1], now, &a.mtime))
		which &= ~ATTR_MTIME;
	if (!which)
		return 0;
	if (!vnode_owned(d->vnode)) {
		if (!both_now)
			return -EPERM;
		if (vnode_permission(d->vnode, 2))
			return -EACCES;
	}
	return change(d, &a, which);
}

static long
times_at(int dirfd, const char __user *name, const struct __kernel_timespec *t, int flags)
{
	struct dentry *d;
	int err;

	if (!name && dirfd == AT_FDCWD)
		return -EFAULT;
	err = target_at(dirfd, name, flags, &d);
	if (err)
		return err;
	err = change_times(d, t);
	dentry_put(d);
	return err;
}

long
sys_utimensat(int dirfd, const char __user *name, const void __user *times, int flags)
{
	struct __kernel_timespec t[2];

	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	if (times && copy_from_user(t, times, sizeof(t)))
		return -EFAULT;
	return times_at(dirfd, name, times ? t : NULL, flags);
}

/* struct timeval pairs. */
static long
times_us(int dirfd, const char __user *name, const void __user *times)
{
	struct __kernel_timespec t[2];
	s64 tv[4];

	if (times && copy_from_user(tv, times, sizeof(tv)))
		return -EFAULT;
	for (int i = 0; times && i < 2; i++) {
		if (tv[i * 2 + 1] < 0 || tv[i * 2 + 1] >= 1000000)
			return -EINVAL;
		t[i] = (struct __kernel_timespec){tv[i * 2], tv[i * 2 + 1] * 1000};
	}
	return times_at(dirfd, name, times ? t : NULL, 0);
}

long
sys_futimesat(int dirfd, const char __user *name, const void __user *times)
{
	return times_us(dirfd, name, times);
}

long
sys_utimes(const char __user *name, const void __user *times)
{
	return times_us(AT_FDCWD, name, times);
}

long
sys_utime(const char __user *name, const void __user *times)
{
	struct __kernel_timespec t[2] = {{0}};
	s64 s[2];

	if (times && copy_from_user(s, times, sizeof(s)))
		return -EFAULT;
	if (times) {
		t[0].tv_sec = s[0];
		t[1].tv_sec = s[1];
	}
	return times_at(AT_FDCWD, name, times ? t : NULL, 0);
}

/* --- links, file systems --- */

long
sys_readlinkat(int dirfd, const char __user *name, char __user *buf, int size)
{
	struct dentry *d;
	char *text;
	int n;

	if (size <= 0)
		return -EINVAL;
	n = path_lookup_user(dirfd, name, LOOKUP_NOFOLLOW | LOOKUP_EMPTY, &d);
	if (n)
		return n;
	text = kmalloc(PATH_LENGTH_MAX);
	if (!text)
		n = -ENOMEM;
	else if (!S_ISLNK(d->vnode->attr.mode) || !d->vnode->ops->readlink)
		n = -EINVAL;
	else
		n = d->vnode->ops->readlink(d->vnode, text, PATH_LENGTH_MAX);
	if (n > 0) {
		n = min(n, size);
		if (copy_to_user(buf, text, (size_t)n))
			n = -EFAULT;
	}
	kfree(text);
	dentry_put(d);
	return n;
}

long
sys_readlink(const char __user *name, char __user *buf, int size)
{
	return sys_readlinkat(AT_FDCWD, name, buf, size);
}

static long
put_statfs(const struct mount *m, struct statfs __user *out)
{
	struct statfs s = {
		.f_type = mount_magic(m),
		.f_bsize = PAGE_SIZE,
		.f_frsize = PAGE_SIZE,
		.f_namelen = NAME_LENGTH_MAX,
		.f_fsid = {{(int)m->dev, 0}},
		.f_flags = 0x20 | (long)(m->flags & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)),
	};
	struct memory_info mi;

	if (m->kind == FS_RAM || m->kind == FS_DEV) { /* what memory there is and could be had */
		memory_info(&mi);
		s.f_blocks = (long)mi.total;
		s.f_bfree = s.f_bavail = (long)mi.free;
		s.f_files = (long)mi.total;
		s.f_ffree = (long)mi.free;
	}
	return copy_to_user(out, &s, sizeof(s));
}

long
sys_statfs(const char __user *name, struct statfs __user *out)
{
	struct dentry *d;
	long r = path_lookup_user(AT_FDCWD, name, 0, &d);

	if (r)
		return r;
	r = put_statfs(d->vnode->mount, out);
	dentry_put(d);
	return r;
}

long
sys_fstatfs(int fd, struct statfs __user *out)
{
	struct file *f = fd_get(fd);
	long r;

	if (!f)
		return -EBADF;
	r = put_statfs(f->vnode ? f->vnode->mount : vfs_get()->hidden, out);
	file_put(f);
	return r;
}
