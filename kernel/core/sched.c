/*
 * The scheduler: see sched.h. Each core has a run queue ordered by virtual run time; the running
 * thread is not in the tree.
 *
 * A sleeping thread keeps its virtual time; on waking it is brought up to shortly before the
 * queue's minimum, so that it goes soon but cannot claim hours of credit. Between cores the virtual
 * time is carried over relative to the queues' minima.
 *
 * Locks: a thread's core and state change under that core's rq.lock. The lock is held across a
 * switch and released by finish_switch() on the next thread's stack: the one place of hand-over.
 */
#include "core/sched.h"
#include "arch/clock.h"
#include "arch/context.h"
#include "arch/cpu.h"
#include "arch/ipi.h"
#include "arch/stand.h"
#include "core/loadavg.h"
#include "core/panic.h"
#include "core/place.h"
#include "core/quiesce.h"
#include "core/thread.h"
#include "lib/assert.h"
#include "lib/atomic.h"

#define SLICE_NS	(4 * NS_PER_MS)
#define SYNC_NS		(100 * NS_PER_US) /* sleeping this soon after a wake-up is "right after" */
#define SPREAD_NS	(500 * NS_PER_US) /* how long a woken thread waits for its waker */
#define SAMPLE_NS	(10 * NS_PER_MS)  /* between samples of a thread that is alone */
#define FAR_NS		(20 * NS_PER_MS)  /* of waiting before it goes to another cluster */
#define WAKE_CREDIT_NS	(3 * NS_PER_MS)
#define PREEMPT_GAIN_NS (1 * NS_PER_MS)
#define IDLE_POLL_NS	(20 * NS_PER_US)

/* Weight of nice -20..19; each step is a quarter. 1024 is nice 0. */
static const u32 nice_weight[40] = {
	88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916,
	9548,  7620,  6100,  4904,  3906,  3121,  2501,	 1991,	1586,  1277,
	1024,  820,   655,   526,   423,   335,	  272,	 215,	172,   137,
	110,   87,    70,    56,    45,	   36,	  29,	 23,	18,    15,
};

static ns_t
weighted(const struct thread *t, ns_t delta)
{
	return t->nice == 0 ? delta : delta * 1024 / nice_weight[t->nice + 20];
}

void
sched_init_core(struct core *c)
{
	spin_init(&c->rq.lock, "runqueue", RANK_RUNQ);
	spin_init(&c->timers.lock, "timers", RANK_TIMER);
	c->timers.armed = NS_FOREVER;
	c->rq.slice_end = NS_FOREVER;
}

static void
enqueue(struct runqueue *rq, struct thread *t)
{
	struct rb_node **link = &rq->tree.root, *parent = NULL;

	assert(!t->on_rq);
	while (*link) {
		parent = *link;
		link = t->vruntime < rb_entry(parent, struct thread, rq_node)->vruntime
			       ? &parent->left
			       : &parent->right;
	}
	rb_insert(&rq->tree, &t->rq_node, parent, link);
	t->on_rq = true;
	atomic_store_relaxed(&rq->nr_running, rq->nr_running + 1);
}

static void
dequeue(struct runqueue *rq, struct thread *t)
{
	assert(t->on_rq);
	rb_remove(&rq->tree, &t->rq_node);
	t->on_rq = false;
	atomic_store_relaxed(&rq->nr_running, rq->nr_running - 1);
}

static struct thread *
leftmost(struct runqueue *rq)
{
	struct rb_node *n = rb_first(&rq->tree);

	return n ? rb_entry(n, struct thread, rq_node) : NULL;
}

/* Charges the running thread for its turn so far. => this core's rq.lock held. */
static void
account(struct core *c, struct thread *t, ns_t now)
{
	ns_t delta = now - t->run_since;

	t->run_since = now;
	if (t == c->idle) {
		c->idle_ns += delta;
		return;
	}
	t->vruntime += weighted(t, delta);
	if (t->vruntime > c->rq.min_vruntime) {
		struct thread *first = leftmost(&c->rq);
		ns_t low = first && first->vruntime < t->vruntime ? first->vruntime : t->vruntime;

		c->rq.min_vruntime = max(c->rq.min_vruntime, low);
	}
	if (t->sampled_kernel || !t->process) {
		t->system_ns += delta;
		c->system_ns += delta;
	} else {
		t->user_ns += delta;
		c->user_ns += delta;
	}
}

/* Locks the queue of the core that t is on, and returns the core. */
static struct core *
lock_core_of(struct thread *t)
{
	for (;;) {
		struct core *c = atomic_load(&t->core);

		spin_lock(&c->rq.lock);
		if (c == atomic_load(&t->core))
			return c;
		spin_unlock(&c->rq.lock);
	}
}

ns_t
sched_thread_time(struct thread *t, ns_t *user, ns_t *system)
{
	ns_t running = 0;

	*user = *system = 0;
	if (atomic_load(&t->core)) { /* started */
		struct core *c = lock_core_of(t);

		if (c->arch.current == t)
			running = max(clock_now() - t->run_since, (ns_t)0);
		*user = t->user_ns + (t->sampled_kernel ? 0 : running);
		*system = t->system_ns + (t->sampled_kernel ? running : 0);
		spin_unlock(&c->rq.lock);
	}
	return *user + *system;
}

static struct core *choose_core(struct thread *t);
static void place(struct core *c, struct thread *t, bool relative);

/* Ends a switch on the new thread's stack: frees the lock, sends on the one that may not stay here,
 * buries the dead. */
static void
finish_switch(void)
{
	struct core *c = this_core();
	struct thread *prev = c->handover;
	bool dead = prev->state == THREAD_DEAD;
	bool moves = prev->state == THREAD_READY && !prev->on_rq && prev != c->idle;
	bool noted = unlikely(quiescing()) && (dead || prev->state == THREAD_SLEEPING);

	c->handover = NULL;
	if (moves)
		prev->vruntime -= c->rq.min_vruntime;
	if (c->rq.slice_end < c->timers.armed)
		timer_rearm();
	spin_unlock(&c->rq.lock);
	if (moves)
		place(choose_core(prev), prev, true);
	if (dead)
		prev->ops->reap(prev);
	if (noted)
		quiesce_note(prev);
}

void
sched_first_run(void *thread)
{
	struct thread *t = thread;

	arch_core()->irq_was_on = true;
	arch_core()->later.flag = true;
	finish_switch();
	t->entry(t->arg);
	thread_exit();
}

static void
switch_to(struct core *c, struct thread *prev, struct thread *next)
{
	bool irq_was_on = irq_enabled() || c->arch.later.irq;

	irq_disable();
	/* It may have come back from another core and not been in user mode since: then what is in
	 * these registers is old. */
	if (prev->fpu && c->arch.fpu_owner == prev && prev->fpu_core == c)
		fpu_save(prev->fpu);
	if (prev->ops && prev->ops->switch_out)
		prev->ops->switch_out(prev);
	/* Before next looks at its flags: thread_interrupt() sets them and then looks at this. */
	(void)atomic_xchg(&c->arch.current, next);
	c->arch.kernel_rsp = (u64)next->stack + KSTACK_SIZE;
	c->arch.tss.rsp[0] = c->arch.kernel_rsp;
	c->arch.canary = next->canary;
	if (next->ops && next->ops->switch_in)
		next->ops->switch_in(next);
	c->handover = prev;
	c->stat_switches++;
	context_switch(&prev->rsp, next->rsp);
	arch_core()->irq_was_on = irq_was_on;
	arch_core()->later.flag = true;
	finish_switch();
}

/* The core of the thief's cluster with the most threads; NULL: none waits there. */
static struct core *
fullest_near(const struct core *thief)
{
	struct machine *m = machine();
	struct core *fullest = NULL;
	u32 most = 1;

	for (u64 near = m->cluster_cores[thief->arch.cxy]; near; near &= near - 1) {
		struct core *c = m->core[__builtin_ctzl(near)];
		u32 n = c == thief ? 0 : atomic_load_relaxed(&c->rq.nr_running);

		if (n > most) {
			most = n;
			fullest = c;
		}
	}
	return fullest;
}

/* The first waiting thread of a core that may run on the thief. */
static struct thread *
steal_from(struct core *victim, struct core *thief)
{
	spin_lock(&victim->rq.lock);
	for (struct rb_node *n = rb_first(&victim->rq.tree); n; n = rb_next(n)) {
		struct thread *t = rb_entry(n, struct thread, rq_node);

		if (!(t->affinity & 1UL << thief->arch.index))
			continue;
		dequeue(&victim->rq, t);
		t->vruntime -= victim->rq.min_vruntime;
		atomic_store(&t->core, thief);
		spin_unlock(&victim->rq.lock);
		return t;
	}
	spin_unlock(&victim->rq.lock);
	return NULL;
}

/* Steals a waiting thread in the own cluster, or from the core of another that has offered one.
 * => no lock held, interrupts off. */
static struct thread *
steal(struct core *thief)
{
	struct core *victim = fullest_near(thief);
	struct thread *t = victim ? steal_from(victim, thief) : NULL;

	if (t || !atomic_load_relaxed(&thief->rq.offered))
		return t;
	victim = atomic_xchg(&thief->rq.offered, NULL);
	t = victim ? steal_from(victim, thief) : NULL;
	thief->stat_taken += t != NULL;
	return t;
}

/* Takes the next thread off the queue. => rq.lock held. */
static struct thread *
pick(struct core *c)
{
	struct thread *t = leftmost(&c->rq);

	if (!t)
		return c->idle;
	dequeue(&c->rq, t);
	return t;
}

/* An idle core that may run t, of the nearest cluster that has one. */
static struct core *
nearest_idle(const struct core *from, const struct thread *t)
{
	struct machine *m = machine();
	struct core *best = NULL;

	for (unsigned i = 0; i < m->nclusters; i++) {
		u64 idle = t->affinity & m->cluster_cores[i];
		const u8 *distance = m->distance[from->arch.cxy];

		if (i == from->arch.cxy || !idle ||
		    (best && distance[best->arch.cxy] <= distance[i]))
			continue;
		idle &= atomic_load(&m->idle[i]->mask);
		if (idle)
			best = m->core[__builtin_ctzl(idle)];
	}
	return best;
}

/* Nobody waits here; those who did may stand still for a checkpoint, and are back in a moment.
 * => rq.lock held */
static void
not_crowded(struct core *c, ns_t now)
{
	if (!quiesce_unsettled(now))
		c->rq.crowded_since = 0;
}

/* Notes how long threads have been waiting here, and now and then offers one to an idle core of
 * another cluster: it is worth leaving one's memory only if the cluster is overloaded for a while.
 * => rq.lock held */
static void
offer_far(struct core *c, ns_t now)
{
	struct thread *waiting = leftmost(&c->rq);
	struct core *idle;

	if (!waiting)
		not_crowded(c, now);
	else if (c->rq.crowded_since == 0)
		c->rq.crowded_since = now;
	if (!waiting || now - c->rq.crowded_since < FAR_NS || c->machine->nclusters == 1)
		return;
	c->rq.crowded_since = now;
	idle = nearest_idle(c, waiting);
	if (!idle)
		return;
	atomic_store(&idle->rq.offered, c);
	ipi_send_later(&idle->arch);
}

/* Whether a runnable thread may go on on this core. One that was taken from another cluster goes
 * back when a core there is idle. */
static bool
may_stay(const struct core *c, const struct thread *t)
{
	struct machine *m = machine();

	if (!(t->affinity & 1UL << c->arch.index))
		return false;
	return t->home == c->arch.cxy || !(atomic_load(&m->idle[t->home]->mask) & t->affinity);
}

/* The running thread counts in nr_running though it is not in the tree. */
static void
set_running(struct core *c, struct thread *t, ns_t now)
{
	t->run_since = now;
	if (t == c->idle) {
		c->rq.slice_end = NS_FOREVER;
		return;
	}
	atomic_store_relaxed(&c->rq.nr_running, c->rq.nr_running + 1);
	c->rq.slice_end = now + (c->rq.nr_running > 1 ? SLICE_NS : SAMPLE_NS);
}

/*
 * Switches to the next thread. The caller has set the state of the current one and holds the lock
 * of this core's queue; if the current one stays READY it goes back on the queue, or to another
 * core once it is off this one, when its affinity changed.
 */
void
sched_switch(void)
{
	struct core *c = this_core();
	struct thread *prev = current_thread(), *next;
	ns_t now = clock_now();

	assert(spin_held(&c->rq.lock));
	assert(c->arch.irq_off_depth == 1);
	account(c, prev, now);
	if (prev->woke_at && prev->state != THREAD_READY) {
		prev->sleeps_after_wake = now - prev->woke_at < SYNC_NS;
		prev->woke_at = 0;
	}
	if (prev != c->idle) {
		atomic_store_relaxed(&c->rq.nr_running, c->rq.nr_running - 1);
		if (prev->state == THREAD_READY && may_stay(c, prev))
			enqueue(&c->rq, prev);
	}
	atomic_fetch_and(&prev->flags, ~TF_RESCHED);
	next = pick(c);
	set_running(c, next, now);
	offer_far(c, now);
	loadavg_sample(now);
	if (next != prev) {
		if (prev->state == THREAD_READY)
			prev->switches_forced++;
		else
			prev->switches_voluntary++;
		switch_to(c, prev, next);
		return;
	}
	if (c->rq.slice_end < c->timers.armed)
		timer_rearm();
	spin_unlock(&c->rq.lock);
}

void
sched_yield(void)
{
	struct runqueue *rq = &this_core()->rq;
	struct thread *t = current_thread(), *first;

	assert(t != this_core()->idle);
	spin_lock(&rq->lock);
	first = leftmost(rq);
	if (first && t->vruntime <= first->vruntime)
		t->vruntime = first->vruntime + 1;
	sched_switch();
}

void
sched_point(void)
{
	if (!(atomic_load_relaxed(&current_thread()->flags) & TF_RESCHED))
		return;
	spin_lock(&this_core()->rq.lock);
	sched_switch();
}

/* Whether the thread that wakes another will soon make room for it on this core: it is alone there,
 * and the last time it woke somebody it slept right after. To wake another core would cost more
 * than that wait. If it goes on this time, sched_tick offers the woken one to an idle core. */
static bool
waker_makes_room(const struct core *here)
{
	return here->arch.current->sleeps_after_wake && !here->arch.in_irq &&
	       atomic_load_relaxed(&here->rq.nr_running) == 1;
}

/* Takes an idle core of a cluster for one waking thread, so that the next waker looks for another:
 * `last` if it is one. NULL: there is none in the mask. */
static struct core *
claim_idle(unsigned cxy, u64 cores, u64 last)
{
	u64 *mask = &machine()->idle[cxy]->mask;
	u64 idle = atomic_load(mask) & cores;

	while (idle) {
		u64 bit = idle & last ? last : idle & -idle;

		if (atomic_fetch_and(mask, ~bit) & bit)
			return machine()->core[__builtin_ctzl(bit)];
		idle &= ~bit;
	}
	return NULL;
}

/* For a thread that may not run at home: an idle core where it may, else the one it was on. */
static struct core *
choose_core_away(u64 allowed, struct core *last)
{
	struct machine *m = machine();
	u64 last_bit = 1UL << last->arch.index;
	struct core *c = claim_idle(last->arch.cxy, allowed, last_bit);

	for (unsigned i = 0; i < m->nclusters && !c; i++)
		if (m->cluster_cores[i] & allowed)
			c = claim_idle(i, allowed, last_bit);
	if (c || (allowed & last_bit))
		return c ? c : last;
	c = place_least_loaded(allowed);
	return c ? c : last;
}

/* Whether the thread goes on where it was: it only stood still at the boundary to user mode, as all
 * others did, and what the load is there has not changed. To go home would undo another cluster's
 * help, and elsewhere in a cluster caches are cold, at each checkpoint. But on the core of who lets
 * all go there is work to be done now. */
static bool
goes_on(const struct thread *t, const struct core *here, const struct core *last, u64 home)
{
	u64 last_bit = 1UL << last->arch.index;

	return (t->wait_how & WAIT_BOUNDARY) && (t->affinity & last_bit) &&
	       (last != here || !(home & last_bit));
}

/* The core a waking thread goes to, in the cluster whose memory its stack is in: its waker's if
 * that makes room, where it was if that is idle (its caches are there), or another idle one; else
 * back where it was. If it has to wait there for long, an idle core of another cluster is called
 * (offer_far). */
static struct core *
choose_core(struct thread *t)
{
	struct machine *m = machine();
	struct core *here = this_core(), *last = t->core ? t->core : here, *c;
	u64 home = t->affinity & m->cluster_cores[t->home], last_bit = 1UL << last->arch.index;

	if (!home)
		return choose_core_away(t->affinity, last);
	if (goes_on(t, here, last, home)) {
		(void)claim_idle(last->arch.cxy, last_bit, last_bit);
		return last;
	}
	if (!(t->wait_how & WAIT_BOUNDARY) && (home & 1UL << here->arch.index) &&
	    waker_makes_room(here))
		return here;
	c = claim_idle(t->home, home, last_bit);
	if (c)
		return c;
	return home & last_bit ? last : place_least_loaded(home);
}

/* Makes core c notice a thread that was put on its queue. => c->rq.lock held. */
static void
kick(struct core *c, struct thread *t, bool was_idle, u32 others)
{
	struct thread *running = c->arch.current;
	bool preempt = was_idle ||
		       t->vruntime + PREEMPT_GAIN_NS <
			       running->vruntime + (clock_now() - atomic_load(&running->run_since));

	if (preempt) {
		atomic_fetch_or(&running->flags, TF_RESCHED);
	} else if (others <= 1) {
		/* The running one was alone: it has company, here or on an idle core (sched_tick).
		 */
		c->rq.slice_end = min(c->rq.slice_end, clock_now() + SPREAD_NS);
	} else {
		return;
	}
	if (c == this_core()) {
		if (!preempt)
			timer_rearm();
	} else {
		/* Against idle_poll: it clears the flag and looks at the queue, we do the reverse.
		 */
		atomic_fence();
		if (!was_idle || !atomic_load(&c->rq.polling))
			ipi_send_later(&c->arch);
	}
}

/* Puts a READY thread that is on no queue onto core c's. */
static void
place(struct core *c, struct thread *t, bool relative)
{
	u32 others;
	bool was_idle;

	spin_lock(&c->rq.lock);
	if (relative)
		t->vruntime += c->rq.min_vruntime;
	t->vruntime = max(t->vruntime, c->rq.min_vruntime - WAKE_CREDIT_NS);
	atomic_store(&t->core, c);
	others = c->rq.nr_running;
	was_idle = c->arch.current == c->idle;
	enqueue(&c->rq, t);
	kick(c, t, was_idle, others);
	spin_unlock(&c->rq.lock);
}

void
thread_start(struct thread *t)
{
	struct core *c;

	assert(t->state == THREAD_NEW);
	thread_list(t);
	t->state = THREAD_READY;
	if (current_thread() != this_core()->idle)
		t->nice = t->nice ? t->nice : current_thread()->nice;
	if (t->process)
		place_enter(t);
	c = choose_core(t);
	t->core = c;
	t->vruntime = 0;
	place(c, t, true);
}

bool
thread_wake(struct thread *t)
{
	struct core *from = lock_core_of(t), *to;

	if (t->state != THREAD_SLEEPING) {
		spin_unlock(&from->rq.lock);
		return false;
	}
	t->state = THREAD_READY;
	to = choose_core(t);
	if (!arch_core()->in_irq)
		current_thread()->woke_at = clock_now();
	t->vruntime -= from->rq.min_vruntime;
	/* Still its core's until it is placed: nobody else touches a READY thread off the queues.
	 */
	spin_unlock(&from->rq.lock);
	place(to, t, true);
	return true;
}

void
thread_exit(void)
{
	struct thread *t = current_thread();

	thread_unlist(t);
	if (t->process)
		place_leave(t);
	irq_disable();
	spin_lock(&this_core()->rq.lock);
	t->state = THREAD_DEAD;
	if (arch_core()->fpu_owner == t)
		arch_core()->fpu_owner = NULL;
	sched_switch();
	panic("thread '%s' ran after its end", t->name);
}

void
thread_set_affinity(struct thread *t, u64 mask)
{
	struct core *c;

	if (!atomic_load(&t->core)) { /* not started: thread_start() chooses */
		t->affinity = mask;
		return;
	}
	c = lock_core_of(t);
	t->affinity = mask;
	if (mask & 1UL << c->arch.index) {
		spin_unlock(&c->rq.lock);
		return;
	}
	if (t->on_rq) {
		dequeue(&c->rq, t);
		t->vruntime -= c->rq.min_vruntime;
		spin_unlock(&c->rq.lock);
		place(choose_core(t), t, true);
		return;
	}
	spin_unlock(&c->rq.lock);
	if (t == current_thread())
		sched_migrate();
	else if (t->state == THREAD_READY)
		thread_interrupt(t, TF_RESCHED);
}

void
sched_migrate(void)
{
	spin_lock(&this_core()->rq.lock);
	sched_switch();
}

/* Calls an idle core of the cluster, which will steal a thread that waits here. Returns whether
 * there was one. */
static bool
offer_near(struct core *c)
{
	struct thread *waiting = leftmost(&c->rq);
	u64 idle = waiting ? atomic_load(&c->idle_cores->mask) & waiting->affinity : 0;

	if (idle)
		ipi_send_later(&c->machine->core[__builtin_ctzl(idle)]->arch);
	return idle != 0;
}

/* Charges what has run since the last look to the mode that the interrupt found. */
void
sched_tick(ns_t now)
{
	struct core *c = this_core();
	struct thread *t = current_thread();

	spin_lock(&c->rq.lock);
	t->sampled_kernel = !c->arch.irq_from_user;
	account(c, t, now);
	if (now >= c->rq.slice_end) {
		bool alone = c->rq.nr_running <= 1;

		c->rq.slice_end = alone ? now + SAMPLE_NS : now + SLICE_NS;
		if (alone)
			not_crowded(c, now);
		if (alone ? !may_stay(c, t) : !offer_near(c))
			atomic_fetch_or(&t->flags, TF_RESCHED);
	}
	spin_unlock(&c->rq.lock);
}

void
sched_ipi(void)
{
	this_core()->stat_ipis++;
	timer_rearm();
}

bool
sched_is_idle(const struct core *c)
{
	return atomic_load(&c->idle_cores->mask) >> c->arch.index & 1;
}

ns_t
sched_slice_end(void)
{
	return this_core()->rq.slice_end;
}

u32
sched_runnable(void)
{
	struct machine *m = machine();
	u32 n = 0;

	for (u32 i = 0; i < m->ncores; i++)
		n += atomic_load_relaxed(&m->core[i]->rq.nr_running);
	return n;
}

/* Switches to whatever is runnable here or can be stolen. => interrupts off.
 * Returns whether there was anything. */
static bool
idle_once(struct core *c)
{
	struct thread *stolen = rb_first(&c->rq.tree) ? NULL : steal(c);

	spin_lock(&c->rq.lock);
	if (stolen) {
		stolen->vruntime += c->rq.min_vruntime;
		enqueue(&c->rq, stolen);
	}
	if (!leftmost(&c->rq)) {
		spin_unlock(&c->rq.lock);
		return false;
	}
	atomic_store(&c->rq.offered, NULL);
	atomic_fetch_and(&c->idle_cores->mask, ~(1UL << c->arch.index));
	sched_switch();
	return true;
}

/* Looks at the queue for a moment before the core halts: a thread that is woken within it costs
 * neither an interrupt nor, on a virtual machine, two exits. It stands still (arch/stand.h) but for
 * what interrupts do. Whether it was stopped, which ends the look at once.
 * => interrupts off, also on return. */
static bool
idle_poll(struct core *c)
{
	ns_t end = clock_now() + IDLE_POLL_NS;
	bool held;

	atomic_store(&c->rq.polling, true);
	stand_begin(&c->arch);
	irq_enable();
	while (atomic_load_relaxed(&c->rq.nr_running) == 0 && !stand_is_held(&c->arch) &&
	       clock_now() < end)
		cpu_pause();
	irq_disable();
	held = stand_is_held(&c->arch);
	stand_end(&c->arch);
	atomic_store(&c->rq.polling, false);
	atomic_fence();
	return held;
}

/* An interrupt has ended the standstill already; what else ends a HLT has not. Interrupts are off
 * from here to the HLT. => interrupts off, also on return */
static void
idle_halt(struct arch_core *c)
{
	stand_begin(c);
	cpu_wait_for_interrupt();
	irq_disable();
	stand_end(c);
}

void
sched_idle(void)
{
	struct core *c = this_core();
	u64 bit = 1UL << c->arch.index;

	assert(current_thread() == c->idle);
	for (;;) {
		bool held;

		irq_disable();
		if (idle_once(c))
			continue;
		atomic_fetch_or(&c->idle_cores->mask, bit);
		held = idle_poll(c);
		/* A waker that saw us busy or polling sent nothing: look here and elsewhere again.
		 * After a stop threads are woken in a moment. */
		if (idle_once(c) || held)
			continue;
		idle_halt(&c->arch);
		atomic_fetch_and(&c->idle_cores->mask, ~bit);
	}
}
