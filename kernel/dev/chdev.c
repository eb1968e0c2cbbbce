/*
 * chdevs: which cluster serves a device (ALMOS-MKH). Internal ones, one for each that a cluster's
 * boot_info names, are made by its own first core in D4; external ones by the boot thread as
 * drivers bind: their index modulo the clusters says where, and over the cores there they take
 * turns. A chdev lies in the memory of its cluster and is never freed.
 */
#include "cluster/cluster.h"
#include "core/klog.h"
#include "dev/driver.h"
#include "lib/atomic.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/slab.h"

struct core *
chdev_core(const struct chdev *c, unsigned n)
{
	struct cluster *cl = machine()->cluster[c->cxy];

	return cl->core[(c->index / machine()->nclusters + n) % cl->cores_nr];
}

/* Its number among those of the name. => devs->lock held */
static unsigned
count_same(struct devices *devs, const char *name)
{
	struct chdev *other;
	unsigned same = 0;

	list_for_each_entry (other, &devs->chdevs, link)
		if (other->channel == 0 && strncmp(other->name, name, strlen(name)) == 0)
			same++;
	return same;
}

/* In the cluster that the next index says. Indexes are given by one thread. */
static struct chdev *
chdev_alloc(struct devices *devs, struct pci_device *d)
{
	unsigned index = devs->chdev_nr, cxy = index % machine()->nclusters;
	struct chdev *c = kzalloc_on(cxy, sizeof(*c));

	if (!c)
		return NULL;
	c->index = index;
	c->cxy = cxy;
	c->core = chdev_core(c, 0);
	c->pci = d;
	return c;
}

/* => devs->lock held */
static void
chdev_enter(struct devices *devs, struct chdev *c)
{
	devs->chdev_nr++;
	list_add_tail(&devs->chdevs, &c->link);
}

struct chdev *
chdev_create(const char *name, struct pci_device *d)
{
	struct devices *devs = machine()->devices;
	struct chdev *c = chdev_alloc(devs, d);

	if (!c)
		return NULL;
	spin_lock(&devs->lock);
	format(c->name, sizeof(c->name), "%s%u", name, count_same(devs, name));
	chdev_enter(devs, c);
	spin_unlock(&devs->lock);
	if (d)
		d->cxy = c->cxy;
	return c;
}

struct chdev *
chdev_create_channel(const struct chdev *first, unsigned channel)
{
	struct devices *devs = machine()->devices;
	struct chdev *c = chdev_alloc(devs, first->pci);

	if (!c)
		return NULL;
	c->channel = channel;
	format(c->name, sizeof(c->name), "%sq%u", first->name, channel);
	spin_lock(&devs->lock);
	chdev_enter(devs, c);
	spin_unlock(&devs->lock);
	return c;
}

/* In the order of clusters; there are no external ones yet. => devs->lock held */
static void
enter_internal(struct devices *devs, struct chdev *c)
{
	struct chdev *other;

	list_for_each_entry (other, &devs->chdevs, link)
		if (other->cxy > c->cxy)
			break;
	list_add_tail(&other->link, &c->link);
}

static void
internal_create(struct devices *devs, const struct arch_device *d)
{
	unsigned cxy = this_cluster()->cxy;
	struct chdev *c = kzalloc(sizeof(*c));

	if (!c) {
		klog(KLOG_ERROR, "dev", "no memory for a device of cluster %u", cxy);
		return;
	}
	assert(d->type >> 16 == ARCH_FUNC_ICU && d->cxy == cxy);
	format(c->name, sizeof(c->name), "icu%u", cxy);
	c->internal = true;
	c->index = cxy;
	c->cxy = cxy;
	c->core = this_cluster()->core[0];
	spin_lock(&devs->lock);
	enter_internal(devs, c);
	spin_unlock(&devs->lock);
}

void
devices_init_cluster(void)
{
	struct devices *devs = machine()->devices;

	for (u32 i = 0; devs && i < boot_info.int_dev_nr; i++)
		internal_create(devs, &boot_info.int_dev[i]);
}

void
chdev_interrupted(struct chdev *c)
{
	atomic_fetch_add(&c->irqs, 1);
	if (this_core()->arch.cxy != c->cxy)
		atomic_fetch_add(&c->strays, 1);
}
