/*
 * Mounts and the name space in the store.
 *
 * A resume begins on the mounts that every boot makes. The name space's record takes them all out
 * of their places when it is made; the saved mounts are put in, one over the other as they were,
 * when it is linked. The ram file systems are new ones; /dev, /proc, /sys and what the kernel makes
 * anew in them are those of this boot.
 */
#include <asm/errno.h>
#include "file/dentry.h"
#include "file/persist.h"
#include "file/record.h"
#include "lib/string.h"
#include "mm/slab.h"

static struct mount **
singleton(enum fs_kind kind)
{
	struct vfs *vfs = vfs_get();
	struct mount **const all[] = {
		[FS_PROC] = &vfs->proc, [FS_SYS] = &vfs->sys,	    [FS_DEV] = &vfs->dev,
		[FS_PTS] = &vfs->pts,	[FS_CGROUP] = &vfs->cgroup, [FS_HIDDEN] = &vfs->hidden};

	return kind < ARRAY_SIZE(all) ? all[kind] : NULL;
}

static void
mount_save(struct persist_writer *w, void *object)
{
	struct mount *m = object;

	tag_u64(&w->tags, M_KIND, m->kind);
	tag_u64(&w->tags, M_DEV, m->dev);
	tag_u64(&w->tags, M_FLAGS, m->flags);
	tag_string(&w->tags, M_SOURCE, m->source);
	tag_u64(&w->tags, M_LIMIT, m->limit_pages);
}

static struct mount *
mount_alloc(const struct tag_reader *t)
{
	struct mount *m = kzalloc(sizeof(*m));

	if (!m)
		return NULL;
	refcount_init(&m->refs, 1);
	list_init(&m->link);
	m->kind = FS_RAM;
	if (!tag_get_string(t, M_SOURCE, m->own_source, sizeof(m->own_source)))
		string_copy(m->own_source, "none", sizeof(m->own_source));
	m->source = m->own_source;
	m->limit_pages = tag_get_u64(t, M_LIMIT, 0);
	return m;
}

static int
mount_make(struct persist_reader *r, void **out)
{
	u64 kind = tag_get_u64(&r->tags, M_KIND, FS_HIDDEN + 1);
	struct mount *m;

	if (kind > FS_HIDDEN)
		return -EBADMSG;
	if (singleton(kind)) {
		m = *singleton(kind);
		refcount_get(&m->refs);
	} else {
		m = mount_alloc(&r->tags);
		if (!m)
			return -ENOMEM;
	}
	m->dev = tag_get_u64(&r->tags, M_DEV, m->dev);
	m->flags = tag_get_u64(&r->tags, M_FLAGS, 0);
	*out = m;
	return 0;
}

static void
mount_drop(void *object)
{
	mount_put(object);
}

/*
 * Members of struct mount over a power cut:
 *	written	kind dev flags source root point limit_pages
 *	made	refs own_source link persistent
 */
const struct persist_kind mount_persist = {
	.name = "mount",
	.number = RECORD_MOUNT,
	.marked = true,
	.member = offsetof(struct mount, persistent),
	.save = mount_save,
	.make = mount_make,
	.put = mount_drop,
};

/* --- the name space --- */

static void
namespace_save(struct persist_writer *w, void *object)
{
	struct vfs *vfs = object;
	struct mount *m;

	tag_u64(&w->tags, N_NEXT_INO, vfs->next_ino);
	tag_u64(&w->tags, N_NEXT_DEV, vfs->next_dev);
	tag_u64(&w->tags, N_PIPE_INO, vfs->pipe_ino);
	list_for_each_entry (m, &vfs->mounts, link) {
		size_t group = tag_begin(&w->tags, N_MOUNT);

		persist_ref(w, AT_MOUNT, &mount_persist, m);
		place_save(w, AT_POINT, m->point);
		if (vnode_is_saved(m->root->vnode))
			persist_ref(w, AT_ROOT, &vnode_persist, m->root->vnode);
		tag_end(&w->tags, group);
	}
}

/* Mounts and vnodes are of marked kinds. */
static u64
namespace_version(struct persist_writer *w, void *object)
{
	const struct vfs *vfs = object;

	return persist_mix(persist_mix(persist_mix(vfs->names, vfs->next_ino), vfs->next_dev),
			   vfs->pipe_ino);
}

/* Empties the name space. The first root stays, for who looks at it just now: the kernel's own
 * threads walk from there until everything is linked. */
static int
namespace_make(struct persist_reader *r, void **out)
{
	struct vfs *vfs = vfs_get();

	ns_write_lock();
	while (!list_empty(&vfs->mounts)) {
		struct mount *m = list_first(&vfs->mounts, struct mount, link);

		list_del(&m->link);
		if (m->point)
			m->point->mounted = NULL;
		m->point = NULL; /* its reference stays with the first root's tree */
	}
	ns_write_unlock();
	vfs->next_ino = max(vfs->next_ino, tag_get_u64(&r->tags, N_NEXT_INO, 0));
	vfs->next_dev = max(vfs->next_dev, tag_get_u64(&r->tags, N_NEXT_DEV, 0));
	vfs->pipe_ino = max(vfs->pipe_ino, tag_get_u64(&r->tags, N_PIPE_INO, 0));
	*out = vfs;
	return 0;
}

/* A new mount's root, which a mount that the kernel makes has. */
static int
give_root(struct persist_reader *r, const struct tag_reader *in, struct mount *m)
{
	struct vnode *v = persist_get(r, in, AT_ROOT, &vnode_persist);

	if (m->root)
		return 0;
	if (!v || !v->dir || v->dir->parent != v->dir)
		return -EBADMSG;
	m->root = v->dir;
	dentry_get(m->root);
	refcount_get(&m->refs); /* the name space's */
	return 0;
}

static int
put_in_place(struct persist_reader *r, const struct tag_reader *in, bool first)
{
	struct mount *m = persist_get(r, in, AT_MOUNT, &mount_persist);
	struct dentry *point = NULL;
	int err = m ? give_root(r, in, m) : -EBADMSG;

	if (err == 0 && !first)
		err = place_load(r, in, AT_POINT, &point);
	if (err == 0 && point == m->root)
		err = -EBADMSG;
	if (err == 0)
		err = mount_at(m, point);
	if (err == 0 && first)
		vfs_get()->saved_root = m->root;
	dentry_put(point);
	return err;
}

static int
namespace_link(struct persist_reader *r, void *object)
{
	struct tag_field f = {0};
	bool first = true;
	int err = 0;

	while (err == 0 && tag_next(&r->tags, N_MOUNT, &f)) {
		struct tag_reader in = tag_group(&f);

		err = put_in_place(r, &in, first);
		first = false;
	}
	return first ? -EBADMSG : err;
}

/* Whether a mount's root is one, and the places of mounts lead up to the first: none is in its own
 * tree. */
static bool
mount_is_sound(const struct vfs *vfs, const struct mount *m)
{
	const struct mount *other;
	unsigned left = 1;

	if (m->root->parent != m->root)
		return false;
	list_for_each_entry (other, &vfs->mounts, link)
		left++;
	while (m && m->point && --left > 0)
		m = m->point->vnode->mount;
	return left > 0;
}

static int
namespace_start(struct persist_reader *r, void *object)
{
	struct vfs *vfs = object;
	const struct mount *m;

	list_for_each_entry (m, &vfs->mounts, link)
		if (!mount_is_sound(vfs, m))
			return -EBADMSG;
	vfs->boot_root = vfs->root;
	atomic_store(&vfs->root, vfs->saved_root);
	return 0;
}

static void
namespace_drop(void *object)
{
}

/*
 * Members of struct vfs over a power cut:
 *	written	root mounts next_ino next_dev pipe_ino
 *	made	names locks rename_lock files_lock files_free files_open proc_ops fd_ops
 *		process_ops proc sys dev pts cgroup hidden prepared devices_lock devices
 *		locks_lock tunables_lock saved_root boot_root saved_kinds persistent
 *	lost	files_made boot_id
 * A new boot has a boot_id of its own, and counts the files that it makes.
 */
const struct persist_kind namespace_persist = {
	.name = "name space",
	.number = RECORD_NAMESPACE,
	.member = offsetof(struct vfs, persistent),
	.save = namespace_save,
	.version = namespace_version,
	.make = namespace_make,
	.link = namespace_link,
	.start = namespace_start,
	.put = namespace_drop,
};
