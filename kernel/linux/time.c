/*
 * Calls about time: clocks, sleeping, interval and POSIX timers.
 *
 * An interrupted relative sleep goes on by restart_syscall with the deadline it had, so the time
 * spent in handlers is not slept again. An absolute sleep is simply restarted.
 */
#include "proc/siginfo_uapi.h"
#include <asm/errno.h>
#include <linux/time.h>
#include <linux/time_types.h>
#include <linux/times.h>
#include <linux/timex.h>

#include "arch/clock.h"
#include "calls.h"
#include "core/timer.h"
#include "file/kinds.h"
#include "lib/string.h"
#include "linux/dispatch.h"
#include "linux/time_args.h"
#include "mm/user.h"
#include "proc/process.h"
#include "proc/timers.h"

#define CLOCK_TICKS 100 /* USER_HZ */

/* --- formats --- */

static int
to_ns(ns_t *out, s64 sec, s64 part, s64 per_sec)
{
	if (sec < 0 || part < 0 || part >= per_sec)
		return -EINVAL;
	if (sec >= NS_FOREVER / NS_PER_SEC - 1)
		*out = NS_FOREVER - 1;
	else
		*out = sec * NS_PER_SEC + part * (NS_PER_SEC / per_sec);
	return 0;
}

int
fetch_timespec(ns_t *out, const void __user *user)
{
	struct __kernel_timespec ts;

	if (copy_from_user(&ts, user, sizeof(ts)))
		return -EFAULT;
	return to_ns(out, ts.tv_sec, ts.tv_nsec, NS_PER_SEC);
}

int
put_timespec(void __user *user, ns_t t)
{
	struct __kernel_timespec ts = {t / NS_PER_SEC, t % NS_PER_SEC};

	return copy_to_user(user, &ts, sizeof(ts));
}

int
fetch_timeval(ns_t *out, const void __user *user)
{
	struct __kernel_old_timeval tv;

	if (copy_from_user(&tv, user, sizeof(tv)))
		return -EFAULT;
	return to_ns(out, tv.tv_sec, tv.tv_usec, 1000000);
}

int
put_timeval(void __user *user, ns_t t)
{
	struct __kernel_old_timeval tv = {t / NS_PER_SEC, t % NS_PER_SEC / NS_PER_US};

	return copy_to_user(user, &tv, sizeof(tv));
}

/* --- clocks --- */

long
sys_clock_gettime(int clock, void __user *ts)
{
	ns_t now;
	int err = clock_read(clock, &now);

	return err ? err : put_timespec(ts, now);
}

long
sys_clock_getres(int clock, void __user *ts)
{
	ns_t now;
	int err = clock_read(clock, &now);

	if (err || !ts)
		return err;
	return put_timespec(ts, 1);
}

static int
set_wall_clock(ns_t when)
{
	if (!process_privileged())
		return -EPERM;
	clock_set_real_offset(when - clock_now());
	vdso_update();
	timers_clock_was_set();
	timerfd_clock_was_set();
	return 0;
}

long
sys_clock_settime(int clock, const void __user *ts)
{
	ns_t when, now;
	int err = clock_read(clock, &now);

	if (err)
		return err;
	err = fetch_timespec(&when, ts);
	if (err)
		return err;
	return clock == CLOCK_REALTIME ? set_wall_clock(when) : -EINVAL;
}

long
sys_gettimeofday(void __user *tv, void __user *tz)
{
	u64 zone = 0; /* struct timezone: two ints, UTC */

	if (tv && put_timeval(tv, clock_now() + clock_real_offset()))
		return -EFAULT;
	return tz ? copy_to_user(tz, &zone, sizeof(zone)) : 0;
}

long
sys_settimeofday(const void __user *tv, const void __user *tz)
{
	ns_t when;
	u64 zone;
	int err;

	if (tz && get_user(zone, (const u64 __user *)tz))
		return -EFAULT;
	if (!tv)
		return process_privileged() ? 0 : -EPERM;
	err = fetch_timeval(&when, tv);
	return err ? err : set_wall_clock(when);
}

long
sys_time(long __user *out)
{
	long now = (clock_now() + clock_real_offset()) / NS_PER_SEC;

	return out && put_user(now, out) ? -EFAULT : now;
}

static long
ticks(ns_t t)
{
	return t / (NS_PER_SEC / CLOCK_TICKS);
}

long
sys_times(struct tms __user *buf)
{
	struct process *p = current_process();
	ns_t user, system;
	struct tms tms;

	process_cpu_time(p, &user, &system);
	tms.tms_utime = ticks(user);
	tms.tms_stime = ticks(system);
	tms.tms_cutime = ticks(p->children_user_ns);
	tms.tms_cstime = ticks(p->children_system_ns);
	if (buf && copy_to_user(buf, &tms, sizeof(tms)))
		return -EFAULT;
	return ticks(clock_now());
}

/* The clock runs free on the TSC: unsynchronised, no adjustment in progress, none possible. */
long
sys_adjtimex(void __user *buf)
{
	struct timex t;
	ns_t now;

	if (copy_from_user(&t, buf, sizeof(t)))
		return -EFAULT;
	if (t.modes != 0 && t.modes != ADJ_OFFSET_SS_READ)
		return -EPERM;
	memset(&t, 0, sizeof(t));
	now = clock_now() + clock_real_offset();
	t.status = STA_UNSYNC;
	t.maxerror = t.esterror = 16000000;
	t.constant = 2;
	t.precision = 1;
	t.tolerance = 500 << 16;
	t.tick = 1000000 / CLOCK_TICKS;
	t.time.tv_sec = now / NS_PER_SEC;
	t.time.tv_usec = now % NS_PER_SEC / NS_PER_US;
	return copy_to_user(buf, &t, sizeof(t)) ? -EFAULT : TIME_ERROR;
}

long
sys_clock_adjtime(int clock, void __user *buf)
{
	if (clock != CLOCK_REALTIME)
		return clock_is_cpu(clock) || clock > CLOCK_TAI ? -EINVAL : -EOPNOTSUPP;
	return sys_adjtimex(buf);
}

/* --- sleeping --- */

/* Sleeps until `deadline`; rem (may be NULL) gets what is left when a signal came. */
long
restart_sleep(struct restart_block *r)
{
	int err = sleep_until(r->deadline, WAIT_INTERRUPTIBLE);
	ns_t left;

	if (!err)
		return 0;
	left = r->deadline - clock_now();
	if (left <= 0)
		return 0;
	if (r->arg[0] && put_timespec((void __user *)r->arg[0], left))
		return -EFAULT;
	return -ERESTART_BLOCK;
}

/* Waits until a CPU clock has reached `target`: looks again when it can have got there. */
static long
sleep_on_cpu_clock(int clock, ns_t target)
{
	ns_t now;
	int err;

	for (;;) {
		err = clock_read(clock, &now);
		if (err || now >= target)
			return err;
		err = sleep_until(clock_now() + max((target - now) / machine()->ncores, NS_PER_MS),
				  WAIT_INTERRUPTIBLE);
		if (err)
			return -ERESTARTNOHAND;
	}
}

long
sys_clock_nanosleep(int clock, int flags, const void __user *req, void __user *rem)
{
	struct restart_block *r = &current_task()->restart;
	ns_t when, now;
	int err = clock_read(clock, &now);

	if (err || clock == CLOCK_THREAD_CPUTIME_ID)
		return -EINVAL;
	err = fetch_timespec(&when, req);
	if (err)
		return err;
	if (clock_is_cpu(clock))
		return sleep_on_cpu_clock(clock, flags & TIMER_ABSTIME ? when : now + when);
	if (flags & TIMER_ABSTIME) {
		err = sleep_until(when,
				  WAIT_INTERRUPTIBLE | (clock_is_wall(clock) ? WAIT_WALL : 0));
		return err ? -ERESTARTNOHAND : 0;
	}
	*r = (struct restart_block){
		.fn = restart_sleep,
		.deadline = clock_deadline(clock, when, false),
		.arg = {(u64)rem},
	};
	return restart_sleep(r);
}

long
sys_nanosleep(const void __user *req, void __user *rem)
{
	return sys_clock_nanosleep(CLOCK_MONOTONIC, 0, req, rem);
}

/* --- interval timers --- */

static int
put_itimerval(void __user *user, const struct itimer_value *v)
{
	char __user *at = user;

	/* A timer that is running never shows zero. */
	ns_t value = v->value && v->value < NS_PER_US ? NS_PER_US : v->value;

	return put_timeval(at, v->interval) ||
			       put_timeval(at + sizeof(struct __kernel_old_timeval), value)
		       ? -EFAULT
		       : 0;
}

long
sys_getitimer(int which, void __user *value)
{
	struct itimer_value v;
	int err = itimer_exchange(which, NULL, &v);

	return err ? err : put_itimerval(value, &v);
}

long
sys_setitimer(int which, const void __user *value, void __user *old)
{
	struct itimer_value new = {0}, was;
	const char __user *at = value;
	int err;

	if (value) {
		err = fetch_timeval(&new.interval, at);
		if (!err)
			err = fetch_timeval(&new.value, at + sizeof(struct __kernel_old_timeval));
		if (err)
			return err;
	}
	err = itimer_exchange(which, &new, &was);
	return err || !old ? err : put_itimerval(old, &was);
}

long
sys_alarm(unsigned seconds)
{
	struct itimer_value new = {.value = seconds * NS_PER_SEC}, old;
	long left;

	if (itimer_exchange(ITIMER_REAL, &new, &old))
		return 0;
	left = (old.value + NS_PER_SEC / 2) / NS_PER_SEC;
	return old.value && !left ? 1 : left;
}

/* --- POSIX timers --- */

long
sys_timer_create(int clock, struct sigevent __user *user_event, int __user *user_id)
{
	struct sigevent_k ev = {.notify = SIGEV_SIGNAL, .signo = 14 /* SIGALRM */, .value = ~0UL};
	sigevent_t e;
	int id;

	if (user_event) {
		if (copy_from_user(&e, user_event, sizeof(e)))
			return -EFAULT;
		ev.notify = e.sigev_notify;
		ev.signo = e.sigev_signo;
		ev.value = (u64)e.sigev_value.sival_ptr;
		ev.tid = e._sigev_un._tid;
	}
	id = posix_timer_create(clock, &ev);
	if (id < 0)
		return id;
	if (put_user(id, user_id)) {
		posix_timer_delete(id);
		return -EFAULT;
	}
	return 0;
}

static int
put_itimerspec(void __user *user, const struct itimer_value *v)
{
	char __user *at = user;

	return put_timespec(at, v->interval) ||
			       put_timespec(at + sizeof(struct __kernel_timespec), v->value)
		       ? -EFAULT
		       : 0;
}

long
sys_timer_settime(int id, int flags, const void __user *value, void __user *old)
{
	struct itimer_value new, was;
	const char __user *at = value;
	int err;

	if (!value)
		return -EINVAL;
	err = fetch_timespec(&new.interval, at);
	if (!err)
		err = fetch_timespec(&new.value, at + sizeof(struct __kernel_timespec));
	if (!err)
		err = posix_timer_set(id, flags & TIMER_ABSTIME, &new, &was);
	return err || !old ? err : put_itimerspec(old, &was);
}

long
sys_timer_gettime(int id, void __user *value)
{
	struct itimer_value v;
	int err = posix_timer_get(id, &v);

	return err ? err : put_itimerspec(value, &v);
}

long
sys_timer_getoverrun(int id)
{
	return posix_timer_overrun(id);
}

long
sys_timer_delete(int id)
{
	return posix_timer_delete(id);
}
