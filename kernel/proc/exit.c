/*
 * The end of tasks and processes.
 *
 * A task first gives back what needs its address space (robust futexes, clear_child_tid); the last
 * live one of a process closes files, drops the map, hands its children to a reaper, becomes a
 * zombie and tells its parent, all while it is still the current task. Then it leaves the tables
 * and its thread ends; memory goes when the thread was switched away for the last time.
 *
 * Locks: processes->lock around the change of the tree and the number table, process->lock inside.
 * Closing files and dropping the map may sleep and happen with neither.
 */
#include <asm/errno.h>
#include <asm/signal.h>
#include "proc/siginfo_uapi.h"
#include <linux/sched.h>

#include "core/panic.h"
#include "lib/assert.h"
#include "mm/user.h"
#include "proc/futex.h"
#include "proc/process.h"
#include "proc/timers.h"

void
process_vfork_done(struct process *p)
{
	spin_lock(&p->lock);
	p->vfork_done = true;
	waitq_wake_all(&p->vfork_wait);
	spin_unlock(&p->lock);
}

void
task_release_user(struct task *t)
{
	int __user *clear = t->clear_tid;

	futex_exit_robust(t);
	t->clear_tid = NULL;
	if (!clear)
		return;
	/* Nobody else can see the word when the address space is ours alone. */
	if (put_user(0, clear) == 0)
		(void)futex_wake((u32 __user *)clear, true, 1, ~0u);
}

/* Whether p's parent does not want to hear of its children's ends. => processes->lock held */
static bool
parent_ignores(struct process *p)
{
	struct sigaction_k a;

	if (p->exit_signal != SIGCHLD)
		return false;
	a = signal_action(p->parent, SIGCHLD);
	return a.handler == 1 || (a.flags & SA_NOCLDWAIT);
}

void
process_notify_parent(struct process *p, int code, int status)
{
	struct siginfo_k info = {0};
	struct process *parent = p->parent;
	struct sigaction_k a;
	ns_t user, system;
	int sig = code == CLD_STOPPED || code == CLD_CONTINUED ? SIGCHLD : p->exit_signal;

	debug_assert(spin_held(&processes()->lock));
	if (!parent)
		return;
	waitq_wake_all(&parent->child_wait);
	a = signal_action(parent, SIGCHLD);
	if (sig == 0)
		return;
	if (sig == SIGCHLD && a.handler == 1)
		return;
	if ((code == CLD_STOPPED || code == CLD_CONTINUED) && (a.flags & SA_NOCLDSTOP))
		return;
	process_cpu_time(p, &user, &system);
	info.signo = sig;
	info.code = code;
	info.pid = p->pid;
	info.uid = p->cred.uid;
	info.status = status;
	info.utime = user / (NS_PER_SEC / 100);
	info.stime = system / (NS_PER_SEC / 100);
	signal_send_process(parent, sig, &info);
}

/* Who adopts the children of p: the nearest living subreaper above it, else init. */
static struct process *
find_reaper(struct process *p)
{
	struct process *init = processes()->init, *a;

	for (a = p->parent; a && a != init; a = a->parent)
		if (a->subreaper && !a->zombie && a->nlive > 0)
			return a;
	return init;
}

/* Removes a zombie for ever. => processes->lock held; the caller puts the table's reference after
 * it has released the lock */
static void
unlink_zombie(struct process *p)
{
	struct processes *ps = processes();
	struct pid *pid = pid_lookup(p->pid);

	assert(p->zombie && !p->reaped);
	p->reaped = true;
	list_del(&p->sibling);
	list_del(&p->all);
	process_leave_group(p);
	pid->process = NULL;
	pid_release(pid);
	p->parent = NULL;
	atomic_fetch_sub(&ps->count, 1);
}

void
process_reap(struct process *p)
{
	struct process *parent = p->parent;
	ns_t user, system;
	u64 rss;

	process_cpu_time(p, &user, &system);
	parent->children_user_ns += user + p->children_user_ns;
	parent->children_system_ns += system + p->children_system_ns;
	rss = max(p->max_rss, p->children_max_rss);
	parent->children_max_rss = max(parent->children_max_rss, rss);
	unlink_zombie(p);
}

/* Gives the children of p away; zombies among them may vanish at once (their references go to
 * `dead`). => processes->lock held */
static void
give_children_away(struct process *p, struct list *dead)
{
	struct process *reaper = find_reaper(p), *c, *next;

	list_for_each_entry_safe (c, next, &p->children, sibling) {
		list_del(&c->sibling);
		list_add_tail(&reaper->children, &c->sibling);
		c->parent = reaper;
		if (c->pdeath_signal) {
			struct siginfo_k info;

			signal_info_kernel(&info, c->pdeath_signal);
			info.code = SI_USER;
			info.pid = p->pid;
			signal_send_process(c, c->pdeath_signal, &info);
		}
		process_orphan_check(c, p);
		c->exit_signal = SIGCHLD;
		if (!c->zombie)
			continue;
		if (parent_ignores(c)) {
			unlink_zombie(c);
			list_add_tail(dead, &c->all);
		} else {
			process_notify_parent(c, c->exit_code & 0x7f ? CLD_KILLED : CLD_EXITED,
					      c->exit_code & 0x7f
						      ? (int)(c->exit_code & 0x7f)
						      : (int)(c->exit_code >> 8 & 0xff));
		}
	}
}

/* A session leader takes its terminal with it. => processes->lock held */
static void
end_session(struct process *p)
{
	struct pid *pid = pid_lookup(p->session);
	struct process *m;

	if (p->session != p->pid || !p->tty || !pid)
		return;
	list_for_each_entry (m, &pid->session, session_link)
		m->tty = NULL;
}

/* The last task of p: everything the process owned. May sleep. */
static void
release_process(struct process *p, struct task *t)
{
	struct fdtable *files = p->files;
	struct fs_context *fs = p->fs;
	struct vm_map *map = p->map;
	struct dentry *exe = p->exe;

	timers_drop(p);
	if (map) {
		p->max_rss = vm_map_peak(map);
		p->faults_minor = map->faults_minor;
		p->faults_major = map->faults_major;
	}
	fdtable_put(
		files); /* release operations may ask for the current table: it is there still */
	spin_lock(&p->lock);
	p->files = NULL;
	p->map = NULL;
	p->exe = NULL;
	spin_unlock(&p->lock);
	task_set_map(t, map); /* the reference of the page tables stays until the thread is gone */
	if (map)
		vm_map_put(map);
	process_vfork_done(p);
	process_exe_put(exe);
	spin_lock(&p->lock);
	p->fs = NULL;
	spin_unlock(&p->lock);
	fs_context_put(fs);
}

/* p becomes a zombie, or vanishes when its parent does not care. => processes->lock held.
 * Returns whether the table's reference is the caller's to put. */
static bool
become_zombie(struct process *p, struct list *dead)
{
	u32 status = p->exit_code;
	bool ignored;

	end_session(p);
	process_orphan_check(p, NULL);
	give_children_away(p, dead);
	p->zombie = true;
	waitq_wake_events(&p->exit_wait, ~0u, POLL_IN);
	ignored = parent_ignores(p);
	process_notify_parent(p,
			      !(status & 0x7f) ? CLD_EXITED
			      : status & 0x80  ? CLD_DUMPED
					       : CLD_KILLED,
			      status & 0x7f ? (int)(status & 0x7f) : (int)(status >> 8 & 0xff));
	if (ignored)
		unlink_zombie(p);
	return ignored;
}

/* Takes the task off its process's list and the number table. => processes->lock held */
static void
leave_tables(struct task *t, struct process *p)
{
	struct pid *pid = pid_lookup(t->thread.tid);
	ns_t user, system;

	task_cpu_time(t, &user, &system);
	spin_lock(&p->lock);
	list_del(&t->link);
	p->ntasks--;
	p->dead_user_ns += user;
	p->dead_system_ns += system;
	p->dead_voluntary += t->thread.switches_voluntary;
	p->dead_forced += t->thread.switches_forced;
	sigqueue_flush(&t->pending);
	signal_retarget(p, t);
	waitq_wake_all(&p->tasks_wait);
	spin_unlock(&p->lock);
	assert(pid && pid->task == t);
	pid->task = NULL;
	pid_release(pid);
	atomic_fetch_sub(&processes()->tasks, 1);
}

void
task_exit(int code)
{
	struct task *t = current_task();
	struct process *p = t->process, *gone, *next;
	struct list dead = LIST_INIT(dead);
	bool last, put_self = false;

	assert(arch_core()->irq_off_depth == 0);
	/* What is done from here on may have to wait; it has been asked to die already. */
	atomic_fetch_and(&t->thread.flags, ~(TF_SIGNAL | TF_KILLED));
	if (p->map)
		task_release_user(t);
	/* The last one to come here takes the memory away, which the others have done with; the
	 * last one to leave the tables tells the parent. They need not be the same. */
	spin_lock(&p->lock);
	last = --p->nlive == 0;
	if (!p->exiting && (last || t->thread.tid == p->pid))
		p->exit_code = (u32)(code & 0xff) << 8;
	if (last)
		p->exiting = true;
	spin_unlock(&p->lock);
	if (last && p == processes()->init)
		panic("init ended with status 0x%x", p->exit_code);
	if (last)
		release_process(p, t);
	spin_lock(&processes()->lock);
	leave_tables(t, p);
	if (p->ntasks == 0)
		put_self = become_zombie(p, &dead);
	spin_unlock(&processes()->lock);
	list_for_each_entry_safe (gone, next, &dead, all)
		process_put(gone);
	if (put_self)
		process_put(p);
	thread_exit();
}

void
process_exit_group(int status)
{
	struct process *p = current_process();

	spin_lock(&p->lock);
	if (!p->exiting)
		signal_kill_group(p, (u32)status);
	spin_unlock(&p->lock);
	task_exit(status >> 8);
}

/* Gives the calling task the number of its process (which its first task had). */
static void
take_leader_number(struct task *t)
{
	struct process *p = t->process;
	struct pid *mine, *leader;

	if (t->thread.tid == p->pid)
		return;
	spin_lock(&processes()->lock);
	mine = pid_lookup(t->thread.tid);
	leader = pid_lookup(p->pid);
	mine->task = NULL;
	pid_release(mine);
	leader->task = t;
	t->thread.tid = p->pid;
	spin_unlock(&processes()->lock);
}

int
process_become_single(void)
{
	struct task *t = current_task(), *other;
	struct process *p = t->process;
	int err = 0;

	spin_lock(&p->lock);
	if (p->exiting || p->execing) {
		spin_unlock(&p->lock);
		return -EAGAIN;
	}
	p->execing = t;
	list_for_each_entry (other, &p->tasks, link)
		if (other != t)
			thread_interrupt(&other->thread, TF_SIGNAL | TF_KILLED);
	waitq_wake_all(&p->stop_wait);
	while (p->ntasks > 1 && !err)
		err = waitq_sleep(&p->tasks_wait, &p->lock, NS_FOREVER, WAIT_KILLABLE);
	p->execing = NULL;
	spin_unlock(&p->lock);
	if (err)
		return -EINTR;
	take_leader_number(t);
	return 0;
}
