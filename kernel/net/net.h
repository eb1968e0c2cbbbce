/*
 * The network's own structures: struct net, one for the machine, and struct inet, one for each
 * AF_INET or AF_INET6 socket.
 *
 * net->lock is the one lock of the stack: lwIP, every pcb, the interfaces and the list of sockets
 * change only under it ([n]). It sleeps. Inside it a socket's spinlock ([l]) guards what readers,
 * writers and pollers look at, so that poll, and recv of data that is there, need no net->lock.
 * Order: net->lock, inet->rx_lock never inside it, inet->lock inside both.
 *
 * Life of an inet: created with a file, or by a connection that nobody has accepted yet (then the
 * listener's queue owns it); freed when its file is released. lwIP's pcb points to it by its
 * callback argument and tells by the destroy callback when it goes away by itself; a released
 * socket takes its callbacks out of the pcb, which lives on in lwIP until the connection is over.
 */
#ifndef NET_NET_H
#define NET_NET_H

#include "core/mutex.h"
#include "core/waitq.h"
#include "dev/driver.h"
#include "dev/netdev.h"
#include "file/socket.h"
#include "file/vnode.h"
#include "lib/list.h"

#include "lwip/dns.h"
#include "lwip/ip.h"
#include "lwip/netif.h"
#include "lwip/pbuf.h"
#include "lwip/raw.h"
#include "lwip/tcp.h"
#include "lwip/udp.h"

#include "net/abi.h"

struct iface { /* an interface; netif.state points to it */
	struct netif netif;
	struct list link;   /* [n] net->ifaces */
	struct netdev *dev; /* [I] NULL: loopback */
	u64 packets, bytes; /* [n] of the loopback */
	bool link_was_up;   /* [n] */
	u32 told_ip4;	    /* [n] the address that the log has */
	u32 kick;	    /* [n] mask of the device's queues with frames since the last kick */
};

struct net_timer {
	u32 interval_ms;
	void (*fn)(void);
	ns_t last; /* [n] */
};
#define NET_TIMERS 12

struct net_worker {		     /* a network thread, in the memory of its cluster */
	struct net *net;	     /* [I] */
	unsigned cxy;		     /* [I] */
	struct netdev_queue *queues; /* [I] that it serves, by next */
	struct spinlock lock;	     /* rank RANK_NET */
	struct waitq wake;	     /* [lock] the thread */
	bool woken;		     /* [lock] */
	struct thread *thread;	     /* [I] */
};

struct pcb_node;
struct ports;

struct pcb_table {		  /* TCP connections by address and port: pcbs.c */
	struct pcb_node **bucket; /* [n] */
	u32 mask, count;	  /* [n] */
};

struct net {
	struct mutex lock;
	struct list sockets;			   /* [n] struct inet */
	struct list ifaces;			   /* [n] */
	struct iface *loopback;			   /* [I] */
	struct loop_packet *loop_head, *loop_tail; /* [n] on their way through the loopback */
	struct pbuf *graveyard;			   /* [a] pbufs that readers are done with */
	bool kick;				   /* [n] an interface has frames to tell of */
	u16 place_next;	 /* [n] where the next pcb goes: cluster + 1, or 0: here */
	bool raw_sends;	 /* [n] lwIP works for a raw socket: net/steer.c */
	bool copy_fault; /* [n] a copy from a program's memory failed */
	struct net_timer timer[NET_TIMERS]; /* [n] */
	unsigned timers;		    /* [I] */
	ns_t busy_until;		    /* [n] timers run in time until then */
	bool poke;			    /* [n] the first worker has to look at its timers */
	u64 rx_limit, rx_held;		    /* [a] bytes of received data held by all sockets */
	struct net_worker *worker[MAX_CLUSTERS]; /* [I] by cluster; NULL: no queue there */
	struct net_worker *first;		 /* [I] who runs the timers, too */
	struct raw_pcb *icmp_errors;		 /* [I] */
	struct pcb_table pcbs;			 /* [n] */
	struct ports *ports;			 /* [I] net/ports.c */
	unsigned time_wait_most;		 /* [I] connections kept in TIME_WAIT */
	char hostname[64];			 /* [n] sent with DHCP */
	ip_addr_t dns_seen[DNS_MAX_SERVERS];	 /* [first] what resolv.conf says */
	const struct dentry *resolv_root;	 /* [first] below which */
};

/* The cluster that serves the queue. */
static inline unsigned
queue_cluster(const struct netdev_queue *q)
{
	return q->chdev->cxy;
}

static inline struct net *
net_root(void)
{
	return machine()->net;
}

/* net.c */
void net_lock(void);
/* Delivers what went to the loopback, kicks the devices, frees, unlocks. */
void net_unlock(void);
/* Wakes a network thread. Any context. */
void net_wake(struct net_worker *w);
/* Frees a pbuf (alone, next is used) without net->lock. */
void net_bury(struct pbuf *p);
/* The same for a whole packet. */
void net_bury_chain(struct pbuf *p);

/* timers.c */
void net_timers_init(struct net *n);
/* Runs what is due; the deadline of the next. => net->lock */
ns_t net_timers_run(struct net *n);
/* There is traffic: timers run in time for a while. => net->lock */
void net_timers_busy(struct net *n);
/* A connection came to be, the first: TCP's clock begins. => net->lock */
void net_timers_first(struct net *n);

/* iface.c, loopback.c, resolv.c */
void iface_attach_all(struct net *n);
/* Asks the devices whose link changed how it is now. => net->lock */
void iface_follow_links(struct net *n);
/* Frees what any queue has sent. => net->lock */
void iface_reap_all(struct net *n);
void iface_kick_all(struct net *n);
/* The queue for a frame that lwIP sends now. => net->lock */
struct netdev_queue *steer_transmit(const struct iface *i, const struct pbuf *p);
struct iface *iface_by_index(struct net *n, unsigned index);
struct iface *iface_by_name(struct net *n, const char *name);
void iface_name(const struct iface *i, char out[16]);
unsigned iface_flags(const struct iface *i); /* IFF_* */
int loopback_create(struct net *n);
void loopback_deliver(struct net *n);
/* Whether the name servers are others than those of the file. => net->lock */
bool resolv_stale(struct net *n);
/* Writes /etc/resolv.conf. => net->lock not held; may sleep */
void resolv_update(struct net *n);

/* ---- sockets ---- */

enum inet_state {
	INET_FRESH, /* no connection; for datagrams: no peer */
	INET_CONNECTING,
	INET_CONNECTED,
	INET_LISTENING,
	INET_OVER, /* was connected, or connecting failed */
};

enum inet_port { /* how a stream socket came by its port */
		 PORT_NONE,
		 PORT_BOUND,	 /* bind() or listen(): kept until it is closed */
		 PORT_CHOSEN,	 /* connect() */
		 PORT_INHERITED, /* from its listener */
};

enum inet_urgent { /* the urgent byte, of which there is one at a time (man 7 tcp) */
		   URGENT_NONE,
		   URGENT_COMING, /* announced */
		   URGENT_HERE,	  /* may be read with MSG_OOB */
		   URGENT_READ,	  /* still marks its place in the stream */
};

struct dgram {
	struct list link;
	struct pbuf *p;
	ip_addr_t from, to;
	u16 from_port;
	u8 ifindex, ttl, tos;
	ns_t stamp; /* realtime */
};

#define INET_RCVBUF_DEFAULT 212992
#define INET_BUF_MAX	    (4 << 20)
#define INET_BUF_MIN	    2304

#define PORT_LOW  32768u /* the range that ports are chosen from: Linux's */
#define PORT_HIGH 60999u

struct inet {
	struct list link;	    /* [n] net->sockets */
	int family, type, protocol; /* [I] */
	union {			    /* [n] NULL: gone */
		struct tcp_pcb *tcp;
		struct udp_pcb *udp;
		struct raw_pcb *raw;
	};
	struct mutex rx_lock;		/* one reader of the stream at a time */
	struct spinlock lock;		/* rank RANK_FILE */
	struct waitq rq, wq;		/* [l] readers and acceptors; writers and connectors */
	u32 state;			/* [l] enum inet_state */
	int error;			/* [l] pending, positive errno */
	bool connect_told;		/* [l] connect() has returned its result */
	bool rx_eof, rx_shut, tx_shut;	/* [l] */
	bool tx_full;			/* [l] somebody wants to hear of room */
	u32 tx_room;			/* [l] bytes that send would take */
	struct pbuf *rx_head, *rx_tail; /* [l] stream: pbufs linked by next, one by one */
	u32 rx_skip;			/* [rx_lock] read of the first */
	u64 rx_bytes;			/* [l] stream and datagrams */
	u32 unacked;			/* [l] read, but the window not yet reopened */
	u32 window_step;		/* [l] reopen it after so many bytes */
	u32 rx_seq;		/* [l] TCP's number of the first byte that is not in the queue */
	u32 urgent_seq;		/* [l] of the urgent byte */
	u8 urgent_byte;		/* [l] */
	u8 urgent;		/* [l] enum inet_urgent */
	struct list dgrams;	/* [l] struct dgram */
	struct list pending;	/* [l] children to accept, by their queue_link */
	struct list queue_link; /* [listener's l] */
	struct inet *listener;	/* [n] of a child that waits for accept */
	unsigned pending_nr, backlog; /* [l] */
	ip_addr_t local, peer;	      /* [l] what getname says */
	u16 local_port, peer_port;    /* [l] */
	bool bound;		      /* [n] */
	u8 port_from;		      /* [n] enum inet_port */
	u64 ino;		      /* [I] of the file; 0: not accepted */
	u32 uid;		      /* [I] */
	/* options [n] */
	bool v6only, reuseaddr, reuseport, keepalive, broadcast, nodelay, cork, oobinline,
		dontroute, bind_no_port;
	bool linger;
	bool pktinfo, pktinfo6, recvttl, recvtos, recvhops, recvtclass, timestamp, hdrincl, recverr;
	bool mcast_loop;
	int linger_s, priority, mark, rcvlowat, mcast_ifindex, bound_if;
	u8 tos, ttl, mcast_ttl, tclass;
	s16 hops;
	u32 sndbuf, rcvbuf, user_timeout_ms, withheld;
	u32 keepidle, keepintvl, keepcnt;
	u8 syncnt;	 /* tries to connect */
	u32 icmp_filter; /* raw: types not wanted */
	u32 icmp6_filter[8];
	u16 port_low, port_high; /* narrow the range that the port is chosen from; 0: do not */
	ns_t rcvtimeo, sndtimeo; /* NS_FOREVER: none */
	ns_t progress;		 /* when the peer last acknowledged */
	struct list groups;	 /* [n] struct inet_group */
	u16 user_cxy;		 /* [a] cluster of who read or wrote last: net/steer.c */
	u16 sends_by;		 /* [n] cluster whose queue it sends through */
	struct persistent persistent;
};

struct inet_group { /* a multicast membership */
	struct list link;
	ip_addr_t group;
	u8 ifindex;
};

extern const struct socket_file_ops inet_stream_ops, inet_dgram_ops;

static inline struct inet *
inet_of(struct file *f)
{
	return f->private;
}

/* The calling thread reads or writes: the connection is to be served in its cluster. */
static inline void
inet_used_here(struct inet *s)
{
	u16 here = (u16)this_core()->arch.cxy;

	if (unlikely(atomic_load_relaxed(&s->user_cxy) != here))
		atomic_store_relaxed(&s->user_cxy, here);
}

/* inet.c */
void inet_register(void);
int errno_of(err_t e);
/* In a cluster's memory, for use there. */
struct inet *inet_alloc(unsigned cxy, int family, int type, int protocol);
/* Frees what readers never took, and s. => no pcb points to it */
void inet_free(struct inet *s);
/* A socket that nobody has as a file: its pcb goes, then it. */
void inet_abandon(struct inet *s);
/* Reads a sockaddr: *ip (IPADDR_TYPE_ANY for :: of a dual-stack socket) and port. 0 or -errno. */
int inet_addr_in(const struct inet *s, const void *sa, unsigned len, ip_addr_t *ip, u16 *port);
/* bind(2): `bind` looks whether it may be, does it, and says which port it was; 0: one is chosen
 * later. 0, -EINVAL, -EAFNOSUPPORT, -ENETUNREACH, and what `bind` says. => it has net->lock */
int inet_bind(struct inet *s, const void *sa, unsigned len,
	      int (*bind)(struct inet *s, ip_addr_t *ip, u16 *port));
void inet_addr_out(const struct inet *s, const ip_addr_t *ip, u16 port, void *sa, unsigned *len);
/* Whether we may use it as our own address. => net->lock */
bool inet_addr_is_ours(const ip_addr_t *ip);
bool inet_addr_is_loop4(const ip_addr_t *ip); /* in 127/8 */
/* The source of what an unbound socket sends to `to`, which is an address of ours. */
void inet_source_to(const ip_addr_t *to, ip_addr_t *from);
/* How a packet goes from `from` (may be any) to `to`. NULL: no route; 127/8 does not leave. */
struct netif *inet_route(const ip_addr_t *from, const ip_addr_t *to);
/* lwIP's setters as functions; words in network order. */
void inet_set_ip4(ip_addr_t *ip, u32 word);
void inet_set_ip6(ip_addr_t *ip, const u32 w[4]);
/* "Any" as a destination is the machine itself: 127.0.0.1 or ::1. */
void inet_any_to_loopback(ip_addr_t *ip);
/* Whether two bound addresses overlap, :: of a dual-stack socket being everything. */
bool inet_addr_overlap(const ip_addr_t *a, const ip_addr_t *b);
/* Whether s may not be bound to `ip` and the port of o. => net->lock */
bool inet_port_conflict(const struct inet *s, const struct inet *o, const ip_addr_t *ip);
/* Whether another socket than a stream has the port. => net->lock */
bool inet_port_taken(const struct inet *s, const ip_addr_t *ip, u16 port);
int inet_getname(struct file *f, bool peer, void *addr, unsigned *len);
/* Wakes readers (events with POLL_IN...), writers or both. => s->lock held */
void inet_wake(struct inet *s, unsigned events);
/* The pending error as -errno, taken; 0. => s->lock held */
int inet_take_error(struct inet *s);
ns_t inet_deadline(ns_t timeout);
/* -ERESTARTSYS after a time-out option was set must be -EINTR (man 7 signal). */
int inet_wait_result(int err, ns_t timeout);
size_t inet_file_name(struct file *f, char *buf, size_t size);
u8 inet_pcb_type(const struct inet *s);

/* options.c, multicast.c, ioctl.c */
int inet_setsockopt(struct file *f, int level, int name, const void *val, unsigned len);
int inet_getsockopt(struct file *f, int level, int name, void *val, unsigned *len);
/* Puts the options into the pcb. => net->lock */
void inet_apply_options(struct inet *s);
/* -EADDRINUSE, -ENODEV, -EINVAL, -ENOMEM, ... => net->lock */
int multicast_join(struct inet *s, const ip_addr_t *group, struct iface *i);
int multicast_option(struct inet *s, int level, int name, const void *val, unsigned len);
void multicast_leave_all(struct inet *s);
long interface_ioctl(unsigned cmd, unsigned long arg);
long inet_ioctl(struct file *f, unsigned cmd, unsigned long arg);

/* pcbs.c */
int pcb_table_init(struct pcb_table *t);
/* The active connection with these four numbers; NULL. => net->lock, or nothing else runs */
struct tcp_pcb *net_pcb_find(const ip_addr_t *local, u16 local_port, const ip_addr_t *remote,
			     u16 remote_port);

/* ports.c */
int ports_init(struct net *n);
/* Binds the fresh s, to a port of its own choice if `port` is 0; *ip gets its zone. -EADDRINUSE:
 * the port is taken, or all are. => net->lock */
int tcp_port_bind(struct inet *s, ip_addr_t *ip, u16 port);
/* The same, whoever else has the port. => net->lock */
void tcp_port_put(struct inet *s, const ip_addr_t *ip, u16 port);
/* Whether the bound s may listen: -EADDRINUSE. => net->lock */
int tcp_port_listen(const struct inet *s);
/* Gives s, which knows its local address, a port for a connection; or looks whether that which it
 * has will do. -EADDRNOTAVAIL: none is free for this peer. => net->lock */
int tcp_port_connect(struct inet *s, const ip_addr_t *to, u16 to_port);
/* The new pcb of s has a port that came as s->port_from says. => net->lock */
void tcp_port_from(struct inet *s);
/* -EADDRINUSE: all are taken; -ENOMEM. => net->lock */
int udp_port_choose(const struct inet *s, const ip_addr_t *ip, u16 *port);

/* tcp.c, tcp_connect.c, tcp_io.c */
int tcp_socket_connect(struct file *f, const void *addr, unsigned len);
err_t tcp_on_connected(void *arg, struct tcp_pcb *pcb, err_t err);
/* After this the pcb is lwIP's alone. => net->lock */
void tcp_clear_callbacks(struct tcp_pcb *pcb);
int tcp_socket_create(struct inet *s);
void tcp_socket_release(struct file *f);
/* The bound s listens, as it did before a resume. => net->lock */
int tcp_listen_again(struct inet *s);
void tcp_update_room(struct inet *s);
void tcp_give_window(struct inet *s);
ssize_t tcp_socket_send(struct file *f, struct socket_msg *m);
ssize_t tcp_socket_recv(struct file *f, struct socket_msg *m);
void tcp_reap_time_wait(void);
int tcp_info_get(struct inet *s, void *val, unsigned *len);
err_t tcp_on_recv(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err);

/* urgent.c */
/* A segment with URG was seen: its urgent byte is `seq`. => net->lock */
void urgent_announce(struct inet *s, u32 seq);
/* After p was queued. => s->lock held */
void urgent_look(struct inet *s, const struct pbuf *p);
/* How many of n bytes a reader who has taken `taken` in this call may read on; *skip: it is at the
 * urgent byte, which is not part of the stream. => s->rx_lock held */
size_t urgent_limit(struct inet *s, size_t n, size_t taken, bool *skip);
/* Bytes in the queue that a reader would get. => s->lock held */
u64 urgent_readable(const struct inet *s);
bool urgent_at_mark(const struct inet *s);
ssize_t urgent_recv(struct inet *s, struct socket_msg *m);
/* Marks the last queued byte as urgent. => net->lock */
void urgent_mark(struct inet *s);

/* dgram.c, dgram_names.c */
int dgram_socket_create(struct inet *s);
static inline bool
dgram_is_udp(const struct inet *s)
{
	return s->type == SOCK_DGRAM && s->protocol == IPPROTO_UDP;
}
static inline bool
dgram_is_ping(const struct inet *s)
{
	return s->type == SOCK_DGRAM && s->protocol != IPPROTO_UDP;
}
/* Gives s a port unless it has one. -EAGAIN: all are taken. => net->lock */
int dgram_bind_any(struct inet *s);
int dgram_bind(struct file *f, const void *addr, unsigned len);
int dgram_connect(struct file *f, const void *addr, unsigned len);
/* Takes its pcb and memberships away. => net->lock */
void dgram_forget(struct inet *s);
/* A host said that the datagram from local:port to peer:port was not wanted. => net->lock */
void dgram_refused(const ip_addr_t *local, u16 local_port, const ip_addr_t *peer, u16 peer_port);

/* netlink.c, procnet.c */
void netlink_register(void);
void procnet_register(struct net *n);
void sysnet_register(struct iface *i);

#endif
