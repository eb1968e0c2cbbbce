/*
 * What stands before each of lwIP's TCP pcbs, listening ones too: which of lwIP's lists it is on,
 * its place in the hash table of connections (pcbs.c) and among those of its port (ports.c).
 */
#ifndef NET_PCBS_H
#define NET_PCBS_H

#include "net/lwip/pcbs.h"
#include "net/net.h"

struct pcb_node {		/* all [n] */
	struct tcp_pcb **on;	/* lwIP's list; NULL: none */
	struct tcp_pcb *before; /* on it */
	struct pcb_node *chain; /* in its bucket of net->pcbs */
	u32 hash;
	bool by_connect;       /* the port was chosen by connect(), so others may have it, too */
	bool reuseport;	       /* SO_REUSEPORT of its socket, or of its listener's */
	u32 uid;	       /* who that belongs to */
	struct list port_link; /* net->ports, while it is on a list */
	union {
		struct tcp_pcb pcb;
		struct tcp_pcb_listen listener;
	};
};

static inline struct pcb_node *
pcb_node_of(struct tcp_pcb *pcb)
{
	return container_of(pcb, struct pcb_node, pcb);
}

/* The connection with these four numbers, which may be in TIME_WAIT; NULL. => net->lock */
struct tcp_pcb *pcb_lookup(const ip_addr_t *local, u16 local_port, const ip_addr_t *remote,
			   u16 remote_port);

/* ports.c. => net->lock */
/* The listener that hears a SYN from and to these; `hash` of all four numbers chooses among those
 * of one SO_REUSEPORT group. NULL: none */
struct pcb_node *port_listener(const ip_addr_t *to, u16 port, u8 netif_idx, u32 hash);
void port_enter(struct pcb_node *n);
void port_leave(struct pcb_node *n);

#endif
