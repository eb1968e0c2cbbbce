/*
 * Network devices as net/ sees them. The driver registers a struct netdev; net/ attaches a client
 * to it. All operations and the client's receive and sent are called with the client's one lock
 * held, so a driver has no lock of its own; only `wake` comes from interrupt context.
 *
 * A device has one queue or several; a queue receives and transmits, and is served in one cluster,
 * in whose memory its rings and buffers lie. What is received on it, sent through it and given back
 * to it counts there.
 */
#ifndef DEV_NETDEV_H
#define DEV_NETDEV_H

#include "arch/layout.h"
#include "lib/list.h"
#include "lib/types.h"

struct netdev;
struct netdev_queue;
struct chdev;

#define NETDEV_CLIENT_ROOM 128u /* bytes in each receive buffer for the client */
#define NETDEV_MAX_VEC	   24u	/* pieces of a frame to send */

struct netdev_buf { /* a received frame or a part of it, in driver memory */
	u8 client[NETDEV_CLIENT_ROOM];
	struct netdev_buf *next; /* of the same frame */
	struct netdev_queue *queue;
	u8 *data;
	u32 len;
};

struct netdev_vec { /* physmap memory */
	const void *base;
	u32 len;
};

#define NETDEV_RX_CHECKED 1u /* the device vouches for the TCP or UDP checksum */

struct netdev_client {
	/* A frame. The client owns the buffers until it gives each back with ops->recycle. */
	void (*receive)(void *arg, struct netdev_buf *frame, unsigned flags);
	/* A frame has left: the cookie given with it. */
	void (*sent)(void *arg, void *cookie);
	/* There is something to poll on the queue, or the link changed. Interrupt context. */
	void (*wake)(void *arg, struct netdev_queue *q);
};

struct netdev_ops {
	/* Queues a frame; `cookie` comes back by sent. 0, -ENOBUFS (full), -EINVAL. */
	int (*send)(struct netdev_queue *q, const struct netdev_vec *vec, unsigned n, void *cookie);
	/* Tells the device of what was queued. */
	void (*kick)(struct netdev_queue *q);
	/* Hands up at most `budget` frames, reaps what was sent, refills. How many came up. */
	unsigned (*poll)(struct netdev_queue *q, unsigned budget);
	/* Gives the cookies of what was sent back. */
	void (*reap)(struct netdev_queue *q);
	/* Turns interrupts on; true when there is something to poll already. */
	bool (*arm)(struct netdev_queue *q);
	void (*recycle)(struct netdev_buf *b); /* to its queue */
	bool (*link_up)(struct netdev *d);
};

struct netdev_stats {
	u64 rx_packets, rx_bytes, rx_dropped, rx_errors;
	u64 tx_packets, tx_bytes, tx_dropped, tx_errors;
};

struct netdev_queue {
	struct netdev *dev;	      /* [I] */
	const struct netdev_ops *ops; /* [I] the device's */
	struct netdev_queue *next;    /* [I] the client's, of one cluster */
	unsigned index;		      /* [I] */
	struct chdev *chdev;	      /* [I] where it is served */
	void *driver;		      /* [I] */
	struct netdev_stats stats;    /* [client's lock] */
};

struct netdev {
	struct list link;		    /* devices->netdevs */
	const struct netdev_ops *ops;	    /* [I] */
	const struct netdev_client *client; /* [I] after attach */
	void *client_arg;
	void *driver;				  /* [I] */
	unsigned queues;			  /* [I] at least 1 */
	struct netdev_queue *queue[MAX_CLUSTERS]; /* [I] */
	u8 near[MAX_CLUSTERS];			  /* [I] by cluster: the queue it sends through */
	u8 mac[6];				  /* [I] */
	u16 mtu;				  /* [I] */
	bool link_changed;			  /* [a] ask link_up again */
};

/* => d->queue is filled; sets d->near */
void netdev_register(struct netdev *d);
/* What all queues counted. => the client's lock, or the figures may not fit each other */
void netdev_stats(const struct netdev *d, struct netdev_stats *out);
/* The device behind `after` (NULL: the first); NULL at the end. */
struct netdev *netdev_next(struct netdev *after);

#endif
