/* Spinlocks and the nesting of interrupts-off: see spinlock.h. */
#include "core/spinlock.h"
#include "arch/cpu.h"
#include "arch/ipi.h"
#include "arch/percpu.h"
#include "core/panic.h"
#include "lib/assert.h"
#include "lib/atomic.h"

/* Spins after which a waiting core says what it waits for: a deadlock, or a lost core. */
#define SPIN_REPORT (1UL << 31)

void
irq_push_off(void)
{
	bool on = irq_enabled();
	struct arch_core *c;

	irq_disable();
	c = arch_core();
	if (c->irq_off_depth++ == 0)
		c->irq_was_on = on;
}

void
irq_pop_off(void)
{
	struct arch_core *c = arch_core();

	assert(c->irq_off_depth > 0);
	if (--c->irq_off_depth == 0 && c->irq_was_on)
		irq_enable();
}

void
spin_init(struct spinlock *l, const char *name, enum lock_rank rank)
{
	*l = (struct spinlock){.name = name, .rank = (u8)rank};
}

/* => interrupts off. A lock that is only tried cannot deadlock: its rank is not compared. */
static void
note_taken(struct spinlock *l, bool tried)
{
	struct arch_core *c = arch_core();

	assert(!irq_enabled());
	for (u32 i = 0; i < c->nheld && !tried && l->rank != RANK_NONE; i++)
		if (c->held[i]->rank > l->rank)
			panic("spinlock '%s' (rank %u) taken under '%s' (rank %u)", l->name,
			      l->rank, c->held[i]->name, c->held[i]->rank);
	assert(c->nheld < HELD_MAX);
	c->held[c->nheld++] = l;
}

static void
note_released(struct spinlock *l)
{
	struct arch_core *c = arch_core();
	u32 at = c->nheld;

	assert(!irq_enabled());
	while (at > 0 && c->held[at - 1] != l)
		at--;
	if (at == 0)
		panic("spinlock '%s' released by core %u, which does not hold it", l->name,
		      c->index);
	for (c->nheld--; at <= c->nheld; at++)
		c->held[at - 1] = c->held[at];
}

static void
spin_wait(struct spinlock *l)
{
	u64 spins = 0;

	if (l->holder == arch_core())
		panic("spinlock '%s' taken twice by core %u", l->name, arch_core()->index);
	while (atomic_load_relaxed(&l->locked)) {
		ipi_poll();
		cpu_pause();
		if (++spins == SPIN_REPORT)
			panic("core %u waits for spinlock '%s' held by core %u", arch_core()->index,
			      l->name, l->holder ? ((struct arch_core *)l->holder)->index : ~0u);
	}
}

void
spin_lock(struct spinlock *l)
{
	irq_push_off();
	while (unlikely(atomic_xchg(&l->locked, 1)))
		spin_wait(l);
	l->holder = arch_core();
	if (DEBUG_BUILD)
		note_taken(l, false);
}

bool
spin_trylock(struct spinlock *l)
{
	irq_push_off();
	if (atomic_load_relaxed(&l->locked) || atomic_xchg(&l->locked, 1)) {
		irq_pop_off();
		return false;
	}
	l->holder = arch_core();
	if (DEBUG_BUILD)
		note_taken(l, true);
	return true;
}

void
spin_unlock(struct spinlock *l)
{
	if (DEBUG_BUILD)
		note_released(l);
	l->holder = NULL;
	atomic_store(&l->locked, 0);
	irq_pop_off();
}

bool
spin_held(const struct spinlock *l)
{
	return atomic_load_relaxed(&l->locked) && l->holder == arch_core();
}
