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
#include "core/timer.h"
#include "lib/atomic.h"
#include "lib/format.h"

/* A hang detector, not a performance claim: the host may be very busy. */
#define BARRIER_LIMIT_NS (60 * NS_PER_SEC)
#define LIST		 160 /* characters of the list of who is missing */
/* Then the host, or the sibling thread, gets the core. */
#define SPIN_NS (20 * NS_PER_US)

struct missing {
	char text[LIST];
	size_t len;
};

static void
missing_add(struct missing *l, const char *what, u32 n)
{
	if (l->len < LIST)
		l->len += (size_t)format(l->text + l->len, LIST - l->len, " %s %u", what, n);
}

/* A lid is of little use to who reads it: the APIC id names a core on a board. */
static void
missing_cores(struct missing *l, const struct cluster *c, u64 here)
{
	for (u32 i = 0; i < c->cores_nr; i++)
		if (!(here & 1UL << i))
			missing_add(l, "core", c->core[i]->arch.apic_id);
}

static __noreturn void
report_missing(const struct barrier_who *who, ns_t waited)
{
	u64 missing = who->all & ~atomic_load(who->here);
	struct missing l = {.len = 0};

	if (who->cluster) {
		missing_add(&l, "cluster", who->cluster->cxy);
		missing_cores(&l, who->cluster, ~missing);
	}
	for (u32 i = 0; !who->cluster && missing; i++, missing >>= 1) {
		struct cluster *c = machine()->cluster[i];

		if (!(missing & 1))
			continue;
		missing_add(&l, "cluster", i);
		/* Those who wait for others of their cluster; none: all of it, or its first. */
		if (c && atomic_load(&c->local_barrier.here))
			missing_cores(&l, c, atomic_load(&c->local_barrier.here));
	}
	panic("%s barrier: missing after %lld s:%s", who->name, (long long)(waited / NS_PER_SEC),
	      l.text);
}

/* First cores; where there is one cluster, another finds that one missing. Those behind them wait
 * for a first core that waits itself, and would name the wrong one. */
static bool
is_watch(const struct barrier_who *who)
{
	const struct arch_core *c = arch_core();

	if (!who)
		return false;
	if (who->boot_core_only)
		return c->cxy == boot_info.boot_cxy && c->lid == 0;
	return c->lid == 0 || (boot_info.clusters == 1 && c->lid == 1);
}

static void
end_halt(struct timer *t)
{
}

/* Halts until something happens, unless the word has changed. => interrupts off */
static void
halt(const u32 *word, u32 old, u64 *asleep)
{
	/* Whoever changes the word after this test sees the bit and sends the vector. */
	atomic_fetch_or(asleep, 1UL << arch_core()->lid);
	if (atomic_load(word) == old)
		cpu_wait_for_interrupt();
	irq_disable();
}

void
barrier_wait_word(const u32 *word, u32 old, u64 *asleep, const struct barrier_who *who)
{
	ns_t limit = machine()->barrier_limit ? machine()->barrier_limit : BARRIER_LIMIT_NS;
	bool was_on = irq_enabled(), watch = is_watch(who), timed = false;
	ns_t began = clock_now(), now;
	struct timer timer;

	while (atomic_load(word) == old) {
		ipi_poll();
		cpu_pause();
		now = clock_now();
		if (watch && now > began + limit)
			report_missing(who, now - began);
		if (now < began + SPIN_NS)
			continue;
		irq_disable();
		if (watch && !timed) {
			timer_init(&timer, end_halt);
			timer_start(&timer, began + limit + 1);
			timed = true;
		}
		halt(word, old, asleep);
		if (was_on)
			irq_enable();
	}
	if (timed)
		timer_cancel(&timer);
	atomic_fetch_and(asleep, ~(1UL << arch_core()->lid));
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
		struct barrier_who who = {
			.name = "local",
			.here = &b->here,
			.all = ~0UL >> (64 - cl->cores_nr),
			.cluster = cl,
		};

		barrier_wait_word(&b->epoch, epoch, &b->asleep, &who);
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
		struct barrier_who who = {
			.name = "global",
			.here = &g->here,
			.all = ~0UL >> (64 - m->nclusters),
		};

		barrier_wait_word(&cl->local_barrier.global_epoch, epoch, &cl->local_barrier.asleep,
				  &who);
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
