/*
 * wait4 and waitid: a parent learns of its children's ends, stops and continuations.
 *
 * The condition and the queue are guarded by processes->lock, under which children change state.
 * The queue belongs to the process, so any of its threads may wait for any of its children.
 */
#include <asm/errno.h>
#include "proc/siginfo_uapi.h"
#include <asm/signal.h>
#include <linux/sched.h>
#include <linux/wait.h>

#include "proc/process.h"

static bool
child_matches(const struct process *c, int which, int id, unsigned options)
{
	bool clone_child = c->exit_signal != SIGCHLD;

	if (which == P_PID && c->pid != id)
		return false;
	if (which == P_PGID && c->pgrp != id)
		return false;
	if (options & __WALL)
		return true;
	return clone_child == !!(options & __WCLONE);
}

static void
fill_common(struct process *c, struct wait_result *out)
{
	out->pid = c->pid;
	out->uid = c->cred.uid;
	process_cpu_time(c, &out->user_ns, &out->system_ns);
	out->user_ns += c->children_user_ns;
	out->system_ns += c->children_system_ns;
	out->max_rss = max(c->max_rss, c->children_max_rss);
}

/* A child that ended. => processes->lock held. True if it is the answer. */
static bool
take_exited(struct process *c, unsigned options, struct wait_result *out)
{
	if (!(options & WEXITED) || !c->zombie)
		return false;
	fill_common(c, out);
	out->status = c->exit_code;
	out->code = !(c->exit_code & 0x7f)  ? CLD_EXITED
		    : (c->exit_code & 0x80) ? CLD_DUMPED
					    : CLD_KILLED;
	if (!(options & WNOWAIT))
		process_reap(c);
	return true;
}

static bool
take_stopped(struct process *c, unsigned options, struct wait_result *out)
{
	if (!(options & WSTOPPED) || !c->stopped || c->stop_reported || c->zombie)
		return false;
	fill_common(c, out);
	out->status = c->stop_signal << 8 | 0x7f;
	out->code = CLD_STOPPED;
	if (!(options & WNOWAIT))
		c->stop_reported = true;
	return true;
}

static bool
take_continued(struct process *c, unsigned options, struct wait_result *out)
{
	if (!(options & WCONTINUED) || !c->continued || c->zombie)
		return false;
	fill_common(c, out);
	out->status = 0xffff;
	out->code = CLD_CONTINUED;
	if (!(options & WNOWAIT))
		c->continued = false;
	return true;
}

/* The first child with news: 1 and *out (and *dead: a reference to put when it was reaped), 0 when
 * there is none yet, -ECHILD when there never will be. => processes->lock held */
static int
scan_children(int which, int id, unsigned options, struct wait_result *out, struct process **dead)
{
	struct process *me = current_process(), *c;
	int result = -ECHILD;

	list_for_each_entry (c, &me->children, sibling) {
		if (!child_matches(c, which, id, options))
			continue;
		result = 0;
		if (take_exited(c, options, out)) {
			*dead = c->reaped ? c : NULL;
			return 1;
		}
		if (take_stopped(c, options, out) || take_continued(c, options, out))
			return 1;
	}
	return result;
}

long
process_wait(int which, int id, unsigned options, struct wait_result *out)
{
	struct processes *ps = processes();
	struct process *me = current_process(), *dead = NULL;
	long result;

	spin_lock(&ps->lock);
	if (which == P_PGID && id == 0)
		id = me->pgrp;
	for (;;) {
		result = scan_children(which, id, options, out, &dead);
		if (result != 0 || (options & WNOHANG))
			break;
		result = waitq_sleep(&me->child_wait, &ps->lock, NS_FOREVER, WAIT_INTERRUPTIBLE);
		if (result)
			break;
	}
	spin_unlock(&ps->lock);
	if (dead)
		process_put(dead);
	return result == 1 ? out->pid : result;
}
