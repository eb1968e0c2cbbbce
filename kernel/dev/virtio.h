/*
 * virtio devices for their drivers (virtio 1.2): features, queues, configuration, interrupts; one
 * transport behind an ops table (virtio_pci.c: modern capabilities and the legacy I/O BAR).
 *
 * A driver embeds struct virtio_device: virtio_pci_attach -> virtio_negotiate -> virtio_queue_setup
 * for each queue -> virtio_ready. A queue's owner serialises its own calls (a spinlock, or the
 * network's lock); handlers run in interrupt context.
 *
 *	err = virtio_pci_attach(pci, &dev->vdev);
 *	err = virtio_negotiate(&dev->vdev, 1ul << VIRTIO_CONSOLE_F_SIZE);
 *	err = virtio_queue_setup(&dev->vdev, 0, &(struct virtio_queue_want){
 *		.core = chdev_core(c, 0), .fn = rx_interrupt, .arg = dev }, &dev->rx);
 *	virtio_ready(&dev->vdev);
 *	...
 *	virtio_add(dev->rx, &(struct vq_buf){ virt_to_phys(p), len }, 0, 1, cookie);
 *	virtio_kick(dev->rx);
 */
#ifndef DEV_VIRTIO_H
#define DEV_VIRTIO_H

#include "arch/layout.h"
#include "dev/driver.h"
#include "lib/virtqueue.h"

#define VIRTIO_PCI_VENDOR 0x1af4

/* Device types (virtio 1.2, 5). */
#define VIRTIO_TYPE_NET	    1
#define VIRTIO_TYPE_BLOCK   2
#define VIRTIO_TYPE_CONSOLE 3
#define VIRTIO_TYPE_RNG	    4

/* Features of every device; the transport asks for them itself. */
#define VIRTIO_FEATURE_INDIRECT	 28
#define VIRTIO_FEATURE_EVENT_IDX 29
#define VIRTIO_FEATURE_VERSION_1 32

struct virtio_device;

struct virtio_queue {
	struct virtqueue vq;	   /* [owner] */
	struct virtio_device *dev; /* [I] */
	unsigned index;		   /* [I] */
	volatile u16 *notify;	   /* [I] modern: where to write the index */
	irq_handler fn;		   /* [I] NULL: never interrupts */
	void *arg;		   /* [I] */
	void *mem;		   /* [I] rings */
	unsigned mem_order;	   /* [I] */
	u16 vector;		   /* [I] once started: its MSI-X entry */
	bool bound;		   /* [I] it has been started */
};

struct virtio_queue_want {
	u16 max_size;	   /* 0: as the device says */
	u16 max_indirect;  /* descriptors of an indirect table; 0: none */
	struct core *core; /* takes its interrupts; its memory comes from there. NULL: this one */
	irq_handler fn;	   /* NULL: polled only */
	void *arg;
};

struct virtio_transport_ops {
	void (*config_read)(struct virtio_device *d, unsigned offset, void *buf, unsigned n);
	void (*config_write)(struct virtio_device *d, unsigned offset, const void *buf, unsigned n);
	u64 (*features_offered)(struct virtio_device *d);
	void (*features_set)(struct virtio_device *d, u64 features);
	u8 (*status_get)(struct virtio_device *d);
	void (*status_set)(struct virtio_device *d, u8 status);
	u16 (*queue_size)(struct virtio_device *d, unsigned index);
	int (*queue_start)(struct virtio_queue *q, struct core *core);
	void (*notify)(struct virtio_queue *q);
};

#define VIRTIO_MAX_QUEUES 32 /* that a driver sets up */

struct virtio_device {
	const struct virtio_transport_ops *ops;	       /* [I] */
	u64 features;				       /* [I] negotiated */
	bool legacy;				       /* [I] */
	bool shared_irq;			       /* [I] one interrupt for all, read ISR */
	struct virtio_queue *queue[VIRTIO_MAX_QUEUES]; /* [I] after setup, in its order */
	unsigned queues;			       /* [I] after setup */
	void (*config_changed)(void *arg);	       /* [I] interrupt context; NULL */
	void *config_arg;
	/* PCI */
	struct pci_device *pci;
	u16 port; /* legacy I/O BAR */
	volatile u8 *common, *device, *isr, *notify_base;
	u32 device_len, notify_len, notify_multiplier;
	unsigned irq_next; /* next MSI-X entry; 0 is the configuration's */
	bool irq_bound;
};

/* Whether a PCI device is a virtio device of this type, modern or transitional. */
bool virtio_pci_is(const struct pci_device *d, unsigned type);
/* Finds its registers and resets it. 0 or -ENODEV, -ENXIO. vd is zeroed memory. */
int __must_check virtio_pci_attach(struct pci_device *d, struct virtio_device *vd);

/* Takes what is both offered and wanted (device features as bits). 0 or -ENOTSUP. */
int __must_check virtio_negotiate(struct virtio_device *vd, u64 wanted);
static inline bool
virtio_has(const struct virtio_device *vd, unsigned feature)
{
	return vd->features >> feature & 1;
}
int __must_check virtio_queue_setup(struct virtio_device *vd, unsigned index,
				    const struct virtio_queue_want *want,
				    struct virtio_queue **out);
/* The device may use its queues from here on. */
void virtio_ready(struct virtio_device *vd);
/* Resets the device and waits until it has let go of its queues. 0, -ETIMEDOUT: it may still write
 * to them. What it has finished until then is in them. => may take as long as the device likes */
int __must_check virtio_stop(struct virtio_device *vd);
/* After virtio_stop: negotiates the same once more and starts the queues, empty. => nothing is
 * outstanding in them. 0, -EIO */
int __must_check virtio_restart(struct virtio_device *vd);
/* Resets the device for good: the driver gives up. */
void virtio_fail(struct virtio_device *vd);
/* Device configuration; offsets as in the device's structure, little endian. */
void virtio_config_read(struct virtio_device *vd, unsigned offset, void *buf, unsigned n);
void virtio_config_write(struct virtio_device *vd, unsigned offset, const void *buf, unsigned n);

static inline int __must_check
virtio_add(struct virtio_queue *q, const struct vq_buf *bufs, unsigned nout, unsigned nin,
	   void *cookie)
{
	return virtqueue_add(&q->vq, bufs, nout, nin, cookie);
}

/* Tells the device of what was added, if it wants to know. One call for many additions. */
static inline void
virtio_kick(struct virtio_queue *q)
{
	if (virtqueue_need_kick(&q->vq))
		q->dev->ops->notify(q);
}

#endif
