/*
 * Which of a card's queues a frame leaves by. A card with several learns from that where what comes
 * back is to arrive, so it decides in which cluster a connection is served: in the one whose thread
 * read from it or wrote to it last; until then where its listener's connections were accepted last,
 * in whose memory it is made.
 *
 * A connection changes its queue only while it has nothing under way that is not acknowledged, as
 * frames of two queues may overtake each other. What still arrives on the old queue is worked off
 * there, not handed over: a frame is handled once, and those of one queue in their order.
 *
 * lwIP leaves the netif's hints pointing into the pcb that sends; with a TCP segment that is TCP's,
 * unless a raw socket made it. All other frames go by the cluster of the thread that sends them.
 */
#include "net/net.h"

#include "lwip/prot/ethernet.h"
#include "lwip/prot/ip4.h"
#include "lwip/prot/ip6.h"

/* Whether it is a TCP segment, whole or its first fragment. */
static bool
is_tcp(const struct pbuf *p)
{
	const struct eth_hdr *eth = p->payload;

	if (p->len < SIZEOF_ETH_HDR + IP_HLEN)
		return false;
	if (eth->type == PP_HTONS(ETHTYPE_IP))
		return IPH_PROTO((const struct ip_hdr *)(eth + 1)) == IP_PROTO_TCP;
	return eth->type == PP_HTONS(ETHTYPE_IPV6) &&
	       IP6H_NEXTH((const struct ip6_hdr *)(eth + 1)) == IP6_NEXTH_TCP;
}

static unsigned
cluster_of(const struct tcp_pcb *pcb, unsigned otherwise)
{
	struct inet *s = pcb->callback_arg;

	if (pcb->state == SYN_RCVD) /* no socket yet: the argument is the listener's */
		s = pcb->listener ? pcb->listener->callback_arg : NULL;
	if (!s)
		return otherwise;
	if (pcb->state == LISTEN || pcb->state == SYN_RCVD)
		return atomic_load_relaxed(&s->user_cxy);
	if (!pcb->unacked)
		s->sends_by = atomic_load_relaxed(&s->user_cxy);
	return s->sends_by;
}

struct netdev_queue *
steer_transmit(const struct iface *i, const struct pbuf *p)
{
	struct netif_hint *hint = i->netif.hints;
	const struct netdev *d = i->dev;
	unsigned cxy;

	if (d->queues == 1)
		return d->queue[0];
	cxy = this_core()->arch.cxy;
	if (hint && is_tcp(p) && !net_root()->raw_sends)
		cxy = cluster_of(container_of(hint, struct tcp_pcb, netif_hints), cxy);
	return d->queue[d->near[cxy]];
}
