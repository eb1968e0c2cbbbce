/*
 * virtio-rng (virtio 1.2, 5.4): the host's entropy for the kernel's pool. One buffer is with the
 * device at a time; each answer is stirred in, and the next is asked for after a pause that grows,
 * so that an idle machine stays idle.
 */
#include <asm/errno.h>
#include "arch/clock.h"
#include "cluster/cluster.h"
#include "core/random.h"
#include "core/timer.h"
#include "dev/virtio.h"
#include "lib/string.h"
#include "mm/slab.h"

#define RNG_BYTES     64
#define RNG_FIRST     (1 * NS_PER_SEC)
#define RNG_PAUSE_MAX (600 * NS_PER_SEC)

struct virtio_rng {
	struct virtio_device vdev;
	struct chdev *chdev;	    /* [I] */
	struct virtio_queue *queue; /* [lock] */
	struct spinlock lock;
	struct timer again; /* asks for the next */
	ns_t pause;	    /* [lock] */
	u8 *bytes;	    /* [device, else lock] */
};

static void
rng_ask(struct virtio_rng *r)
{
	struct vq_buf b = {.addr = virt_to_phys(r->bytes), .len = RNG_BYTES};

	if (virtio_add(r->queue, &b, 0, 1, r) == 0)
		virtio_kick(r->queue);
}

static void
rng_timer(struct timer *t)
{
	struct virtio_rng *r = container_of(t, struct virtio_rng, again);

	spin_lock(&r->lock);
	rng_ask(r);
	spin_unlock(&r->lock);
}

static void
rng_interrupt(void *arg)
{
	struct virtio_rng *r = arg;
	bool got = false;
	u32 len;

	chdev_interrupted(r->chdev);
	spin_lock(&r->lock);
	while (virtqueue_get(&r->queue->vq, &len)) {
		random_add(r->bytes, len);
		memset(r->bytes, 0, RNG_BYTES);
		got = true;
	}
	(void)virtqueue_cb_on(&r->queue->vq);
	if (got) {
		timer_start(&r->again, clock_now() + r->pause);
		r->pause = min(r->pause * 4, RNG_PAUSE_MAX);
	}
	spin_unlock(&r->lock);
}

static int
rng_probe(struct pci_device *d)
{
	struct virtio_rng *r = kzalloc(sizeof(*r));
	struct chdev *c;
	int err;

	if (!r)
		return -ENOMEM;
	err = -ENOMEM;
	r->bytes = kzalloc(RNG_BYTES);
	c = r->bytes ? chdev_create("rng", d) : NULL;
	if (!c)
		goto fail;
	r->chdev = c;
	spin_init(&r->lock, "virtio-rng", RANK_NONE);
	timer_init(&r->again, rng_timer);
	r->pause = RNG_FIRST;
	err = virtio_pci_attach(d, &r->vdev);
	if (!err)
		err = virtio_negotiate(&r->vdev, 0);
	if (!err)
		err = virtio_queue_setup(
			&r->vdev, 0,
			&(struct virtio_queue_want){
				.max_size = 8, .core = c->core, .fn = rng_interrupt, .arg = r},
			&r->queue);
	if (err)
		goto fail;
	d->driver_data = r;
	virtio_ready(&r->vdev);
	spin_lock(&r->lock);
	(void)virtqueue_cb_on(&r->queue->vq);
	rng_ask(r);
	spin_unlock(&r->lock);
	return 0;

fail:
	kfree(r->bytes);
	kfree(r);
	return err;
}

static bool
rng_match(const struct pci_device *d)
{
	return virtio_pci_is(d, VIRTIO_TYPE_RNG);
}

extern const struct driver virtio_rng_driver;
const struct driver virtio_rng_driver = {
	.name = "virtio-rng",
	.stage = 1,
	.match = rng_match,
	.probe = rng_probe,
};
