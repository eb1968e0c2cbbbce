/*
 * Multicast: memberships (IGMP for IPv4, MLD for IPv6) and the options for sending. A membership
 * belongs to the socket that asked for it and ends with it.
 */
#include "lib/string.h"
#include "mm/slab.h"
#include "net/net.h"

#include "lwip/igmp.h"
#include "lwip/mld6.h"

static struct inet_group *
find(struct inet *s, const ip_addr_t *group, u8 ifindex)
{
	struct inet_group *g;

	list_for_each_entry (g, &s->groups, link)
		if (ip_addr_cmp(&g->group, group) && (!ifindex || g->ifindex == ifindex))
			return g;
	return NULL;
}

static struct iface *
default_iface(void)
{
	return netif_default ? netif_default->state : net_root()->loopback;
}

static err_t
tell(const struct inet_group *g, bool join)
{
	struct iface *i = iface_by_index(net_root(), g->ifindex);

	if (!i)
		return ERR_IF;
	if (!i->dev)
		return ERR_OK; /* the loopback hears everything */
	if (IP_IS_V4_VAL(g->group))
		return join ? igmp_joingroup_netif(&i->netif, ip_2_ip4(&g->group))
			    : igmp_leavegroup_netif(&i->netif, ip_2_ip4(&g->group));
	return join ? mld6_joingroup_netif(&i->netif, ip_2_ip6(&g->group))
		    : mld6_leavegroup_netif(&i->netif, ip_2_ip6(&g->group));
}

int
multicast_join(struct inet *s, const ip_addr_t *group, struct iface *i)
{
	struct inet_group *g;
	u8 index;
	err_t err;

	if (!ip_addr_ismulticast(group))
		return -EINVAL;
	if (!i)
		return -ENODEV;
	index = netif_get_index(&i->netif);
	if (find(s, group, index))
		return -EADDRINUSE;
	g = kzalloc(sizeof(*g));
	if (!g)
		return -ENOMEM;
	ip_addr_copy(g->group, *group);
	g->ifindex = index;
	err = tell(g, true);
	if (err != ERR_OK) {
		kfree(g);
		return errno_of(err);
	}
	list_add_tail(&s->groups, &g->link);
	return 0;
}

static int
leave(struct inet *s, const ip_addr_t *group, struct iface *i)
{
	struct inet_group *g = find(s, group, i ? netif_get_index(&i->netif) : 0);

	if (!g)
		return -EADDRNOTAVAIL;
	tell(g, false);
	list_del(&g->link);
	kfree(g);
	return 0;
}

void
multicast_leave_all(struct inet *s)
{
	struct inet_group *g, *tmp;

	list_for_each_entry_safe (g, tmp, &s->groups, link) {
		tell(g, false);
		list_del(&g->link);
		kfree(g);
	}
}

/* struct ip_mreq or ip_mreqn: the interface by index or by address. */
static int
read_mreq(const void *val, unsigned len, ip_addr_t *group, struct iface **out)
{
	struct ip_mreqn r = {.imr_ifindex = 0};
	struct iface *i;

	if (len < sizeof(struct ip_mreq))
		return -EINVAL;
	memcpy(&r, val, min((size_t)len, sizeof(r)));
	inet_set_ip4(group, r.imr_multiaddr.s_addr);
	*out = NULL;
	if (r.imr_ifindex) {
		*out = iface_by_index(net_root(), (unsigned)r.imr_ifindex);
	} else if (r.imr_address.s_addr) {
		list_for_each_entry (i, &net_root()->ifaces, link)
			if (ip4_addr_get_u32(netif_ip4_addr(&i->netif)) == r.imr_address.s_addr)
				*out = i;
	} else {
		*out = default_iface();
	}
	return 0;
}

static int
option4(struct inet *s, int name, const void *val, unsigned len)
{
	struct iface *i;
	ip_addr_t group;
	u32 word = 0;
	int err;

	memcpy(&word, val, min((size_t)len, sizeof(word)));
	switch (name) {
	case IP_MULTICAST_TTL:
		s->mcast_ttl = word == ~0u ? 1 : (u8)word;
		return word == ~0u || word <= 255 ? 0 : -EINVAL;
	case IP_MULTICAST_LOOP:
		s->mcast_loop = word != 0;
		return 0;
	case IP_MULTICAST_IF:
		if (len < sizeof(struct ip_mreq)) { /* a struct in_addr */
			u32 mreq[2] = {0, word};

			err = read_mreq(mreq, sizeof(mreq), &group, &i);
		} else {
			err = read_mreq(val, len, &group, &i);
		}
		if (err || !i)
			return err ? err : -EADDRNOTAVAIL;
		s->mcast_ifindex = netif_get_index(&i->netif);
		return 0;
	case IP_ADD_MEMBERSHIP:
		err = read_mreq(val, len, &group, &i);
		return err ? err : multicast_join(s, &group, i);
	case IP_DROP_MEMBERSHIP:
		err = read_mreq(val, len, &group, &i);
		return err ? err : leave(s, &group, i);
	}
	return -ENOPROTOOPT;
}

static int
option6(struct inet *s, int name, const void *val, unsigned len)
{
	struct ipv6_mreq r;
	struct iface *i;
	ip_addr_t group;
	u32 word = 0, w[4];

	memcpy(&word, val, min((size_t)len, sizeof(word)));
	switch (name) {
	case IPV6_MULTICAST_HOPS:
		s->mcast_ttl = word == ~0u ? 1 : (u8)word;
		return word == ~0u || word <= 255 ? 0 : -EINVAL;
	case IPV6_MULTICAST_LOOP:
		s->mcast_loop = word != 0;
		return word <= 1 ? 0 : -EINVAL;
	case IPV6_MULTICAST_IF:
		if (word && !iface_by_index(net_root(), word))
			return -ENODEV;
		s->mcast_ifindex = (int)word;
		return 0;
	case IPV6_ADD_MEMBERSHIP:
	case IPV6_DROP_MEMBERSHIP:
		if (len < sizeof(r))
			return -EINVAL;
		memcpy(&r, val, sizeof(r));
		memcpy(w, &r.ipv6mr_multiaddr, sizeof(w));
		inet_set_ip6(&group, w);
		i = r.ipv6mr_ifindex ? iface_by_index(net_root(), (unsigned)r.ipv6mr_ifindex)
				     : default_iface();
		if (i)
			ip6_addr_assign_zone(ip_2_ip6(&group), IP6_MULTICAST, &i->netif);
		return name == IPV6_ADD_MEMBERSHIP ? multicast_join(s, &group, i)
						   : leave(s, &group, i);
	}
	return -ENOPROTOOPT;
}

int
multicast_option(struct inet *s, int level, int name, const void *val, unsigned len)
{
	if (s->type == SOCK_STREAM)
		return -ENOPROTOOPT;
	return level == IPPROTO_IP ? option4(s, name, val, len) : option6(s, name, val, len);
}
