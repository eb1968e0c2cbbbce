/*
 * References to places in the name space, in records of the store.
 *
 * A name over a file that is saved is written as (directory, name), a directory as itself. A file
 * whose name is gone, and a memfd, have a dentry of their own, which is written with its name where
 * it is referred to. What the kernel makes anew at each start (/proc, /sys, device nodes) is
 * written as a path in its file system, and looked up when it is read.
 */
#include <asm/errno.h>
#include <linux/stat.h>
#include "file/dentry.h"
#include "file/persist.h"
#include "file/record.h"
#include "lib/hash.h"
#include "lib/string.h"
#include "mm/slab.h"

bool
vnode_is_saved(const struct vnode *v)
{
	enum fs_kind kind = v->mount->kind;

	return (kind == FS_RAM || kind == FS_DEV || kind == FS_HIDDEN) &&
	       (v->ops == &ram_dir_ops || v->ops == &ram_file_ops || v->ops == &ram_link_ops ||
		v->ops == &ram_special_ops);
}

/* --- writing --- */

/* The path of d in its mount, from the end of buf; NULL: too long. */
static const char *
path_in_mount(const struct dentry *d, char *buf, size_t size)
{
	char *at = buf + size - 1;

	*at = 0;
	for (; d->parent != d; d = d->parent) {
		if (at - buf < d->len + 1)
			return NULL;
		at -= d->len;
		memcpy(at, d->name, d->len);
		if (d->parent->parent != d->parent)
			*--at = '/';
	}
	return at;
}

static void
name_save(struct persist_writer *w, struct dentry *d)
{
	tag_bytes(&w->tags, PLACE_NAME, d->name, d->len);
	if (d->in_tree) {
		persist_ref(w, PLACE_IN, &vnode_persist, d->parent->vnode);
		return;
	}
	persist_ref(w, PLACE_VNODE, &vnode_persist, d->vnode);
	if (vnode_is_saved(d->parent->vnode))
		persist_ref(w, PLACE_PARENT, &vnode_persist, d->parent->vnode);
}

void
place_save(struct persist_writer *w, u16 tag, struct dentry *d)
{
	char path[PATH_SAVED_MAX];
	const char *at;
	size_t group;

	if (!d)
		return;
	group = tag_begin(&w->tags, tag);
	if (vnode_is_saved(d->vnode)) {
		if (d->vnode->dir == d)
			persist_ref(w, PLACE_DIR, &vnode_persist, d->vnode);
		else
			name_save(w, d);
	} else if (anon_dentry_file(d)) {
		persist_ref(w, PLACE_FILE, &file_persist, anon_dentry_file(d));
	} else {
		at = path_in_mount(d, path, sizeof(path));
		tag_u64(&w->tags, PLACE_FS, d->vnode->mount->kind);
		tag_string(&w->tags, PLACE_PATH, at ? at : "?");
	}
	tag_end(&w->tags, group);
}

static u64
path_version(u64 h, const struct dentry *d)
{
	for (; d->parent != d; d = d->parent)
		h = persist_mix(h, hash64(d->name, d->len));
	return h;
}

u64
place_version(struct persist_writer *w, u64 h, struct dentry *d)
{
	if (!d)
		return persist_mix(h, 0);
	if (!vnode_is_saved(d->vnode))
		return anon_dentry_file(d) ? 0
					   : path_version(persist_mix(h, d->vnode->mount->kind), d);
	if (d->vnode->dir != d) {
		h = persist_mix(h, hash64(d->name, d->len));
		if (d->in_tree)
			return persist_mix_ref(w, h, &vnode_persist, d->parent->vnode);
		if (vnode_is_saved(d->parent->vnode))
			h = persist_mix_ref(w, h, &vnode_persist, d->parent->vnode);
	}
	return persist_mix_ref(w, h, &vnode_persist, d->vnode);
}

u64
place_version_seen(struct persist_writer *w, u64 h, struct dentry *d, struct place_seen *seen)
{
	const u64 names = vfs_get()->names;

	if (!d)
		return persist_mix(h, 0);
	if (seen->names != names || !seen->version) {
		seen->version = place_version(w, 1, d);
		seen->names = names;
	}
	return seen->version ? persist_mix(h, seen->version) : 0;
}

/* --- reading --- */

static int
find_in(struct vnode *dir, const struct tag_reader *in, struct dentry **out)
{
	char name[NAME_LENGTH_MAX + 1];

	if (!tag_get_string(in, PLACE_NAME, name, sizeof(name)) || !dir->dir)
		return -EBADMSG;
	*out = dentry_find(dir->dir, name, strlen(name));
	return *out ? 0 : -EBADMSG;
}

/* A dentry outside of all directories. */
static int
make_lone(struct persist_reader *r, const struct tag_reader *in, struct dentry **out)
{
	struct vnode *v = persist_get(r, in, PLACE_VNODE, &vnode_persist);
	struct vnode *dir = persist_get(r, in, PLACE_PARENT, &vnode_persist);
	struct dentry *parent = dir && dir->dir ? dir->dir : vfs_get()->hidden->root, *d;
	char name[NAME_LENGTH_MAX + 16];

	if (!v || !tag_get_string(in, PLACE_NAME, name, sizeof(name)))
		return -EBADMSG;
	d = dentry_create(parent, name, strlen(name));
	if (!d)
		return -ENOMEM;
	d->unlinked = true;
	d->vnode = v;
	vnode_get(v);
	*out = d;
	return 0;
}

static struct mount *
mount_of_kind(u64 kind)
{
	struct vfs *vfs = vfs_get();
	struct mount *const all[] = {
		[FS_PROC] = vfs->proc, [FS_SYS] = vfs->sys,	  [FS_DEV] = vfs->dev,
		[FS_PTS] = vfs->pts,   [FS_CGROUP] = vfs->cgroup, [FS_HIDDEN] = vfs->hidden};

	return kind < ARRAY_SIZE(all) ? all[kind] : NULL;
}

static int
find_path(const struct tag_reader *in, struct dentry **out)
{
	struct mount *m = mount_of_kind(tag_get_u64(in, PLACE_FS, FS_HIDDEN));
	char path[PATH_SAVED_MAX];
	const char *p = path;
	struct dentry *d;
	int err = 0;

	if (!m || !tag_get_string(in, PLACE_PATH, path, sizeof(path)))
		return -EBADMSG;
	d = m->root;
	dentry_get(d);
	while (*p && err == 0) {
		const char *slash = strchr(p, '/');
		size_t len = slash ? (size_t)(slash - p) : strlen(p);
		struct dentry *next = NULL;

		err = vnode_is_dir(d->vnode) ? dir_lookup(d, p, len, false, &next) : -ENOENT;
		dentry_put(d);
		d = next;
		p += slash ? len + 1 : len;
	}
	if (err)
		return -ENOENT;
	*out = d;
	return 0;
}

int
place_load(struct persist_reader *r, const struct tag_reader *in, u16 tag, struct dentry **out)
{
	struct tag_field f = {0};
	struct tag_reader group;
	struct vnode *v;
	struct file *file;

	if (!tag_next(in, tag, &f))
		return -ENOENT;
	group = tag_group(&f);
	v = persist_get(r, &group, PLACE_DIR, &vnode_persist);
	if (v) {
		if (!v->dir)
			return -EBADMSG;
		*out = v->dir;
		dentry_get(*out);
		return 0;
	}
	v = persist_get(r, &group, PLACE_IN, &vnode_persist);
	if (v)
		return find_in(v, &group, out);
	file = persist_get(r, &group, PLACE_FILE, &file_persist);
	if (file)
		return anon_dentry(file, out);
	f = (struct tag_field){0};
	return tag_next(&group, PLACE_VNODE, &f) ? make_lone(r, &group, out)
						 : find_path(&group, out);
}
