/*
 * The root of everything in file/: struct vfs, made on the first registration, and the name space
 * built by vfs_init (D6): the root image under a writable ram file system, then /dev, /dev/pts,
 * /dev/shm, /proc, /sys and /sys/fs/cgroup over it.
 */
#include <asm/errno.h>
#include <linux/fcntl.h>
#include <linux/stat.h>
#include "arch/clock.h"
#include "arch/cpu.h"
#include "core/klog.h"
#include "file/dentry.h"
#include "file/persist.h"
#include "lib/string.h"
#include "mm/slab.h"

static int
make_mounts(struct vfs *vfs)
{
	vfs->hidden = mount_create(FS_HIDDEN, "none", &gen_dir_ops);
	vfs->proc = mount_create(FS_PROC, "proc", &proc_root_ops);
	vfs->sys = mount_create(FS_SYS, "sysfs", &gen_dir_ops);
	vfs->dev = mount_create(FS_DEV, "devtmpfs", &ram_dir_ops);
	vfs->pts = mount_create(FS_PTS, "devpts", &gen_dir_ops);
	vfs->cgroup = mount_create(FS_CGROUP, "cgroup2", &gen_dir_ops);
	if (!vfs->hidden || !vfs->proc || !vfs->sys || !vfs->dev || !vfs->pts || !vfs->cgroup)
		return -ENOMEM;
	return 0;
}

struct vfs *
vfs_prepare(void)
{
	struct machine *m = machine();
	struct vfs *vfs = atomic_load(&m->vfs);

	if (!vfs) {
		vfs = kzalloc(sizeof(*vfs));
		if (!vfs)
			return NULL;
		vfs->locks = kzalloc(MAX_CORES * sizeof(*vfs->locks));
		if (!vfs->locks) {
			kfree(vfs);
			return NULL;
		}
		for (u32 i = 0; i < MAX_CORES; i++)
			spin_init(&vfs->locks[i].lock, "name space", RANK_NAMESPACE);
		mutex_init(&vfs->rename_lock, "rename");
		list_init(&vfs->mounts);
		list_init(&vfs->devices);
		spin_init(&vfs->files_lock, "files", RANK_NAMESPACE);
		spin_init(&vfs->devices_lock, "devices", RANK_NAMESPACE);
		spin_init(&vfs->locks_lock, "record locks", RANK_FILE);
		spin_init(&vfs->tunables_lock, "tunables", RANK_NAMESPACE);
		if (!atomic_cas(&m->vfs, NULL, vfs)) {
			kfree(vfs->locks);
			kfree(vfs);
			vfs = atomic_load(&m->vfs);
		} else if (make_mounts(vfs)) {
			klog(KLOG_ERROR, "file", "no memory for the name space");
		} else {
			atomic_store(&vfs->prepared, true);
		}
	}
	while (!atomic_load(&vfs->prepared))
		cpu_pause();
	return vfs;
}

const struct dentry *
vfs_root(void)
{
	return atomic_load(&vfs_get()->root);
}

void
vfs_set_proc_ops(const struct vfs_proc_ops *ops)
{
	struct vfs *vfs = vfs_prepare();

	if (vfs)
		vfs->proc_ops = ops;
}

/* A directory of the root, made when the image has none. What else the image has by that name makes
 * way: a file, a symbolic link that leads nowhere. */
static int
ensure_dir(const char *path, u32 mode, struct dentry **out)
{
	struct attr a = {.mode = mode};
	int err = vfs_mkdir(AT_FDCWD, path, mode);

	if (err && err != -EEXIST)
		return err;
	err = path_lookup(AT_FDCWD, path, LOOKUP_DIRECTORY, out);
	if (err == -ENOTDIR || err == -ENOENT || err == -ELOOP) {
		klog(KLOG_WARN, "file", "the image's %s is no directory: replaced by one", path);
		err = vfs_unlink(AT_FDCWD, path, false);
		if (err == 0)
			err = vfs_mkdir(AT_FDCWD, path, mode);
		if (err == 0)
			err = path_lookup(AT_FDCWD, path, LOOKUP_DIRECTORY, out);
	}
	if (err == 0 && (mode & S_ISVTX))
		err = vnode_setattr((*out)->vnode, &a, ATTR_MODE);
	return err;
}

static int
mount_on(struct mount *m, const char *path)
{
	struct dentry *d = NULL;
	int err = m ? ensure_dir(path, 0755, &d) : -ENOMEM;

	if (err == 0)
		err = mount_at(m, d);
	dentry_put(d);
	if (err)
		klog(KLOG_ERROR, "file", "cannot mount %s (error %d)", path, err);
	return err;
}

static int
mount_shm(void)
{
	struct mount *m = mount_create(FS_RAM, "tmpfs", &ram_dir_ops);
	int err = mount_on(m, "/dev/shm");

	if (err == 0)
		m->root->vnode->attr.mode = S_IFDIR | 01777;
	return err;
}

static const struct vm_file_ops mapped_file_ops = {
	.get = (void (*)(void *))(void *)file_get,
	.put = (void (*)(void *))file_put,
	.persist = &file_persist,
};

static int
mount_all(struct vfs *vfs)
{
	static const struct {
		const char *path;
		u32 mode;
	} dirs[] = {{"/tmp", 01777},
		    {"/run", 0755},
		    {"/var", 0755},
		    {"/var/tmp", 01777},
		    {"/root", 0700}};
	int err = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(dirs) && err == 0; i++) {
		struct dentry *d = NULL;

		err = ensure_dir(dirs[i].path, dirs[i].mode, &d);
		dentry_put(d);
	}
	if (err)
		klog(KLOG_WARN, "file", "cannot make /tmp, /run, /var and /root (error %d)", err);
	err = mount_on(vfs->dev, "/dev");
	if (err == 0)
		err = mount_on(vfs->proc, "/proc");
	if (err == 0)
		err = mount_on(vfs->sys, "/sys");
	if (err)
		return err;
	err = devfs_populate();
	if (err == 0)
		err = mount_on(vfs->pts, "/dev/pts");
	if (err == 0)
		err = mount_shm();
	if (err == 0)
		err = procfs_populate();
	if (err == 0)
		err = sysfs_populate();
	return err;
}

int
vfs_init(paddr_t image, u64 size)
{
	struct vfs *vfs = vfs_prepare();
	ns_t t0 = clock_now();
	struct mount *root;
	int err = 0;

	if (!vfs)
		return -ENOMEM;
	vm_map_set_file_ops(&mapped_file_ops);
	root = mount_create(FS_RAM, "tmpfs", &ram_dir_ops);
	if (!root)
		return -ENOMEM;
	vfs->root = root->root;
	err = mount_at(root, NULL);
	if (err)
		return err;
	if (size > 0)
		err = cpio_load(root, phys_to_virt(image), image, size);
	if (err == 0)
		err = mount_all(vfs);
	klog(KLOG_BOOT, "file", "root: %lu KiB image, %lu names in %lld us", size / 1024,
	     vfs->next_ino, (long long)(clock_now() - t0) / NS_PER_US);
	return err;
}
