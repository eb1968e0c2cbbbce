/*
 * barriers=N: N rounds of all cores through the kernel's barriers, each core late by chance, before
 * anything depends on them. Every round each core writes its number of the round and finds, behind
 * the barrier, that its neighbour's is written too and that no cluster's epoch is more than a step
 * behind. stall=ID: that core comes to no barrier, so that the report of who is missing is seen.
 */
#include "arch/clock.h"
#include "arch/cpu.h"
#include "boot/boot.h"
#include "cluster/cluster.h"
#include "core/panic.h"
#include "lib/atomic.h"

#define DELAY_MASK 255u /* of pauses */

static void
be_late(u64 *chance)
{
	*chance = *chance * 6364136223846793005UL + 1442695040888963407UL;
	for (u64 i = *chance >> 33 & *chance >> 41 & DELAY_MASK; i > 0; i--)
		cpu_pause();
}

static void
check_round(struct boot_state *st, u32 i, u32 global_before)
{
	const struct machine *m = machine();
	u32 next = (arch_core()->index + 1) % m->ncores;
	u32 other = atomic_load(&st->report->barrier_round[next]);

	/* It may be at the next round already, where it waits for this core. */
	if (other != i + 1 && other != i + 2)
		panic("barrier test: round %u, core %u is at %u", i, next, other);
	for (u32 c = 0; c < m->nclusters; c++) {
		u32 epoch = atomic_load(&m->cluster[c]->local_barrier.global_epoch);

		/* The last to come may not have released it yet. */
		if (epoch - global_before != i + 1 && epoch - global_before != i)
			panic("barrier test: round %u, cluster %u is at %u", i, c,
			      epoch - global_before);
	}
}

void
barrier_test(struct boot_state *st)
{
	struct boot_report *r = st->report;
	u32 rounds = st->cmdline.barriers, index = arch_core()->index;
	u32 before = atomic_load(&this_cluster()->local_barrier.global_epoch);
	u64 chance = rdtsc();
	ns_t began = clock_now();

	for (u32 i = 0; i < rounds; i++) {
		be_late(&chance);
		atomic_store(&r->barrier_round[index], i + 1);
		barrier_all();
		check_round(st, i, before);
	}
	barrier_all();
	if (index || !rounds)
		return;
	r->barrier_rounds = rounds;
	r->barrier_ns = (clock_now() - began) / rounds;
	boot_say(st, KLOG_BOOT, "%u barriers of %u cores in %u clusters, %lld ns each", rounds,
		 machine()->ncores, machine()->nclusters, (long long)r->barrier_ns);
}

void
barrier_stall(const struct boot_state *st)
{
	while (arch_core()->apic_id == st->cmdline.stall) {
		irq_disable();
		__asm__ volatile("hlt");
	}
}
