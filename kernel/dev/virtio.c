/*
 * The part of virtio that no transport changes: negotiation, ring memory, life of a queue.
 * A queue and its rings lie in the cluster of the core that takes its interrupts. Ring memory comes
 * in whole frames and is never freed once a queue has started: the device may still write to it.
 */
#include <asm/errno.h>
#include "arch/clock.h"
#include "arch/cpu.h"
#include "core/waitq.h"
#include "cluster/cluster.h"
#include "dev/virtio.h"
#include "lib/atomic.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/slab.h"

#define STOP_WAIT	   NS_PER_SEC
#define STATUS_ACKNOWLEDGE 1u
#define STATUS_DRIVER	   2u
#define STATUS_DRIVER_OK   4u
#define STATUS_FEATURES_OK 8u
#define STATUS_FAILED	   128u

static void
status_or(struct virtio_device *vd, u8 bits)
{
	vd->ops->status_set(vd, vd->ops->status_get(vd) | bits);
}

int
virtio_negotiate(struct virtio_device *vd, u64 wanted)
{
	u64 offered;

	vd->ops->status_set(vd, 0);
	for (unsigned i = 0; i < 1000 && vd->ops->status_get(vd) != 0; i++)
		cpu_pause();
	status_or(vd, STATUS_ACKNOWLEDGE);
	status_or(vd, STATUS_DRIVER);
	offered = vd->ops->features_offered(vd);
	wanted |= 1ul << VIRTIO_FEATURE_INDIRECT | 1ul << VIRTIO_FEATURE_EVENT_IDX |
		  1ul << VIRTIO_FEATURE_VERSION_1;
	vd->features = offered & wanted;
	if (!vd->legacy && !virtio_has(vd, VIRTIO_FEATURE_VERSION_1)) {
		status_or(vd, STATUS_FAILED);
		return -EOPNOTSUPP;
	}
	vd->ops->features_set(vd, vd->features);
	if (vd->legacy)
		return 0;
	status_or(vd, STATUS_FEATURES_OK);
	if (!(vd->ops->status_get(vd) & STATUS_FEATURES_OK)) {
		status_or(vd, STATUS_FAILED);
		return -EOPNOTSUPP;
	}
	return 0;
}

static unsigned
order_for(size_t bytes)
{
	unsigned order = 0;

	while ((PAGE_SIZE << order) < bytes)
		order++;
	return order;
}

/* Rings, behind them the indirect tables, then our own notes on descriptors: one zeroed block. */
static int
queue_memory(struct virtio_queue *q, u16 size, u16 max_indirect, unsigned cxy)
{
	size_t align = q->dev->legacy ? PAGE_SIZE : 64;
	size_t rings = ALIGN_UP(virtqueue_layout(size, align).bytes, 64);
	size_t tables = (size_t)size * max_indirect * sizeof(struct vring_desc_k);
	struct frame *f;

	q->mem_order = order_for(rings + tables + size * sizeof(struct vq_slot));
	f = q->mem_order > FRAME_MAX_ORDER
		    ? NULL
		    : frame_alloc_on(cxy, q->mem_order, FRAME_ZERO | FRAME_KERNEL);
	if (!f)
		return -ENOMEM;
	q->mem = frame_virt(f);
	virtqueue_init(&q->vq, size, q->mem, align,
		       (struct vq_slot *)((char *)q->mem + rings + tables));
	q->vq.event_idx = virtio_has(q->dev, VIRTIO_FEATURE_EVENT_IDX);
	if (max_indirect)
		virtqueue_set_indirect(&q->vq, max_indirect, (char *)q->mem + rings,
				       virt_to_phys(q->mem) + rings);
	return 0;
}

int
virtio_queue_setup(struct virtio_device *vd, unsigned index, const struct virtio_queue_want *want,
		   struct virtio_queue **out)
{
	struct core *core = want->core ? want->core : this_core();
	u16 size = vd->ops->queue_size(vd, index);
	struct virtio_queue *q;
	int err;

	if (vd->queues == VIRTIO_MAX_QUEUES || size == 0 || (size & (size - 1)))
		return -ENXIO;
	if (want->max_size && size > want->max_size && !vd->legacy)
		size = want->max_size;
	q = kzalloc_on(core->arch.cxy, sizeof(*q));
	if (!q)
		return -ENOMEM;
	q->dev = vd;
	q->index = index;
	q->fn = want->fn;
	q->arg = want->arg;
	err = queue_memory(q, size,
			   virtio_has(vd, VIRTIO_FEATURE_INDIRECT) ? want->max_indirect : 0,
			   core->arch.cxy);
	if (err)
		goto no_memory;
	if (!want->fn)
		virtqueue_cb_off(&q->vq);
	vd->queue[vd->queues] = q;
	atomic_store(&vd->queues, vd->queues + 1);
	err = vd->ops->queue_start(q, core);
	if (err)
		goto no_start;
	*out = q;
	return 0;

no_start:
	atomic_store(&vd->queues, vd->queues - 1);
	frame_free(frame_of_virt(q->mem), q->mem_order);
no_memory:
	kfree(q);
	return err;
}

void
virtio_ready(struct virtio_device *vd)
{
	status_or(vd, STATUS_DRIVER_OK);
}

int
virtio_stop(struct virtio_device *vd)
{
	ns_t deadline = clock_now() + STOP_WAIT;

	vd->ops->status_set(vd, 0);
	while (vd->ops->status_get(vd) != 0) {
		if (clock_now() > deadline)
			return -ETIMEDOUT;
		(void)!sleep_until(clock_now() + NS_PER_MS, 0);
	}
	return 0;
}

static void
queue_empty(struct virtio_queue *q)
{
	struct virtqueue *vq = &q->vq, old = *vq;
	size_t align = q->dev->legacy ? PAGE_SIZE : 64;

	memset(q->mem, 0, virtqueue_layout(old.size, align).bytes);
	virtqueue_init(vq, old.size, q->mem, align, old.slot);
	vq->event_idx = old.event_idx;
	if (old.max_indirect)
		virtqueue_set_indirect(vq, old.max_indirect, (void *)old.indirect,
				       old.indirect_addr);
}

int
virtio_restart(struct virtio_device *vd)
{
	u64 features = vd->features;
	int err = virtio_negotiate(vd, features);

	if (!err && vd->features != features)
		err = -EIO;
	for (unsigned i = 0; i < vd->queues && !err; i++) {
		queue_empty(vd->queue[i]);
		err = vd->ops->queue_start(vd->queue[i], this_core());
	}
	if (err)
		return -EIO;
	virtio_ready(vd);
	return 0;
}

void
virtio_fail(struct virtio_device *vd)
{
	vd->ops->status_set(vd, 0);
	vd->ops->status_set(vd, STATUS_FAILED);
}

void
virtio_config_read(struct virtio_device *vd, unsigned offset, void *buf, unsigned n)
{
	vd->ops->config_read(vd, offset, buf, n);
}

void
virtio_config_write(struct virtio_device *vd, unsigned offset, const void *buf, unsigned n)
{
	vd->ops->config_write(vd, offset, buf, n);
}
