/*
 * Readiness: how poll, select and epoll learn of it. A file's poll operation locks its object, puts
 * the given waiter on the queues that will be woken, and returns the events that hold now.
 */
#ifndef FILE_POLL_H
#define FILE_POLL_H

#include "core/waitq.h"

#define POLL_IN	   0x001u
#define POLL_PRI   0x002u
#define POLL_OUT   0x004u
#define POLL_ERR   0x008u
#define POLL_HUP   0x010u
#define POLL_NVAL  0x020u
#define POLL_RDNORM 0x040u
#define POLL_WRNORM 0x100u
#define POLL_RDHUP 0x2000u

struct poll_table {
	/* Hangs a waiter on q. => the queue's lock (l) is held. */
	void (*add)(struct poll_table *pt, struct waitq *q, struct spinlock *l);
};

/* For poll operations: pt may be NULL (only asks). */
static inline void
poll_add(struct poll_table *pt, struct waitq *q, struct spinlock *l)
{
	if (pt)
		pt->add(pt, q, l);
}

#endif
