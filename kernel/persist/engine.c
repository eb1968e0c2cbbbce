/*
 * The engine's thread: takes a cut when the period is over or somebody asks, writes it, tells those
 * who wait. One checkpoint is under way at a time; requests that come meanwhile share the next.
 *
 * A cut that finds nothing changed but the clock makes no epoch: what the store has is the state.
 */
#include <asm/errno.h>

#include "arch/clock.h"
#include "core/blocked.h"
#include "core/klog.h"
#include "core/thread.h"
#include "dev/power.h"
#include "file/persist.h"
#include "lib/assert.h"
#include "lib/string.h"
#include "mm/kstack.h"
#include "mm/reclaim.h"
#include "mm/slab.h"
#include "persist/impl.h"
#include "persist/persist.h"

/* --- asking --- */

/* machine()->commit. What was cut in this call is in the epoch that was resumed. */
static int
commit_for_call(void)
{
	u64 epoch;

	return blocked_again() ? 0 : persist_commit(&epoch);
}

/* Sleeps until a checkpoint that is begun after the call is over. `mine`: the request that it has
 * held. 0; -EINTR: the caller is being killed; -ENODEV: there is no engine. => p->lock held */
static int
await_checkpoint(struct persist *p, unsigned how, u64 *mine)
{
	int err = p->dead ? -ENODEV : 0;

	*mine = ++p->asked;
	waitq_wake_all(&p->work);
	while (p->finished < *mine && !err)
		err = waitq_sleep(&p->done, &p->lock, NS_FOREVER, WAIT_KILLABLE | how);
	return err;
}

int
persist_commit(u64 *epoch)
{
	struct persist *p = persist();
	u64 mine;
	int err;

	if (!p || !p->store)
		return -ENODEV;
	spin_lock(&p->lock);
	err = await_checkpoint(p, WAIT_QUIET, &mine);
	if (!err && p->committed < mine) /* a later checkpoint may be over, too, and have failed */
		err = p->result;
	*epoch = p->epoch;
	spin_unlock(&p->lock);
	return err;
}

void
persist_set_period(ns_t period)
{
	struct persist *p = persist();

	spin_lock(&p->lock);
	p->period = period;
	waitq_wake_all(&p->work);
	spin_unlock(&p->lock);
}

/* machine()->ask. */
static void
ask_for_checkpoint(void)
{
	struct persist *p = persist();

	spin_lock(&p->lock);
	if (p->asked == p->begun) {
		p->asked++;
		waitq_wake_all(&p->work);
	}
	spin_unlock(&p->lock);
}

/* machine()->room. It is known anew after each checkpoint: who finds none asks for one. */
static int
room_for_file(u64 bytes)
{
	struct persist *p = persist();
	bool fits;

	spin_lock(&p->lock);
	fits = bytes <= p->room;
	p->room -= fits ? bytes : 0;
	spin_unlock(&p->lock);
	if (!fits)
		ask_for_checkpoint();
	return fits ? 0 : -ENOSPC;
}

/* machine()->wait. */
static void
wait_for_checkpoint(void)
{
	struct persist *p = persist();
	u64 mine;

	spin_lock(&p->lock);
	(void)!await_checkpoint(p, WAIT_BOUNDARY, &mine);
	spin_unlock(&p->lock);
}

/* --- the end --- */

/* machine()->ending: process 1 switches the machine off. The next start is a clean one. */
static void
end_of_system(void)
{
	struct persist *p = persist();
	u64 epoch;

	atomic_store(&p->ended, true);
	if (persist_commit(&epoch))
		klog(KLOG_WARN, "persist", "the end was not written down: the next start goes on");
}

/* The power button keeps everything. Interrupt context. */
static void
power_button(void)
{
	struct persist *p = persist();

	spin_lock(&p->lock);
	p->button = true;
	p->asked++;
	waitq_wake_all(&p->work);
	spin_unlock(&p->lock);
}

/* --- one checkpoint --- */

static bool
nothing_changed(const struct cut *c)
{
	const struct vm_cut_figures *f = vm_cut_figures(c->memory);

	return f->pages == 0 && f->deletions == 0 && list_empty(&c->dead) &&
	       c->records.next->next == &c->records; /* the system's record */
}

static void
keep_figures(struct persist *p, const struct cut *c, const struct vm_cut_figures *memory,
	     ns_t commit_ns)
{
	struct figures *f = &p->figures;
	struct record *r;

	f->wait_ns = c->stopped - c->asked;
	f->pause_ns = c->released - c->stopped;
	f->pause_max_ns = max(f->pause_max_ns, f->pause_ns);
	f->walk_ns = c->walk_end - c->stopped;
	f->memory_ns = c->memory_end - c->walk_end;
	f->commit_ns = commit_ns;
	f->objects = c->objects;
	f->walked = c->walked;
	f->pages = memory->pages;
	f->copied += memory->copied;
	f->beside += memory->beside;
	f->records = 0;
	list_for_each_entry (r, &c->records, link)
		f->records++;
}

/* Those who wait for the checkpoint have its result. => p->lock held */
static void
tell(struct persist *p, int err)
{
	p->finished = p->begun;
	p->committed = err ? p->committed : p->begun;
	p->result = err;
	waitq_wake_all(&p->done);
}

/* `last`: nothing runs on, the machine goes off. A success is told as soon as the epoch is durable,
 * before the cut is taken apart, but for its pages: who waited may write them at once, and would be
 * given copies. An error is told by the caller. */
static int
checkpoint(struct persist *p, bool last)
{
	struct cut c = {.last = last};
	struct vm_cut_figures memory = {.pages = 0};
	u64 epoch = 0;
	ns_t durable = 0;
	bool skipped = false;
	int err;

	list_init(&c.records);
	list_init(&c.room);
	list_init(&c.dead);
	err = cut_take(p, &c);
	if (!err) {
		records_settle(&c);
		memory = *vm_cut_figures(c.memory);
		skipped = p->epoch > 0 && !p->ended && nothing_changed(&c);
		if (!skipped)
			err = cut_commit(p, &c, &epoch);
		durable = clock_now();
		if (!err)
			vm_cut_done(c.memory);
	}
	if (err)
		cut_failed(&c);
	spin_lock(&p->lock);
	if (err) {
		p->figures.failed++;
	} else if (skipped) {
		p->figures.skipped++;
	} else {
		p->figures.commits++;
		p->epoch = epoch;
		p->cut_ns = c.stopped;
		keep_figures(p, &c, &memory, durable - c.released);
	}
	if (!err)
		tell(p, 0);
	spin_unlock(&p->lock);
	if (!err && !skipped)
		cut_committed(p, &c);
	cut_free(&c);
	if (last && err)
		quiesce_end();
	return err;
}

/* One line when it stops, and one when it goes on. => returns what was said */
static int
say_result(struct persist *p, int err, int before)
{
	struct store_status st;

	mutex_lock(&p->store_lock);
	store_status(p->store, &st);
	mutex_unlock(&p->store_lock);
	if (err && st.failed)
		err = -ENODEV; /* for good */
	if (err == before)
		return err;
	if (!err)
		klog(KLOG_WARN, "persist", "checkpoints go on with epoch %lu", p->epoch);
	else if (st.failed)
		klog(KLOG_WARN, "persist",
		     "no more checkpoints, the disk failed twice (error %d): what happens from "
		     "here on is lost in a power cut",
		     -st.failed);
	else
		klog(KLOG_WARN, "persist",
		     "no checkpoint (error %d), it is tried again: until then what happens is "
		     "lost in a power cut",
		     -err);
	return err;
}

/* When the next checkpoint is due, `last` being when the last one began. Turns that passed while it
 * was under way are left out: programs run for a while between any two. */
static ns_t
next_due(const struct persist *p, ns_t last)
{
	ns_t took = clock_now() - last;

	if (p->period == NS_FOREVER)
		return NS_FOREVER;
	return last + (took / p->period + 1) * p->period;
}

/* Sleeps until somebody asks or the period is over. */
static void
wait_for_work(struct persist *p, ns_t last)
{
	ns_t period = 0, due = 0;

	spin_lock(&p->lock);
	while (p->asked == p->begun) {
		if (p->period != period)
			due = next_due(p, last);
		period = p->period;
		if (waitq_sleep(&p->work, &p->lock, due, 0) == -ETIMEDOUT)
			break;
	}
	p->begun = p->asked;
	spin_unlock(&p->lock);
}

static void
engine_thread(void *arg)
{
	struct persist *p = arg;
	ns_t last = clock_now();
	int err, before = 0;
	bool off;

	for (;;) {
		wait_for_work(p, last);
		last = clock_now();
		off = atomic_load(&p->button);
		err = checkpoint(p, off);
		if (off && !err)
			power_off();
		reclaim_after_cut(err);
		before = say_result(p, err, before);
		spin_lock(&p->lock);
		if (err)
			tell(p, err);
		spin_unlock(&p->lock);
	}
}

void
engine_init(void)
{
	machine()->commit = commit_for_call;
	machine()->ending = end_of_system;
	machine()->room = room_for_file;
	machine()->ask = ask_for_checkpoint;
	machine()->wait = wait_for_checkpoint;
}

static void
give_up(struct persist *p)
{
	klog(KLOG_WARN, "persist", "no memory for checkpoints: nothing will be kept");
	spin_lock(&p->lock);
	p->dead = true;
	spin_unlock(&p->lock);
}

void
persist_start(void)
{
	struct persist *p = persist();

	if (!p || !p->store)
		return;
	if (!p->resumed_epoch && vfs_make_objects()) {
		give_up(p);
		return;
	}
	status_init(p);
	power_set_button(power_button);
	if (!kthread_create("checkpoint", engine_thread, p, 0))
		give_up(p);
}
