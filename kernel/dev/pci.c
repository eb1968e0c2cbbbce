/*
 * Configuration space, the scan, BARs and interrupts of PCI (PCI Local Bus 3.0; PCI Express base
 * 7.2.2 for ECAM).
 *
 * Buses are walked from 0 through bridges, so a machine without firmware's help for other root
 * buses shows only the first. BARs are taken as firmware set them, and their sizes are not asked:
 * for the answer a device's memory would have to go away for a moment, and QEMU before 8.2 can take
 * another core's access to any device, its own APIC too, for one to this device meanwhile.
 * Interrupts: MSI-X, else MSI with one message, else the INTx line, which firmware's interrupt-line
 * register names and which devices share.
 */
#include <asm/errno.h>
#include "arch/cpu.h"
#include "cluster/cluster.h"
#include "core/klog.h"
#include "dev/driver.h"
#include "lib/acpi.h"
#include "mm/pmap.h"
#include "mm/slab.h"

#define MSIX_ENABLE	0x8000u
#define MSIX_MASK_ALL	0x4000u
#define MSI_ENABLE	1u
#define BRIDGE_CLASS	0x06
#define BRIDGE_SUBCLASS 0x04
#define HEADER_MULTI	0x80
#define MAX_DEPTH	16
#define BAR_IO		1u

struct intx_handler {
	struct intx_handler *next;
	irq_handler fn;
	void *arg;
};

/* ---- configuration space ---- */

static volatile void *
ecam_of(const struct devices *devs, const struct pci_device *d, unsigned reg)
{
	if (!devs->ecam || d->bus < devs->ecam_first || d->bus > devs->ecam_last)
		return NULL;
	return (volatile char *)MMIO_BASE + devs->ecam +
	       (((size_t)d->bus << 20) | ((size_t)d->slot << 15) | ((size_t)d->function << 12) |
		reg);
}

static u16
port_select(const struct pci_device *d, unsigned reg)
{
	outl(0xcf8, 0x80000000u | ((u32)d->bus << 16) | ((u32)d->slot << 11) |
			    ((u32)d->function << 8) | (reg & 0xfc));
	return (u16)(0xcfc + (reg & 3));
}

u32
pci_read(const struct pci_device *d, unsigned reg, unsigned bytes)
{
	struct devices *devs = machine()->devices;
	volatile void *m = ecam_of(devs, d, reg);
	u32 v;
	u16 port;

	if (m)
		return bytes == 1   ? *(volatile u8 *)m
		       : bytes == 2 ? *(volatile u16 *)m
				    : *(volatile u32 *)m;
	if (reg > 0xff)
		return ~0u;
	spin_lock(&devs->lock);
	port = port_select(d, reg);
	v = bytes == 1 ? inb(port) : bytes == 2 ? inw(port) : inl(port);
	spin_unlock(&devs->lock);
	return v;
}

void
pci_write(const struct pci_device *d, unsigned reg, unsigned bytes, u32 v)
{
	struct devices *devs = machine()->devices;
	volatile void *m = ecam_of(devs, d, reg);
	u16 port;

	if (m) {
		if (bytes == 1)
			*(volatile u8 *)m = (u8)v;
		else if (bytes == 2)
			*(volatile u16 *)m = (u16)v;
		else
			*(volatile u32 *)m = v;
		return;
	}
	if (reg > 0xff)
		return;
	spin_lock(&devs->lock);
	port = port_select(d, reg);
	if (bytes == 1)
		outb(port, (u8)v);
	else if (bytes == 2)
		outw(port, (u16)v);
	else
		outl(port, v);
	spin_unlock(&devs->lock);
}

unsigned
pci_find_capability(const struct pci_device *d, u8 id, unsigned after)
{
	unsigned at, left = 48; /* a list cannot have more in 192 bytes */

	if (!(pci_read(d, PCI_STATUS, 2) & 0x10))
		return 0;
	at = after ? pci_read(d, after + 1, 1) : pci_read(d, PCI_CAPABILITIES, 1);
	for (at &= 0xfc; at >= 0x40 && left-- > 0; at = pci_read(d, at + 1, 1) & 0xfc)
		if (pci_read(d, at, 1) == id)
			return at;
	return 0;
}

/* ---- scan ---- */

static void scan_bus(struct devices *devs, unsigned bus, unsigned depth);

static void
found(struct devices *devs, const struct pci_device *probe, u32 ids, unsigned depth)
{
	struct pci_device *d = kzalloc(sizeof(*d));
	u32 v;

	if (!d) {
		klog(KLOG_ERROR, "pci", "no memory for a device");
		return;
	}
	*d = *probe;
	d->vendor = (u16)ids;
	d->device = (u16)(ids >> 16);
	v = pci_read(d, PCI_CLASS_REVISION, 4);
	d->class_code = (u8)(v >> 24);
	d->subclass = (u8)(v >> 16);
	d->prog_if = (u8)(v >> 8);
	d->revision = (u8)v;
	v = pci_read(d, PCI_SUBSYSTEM, 4);
	d->subsystem_vendor = (u16)v;
	d->subsystem = (u16)(v >> 16);
	v = pci_read(d, PCI_INTERRUPT_LINE, 2);
	d->irq_line = (u8)v;
	d->irq_pin = (u8)(v >> 8);
	d->msi_cap = (u8)pci_find_capability(d, PCI_CAP_MSI, 0);
	d->msix_cap = (u8)pci_find_capability(d, PCI_CAP_MSIX, 0);
	if (d->msix_cap)
		d->msix_count = (pci_read(d, d->msix_cap + 2u, 2) & 0x7ff) + 1;
	list_add_tail(&devs->pci, &d->link);
	devs->pci_nr++;
	if (d->class_code == BRIDGE_CLASS && d->subclass == BRIDGE_SUBCLASS) {
		unsigned next = pci_read(d, PCI_SECONDARY_BUS, 1);

		if (next > d->bus && depth < MAX_DEPTH)
			scan_bus(devs, next, depth + 1);
	}
}

static void
scan_bus(struct devices *devs, unsigned bus, unsigned depth)
{
	if (devs->ecam && bus >= devs->ecam_first && bus <= devs->ecam_last &&
	    !mmio_map(devs->ecam + ((paddr_t)bus << 20), 1ul << 20)) {
		klog(KLOG_ERROR, "pci", "no memory to map bus %u", bus);
		return;
	}
	for (unsigned slot = 0; slot < 32; slot++) {
		unsigned functions = 1;

		for (unsigned f = 0; f < functions; f++) {
			struct pci_device d = {.bus = (u8)bus, .slot = (u8)slot, .function = (u8)f};
			u32 ids = pci_read(&d, PCI_VENDOR, 4);

			if ((u16)ids == 0xffff || ids == 0)
				continue;
			if (f == 0 && (pci_read(&d, PCI_HEADER_TYPE, 1) & HEADER_MULTI))
				functions = 8;
			found(devs, &d, ids, depth);
		}
	}
}

void
pci_scan(struct devices *devs)
{
	const struct acpi *acpi = machine()->acpi;

	for (unsigned i = 0; acpi && i < acpi->nmcfgs; i++) {
		if (acpi->mcfg[i].segment != 0)
			continue;
		devs->ecam_first = acpi->mcfg[i].bus_first;
		devs->ecam_last = acpi->mcfg[i].bus_last;
		devs->ecam = acpi->mcfg[i].base;
		break;
	}
	scan_bus(devs, 0, 0);
}

/* ---- BARs ---- */

static bool
bar_is_io(u32 bar)
{
	return bar & BAR_IO;
}

static bool
bar_is_64(u32 bar)
{
	return (bar & 7) == 4;
}

volatile void *
pci_map_bar(const struct pci_device *d, unsigned n, size_t offset, size_t size)
{
	u32 bar = n < PCI_BARS ? pci_read(d, PCI_BAR(n), 4) : BAR_IO;
	paddr_t base = bar & ~15u;

	if (bar_is_io(bar) || (bar_is_64(bar) && n + 1 == PCI_BARS))
		return NULL;
	if (bar_is_64(bar))
		base |= (u64)pci_read(d, PCI_BAR(n + 1), 4) << 32;
	return base ? mmio_map(base + offset, size) : NULL;
}

u16
pci_io_bar(struct pci_device *d, unsigned n)
{
	u32 bar = n >= PCI_BARS ? 0 : pci_read(d, PCI_BAR(n), 4);

	return bar_is_io(bar) ? (u16)(bar & ~3u) : 0;
}

void
pci_enable(struct pci_device *d)
{
	u32 command = pci_read(d, PCI_COMMAND, 2);

	pci_write(d, PCI_COMMAND, 2,
		  command | PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

void
pci_silence(struct pci_device *d)
{
	pci_write(d, PCI_COMMAND, 2, pci_read(d, PCI_COMMAND, 2) & ~PCI_COMMAND_MASTER);
}

/* ---- interrupts ---- */

unsigned
pci_irq_count(const struct pci_device *d)
{
	return d->msix_cap ? d->msix_count : 1;
}

static int
msix_map(struct pci_device *d)
{
	u32 table = pci_read(d, d->msix_cap + 4u, 4);

	d->msix_table = pci_map_bar(d, table & 7, table & ~7u, d->msix_count * 16ul);
	if (!d->msix_table)
		return -ENXIO;
	for (unsigned i = 0; i < d->msix_count; i++)
		d->msix_table[i * 4 + 3] = 1; /* masked until bound */
	pci_write(d, PCI_COMMAND, 2, pci_read(d, PCI_COMMAND, 2) | PCI_COMMAND_NO_INTX);
	pci_write(d, d->msix_cap + 2u, 2,
		  (pci_read(d, d->msix_cap + 2u, 2) & ~MSIX_MASK_ALL) | MSIX_ENABLE);
	return 0;
}

static int
msix_request(struct pci_device *d, unsigned n, struct core *core, int vector)
{
	volatile u32 *e;
	u64 address;
	u32 data;
	int err;

	if (n >= d->msix_count)
		return -EINVAL;
	if (!d->msix_table) {
		err = msix_map(d);
		if (err)
			return err;
	}
	irq_msi_message(core, vector, &address, &data);
	e = &d->msix_table[n * 4];
	e[0] = (u32)address;
	e[1] = (u32)(address >> 32);
	e[2] = data;
	e[3] = 0;
	return 0;
}

static void
msi_request(struct pci_device *d, struct core *core, int vector)
{
	unsigned cap = d->msi_cap;
	u32 control = pci_read(d, cap + 2, 2);
	u64 address;
	u32 data;

	irq_msi_message(core, vector, &address, &data);
	pci_write(d, cap + 4, 4, (u32)address);
	if (control & 0x80) {
		pci_write(d, cap + 8, 4, (u32)(address >> 32));
		pci_write(d, cap + 12, 2, data);
	} else {
		pci_write(d, cap + 8, 2, data);
	}
	pci_write(d, PCI_COMMAND, 2, pci_read(d, PCI_COMMAND, 2) | PCI_COMMAND_NO_INTX);
	pci_write(d, cap + 2, 2, (control & ~0x70u) | MSI_ENABLE);
}

static void
intx_dispatch(void *arg)
{
	for (struct intx_handler *h = atomic_load((struct intx_handler **)arg); h; h = h->next)
		h->fn(h->arg);
}

/* The first device on a line routes it; the others join its chain. */
static int
intx_request(struct pci_device *d, struct core *core, irq_handler fn, void *arg)
{
	struct devices *devs = machine()->devices;
	struct intx_handler *h;
	void **chain = &devs->intx[d->irq_line];
	int vector, gsi, err;

	if (d->irq_pin == 0 || d->irq_line > 15)
		return -ENXIO;
	h = kzalloc(sizeof(*h));
	if (!h)
		return -ENOMEM;
	h->fn = fn;
	h->arg = arg;
	h->next = *chain;
	if (h->next) {
		atomic_store(chain, (void *)h);
		return 0;
	}
	vector = irq_alloc(core, intx_dispatch, chain);
	if (vector < 0) {
		err = vector;
		goto no_vector;
	}
	atomic_store(chain, (void *)h);
	gsi = irq_isa_to_gsi(d->irq_line);
	err = irq_route_gsi((unsigned)gsi, core, vector, true, false);
	if (err)
		goto no_route;
	pci_write(d, PCI_COMMAND, 2, pci_read(d, PCI_COMMAND, 2) & ~PCI_COMMAND_NO_INTX);
	irq_mask_gsi((unsigned)gsi, false);
	return 0;

no_route:
	atomic_store(chain, NULL);
	irq_free(core, vector);
no_vector:
	kfree(h);
	return err;
}

int
pci_irq_request(struct pci_device *d, unsigned n, struct core *core, irq_handler fn, void *arg)
{
	int vector, err = 0;

	if (!d->msix_cap && n > 0)
		return -EINVAL;
	if (!d->msix_cap && !d->msi_cap)
		return intx_request(d, core, fn, arg);
	vector = irq_alloc(core, fn, arg);
	if (vector < 0)
		return vector;
	if (d->msix_cap)
		err = msix_request(d, n, core, vector);
	else
		msi_request(d, core, vector);
	if (err)
		irq_free(core, vector);
	return err;
}
