/*
 * The list of devices and how drivers meet them; chdevs and their place in a cluster.
 *
 * Runs on the boot core in D4, stage after stage; nothing is ever unbound. A driver whose match
 * is NULL probes by itself (ISA, ACPI) and is called once with NULL.
 */
#include <asm/errno.h>
#include "cluster/cluster.h"
#include "core/klog.h"
#include "dev/driver.h"
#include "dev/netdev.h"
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

struct chdev *
chdev_create(const char *name, struct pci_device *d)
{
	struct devices *devs = machine()->devices;
	struct chdev *c = kzalloc(sizeof(*c)), *other;
	unsigned same = 0;

	if (!c)
		return NULL;
	spin_lock(&devs->lock);
	list_for_each_entry (other, &devs->chdevs, link)
		if (strncmp(other->name, name, strlen(name)) == 0)
			same++;
	c->index = devs->chdev_nr++;
	list_add_tail(&devs->chdevs, &c->link);
	spin_unlock(&devs->lock);
	format(c->name, sizeof(c->name), "%s%u", name, same);
	c->pci = d;
	c->cxy = c->index % machine()->nclusters;
	c->core = chdev_core(c, 0);
	if (d)
		d->cxy = c->cxy;
	return c;
}

struct core *
chdev_core(const struct chdev *c, unsigned n)
{
	struct cluster *cl = machine()->cluster[c->cxy];

	return cl->core[(c->index / machine()->nclusters + n) % cl->cores_nr];
}

void
netdev_register(struct netdev *d)
{
	struct devices *devs = machine()->devices;

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
