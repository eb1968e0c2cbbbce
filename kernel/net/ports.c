/*
 * Local ports, and the first sequence number of a connection.
 *
 * A port that bind() or listen() gives belongs to the socket; one that connect() chooses may serve
 * as many connections as there are peers, for what has to be unique are a connection's four
 * numbers. So connect() passes over ports that somebody has bound, and takes the first where the
 * four numbers are free, TIME_WAIT included; of a connection to ourselves in TIME_WAIT nothing is
 * on its way any more, so its numbers are free, too (Linux's tcp_tw_reuse=2).
 *
 * Where the search begins is a keyed hash of the peer plus a counter that moves by a random step
 * (RFC 6056, algorithm 4): the next port is not to be guessed, and comes again to the same peer as
 * late as can be. connect() tries the even ports first and bind() the odd ones, so that they seldom
 * meet. The first sequence number is a keyed hash of the four numbers plus the time (RFC 6528).
 *
 * TCP's pcbs are in a table by port (pcbs.c enters them with lwIP's lists); UDP's ports are marked
 * in a map that is made for each search. Locks: all under net->lock.
 */
#include "arch/clock.h"
#include "core/random.h"
#include "lib/siphash.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/pcbs.h"

#define BUCKETS 4096u
#define STEPS	1024u

struct ports { /* all [n] but the keys */
	struct list bucket[BUCKETS];
	u32 step[STEPS];
	u64 bits;		     /* random, not used yet; above them a 1 */
	u64 port_key[2], isn_key[2]; /* [I] */
};

int
ports_init(struct net *n)
{
	struct ports *p = kmalloc(sizeof(*p));

	if (!p)
		return -ENOMEM;
	for (unsigned i = 0; i < BUCKETS; i++)
		list_init(&p->bucket[i]);
	random_bytes(p->step, sizeof(p->step));
	for (unsigned i = 0; i < STEPS; i++)
		p->step[i] &= ~1u;
	p->bits = 0;
	random_bytes(p->port_key, sizeof(p->port_key));
	random_bytes(p->isn_key, sizeof(p->isn_key));
	n->ports = p;
	return 0;
}

/* n random bits: what the generator gives at once lasts for several. */
static u32
random_bits(unsigned n)
{
	struct ports *p = net_root()->ports;
	u32 v;

	if (p->bits >> n == 0)
		p->bits = random_u64() | 1UL << 63;
	v = (u32)(p->bits & ((1UL << n) - 1));
	p->bits >>= n;
	return v;
}

/* ---- who has a port ---- */

static struct list *
bucket_of(u16 port)
{
	return &net_root()->ports->bucket[port % BUCKETS];
}

void
port_enter(struct pcb_node *n)
{
	list_add_tail(bucket_of(n->pcb.local_port), &n->port_link);
}

void
port_leave(struct pcb_node *n)
{
	list_del(&n->port_link);
}

/* Whether somebody has the port for themselves. */
static bool
port_is_bound(u16 port)
{
	struct pcb_node *n;

	list_for_each_entry (n, bucket_of(port), port_link)
		if (n->pcb.local_port == port && !n->by_connect)
			return true;
	return false;
}

/* `shared`: two with SO_REUSEADDR of which none listens do not mind each other. */
static bool
is_conflict(const struct inet *s, struct pcb_node *n, const ip_addr_t *ip, bool shared)
{
	if (s->bound_if && n->pcb.netif_idx && s->bound_if != n->pcb.netif_idx)
		return false;
	if (s->reuseport && n->reuseport && s->uid == n->uid)
		return false;
	if (shared && s->reuseaddr && ip_get_option(&n->pcb, SOF_REUSEADDR) &&
	    n->pcb.state != LISTEN)
		return false;
	return inet_addr_overlap(&n->pcb.local_ip, ip);
}

static bool
has_conflict(const struct inet *s, const ip_addr_t *ip, u16 port, bool shared)
{
	struct pcb_node *n;

	list_for_each_entry (n, bucket_of(port), port_link)
		if (n->pcb.local_port == port && &n->pcb != s->tcp && is_conflict(s, n, ip, shared))
			return true;
	return false;
}

/* ---- who listens at a port ---- */

/* How well a listener's address fits: exactly 3, any of the family 2, any 1, not 0. */
static int
listener_fit(const struct pcb_node *n, const ip_addr_t *to, u8 netif_idx)
{
	const ip_addr_t *ip = &n->pcb.local_ip;

	if (n->pcb.netif_idx != NETIF_NO_INDEX && n->pcb.netif_idx != netif_idx)
		return 0;
	if (IP_IS_ANY_TYPE_VAL(*ip))
		return 1;
	if (IP_GET_TYPE(ip) != IP_GET_TYPE(to))
		return 0;
	return ip_addr_cmp(ip, to) ? 3 : ip_addr_isany(ip) ? 2 : 0;
}

struct pcb_node *
port_listener(const ip_addr_t *to, u16 port, u8 netif_idx, u32 hash)
{
	struct pcb_node *n, *best = NULL;
	unsigned equal = 0;
	int best_fit = 1;

	list_for_each_entry (n, bucket_of(port), port_link) {
		int fit;

		if (n->pcb.local_port != port || n->pcb.state != LISTEN)
			continue;
		fit = listener_fit(n, to, netif_idx);
		if (fit < best_fit)
			continue;
		equal = fit == best_fit ? equal + 1 : 1;
		best_fit = fit;
		/* one of a group of n with a chance of one in n each, and always the same */
		hash = hash * 0x9e3779b1u + 1;
		if (((u64)hash * equal) >> 32 == 0)
			best = n;
	}
	return best;
}

/* ---- the search ---- */

struct search {
	u32 low, count; /* of ports */
	u32 start;
	u32 step; /* 1, or 2: every other port first */
};

/* The range, which the socket may narrow (IP_LOCAL_PORT_RANGE). */
static struct search
search_begin(const struct inet *s, u32 start)
{
	u32 low = PORT_LOW, high = PORT_HIGH;
	struct search q = {.step = s->port_low || s->port_high ? 1 : 2};

	if (s->port_low >= low && s->port_low <= high)
		low = s->port_low;
	if (s->port_high >= low && s->port_high <= high)
		high = s->port_high;
	q.low = low;
	q.count = high - low + 1;
	q.start = start % q.count;
	return q;
}

/* How far from the start the i-th port to try is, i below count: each comes once. */
static u32
search_distance(const struct search *q, u32 i)
{
	u32 first = (q->count + q->step - 1) / q->step; /* so many before the others come */

	return i < first ? i * q->step : (i - first) * q->step + 1;
}

static u16
search_port(const struct search *q, u32 i)
{
	return (u16)(q->low + (q->start + search_distance(q, i)) % q->count);
}

/* ---- bind ---- */

static int
choose_to_bind(const struct inet *s, const ip_addr_t *ip, u16 *port)
{
	struct search q = search_begin(s, random_bits(16) | 1);

	for (u32 i = 0; i < q.count; i++) {
		*port = search_port(&q, i);
		if (!has_conflict(s, ip, *port, false))
			return 0;
	}
	return -EADDRINUSE;
}

void
tcp_port_put(struct inet *s, const ip_addr_t *ip, u16 port)
{
	ip_addr_set(&s->tcp->local_ip, ip);
	s->tcp->local_port = port;
	s->port_from = PORT_BOUND;
	tcp_port_from(s);
	net_lwip_pcb_list(&tcp_bound_pcbs, s->tcp);
}

int
tcp_port_bind(struct inet *s, ip_addr_t *ip, u16 port)
{
	int err = 0;

	if (IP_IS_V6_VAL(*ip) && ip6_addr_lacks_zone(ip_2_ip6(ip), IP6_UNICAST))
		ip6_addr_select_zone(ip_2_ip6(ip), ip_2_ip6(ip));
	if (!port)
		err = choose_to_bind(s, ip, &port);
	else if (has_conflict(s, ip, port, true))
		err = -EADDRINUSE;
	if (!err)
		tcp_port_put(s, ip, port);
	return err;
}

int
tcp_port_listen(const struct inet *s)
{
	return has_conflict(s, &s->local, s->local_port, true) ? -EADDRINUSE : 0;
}

/* ---- connect ---- */

/* Of a connection's numbers. */
static u64
keyed_hash(const u64 key[2], const ip_addr_t *local, const ip_addr_t *remote, u32 ports)
{
	u32 word[9] = {ports};

	if (IP_IS_V4_VAL(*remote)) {
		word[1] = ip4_addr_get_u32(ip_2_ip4(local));
		word[2] = ip4_addr_get_u32(ip_2_ip4(remote));
		return siphash(key, word, 3 * sizeof(*word));
	}
	memcpy(&word[1], ip_2_ip6(local)->addr, 16);
	memcpy(&word[5], ip_2_ip6(remote)->addr, 16);
	return siphash(key, word, sizeof(word));
}

/* Whether the four numbers are free, or are those of a connection to ourselves in TIME_WAIT, *old.
 * A socket is not to meet itself. */
static bool
numbers_free(struct tcp_pcb *p, u16 port, const ip_addr_t *to, u16 to_port, struct tcp_pcb **old)
{
	*old = pcb_lookup(&p->local_ip, port, to, to_port);
	if (port == to_port && ip_addr_cmp(&p->local_ip, to))
		return false;
	return !*old || ((*old)->state == TIME_WAIT && inet_addr_is_ours(to));
}

static void
take_port(struct inet *s, u16 port, struct tcp_pcb *old)
{
	if (old)
		tcp_abort(old);
	s->tcp->local_port = port;
	s->port_from = PORT_CHOSEN;
	tcp_port_from(s);
}

/* The counter is odd after a search that found only one of the odd ports: they come first then. */
static int
choose_to_connect(struct inet *s, const ip_addr_t *to, u16 to_port)
{
	struct ports *ports = net_root()->ports;
	u64 hash = keyed_hash(ports->port_key, &s->tcp->local_ip, to, to_port);
	u32 *step = &ports->step[(hash >> 32) % STEPS];
	struct search q = search_begin(s, ((u32)hash & ~1u) + *step);

	for (u32 i = 0; i < q.count; i++) {
		u16 port = search_port(&q, i);
		struct tcp_pcb *old;

		if (!numbers_free(s->tcp, port, to, to_port, &old) || port_is_bound(port))
			continue;
		*step += search_distance(&q, i) + q.step * (random_bits(3) + 1);
		take_port(s, port, old);
		return 0;
	}
	return -EADDRNOTAVAIL;
}

int
tcp_port_connect(struct inet *s, const ip_addr_t *to, u16 to_port)
{
	struct tcp_pcb *old;

	if (!s->tcp->local_port)
		return choose_to_connect(s, to, to_port);
	if (!numbers_free(s->tcp, s->tcp->local_port, to, to_port, &old))
		return -EADDRNOTAVAIL;
	if (old)
		tcp_abort(old);
	return 0;
}

void
tcp_port_from(struct inet *s)
{
	pcb_node_of(s->tcp)->by_connect = s->port_from == PORT_CHOSEN;
}

/* ---- UDP ---- */

int
udp_port_choose(const struct inet *s, const ip_addr_t *ip, u16 *port)
{
	unsigned long *taken = kzalloc(65536 / 8);
	struct search q = search_begin(s, random_bits(16));
	int err = -EADDRINUSE;
	struct inet *o;

	if (!taken)
		return -ENOMEM;
	list_for_each_entry (o, &net_root()->sockets, link)
		if (inet_port_conflict(s, o, ip))
			taken[o->local_port / 64] |= 1UL << o->local_port % 64;
	for (u32 i = 0; i < q.count && err; i++) {
		*port = search_port(&q, i);
		if (!(taken[*port / 64] >> *port % 64 & 1))
			err = 0;
	}
	kfree(taken);
	return err;
}

/* ---- sequence numbers ---- */

/* Called by lwIP. Of two connections with the same numbers the later begins behind the earlier. */
u32
net_lwip_isn(const ip_addr_t *local, u16 local_port, const ip_addr_t *remote, u16 remote_port)
{
	u32 ports = (u32)local_port << 16 | remote_port;
	u64 hash = keyed_hash(net_root()->ports->isn_key, local, remote, ports);

	return (u32)hash + (u32)((u64)clock_now() / 64);
}
