/*
 * Time from the TSC: calibrated once (CPUID 0x15/0x16 leaf, else HPET, PM timer or PIT) and
 * checked on every core. clock_now() is CLOCK_MONOTONIC in nanoseconds since power-on of the
 * kernel; wall-clock time is clock_now() + clock_real_offset().
 */
#ifndef ARCH_CLOCK_H
#define ARCH_CLOCK_H

#include "lib/types.h"

void clock_init(void); /* boot core, after ACPI */
/* Compares this core's TSC with the others' and says so when it lags; all cores at once, in D1. */
void clock_check_core(void);
ns_t clock_now(void);
u64 clock_tsc_khz(void);
/* The constants that turn a TSC value into ns: ns = base_ns + ((tsc - base_tsc) * mult >> 32). */
struct clock_params {
	u64 base_tsc;
	u64 mult;
	ns_t base_ns;
};
const struct clock_params *clock_params(void);

/* machine()->clock, allocated (zeroed) by boot. Before clock_init() the time is 0. */
struct clock {
	struct clock_params params; /* [I] but for base_ns, until programs run */
	u64 tsc_khz;		    /* [I] */
	u64 tsc_per_ns;		    /* [I] 32.32 */
	ns_t real_offset;	    /* [a] */
	ns_t boot_offset;	    /* [a] */
	u64 newest;		    /* [a] largest TSC value any core has shown */
	const char *source;	    /* [I] what the frequency comes from */
};
/* The TSC value at a monotonic time, for the deadline timer. */
u64 clock_tsc_at(ns_t ns);
/* Realtime minus monotonic, ns since 1970. Set from the RTC at boot and by clock_settime. */
ns_t clock_real_offset(void);
void clock_set_real_offset(ns_t offset);
/* What CLOCK_BOOTTIME is ahead of CLOCK_MONOTONIC: the times between a power cut and a resume. */
ns_t clock_boot_offset(void);
void clock_set_boot_offset(ns_t offset);
/* After a resume: CLOCK_MONOTONIC goes on from `mono`, CLOCK_REALTIME is `real`. A clock that is
 * ahead of that already stays. Returns by how much CLOCK_MONOTONIC was put forward. What timers
 * were set to is the caller's to put right: timers_clock_went_on(). */
ns_t clock_go_on(ns_t mono, ns_t real);
/* Busy wait; for hardware only. */
void clock_spin_ns(ns_t ns);

#endif
