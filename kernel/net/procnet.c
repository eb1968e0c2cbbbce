/*
 * /proc/net and /sys/class/net: what net-tools, busybox, BEAM's os_mon and monitoring agents read.
 * Every file is made anew for each reader, under net->lock.
 */
#include "arch/clock.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/net.h"

#include "lwip/etharp.h"
#include "lwip/priv/tcp_priv.h"

struct text { /* a file being made; counts what did not fit, too */
	char *buf;
	size_t size, len;
};

static void __printf(2, 3) put(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = t->len < t->size ? format_v(t->buf + t->len, t->size - t->len, fmt, ap)
			     : format_v(NULL, 0, fmt, ap);
	va_end(ap);
	t->len += (size_t)n;
}

static size_t
show_dev(char *buf, size_t size, void *arg)
{
	struct text t = {buf, size, 0};
	struct iface *i;
	char name[16];

	put(&t, "Inter-|   Receive                                                |  Transmit\n"
		" face |bytes    packets errs drop fifo frame compressed multicast|"
		"bytes    packets errs drop fifo colls carrier compressed\n");
	net_lock();
	list_for_each_entry (i, &net_root()->ifaces, link) {
		struct netdev_stats st = {.rx_packets = i->packets,
					  .rx_bytes = i->bytes,
					  .tx_packets = i->packets,
					  .tx_bytes = i->bytes};

		if (i->dev)
			netdev_stats(i->dev, &st);
		iface_name(i, name);
		put(&t,
		    "%6s: %7lu %7lu %4lu %4lu    0     0          0         0 "
		    "%8lu %7lu %4lu %4lu    0     0       0          0\n",
		    name, st.rx_bytes, st.rx_packets, st.rx_errors, st.rx_dropped, st.tx_bytes,
		    st.tx_packets, st.tx_errors, st.tx_dropped);
	}
	net_unlock();
	return t.len;
}

/* ---- sockets ---- */

static void
put_addr(struct text *t, int family, const ip_addr_t *ip, u16 port)
{
	u32 w[4] = {0};

	if (family == AF_INET) {
		put(t, "%08X:%04X", IP_IS_V4(ip) ? ip4_addr_get_u32(ip_2_ip4(ip)) : 0, port);
		return;
	}
	if (IP_IS_V4_VAL(*ip)) {
		w[2] = PP_HTONL(0xffff);
		w[3] = ip4_addr_get_u32(ip_2_ip4(ip));
	} else {
		memcpy(w, ip_2_ip6(ip)->addr, sizeof(w));
	}
	put(t, "%08X%08X%08X%08X:%04X", w[0], w[1], w[2], w[3], port);
}

static unsigned
socket_state(const struct inet *s)
{
	static const u8 states[] = {
		[CLOSED] = 7,	   [LISTEN] = 10,    [SYN_SENT] = 2,   [SYN_RCVD] = 3,
		[ESTABLISHED] = 1, [FIN_WAIT_1] = 4, [FIN_WAIT_2] = 5, [CLOSE_WAIT] = 8,
		[CLOSING] = 11,	   [LAST_ACK] = 9,   [TIME_WAIT] = 6,
	};

	if (s->type != SOCK_STREAM)
		return s->state == INET_CONNECTED ? 1 : 7;
	return s->tcp ? states[s->tcp->state] : 7;
}

static void
put_socket(struct text *t, const struct inet *s, unsigned n)
{
	u32 queued = s->type == SOCK_STREAM && s->tcp && s->tcp->state != LISTEN
			     ? TCP_SND_BUF - s->tcp->snd_buf
			     : 0;

	put(t, "%4u: ", n);
	put_addr(t, s->family, &s->local, s->local_port);
	put(t, " ");
	put_addr(t, s->family, &s->peer, s->peer_port);
	put(t, " %02X %08X:%08X 00:00000000 00000000 %5u        0 %lu 1 0000000000000000%s\n",
	    socket_state(s), queued,
	    s->state == INET_LISTENING ? s->pending_nr : (unsigned)s->rx_bytes, s->uid,
	    (unsigned long)s->ino, s->type == SOCK_STREAM ? " 20 4 0 10 -1" : " 0");
}

struct which {
	int family, type, protocol;
};

static size_t
show_sockets(char *buf, size_t size, void *arg)
{
	const struct which *w = arg;
	struct text t = {buf, size, 0};
	struct inet *s;
	unsigned n = 0;

	put(&t, w->family == AF_INET
			? "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when "
			  "retrnsmt   uid  timeout inode\n"
			: "  sl  local_address                         remote_address          "
			  "              st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "
			  "inode\n");
	net_lock();
	list_for_each_entry (s, &net_root()->sockets, link)
		if (s->family == w->family && s->type == w->type &&
		    (w->protocol == 0 || s->protocol == w->protocol) &&
		    (s->bound || s->type == SOCK_RAW))
			put_socket(&t, s, n++);
	net_unlock();
	return t.len;
}

/* ---- routes, addresses, neighbours ---- */

static size_t
show_route(char *buf, size_t size, void *arg)
{
	struct text t = {buf, size, 0};
	struct iface *i;
	char name[16];

	put(&t, "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\t"
		"IRTT\n");
	net_lock();
	list_for_each_entry (i, &net_root()->ifaces, link) {
		u32 a = ip4_addr_get_u32(netif_ip4_addr(&i->netif));
		u32 mask = ip4_addr_get_u32(netif_ip4_netmask(&i->netif));
		u32 gw = ip4_addr_get_u32(netif_ip4_gw(&i->netif));

		if (!i->dev || !a)
			continue;
		iface_name(i, name);
		if (gw && &i->netif == netif_default)
			put(&t, "%s\t00000000\t%08X\t0003\t0\t0\t0\t00000000\t0\t0\t0\n", name, gw);
		put(&t, "%s\t%08X\t00000000\t0001\t0\t0\t0\t%08X\t0\t0\t0\n", name, a & mask, mask);
	}
	net_unlock();
	return t.len;
}

static size_t
show_if_inet6(char *buf, size_t size, void *arg)
{
	struct text t = {buf, size, 0};
	struct iface *i;
	char name[16];

	net_lock();
	list_for_each_entry (i, &net_root()->ifaces, link) {
		for (int k = 0; k < LWIP_IPV6_NUM_ADDRESSES; k++) {
			const ip6_addr_t *a = netif_ip6_addr(&i->netif, k);
			u8 state = netif_ip6_addr_state(&i->netif, k);
			unsigned scope = !i->dev ? 0x10 : ip6_addr_islinklocal(a) ? 0x20 : 0;

			if (state == IP6_ADDR_INVALID)
				continue;
			iface_name(i, name);
			put(&t, "%08x%08x%08x%08x %02x %02x %02x %02x %8s\n",
			    lwip_ntohl(a->addr[0]), lwip_ntohl(a->addr[1]), lwip_ntohl(a->addr[2]),
			    lwip_ntohl(a->addr[3]), netif_get_index(&i->netif), i->dev ? 64 : 128,
			    scope, ip6_addr_istentative(state) ? 0x40 : 0x80, name);
		}
	}
	net_unlock();
	return t.len;
}

static size_t
show_arp(char *buf, size_t size, void *arg)
{
	struct text t = {buf, size, 0};
	ip4_addr_t *ip;
	struct netif *netif;
	struct eth_addr *mac;
	char name[16], text[16];

	put(&t, "IP address       HW type     Flags       HW address            Mask     Device\n");
	net_lock();
	for (size_t k = 0; k < ARP_TABLE_SIZE; k++) {
		if (!etharp_get_entry(k, &ip, &netif, &mac))
			continue;
		iface_name(netif->state, name);
		ip4addr_ntoa_r(ip, text, sizeof(text));
		put(&t,
		    "%-16s 0x1         0x2         %02x:%02x:%02x:%02x:%02x:%02x     *        %s\n",
		    text, mac->addr[0], mac->addr[1], mac->addr[2], mac->addr[3], mac->addr[4],
		    mac->addr[5], name);
	}
	net_unlock();
	return t.len;
}

static size_t
show_sockstat(char *buf, size_t size, void *arg)
{
	struct text t = {buf, size, 0};
	unsigned tcp = 0, udp = 0, raw = 0, waiting = 0;
	struct inet *s;

	net_lock();
	list_for_each_entry (s, &net_root()->sockets, link)
		*(s->type == SOCK_STREAM ? &tcp : s->type == SOCK_RAW ? &raw : &udp) += 1;
	for (struct tcp_pcb *p = tcp_tw_pcbs; p; p = p->next)
		waiting++;
	net_unlock();
	put(&t,
	    "sockets: used %u\nTCP: inuse %u orphan 0 tw %u alloc %u mem 0\n"
	    "UDP: inuse %u mem 0\nUDPLITE: inuse 0\nRAW: inuse %u\nFRAG: inuse 0 memory 0\n",
	    tcp + udp + raw, tcp, waiting, tcp, udp, raw);
	return t.len;
}

/* ---- /proc/sys/net: facts ---- */

static size_t
show_port_range(char *buf, size_t size, void *arg)
{
	return (size_t)format(buf, size, "%u\t%u\n", PORT_LOW, PORT_HIGH);
}

static size_t
show_time_wait_most(char *buf, size_t size, void *arg)
{
	return (size_t)format(buf, size, "%u\n", net_root()->time_wait_most);
}

/* 2: of connections to ourselves alone. */
static size_t
show_time_wait_reuse(char *buf, size_t size, void *arg)
{
	return (size_t)format(buf, size, "2\n");
}

void
procnet_register(struct net *n)
{
	static const struct genfile_ops dev = {.show = show_dev}, sockets = {.show = show_sockets},
					route = {.show = show_route}, arp = {.show = show_arp},
					if6 = {.show = show_if_inet6},
					stat = {.show = show_sockstat},
					ports = {.show = show_port_range},
					tw_most = {.show = show_time_wait_most},
					tw_reuse = {.show = show_time_wait_reuse};
	static const struct which tcp4 = {AF_INET, SOCK_STREAM, 0},
				  tcp6 = {AF_INET6, SOCK_STREAM, 0},
				  udp4 = {AF_INET, SOCK_DGRAM, IPPROTO_UDP},
				  udp6 = {AF_INET6, SOCK_DGRAM, IPPROTO_UDP},
				  raw4 = {AF_INET, SOCK_RAW, 0}, raw6 = {AF_INET6, SOCK_RAW, 0};
	static const struct {
		const char *path;
		const struct genfile_ops *ops;
		const struct which *which;
	} files[] = {
		{"net/dev", &dev, NULL},
		{"net/tcp", &sockets, &tcp4},
		{"net/tcp6", &sockets, &tcp6},
		{"net/udp", &sockets, &udp4},
		{"net/udp6", &sockets, &udp6},
		{"net/raw", &sockets, &raw4},
		{"net/raw6", &sockets, &raw6},
		{"net/route", &route, NULL},
		{"net/if_inet6", &if6, NULL},
		{"net/arp", &arp, NULL},
		{"net/sockstat", &stat, NULL},
		{"sys/net/ipv4/ip_local_port_range", &ports, NULL},
		{"sys/net/ipv4/tcp_max_tw_buckets", &tw_most, NULL},
		{"sys/net/ipv4/tcp_tw_reuse", &tw_reuse, NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		(void)procfs_add(files[i].path, 0444, files[i].ops, (void *)files[i].which);
}

/* ---- /sys/class/net ---- */

enum sysnet_what {
	SYS_ADDRESS,
	SYS_MTU,
	SYS_OPERSTATE,
	SYS_CARRIER,
	SYS_IFINDEX,
	SYS_FLAGS,
	SYS_TYPE,
	SYS_RX_BYTES,
	SYS_RX_PACKETS,
	SYS_RX_ERRORS,
	SYS_RX_DROPPED,
	SYS_TX_BYTES,
	SYS_TX_PACKETS,
	SYS_TX_ERRORS,
	SYS_TX_DROPPED,
	SYS_COUNT,
};

static const char *const sysnet_names[SYS_COUNT] = {
	[SYS_ADDRESS] = "address",
	[SYS_MTU] = "mtu",
	[SYS_OPERSTATE] = "operstate",
	[SYS_CARRIER] = "carrier",
	[SYS_IFINDEX] = "ifindex",
	[SYS_FLAGS] = "flags",
	[SYS_TYPE] = "type",
	[SYS_RX_BYTES] = "statistics/rx_bytes",
	[SYS_RX_PACKETS] = "statistics/rx_packets",
	[SYS_RX_ERRORS] = "statistics/rx_errors",
	[SYS_RX_DROPPED] = "statistics/rx_dropped",
	[SYS_TX_BYTES] = "statistics/tx_bytes",
	[SYS_TX_PACKETS] = "statistics/tx_packets",
	[SYS_TX_ERRORS] = "statistics/tx_errors",
	[SYS_TX_DROPPED] = "statistics/tx_dropped",
};

struct sysnet_file {
	struct iface *iface;
	enum sysnet_what what;
};

static u64
statistic(const struct iface *i, enum sysnet_what what)
{
	struct netdev_stats st = {.rx_packets = i->packets,
				  .rx_bytes = i->bytes,
				  .tx_packets = i->packets,
				  .tx_bytes = i->bytes};

	if (i->dev)
		netdev_stats(i->dev, &st);
	switch (what) {
	case SYS_RX_BYTES:
		return st.rx_bytes;
	case SYS_RX_PACKETS:
		return st.rx_packets;
	case SYS_RX_ERRORS:
		return st.rx_errors;
	case SYS_RX_DROPPED:
		return st.rx_dropped;
	case SYS_TX_BYTES:
		return st.tx_bytes;
	case SYS_TX_PACKETS:
		return st.tx_packets;
	case SYS_TX_ERRORS:
		return st.tx_errors;
	default:
		return st.tx_dropped;
	}
}

static size_t
show_sysnet(char *buf, size_t size, void *arg)
{
	static const u8 none[6];
	const struct sysnet_file *f = arg;
	const struct iface *i = f->iface;
	const u8 *m = i->dev ? i->dev->mac : none;
	bool up = netif_is_link_up(&i->netif);

	switch (f->what) {
	case SYS_ADDRESS:
		return (size_t)format(buf, size, "%02x:%02x:%02x:%02x:%02x:%02x\n", m[0], m[1],
				      m[2], m[3], m[4], m[5]);
	case SYS_MTU:
		return (size_t)format(buf, size, "%u\n", i->dev ? i->netif.mtu : 65536u);
	case SYS_OPERSTATE:
		return (size_t)format(buf, size, "%s\n", !i->dev ? "unknown" : up ? "up" : "down");
	case SYS_CARRIER:
		return (size_t)format(buf, size, "%d\n", up);
	case SYS_IFINDEX:
		return (size_t)format(buf, size, "%u\n", netif_get_index(&i->netif));
	case SYS_FLAGS:
		return (size_t)format(buf, size, "0x%x\n", iface_flags(i));
	case SYS_TYPE:
		return (size_t)format(buf, size, "%u\n", i->dev ? 1u : 772u);
	default:
		return (size_t)format(buf, size, "%lu\n", (unsigned long)statistic(i, f->what));
	}
}

void
sysnet_register(struct iface *i)
{
	static const struct genfile_ops ops = {.show = show_sysnet};
	struct sysnet_file *f = kcalloc(SYS_COUNT, sizeof(*f));
	char name[16], path[64];

	if (!f)
		return;
	iface_name(i, name);
	for (int k = 0; k < SYS_COUNT; k++) {
		f[k] = (struct sysnet_file){.iface = i, .what = (enum sysnet_what)k};
		format(path, sizeof(path), "class/net/%s/%s", name, sysnet_names[k]);
		(void)sysfs_add(path, 0444, &ops, &f[k]);
	}
}
