/* Spinlocks, the slow parts: see spinlock.h. */
#include "core/spinlock.h"
#include "arch/cpu.h"
#include "arch/ipi.h"
#include "core/panic.h"

/* Spins after which a waiting core says what it waits for: a deadlock, or a lost core. */
#define SPIN_REPORT (1UL << 31)
#define PAUSES_MAX  16 /* between two looks at a lock */

void
spin_init(struct spinlock *l, const char *name, enum lock_rank rank)
{
	*l = (struct spinlock){.name = name, .rank = (u8)rank};
}

/* A lock that is only tried cannot deadlock: its rank is not compared. */
void
spin_note_taken(struct spinlock *l, bool tried)
{
	struct arch_core *c = arch_core();

	assert(c->irq_off_depth > 0);
	for (u32 i = 0; i < c->nheld && !tried && l->rank != RANK_NONE; i++)
		if (c->held[i]->rank > l->rank)
			panic("spinlock '%s' (rank %u) taken under '%s' (rank %u)", l->name,
			      l->rank, c->held[i]->name, c->held[i]->rank);
	assert(c->nheld < HELD_MAX);
	c->held[c->nheld++] = l;
}

void
spin_note_released(struct spinlock *l)
{
	struct arch_core *c = arch_core();
	u32 at = c->nheld;

	assert(c->irq_off_depth > 0);
	while (at > 0 && c->held[at - 1] != l)
		at--;
	if (at == 0)
		panic("spinlock '%s' released by core %u, which does not hold it", l->name,
		      c->index);
	for (c->nheld--; at <= c->nheld; at++)
		c->held[at - 1] = c->held[at];
}

/* Looks at the lock less and less often: it may be in another cluster, where each look is dear for
 * the holder too, while requests to this core come to its own mailbox. */
static void
spin_wait(struct spinlock *l)
{
	u64 spins = 0;
	u32 pauses = 1;

	if (spin_held(l))
		panic("spinlock '%s' taken twice by core %u", l->name, arch_core()->index);
	while (atomic_load_relaxed(&l->locked)) {
		for (u32 i = 0; i < pauses; i++) {
			ipi_poll();
			cpu_pause();
		}
		pauses = min(2 * pauses, (u32)PAUSES_MAX);
		if (++spins == SPIN_REPORT / PAUSES_MAX)
			panic("core %u waits for spinlock '%s' held by the core with APIC id %u",
			      arch_core()->index, l->name, atomic_load_relaxed(&l->locked) - 1);
	}
}

void
spin_lock_slowly(struct spinlock *l)
{
	do
		spin_wait(l);
	while (!atomic_cas(&l->locked, 0, spin_owner()));
}

bool
spin_trylock(struct spinlock *l)
{
	irq_push_off();
	if (atomic_load_relaxed(&l->locked) || !atomic_cas(&l->locked, 0, spin_owner())) {
		irq_pop_off();
		return false;
	}
	if (DEBUG_BUILD)
		spin_note_taken(l, true);
	return true;
}
