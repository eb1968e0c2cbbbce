/*
 * Open files: the object behind a descriptor, and the operations of its kind.
 *
 * Life: file_create -> descriptors, mappings, SCM_RIGHTS and system calls in flight hold
 * references -> file_put of the last one calls ops->release. Nothing here has a fixed number.
 */
#ifndef FILE_FILE_H
#define FILE_FILE_H

#include "core/mutex.h"
#include "core/persist.h"
#include "file/poll.h"
#include "lib/atomic.h"
#include "lib/list.h"
#include "mm/map.h"
#include "mm/uio.h"

struct file;
struct vnode;
struct dentry;
struct attr;

struct dir_sink {
	/* Takes one entry; false when full. Called under a spinlock: never sleeps. type is DT_*;
	 * next is the position behind it. */
	bool (*emit)(struct dir_sink *s, const char *name, size_t len, u64 ino, unsigned type,
		     u64 next);
};

struct file_ops {
	const char *kind; /* "regular", "pipe", "eventfd": also for the store */
	/* Streams ignore pos (it is NULL for kinds without FILE_SEEKABLE). f->flags has O_NONBLOCK.
	 */
	ssize_t (*read)(struct file *f, struct uio *u, u64 *pos);
	ssize_t (*write)(struct file *f, struct uio *u, u64 *pos);
	unsigned (*poll)(struct file *f, struct poll_table *pt); /* NULL: always ready */
	long (*ioctl)(struct file *f, unsigned cmd, unsigned long arg);
	int (*mmap)(struct file *f, struct vm_mmap_args *a); /* sets a->object, may refuse */
	int (*readdir)(struct file *f, struct dir_sink *s);  /* from f->pos on */
	s64 (*seek)(struct file *f, s64 offset, int whence); /* NULL: generic when seekable */
	int (*sync)(struct file *f);
	void (*set_flags)(struct file *f, unsigned flags); /* F_SETFL changed f->flags */
	int (*flush)(struct file *f);			   /* a descriptor was closed */
	void (*release)(struct file *f);
	/* Lines for /proc/pid/fdinfo; NULL: none beyond pos and flags. */
	size_t (*fdinfo)(struct file *f, char *buf, size_t size);
	/* What readlink of /proc/pid/fd/N says, for files without a path: "pipe:[7]", "socket:[9]",
	 * "anon_inode:[eventpoll]". */
	size_t (*name)(struct file *f, char *buf, size_t size);
	/* fcntl commands of the kind (F_SETPIPE_SZ, F_ADD_SEALS, ...); NULL: -EINVAL. */
	long (*fcntl)(struct file *f, unsigned cmd, unsigned long arg);
	/* open("/proc/self/fd/N") of a kind without a vnode: makes `f` (fresh, flags and readable/
	 * writable set) another open file of `old`'s object, by setting f->ops and f->private.
	 * NULL: the open gives `old` itself once more when the access mode allows it. */
	int (*reopen)(struct file *old, struct file *f);
	const struct file_persist *persist; /* never NULL */
};

/* How open files of a kind outlive a power cut (file/file_persist.c). What all kinds have in common
 * is written down there: flags, position, place in the name space. */
struct file_persist {
	u16 number; /* in records, below FILE_SAVED_KINDS: never changes, never used again */
	/* The kind's own fields, in a group of their own. As struct persist_kind's. */
	void (*save)(struct persist_writer *w, struct file *f);
	/* Optional. h with all that save would write mixed into it; 0: not known. As struct
	 * persist_kind's. */
	u64 (*version)(struct persist_writer *w, u64 h, struct file *f);
	/* f has its flags, position, vnode and dentry; its private is to be set. The objects it
	 * refers to are made, perhaps not linked. */
	int (*link)(struct persist_reader *r, const struct tag_reader *in, struct file *f);
	/* NULL: nothing goes on. */
	int (*start)(struct persist_reader *r, const struct tag_reader *in, struct file *f);
};
#define FILE_SAVED_KINDS 32

/* Opened again by its place in the name space; its position stays. What is not there any more, or
 * cannot be opened, gives EIO. */
extern const struct file_persist file_reopened;
/* After a resume the file is there, but of no use: reads and writes give EIO, poll POLL_ERR. */
extern const struct file_persist file_lost;
/* Makes a kind known by the number of its persist. At start. */
void file_persist_register(const struct file_ops *ops);

/* What place_version_seen keeps for one dentry. All zero to begin with, and for another one. */
struct place_seen {
	u64 names, version;
};

#define FILE_SEEKABLE 1u
#define FILE_PATH     2u /* O_PATH */
#define FILE_NOATIME  4u
#define FILE_WRITER   8u /* counts in vnode->writers */

struct file {
	struct refcount refs;
	const struct file_ops *ops; /* [I] */
	unsigned flags;		    /* [a] O_* as fcntl shows them, without O_CLOEXEC */
	unsigned mode;		    /* [I] FILE_* */
	bool readable, writable;    /* [I] */
	struct mutex pos_lock;	    /* serialises read/write/lseek with f->pos */
	u64 pos;		    /* [pos_lock] */
	struct vnode *vnode;	    /* [I] NULL for kinds without a name */
	struct dentry *dentry;	    /* [I] its name, with a reference; NULL */
	void *private;		    /* [I] the kind's object */
	u64 ino;		    /* [I] for pipe:[N] and fstat of anonymous kinds */
	struct spinlock lock;	    /* rank RANK_EPOLL: */
	struct list epoll_items;    /* [lock] items that watch this file */
	int owner_pid, owner_sig;   /* F_SETOWN */
	struct place_seen place;    /* [cut] of dentry */
	struct persistent persistent;
};

/* One reference, one file. NULL: no memory. */
struct file *file_create(const struct file_ops *ops, unsigned flags, void *private);
static inline void
file_get(struct file *f)
{
	refcount_get(&f->refs);
}
void file_put(struct file *f);

/* Generic entry points used by the calls: check readable/writable, position, O_APPEND, zero length.
 */
ssize_t file_read(struct file *f, struct uio *u, s64 *offset /* NULL: f->pos */);
ssize_t file_write(struct file *f, struct uio *u, s64 *offset);
unsigned file_poll(struct file *f, struct poll_table *pt);
/* fstat of any file, with or without a vnode. */
int file_getattr(struct file *f, struct attr *a);
/* Sleeps until one of `events` (or an error, or hang-up) holds. 0 or -ERESTARTSYS. */
int file_wait(struct file *f, unsigned events);

#endif
