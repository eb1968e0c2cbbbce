/*
 * virtio-net (virtio 1.2, 5.1): a queue pair for each cluster, as far as the device has them;
 * mergeable receive buffers, and the device's word on checksums it has checked.
 *
 * All of it runs under the network's lock but the interrupt handlers, which turn their queue's
 * interrupts off and wake the network thread of the pair's cluster. Rings and buffers of a pair lie
 * in that cluster: buffers are allocated by who polls the pair. Transmit interrupts are off unless
 * the ring is full: what was sent is reaped by the next send or poll. A received buffer goes up
 * without a copy and comes back by recycle; the ring is refilled from a small cache and kmalloc. A
 * device that breaks a ring's rules is reset and its link is down from then on.
 *
 * Which pair receives a frame is the device's choice: it learns from the pair that a flow is sent
 * through (5.1.6.5.6, automatic receive steering; net/steer.c chooses that). Steering by a hash of
 * ours (VIRTIO_NET_F_RSS) would know nothing of where a flow is served, so it is not asked for.
 */
#include <asm/errno.h>
#include <linux/virtio_net.h>
#include "arch/clock.h"
#include "arch/cpu.h"
#include "cluster/cluster.h"
#include "core/klog.h"
#include "lib/atomic.h"
#include "core/random.h"
#include "dev/netdev.h"
#include "dev/virtio.h"
#include "lib/string.h"
#include "mm/slab.h"

#define RX_BUFFER   2048u /* a slab class: struct netdev_buf, header and frame */
#define RX_ROOM	    (RX_BUFFER - (u32)sizeof(struct netdev_buf))
#define TX_INDIRECT 16u
#define CACHE_MAX   64u

#define CONTROL_TIME (2 * NS_PER_SEC)

struct pair { /* in its cluster's memory */
	struct netdev_queue q;
	struct virtio_net *net; /* [I] */
	struct virtio_queue *rx, *tx;
	unsigned header;	  /* [I] as the device's */
	bool mergeable;		  /* [I] as the device's */
	bool dead;		  /* as the device */
	bool tx_armed;		  /* the transmit interrupt is wanted */
	struct netdev_buf *cache; /* free buffers */
	unsigned cached;
	struct virtio_net_hdr_v1 tx_header; /* zeroes; the same one for every frame */
};

struct control { /* a command to the device; never freed, as the device may be late */
	struct virtio_net_ctrl_hdr hdr;
	u16 pairs;
	u8 ack;
};

struct virtio_net {
	struct virtio_device vdev;
	struct netdev netdev;
	struct virtio_queue *control; /* [I] NULL: none */
	struct control command;
	unsigned header; /* [I] bytes of the virtio header in front of a frame */
	bool mergeable;	 /* [I] */
	bool dead;	 /* the device broke the rules */
};

static struct pair *
to_pair(struct netdev_queue *q)
{
	return q->driver;
}

/* ---- receive ---- */

static struct netdev_buf *
buffer_get(struct pair *p)
{
	struct netdev_buf *b = p->cache;

	if (b) {
		p->cache = b->next;
		p->cached--;
		return b;
	}
	return kmalloc(RX_BUFFER);
}

static void
net_recycle(struct netdev_buf *b)
{
	struct pair *p = to_pair(b->queue);

	if (p->cached >= CACHE_MAX) {
		kfree(b);
		return;
	}
	b->next = p->cache;
	p->cache = b;
	p->cached++;
}

static void
refill(struct pair *p)
{
	while (p->rx->vq.free_count > 0 && !p->rx->vq.broken) {
		struct netdev_buf *b = buffer_get(p);
		struct vq_buf v;

		if (!b)
			break;
		b->queue = &p->q;
		v = (struct vq_buf){.addr = virt_to_phys(b + 1), .len = RX_ROOM};
		if (virtio_add(p->rx, &v, 0, 1, b) != 0) {
			net_recycle(b);
			break;
		}
	}
	virtio_kick(p->rx);
}

static void
drop(struct pair *p, struct netdev_buf *b)
{
	struct netdev_buf *next;

	for (; b; b = next) {
		next = b->next;
		net_recycle(b);
	}
	p->q.stats.rx_errors++;
}

/* The further buffers of a frame that the device spread over `count`. False: too few came. */
static bool
gather(struct pair *p, struct netdev_buf *head, unsigned count)
{
	struct netdev_buf *last = head;
	u32 len;

	while (--count > 0) {
		struct netdev_buf *b = virtqueue_get(&p->rx->vq, &len);

		if (!b)
			return false;
		b->next = NULL;
		b->data = (u8 *)(b + 1);
		b->len = len;
		last->next = b;
		last = b;
	}
	return true;
}

static void
receive_one(struct pair *p, struct netdev_buf *b, u32 len)
{
	const struct virtio_net_hdr_v1 *h = (void *)(b + 1);
	struct netdev *d = p->q.dev;
	unsigned count, flags = 0;

	b->next = NULL;
	if (len < p->header + 14) {
		drop(p, b);
		return;
	}
	b->data = (u8 *)(b + 1) + p->header;
	b->len = len - p->header;
	count = p->mergeable ? h->num_buffers : 1;
	if (count == 0 || count > p->rx->vq.size || !gather(p, b, count)) {
		drop(p, b);
		return;
	}
	if (h->flags & (VIRTIO_NET_HDR_F_DATA_VALID | VIRTIO_NET_HDR_F_NEEDS_CSUM))
		flags |= NETDEV_RX_CHECKED;
	p->q.stats.rx_packets++;
	for (struct netdev_buf *part = b; part; part = part->next)
		p->q.stats.rx_bytes += part->len;
	d->client->receive(d->client_arg, b, flags);
}

/* ---- transmit ---- */

static void
net_reap(struct netdev_queue *q)
{
	struct pair *p = to_pair(q);
	void *cookie;
	u32 len;

	while ((cookie = virtqueue_get(&p->tx->vq, &len)))
		q->dev->client->sent(q->dev->client_arg, cookie);
}

static int
net_send(struct netdev_queue *q, const struct netdev_vec *vec, unsigned count, void *cookie)
{
	struct pair *p = to_pair(q);
	struct vq_buf bufs[NETDEV_MAX_VEC + 1];
	u32 bytes = 0;
	int err;

	if (count > NETDEV_MAX_VEC || p->dead)
		return -EINVAL;
	if (p->tx->vq.free_count < p->tx->vq.size / 2)
		net_reap(q);
	bufs[0] = (struct vq_buf){.addr = virt_to_phys(&p->tx_header), .len = p->header};
	for (unsigned i = 0; i < count; i++) {
		bufs[i + 1] = (struct vq_buf){.addr = virt_to_phys(vec[i].base), .len = vec[i].len};
		bytes += vec[i].len;
	}
	err = virtio_add(p->tx, bufs, count + 1, 0, cookie);
	if (err) {
		q->stats.tx_dropped++;
		p->tx_armed = true;
		return err == -ENOSPC ? -ENOBUFS : -EINVAL;
	}
	q->stats.tx_packets++;
	q->stats.tx_bytes += bytes;
	return 0;
}

static void
net_kick(struct netdev_queue *q)
{
	virtio_kick(to_pair(q)->tx);
}

/* ---- service ---- */

static void
broken(struct virtio_net *n)
{
	struct netdev *d = &n->netdev;
	void *cookie;

	if (n->dead)
		return;
	klog(KLOG_ERROR, "net", "%s: the device broke its rings, it is off",
	     d->queue[0]->chdev->name);
	n->dead = true;
	virtio_fail(&n->vdev);
	for (unsigned i = 0; i < d->queues; i++) {
		struct pair *p = to_pair(d->queue[i]);

		p->dead = true;
		while ((cookie = virtqueue_detach(&p->tx->vq)))
			d->client->sent(d->client_arg, cookie);
		while ((cookie = virtqueue_detach(&p->rx->vq)))
			net_recycle(cookie);
	}
}

static unsigned
net_poll(struct netdev_queue *q, unsigned budget)
{
	struct pair *p = to_pair(q);
	unsigned done = 0;
	u32 len;

	if (p->dead)
		return 0;
	net_reap(q);
	while (done < budget) {
		struct netdev_buf *b = virtqueue_get(&p->rx->vq, &len);

		if (!b)
			break;
		receive_one(p, b, len);
		done++;
		if (p->rx->vq.free_count > p->rx->vq.size / 2)
			refill(p);
	}
	refill(p);
	if (p->rx->vq.broken || p->tx->vq.broken)
		broken(p->net);
	return done;
}

static bool
net_arm(struct netdev_queue *q)
{
	struct pair *p = to_pair(q);
	bool more;

	if (p->dead)
		return false;
	more = virtqueue_cb_on(&p->rx->vq);
	if (p->tx_armed) {
		p->tx_armed = false;
		more |= virtqueue_cb_on_delayed(&p->tx->vq);
	}
	return more;
}

static bool
net_link_up(struct netdev *d)
{
	struct virtio_net *n = d->driver;
	u16 status = VIRTIO_NET_S_LINK_UP;

	if (virtio_has(&n->vdev, VIRTIO_NET_F_STATUS))
		virtio_config_read(&n->vdev, offsetof(struct virtio_net_config, status), &status,
				   sizeof(status));
	return !n->dead && (status & VIRTIO_NET_S_LINK_UP);
}

static const struct netdev_ops virtio_net_ops = {
	.send = net_send,
	.kick = net_kick,
	.poll = net_poll,
	.reap = net_reap,
	.arm = net_arm,
	.recycle = net_recycle,
	.link_up = net_link_up,
};

static void
wake(struct netdev_queue *q)
{
	const struct netdev_client *client = atomic_load(&q->dev->client);

	if (client)
		client->wake(q->dev->client_arg, q);
}

static void
rx_interrupt(void *arg)
{
	struct pair *p = arg;

	chdev_interrupted(p->q.chdev);
	virtqueue_cb_off(&p->rx->vq);
	wake(&p->q);
}

static void
tx_interrupt(void *arg)
{
	struct pair *p = arg;

	chdev_interrupted(p->q.chdev);
	virtqueue_cb_off(&p->tx->vq);
	wake(&p->q);
}

static void
config_changed(void *arg)
{
	struct virtio_net *n = arg;

	atomic_store(&n->netdev.link_changed, true);
	wake(n->netdev.queue[0]);
}

/* ---- start ---- */

static void
read_config(struct virtio_net *n)
{
	struct netdev *d = &n->netdev;

	d->mtu = 1500;
	if (virtio_has(&n->vdev, VIRTIO_NET_F_MAC)) {
		virtio_config_read(&n->vdev, offsetof(struct virtio_net_config, mac), d->mac, 6);
	} else {
		u64 r = random_u64();

		memcpy(d->mac, &r, 6);
		d->mac[0] = (u8)((d->mac[0] & ~1u) | 2u); /* unicast, locally administered */
	}
	if (virtio_has(&n->vdev, VIRTIO_NET_F_MTU))
		virtio_config_read(&n->vdev, offsetof(struct virtio_net_config, mtu), &d->mtu, 2);
	d->mtu = min(d->mtu, (u16)(n->mergeable ? 9000 : RX_ROOM - n->header - 18));
}

/* How many pairs to use: one a cluster; the control queue is what more than one are asked for by.
 */
static unsigned
pairs_wanted(struct virtio_net *n, u16 *most)
{
	*most = 1;
	if (!virtio_has(&n->vdev, VIRTIO_NET_F_MQ) || !virtio_has(&n->vdev, VIRTIO_NET_F_CTRL_VQ))
		return 1;
	virtio_config_read(&n->vdev, offsetof(struct virtio_net_config, max_virtqueue_pairs), most,
			   sizeof(*most));
	return max(1u, min((unsigned)*most, (unsigned)machine()->nclusters));
}

static int
start_pair(struct virtio_net *n, struct chdev *c)
{
	struct pair *p = c ? kzalloc_on(c->cxy, sizeof(*p)) : NULL;
	struct virtio_queue_want rx = {.fn = rx_interrupt, .arg = p};
	struct virtio_queue_want tx = {.fn = tx_interrupt, .arg = p, .max_indirect = TX_INDIRECT};
	unsigned i = n->netdev.queues;
	int err;

	if (!p)
		return -ENOMEM;
	rx.core = tx.core = c->core;
	p->net = n;
	p->header = n->header;
	p->mergeable = n->mergeable;
	p->q = (struct netdev_queue){
		.dev = &n->netdev, .ops = &virtio_net_ops, .index = i, .chdev = c, .driver = p};
	err = virtio_queue_setup(&n->vdev, 2 * i, &rx, &p->rx);
	if (!err)
		err = virtio_queue_setup(&n->vdev, 2 * i + 1, &tx, &p->tx);
	if (err)
		return err;	      /* p may be known to the interrupt's table: it stays */
	virtqueue_cb_off(&p->rx->vq); /* until the client arms it */
	virtqueue_cb_off(&p->tx->vq);
	c->net = &p->q.stats;
	n->netdev.queue[i] = &p->q;
	n->netdev.queues++;
	return 0;
}

/* The first pair must come to be, and does the work of those that do not. */
static int
start_queues(struct virtio_net *n, struct chdev *first)
{
	struct virtio_queue_want control = {.core = first->core};
	u16 most;
	unsigned wanted = pairs_wanted(n, &most);
	int err = start_pair(n, first);

	if (err)
		return err;
	if (wanted > 1)
		err = virtio_queue_setup(&n->vdev, 2u * most, &control, &n->control);
	while (!err && n->netdev.queues < wanted)
		err = start_pair(n, chdev_create_channel(first, n->netdev.queues));
	if (err)
		klog(KLOG_WARN, "net", "%s: %u of %u queues, error %d", first->name,
		     n->netdev.queues, wanted, -err);
	return 0;
}

/* One command, waited for: a device answers at once. */
static bool
control_pairs(struct virtio_net *n, unsigned pairs)
{
	struct control *c = &n->command;
	struct vq_buf bufs[] = {
		{.addr = virt_to_phys(&c->hdr), .len = sizeof(c->hdr)},
		{.addr = virt_to_phys(&c->pairs), .len = sizeof(c->pairs)},
		{.addr = virt_to_phys(&c->ack), .len = sizeof(c->ack)},
	};
	ns_t deadline = clock_now() + CONTROL_TIME;
	u32 len;

	c->hdr.class = VIRTIO_NET_CTRL_MQ;
	c->hdr.cmd = VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET;
	c->pairs = (u16)pairs;
	c->ack = VIRTIO_NET_ERR;
	if (virtio_add(n->control, bufs, 2, 1, c) != 0)
		return false;
	virtio_kick(n->control);
	while (!virtqueue_get(&n->control->vq, &len)) {
		if (n->control->vq.broken || clock_now() > deadline)
			return false;
		cpu_pause();
	}
	return atomic_load(&c->ack) == VIRTIO_NET_OK;
}

/* => the device runs */
static void
use_queues(struct virtio_net *n)
{
	struct netdev *d = &n->netdev;

	if (d->queues == 1)
		return;
	if (control_pairs(n, d->queues)) {
		klog(KLOG_BOOT, "net", "%s: %u queues", d->queue[0]->chdev->name, d->queues);
		return;
	}
	klog(KLOG_WARN, "net", "%s: no answer about %u queues, one is used",
	     d->queue[0]->chdev->name, d->queues);
	d->queues = 1;
}

static int
negotiate(struct virtio_net *n, struct pci_device *d)
{
	u64 wanted = 1ul << VIRTIO_NET_F_MAC | 1ul << VIRTIO_NET_F_STATUS |
		     1ul << VIRTIO_NET_F_MTU | 1ul << VIRTIO_NET_F_MRG_RXBUF |
		     1ul << VIRTIO_NET_F_GUEST_CSUM;
	int err = virtio_pci_attach(d, &n->vdev);

	if (machine()->nclusters > 1)
		wanted |= 1ul << VIRTIO_NET_F_MQ | 1ul << VIRTIO_NET_F_CTRL_VQ;
	if (!err)
		err = virtio_negotiate(&n->vdev, wanted);
	n->mergeable = virtio_has(&n->vdev, VIRTIO_NET_F_MRG_RXBUF);
	n->header = n->mergeable || !n->vdev.legacy ? 12 : 10;
	return err;
}

static int
net_probe(struct pci_device *d)
{
	struct virtio_net *n = kzalloc(sizeof(*n));
	struct chdev *c = n ? chdev_create("net", d) : NULL;
	int err = -ENOMEM;

	if (!c)
		goto fail;
	n->netdev.driver = n;
	n->netdev.ops = &virtio_net_ops;
	err = negotiate(n, d);
	if (err)
		goto fail;
	n->vdev.config_changed = config_changed;
	n->vdev.config_arg = n;
	read_config(n);
	err = start_queues(n, c);
	if (err)
		goto fail;
	d->driver_data = n;
	virtio_ready(&n->vdev);
	use_queues(n);
	netdev_register(&n->netdev);
	return 0;

fail:
	kfree(n);
	return err;
}

static bool
net_match(const struct pci_device *d)
{
	return virtio_pci_is(d, VIRTIO_TYPE_NET);
}

extern const struct driver virtio_net_driver;
const struct driver virtio_net_driver = {
	.name = "virtio-net",
	.stage = 3,
	.match = net_match,
	.probe = net_probe,
};
