/*
 * Finding the connection a segment belongs to. lwIP walks its lists, which a server with a thousand
 * connections does for every segment; but it looks at the first one first. So the connection is
 * looked up in a hash table by its four numbers and put in front before lwIP's tcp_input() runs.
 * The lists that it is not on are put aside meanwhile: a segment of no connection, such as each
 * SYN, has lwIP see the one listener that is to hear it and walk no list. Of several listeners with
 * SO_REUSEPORT a hash of the four numbers chooses one.
 *
 * To take a pcb out of lwIP's singly linked lists, each has a node around it with what stands
 * before it: memp_malloc() and memp_free() are ours for TCP pcbs (--wrap in the Makefile), and so
 * are the macros by which lwIP lists them (net/lwip/pcbs.h). Two places of lwIP change lists by
 * themselves: tcp_input() moves what it found to the front, where it is already; tcp_slowtmr()
 * takes out a pcb and frees it at once, which memp_free() makes good.
 *
 * A connection in TIME_WAIT makes room for a new one with the same numbers (RFC 1122, 4.2.2.13).
 *
 * Locks: all under net->lock.
 */
#include "mm/slab.h"
#include "net/pcbs.h"

#include "lwip/inet_chksum.h"
#include "lwip/prot/tcp.h"

#define BUCKETS_FIRST 256u

void *__real_memp_malloc(memp_t type);
void *__wrap_memp_malloc(memp_t type);
void __real_memp_free(memp_t type, void *mem);
void __wrap_memp_free(memp_t type, void *mem);
void __real_tcp_input(struct pbuf *p, struct netif *in);
void __wrap_tcp_input(struct pbuf *p, struct netif *in);

/* ---- the table ---- */

static u32
mix_address(u32 hash, const ip_addr_t *a)
{
	const u32 *word = IP_IS_V6(a) ? ip_2_ip6(a)->addr : &ip_2_ip4(a)->addr;

	for (unsigned i = 0; i < (IP_IS_V6(a) ? 4u : 1u); i++)
		hash = (hash ^ word[i]) * 0x9e3779b1u;
	return hash;
}

static u32
hash_of(const ip_addr_t *local, u16 local_port, const ip_addr_t *remote, u16 remote_port)
{
	u32 hash = mix_address((u32)local_port << 16 | remote_port, remote);

	hash = mix_address(hash, local);
	return hash ^ hash >> 15;
}

static struct pcb_node **
bucket_of(const struct pcb_table *t, u32 hash)
{
	return &t->bucket[hash & t->mask];
}

static void
enter(struct pcb_table *t, struct pcb_node *n)
{
	struct pcb_node **bucket = bucket_of(t, n->hash);

	n->chain = *bucket;
	*bucket = n;
}

/* Keeps chains short; without memory for it they become longer. */
static void
grow(struct pcb_table *t)
{
	struct pcb_table wider = {.mask = 2 * t->mask + 1};

	wider.bucket = kcalloc(wider.mask + 1UL, sizeof(*wider.bucket));
	if (!wider.bucket)
		return;
	for (u32 i = 0; i <= t->mask; i++) {
		struct pcb_node *next;

		for (struct pcb_node *n = t->bucket[i]; n; n = next) {
			next = n->chain;
			enter(&wider, n);
		}
	}
	kfree(t->bucket);
	t->bucket = wider.bucket;
	t->mask = wider.mask;
}

int
pcb_table_init(struct pcb_table *t)
{
	t->bucket = kcalloc(BUCKETS_FIRST, sizeof(*t->bucket));
	t->mask = BUCKETS_FIRST - 1;
	return t->bucket ? 0 : -ENOMEM;
}

static void
activate(struct pcb_node *n)
{
	struct pcb_table *t = &net_root()->pcbs;

	n->hash =
		hash_of(&n->pcb.local_ip, n->pcb.local_port, &n->pcb.remote_ip, n->pcb.remote_port);
	if (++t->count > t->mask)
		grow(t);
	enter(t, n);
}

static void
deactivate(struct pcb_node *n)
{
	struct pcb_table *t = &net_root()->pcbs;
	struct pcb_node **at = bucket_of(t, n->hash);

	while (*at != n)
		at = &(*at)->chain;
	*at = n->chain;
	t->count--;
}

/* ---- the lists ---- */

static bool
is_connection_list(struct tcp_pcb **list)
{
	return list == &tcp_active_pcbs || list == &tcp_tw_pcbs;
}

static void
put_in_front(struct tcp_pcb **list, struct tcp_pcb *pcb)
{
	pcb->next = *list;
	if (pcb->next)
		pcb_node_of(pcb->next)->before = pcb;
	pcb_node_of(pcb)->before = NULL;
	*list = pcb;
}

static void
take_out(struct tcp_pcb **list, struct tcp_pcb *pcb)
{
	struct tcp_pcb *before = pcb_node_of(pcb)->before;

	if (before)
		before->next = pcb->next;
	else
		*list = pcb->next;
	if (pcb->next)
		pcb_node_of(pcb->next)->before = before;
}

/* It is on no list any more: nobody finds it. */
static void
forget(struct pcb_node *n)
{
	if (is_connection_list(n->on))
		deactivate(n);
	port_leave(n);
	n->on = NULL;
}

static void
inherit(struct pcb_node *n, const struct pcb_node *listener)
{
	n->reuseport = listener->reuseport;
	n->uid = listener->uid;
}

void
net_lwip_pcb_list(struct tcp_pcb **list, struct tcp_pcb *pcb)
{
	struct pcb_node *n = pcb_node_of(pcb);
	struct net *net = net_root();

	put_in_front(list, pcb);
	n->on = list;
	if (pcb->state == SYN_RCVD)
		inherit(n, pcb_node_of((struct tcp_pcb *)pcb->listener));
	port_enter(n);
	if (!is_connection_list(list))
		return;
	activate(n);
	if (net->pcbs.count == 1)
		net_timers_first(net);
}

/* lwIP says so of pcbs that have a port and are on no list, too. */
void
net_lwip_pcb_unlist(struct tcp_pcb **list, struct tcp_pcb *pcb)
{
	struct pcb_node *n = pcb_node_of(pcb);

	if (n->on == list) {
		take_out(list, pcb);
		forget(n);
	}
	pcb->next = NULL;
}

/* ---- called by lwIP in place of its own ---- */

void *
__wrap_memp_malloc(memp_t type)
{
	struct net *net = net_root();
	struct pcb_node *n;
	unsigned cxy;

	if (type != MEMP_TCP_PCB && type != MEMP_TCP_PCB_LISTEN)
		return __real_memp_malloc(type);
	cxy = net->place_next ? net->place_next - 1u : this_core()->arch.cxy;
	net->place_next = 0;
	n = kzalloc_on(cxy, sizeof(*n));
	return n ? &n->pcb : NULL;
}

/* One that is on a list is here only from tcp_slowtmr(), which has taken it off. */
void
__wrap_memp_free(memp_t type, void *mem)
{
	struct pcb_node *n;

	if (type != MEMP_TCP_PCB && type != MEMP_TCP_PCB_LISTEN) {
		__real_memp_free(type, mem);
		return;
	}
	n = pcb_node_of(mem);
	if (n->on) {
		if (n->pcb.next)
			pcb_node_of(n->pcb.next)->before = n->before;
		forget(n);
	}
	kfree(n);
}

/* ---- finding ---- */

struct tcp_pcb *
pcb_lookup(const ip_addr_t *local, u16 local_port, const ip_addr_t *remote, u16 remote_port)
{
	u32 hash = hash_of(local, local_port, remote, remote_port);
	struct pcb_node *n = *bucket_of(&net_root()->pcbs, hash);

	for (; n; n = n->chain)
		if (n->pcb.remote_port == remote_port && n->pcb.local_port == local_port &&
		    ip_addr_cmp(&n->pcb.remote_ip, remote) && ip_addr_cmp(&n->pcb.local_ip, local))
			return &n->pcb;
	return NULL;
}

struct tcp_pcb *
net_pcb_find(const ip_addr_t *local, u16 local_port, const ip_addr_t *remote, u16 remote_port)
{
	struct tcp_pcb *pcb = pcb_lookup(local, local_port, remote, remote_port);

	return pcb && pcb->state != TIME_WAIT ? pcb : NULL;
}

/* As tcp_input() compares. */
static struct tcp_pcb *
find(const struct tcp_hdr *hdr)
{
	const ip_addr_t *from = ip_current_src_addr(), *to = ip_current_dest_addr();
	u16 from_port = lwip_ntohs(hdr->src), to_port = lwip_ntohs(hdr->dest);
	u8 in = netif_get_index(ip_current_input_netif());
	u32 hash = hash_of(to, to_port, from, from_port);
	struct pcb_node *n = *bucket_of(&net_root()->pcbs, hash);

	for (; n; n = n->chain)
		if (n->pcb.remote_port == from_port && n->pcb.local_port == to_port &&
		    ip_addr_cmp(&n->pcb.remote_ip, from) && ip_addr_cmp(&n->pcb.local_ip, to) &&
		    (n->pcb.netif_idx == NETIF_NO_INDEX || n->pcb.netif_idx == in))
			return &n->pcb;
	return NULL;
}

static struct pcb_node *
find_listener(const struct tcp_hdr *hdr)
{
	const ip_addr_t *from = ip_current_src_addr(), *to = ip_current_dest_addr();
	u16 from_port = lwip_ntohs(hdr->src), to_port = lwip_ntohs(hdr->dest);
	u32 hash = hash_of(to, to_port, from, from_port);

	return port_listener(to, to_port, netif_get_index(ip_current_input_netif()), hash);
}

static bool
checksum_right(struct pbuf *p, const struct netif *in)
{
	return !(in->chksum_flags & NETIF_CHECKSUM_CHECK_TCP) ||
	       ip_chksum_pseudo(p, IP_PROTO_TCP, p->tot_len, ip_current_src_addr(),
				ip_current_dest_addr()) == 0;
}

/* Whether a segment for a connection in TIME_WAIT begins a new one: a SYN that is behind all that
 * the old one had. On its way to ourselves nothing is left of that. */
static bool
begins_anew(const struct tcp_pcb *pcb, struct pbuf *p, const struct netif *in)
{
	const struct tcp_hdr *hdr = p->payload;

	return (TCPH_FLAGS(hdr) & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN &&
	       (TCP_SEQ_GT(lwip_ntohl(hdr->seqno), pcb->rcv_nxt) ||
		inet_addr_is_ours(&pcb->remote_ip)) &&
	       checksum_right(p, in);
}

/* Puts back what stood aside, behind what came meanwhile. */
static void
join(struct tcp_pcb **list, struct tcp_pcb *aside)
{
	struct tcp_pcb *last = *list;

	if (!aside)
		return;
	while (last && last->next)
		last = last->next;
	if (last)
		last->next = aside;
	else
		*list = aside;
	pcb_node_of(aside)->before = last;
}

/* A segment of a connection in TIME_WAIT, which is the first of its list, or of none. */
static void
input_without(struct pbuf *p, struct netif *in, bool waiting)
{
	struct tcp_pcb *active = tcp_active_pcbs, *tw = tcp_tw_pcbs, *listen = tcp_listen_pcbs.pcbs;
	struct pcb_node *heard = waiting ? NULL : find_listener(p->payload);
	struct tcp_pcb *next = NULL;

	tcp_active_pcbs = NULL;
	if (!waiting)
		tcp_tw_pcbs = NULL;
	tcp_listen_pcbs.pcbs = heard ? &heard->pcb : NULL;
	if (heard) {
		next = heard->pcb.next;
		heard->pcb.next = NULL;
	}
	__real_tcp_input(p, in);
	if (heard)
		heard->pcb.next = next;
	tcp_listen_pcbs.pcbs = listen;
	join(&tcp_active_pcbs, active);
	if (!waiting)
		join(&tcp_tw_pcbs, tw);
}

void
__wrap_tcp_input(struct pbuf *p, struct netif *in)
{
	struct tcp_pcb *pcb;

	if (p->len < TCP_HLEN) {
		__real_tcp_input(p, in);
		return;
	}
	pcb = find(p->payload);
	if (pcb && pcb->state == TIME_WAIT && begins_anew(pcb, p, in)) {
		tcp_abort(pcb);
		pcb = NULL;
	}
	if (pcb) {
		struct tcp_pcb **list = pcb_node_of(pcb)->on;

		take_out(list, pcb);
		put_in_front(list, pcb);
	}
	if (pcb && pcb->state != TIME_WAIT)
		__real_tcp_input(p, in);
	else
		input_without(p, in, pcb != NULL);
}
