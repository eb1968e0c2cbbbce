/*
 * The name space: dentries (a name in a directory) over vnodes (a file). The tree of dentries of a
 * ram file system *is* its directory structure; /proc and /sys make theirs on look-up.
 *
 * Locks: vfs rename mutex; a vnode's `lock` (rwlock: directory contents, or size changes and writes
 * of a file), parent before child; dentry references by count. Path walks take directories' locks
 * for reading one at a time.
 */
#ifndef FILE_VNODE_H
#define FILE_VNODE_H

#include "core/mutex.h"
#include "core/persist.h"
#include "file/file.h"

struct vnode;
struct dentry;
struct mount;

struct attr {
	u32 mode; /* S_IFMT and permissions */
	u32 uid, gid;
	u32 nlink;
	u64 ino, dev, rdev;
	u64 size, blocks;		 /* 512-byte blocks */
	ns_t atime, mtime, ctime, btime; /* realtime ns */
	u32 blksize;
};

struct vnode_ops {
	/* Directories. All are called with dir->lock held as fits (read for lookup, else write). */
	int (*lookup)(struct vnode *dir,
		      struct dentry *d); /* fill d->vnode or leave NULL (negative) */
	int (*create)(struct vnode *dir, struct dentry *d, u32 mode, u64 rdev);
	int (*mkdir)(struct vnode *dir, struct dentry *d, u32 mode);
	int (*symlink)(struct vnode *dir, struct dentry *d, const char *target);
	int (*link)(struct vnode *dir, struct dentry *d, struct vnode *target);
	int (*unlink)(struct vnode *dir, struct dentry *d);
	int (*rmdir)(struct vnode *dir, struct dentry *d);
	int (*rename)(struct vnode *from_dir, struct dentry *from, struct vnode *to_dir,
		      struct dentry *to, unsigned flags);
	/* All kinds. */
	int (*readlink)(struct vnode *v, char *buf, size_t size); /* length */
	/* A link that leads to an object instead of a path (/proc/self/fd/3, exe, cwd). */
	int (*follow)(struct vnode *v, struct dentry **out);
	int (*getattr)(struct vnode *v, struct attr *a);
	int (*setattr)(struct vnode *v, const struct attr *a, unsigned which);
	int (*open)(struct vnode *v, struct file *f); /* may replace f->ops (devices, fifos) */
	void (*destroy)(struct vnode *v);
};

#define ATTR_MODE  1u
#define ATTR_UID   2u
#define ATTR_GID   4u
#define ATTR_SIZE  8u
#define ATTR_ATIME 16u
#define ATTR_MTIME 32u

struct vnode {
	struct refcount refs;
	const struct vnode_ops *ops;	 /* [I] */
	const struct file_ops *file_ops; /* [I] of files opened on it */
	struct mount *mount;		 /* [I] */
	struct rwlock lock;
	struct attr attr;	  /* [lock] */
	struct vm_object *object; /* [I] page cache of a regular file; NULL */
	void *private;
	void *socket, *fifo; /* bound AF_UNIX socket, opened fifo */
	void *locks;	     /* fcntl/flock records, file/locks.c */
	struct list watches; /* inotify */
	u32 flags;	     /* [a] VNODE_* */
	u32 seals;	     /* [lock] F_SEAL_* of a memfd */
	int writers;	     /* [a] open for writing; below 0: programs that run from it */
	struct dentry *dir;  /* [ns] of a directory: its only dentry, while that lives */
	struct persistent persistent;
};

#define VNODE_TEXT_LINK 1u /* a symbolic link whose target is the string at `private` */
#define VNODE_LINKABLE	2u /* O_TMPFILE: may get its first name by linkat */
#define VNODE_MEMFD	4u

struct path { /* a place in the name space; holds a reference on the dentry */
	struct dentry *dentry;
};

#define LOOKUP_NOFOLLOW	 1u /* do not follow the last component */
#define LOOKUP_DIRECTORY 2u
#define LOOKUP_EMPTY	 4u /* AT_EMPTY_PATH */
#define LOOKUP_CREATE	 8u /* the last component may be missing */
#define LOOKUP_EXCL	 16u

/* Walks a kernel-space path from dirfd's directory, the cwd, or the root. 0 and a referenced
 * dentry; with LOOKUP_CREATE the dentry may be negative (vnode NULL). */
int __must_check path_lookup(int dirfd, const char *name, unsigned how, struct dentry **out);
/* The same, name in user memory. */
int __must_check path_lookup_user(int dirfd, const char __user *name, unsigned how,
				  struct dentry **out);
const struct dentry *vfs_root(void); /* not referenced: to see that it changed */
void dentry_get(struct dentry *d);
void dentry_put(struct dentry *d);
struct vnode *dentry_vnode(struct dentry *d); /* not referenced; NULL if negative */
void vnode_get(struct vnode *v);
void vnode_put(struct vnode *v);
/* A file is open for writing or it is a program that runs: -ETXTBSY to whoever comes second. */
int __must_check vnode_write_begin(struct vnode *v);
void vnode_write_end(struct vnode *v);
int __must_check vnode_write_deny(struct vnode *v);
void vnode_write_allow(struct vnode *v);
/* The full path as getcwd and /proc show it, from the process's root; length or -ENAMETOOLONG.
 * Unlinked ones end in " (deleted)". */
int dentry_path(struct dentry *d, char *buf, size_t size);

/* Opens by path from inside the kernel or for open(2). */
int __must_check vfs_open(int dirfd, const char *name, unsigned flags, u32 mode, struct file **out);
int vfs_open_dentry(struct dentry *d, unsigned flags, struct file **out);
/* Makes a node (S_IFSOCK for bind, S_IFIFO, devices, S_IFREG); the mode is masked by the umask.
 * *out (may be NULL) gets its dentry with a reference. -EEXIST when the name is taken. */
int __must_check vfs_mknod(int dirfd, const char *name, u32 mode, u64 rdev, struct dentry **out);
/* Whether the caller may do `want` (4 read, 2 write, 1 execute or search): 0 or -EACCES. */
int vnode_permission(struct vnode *v, unsigned want);
/* Builds the root from the cpio image at paddr (D6) and mounts /dev, /proc, /sys, /tmp, /run. */
int vfs_init(paddr_t image, u64 size);

/* Working directory and root of a process. */
struct fs_context;
struct fs_context *fs_context_create(void);
struct fs_context *fs_context_fork(struct fs_context *c);
void fs_context_get(struct fs_context *c);
void fs_context_put(struct fs_context *c);
u32 fs_context_umask(struct fs_context *c);
/* Both directories, referenced (for /proc/pid/cwd and root). */
int fs_context_paths(struct fs_context *c, struct dentry **root, struct dentry **cwd);

/* What file/ must ask of proc/: set at start. */
struct vfs_proc_ops {
	struct fs_context *(*current_fs)(void);
	void (*current_ids)(u32 *uid, u32 *gid);
	bool (*capable)(void); /* uid 0 */
	/* Optional (NULL): supplementary groups; the real ids, for access(2). */
	bool (*in_group)(u32 gid);
	void (*real_ids)(u32 *uid, u32 *gid);
	/* A signal to the calling thread: SIGPIPE, SIGXFSZ. */
	void (*raise)(int sig);
	u64 (*file_size_limit)(void); /* RLIMIT_FSIZE */
};
void vfs_set_proc_ops(const struct vfs_proc_ops *ops);
/* Of the calling process; 0 before there is one. */
struct ids {
	u32 uid, gid;
};
struct ids current_ids(void);

/*
 * Device nodes and generated files. Register before vfs_init's mounts are looked at; any time
 * works.
 */
int devfs_add(const char *name, u32 mode, unsigned major, unsigned minor,
	      int (*open)(struct vnode *v, struct file *f), void *arg); /* name may have one '/' */
void *devfs_arg(struct vnode *v);
void devfs_remove(const char *name); /* a pty that is gone; open files stay valid */
/* A generated text file of /proc or /sys: `path` relative to the mount; show fills buf, returns the
 * length it needs (called again with more room when > size). store may be NULL. */
struct genfile_ops {
	size_t (*show)(char *buf, size_t size, void *arg);
	ssize_t (*store)(const char *buf, size_t n, void *arg);
};
int procfs_add(const char *path, u32 mode, const struct genfile_ops *ops, void *arg);
int procfs_add_link(const char *path, const char *target);
int sysfs_add(const char *path, u32 mode, const struct genfile_ops *ops, void *arg);
int sysfs_add_link(const char *path, const char *target);

/* /proc/<pid>: what procfs asks of proc/. */
struct procfs_process_ops {
	int (*next_pid)(int after); /* next living pid > after, -1 */
	bool (*exists)(int pid);
	int (*next_tid)(int pid, int after);
	u32 (*threads)(int pid); /* 0: no such process */
	u32 (*all_threads)(void);
	int (*last_pid)(void); /* the number given last */
	int (*self)(void);
	int (*self_tid)(void);
	/* Its effective ids; whether its files are theirs (it is dumpable, or the caller). */
	bool (*owner)(int pid, u32 *uid, u32 *gid);
	/* Whether the caller may look into it: PTRACE_MODE_READ of man 2 ptrace. */
	bool (*may_look)(int pid);
	/* Text of /proc/pid/<what>: what is "stat", "status", "cmdline", "maps", ... */
	ssize_t (*show)(int pid, int tid, const char *what, char *buf, size_t size);
	struct fdtable *(*fdtable)(int pid);			     /* referenced, NULL */
	int (*link)(int pid, const char *what, struct dentry **out); /* exe, cwd, root */
	/* Writing to /proc/pid/<what> (comm, oom_score_adj, ...). Optional: NULL is -EACCES. */
	ssize_t (*store)(int pid, int tid, const char *what, const char *buf, size_t n);
};
/* The process whose directory /proc/<pid> f is; 0: f is something else. */
int procfs_pid_of(const struct file *f);
void procfs_set_process_ops(const struct procfs_process_ops *ops);

#endif
