/*
 * One-shot timers: a red-black tree per core, ordered by expiry, with the hardware armed for the
 * earlier of the first timer and the end of the running thread's slice.
 *
 * Locks: core->timers.lock; handlers run without it. A timer stays on the core it was started on.
 */
#include "core/timer.h"
#include "arch/apic.h"
#include "arch/clock.h"
#include "arch/cpu.h"
#include "arch/ipi.h"
#include "core/core.h"
#include "core/sched.h"
#include "lib/assert.h"
#include "lib/atomic.h"

void
timer_init(struct timer *t, void (*fn)(struct timer *))
{
	*t = (struct timer){.fn = fn};
}

static void
insert(struct timerq *q, struct timer *t)
{
	struct rb_node **link = &q->tree.root, *parent = NULL;

	while (*link) {
		parent = *link;
		link = t->expires < rb_entry(parent, struct timer, node)->expires ? &parent->left
										  : &parent->right;
	}
	rb_insert(&q->tree, &t->node, parent, link);
	t->pending = true;
}

static ns_t
first_expiry(struct timerq *q)
{
	struct rb_node *n = rb_first(&q->tree);

	return n ? rb_entry(n, struct timer, node)->expires : NS_FOREVER;
}

/* => q->lock of this core held. */
static void
rearm(struct timerq *q)
{
	ns_t timer = first_expiry(q), slice = sched_slice_end();
	ns_t next = timer < slice ? timer : slice;

	if (next != q->armed) {
		q->armed = next;
		/* Not under the lock, for the reason of ipi_send_later(). */
		arch_core()->timer_later = next;
		arch_core()->later.timer = true;
	}
}

void
timer_rearm(void)
{
	struct timerq *q;

	irq_push_off();
	q = &this_core()->timers;
	spin_lock(&q->lock);
	rearm(q);
	spin_unlock(&q->lock);
	irq_pop_off();
}

/* By the real-time clock unless wall is 0. The offset is read under the lock: so either it is the
 * new one, or timers_clock_was_set() comes by here later. */
static void
start(struct timer *t, ns_t expires, ns_t wall)
{
	struct core *c;

	timer_cancel(t);
	irq_push_off();
	c = this_core();
	spin_lock(&c->timers.lock);
	t->wall = wall;
	t->expires = wall ? wall - clock_real_offset() : expires;
	atomic_store(&t->core, c);
	insert(&c->timers, t);
	if (t->expires < c->timers.armed)
		rearm(&c->timers);
	spin_unlock(&c->timers.lock);
	irq_pop_off();
}

void
timer_start(struct timer *t, ns_t expires)
{
	start(t, expires, 0);
}

void
timer_start_wall(struct timer *t, ns_t wall)
{
	start(t, 0, max(wall, (ns_t)1));
}

/* Puts timers on the real-time clock where they are due now. => q->lock held; true if one moved */
static bool
move_wall_timers(struct timerq *q)
{
	struct rb_node *n, *next;
	bool moved = false;

	for (n = rb_first(&q->tree); n != NULL; n = next) {
		struct timer *t = rb_entry(n, struct timer, node);
		ns_t due = t->wall - clock_real_offset();

		next = rb_next(n);
		if (t->wall == 0 || t->expires == due)
			continue;
		rb_remove(&q->tree, n);
		t->expires = due;
		insert(q, t);
		moved = true;
	}
	return moved;
}

void
timers_clock_was_set(void)
{
	for (u32 i = 0; i < machine()->ncores; i++) {
		struct core *c = machine()->core[i];
		bool moved;

		spin_lock(&c->timers.lock);
		moved = move_wall_timers(&c->timers);
		spin_unlock(&c->timers.lock);
		if (moved)
			ipi_send(&c->arch, IPI_TIMER);
	}
}

void
timers_clock_went_on(void)
{
	for (u32 i = 0; i < machine()->ncores; i++)
		ipi_send(&machine()->core[i]->arch, IPI_TIMER);
}

/* A handler that runs meanwhile on another core may start its timer again: so look once more when
 * it has ended. */
bool
timer_cancel(struct timer *t)
{
	struct core *c;
	bool was_pending = false, running;

	while ((c = atomic_load(&t->core)) != NULL) {
		spin_lock(&c->timers.lock);
		if (t->pending) {
			rb_remove(&c->timers.tree, &t->node);
			t->pending = false;
			was_pending = true;
		}
		running = c->timers.running == t;
		spin_unlock(&c->timers.lock);
		if (!running || c == this_core())
			break;
		while (atomic_load(&c->timers.running) == t)
			cpu_pause();
	}
	return was_pending;
}

bool
timer_pending(const struct timer *t)
{
	return atomic_load(&t->pending);
}

void
timer_interrupt(void)
{
	struct timerq *q = &this_core()->timers;

	spin_lock(&q->lock);
	q->armed = NS_FOREVER;
	for (;;) {
		struct rb_node *n = rb_first(&q->tree);
		struct timer *t = n ? rb_entry(n, struct timer, node) : NULL;

		if (!t || t->expires > clock_now())
			break;
		rb_remove(&q->tree, n);
		t->pending = false;
		atomic_store(&q->running, t);
		spin_unlock(&q->lock);
		t->fn(t); /* may free or restart t */
		spin_lock(&q->lock);
		atomic_store(&q->running, NULL);
	}
	spin_unlock(&q->lock);
	sched_tick(clock_now());
	timer_rearm();
}
