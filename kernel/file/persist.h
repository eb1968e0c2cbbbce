/*
 * What file/ gives the store (core/persist.h): its kinds, and references to places in the name
 * space for kinds elsewhere. The root of all is machine()->vfs, of kind namespace_persist.
 */
#ifndef FILE_PERSIST_H
#define FILE_PERSIST_H

#include "core/persist.h"
#include "file/vnode.h"

extern const struct persist_kind namespace_persist;  /* 80: struct vfs */
extern const struct persist_kind mount_persist;	     /* 81: struct mount */
extern const struct persist_kind vnode_persist;	     /* 82: struct vnode; directories: the names */
extern const struct persist_kind file_persist;	     /* 83: struct file */
extern const struct persist_kind fdtable_persist;    /* 84: struct fdtable */
extern const struct persist_kind fs_context_persist; /* 85: struct fs_context */
extern const struct persist_kind pipe_persist;	     /* 86: pipes and fifos */
extern const struct persist_kind unix_sock_persist;  /* 87 */
extern const struct persist_kind unix_msg_persist;   /* 88: a message that nobody has read */

/* Numbers of struct file_persist: never changed, never used again. */
enum {
	FILE_PIPE = 1,
	FILE_FIFO = 2,
	FILE_EVENTFD = 3,
	FILE_TIMERFD = 4,
	FILE_EPOLL = 5,
	FILE_SIGNALFD = 6,
	FILE_INOTIFY = 7,
	FILE_UNIX = 8,
	FILE_TTY = 9,
	FILE_PTMX = 10,
	FILE_PIDFD = 11,       /* proc/ */
	FILE_INET_STREAM = 12, /* net/ */
	FILE_INET_DATAGRAM = 13,
	FILE_NETLINK = 14,
	FILE_HOLDFAST = 15, /* persist/ */
};

/* Gives every file of the root image a vm_object, after which the image itself is not needed: once,
 * before the first cut. May sleep. */
int __must_check vfs_make_objects(void);

/* Writes where d is. NULL writes nothing. */
void place_save(struct persist_writer *w, u16 tag, struct dentry *d);
/* h with what place_save would write mixed into it, for versions; 0: write, it may have changed.
 * place_version_seen is for who has the same dentry again and again: names stay as they are,
 * mostly, and then it need not be looked at. */
u64 place_version(struct persist_writer *w, u64 h, struct dentry *d);
u64 place_version_seen(struct persist_writer *w, u64 h, struct dentry *d, struct place_seen *seen);
/* When linking: the dentry, with a reference. -ENOENT: none was written, or it is not there any
 * more (a process's directory in /proc, a device); -EBADMSG. Its vnode may not be linked yet. */
int __must_check place_load(struct persist_reader *r, const struct tag_reader *in, u16 tag,
			    struct dentry **out);
/* A file that place_save writes as a name over a vnode; others are made anew by the kernel. */
bool vnode_is_saved(const struct vnode *v);

/* file/locks.c: fields of a vnode's record. */
void locks_save(struct persist_writer *w, u16 tag, struct vnode *v);
int __must_check locks_load(struct persist_reader *r, u16 tag, struct vnode *v);
bool locks_any(const struct vnode *v);

#endif
