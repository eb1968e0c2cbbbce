/*
 * What the boot procedure tells a cluster's kernel instance: the first thing in its kdata.
 * The layout follows the ALMOS-MKH boot_info_t as mapped to x86-64; the general and external parts
 * are equal in all clusters (crc_general), the rest is the cluster's own (crc_local) and right when
 * kernel_init begins: D3 adds to rsvd[].
 */
#ifndef CLUSTER_BOOT_INFO_H
#define CLUSTER_BOOT_INFO_H

#include "arch/layout.h"
#include "lib/archinfo.h"
#include "lib/ranges.h"
#include "lib/types.h"

#define BOOT_INFO_MAGIC	  0x48464249u /* "HFBI" */
#define BOOT_INFO_VERSION 2
#define BOOT_RANGES	  16
#define BOOT_RSVD	  32
#define BOOT_CMDLINE	  1024
#define BOOT_DEVICES	  32

#define BOOT_CLUSTER_INSTANCE 1 /* flags: a kernel instance runs in it */
#define BOOT_CLUSTER_JOINED   2 /* it holds memory of other domains too */

struct boot_cluster {
	u16 cxy;
	u16 cores;
	u32 flags;    /* BOOT_CLUSTER_* */
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

struct boot_info {
	u32 magic;
	u16 version;
	u16 size;
	u32 crc_general;
	u32 crc_local;
	/* general: the same everywhere */
	u32 clusters; /* all have an instance; the position in cluster[] is the cxy */
	u16 boot_cxy;
	u16 io_cxy;   /* whose first core starts the devices */
	u16 init_cxy; /* where the first process starts */
	u16 paddr_bits;
	struct boot_cluster cluster[MAX_CLUSTERS];
	u8 distance[MAX_CLUSTERS][MAX_CLUSTERS];
	u32 tsc_khz;
	bool x2apic;
	u64 lapic_paddr, hpet_paddr;
	u64 ecam_paddr; /* of the first PCI segment; 0: none */
	u8 ecam_bus_first, ecam_bus_last;
	u64 rsdp;
	u64 module_paddr, module_size; /* the root image */
	u64 tsc_at_entry;	       /* TSC when the kernel was entered */
	u64 machine;		       /* struct machine, a physmap pointer */
	char cmdline[BOOT_CMDLINE];
	/* external: what the machine shares, the same everywhere */
	u32 ext_dev_nr;
	struct arch_device ext_dev[BOOT_DEVICES];
	/* local: this cluster's own */
	u16 cxy;
	u16 cores_nr;
	struct boot_core core[MAX_CORES];
	u8 distance_row[MAX_CLUSTERS];
	u32 int_dev_nr;
	struct arch_device int_dev[1]; /* [0]: the cluster's local APICs */
	u32 range_nr, rsvd_nr;
	struct boot_range range[BOOT_RANGES]; /* RAM of this cluster */
	struct boot_range rsvd[BOOT_RSVD];    /* of that: not for the page allocator */
	u32 pages_offset; /* pages from lpa_base to the first behind the kernel's copies */
	u32 pages_nr;	  /* pages of all ranges */
	u64 kcode_paddr, krodata_paddr, kdata_paddr;
	u64 kcode_size, kdata_size;
	u32 kcode_crc;
	u64 pml4_paddr; /* master root of this cluster */
	u64 entry;	/* kernel_init */
};

_Static_assert(sizeof(struct boot_info) <= 8192, "boot_info fits in two pages");

extern struct boot_info boot_info; /* of this cluster, at KDATA_BASE */

#endif
