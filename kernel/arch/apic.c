/*
 * Local APIC: interrupts between cores and the one-shot timer. Device interrupts: the vectors of
 * each core and their handlers, the IO-APICs, MSI messages. SDM 3A chapter 11; 82093AA.
 *
 * A local APIC is touched by its own core only. Locks: ioapics->lock for IO-APIC registers and for
 * handing out vectors; irq_dispatch() reads its core's table without it (a slot is filled argument
 * first, handler last).
 *
 * x2APIC is used where a hypervisor or the firmware offers it: without interrupt remapping it is
 * not defined on bare metal.
 */
#include "arch/apic.h"
#include "arch/clock.h"
#include "arch/cpu.h"
#include "arch/layout.h"
#include "core/core.h"
#include "core/panic.h"
#include "lib/acpi.h"
#include "lib/assert.h"
#include "lib/atomic.h"
#include <asm/errno.h>

#define MSR_APIC_BASE	 0x1b
#define APIC_BASE_X2	 (1u << 10)
#define APIC_BASE_ENABLE (1u << 11)
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_X2APIC	 0x800

/* Registers, by offset; the MSR is 0x800 + offset / 16. */
#define REG_TPR	      0x80
#define REG_EOI	      0xb0
#define REG_SPURIOUS  0xf0
#define REG_ICR	      0x300
#define REG_ICR_HIGH  0x310
#define REG_LVT_TIMER 0x320
#define REG_LVT_LINT0 0x350
#define REG_LVT_LINT1 0x360
#define REG_LVT_ERROR 0x370
#define REG_TIMER_SET 0x380
#define REG_TIMER_NOW 0x390
#define REG_TIMER_DIV 0x3e0

#define LVT_MASKED     (1u << 16)
#define LVT_DEADLINE   (2u << 17)
#define LVT_NMI	       0x400
#define SPURIOUS_ON    0x100
#define DIVIDE_BY_16   3
#define ICR_PENDING    (1u << 12)
#define ICR_INIT       0x4500 /* INIT, assert */
#define ICR_STARTUP    0x4600
#define ICR_NMI_OTHERS 0xc4400

#define RTE_MASKED     (1u << 16)
#define RTE_LEVEL      (1u << 15)
#define RTE_ACTIVE_LOW (1u << 13)

static u32
reg_read(const struct ioapics *a, u32 reg)
{
	return a->x2apic ? (u32)rdmsr(MSR_X2APIC + (reg >> 4)) : a->lapic[reg / 4];
}

static void
reg_write(const struct ioapics *a, u32 reg, u32 v)
{
	if (a->x2apic)
		wrmsr(MSR_X2APIC + (reg >> 4), v);
	else
		a->lapic[reg / 4] = v;
}

u32
apic_id(void)
{
	u32 r[4];

	cpuid(0, 0, r);
	if (r[0] >= 0xb) {
		cpuid(0xb, 0, r);
		if (r[1])
			return r[3];
	}
	cpuid(1, 0, r);
	return r[1] >> 24;
}

/* --- set-up --- */

static u32
io_read(const struct ioapic *io, u32 index)
{
	io->regs[0] = index;
	return io->regs[4];
}

static void
io_write(const struct ioapic *io, u32 index, u32 v)
{
	io->regs[0] = index;
	io->regs[4] = v;
}

/* The two 8259: moved off the exception vectors, then masked for good. */
static void
pic_disable(void)
{
	static const u8 words[][2] = {
		{0x20, 0x11}, {0xa0, 0x11}, {0x21, 0x20}, {0xa1, 0x28}, {0x21, 4},
		{0xa1, 2},    {0x21, 1},    {0xa1, 1},	  {0x21, 0xff}, {0xa1, 0xff},
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		outb(words[i][0], words[i][1]);
}

void
apic_init_machine(void)
{
	struct ioapics *a = machine()->ioapics;
	const struct acpi *acpi = machine()->acpi;
	u32 r[4];

	spin_init(&a->lock, "ioapics", RANK_NONE);
	cpuid(1, 0, r);
	a->tsc_deadline = r[2] & (1u << 24);
	a->x2apic = (r[2] & (1u << 21)) &&
		    ((r[2] & (1u << 31)) || (rdmsr(MSR_APIC_BASE) & APIC_BASE_X2));
	a->lapic = (volatile u32 *)(MMIO_BASE + (acpi->lapic ? acpi->lapic : 0xfee00000));
	pic_disable();
	for (u32 i = 0; i < acpi->nioapics && a->n < IOAPICS_MAX; i++) {
		struct ioapic *io = &a->io[a->n++];

		io->regs = (volatile u32 *)(MMIO_BASE + acpi->ioapic[i].address);
		io->gsi_base = acpi->ioapic[i].gsi_base;
		io->pins = (io_read(io, 1) >> 16 & 0xff) + 1;
		for (u32 pin = 0; pin < io->pins; pin++) {
			io_write(io, 0x10 + 2 * pin, RTE_MASKED);
			io_write(io, 0x11 + 2 * pin, 0);
		}
	}
}

/* Ticks of the timer against the TSC: the median of three windows, for a noisy host. */
static u64
measure_timer(struct ioapics *a)
{
	u64 rate[3], low, high;

	reg_write(a, REG_LVT_TIMER, LVT_MASKED | VECTOR_TIMER);
	for (int i = 0; i < 3; i++) {
		ns_t t0, t1;
		u32 left;

		reg_write(a, REG_TIMER_SET, ~0u);
		t0 = clock_now();
		while ((t1 = clock_now()) < t0 + NS_PER_MS)
			cpu_pause();
		left = reg_read(a, REG_TIMER_NOW);
		rate[i] = ((u64)(~0u - left) << 32) / (u64)(t1 - t0);
	}
	reg_write(a, REG_TIMER_SET, 0);
	low = min(rate[0], rate[1]);
	high = max(rate[0], rate[1]);
	high = min(high, rate[2]);
	return max(low, high);
}

void
apic_init_core(void)
{
	struct ioapics *a = machine()->ioapics;
	u64 base = rdmsr(MSR_APIC_BASE) | APIC_BASE_ENABLE;

	wrmsr(MSR_APIC_BASE, base);
	if (a->x2apic)
		wrmsr(MSR_APIC_BASE, base | APIC_BASE_X2);
	reg_write(a, REG_TPR, 0);
	reg_write(a, REG_SPURIOUS, SPURIOUS_ON | VECTOR_SPURIOUS);
	reg_write(a, REG_LVT_LINT0, LVT_MASKED);
	reg_write(a, REG_LVT_LINT1, LVT_NMI);
	reg_write(a, REG_LVT_ERROR, LVT_MASKED);
	reg_write(a, REG_TIMER_DIV, DIVIDE_BY_16);
	if (!a->tsc_deadline && !a->timer_mult) /* the boot core, before any other runs */
		a->timer_mult = measure_timer(a);
	if (a->tsc_deadline) {
		reg_write(a, REG_LVT_TIMER, LVT_DEADLINE | VECTOR_TIMER);
		__asm__ volatile("mfence" : : : "memory"); /* SDM 3A 11.5.4.1: before the MSR */
	} else {
		reg_write(a, REG_LVT_TIMER, VECTOR_TIMER);
	}
	apic_timer_set(NS_FOREVER);
	apic_eoi();
}

/* --- this core's APIC --- */

void
apic_eoi(void)
{
	reg_write(machine()->ioapics, REG_EOI, 0);
}

static void
send(u32 dest, u32 command)
{
	const struct ioapics *a = machine()->ioapics;

	irq_push_off(); /* the two halves of the ICR belong together */
	if (a->x2apic) {
		/* The MSR write is not serialising: what the IPI announces must be visible. */
		__asm__ volatile("mfence; lfence" : : : "memory");
		wrmsr(MSR_X2APIC + (REG_ICR >> 4), (u64)dest << 32 | command);
	} else {
		while (a->lapic[REG_ICR / 4] & ICR_PENDING)
			cpu_pause();
		a->lapic[REG_ICR_HIGH / 4] = dest << 24;
		a->lapic[REG_ICR / 4] = command;
	}
	irq_pop_off();
}

void
apic_send_ipi(u32 dest, u8 vector)
{
	send(dest, 0x4000u | vector);
}

void
apic_send_init(u32 dest)
{
	send(dest, ICR_INIT);
}

void
apic_send_startup(u32 dest, u8 page)
{
	send(dest, ICR_STARTUP | page);
}

void
apic_send_nmi_others(void)
{
	send(0, ICR_NMI_OTHERS);
}

/* A deadline in the past fires at once; one beyond the counter's reach fires early, and the timer
 * interrupt sets it again. */
void
apic_timer_set(ns_t expires)
{
	const struct ioapics *a = machine()->ioapics;
	u64 count;
	ns_t left;

	if (a->tsc_deadline) {
		wrmsr(MSR_TSC_DEADLINE, expires == NS_FOREVER ? 0 : clock_tsc_at(expires));
		return;
	}
	if (expires == NS_FOREVER) {
		reg_write(a, REG_TIMER_SET, 0);
		return;
	}
	left = max(expires - clock_now(), (ns_t)0);
	left = min(left, 3600 * NS_PER_SEC);
	count = (u64)((unsigned __int128)(u64)left * a->timer_mult >> 32);
	count = min(count, (u64)UINT32_MAX);
	reg_write(a, REG_TIMER_SET, (u32)max(count, (u64)1));
}

/* --- device vectors --- */

int
irq_alloc(struct core *core, irq_handler fn, void *arg)
{
	struct ioapics *a = machine()->ioapics;
	irq_handler *handlers = core->irq_handlers;
	void **args = core->irq_args;
	int vector = -ENOSPC;

	spin_lock(&a->lock);
	for (int i = 0; i < IRQ_VECTORS; i++) {
		if (handlers[i])
			continue;
		args[i] = arg;
		atomic_store(&handlers[i], fn);
		vector = VECTOR_DEVICE_FIRST + i;
		break;
	}
	spin_unlock(&a->lock);
	return vector;
}

void
irq_free(struct core *core, int vector)
{
	irq_handler *handlers = core->irq_handlers;

	assert(vector >= VECTOR_DEVICE_FIRST && vector <= VECTOR_DEVICE_LAST);
	atomic_store(&handlers[vector - VECTOR_DEVICE_FIRST], NULL);
}

unsigned
irq_bound(const struct core *core)
{
	irq_handler *handlers = core->irq_handlers;
	unsigned n = 0;

	for (int i = 0; i < IRQ_VECTORS; i++)
		n += atomic_load(&handlers[i]) != NULL;
	return n;
}

void
irq_dispatch(unsigned vector)
{
	struct core *c = this_core();
	irq_handler fn;

	if (vector < VECTOR_DEVICE_FIRST || vector > VECTOR_DEVICE_LAST)
		return; /* a late one of the 8259 */
	fn = atomic_load(&((irq_handler *)c->irq_handlers)[vector - VECTOR_DEVICE_FIRST]);
	if (fn)
		fn(((void **)c->irq_args)[vector - VECTOR_DEVICE_FIRST]);
}

void
irq_msi_message(struct core *core, int vector, u64 *address, u32 *data)
{
	/* Physical destination has 8 bits; bits 11:5 hold 14:8 of the id where the hypervisor has
	 * that extension, and are zero for smaller ids. */
	u64 id = core->arch.apic_id;

	*address = 0xfee00000UL | (id & 0xff) << 12 | (id >> 8 & 0x7f) << 5;
	*data = (u32)vector;
}

static struct ioapic *
io_of_gsi(struct ioapics *a, unsigned gsi, u32 *pin)
{
	for (u32 i = 0; i < a->n; i++) {
		if (gsi < a->io[i].gsi_base || gsi >= a->io[i].gsi_base + a->io[i].pins)
			continue;
		*pin = gsi - a->io[i].gsi_base;
		return &a->io[i];
	}
	return NULL;
}

int
irq_route_gsi(unsigned gsi, struct core *core, int vector, bool level, bool active_low)
{
	struct ioapics *a = machine()->ioapics;
	u32 pin, low = RTE_MASKED | (u32)vector;
	struct ioapic *io = io_of_gsi(a, gsi, &pin);

	if (!io)
		return -ENODEV;
	if (core->arch.apic_id > 0xff)
		return -EINVAL;
	if (level)
		low |= RTE_LEVEL;
	if (active_low)
		low |= RTE_ACTIVE_LOW;
	spin_lock(&a->lock);
	io_write(io, 0x10 + 2 * pin, RTE_MASKED);
	io_write(io, 0x11 + 2 * pin, core->arch.apic_id << 24);
	io_write(io, 0x10 + 2 * pin, low);
	spin_unlock(&a->lock);
	return 0;
}

void
irq_mask_gsi(unsigned gsi, bool masked)
{
	struct ioapics *a = machine()->ioapics;
	u32 pin, low;
	struct ioapic *io = io_of_gsi(a, gsi, &pin);

	if (!io)
		return;
	spin_lock(&a->lock);
	low = io_read(io, 0x10 + 2 * pin) & ~RTE_MASKED;
	io_write(io, 0x10 + 2 * pin, low | (masked ? RTE_MASKED : 0));
	spin_unlock(&a->lock);
}

static const struct acpi_override *
override_of(unsigned isa_irq)
{
	const struct acpi *acpi = machine()->acpi;

	for (u32 i = 0; i < acpi->noverrides; i++)
		if (acpi->override[i].irq == isa_irq)
			return &acpi->override[i];
	return NULL;
}

int
irq_isa_to_gsi(unsigned isa_irq)
{
	const struct acpi_override *o = override_of(isa_irq);

	return o ? (int)o->gsi : (int)isa_irq;
}

int
irq_route_isa(unsigned isa_irq, struct core *core, int vector)
{
	const struct acpi_override *o = override_of(isa_irq);

	return irq_route_gsi(o ? o->gsi : isa_irq, core, vector, o && o->level, o && o->active_low);
}
