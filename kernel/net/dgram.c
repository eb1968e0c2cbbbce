/*
 * Datagram sockets: UDP, ICMP echo ("ping" sockets) and raw IP, over lwIP's udp and raw pcbs.
 *
 * What comes in is queued as it is, up to SO_RCVBUF, and copied once to the reader; what is too
 * much is dropped. Sending copies into one buffer before net->lock is taken. Ping sockets are raw
 * pcbs that see echo replies with their own identifier, which is the local port.
 */
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <linux/ipv6.h>
#include "arch/clock.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/net.h"
#include "net/persist.h"

#include "lwip/inet_chksum.h"
#include "lwip/prot/ip4.h"
#include "lwip/prot/ip6.h"

#define DGRAM_MOST     65507u
#define DGRAM_OVERHEAD 256u

/* ---- receive ---- */

/* Takes p: queues it or drops it. */
static void
queue(struct inet *s, struct pbuf *p, const ip_addr_t *from, u16 port)
{
	struct dgram *d = kmalloc(sizeof(*d));
	struct net *n = net_root();
	u64 held = p->tot_len;

	if (!d || s->rx_shut || s->rx_bytes + DGRAM_OVERHEAD + held > s->rcvbuf ||
	    atomic_load_relaxed(&n->rx_held) > n->rx_limit) {
		kfree(d);
		pbuf_free(p);
		return;
	}
	d->p = p;
	d->from_port = port;
	ip_addr_copy(d->from, *from);
	ip_addr_copy(d->to, *ip_current_dest_addr());
	d->ifindex = netif_get_index(ip_current_input_netif());
	if (ip_current_is_v6()) {
		d->ttl = IP6H_HOPLIM(ip6_current_header());
		d->tos = (u8)IP6H_TC(ip6_current_header());
	} else {
		d->ttl = IPH_TTL(ip4_current_header());
		d->tos = IPH_TOS(ip4_current_header());
	}
	d->stamp = clock_now() + clock_real_offset();
	atomic_fetch_add(&n->rx_held, held);
	spin_lock(&s->lock);
	list_add_tail(&s->dgrams, &d->link);
	s->rx_bytes += held;
	inet_wake(s, POLL_IN | POLL_RDNORM);
	spin_unlock(&s->lock);
}

static void
on_udp(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *from, u16_t port)
{
	queue(arg, p, from, port);
}

/* A copy of the packet for this socket; others and the stack see it too. */
static void
queue_copy(struct inet *s, struct pbuf *p, u16 skip, const ip_addr_t *from)
{
	struct pbuf *q = pbuf_clone(PBUF_RAW, PBUF_RAM, p);

	if (!q)
		return;
	pbuf_remove_header(q, skip);
	queue(s, q, from, 0);
}

static u8_t
on_raw(void *arg, struct raw_pcb *pcb, struct pbuf *p, const ip_addr_t *from)
{
	struct inet *s = arg;
	u16 header = ip_current_header_tot_len();
	u8 b[8];

	/* lwIP gives IPv4 packets with, IPv6 packets with their header too. */
	if (pbuf_copy_partial(p, b, sizeof(b), header) < sizeof(b) &&
	    (dgram_is_ping(s) || s->protocol == IPPROTO_ICMP || s->protocol == IPPROTO_ICMPV6))
		return 0;
	if (dgram_is_ping(s)) {
		bool reply = s->protocol == IPPROTO_ICMP ? b[0] == ICMP_ECHOREPLY
							 : b[0] == ICMPV6_ECHO_REPLY;

		if (reply && (u16)(b[4] << 8 | b[5]) == s->local_port) {
			queue_copy(s, p, header, from);
		}
		return 0;
	}
	if (s->protocol == IPPROTO_ICMP && b[0] < 32 && (s->icmp_filter >> b[0] & 1))
		return 0;
	if (s->protocol == IPPROTO_ICMPV6 && (s->icmp6_filter[b[0] >> 5] >> (b[0] & 31) & 1))
		return 0;
	if (s->state == INET_CONNECTED && !ip_addr_cmp(&s->peer, from))
		return 0;
	queue_copy(s, p, s->family == AF_INET6 ? header : 0, from);
	return 0;
}

/* Waits until there is a datagram: 0, 1 at the end (shut down), or -errno. */
static int
wait_dgram(struct file *f, struct inet *s, unsigned flags, ns_t deadline)
{
	bool nonblock = (f->flags & O_NONBLOCK) || (flags & MSG_DONTWAIT);
	int err = 0;

	spin_lock(&s->lock);
	while (list_empty(&s->dgrams) && !err) {
		if (s->error)
			err = inet_take_error(s);
		else if (s->rx_shut)
			err = 1;
		else if (nonblock)
			err = -EAGAIN;
		else
			err = inet_wait_result(waitq_sleep(&s->rq, &s->lock, deadline,
							   WAIT_INTERRUPTIBLE | WAIT_EXCLUSIVE),
					       s->rcvtimeo);
	}
	spin_unlock(&s->lock);
	return err;
}

/* The first datagram, taken out of the queue unless it is only peeked at. => s->rx_lock held, so
 * that nobody else takes it; NULL: another reader was faster */
static struct dgram *
first(struct inet *s, bool remove)
{
	struct dgram *d = NULL;

	spin_lock(&s->lock);
	if (!list_empty(&s->dgrams)) {
		d = list_first(&s->dgrams, struct dgram, link);
		if (remove) {
			list_del(&d->link);
			s->rx_bytes -= d->p->tot_len;
		}
	}
	spin_unlock(&s->lock);
	return d;
}

/* Appends a control message when there is room (man 3 cmsg). */
static void
put_control(struct socket_msg *m, size_t room, s32 level, s32 type, const void *data, size_t n)
{
	struct net_cmsghdr h = {.len = sizeof(h) + n, .level = level, .type = type};
	size_t space = ALIGN_UP(h.len, 8);
	u8 *at;

	if (!m->control || m->control_len + h.len > room) {
		m->flags |= MSG_CTRUNC;
		return;
	}
	at = (u8 *)m->control + m->control_len;
	memcpy(at, &h, sizeof(h));
	memcpy(at + sizeof(h), data, n);
	m->control_len = min(m->control_len + space, room);
}

static void
put_controls(const struct inet *s, const struct dgram *d, struct socket_msg *m, size_t room)
{
	int ttl = d->ttl, tos = d->tos;
	s64 tv[2] = {d->stamp / NS_PER_SEC, d->stamp % NS_PER_SEC / NS_PER_US};

	m->control_len = 0;
	if (s->timestamp)
		put_control(m, room, SOL_SOCKET, SO_TIMESTAMP_OLD, tv, sizeof(tv));
	if (IP_IS_V4_VAL(d->from)) {
		struct in_pktinfo pi = {.ipi_ifindex = d->ifindex};

		pi.ipi_addr.s_addr = pi.ipi_spec_dst.s_addr = ip4_addr_get_u32(ip_2_ip4(&d->to));
		if (s->pktinfo)
			put_control(m, room, IPPROTO_IP, IP_PKTINFO, &pi, sizeof(pi));
		if (s->recvttl)
			put_control(m, room, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl));
		if (s->recvtos)
			put_control(m, room, IPPROTO_IP, IP_TOS, &d->tos, 1);
		return;
	}
	if (s->pktinfo6) {
		struct in6_pktinfo pi = {.ipi6_ifindex = d->ifindex};

		memcpy(&pi.ipi6_addr, ip_2_ip6(&d->to)->addr, 16);
		put_control(m, room, IPPROTO_IPV6, IPV6_PKTINFO, &pi, sizeof(pi));
	}
	if (s->recvhops)
		put_control(m, room, IPPROTO_IPV6, IPV6_HOPLIMIT, &ttl, sizeof(ttl));
	if (s->recvtclass)
		put_control(m, room, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos));
}

static void
copy_out(const struct dgram *d, struct uio *u)
{
	for (struct pbuf *p = d->p; p && u->resid > 0 && !u->fault; p = p->next)
		uio_copy_out(u, p->payload, min((size_t)p->len, u->resid));
}

/* Gives the datagram to the caller; the result of recv. */
static ssize_t
deliver(struct inet *s, const struct dgram *d, struct socket_msg *m, unsigned flags)
{
	size_t room = m->data->resid, control_room = m->control_len, n = d->p->tot_len;

	copy_out(d, m->data);
	if (m->name)
		inet_addr_out(s, &d->from, d->from_port, m->name, &m->name_len);
	put_controls(s, d, m, control_room);
	if (n > room)
		m->flags |= MSG_TRUNC;
	if (m->data->fault)
		return -EFAULT;
	return n > room && !(flags & MSG_TRUNC) ? (ssize_t)room : (ssize_t)n;
}

static ssize_t
dgram_recv(struct file *f, struct socket_msg *m)
{
	struct inet *s = inet_of(f);
	unsigned flags = m->flags;
	bool remove = !(flags & MSG_PEEK);
	ns_t deadline = inet_deadline(s->rcvtimeo);
	struct dgram *d = NULL;
	ssize_t r;

	m->flags = 0;
	if (flags & MSG_ERRQUEUE)
		return -EAGAIN;
	if (flags & MSG_OOB)
		return -EOPNOTSUPP;
	do {
		r = wait_dgram(f, s, flags, deadline);
		if (r) {
			m->name_len = 0;
			m->control_len = 0;
			return r < 0 ? r : 0;
		}
		mutex_lock(&s->rx_lock);
		d = first(s, remove);
		if (d)
			r = deliver(s, d, m, flags);
		mutex_unlock(&s->rx_lock);
	} while (!d);
	if (remove) {
		atomic_fetch_sub(&net_root()->rx_held, (u64)d->p->tot_len);
		net_bury_chain(d->p);
		kfree(d);
	}
	return r;
}

/* ---- send ---- */

struct dgram_to { /* where to, and how */
	ip_addr_t ip, from;
	u16 port;
	int ifindex, ttl, tos;
};

/* What the caller asks for one datagram: source, interface, TTL, TOS. */
static int
read_controls(struct socket_msg *m, struct dgram_to *to)
{
	const u8 *at = m->control;
	size_t left = m->control ? m->control_len : 0;
	struct net_cmsghdr h;

	while (left >= sizeof(h)) {
		const u8 *data = at + sizeof(h);
		size_t n;
		int v = 0;

		memcpy(&h, at, sizeof(h));
		if (h.len < sizeof(h) || h.len > left)
			return -EINVAL;
		n = h.len - sizeof(h);
		memcpy(&v, data, min(n, sizeof(v)));
		if (h.level == IPPROTO_IP && h.type == IP_PKTINFO &&
		    n >= sizeof(struct in_pktinfo)) {
			struct in_pktinfo pi;

			memcpy(&pi, data, sizeof(pi));
			to->ifindex = pi.ipi_ifindex;
			if (pi.ipi_spec_dst.s_addr)
				inet_set_ip4(&to->from, pi.ipi_spec_dst.s_addr);
		} else if (h.level == IPPROTO_IPV6 && h.type == IPV6_PKTINFO &&
			   n >= sizeof(struct in6_pktinfo)) {
			struct in6_pktinfo pi;
			u32 w[4];

			memcpy(&pi, data, sizeof(pi));
			memcpy(w, &pi.ipi6_addr, 16);
			to->ifindex = pi.ipi6_ifindex;
			if (w[0] | w[1] | w[2] | w[3])
				inet_set_ip6(&to->from, w);
		} else if ((h.level == IPPROTO_IP && h.type == IP_TTL) ||
			   (h.level == IPPROTO_IPV6 && h.type == IPV6_HOPLIMIT)) {
			to->ttl = v;
		} else if ((h.level == IPPROTO_IP && h.type == IP_TOS) ||
			   (h.level == IPPROTO_IPV6 && h.type == IPV6_TCLASS)) {
			to->tos = v & 0xff;
		} else {
			return -EINVAL;
		}
		if (ALIGN_UP(h.len, 8) >= left)
			break;
		at += ALIGN_UP(h.len, 8);
		left -= ALIGN_UP(h.len, 8);
	}
	return 0;
}

static int
destination(struct inet *s, struct socket_msg *m, struct dgram_to *to)
{
	int err = 0;

	to->ttl = to->tos = -1;
	to->ifindex = s->bound_if;
	ip_addr_set_zero(&to->from);
	if (m->name && m->name_len > 0) {
		err = inet_addr_in(s, m->name, m->name_len, &to->ip, &to->port);
		if (!err && to->port == 0 && dgram_is_udp(s))
			err = -EINVAL;
		if (!err)
			inet_any_to_loopback(&to->ip);
	} else {
		spin_lock(&s->lock);
		if (s->state != INET_CONNECTED)
			err = -EDESTADDRREQ;
		ip_addr_copy(to->ip, s->peer);
		to->port = s->peer_port;
		spin_unlock(&s->lock);
	}
	return err ? err : read_controls(m, to);
}

static struct netif *
out_netif(const struct inet *s, const struct dgram_to *to)
{
	int index = to->ifindex;
	struct iface *i;

	if (!index && ip_addr_ismulticast(&to->ip))
		index = s->mcast_ifindex;
	i = index ? iface_by_index(net_root(), (unsigned)index) : NULL;
	return i ? &i->netif : NULL;
}

/* A broadcast needs SO_BROADCAST (man 7 ip): EACCES else. */
static bool
broadcast_refused(const struct inet *s, const struct dgram_to *to)
{
	struct iface *i;

	if (!IP_IS_V4_VAL(to->ip) || s->broadcast)
		return false;
	if (ip4_addr_get_u32(ip_2_ip4(&to->ip)) == IPADDR_BROADCAST)
		return true;
	list_for_each_entry (i, &net_root()->ifaces, link)
		if (i->dev && !ip4_addr_isany(netif_ip4_addr(&i->netif)) &&
		    ip4_addr_isbroadcast(ip_2_ip4(&to->ip), &i->netif))
			return true;
	return false;
}

static err_t
send_udp(struct inet *s, struct pbuf *p, const struct dgram_to *to)
{
	struct netif *out = out_netif(s, to);
	struct udp_pcb *u = s->udp;
	u8 ttl = u->ttl, tos = u->tos;
	ip_addr_t from;
	err_t err;

	if (to->ttl >= 0)
		u->ttl = (u8)to->ttl;
	if (to->tos >= 0)
		u->tos = (u8)to->tos;
	ip_addr_copy(from, to->from);
	if (ip_addr_isany(&from) && !ip_addr_ismulticast(&u->local_ip))
		ip_addr_copy(from, u->local_ip);
	if (inet_addr_is_ours(&to->ip)) {
		out = NULL;
		if (ip_addr_isany(&from))
			inet_source_to(&to->ip, &from);
	}
	if (!ip_addr_isany(&from)) {
		if (!out)
			out = ip_route(&from, &to->ip);
		err = !out ? ERR_RTE
		      : inet_addr_is_loop4(&from) && out != &net_root()->loopback->netif
			      ? ERR_ARG /* 127/8 does not leave the machine */
			      : udp_sendto_if_src(u, p, &to->ip, to->port, out, &from);
	} else if (out) {
		err = udp_sendto_if(u, p, &to->ip, to->port, out);
	} else {
		err = udp_sendto(u, p, &to->ip, to->port);
	}
	u->ttl = ttl;
	u->tos = tos;
	return err;
}

/* An echo request gets our identifier and a checksum. */
static int
finish_ping(const struct inet *s, struct pbuf *p)
{
	u8 *b = p->payload;
	u16 sum;

	if (p->len < 8)
		return -EINVAL;
	if (b[0] != (s->protocol == IPPROTO_ICMP ? ICMP_ECHO : ICMPV6_ECHO_REQUEST) || b[1] != 0)
		return -EINVAL;
	b[4] = (u8)(s->local_port >> 8);
	b[5] = (u8)s->local_port;
	b[2] = b[3] = 0;
	if (s->protocol == IPPROTO_ICMP) {
		sum = inet_chksum_pbuf(p);
		memcpy(&b[2], &sum, 2);
	}
	return 0;
}

static err_t
send_raw(struct inet *s, struct pbuf *p, const struct dgram_to *to)
{
	struct raw_pcb *r = s->raw;
	u8 ttl = r->ttl, tos = r->tos;
	err_t err;

	if (to->ttl >= 0)
		r->ttl = (u8)to->ttl;
	if (to->tos >= 0)
		r->tos = (u8)to->tos;
	net_root()->raw_sends = true;
	err = raw_sendto(r, p, &to->ip);
	net_root()->raw_sends = false;
	r->ttl = ttl;
	r->tos = tos;
	return err;
}

static ssize_t
dgram_send(struct file *f, struct socket_msg *m)
{
	struct inet *s = inet_of(f);
	size_t n = m->data->resid;
	struct dgram_to to;
	struct pbuf *p;
	int err;

	if (m->flags & MSG_OOB)
		return -EOPNOTSUPP;
	spin_lock(&s->lock);
	err = s->error ? inet_take_error(s) : s->tx_shut ? -EPIPE : 0;
	spin_unlock(&s->lock);
	if (!err)
		err = destination(s, m, &to);
	if (err)
		return err;
	if (n > DGRAM_MOST)
		return -EMSGSIZE;
	p = pbuf_alloc(PBUF_TRANSPORT, (u16)n, PBUF_RAM);
	if (!p)
		return -ENOBUFS;
	if (uio_copy_in(m->data, p->payload, n) < n) {
		net_bury(p);
		return -EFAULT;
	}
	net_lock();
	err = dgram_bind_any(s);
	if (!err && broadcast_refused(s, &to))
		err = -EACCES;
	if (!err && dgram_is_ping(s))
		err = finish_ping(s, p);
	if (!err)
		err = errno_of(dgram_is_udp(s) ? send_udp(s, p, &to) : send_raw(s, p, &to));
	pbuf_free(p);
	net_unlock();
	return err ? err : (ssize_t)n;
}

/* ---- the rest ---- */

static int
dgram_shutdown(struct file *f, int how)
{
	struct inet *s = inet_of(f);
	int err = 0;

	spin_lock(&s->lock);
	if (s->state != INET_CONNECTED)
		err = -ENOTCONN;
	if (how != SHUT_WR)
		s->rx_shut = true;
	if (how != SHUT_RD)
		s->tx_shut = true;
	inet_wake(s, POLL_IN | POLL_OUT | POLL_RDHUP);
	spin_unlock(&s->lock);
	return err;
}

void
dgram_refused(const ip_addr_t *local, u16 local_port, const ip_addr_t *peer, u16 peer_port)
{
	struct inet *s;

	list_for_each_entry (s, &net_root()->sockets, link) {
		if (!dgram_is_udp(s) || s->state != INET_CONNECTED || s->local_port != local_port ||
		    s->peer_port != peer_port || !ip_addr_cmp(&s->peer, peer))
			continue;
		spin_lock(&s->lock);
		s->error = ECONNREFUSED;
		inet_wake(s, POLL_ERR | POLL_IN);
		spin_unlock(&s->lock);
	}
}

static unsigned
dgram_poll(struct file *f, struct poll_table *pt)
{
	struct inet *s = inet_of(f);
	unsigned ev = POLL_OUT | POLL_WRNORM;

	spin_lock(&s->lock);
	poll_add(pt, &s->rq, &s->lock);
	if (s->error)
		ev |= POLL_ERR;
	if (!list_empty(&s->dgrams))
		ev |= POLL_IN | POLL_RDNORM;
	if (s->rx_shut)
		ev |= POLL_IN | POLL_RDNORM | POLL_RDHUP;
	if (s->rx_shut && s->tx_shut)
		ev |= POLL_HUP;
	spin_unlock(&s->lock);
	return ev;
}

/* ---- life ---- */

int
dgram_socket_create(struct inet *s)
{
	u8 type = inet_pcb_type(s);

	if (dgram_is_udp(s)) {
		s->udp = udp_new_ip_type(type);
		if (!s->udp)
			return -ENOMEM;
		udp_recv(s->udp, on_udp, s);
	} else {
		s->raw = raw_new_ip_type(s->family == AF_INET ? IPADDR_TYPE_V4 : IPADDR_TYPE_V6,
					 (u8)s->protocol);
		if (!s->raw)
			return -ENOMEM;
		raw_recv(s->raw, on_raw, s);
		if (s->protocol == IPPROTO_ICMPV6) { /* RFC 3542, 3.1 */
			s->raw->chksum_reqd = 1;
			s->raw->chksum_offset = 2;
		}
		s->local_port = s->type == SOCK_RAW ? (u16)s->protocol : 0;
		s->hdrincl = s->protocol == IPPROTO_RAW;
	}
	inet_apply_options(s);
	return 0;
}

void
dgram_forget(struct inet *s)
{
	multicast_leave_all(s);
	if (dgram_is_udp(s)) {
		if (s->udp)
			udp_remove(s->udp);
	} else if (s->raw) {
		raw_remove(s->raw);
	}
}

static void
dgram_release(struct file *f)
{
	struct inet *s = inet_of(f);

	net_lock();
	dgram_forget(s);
	list_del(&s->link);
	net_unlock();
	inet_free(s);
}

static int
dgram_listen(struct file *f, int backlog)
{
	return -EOPNOTSUPP;
}

static int
dgram_accept(struct file *f, unsigned flags, struct file **out, void *addr, unsigned *len)
{
	return -EOPNOTSUPP;
}

static ssize_t
dgram_read(struct file *f, struct uio *u, u64 *pos)
{
	struct socket_msg m = {.data = u};

	return dgram_recv(f, &m);
}

static ssize_t
dgram_write(struct file *f, struct uio *u, u64 *pos)
{
	struct socket_msg m = {.data = u};

	return dgram_send(f, &m);
}

const struct socket_file_ops inet_dgram_ops = {
	.file =
		{
			.kind = "socket",
			.read = dgram_read,
			.write = dgram_write,
			.poll = dgram_poll,
			.ioctl = inet_ioctl,
			.release = dgram_release,
			.name = inet_file_name,
			.persist = &inet_dgram_persist,
		},
	.socket =
		{
			.bind = dgram_bind,
			.connect = dgram_connect,
			.listen = dgram_listen,
			.accept = dgram_accept,
			.getname = inet_getname,
			.send = dgram_send,
			.recv = dgram_recv,
			.shutdown = dgram_shutdown,
			.setsockopt = inet_setsockopt,
			.getsockopt = inet_getsockopt,
		},
	.family = AF_INET,
};
