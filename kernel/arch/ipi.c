/* Inter-processor interrupts: see ipi.h. The receiving end is in trap.c (interrupt). */
#include "arch/ipi.h"
#include "arch/apic.h"
#include "arch/trap.h"
#include "core/core.h"
#include "lib/atomic.h"

void
ipi_send(struct arch_core *target, u32 reasons)
{
	struct core *from = this_core();

	if (atomic_fetch_or(&target->mailbox, reasons) != 0)
		return;
	if (atomic_load(&target->in_irq)) {
		atomic_add_relaxed(&from->stat_ipis_saved, 1);
		return;
	}
	atomic_add_relaxed(&from->stat_ipis_sent, 1);
	apic_send_ipi(target->apic_id, VECTOR_IPI);
}

void
ipi_send_later(struct arch_core *target)
{
	struct arch_core *c = arch_core();

	c->ipi_later |= 1UL << target->index;
	c->later.ipi = true;
}

void
ipi_send_put_off(struct arch_core *c)
{
	u64 cores = c->ipi_later;

	c->ipi_later = 0;
	for (; cores; cores &= cores - 1)
		ipi_send(&machine()->core[__builtin_ctzl(cores)]->arch, IPI_RESCHED);
}

/* The other reasons stay in the mailbox: the interrupt that was sent with the first of them still
 * comes. If the word becomes empty, that interrupt finds nothing to do. */
void
ipi_poll(void)
{
	struct arch_core *c = arch_core();

	if (likely(!(atomic_load_relaxed(&c->mailbox) & IPI_TLB)))
		return;
	if (atomic_fetch_and(&c->mailbox, ~IPI_TLB) & IPI_TLB)
		c->trap_ops->ipi(IPI_TLB);
}

void
ipi_stop_others(void)
{
	struct machine *m = machine();

	if (!m || !m->ioapics || !m->ioapics->lapic)
		return;
	for (u32 i = 0; i < m->ncores; i++)
		if (m->core[i] && m->core[i] != this_core())
			atomic_fetch_or(&m->core[i]->arch.mailbox, IPI_STOP);
	apic_send_nmi_others();
}
