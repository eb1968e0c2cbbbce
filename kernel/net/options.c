/*
 * Socket options of AF_INET and AF_INET6 (man 7 socket, ip, ipv6, tcp, udp, raw). An option that
 * is not known is -ENOPROTOOPT, as with Linux. What is stored takes effect: in the pcb by
 * inet_apply_options, or where the socket reads it.
 */
#include <linux/icmp.h>
#include <linux/tcp.h>
#include "lib/string.h"
#include "net/pcbs.h"

#ifndef SO_RCVTIMEO_OLD
#define SO_RCVTIMEO_OLD SO_RCVTIMEO
#define SO_SNDTIMEO_OLD SO_SNDTIMEO
#endif

static bool
is_stream(const struct inet *s)
{
	return s->type == SOCK_STREAM;
}

/* ---- into the pcb ---- */

static void
apply_tcp(struct inet *s)
{
	struct tcp_pcb *p = s->tcp;

	p->tos = s->family == AF_INET6 && s->tclass ? s->tclass : s->tos;
	p->ttl = s->hops >= 0 && s->family == AF_INET6 ? (u8)s->hops : s->ttl;
	if (s->reuseaddr)
		ip_set_option(p, SOF_REUSEADDR);
	else
		ip_reset_option(p, SOF_REUSEADDR);
	if (s->keepalive)
		ip_set_option(p, SOF_KEEPALIVE);
	else
		ip_reset_option(p, SOF_KEEPALIVE);
	p->netif_idx = (u8)s->bound_if;
	pcb_node_of(p)->reuseport = s->reuseport;
	pcb_node_of(p)->uid = s->uid;
	if (p->state == LISTEN)
		return;
	p->keep_idle = s->keepidle * 1000;
	p->keep_intvl = s->keepintvl * 1000;
	p->keep_cnt = s->keepcnt;
	if (s->nodelay)
		tcp_nagle_disable(p);
	else
		tcp_nagle_enable(p);
}

static void
apply_udp(struct inet *s)
{
	struct udp_pcb *p = s->udp;

	p->tos = s->family == AF_INET6 && s->tclass ? s->tclass : s->tos;
	p->ttl = s->hops >= 0 && s->family == AF_INET6 ? (u8)s->hops : s->ttl;
	p->netif_idx = (u8)s->bound_if;
	ip_set_option(p, SOF_BROADCAST); /* refused by dgram.c where it is not set */
	udp_set_multicast_ttl(p, s->mcast_ttl);
	udp_set_multicast_netif_index(p, (u8)s->mcast_ifindex);
	if (s->mcast_loop)
		udp_set_flags(p, UDP_FLAGS_MULTICAST_LOOP);
	else
		udp_clear_flags(p, UDP_FLAGS_MULTICAST_LOOP);
}

static void
apply_raw(struct inet *s)
{
	struct raw_pcb *p = s->raw;

	p->tos = s->tos;
	p->ttl = s->hops >= 0 && s->family == AF_INET6 ? (u8)s->hops : s->ttl;
	p->netif_idx = (u8)s->bound_if;
	ip_set_option(p, SOF_BROADCAST);
	if (s->hdrincl)
		raw_set_flags(p, RAW_FLAGS_HDRINCL);
	else
		raw_clear_flags(p, RAW_FLAGS_HDRINCL);
}

void
inet_apply_options(struct inet *s)
{
	if (is_stream(s)) {
		if (s->tcp)
			apply_tcp(s);
	} else if (dgram_is_udp(s)) {
		if (s->udp)
			apply_udp(s);
	} else if (s->raw) {
		apply_raw(s);
	}
}

/* ---- SOL_SOCKET ---- */

static int
set_timeout(ns_t *out, const void *val, unsigned len)
{
	s64 tv[2];

	if (len < sizeof(tv))
		return -EINVAL;
	memcpy(tv, val, sizeof(tv));
	if (tv[1] < 0 || tv[1] >= 1000000)
		return -EDOM;
	if (tv[0] < 0)
		*out = 0;
	else if ((tv[0] == 0 && tv[1] == 0) || tv[0] > 1000000000)
		*out = NS_FOREVER;
	else
		*out = tv[0] * NS_PER_SEC + tv[1] * NS_PER_US;
	return 0;
}

static int
set_linger(struct inet *s, const void *val, unsigned len)
{
	s32 l[2];

	if (len < sizeof(l))
		return -EINVAL;
	memcpy(l, val, sizeof(l));
	s->linger = l[0] != 0;
	s->linger_s = l[1] < 0 ? 0 : l[1] > 3600 ? 3600 : l[1];
	return 0;
}

static int
bind_device(struct inet *s, const void *val, unsigned len)
{
	char name[16] = "";
	struct iface *i;

	memcpy(name, val, min(len, 15u));
	if (!name[0]) {
		s->bound_if = 0;
		return 0;
	}
	i = iface_by_name(net_root(), name);
	if (!i)
		return -ENODEV;
	s->bound_if = netif_get_index(&i->netif);
	return 0;
}

static u32
buffer_size(int v)
{
	if (v < INET_BUF_MIN / 2)
		return INET_BUF_MIN;
	return v > INET_BUF_MAX / 2 ? INET_BUF_MAX : (u32)v * 2;
}

static int
set_socket(struct inet *s, int name, const void *val, unsigned len, int v)
{
	switch (name) {
	case SO_LINGER:
		return set_linger(s, val, len);
	case SO_RCVTIMEO_OLD:
	case SO_RCVTIMEO_NEW:
		return set_timeout(&s->rcvtimeo, val, len);
	case SO_SNDTIMEO_OLD:
	case SO_SNDTIMEO_NEW:
		return set_timeout(&s->sndtimeo, val, len);
	case SO_BINDTODEVICE:
		return bind_device(s, val, len);
	}
	if (len < sizeof(int))
		return -EINVAL;
	switch (name) {
	case SO_REUSEADDR:
		s->reuseaddr = v != 0;
		return 0;
	case SO_REUSEPORT:
		s->reuseport = v != 0;
		return 0;
	case SO_KEEPALIVE:
		s->keepalive = v != 0;
		return 0;
	case SO_BROADCAST:
		s->broadcast = v != 0;
		return 0;
	case SO_DONTROUTE:
		s->dontroute = v != 0;
		return 0;
	case SO_OOBINLINE:
		s->oobinline = v != 0;
		return 0;
	case SO_PRIORITY:
		s->priority = v;
		return 0;
	case SO_MARK:
		s->mark = v;
		return 0;
	case SO_SNDBUF:
	case SO_SNDBUFFORCE:
		s->sndbuf = buffer_size(v);
		return 0;
	case SO_RCVBUF:
	case SO_RCVBUFFORCE:
		s->rcvbuf = buffer_size(v);
		return 0;
	case SO_RCVLOWAT:
		s->rcvlowat = v < 0 ? INT_MAX : max(v, 1);
		s->rcvlowat = min(s->rcvlowat, (int)(s->rcvbuf / 2));
		return 0;
	case SO_TIMESTAMP_OLD:
		s->timestamp = v != 0;
		return 0;
	}
	return -ENOPROTOOPT;
}

/* ---- IPPROTO_TCP ---- */

static int
set_tcp(struct inet *s, int name, int v)
{
	switch (name) {
	case TCP_NODELAY:
		s->nodelay = v != 0;
		return 0;
	case TCP_CORK:
		s->cork = v != 0;
		return 0;
	case TCP_KEEPIDLE:
		if (v < 1 || v > 32767)
			return -EINVAL;
		s->keepidle = (u32)v;
		return 0;
	case TCP_KEEPINTVL:
		if (v < 1 || v > 32767)
			return -EINVAL;
		s->keepintvl = (u32)v;
		return 0;
	case TCP_KEEPCNT:
		if (v < 1 || v > 127)
			return -EINVAL;
		s->keepcnt = (u32)v;
		return 0;
	case TCP_USER_TIMEOUT:
		if (v < 0)
			return -EINVAL;
		s->user_timeout_ms = (u32)v;
		return 0;
	case TCP_SYNCNT:
		if (v < 1 || v > 127)
			return -EINVAL;
		s->syncnt = (u8)v;
		return 0;
	case TCP_DEFER_ACCEPT: /* off is all there is */
		return v <= 0 ? 0 : -EOPNOTSUPP;
	}
	return -ENOPROTOOPT;
}

/* ---- IPPROTO_IP, IPPROTO_IPV6 ---- */

static int
set_ip(struct inet *s, int name, const void *val, unsigned len, int v)
{
	switch (name) {
	case IP_TOS:
		s->tos = (u8)v;
		return 0;
	case IP_TTL:
		if (v != -1 && (v < 1 || v > 255))
			return -EINVAL;
		s->ttl = v == -1 ? 64 : (u8)v;
		return 0;
	case IP_HDRINCL:
		if (s->type != SOCK_RAW)
			return -ENOPROTOOPT;
		s->hdrincl = v != 0;
		return 0;
	case IP_PKTINFO:
		s->pktinfo = v != 0;
		return 0;
	case IP_RECVTTL:
		s->recvttl = v != 0;
		return 0;
	case IP_RECVTOS:
		s->recvtos = v != 0;
		return 0;
	case IP_BIND_ADDRESS_NO_PORT:
		s->bind_no_port = v != 0;
		return 0;
	case IP_LOCAL_PORT_RANGE:
		if (len < sizeof(int) ||
		    ((v & 0xffff) && (u32)v >> 16 && (v & 0xffff) > (int)((u32)v >> 16)))
			return -EINVAL;
		s->port_low = (u16)v;
		s->port_high = (u16)((u32)v >> 16);
		return 0;
	case IP_MTU_DISCOVER: /* lwIP sets no DF and fragments: what DONT says */
		return v == IP_PMTUDISC_DONT || v == IP_PMTUDISC_WANT ? 0 : -EINVAL;
	}
	return multicast_option(s, IPPROTO_IP, name, val, len);
}

static int
set_v6only(struct inet *s, bool on)
{
	if (s->bound)
		return -EINVAL;
	s->v6only = on;
	if (is_stream(s) && s->tcp) {
		IP_SET_TYPE_VAL(s->tcp->local_ip, inet_pcb_type(s));
		IP_SET_TYPE_VAL(s->tcp->remote_ip, inet_pcb_type(s));
	} else if (dgram_is_udp(s) && s->udp) {
		IP_SET_TYPE_VAL(s->udp->local_ip, inet_pcb_type(s));
		IP_SET_TYPE_VAL(s->udp->remote_ip, inet_pcb_type(s));
	}
	return 0;
}

static int
set_ip6(struct inet *s, int name, const void *val, unsigned len, int v)
{
	if (s->family != AF_INET6)
		return -ENOPROTOOPT;
	switch (name) {
	case IPV6_V6ONLY:
		return set_v6only(s, v != 0);
	case IPV6_UNICAST_HOPS:
		if (v < -1 || v > 255)
			return -EINVAL;
		s->hops = (s16)v;
		return 0;
	case IPV6_TCLASS:
		if (v < -1 || v > 255)
			return -EINVAL;
		s->tclass = v == -1 ? 0 : (u8)v;
		return 0;
	case IPV6_RECVPKTINFO:
		s->pktinfo6 = v != 0;
		return 0;
	case IPV6_RECVHOPLIMIT:
		s->recvhops = v != 0;
		return 0;
	case IPV6_RECVTCLASS:
		s->recvtclass = v != 0;
		return 0;
	case IPV6_CHECKSUM:
		if (s->type != SOCK_RAW || s->protocol == IPPROTO_ICMPV6)
			return -EINVAL;
		if (v >= 0 && (v & 1))
			return -EINVAL;
		s->raw->chksum_reqd = v >= 0;
		s->raw->chksum_offset = (u16)max(v, 0);
		return 0;
	}
	return multicast_option(s, IPPROTO_IPV6, name, val, len);
}

static int
set_filter(struct inet *s, int level, const void *val, unsigned len)
{
	if (s->type != SOCK_RAW)
		return -ENOPROTOOPT;
	if (level == IPPROTO_ICMPV6)
		memcpy(s->icmp6_filter, val, min((size_t)len, sizeof(s->icmp6_filter)));
	else
		memcpy(&s->icmp_filter, val, min((size_t)len, sizeof(s->icmp_filter)));
	return 0;
}

int
inet_setsockopt(struct file *f, int level, int name, const void *val, unsigned len)
{
	struct inet *s = inet_of(f);
	int v = 0, err = -ENOPROTOOPT;

	memcpy(&v, val, min((size_t)len, sizeof(v)));
	if (len == 0 && !(level == SOL_SOCKET && name == SO_BINDTODEVICE))
		return -EINVAL;
	net_lock();
	if (level == SOL_SOCKET)
		err = set_socket(s, name, val, len, v);
	else if (level == IPPROTO_TCP && is_stream(s))
		err = len < sizeof(int) ? -EINVAL : set_tcp(s, name, v);
	else if (level == IPPROTO_IP)
		err = set_ip(s, name, val, len, v);
	else if (level == IPPROTO_IPV6)
		err = set_ip6(s, name, val, len, v);
	else if ((level == IPPROTO_ICMPV6 || level == SOL_RAW_K) && name == 1)
		err = set_filter(s, level, val, len);
	if (!err) {
		inet_apply_options(s);
		if (is_stream(s) && s->tcp && s->state == INET_CONNECTED) {
			tcp_update_room(s);
			if (!s->cork)
				tcp_output(s->tcp);
		}
	}
	net_unlock();
	return err;
}

/* ---- reading ---- */

static int
put(void *val, unsigned *len, const void *from, size_t n)
{
	*len = (unsigned)min((size_t)*len, n);
	memcpy(val, from, *len);
	return 0;
}

static int
put_timeout(void *val, unsigned *len, ns_t t)
{
	s64 tv[2] = {0, 0};

	if (t != NS_FOREVER) {
		tv[0] = t / NS_PER_SEC;
		tv[1] = t % NS_PER_SEC / NS_PER_US;
	}
	return put(val, len, tv, sizeof(tv));
}

static int
take_error(struct inet *s)
{
	int e;

	spin_lock(&s->lock);
	e = -inet_take_error(s);
	spin_unlock(&s->lock);
	return e;
}

static int
get_device(struct inet *s, void *val, unsigned *len)
{
	struct iface *i = s->bound_if ? iface_by_index(net_root(), (unsigned)s->bound_if) : NULL;
	char name[16] = "";

	if (i)
		iface_name(i, name);
	return put(val, len, name, i ? strlen(name) + 1 : 0);
}

static int
get_socket(struct inet *s, int name, int *v)
{
	switch (name) {
	case SO_TYPE:
		*v = s->type;
		return 0;
	case SO_DOMAIN:
		*v = s->family;
		return 0;
	case SO_PROTOCOL:
		*v = s->protocol;
		return 0;
	case SO_ACCEPTCONN:
		*v = s->state == INET_LISTENING;
		return 0;
	case SO_ERROR:
		*v = take_error(s);
		return 0;
	case SO_REUSEADDR:
		*v = s->reuseaddr;
		return 0;
	case SO_REUSEPORT:
		*v = s->reuseport;
		return 0;
	case SO_KEEPALIVE:
		*v = s->keepalive;
		return 0;
	case SO_BROADCAST:
		*v = s->broadcast;
		return 0;
	case SO_DONTROUTE:
		*v = s->dontroute;
		return 0;
	case SO_OOBINLINE:
		*v = s->oobinline;
		return 0;
	case SO_PRIORITY:
		*v = s->priority;
		return 0;
	case SO_MARK:
		*v = s->mark;
		return 0;
	case SO_SNDBUF:
		*v = (int)s->sndbuf;
		return 0;
	case SO_RCVBUF:
		*v = (int)s->rcvbuf;
		return 0;
	case SO_RCVLOWAT:
		*v = s->rcvlowat;
		return 0;
	case SO_SNDLOWAT:
		*v = 1;
		return 0;
	case SO_TIMESTAMP_OLD:
		*v = s->timestamp;
		return 0;
	}
	return -ENOPROTOOPT;
}

static int
get_tcp(struct inet *s, int name, int *v)
{
	switch (name) {
	case TCP_NODELAY:
		*v = s->nodelay;
		return 0;
	case TCP_CORK:
		*v = s->cork;
		return 0;
	case TCP_MAXSEG:
		*v = s->tcp && s->tcp->state != LISTEN ? s->tcp->mss : 536;
		return 0;
	case TCP_KEEPIDLE:
		*v = (int)s->keepidle;
		return 0;
	case TCP_KEEPINTVL:
		*v = (int)s->keepintvl;
		return 0;
	case TCP_KEEPCNT:
		*v = (int)s->keepcnt;
		return 0;
	case TCP_USER_TIMEOUT:
		*v = (int)s->user_timeout_ms;
		return 0;
	case TCP_SYNCNT:
		*v = s->syncnt;
		return 0;
	case TCP_DEFER_ACCEPT:
		*v = 0;
		return 0;
	}
	return -ENOPROTOOPT;
}

static int
get_ip(struct inet *s, int name, int *v)
{
	switch (name) {
	case IP_TOS:
		*v = s->tos;
		return 0;
	case IP_TTL:
		*v = s->ttl;
		return 0;
	case IP_HDRINCL:
		*v = s->hdrincl;
		return s->type == SOCK_RAW ? 0 : -ENOPROTOOPT;
	case IP_PKTINFO:
		*v = s->pktinfo;
		return 0;
	case IP_RECVTTL:
		*v = s->recvttl;
		return 0;
	case IP_RECVTOS:
		*v = s->recvtos;
		return 0;
	case IP_BIND_ADDRESS_NO_PORT:
		*v = s->bind_no_port;
		return 0;
	case IP_LOCAL_PORT_RANGE:
		*v = (int)((u32)s->port_high << 16 | s->port_low);
		return 0;
	case IP_MTU_DISCOVER:
		*v = IP_PMTUDISC_DONT;
		return 0;
	case IP_MULTICAST_TTL:
		*v = s->mcast_ttl;
		return 0;
	case IP_MULTICAST_LOOP:
		*v = s->mcast_loop;
		return 0;
	}
	return -ENOPROTOOPT;
}

static int
get_ip6(struct inet *s, int name, int *v)
{
	if (s->family != AF_INET6)
		return -ENOPROTOOPT;
	switch (name) {
	case IPV6_V6ONLY:
		*v = s->v6only;
		return 0;
	case IPV6_UNICAST_HOPS:
		*v = s->hops < 0 ? 64 : s->hops;
		return 0;
	case IPV6_MULTICAST_HOPS:
		*v = s->mcast_ttl;
		return 0;
	case IPV6_MULTICAST_LOOP:
		*v = s->mcast_loop;
		return 0;
	case IPV6_MULTICAST_IF:
		*v = s->mcast_ifindex;
		return 0;
	case IPV6_TCLASS:
		*v = s->tclass;
		return 0;
	case IPV6_RECVPKTINFO:
		*v = s->pktinfo6;
		return 0;
	case IPV6_RECVHOPLIMIT:
		*v = s->recvhops;
		return 0;
	case IPV6_RECVTCLASS:
		*v = s->recvtclass;
		return 0;
	}
	return -ENOPROTOOPT;
}

/* The options that are not an int; 1: it is none of them. => net->lock */
static int
get_structure(struct inet *s, int level, int name, void *val, unsigned *len)
{
	s32 l[2] = {s->linger, s->linger_s};

	if (level == IPPROTO_TCP && name == TCP_INFO && is_stream(s))
		return tcp_info_get(s, val, len);
	if (level == IPPROTO_TCP && name == TCP_CONGESTION && is_stream(s))
		return put(val, len, "reno", 5);
	if (level == SOL_RAW_K && name == 1 && s->type == SOCK_RAW)
		return put(val, len, &s->icmp_filter, sizeof(s->icmp_filter));
	if (level == IPPROTO_IP && name == IP_MULTICAST_IF) {
		struct iface *i = iface_by_index(net_root(), (unsigned)s->mcast_ifindex);
		u32 addr = i ? ip4_addr_get_u32(netif_ip4_addr(&i->netif)) : 0;

		return put(val, len, &addr, sizeof(addr));
	}
	if (level != SOL_SOCKET)
		return 1;
	switch (name) {
	case SO_LINGER:
		return put(val, len, l, sizeof(l));
	case SO_RCVTIMEO_OLD:
	case SO_RCVTIMEO_NEW:
		return put_timeout(val, len, s->rcvtimeo);
	case SO_SNDTIMEO_OLD:
	case SO_SNDTIMEO_NEW:
		return put_timeout(val, len, s->sndtimeo);
	case SO_BINDTODEVICE:
		return get_device(s, val, len);
	}
	return 1;
}

int
inet_getsockopt(struct file *f, int level, int name, void *val, unsigned *len)
{
	struct inet *s = inet_of(f);
	int v = 0, err;

	net_lock();
	err = get_structure(s, level, name, val, len);
	if (err <= 0)
		goto out;
	err = -ENOPROTOOPT;
	if (level == SOL_SOCKET)
		err = get_socket(s, name, &v);
	else if (level == IPPROTO_TCP && is_stream(s))
		err = get_tcp(s, name, &v);
	else if (level == IPPROTO_IP)
		err = get_ip(s, name, &v);
	else if (level == IPPROTO_IPV6)
		err = get_ip6(s, name, &v);
	if (!err)
		put(val, len, &v, sizeof(v));
out:
	net_unlock();
	return err;
}
