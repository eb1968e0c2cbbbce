/*
 * Inside file/: dentries, the lock of the name space, mounts, the helpers that the file systems
 * share.
 *
 * The name space lock is a "big reader" lock: a spinlock per core. A path walk takes its own core's
 * and so shares no cache line with the others; a change (attach, detach, move, mount) takes all of
 * them for a few stores. Under it a walk needs no references but on its result.
 *
 * A dentry that is in the tree has one reference for that; each child holds one on its parent.
 * Dentries of generated directories (/proc/<pid>) are not in the tree: each look-up makes its own.
 */
#ifndef FILE_DENTRY_H
#define FILE_DENTRY_H

#include "core/thread.h"
#include "file/vnode.h"

#define NAME_LENGTH_MAX 255
#define PATH_LENGTH_MAX 4096
#define SYMLINKS_MAX	40
#define PATH_SAVED_MAX	512 /* in /proc, /sys and /dev, which are shallow */

struct dir_index {	       /* the children of a directory */
	struct list children;  /* [ns] by seq */
	u32 count;	       /* [ns] */
	u32 nbuckets;	       /* [ns] power of two */
	u64 next_seq;	       /* [ns] position of the next new entry, for getdents */
	struct dentry **table; /* [ns] */
	struct dentry *small[4];
};

struct dentry {
	struct refcount refs;	  /* [a] */
	u32 hash;		  /* [ns] of the name */
	u16 len;		  /* [ns] */
	bool in_tree;		  /* [ns] */
	bool unlinked;		  /* [ns] its name is gone */
	char *name;		  /* [ns] own_name or an allocation */
	struct dentry *parent;	  /* [ns] with a reference; itself in a root, without one */
	struct vnode *vnode;	  /* [I] once in the tree; with a reference; NULL: negative */
	struct mount *mounted;	  /* [ns] what covers it */
	struct list sibling;	  /* [ns] */
	struct dentry *hash_next; /* [ns] */
	u64 seq;		  /* [ns] position in the directory */
	struct dir_index *dir;	  /* [ns] NULL: no child yet */
	char own_name[];
};

enum fs_kind { FS_RAM, FS_PROC, FS_SYS, FS_DEV, FS_PTS, FS_CGROUP, FS_HIDDEN };

struct mount {
	struct refcount refs; /* [a] the name space's and one of each vnode */
	enum fs_kind kind;    /* [I] */
	u64 dev;	      /* [I] st_dev */
	u64 flags;	      /* [a] MS_* */
	const char *source;   /* [I] constant or owned: own_source */
	char own_source[64];
	struct dentry *root;  /* [I] with a reference */
	struct dentry *point; /* [ns] where it is mounted; NULL: the root, hidden or gone */
	struct list link;     /* [ns] in vfs->mounts */
	u64 limit_pages;      /* [I] of "size=", 0 none */
	struct persistent persistent;
};

struct device_node;
struct vfs {
	struct ns_lock {
		struct spinlock lock;
	} __attribute__((aligned(64))) * locks; /* [I] MAX_CORES of them */
	struct mutex rename_lock;		/* moves of directories; mounts */
	struct dentry *root;			/* [a] another one after a resume */
	struct list mounts;			/* [ns] */
	u64 names;				/* [ns] changes of names and mounts so far */
	u64 next_ino;				/* [a] */
	u64 next_dev;				/* [a] */
	struct spinlock files_lock; /* of the free list of file structures, rank RANK_NAMESPACE */
	struct file *files_free;    /* [files_lock] */
	u64 files_open;		    /* [a] */
	u64 files_made;		    /* [a] */
	u64 pipe_ino;		    /* [a] numbers of files without a vnode */
	const struct vfs_proc_ops *proc_ops;			/* [I] after start */
	const struct fd_ops *fd_ops;				/* [I] after start */
	const struct procfs_process_ops *process_ops;		/* [I] after start */
	struct mount *proc, *sys, *dev, *pts, *cgroup, *hidden; /* [I] after vfs_prepare */
	bool prepared;						/* [a] */
	struct spinlock devices_lock;				/* rank RANK_NAMESPACE */
	struct list devices;	       /* [devices_lock] struct device_node */
	struct spinlock locks_lock;    /* rank RANK_FILE: all record locks, file/locks.c */
	struct spinlock tunables_lock; /* rank RANK_NAMESPACE */
	char boot_id[40];	       /* [I] */
	struct dentry *saved_root;     /* of a resume, before it is the root */
	struct dentry *boot_root;      /* [I] after a resume: the root it found */
	const struct file_ops *saved_kinds[FILE_SAVED_KINDS]; /* [a] by number: file_persist.c */
	struct persistent persistent;
};

static inline struct vfs *
vfs_get(void)
{
	return machine()->vfs;
}

/* vfs.c: allocates machine()->vfs on the first use (registrations come before vfs_init). */
struct vfs *vfs_prepare(void);

/* --- dentry.c --- */
void ns_read_lock(void);
void ns_read_unlock(void);
void ns_write_lock(void);
void ns_write_unlock(void);
u32 name_hash(const char *name, size_t len);
/* What the store has of the vnode changes (core/persist.h). */
static inline void
vnode_touch(struct vnode *v)
{
	persist_touch(&v->persistent);
}

/* A dentry under `parent` (a reference on it is taken; NULL: a root), negative, not in the tree. */
struct dentry *dentry_create(struct dentry *parent, const char *name, size_t len);
/* => ns lock held. The child or NULL, no reference. */
struct dentry *dentry_child(struct dentry *dir, const char *name, size_t len, u32 hash);
/* => ns write lock held (or the tree is not public yet). The tree takes a reference of its own.
 * -ENOMEM when the directory's index cannot be made. */
int __must_check dentry_attach(struct dentry *d);
int __must_check dentry_make_index(struct dentry *dir);
/* => ns write lock held. Takes d out of its directory; the caller puts the tree's reference once
 * the lock is released. */
void dentry_detach(struct dentry *d);
/* => ns write lock held. Gives d another place and name (`name` allocated, owned by d afterwards).
 */
void dentry_move(struct dentry *d, struct dentry *parent, char *name, size_t len);
/* Puts a dentry that a resume made into its directory, at position `seq`: the tree takes over the
 * caller's reference. 0, -ENOMEM, -EEXIST. => no lock held */
int __must_check dentry_restore(struct dentry *d, u64 seq);
/* Referenced child by name, NULL. */
struct dentry *dentry_find(struct dentry *dir, const char *name, size_t len);
/* Adds a child with this vnode (consumes the vnode's reference in every case); for the generated
 * file systems. *out (may be NULL) is referenced. */
int dentry_add(struct dentry *dir, const char *name, size_t len, struct vnode *v,
	       struct dentry **out);
/* Frees a whole tree below and with d, which nobody can reach by name any more. */
void dentry_drop_tree(struct dentry *d);
/* Next of d in depth-first order inside top; NULL at the end. => ns lock held */
struct dentry *tree_next(struct dentry *top, struct dentry *d);
struct dentry *dentry_cross(struct dentry *d); /* => ns lock held: to the top mount over d */

/* --- vnode.c --- */
struct vnode *vnode_create(struct mount *m, const struct vnode_ops *ops,
			   const struct file_ops *file_ops, u32 mode);
ns_t real_now(void);
bool current_capable(void);
/* A signal to the calling thread, if it is one of a process. */
void current_raise(int sig);
u64 current_file_limit(void); /* bytes a file may be grown to */
int permission_check(const struct vnode *v, unsigned want, const struct ids *who);
bool vnode_owned(const struct vnode *v); /* by the caller, or it is root */
int vnode_getattr(struct vnode *v, struct attr *a);
int vnode_setattr(struct vnode *v, const struct attr *a, unsigned which);
/* Tells inotify, if anyone watches. */
void vnode_notify(struct dentry *d, u32 mask);
void vnode_notify_name(struct vnode *dir, struct vnode *v, const char *name, u32 mask, u32 cookie);
static inline bool
vnode_is_dir(const struct vnode *v)
{
	return (v->attr.mode & 0170000) == 0040000;
}

/* --- namei.c --- */
enum last_kind { LAST_NORMAL, LAST_DOT, LAST_DOTDOT, LAST_ROOT };
#define LOOKUP_PARENT	32u  /* stop before the last component */
#define LOOKUP_NO_LINKS 64u  /* RESOLVE_NO_SYMLINKS: -ELOOP */
#define LOOKUP_NO_MAGIC 128u /* RESOLVE_NO_MAGICLINKS */
#define LOOKUP_BENEATH	256u /* RESOLVE_BENEATH: -EXDEV when it leaves */
#define LOOKUP_IN_ROOT	512u /* RESOLVE_IN_ROOT: dirfd is the root */
#define LOOKUP_NO_XDEV	1024u
#define LOOKUP_TRAILING 2048u /* out: the name ended in a slash */

struct walk {
	/* in */
	const char *rest; /* what is left of the path */
	unsigned how;
	/* state and result */
	struct dentry *root; /* referenced */
	struct dentry *at;   /* referenced: where we are; in the end the result or the parent */
	struct dentry *old;  /* scratch: reference to drop outside the lock */
	struct ids ids;
	unsigned links;
	char *links_buf;  /* the rest of the path after a link, at the end of it */
	const char *last; /* with LOOKUP_PARENT: the last component */
	size_t last_len;
	enum last_kind last_kind;
	bool trailing;
	bool dynamic; /* at is not in the tree */
};
/* The whole walk. 0 and w->at referenced; walk_done() in any case. */
int __must_check walk_path(struct walk *w, int dirfd, const char *name, unsigned how);
void walk_done(struct walk *w);
/* One look-up in a directory: in the tree or by the file system. Referenced; negative dentries are
 * made with `make_negative`, else -ENOENT. */
int __must_check dir_lookup(struct dentry *dir, const char *name, size_t len, bool make_negative,
			    struct dentry **out);
/* => dir's vnode is locked */
int __must_check dir_lookup_locked(struct dentry *dir, const char *name, size_t len,
				   bool make_negative, struct dentry **out);

/* A path from user memory. */
struct user_path {
	char *name;
	char small[128];
};
int __must_check user_path_get(struct user_path *p, const char __user *name);
void user_path_put(struct user_path *p);

/* --- change.c --- */
int vfs_mkdir(int dirfd, const char *name, u32 mode);
int vfs_symlink(const char *target, int dirfd, const char *name);
int vfs_link(struct dentry *from, int dirfd, const char *name);
int vfs_unlink(int dirfd, const char *name, bool dir);
int vfs_rename(int from_fd, const char *from, int to_fd, const char *to, unsigned flags);
/* Creates the negative d as a regular file: 0, -EEXIST when someone was faster. */
int vfs_create_at(struct dentry *d, u32 mode);

/* --- open.c --- */
extern const struct file_ops path_file_ops; /* O_PATH */
int vfs_open_how(int dirfd, const char *name, unsigned flags, u32 mode, unsigned lookup,
		 struct file **out);
/* A dentry over a file without a vnode, for /proc/pid/fd/N; consumes no reference. */
int anon_dentry(struct file *f, struct dentry **out);
/* The file of such a dentry; NULL. */
struct file *anon_dentry_file(const struct dentry *d);
int vfs_truncate(struct vnode *v, u64 size);

/* --- ramfs.c --- */
extern const struct vnode_ops ram_dir_ops, ram_file_ops, ram_link_ops, ram_special_ops;
extern const struct file_ops ram_file_file_ops;
extern const struct file_ops dir_file_ops; /* for directories whose tree is the dentries */
/* A vnode of the type in mode. */
struct vnode *ram_vnode(struct mount *m, u32 mode, u64 rdev);
void ram_set_image(struct vnode *v, paddr_t data, u64 size);
/* Gives a regular file its page cache. */
int ram_file_ready(struct vnode *v);
int ram_getattr(struct vnode *v, struct attr *a);
int ram_setattr(struct vnode *v, const struct attr *a, unsigned which);
long memfd_fcntl(struct file *f, unsigned cmd, unsigned long arg);

/* --- mount.c --- */
struct mount *mount_create(enum fs_kind kind, const char *source, const struct vnode_ops *dir_ops);
/* Puts m over `point` (NULL: hidden). */
int mount_at(struct mount *m, struct dentry *point);
void mount_put(struct mount *m);
const char *mount_type_name(const struct mount *m);
u32 mount_magic(const struct mount *m);
size_t mounts_show(char *buf, size_t size, void *info); /* info: as mountinfo */
int vfs_mount(const char *source, const char *target, const char *type, u64 flags,
	      const char *data);
int vfs_umount(const char *target, unsigned flags);

/* --- cpioload.c --- */
int cpio_load(struct mount *m, const void *image, paddr_t paddr, u64 size);

/* --- devfs.c, memdev.c, procfs.c, procinfo.c, sysrq.c, sysfs.c, genfile.c --- */
int devfs_populate(void);
int device_open(struct vnode *v, struct file *f);
int memdev_register(void);
extern const struct vnode_ops proc_root_ops;
int procfs_populate(void);
int procinfo_register(void);
int proc_clusters_register(void);
/* selftest.c: what /proc/holdfast/selftest does, and its argument (NULL: out of memory). */
struct selftest *selftest_create(void);
size_t selftest_show(char *buf, size_t size, void *arg);
int proctunables_register(void);
int sysrq_register(void);
int sysfs_populate(void);
/* A generated file below m's root, directories made on the way. */
int genfile_add(struct mount *m, const char *path, u32 mode, const struct genfile_ops *ops,
		void *arg);
int genfile_add_link(struct mount *m, const char *path, const char *target);
int genfile_add_dir(struct mount *m, const char *path, struct dentry **out);
extern const struct vnode_ops gen_dir_ops;
extern const struct file_ops gen_file_ops;
/* Appends formatted text at *len of a buffer of size `size`; counts beyond the end. */
void gen_printf(char *buf, size_t size, size_t *len, const char *fmt, ...) __printf(4, 5);
/* Opens f as the text that `show` makes. */
struct gen_source {
	size_t (*show)(struct gen_source *s, char *buf, size_t size);
	ssize_t (*store)(struct gen_source *s, const char *buf, size_t n);
	void (*destroy)(struct gen_source *s);
};
int gen_open(struct file *f, struct gen_source *s);

/* --- file.c --- */
u64 file_next_ino(void);
/* Bytes of the structures of files that wait to be used again, as such and as nothing else. */
u64 files_free_bytes(void);
const char *file_kind(const struct file *f);

/* --- locks.c --- */
struct flock_request {
	u64 start, end; /* inclusive */
	int type;	/* F_RDLCK, F_WRLCK, F_UNLCK */
	int pid;	/* out */
};
long locks_fcntl(struct file *f, unsigned cmd, unsigned long arg);
int locks_flock(struct file *f, int op);
void locks_release_file(struct file *f);	       /* the last reference goes */
void locks_release_owner(struct file *f, void *owner); /* a descriptor of the process is closed */
void locks_destroy(struct vnode *v);

/* --- fs_context.c --- */
int fs_get_cwd(struct dentry **out);
int fs_get_root(struct dentry **out);
int fs_set_cwd(struct dentry *d);
int fs_set_root(struct dentry *d);
u32 fs_set_umask(u32 mask);
u32 fs_umask(void);

#endif
