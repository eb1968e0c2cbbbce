/*
 * Open files in the store, and vfs_make_objects, which has to come before the first cut.
 *
 * A record has what all kinds have in common, and a group with the kind's own fields (struct
 * file_persist). A kind without one is opened again: files and directories at once, as nothing
 * happens then; device nodes when linking; what /proc and /sys generate when everything is linked,
 * since it may be a process's.
 */
#include <asm/errno.h>
#include <asm/fcntl.h>
#include <linux/stat.h>
#include "file/dentry.h"
#include "file/persist.h"
#include "lib/assert.h"

enum {
	F_KIND = 1,
	F_FLAGS = 2,
	F_MODE = 3,
	F_ACCESS = 4, /* 1: readable, 2: writable */
	F_POS = 5,
	F_PLACE = 6,
	F_VNODE = 7,
	F_INO = 8,
	F_OWNER = 9,
	F_OWNER_SIGNAL = 10,
	F_STATE = 11,
};

#define SIGNAL_LAST 64

/* --- the kinds --- */

enum { KIND_REOPENED = 0, KIND_LOST = FILE_SAVED_KINDS };

const struct file_persist file_reopened = {.number = KIND_REOPENED};
const struct file_persist file_lost = {.number = KIND_LOST};

static ssize_t
lost_transfer(struct file *f, struct uio *u, u64 *pos)
{
	return -EIO;
}

static unsigned
lost_poll(struct file *f, struct poll_table *pt)
{
	return POLL_ERR | POLL_HUP;
}

static const struct file_ops lost_ops = {
	.kind = "lost",
	.read = lost_transfer,
	.write = lost_transfer,
	.poll = lost_poll,
	.persist = &file_lost,
};

void
file_persist_register(const struct file_ops *ops)
{
	struct vfs *vfs = vfs_prepare();
	u16 n = ops->persist->number;

	if (!vfs)
		return;
	assert(n > KIND_REOPENED && n < FILE_SAVED_KINDS);
	assert(!vfs->saved_kinds[n] || vfs->saved_kinds[n] == ops);
	atomic_store(&vfs->saved_kinds[n], ops);
}

/* --- writing --- */

static u64
file_version(struct persist_writer *w, void *object)
{
	struct file *f = object;
	const struct file_persist *kind = f->ops->persist;
	u64 version = persist_mix(f->pos, (u64)f->flags << 32 | f->mode);

	if (kind->save && !kind->version)
		return 0;
	version = persist_mix(version, (u64)(u32)f->owner_pid << 32 | (u32)f->owner_sig);
	version = place_version_seen(w, version, f->dentry, &f->place);
	return version && kind->version ? kind->version(w, version, f) : version;
}

static void
file_save(struct persist_writer *w, void *object)
{
	struct file *f = object;
	const struct file_persist *kind = f->ops->persist;
	struct tag_writer *t = &w->tags;
	size_t group;

	tag_u64(t, F_KIND, kind->number);
	tag_u64(t, F_FLAGS, f->flags);
	tag_u64(t, F_MODE, f->mode);
	tag_u64(t, F_ACCESS, (f->readable ? 1u : 0u) | (f->writable ? 2u : 0u));
	tag_u64(t, F_POS, f->pos);
	tag_u64(t, F_INO, f->ino);
	if (f->owner_pid)
		tag_u64(t, F_OWNER, (u64)(s64)f->owner_pid);
	if (f->owner_sig)
		tag_u64(t, F_OWNER_SIGNAL, (u64)f->owner_sig);
	place_save(w, F_PLACE, f->dentry);
	if (f->vnode && vnode_is_saved(f->vnode))
		persist_ref(w, F_VNODE, &vnode_persist, f->vnode);
	if (!kind->save)
		return;
	group = tag_begin(t, F_STATE);
	kind->save(w, f);
	tag_end(t, group);
}

/* --- making and linking --- */

static int
file_make(struct persist_reader *r, void **out)
{
	u64 kind = tag_get_u64(&r->tags, F_KIND, KIND_LOST);
	u64 access = tag_get_u64(&r->tags, F_ACCESS, 0);
	const struct file_ops *ops = &lost_ops;
	struct file *f;

	if (kind > KIND_LOST || tag_get_u64(&r->tags, F_OWNER_SIGNAL, 0) > SIGNAL_LAST)
		return -EBADMSG;
	if (kind > KIND_REOPENED && kind < FILE_SAVED_KINDS) {
		ops = vfs_get()->saved_kinds[kind];
		if (!ops)
			return -EBADMSG;
	}
	f = file_create(ops, (unsigned)tag_get_u64(&r->tags, F_FLAGS, 0), NULL);
	if (!f)
		return -ENOMEM;
	f->mode = (unsigned)tag_get_u64(&r->tags, F_MODE, 0) & ~FILE_WRITER;
	f->readable = (access & 1) != 0;
	f->writable = (access & 2) != 0;
	f->pos = tag_get_u64(&r->tags, F_POS, 0);
	f->ino = tag_get_u64(&r->tags, F_INO, f->ino);
	f->owner_pid = (int)tag_get_u64(&r->tags, F_OWNER, 0);
	f->owner_sig = (int)tag_get_u64(&r->tags, F_OWNER_SIGNAL, 0);
	*out = f;
	return 0;
}

/* The name and the file: both, or neither when it is not there any more. */
static int
find_place(struct persist_reader *r, struct file *f)
{
	struct vnode *v = persist_get(r, &r->tags, F_VNODE, &vnode_persist);
	int err = place_load(r, &r->tags, F_PLACE, &f->dentry);

	if (err == -ENOENT)
		return 0;
	if (err)
		return err;
	if (!v)
		v = f->dentry->vnode;
	if (!v || (f->dentry->vnode && f->dentry->vnode != v))
		return -EBADMSG;
	vnode_get(v);
	f->vnode = v;
	return 0;
}

static void
open_again(struct file *f)
{
	struct vnode *v = f->vnode;
	int err = 0;

	if (f->mode & FILE_PATH) {
		f->ops = &path_file_ops;
		return;
	}
	f->ops = v->file_ops;
	if (v->ops->open && !(S_ISREG(v->attr.mode) && v->ops == &ram_file_ops))
		err = v->ops->open(v, f);
	if (err || !f->ops)
		f->ops = &lost_ops;
}

/* Of /proc and /sys: a process's files are there when the process is. A place that is not there yet
 * (in /dev/pts, whose nodes come with their masters) is looked for again at the start, too. */
static bool
opens_late(const struct file *f)
{
	return f->vnode->mount &&
	       (f->vnode->mount->kind == FS_PROC || f->vnode->mount->kind == FS_SYS);
}

static int
file_link(struct persist_reader *r, void *object)
{
	struct file *f = object;
	bool writer = (tag_get_u64(&r->tags, F_MODE, 0) & FILE_WRITER) != 0;
	struct tag_field state = {0};
	struct tag_reader in = {0};
	int err = find_place(r, f);

	if (err)
		return err;
	if (f->vnode && writer && vnode_write_begin(f->vnode) == 0)
		f->mode |= FILE_WRITER;
	if (f->ops != &lost_ops) {
		if (tag_next(&r->tags, F_STATE, &state))
			in = tag_group(&state);
		err = f->ops->persist->link(r, &in, f);
		if (err)
			f->ops = &lost_ops; /* the kind's release is not owed */
		return err;
	}
	if (!f->vnode || tag_get_u64(&r->tags, F_KIND, 0) != KIND_REOPENED)
		return 0;
	if (!opens_late(f))
		open_again(f);
	return 0;
}

static int
file_start(struct persist_reader *r, void *object)
{
	struct file *f = object;
	struct tag_field state = {0};
	struct tag_reader in;
	int err = f->vnode ? 0 : find_place(r, f);

	if (err)
		return err;
	if (f->ops == &lost_ops && f->vnode && tag_get_u64(&r->tags, F_KIND, 0) == KIND_REOPENED)
		open_again(f);
	if (!f->ops->persist->start || !tag_next(&r->tags, F_STATE, &state))
		return 0;
	in = tag_group(&state);
	return f->ops->persist->start(r, &in, f);
}

static void
file_drop(void *object)
{
	file_put(object);
}

/*
 * Members of struct epoll over a power cut:
 *	written	items
 *	made	refs change count file lock ready waiters pollers
 */
/*
 * Members of struct epoll_item over a power cut:
 *	written	file fd events data
 *	made	node ep state link file_link no_memory used waiter more
 */
/*
 * Members of struct file over a power cut:
 *	written	ops flags mode readable writable pos vnode dentry private ino owner_pid
 *		owner_sig
 *	made	refs pos_lock lock epoll_items place persistent
 */
const struct persist_kind file_persist = {
	.name = "file",
	.number = 83,
	.member = offsetof(struct file, persistent),
	.save = file_save,
	.version = file_version,
	.make = file_make,
	.link = file_link,
	.start = file_start,
	.put = file_drop,
};

/* --- before the first cut --- */

/* => ns lock held. The next dentry of a regular file that has no vm_object yet, at or behind d in
 * its mount; NULL. */
static struct dentry *
next_without_object(struct dentry *top, struct dentry *d)
{
	for (; d; d = tree_next(top, d))
		if (d->vnode && d->vnode->ops == &ram_file_ops && !d->vnode->object &&
		    d->vnode->attr.size > 0)
			return d;
	return NULL;
}

/* The names may change meanwhile: a dentry that left the tree sends us back to the top. */
static int
make_objects_in(struct mount *m)
{
	struct dentry *at = m->root, *d;
	int err = 0;

	for (;;) {
		ns_read_lock();
		d = next_without_object(m->root, at->in_tree ? at : m->root);
		if (d)
			dentry_get(d);
		ns_read_unlock();
		if (at != m->root)
			dentry_put(at);
		if (!d)
			return 0;
		at = d;
		err = ram_file_ready(d->vnode);
		if (err)
			break;
	}
	dentry_put(at);
	return err;
}

int
vfs_make_objects(void)
{
	return make_objects_in(vfs_get()->root->vnode->mount);
}
