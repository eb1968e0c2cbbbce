/*
 * Local APIC (xAPIC and x2APIC), IO-APIC, and interrupt vectors for devices (SDM 3A chapter 11).
 *
 * A device interrupt is a (core, vector) pair. Handlers run with interrupts off on that core and
 * end with the EOI that the trap code sends.
 */
#ifndef ARCH_APIC_H
#define ARCH_APIC_H

#include "arch/trap.h"
#include "core/spinlock.h"
#include "lib/types.h"

struct core;

#define IRQ_VECTORS (VECTOR_DEVICE_LAST - VECTOR_DEVICE_FIRST + 1)
#define IOAPICS_MAX 8

struct ioapic {
	volatile u32 *regs; /* [I] index at 0, data at 0x10 */
	u32 gsi_base, pins; /* [I] */
};

/* Interrupt hardware of the machine: machine()->ioapics, allocated (zeroed) by boot. */
struct ioapics {
	struct spinlock lock; /* rank RANK_NONE: IO-APIC registers, vector tables */
	bool x2apic;	      /* [I] local APICs are MSRs, not memory */
	bool tsc_deadline;    /* [I] */
	volatile u32 *lapic;  /* [I] */
	u64 timer_mult;	      /* [I] timer ticks in a nanosecond, 32.32 */
	u32 n;		      /* [I] */
	struct ioapic io[IOAPICS_MAX];
};

/* Boot core, after ACPI: finds and masks everything. */
void apic_init_machine(void);
/* Every core. The boot core does it after clock_init() and measures the timer on the way. */
void apic_init_core(void);
/* The id of the calling core, from CPUID: needs nothing to be set up. */
u32 apic_id(void);
void apic_eoi(void);
void apic_send_ipi(u32 apic_id, u8 vector);
void apic_send_init(u32 apic_id);
void apic_send_startup(u32 apic_id, u8 page);
void apic_send_nmi_others(void);

/* Arms this core's one-shot timer for an absolute time (clock_now() scale); NS_FOREVER disarms. */
void apic_timer_set(ns_t expires);

typedef void (*irq_handler)(void *arg);

/* Reserves a vector on `core` and binds a handler to it. Returns the vector or -ENOSPC. */
int irq_alloc(struct core *core, irq_handler fn, void *arg);
void irq_free(struct core *core, int vector);
/* How many vectors of the core are bound. */
unsigned irq_bound(const struct core *core);
/* Runs the handler of `vector` on this core: trap_ops->irq. */
void irq_dispatch(unsigned vector);
/* MSI address and data that reach (core, vector). */
void irq_msi_message(struct core *core, int vector, u64 *address, u32 *data);
/* Routes an ISA interrupt (0..15, after MADT overrides) or a GSI to (core, vector); masked off. */
int irq_route_isa(unsigned isa_irq, struct core *core, int vector);
int irq_route_gsi(unsigned gsi, struct core *core, int vector, bool level, bool active_low);
void irq_mask_gsi(unsigned gsi, bool masked);
int irq_isa_to_gsi(unsigned isa_irq);

#endif
