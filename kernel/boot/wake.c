/*
 * Starting other cores: INIT, SIPI, and SIPI again (SDM 3A 9.4.4). Several first cores may do this
 * at once for their own clusters: each uses its own local APIC and slots of its own; the trampoline
 * is only read. A core that misses its time limit finds its slot closed and halts, and is put back
 * to where it waits for a start-up IPI.
 */
#include "arch/apic.h"
#include "arch/clock.h"
#include "arch/cpu.h"
#include "boot/boot.h"
#include "boot/wake.h"
#include "core/klog.h"
#include "lib/assert.h"
#include "lib/atomic.h"

#define INIT_DELAY_NS  (100 * NS_PER_US)
#define SECOND_SIPI_NS (20 * NS_PER_MS)
#define ALIVE_LIMIT_NS                                                                             \
	(3 * NS_PER_SEC) /* for a dead core; a live one is waited for no longer than it takes */

/* kill=: a test of dead cores. */
static bool
is_killed(const struct boot_state *st, u32 gid)
{
	for (u32 i = 0; i < st->cmdline.nkill; i++)
		if (st->cmdline.kill[i] == gid)
			return true;
	return false;
}

struct boot_slot *
wake_prepare(struct boot_state *st, const struct wake *w)
{
	u32 n = atomic_fetch_add(&st->nslots, 1);
	struct boot_slot *s = (struct boot_slot *)phys_to_virt(st->low->slots) + n;

	assert(n < MAX_CORES);
	s->stack = (u64)w->stack_top;
	s->core = (u64)w->core;
	s->cr3 = w->cr3;
	s->entry = (u64)w->entry;
	s->arg = (u64)w->arg;
	s->apic_id = w->gid;
	if (is_killed(st, w->gid)) /* nobody rings for it */
		return s;
	atomic_store(&s->state, SLOT_AWAITED);
	apic_send_init(w->gid);
	return s;
}

void
wake_start(struct boot_state *st, struct boot_slot *s)
{
	if (atomic_load(&s->state) == SLOT_AWAITED)
		apic_send_startup(s->apic_id, (u8)(st->trampoline >> PAGE_SHIFT));
}

bool
wake_wait(struct boot_state *st, struct boot_slot *s, ns_t began)
{
	bool again = false;

	if (atomic_load(&s->state) == SLOT_FREE)
		return false;
	while (atomic_load(&s->state) != SLOT_ALIVE) {
		ns_t waited = clock_now() - began;

		if (!again && waited > SECOND_SIPI_NS) {
			again = true;
			wake_start(st, s);
		}
		if (waited > ALIVE_LIMIT_NS && atomic_cas(&s->state, SLOT_AWAITED, SLOT_LOST)) {
			/* One that comes later must not: the trampoline's memory will be others'.
			 */
			apic_send_init(s->apic_id);
			return false;
		}
		cpu_pause();
	}
	return true;
}

void
wake_delay(void)
{
	clock_spin_ns(INIT_DELAY_NS);
}
