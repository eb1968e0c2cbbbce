/*
 * /dev: device nodes that drivers register by name, and the open of a device by number, so that
 * nodes made by mknod or listed in the root image work as well.
 *
 * Life: devfs_add makes a struct device_node (in vfs->devices, one reference) and a dentry whose
 * vnode holds another; devfs_remove takes both away, open files keep what they have.
 * Names "pts/N" go to the devpts mount. Locks: vfs->devices_lock for the list.
 */
#include <asm/errno.h>
#include <linux/fcntl.h>
#include <linux/stat.h>
#include "file/dentry.h"
#include "file/kinds.h"
#include "lib/string.h"
#include "mm/slab.h"

struct device_node {
	struct refcount refs;
	struct list link; /* [devices_lock] */
	u32 mode;	  /* [I] with S_IFCHR or S_IFBLK */
	u64 rdev;	  /* [I] */
	int (*open)(struct vnode *v, struct file *f);
	void *arg;
	char name[];
};

static void
node_put(struct device_node *n)
{
	if (refcount_put(&n->refs))
		kfree(n);
}

/* By number; referenced. */
static struct device_node *
node_find(u32 mode, u64 rdev)
{
	struct vfs *vfs = vfs_get();
	struct device_node *n, *found = NULL;

	spin_lock(&vfs->devices_lock);
	list_for_each_entry (n, &vfs->devices, link) {
		if (n->rdev == rdev && ((n->mode ^ mode) & S_IFMT) == 0) {
			refcount_get(&n->refs);
			found = n;
			break;
		}
	}
	spin_unlock(&vfs->devices_lock);
	return found;
}

static int
node_open(struct vnode *v, struct file *f)
{
	struct device_node *n = v->private;

	return n->open(v, f);
}

static void
node_destroy(struct vnode *v)
{
	node_put(v->private);
}

static const struct vnode_ops node_ops = {
	.open = node_open,
	.destroy = node_destroy,
};

/* A node that is not of devfs: by its number. */
int
device_open(struct vnode *v, struct file *f)
{
	struct device_node *n = node_find(v->attr.mode, v->attr.rdev);
	int err;

	if (!n)
		return -ENXIO;
	err = n->open(v, f);
	node_put(n);
	return err;
}

void *
devfs_arg(struct vnode *v)
{
	struct device_node *n;
	void *arg = NULL;

	if (v->ops == &node_ops)
		return ((struct device_node *)v->private)->arg;
	n = node_find(v->attr.mode, v->attr.rdev);
	if (n) {
		arg = n->arg;
		node_put(n);
	}
	return arg;
}

/* The directory a name belongs to (referenced) and its last component. */
static int
dir_for(const char *name, struct dentry **dir, const char **last)
{
	struct vfs *vfs = vfs_get();
	const char *slash = strchr(name, '/');
	size_t len = slash ? (size_t)(slash - name) : 0;
	struct vnode *v;

	*last = slash ? slash + 1 : name;
	if (len == 3 && memcmp(name, "pts", 3) == 0) {
		*dir = vfs->pts->root;
		dentry_get(*dir);
		return 0;
	}
	if (!slash) {
		*dir = vfs->dev->root;
		dentry_get(*dir);
		return 0;
	}
	*dir = dentry_find(vfs->dev->root, name, len);
	if (*dir)
		return 0;
	v = ram_vnode(vfs->dev, S_IFDIR | 0755, 0);
	return v ? dentry_add(vfs->dev->root, name, len, v, dir) : -ENOMEM;
}

static int
node_attach(struct device_node *n)
{
	struct vnode *v;
	struct dentry *dir;
	const char *last;
	int err = dir_for(n->name, &dir, &last);

	if (err)
		return err;
	v = vnode_create(dir->vnode->mount, &node_ops, NULL, n->mode);
	if (v) {
		v->attr.rdev = n->rdev;
		v->private = n;
		refcount_get(&n->refs);
		err = dentry_add(dir, last, strlen(last), v, NULL);
	} else {
		err = -ENOMEM;
	}
	dentry_put(dir);
	return err;
}

int
devfs_add(const char *name, u32 mode, unsigned major, unsigned minor,
	  int (*open)(struct vnode *v, struct file *f), void *arg)
{
	struct vfs *vfs = vfs_prepare();
	struct device_node *n = vfs ? kzalloc(sizeof(*n) + strlen(name) + 1) : NULL;
	int err;

	if (!n)
		return -ENOMEM;
	refcount_init(&n->refs, 1);
	memcpy(n->name, name, strlen(name) + 1);
	n->mode = (mode & S_IFMT ? mode & S_IFMT : S_IFCHR) | (mode & 07777);
	n->rdev = (u64)(minor & 0xff) | (u64)(major & 0xfff) << 8 | (u64)(minor & ~0xffu) << 12;
	n->open = open;
	n->arg = arg;
	spin_lock(&vfs->devices_lock);
	list_add_tail(&vfs->devices, &n->link);
	spin_unlock(&vfs->devices_lock);
	err = node_attach(n);
	if (err) {
		spin_lock(&vfs->devices_lock);
		list_del(&n->link);
		spin_unlock(&vfs->devices_lock);
		node_put(n);
	}
	return err;
}

void
devfs_remove(const char *name)
{
	struct vfs *vfs = vfs_get();
	struct device_node *n, *found = NULL;
	struct dentry *dir, *d;
	const char *last;

	spin_lock(&vfs->devices_lock);
	list_for_each_entry (n, &vfs->devices, link) {
		if (strcmp(n->name, name) == 0) {
			found = n;
			list_del(&n->link);
			break;
		}
	}
	spin_unlock(&vfs->devices_lock);
	if (!found)
		return;
	if (dir_for(name, &dir, &last) == 0) {
		ns_write_lock();
		d = dentry_child(dir, last, strlen(last), name_hash(last, strlen(last)));
		if (d)
			dentry_detach(d);
		ns_write_unlock();
		dentry_put(d);
		dentry_put(dir);
	}
	node_put(found);
}

/* What is not a driver's: the memory devices and the conventional links. */
int
devfs_populate(void)
{
	static const struct {
		const char *name, *target;
	} links[] = {{"/dev/fd", "/proc/self/fd"},
		     {"/dev/stdin", "/proc/self/fd/0"},
		     {"/dev/stdout", "/proc/self/fd/1"},
		     {"/dev/stderr", "/proc/self/fd/2"}};
	int err = memdev_register();

	if (!err)
		err = block_files_init();
	for (unsigned i = 0; i < ARRAY_SIZE(links) && err == 0; i++)
		err = vfs_symlink(links[i].target, AT_FDCWD, links[i].name);
	return err;
}
