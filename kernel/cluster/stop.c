/* Stopping the machine: see stop.h. The others stand in RPC_STAND_STILL. */
#include "cluster/stop.h"
#include "arch/cpu.h"
#include "arch/ipi.h"
#include "arch/pte.h"
#include "cluster/cluster.h"
#include "cluster/rpc_table.h"
#include "lib/assert.h"
#include "lib/atomic.h"

long
rpc_stand_still(u64 a0, u64 a1)
{
	struct machine_stop *s = (struct machine_stop *)a0;

	s->root[arch_core()->index] = READ_CR(3) & PTE_ADDR;
	atomic_fetch_add(&s->standing, 1);
	while (!atomic_load(&s->go)) {
		ipi_poll();
		cpu_pause();
	}
	atomic_fetch_add(&s->left, 1);
	return 0;
}

void
machine_stop(struct machine_stop *s)
{
	const struct machine *m = machine();

	assert(arch_core()->irq_off_depth == 0);
	*s = (struct machine_stop){0};
	for (u32 i = 0; i < m->ncores; i++) {
		if (m->core[i] == this_core())
			continue;
		while (rpc_post(m->core[i], RPC_STAND_STILL, (u64)s, 0))
			cpu_pause();
	}
	while (atomic_load(&s->standing) < m->ncores - 1)
		cpu_pause();
	irq_push_off();
	s->root[arch_core()->index] = READ_CR(3) & PTE_ADDR;
}

void
machine_go(struct machine_stop *s)
{
	atomic_store(&s->go, 1);
	irq_pop_off();
}

void
machine_gone(struct machine_stop *s)
{
	while (atomic_load(&s->left) < machine()->ncores - 1)
		cpu_pause();
}
