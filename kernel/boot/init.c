/*
 * kernel_init: the steps D1 to D7 of a kernel instance, run by every core of every cluster at once.
 *
 * Steps that concern the machine are done by the boot core, devices by the first core of the
 * input/output cluster, steps that concern a cluster by its first core, each behind the barrier
 * that its users need. D6 runs in a kernel thread, because file systems and drivers may sleep; the
 * other cores are in their idle loops by then, in D7. When the first process has been started, what
 * only the boot procedure needed is given to the page allocator.
 */
#include <asm/errno.h>

#include "arch/apic.h"
#include "arch/clock.h"
#include "arch/context.h"
#include "arch/cpu.h"
#include "boot/boot.h"
#include "cluster/cluster.h"
#include "cluster/rpc.h"
#include "cluster/stop.h"
#include "core/klog.h"
#include "core/panic.h"
#include "core/place.h"
#include "core/random.h"
#include "core/sched.h"
#include "dev/driver.h"
#include "dev/fwcfg.h"
#include "dev/power.h"
#include "dev/rtc.h"
#include "file/kinds.h"
#include "file/vnode.h"
#include "lib/assert.h"
#include "lib/atomic.h"
#include "lib/checksum.h"
#include "lib/format.h"
#include "mm/frame.h"
#include "mm/kmap.h"
#include "mm/kstack.h"
#include "mm/map.h"
#include "mm/slab.h"
#include "net/start.h"
#include "persist/persist.h"
#include "linux/dispatch.h"
#include "proc/process.h"
#include "proc/signal.h"
#include "store/disk.h"

static bool
is_first(void) /* of its cluster */
{
	return arch_core()->lid == 0;
}

static bool
is_boot_core(void)
{
	return is_first() && arch_core()->cxy == boot_info.boot_cxy;
}

static bool
is_io_core(void) /* starts the devices and the first process */
{
	return is_first() && arch_core()->cxy == boot_info.io_cxy;
}

/* --- D1 --- */

/* The only legal way to (cxy, lid): search the APIC id. */
static void
identify(const struct boot_info *info)
{
	u32 gid = apic_id();

	if (is_first() && !instance_is_whole(info))
		panic("the boot information of cluster %u is damaged", arch_core()->cxy);
	for (u32 i = 0; i < info->cores_nr; i++) {
		if (info->core[i].gid != gid)
			continue;
		assert(info->core[i].lid == arch_core()->lid && info->cxy == arch_core()->cxy);
		return;
	}
	panic("core with APIC id %u is not in the boot information of cluster %u", gid, info->cxy);
}

/* --- D2 --- */

static void
introduce(const struct boot_info *info)
{
	const struct boot_cluster *c = &info->cluster[info->cxy];

	klog(KLOG_BOOT, "cluster",
	     "%u: %u cores, memory %lx..%lx, kcode at %lx check %08x, general %08x", info->cxy,
	     info->cores_nr, c->lpa_base, c->lpa_base + c->lpa_size, info->kcode_paddr,
	     info->kcode_crc, info->crc_general);
}

/* --- D5 --- */

/* The idle thread's stack replaces the boot stack, which is then free memory. */
static void
make_idle_stack(struct core *c)
{
	struct thread *t = c->idle;

	t->stack = kstack_alloc(c->arch.cxy);
	if (!t->stack)
		panic("no memory for the idle thread of core %u", c->arch.index);
	format(t->name, sizeof(t->name), "idle/%u", c->arch.index);
}

/* --- after D7 --- */

static void
release(paddr_t base, u64 size)
{
	for (u32 i = 0; i < boot_info.range_nr; i++) {
		u64 from = max(base, boot_info.range[i].base);
		u64 to = min(base + size, boot_info.range[i].base + boot_info.range[i].size);

		if (from >= to)
			continue;
		/* Code of the first phases ran there: see mm/frame.h. */
		pages_zero(phys_to_virt(from), (to - from) / PAGE_SIZE);
		frame_release_range(from, to - from);
	}
}

/* The last core of the cluster to leave its boot stack frees all of them; the last of the machine
 * leaves word that the rest is free. */
static void
leave_boot_memory(struct boot_state *st)
{
	struct boot_plan *p = &st->plan[this_cluster()->cxy];

	if (atomic_add_fetch(&p->left, 1) < p->nalive)
		return;
	release(p->stacks, p->stacks_size);
	atomic_fetch_add(&st->freed, 1);
}

struct low_memory {
	struct boot_range image, trampoline;
};

static void
release_low(void *arg)
{
	const struct low_memory *low = arg;

	release(low->image.base, low->image.size);
	release(low->trampoline.base, low->trampoline.size);
}

static __noreturn void
idle_main(struct boot_state *st)
{
	leave_boot_memory(st);
	irq_enable();
	timer_rearm();
	sched_idle();
}

/* Moves to the idle thread's stack; nothing of the old one is used again. */
static __noreturn __attribute__((no_stack_protector)) void
become_idle(struct boot_state *st)
{
	struct core *c = this_core();
	u64 top = (u64)c->idle->stack + KSTACK_SIZE;

	irq_disable();
	c->arch.kernel_rsp = top;
	c->arch.tss.rsp[0] = top;
	__asm__ volatile("mov %0, %%rsp; xor %%ebp, %%ebp; call *%1; ud2"
			 :
			 : "r"(top), "r"((void *)idle_main), "D"(st)
			 : "memory");
	__builtin_unreachable();
}

/* --- D6, D7: the start thread --- */

/* Gives each cluster its copy of the roots, which nobody changes from here on. */
static int
replicate_roots(void)
{
	struct machine *m = machine();

	for (u32 i = 0; i < m->nclusters && !m->one_copy; i++) {
		struct machine *copy;

		if (i == BOOT_CLUSTER)
			continue;
		copy = kzalloc_on(i, sizeof(*copy));
		if (!copy)
			return -ENOMEM;
		*copy = *m;
		for (u32 k = 0; k < m->cluster[i]->cores_nr; k++)
			atomic_store(&m->cluster[i]->core[k]->machine, copy);
	}
	return 0;
}

/* The low image holds the boot state itself: it goes when every core has left it. Its memory may be
 * in ranges of any cluster, so each first core releases what is in its own. */
static void
free_boot_memory(struct boot_state *st)
{
	struct machine *m = machine();
	u32 clusters = m->nclusters;
	struct low_memory low = {
		.image = {st->low->low_start,
			  ALIGN_UP(st->low->low_end, PAGE_SIZE) - st->low->low_start},
		.trampoline = {st->trampoline, PAGE_SIZE},
	};

	while (atomic_load(&st->freed) < clusters)
		if (sleep_until(clock_now() + NS_PER_MS, 0))
			break;
	for (u32 i = 0; i < clusters; i++)
		if (i != this_cluster()->cxy)
			rpc_call(m->cluster[i]->core[0], RPC_CALL_FUNCTION, (u64)release_low,
				 (u64)&low);
	release_low(&low);
}

static void
must(int err, const char *what)
{
	if (err < 0)
		panic("%s: error %d", what, err);
}

static void
start_thread(void *arg)
{
	struct boot_state *st = arg;

	devices_start(1); /* infrastructure */
	devices_start(2); /* disks */
	processes_init(); /* before whoever registers with it */
	must(ipc_init(), "pipes, events and local sockets");
	signal_init();	/* what signalfd asks for */
	persist_open(); /* the store: is there something to resume? */
	must(vfs_init(boot_info.module_paddr, persist_resuming() ? 0 : boot_info.module_size),
	     "the root image");
	must(tty_files_init(), "terminals");
	procinfo_init();       /* /proc/<pid> */
	control_device_init(); /* /dev/holdfast */
	must(boot_report_register(), "/proc/holdfast/boot");
	must(store_disks_init(persist_disk(), persist_store()), "/proc/holdfast/disks");
	must(vdso_init(), "the vDSO");
	klog(KLOG_BOOT, "boot", "D6 done: file system");
	devices_start(3); /* the rest: network cards */
	net_init();	  /* the stack */
	free_boot_memory(st);
	must(linux_init(), "the Linux calls");
	must(replicate_roots(), "a copy of the roots in each cluster");
	if (!persist_resume())
		must(process_start_init(), "/sbin/init");
	net_run();	 /* network threads */
	persist_start(); /* checkpoints */
	klog(KLOG_BOOT, "boot", "D7 done: %u cores in %u clusters run", machine()->ncores,
	     machine()->nclusters);
}

/* --- the list --- */

static void
init_cluster(void)
{
	rpc_init();	       /* rings of this cluster's cores */
	frame_init_cluster();  /* page frames; ends bootmem */
	slab_init_cluster();   /* small objects */
	kstack_init_cluster(); /* kernel stacks with guards */
}

static void
init_machine(void)
{
	thread_table_init(); /* every thread by name */
	machine_stop_init(); /* whose turn it is to stop all cores */
	place_init();	     /* the tree of load */
	random_init();	     /* key from the hardware */
	mm_init();	     /* address spaces and objects */
}

static void
init_platform(void)
{
	rtc_init();	  /* wall-clock time */
	fwcfg_init();	  /* blobs from the host */
	power_init();	  /* off switch, power button */
	devices_init();	  /* PCI scan */
	devices_start(0); /* interrupts only */
}

void
kernel_init(struct boot_info *info, struct boot_state *st)
{
	struct core *c = this_core();

	barrier_stall(st);  /* test: one is missing */
	barrier_all();	    /* B: every core has left the trampoline */
	identify(info);	    /* D1: who am I */
	fpu_init_core();    /* D1: SSE, AVX for programs */
	clock_check_core(); /* D1: does my TSC agree */
	if (is_boot_core())
		klog(KLOG_BOOT, "boot", "parallel phase: D1 done");
	if (is_first())
		introduce(info); /* D2: TXT0: one line for each instance */
	barrier_all();
	barrier_test(st);
	if (is_first())
		init_cluster(); /* D3: cluster manager and its memory */
	barrier_all();
	if (is_first())
		kmap_localise(); /* D3: page tables of the kernel's half */
	barrier_all();
	kmap_localised();
	if (is_boot_core())
		init_machine(); /* D3: what all clusters share */
	barrier_all();
	if (is_boot_core())
		klog(KLOG_BOOT, "boot", "D3 done: memory");
	if (is_io_core())
		init_platform(); /* D4: devices, stage 0 */
	barrier_all();
	if (is_first())
		devices_init_cluster(); /* D4: internal devices */
	make_idle_stack(c);		/* D5: idle threads */
	barrier_all();
	if (is_io_core()) {
		klog(KLOG_BOOT, "boot", "D5 done: devices found, idle threads");
		if (!kthread_create("start", start_thread, st, 1UL << c->arch.index)) /* D6 */
			panic("no memory for the start thread");
	}
	become_idle(st); /* D7: scheduler */
}
