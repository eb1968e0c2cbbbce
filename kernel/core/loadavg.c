/* Load averages: see loadavg.h. Decay constants are 2048 / exp(5 s / period). */
#include "core/loadavg.h"
#include "arch/clock.h"
#include "core/core.h"
#include "core/sched.h"
#include "lib/atomic.h"

#define SAMPLE_NS (5 * NS_PER_SEC)
#define FIXED_ONE 2048u

static const u32 decay[3] = {1884, 2014, 2037};

void
loadavg_sample(ns_t now)
{
	struct core *c = this_core();
	struct loadavg *l;
	u64 periods;
	ns_t due;

	/* Who takes a sample only moves the next one away. */
	if (now < c->loadavg_due)
		return;
	l = machine()->loadavg;
	c->loadavg_due = due = atomic_load_relaxed(&l->next);
	if (now < due || !atomic_cas(&l->next, due, now + SAMPLE_NS))
		return;
	periods = due == 0 ? 1 : 1 + (u64)(now - due) / SAMPLE_NS;
	for (u64 p = min(periods, 1000ul); p > 0; p--) {
		/* Time without samples was idle time: nobody switched. */
		u32 active = p == 1 ? sched_runnable() * FIXED_ONE : 0;

		for (int i = 0; i < 3; i++)
			l->load[i] = (l->load[i] * decay[i] + active * (FIXED_ONE - decay[i])) /
				     FIXED_ONE;
	}
}

void
loadavg_read(u32 out[3])
{
	loadavg_sample(clock_now());
	for (int i = 0; i < 3; i++)
		out[i] = atomic_load(&machine()->loadavg->load[i]);
}
