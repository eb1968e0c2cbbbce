/*
 * The start of the network, its lock and its threads.
 *
 * In each cluster that serves queues of a device a thread polls them; the first also runs lwIP's
 * timers. They run when the sockets of a resumed machine are there again: a peer that tries to
 * connect before finds nobody who refuses. Everybody else calls lwIP under net->lock from their own
 * thread. Whoever releases the lock delivers first what was sent to the loopback, so that a message
 * to a socket on this machine needs no other thread, and tells the devices of all frames that were
 * queued with one kick.
 */
#include "arch/clock.h"
#include "cluster/cluster.h"
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
	if (n->kick)
		iface_kick_all(n);
	poke = n->poke;
	n->poke = false;
	mutex_unlock(&n->lock);
	if (poke)
		net_wake(n->first);
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
net_wake(struct net_worker *w)
{
	spin_lock(&w->lock);
	w->woken = true;
	waitq_wake_all(&w->wake);
	spin_unlock(&w->lock);
}

static void
wait_for_work(struct net_worker *w, ns_t deadline)
{
	int err = 0;

	spin_lock(&w->lock);
	while (!w->woken && err == 0)
		err = waitq_sleep(&w->wake, &w->lock, deadline, 0);
	w->woken = false;
	spin_unlock(&w->lock);
}

/* How many frames came up. => net->lock */
static unsigned
poll_queues(struct net_worker *w)
{
	unsigned got = 0;

	for (struct netdev_queue *q = w->queues; q; q = q->next)
		got += q->ops->poll(q, POLL_BUDGET);
	if (got)
		net_timers_busy(w->net);
	return got;
}

/* Whether there is more to poll already. => net->lock */
static bool
arm_queues(struct net_worker *w)
{
	bool more = false;

	for (struct netdev_queue *q = w->queues; q; q = q->next)
		more |= q->ops->arm(q);
	return more;
}

/* The first worker's further duties; when it has to look again. => net->lock */
static ns_t
run_timers(struct net *n)
{
	iface_follow_links(n);
	n->poke = false; /* what follows is what it would be woken for */
	return net_timers_run(n);
}

static void
net_thread(void *arg)
{
	struct net_worker *w = arg;
	struct net *n = w->net;

	for (;;) {
		bool more, stale, first = w == n->first;
		ns_t next = NS_FOREVER;
		unsigned got;

		quiesce_point();
		net_lock();
		got = poll_queues(w);
		if (first)
			next = run_timers(n);
		more = got > 0 || arm_queues(w);
		stale = first && resolv_stale(n);
		net_unlock();
		if (stale)
			resolv_update(n);
		if (more)
			sched_point();
		else
			wait_for_work(w, next);
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

/* A 64th of memory, a connection taking half a kilobyte. */
static unsigned
time_wait_limit(void)
{
	struct memory_info mi;

	memory_info(&mi);
	return (unsigned)min(max(mi.total * PAGE_SIZE / 64 / 512, 1024ul), 262144ul);
}

static int
worker_create(struct net *n, unsigned cxy)
{
	struct net_worker *w = n->worker[cxy];

	if (w)
		return 0;
	w = kzalloc_on(cxy, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->net = n;
	w->cxy = cxy;
	spin_init(&w->lock, "net-wake", RANK_NET);
	waitq_init(&w->wake);
	n->worker[cxy] = w;
	if (!n->first)
		n->first = w;
	return 0;
}

static int
queue_assign(struct net *n, struct netdev_queue *q)
{
	int err = worker_create(n, queue_cluster(q));

	if (err)
		return err;
	q->next = n->worker[queue_cluster(q)]->queues;
	n->worker[queue_cluster(q)]->queues = q;
	return 0;
}

/* One for each cluster that serves a queue, and at least one. */
static int
workers_create(struct net *n)
{
	int err = 0;

	for (struct netdev *d = netdev_next(NULL); d; d = netdev_next(d))
		for (unsigned i = 0; i < d->queues && !err; i++)
			err = queue_assign(n, d->queue[i]);
	if (!n->first && !err)
		err = worker_create(n, this_core()->arch.cxy);
	return err;
}

/* Each stays in its cluster. */
static void
workers_start(struct net *n)
{
	for (unsigned cxy = 0; cxy < machine()->nclusters; cxy++) {
		struct net_worker *w = n->worker[cxy];
		u64 cores = 0;

		if (!w)
			continue;
		for (unsigned i = 0; i < machine()->cluster[cxy]->cores_nr; i++)
			cores |= 1UL << machine()->cluster[cxy]->core[i]->arch.index;
		w->thread = kthread_create("net", net_thread, w, cores);
		if (!w->thread)
			klog(KLOG_ERROR, "net", "no memory for the network thread of cluster %u",
			     cxy);
	}
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
	n->rx_limit = receive_limit();
	n->time_wait_most = time_wait_limit();
	err = pcb_table_init(&n->pcbs);
	if (!err)
		err = ports_init(n);
	if (!err)
		err = workers_create(n);
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
}

void
net_run(void)
{
	if (machine()->net)
		workers_start(machine()->net);
}
