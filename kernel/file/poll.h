/*
 * Readiness: how poll, select and epoll learn of it. A file's poll operation locks its object, puts
 * the given waiter on the queues that will be woken, and returns the events that hold now.
 */
#ifndef FILE_POLL_H
#define FILE_POLL_H

#include "core/waitq.h"

#define POLL_IN	    0x001u
#define POLL_PRI    0x002u
#define POLL_OUT    0x004u
#define POLL_ERR    0x008u
#define POLL_HUP    0x010u
#define POLL_NVAL   0x020u
#define POLL_RDNORM 0x040u
#define POLL_WRNORM 0x100u
#define POLL_RDHUP  0x2000u
/* A wake-up that is passed on among sleepers: no news, edge-triggered epolls do not hear of it. */
#define POLL_PASS_ON (1u << 27)

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

/*
 * A poller waits for many files at once (poll, select). Life: poller_init; file_poll(f, &p->table)
 * for each file, until one has events; poller_wait; file_poll(f, NULL) for each; poller_done.
 */
#define POLLER_INLINE 8

struct poller;
struct poller_entry {
	struct waiter waiter;
	struct poller *poller;
	struct poller_entry *next; /* of those allocated beyond the inline ones */
};

struct poller {
	struct poll_table table;
	struct spinlock lock; /* rank RANK_EPOLL */
	struct waitq queue;   /* [lock] */
	bool triggered;	      /* [lock] */
	bool no_memory;
	unsigned used; /* of entry[] */
	struct poller_entry entry[POLLER_INLINE];
	struct poller_entry *more;
};

void poller_init(struct poller *p);
/* Waits until a file that was polled with p->table changed: 0, -ETIMEDOUT, -ERESTARTSYS; -ENOMEM
 * when the waiters could not be made. May sleep. */
int __must_check poller_wait(struct poller *p, ns_t deadline);
void poller_done(struct poller *p);

#endif
