/*
 * The boot procedure's own structures. All of them lie in the low part of the image (boot_state)
 * and are gone after D7.
 */
#ifndef BOOT_BOOT_H
#define BOOT_BOOT_H

#include "arch/layout.h"
#include "boot/boot_asm.h"
#include "cluster/boot_info.h"
#include "cluster/bootmem.h"
#include "core/core.h"
#include "lib/acpi.h"
#include "lib/cmdline.h"

#define BOOT_MAP     128
#define BOOT_STACK   KSTACK_SIZE
#define BOOT_CLUSTER 0 /* cxy of the boot cluster */

/* Laid out in entry.S: physical addresses and sizes of the image's parts. */
struct boot_low {
	u64 tsc_at_entry;
	u64 pml4;
	u64 trampoline, trampoline_size;
	u64 slots;
	u64 low_start, low_end;
	u64 kcode, krodata, kdata; /* staging copies */
	u64 kcode_size, krodata_size, kdata_file_size, kdata_size;
	u64 kshared_start, kshared_size; /* of kdata: one copy for all clusters */
};

/* Where a core that is being woken finds its stack; searched by the core itself. */
struct boot_slot {
	u32 apic_id;
	u32 state; /* [a] SLOT_* */
	u64 stack; /* top, physmap */
	u64 core;  /* GS base: struct core, physmap; 0 for the first core of a cluster */
	u64 cr3;
	u64 entry; /* void (*)(void *), at kcode's address */
	u64 arg;
};

#define CHECK_SLOT(off, m) _Static_assert(off == offsetof(struct boot_slot, m), #m)
CHECK_SLOT(SLOT_APIC_ID, apic_id);
CHECK_SLOT(SLOT_STATE, state);
CHECK_SLOT(SLOT_STACK, stack);
CHECK_SLOT(SLOT_CORE, core);
CHECK_SLOT(SLOT_CR3, cr3);
CHECK_SLOT(SLOT_ENTRY, entry);
CHECK_SLOT(SLOT_ARG, arg);
_Static_assert(SLOT_SIZE == sizeof(struct boot_slot), "slot");

struct boot_ranges {
	u32 n;
	struct boot_range r[BOOT_MAP];
};

/* What a cluster is to become; made in the sequential phase, then the cluster's first core's own.
 */
struct boot_plan {
	struct boot_state *st;
	u16 cxy;
	u32 pxm;
	bool rejected;
	u32 ncores;	      /* candidates, in the order of lids */
	u32 gid[MAX_CORES];   /* APIC ids */
	bool dead[MAX_CORES]; /* did not come */
	struct core *core[MAX_CORES];
	u32 nalive; /* [a] after the local cores were woken */
	u32 index_base;
	u32 go;	    /* [a] released: lids and boot_info are final */
	u64 asleep; /* [a] cores that halt until `go` */
	u32 left;   /* [a] cores that left their boot stacks */
	u32 nranges;
	struct boot_range range[BOOT_RANGES];
	paddr_t anchor;
	u64 anchor_size;
	paddr_t kdata; /* in the anchor */
	struct bootmem mem;
	paddr_t stacks; /* one behind the other by lid; freed after D7 */
	u64 stacks_size;
	paddr_t pml4;
};

struct boot_state {
	const struct boot_low *low;
	u32 how;		  /* BOOT_BY_* */
	struct boot_ranges ram;	  /* usable, page-aligned, sorted, merged */
	struct boot_ranges acpi;  /* tables: mapped, never allocated */
	struct boot_ranges taken; /* of ram: firmware, image, module, anchors */
	u64 module_paddr, module_size, rsdp;
	u64 ram_end;
	char cmdline_text[BOOT_CMDLINE];
	struct cmdline cmdline;
	struct acpi tables;
	u32 nclusters;
	struct boot_plan plan[MAX_CLUSTERS];
	u8 distance[MAX_CLUSTERS][MAX_CLUSTERS];
	paddr_t trampoline; /* page below 1 MiB */
	paddr_t mmio_pdpt;  /* of physical 0, the one that holds APIC and HPET */
	struct machine *machine;
	u32 nslots;   /* [a] slots handed out */
	u32 met;      /* [a] arrivals at the first cores' meetings */
	u32 round;    /* [a] meetings that are over */
	u64 met_mask; /* [a] clusters that came to one, for the report */
	u32 freed;    /* [a] clusters that left boot memory behind */
};

_Static_assert(sizeof(struct boot_state) <= BOOT_STATE_SIZE, "boot_state fits");

/* loader.c: fills ram, acpi, module, cmdline_text, rsdp. */
void loader_read(struct boot_state *st, paddr_t info);

/* ranges.c */
void ranges_add(struct boot_ranges *rs, u64 base, u64 size);
bool ranges_overlap(const struct boot_ranges *rs, u64 base, u64 end, struct boot_range *hit);
/* The free piece (in [base, end), not in `taken`) at or behind *at: false when there is none. */
bool ranges_free(const struct boot_ranges *taken, u64 *at, u64 end, u64 *free_end);
u64 ranges_free_bytes(const struct boot_ranges *taken, u64 base, u64 end);

/* plan.c: groups cores and RAM into clusters. */
void plan_clusters(struct boot_state *st);
/* Chooses anchor and bump range of each. Panics when the boot cluster has none. */
void plan_memory(struct boot_state *st);

/* tables.c */
/* The tables that all clusters share: entries 256..510 of the boot root, from p's memory. */
void tables_shared(struct boot_state *st, struct boot_plan *p);
/* The cluster's own root; returns its physical address. */
paddr_t tables_cluster(struct boot_state *st, struct boot_plan *p);

/* instance.c: the kernel instance of a cluster. Switches to the cluster's own tables. */
void instance_build(struct boot_state *st, struct boot_plan *p);
/* The structures of a core of this cluster, from the cluster's bootmem. */
struct core *instance_core(struct boot_state *st, struct boot_plan *p, u32 lid);
/* Enters the final cores and fills boot_info, checksums included. */
void instance_finish(struct boot_state *st, struct boot_plan *p);

/* init.c: D1 to D7, on every core. */
__noreturn void kernel_init(struct boot_info *info, struct boot_state *st);

#endif
