/*
 * Network devices as net/ sees them. The driver registers a struct netdev; net/ attaches a client
 * to it. All operations and the client's receive and sent are called with the client's one lock
 * held, so a driver has no lock of its own; only `wake` comes from interrupt context.
 */
#ifndef DEV_NETDEV_H
#define DEV_NETDEV_H

#include "lib/list.h"
#include "lib/types.h"

struct netdev;
struct chdev;

#define NETDEV_CLIENT_ROOM 128u /* bytes in each receive buffer for the client */
#define NETDEV_MAX_VEC	   24u	/* pieces of a frame to send */

struct netdev_buf { /* a received frame or a part of it, in driver memory */
	u8 client[NETDEV_CLIENT_ROOM];
	struct netdev_buf *next; /* of the same frame */
	struct netdev *dev;
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
	/* There is something to poll, or the link changed. Interrupt context. */
	void (*wake)(void *arg);
};

struct netdev_ops {
	/* Queues a frame; `cookie` comes back by sent. 0, -ENOBUFS (full), -EINVAL. */
	int (*send)(struct netdev *d, const struct netdev_vec *vec, unsigned n, void *cookie);
	/* Tells the device of what was queued. */
	void (*kick)(struct netdev *d);
	/* Hands up at most `budget` frames, reaps what was sent, refills. How many came up. */
	unsigned (*poll)(struct netdev *d, unsigned budget);
	/* Turns interrupts on; true when there is something to poll already. */
	bool (*arm)(struct netdev *d);
	void (*recycle)(struct netdev *d, struct netdev_buf *b);
	bool (*link_up)(struct netdev *d);
};

struct netdev_stats {
	u64 rx_packets, rx_bytes, rx_dropped, rx_errors;
	u64 tx_packets, tx_bytes, tx_dropped, tx_errors;
};

struct netdev {
	struct list link;		    /* devices->netdevs */
	const struct netdev_ops *ops;	    /* [I] */
	const struct netdev_client *client; /* [I] after attach */
	void *client_arg;
	void *driver;		   /* [I] */
	struct chdev *chdev;	   /* [I] */
	u8 mac[6];		   /* [I] */
	u16 mtu;		   /* [I] */
	bool link_changed;	   /* [a] ask link_up again */
	struct netdev_stats stats; /* [client's lock] */
};

void netdev_register(struct netdev *d);
/* The device behind `after` (NULL: the first); NULL at the end. */
struct netdev *netdev_next(struct netdev *after);

#endif
