/*
 * Ethernet interfaces: lwIP's netif over a struct netdev, and how it gets its addresses (DHCP for
 * IPv4; link-local, router advertisements and stateless DHCPv6 for IPv6). All under net->lock but
 * the wake-up from the interrupt. Nothing here waits for an address.
 */
#include "arch/clock.h"
#include "core/klog.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/net.h"

#include "lwip/dhcp.h"
#include "lwip/dhcp6.h"
#include "lwip/etharp.h"
#include "lwip/ethip6.h"

#define COPY_BREAK 256u /* smaller frames are copied, so that they do not hold a big buffer */

/* ---- receive ---- */

struct rx_pbuf { /* in netdev_buf.client */
	struct pbuf_custom pc;
};
_Static_assert(sizeof(struct rx_pbuf) <= NETDEV_CLIENT_ROOM, "fits the client's room");

static void
rx_free(struct pbuf *p)
{
	struct rx_pbuf *r = container_of(p, struct rx_pbuf, pc.pbuf);
	struct netdev_buf *b = container_of((void *)r, struct netdev_buf, client);

	b->queue->dev->ops->recycle(b);
}

static struct pbuf *
rx_copy(struct netdev_buf *b)
{
	struct pbuf *p = pbuf_alloc(PBUF_RAW, (u16)b->len, PBUF_RAM);

	if (p)
		memcpy(p->payload, b->data, b->len);
	b->queue->dev->ops->recycle(b);
	return p;
}

static struct pbuf *
rx_wrap(struct netdev_buf *b)
{
	struct pbuf *head = NULL;

	while (b) {
		struct rx_pbuf *r = (struct rx_pbuf *)b->client;
		struct netdev_buf *next = b->next;
		struct pbuf *p;

		r->pc.custom_free_function = rx_free;
		p = pbuf_alloced_custom(PBUF_RAW, (u16)b->len, PBUF_REF, &r->pc, b->data,
					(u16)b->len);
		if (head)
			pbuf_cat(head, p);
		else
			head = p;
		b = next;
	}
	return head;
}

static void
on_receive(void *arg, struct netdev_buf *frame, unsigned flags)
{
	struct iface *i = arg;
	struct netdev_queue *q = frame->queue;
	struct pbuf *p = !frame->next && frame->len <= COPY_BREAK ? rx_copy(frame) : rx_wrap(frame);
	u16 checks = NETIF_CHECKSUM_ENABLE_ALL;

	if (!p) {
		q->stats.rx_dropped++;
		return;
	}
	if (flags & NETDEV_RX_CHECKED)
		checks &= (u16) ~(NETIF_CHECKSUM_CHECK_TCP | NETIF_CHECKSUM_CHECK_UDP);
	NETIF_SET_CHECKSUM_CTRL(&i->netif, checks);
	if (i->netif.input(p, &i->netif) != ERR_OK)
		pbuf_free(p);
}

/* ---- transmit ---- */

static void
on_sent(void *arg, void *cookie)
{
	pbuf_free(cookie);
}

/* Whether the device can read it where it is: memory of the physmap, in few pieces. */
static unsigned
to_vec(struct pbuf *p, struct netdev_vec *vec)
{
	unsigned n = 0;

	for (; p; p = p->next) {
		if (p->len == 0)
			continue;
		if (n == NETDEV_MAX_VEC || (vaddr_t)p->payload < PHYSMAP_BASE ||
		    (vaddr_t)p->payload >= FRAMES_BASE)
			return 0;
		vec[n++] = (struct netdev_vec){.base = p->payload, .len = p->len};
	}
	return n;
}

static err_t
link_output(struct netif *netif, struct pbuf *p)
{
	struct iface *i = netif->state;
	struct netdev_queue *q = steer_transmit(i, p);
	struct netdev_vec vec[NETDEV_MAX_VEC];
	unsigned n = to_vec(p, vec);
	int err;

	if (n == 0) {
		p = pbuf_clone(PBUF_RAW, PBUF_RAM, p);
		if (!p)
			return ERR_MEM;
		n = to_vec(p, vec);
	} else {
		pbuf_ref(p);
	}
	err = i->dev->ops->send(q, vec, n, p);
	if (err) {
		pbuf_free(p);
		return ERR_MEM;
	}
	i->kick |= 1u << q->index;
	net_root()->kick = true;
	net_timers_busy(net_root());
	return ERR_OK;
}

/* ---- service ---- */

static void
follow_link(struct iface *i)
{
	bool up = i->dev->ops->link_up(i->dev);

	if (up == i->link_was_up)
		return;
	i->link_was_up = up;
	net_timers_busy(net_root());
	if (up)
		netif_set_link_up(&i->netif);
	else
		netif_set_link_down(&i->netif);
}

void
iface_follow_links(struct net *n)
{
	struct iface *i;

	list_for_each_entry (i, &n->ifaces, link)
		if (i->dev && atomic_load_relaxed(&i->dev->link_changed) &&
		    atomic_xchg(&i->dev->link_changed, false))
			follow_link(i);
}

void
iface_reap_all(struct net *n)
{
	struct iface *i;

	list_for_each_entry (i, &n->ifaces, link)
		for (unsigned k = 0; i->dev && k < i->dev->queues; k++)
			i->dev->ops->reap(i->dev->queue[k]);
}

void
iface_kick_all(struct net *n)
{
	struct iface *i;

	n->kick = false;
	list_for_each_entry (i, &n->ifaces, link) {
		for (; i->kick; i->kick &= i->kick - 1)
			i->dev->ops->kick(i->dev->queue[__builtin_ctz(i->kick)]);
	}
}

static void
on_wake(void *arg, struct netdev_queue *q)
{
	struct net *n = net_root();

	net_wake(n->worker[queue_cluster(q)]);
	if (unlikely(atomic_load_relaxed(&q->dev->link_changed)))
		net_wake(n->first);
}

static const struct netdev_client client = {
	.receive = on_receive,
	.sent = on_sent,
	.wake = on_wake,
};

/* ---- configuration ---- */

static void
status_changed(struct netif *netif)
{
	struct iface *i = netif->state;
	char ip[IPADDR_STRLEN_MAX];

	if (!i->dev || !netif_is_up(netif) || ip4_addr_isany(netif_ip4_addr(netif)) ||
	    i->told_ip4 == netif_ip4_addr(netif)->addr)
		return;
	i->told_ip4 = netif_ip4_addr(netif)->addr;
	ip4addr_ntoa_r(netif_ip4_addr(netif), ip, sizeof(ip));
	klog(KLOG_INFO, "net", "eth%u: address %s", netif->num - 1u, ip);
}

static err_t
eth_init(struct netif *netif)
{
	struct iface *i = netif->state;

	netif->name[0] = 'e';
	netif->name[1] = 'n';
	netif->hwaddr_len = ETH_HWADDR_LEN;
	memcpy(netif->hwaddr, i->dev->mac, ETH_HWADDR_LEN);
	netif->mtu = i->dev->mtu;
	netif->mtu6 = i->dev->mtu;
	netif->output = etharp_output;
	netif->output_ip6 = ethip6_output;
	netif->linkoutput = link_output;
	netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET |
		       NETIF_FLAG_IGMP | NETIF_FLAG_MLD6;
	NETIF_SET_CHECKSUM_CTRL(netif, NETIF_CHECKSUM_ENABLE_ALL);
	return ERR_OK;
}

static int
iface_attach(struct net *n, struct netdev *d)
{
	struct iface *i = kzalloc(sizeof(*i));

	if (!i)
		return -ENOMEM;
	i->dev = d;
	if (!netif_add(&i->netif, NULL, NULL, NULL, i, eth_init, netif_input)) {
		kfree(i);
		return -ENOMEM;
	}
	list_add_tail(&n->ifaces, &i->link);
	netif_set_status_callback(&i->netif, status_changed);
	netif_set_hostname(&i->netif, n->hostname[0] ? n->hostname : NULL);
	if (!netif_default)
		netif_set_default(&i->netif);
	d->client_arg = i;
	atomic_store(&d->client, &client);
	netif_create_ip6_linklocal_address(&i->netif, 1);
	netif_set_ip6_autoconfig_enabled(&i->netif, 1);
	netif_set_up(&i->netif);
	follow_link(i);
	if (dhcp_start(&i->netif) != ERR_OK)
		klog(KLOG_WARN, "net", "no memory for DHCP");
	if (dhcp6_enable_stateless(&i->netif) != ERR_OK)
		klog(KLOG_WARN, "net", "no memory for DHCPv6");
	sysnet_register(i);
	return 0;
}

void
iface_attach_all(struct net *n)
{
	sysnet_register(n->loopback);
	for (struct netdev *d = netdev_next(NULL); d; d = netdev_next(d))
		if (iface_attach(n, d) != 0)
			klog(KLOG_WARN, "net", "no memory for an interface");
}

struct iface *
iface_by_index(struct net *n, unsigned index)
{
	struct iface *i;

	list_for_each_entry (i, &n->ifaces, link)
		if (netif_get_index(&i->netif) == index)
			return i;
	return NULL;
}

void
iface_name(const struct iface *i, char out[16])
{
	if (i->dev)
		format(out, 16, "eth%u", i->netif.num - 1u);
	else
		string_copy(out, "lo", 16);
}

struct iface *
iface_by_name(struct net *n, const char *name)
{
	char own[16];
	struct iface *i;

	list_for_each_entry (i, &n->ifaces, link) {
		iface_name(i, own);
		if (strncmp(own, name, 16) == 0)
			return i;
	}
	return NULL;
}
