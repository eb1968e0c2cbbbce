/*
 * The start of the network, its lock and its thread.
 *
 * The thread polls the devices and runs lwIP's timers; everybody else calls lwIP under net->lock
 * from their own thread. Whoever releases the lock delivers first what was sent to the loopback,
 * so that a message to a socket on this machine needs no other thread, and tells the devices of
 * all frames that were queued with one kick.
 */
#include "arch/clock.h"
#include "core/klog.h"
#include "core/quiesce.h"
#include "core/sched.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/kstack.h"
#include "mm/slab.h"
#include "net/net.h"
#include "net/start.h"

#include "lwip/init.h"
#include "lwip/prot/icmp.h"
#include "lwip/prot/icmp6.h"
#include "lwip/prot/ip4.h"
#include "lwip/prot/udp.h"

#define POLL_BUDGET 128

void
net_lock(void)
{
	mutex_lock(&net_root()->lock);
}

static void
drain_graveyard(struct net *n)
{
	struct pbuf *p, *next;

	if (!atomic_load_relaxed(&n->graveyard))
		return;
	for (p = atomic_xchg(&n->graveyard, NULL); p; p = next) {
		next = p->next;
		p->next = NULL;
		pbuf_free(p);
	}
}

void
net_unlock(void)
{
	struct net *n = net_root();
	bool poke;

	loopback_deliver(n);
	drain_graveyard(n);
	iface_kick_all(n);
	poke = n->poke;
	n->poke = false;
	mutex_unlock(&n->lock);
	if (poke)
		net_wake(n);
}

void
net_bury(struct pbuf *p)
{
	struct net *n = net_root();
	struct pbuf *top;

	do {
		top = atomic_load(&n->graveyard);
		p->next = top;
	} while (!atomic_cas(&n->graveyard, top, p));
}

void
net_bury_chain(struct pbuf *p)
{
	struct pbuf *next;

	for (; p; p = next) {
		next = p->next;
		p->next = NULL;
		net_bury(p);
	}
}

void
net_wake(struct net *n)
{
	spin_lock(&n->wake_lock);
	n->woken = true;
	waitq_wake_all(&n->wake);
	spin_unlock(&n->wake_lock);
}

static void
wait_for_work(struct net *n, ns_t deadline)
{
	int err = 0;

	spin_lock(&n->wake_lock);
	while (!n->woken && err == 0)
		err = waitq_sleep(&n->wake, &n->wake_lock, deadline, 0);
	n->woken = false;
	spin_unlock(&n->wake_lock);
}

static void
net_thread(void *arg)
{
	struct net *n = arg;

	for (;;) {
		unsigned got;
		bool more, stale;
		ns_t next;

		quiesce_point();
		net_lock();
		got = iface_poll_all(n, POLL_BUDGET);
		if (got)
			net_timers_busy(n);
		next = net_timers_run(n);
		more = got > 0 || iface_arm_all(n);
		stale = atomic_load(&n->files_ready) && resolv_stale(n);
		net_unlock();
		if (stale)
			resolv_update(n);
		if (more)
			sched_point();
		else
			wait_for_work(n, next);
	}
}

/* An ICMP error names the datagram it is about: its sender may want to know (man 7 udp). */
static u8_t
on_icmp(void *arg, struct raw_pcb *pcb, struct pbuf *p, const ip_addr_t *from)
{
	u8 b[8 + IP_HLEN_MAX + 8];
	const struct ip_hdr *inner;
	ip_addr_t local, peer;
	u16 off, n;

	n = pbuf_copy_partial(p, b, sizeof(b), ip_current_header_tot_len());
	if (n < 8 + IP_HLEN + 8 || b[0] != ICMP_DUR || b[1] != 3)
		return 0;
	inner = (const struct ip_hdr *)(b + 8);
	off = (u16)(8 + IPH_HL_BYTES(inner));
	if (IPH_PROTO(inner) != IP_PROTO_UDP || off + 8 > n)
		return 0;
	ip_addr_copy_from_ip4(local, inner->src);
	ip_addr_copy_from_ip4(peer, inner->dest);
	dgram_refused(&local, (u16)(b[off] << 8 | b[off + 1]), &peer,
		      (u16)(b[off + 2] << 8 | b[off + 3]));
	return 0;
}

static u64
receive_limit(void)
{
	struct memory_info mi;

	memory_info(&mi);
	return mi.total * PAGE_SIZE / 4;
}

static int
net_create(struct net **out)
{
	struct net *n = kzalloc(sizeof(*n));
	int err;

	if (!n)
		return -ENOMEM;
	mutex_init(&n->lock, "net");
	list_init(&n->sockets);
	list_init(&n->ifaces);
	spin_init(&n->wake_lock, "net-wake", RANK_NET);
	waitq_init(&n->wake);
	n->rx_limit = receive_limit();
	err = pcb_table_init(&n->pcbs);
	if (err)
		return err;
	machine()->net = n;
	mutex_lock(&n->lock);
	lwip_init();
	net_timers_init(n);
	err = loopback_create(n);
	if (!err) {
		n->icmp_errors = raw_new_ip_type(IPADDR_TYPE_V4, IP_PROTO_ICMP);
		if (n->icmp_errors)
			raw_recv(n->icmp_errors, on_icmp, NULL);
		iface_attach_all(n);
	}
	mutex_unlock(&n->lock);
	*out = n;
	return err;
}

void
net_init(void)
{
	struct net *n;
	int err = net_create(&n);

	if (err) {
		klog(KLOG_ERROR, "net", "no network: error %d", -err);
		return;
	}
	inet_register();
	netlink_register();
	procnet_register(n);
	n->thread = kthread_create("net", net_thread, n, 0);
	if (!n->thread)
		klog(KLOG_ERROR, "net", "no memory for the network thread");
}

void
net_files_ready(void)
{
	struct net *n = machine()->net;

	if (!n)
		return;
	atomic_store(&n->files_ready, true);
	net_wake(n);
}
