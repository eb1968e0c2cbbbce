/*
 * The list of devices and how drivers meet them.
 *
 * Runs on the boot core in D4, stage after stage; nothing is ever unbound. A driver whose match
 * is NULL probes by itself (ISA, ACPI) and is called once with NULL.
 */
#include <asm/errno.h>
#include "cluster/cluster.h"
#include "core/klog.h"
#include "dev/driver.h"
#include "dev/netdev.h"
#include "lib/atomic.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/slab.h"

void
devices_init(void)
{
	struct devices *devs = kzalloc(sizeof(*devs));

	if (!devs) {
		klog(KLOG_ERROR, "dev", "no memory for the list of devices");
		return;
	}
	spin_init(&devs->lock, "devices", RANK_NONE);
	list_init(&devs->pci);
	list_init(&devs->chdevs);
	list_init(&devs->netdevs);
	list_init(&devs->blocks);
	machine()->devices = devs;
	pci_scan(devs);
	klog(KLOG_BOOT, "dev", "%u PCI devices by %s", devs->pci_nr, devs->ecam ? "ECAM" : "ports");
}

static void
start_driver(const struct driver *drv)
{
	struct pci_device *d;
	int err;

	if (!drv->match) {
		err = drv->probe(NULL);
		if (err && err != -ENODEV)
			klog(KLOG_WARN, "dev", "%s: error %d", drv->name, -err);
		return;
	}
	list_for_each_entry (d, &machine()->devices->pci, link) {
		if (d->driver || !drv->match(d))
			continue;
		err = drv->probe(d);
		if (err == 0)
			d->driver = drv;
		else if (err != -ENODEV)
			klog(KLOG_WARN, "dev", "%s at %02x:%02x.%u: error %d", drv->name, d->bus,
			     d->slot, d->function, -err);
	}
}

void
devices_start(int stage)
{
	if (!machine()->devices)
		return;
	for (unsigned i = 0; driver_table[i]; i++)
		if (driver_table[i]->stage == stage)
			start_driver(driver_table[i]);
}

/* A cluster sends through the queue that it serves, else through one of the others in turn. */
static void
choose_near(struct netdev *d)
{
	unsigned clusters = machine()->nclusters;

	for (unsigned i = 0; i < clusters; i++)
		d->near[(d->queue[0]->chdev->cxy + i) % clusters] = (u8)(i % d->queues);
	for (unsigned i = 0; i < d->queues; i++)
		d->near[d->queue[i]->chdev->cxy] = (u8)i;
}

void
netdev_register(struct netdev *d)
{
	struct devices *devs = machine()->devices;

	choose_near(d);
	spin_lock(&devs->lock);
	list_add_tail(&devs->netdevs, &d->link);
	spin_unlock(&devs->lock);
}

struct netdev *
netdev_next(struct netdev *after)
{
	struct devices *devs = machine()->devices;
	struct list *at;

	if (!devs)
		return NULL;
	spin_lock(&devs->lock);
	at = after ? after->link.next : devs->netdevs.next;
	spin_unlock(&devs->lock);
	return at == &devs->netdevs ? NULL : list_entry(at, struct netdev, link);
}

void
netdev_stats(const struct netdev *d, struct netdev_stats *out)
{
	memset(out, 0, sizeof(*out));
	for (unsigned i = 0; i < d->queues; i++) {
		const struct netdev_stats *s = &d->queue[i]->stats;

		out->rx_packets += s->rx_packets;
		out->rx_bytes += s->rx_bytes;
		out->rx_dropped += s->rx_dropped;
		out->rx_errors += s->rx_errors;
		out->tx_packets += s->tx_packets;
		out->tx_bytes += s->tx_bytes;
		out->tx_dropped += s->tx_dropped;
		out->tx_errors += s->tx_errors;
	}
}
