/*
 * Mounts: one struct for each file system in the name space; a mount is a file system here, so one
 * of /proc, /sys, /dev stands in one place, and every tmpfs is its own.
 *
 * Life: mount_create (root dentry) -> mount_at -> umount; it is freed with the last vnode of it.
 * Locks: vfs->rename_lock around mount and umount, the name space lock for the pointers.
 * Left out: bind mounts, moving, propagation (there is one name space, all mounts are private).
 */
#include <asm/errno.h>
#include <linux/fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/stat.h>
#include "core/klog.h"
#include "file/dentry.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/slab.h"

#define MAX_SHOWN	  128
#define UMOUNT_NOFOLLOW_K 8u
#define MNT_FORCE_K	  1u
#define MNT_DETACH_K	  2u
#define CGROUP2_MAGIC	  0x63677270u

struct mount *
mount_create(enum fs_kind kind, const char *source, const struct vnode_ops *dir_ops)
{
	struct mount *m = kzalloc(sizeof(*m));
	struct vnode *v;

	if (!m)
		return NULL;
	refcount_init(&m->refs, 1);
	m->kind = kind;
	m->dev = atomic_add_fetch(&vfs_get()->next_dev, 1);
	list_init(&m->link);
	string_copy(m->own_source, source, sizeof(m->own_source));
	m->source = m->own_source;
	v = vnode_create(m, dir_ops, &dir_file_ops, S_IFDIR | (kind == FS_PROC ? 0555 : 0755));
	m->root = v ? dentry_create(NULL, "", 0) : NULL;
	if (!m->root) {
		if (v)
			vnode_put(v);
		mount_put(m);
		return NULL;
	}
	m->root->vnode = v;
	v->dir = m->root;
	return m;
}

void
mount_put(struct mount *m)
{
	if (!refcount_put(&m->refs))
		return;
	persist_gone(&m->persistent);
	kfree(m);
}

int
mount_at(struct mount *m, struct dentry *point)
{
	struct vfs *vfs = vfs_get();
	int err = 0;

	ns_write_lock();
	if (m->point || !list_empty(&m->link)) {
		err = -EBUSY;
	} else {
		if (point) {
			point = dentry_cross(point);
			dentry_get(point);
			point->mounted = m;
			m->point = point;
		}
		list_add_tail(&vfs->mounts, &m->link);
		vfs->names++;
	}
	ns_write_unlock();
	return err;
}

const char *
mount_type_name(const struct mount *m)
{
	static const char *const names[] = {"tmpfs",  "proc",	 "sysfs", "devtmpfs",
					    "devpts", "cgroup2", "none"};

	return names[m->kind];
}

u32
mount_magic(const struct mount *m)
{
	static const u32 magic[] = {TMPFS_MAGIC,	PROC_SUPER_MAGIC, SYSFS_MAGIC, TMPFS_MAGIC,
				    DEVPTS_SUPER_MAGIC, CGROUP2_MAGIC,	  TMPFS_MAGIC};

	return magic[m->kind];
}

/* The mounts of now, each kept by its root's reference. */
static u32
collect(struct mount **out, u32 room)
{
	struct mount *m;
	u32 n = 0;

	ns_read_lock();
	list_for_each_entry (m, &vfs_get()->mounts, link) {
		if (n == room)
			break;
		dentry_get(m->root);
		out[n++] = m;
	}
	ns_read_unlock();
	return n;
}

static u64
parent_dev(const struct mount *m)
{
	struct dentry *p = m->point;

	return p ? p->vnode->mount->dev : m->dev;
}

static void
show_one(const struct mount *m, const char *path, bool info, char *buf, size_t size, size_t *len)
{
	const char *rw = m->flags & MS_RDONLY ? "ro" : "rw";
	const char *opts = m->flags & MS_NOATIME ? ",noatime" : ",relatime";
	const char *type = mount_type_name(m);

	if (info)
		gen_printf(buf, size, len, "%lu %lu 0:%lu / %s %s%s - %s %s %s\n", m->dev + 20,
			   parent_dev(m) + 20, m->dev, path, rw, opts, type, m->source, rw);
	else
		gen_printf(buf, size, len, "%s %s %s %s%s 0 0\n", m->source, path, type, rw, opts);
}

size_t
mounts_show(char *buf, size_t size, void *info)
{
	struct mount **list = kcalloc(MAX_SHOWN, sizeof(*list));
	char *path = kmalloc(PATH_LENGTH_MAX);
	size_t len = 0;
	u32 n;

	if (list && path) {
		n = collect(list, MAX_SHOWN);
		for (u32 i = 0; i < n; i++) {
			if (dentry_path(list[i]->root, path, PATH_LENGTH_MAX) > 0)
				show_one(list[i], path, info != NULL, buf, size, &len);
			dentry_put(list[i]->root);
		}
	}
	kfree(path);
	kfree(list);
	return len;
}

/* --- mount(2) and umount2(2) --- */

static bool
parse_octal(const char *s, u32 *out)
{
	u32 v = 0;

	if (*s < '0' || *s > '7')
		return false;
	while (*s >= '0' && *s <= '7')
		v = v * 8 + (u32)(*s++ - '0');
	*out = v;
	return *s == 0 || *s == ',';
}

/* Of tmpfs's options mode= has its effect; a size limit is not enforced and says so. */
static int
tmpfs_options(struct mount *m, const char *data)
{
	const char *p = data ? strstr(data, "mode=") : NULL;
	u32 mode = 01777;

	if (p && !parse_octal(p + 5, &mode))
		return -EINVAL;
	m->root->vnode->attr.mode = S_IFDIR | (mode & 07777);
	if (data && strstr(data, "size="))
		klog(KLOG_WARN, "file", "tmpfs: the limit in '%s' is not enforced", data);
	return 0;
}

static void
mount_discard(struct mount *m)
{
	dentry_drop_tree(m->root);
	mount_put(m);
}

static int
mount_new(const char *source, struct dentry *point, const char *type, u64 flags, const char *data)
{
	struct vfs *vfs = vfs_get();
	const struct {
		const char *type;
		struct mount *m;
	} fixed[] = {{"proc", vfs->proc},
		     {"sysfs", vfs->sys},
		     {"devtmpfs", vfs->dev},
		     {"devpts", vfs->pts},
		     {"cgroup2", vfs->cgroup}};
	struct mount *m;
	int err;

	for (unsigned i = 0; i < ARRAY_SIZE(fixed); i++)
		if (strcmp(type, fixed[i].type) == 0)
			return mount_at(fixed[i].m, point);
	if (strcmp(type, "tmpfs") != 0 && strcmp(type, "ramfs") != 0)
		return -ENODEV;
	m = mount_create(FS_RAM, source, &ram_dir_ops);
	if (!m)
		return -ENOMEM;
	m->flags =
		flags & (MS_RDONLY | MS_NOATIME | MS_NODIRATIME | MS_NOSUID | MS_NODEV | MS_NOEXEC);
	err = tmpfs_options(m, data);
	if (err == 0)
		err = mount_at(m, point);
	if (err)
		mount_discard(m);
	return err;
}

int
vfs_mount(const char *source, const char *target, const char *type, u64 flags, const char *data)
{
	const u64 keep = MS_RDONLY | MS_NOATIME | MS_NODIRATIME | MS_NOSUID | MS_NODEV | MS_NOEXEC;
	struct dentry *d;
	int err;

	if (!current_capable())
		return -EPERM;
	if ((flags & MS_MGC_MSK) == MS_MGC_VAL)
		flags &= ~(u64)MS_MGC_MSK;
	if (flags & (MS_BIND | MS_MOVE | MS_SHARED | MS_SLAVE | MS_UNBINDABLE))
		return -EINVAL;
	if (flags & ~(keep | MS_REMOUNT | MS_PRIVATE | MS_REC | MS_SILENT | MS_RELATIME |
		      MS_STRICTATIME | MS_SYNCHRONOUS | MS_DIRSYNC))
		return -EINVAL;
	err = path_lookup(AT_FDCWD, target, LOOKUP_DIRECTORY, &d);
	if (err)
		return err;
	mutex_lock(&vfs_get()->rename_lock);
	if (flags & (MS_REMOUNT | MS_PRIVATE)) {
		if (d->vnode->mount->root != d)
			err = -EINVAL;
		else if (flags & MS_REMOUNT)
			d->vnode->mount->flags = flags & keep;
		persist_touch(&d->vnode->mount->persistent);
	} else {
		err = mount_new(source, d, type, flags, data);
	}
	mutex_unlock(&vfs_get()->rename_lock);
	dentry_put(d);
	return err;
}

struct dentry *
tree_next(struct dentry *top, struct dentry *d)
{
	if (d->dir && !list_empty(&d->dir->children))
		return list_first(&d->dir->children, struct dentry, sibling);
	while (d != top) {
		if (d->sibling.next != &d->parent->dir->children)
			return list_entry(d->sibling.next, struct dentry, sibling);
		d = d->parent;
	}
	return NULL;
}

/* => ns lock held. Whether someone holds a file or directory of m, beside the tree itself and
 * `mine` references on the root. */
static bool
tree_busy(struct mount *m, u32 mine)
{
	for (struct dentry *d = m->root; d; d = tree_next(m->root, d)) {
		u32 own = 1 + (d->dir ? d->dir->count : 0) + (d == m->root ? mine : 0);

		if (d->mounted || atomic_load(&d->refs.value) != own)
			return true;
	}
	return false;
}

static bool
has_mounts_inside(struct mount *m)
{
	struct mount *o;

	list_for_each_entry (o, &vfs_get()->mounts, link)
		if (o->point && o->point->vnode->mount == m)
			return true;
	return false;
}

int
vfs_umount(const char *target, unsigned flags)
{
	struct dentry *d, *point = NULL;
	struct mount *m;
	int err;

	if (flags & ~(MNT_FORCE_K | MNT_DETACH_K | UMOUNT_NOFOLLOW_K))
		return -EINVAL;
	if (!current_capable())
		return -EPERM;
	err = path_lookup(AT_FDCWD, target, flags & UMOUNT_NOFOLLOW_K ? LOOKUP_NOFOLLOW : 0, &d);
	if (err)
		return err;
	m = d->vnode->mount;
	mutex_lock(&vfs_get()->rename_lock);
	ns_write_lock();
	if (m->root != d || !m->point)
		err = -EINVAL;
	else if (has_mounts_inside(m) || (!(flags & MNT_DETACH_K) && tree_busy(m, 1)))
		err = -EBUSY;
	if (err == 0) {
		point = m->point;
		point->mounted = NULL;
		m->point = NULL;
		list_del(&m->link);
		vfs_get()->names++;
	}
	ns_write_unlock();
	mutex_unlock(&vfs_get()->rename_lock);
	dentry_put(point);
	dentry_put(d);
	if (err == 0 && m->kind == FS_RAM)
		mount_discard(m);
	return err;
}
