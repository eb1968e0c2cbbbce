/*
 * PCI: configuration space by ECAM (MCFG) or ports 0xcf8/0xcfc, BARs, capabilities, MSI and MSI-X.
 *
 * A struct pci_device is made by the scan and lives for ever. Its driver owns it from probe on;
 * configuration accesses through the ports are serialised by devices->lock.
 */
#ifndef DEV_PCI_H
#define DEV_PCI_H

#include "arch/apic.h"
#include "lib/list.h"
#include "lib/types.h"

#define PCI_VENDOR	    0x00
#define PCI_COMMAND	    0x04
#define PCI_STATUS	    0x06
#define PCI_CLASS_REVISION  0x08
#define PCI_HEADER_TYPE	    0x0e
#define PCI_BAR(n)	    (0x10 + 4 * (n))
#define PCI_SECONDARY_BUS   0x19
#define PCI_SUBSYSTEM	    0x2c
#define PCI_CAPABILITIES    0x34
#define PCI_INTERRUPT_LINE  0x3c
#define PCI_COMMAND_IO	    1u
#define PCI_COMMAND_MEMORY  2u
#define PCI_COMMAND_MASTER  4u
#define PCI_COMMAND_NO_INTX 0x400u
#define PCI_CAP_MSI	    0x05
#define PCI_CAP_VENDOR	    0x09
#define PCI_CAP_MSIX	    0x11
#define PCI_BARS	    6

struct driver;
struct core;

struct pci_device {
	struct list link; /* [I] devices->pci */
	u16 segment;	  /* [I] as all that follow to revision */
	u8 bus, slot, function;
	u16 vendor, device, subsystem_vendor, subsystem;
	u8 class_code, subclass, prog_if, revision;
	u8 irq_pin, irq_line;
	const struct driver *driver; /* [probe] */
	void *driver_data;	     /* [driver] */
	unsigned cxy;		     /* [I] cluster near it */
	u8 msix_cap, msi_cap;	     /* [I] */
	volatile u32 *msix_table;    /* [driver] NULL until the first request */
	unsigned msix_count;	     /* [I] */
};

u32 pci_read(const struct pci_device *d, unsigned reg, unsigned bytes);
void pci_write(const struct pci_device *d, unsigned reg, unsigned bytes, u32 v);
/* The offset of the next capability `id` behind `after` (0: from the start); 0 if there is none. */
unsigned pci_find_capability(const struct pci_device *d, u8 id, unsigned after);
/* Maps `size` bytes from `offset` of memory BAR n, which the caller knows it has; NULL if it is an
 * I/O BAR or absent, or without memory for the tables. */
volatile void *pci_map_bar(const struct pci_device *d, unsigned n, size_t offset, size_t size);
/* Port base of an I/O BAR; 0 if there is none. */
u16 pci_io_bar(struct pci_device *d, unsigned n);
void pci_enable(struct pci_device *d); /* memory, I/O, bus master */
/* For a device that does not stop: it reads and writes no memory any more. */
void pci_silence(struct pci_device *d);
/* How many interrupt entries pci_irq_request can bind: MSI-X's table, else 1. */
unsigned pci_irq_count(const struct pci_device *d);
/* Binds interrupt entry n (MSI-X; MSI or the INTx line when n is 0 and there is no MSI-X) to fn on
 * `core`. 0 or -errno. An INTx line may be shared: fn has to ask its device whether it was meant.
 */
int pci_irq_request(struct pci_device *d, unsigned n, struct core *core, irq_handler fn, void *arg);
/* Finds the devices; called once by devices_init. */
struct devices;
void pci_scan(struct devices *devs);

#endif
