/*
 * memfd: a regular file without a name, and its seals.
 *
 * It is a vnode of the hidden mount with a dentry that is in no directory, so that mmap, fstat,
 * /proc/self/fd/N and opening it again through there work as for any file.
 */
#include <asm/errno.h>
#include <asm/fcntl.h>
#include <linux/fcntl.h>
#include <linux/memfd.h>
#include <linux/stat.h>
#include "file/dentry.h"
#include "file/kinds.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/object.h"

#define MFD_NOEXEC_SEAL_K 8u
#define ALL_SEALS	  (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)

int
memfd_create_file(const char *name, unsigned flags, struct file **out)
{
	struct mount *m = vfs_get()->hidden;
	char full[NAME_LENGTH_MAX + 8];
	struct dentry *d;
	struct vnode *v = ram_vnode(m, S_IFREG | (flags & MFD_NOEXEC_SEAL_K ? 0666 : 0777), 0);
	int err = -ENOMEM;

	if (!v)
		return err;
	format(full, sizeof(full), "memfd:%s", name);
	d = dentry_create(m->root, full, strlen(full));
	if (!d) {
		vnode_put(v);
		return err;
	}
	d->vnode = v;
	d->unlinked = true;
	v->attr.nlink = 0;
	v->attr.uid = current_ids().uid;
	v->attr.gid = current_ids().gid;
	v->flags |= VNODE_MEMFD;
	v->seals = flags & (MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL_K) ? 0 : F_SEAL_SEAL;
	err = vfs_open_dentry(d, O_RDWR | O_LARGEFILE, out);
	dentry_put(d);
	return err;
}

/* => v->lock held for writing. Whether a shared mapping may still write. */
static bool
mapped_writable(struct vnode *v)
{
	struct vm_mapping *m;
	bool yes = false;

	spin_lock(&v->object->lock);
	list_for_each_entry (m, &v->object->mappings, object_link)
		if ((m->flags & VM_SHARED) && (m->max_prot & VM_WRITE))
			yes = true;
	spin_unlock(&v->object->lock);
	return yes;
}

long
memfd_fcntl(struct file *f, unsigned cmd, unsigned long arg)
{
	struct vnode *v = f->vnode;
	long r = 0;

	if ((cmd != F_ADD_SEALS && cmd != F_GET_SEALS) || !(v->flags & VNODE_MEMFD))
		return -EINVAL;
	if (cmd == F_GET_SEALS)
		return v->seals;
	if (!f->writable)
		return -EPERM;
	if (arg & ~(unsigned long)ALL_SEALS)
		return -EINVAL;
	rwlock_write(&v->lock);
	if (v->seals & F_SEAL_SEAL)
		r = -EPERM;
	else if ((arg & F_SEAL_WRITE) && !(v->seals & F_SEAL_WRITE) && mapped_writable(v))
		r = -EBUSY;
	else
		v->seals |= (u32)arg;
	vnode_touch(v);
	rwlock_write_done(&v->lock);
	return r;
}
