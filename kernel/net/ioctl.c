/*
 * ioctls on sockets: bytes to read, and the interface requests that glibc, BEAM and busybox make
 * (man 7 netdevice). Interfaces are configured by DHCP and router advertisements only, so the
 * requests that would change them are refused.
 */
#include <asm/ioctls.h>
#include <linux/sockios.h>
#include "lib/string.h"
#include "mm/slab.h"
#include "mm/user.h"
#include "net/net.h"

#include "lwip/etharp.h"

#define IFNAMSIZ_K 16
/* <linux/if.h> and <linux/if_arp.h> pull in the C library's headers; the layouts and numbers: */
#define IFF_UP_K	0x1
#define IFF_BROADCAST_K 0x2
#define IFF_LOOPBACK_K	0x8
#define IFF_RUNNING_K	0x40
#define IFF_MULTICAST_K 0x1000
#define ARPHRD_ETHER_K	1
#define ARPHRD_LOOP_K	772

struct ifreq_k {
	char name[IFNAMSIZ_K];
	union {
		struct {
			u16 family;
			u8 data[14];
		} sa;
		s16 flags;
		s32 number;
		u64 map[3];
	};
};
_Static_assert(sizeof(struct ifreq_k) == 40, "struct ifreq of x86-64");

struct ifconf_k {
	s32 len;
	u64 buf;
};
_Static_assert(sizeof(struct ifconf_k) == 16, "struct ifconf of x86-64");

unsigned
iface_flags(const struct iface *i)
{
	unsigned f = netif_is_up(&i->netif) ? IFF_UP_K : 0;

	if (netif_is_link_up(&i->netif))
		f |= IFF_RUNNING_K;
	return f | (i->dev ? IFF_BROADCAST_K | IFF_MULTICAST_K : IFF_LOOPBACK_K);
}

static void
set_addr(struct ifreq_k *r, const ip4_addr_t *a)
{
	u32 word = ip4_addr_get_u32(a);

	memset(&r->sa, 0, sizeof(r->sa));
	r->sa.family = AF_INET;
	memcpy(&r->sa.data[2], &word, sizeof(word));
}

static int
broadcast_addr(struct iface *i, struct ifreq_k *r)
{
	ip4_addr_t b;

	ip4_addr_set_u32(&b, ip4_addr_get_u32(netif_ip4_addr(&i->netif)) |
				     ~ip4_addr_get_u32(netif_ip4_netmask(&i->netif)));
	if (!i->dev)
		ip4_addr_set_zero(&b);
	set_addr(r, &b);
	return 0;
}

static int
hardware_addr(struct iface *i, struct ifreq_k *r)
{
	memset(&r->sa, 0, sizeof(r->sa));
	r->sa.family = i->dev ? ARPHRD_ETHER_K : ARPHRD_LOOP_K;
	if (i->dev)
		memcpy(r->sa.data, i->dev->mac, 6);
	return 0;
}

/* => net->lock */
static int
get_one(struct iface *i, unsigned cmd, struct ifreq_k *r)
{
	bool has_addr = !ip4_addr_isany(netif_ip4_addr(&i->netif));

	switch (cmd) {
	case SIOCGIFFLAGS:
		r->flags = (s16)iface_flags(i);
		return 0;
	case SIOCGIFADDR:
	case SIOCGIFDSTADDR:
		if (!has_addr)
			return -EADDRNOTAVAIL;
		set_addr(r, netif_ip4_addr(&i->netif));
		return 0;
	case SIOCGIFNETMASK:
		if (!has_addr)
			return -EADDRNOTAVAIL;
		set_addr(r, netif_ip4_netmask(&i->netif));
		return 0;
	case SIOCGIFBRDADDR:
		return has_addr ? broadcast_addr(i, r) : -EADDRNOTAVAIL;
	case SIOCGIFHWADDR:
		return hardware_addr(i, r);
	case SIOCGIFMTU:
		r->number = i->dev ? i->netif.mtu : 65536;
		return 0;
	case SIOCGIFINDEX:
		r->number = netif_get_index(&i->netif);
		return 0;
	case SIOCGIFMETRIC:
		r->number = 0;
		return 0;
	case SIOCGIFTXQLEN:
		r->number = i->dev ? 1000 : 0;
		return 0;
	case SIOCGIFMAP:
		memset(r->map, 0, sizeof(r->map));
		return 0;
	}
	return -EINVAL;
}

static long
interface_request(unsigned cmd, unsigned long arg)
{
	struct net *n = net_root();
	struct ifreq_k r;
	struct iface *i;
	int err;

	if (copy_from_user(&r, (const void __user *)arg, sizeof(r)))
		return -EFAULT;
	r.name[IFNAMSIZ_K - 1] = '\0';
	net_lock();
	if (cmd == SIOCGIFNAME) {
		i = iface_by_index(n, (unsigned)r.number);
		if (i)
			iface_name(i, r.name);
		err = i ? 0 : -ENODEV;
	} else {
		i = iface_by_name(n, r.name);
		err = i ? get_one(i, cmd, &r) : -ENODEV;
	}
	net_unlock();
	if (err)
		return err;
	return copy_to_user((void __user *)arg, &r, sizeof(r));
}

/* The interfaces that have an IPv4 address; without a buffer, the size that they need. */
static long
interface_list(unsigned long arg)
{
	struct ifconf_k c;
	struct ifreq_k *out;
	struct iface *i;
	size_t n = 0, have = 0;
	int err = 0;

	if (copy_from_user(&c, (const void __user *)arg, sizeof(c)))
		return -EFAULT;
	net_lock();
	list_for_each_entry (i, &net_root()->ifaces, link)
		n++;
	out = kcalloc(n, sizeof(*out));
	if (!out) {
		net_unlock();
		return -ENOMEM;
	}
	list_for_each_entry (i, &net_root()->ifaces, link) {
		if (ip4_addr_isany(netif_ip4_addr(&i->netif)))
			continue;
		iface_name(i, out[have].name);
		set_addr(&out[have], netif_ip4_addr(&i->netif));
		have++;
	}
	net_unlock();
	if (c.buf) {
		size_t room = c.len < 0 ? 0 : (size_t)c.len / sizeof(*out);

		have = min(have, room);
		err = copy_to_user((void __user *)c.buf, out, have * sizeof(*out));
	}
	kfree(out);
	if (err)
		return err;
	c.len = (s32)(have * sizeof(*out));
	return copy_to_user((void __user *)arg, &c, sizeof(c));
}

/* Bytes to read: of the stream, or of the next datagram. */
static int
bytes_to_read(struct inet *s)
{
	int n = 0;

	spin_lock(&s->lock);
	if (s->type == SOCK_STREAM)
		n = s->state == INET_LISTENING ? -EINVAL : (int)urgent_readable(s);
	else if (!list_empty(&s->dgrams))
		n = list_first(&s->dgrams, struct dgram, link)->p->tot_len;
	spin_unlock(&s->lock);
	return n;
}

static int
bytes_to_send(struct inet *s)
{
	int n = 0;

	net_lock();
	if (s->type == SOCK_STREAM && s->tcp && s->tcp->state != LISTEN)
		n = (int)(TCP_SND_BUF - s->tcp->snd_buf);
	net_unlock();
	return n;
}

long
interface_ioctl(unsigned cmd, unsigned long arg)
{
	switch (cmd) {
	case SIOCGIFCONF:
		return interface_list(arg);
	case SIOCGIFNAME:
	case SIOCGIFFLAGS:
	case SIOCGIFADDR:
	case SIOCGIFDSTADDR:
	case SIOCGIFNETMASK:
	case SIOCGIFBRDADDR:
	case SIOCGIFHWADDR:
	case SIOCGIFMTU:
	case SIOCGIFINDEX:
	case SIOCGIFMETRIC:
	case SIOCGIFTXQLEN:
	case SIOCGIFMAP:
		return interface_request(cmd, arg);
	case SIOCSIFFLAGS:
	case SIOCSIFADDR:
	case SIOCSIFNETMASK:
	case SIOCSIFBRDADDR:
	case SIOCSIFDSTADDR:
	case SIOCSIFMTU:
	case SIOCSIFHWADDR:
	case SIOCSIFNAME:
	case SIOCADDRT:
	case SIOCDELRT:
	case SIOCSARP:
	case SIOCDARP:
		return -EPERM;
	}
	return -ENOTTY;
}

long
inet_ioctl(struct file *f, unsigned cmd, unsigned long arg)
{
	struct inet *s = inet_of(f);
	int n;

	switch (cmd) {
	case FIONREAD: /* SIOCINQ */
		n = bytes_to_read(s);
		return n < 0 ? n : put_user(n, (int __user *)arg);
	case TIOCOUTQ: /* SIOCOUTQ */
		n = bytes_to_send(s);
		return put_user(n, (int __user *)arg);
	case SIOCATMARK:
		spin_lock(&s->lock);
		n = urgent_at_mark(s);
		spin_unlock(&s->lock);
		return put_user(n, (int __user *)arg);
	}
	return interface_ioctl(cmd, arg);
}
