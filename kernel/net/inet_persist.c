/*
 * Sockets of AF_INET and AF_INET6 in the store.
 *
 * Interfaces, addresses and routes are not saved: DHCP gives them anew. A socket is written with
 * its names, options, unread data and memberships, and is bound again to the same address, whether
 * that is the machine's yet or not. tcp_persist.c has what becomes of connections.
 */
#include "lib/string.h"
#include "mm/slab.h"
#include "net/persist.h"

enum {
	I_FAMILY = 1,
	I_TYPE = 2,
	I_PROTOCOL = 3,
	I_LOCAL = 4,
	I_PEER = 5,
	I_GROUP = 6,
	I_DATAGRAM = 7,
	I_ICMP6_FILTER = 8,
	/* numbers, see `fields`: from 16 on */
};

enum { GROUP_ADDRESS = 1, GROUP_INTERFACE = 2 };
enum { FILE_INET = 1 };

/* Numbers that are written as they are. A tag is never used for another one. */
static const struct {
	u16 tag, offset, size;
} fields[] = {
#define FIELD(tag, member)                                                                         \
	{                                                                                          \
		tag, offsetof(struct inet, member), sizeof(((struct inet *)0)->member)             \
	}
	FIELD(16, state),      FIELD(17, error),       FIELD(18, connect_told),
	FIELD(19, rx_eof),     FIELD(20, rx_shut),     FIELD(21, tx_shut),
	FIELD(22, backlog),    FIELD(23, local_port),  FIELD(24, peer_port),
	FIELD(25, bound),      FIELD(26, uid),	       FIELD(27, v6only),
	FIELD(28, reuseaddr),  FIELD(29, reuseport),   FIELD(30, keepalive),
	FIELD(31, broadcast),  FIELD(32, nodelay),     FIELD(33, cork),
	FIELD(34, oobinline),  FIELD(35, dontroute),   FIELD(36, linger),
	FIELD(37, pktinfo),    FIELD(38, pktinfo6),    FIELD(39, recvttl),
	FIELD(40, recvtos),    FIELD(41, recvhops),    FIELD(42, recvtclass),
	FIELD(43, timestamp),  FIELD(44, hdrincl),     FIELD(45, recverr),
	FIELD(46, mcast_loop), FIELD(47, linger_s),    FIELD(48, priority),
	FIELD(49, mark),       FIELD(50, rcvlowat),    FIELD(51, mcast_ifindex),
	FIELD(52, bound_if),   FIELD(53, tos),	       FIELD(54, ttl),
	FIELD(55, mcast_ttl),  FIELD(56, tclass),      FIELD(57, hops),
	FIELD(58, sndbuf),     FIELD(59, rcvbuf),      FIELD(60, user_timeout_ms),
	FIELD(61, keepidle),   FIELD(62, keepintvl),   FIELD(63, keepcnt),
	FIELD(64, syncnt),     FIELD(65, icmp_filter), FIELD(66, rcvtimeo),
	FIELD(67, sndtimeo),   FIELD(68, window_step), FIELD(69, withheld),
	FIELD(70, unacked),    FIELD(71, urgent_seq),  FIELD(72, urgent_byte),
	FIELD(73, urgent),     FIELD(74, port_from),   FIELD(75, bind_no_port),
	FIELD(76, port_low),   FIELD(77, port_high),
#undef FIELD
};

/* --- addresses --- */

enum { ADDRESS_WORDS = 6 }; /* type, four words in network order, zone */

void
address_save(struct tag_writer *w, u16 tag, const ip_addr_t *ip)
{
	u32 a[ADDRESS_WORDS] = {IP_GET_TYPE(ip)};

	if (IP_IS_V4(ip)) {
		a[1] = ip4_addr_get_u32(ip_2_ip4(ip));
	} else {
		memcpy(&a[1], ip_2_ip6(ip)->addr, 16);
		a[5] = ip6_addr_zone(ip_2_ip6(ip));
	}
	tag_bytes(w, tag, a, sizeof(a));
}

bool
address_load(const struct tag_reader *r, u16 tag, ip_addr_t *ip)
{
	u32 a[ADDRESS_WORDS];

	if (!tag_get_bytes(r, tag, a, sizeof(a)))
		return false;
	if (a[0] == IPADDR_TYPE_V4) {
		inet_set_ip4(ip, a[1]);
		return true;
	}
	if (a[0] != IPADDR_TYPE_V6 && a[0] != IPADDR_TYPE_ANY)
		return false;
	inet_set_ip6(ip, &a[1]);
	ip6_addr_set_zone(ip_2_ip6(ip), (u8)a[5]);
	IP_SET_TYPE_VAL(*ip, (u8)a[0]);
	return true;
}

/* --- data --- */

void
pbufs_save(struct tag_writer *w, u16 tag, const struct pbuf *p, size_t skip)
{
	for (; p; p = p->next) {
		size_t cut = min(skip, (size_t)p->len);

		if (p->len > cut)
			tag_bytes(w, tag, (u8 *)p->payload + cut, p->len - cut);
		skip -= cut;
	}
}

int
inet_load_stream(struct inet *s, const void *data, size_t n)
{
	struct pbuf *p = n < 0xffff ? pbuf_alloc(PBUF_RAW, (u16)n, PBUF_RAM) : NULL;

	if (!p)
		return -ENOMEM;
	memcpy(p->payload, data, n);
	if (s->rx_tail)
		s->rx_tail->next = p;
	else
		s->rx_head = p;
	s->rx_tail = p;
	s->rx_bytes += n;
	atomic_fetch_add(&net_root()->rx_held, (u64)n);
	return 0;
}

/* --- the record --- */

static void
inet_save(struct persist_writer *w, void *object)
{
	struct inet *s = object;
	struct inet_group *g;

	tag_u64(&w->tags, I_FAMILY, (u64)s->family);
	tag_u64(&w->tags, I_TYPE, (u64)s->type);
	tag_u64(&w->tags, I_PROTOCOL, (u64)s->protocol);
	address_save(&w->tags, I_LOCAL, &s->local);
	address_save(&w->tags, I_PEER, &s->peer);
	for (unsigned i = 0; i < ARRAY_SIZE(fields); i++) {
		u64 v = 0;

		memcpy(&v, (char *)s + fields[i].offset, fields[i].size);
		tag_u64(&w->tags, fields[i].tag, v);
	}
	tag_bytes(&w->tags, I_ICMP6_FILTER, s->icmp6_filter, sizeof(s->icmp6_filter));
	list_for_each_entry (g, &s->groups, link) {
		size_t group = tag_begin(&w->tags, I_GROUP);

		address_save(&w->tags, GROUP_ADDRESS, &g->group);
		tag_u64(&w->tags, GROUP_INTERFACE, g->ifindex);
		tag_end(&w->tags, group);
	}
	if (s->type == SOCK_STREAM)
		tcp_save(w, s);
	else
		dgram_save_queue(w, I_DATAGRAM, s);
}

static int
inet_make(struct persist_reader *r, void **out)
{
	const struct tag_reader *t = &r->tags;
	int family = (int)tag_get_u64(t, I_FAMILY, 0), type = (int)tag_get_u64(t, I_TYPE, 0);
	struct inet *s;

	if ((family != AF_INET && family != AF_INET6) ||
	    (type != SOCK_STREAM && type != SOCK_DGRAM && type != SOCK_RAW))
		return -EBADMSG;
	s = inet_alloc(this_core()->arch.cxy, family, type, (int)tag_get_u64(t, I_PROTOCOL, 0));
	if (!s)
		return -ENOMEM;
	for (unsigned i = 0; i < ARRAY_SIZE(fields); i++) {
		struct tag_field f = {0};
		u64 v;

		if (!tag_next(t, fields[i].tag, &f))
			continue;
		v = tag_field_u64(&f);
		memcpy((char *)s + fields[i].offset, &v, fields[i].size);
	}
	if (!address_load(t, I_LOCAL, &s->local) || !address_load(t, I_PEER, &s->peer) ||
	    s->state > INET_OVER || s->urgent > URGENT_READ) {
		kfree(s);
		return -EBADMSG;
	}
	(void)tag_get_bytes(t, I_ICMP6_FILTER, s->icmp6_filter, sizeof(s->icmp6_filter));
	*out = s;
	return 0;
}

static int
inet_link(struct persist_reader *r, void *object)
{
	struct inet *s = object;
	int err;

	net_lock();
	list_add_tail(&net_root()->sockets, &s->link);
	if (s->type == SOCK_STREAM)
		err = tcp_load(r, s);
	else
		err = dgram_load(s);
	if (!err && s->type != SOCK_STREAM)
		err = dgram_load_queue(&r->tags, I_DATAGRAM, s);
	net_unlock();
	return err;
}

/* Memberships of interfaces that are not there any more are lost with them. */
static void
join_again(const struct tag_reader *t, struct inet *s)
{
	struct tag_field f = {0};

	while (tag_next(t, I_GROUP, &f)) {
		struct tag_reader in = tag_group(&f);
		unsigned index = (unsigned)tag_get_u64(&in, GROUP_INTERFACE, 0);
		ip_addr_t group;

		if (address_load(&in, GROUP_ADDRESS, &group))
			(void)multicast_join(s, &group, iface_by_index(net_root(), index));
	}
}

static int
inet_start(struct persist_reader *r, void *object)
{
	struct inet *s = object;
	int err = 0;

	net_lock();
	join_again(&r->tags, s);
	if (s->type == SOCK_STREAM)
		err = tcp_restart(r, s);
	net_unlock();
	return err;
}

/* A socket belongs to its file, or to the listener that it waits at. */
static void
inet_drop(void *object)
{
	struct inet *s = object;

	if (!s->ino && !s->listener)
		inet_abandon(s);
}

/*
 * Members of struct inet over a power cut:
 *	written	family type protocol state error connect_told rx_eof rx_shut tx_shut
 *		rx_head rx_skip unacked window_step rx_seq urgent_seq urgent_byte urgent
 *		dgrams pending backlog local peer local_port peer_port bound port_from uid v6only
 *		reuseaddr reuseport keepalive broadcast nodelay cork oobinline dontroute
 *		bind_no_port port_low port_high
 *		linger pktinfo pktinfo6 recvttl recvtos recvhops recvtclass timestamp
 *		hdrincl recverr mcast_loop linger_s priority mark rcvlowat mcast_ifindex
 *		bound_if tos ttl mcast_ttl tclass hops sndbuf rcvbuf user_timeout_ms
 *		withheld keepidle keepintvl keepcnt syncnt icmp_filter icmp6_filter
 *		rcvtimeo sndtimeo groups
 *	made	link tcp udp raw rx_lock lock rq wq tx_full tx_room rx_tail rx_bytes
 *		queue_link listener pending_nr ino progress user_cxy sends_by persistent
 */
/*
 * Members of struct inet_group over a power cut:
 *	written	group ifindex
 *	made	link
 */
const struct persist_kind inet_persist = {
	.name = "inet socket",
	.number = 128,
	.member = offsetof(struct inet, persistent),
	.save = inet_save,
	.make = inet_make,
	.link = inet_link,
	.start = inet_start,
	.put = inet_drop,
};

/* --- their files --- */

static void
inet_file_save(struct persist_writer *w, struct file *f)
{
	persist_ref(w, FILE_INET, &inet_persist, f->private);
}

static int
inet_file_link(struct persist_reader *r, const struct tag_reader *in, struct file *f)
{
	struct inet *s = persist_get(r, in, FILE_INET, &inet_persist);
	bool stream = f->ops == &inet_stream_ops.file;

	if (!s || s->ino || stream != (s->type == SOCK_STREAM))
		return -EBADMSG;
	s->ino = f->ino;
	f->private = s;
	return 0;
}

const struct file_persist inet_stream_persist = {
	.number = FILE_INET_STREAM,
	.save = inet_file_save,
	.link = inet_file_link,
};

const struct file_persist inet_dgram_persist = {
	.number = FILE_INET_DATAGRAM,
	.save = inet_file_save,
	.link = inet_file_link,
};
