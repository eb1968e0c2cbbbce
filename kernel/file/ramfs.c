/*
 * The ram file system: the root image's files and everything written since; also the vnodes of
 * devices, fifos and sockets wherever they are.
 *
 * A directory is its dentries. A regular file's bytes are a vm_object (the page cache itself, which
 * mmap shows too). The object is made when the file is first opened: until then a file of the root
 * image is only an address in it (`private`) and a size. Page-aligned image data is used in place;
 * the rest is copied at that moment. A symbolic link's text is at `private`.
 *
 * Locks: reads take none beside the object's own; writes and size changes hold vnode->lock for
 * writing; directory operations are called with it (see change.c).
 */
#include <asm/errno.h>
#include <asm/fcntl.h>
#include <asm/signal.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/stat.h>
#include "file/dentry.h"
#include "file/kinds.h"
#include "lib/string.h"
#include "mm/object.h"
#include "mm/slab.h"

#define MEMFD_F_SEAL_SHRINK 0x2u
#define MEMFD_F_SEAL_GROW   0x4u
#define MEMFD_F_SEAL_WRITE  0x8u
#define MEMFD_F_SEAL_FUTURE 0x10u

static const struct vnode_ops *
ops_of(u32 mode)
{
	if (S_ISDIR(mode))
		return &ram_dir_ops;
	if (S_ISREG(mode))
		return &ram_file_ops;
	return S_ISLNK(mode) ? &ram_link_ops : &ram_special_ops;
}

struct vnode *
ram_vnode(struct mount *m, u32 mode, u64 rdev)
{
	const struct file_ops *f = S_ISREG(mode) ? &ram_file_file_ops : NULL;
	struct vnode *v;

	if (S_ISDIR(mode))
		f = &dir_file_ops;
	v = vnode_create(m, ops_of(mode), f, mode);
	if (v && (S_ISCHR(mode) || S_ISBLK(mode)))
		v->attr.rdev = rdev;
	return v;
}

void
ram_set_image(struct vnode *v, paddr_t data, u64 size)
{
	v->private = (void *)data;
	v->attr.size = size;
}

/* => v->lock held for writing. */
static int
make_object(struct vnode *v)
{
	paddr_t data = (paddr_t)v->private;
	struct vm_object *o;
	struct uio u;
	ssize_t n;

	if (v->object)
		return 0;
	if (v->attr.size > 0 && IS_ALIGNED(data, PAGE_SIZE)) {
		o = vm_object_create_image(data, v->attr.size);
	} else {
		o = vm_object_create_file(0);
		if (o && v->attr.size > 0) {
			uio_kernel(&u, phys_to_virt(data), v->attr.size);
			n = vm_object_write(o, &u, 0);
			if (n != (ssize_t)v->attr.size) {
				vm_object_put(o);
				return n < 0 ? (int)n : -ENOMEM;
			}
		}
		v->private = NULL;
	}
	if (!o)
		return -ENOMEM;
	atomic_store(&v->object, o);
	vnode_touch(v);
	return 0;
}

int
ram_file_ready(struct vnode *v)
{
	int err;

	if (atomic_load(&v->object))
		return 0;
	rwlock_write(&v->lock);
	err = make_object(v);
	rwlock_write_done(&v->lock);
	return err;
}

int
ram_getattr(struct vnode *v, struct attr *a)
{
	struct vm_object *o = atomic_load(&v->object);

	*a = v->attr;
	if (S_ISREG(a->mode) && o)
		a->size = atomic_load(&o->size);
	if (S_ISREG(a->mode))
		a->blocks = o && !v->private ? vm_object_resident(o) * 8
					     : DIV_ROUND_UP(a->size, PAGE_SIZE) * 8;
	if (S_ISDIR(a->mode) || S_ISLNK(a->mode))
		a->blocks = 0;
	return 0;
}

int
ram_setattr(struct vnode *v, const struct attr *a, unsigned which)
{
	u64 size;
	int err;

	if (!(which & ATTR_SIZE))
		return 0;
	if (!S_ISREG(v->attr.mode))
		return S_ISDIR(v->attr.mode) ? -EISDIR : -EINVAL;
	err = make_object(v);
	if (err)
		return err;
	size = v->object->size;
	if (a->size > size && a->size > current_file_limit()) {
		current_raise(SIGXFSZ);
		return -EFBIG;
	}
	if (((v->seals & MEMFD_F_SEAL_GROW) && a->size > size) ||
	    ((v->seals & MEMFD_F_SEAL_SHRINK) && a->size < size))
		return -EPERM;
	err = vm_object_truncate(v->object, a->size);
	if (err == 0) {
		v->attr.mtime = real_now();
		vnode_touch(v);
	}
	return err;
}

/* --- directory operations; the tree itself is changed by change.c --- */

/* Ids and the group rules of a new file; touches the directory. */
static void
adopt(struct vnode *dir, struct vnode *v)
{
	struct ids who = current_ids();

	v->attr.uid = who.uid;
	v->attr.gid = who.gid;
	if (dir->attr.mode & S_ISGID) {
		v->attr.gid = dir->attr.gid;
		if (S_ISDIR(v->attr.mode))
			v->attr.mode |= S_ISGID;
	}
	dir->attr.mtime = dir->attr.ctime = v->attr.ctime;
	vnode_touch(dir);
}

static int
ram_create(struct vnode *dir, struct dentry *d, u32 mode, u64 rdev)
{
	struct vnode *v = ram_vnode(dir->mount, mode, rdev);

	if (!v)
		return -ENOMEM;
	adopt(dir, v);
	d->vnode = v;
	if (S_ISDIR(mode))
		v->dir = d;
	return 0;
}

static int
ram_mkdir(struct vnode *dir, struct dentry *d, u32 mode)
{
	int err = ram_create(dir, d, mode, 0);

	if (err == 0)
		dir->attr.nlink++;
	return err;
}

static int
ram_symlink(struct vnode *dir, struct dentry *d, const char *target)
{
	char *text = kstrdup(target);
	int err = text ? ram_create(dir, d, S_IFLNK | 0777, 0) : -ENOMEM;

	if (err) {
		kfree(text);
		return err;
	}
	d->vnode->private = text;
	d->vnode->attr.size = strlen(text);
	d->vnode->flags |= VNODE_TEXT_LINK;
	return 0;
}

static int
ram_link(struct vnode *dir, struct dentry *d, struct vnode *target)
{
	vnode_get(target);
	target->attr.nlink++;
	target->flags &= ~VNODE_LINKABLE;
	target->attr.ctime = dir->attr.mtime = dir->attr.ctime = real_now();
	vnode_touch(target);
	vnode_touch(dir);
	d->vnode = target;
	return 0;
}

static int
ram_unlink(struct vnode *dir, struct dentry *d)
{
	d->vnode->attr.nlink--;
	d->vnode->attr.ctime = dir->attr.mtime = dir->attr.ctime = real_now();
	vnode_touch(d->vnode);
	vnode_touch(dir);
	return 0;
}

static int
ram_rmdir(struct vnode *dir, struct dentry *d)
{
	if (d->dir && d->dir->count > 0)
		return -ENOTEMPTY;
	d->vnode->attr.nlink = 0;
	dir->attr.nlink--;
	d->vnode->attr.ctime = dir->attr.mtime = dir->attr.ctime = real_now();
	vnode_touch(d->vnode);
	vnode_touch(dir);
	return 0;
}

static int
ram_rename(struct vnode *from_dir, struct dentry *from, struct vnode *to_dir, struct dentry *to,
	   unsigned flags)
{
	ns_t now = real_now();

	from_dir->attr.mtime = from_dir->attr.ctime = now;
	to_dir->attr.mtime = to_dir->attr.ctime = now;
	from->vnode->attr.ctime = now;
	vnode_touch(from_dir);
	vnode_touch(to_dir);
	vnode_touch(from->vnode);
	if (vnode_is_dir(from->vnode)) {
		from_dir->attr.nlink--;
		to_dir->attr.nlink++;
	}
	if (!to->vnode)
		return 0;
	to->vnode->attr.ctime = now;
	vnode_touch(to->vnode);
	if (flags & RENAME_EXCHANGE) {
		if (vnode_is_dir(to->vnode)) {
			to_dir->attr.nlink--;
			from_dir->attr.nlink++;
		}
	} else if (vnode_is_dir(to->vnode)) {
		to_dir->attr.nlink--;
		to->vnode->attr.nlink = 0;
	} else {
		to->vnode->attr.nlink--;
	}
	return 0;
}

const struct vnode_ops ram_dir_ops = {
	.create = ram_create,
	.mkdir = ram_mkdir,
	.symlink = ram_symlink,
	.link = ram_link,
	.unlink = ram_unlink,
	.rmdir = ram_rmdir,
	.rename = ram_rename,
	.getattr = ram_getattr,
	.setattr = ram_setattr,
};

static int
ram_file_open(struct vnode *v, struct file *f)
{
	return ram_file_ready(v);
}

const struct vnode_ops ram_file_ops = {
	.getattr = ram_getattr,
	.setattr = ram_setattr,
	.open = ram_file_open,
};

static int
ram_readlink(struct vnode *v, char *buf, size_t size)
{
	size_t n = min(strlen(v->private), size);

	memcpy(buf, v->private, n);
	return (int)n;
}

static void
ram_link_destroy(struct vnode *v)
{
	kfree(v->private);
}

const struct vnode_ops ram_link_ops = {
	.readlink = ram_readlink,
	.getattr = ram_getattr,
	.destroy = ram_link_destroy,
};

static int
special_open(struct vnode *v, struct file *f)
{
	if (S_ISFIFO(v->attr.mode))
		return fifo_open(v, f);
	if (S_ISSOCK(v->attr.mode))
		return -ENXIO;
	return device_open(v, f);
}

const struct vnode_ops ram_special_ops = {
	.open = special_open,
};

/* --- open files --- */

/* As mount option relatime: at most once a day, or when it was written since. */
static void
touch_access(struct file *f)
{
	struct attr *a = &f->vnode->attr;
	ns_t now;

	if ((f->mode & FILE_NOATIME) || (f->vnode->mount->flags & MS_NOATIME))
		return;
	if (a->atime > a->mtime && a->atime > a->ctime)
		return;
	now = real_now();
	a->atime = max(now, a->mtime + 1);
	vnode_touch(f->vnode);
}

static ssize_t
ram_read(struct file *f, struct uio *u, u64 *pos)
{
	ssize_t n = vm_object_read(f->vnode->object, u, *pos);

	if (n > 0)
		*pos += (u64)n;
	touch_access(f);
	return n;
}

/* => v->lock held for writing. What the seals of a memfd leave of a write of n bytes at pos. */
static int
check_seals(struct vnode *v, u64 pos, size_t n)
{
	if (v->seals & (MEMFD_F_SEAL_WRITE | MEMFD_F_SEAL_FUTURE))
		return -EPERM;
	if ((v->seals & MEMFD_F_SEAL_GROW) && pos + n > v->object->size)
		return -EPERM;
	return 0;
}

/* How much of n bytes at pos is new to the file. */
static u64
growth(const struct vm_object *o, u64 pos, size_t n)
{
	return pos + n > o->size ? min((u64)n, pos + n - o->size) : 0;
}

/* Writes what RLIMIT_FSIZE leaves of u. => v->lock held for writing */
static ssize_t
write_limited(struct vnode *v, struct uio *u, u64 pos)
{
	u64 limit = current_file_limit();
	size_t over;
	ssize_t n;

	if (pos >= limit) {
		current_raise(SIGXFSZ);
		return -EFBIG;
	}
	over = u->resid > limit - pos ? u->resid - (limit - pos) : 0;
	u->resid -= over;
	n = persist_room(growth(v->object, pos, u->resid));
	if (n) {
		u->resid += over;
		return n;
	}
	n = vm_object_write(v->object, u, pos);
	u->resid += over;
	return n;
}

static ssize_t
ram_write(struct file *f, struct uio *u, u64 *pos)
{
	struct vnode *v = f->vnode;
	ssize_t n;

	rwlock_write(&v->lock);
	if (f->flags & O_APPEND)
		*pos = v->object->size;
	n = v->seals ? check_seals(v, *pos, u->resid) : 0;
	if (n == 0)
		n = write_limited(v, u, *pos);
	if (n > 0) {
		*pos += (u64)n;
		v->attr.mtime = v->attr.ctime = real_now();
		if ((v->attr.mode & (S_ISUID | S_ISGID)) && !current_capable())
			v->attr.mode &= ~(S_ISUID | S_ISGID);
		vnode_touch(v);
	}
	rwlock_write_done(&v->lock);
	return n;
}

static int
ram_mmap(struct file *f, struct vm_mmap_args *a)
{
	u32 seals = f->vnode->seals;

	if (!f->readable)
		return -EACCES;
	if (a->flags & VM_SHARED) {
		if (!f->writable || (seals & (MEMFD_F_SEAL_WRITE | MEMFD_F_SEAL_FUTURE))) {
			if (a->prot & VM_WRITE)
				return f->writable ? -EPERM : -EACCES;
			a->max_prot &= (u8)~VM_WRITE;
		}
	}
	a->object = f->vnode->object;
	return 0;
}

static s64
ram_seek(struct file *f, s64 offset, int whence)
{
	if (offset < 0 || (u64)offset >= f->vnode->object->size)
		return -ENXIO;
	return vm_object_seek(f->vnode->object, (u64)offset, whence == SEEK_HOLE);
}

const struct file_ops ram_file_file_ops = {
	.kind = "regular",
	.persist = &file_reopened,
	.read = ram_read,
	.write = ram_write,
	.mmap = ram_mmap,
	.seek = ram_seek,
	.fcntl = memfd_fcntl,
};

/* --- directories --- */

static unsigned
dirent_type(const struct vnode *v)
{
	return (v->attr.mode & S_IFMT) >> 12;
}

/* => ns lock held. The first child at or behind pos; from the cursor when it still stands there. */
static struct dentry *
child_at(struct dentry *dir, struct dentry *cursor, u64 pos)
{
	struct list *head = &dir->dir->children, *l = head->next;

	if (cursor && cursor->in_tree && cursor->parent == dir && cursor->seq + 1 == pos)
		l = cursor->sibling.next;
	for (; l != head; l = l->next) {
		struct dentry *d = list_entry(l, struct dentry, sibling);

		if (d->seq >= pos)
			return d;
	}
	return NULL;
}

static bool
emit_dots(struct file *f, struct dir_sink *s)
{
	struct dentry *dir = f->dentry, *up = dir->parent;

	if (up == dir && dir->vnode->mount->point)
		up = dir->vnode->mount->point->parent;
	if (f->pos == 0) {
		if (!s->emit(s, ".", 1, dir->vnode->attr.ino, 4, 1))
			return false;
		f->pos = 1;
	}
	if (f->pos == 1) {
		if (!s->emit(s, "..", 2, up->vnode->attr.ino, 4, 2))
			return false;
		f->pos = 2;
	}
	return true;
}

/* f->private is the dentry emitted last, referenced: the cursor. */
static int
dir_readdir(struct file *f, struct dir_sink *s)
{
	struct dentry *dir = f->dentry, *d, *last = NULL, *old = f->private;

	ns_read_lock();
	if (!emit_dots(f, s) || !dir->dir) {
		ns_read_unlock();
		return 0;
	}
	d = child_at(dir, old, f->pos);
	while (d) {
		struct vnode *v = dentry_cross(d)->vnode;

		if (!s->emit(s, d->name, d->len, v->attr.ino, dirent_type(v), d->seq + 1))
			break;
		last = d;
		f->pos = d->seq + 1;
		if (d->sibling.next == &dir->dir->children)
			break;
		d = list_entry(d->sibling.next, struct dentry, sibling);
	}
	if (last)
		dentry_get(last);
	ns_read_unlock();
	if (last) {
		f->private = last;
		dentry_put(old);
	}
	return 0;
}

static void
dir_release(struct file *f)
{
	dentry_put(f->private);
}

const struct file_ops dir_file_ops = {
	.kind = "directory",
	.persist = &file_reopened,
	.readdir = dir_readdir,
	.release = dir_release,
};
