/*
 * The loopback interface, and the routes to our own addresses.
 *
 * A packet is not copied: a new head holds the headers (the receiver writes to them), and what
 * follows refers to the sender's pbufs, which stay until the reader has the data. Packets wait in
 * a queue that whoever releases net->lock delivers; so sending never calls receiving directly, and
 * no other thread is needed.
 *
 * lwIP loops what goes to an interface's own address by netif_loop_output(), which copies; for the
 * loopback interface the linker puts loop_output() in its place (--wrap in the Makefile).
 */
#include "lib/string.h"
#include "mm/slab.h"
#include "net/net.h"

#include "lwip/ip4_frag.h"
#include "lwip/ip6_addr.h"

#define LOOP_MTU   65535
#define HEAD_BYTES 160u	 /* at least IP's and TCP's headers */
#define COPY_BYTES 1024u /* smaller packets are copied */

struct loop_packet { /* a packet's head: its first pbuf */
	struct pbuf_custom pc;
	struct loop_packet *next;
	u8 bytes[];
};

struct loop_ref { /* refers to a piece of the sender's packet */
	struct pbuf_custom pc;
	struct pbuf *of;
};

static void
packet_free(struct pbuf *p)
{
	kfree(container_of(p, struct loop_packet, pc.pbuf));
}

static void
ref_free(struct pbuf *p)
{
	struct loop_ref *r = container_of(p, struct loop_ref, pc.pbuf);

	pbuf_free(r->of);
	kfree(r);
}

/* Appends a reference to n bytes at `data` of the packet `of`. */
static bool
append_ref(struct pbuf *head, struct pbuf *of, void *data, u16 n)
{
	struct loop_ref *r = kmalloc(sizeof(*r));
	struct pbuf *p;

	if (!r)
		return false;
	r->pc.custom_free_function = ref_free;
	r->of = of;
	pbuf_ref(of);
	p = pbuf_alloced_custom(PBUF_RAW, n, PBUF_REF, &r->pc, data, n);
	pbuf_cat(head, p);
	return true;
}

static bool
has_to_be_copied(const struct pbuf *p)
{
	if (p->tot_len <= COPY_BYTES)
		return true;
	for (; p; p = p->next)
		if (PBUF_NEEDS_COPY(p))
			return true;
	return false;
}

static struct loop_packet *
packet_make(struct pbuf *p)
{
	u16 n = has_to_be_copied(p) ? p->tot_len : (u16)min((u32)p->len, HEAD_BYTES);
	struct loop_packet *k = kmalloc(sizeof(*k) + n);
	u16 skip = n;

	if (!k)
		return NULL;
	k->pc.custom_free_function = packet_free;
	k->next = NULL;
	pbuf_alloced_custom(PBUF_RAW, n, PBUF_REF, &k->pc, k->bytes, n);
	pbuf_copy_partial(p, k->bytes, n, 0);
	for (struct pbuf *q = p; q; q = q->next) {
		u16 cut = min(skip, q->len);

		skip = (u16)(skip - cut);
		if (q->len > cut &&
		    !append_ref(&k->pc.pbuf, p, (u8 *)q->payload + cut, (u16)(q->len - cut))) {
			pbuf_free(&k->pc.pbuf);
			return NULL;
		}
	}
	return k;
}

static err_t
loop_output(struct netif *netif, struct pbuf *p)
{
	struct iface *i = netif->state;
	struct net *n = net_root();
	struct loop_packet *k = packet_make(p);

	if (!k)
		return ERR_MEM;
	i->packets++;
	i->bytes += p->tot_len;
	if (n->loop_tail)
		n->loop_tail->next = k;
	else
		n->loop_head = k;
	n->loop_tail = k;
	return ERR_OK;
}

err_t __real_netif_loop_output(struct netif *netif, struct pbuf *p);
err_t __wrap_netif_loop_output(struct netif *netif, struct pbuf *p);

/* => net->lock */
err_t
__wrap_netif_loop_output(struct netif *netif, struct pbuf *p)
{
	if (netif != &net_root()->loopback->netif)
		return __real_netif_loop_output(netif, p); /* which keeps the interface's zone */
	if (p->flags & PBUF_FLAG_MCASTLOOP)
		return ERR_OK; /* lwIP calls loop_output4 or 6 as well */
	return loop_output(netif, p);
}

static err_t
loop_output4(struct netif *netif, struct pbuf *p, const ip4_addr_t *to)
{
	return loop_output(netif, p);
}

static err_t
loop_output6(struct netif *netif, struct pbuf *p, const ip6_addr_t *to)
{
	return loop_output(netif, p);
}

/* All of 127/8 is ours (RFC 1122, 3.2.1.3), but lwIP accepts only an interface's address: so that
 * is the packet's destination while lwIP has it. => net->lock, under which alone it is read */
static void
deliver(struct loop_packet *k, struct netif *lo)
{
	const struct ip_hdr *ip = (const struct ip_hdr *)k->bytes;
	ip_addr_t own = lo->ip_addr;
	ip4_addr_t to;

	if (k->pc.pbuf.len >= IP_HLEN && IPH_V(ip) == 4) {
		ip4_addr_copy(to, ip->dest);
		if (ip4_addr_isloopback(&to))
			lo->ip_addr = (ip_addr_t)IPADDR4_INIT(to.addr);
	}
	if (ip_input(&k->pc.pbuf, lo) != ERR_OK)
		pbuf_free(&k->pc.pbuf);
	lo->ip_addr = own;
}

bool
net_lwip_martian(struct pbuf *p, struct netif *in)
{
	const struct ip_hdr *ip = p->payload;
	ip4_addr_t from, to;

	if (in == &net_root()->loopback->netif || p->len < IP_HLEN)
		return false;
	ip4_addr_copy(from, ip->src);
	ip4_addr_copy(to, ip->dest);
	if (!ip4_addr_isloopback(&from) && !ip4_addr_isloopback(&to))
		return false;
	pbuf_free(p);
	return true;
}

void
loopback_deliver(struct net *n)
{
	struct loop_packet *k;
	struct iface *i;

	while ((k = n->loop_head)) {
		n->loop_head = k->next;
		if (!n->loop_head)
			n->loop_tail = NULL;
		deliver(k, &n->loopback->netif);
	}
	/* To one's own link-local address: lwIP's own loop, which keeps the interface's zone. */
	list_for_each_entry (i, &n->ifaces, link)
		if (i->netif.loop_first)
			netif_poll(&i->netif);
	if (n->loop_head)
		loopback_deliver(n);
}

static err_t
loop_init(struct netif *netif)
{
	netif->name[0] = 'l';
	netif->name[1] = 'o';
	netif->output = loop_output4;
	netif->output_ip6 = loop_output6;
	netif->mtu = LOOP_MTU;
	netif->mtu6 = LOOP_MTU;
	NETIF_SET_CHECKSUM_CTRL(netif, NETIF_CHECKSUM_DISABLE_ALL);
	return ERR_OK;
}

int
loopback_create(struct net *n)
{
	struct iface *i = kzalloc(sizeof(*i));
	ip4_addr_t addr, mask, gw;

	if (!i)
		return -ENOMEM;
	IP4_ADDR(&addr, 127, 0, 0, 1);
	IP4_ADDR(&mask, 255, 0, 0, 0);
	IP4_ADDR(&gw, 0, 0, 0, 0);
	if (!netif_add(&i->netif, &addr, &mask, &gw, i, loop_init, ip_input)) {
		kfree(i);
		return -ENOMEM;
	}
	IP_ADDR6_HOST(&i->netif.ip6_addr[0], 0, 0, 0, 1);
	netif_ip6_addr_set_state(&i->netif, 0, IP6_ADDR_VALID | IP6_ADDR_PREFERRED);
	netif_set_link_up(&i->netif);
	netif_set_up(&i->netif);
	list_add_tail(&n->ifaces, &i->link);
	n->loopback = i;
	return 0;
}

/* ---- routes, called by lwIP ---- */

struct netif *
net_lwip_route4(const struct ip4_addr *dest)
{
	struct net *n = net_root();
	struct iface *i;

	if (!n || !n->loopback)
		return NULL;
	if (ip4_addr_isloopback(dest))
		return &n->loopback->netif;
	list_for_each_entry (i, &n->ifaces, link)
		if (!ip4_addr_isany(dest) && ip4_addr_cmp(dest, netif_ip4_addr(&i->netif)))
			return &n->loopback->netif;
	return NULL;
}

struct netif *
net_lwip_route6(const struct ip6_addr *dest)
{
	struct net *n = net_root();
	struct iface *i;

	if (!n || !n->loopback)
		return NULL;
	if (ip6_addr_isloopback(dest))
		return &n->loopback->netif;
	if (ip6_addr_islinklocal(dest) || ip6_addr_ismulticast(dest))
		return NULL;
	list_for_each_entry (i, &n->ifaces, link)
		for (int k = 0; k < LWIP_IPV6_NUM_ADDRESSES; k++)
			if (ip6_addr_isvalid(netif_ip6_addr_state(&i->netif, k)) &&
			    ip6_addr_cmp(dest, netif_ip6_addr(&i->netif, k)))
				return &n->loopback->netif;
	return NULL;
}
