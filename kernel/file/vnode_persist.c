/*
 * Vnodes in the store: attributes, a symbolic link's text, a regular file's vm_object, the names in
 * a directory, record locks.
 *
 * A directory's record has its dentry's name, and one group a name in it, in the order of getdents.
 * The dentries are made with the directory and get their vnodes when linking. Of /dev only what
 * users made there is written, and the attributes of the kernel's nodes; the directories are found
 * by path at a resume, as drivers made them already.
 */
#include <asm/errno.h>
#include <linux/stat.h>
#include "file/dentry.h"
#include "file/persist.h"
#include "file/record.h"
#include "lib/string.h"
#include "mm/cut.h"
#include "mm/object.h"
#include "mm/slab.h"

/* --- writing --- */

static void
save_attributes(struct tag_writer *t, const struct attr *a)
{
	tag_u64(t, V_MODE, a->mode);
	tag_u64(t, V_UID, a->uid);
	tag_u64(t, V_GID, a->gid);
	tag_u64(t, V_NLINK, a->nlink);
	tag_u64(t, V_INO, a->ino);
	tag_u64(t, V_DEV, a->dev);
	tag_u64(t, V_RDEV, a->rdev);
	tag_u64(t, V_ATIME, (u64)a->atime);
	tag_u64(t, V_MTIME, (u64)a->mtime);
	tag_u64(t, V_CTIME, (u64)a->ctime);
	tag_u64(t, V_BTIME, (u64)a->btime);
}

static void
save_child(struct persist_writer *w, struct dentry *d)
{
	const struct attr *a = &d->vnode->attr;
	size_t group = tag_begin(&w->tags, V_CHILD);

	tag_bytes(&w->tags, CHILD_NAME, d->name, d->len);
	tag_u64(&w->tags, CHILD_SEQ, d->seq);
	if (vnode_is_saved(d->vnode)) {
		persist_ref(w, vnode_is_dir(d->vnode) ? CHILD_DIR : CHILD_FILE, &vnode_persist,
			    d->vnode);
	} else {
		tag_u64(&w->tags, CHILD_MODE, a->mode);
		tag_u64(&w->tags, CHILD_IDS, (u64)a->uid << 32 | a->gid);
	}
	tag_end(&w->tags, group);
}

/* "shm" or "a/b": from the root of /dev. */
static void
save_dev_path(struct persist_writer *w, const struct dentry *d)
{
	char path[PATH_SAVED_MAX], *at = path + sizeof(path) - 1;

	*at = 0;
	for (; d->parent != d && at - path > d->len + 1; d = d->parent) {
		at -= d->len;
		memcpy(at, d->name, d->len);
		if (d->parent->parent != d->parent)
			*--at = '/';
	}
	tag_string(&w->tags, V_DEV_PATH, at);
}

static void
save_directory(struct persist_writer *w, struct vnode *v)
{
	struct dentry *dir = v->dir, *d;

	if (!dir)
		return; /* removed, and only watched */
	tag_bytes(&w->tags, V_NAME, dir->name, dir->len);
	if (dir->unlinked)
		persist_ref(w, V_PARENT, &vnode_persist, dir->parent->vnode);
	else if (v->mount->kind == FS_DEV)
		save_dev_path(w, dir);
	if (!dir->dir)
		return;
	tag_u64(&w->tags, V_NEXT_SEQ, dir->dir->next_seq);
	list_for_each_entry (d, &dir->dir->children, sibling)
		save_child(w, d);
}

static void
vnode_save(struct persist_writer *w, void *object)
{
	struct vnode *v = object;

	save_attributes(&w->tags, &v->attr);
	tag_u64(&w->tags, V_FLAGS, v->flags);
	tag_u64(&w->tags, V_SEALS, v->seals);
	if (S_ISLNK(v->attr.mode))
		tag_string(&w->tags, V_TEXT, v->private);
	persist_ref(w, V_OBJECT, &vm_object_persist, v->object);
	persist_ref(w, V_MOUNT, &mount_persist, v->mount);
	if (S_ISDIR(v->attr.mode))
		save_directory(w, v);
	locks_save(w, V_LOCK, v);
}

/* Locks know their owners, which are written each time. */
static bool
vnode_restless(const void *object)
{
	return locks_any(object);
}

/* --- making --- */

static void
load_attributes(const struct tag_reader *t, struct attr *a)
{
	a->mode = (u32)tag_get_u64(t, V_MODE, 0);
	a->uid = (u32)tag_get_u64(t, V_UID, 0);
	a->gid = (u32)tag_get_u64(t, V_GID, 0);
	a->nlink = (u32)tag_get_u64(t, V_NLINK, 0);
	a->ino = tag_get_u64(t, V_INO, a->ino);
	a->dev = tag_get_u64(t, V_DEV, a->dev);
	a->rdev = tag_get_u64(t, V_RDEV, 0);
	a->atime = (ns_t)tag_get_u64(t, V_ATIME, 0);
	a->mtime = (ns_t)tag_get_u64(t, V_MTIME, 0);
	a->ctime = (ns_t)tag_get_u64(t, V_CTIME, 0);
	a->btime = (ns_t)tag_get_u64(t, V_BTIME, 0);
}

/* A name that the kernel has put into its /dev. */
static int
find_in_dev(struct dentry *dir, const char *name, struct vnode **out)
{
	struct dentry *d = dentry_find(dir, name, strlen(name));

	if (!d)
		return -ENOENT;
	*out = d->vnode;
	vnode_get(*out);
	dentry_put(d);
	return 0;
}

/* The directory of /dev at `path`, made where it is missing; referenced. */
static int
dev_directory(char *path, struct vnode **out)
{
	struct vnode *v = vfs_get()->dev->root->vnode, *child;
	char *name = path, *slash;
	int err = 0;

	vnode_get(v);
	while (*name && err == 0) {
		slash = strchr(name, '/');
		if (slash)
			*slash = 0;
		err = find_in_dev(v->dir, name, &child);
		if (err == -ENOENT) {
			child = ram_vnode(vfs_get()->dev, S_IFDIR | 0755, 0);
			if (child)
				vnode_get(child);
			err = child ? dentry_add(v->dir, name, strlen(name), child, NULL) : -ENOMEM;
		}
		vnode_put(v);
		v = child;
		name = slash ? slash + 1 : name + strlen(name);
	}
	if (err == 0 && !(v->dir && v->ops == &ram_dir_ops)) {
		vnode_put(v);
		err = -EBADMSG;
	}
	*out = v;
	return err;
}

/* The dentry of a new directory, with its only reference. */
static int
make_own_dentry(struct persist_reader *r, struct vnode *v)
{
	char name[NAME_LENGTH_MAX + 1];
	struct dentry *d;

	if (!tag_get_string(&r->tags, V_NAME, name, sizeof(name)))
		name[0] = 0;
	d = dentry_create(NULL, name, strlen(name));
	if (!d)
		return -ENOMEM;
	d->vnode = v;
	vnode_get(v);
	v->dir = d;
	return 0;
}

/* A name in /dev gives way to the one that was saved. */
static void
drop_name(struct dentry *dir, const char *name)
{
	struct dentry *d = dentry_find(dir, name, strlen(name));

	if (!d)
		return;
	ns_write_lock();
	dentry_detach(d);
	ns_write_unlock();
	dentry_put(d);
	dentry_put(d);
}

/* The kernel's node of that name gets the mode and owner it had. */
static void
adjust_node(struct dentry *dir, const char *name, const struct tag_reader *child)
{
	u64 ids = tag_get_u64(child, CHILD_IDS, 0);
	struct vnode *v;

	if (find_in_dev(dir, name, &v))
		return;
	v->attr.mode = (v->attr.mode & S_IFMT) | (tag_get_u64(child, CHILD_MODE, 0) & 07777);
	v->attr.uid = (u32)(ids >> 32);
	v->attr.gid = (u32)ids;
	vnode_put(v);
}

/* A name of a file gets its dentry now, its vnode when linking. Names of directories come then, as
 * they have a dentry of their own. */
static int
make_child(struct vnode *v, const struct tag_reader *child, bool dev)
{
	char name[NAME_LENGTH_MAX + 1];
	struct tag_field f = {0};
	struct dentry *d;
	int err;

	if (!tag_get_string(child, CHILD_NAME, name, sizeof(name)) || !name[0] || strchr(name, '/'))
		return -EBADMSG;
	if (!tag_next(child, CHILD_FILE, &f)) {
		if (dev && !tag_next(child, CHILD_DIR, &f))
			adjust_node(v->dir, name, child);
		return 0;
	}
	if (dev)
		drop_name(v->dir, name);
	d = dentry_create(v->dir, name, strlen(name));
	if (!d)
		return -ENOMEM;
	err = dentry_restore(d, tag_get_u64(child, CHILD_SEQ, 2));
	if (err)
		dentry_put(d);
	return err == -EEXIST ? -EBADMSG : err;
}

static int
make_directory(struct persist_reader *r, struct vnode *v, bool dev)
{
	struct tag_field f = {0};
	int err = dev ? 0 : make_own_dentry(r, v);

	while (err == 0 && tag_next(&r->tags, V_CHILD, &f)) {
		struct tag_reader child = tag_group(&f);

		err = make_child(v, &child, dev);
	}
	return err;
}

static int
make_text(struct persist_reader *r, struct vnode *v)
{
	char *text = kmalloc(PATH_LENGTH_MAX);
	int err = text ? 0 : -ENOMEM;

	if (!err && !tag_get_string(&r->tags, V_TEXT, text, PATH_LENGTH_MAX))
		err = -EBADMSG;
	v->private = err ? NULL : kstrdup(text);
	kfree(text);
	if (!err && !v->private)
		err = -ENOMEM;
	return err;
}

static int
vnode_make(struct persist_reader *r, void **out)
{
	u32 mode = (u32)tag_get_u64(&r->tags, V_MODE, 0);
	char path[PATH_SAVED_MAX];
	bool dev = tag_get_string(&r->tags, V_DEV_PATH, path, sizeof(path));
	struct vnode *v = NULL;
	int err = 0;

	if (dev)
		err = S_ISDIR(mode) ? dev_directory(path, &v) : -EBADMSG;
	else
		v = ram_vnode(NULL, mode, 0);
	if (err || !v)
		return err ? err : -ENOMEM;
	if (dev)
		dentry_get(v->dir);
	load_attributes(&r->tags, &v->attr);
	v->flags = (u32)tag_get_u64(&r->tags, V_FLAGS, 0);
	v->seals = (u32)tag_get_u64(&r->tags, V_SEALS, 0);
	if (S_ISDIR(mode))
		err = make_directory(r, v, dev);
	else if (S_ISLNK(mode))
		err = make_text(r, v);
	if (err) {
		vnode_put(v);
		return err;
	}
	*out = v;
	return 0;
}

/* --- linking --- */

/* A directory's dentry goes into its parent. Those of /dev are there already. */
static int
link_directory(struct vnode *v, struct vnode *target, const struct tag_reader *child)
{
	struct dentry *d = target->dir;
	int err;

	if (v->mount == vfs_get()->dev)
		return 0;
	if (!S_ISDIR(target->attr.mode) || !d || d->parent != d || d == v->dir)
		return -EBADMSG;
	dentry_get(d);
	dentry_get(v->dir);
	d->parent = v->dir;
	err = dentry_restore(d, tag_get_u64(child, CHILD_SEQ, 2));
	return err == -EEXIST ? -EBADMSG : err;
}

static int
link_child(struct persist_reader *r, struct vnode *v, const struct tag_reader *child)
{
	struct vnode *file = persist_get(r, child, CHILD_FILE, &vnode_persist);
	struct vnode *dir = persist_get(r, child, CHILD_DIR, &vnode_persist);
	char name[NAME_LENGTH_MAX + 1];
	struct dentry *d;

	if (dir)
		return link_directory(v, dir, child);
	if (tag_get_u64(child, CHILD_FILE, 0) == 0)
		return 0; /* the kernel's node */
	if (!file || S_ISDIR(file->attr.mode) ||
	    !tag_get_string(child, CHILD_NAME, name, sizeof(name)))
		return -EBADMSG;
	d = dentry_find(v->dir, name, strlen(name));
	if (!d || d->vnode) {
		dentry_put(d);
		return -EBADMSG;
	}
	vnode_get(file);
	d->vnode = file;
	dentry_put(d);
	return 0;
}

static int
link_names(struct persist_reader *r, struct vnode *v)
{
	struct vnode *parent = persist_get(r, &r->tags, V_PARENT, &vnode_persist);
	struct tag_field f = {0};
	int err = 0;

	if (parent) {
		if (!parent->dir || parent == v || v->dir->parent != v->dir)
			return -EBADMSG;
		dentry_get(parent->dir);
		v->dir->parent = parent->dir;
		v->dir->unlinked = true;
	}
	while (err == 0 && tag_next(&r->tags, V_CHILD, &f)) {
		struct tag_reader child = tag_group(&f);

		err = link_child(r, v, &child);
	}
	if (v->dir->dir)
		v->dir->dir->next_seq =
			max(v->dir->dir->next_seq, tag_get_u64(&r->tags, V_NEXT_SEQ, 2));
	return err;
}

static int
vnode_link(struct persist_reader *r, void *object)
{
	struct vnode *v = object;
	struct mount *m = persist_get(r, &r->tags, V_MOUNT, &mount_persist);

	if (!m || (v->mount && v->mount != m))
		return -EBADMSG;
	if (!v->mount) {
		refcount_get(&m->refs);
		v->mount = m;
	}
	v->object = persist_get(r, &r->tags, V_OBJECT, &vm_object_persist);
	if (v->object)
		vm_object_get(v->object);
	if (S_ISREG(v->attr.mode) && !v->object && tag_get_u64(&r->tags, V_OBJECT, 0))
		return -EBADMSG;
	if (S_ISDIR(v->attr.mode)) {
		int err = link_names(r, v);

		if (err)
			return err;
	}
	return locks_load(r, V_LOCK, v);
}

/* Whether the way up ends: what records say may go round. */
static bool
leads_up(const struct dentry *d)
{
	const struct dentry *slow = d;
	bool step = false;

	while (d->parent != d) {
		d = d->parent;
		if (step)
			slow = slow->parent;
		step = !step;
		if (d == slow)
			return false;
	}
	return true;
}

static int
vnode_start(struct persist_reader *r, void *object)
{
	const struct vnode *v = object;

	return v->dir && !leads_up(v->dir) ? -EBADMSG : 0;
}

/* make's reference, and that of a directory's dentry. */
static void
vnode_drop(void *object)
{
	struct vnode *v = object;

	if (S_ISDIR(v->attr.mode))
		dentry_put(v->dir);
	vnode_put(v);
}

/*
 * Members of struct vnode over a power cut:
 *	written	mount attr object private locks flags seals dir
 *	made	refs ops file_ops lock socket fifo watches writers persistent
 */
const struct persist_kind vnode_persist = {
	.name = "vnode",
	.number = RECORD_VNODE,
	.member = offsetof(struct vnode, persistent),
	.save = vnode_save,
	.marked = true,
	.restless = vnode_restless,
	.make = vnode_make,
	.link = vnode_link,
	.start = vnode_start,
	.put = vnode_drop,
};
