/*
 * The barriers of the boot procedure: see barrier.h. Reusable back to back by epochs: the last
 * arrival clears the counter and moves the epoch on; the others wait for the epoch to change. Who
 * waits for the other clusters watches a word in its own kdata, which the last arrival writes.
 *
 * Locks: none; atomics. Interrupts may be on or off: they are on while a core halts, and the others
 * serve TLB shootdowns. Callers hold no lock.
 */
#include "cluster/barrier.h"
#include "arch/apic.h"
#include "arch/clock.h"
#include "arch/cpu.h"
#include "arch/ipi.h"
#include "cluster/cluster.h"
#include "core/panic.h"
#include "lib/atomic.h"

/* A hang detector, not a performance claim: the host may be very busy. */
#define BARRIER_LIMIT_NS (60 * NS_PER_SEC)
/* Then the host, or the sibling thread, gets the core. */
#define SPIN_NS (20 * NS_PER_US)

void
barrier_wait_word(const u32 *word, u32 old, u64 *asleep, const u64 *here, const char *what)
{
	const struct arch_core *c = arch_core();
	bool was_on = irq_enabled(), watch = c->cxy == boot_info.boot_cxy && c->lid == 0;
	ns_t began = clock_now(), now;

	while (atomic_load(word) == old) {
		ipi_poll();
		cpu_pause();
		now = clock_now();
		if (watch && now > began + BARRIER_LIMIT_NS)
			panic("%s barrier: arrived so far: mask %llx", what,
			      (unsigned long long)atomic_load(here));
		if (watch || now < began + SPIN_NS)
			continue;
		/* Whoever changes the word after this test sees the bit and sends the vector. */
		irq_disable();
		atomic_fetch_or(asleep, 1UL << c->lid);
		if (atomic_load(word) == old)
			cpu_wait_for_interrupt();
		if (!was_on)
			irq_disable();
	}
	atomic_fetch_and(asleep, ~(1UL << c->lid));
	if (was_on)
		irq_enable();
}

/* The vector without a reason in the mailbox: it only ends the halt. */
void
barrier_wake(struct core *const core[], u64 *asleep, u64 mask)
{
	u64 who = atomic_fetch_and(asleep, ~mask) & mask;

	for (u32 i = 0; who; i++, who >>= 1)
		if (who & 1)
			apic_send_ipi(core[i]->arch.apic_id, VECTOR_IPI);
}

void
barrier_local(void)
{
	struct cluster *cl = this_cluster();
	struct local_barrier *b = &cl->local_barrier;
	u32 epoch = atomic_load(&b->epoch);

	atomic_fetch_or(&b->here, 1UL << arch_core()->lid);
	if (atomic_add_fetch(&b->arrived, 1) < cl->cores_nr) {
		barrier_wait_word(&b->epoch, epoch, &b->asleep, &b->here, "local");
		return;
	}
	atomic_store(&b->arrived, 0);
	atomic_store(&b->here, 0);
	atomic_xchg(&b->epoch, epoch + 1);
	barrier_wake(cl->core, &b->asleep, ~0UL);
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
		barrier_wait_word(&cl->local_barrier.global_epoch, epoch, &cl->local_barrier.asleep,
				  &g->here, "global");
		return;
	}
	atomic_store(&g->arrived, 0);
	atomic_store(&g->here, 0);
	for (u32 i = 0; i < m->nclusters; i++) {
		struct cluster *other = m->cluster[i];

		atomic_xchg(&other->local_barrier.global_epoch, epoch + 1);
		barrier_wake(other->core, &other->local_barrier.asleep, 1);
	}
}

void
barrier_all(void)
{
	barrier_local();
	if (arch_core()->lid == 0)
		barrier_global();
	barrier_local();
}
