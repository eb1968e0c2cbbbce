/* An epoll and its items: see epoll.c. */
#ifndef FILE_EPOLL_IMPL_H
#define FILE_EPOLL_IMPL_H

#include "core/mutex.h"
#include "file/file.h"
#include "file/ipc_impl.h"
#include "lib/rbtree.h"

#define ITEM_WAITERS 2 /* queues of most kinds of file; more go to the heap */

struct epoll {
	struct refcount refs;
	struct mutex change;
	struct rb_tree items; /* [change] by file and descriptor */
	u32 count;	      /* [change] */
	struct file *file;    /* [I] without a reference: it outlives the items */
	struct spinlock lock; /* rank RANK_EPOLL */
	struct list ready;    /* [lock] items by `link` */
	struct waitq waiters; /* [lock] threads in epoll_wait */
	struct waitq pollers; /* [lock] whoever polls the epoll's own file */
};

enum item_state {
	ITEM_IDLE,    /* on no list */
	ITEM_READY,   /* on ep->ready */
	ITEM_TAKEN,   /* being looked at by epoll_collect */
	ITEM_RETAKEN, /* and it fired again meanwhile */
};

struct item_waiter {
	struct waiter waiter;
	struct epoll_item *item;
	struct item_waiter *next;
};

struct epoll_item {
	struct rb_node node;   /* [ep->change] */
	struct epoll *ep;      /* [I] with a reference */
	struct file *file;     /* [I] without one */
	int fd;		       /* [I] */
	u32 events;	       /* [ep->lock] 0 but for mode bits: disabled by EPOLLONESHOT */
	u64 data;	       /* [ep->lock] */
	enum item_state state; /* [ep->lock] */
	struct list link;      /* [ep->lock] ready, or the collector's own list */
	struct list file_link; /* [file->lock] */
	bool no_memory;	       /* a waiter could not be made */
	unsigned used;	       /* of waiter[] */
	struct item_waiter waiter[ITEM_WAITERS];
	struct item_waiter *more;
};

#endif
