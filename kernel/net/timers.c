/*
 * lwIP's timers. lwIP ticks several times a second for ever; an idle machine must not. So the
 * ticks run in time only while there is something to do: a TCP connection, traffic within the
 * last seconds, an address that is being got. Else the thread sleeps for up to a minute, and what
 * was missed is made up for in one go: all that these ticks do is count.
 */
#include "arch/clock.h"
#include "net/net.h"

#include "lwip/dhcp.h"
#include "lwip/dhcp6.h"
#include "lwip/dns.h"
#include "lwip/etharp.h"
#include "lwip/igmp.h"
#include "lwip/ip4_frag.h"
#include "lwip/ip6_frag.h"
#include "lwip/mld6.h"
#include "lwip/nd6.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/prot/dhcp.h"
#include "lwip/timeouts.h"

#define BUSY_TIME  (8 * NS_PER_SEC)
#define IDLE_SLEEP (60 * NS_PER_SEC)

static void
net_tcp_tmr(void)
{
	if (!tcp_active_pcbs && !tcp_tw_pcbs)
		return;
	iface_reap_all(net_root()); /* a segment that a queue still holds is not sent again */
	tcp_tmr();
	tcp_reap_time_wait();
}

static const struct net_timer timer_table[] = {
	{TCP_TMR_INTERVAL, net_tcp_tmr, 0},
	{IP_TMR_INTERVAL, ip_reass_tmr, 0},
	{ARP_TMR_INTERVAL, etharp_tmr, 0},
	{DHCP_COARSE_TIMER_MSECS, dhcp_coarse_tmr, 0},
	{DHCP_FINE_TIMER_MSECS, dhcp_fine_tmr, 0},
	{IGMP_TMR_INTERVAL, igmp_tmr, 0},
	{ND6_TMR_INTERVAL, nd6_tmr, 0},
	{IP6_REASS_TMR_INTERVAL, ip6_reass_tmr, 0},
	{MLD6_TMR_INTERVAL, mld6_tmr, 0},
	{DHCP6_TIMER_MSECS, dhcp6_tmr, 0},
};

_Static_assert(ARRAY_SIZE(timer_table) <= NET_TIMERS, "room for the timers");

void
net_timers_init(struct net *n)
{
	ns_t now = clock_now();

	for (unsigned i = 0; i < ARRAY_SIZE(timer_table); i++) {
		n->timer[i] = timer_table[i];
		n->timer[i].last = now;
	}
	n->timers = ARRAY_SIZE(timer_table);
	net_timers_busy(n);
}

void
net_timers_busy(struct net *n)
{
	ns_t now = clock_now();

	if (now > n->busy_until)
		n->poke = true;
	n->busy_until = now + BUSY_TIME;
}

/* Whether an interface is on its way to an address. */
static bool
configuring(struct net *n)
{
	struct iface *i;

	list_for_each_entry (i, &n->ifaces, link) {
		struct dhcp *d = netif_dhcp_data(&i->netif);

		if (!netif_is_link_up(&i->netif))
			continue;
		if (d && d->state != DHCP_STATE_BOUND)
			return true;
		for (int k = 0; k < LWIP_IPV6_NUM_ADDRESSES; k++)
			if (ip6_addr_istentative(netif_ip6_addr_state(&i->netif, k)))
				return true;
	}
	return false;
}

/* TCP's clock has to go on while there are connections, those that try for an address while there
 * is none; the rest follows traffic. */
static bool
timer_in_time(const struct net_timer *t, bool busy, bool trying)
{
	if (t->fn == net_tcp_tmr)
		return tcp_active_pcbs || tcp_tw_pcbs;
	if (t->fn == dhcp_fine_tmr || t->fn == dhcp6_tmr || t->fn == nd6_tmr)
		return busy || trying;
	return busy;
}

ns_t
net_timers_run(struct net *n)
{
	ns_t now = clock_now(), next = now + IDLE_SLEEP;
	bool busy = now < n->busy_until, trying = configuring(n);

	for (unsigned i = 0; i < n->timers; i++) {
		struct net_timer *t = &n->timer[i];
		ns_t interval = t->interval_ms * NS_PER_MS;

		while (now - t->last >= interval) {
			t->fn();
			t->last += interval;
			if (t->fn == net_tcp_tmr && now - t->last > NS_PER_SEC)
				t->last = now; /* no connection was there to be aged */
		}
		if (timer_in_time(t, busy, trying))
			next = min(next, t->last + interval);
	}
	return next;
}

/* The thread may be asleep for longer than TCP's clock allows. */
void
net_timers_first(struct net *n)
{
	n->timer[0].last = clock_now();
	n->poke = true;
}

/* ---- called by lwIP ---- */

void
sys_timeouts_init(void)
{
}
