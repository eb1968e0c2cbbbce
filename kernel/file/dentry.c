/*
 * Dentries: names in directories, and the tree they form.
 *
 * Life: dentry_create (one reference, negative, apart) -> a vnode is set -> dentry_attach (one more
 * reference, the tree's) -> dentry_detach (the caller drops the tree's) -> freed at the last put,
 * which drops the reference on the parent in turn.
 *
 * A directory's children are in a list by `seq`, which never changes while the name stays (so a
 * getdents position is good across changes), and in a hash table that grows with their number.
 *
 * Locks: the name space lock, see dentry.h. Puts that may free are made outside of it.
 */
#include <asm/errno.h>
#include "file/dentry.h"
#include "lib/assert.h"
#include "lib/string.h"
#include "mm/slab.h"

void
ns_read_lock(void)
{
	/* The thread cannot change cores here: the kernel is preempted only where it sleeps. */
	spin_lock(&vfs_get()->locks[this_core()->arch.index].lock);
}

void
ns_read_unlock(void)
{
	/* Interrupts were off, so this is the same core. */
	spin_unlock(&vfs_get()->locks[this_core()->arch.index].lock);
}

void
ns_write_lock(void)
{
	struct vfs *vfs = vfs_get();

	/* Cores that are not up yet do not walk. */
	for (u32 i = 0; i < machine()->ncores; i++)
		spin_lock(&vfs->locks[i].lock);
}

void
ns_write_unlock(void)
{
	struct vfs *vfs = vfs_get();

	for (u32 i = machine()->ncores; i-- > 0;)
		spin_unlock(&vfs->locks[i].lock);
}

u32
name_hash(const char *name, size_t len)
{
	u32 h = 0x811c9dc5u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (u8)name[i]) * 0x01000193u;
	return h ^ (h >> 15);
}

struct dentry *
dentry_create(struct dentry *parent, const char *name, size_t len)
{
	struct dentry *d = kzalloc(sizeof(*d) + len + 1);

	if (!d)
		return NULL;
	refcount_init(&d->refs, 1);
	d->name = d->own_name;
	memcpy(d->name, name, len);
	d->len = (u16)len;
	d->hash = name_hash(name, len);
	list_init(&d->sibling);
	d->parent = parent ? parent : d;
	if (parent)
		dentry_get(parent);
	return d;
}

void
dentry_get(struct dentry *d)
{
	refcount_get(&d->refs);
}

void
dentry_put(struct dentry *d)
{
	while (d && refcount_put(&d->refs)) {
		struct dentry *parent = d->parent != d ? d->parent : NULL;

		assert(!d->in_tree);
		if (d->vnode && d->vnode->dir == d) {
			d->vnode->dir = NULL;
			vnode_touch(d->vnode);
		}
		if (d->vnode)
			vnode_put(d->vnode);
		if (d->dir && d->dir->table != d->dir->small)
			kfree(d->dir->table);
		kfree(d->dir);
		if (d->name != d->own_name)
			kfree(d->name);
		kfree(d);
		d = parent;
	}
}

struct vnode *
dentry_vnode(struct dentry *d)
{
	return d->vnode;
}

struct dentry *
dentry_child(struct dentry *dir, const char *name, size_t len, u32 hash)
{
	struct dir_index *x = dir->dir;

	if (!x)
		return NULL;
	for (struct dentry *d = x->table[hash & (x->nbuckets - 1)]; d; d = d->hash_next)
		if (d->hash == hash && d->len == len && memcmp(d->name, name, len) == 0)
			return d;
	return NULL;
}

struct dentry *
dentry_find(struct dentry *dir, const char *name, size_t len)
{
	u32 hash = name_hash(name, len);
	struct dentry *d;

	ns_read_lock();
	d = dentry_child(dir, name, len, hash);
	if (d)
		dentry_get(d);
	ns_read_unlock();
	return d;
}

/* The names in a directory, or its own. => ns write lock held (or the tree is not public yet) */
static void
touch_names(struct dentry *dir)
{
	vfs_get()->names++;
	if (dir->vnode)
		vnode_touch(dir->vnode);
}

int
dentry_make_index(struct dentry *dir)
{
	struct dir_index *x;

	if (dir->dir)
		return 0;
	x = kzalloc(sizeof(*x));
	if (!x)
		return -ENOMEM;
	list_init(&x->children);
	x->nbuckets = ARRAY_SIZE(x->small);
	x->table = x->small;
	x->next_seq = 2; /* behind "." and ".." */
	dir->dir = x;
	touch_names(dir);
	return 0;
}

/* Without memory for a larger table the chains just get longer. */
static void
index_grow(struct dir_index *x)
{
	u32 n = x->nbuckets * 8;
	struct dentry **table = kcalloc(n, sizeof(*table));
	struct dentry *d;

	if (!table)
		return;
	list_for_each_entry (d, &x->children, sibling) {
		d->hash_next = table[d->hash & (n - 1)];
		table[d->hash & (n - 1)] = d;
	}
	if (x->table != x->small)
		kfree(x->table);
	x->table = table;
	x->nbuckets = n;
}

static void
index_insert(struct dir_index *x, struct dentry *d)
{
	u32 b;

	if (x->count >= 2 * x->nbuckets)
		index_grow(x);
	b = d->hash & (x->nbuckets - 1);
	d->hash_next = x->table[b];
	x->table[b] = d;
	d->seq = x->next_seq++;
	list_add_tail(&x->children, &d->sibling);
	x->count++;
}

static void
index_remove(struct dir_index *x, struct dentry *d)
{
	struct dentry **p = &x->table[d->hash & (x->nbuckets - 1)];

	while (*p != d)
		p = &(*p)->hash_next;
	*p = d->hash_next;
	d->hash_next = NULL;
	list_del(&d->sibling);
	x->count--;
}

int
dentry_attach(struct dentry *d)
{
	int err = dentry_make_index(d->parent);

	if (err)
		return err;
	assert(!d->in_tree && d->vnode);
	index_insert(d->parent->dir, d);
	touch_names(d->parent);
	touch_names(d);
	d->in_tree = true;
	d->unlinked = false;
	dentry_get(d);
	return 0;
}

/* Gives the last child the position `seq`. Mostly that is where it is. */
static void
index_move(struct dir_index *x, struct dentry *d, u64 seq)
{
	struct list *at = d->sibling.prev;

	d->seq = seq;
	x->next_seq = max(x->next_seq - 1, seq + 1);
	while (at != &x->children && list_entry(at, struct dentry, sibling)->seq > seq)
		at = at->prev;
	list_del(&d->sibling);
	list_add(at, &d->sibling);
}

int
dentry_restore(struct dentry *d, u64 seq)
{
	int err;

	ns_write_lock();
	err = dentry_make_index(d->parent);
	if (err == 0 && dentry_child(d->parent, d->name, d->len, d->hash))
		err = -EEXIST;
	if (err == 0) {
		index_insert(d->parent->dir, d);
		index_move(d->parent->dir, d, seq);
		touch_names(d->parent);
		touch_names(d);
		d->in_tree = true;
		d->unlinked = false;
	}
	ns_write_unlock();
	return err;
}

void
dentry_detach(struct dentry *d)
{
	assert(d->in_tree);
	index_remove(d->parent->dir, d);
	touch_names(d->parent);
	touch_names(d);
	d->in_tree = false;
	d->unlinked = true;
}

void
dentry_move(struct dentry *d, struct dentry *parent, char *name, size_t len)
{
	struct dentry *old = d->parent;

	assert(d->in_tree && parent->dir);
	index_remove(old->dir, d);
	touch_names(old);
	touch_names(parent);
	touch_names(d);
	if (d->name != d->own_name)
		kfree(d->name);
	d->name = name;
	d->len = (u16)len;
	d->hash = name_hash(name, len);
	if (parent != old) {
		dentry_get(parent);
		d->parent = parent;
		/* Never the last: the caller of the move holds the old directory. */
		refcount_put(&old->refs);
	}
	index_insert(parent->dir, d);
}

int
dentry_add(struct dentry *dir, const char *name, size_t len, struct vnode *v, struct dentry **out)
{
	u32 hash = name_hash(name, len);
	struct dentry *d = dentry_create(dir, name, len);
	int err;

	if (!d) {
		vnode_put(v);
		return -ENOMEM;
	}
	d->vnode = v;
	if (vnode_is_dir(v))
		v->dir = d;
	ns_write_lock();
	err = dentry_child(dir, name, len, hash) ? -EEXIST : dentry_attach(d);
	if (err == 0 && vnode_is_dir(v))
		dir->vnode->attr.nlink++;
	ns_write_unlock();
	if (err == 0 && out) {
		*out = d;
		return 0;
	}
	dentry_put(d);
	return err;
}

/* Takes the deepest first child out, again and again: no recursion, each step frees one. */
void
dentry_drop_tree(struct dentry *top)
{
	for (;;) {
		struct dentry *d = top;

		ns_write_lock();
		while (d->dir && !list_empty(&d->dir->children))
			d = list_first(&d->dir->children, struct dentry, sibling);
		if (d == top) {
			ns_write_unlock();
			break;
		}
		dentry_detach(d);
		ns_write_unlock();
		dentry_put(d);
	}
	dentry_put(top);
}

struct dentry *
dentry_cross(struct dentry *d)
{
	while (d->mounted)
		d = d->mounted->root;
	return d;
}

/* The parent across mounts; NULL at the very top or beyond what is mounted. */
static struct dentry *
parent_of(struct dentry *d)
{
	while (d->parent == d) {
		struct mount *m = d->vnode->mount;

		if (m->root != d || !m->point)
			return NULL;
		d = m->point;
	}
	return d->parent;
}

static bool
put_backwards(char *buf, size_t *at, const char *s, size_t n)
{
	if (*at < n)
		return false;
	*at -= n;
	memcpy(buf + *at, s, n);
	return true;
}

int
dentry_path(struct dentry *d, char *buf, size_t size)
{
	struct dentry *root = NULL;
	size_t at = size;
	bool ok = fs_get_root(&root) == 0;

	ns_read_lock();
	if (ok)
		ok = put_backwards(buf, &at, "", 1);
	if (ok && d->unlinked)
		ok = put_backwards(buf, &at, " (deleted)", 10);
	while (ok && d != root) {
		struct dentry *up = parent_of(d);

		if (!up)
			break;
		/* The name is that of the mount point when d is a mount's root. */
		while (d->parent == d)
			d = d->vnode->mount->point;
		ok = put_backwards(buf, &at, d->name, d->len) && put_backwards(buf, &at, "/", 1);
		d = dentry_cross(up) == root ? root : up;
	}
	if (ok && (at == size - 1 || buf[at] != '/'))
		ok = put_backwards(buf, &at, "/", 1);
	ns_read_unlock();
	dentry_put(root);
	if (!ok)
		return -ENAMETOOLONG;
	memmove(buf, buf + at, size - at);
	return (int)(size - at - 1);
}
