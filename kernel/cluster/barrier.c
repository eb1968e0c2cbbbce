/*
 * The barriers of the boot procedure: see barrier.h. Reusable back to back by epochs: the last
 * arrival clears the counter and moves the epoch on; the others wait for the epoch to change. Who
 * waits for the other clusters watches a word in its own kdata, which the last arrival writes.
 *
 * Locks: none; atomics. Interrupts may be on or off; TLB shootdowns are served meanwhile.
 */
#include "cluster/barrier.h"
#include "arch/clock.h"
#include "arch/cpu.h"
#include "arch/ipi.h"
#include "cluster/cluster.h"
#include "core/panic.h"
#include "lib/atomic.h"

/* A hang detector, not a performance claim: the host may be very busy. */
#define BARRIER_LIMIT_NS (60 * NS_PER_SEC)

static void
wait_epoch(const u32 *epoch, u32 old, const u64 *here, const char *what)
{
	ns_t limit = clock_now() + BARRIER_LIMIT_NS;

	while (atomic_load(epoch) == old) {
		ipi_poll();
		cpu_pause();
		if (clock_now() > limit)
			panic("%s barrier: arrived so far: mask %llx", what,
			      (unsigned long long)atomic_load(here));
	}
}

void
barrier_local(void)
{
	struct cluster *cl = this_cluster();
	struct local_barrier *b = &cl->local_barrier;
	u32 epoch = atomic_load(&b->epoch);

	atomic_fetch_or(&b->here, 1UL << arch_core()->lid);
	if (atomic_add_fetch(&b->arrived, 1) < cl->cores_nr) {
		wait_epoch(&b->epoch, epoch, &b->here, "local");
		return;
	}
	atomic_store(&b->arrived, 0);
	atomic_store(&b->here, 0);
	atomic_store(&b->epoch, epoch + 1);
}

void
barrier_global(void)
{
	struct machine *m = machine();
	struct global_barrier *g = &m->cluster[boot_info.boot_cxy]->global_barrier;
	struct cluster *cl = this_cluster();
	u32 epoch = atomic_load(&cl->local_barrier.global_epoch);

	atomic_fetch_or(&g->here, 1UL << cl->cxy);
	if (atomic_add_fetch(&g->arrived, 1) < m->nclusters) {
		wait_epoch(&cl->local_barrier.global_epoch, epoch, &g->here, "global");
		return;
	}
	atomic_store(&g->arrived, 0);
	atomic_store(&g->here, 0);
	for (u32 i = 0; i < m->nclusters; i++)
		atomic_store(&m->cluster[i]->local_barrier.global_epoch, epoch + 1);
}

void
barrier_all(void)
{
	barrier_local();
	if (arch_core()->lid == 0)
		barrier_global();
	barrier_local();
}
