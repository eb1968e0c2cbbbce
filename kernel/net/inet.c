/*
 * What stream and datagram sockets of AF_INET and AF_INET6 have in common: creation, addresses,
 * names, errors, waking.
 */
#include "arch/clock.h"
#include "core/blocked.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/net.h"

#include "lwip/priv/tcp_priv.h"

int
errno_of(err_t e)
{
	static const s8 table[] = {
		[-ERR_OK] = 0,
		[-ERR_MEM] = ENOMEM,
		[-ERR_BUF] = ENOBUFS,
		[-ERR_TIMEOUT] = ETIMEDOUT,
		[-ERR_RTE] = ENETUNREACH,
		[-ERR_INPROGRESS] = EINPROGRESS,
		[-ERR_VAL] = EINVAL,
		[-ERR_WOULDBLOCK] = EAGAIN,
		[-ERR_USE] = EADDRINUSE,
		[-ERR_ALREADY] = EALREADY,
		[-ERR_ISCONN] = EISCONN,
		[-ERR_CONN] = ENOTCONN,
		[-ERR_IF] = ENETDOWN,
		[-ERR_ABRT] = ETIMEDOUT,
		[-ERR_RST] = ECONNRESET,
		[-ERR_CLSD] = ENOTCONN,
		[-ERR_ARG] = EINVAL,
	};

	return e > 0 || -e >= (int)ARRAY_SIZE(table) ? -EIO : -table[-e];
}

/* ---- life ---- */

struct inet *
inet_alloc(unsigned cxy, int family, int type, int protocol)
{
	struct inet *s = kzalloc_on(cxy, sizeof(*s));

	if (!s)
		return NULL;
	s->family = family;
	s->type = type;
	s->protocol = protocol;
	list_init(&s->link);
	mutex_init(&s->rx_lock, "inet-rx");
	spin_init(&s->lock, "inet", RANK_FILE);
	waitq_init(&s->rq);
	waitq_init(&s->wq);
	list_init(&s->dgrams);
	list_init(&s->pending);
	list_init(&s->queue_link);
	list_init(&s->groups);
	s->sndbuf = type == SOCK_STREAM ? TCP_SND_BUF : INET_RCVBUF_DEFAULT;
	s->rcvbuf = type == SOCK_STREAM ? TCP_WND : INET_RCVBUF_DEFAULT;
	s->rcvtimeo = s->sndtimeo = NS_FOREVER;
	s->ttl = 64;
	s->mcast_ttl = 1;
	s->mcast_loop = true;
	s->hops = -1;
	s->rcvlowat = 1;
	s->keepidle = 7200;
	s->keepintvl = 75;
	s->keepcnt = 9;
	s->user_cxy = s->sends_by = (u16)cxy;
	s->syncnt = TCP_SYNMAXRTX;
	if (family == AF_INET6) {
		s->local = *IP6_ADDR_ANY;
		s->peer = *IP6_ADDR_ANY;
	}
	return s;
}

void
inet_free(struct inet *s)
{
	struct net *n = net_root();
	struct pbuf *p, *next;
	struct dgram *d, *tmp;

	atomic_fetch_sub(&n->rx_held, s->rx_bytes);
	for (p = s->rx_head; p; p = next) {
		next = p->next;
		p->next = NULL;
		net_bury(p);
	}
	list_for_each_entry_safe (d, tmp, &s->dgrams, link) {
		net_bury_chain(d->p);
		kfree(d);
	}
	kfree(s);
}

u8
inet_pcb_type(const struct inet *s)
{
	return s->family == AF_INET ? IPADDR_TYPE_V4 : s->v6only ? IPADDR_TYPE_V6 : IPADDR_TYPE_ANY;
}

static bool
type_known(int type, int protocol, int family)
{
	switch (type) {
	case SOCK_STREAM:
		return protocol == 0 || protocol == IPPROTO_TCP;
	case SOCK_DGRAM:
		return protocol == 0 || protocol == IPPROTO_UDP ||
		       (protocol == IPPROTO_ICMP && family == AF_INET) ||
		       (protocol == IPPROTO_ICMPV6 && family == AF_INET6);
	case SOCK_RAW:
		return protocol > 0 && protocol < 256;
	}
	return false;
}

static int
inet_create(int family, int type, int protocol, unsigned flags, struct file **out)
{
	const struct socket_file_ops *ops =
		type == SOCK_STREAM ? &inet_stream_ops : &inet_dgram_ops;
	struct inet *s;
	struct file *f;
	int err;

	if (type != SOCK_STREAM && type != SOCK_DGRAM && type != SOCK_RAW)
		return -ESOCKTNOSUPPORT;
	if (!type_known(type, protocol, family))
		return -EPROTONOSUPPORT;
	if (protocol == 0)
		protocol = type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP;
	s = inet_alloc(this_core()->arch.cxy, family, type, protocol);
	if (!s)
		return -ENOMEM;
	f = file_create(&ops->file, O_RDWR | (flags & O_NONBLOCK), s);
	if (!f) {
		kfree(s);
		return -ENOMEM;
	}
	f->readable = f->writable = true;
	s->ino = f->ino;
	s->uid = current_ids().uid;
	net_lock();
	err = type == SOCK_STREAM ? tcp_socket_create(s) : dgram_socket_create(s);
	list_add_tail(&net_root()->sockets, &s->link);
	net_unlock();
	if (err) {
		file_put(f);
		return err;
	}
	*out = f;
	return 0;
}

static int
inet4_create(int type, int protocol, unsigned flags, struct file **out)
{
	return inet_create(AF_INET, type, protocol, flags, out);
}

static int
inet6_create(int type, int protocol, unsigned flags, struct file **out)
{
	return inet_create(AF_INET6, type, protocol, flags, out);
}

void
inet_register(void)
{
	static const struct socket_family inet4 = {AF_INET, inet4_create};
	static const struct socket_family inet6 = {AF_INET6, inet6_create};

	file_persist_register(&inet_stream_ops.file);
	file_persist_register(&inet_dgram_ops.file);
	socket_set_interface_ioctl(interface_ioctl);
	socket_family_register(&inet4);
	socket_family_register(&inet6);
}

size_t
inet_file_name(struct file *f, char *buf, size_t size)
{
	return (size_t)format(buf, size, "socket:[%lu]", (unsigned long)f->ino);
}

/* ---- addresses ---- */

static u16
swap16(u16 v)
{
	return (u16)(v << 8 | v >> 8);
}

void
inet_set_ip4(ip_addr_t *ip, u32 word)
{
	*ip = (ip_addr_t)IPADDR4_INIT(word);
}

void
inet_set_ip6(ip_addr_t *ip, const u32 w[4])
{
	*ip = (ip_addr_t)IPADDR6_INIT(w[0], w[1], w[2], w[3]);
}

void
inet_any_to_loopback(ip_addr_t *ip)
{
	static const u32 loopback6[4] = {0, 0, 0, PP_HTONL(1)};

	if (!ip_addr_isany(ip))
		return;
	if (IP_IS_V4_VAL(*ip))
		inet_set_ip4(ip, PP_HTONL(INADDR_LOOPBACK));
	else
		inet_set_ip6(ip, loopback6);
}

static int
addr4_in(const void *sa, unsigned len, ip_addr_t *ip, u16 *port)
{
	struct sockaddr_in in;

	if (len < sizeof(in))
		return -EINVAL;
	memcpy(&in, sa, sizeof(in));
	inet_set_ip4(ip, in.sin_addr.s_addr);
	*port = swap16(in.sin_port);
	return 0;
}

int
inet_addr_in(const struct inet *s, const void *sa, unsigned len, ip_addr_t *ip, u16 *port)
{
	struct sockaddr_in6 in6;
	u16 family;
	u32 w[4];

	if (len < sizeof(family))
		return -EINVAL;
	memcpy(&family, sa, sizeof(family));
	if (s->family == AF_INET) {
		if (family != AF_INET)
			return -EAFNOSUPPORT;
		return addr4_in(sa, len, ip, port);
	}
	if (family != AF_INET6)
		return -EAFNOSUPPORT;
	if (len < 24)
		return -EINVAL;
	memset(&in6, 0, sizeof(in6));
	memcpy(&in6, sa, min((size_t)len, sizeof(in6)));
	memcpy(w, &in6.sin6_addr, sizeof(w));
	*port = swap16(in6.sin6_port);
	if (w[0] == 0 && w[1] == 0 && w[2] == PP_HTONL(0xffff)) {
		if (s->v6only)
			return -ENETUNREACH;
		inet_set_ip4(ip, w[3]);
		return 0;
	}
	if (!(w[0] | w[1] | w[2] | w[3])) {
		ip_addr_copy(*ip, *(s->v6only ? IP6_ADDR_ANY : IP_ANY_TYPE));
		return 0;
	}
	inet_set_ip6(ip, w);
	if (ip6_addr_has_scope(ip_2_ip6(ip), IP6_UNKNOWN))
		ip6_addr_set_zone(ip_2_ip6(ip),
				  (u8)(in6.sin6_scope_id ? in6.sin6_scope_id : (u32)s->bound_if));
	return 0;
}

int
inet_bind(struct inet *s, const void *sa, unsigned len,
	  int (*bind)(struct inet *s, ip_addr_t *ip, u16 *port))
{
	bool ports = s->type == SOCK_STREAM || dgram_is_udp(s);
	ip_addr_t ip;
	u16 port;
	int err = inet_addr_in(s, sa, len, &ip, &port);

	if (err)
		return err;
	net_lock();
	err = bind(s, &ip, &port);
	if (!err) {
		spin_lock(&s->lock);
		ip_addr_copy(s->local, ip);
		s->local_port = port;
		s->bound = port || !ports;
		spin_unlock(&s->lock);
	}
	net_unlock();
	return err;
}

void
inet_addr_out(const struct inet *s, const ip_addr_t *ip, u16 port, void *sa, unsigned *len)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = swap16(port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = swap16(port)};
	u32 w[4] = {0};
	unsigned size;

	if (s->family == AF_INET) {
		in.sin_addr.s_addr = IP_IS_V4(ip) ? ip4_addr_get_u32(ip_2_ip4(ip)) : 0;
		size = sizeof(in);
		memcpy(sa, &in, min(size, *len));
		*len = size;
		return;
	}
	if (IP_IS_V4_VAL(*ip)) {
		w[2] = PP_HTONL(0xffff);
		w[3] = ip4_addr_get_u32(ip_2_ip4(ip));
	} else {
		memcpy(w, ip_2_ip6(ip)->addr, sizeof(w));
		if (ip6_addr_islinklocal(ip_2_ip6(ip)))
			in6.sin6_scope_id = ip6_addr_zone(ip_2_ip6(ip));
	}
	memcpy(&in6.sin6_addr, w, sizeof(w));
	size = sizeof(in6);
	memcpy(sa, &in6, min(size, *len));
	*len = size;
}

bool
inet_addr_is_loop4(const ip_addr_t *ip)
{
	return IP_IS_V4_VAL(*ip) && ip4_addr_isloopback(ip_2_ip4(ip));
}

bool
inet_addr_is_ours(const ip_addr_t *ip)
{
	struct iface *i;

	if (ip_addr_isany(ip) || inet_addr_is_loop4(ip))
		return true;
	list_for_each_entry (i, &net_root()->ifaces, link) {
		if (IP_IS_V4(ip) && ip4_addr_cmp(ip_2_ip4(ip), netif_ip4_addr(&i->netif)))
			return true;
		if (IP_IS_V6(ip) && netif_get_ip6_addr_match(&i->netif, ip_2_ip6(ip)) >= 0)
			return true;
	}
	return false;
}

void
inet_source_to(const ip_addr_t *to, ip_addr_t *from)
{
	if (inet_addr_is_loop4(to))
		inet_set_ip4(from, PP_HTONL(INADDR_LOOPBACK));
	else
		*from = *to;
}

struct netif *
inet_route(const ip_addr_t *from, const ip_addr_t *to)
{
	struct netif *out = ip_route(from, to);

	if (out && inet_addr_is_loop4(from) && out != &net_root()->loopback->netif)
		return NULL;
	return out;
}

bool
inet_addr_overlap(const ip_addr_t *a, const ip_addr_t *b)
{
	if (IP_IS_ANY_TYPE_VAL(*a) || IP_IS_ANY_TYPE_VAL(*b))
		return true;
	if (IP_GET_TYPE(a) != IP_GET_TYPE(b))
		return false;
	return ip_addr_isany(a) || ip_addr_isany(b) || ip_addr_cmp(a, b);
}

bool
inet_port_conflict(const struct inet *s, const struct inet *o, const ip_addr_t *ip)
{
	if (o == s || o->type != s->type || o->protocol != s->protocol || !o->bound ||
	    !inet_addr_overlap(&o->local, ip))
		return false;
	if (s->reuseport && o->reuseport && s->uid == o->uid)
		return false;
	return !s->reuseaddr || !o->reuseaddr;
}

bool
inet_port_taken(const struct inet *s, const ip_addr_t *ip, u16 port)
{
	struct inet *o;

	list_for_each_entry (o, &net_root()->sockets, link)
		if (o->local_port == port && inet_port_conflict(s, o, ip))
			return true;
	return false;
}

int
inet_getname(struct file *f, bool peer, void *addr, unsigned *len)
{
	struct inet *s = inet_of(f);
	int err = 0;

	spin_lock(&s->lock);
	if (!peer)
		inet_addr_out(s, &s->local, s->local_port, addr, len);
	else if (s->state == INET_CONNECTED)
		inet_addr_out(s, &s->peer, s->peer_port, addr, len);
	else
		err = -ENOTCONN;
	spin_unlock(&s->lock);
	return err;
}

/* ---- waiting ---- */

void
inet_wake(struct inet *s, unsigned events)
{
	if (events & (POLL_IN | POLL_RDHUP | POLL_HUP | POLL_ERR))
		waitq_wake_events(&s->rq, events & (POLL_HUP | POLL_ERR | POLL_RDHUP) ? ~0u : 1,
				  events);
	if (events & (POLL_OUT | POLL_HUP | POLL_ERR))
		waitq_wake_events(&s->wq, ~0u, events);
}

int
inet_take_error(struct inet *s)
{
	int e = s->error;

	s->error = 0;
	return -e;
}

ns_t
inet_deadline(ns_t timeout)
{
	return timeout == NS_FOREVER ? NS_FOREVER : blocked_deadline(clock_now() + timeout);
}

int
inet_wait_result(int err, ns_t timeout)
{
	if (err == -ETIMEDOUT)
		return -EAGAIN;
	if (err == -ERESTARTSYS && timeout != NS_FOREVER)
		return -EINTR;
	return err;
}
