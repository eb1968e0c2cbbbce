/*
 * Unpacking the root image into the root's ram file system, by reference: a file's bytes stay in
 * the image (see ramfs.c), so the cost is a dentry and a vnode an entry. Runs once, before anyone
 * else sees the tree; a damaged archive gives one clear line and what is whole of it.
 *
 * The parent of the last entry is remembered, since archives list directories together. Hard links
 * meet in a hash table by (device, inode); in the new format the data comes with the last of them.
 */
#include <asm/errno.h>
#include <linux/fcntl.h>
#include <linux/stat.h>
#include "core/klog.h"
#include "file/dentry.h"
#include "lib/cpio.h"
#include "lib/string.h"
#include "mm/slab.h"

#define LINK_BUCKETS 256

struct hard_link {
	struct hard_link *next;
	u32 ino, major, minor;
	struct vnode *vnode; /* referenced: a later entry may replace its names */
};

struct loading {
	struct mount *mount;
	const u8 *image;
	paddr_t paddr;
	struct hard_link *links[LINK_BUCKETS];
	struct dentry *dir; /* parent of the last entry, referenced by the tree */
	const char *dir_name;
	size_t dir_len;
	u32 files, dirs, others, copied, bad;
};

static struct hard_link **
link_bucket(struct loading *l, const struct cpio_entry *e)
{
	return &l->links[(e->ino ^ e->dev_minor << 5) % LINK_BUCKETS];
}

static struct vnode *
link_find(struct loading *l, const struct cpio_entry *e)
{
	for (struct hard_link *h = *link_bucket(l, e); h; h = h->next)
		if (h->ino == e->ino && h->major == e->dev_major && h->minor == e->dev_minor)
			return h->vnode;
	return NULL;
}

static void
link_remember(struct loading *l, const struct cpio_entry *e, struct vnode *v)
{
	struct hard_link **b = link_bucket(l, e), *h = kzalloc(sizeof(*h));

	if (!h)
		return; /* the names become separate files */
	vnode_get(v);
	*h = (struct hard_link){*b, e->ino, e->dev_major, e->dev_minor, v};
	*b = h;
}

static void
links_free(struct loading *l)
{
	for (int i = 0; i < LINK_BUCKETS; i++) {
		while (l->links[i]) {
			struct hard_link *h = l->links[i];

			l->links[i] = h->next;
			vnode_put(h->vnode);
			kfree(h);
		}
	}
}

/* A child of dir that is a directory; made, owned by root, when it is missing. */
static int
child_dir(struct loading *l, struct dentry *dir, const char *name, size_t len, struct dentry **out)
{
	struct dentry *d = dentry_find(dir, name, len);
	struct vnode *v;
	int err;

	if (!d) {
		v = ram_vnode(l->mount, S_IFDIR | 0755, 0);
		err = v ? dentry_add(dir, name, len, v, &d) : -ENOMEM;
		if (err)
			return err;
	}
	*out = d;
	dentry_put(d); /* the tree holds it */
	return 0;
}

/* "bin/sh" where bin is a symbolic link to usr/bin: the walk follows it. */
static int
linked_dir(const char *path, size_t len, struct dentry **out)
{
	char *name = kmalloc(len + 1);
	int err = name ? 0 : -ENOMEM;

	if (err)
		return err;
	memcpy(name, path, len);
	name[len] = 0;
	err = path_lookup(AT_FDCWD, name, LOOKUP_DIRECTORY, out);
	kfree(name);
	if (err == 0)
		dentry_put(*out); /* the tree holds it */
	return err;
}

static int
parent_dir(struct loading *l, const char *path, size_t len, struct dentry **out)
{
	struct dentry *d = l->mount->root;
	size_t i = 0;

	if (l->dir && len == l->dir_len && memcmp(path, l->dir_name, len) == 0) {
		*out = l->dir;
		return 0;
	}
	while (i < len) {
		size_t n = 0;
		int err;

		while (i + n < len && path[i + n] != '/')
			n++;
		if (n > NAME_LENGTH_MAX || (n == 2 && path[i] == '.' && path[i + 1] == '.'))
			return -EINVAL;
		if (n > 0 && !(n == 1 && path[i] == '.')) {
			err = child_dir(l, d, path + i, n, &d);
			if (err == 0 && S_ISLNK(d->vnode->attr.mode))
				err = linked_dir(path, i + n, &d);
			if (err == 0 && !vnode_is_dir(d->vnode))
				err = -ENOTDIR;
			if (err)
				return err;
		}
		i += n + 1;
	}
	l->dir = *out = d;
	l->dir_name = path;
	l->dir_len = len;
	return 0;
}

static void
set_attributes(struct vnode *v, const struct cpio_entry *e)
{
	v->attr.mode = (v->attr.mode & S_IFMT) | (e->mode & 07777);
	v->attr.uid = e->uid;
	v->attr.gid = e->gid;
	v->attr.atime = v->attr.mtime = v->attr.ctime = (ns_t)e->mtime * NS_PER_SEC;
}

static void
set_data(struct loading *l, struct vnode *v, const struct cpio_entry *e)
{
	if (e->size == 0)
		return;
	ram_set_image(v, l->paddr + e->data, e->size);
	if (!IS_ALIGNED(l->paddr + e->data, PAGE_SIZE))
		l->copied++;
}

static int
make_vnode(struct loading *l, const struct cpio_entry *e, struct vnode **out)
{
	struct vnode *v;
	char *text;

	if (S_ISREG(e->mode) && e->nlink > 1) {
		v = link_find(l, e);
		if (v) {
			set_data(l, v, e);
			v->attr.nlink++;
			vnode_get(v);
			*out = v;
			return 0;
		}
	}
	v = ram_vnode(l->mount, e->mode, (u64)e->rdev_major << 8 | e->rdev_minor);
	if (!v)
		return -ENOMEM;
	set_attributes(v, e);
	if (S_ISREG(e->mode)) {
		set_data(l, v, e);
		if (e->nlink > 1)
			link_remember(l, e, v);
	} else if (S_ISLNK(e->mode)) {
		text = kmalloc((size_t)e->size + 1);
		if (!text) {
			v->private = NULL;
			vnode_put(v);
			return -ENOMEM;
		}
		memcpy(text, l->image + e->data, e->size);
		text[e->size] = 0;
		v->private = text;
		v->flags |= VNODE_TEXT_LINK;
		v->attr.size = e->size;
	}
	*out = v;
	return 0;
}

static bool
is_dots(const char *name, size_t n)
{
	return name[0] == '.' && (n == 1 || (n == 2 && name[1] == '.'));
}

static bool
known_type(u32 mode)
{
	return S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode) || S_ISCHR(mode) || S_ISBLK(mode) ||
	       S_ISFIFO(mode) || S_ISSOCK(mode);
}

/* Names that are there already: a directory gets the attributes, anything else is replaced. */
static int
load_again(struct dentry *d, const struct cpio_entry *e)
{
	if (vnode_is_dir(d->vnode)) {
		if (!S_ISDIR(e->mode))
			return -EISDIR;
		set_attributes(d->vnode, e);
		return 1;
	}
	if (S_ISDIR(e->mode))
		return -ENOTDIR;
	d->vnode->attr.nlink--;
	ns_write_lock();
	dentry_detach(d);
	ns_write_unlock();
	dentry_put(d);
	return 0;
}

static int
load_entry(struct loading *l, const struct cpio_entry *e)
{
	const char *p = e->name;
	size_t n = e->name_len, cut;
	struct dentry *dir, *there;
	struct vnode *v;
	int err;

	while (n > 0 && (*p == '/' || (*p == '.' && (n == 1 || p[1] == '/')))) {
		p++;
		n--;
	}
	while (n > 0 && p[n - 1] == '/')
		n--;
	if (n == 0) {
		if (S_ISDIR(e->mode))
			set_attributes(l->mount->root->vnode, e);
		return 0;
	}
	for (cut = n; cut > 0 && p[cut - 1] != '/'; cut--)
		;
	if (n - cut > NAME_LENGTH_MAX || is_dots(p + cut, n - cut) || !known_type(e->mode) ||
	    (S_ISLNK(e->mode) && (e->size == 0 || e->size >= PATH_LENGTH_MAX)))
		return -EINVAL;
	err = parent_dir(l, p, cut, &dir);
	if (err)
		return err;
	there = dentry_find(dir, p + cut, n - cut);
	if (there) {
		err = load_again(there, e);
		dentry_put(there);
		if (err)
			return err < 0 ? err : 0;
	}
	err = make_vnode(l, e, &v);
	return err ? err : dentry_add(dir, p + cut, n - cut, v, NULL);
}

static void
count_entry(struct loading *l, const struct cpio_entry *e)
{
	if (S_ISREG(e->mode))
		l->files++;
	else if (S_ISDIR(e->mode))
		l->dirs++;
	else
		l->others++;
}

int
cpio_load(struct mount *m, const void *image, paddr_t paddr, u64 size)
{
	struct loading *l = kzalloc(sizeof(*l));
	struct cpio_reader r;
	struct cpio_entry e;
	int more, err = 0;

	if (!l)
		return -ENOMEM;
	l->mount = m;
	l->image = image;
	l->paddr = paddr;
	cpio_init(&r, image, size);
	while ((more = cpio_next(&r, &e)) > 0) {
		err = load_entry(l, &e);
		if (err == -ENOMEM)
			break;
		if (err) {
			klog(l->bad++ ? KLOG_INFO : KLOG_WARN, "file",
			     "root image: entry '%.*s' left out (error %d)",
			     (int)min(e.name_len, (size_t)200), e.name, err);
			err = 0;
		} else {
			count_entry(l, &e);
		}
	}
	if (err)
		klog(KLOG_ERROR, "file", "root image: no memory for its %u names; use more memory",
		     l->files + l->dirs + l->others);
	if (more < 0)
		klog(KLOG_ERROR, "file",
		     "root image is damaged at byte %lu of %lu: %s; going on "
		     "with the %u entries before",
		     r.pos, size, r.error, l->files + l->dirs + l->others);
	klog(KLOG_INFO, "file",
	     "root image: %u files (%u not page-aligned), %u directories, %u others", l->files,
	     l->copied, l->dirs, l->others);
	links_free(l);
	kfree(l);
	return err;
}
