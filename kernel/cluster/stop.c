/* Stopping the machine: see stop.h. How a core stands still is arch/stand.h's. */
#include "cluster/stop.h"
#include "arch/cpu.h"
#include "arch/ipi.h"
#include "arch/pte.h"
#include "arch/stand.h"
#include "cluster/cluster.h"
#include "lib/assert.h"
#include "lib/atomic.h"

static struct mutex *
stop_lock(void)
{
	return &machine()->cluster[boot_info.boot_cxy]->stop_lock;
}

void
machine_stop_init(void)
{
	mutex_init(stop_lock(), "stop");
}

/* One that stands still already is left alone: perhaps it sleeps. */
static void
hold(struct arch_core *c)
{
	if (!(atomic_fetch_or(&c->standing, STAND_HELD) & STAND_STILL))
		ipi_send(c, IPI_STAND);
}

void
machine_stop(void)
{
	const struct machine *m = machine();

	assert(arch_core()->irq_off_depth == 0);
	mutex_lock(stop_lock());
	irq_push_off();
	for (u32 i = 0; i < m->ncores; i++)
		if (m->core[i] != this_core())
			hold(&m->core[i]->arch);
	for (u32 i = 0; i < m->ncores; i++)
		while (m->core[i] != this_core() &&
		       !(atomic_load(&m->core[i]->arch.standing) & STAND_STILL)) {
			ipi_poll();
			cpu_pause();
		}
	arch_core()->standing_root = READ_CR(3) & PTE_ADDR;
}

void
machine_share(struct stand_work *w)
{
	const struct machine *m = machine();

	for (u32 i = 0; i < m->ncores; i++) {
		struct arch_core *c = &m->core[i]->arch;

		if (m->core[i] == this_core())
			continue;
		c->stand_work = w;
		atomic_fetch_or(&c->standing, STAND_SHARE);
	}
}

/* First all are told, so that their last pieces are done side by side. */
void
machine_share_end(void)
{
	const struct machine *m = machine();

	for (u32 i = 0; i < m->ncores; i++)
		if (m->core[i] != this_core())
			atomic_fetch_and(&m->core[i]->arch.standing, ~STAND_SHARE);
	for (u32 i = 0; i < m->ncores; i++)
		while (atomic_load(&m->core[i]->arch.standing) & STAND_BUSY)
			cpu_pause();
}

void
machine_go(void)
{
	const struct machine *m = machine();

	for (u32 i = 0; i < m->ncores; i++)
		if (m->core[i] != this_core())
			atomic_fetch_and(&m->core[i]->arch.standing, ~STAND_HELD);
	irq_pop_off();
	mutex_unlock(stop_lock());
}
