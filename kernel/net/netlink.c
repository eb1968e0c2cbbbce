/*
 * AF_NETLINK, NETLINK_ROUTE: dumps of links, addresses, routes and neighbours, as getifaddrs and
 * ip(8) ask for them (RFC 3549, man 7 rtnetlink). A request is answered when it is sent: the
 * answer waits in the socket, in datagrams of at most a page or so. Nothing can be changed
 * (-EPERM); notifications of changes (multicast groups) are not sent, and joining a group says so.
 */
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include "lib/format.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/netlink_impl.h"

#include "lwip/etharp.h"

#define REQUEST_MOST 8192u
#define DATAGRAM     8000u /* an answer is cut between messages when it grows beyond */
#define ANSWERS_MOST 64u

struct nl_out { /* an answer being made */
	struct nl_socket *s;
	const struct nlmsghdr *request;
	u8 *buf;
	size_t len, room;
	size_t message; /* where the current message starts */
	bool failed;
};

/* ---- making messages ---- */

static void
flush(struct nl_out *o)
{
	struct nl_answer *a;
	bool full;

	if (o->len == 0)
		return;
	a = kmalloc(sizeof(*a) + o->len);
	if (!a) {
		o->failed = true;
		o->len = 0;
		return;
	}
	a->len = o->len;
	memcpy(a->bytes, o->buf, o->len);
	o->len = 0;
	spin_lock(&o->s->lock);
	full = o->s->answers_nr >= ANSWERS_MOST;
	if (!full) {
		list_add_tail(&o->s->answers, &a->link);
		o->s->answers_nr++;
		waitq_wake_events(&o->s->rq, 1, POLL_IN | POLL_RDNORM);
	}
	spin_unlock(&o->s->lock);
	if (full) {
		kfree(a);
		o->failed = true;
	}
}

static void *
append(struct nl_out *o, const void *data, size_t n)
{
	size_t space = NLMSG_ALIGN(n);
	void *at = o->buf + o->len;

	if (o->len + space > o->room) {
		o->failed = true;
		return NULL;
	}
	memset(at, 0, space);
	if (data)
		memcpy(at, data, n);
	o->len += space;
	return at;
}

static void
begin(struct nl_out *o, u16 type, u16 flags, const void *body, size_t n)
{
	struct nlmsghdr h = {.nlmsg_type = type,
			     .nlmsg_flags = flags,
			     .nlmsg_seq = o->request->nlmsg_seq,
			     .nlmsg_pid = o->s->port};

	if (o->len > DATAGRAM - 1024)
		flush(o);
	o->message = o->len;
	append(o, &h, sizeof(h));
	append(o, body, n);
}

static void
end(struct nl_out *o)
{
	struct nlmsghdr *h = (void *)(o->buf + o->message);

	if (!o->failed)
		h->nlmsg_len = (u32)(o->len - o->message);
}

static void
attr(struct nl_out *o, u16 type, const void *data, size_t n)
{
	struct rtattr a = {.rta_len = (u16)(sizeof(a) + n), .rta_type = type};
	u8 *at;

	if (o->len + sizeof(a) + NLMSG_ALIGN(n) > o->room) {
		o->failed = true;
		return;
	}
	at = o->buf + o->len;
	memset(at, 0, sizeof(a) + NLMSG_ALIGN(n));
	memcpy(at, &a, sizeof(a));
	memcpy(at + sizeof(a), data, n);
	o->len += sizeof(a) + NLMSG_ALIGN(n);
}

static void
attr_u32(struct nl_out *o, u16 type, u32 v)
{
	attr(o, type, &v, sizeof(v));
}

static void
attr_string(struct nl_out *o, u16 type, const char *s)
{
	attr(o, type, s, strlen(s) + 1);
}

/* ---- links ---- */

static void
link_stats(struct nl_out *o, const struct iface *i)
{
	struct rtnl_link_stats64 st;
	struct rtnl_link_stats st32;
	struct netdev_stats sum;

	memset(&st, 0, sizeof(st));
	memset(&st32, 0, sizeof(st32));
	if (i->dev) {
		netdev_stats(i->dev, &sum);
		st.rx_packets = sum.rx_packets;
		st.rx_bytes = sum.rx_bytes;
		st.rx_dropped = sum.rx_dropped;
		st.rx_errors = sum.rx_errors;
		st.tx_packets = sum.tx_packets;
		st.tx_bytes = sum.tx_bytes;
		st.tx_dropped = sum.tx_dropped;
	} else {
		st.rx_packets = st.tx_packets = i->packets;
		st.rx_bytes = st.tx_bytes = i->bytes;
	}
	st32.rx_packets = (u32)st.rx_packets;
	st32.tx_packets = (u32)st.tx_packets;
	st32.rx_bytes = (u32)st.rx_bytes;
	st32.tx_bytes = (u32)st.tx_bytes;
	attr(o, IFLA_STATS64, &st, sizeof(st));
	attr(o, IFLA_STATS, &st32, sizeof(st32));
}

static void
one_link(struct nl_out *o, const struct iface *i, u16 flags)
{
	static const u8 none[6], all[6] = {255, 255, 255, 255, 255, 255};
	struct ifinfomsg m = {.ifi_type = i->dev ? 1 : 772,
			      .ifi_change = 0,
			      .ifi_index = netif_get_index(&i->netif)};
	char name[16];
	u8 state = i->dev ? netif_is_link_up(&i->netif) ? 6 : 2 : 0; /* IF_OPER_UP, DOWN, UNKNOWN */
	u8 carrier = netif_is_link_up(&i->netif) ? 1 : 0;

	m.ifi_flags = iface_flags(i) | 0x10000; /* IFF_LOWER_UP */
	iface_name(i, name);
	begin(o, RTM_NEWLINK, flags, &m, sizeof(m));
	attr_string(o, IFLA_IFNAME, name);
	attr_u32(o, IFLA_TXQLEN, 1000);
	attr(o, IFLA_OPERSTATE, &state, 1);
	attr(o, IFLA_CARRIER, &carrier, 1);
	attr_u32(o, IFLA_MTU, i->dev ? i->netif.mtu : 65536);
	attr_u32(o, IFLA_GROUP, 0);
	attr_string(o, IFLA_QDISC, i->dev ? "fifo" : "noqueue");
	attr(o, IFLA_ADDRESS, i->dev ? i->dev->mac : none, 6);
	attr(o, IFLA_BROADCAST, i->dev ? all : none, 6);
	link_stats(o, i);
	end(o);
}

/* The link that a request without NLM_F_DUMP names; NULL: none. */
static struct iface *
named_link(const struct nlmsghdr *h)
{
	const struct ifinfomsg *m = NLMSG_DATA(h);
	size_t left = h->nlmsg_len - NLMSG_LENGTH(sizeof(*m));
	const struct rtattr *a = (const void *)((const u8 *)m + NLMSG_ALIGN(sizeof(*m)));

	if (m->ifi_index > 0)
		return iface_by_index(net_root(), (unsigned)m->ifi_index);
	for (; left >= sizeof(*a) && a->rta_len >= sizeof(*a) && a->rta_len <= left;
	     left -= min(left, (size_t)RTA_ALIGN(a->rta_len)),
	     a = (const void *)((const u8 *)a + RTA_ALIGN(a->rta_len))) {
		char name[16] = "";

		if (a->rta_type != IFLA_IFNAME)
			continue;
		memcpy(name, RTA_DATA(a), min((size_t)15, a->rta_len - sizeof(*a)));
		return iface_by_name(net_root(), name);
	}
	return NULL;
}

/* ---- addresses ---- */

static u8
prefix_of(u32 mask)
{
	u8 n = 0;

	for (; mask; mask &= mask - 1)
		n++;
	return n;
}

static void
addr4(struct nl_out *o, const struct iface *i)
{
	u32 a = ip4_addr_get_u32(netif_ip4_addr(&i->netif));
	u32 mask = ip4_addr_get_u32(netif_ip4_netmask(&i->netif)), b = a | ~mask;
	struct ifaddrmsg m = {.ifa_family = AF_INET,
			      .ifa_prefixlen = prefix_of(mask),
			      .ifa_flags = IFA_F_PERMANENT,
			      .ifa_scope = i->dev ? RT_SCOPE_UNIVERSE : RT_SCOPE_HOST,
			      .ifa_index = netif_get_index(&i->netif)};
	char name[16];

	if (!a)
		return;
	iface_name(i, name);
	begin(o, RTM_NEWADDR, NLM_F_MULTI, &m, sizeof(m));
	attr(o, IFA_ADDRESS, &a, 4);
	attr(o, IFA_LOCAL, &a, 4);
	if (i->dev)
		attr(o, IFA_BROADCAST, &b, 4);
	attr_string(o, IFA_LABEL, name);
	attr_u32(o, IFA_FLAGS, IFA_F_PERMANENT);
	end(o);
}

static void
addr6(struct nl_out *o, const struct iface *i, int k)
{
	const ip6_addr_t *a = netif_ip6_addr(&i->netif, k);
	u8 state = netif_ip6_addr_state(&i->netif, k);
	u8 flags = ip6_addr_istentative(state) ? IFA_F_TENTATIVE : 0;
	struct ifaddrmsg m = {.ifa_family = AF_INET6,
			      .ifa_prefixlen = i->dev ? 64 : 128,
			      .ifa_scope = !i->dev		     ? RT_SCOPE_HOST
					   : ip6_addr_islinklocal(a) ? RT_SCOPE_LINK
								     : RT_SCOPE_UNIVERSE,
			      .ifa_index = netif_get_index(&i->netif)};

	if (state == IP6_ADDR_INVALID)
		return;
	if (k == 0)
		flags |= IFA_F_PERMANENT;
	m.ifa_flags = flags;
	begin(o, RTM_NEWADDR, NLM_F_MULTI, &m, sizeof(m));
	attr(o, IFA_ADDRESS, a->addr, 16);
	attr_u32(o, IFA_FLAGS, flags);
	end(o);
}

static void
addrs(struct nl_out *o, int family)
{
	struct iface *i;

	list_for_each_entry (i, &net_root()->ifaces, link) {
		if (family != AF_INET6)
			addr4(o, i);
		for (int k = 0; k < LWIP_IPV6_NUM_ADDRESSES && family != AF_INET; k++)
			addr6(o, i, k);
	}
}

/* ---- routes, neighbours ---- */

static void
route4(struct nl_out *o, const struct iface *i, bool by_gateway)
{
	u32 a = ip4_addr_get_u32(netif_ip4_addr(&i->netif));
	u32 mask = ip4_addr_get_u32(netif_ip4_netmask(&i->netif)), net = a & mask;
	u32 gw = ip4_addr_get_u32(netif_ip4_gw(&i->netif));
	struct rtmsg m = {.rtm_family = AF_INET,
			  .rtm_table = RT_TABLE_MAIN,
			  .rtm_protocol = by_gateway ? RTPROT_DHCP : RTPROT_KERNEL,
			  .rtm_scope = by_gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
			  .rtm_type = RTN_UNICAST,
			  .rtm_dst_len = by_gateway ? 0 : prefix_of(mask)};

	if (!a || (by_gateway && (!gw || &i->netif != netif_default)))
		return;
	begin(o, RTM_NEWROUTE, NLM_F_MULTI, &m, sizeof(m));
	attr_u32(o, RTA_TABLE, RT_TABLE_MAIN);
	if (by_gateway)
		attr(o, RTA_GATEWAY, &gw, 4);
	else
		attr(o, RTA_DST, &net, 4);
	attr(o, RTA_PREFSRC, &a, 4);
	attr_u32(o, RTA_OIF, netif_get_index(&i->netif));
	end(o);
}

static void
routes(struct nl_out *o, int family)
{
	struct iface *i;

	if (family == AF_INET6)
		return;
	list_for_each_entry (i, &net_root()->ifaces, link) {
		if (!i->dev)
			continue;
		route4(o, i, true);
		route4(o, i, false);
	}
}

static void
neighbours(struct nl_out *o, int family)
{
	ip4_addr_t *ip;
	struct netif *netif;
	struct eth_addr *mac;

	if (family == AF_INET6)
		return;
	for (size_t k = 0; k < ARP_TABLE_SIZE; k++) {
		struct ndmsg m = {.ndm_family = AF_INET, .ndm_state = NUD_REACHABLE};

		if (!etharp_get_entry(k, &ip, &netif, &mac))
			continue;
		m.ndm_ifindex = netif_get_index(netif);
		m.ndm_type = RTN_UNICAST;
		begin(o, RTM_NEWNEIGH, NLM_F_MULTI, &m, sizeof(m));
		attr(o, NDA_DST, ip, 4);
		attr(o, NDA_LLADDR, mac, 6);
		end(o);
	}
}

/* ---- requests ---- */

static void
done(struct nl_out *o)
{
	s32 zero = 0;

	begin(o, NLMSG_DONE, NLM_F_MULTI, &zero, sizeof(zero));
	end(o);
}

static void
error(struct nl_out *o, int err)
{
	struct nlmsgerr e = {.error = err, .msg = *o->request};

	begin(o, NLMSG_ERROR, 0, &e, sizeof(e));
	end(o);
}

/* 0, 1: a dump that ends with done, or -errno for an error message. => net->lock */
static int
answer(struct nl_out *o)
{
	const struct nlmsghdr *h = o->request;
	const struct rtgenmsg *g = NLMSG_DATA(h);
	bool dump = (h->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
	int family = h->nlmsg_len >= NLMSG_LENGTH(1) ? g->rtgen_family : 0;
	struct iface *i;

	switch (h->nlmsg_type) {
	case RTM_GETLINK:
		if (dump) {
			list_for_each_entry (i, &net_root()->ifaces, link)
				one_link(o, i, NLM_F_MULTI);
			return 1;
		}
		if (h->nlmsg_len < NLMSG_LENGTH(sizeof(struct ifinfomsg)))
			return -EINVAL;
		i = named_link(h);
		if (!i)
			return -ENODEV;
		one_link(o, i, 0);
		return 0;
	case RTM_GETADDR:
		if (!dump)
			return -EOPNOTSUPP;
		addrs(o, family);
		return 1;
	case RTM_GETROUTE:
		if (!dump)
			return -EOPNOTSUPP;
		routes(o, family);
		return 1;
	case RTM_GETNEIGH:
		if (!dump)
			return -EOPNOTSUPP;
		neighbours(o, family);
		return 1;
	case RTM_GETRULE:
	case RTM_GETQDISC:
		return dump ? 1 : -EOPNOTSUPP;
	case NLMSG_NOOP:
		return 0;
	}
	return h->nlmsg_type >= RTM_BASE ? -EPERM : -EINVAL;
}

static int
serve(struct nl_socket *s, const u8 *request, size_t n)
{
	struct nl_out o = {.s = s, .room = DATAGRAM + 4096};
	int r = 0;

	o.buf = kmalloc(o.room);
	if (!o.buf)
		return -ENOBUFS;
	while (n >= sizeof(struct nlmsghdr)) {
		const struct nlmsghdr *h = (const void *)request;
		size_t step;

		if (h->nlmsg_len < sizeof(*h) || h->nlmsg_len > n)
			break;
		o.request = h;
		if (h->nlmsg_flags & NLM_F_REQUEST) {
			net_lock();
			r = answer(&o);
			net_unlock();
			if (r == 1)
				done(&o);
			else if (r < 0 || (h->nlmsg_flags & NLM_F_ACK))
				error(&o, min(r, 0));
			flush(&o);
		}
		step = min(n, (size_t)NLMSG_ALIGN(h->nlmsg_len));
		request += step;
		n -= step;
	}
	kfree(o.buf);
	return o.failed ? -ENOBUFS : 0;
}

/* ---- socket operations ---- */

static int
nl_addr(const void *addr, unsigned len, struct sockaddr_nl *a)
{
	if (len < sizeof(*a))
		return -EINVAL;
	memcpy(a, addr, sizeof(*a));
	return a->nl_family == AF_NETLINK ? 0 : -EINVAL;
}

static int
nl_bind(struct file *f, const void *addr, unsigned len)
{
	struct nl_socket *s = nl_of(f);
	struct sockaddr_nl a;
	int err = nl_addr(addr, len, &a);

	if (err)
		return err;
	if (a.nl_groups)
		return -EOPNOTSUPP;
	spin_lock(&s->lock);
	s->port = a.nl_pid ? a.nl_pid : (u32)s->ino;
	spin_unlock(&s->lock);
	return 0;
}

static int
nl_connect(struct file *f, const void *addr, unsigned len)
{
	struct sockaddr_nl a;
	int err = nl_addr(addr, len, &a);

	return err ? err : a.nl_pid ? -ECONNREFUSED : 0;
}

static int
nl_getname(struct file *f, bool peer, void *addr, unsigned *len)
{
	struct nl_socket *s = nl_of(f);
	struct sockaddr_nl a = {.nl_family = AF_NETLINK};

	if (!peer)
		a.nl_pid = s->port;
	memcpy(addr, &a, min((size_t)*len, sizeof(a)));
	*len = sizeof(a);
	return 0;
}

static ssize_t
nl_send(struct file *f, struct socket_msg *m)
{
	struct nl_socket *s = nl_of(f);
	size_t n = m->data->resid;
	struct sockaddr_nl a;
	u8 *buf;
	int err = 0;

	if (m->name && m->name_len) {
		err = nl_addr(m->name, m->name_len, &a);
		if (err || a.nl_pid)
			return err ? err : -ECONNREFUSED;
	}
	if (n > REQUEST_MOST)
		return -EMSGSIZE;
	buf = kmalloc(max(n, (size_t)1));
	if (!buf)
		return -ENOBUFS;
	if (!s->port)
		s->port = (u32)s->ino;
	if (uio_copy_in(m->data, buf, n) < n)
		err = -EFAULT;
	else
		err = serve(s, buf, n);
	kfree(buf);
	return err ? err : (ssize_t)n;
}

static struct nl_answer *
nl_first(struct nl_socket *s)
{
	return list_empty(&s->answers) ? NULL : list_first(&s->answers, struct nl_answer, link);
}

/* The next answer: removed, or a copy for MSG_PEEK. */
static int
nl_take(struct file *f, struct nl_socket *s, unsigned flags, struct nl_answer **out)
{
	bool nonblock = (f->flags & O_NONBLOCK) || (flags & MSG_DONTWAIT);
	struct nl_answer *a;
	int err = 0;

	spin_lock(&s->lock);
	while (!(a = nl_first(s)) && !err)
		err = nonblock ? -EAGAIN
			       : waitq_sleep(&s->rq, &s->lock, NS_FOREVER, WAIT_INTERRUPTIBLE);
	if (!err && (flags & MSG_PEEK)) {
		struct nl_answer *copy = kmalloc(sizeof(*copy) + a->len);

		if (copy)
			memcpy(copy, a, sizeof(*copy) + a->len);
		err = copy ? 0 : -ENOBUFS;
		a = copy;
	} else if (!err) {
		list_del(&a->link);
		s->answers_nr--;
	}
	spin_unlock(&s->lock);
	*out = a;
	return err;
}

static ssize_t
nl_recv(struct file *f, struct socket_msg *m)
{
	struct nl_socket *s = nl_of(f);
	struct sockaddr_nl from = {.nl_family = AF_NETLINK};
	unsigned flags = m->flags;
	size_t room = m->data->resid, n;
	struct nl_answer *a;
	int err = nl_take(f, s, flags, &a);

	if (err)
		return err;
	m->flags = 0;
	m->control_len = 0;
	n = a->len;
	uio_copy_out(m->data, a->bytes, min(n, room));
	kfree(a);
	if (m->data->fault)
		return -EFAULT;
	if (m->name) {
		memcpy(m->name, &from, min((size_t)m->name_len, sizeof(from)));
		m->name_len = sizeof(from);
	}
	if (n > room)
		m->flags |= MSG_TRUNC;
	return flags & MSG_TRUNC ? (ssize_t)n : (ssize_t)min(n, room);
}

static unsigned
nl_poll(struct file *f, struct poll_table *pt)
{
	struct nl_socket *s = nl_of(f);
	unsigned ev = POLL_OUT | POLL_WRNORM;

	spin_lock(&s->lock);
	poll_add(pt, &s->rq, &s->lock);
	if (nl_first(s))
		ev |= POLL_IN | POLL_RDNORM;
	spin_unlock(&s->lock);
	return ev;
}

static int
nl_refuse_listen(struct file *f, int backlog)
{
	return -EOPNOTSUPP;
}

static int
nl_refuse_accept(struct file *f, unsigned flags, struct file **out, void *addr, unsigned *len)
{
	return -EOPNOTSUPP;
}

static int
nl_refuse_shutdown(struct file *f, int how)
{
	return -EOPNOTSUPP;
}

/* Buffers have no limit that these would set; the rest is not there. */
static int
nl_setsockopt(struct file *f, int level, int name, const void *val, unsigned len)
{
	if (level == SOL_SOCKET && (name == SO_SNDBUF || name == SO_RCVBUF ||
				    name == SO_RCVBUFFORCE || name == SO_SNDBUFFORCE))
		return len < sizeof(int) ? -EINVAL : 0;
	return -ENOPROTOOPT;
}

static int
nl_getsockopt(struct file *f, int level, int name, void *val, unsigned *len)
{
	struct nl_socket *s = nl_of(f);
	int v;

	if (level != SOL_SOCKET)
		return -ENOPROTOOPT;
	switch (name) {
	case SO_TYPE:
		v = s->type;
		break;
	case SO_DOMAIN:
		v = AF_NETLINK;
		break;
	case SO_PROTOCOL:
	case SO_ERROR:
	case SO_ACCEPTCONN:
		v = 0;
		break;
	case SO_SNDBUF:
	case SO_RCVBUF:
		v = INET_RCVBUF_DEFAULT;
		break;
	default:
		return -ENOPROTOOPT;
	}
	*len = min(*len, (unsigned)sizeof(v));
	memcpy(val, &v, *len);
	return 0;
}

static long
nl_ioctl(struct file *f, unsigned cmd, unsigned long arg)
{
	return interface_ioctl(cmd, arg);
}

static ssize_t
nl_read(struct file *f, struct uio *u, u64 *pos)
{
	struct socket_msg m = {.data = u};

	return nl_recv(f, &m);
}

static ssize_t
nl_write(struct file *f, struct uio *u, u64 *pos)
{
	struct socket_msg m = {.data = u};

	return nl_send(f, &m);
}

static void
nl_release(struct file *f)
{
	struct nl_socket *s = nl_of(f);
	struct nl_answer *a, *tmp;

	list_for_each_entry_safe (a, tmp, &s->answers, link)
		kfree(a);
	kfree(s);
}

struct nl_socket *
nl_alloc(int type)
{
	struct nl_socket *s = kzalloc(sizeof(*s));

	if (!s)
		return NULL;
	spin_init(&s->lock, "netlink", RANK_FILE);
	waitq_init(&s->rq);
	list_init(&s->answers);
	s->type = type;
	return s;
}

static const struct socket_file_ops netlink_ops = {
	.file =
		{
			.kind = "socket",
			.read = nl_read,
			.write = nl_write,
			.poll = nl_poll,
			.ioctl = nl_ioctl,
			.release = nl_release,
			.name = inet_file_name,
			.persist = &netlink_persist,
		},
	.socket =
		{
			.bind = nl_bind,
			.connect = nl_connect,
			.listen = nl_refuse_listen,
			.accept = nl_refuse_accept,
			.getname = nl_getname,
			.send = nl_send,
			.recv = nl_recv,
			.shutdown = nl_refuse_shutdown,
			.setsockopt = nl_setsockopt,
			.getsockopt = nl_getsockopt,
		},
	.family = AF_NETLINK,
};

static int
netlink_create(int type, int protocol, unsigned flags, struct file **out)
{
	struct nl_socket *s;
	struct file *f;

	if (type != SOCK_RAW && type != SOCK_DGRAM)
		return -ESOCKTNOSUPPORT;
	if (protocol != NETLINK_ROUTE)
		return -EPROTONOSUPPORT;
	s = nl_alloc(type);
	if (!s)
		return -ENOMEM;
	f = file_create(&netlink_ops.file, O_RDWR | (flags & O_NONBLOCK), s);
	if (!f) {
		kfree(s);
		return -ENOMEM;
	}
	f->readable = f->writable = true;
	s->ino = f->ino;
	*out = f;
	return 0;
}

void
netlink_register(void)
{
	static const struct socket_family netlink = {AF_NETLINK, netlink_create};

	file_persist_register(&netlink_ops.file);
	socket_family_register(&netlink);
}
