/*
 * Names of datagram sockets: bind and connect of UDP, ping and raw sockets. All under net->lock.
 */
#include "lib/string.h"
#include "net/net.h"

static int
bind_udp(struct inet *s, const ip_addr_t *ip, u16 port)
{
	IP_SET_TYPE_VAL(s->udp->local_ip, inet_pcb_type(s));
	ip_set_option(s->udp, SOF_REUSEADDR); /* we have checked */
	return errno_of(udp_bind(s->udp, ip, port));
}

int
dgram_bind_any(struct inet *s)
{
	const ip_addr_t *any = s->family == AF_INET ? IP4_ADDR_ANY
			       : s->v6only	    ? IP6_ADDR_ANY
						    : IP_ANY_TYPE;
	ip_addr_t ip;
	u16 port;
	int err;

	if (s->bound)
		return 0;
	if (!dgram_is_udp(s)) {
		s->local_port = (u16)net_lwip_random();
		s->bound = true;
		return 0;
	}
	ip = ip_addr_isany(&s->local) ? *any : s->local;
	err = udp_port_choose(s, &ip, &port);
	if (!err)
		err = bind_udp(s, &ip, port);
	if (err)
		return err == -EADDRINUSE ? -EAGAIN : err;
	ip_addr_copy(s->local, ip);
	s->local_port = port;
	s->bound = true;
	return 0;
}

static int
bind_to(struct inet *s, ip_addr_t *ip, u16 *port)
{
	int err = 0;

	if (s->bound && dgram_is_udp(s))
		return -EINVAL;
	if (!inet_addr_is_ours(ip) && !ip_addr_ismulticast(ip) &&
	    !(IP_IS_V4(ip) && ip4_addr_get_u32(ip_2_ip4(ip)) == IPADDR_BROADCAST))
		return -EADDRNOTAVAIL;
	if (*port && s->type == SOCK_DGRAM && inet_port_taken(s, ip, *port))
		return -EADDRINUSE;
	if (!dgram_is_udp(s)) {
		if (dgram_is_ping(s) && !*port)
			*port = (u16)net_lwip_random();
		return errno_of(raw_bind(s->raw, ip));
	}
	if (!*port && s->bind_no_port)
		return 0; /* whoever sends first chooses */
	if (!*port)
		err = udp_port_choose(s, ip, port);
	return err ? err : bind_udp(s, ip, *port);
}

int
dgram_bind(struct file *f, const void *addr, unsigned len)
{
	return inet_bind(inet_of(f), addr, len, bind_to);
}

static int
set_peer(struct inet *s, ip_addr_t *ip, u16 port)
{
	bool udp = dgram_is_udp(s);
	struct netif *out;
	int err = dgram_bind_any(s);

	if (err)
		return err;
	inet_any_to_loopback(ip);
	out = inet_route(&s->local, ip);
	if (!out)
		return inet_addr_is_loop4(&s->local) ? -EINVAL : -ENETUNREACH;
	err = udp ? errno_of(udp_connect(s->udp, ip, port)) : errno_of(raw_connect(s->raw, ip));
	if (err)
		return err;
	spin_lock(&s->lock);
	s->state = INET_CONNECTED;
	ip_addr_copy(s->peer, *ip);
	s->peer_port = port;
	if (ip_addr_isany(&s->local) && inet_addr_is_ours(ip)) {
		inet_source_to(ip, &s->local);
	} else if (ip_addr_isany(&s->local)) {
		const ip_addr_t *src = ip_netif_get_local_ip(out, ip);

		if (src)
			ip_addr_copy(s->local, *src);
	}
	spin_unlock(&s->lock);
	return 0;
}

int
dgram_connect(struct file *f, const void *addr, unsigned len)
{
	struct inet *s = inet_of(f);
	ip_addr_t ip;
	u16 family, port;
	int err;

	if (len < sizeof(family))
		return -EINVAL;
	memcpy(&family, addr, sizeof(family));
	if (family == AF_UNSPEC) {
		net_lock();
		if (dgram_is_udp(s))
			udp_disconnect(s->udp);
		else
			raw_disconnect(s->raw);
		s->state = INET_FRESH;
		net_unlock();
		return 0;
	}
	err = inet_addr_in(s, addr, len, &ip, &port);
	if (err)
		return err;
	net_lock();
	err = set_peer(s, &ip, port);
	net_unlock();
	return err;
}
