/*
 * What the boot procedure tells a cluster's kernel instance: the first thing in its kdata.
 * The layout follows the ALMOS-MKH boot_info_t as mapped to x86-64; the general and external parts
 * are equal in all clusters (crc_general), the rest is the cluster's own (crc_local).
 */
#ifndef CLUSTER_BOOT_INFO_H
#define CLUSTER_BOOT_INFO_H

#include "arch/layout.h"
#include "lib/types.h"

#define BOOT_INFO_MAGIC	  0x48464249u /* "HFBI" */
#define BOOT_INFO_VERSION 1
#define BOOT_RANGES	  16
#define BOOT_RSVD	  32
#define BOOT_CMDLINE	  1024

struct boot_cluster {
	u16 cxy;
	u16 cores;
	u32 pxm;      /* ACPI proximity domain */
	u64 lpa_base; /* lowest physical address of the cluster's RAM */
	u64 lpa_size; /* span, holes included */
	u64 kdata_paddr;
};

struct boot_core {
	u32 gid; /* APIC id */
	u16 lid;
	u16 state; /* 1: alive */
};

struct boot_range {
	u64 base;
	u64 size;
};

struct boot_info {
	u32 magic;
	u16 version;
	u16 size;
	u32 crc_general;
	u32 crc_local;
	/* general: the same everywhere */
	u32 clusters;
	u16 boot_cxy, io_cxy;
	struct boot_cluster cluster[MAX_CLUSTERS];
	u8 distance[MAX_CLUSTERS][MAX_CLUSTERS];
	u64 rsdp;
	u64 module_paddr, module_size; /* the root image */
	u64 tsc_at_entry;	       /* TSC when the kernel was entered */
	u64 machine;		       /* struct machine, a physmap pointer */
	char cmdline[BOOT_CMDLINE];
	/* local: this cluster's own */
	u16 cxy;
	u16 cores_nr;
	struct boot_core core[MAX_CORES];
	u32 range_nr, rsvd_nr;
	struct boot_range range[BOOT_RANGES]; /* RAM of this cluster */
	struct boot_range rsvd[BOOT_RSVD];    /* of that: not for the page allocator */
	u64 kcode_paddr, krodata_paddr, kdata_paddr;
	u64 kcode_size, kdata_size;
	u32 kcode_crc;
	u64 pml4_paddr; /* master root of this cluster */
};

_Static_assert(sizeof(struct boot_info) <= 8192, "boot_info fits in two pages");

extern struct boot_info boot_info; /* of this cluster, at KDATA_BASE */

#endif
