/*
 * Sessions, process groups and their terminal: job control as POSIX has it.
 *
 * A group and a session are numbers with a list of processes in the number table; they end when
 * the list is empty. A group is orphaned when no member has a parent in the same session but
 * another group; if it has stopped members when that happens, they get SIGHUP and SIGCONT.
 *
 * Locks: everything here is under processes->lock.
 */
#include <asm/errno.h>
#include <asm/signal.h>

#include "dev/tty.h"
#include "proc/process.h"

void
process_leave_group(struct process *p)
{
	struct pid *group = pid_lookup(p->pgrp), *session = pid_lookup(p->session);

	list_del(&p->group_link);
	list_del(&p->session_link);
	if (group)
		pid_release(group);
	if (session && session != group)
		pid_release(session);
}

void
process_join_group(struct process *p, struct pid *group)
{
	list_del(&p->group_link);
	list_add_tail(&group->group, &p->group_link);
	p->pgrp = group->nr;
}

bool
process_group_orphaned(int pgrp, const struct process *without)
{
	struct pid *group = pid_lookup(pgrp);
	struct process *p;

	if (!group)
		return true;
	list_for_each_entry (p, &group->group, group_link) {
		if (p == without || p->zombie || !p->parent || p->parent == processes()->init)
			continue;
		if (p->parent->pgrp != pgrp && p->parent->session == p->session)
			return false;
	}
	return true;
}

static bool
group_has_stopped(int pgrp)
{
	struct pid *group = pid_lookup(pgrp);
	struct process *p;

	if (!group)
		return false;
	list_for_each_entry (p, &group->group, group_link)
		if (p->stopped && !p->zombie)
			return true;
	return false;
}

/* p ends (parent NULL), or its parent `parent` ends: does p's group lose its last tie? */
void
process_orphan_check(struct process *p, struct process *parent)
{
	const struct process *leaving = parent ? NULL : p;
	struct process *tie = parent ? parent : p->parent;
	struct siginfo_k info;

	/* Only a parent in another group of the session was a tie. */
	if (!tie || tie->pgrp == p->pgrp || tie->session != p->session)
		return;
	if (!process_group_orphaned(p->pgrp, leaving) || !group_has_stopped(p->pgrp))
		return;
	signal_info_kernel(&info, SIGHUP);
	signal_send_group_locked(p->pgrp, SIGHUP, &info);
	signal_info_kernel(&info, SIGCONT);
	signal_send_group_locked(p->pgrp, SIGCONT, &info);
}

/* Whose group changes: the caller or a child that has not yet called exec. */
static int
setpgid_target(int nr, struct process **out)
{
	struct process *me = current_process();
	struct pid *pid = nr ? pid_lookup(nr) : pid_lookup(me->pid);
	struct process *p = pid ? pid->process : NULL;

	if (!p)
		return -ESRCH;
	if (p != me) {
		if (p->parent != me)
			return -ESRCH;
		if (p->session != me->session)
			return -EPERM;
		if (p->did_exec)
			return -EACCES;
	}
	if (p->session == p->pid)
		return -EPERM;
	*out = p;
	return 0;
}

static int
setpgid_locked(int nr, int pgrp)
{
	struct process *p, *member;
	struct pid *group, *old;
	int err = setpgid_target(nr, &p);

	if (err)
		return err;
	if (pgrp == 0)
		pgrp = p->pid;
	group = pid_lookup(pgrp);
	if (pgrp != p->pid) {
		if (!group || list_empty(&group->group))
			return -EPERM;
		member = list_first(&group->group, struct process, group_link);
		if (member->session != current_process()->session)
			return -EPERM;
	}
	if (p->pgrp == pgrp)
		return 0;
	old = pid_lookup(p->pgrp);
	process_join_group(p, group);
	if (old)
		pid_release(old);
	return 0;
}

int
process_setpgid(int nr, int pgrp)
{
	int err;

	if (nr < 0 || pgrp < 0)
		return -EINVAL;
	spin_lock(&processes()->lock);
	err = setpgid_locked(nr, pgrp);
	spin_unlock(&processes()->lock);
	return err;
}

int
process_setsid(void)
{
	struct process *me = current_process();
	struct pid *mine, *group, *session;
	int result = -EPERM;

	spin_lock(&processes()->lock);
	mine = pid_lookup(me->pid);
	if (list_empty(&mine->group) && me->session != me->pid) {
		group = pid_lookup(me->pgrp);
		session = pid_lookup(me->session);
		process_join_group(me, mine);
		list_del(&me->session_link);
		list_add_tail(&mine->session, &me->session_link);
		me->session = me->pid;
		me->tty = NULL;
		if (group)
			pid_release(group);
		if (session && session != group)
			pid_release(session);
		result = me->pid;
	}
	spin_unlock(&processes()->lock);
	return result;
}

static int
get_number(int nr, bool session)
{
	struct process *p;
	struct pid *pid;
	int result = -ESRCH;

	spin_lock(&processes()->lock);
	pid = pid_lookup(nr ? nr : current_process()->pid);
	p = pid ? pid->process : NULL;
	if (!p && pid && pid->task)
		p = pid->task->process;
	if (p)
		result = session ? p->session : p->pgrp;
	spin_unlock(&processes()->lock);
	return result;
}

int
process_getpgid(int nr)
{
	return get_number(nr, false);
}

int
process_getsid(int nr)
{
	return get_number(nr, true);
}

/* --- what terminals ask --- */

static void
tty_op_signal_group(int pgrp, int sig)
{
	struct siginfo_k info;

	if (pgrp <= 0)
		return;
	signal_info_kernel(&info, sig);
	(void)signal_send_group(pgrp, sig, &info);
}

static int
tty_op_current_session(void)
{
	return current_process()->session;
}

static int
tty_op_current_pgrp(void)
{
	return current_process()->pgrp;
}

static int
tty_op_pgrp_in_session(int pgrp, int session)
{
	struct pid *group;
	int err = -EPERM;

	spin_lock(&processes()->lock);
	group = pid_lookup(pgrp);
	if (!group)
		err = -ESRCH;
	else if (!list_empty(&group->group) &&
		 list_first(&group->group, struct process, group_link)->session == session)
		err = 0;
	spin_unlock(&processes()->lock);
	return err;
}

static bool
tty_op_pgrp_orphaned(int pgrp)
{
	bool orphaned;

	spin_lock(&processes()->lock);
	orphaned = process_group_orphaned(pgrp, NULL);
	spin_unlock(&processes()->lock);
	return orphaned;
}

static bool
tty_op_ignored_or_blocked(int sig)
{
	return (current_task()->blocked & SIGBIT(sig)) ||
	       signal_action(current_process(), sig).handler == 1;
}

static bool
tty_op_is_session_leader(void)
{
	return current_process()->session == current_process()->pid;
}

static struct tty *
tty_op_controlling(void)
{
	return current_process()->tty;
}

static void
tty_op_set_controlling(struct tty *t)
{
	struct process *p;
	struct pid *pid;

	spin_lock(&processes()->lock);
	pid = pid_lookup(current_process()->session);
	if (pid)
		list_for_each_entry (p, &pid->session, session_link)
			p->tty = t;
	spin_unlock(&processes()->lock);
}

/* The line is gone: the leader hears of it and nobody of the session has a terminal any more. */
static void
tty_op_session_hangup(int session)
{
	struct siginfo_k hup, cont;
	struct process *p;
	struct pid *pid;

	signal_info_kernel(&hup, SIGHUP);
	signal_info_kernel(&cont, SIGCONT);
	spin_lock(&processes()->lock);
	pid = pid_lookup(session);
	if (pid) {
		list_for_each_entry (p, &pid->session, session_link)
			p->tty = NULL;
		if (pid->process && !pid->process->zombie) {
			signal_send_process(pid->process, SIGHUP, &hup);
			signal_send_process(pid->process, SIGCONT, &cont);
		}
	}
	spin_unlock(&processes()->lock);
}

static int
tty_op_signal_current_group(int sig)
{
	tty_op_signal_group(current_process()->pgrp, sig);
	return -ERESTARTSYS;
}

static const struct tty_proc_ops tty_ops = {
	.signal_group = tty_op_signal_group,
	.current_session = tty_op_current_session,
	.current_pgrp = tty_op_current_pgrp,
	.pgrp_in_session = tty_op_pgrp_in_session,
	.pgrp_orphaned = tty_op_pgrp_orphaned,
	.signal_ignored_or_blocked = tty_op_ignored_or_blocked,
	.is_session_leader = tty_op_is_session_leader,
	.controlling = tty_op_controlling,
	.set_controlling = tty_op_set_controlling,
	.session_hangup = tty_op_session_hangup,
	.signal_current_group = tty_op_signal_current_group,
};

void
jobs_init(void)
{
	tty_set_proc_ops(&tty_ops);
}
