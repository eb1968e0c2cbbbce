/*
 * What the ACPI tables say about the machine, read into plain arrays (ACPI 6.4 chapter 5).
 *
 * The readers are pure: they see memory through struct acpi_memory, check every length and
 * checksum, and skip what they do not understand, so they are tested and fuzzed on the host. A
 * table that is absent or broken leaves its part of struct acpi zero. AML is not interpreted; only
 * the constant package \_S5 is searched for.
 */
#ifndef LIB_ACPI_H
#define LIB_ACPI_H

#include "lib/types.h"

#define ACPI_CORES     256
#define ACPI_IOAPICS   8
#define ACPI_OVERRIDES 16
#define ACPI_MEMORIES  64
#define ACPI_PXMS      32
#define ACPI_MCFGS     8

struct acpi_memory {
	/* A readable view of [paddr, paddr + size), or NULL. */
	const void *(*view)(const struct acpi_memory *m, u64 paddr, u64 size);
	const void *arg;
};

struct acpi_core {
	u32 apic_id;
	u32 uid;
	u32 pxm;
	bool has_pxm;
};

struct acpi_ioapic {
	u32 id;
	u32 gsi_base;
	u64 address;
};

struct acpi_override {
	u8 irq;
	u8 active_low; /* 0 high, 1 low */
	u8 level;
	u32 gsi;
};

struct acpi_range {
	u64 base, size;
	u32 pxm;
};

/* HMAT: memory of one domain is attached to the cores of another. */
struct acpi_attached {
	u32 initiator, memory;
};

struct acpi_mcfg {
	u64 base;
	u16 segment;
	u8 bus_first, bus_last;
};

/* A Generic Address Structure: where a register is. */
struct acpi_register {
	u8 space; /* 0 memory, 1 port */
	u8 bits;
	u64 address; /* 0: absent */
};

struct acpi {
	u64 rsdp;
	u64 lapic;
	bool has_8259;
	u32 ncores, nioapics, noverrides, nmemories, nmcfgs;
	u32 cores_lost; /* enabled ones beyond ACPI_CORES */
	struct acpi_core core[ACPI_CORES];
	struct acpi_ioapic ioapic[ACPI_IOAPICS];
	struct acpi_override override[ACPI_OVERRIDES];
	struct acpi_range memory[ACPI_MEMORIES]; /* SRAT: enabled, not non-volatile */
	bool has_srat, has_slit;
	u32 slit_n;
	u8 slit[ACPI_PXMS][ACPI_PXMS];
	u32 nattached;
	struct acpi_attached attached[ACPI_PXMS];
	u16 latency[ACPI_PXMS]
		   [ACPI_PXMS]; /* HMAT: of an access, in the table's unit; 0: not said */
	struct acpi_mcfg mcfg[ACPI_MCFGS];
	u64 hpet; /* 0: absent */
	/* FADT */
	bool has_fadt;
	u16 sci; /* GSI or ISA interrupt of the SCI */
	u32 smi_cmd;
	u8 acpi_enable;
	u32 pm1a_event, pm1b_event, pm1a_control, pm1b_control; /* ports; 0: absent */
	u8 pm1_event_len;
	u32 pm_timer; /* port; 0: absent */
	bool pm_timer_32;
	struct acpi_register reset;
	u8 reset_value;
	u8 century; /* CMOS index; 0: none */
	bool power_button_fixed;
	bool has_s5;
	u8 s5_a, s5_b; /* SLP_TYP values */
};

/* Reads all tables reachable from the RSDP at `rsdp`. 0, or -EINVAL when there is no valid root. */
int acpi_read(struct acpi *out, u64 rsdp, const struct acpi_memory *mem);
/* Searches [base, base + size) for an RSDP on a 16-byte boundary; 0 when there is none. */
u64 acpi_find_rsdp(u64 base, u64 size, const struct acpi_memory *mem);

/* The readers of single tables: `t` is a whole table of `len` bytes, checksum already checked. */
void acpi_read_madt(struct acpi *out, const u8 *t, u32 len);
void acpi_read_srat(struct acpi *out, const u8 *t, u32 len);
void acpi_read_slit(struct acpi *out, const u8 *t, u32 len);
void acpi_read_hmat(struct acpi *out, const u8 *t, u32 len);
void acpi_read_mcfg(struct acpi *out, const u8 *t, u32 len);
void acpi_read_hpet(struct acpi *out, const u8 *t, u32 len);
/* Returns the physical address of the DSDT, or 0. */
u64 acpi_read_fadt(struct acpi *out, const u8 *t, u32 len);
/* Looks for \_S5 in the AML of a DSDT or SSDT. */
void acpi_read_s5(struct acpi *out, const u8 *t, u32 len);

/* Unaligned little-endian reads. */
static inline u16
acpi_u16(const u8 *p)
{
	return (u16)(p[0] | p[1] << 8);
}

static inline u32
acpi_u32(const u8 *p)
{
	return p[0] | (u32)p[1] << 8 | (u32)p[2] << 16 | (u32)p[3] << 24;
}

static inline u64
acpi_u64(const u8 *p)
{
	return acpi_u32(p) | (u64)acpi_u32(p + 4) << 32;
}

#endif
