/*
 * Vnodes: the files of the name space, whatever file system they belong to.
 *
 * Life: vnode_create -> dentries, open files and calls in flight hold references -> vnode_put of
 * the last one calls ops->destroy and frees. `lock` is held for writing by changes of a directory's
 * contents and by writes and size changes of a file; single attributes are read without it.
 *
 * Also here: permission checks (root passes), the generic getattr and setattr, and the shortcut
 * that asks inotify only where something is watched.
 */
#include <asm/errno.h>
#include <linux/stat.h>
#include "arch/clock.h"
#include "file/dentry.h"
#include "file/kinds.h"
#include "lib/string.h"
#include "mm/object.h"
#include "mm/slab.h"

struct vnode *
vnode_create(struct mount *m, const struct vnode_ops *ops, const struct file_ops *file_ops,
	     u32 mode)
{
	struct vnode *v = kzalloc(sizeof(*v));
	ns_t now = real_now();

	if (!v)
		return NULL;
	refcount_init(&v->refs, 1);
	v->ops = ops;
	v->file_ops = file_ops;
	v->mount = m;
	if (m)
		refcount_get(&m->refs);
	rwlock_init(&v->lock, "vnode");
	list_init(&v->watches);
	v->attr = (struct attr){
		.mode = mode,
		.nlink = S_ISDIR(mode) ? 2 : 1,
		.ino = atomic_add_fetch(&vfs_get()->next_ino, 1),
		.dev = m ? m->dev : 0,
		.atime = now,
		.mtime = now,
		.ctime = now,
		.btime = now,
		.blksize = PAGE_SIZE,
	};
	return v;
}

void
vnode_get(struct vnode *v)
{
	refcount_get(&v->refs);
}

void
vnode_put(struct vnode *v)
{
	if (!refcount_put(&v->refs))
		return;
	if (v->locks)
		locks_destroy(v);
	if (v->ops->destroy)
		v->ops->destroy(v);
	if (v->object)
		vm_object_put(v->object);
	if (v->mount)
		mount_put(v->mount);
	persist_gone(&v->persistent);
	kfree(v);
}

/* One more on a side of zero, unless the other side is taken. */
static int
count_side(struct vnode *v, int step)
{
	int old = atomic_load(&v->writers);

	do {
		if (old * step < 0)
			return -ETXTBSY;
	} while (!__atomic_compare_exchange_n(&v->writers, &old, old + step, false,
					      __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
	return 0;
}

int
vnode_write_begin(struct vnode *v)
{
	return count_side(v, 1);
}

void
vnode_write_end(struct vnode *v)
{
	atomic_fetch_sub(&v->writers, 1);
}

int
vnode_write_deny(struct vnode *v)
{
	return count_side(v, -1);
}

void
vnode_write_allow(struct vnode *v)
{
	atomic_fetch_add(&v->writers, 1);
}

ns_t
real_now(void)
{
	return clock_now() + clock_real_offset();
}

struct ids
current_ids(void)
{
	const struct vfs_proc_ops *ops = vfs_get()->proc_ops;
	struct ids who = {0, 0};

	if (ops && current_thread() && current_thread()->process)
		ops->current_ids(&who.uid, &who.gid);
	return who;
}

bool
current_capable(void)
{
	const struct vfs_proc_ops *ops = vfs_get()->proc_ops;

	return !ops || !current_thread() || !current_thread()->process || ops->capable();
}

void
current_raise(int sig)
{
	const struct vfs_proc_ops *ops = vfs_get()->proc_ops;

	if (ops && current_thread()->process)
		ops->raise(sig);
}

u64
current_file_limit(void)
{
	const struct vfs_proc_ops *ops = vfs_get()->proc_ops;

	return ops && current_thread()->process ? ops->file_size_limit() : ~0UL;
}

static bool
in_group(u32 gid, const struct ids *who)
{
	const struct vfs_proc_ops *ops = vfs_get()->proc_ops;

	return gid == who->gid || (ops && ops->in_group && ops->in_group(gid));
}

int
permission_check(const struct vnode *v, unsigned want, const struct ids *who)
{
	u32 mode = v->attr.mode;

	if (who->uid == 0) {
		if ((want & 1) && !S_ISDIR(mode) && !(mode & 0111))
			return -EACCES;
		return 0;
	}
	if (who->uid == v->attr.uid)
		mode >>= 6;
	else if (in_group(v->attr.gid, who))
		mode >>= 3;
	return (want & ~mode & 7) ? -EACCES : 0;
}

int
vnode_permission(struct vnode *v, unsigned want)
{
	struct ids who = current_ids();

	return permission_check(v, want, &who);
}

bool
vnode_owned(const struct vnode *v)
{
	return current_ids().uid == v->attr.uid || current_capable();
}

int
vnode_getattr(struct vnode *v, struct attr *a)
{
	if (v->ops->getattr)
		return v->ops->getattr(v, a);
	*a = v->attr;
	return 0;
}

/* A directory of /dev has the attributes of the kernel's nodes in its record. */
static void
touch_dev(void)
{
	struct dentry *root = vfs_get()->dev->root;

	ns_read_lock();
	for (struct dentry *d = root; d; d = tree_next(root, d))
		if (d->vnode && d->vnode->dir == d)
			vnode_touch(d->vnode);
	ns_read_unlock();
}

/* Ids, mode and times, after the checks of chmod, chown and utimensat: they are the callers'. */
static void
set_plain(struct vnode *v, const struct attr *a, unsigned which)
{
	if (which & ATTR_MODE)
		v->attr.mode = (v->attr.mode & S_IFMT) | (a->mode & 07777);
	if (which & ATTR_UID)
		v->attr.uid = a->uid;
	if (which & ATTR_GID)
		v->attr.gid = a->gid;
	if (which & ATTR_ATIME)
		v->attr.atime = a->atime;
	if (which & ATTR_MTIME)
		v->attr.mtime = a->mtime;
	v->attr.ctime = real_now();
	vnode_touch(v);
	if (v->mount && v->mount->kind == FS_DEV)
		touch_dev();
}

int
vnode_setattr(struct vnode *v, const struct attr *a, unsigned which)
{
	int err = 0;

	rwlock_write(&v->lock);
	if (v->ops->setattr)
		err = v->ops->setattr(v, a, which);
	else if (which & ATTR_SIZE)
		err = S_ISDIR(v->attr.mode) ? -EISDIR : -EINVAL;
	if (err == 0)
		set_plain(v, a, which);
	rwlock_write_done(&v->lock);
	return err;
}

void
vnode_notify_name(struct vnode *dir, struct vnode *v, const char *name, u32 mask, u32 cookie)
{
	if ((dir && !list_empty(&dir->watches)) || (v && !list_empty(&v->watches)))
		inotify_event(dir, v, name, mask, cookie);
}

void
vnode_notify(struct dentry *d, u32 mask)
{
	char name[NAME_LENGTH_MAX + 1];
	struct dentry *parent;
	bool watched;

	ns_read_lock(); /* so that the parent stays */
	parent = d->parent;
	watched = !list_empty(&d->vnode->watches) || !list_empty(&parent->vnode->watches);
	if (watched) {
		dentry_get(parent);
		memcpy(name, d->name, d->len);
		name[d->len] = 0;
	}
	ns_read_unlock();
	if (!watched)
		return;
	inotify_event(parent != d && !d->unlinked ? parent->vnode : NULL, d->vnode, name, mask, 0);
	dentry_put(parent);
}
