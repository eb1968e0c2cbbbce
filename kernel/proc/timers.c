/*
 * Interval timers (setitimer, alarm), POSIX timers (timer_create), and reading clocks.
 *
 * Timers of wall and monotonic clocks are one-shot kernel timers. A periodic one rests from when
 * its signal is queued to when that is taken: then it is told how many periods went by, and starts
 * again. So however short the period, it costs no more than its program takes signals.
 * Timers on CPU time look at the process's clock when it could have got there at the earliest, and
 * start again for the rest; so an idle process costs nothing but that look.
 *
 * Locks: process->timer_mutex serialises whoever sets, reads or deletes; what the handler
 * (interrupt context) shares is under process->lock. A timer is cancelled with only the mutex held,
 * after `armed` was cleared, so its handler cannot start it again. Who takes the signal starts it
 * with process->lock held: a handler that rests its timer does not take that lock again.
 */
#include "proc/siginfo_uapi.h"
#include <asm/errno.h>
#include <asm/signal.h>
#include <linux/time.h>

#include "arch/clock.h"
#include "core/blocked.h"
#include "core/timer.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/persist.h"
#include "proc/process.h"
#include "proc/timers.h"

#define ITIMERS		3
#define CPU_CHECK_MIN	(1 * NS_PER_MS)
#define UNHEARD_MIN	(4 * NS_PER_MS) /* between periods whose signal nobody would take */
#define CPUCLOCK_THREAD 4

struct itimer {
	struct timer timer;
	struct process *process; /* [I] */
	int which;		 /* [I] */
	bool armed;		 /* [process->lock] */
	bool resting;		 /* [process->lock] until its signal is taken */
	ns_t expires;		 /* [process->lock] on its clock */
	ns_t interval;		 /* [process->lock] */
};

struct process_itimers {
	struct itimer t[ITIMERS];
};

struct posix_timer {
	struct list link; /* [timer_mutex and process->lock] either to read */
	struct timer timer;
	struct process *process; /* [I] */
	struct task *task;	 /* [I] SIGEV_THREAD_ID: referenced; also the CPU clock's thread */
	int task_tid;		 /* [I] of task, between a resume's load and its going on */
	int id, clock;		 /* [I] */
	struct sigevent_k event; /* [I] */
	bool armed;		 /* [process->lock] */
	bool resting;		 /* [process->lock] until its signal is taken */
	bool wall;		 /* [process->lock] its times are on the real-time clock */
	ns_t expires, interval;	 /* [process->lock] monotonic, CPU or real time */
	int overrun;		 /* [process->lock] */
};

/* --- clocks --- */

bool
clock_is_cpu(int clock)
{
	return clock < 0 || clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID;
}

bool
clock_is_wall(int clock)
{
	return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE ||
	       clock == CLOCK_REALTIME_ALARM || clock == CLOCK_TAI;
}

/* clock_getcpuclockid's numbers: ~pid << 3, bit 2 for a thread, bits 0..1 which time. */
static int
read_cpu_clock_of(int clock, ns_t *out)
{
	int id = ~clock >> 3, which = clock & 3;
	ns_t user, system;

	if (which == 3)
		return -EINVAL;
	if (clock & CPUCLOCK_THREAD) {
		struct task *t = id ? task_find(id) : NULL;

		if (id && (!t || t->process != current_process())) {
			task_put(t);
			return -EINVAL;
		}
		task_cpu_time(t ? t : current_task(), &user, &system);
		task_put(t);
	} else {
		struct process *p = id ? process_find(id) : NULL;

		if (id && !p)
			return -EINVAL;
		process_cpu_time(p ? p : current_process(), &user, &system);
		process_put(p);
	}
	*out = which == 1 ? user : user + system;
	return 0;
}

int
clock_read(int clock, ns_t *out)
{
	ns_t user, system;

	switch (clock) {
	case CLOCK_REALTIME:
	case CLOCK_REALTIME_COARSE:
	case CLOCK_REALTIME_ALARM:
	case CLOCK_TAI:
		*out = clock_now() + clock_real_offset();
		return 0;
	case CLOCK_MONOTONIC:
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_MONOTONIC_COARSE:
		*out = clock_now();
		return 0;
	case CLOCK_BOOTTIME:
	case CLOCK_BOOTTIME_ALARM:
		*out = clock_now() + clock_boot_offset();
		return 0;
	case CLOCK_PROCESS_CPUTIME_ID:
		process_cpu_time(current_process(), &user, &system);
		*out = user + system;
		return 0;
	case CLOCK_THREAD_CPUTIME_ID:
		task_cpu_time(current_task(), &user, &system);
		*out = user + system;
		return 0;
	}
	return clock < 0 ? read_cpu_clock_of(clock, out) : -EINVAL;
}

static ns_t
add_clamped(ns_t a, ns_t b)
{
	return a > NS_FOREVER - 1 - b ? NS_FOREVER - 1 : a + b;
}

ns_t
clock_deadline(int clock, ns_t when, bool absolute)
{
	if (!absolute)
		return blocked_deadline(add_clamped(clock_now(), when));
	if (clock == CLOCK_BOOTTIME || clock == CLOCK_BOOTTIME_ALARM)
		return when - clock_boot_offset();
	return clock_is_wall(clock) ? when - clock_real_offset() : when;
}

/* When to look again at a CPU clock that has `rest` to go: at the earliest it can have got there.
 */
static ns_t
cpu_check_time(struct process *p, ns_t rest)
{
	u32 parallel = min(max(p->nlive, 1u), machine()->ncores);
	ns_t step = rest / (ns_t)parallel;

	return add_clamped(clock_now(), step < CPU_CHECK_MIN ? CPU_CHECK_MIN : step);
}

/* --- interval timers --- */

static ns_t
itimer_clock(const struct itimer *it)
{
	ns_t user, system;

	if (it->which == ITIMER_REAL)
		return clock_now();
	process_cpu_time(it->process, &user, &system);
	return it->which == ITIMER_VIRTUAL ? user : user + system;
}

static ns_t
itimer_start_time(const struct itimer *it, ns_t now)
{
	return it->which == ITIMER_REAL ? it->expires
					: cpu_check_time(it->process, it->expires - now);
}

/* The periods that have ended by `now`; *expires goes to the end of the one that runs. */
static s64
pass_periods(ns_t *expires, ns_t interval, ns_t now)
{
	s64 n = now >= *expires ? (now - *expires) / interval + 1 : 0;

	*expires += n * interval;
	return n;
}

/* What is left until a timer's end; of a periodic one that rests, of its running period. */
static ns_t
time_left(ns_t expires, ns_t interval, ns_t now)
{
	if (interval)
		(void)pass_periods(&expires, interval, now);
	return max(expires - now, (ns_t)1);
}

/* => p->lock held. Returns when to fire again, NS_FOREVER: not now. */
static ns_t
itimer_expire(struct itimer *it, ns_t now)
{
	static const int signals[ITIMERS] = {SIGALRM, SIGVTALRM, SIGPROF};
	struct process *p = it->process;
	int sig = signals[it->which];
	struct siginfo_k info;
	ns_t soonest = 0;

	if (!it->armed)
		return NS_FOREVER;
	if (now >= it->expires) {
		signal_info_kernel(&info, sig);
		(void)signal_send_locked(p, NULL, sig, &info);
		if (!it->interval) {
			it->armed = false;
			return NS_FOREVER;
		}
		(void)pass_periods(&it->expires, it->interval, now);
		it->resting = it->which == ITIMER_REAL && (p->pending.set & SIGBIT(sig));
		soonest = it->which == ITIMER_REAL ? now + UNHEARD_MIN : 0;
	}
	return it->resting ? NS_FOREVER : max(soonest, itimer_start_time(it, now));
}

static void
itimer_fire(struct timer *timer)
{
	struct itimer *it = container_of(timer, struct itimer, timer);
	ns_t now = itimer_clock(it), again;

	spin_lock(&it->process->lock);
	again = itimer_expire(it, now);
	spin_unlock(&it->process->lock);
	if (again != NS_FOREVER)
		timer_start(timer, again);
}

static struct process_itimers *
get_itimers(struct process *p)
{
	if (!p->itimers) {
		p->itimers = kzalloc(sizeof(*p->itimers));
		for (int i = 0; p->itimers && i < ITIMERS; i++) {
			p->itimers->t[i].process = p;
			p->itimers->t[i].which = i;
			timer_init(&p->itimers->t[i].timer, itimer_fire);
		}
	}
	return p->itimers;
}

static void
itimer_disarm(struct itimer *it)
{
	spin_lock(&it->process->lock);
	it->armed = it->resting = false;
	spin_unlock(&it->process->lock);
	timer_cancel(&it->timer);
}

int
itimer_exchange(int which, const struct itimer_value *new, struct itimer_value *old)
{
	struct process *p = current_process();
	struct process_itimers *its;
	struct itimer *it;
	ns_t now;

	if (which < 0 || which >= ITIMERS)
		return -EINVAL;
	mutex_lock(&p->timer_mutex);
	its = get_itimers(p);
	if (!its) {
		mutex_unlock(&p->timer_mutex);
		return -ENOMEM;
	}
	it = &its->t[which];
	now = itimer_clock(it);
	spin_lock(&p->lock);
	old->interval = it->interval;
	old->value = it->armed ? time_left(it->expires, it->interval, now) : 0;
	spin_unlock(&p->lock);
	if (new) {
		itimer_disarm(it);
		it->interval = new->interval;
		if (new->value) {
			it->expires = add_clamped(now, new->value);
			it->armed = true;
			timer_start(&it->timer, itimer_start_time(it, now));
		}
	}
	mutex_unlock(&p->timer_mutex);
	return 0;
}

/* --- POSIX timers --- */

static ns_t
posix_clock(const struct posix_timer *pt)
{
	ns_t user, system;

	if (!clock_is_cpu(pt->clock))
		return clock_now() + (pt->wall ? clock_real_offset() : 0);
	if (pt->task && pt->clock == CLOCK_THREAD_CPUTIME_ID)
		task_cpu_time(pt->task, &user, &system);
	else
		process_cpu_time(pt->process, &user, &system);
	return user + system;
}

static ns_t
posix_start_time(const struct posix_timer *pt, ns_t now)
{
	return clock_is_cpu(pt->clock) ? cpu_check_time(pt->process, pt->expires - now)
				       : pt->expires;
}

static void
posix_start(struct posix_timer *pt, ns_t at)
{
	if (pt->wall)
		timer_start_wall(&pt->timer, at);
	else
		timer_start(&pt->timer, at);
}

/* The signal of this timer that is still pending, or NULL. => process->lock held */
static struct siginfo_k *
pending_info(struct posix_timer *pt)
{
	bool thread = pt->event.notify == SIGEV_THREAD_ID && pt->task;
	struct sigqueue *q = thread ? &pt->task->pending : &pt->process->pending;
	struct siginfo_item *i;

	list_for_each_entry (i, &q->infos, link)
		if (i->info.code == SI_TIMER && i->info.timer_id == pt->id)
			return &i->info;
	return NULL;
}

static int
add_overrun(int overrun, s64 more)
{
	return (int)min((s64)overrun + more, (s64)INT32_MAX);
}

/* => process->lock held. Returns whether the signal is pending now. */
static bool
posix_send(struct posix_timer *pt, s64 expiries)
{
	struct siginfo_k *pending = pending_info(pt),
			 info = {
				 .signo = pt->event.signo,
				 .code = SI_TIMER,
				 .value = pt->event.value,
				 .timer_id = pt->id,
				 .overrun = add_overrun(0, expiries - 1),
			 };

	if (pending) {
		pending->overrun = pt->overrun = add_overrun(pending->overrun, expiries);
		return true;
	}
	pt->overrun = info.overrun;
	(void)signal_send_locked(pt->process, pt->event.notify == SIGEV_THREAD_ID ? pt->task : NULL,
				 info.signo, &info);
	return pending_info(pt) != NULL;
}

/* => process->lock held. Returns when to fire again, NS_FOREVER: not now. */
static ns_t
posix_expire(struct posix_timer *pt, ns_t now)
{
	bool cpu = clock_is_cpu(pt->clock), pending;
	ns_t soonest = 0;

	if (!pt->armed)
		return NS_FOREVER;
	if (now >= pt->expires) {
		pending = posix_send(
			pt, pt->interval ? pass_periods(&pt->expires, pt->interval, now) : 1);
		if (!pt->interval) {
			pt->armed = false;
			return NS_FOREVER;
		}
		pt->resting = pending && !cpu;
		soonest = cpu ? 0 : now + UNHEARD_MIN;
	}
	return pt->resting ? NS_FOREVER : max(soonest, posix_start_time(pt, now));
}

static void
posix_fire(struct timer *timer)
{
	struct posix_timer *pt = container_of(timer, struct posix_timer, timer);
	ns_t now = posix_clock(pt), again;

	spin_lock(&pt->process->lock);
	again = posix_expire(pt, now);
	spin_unlock(&pt->process->lock);
	if (again != NS_FOREVER)
		posix_start(pt, again);
}

static struct posix_timer *
find_timer(struct process *p, int id)
{
	struct posix_timer *pt;

	list_for_each_entry (pt, &p->posix_timers, link)
		if (pt->id == id)
			return pt;
	return NULL;
}

static int
check_event(int clock, const struct sigevent_k *ev, struct task **task)
{
	ns_t now;

	*task = NULL;
	if (clock_read(clock, &now))
		return -EINVAL;
	if (ev->notify != SIGEV_SIGNAL && ev->notify != SIGEV_NONE && ev->notify != SIGEV_THREAD_ID)
		return -EINVAL;
	if (ev->notify != SIGEV_NONE && (ev->signo < 1 || ev->signo > SIG_COUNT))
		return -EINVAL;
	if (ev->notify == SIGEV_THREAD_ID) {
		*task = task_find(ev->tid);
		if (!*task || (*task)->process != current_process()) {
			task_put(*task);
			return -EINVAL;
		}
	} else if (clock == CLOCK_THREAD_CPUTIME_ID) {
		*task = current_task();
		refcount_get(&(*task)->refs);
	}
	return 0;
}

int
posix_timer_create(int clock, const struct sigevent_k *ev)
{
	struct process *p = current_process();
	struct posix_timer *pt;
	struct task *task;
	int id, err = check_event(clock, ev, &task);

	if (err)
		return err;
	pt = kzalloc(sizeof(*pt));
	if (!pt) {
		task_put(task);
		return -EAGAIN;
	}
	timer_init(&pt->timer, posix_fire);
	pt->process = p;
	pt->task = task;
	pt->clock = clock;
	pt->event = *ev;
	mutex_lock(&p->timer_mutex);
	id = p->next_timer_id;
	while (find_timer(p, id))
		id = (id + 1) & INT32_MAX;
	p->next_timer_id = (id + 1) & INT32_MAX;
	pt->id = id;
	if (ev->notify == SIGEV_SIGNAL && ev->value == ~0UL)
		pt->event.value = (u64)id; /* sigevent NULL: the id is the value */
	spin_lock(&p->lock);
	list_add_tail(&p->posix_timers, &pt->link);
	spin_unlock(&p->lock);
	mutex_unlock(&p->timer_mutex);
	return id;
}

static void
posix_disarm(struct posix_timer *pt)
{
	spin_lock(&pt->process->lock);
	pt->armed = pt->resting = false;
	spin_unlock(&pt->process->lock);
	timer_cancel(&pt->timer);
}

static void
posix_read(struct posix_timer *pt, struct itimer_value *out)
{
	ns_t now = posix_clock(pt);

	spin_lock(&pt->process->lock);
	out->interval = pt->interval;
	out->value = pt->armed ? time_left(pt->expires, pt->interval, now) : 0;
	if (pt->event.notify == SIGEV_NONE && !pt->interval && now >= pt->expires)
		out->value = 0;
	spin_unlock(&pt->process->lock);
}

static void
posix_arm(struct posix_timer *pt, bool absolute, const struct itimer_value *new)
{
	ns_t now;

	pt->interval = new->interval;
	pt->overrun = 0;
	if (!new->value)
		return;
	pt->wall = absolute && clock_is_wall(pt->clock);
	now = posix_clock(pt);
	pt->expires = absolute ? new->value : add_clamped(now, new->value);
	pt->armed = true;
	/* Without a signal nothing has to happen at its end: who asks is told by the clock. */
	if (pt->event.notify != SIGEV_NONE)
		posix_start(pt, posix_start_time(pt, now));
}

int
posix_timer_set(int id, bool absolute, const struct itimer_value *new, struct itimer_value *old)
{
	struct process *p = current_process();
	struct posix_timer *pt;
	int err = -EINVAL;

	mutex_lock(&p->timer_mutex);
	pt = find_timer(p, id);
	if (pt) {
		posix_read(pt, old);
		posix_disarm(pt);
		posix_arm(pt, absolute, new);
		err = 0;
	}
	mutex_unlock(&p->timer_mutex);
	return err;
}

int
posix_timer_get(int id, struct itimer_value *out)
{
	struct process *p = current_process();
	struct posix_timer *pt;

	mutex_lock(&p->timer_mutex);
	pt = find_timer(p, id);
	if (pt)
		posix_read(pt, out);
	mutex_unlock(&p->timer_mutex);
	return pt ? 0 : -EINVAL;
}

int
posix_timer_overrun(int id)
{
	struct process *p = current_process();
	struct posix_timer *pt;
	int n = -EINVAL;

	mutex_lock(&p->timer_mutex);
	pt = find_timer(p, id);
	if (pt)
		n = pt->overrun;
	mutex_unlock(&p->timer_mutex);
	return n;
}

static void
posix_free(struct posix_timer *pt)
{
	posix_disarm(pt);
	spin_lock(&pt->process->lock);
	list_del(&pt->link);
	spin_unlock(&pt->process->lock);
	task_put(pt->task);
	kfree(pt);
}

int
posix_timer_delete(int id)
{
	struct process *p = current_process();
	struct posix_timer *pt;

	mutex_lock(&p->timer_mutex);
	pt = find_timer(p, id);
	if (pt)
		posix_free(pt);
	mutex_unlock(&p->timer_mutex);
	return pt ? 0 : -EINVAL;
}

void
timers_drop_posix(struct process *p)
{
	struct posix_timer *pt, *next;

	mutex_lock(&p->timer_mutex);
	list_for_each_entry_safe (pt, next, &p->posix_timers, link)
		posix_free(pt);
	mutex_unlock(&p->timer_mutex);
}

void
timers_drop(struct process *p)
{
	timers_drop_posix(p);
	mutex_lock(&p->timer_mutex);
	for (int i = 0; p->itimers && i < ITIMERS; i++)
		itimer_disarm(&p->itimers->t[i]);
	mutex_unlock(&p->timer_mutex);
}

/* --- signals that are taken --- */

static void
itimer_wake(struct itimer *it)
{
	it->resting = false;
	(void)pass_periods(&it->expires, it->interval, clock_now());
	timer_start(&it->timer, it->expires);
}

static s64
posix_wake(struct posix_timer *pt)
{
	s64 missed = pass_periods(&pt->expires, pt->interval, posix_clock(pt));

	pt->resting = false;
	posix_start(pt, pt->expires);
	return missed;
}

void
timers_signal_taken(struct process *p, struct siginfo_k *info)
{
	struct posix_timer *pt = info->code == SI_TIMER ? find_timer(p, info->timer_id) : NULL;

	if (pt && pt->resting)
		info->overrun = pt->overrun = add_overrun(info->overrun, posix_wake(pt));
	if (info->signo == SIGALRM && p->itimers && p->itimers->t[ITIMER_REAL].resting)
		itimer_wake(&p->itimers->t[ITIMER_REAL]);
}

void
timers_signals_dropped(struct process *p, u64 mask)
{
	struct posix_timer *pt;

	list_for_each_entry (pt, &p->posix_timers, link)
		if (pt->resting && (SIGBIT(pt->event.signo) & mask) && !pending_info(pt))
			(void)posix_wake(pt);
	if ((SIGBIT(SIGALRM) & mask) && p->itimers && p->itimers->t[ITIMER_REAL].resting)
		itimer_wake(&p->itimers->t[ITIMER_REAL]);
}

/* --- in the store: core/persist.h --- */

enum {
	TIMERS_ITIMER = TAG_TIMERS_FIRST, /* which, armed, resting, expires, interval */
	TIMERS_POSIX, /* id, clock, event (4), task's tid, armed, resting, expires, interval,
			 overrun */
	TIMERS_NEXT,
};

#define POSIX_WORDS 13

void
timers_save(struct persist_writer *w, const struct process *p)
{
	const struct posix_timer *pt;

	for (int i = 0; p->itimers && i < ITIMERS; i++) {
		const struct itimer *it = &p->itimers->t[i];
		const u64 word[] = {(u64)i, it->armed, it->resting, (u64)it->expires,
				    (u64)it->interval};

		if (it->armed || it->interval)
			tag_words(&w->tags, TIMERS_ITIMER, word, ARRAY_SIZE(word));
	}
	list_for_each_entry (pt, &p->posix_timers, link) {
		const u64 word[POSIX_WORDS] = {(u64)pt->id,
					       (u64)pt->clock,
					       (u64)pt->event.notify,
					       (u64)pt->event.signo,
					       (u64)pt->event.tid,
					       pt->event.value,
					       pt->task ? (u64)pt->task->thread.tid : 0,
					       pt->armed,
					       pt->resting,
					       (u64)pt->expires,
					       (u64)pt->interval,
					       (u64)pt->overrun,
					       pt->wall};

		tag_words(&w->tags, TIMERS_POSIX, word, POSIX_WORDS);
	}
	if (p->next_timer_id)
		tag_u64(&w->tags, TIMERS_NEXT, (u64)p->next_timer_id);
}

static bool
event_is_sound(const struct sigevent_k *e)
{
	return e->notify == SIGEV_NONE || (e->signo >= 1 && e->signo <= SIG_COUNT);
}

static int
load_itimers(const struct tag_reader *in, struct process *p)
{
	struct tag_field f = {0};
	u64 word[5];

	while (tag_next(in, TIMERS_ITIMER, &f)) {
		struct itimer *it;

		if (f.length != sizeof(word))
			return -EBADMSG;
		memcpy(word, f.data, sizeof(word));
		if (word[0] >= ITIMERS || word[4] > INT64_MAX)
			return -EBADMSG;
		if (!get_itimers(p))
			return -ENOMEM;
		it = &p->itimers->t[word[0]];
		it->armed = word[1];
		it->resting = word[2];
		it->expires = (ns_t)word[3];
		it->interval = (ns_t)word[4];
	}
	return 0;
}

int
timers_load(struct persist_reader *r, struct process *p)
{
	struct tag_field f = {0};
	u64 word[POSIX_WORDS];
	int err = load_itimers(&r->tags, p);

	p->next_timer_id = (int)tag_get_u64(&r->tags, TIMERS_NEXT, 0);
	while (!err && tag_next(&r->tags, TIMERS_POSIX, &f)) {
		struct posix_timer *pt;

		if (f.length != sizeof(word))
			return -EBADMSG;
		memcpy(word, f.data, sizeof(word));
		pt = kzalloc(sizeof(*pt));
		if (!pt)
			return -ENOMEM;
		timer_init(&pt->timer, posix_fire);
		pt->process = p;
		pt->id = (int)word[0];
		pt->clock = (int)word[1];
		pt->event = (struct sigevent_k){(int)word[2], (int)word[3], (int)word[4], word[5]};
		pt->task_tid = (int)word[6];
		pt->armed = word[7];
		pt->resting = word[8];
		pt->expires = (ns_t)word[9];
		pt->interval = (ns_t)word[10];
		pt->overrun = (int)word[11];
		pt->wall = word[12];
		list_add_tail(&p->posix_timers, &pt->link);
		if (!event_is_sound(&pt->event) || pt->interval < 0)
			return -EBADMSG;
	}
	return err;
}

void
timers_go_on(struct process *p)
{
	struct posix_timer *pt;

	for (int i = 0; p->itimers && i < ITIMERS; i++) {
		struct itimer *it = &p->itimers->t[i];

		if (it->armed && !it->resting)
			timer_start(&it->timer, itimer_start_time(it, itimer_clock(it)));
	}
	list_for_each_entry (pt, &p->posix_timers, link) {
		if (pt->task_tid)
			pt->task = task_find(pt->task_tid);
		if (pt->task && pt->task->process != p) {
			task_put(pt->task);
			pt->task = NULL;
		}
		if (pt->armed && !pt->resting && pt->event.notify != SIGEV_NONE)
			posix_start(pt, posix_start_time(pt, posix_clock(pt)));
	}
}
