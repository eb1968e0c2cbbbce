/*
 * Finding the connection a segment belongs to. lwIP walks its list of active connections, which a
 * server with a thousand of them does for every segment; but it looks at the first one first. So
 * the connection is looked up in a hash table by its four numbers and put in front before lwIP's
 * tcp_input() runs.
 *
 * To take a pcb out of lwIP's singly linked list, each has a node behind it with what stands before
 * it: memp_malloc() and memp_free() are ours for TCP pcbs (--wrap in the Makefile), and so are
 * the macros by which lwIP lists them (net/lwip/pcbs.h). Two places of lwIP change the active list
 * by themselves: tcp_input() moves what it found to the front, where it is already, and
 * tcp_slowtmr() takes out a pcb and frees it at once, which memp_free() makes good.
 *
 * Locks: all under net->lock. What it leaves out: a segment of no connection still has lwIP walk
 * the list, so a SYN costs what it did.
 */
#include "mm/slab.h"
#include "net/lwip/pcbs.h"
#include "net/net.h"

#define BUCKETS_FIRST 256u

struct pcb_node {
	struct tcp_pcb pcb; /* first: lwIP knows this alone */
	struct tcp_pcb *before;
	struct pcb_node *chain; /* in its bucket */
	u32 hash;
	bool active;
};

void *__real_memp_malloc(memp_t type);
void *__wrap_memp_malloc(memp_t type);
void __real_memp_free(memp_t type, void *mem);
void __wrap_memp_free(memp_t type, void *mem);
void __real_tcp_input(struct pbuf *p, struct netif *in);
void __wrap_tcp_input(struct pbuf *p, struct netif *in);

static struct pcb_node *
node_of(struct tcp_pcb *pcb)
{
	return container_of(pcb, struct pcb_node, pcb);
}

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
	n->active = true;
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
	n->active = false;
	t->count--;
}

/* ---- the lists ---- */

void
net_lwip_pcb_list(struct tcp_pcb **list, struct tcp_pcb *pcb)
{
	pcb->next = *list;
	if (list == &tcp_active_pcbs) {
		if (*list)
			node_of(*list)->before = pcb;
		node_of(pcb)->before = NULL;
		activate(node_of(pcb));
	}
	*list = pcb;
}

static void
unlink_active(struct tcp_pcb *pcb)
{
	struct tcp_pcb *before = node_of(pcb)->before;

	if (before)
		before->next = pcb->next;
	else
		tcp_active_pcbs = pcb->next;
	if (pcb->next)
		node_of(pcb->next)->before = before;
}

void
net_lwip_pcb_unlist(struct tcp_pcb **list, struct tcp_pcb *pcb)
{
	struct tcp_pcb **at = list;

	if (list == &tcp_active_pcbs) {
		unlink_active(pcb);
		deactivate(node_of(pcb));
	} else {
		while (*at && *at != pcb)
			at = &(*at)->next;
		if (*at)
			*at = pcb->next;
	}
	pcb->next = NULL;
}

/* ---- called by lwIP in place of its own ---- */

void *
__wrap_memp_malloc(memp_t type)
{
	struct net *n = net_root();
	unsigned cxy;

	if (type != MEMP_TCP_PCB)
		return __real_memp_malloc(type);
	cxy = n->place_next ? n->place_next - 1u : this_core()->arch.cxy;
	n->place_next = 0;
	return kzalloc_on(cxy, sizeof(struct pcb_node));
}

/* An active one is here only from tcp_slowtmr(), which has taken it off the list. */
void
__wrap_memp_free(memp_t type, void *mem)
{
	struct pcb_node *n = mem;

	if (type != MEMP_TCP_PCB) {
		__real_memp_free(type, mem);
		return;
	}
	if (n->active) {
		if (n->pcb.next)
			node_of(n->pcb.next)->before = n->before;
		deactivate(n);
	}
	kfree(n);
}

struct tcp_pcb *
net_pcb_find(const ip_addr_t *local, u16 local_port, const ip_addr_t *remote, u16 remote_port)
{
	u32 hash = hash_of(local, local_port, remote, remote_port);
	struct pcb_node *n = *bucket_of(&net_root()->pcbs, hash);

	for (; n; n = n->chain)
		if (n->pcb.remote_port == remote_port && n->pcb.local_port == local_port &&
		    ip_addr_cmp(&n->pcb.remote_ip, remote) && ip_addr_cmp(&n->pcb.local_ip, local))
			return &n->pcb;
	return NULL;
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

void
__wrap_tcp_input(struct pbuf *p, struct netif *in)
{
	struct tcp_pcb *pcb = p->len >= TCP_HLEN ? find(p->payload) : NULL;

	if (pcb && pcb != tcp_active_pcbs) {
		unlink_active(pcb);
		pcb->next = tcp_active_pcbs;
		node_of(pcb->next)->before = pcb;
		node_of(pcb)->before = NULL;
		tcp_active_pcbs = pcb;
	}
	__real_tcp_input(p, in);
}
