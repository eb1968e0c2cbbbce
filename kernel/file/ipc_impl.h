/* What the kinds of file in ipc.c's care share; included by them only. */
#ifndef FILE_IPC_IMPL_H
#define FILE_IPC_IMPL_H

#include "core/core.h"
#include "core/mutex.h"
#include "file/file.h"
#include "file/kinds.h"
#include "file/persist.h"
#include "file/socket.h"
#include "lib/list.h"

#define SOCKET_FAMILIES 46 /* AF_MAX of linux/socket.h */

struct ipc {
	struct mutex nesting;		     /* epoll: held while an epoll is added to an epoll */
	struct spinlock lock;		     /* rank RANK_FILE; before any object's */
	struct list clock_timers;	     /* [lock] timerfds on the real-time clock */
	const struct signalfd_ops *signalfd; /* [a] */
	const struct socket_family *family[SOCKET_FAMILIES];	  /* [a] */
	long (*interface_ioctl)(unsigned cmd, unsigned long arg); /* [a] */
};

static inline struct ipc *
ipc_root(void)
{
	return machine()->ipc;
}

/* What each kind tells the store at start. */
void pipe_register(void);
void eventfd_register(void);
void timerfd_register(void);
void epoll_register(void);
void signalfd_register(void);
void inotify_register(void);
void unix_register(void);

/* inotify.c, unix.c */
int inotify_init(void);
int unix_init(void);

static inline bool
file_nonblock(const struct file *f)
{
	return (f->flags & 04000u) != 0; /* O_NONBLOCK */
}

#endif
