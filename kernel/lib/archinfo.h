/*
 * What a machine is made of, before clusters are planned: cores and memory by domain.
 *
 * It comes from the ACPI tables (archinfo_from_acpi) or from an arch_info.bin, the ALMOS-MKH boot
 * file as mapped to x86-64 (archfile.c; the format is in doc/multikernel.md). A file may leave
 * things out and group them otherwise, it never adds anything: archinfo_restrict holds it against
 * what ACPI and the firmware's memory map report. Pure.
 */
#ifndef LIB_ARCHINFO_H
#define LIB_ARCHINFO_H

#include "lib/acpi.h"
#include "lib/ranges.h"
#include "lib/types.h"

#define ARCH_CORES   ACPI_CORES
#define ARCH_DOMAINS 32
#define ARCH_RANGES  ACPI_MEMORIES
#define ARCH_DEVICES 32
#define ARCH_NAME    32

#define ARCHFILE_MAGIC	 0x38364941u /* "AI86" */
#define ARCHFILE_VERSION 1
#define ARCHFILE_HEADER	 128
#define ARCHFILE_MAX	 (1u << 20) /* bytes; a longer file is taken for garbage */

#define ARCH_NO_BDF    0xffffffffu
#define ARCH_NO_DOMAIN 0xffffu

enum arch_range_kind {
	ARCH_RAM = 0,
	ARCH_RESERVED = 1,
	ARCH_MMIO = 2,
	ARCH_NONVOLATILE = 3,
	ARCH_FAR_RAM = 4, /* belongs to a cluster but is never its first choice */
};

struct archinfo_core {
	u32 gid; /* APIC id */
	u32 uid; /* of ACPI */
	u16 domain;
	bool has_domain;
};

struct archinfo_range {
	u64 base, size;
	u16 domain;
	u16 kind; /* enum arch_range_kind */
};

/* A device as the file has it; what ACPI knows of is in the same form (boot_info.ext_dev). */
struct arch_device {
	u64 base, size;
	u32 type; /* function << 16 | implementation */
	u16 cxy;  /* in archinfo: index of the domain */
	u16 channels;
	u32 bdf; /* segment << 16 | bus << 8 | devfn; ARCH_NO_BDF */
	u32 param[4];
	u32 irq_first;
	u16 irqs;
	u16 pad[7];
};
_Static_assert(sizeof(struct arch_device) == 64, "a device entry of the file");

/* Functions of devices (the upper half of a type), as in ALMOS-MKH. */
enum arch_function {
	ARCH_FUNC_BRIDGE = 3, /* to the input/output buses: a PCI host */
	ARCH_FUNC_TIMER = 8,
	ARCH_FUNC_ICU = 10, /* of a cluster: its local APICs */
	ARCH_FUNC_PIC = 11, /* of the machine: an IO-APIC */
};

struct archinfo {
	char name[ARCH_NAME];
	u32 ndomains; /* 0: nothing is known about who is near to whom */
	u16 io;	      /* domain whose cores start the devices; ARCH_NO_DOMAIN: the boot core's */
	u32 ncores, cores_lost, nranges, ndevices;
	u32 pxm[ARCH_DOMAINS];	/* proximity domain (ACPI) of each */
	u16 near[ARCH_DOMAINS]; /* domain whose cores memory without cores is attached to, or itself
				 */
	struct archinfo_core core[ARCH_CORES];
	struct archinfo_range range[ARCH_RANGES];
	u8 distance[ARCH_DOMAINS][ARCH_DOMAINS]; /* SLIT units: 10 local, 255 unreachable */
	struct arch_device device[ARCH_DEVICES];
};

/* Why a file is refused. */
struct archinfo_fault {
	const char *what;
	u64 where; /* the entry, the offset or the address that it is about */
};

/* What restriction left out. */
struct archinfo_dropped {
	u32 ncores;
	u32 gid[8]; /* the first of them */
};

void archinfo_from_acpi(struct archinfo *out, const struct acpi *a);

/* Whether `data` begins like an arch_info.bin. */
bool archinfo_is_file(const void *data, u64 size);
/* Reads a file. 0, or -EINVAL with *fault filled; then *out is not to be used. */
int archinfo_read(struct archinfo *out, const void *data, u64 size, struct archinfo_fault *fault);
/*
 * Holds a file against the machine. Cores that ACPI does not report are dropped (a stale file);
 * memory that neither the SRAT nor the firmware's map reports refuses the file, and so does one
 * without the boot core `boot_gid`. *ram, the usable memory, becomes what the file leaves of it.
 * 0, or -EINVAL with *fault filled; then *ram is unchanged.
 */
int archinfo_restrict(struct archinfo *file, const struct acpi *a, struct boot_ranges *ram,
		      u32 boot_gid, struct archinfo_dropped *dropped, struct archinfo_fault *fault);

#endif
