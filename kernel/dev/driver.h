/*
 * Drivers: one table {name, stage, match, probe}. Devices are found on PCI, by ACPI or by ISA probe
 * and started in Phantom's four stages: 0 very early (interrupts only), 1 infrastructure is there,
 * 2 the disks that the store may live on, 3 the rest.
 *
 * A device that is bound becomes a chdev, placed in a cluster: its interrupts are served there.
 * Internal chdevs are what each cluster has of its own: its local APICs.
 */
#ifndef DEV_DRIVER_H
#define DEV_DRIVER_H

#include "core/spinlock.h"
#include "dev/pci.h"

#define DRIVER_STAGES 4

struct driver {
	const char *name;
	int stage;
	bool (*match)(const struct pci_device *d); /* NULL: no PCI device (ISA, ACPI) */
	int (*probe)(struct pci_device *d);	   /* 0 bound; -ENODEV. d is NULL without match */
};

struct netdev_stats;

struct chdev {
	struct list link;		/* [lock] devices->chdevs */
	char name[16];			/* [I] "net0" */
	unsigned index;			/* [I] over the external ones, in the order of binding */
	bool internal;			/* [I] of its cluster, by boot_info.int_dev */
	unsigned channel;		/* [I] 0, or of a device with several */
	unsigned cxy;			/* [I] cluster that serves it */
	struct core *core;		/* [I] core of that cluster for its first interrupt */
	struct pci_device *pci;		/* [I] NULL: no PCI device */
	const struct netdev_stats *net; /* [I] of a network queue; NULL */
	u64 irqs, strays;		/* [a] interrupts; those of them taken in another cluster */
};

struct devices {		  /* machine()->devices */
	struct spinlock lock;	  /* chdevs, netdevs, config ports */
	struct list pci;	  /* [I] after the scan */
	struct list chdevs;	  /* [lock] */
	struct list netdevs;	  /* [lock] struct netdev */
	struct list blocks;	  /* [lock] struct block_device */
	unsigned chdev_nr;	  /* [lock] external ones */
	unsigned pci_nr;	  /* [I] */
	paddr_t ecam;		  /* [I] of bus 0; 0: ports */
	u8 ecam_first, ecam_last; /* [I] */
	void *intx[256];	  /* [probe] chains of handlers by interrupt line */
};

extern const struct driver *const driver_table[]; /* NULL-terminated; dev/table.c */

void devices_init(void);       /* scans buses */
void devices_start(int stage); /* probes drivers of the stage */

/* chdevs of what this cluster has of its own. => the cluster's first core, after devices_init */
void devices_init_cluster(void);
/* Places a device: external ones by index modulo clusters, and over the cores of that cluster in
 * turn. "name%u" gets a number when numbered. NULL: no memory. */
struct chdev *chdev_create(const char *name, struct pci_device *d);
/* A further channel of a device: "name%uqN", placed as a device of its own. NULL: no memory. */
struct chdev *chdev_create_channel(const struct chdev *first, unsigned channel);
/* For a driver's interrupt handler: counts. */
void chdev_interrupted(struct chdev *c);
/* The core for the chdev's n-th interrupt: the cores of its cluster in turn. */
struct core *chdev_core(const struct chdev *c, unsigned n);

#endif
