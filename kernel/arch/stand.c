/* Cores that stand still: see stand.h. */
#include "arch/stand.h"
#include "arch/cpu.h"
#include "arch/ipi.h"
#include "arch/pte.h"

static void
note_root(struct arch_core *c)
{
	atomic_store(&c->standing_root, READ_CR(3) & PTE_ADDR);
}

void
stand_begin(struct arch_core *c)
{
	note_root(c);
	atomic_fetch_or(&c->standing, STAND_STILL);
}

/* The core cannot be let go meanwhile. */
static void
do_piece(struct arch_core *c)
{
	u32 asked = STAND_STILL | STAND_HELD | STAND_SHARE;

	if (likely(atomic_load_relaxed(&c->standing) != asked) ||
	    !atomic_cas(&c->standing, asked, asked | STAND_BUSY))
		return;
	c->stand_work->piece(c->stand_work);
	atomic_fetch_and(&c->standing, ~STAND_BUSY);
}

void
stand_wait(struct arch_core *c)
{
	while (!atomic_cas(&c->standing, STAND_STILL, 0)) {
		ipi_poll();
		note_root(c);
		do_piece(c);
		cpu_pause();
	}
}
