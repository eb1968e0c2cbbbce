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
#include "lib/checksum.h"

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

/* Had it come later, it would halt in memory that is somebody else's by then: so it is put back to
 * where nothing but a start-up IPI moves it. */
static const char *
turn_away(struct boot_slot *s, const char *why)
{
	apic_send_init(s->apic_id);
	return why;
}

const char *
wake_wait(struct boot_state *st, struct boot_slot *s, ns_t began)
{
	static const char silent[] = "does not start";
	bool again = false;
	u32 state;

	if (atomic_load(&s->state) == SLOT_FREE)
		return silent;
	while ((state = atomic_load(&s->state)) != SLOT_FIT) {
		ns_t waited = clock_now() - began;

		if (state == SLOT_UNFIT)
			return turn_away(s, "is another kind of processor");
		if (!again && waited > SECOND_SIPI_NS) {
			again = true;
			wake_start(st, s);
		}
		if (waited > ALIVE_LIMIT_NS && atomic_cas(&s->state, state, SLOT_LOST))
			return turn_away(s, silent);
		cpu_pause();
	}
	return NULL;
}

u32
core_kind(void)
{
	enum { OSXSAVE = 1u << 27, OSPKE = 1u << 4 }; /* say how the core is set up */
	u32 r[5][4];

	cpuid(0, 0, r[0]);
	cpuid(1, 0, r[1]);
	cpuid(7, 0, r[2]);
	cpuid(0xd, 0, r[3]);
	cpuid(0x80000001, 0, r[4]);
	r[1][0] = r[1][1] = 0; /* stepping; APIC id */
	r[1][2] &= ~OSXSAVE;
	r[2][2] &= ~OSPKE;
	r[3][1] = 0; /* size of what XCR0 enables now */
	r[4][0] = r[4][1] = 0;
	return checksum32(r, sizeof(r));
}

void
wake_arrive(struct boot_state *st)
{
	struct boot_slot *s = phys_to_virt(st->low->slots);
	u32 gid = apic_id();
	u32 verdict = core_kind() == st->kind && gid != st->cmdline.odd ? SLOT_FIT : SLOT_UNFIT;

	for (u32 i = 0; i < MAX_CORES; i++)
		if (s[i].apic_id == gid && atomic_cas(&s[i].state, SLOT_ALIVE, verdict) &&
		    verdict == SLOT_FIT)
			return;
	for (;;)
		__asm__ volatile("cli; hlt");
}

void
wake_delay(void)
{
	clock_spin_ns(INIT_DELAY_NS);
}
