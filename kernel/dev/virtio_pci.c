/*
 * virtio over PCI: the modern layout found through vendor capabilities (virtio 1.2, 4.1.4), else
 * the legacy registers in I/O BAR 0 (4.1.4.10).
 *
 * Interrupts: with MSI-X the configuration has entry 0 and every queue one of its own while there
 * are entries, the rest share the last, which may be the configuration's; without, there is one
 * interrupt whose ISR register says what it was.
 */
#include <asm/errno.h>
#include <linux/virtio_pci.h>
#include "arch/cpu.h"
#include "cluster/cluster.h"
#include "dev/virtio.h"
#include "lib/atomic.h"
#include "lib/string.h"

#define NO_VECTOR 0xffff

/* ---- modern ---- */

#define COMMON(vd, type, field)                                                                    \
	(*(volatile type *)((vd)->common + offsetof(struct virtio_pci_common_cfg, field)))

static void
modern_config_read(struct virtio_device *vd, unsigned offset, void *buf, unsigned n)
{
	u8 before, after;

	do {
		before = COMMON(vd, u8, config_generation);
		for (unsigned i = 0; i < n; i++)
			((u8 *)buf)[i] = offset + i < vd->device_len ? vd->device[offset + i] : 0;
		after = COMMON(vd, u8, config_generation);
	} while (before != after);
}

static void
modern_config_write(struct virtio_device *vd, unsigned offset, const void *buf, unsigned n)
{
	for (unsigned i = 0; i < n && offset + i < vd->device_len; i++)
		vd->device[offset + i] = ((const u8 *)buf)[i];
}

static u64
modern_features_offered(struct virtio_device *vd)
{
	u64 low;

	COMMON(vd, u32, device_feature_select) = 0;
	low = COMMON(vd, u32, device_feature);
	COMMON(vd, u32, device_feature_select) = 1;
	return low | (u64)COMMON(vd, u32, device_feature) << 32;
}

static void
modern_features_set(struct virtio_device *vd, u64 features)
{
	COMMON(vd, u32, guest_feature_select) = 0;
	COMMON(vd, u32, guest_feature) = (u32)features;
	COMMON(vd, u32, guest_feature_select) = 1;
	COMMON(vd, u32, guest_feature) = (u32)(features >> 32);
}

static u8
modern_status_get(struct virtio_device *vd)
{
	return COMMON(vd, u8, device_status);
}

static void
modern_status_set(struct virtio_device *vd, u8 status)
{
	COMMON(vd, u8, device_status) = status;
}

static u16
modern_queue_size(struct virtio_device *vd, unsigned index)
{
	if (index >= COMMON(vd, u16, num_queues))
		return 0;
	COMMON(vd, u16, queue_select) = (u16)index;
	return COMMON(vd, u16, queue_size);
}

static void
set_u64(volatile u32 *low, u64 v)
{
	low[0] = (u32)v;
	low[1] = (u32)(v >> 32);
}

static int bind_queue_irq(struct virtio_queue *q, struct core *core, u16 *vector);

static int
modern_queue_start(struct virtio_queue *q, struct core *core)
{
	struct virtio_device *vd = q->dev;
	struct vq_layout l = virtqueue_layout(q->vq.size, 64);
	paddr_t base = virt_to_phys(q->mem);
	size_t offset;
	u16 vector;
	int err;

	err = bind_queue_irq(q, core, &vector);
	if (err)
		return err;
	COMMON(vd, u16, queue_select) = (u16)q->index;
	COMMON(vd, u16, queue_size) = q->vq.size;
	COMMON(vd, u16, queue_msix_vector) = vector;
	if (COMMON(vd, u16, queue_msix_vector) != vector)
		return -ENOSPC;
	set_u64(&COMMON(vd, u32, queue_desc_lo), base);
	set_u64(&COMMON(vd, u32, queue_avail_lo), base + l.avail);
	set_u64(&COMMON(vd, u32, queue_used_lo), base + l.used);
	offset = (size_t)COMMON(vd, u16, queue_notify_off) * vd->notify_multiplier;
	if (offset + 2 > vd->notify_len)
		return -ENXIO;
	q->notify = (volatile u16 *)(vd->notify_base + offset);
	COMMON(vd, u16, queue_enable) = 1;
	return 0;
}

static void
modern_notify(struct virtio_queue *q)
{
	*q->notify = (u16)q->index;
}

static const struct virtio_transport_ops modern_ops = {
	.config_read = modern_config_read,
	.config_write = modern_config_write,
	.features_offered = modern_features_offered,
	.features_set = modern_features_set,
	.status_get = modern_status_get,
	.status_set = modern_status_set,
	.queue_size = modern_queue_size,
	.queue_start = modern_queue_start,
	.notify = modern_notify,
};

/* ---- legacy ---- */

static u16
legacy_config_port(struct virtio_device *vd)
{
	return (u16)(vd->port + (vd->shared_irq ? 20 : 24));
}

static void
legacy_config_read(struct virtio_device *vd, unsigned offset, void *buf, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		((u8 *)buf)[i] = inb((u16)(legacy_config_port(vd) + offset + i));
}

static void
legacy_config_write(struct virtio_device *vd, unsigned offset, const void *buf, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		outb((u16)(legacy_config_port(vd) + offset + i), ((const u8 *)buf)[i]);
}

static u64
legacy_features_offered(struct virtio_device *vd)
{
	return inl(vd->port + VIRTIO_PCI_HOST_FEATURES);
}

static void
legacy_features_set(struct virtio_device *vd, u64 features)
{
	outl(vd->port + VIRTIO_PCI_GUEST_FEATURES, (u32)features);
}

static u8
legacy_status_get(struct virtio_device *vd)
{
	return inb(vd->port + VIRTIO_PCI_STATUS);
}

static void
legacy_status_set(struct virtio_device *vd, u8 status)
{
	outb(vd->port + VIRTIO_PCI_STATUS, status);
}

static u16
legacy_queue_size(struct virtio_device *vd, unsigned index)
{
	outw(vd->port + VIRTIO_PCI_QUEUE_SEL, (u16)index);
	return inw(vd->port + VIRTIO_PCI_QUEUE_NUM);
}

static int
legacy_queue_start(struct virtio_queue *q, struct core *core)
{
	struct virtio_device *vd = q->dev;
	u16 vector;
	int err;

	err = bind_queue_irq(q, core, &vector);
	if (err)
		return err;
	outw(vd->port + VIRTIO_PCI_QUEUE_SEL, (u16)q->index);
	if (!vd->shared_irq) {
		outw(vd->port + VIRTIO_MSI_QUEUE_VECTOR, vector);
		if (inw(vd->port + VIRTIO_MSI_QUEUE_VECTOR) != vector)
			return -ENOSPC;
	}
	outl(vd->port + VIRTIO_PCI_QUEUE_PFN, (u32)(virt_to_phys(q->mem) >> PAGE_SHIFT));
	return 0;
}

static void
legacy_notify(struct virtio_queue *q)
{
	outw(q->dev->port + VIRTIO_PCI_QUEUE_NOTIFY, (u16)q->index);
}

static const struct virtio_transport_ops legacy_ops = {
	.config_read = legacy_config_read,
	.config_write = legacy_config_write,
	.features_offered = legacy_features_offered,
	.features_set = legacy_features_set,
	.status_get = legacy_status_get,
	.status_set = legacy_status_set,
	.queue_size = legacy_queue_size,
	.queue_start = legacy_queue_start,
	.notify = legacy_notify,
};

/* ---- interrupts ---- */

static void
config_interrupt(void *arg)
{
	struct virtio_device *vd = arg;

	if (vd->config_changed)
		vd->config_changed(vd->config_arg);
}

static void
queues_interrupt(struct virtio_device *vd)
{
	for (unsigned i = 0; i < atomic_load(&vd->queues); i++) {
		struct virtio_queue *q = vd->queue[i];

		if (q->fn)
			q->fn(q->arg);
	}
}

static void
shared_interrupt(void *arg)
{
	struct virtio_device *vd = arg;
	u8 isr = vd->legacy ? inb(vd->port + VIRTIO_PCI_ISR) : *vd->isr;

	if (isr & VIRTIO_PCI_ISR_CONFIG)
		config_interrupt(vd);
	if (isr & 1)
		queues_interrupt(vd);
}

static void
last_entry_interrupt(void *arg)
{
	queues_interrupt(arg);
}

static void
tell_config_entry(struct virtio_device *vd)
{
	if (vd->shared_irq)
		return;
	if (vd->legacy)
		outw(vd->port + VIRTIO_MSI_CONFIG_VECTOR, 0);
	else
		COMMON(vd, u16, msix_config) = 0;
}

static void
only_entry_interrupt(void *arg)
{
	config_interrupt(arg);
	queues_interrupt(arg);
}

/* The device's configuration interrupt: the first thing that is bound. */
static int
bind_config_irq(struct virtio_device *vd, struct core *core)
{
	irq_handler fn = config_interrupt;
	int err;

	vd->shared_irq = vd->pci->msix_cap == 0;
	if (vd->shared_irq)
		fn = shared_interrupt;
	else if (pci_irq_count(vd->pci) == 1)
		fn = only_entry_interrupt;
	err = pci_irq_request(vd->pci, 0, core, fn, vd);
	if (err)
		return err;
	vd->irq_bound = true;
	vd->irq_next = 1;
	tell_config_entry(vd);
	return 0;
}

/* Gives the queue an entry: its own, or the last one for it and all that follow. */
static int
take_entry(struct virtio_queue *q, struct core *core, u16 *vector)
{
	struct virtio_device *vd = q->dev;
	unsigned count = pci_irq_count(vd->pci);
	bool last;
	int err;

	*vector = NO_VECTOR;
	if (!vd->irq_bound) {
		err = bind_config_irq(vd, core);
		if (err)
			return err;
	}
	if (vd->shared_irq || !q->fn)
		return 0;
	if (vd->irq_next >= count) {
		*vector = (u16)(count - 1);
		return 0;
	}
	last = vd->irq_next == count - 1;
	err = pci_irq_request(vd->pci, vd->irq_next, core, last ? last_entry_interrupt : q->fn,
			      last ? (void *)vd : q->arg);
	if (err)
		return err;
	*vector = (u16)vd->irq_next++;
	return 0;
}

/* The queue's entry for the device. After a reset it has the same as before. */
static int
bind_queue_irq(struct virtio_queue *q, struct core *core, u16 *vector)
{
	int err = 0;

	if (q->bound)
		tell_config_entry(q->dev);
	else
		err = take_entry(q, core, &q->vector);
	q->bound = q->bound || !err;
	*vector = q->vector;
	return err;
}

/* ---- discovery ---- */

bool
virtio_pci_is(const struct pci_device *d, unsigned type)
{
	if (d->vendor != VIRTIO_PCI_VENDOR)
		return false;
	if (d->device >= 0x1040 && d->device < 0x1080)
		return d->device - 0x1040u == type;
	return d->device >= 0x1000 && d->device < 0x1040 && d->subsystem == type;
}

/* Maps the structure that a vendor capability names. */
static volatile u8 *
cap_map(struct pci_device *d, unsigned cap, u32 *len)
{
	*len = pci_read(d, cap + 12, 4);
	return pci_map_bar(d, pci_read(d, cap + 4, 1), pci_read(d, cap + 8, 4), *len);
}

static void
modern_find(struct virtio_device *vd)
{
	struct pci_device *d = vd->pci;
	u32 len;

	for (unsigned cap = pci_find_capability(d, PCI_CAP_VENDOR, 0); cap;
	     cap = pci_find_capability(d, PCI_CAP_VENDOR, cap)) {
		switch (pci_read(d, cap + 3, 1)) {
		case VIRTIO_PCI_CAP_COMMON_CFG:
			if (!vd->common)
				vd->common = cap_map(d, cap, &len);
			break;
		case VIRTIO_PCI_CAP_NOTIFY_CFG:
			if (vd->notify_base)
				break;
			vd->notify_base = cap_map(d, cap, &vd->notify_len);
			vd->notify_multiplier = pci_read(d, cap + 16, 4);
			break;
		case VIRTIO_PCI_CAP_ISR_CFG:
			if (!vd->isr)
				vd->isr = cap_map(d, cap, &len);
			break;
		case VIRTIO_PCI_CAP_DEVICE_CFG:
			if (!vd->device)
				vd->device = cap_map(d, cap, &vd->device_len);
			break;
		}
	}
}

int
virtio_pci_attach(struct pci_device *d, struct virtio_device *vd)
{
	vd->pci = d;
	pci_enable(d);
	modern_find(vd);
	if (vd->common && vd->notify_base && vd->isr) {
		vd->ops = &modern_ops;
		vd->ops->status_set(vd, 0);
		return 0;
	}
	if (d->device >= 0x1040)
		return -ENXIO;
	vd->port = pci_io_bar(d, 0);
	if (!vd->port)
		return -ENXIO;
	vd->legacy = true;
	vd->ops = &legacy_ops;
	vd->shared_irq = d->msix_cap == 0 || !(pci_read(d, d->msix_cap + 2u, 2) &
					       0x8000); /* layout until MSI-X is on */
	vd->ops->status_set(vd, 0);
	return 0;
}
