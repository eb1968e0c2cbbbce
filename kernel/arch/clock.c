/*
 * The clock: TSC, scaled. See clock.h.
 *
 * Its frequency comes from CPUID where that states it (leaf 0x15, 0x16, a hypervisor's 0x40000010),
 * else from a comparison with the HPET, the ACPI PM timer or the PIT. The host of a virtual machine
 * may take the core away at any time, so each reading is the tightest of several (reference between
 * two TSC reads), and windows are measured until three in a row agree; then the span over all three
 * counts.
 *
 * Locks: none. Constant after clock_init() but for the offsets, and base_ns at a resume.
 */
#include "arch/clock.h"
#include "arch/cpu.h"
#include "arch/layout.h"
#include "core/core.h"
#include "core/klog.h"
#include "lib/acpi.h"
#include "lib/atomic.h"

#define PM_TIMER_HZ  3579545u
#define PIT_HZ	     1193182u
#define HPET_PERIOD  1 /* u32 index of the upper half of the capabilities: femtoseconds a tick */
#define HPET_CONFIG  4
#define HPET_COUNTER 0x3c
#define WINDOW_NS    (3 * NS_PER_MS)
#define WINDOWS_MAX  12
#define AGREE_PPM    300
#define READ_TRIES   5

/* A counter of known frequency. */
struct reference {
	const char *name;
	u64 hz;
	u64 mask; /* where it wraps */
	bool down;
	u64 (*read)(const struct reference *r);
	volatile u32 *hpet;
	u16 port;
};

struct reading {
	u64 tsc, count;
};

static u64
hpet_read(const struct reference *r)
{
	return r->hpet[HPET_COUNTER];
}

static u64
pm_read(const struct reference *r)
{
	return inl(r->port);
}

static u64
pit_read(const struct reference *r)
{
	u8 low;

	outb(0x43, 0); /* latch channel 0 */
	low = inb(0x40);
	return low | (u64)inb(0x40) << 8;
}

static bool
find_hpet(struct reference *r, const struct acpi *acpi)
{
	volatile u32 *regs = (volatile u32 *)(MMIO_BASE + acpi->hpet);
	u32 period;

	if (!acpi->hpet)
		return false;
	period = regs[HPET_PERIOD];
	if (period == 0 || period > 100000000) /* HPET 1.0a 2.3.4 */
		return false;
	regs[HPET_CONFIG] |= 1;
	*r = (struct reference){
		.name = "HPET",
		.hz = 1000000000000000UL / period,
		.mask = UINT32_MAX,
		.read = hpet_read,
		.hpet = regs,
	};
	return true;
}

static void
find_reference(struct reference *r, const struct acpi *acpi)
{
	if (find_hpet(r, acpi))
		return;
	if (acpi->pm_timer) {
		*r = (struct reference){
			.name = "PM timer",
			.hz = PM_TIMER_HZ,
			.mask = acpi->pm_timer_32 ? UINT32_MAX : 0xffffff,
			.read = pm_read,
			.port = (u16)acpi->pm_timer,
		};
		return;
	}
	outb(0x43, 0x34); /* channel 0, rate generator, full range */
	outb(0x40, 0);
	outb(0x40, 0);
	*r = (struct reference){
		.name = "PIT", .hz = PIT_HZ, .mask = 0xffff, .down = true, .read = pit_read};
}

/* The reading that took least time of a few. */
static struct reading
take_reading(const struct reference *r)
{
	struct reading best = {0};
	u64 least = UINT64_MAX;

	for (int i = 0; i < READ_TRIES; i++) {
		u64 t0 = rdtsc(), count = r->read(r), t1 = rdtsc();

		if (t1 - t0 >= least)
			continue;
		least = t1 - t0;
		best = (struct reading){.tsc = t0 + (t1 - t0) / 2, .count = count};
	}
	return best;
}

/* TSC ticks a second between two readings. */
static u64
rate_between(const struct reference *r, struct reading a, struct reading b)
{
	u64 counts = (r->down ? a.count - b.count : b.count - a.count) & r->mask;

	if (!counts)
		return 0;
	return (b.tsc - a.tsc) * r->hz / counts; /* some 1e16 */
}

static bool
agree(u64 a, u64 b)
{
	u64 d = a > b ? a - b : b - a;

	return a && b && d < a / 1000000 * AGREE_PPM;
}

static struct reading
wait_window(const struct reference *r, struct reading from)
{
	u64 counts = r->hz * WINDOW_NS / NS_PER_SEC, passed;

	do {
		cpu_pause();
		passed = r->read(r);
		passed = (r->down ? from.count - passed : passed - from.count) & r->mask;
	} while (passed < counts);
	return take_reading(r);
}

static u64
calibrate(const struct reference *r)
{
	struct reading at[4];
	u64 rate[3] = {0};
	u32 have = 0;

	at[0] = take_reading(r);
	for (u32 i = 0; i < WINDOWS_MAX; i++) {
		at[have + 1] = wait_window(r, at[have]);
		rate[have] = rate_between(r, at[have], at[have + 1]);
		if (have > 0 && !agree(rate[have - 1], rate[have])) {
			at[0] = at[have]; /* the last window starts a new row */
			at[1] = at[have + 1];
			rate[0] = rate[have];
			have = 0;
		}
		if (++have == 3)
			return rate_between(r, at[0], at[3]);
	}
	klog(KLOG_WARN, "clock", "%s windows do not agree: %llu, the last, is taken", r->name,
	     (unsigned long long)rate[have - 1]);
	return rate[have - 1];
}

/* TSC frequency in Hz as CPUID states it; 0: it does not. */
static u64
stated_hz(void)
{
	u32 r[4], max_leaf;

	cpuid(1, 0, r);
	if (r[2] & (1u << 31)) {
		cpuid(0x40000000, 0, r);
		if (r[0] >= 0x40000010 && r[0] < 0x40010000) {
			cpuid(0x40000010, 0, r);
			if (r[0])
				return (u64)r[0] * 1000;
		}
	}
	cpuid(0, 0, r);
	max_leaf = r[0];
	if (max_leaf < 0x15)
		return 0;
	cpuid(0x15, 0, r);
	if (r[0] && r[1] && r[2])
		return (u64)r[2] * r[1] / r[0];
	if (r[0] && r[1] && max_leaf >= 0x16) {
		cpuid(0x16, 0, r); /* base frequency in MHz: the TSC's on these machines */
		return (u64)(r[0] & 0xffff) * 1000000;
	}
	return 0;
}

void
clock_init(void)
{
	struct clock *c = machine()->clock;
	const u64 *entry = &c->params.base_tsc; /* set by boot */
	struct reference ref;
	u64 hz = stated_hz();

	c->source = "CPUID";
	if (!hz) {
		find_reference(&ref, machine()->acpi);
		c->source = ref.name;
		hz = calibrate(&ref);
	}
	c->tsc_khz = hz / 1000;
	c->tsc_per_ns = (hz / NS_PER_SEC << 32) + (hz % NS_PER_SEC << 32) / NS_PER_SEC;
	c->newest = *entry;
	c->params.mult = ((u64)NS_PER_SEC << 32) / hz;
	arch_core()->time = c->params;
}

void
clock_check_core(void)
{
	struct clock *c = machine()->clock;
	u64 lag = 0;

	for (int i = 0; i < 1000; i++) {
		u64 newest = atomic_load(&c->newest), now;

		__asm__ volatile("lfence" : : : "memory");
		now = rdtsc();
		if (now < newest)
			lag = max(lag, newest - now);
		while (now > newest && !atomic_cas(&c->newest, newest, now))
			newest = atomic_load(&c->newest);
	}
	if (lag)
		klog(KLOG_WARN, "clock", "TSC of core %u lags by %llu ticks", arch_core()->index,
		     (unsigned long long)lag);
}

ns_t
clock_now(void)
{
	const struct clock_params *p = &arch_core()->time;

	return p->base_ns + (ns_t)((unsigned __int128)(rdtsc() - p->base_tsc) * p->mult >> 32);
}

u64
clock_tsc_khz(void)
{
	return machine()->clock->tsc_khz;
}

u64
clock_tsc_at(ns_t ns)
{
	const struct clock *c = machine()->clock;

	if (ns <= c->params.base_ns)
		return 1;
	ns = min(ns - c->params.base_ns, 1L << 56);
	return c->params.base_tsc + (u64)((unsigned __int128)(u64)ns * c->tsc_per_ns >> 32) + 1;
}

const struct clock_params *
clock_params(void)
{
	return &machine()->clock->params;
}

ns_t
clock_real_offset(void)
{
	return atomic_load_relaxed(&machine()->clock->real_offset);
}

void
clock_set_real_offset(ns_t offset)
{
	atomic_store(&machine()->clock->real_offset, offset);
}

ns_t
clock_boot_offset(void)
{
	return atomic_load_relaxed(&machine()->clock->boot_offset);
}

void
clock_set_boot_offset(ns_t offset)
{
	atomic_store(&machine()->clock->boot_offset, offset);
}

ns_t
clock_go_on(ns_t mono, ns_t real)
{
	struct machine *m = machine();
	ns_t ahead = max(mono - clock_now(), (ns_t)0);
	ns_t base = m->clock->params.base_ns + ahead;

	m->clock->params.base_ns = base;
	for (u32 i = 0; i < m->ncores; i++)
		atomic_store(&m->core[i]->arch.time.base_ns, base);
	clock_set_real_offset(real - clock_now());
	return ahead;
}

void
clock_spin_ns(ns_t ns)
{
	ns_t end = clock_now() + ns;

	while (clock_now() < end)
		cpu_pause();
}
