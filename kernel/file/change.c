/*
 * Changes of the name space: making, linking, removing and renaming.
 *
 * Shape of each: walk to the parent, lock its vnode for writing, check everything, let the file
 * system do its part (counts, times, the new vnode), then change the tree under the name space
 * lock, which cannot fail; drop references and tell inotify outside of all locks.
 *
 * Locks: rename_lock, then directories' vnode locks (ancestor before descendant), then the name
 * space lock. A directory that is removed or replaced is locked itself, so nothing is made in it
 * at the same time.
 */
#include <asm/errno.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/inotify.h>
#include <linux/stat.h>
#include "file/dentry.h"
#include "lib/string.h"
#include "mm/slab.h"

/* => dir->vnode write-locked. Whether names may be changed in dir. */
static int
may_change(struct dentry *dir)
{
	int err;

	if (!vnode_is_dir(dir->vnode))
		return -ENOTDIR;
	err = vnode_permission(dir->vnode, 3);
	if (err)
		return err;
	if (dir->unlinked)
		return -ENOENT;
	if (dir->vnode->mount->flags & MS_RDONLY)
		return -EROFS;
	if (dir->dir)
		return 0;
	ns_write_lock();
	err = dentry_make_index(dir);
	ns_write_unlock();
	return err;
}

/* => dir->vnode write-locked. Sticky directories: only the owners of file or directory. */
static int
may_remove(struct dentry *dir, struct dentry *d)
{
	if (d->mounted || d->parent != dir)
		return -EBUSY;
	if ((dir->vnode->attr.mode & S_ISVTX) && !vnode_owned(d->vnode) && !vnode_owned(dir->vnode))
		return -EPERM;
	return 0;
}

static void
attach(struct dentry *d)
{
	ns_write_lock();
	/* The index exists since may_change. */
	if (dentry_attach(d))
		d->unlinked = true;
	ns_write_unlock();
}

struct making {
	u32 mode;
	u64 rdev;
	const char *target;  /* of a symbolic link */
	struct vnode *vnode; /* a hard link's */
	bool dir;
};

static int
make_vnode(struct vnode *dir, struct dentry *d, const struct making *m)
{
	const struct vnode_ops *ops = dir->ops;

	if (m->target)
		return ops->symlink ? ops->symlink(dir, d, m->target) : -EPERM;
	if (m->vnode)
		return ops->link ? ops->link(dir, d, m->vnode) : -EPERM;
	if (m->dir)
		return ops->mkdir ? ops->mkdir(dir, d, m->mode) : -EPERM;
	return ops->create ? ops->create(dir, d, m->mode, m->rdev) : -EACCES;
}

/* Makes what m says at the negative, referenced d. */
static int
make_at(struct dentry *d, const struct making *m)
{
	struct dentry *dir = d->parent, *there;
	struct vnode *v = dir->vnode;
	int err;

	rwlock_write(&v->lock);
	there = dentry_find(dir, d->name, d->len);
	if (there) {
		dentry_put(there);
		err = -EEXIST;
	} else {
		err = may_change(dir);
	}
	if (err == 0)
		err = make_vnode(v, d, m);
	if (err == 0)
		attach(d);
	rwlock_write_done(&v->lock);
	if (err == 0)
		vnode_notify_name(v, NULL, d->name, m->dir ? IN_CREATE | IN_ISDIR : IN_CREATE, 0);
	return err;
}

int
vfs_create_at(struct dentry *d, u32 mode)
{
	struct making m = {.mode = S_IFREG | (mode & 07777)};

	return make_at(d, &m);
}

static int
make_by_name(int dirfd, const char *name, const struct making *m, struct dentry **out)
{
	struct dentry *d = NULL;
	struct walk w;
	int err = walk_path(&w, dirfd, name, LOOKUP_PARENT);

	if (err)
		goto done;
	err = -EEXIST;
	if (w.last_kind != LAST_NORMAL)
		goto done;
	err = dir_lookup(w.at, w.last, w.last_len, true, &d);
	if (err)
		goto done;
	if (d->vnode)
		err = -EEXIST;
	else if (w.trailing && !m->dir)
		err = -ENOENT;
	else
		err = make_at(d, m);
	if (err == 0 && out) {
		*out = d;
		d = NULL;
	}
done:
	dentry_put(d);
	walk_done(&w);
	return err;
}

int
vfs_mkdir(int dirfd, const char *name, u32 mode)
{
	struct making m = {.mode = S_IFDIR | (mode & 01777 & ~fs_umask()), .dir = true};

	return make_by_name(dirfd, name, &m, NULL);
}

int
vfs_symlink(const char *target, int dirfd, const char *name)
{
	struct making m = {.target = target};

	if (!*target)
		return -ENOENT;
	return make_by_name(dirfd, name, &m, NULL);
}

int
vfs_mknod(int dirfd, const char *name, u32 mode, u64 rdev, struct dentry **out)
{
	struct making m = {.mode = (mode & S_IFMT) | (mode & 07777 & ~fs_umask()), .rdev = rdev};

	if (!(mode & S_IFMT))
		m.mode |= S_IFREG;
	if (S_ISDIR(mode))
		return -EPERM;
	if (!S_ISREG(m.mode) && !S_ISCHR(m.mode) && !S_ISBLK(m.mode) && !S_ISFIFO(m.mode) &&
	    !S_ISSOCK(m.mode))
		return -EINVAL;
	if ((S_ISCHR(mode) || S_ISBLK(mode)) && !current_capable())
		return -EPERM;
	return make_by_name(dirfd, name, &m, out);
}

int
vfs_link(struct dentry *from, int dirfd, const char *name)
{
	struct vnode *v = from->vnode;
	struct making m = {.vnode = v};
	struct walk w;
	int err;

	if (vnode_is_dir(v))
		return -EPERM;
	if (v->attr.nlink == 0 && !(v->flags & VNODE_LINKABLE))
		return -ENOENT;
	err = walk_path(&w, dirfd, name, LOOKUP_PARENT);
	if (err == 0 && w.at->vnode->mount != v->mount)
		err = -EXDEV;
	walk_done(&w);
	return err ? err : make_by_name(dirfd, name, &m, NULL);
}

/* => both vnodes write-locked for a directory; dir's for a file. */
static int
remove_vnode(struct dentry *dir, struct dentry *d, bool rmdir)
{
	const struct vnode_ops *ops = dir->vnode->ops;

	if (rmdir)
		return ops->rmdir ? ops->rmdir(dir->vnode, d) : -EPERM;
	return ops->unlink ? ops->unlink(dir->vnode, d) : -EPERM;
}

static int
remove_at(struct dentry *dir, struct dentry *d, bool rmdir)
{
	int err;

	rwlock_write(&dir->vnode->lock);
	if (rmdir)
		rwlock_write(&d->vnode->lock);
	err = may_change(dir);
	if (err == 0 && !d->in_tree)
		err = d->unlinked ? -ENOENT : -EPERM;
	if (err == 0)
		err = may_remove(dir, d);
	if (err == 0)
		err = remove_vnode(dir, d, rmdir);
	if (err == 0) {
		ns_write_lock();
		dentry_detach(d);
		ns_write_unlock();
	}
	if (rmdir)
		rwlock_write_done(&d->vnode->lock);
	rwlock_write_done(&dir->vnode->lock);
	if (err == 0) {
		vnode_notify_name(dir->vnode, NULL, d->name,
				  rmdir ? IN_DELETE | IN_ISDIR : IN_DELETE, 0);
		vnode_notify_name(NULL, d->vnode, NULL,
				  d->vnode->attr.nlink ? IN_ATTRIB : IN_DELETE_SELF, 0);
		dentry_put(d); /* the tree's */
	}
	return err;
}

int
vfs_unlink(int dirfd, const char *name, bool rmdir)
{
	static const int bad_rmdir[] = {0, -EINVAL, -ENOTEMPTY, -EBUSY};
	struct dentry *d = NULL;
	struct walk w;
	int err = walk_path(&w, dirfd, name, LOOKUP_PARENT);

	if (err)
		goto done;
	err = rmdir ? bad_rmdir[w.last_kind] : -EISDIR;
	if (w.last_kind != LAST_NORMAL)
		goto done;
	err = dir_lookup(w.at, w.last, w.last_len, false, &d);
	if (err)
		goto done;
	if (rmdir && !vnode_is_dir(d->vnode))
		err = -ENOTDIR;
	else if (!rmdir && vnode_is_dir(d->vnode))
		err = -EISDIR;
	else if (!rmdir && w.trailing)
		err = -ENOTDIR;
	else
		err = remove_at(w.at, d, rmdir);
done:
	dentry_put(d);
	walk_done(&w);
	return err;
}

/* --- rename --- */

struct renaming {
	struct walk from, to;
	struct dentry *old, *new;  /* new may be negative */
	char *new_name, *old_name; /* copies for the moved dentries */
	unsigned flags;
};

/* Whether `a` is d or above it, inside one mount. */
static bool
is_above(struct dentry *a, struct dentry *d)
{
	bool yes = false;

	ns_read_lock();
	for (;; d = d->parent) {
		if (d == a) {
			yes = true;
			break;
		}
		if (d->parent == d)
			break;
	}
	ns_read_unlock();
	return yes;
}

/* => rename_lock held, so that what is above what does not change. */
static void
lock_dirs(struct dentry *a, struct dentry *b)
{
	if (a->vnode == b->vnode) {
		rwlock_write(&a->vnode->lock);
		return;
	}
	if (is_above(b, a)) {
		struct dentry *t = a;

		a = b;
		b = t;
	}
	rwlock_write(&a->vnode->lock);
	rwlock_write(&b->vnode->lock);
}

static void
unlock_dirs(struct dentry *a, struct dentry *b)
{
	rwlock_write_done(&a->vnode->lock);
	if (a->vnode != b->vnode)
		rwlock_write_done(&b->vnode->lock);
}

/* => both directories write-locked. */
static int
rename_find(struct renaming *r)
{
	int err = dir_lookup_locked(r->from.at, r->from.last, r->from.last_len, false, &r->old);

	if (err)
		return err;
	err = dir_lookup_locked(r->to.at, r->to.last, r->to.last_len, true, &r->new);
	if (err)
		return err;
	if (!r->old->in_tree)
		return -EPERM;
	if ((r->flags & RENAME_NOREPLACE) && r->new->vnode)
		return -EEXIST;
	if ((r->flags & RENAME_EXCHANGE) && !r->new->vnode)
		return -ENOENT;
	return 0;
}

static bool
has_children(struct dentry *d)
{
	return d->dir && d->dir->count > 0;
}

/* => both directories write-locked. */
static int
rename_check(struct renaming *r)
{
	struct vnode *old = r->old->vnode, *new = r->new->vnode;
	bool exchange = r->flags & RENAME_EXCHANGE;
	int err;

	if (is_above(r->old, r->to.at))
		return -EINVAL;
	if (new &&is_above(r->new, r->from.at))
		return exchange ? -EINVAL : -ENOTEMPTY;
	if (!vnode_is_dir(old) && (r->from.trailing || (!exchange && r->to.trailing)))
		return -ENOTDIR;
	err = may_change(r->from.at);
	if (err == 0)
		err = may_change(r->to.at);
	if (err == 0)
		err = may_remove(r->from.at, r->old);
	if (err || !new)
		return err;
	err = may_remove(r->to.at, r->new);
	if (err || exchange)
		return err;
	if (vnode_is_dir(old) && !vnode_is_dir(new))
		return -ENOTDIR;
	if (!vnode_is_dir(old) && vnode_is_dir(new))
		return -EISDIR;
	return vnode_is_dir(new) && has_children(r->new) ? -ENOTEMPTY : 0;
}

static char *
copy_name(const char *s, size_t n)
{
	char *p = kmalloc(n + 1);

	if (p) {
		memcpy(p, s, n);
		p[n] = 0;
	}
	return p;
}

/* The part that cannot fail. The names are used up. */
static void
rename_move(struct renaming *r)
{
	bool replaced = r->new->vnode && !(r->flags & RENAME_EXCHANGE);

	ns_write_lock();
	if (replaced)
		dentry_detach(r->new);
	dentry_move(r->old, r->to.at, r->new_name, r->to.last_len);
	if (r->flags & RENAME_EXCHANGE) {
		dentry_move(r->new, r->from.at, r->old_name, r->from.last_len);
		r->old_name = NULL;
	}
	r->new_name = NULL;
	ns_write_unlock();
	if (replaced)
		dentry_put(r->new); /* the tree's */
}

static int
rename_locked(struct renaming *r)
{
	const struct vnode_ops *ops = r->from.at->vnode->ops;
	int err = rename_find(r);
	bool lock_new;

	if (err)
		return err;
	if (r->old->vnode == r->new->vnode)
		return r->old == r->new || !(r->flags & RENAME_EXCHANGE) ? 1 : -EINVAL;
	err = rename_check(r);
	if (err)
		return err;
	r->new_name = copy_name(r->to.last, r->to.last_len);
	r->old_name = copy_name(r->from.last, r->from.last_len);
	if (!r->new_name || !r->old_name)
		return -ENOMEM;
	lock_new = r->new->vnode &&vnode_is_dir(r->new->vnode) && !(r->flags & RENAME_EXCHANGE);
	if (lock_new) {
		rwlock_write(&r->new->vnode->lock);
		err = has_children(r->new) ? -ENOTEMPTY : 0;
	}
	if (err == 0)
		err = ops->rename ? ops->rename(r->from.at->vnode, r->old, r->to.at->vnode, r->new,
						r->flags)
				  : -EPERM;
	if (err == 0)
		rename_move(r);
	if (lock_new)
		rwlock_write_done(&r->new->vnode->lock);
	return err;
}

static void
rename_notify(struct renaming *r)
{
	struct vnode *v = r->old->vnode;
	u32 isdir = vnode_is_dir(v) ? IN_ISDIR : 0;
	u32 cookie = (u32)atomic_add_fetch(&vfs_get()->next_ino, 1);
	char *name = copy_name(r->from.last, r->from.last_len);

	if (name)
		vnode_notify_name(r->from.at->vnode, NULL, name, IN_MOVED_FROM | isdir, cookie);
	kfree(name);
	name = copy_name(r->to.last, r->to.last_len);
	if (name)
		vnode_notify_name(r->to.at->vnode, NULL, name, IN_MOVED_TO | isdir, cookie);
	kfree(name);
	vnode_notify_name(NULL, v, NULL, IN_MOVE_SELF, 0);
	if (r->new->vnode && r->new->unlinked)
		vnode_notify_name(NULL, r->new->vnode, NULL,
				  r->new->vnode->attr.nlink ? IN_ATTRIB : IN_DELETE_SELF, 0);
}

static int
rename_dirs(struct renaming *r)
{
	struct mutex *lock = &vfs_get()->rename_lock;
	int err;

	if (r->from.last_kind != LAST_NORMAL || r->to.last_kind != LAST_NORMAL)
		return r->flags & RENAME_NOREPLACE && r->to.last_kind != LAST_NORMAL ? -EEXIST
										     : -EBUSY;
	if (r->from.at->vnode->mount != r->to.at->vnode->mount)
		return -EXDEV;
	mutex_lock(lock);
	lock_dirs(r->from.at, r->to.at);
	err = rename_locked(r);
	unlock_dirs(r->from.at, r->to.at);
	mutex_unlock(lock);
	if (err == 0)
		rename_notify(r);
	return err > 0 ? 0 : err; /* 1: two names of one file, nothing to do */
}

int
vfs_rename(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
	struct renaming *r;
	int err;

	if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) ||
	    flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	r = kzalloc(sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->flags = flags;
	err = walk_path(&r->from, from_fd, from, LOOKUP_PARENT);
	if (err == 0)
		err = walk_path(&r->to, to_fd, to, LOOKUP_PARENT);
	if (err == 0)
		err = rename_dirs(r);
	dentry_put(r->old);
	dentry_put(r->new);
	kfree(r->old_name);
	kfree(r->new_name);
	walk_done(&r->from);
	walk_done(&r->to);
	kfree(r);
	return err;
}
