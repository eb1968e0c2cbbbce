/* Constructors of the kinds of file that have no name. All: 0 and *out with one reference, or
 * -errno. */
#ifndef FILE_KINDS_H
#define FILE_KINDS_H

#include "file/file.h"

int pipe_create(unsigned flags, struct file **rd, struct file **wr);
int eventfd_create(u64 initial, unsigned flags, struct file **out);
int timerfd_create_file(int clock, unsigned flags, struct file **out);
int epoll_create_file(unsigned flags, struct file **out);
int signalfd_create(u64 mask, unsigned flags, struct file **out);
int inotify_create(unsigned flags, struct file **out);
int memfd_create_file(const char *name, unsigned flags, struct file **out);
/* AF_UNIX: type SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET. */
int unix_socket_create(int type, int protocol, unsigned flags, struct file **out);
int unix_socketpair(int type, unsigned flags, struct file **a, struct file **b);
/* open(2) of a S_IFIFO vnode: waits for the other side as fifo(7) says, sets f->ops, f->private. */
struct vnode;
int fifo_open(struct vnode *v, struct file *f);
/* Name space changes for inotify: called by namei and file with no spinlock held,
 * only when dir or v has watches: watchers of dir hear of `name`, watchers of v of v itself.
 * Either may be NULL. */
void inotify_event(struct vnode *dir, struct vnode *v, const char *name, u32 mask, u32 cookie);
/* What signalfd must ask of proc/: set at start. */
struct signalfd_ops {
	/* Takes one pending signal of `mask` from the calling task and writes its 128-byte
	 * struct signalfd_siginfo: its number, 0 when there is none. => takes the queue's lock. */
	int (*dequeue)(u64 mask, void *info128);
	/* => called with the queue's lock held. */
	bool (*pending)(u64 mask);
	/* The calling process's queue, woken whenever a signal is sent, and the lock that guards
	 * it: both stay while the process runs or somebody has a reference. */
	struct waitq *(*queue)(struct spinlock **lock);
	/* A reference of the calling process; gives one back. */
	void *(*owner_get)(void);
	void (*owner_put)(void *owner);
	/* For the store: another reference of a process; its queue as above; its kind. */
	void (*owner_hold)(void *owner);
	struct waitq *(*owner_queue)(void *owner, struct spinlock **lock);
	const struct persist_kind *owner_kind;
};
void signalfd_set_ops(const struct signalfd_ops *ops);
/* Changes the mask of a signalfd: -EINVAL if f is none. */
int signalfd_set_mask(struct file *f, u64 mask);

/* Sets up what the kinds here share (machine()->ipc): before any other call of these and before
 * socket_family_register. Registers AF_UNIX. 0 or -ENOMEM. */
int ipc_init(void);
/* clock_settime changed the real-time clock: ends TFD_TIMER_CANCEL_ON_SET waits. */
void timerfd_clock_was_set(void);
/* /dev/tty, console, ttyN of the machine, ptmx and pts: nodes of devfs over dev/tty.h. */
int tty_files_init(void);
/* A node of devfs for each disk. */
int block_files_init(void);
/* Called by file_put of the last reference: takes the file out of every epoll. */
void epoll_forget(struct file *f);

#endif
