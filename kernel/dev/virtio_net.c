/*
 * virtio-net (virtio 1.2, 5.1): one receive and one transmit queue, mergeable receive buffers, and
 * the device's word on checksums it has checked.
 *
 * All of it runs under the network's lock but the two interrupt handlers, which turn their queue's
 * interrupts off and wake the network thread. Transmit interrupts are off unless the ring is full:
 * what was sent is reaped by the next send or poll. A received buffer goes up without a copy and
 * comes back by recycle; the ring is refilled from a small cache and kmalloc. A device that breaks
 * the ring's rules is reset and its link is down from then on.
 */
#include <asm/errno.h>
#include <linux/virtio_net.h>
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

struct virtio_net {
	struct virtio_device vdev;
	struct netdev netdev;
	struct virtio_queue *rx, *tx;
	unsigned header;	  /* [I] bytes of the virtio header in front of a frame */
	bool mergeable;		  /* [I] */
	bool dead;		  /* the device broke the rules */
	bool tx_armed;		  /* the transmit interrupt is wanted */
	struct netdev_buf *cache; /* free buffers */
	unsigned cached;
	struct virtio_net_hdr_v1 *tx_header; /* zeroes; the same one for every frame */
};

static struct virtio_net *
to_net(struct netdev *d)
{
	return d->driver;
}

/* ---- receive ---- */

static struct netdev_buf *
buffer_get(struct virtio_net *n)
{
	struct netdev_buf *b = n->cache;

	if (b) {
		n->cache = b->next;
		n->cached--;
		return b;
	}
	return kmalloc(RX_BUFFER);
}

static void
net_recycle(struct netdev *d, struct netdev_buf *b)
{
	struct virtio_net *n = to_net(d);

	if (n->cached >= CACHE_MAX) {
		kfree(b);
		return;
	}
	b->next = n->cache;
	n->cache = b;
	n->cached++;
}

static void
refill(struct virtio_net *n)
{
	while (n->rx->vq.free_count > 0 && !n->rx->vq.broken) {
		struct netdev_buf *b = buffer_get(n);
		struct vq_buf v;

		if (!b)
			break;
		b->dev = &n->netdev;
		v = (struct vq_buf){.addr = virt_to_phys(b + 1), .len = RX_ROOM};
		if (virtio_add(n->rx, &v, 0, 1, b) != 0) {
			net_recycle(&n->netdev, b);
			break;
		}
	}
	virtio_kick(n->rx);
}

static void
drop(struct virtio_net *n, struct netdev_buf *b)
{
	struct netdev_buf *next;

	for (; b; b = next) {
		next = b->next;
		net_recycle(&n->netdev, b);
	}
	n->netdev.stats.rx_errors++;
}

/* The further buffers of a frame that the device spread over `count`. False: too few came. */
static bool
gather(struct virtio_net *n, struct netdev_buf *head, unsigned count)
{
	struct netdev_buf *last = head;
	u32 len;

	while (--count > 0) {
		struct netdev_buf *b = virtqueue_get(&n->rx->vq, &len);

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
receive_one(struct virtio_net *n, struct netdev_buf *b, u32 len)
{
	const struct virtio_net_hdr_v1 *h = (void *)(b + 1);
	unsigned count, flags = 0;

	b->next = NULL;
	if (len < n->header + 14) {
		drop(n, b);
		return;
	}
	b->data = (u8 *)(b + 1) + n->header;
	b->len = len - n->header;
	count = n->mergeable ? h->num_buffers : 1;
	if (count == 0 || count > n->rx->vq.size || !gather(n, b, count)) {
		drop(n, b);
		return;
	}
	if (h->flags & (VIRTIO_NET_HDR_F_DATA_VALID | VIRTIO_NET_HDR_F_NEEDS_CSUM))
		flags |= NETDEV_RX_CHECKED;
	n->netdev.stats.rx_packets++;
	for (struct netdev_buf *p = b; p; p = p->next)
		n->netdev.stats.rx_bytes += p->len;
	n->netdev.client->receive(n->netdev.client_arg, b, flags);
}

/* ---- transmit ---- */

static void
reap(struct virtio_net *n)
{
	void *cookie;
	u32 len;

	while ((cookie = virtqueue_get(&n->tx->vq, &len)))
		n->netdev.client->sent(n->netdev.client_arg, cookie);
}

static int
net_send(struct netdev *d, const struct netdev_vec *vec, unsigned count, void *cookie)
{
	struct virtio_net *n = to_net(d);
	struct vq_buf bufs[NETDEV_MAX_VEC + 1];
	u32 bytes = 0;
	int err;

	if (count > NETDEV_MAX_VEC || n->dead)
		return -EINVAL;
	if (n->tx->vq.free_count < n->tx->vq.size / 2)
		reap(n);
	bufs[0] = (struct vq_buf){.addr = virt_to_phys(n->tx_header), .len = n->header};
	for (unsigned i = 0; i < count; i++) {
		bufs[i + 1] = (struct vq_buf){.addr = virt_to_phys(vec[i].base), .len = vec[i].len};
		bytes += vec[i].len;
	}
	err = virtio_add(n->tx, bufs, count + 1, 0, cookie);
	if (err) {
		d->stats.tx_dropped++;
		n->tx_armed = true;
		return err == -ENOSPC ? -ENOBUFS : -EINVAL;
	}
	d->stats.tx_packets++;
	d->stats.tx_bytes += bytes;
	return 0;
}

static void
net_kick(struct netdev *d)
{
	virtio_kick(to_net(d)->tx);
}

/* ---- service ---- */

static void
broken(struct virtio_net *n)
{
	void *cookie;

	if (n->dead)
		return;
	klog(KLOG_ERROR, "net", "%s: the device broke its rings, it is off", n->netdev.chdev->name);
	n->dead = true;
	virtio_fail(&n->vdev);
	while ((cookie = virtqueue_detach(&n->tx->vq)))
		n->netdev.client->sent(n->netdev.client_arg, cookie);
	while ((cookie = virtqueue_detach(&n->rx->vq)))
		net_recycle(&n->netdev, cookie);
}

static unsigned
net_poll(struct netdev *d, unsigned budget)
{
	struct virtio_net *n = to_net(d);
	unsigned done = 0;
	u32 len;

	if (n->dead)
		return 0;
	reap(n);
	while (done < budget) {
		struct netdev_buf *b = virtqueue_get(&n->rx->vq, &len);

		if (!b)
			break;
		receive_one(n, b, len);
		done++;
		if (n->rx->vq.free_count > n->rx->vq.size / 2)
			refill(n);
	}
	refill(n);
	if (n->rx->vq.broken || n->tx->vq.broken)
		broken(n);
	return done;
}

static bool
net_arm(struct netdev *d)
{
	struct virtio_net *n = to_net(d);
	bool more;

	if (n->dead)
		return false;
	more = virtqueue_cb_on(&n->rx->vq);
	if (n->tx_armed) {
		n->tx_armed = false;
		more |= virtqueue_cb_on_delayed(&n->tx->vq);
	}
	return more;
}

static bool
net_link_up(struct netdev *d)
{
	struct virtio_net *n = to_net(d);
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
	.arm = net_arm,
	.recycle = net_recycle,
	.link_up = net_link_up,
};

static void
wake(struct virtio_net *n)
{
	const struct netdev_client *client = atomic_load(&n->netdev.client);

	if (client)
		client->wake(n->netdev.client_arg);
}

static void
rx_interrupt(void *arg)
{
	struct virtio_net *n = arg;

	virtqueue_cb_off(&n->rx->vq);
	wake(n);
}

static void
tx_interrupt(void *arg)
{
	struct virtio_net *n = arg;

	virtqueue_cb_off(&n->tx->vq);
	wake(n);
}

static void
config_changed(void *arg)
{
	struct virtio_net *n = arg;

	atomic_store(&n->netdev.link_changed, true);
	wake(n);
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

static int
start_queues(struct virtio_net *n, struct chdev *c)
{
	struct virtio_queue_want rx = {.core = chdev_core(c, 0), .fn = rx_interrupt, .arg = n};
	struct virtio_queue_want tx = {.core = chdev_core(c, 0),
				       .fn = tx_interrupt,
				       .arg = n,
				       .max_indirect = TX_INDIRECT};
	int err = virtio_queue_setup(&n->vdev, 0, &rx, &n->rx);

	if (!err)
		err = virtio_queue_setup(&n->vdev, 1, &tx, &n->tx);
	if (err)
		return err;
	virtqueue_cb_off(&n->rx->vq); /* until the client arms it */
	virtqueue_cb_off(&n->tx->vq);
	return 0;
}

static int
net_probe(struct pci_device *d)
{
	struct virtio_net *n = kzalloc(sizeof(*n));
	int err = -ENOMEM;

	if (!n)
		return err;
	n->tx_header = kzalloc(sizeof(*n->tx_header));
	n->netdev.chdev = n->tx_header ? chdev_create("net", d) : NULL;
	if (!n->netdev.chdev)
		goto fail;
	n->netdev.driver = n;
	n->netdev.ops = &virtio_net_ops;
	err = virtio_pci_attach(d, &n->vdev);
	if (!err)
		err = virtio_negotiate(
			&n->vdev, 1ul << VIRTIO_NET_F_MAC | 1ul << VIRTIO_NET_F_STATUS |
					  1ul << VIRTIO_NET_F_MTU | 1ul << VIRTIO_NET_F_MRG_RXBUF |
					  1ul << VIRTIO_NET_F_GUEST_CSUM);
	if (err)
		goto fail;
	n->mergeable = virtio_has(&n->vdev, VIRTIO_NET_F_MRG_RXBUF);
	n->header = n->mergeable || !n->vdev.legacy ? 12 : 10;
	n->vdev.config_changed = config_changed;
	n->vdev.config_arg = n;
	read_config(n);
	err = start_queues(n, n->netdev.chdev);
	if (err)
		goto fail;
	d->driver_data = n;
	virtio_ready(&n->vdev);
	refill(n); /* its kick is the first, so it is not suppressed */
	netdev_register(&n->netdev);
	return 0;

fail:
	kfree(n->tx_header);
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
