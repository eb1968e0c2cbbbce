/*
 * Opening: from a path or a dentry to an open file.
 *
 * The spine is vfs_open_how: walk (making the file when O_CREAT asks), check, vfs_open_dentry
 * (permission, the kind's own open), truncate. Also the dentries over files that have no vnode, so
 * that /proc/self/fd/N of a pipe can be opened and asked for its attributes like any other.
 */
#include <asm/errno.h>
#include <asm/fcntl.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/inotify.h>
#include <linux/stat.h>
#include "file/dentry.h"
#include "lib/string.h"
#include "mm/slab.h"

#define OPEN_ONLY (O_CREAT | O_EXCL | O_TRUNC | O_CLOEXEC)

const struct file_ops path_file_ops = {
	.kind = "path",
	.persist = &file_reopened,
};

static bool
wants_write(unsigned flags)
{
	return (flags & O_ACCMODE) != O_RDONLY;
}

static int
open_allowed(struct vnode *v, unsigned flags)
{
	unsigned acc = flags & O_ACCMODE, want = 0;
	int err;

	if (S_ISLNK(v->attr.mode))
		return -ELOOP;
	if (S_ISDIR(v->attr.mode) && (wants_write(flags) || (flags & O_TRUNC)))
		return -EISDIR;
	if (acc == O_RDONLY || acc == O_RDWR || acc == 3)
		want |= 4;
	if (wants_write(flags) || (flags & O_TRUNC))
		want |= 2;
	err = vnode_permission(v, want);
	if (err)
		return err;
	if ((want & 2) && (v->mount->flags & MS_RDONLY) && !S_ISCHR(v->attr.mode))
		return -EROFS;
	if ((flags & O_NOATIME) && !vnode_owned(v))
		return -EPERM;
	return 0;
}

/* --- dentries over files without a vnode --- */

static int
anon_getattr(struct vnode *v, struct attr *a)
{
	return file_getattr(v->private, a);
}

static void
anon_destroy(struct vnode *v)
{
	file_put(v->private);
}

static const struct vnode_ops anon_ops = {
	.getattr = anon_getattr,
	.destroy = anon_destroy,
};

int
anon_dentry(struct file *f, struct dentry **out)
{
	struct mount *m = vfs_get()->hidden;
	struct attr a;
	struct vnode *v;
	struct dentry *d;
	int err = file_getattr(f, &a);

	if (err)
		return err;
	v = vnode_create(m, &anon_ops, NULL, a.mode);
	if (!v)
		return -ENOMEM;
	v->attr = a;
	v->private = f;
	file_get(f);
	d = dentry_create(m->root, f->ops->kind, strnlen(f->ops->kind, NAME_LENGTH_MAX));
	if (!d) {
		vnode_put(v);
		return -ENOMEM;
	}
	d->vnode = v;
	*out = d;
	return 0;
}

struct file *
anon_dentry_file(const struct dentry *d)
{
	return d->vnode->ops == &anon_ops ? d->vnode->private : NULL;
}

/* Another open of an object without a vnode: a new file by its kind, or the old one once more. */
static int
anon_open(struct file *old, unsigned flags, struct file **out)
{
	unsigned acc = flags & O_ACCMODE;
	bool rd = acc == O_RDONLY || acc == O_RDWR, wr = wants_write(flags);
	struct file *f;
	int err;

	if (!old->ops->reopen) {
		if ((rd && !old->readable) || (wr && !old->writable))
			return -EACCES;
		if (!old->ops->read && !old->ops->write)
			return -ENXIO;
		file_get(old);
		*out = old;
		return 0;
	}
	f = file_create(&path_file_ops, flags & ~OPEN_ONLY, NULL);
	if (!f)
		return -ENOMEM;
	err = old->ops->reopen(old, f);
	if (err) {
		f->ops = &path_file_ops;
		file_put(f);
		return err;
	}
	*out = f;
	return 0;
}

/* --- opening a dentry --- */

static void
set_access(struct file *f, unsigned flags)
{
	unsigned acc = flags & O_ACCMODE;

	f->readable = acc == O_RDONLY || acc == O_RDWR;
	f->writable = acc == O_WRONLY || acc == O_RDWR;
}

static int
open_checked(struct dentry *d, unsigned flags, struct file **out)
{
	struct vnode *v = d->vnode;
	struct file *f;
	int err = 0;

	if (v->ops == &anon_ops && !(flags & O_PATH))
		return anon_open(v->private, flags, out);
	f = file_create(flags & O_PATH ? &path_file_ops : v->file_ops, flags & ~OPEN_ONLY, NULL);
	if (!f)
		return -ENOMEM;
	vnode_get(v);
	dentry_get(d);
	f->vnode = v;
	f->dentry = d;
	if (flags & O_PATH) {
		f->mode = FILE_PATH;
		f->readable = f->writable = false;
		*out = f;
		return 0;
	}
	set_access(f, flags);
	if (S_ISREG(v->attr.mode) || S_ISDIR(v->attr.mode) || S_ISBLK(v->attr.mode))
		f->mode |= FILE_SEEKABLE;
	if (flags & O_NOATIME)
		f->mode |= FILE_NOATIME;
	/* A memfd may run while its maker still has it open. */
	if (f->writable && S_ISREG(v->attr.mode) && !(v->flags & VNODE_MEMFD)) {
		err = vnode_write_begin(v);
		f->mode |= err ? 0 : FILE_WRITER;
	}
	if (err == 0 && v->ops->open)
		err = v->ops->open(v, f);
	if (err == 0 && !f->ops)
		err = -ENXIO;
	if (err) {
		f->ops = &path_file_ops; /* the kind's release is not owed */
		file_put(f);
		return err;
	}
	f->flags &= ~(O_NOCTTY | O_DIRECTORY | O_NOFOLLOW);
	if (S_ISDIR(v->attr.mode))
		f->flags |= O_DIRECTORY;
	*out = f;
	return 0;
}

int
vfs_open_dentry(struct dentry *d, unsigned flags, struct file **out)
{
	int err;

	if (!d->vnode)
		return -ENOENT;
	if (!(flags & O_PATH)) {
		err = open_allowed(d->vnode, flags);
		if (err)
			return err;
	}
	return open_checked(d, flags, out);
}

int
vfs_truncate(struct vnode *v, u64 size)
{
	struct attr a = {.size = size};

	if (S_ISDIR(v->attr.mode))
		return -EISDIR;
	if (!S_ISREG(v->attr.mode))
		return -EINVAL;
	if (size > INT64_MAX)
		return -EINVAL;
	return vnode_setattr(v, &a, ATTR_SIZE);
}

/* O_TMPFILE: a file in the directory's file system without a name. */
static int
open_tmpfile(struct dentry *dir, unsigned flags, u32 mode, struct file **out)
{
	const struct vnode_ops *ops = dir->vnode->ops;
	struct dentry *d;
	int err;

	if (!wants_write(flags))
		return -EINVAL;
	err = vnode_permission(dir->vnode, 3);
	if (err)
		return err;
	if (!ops->create)
		return -EOPNOTSUPP;
	d = dentry_create(dir, "#tmpfile", 8);
	if (!d)
		return -ENOMEM;
	rwlock_write(&dir->vnode->lock);
	err = ops->create(dir->vnode, d, S_IFREG | (mode & 07777 & ~fs_umask()), 0);
	rwlock_write_done(&dir->vnode->lock);
	if (err == 0) {
		d->unlinked = true;
		d->vnode->attr.nlink = 0;
		if (!(flags & O_EXCL))
			d->vnode->flags |= VNODE_LINKABLE;
		err = open_checked(d, flags & ~(O_TMPFILE), out);
	}
	dentry_put(d);
	return err;
}

/* The walk and, with O_CREAT, the making. *created says that permission is not asked. */
static int
open_lookup(int dirfd, const char *name, unsigned flags, u32 mode, unsigned how,
	    struct dentry **out, bool *created)
{
	struct walk w;
	int err;

	do {
		err = walk_path(&w, dirfd, name, how);
		if (err == 0 && !w.at->vnode) {
			err = w.trailing ? -EISDIR : vfs_create_at(w.at, mode & ~fs_umask());
			*created = err == 0;
			if (err == -EEXIST && !(flags & O_EXCL))
				err = -EAGAIN; /* someone was faster: open theirs */
		} else if (err == 0 && (flags & O_CREAT)) {
			if (flags & O_EXCL)
				err = -EEXIST;
			else if (vnode_is_dir(w.at->vnode) || w.trailing)
				err = -EISDIR;
		}
		if (err == 0) {
			*out = w.at;
			w.at = NULL;
		}
		walk_done(&w);
	} while (err == -EAGAIN);
	return err;
}

int
vfs_open_how(int dirfd, const char *name, unsigned flags, u32 mode, unsigned lookup,
	     struct file **out)
{
	unsigned how = lookup;
	bool created = false;
	struct dentry *d;
	int err;

	if (flags & O_PATH)
		flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	else
		flags |= O_LARGEFILE;
	if (flags & O_NOFOLLOW)
		how |= LOOKUP_NOFOLLOW;
	if (flags & O_DIRECTORY)
		how |= LOOKUP_DIRECTORY;
	if ((flags & O_CREAT) && !(flags & __O_TMPFILE)) {
		if (flags & O_DIRECTORY)
			return -EINVAL;
		how |= LOOKUP_CREATE;
		if (flags & O_EXCL)
			how |= LOOKUP_NOFOLLOW;
	}
	err = open_lookup(dirfd, name, flags & __O_TMPFILE ? flags & ~O_CREAT : flags, mode, how,
			  &d, &created);
	if (err)
		return err;
	if (flags & __O_TMPFILE)
		err = open_tmpfile(d, flags, mode, out);
	else
		err = created ? open_checked(d, flags, out) : vfs_open_dentry(d, flags, out);
	if (err == 0 && (flags & O_TRUNC) && !created && S_ISREG(d->vnode->attr.mode)) {
		err = d->vnode->ops->setattr ? vfs_truncate(d->vnode, 0) : 0;
		if (err)
			file_put(*out);
	}
	if (err == 0 && !(flags & O_PATH))
		vnode_notify(d, vnode_is_dir(d->vnode) ? IN_OPEN | IN_ISDIR : IN_OPEN);
	dentry_put(d);
	return err;
}

int
vfs_open(int dirfd, const char *name, unsigned flags, u32 mode, struct file **out)
{
	return vfs_open_how(dirfd, name, flags, mode, 0, out);
}
