/*
 * Drivers: one table {name, stage, match, probe}. Devices are found on PCI, by ACPI or by ISA probe
 * and started in Phantom's four stages: 0 very early (interrupts only), 1 infrastructure is there,
 * 2 the disks that the store may live on, 3 the rest.
 */
#ifndef DEV_DRIVER_H
#define DEV_DRIVER_H

#include "dev/pci.h"

struct driver {
	const char *name;
	int stage;
	bool (*match)(const struct pci_device *d); /* NULL: no PCI device (ISA, ACPI) */
	int (*probe)(struct pci_device *d);	   /* 0 bound; -ENODEV */
};

extern const struct driver *const driver_table[]; /* NULL-terminated; dev/table.c */

void devices_init(void);	    /* scans buses */
void devices_start(int stage); /* probes drivers of the stage */

#endif
