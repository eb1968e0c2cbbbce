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
#include "core/klog.h"
#include "lib/acpi.h"
#include "lib/archinfo.h"
#include "lib/cmdline.h"
#include "lib/ranges.h"

#define BOOT_STACK   KSTACK_SIZE
#define BOOT_CLUSTER 0 /* cxy of the boot cluster */
#define BOOT_REPORT  6144
#define BOOT_REACH   (1UL << 32) /* what the boot tables map */

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

/* What was decided on the way, for the log and for /proc/holdfast/boot; outlives the boot. */
struct boot_report {
	u32 len;		/* [a] bytes of text that are taken */
	char text[BOOT_REPORT]; /* lines; the first character of each is its log level */
	char source[ARCH_NAME + 32];
	u64 tested, bad; /* bytes: by memtest=full, and of what failed any test */
	u64 anchor;	 /* bytes of a cluster's copies of the kernel */
	/* Bytes of each cluster's memory: boot stacks, root image, what failed its test. */
	u64 stacks[MAX_CLUSTERS], module[MAX_CLUSTERS], bad_in[MAX_CLUSTERS];
	u32 barrier_round[MAX_CORES]; /* [a] of the barrier test, by index */
	u64 barrier_rounds;
	ns_t barrier_ns;
};

/* What a cluster is to become; made in the sequential phase, then the cluster's first core's own.
 */
struct boot_plan {
	struct boot_state *st;
	u16 cxy;
	u16 origin; /* number in the first plan: index of st->distance */
	u16 domain; /* of st->arch */
	u32 pxm;
	bool joined;	      /* other domains' memory is in it */
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
	u32 how;		   /* BOOT_BY_* */
	struct boot_ranges ram;	   /* usable, page-aligned, sorted, merged */
	struct boot_ranges acpi;   /* tables: mapped, never allocated */
	struct boot_ranges usable; /* of ram: what an arch_info.bin leaves of it */
	struct boot_ranges bad;	   /* of ram: what failed its test */
	struct boot_ranges
		taken; /* of ram: firmware, image, module, anchors, what failed its test */
	u64 module_paddr, module_size, rsdp;
	u64 arch_paddr, arch_size; /* an arch_info.bin */
	u64 ram_end;
	char cmdline_text[BOOT_CMDLINE];
	struct cmdline cmdline;
	struct acpi tables;
	struct archinfo arch; /* what the plan is made of */
	struct boot_report early, *report;
	u32 kind;		 /* of processor: core_kind() of the boot core */
	u32 boot_gid, smt_shift; /* APIC ids that differ below this bit are threads of one core */
	u32 nclusters;
	struct boot_plan plan[MAX_CLUSTERS];
	u8 distance[MAX_CLUSTERS][MAX_CLUSTERS]; /* by origin */
	paddr_t trampoline;			 /* page below 1 MiB */
	paddr_t mmio_pdpt; /* of physical 0, the one that holds APIC and HPET */
	struct machine *machine;
	u32 nslots;   /* [a] slots handed out */
	u32 met;      /* [a] arrivals at the first cores' meetings */
	u32 round;    /* [a] meetings that are over */
	u64 met_mask; /* [a] clusters that came to this one, for the report */
	u32 freed;    /* [a] clusters that left boot memory behind */
};

_Static_assert(sizeof(struct boot_state) <= BOOT_STATE_SIZE, "boot_state fits");

/* loader.c: fills ram, acpi, module, cmdline_text, rsdp. */
void loader_read(struct boot_state *st, paddr_t info);

/* report.c */
/* A line for the log and for /proc/holdfast/boot. Before there is a struct machine it is kept, and
 * logged by boot_say_kept(). Any core. */
void boot_say(struct boot_state *st, enum klog_level level, const char *fmt, ...) __printf(3, 4);
void boot_say_kept(struct boot_state *st);
/* /proc/holdfast/boot. 0 or an errno. */
int boot_report_register(void);

/* discover.c: fills st->arch and st->usable from ACPI, or from an arch_info.bin that is right. */
void discover_machine(struct boot_state *st);

/* plan.c: groups cores and RAM into clusters. Pure but for boot_say() and panic(). */
void plan_clusters(struct boot_state *st);
/* The first 2 MiB-aligned place with room for the kernel's copies in memory that is free. */
bool plan_find_anchor(struct boot_state *st, const struct boot_plan *p, u64 *anchor);
u64 plan_anchor_size(const struct boot_low *low);
/* Gives the cores and the memory of cluster `c` to the nearest and renumbers those behind it.
 * => none of those was started yet; c is not the boot cluster */
void plan_drop(struct boot_state *st, u32 c);

/* banks.c: tests memory, chooses anchor and bump range of each cluster. The boot cluster's comes
 * first, under the boot tables; panics when it has none. */
void banks_boot(struct boot_state *st);
/* The others', when the physmap is there. Drops clusters that have none. */
void banks_rest(struct boot_state *st);

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
u32 instance_general_crc(const struct boot_info *b);
/* Whether both checksums are right. => before D3, which adds to rsvd[] */
bool instance_is_whole(const struct boot_info *b);

/* barriertest.c: barriers=N and stall=ID of the command line; on every core. */
void barrier_test(struct boot_state *st);
void barrier_stall(const struct boot_state *st);

/* init.c: D1 to D7, on every core. */
__noreturn void kernel_init(struct boot_info *info, struct boot_state *st);

#endif
