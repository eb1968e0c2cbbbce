/*
 * Working directory, root directory and umask of a process (shared with CLONE_FS).
 *
 * Locks: fs_context.lock for the two pointers; the dentries are referenced. Kernel threads have no
 * context and work from the root of the name space.
 */
#include <asm/errno.h>
#include "file/dentry.h"
#include "file/persist.h"
#include "mm/slab.h"

struct fs_context {
	struct refcount refs;
	struct spinlock lock;		       /* rank RANK_NAMESPACE */
	struct dentry *root;		       /* [lock] */
	struct dentry *cwd;		       /* [lock] */
	u32 umask;			       /* [a] */
	struct place_seen root_seen, cwd_seen; /* [cut] */
	struct persistent persistent;
};

static struct fs_context *
current_fs(void)
{
	const struct vfs_proc_ops *ops = vfs_get()->proc_ops;

	if (!ops || !current_thread() || !current_thread()->process)
		return NULL;
	return ops->current_fs();
}

struct fs_context *
fs_context_create(void)
{
	struct fs_context *c = kzalloc(sizeof(*c));

	if (!c)
		return NULL;
	refcount_init(&c->refs, 1);
	spin_init(&c->lock, "fs context", RANK_NAMESPACE);
	c->root = c->cwd = vfs_get()->root;
	dentry_get(c->root);
	dentry_get(c->cwd);
	c->umask = 022;
	return c;
}

struct fs_context *
fs_context_fork(struct fs_context *from)
{
	struct fs_context *c = kzalloc(sizeof(*c));

	if (!c)
		return NULL;
	refcount_init(&c->refs, 1);
	spin_init(&c->lock, "fs context", RANK_NAMESPACE);
	spin_lock(&from->lock);
	c->root = from->root;
	c->cwd = from->cwd;
	dentry_get(c->root);
	dentry_get(c->cwd);
	c->umask = from->umask;
	spin_unlock(&from->lock);
	return c;
}

void
fs_context_get(struct fs_context *c)
{
	refcount_get(&c->refs);
}

void
fs_context_put(struct fs_context *c)
{
	if (!refcount_put(&c->refs))
		return;
	dentry_put(c->root);
	dentry_put(c->cwd);
	kfree(c);
}

u32
fs_context_umask(struct fs_context *c)
{
	return atomic_load(&c->umask);
}

u32
fs_umask(void)
{
	struct fs_context *c = current_fs();

	return c ? atomic_load(&c->umask) : 0;
}

u32
fs_set_umask(u32 mask)
{
	struct fs_context *c = current_fs();

	return c ? atomic_xchg(&c->umask, mask & 0777) : 0;
}

int
fs_context_paths(struct fs_context *c, struct dentry **root, struct dentry **cwd)
{
	spin_lock(&c->lock);
	*root = c->root;
	*cwd = c->cwd;
	dentry_get(c->root);
	dentry_get(c->cwd);
	spin_unlock(&c->lock);
	return 0;
}

/* One of the two places, referenced. Kernel threads: the root of all. */
static int
get_place(struct dentry **out, bool root)
{
	struct fs_context *c = current_fs();

	if (!c) {
		*out = vfs_get()->root;
		if (!*out)
			return -ENOENT;
		dentry_get(*out);
		return 0;
	}
	spin_lock(&c->lock);
	*out = root ? c->root : c->cwd;
	dentry_get(*out);
	spin_unlock(&c->lock);
	return 0;
}

int
fs_get_cwd(struct dentry **out)
{
	return get_place(out, false);
}

int
fs_get_root(struct dentry **out)
{
	return get_place(out, true);
}

static int
set_place(struct dentry *d, bool root)
{
	struct fs_context *c = current_fs();
	struct dentry *old;

	if (!c)
		return -EINVAL;
	dentry_get(d);
	spin_lock(&c->lock);
	old = root ? c->root : c->cwd;
	if (root)
		c->root = d;
	else
		c->cwd = d;
	c->root_seen = c->cwd_seen = (struct place_seen){0};
	spin_unlock(&c->lock);
	dentry_put(old);
	return 0;
}

int
fs_set_cwd(struct dentry *d)
{
	return set_place(d, false);
}

int
fs_set_root(struct dentry *d)
{
	return set_place(d, true);
}

/* --- the store --- */

enum { FS_ROOT = 1, FS_CWD = 2, FS_UMASK = 3 };

static void
fs_save(struct persist_writer *w, void *object)
{
	struct fs_context *c = object;

	place_save(w, FS_ROOT, c->root);
	place_save(w, FS_CWD, c->cwd);
	tag_u64(&w->tags, FS_UMASK, c->umask);
}

static u64
fs_version(struct persist_writer *w, void *object)
{
	struct fs_context *c = object;
	u64 version = place_version_seen(w, c->umask, c->root, &c->root_seen);

	return version ? place_version_seen(w, version, c->cwd, &c->cwd_seen) : 0;
}

static int
fs_make(struct persist_reader *r, void **out)
{
	struct fs_context *c = kzalloc(sizeof(*c));

	if (!c)
		return -ENOMEM;
	refcount_init(&c->refs, 1);
	spin_init(&c->lock, "fs context", RANK_NAMESPACE);
	c->umask = tag_get_u64(&r->tags, FS_UMASK, 022) & 0777;
	*out = c;
	return 0;
}

/* A directory that is gone, such as a process's in /proc: the root takes its place. */
static int
fs_link(struct persist_reader *r, void *object)
{
	struct fs_context *c = object;
	int err = place_load(r, &r->tags, FS_ROOT, &c->root);

	if (err)
		return err == -ENOENT ? -EBADMSG : err;
	err = place_load(r, &r->tags, FS_CWD, &c->cwd);
	if (err == -ENOENT) {
		c->cwd = c->root;
		dentry_get(c->cwd);
		err = 0;
	}
	return err;
}

static void
fs_drop(void *object)
{
	fs_context_put(object);
}

/*
 * Members of struct fs_context over a power cut:
 *	written	root cwd umask
 *	made	refs lock root_seen cwd_seen persistent
 */
const struct persist_kind fs_context_persist = {
	.name = "fs context",
	.number = 85,
	.member = offsetof(struct fs_context, persistent),
	.save = fs_save,
	.version = fs_version,
	.make = fs_make,
	.link = fs_link,
	.put = fs_drop,
};
