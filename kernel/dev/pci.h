/* PCI: configuration space by ECAM (MCFG) or ports 0xcf8/0xcfc, BARs, capabilities, MSI and MSI-X. */
#ifndef DEV_PCI_H
#define DEV_PCI_H

#include "arch/apic.h"
#include "lib/list.h"
#include "lib/types.h"

struct pci_device {
	struct list link;
	u16 segment;
	u8 bus, slot, function;
	u16 vendor, device, subsystem_vendor, subsystem;
	u8 class_code, subclass, prog_if, revision;
	u8 irq_pin, irq_line;
	const struct driver *driver;
	void *driver_data;
	unsigned cxy; /* cluster near it */
	u8 msix_cap, msi_cap;
	volatile u32 *msix_table;
	unsigned msix_count;
};

u32 pci_read(const struct pci_device *d, unsigned reg, unsigned bytes);
void pci_write(const struct pci_device *d, unsigned reg, unsigned bytes, u32 v);
unsigned pci_find_capability(const struct pci_device *d, u8 id, unsigned after);
/* Maps memory BAR n; NULL if it is an I/O BAR or absent. */
volatile void *pci_map_bar(struct pci_device *d, unsigned n, size_t *size);
/* Port base of an I/O BAR; 0 if there is none. */
u16 pci_io_bar(struct pci_device *d, unsigned n);
void pci_enable(struct pci_device *d); /* memory, I/O, bus master */
/* Binds interrupt entry n (MSI-X; MSI or the INTx line when n is 0 and there is no MSI-X) to fn on
 * `core`. 0 or -errno. */
int pci_irq_request(struct pci_device *d, unsigned n, struct core *core, irq_handler fn, void *arg);

#endif
