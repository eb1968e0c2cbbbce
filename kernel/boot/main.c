/*
 * The four phases of the boot procedure, after ALMOS-MKH (doc/boot.md).
 *
 * Preloader: firmware and boot loader; entry.S is its end. Sequential: the boot core alone reads
 * the memory map and the ACPI tables, plans clusters and starts its own instance. Partly parallel:
 * the first core of each cluster builds its instance, meets the others (barrier A) and wakes its
 * local cores. Parallel: all cores, having met (barrier B), run kernel_init().
 *
 * Until a core has its struct core, GS is 0 and the stack guard is a word of the identity map; the
 * functions in which that changes carry no guard of their own.
 */
#include "arch/apic.h"
#include "arch/clock.h"
#include "arch/context.h"
#include "arch/cpu.h"
#include "arch/trap.h"
#include "boot/boot.h"
#include "boot/wake.h"
#include "cluster/cluster.h"
#include "core/klog.h"
#include "core/klog_ring.h"
#include "core/loadavg.h"
#include "core/place.h"
#include "core/panic.h"
#include "core/random_state.h"
#include "core/thread.h"
#include "dev/fwcfg.h"
#include "dev/power.h"
#include "lib/atomic.h"
#include "lib/string.h"
#include "proc/trap.h"
#include <asm/errno.h>

#define MSR_GS_BASE 0xc0000101
#define NO_GUARD    __attribute__((no_stack_protector))

void boot_main(const struct boot_low *low, u32 how, paddr_t info, struct boot_state *st);

/* What struct machine's roots point to from the start. */
struct machine_parts {
	struct machine machine;
	struct clock clock;
	struct ioapics ioapics;
	struct acpi acpi;
	struct klog_shared klog;
	struct thread_table threads;
	struct random random;
	struct loadavg loadavg;
	struct placement placement;
	struct boot_report report;
	struct power power;
	struct fwcfg fwcfg;
	struct panicking panicking;
	char cmdline[BOOT_CMDLINE];
};

static const void *
acpi_view(const struct acpi_memory *m, u64 paddr, u64 size)
{
	if (paddr >= 1UL << 32 || size > (1UL << 32) - paddr)
		return NULL;
	return phys_to_virt(paddr);
}

static void
read_acpi(struct boot_state *st)
{
	const struct acpi_memory mem = {.view = acpi_view};
	u16 ebda;

	memcpy(&ebda, phys_to_virt(0x40e), sizeof(ebda));
	if (!st->rsdp && ebda >= 0x400)
		st->rsdp = acpi_find_rsdp((u64)ebda << 4, 1024, &mem);
	if (!st->rsdp)
		st->rsdp = acpi_find_rsdp(0xe0000, 0x20000, &mem);
	if (!st->rsdp || acpi_read(&st->tables, st->rsdp, &mem))
		boot_say(st, KLOG_WARN, "no ACPI tables: one core");
}

/* What the page allocator may not have, and a page for the trampoline. */
static void
reserve(struct boot_state *st)
{
	const struct boot_low *low = st->low;
	u64 at = PAGE_SIZE, to;

	ranges_add(&st->taken, low->low_start, ALIGN_UP(low->low_end, PAGE_SIZE) - low->low_start);
	if (st->module_size) {
		u64 base = ALIGN_DOWN(st->module_paddr, PAGE_SIZE);

		ranges_add(&st->taken, base,
			   ALIGN_UP(st->module_paddr + st->module_size, PAGE_SIZE) - base);
	}
	for (u32 i = 0; i < st->acpi.n; i++)
		ranges_add(&st->taken, st->acpi.r[i].base, st->acpi.r[i].size);
	for (u32 i = 0; i < st->ram.n && !st->trampoline; i++) {
		at = max(st->ram.r[i].base, 0x8000UL);
		if (ranges_free(&st->taken, &at, st->ram.r[i].base + st->ram.r[i].size, &to) &&
		    to >= at + PAGE_SIZE && at + PAGE_SIZE <= 0xa0000)
			st->trampoline = at;
	}
	if (!st->trampoline)
		panic("no free page below 640 KiB for the trampoline");
	ranges_add(&st->taken, st->trampoline, PAGE_SIZE);
	memcpy(phys_to_virt(st->trampoline), phys_to_virt(low->trampoline), low->trampoline_size);
}

static void
make_machine(struct boot_state *st)
{
	struct machine_parts *mp = bootmem_alloc_from(&st->plan[0].mem, sizeof(*mp), 64);
	struct machine *m;

	if (!mp)
		panic("no memory for struct machine");
	m = &mp->machine;
	m->clock = &mp->clock;
	m->ioapics = &mp->ioapics;
	m->clock->params.base_tsc = st->low->tsc_at_entry;
	m->acpi = &mp->acpi;
	mp->acpi = st->tables;
	m->klog = &mp->klog;
	klog_shared_init(m->klog);
	m->threads = &mp->threads;
	m->random = &mp->random;
	spin_init(&m->random->lock, "random", RANK_NONE);
	m->loadavg = &mp->loadavg;
	m->placement = &mp->placement;
	m->power = &mp->power;
	m->fwcfg = &mp->fwcfg;
	m->panicking = &mp->panicking;
	memcpy(mp->cmdline, st->cmdline_text, sizeof(mp->cmdline));
	m->cmdline = mp->cmdline;
	m->one_copy = st->cmdline.replicas_off;
	m->persist_verify = st->cmdline.persist_verify;
	m->count_errors = st->cmdline.count_errors;
	m->disk_patience = st->cmdline.disk_patience;
	m->barrier_limit = st->cmdline.patience * NS_PER_SEC;
	m->nclusters = st->nclusters;
	mp->report = st->early;
	m->boot_report = st->report = &mp->report;
	st->machine = m;
}

/* The meeting of the clusters' first cores before the kernel's own barriers exist. The boot core
 * comes to the first one when the number of clusters is final. */
static void
first_cores_meet(struct boot_state *st, u32 round)
{
	u64 asleep = 0; /* of no use: all are rung for */

	atomic_fetch_or(&st->met_mask, 1UL << arch_core()->cxy);
	if (atomic_add_fetch(&st->met, 1) < round * atomic_load(&st->nclusters)) {
		struct barrier_who who = {
			.name = "boot",
			.here = &st->met_mask,
			.all = ~0UL >> (64 - st->nclusters),
			.boot_core_only = true, /* it waits long for cores that are dead */
		};

		barrier_wait_word(&st->round, round - 1, &asleep, &who);
		return;
	}
	atomic_store(&st->met_mask, 0);
	atomic_xchg(&st->round, round);
	for (u32 i = 0; i < st->nclusters; i++)
		if (st->plan[i].core[0] != this_core())
			apic_send_ipi(st->plan[i].core[0]->arch.apic_id, VECTOR_IPI);
}

static __noreturn void NO_GUARD
local_core_main(void *arg)
{
	struct boot_plan *p = arg;

	wake_arrive(p->st);
	trap_init_core(&this_core()->arch, &proc_trap_ops);
	apic_init_core();
	barrier_wait_word(&p->go, 0, &p->asleep, NULL);
	kernel_init(&boot_info, p->st);
}

static void
wake_local_cores(struct boot_state *st, struct boot_plan *p)
{
	struct boot_slot *slot[MAX_CORES];
	u32 alive = 1;
	ns_t began;

	for (u32 i = 1; i < p->ncores; i++) {
		struct core *c = instance_core(st, p, i);

		slot[i] = wake_prepare(st, &(struct wake){
						   .gid = p->gid[i],
						   .core = c,
						   .cr3 = p->pml4,
						   .stack_top = (char *)c->idle->stack + BOOT_STACK,
						   .entry = local_core_main,
						   .arg = p,
					   });
	}
	if (p->ncores > 1)
		wake_delay();
	began = clock_now();
	for (u32 i = 1; i < p->ncores; i++)
		wake_start(st, slot[i]);
	for (u32 i = 1; i < p->ncores; i++) {
		const char *why = wake_wait(st, slot[i], began);

		p->dead[i] = why != NULL;
		alive += !why;
		if (why)
			boot_say(st, KLOG_WARN, "core %u of cluster %u %s: left out", p->gid[i],
				 p->origin, why);
	}
	p->nalive = alive;
}

/* The partly parallel phase, from the point where the cluster's own instance runs. */
static __noreturn void
first_core_phase(struct boot_state *st, struct boot_plan *p)
{
	struct machine *m = st->machine;
	u32 total = 0;

	first_cores_meet(st, 1); /* barrier A */
	wake_local_cores(st, p);
	first_cores_meet(st, 2);
	for (u32 i = 0; i < st->nclusters; i++) {
		if (i < p->cxy)
			p->index_base += st->plan[i].nalive;
		total += st->plan[i].nalive;
	}
	if (p->cxy == BOOT_CLUSTER)
		m->ncores = total;
	instance_finish(st, p);
	first_cores_meet(st, 3);
	if (p->cxy == BOOT_CLUSTER)
		klog(KLOG_BOOT, "boot", "partly parallel phase done: %u cores in %u clusters",
		     total, st->nclusters);
	atomic_xchg(&p->go, 1);
	/* Lids may have changed while they fell asleep, so all are rung for. */
	p->asleep = ~0UL >> (64 - p->nalive);
	barrier_wake(this_cluster()->core, &p->asleep, ~1UL);
	kernel_init(&boot_info, st);
}

/* Starts the instance of this core's cluster and moves over to it. */
static __always_inline_k struct core *
enter_instance(struct boot_state *st, struct boot_plan *p, u32 lid)
{
	struct core *c = instance_core(st, p, lid);

	wrmsr(MSR_GS_BASE, (u64)c);
	instance_build(st, p);
	WRITE_CR(3, p->pml4);
	trap_init_core(&c->arch, &proc_trap_ops);
	return c;
}

static __noreturn void NO_GUARD
first_core_main(void *arg)
{
	struct boot_plan *p = arg;

	wake_arrive(p->st);
	enter_instance(p->st, p, 0);
	apic_init_core();
	first_core_phase(p->st, p);
}

/* Its candidates in turn. */
static bool
wake_cluster(struct boot_state *st, struct boot_plan *p)
{
	/* struct core of lid 0 is made by the core itself: its stack lies where it will put it. */
	void *stack = bootmem_alloc_from(&p->mem, (u64)p->ncores * BOOT_STACK, PAGE_SIZE);

	if (!stack)
		panic("cluster %u: no memory for boot stacks", p->cxy);
	p->stacks = virt_to_phys(stack);
	p->stacks_size = (u64)p->ncores * BOOT_STACK;
	while (p->ncores) {
		struct boot_slot *s =
			wake_prepare(st, &(struct wake){
						 .gid = p->gid[0],
						 .cr3 = st->low->pml4,
						 .stack_top = (char *)stack + BOOT_STACK,
						 .entry = first_core_main,
						 .arg = p,
					 });
		const char *why;

		wake_delay();
		wake_start(st, s);
		why = wake_wait(st, s, clock_now());
		if (!why)
			return true;
		boot_say(st, KLOG_WARN, "core %u of cluster %u %s: left out", p->gid[0], p->origin,
			 why);
		memmove(p->gid, p->gid + 1, --p->ncores * sizeof(p->gid[0]));
	}
	return false;
}

/* A cluster none of whose cores starts is taken out of the numbering before those behind it learn
 * their number. Those before it read their ranges only after barrier A, to which this core comes
 * last. */
static void
wake_clusters(struct boot_state *st)
{
	struct machine *m = st->machine;

	for (u32 c = 1; c < st->nclusters;) {
		if (wake_cluster(st, &st->plan[c]))
			c++;
		else
			plan_drop(st, c);
	}
	m->nclusters = st->nclusters;
	for (u32 i = 0; i < st->nclusters; i++)
		for (u32 k = 0; k < st->nclusters; k++)
			m->distance[i][k] = st->distance[st->plan[i].origin][st->plan[k].origin];
}

/* What the command line asks for and the machine does not have. */
static void
check_wishes(struct boot_state *st)
{
	const struct cmdline *c = &st->cmdline;

	if (c->io != UINT32_MAX && c->io >= st->nclusters)
		boot_say(st, KLOG_WARN, "io=%u: there is no such cluster, 0 is taken", c->io);
	for (u32 i = 0; i < c->nkill; i++)
		if (c->kill[i] == st->boot_gid)
			boot_say(st, KLOG_WARN, "kill=%u: the boot core runs already", c->kill[i]);
}

static void
report(struct boot_state *st)
{
	u64 ram = 0;

	for (u32 i = 0; i < st->ram.n; i++)
		ram += st->ram.r[i].size;
	klog(KLOG_BOOT, "boot", "Holdfast, started by %s; %llu MiB, root image %llu KiB",
	     st->how == BOOT_BY_PVH ? "PVH" : "Multiboot", (unsigned long long)(ram >> 20),
	     (unsigned long long)(st->module_size >> 10));
	for (u32 i = 0; i < st->cmdline.nunknown; i++)
		klog(KLOG_WARN, "boot", "command line: '%s' is not known", st->cmdline.unknown[i]);
	if (st->cmdline.truncated)
		klog(KLOG_WARN, "boot", "command line: too long, or a quote is open");
	boot_say_kept(st);
}

static void
set_log_level(const struct cmdline *c)
{
	if (c->quiet)
		klog_set_level(KLOG_ERROR);
	else if (c->max_flow > 0)
		klog_set_level(KLOG_DEBUG);
	else if (c->max_info > 0)
		klog_set_level(KLOG_INFO);
	else if (c->max_info == 0)
		klog_set_level(KLOG_WARN);
}

static void
sequential_phase(struct boot_state *st, paddr_t info)
{
	st->report = &st->early;
	loader_read(st, info);
	cmdline_parse(&st->cmdline, st->cmdline_text, sizeof(st->cmdline_text));
	read_acpi(st);
	reserve(st);
	discover_machine(st);
	plan_clusters(st);
	banks_boot(st);
	tables_shared(st, &st->plan[BOOT_CLUSTER]);
	banks_rest(st);
	make_machine(st);
}

void NO_GUARD
boot_main(const struct boot_low *low, u32 how, paddr_t info, struct boot_state *st)
{
	struct boot_plan *p = &st->plan[BOOT_CLUSTER];

	st->low = low;
	st->how = how;
	sequential_phase(st, info);
	enter_instance(st, p, 0);
	power_init_early();
	apic_init_machine();
	clock_init();
	apic_init_core();
	set_log_level(&st->cmdline);
	report(st);
	wake_clusters(st);
	check_wishes(st);
	klog(KLOG_BOOT, "boot", "sequential phase done: clock by %s, %llu.%03llu MHz",
	     machine()->clock->source, (unsigned long long)clock_tsc_khz() / 1000,
	     (unsigned long long)clock_tsc_khz() % 1000);
	first_core_phase(st, p);
}
