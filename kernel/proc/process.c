/*
 * The table of processes and tasks, their making and their freeing.
 *
 * Every number in use (task, process, group, session) is one struct pid in a tree; there are no
 * slots, so memory is the only limit beside pid_max. A struct process lives by references: its
 * place in the table is one (until its parent waited for it), each task holds one, and look-ups
 * take one. A struct task is freed after its thread was switched away for the last time.
 *
 * Locks: processes->lock guards the tables and the tree of parents; process->lock inside it.
 * Both are spinlocks: nothing here sleeps but where it says so.
 */
#include "proc/siginfo_uapi.h"
#include <asm/errno.h>
#include <asm/signal.h>
#include <linux/resource.h>
#include <linux/signal.h>

#include "arch/clock.h"
#include "arch/context.h"
#include "arch/cpu.h"
#include "arch/trap.h"
#include "core/panic.h"
#include "core/place.h"
#include "core/sched.h"
#include "dev/tty.h"
#include "lib/assert.h"
#include "lib/string.h"
#include "mm/kstack.h"
#include "mm/slab.h"
#include "proc/futex.h"
#include "proc/process.h"
#include "proc/timers.h"
#include "proc/trap.h"

#define PID_FIRST_AGAIN	   300 /* where numbers go on after a wrap, as in Linux */
#define MSR_FS_BASE	   0xc0000100u
#define MSR_KERNEL_GS_BASE 0xc0000102u

static void task_reap(struct thread *th);
static void task_switch_in(struct thread *th);
static void task_switch_out(struct thread *th);

static const struct thread_ops task_thread_ops = {
	.reap = task_reap,
	.switch_in = task_switch_in,
	.switch_out = task_switch_out,
};

/* --- numbers --- */

struct pid *
pid_lookup(int nr)
{
	struct rb_node *n = processes()->pids.root;

	debug_assert(spin_held(&processes()->lock));
	while (n) {
		struct pid *pid = rb_entry(n, struct pid, node);

		if (nr == pid->nr)
			return pid;
		n = nr < pid->nr ? n->left : n->right;
	}
	return NULL;
}

static void
pid_insert(struct processes *ps, struct pid *new)
{
	struct rb_node **link = &ps->pids.root, *parent = NULL;

	while (*link) {
		parent = *link;
		link = new->nr < rb_entry(parent, struct pid, node)->nr ? &parent->left
									: &parent->right;
	}
	rb_insert(&ps->pids, &new->node, parent, link);
}

/* The lowest free number >= nr and below max; 0 when there is none. */
static int
pid_free_from(int nr, int limit)
{
	struct pid *at = pid_lookup(nr);
	struct rb_node *n;

	if (!at)
		return nr < limit ? nr : 0;
	for (n = &at->node; n; n = rb_next(n)) {
		if (rb_entry(n, struct pid, node)->nr != nr)
			break;
		nr++;
	}
	return nr < limit ? nr : 0;
}

struct pid *
pid_alloc(int *err)
{
	struct processes *ps = processes();
	struct pid *pid = kzalloc(sizeof(*pid));
	int nr, limit = atomic_load(&ps->pid_max);

	*err = -ENOMEM;
	if (!pid)
		return NULL;
	list_init(&pid->group);
	list_init(&pid->session);
	spin_lock(&ps->lock);
	nr = pid_free_from(ps->last_pid + 1, limit);
	if (nr == 0)
		nr = pid_free_from(min(PID_FIRST_AGAIN, ps->last_pid + 1), limit);
	if (nr != 0) {
		ps->last_pid = nr;
		pid->nr = nr;
		pid_insert(ps, pid);
	}
	spin_unlock(&ps->lock);
	if (nr == 0) {
		*err = -EAGAIN;
		kfree(pid);
		return NULL;
	}
	*err = 0;
	return pid;
}

void
pid_release(struct pid *pid)
{
	debug_assert(spin_held(&processes()->lock));
	if (pid->task || pid->process || !list_empty(&pid->group) || !list_empty(&pid->session))
		return;
	rb_remove(&processes()->pids, &pid->node);
	kfree(pid);
}

/* The entry of a number that a resume found in use. NULL: no memory. */
static struct pid *
pid_restore(int nr)
{
	struct processes *ps = processes();
	struct pid *new = kzalloc(sizeof(*new)), *pid;

	spin_lock(&ps->lock);
	pid = pid_lookup(nr);
	if (!pid && new) {
		list_init(&new->group);
		list_init(&new->session);
		new->nr = nr;
		pid_insert(ps, new);
		pid = new;
		new = NULL;
	}
	spin_unlock(&ps->lock);
	kfree(new);
	return pid;
}

int
pid_restore_process(struct process *p)
{
	struct processes *ps = processes();
	struct pid *pid = pid_restore(p->pid), *group = pid_restore(p->pgrp),
		   *session = pid_restore(p->session);

	if (!pid || !group || !session)
		return -ENOMEM;
	if (pid->process)
		return -EBADMSG;
	spin_lock(&ps->lock);
	pid->process = p;
	process_get(p);
	list_add_tail(&ps->all, &p->all);
	list_add_tail(&group->group, &p->group_link);
	list_add_tail(&session->session, &p->session_link);
	atomic_add_relaxed(&ps->count, 1);
	spin_unlock(&ps->lock);
	return 0;
}

int
pid_restore_task(struct task *t)
{
	struct pid *pid = pid_restore(t->thread.tid);

	if (!pid)
		return -ENOMEM;
	if (pid->task)
		return -EBADMSG;
	pid->task = t;
	atomic_add_relaxed(&processes()->tasks, 1);
	return 0;
}

/* --- looking up --- */

struct process *
process_find(int nr)
{
	struct process *p = NULL;
	struct pid *pid;

	spin_lock(&processes()->lock);
	pid = pid_lookup(nr);
	if (pid && pid->process) {
		p = pid->process;
		refcount_get(&p->refs);
	}
	spin_unlock(&processes()->lock);
	return p;
}

struct task *
task_find(int tid)
{
	struct task *t = NULL;
	struct pid *pid;

	spin_lock(&processes()->lock);
	pid = pid_lookup(tid);
	if (pid && pid->task) {
		t = pid->task;
		refcount_get(&t->refs);
	}
	spin_unlock(&processes()->lock);
	return t;
}

void
process_get(struct process *p)
{
	refcount_get(&p->refs);
}

/* --- making and freeing --- */

struct process *
process_create(void)
{
	struct process *p = kzalloc(sizeof(*p));

	if (!p)
		return NULL;
	refcount_init(&p->refs, 1);
	spin_init(&p->lock, "process", RANK_PROCESS);
	list_init(&p->children);
	list_init(&p->sibling);
	list_init(&p->group_link);
	list_init(&p->session_link);
	list_init(&p->all);
	list_init(&p->tasks);
	mutex_init(&p->timer_mutex, "process timers");
	list_init(&p->posix_timers);
	sigqueue_init(&p->pending);
	waitq_init(&p->tasks_wait);
	waitq_init(&p->child_wait);
	waitq_init(&p->signal_wait);
	waitq_init(&p->stop_wait);
	waitq_init(&p->exit_wait);
	waitq_init(&p->vfork_wait);
	p->exit_signal = SIGCHLD;
	p->dumpable = true;
	p->start_time = clock_now();
	return p;
}

void
process_put(struct process *p)
{
	if (!p || !refcount_put(&p->refs))
		return;
	assert(p->ntasks == 0 && !p->map && !p->files && !p->fs);
	sigqueue_flush(&p->pending);
	assert(list_empty(&p->signal_wait.waiters) && list_empty(&p->exit_wait.waiters));
	if (p->handlers)
		sighandlers_put(p->handlers);
	kfree(p->itimers);
	kfree(p);
}

struct trapframe *
task_frame(struct task *t)
{
	return (struct trapframe *)((char *)t->thread.stack + KSTACK_SIZE) - 1;
}

struct task *
task_alloc(const char *name, void (*entry)(void *))
{
	struct core *on = place_choose(current_thread()->affinity);
	struct task *t = kzalloc_on(on->arch.cxy, sizeof(*t));
	void *stack;

	if (!t)
		return NULL;
	stack = kstack_alloc(on->arch.cxy);
	if (!stack)
		goto free_task;
	t->fpu_memory = kzalloc_on(on->arch.cxy, fpu_area_size() + 64);
	if (!t->fpu_memory)
		goto free_stack;
	thread_init(&t->thread, name, stack, entry, t, &task_thread_ops);
	t->thread.fpu = (void *)ALIGN_UP((vaddr_t)t->fpu_memory, 64UL);
	fpu_area_init(t->thread.fpu);
	t->thread.core = on;
	t->thread.frame = task_frame(t);
	refcount_init(&t->refs, 1);
	list_init(&t->link);
	sigqueue_init(&t->pending);
	t->altstack_flags = SS_DISABLE;
	t->timer_slack_ns = 50 * NS_PER_US;
	return t;

free_stack:
	kstack_free(stack);
free_task:
	kfree(t);
	return NULL;
}

struct task *
task_create(struct process *p, void (*entry)(void *))
{
	struct task *t = task_alloc(p->comm, entry);

	if (!t)
		return NULL;
	process_get(p);
	t->process = p;
	t->thread.process = p;
	return t;
}

void
task_put(struct task *t)
{
	if (!t || !refcount_put(&t->refs))
		return;
	sigqueue_flush(&t->pending);
	process_put(t->process);
	kfree(t->fpu_memory);
	kfree(t);
}

void
task_discard(struct task *t)
{
	task_set_map(t, NULL);
	kstack_free(t->thread.stack);
	task_put(t);
}

/* The thread ran for the last time; called by the next one on that core. */
static void
task_reap(struct thread *th)
{
	struct task *t = container_of(th, struct task, thread);

	pmap_put(t->pmap);
	t->pmap = NULL;
	kstack_free(th->stack);
	task_put(t);
}

static void
load_bases(const struct thread *th)
{
	wrmsr(MSR_FS_BASE, th->fs_base);
	wrmsr(MSR_KERNEL_GS_BASE, th->gs_base);
}

static void
task_switch_in(struct thread *th)
{
	pmap_activate(th->pmap);
	load_bases(th);
}

/* Until a task of it runs here again, this core need not be told of removals. */
static void
task_switch_out(struct thread *th)
{
	pmap_activate(NULL);
}

void
task_set_bases(struct task *t, u64 fs, u64 gs)
{
	irq_push_off();
	t->thread.fs_base = fs;
	t->thread.gs_base = gs;
	load_bases(&t->thread);
	irq_pop_off();
}

void
process_exe_get(struct dentry *exe)
{
	int err;

	if (!exe)
		return;
	dentry_get(exe);
	err = vnode_write_deny(dentry_vnode(exe));
	assert(err == 0);
}

void
process_exe_put(struct dentry *exe)
{
	if (!exe)
		return;
	vnode_write_allow(dentry_vnode(exe));
	dentry_put(exe);
}

void
task_set_map(struct task *t, struct vm_map *m)
{
	struct pmap *old = t->pmap;

	irq_push_off();
	if (m)
		pmap_get(m->pmap);
	t->pmap = m ? m->pmap : NULL;
	t->thread.pmap = t->pmap;
	if (m && &t->thread == current_thread())
		pmap_activate(m->pmap);
	irq_pop_off();
	if (old)
		pmap_put(old);
}

void
task_enter(struct task *t, struct pid *pid, bool leader)
{
	struct processes *ps = processes();
	struct process *p = t->process;

	debug_assert(spin_held(&ps->lock));
	t->thread.tid = pid->nr;
	pid->task = t;
	if (leader) {
		p->pid = pid->nr;
		pid->process = p;
		process_get(p);
		list_add_tail(&ps->all, &p->all);
		atomic_add_relaxed(&ps->count, 1);
	}
	spin_lock(&p->lock);
	list_add_tail(&p->tasks, &t->link);
	p->ntasks++;
	p->nlive++;
	spin_unlock(&p->lock);
	atomic_add_relaxed(&ps->tasks, 1);
	ps->forks++;
}

/* --- CPU time --- */

void
task_cpu_time(struct task *t, ns_t *user, ns_t *system)
{
	sched_thread_time(&t->thread, user, system);
}

void
process_cpu_time(struct process *p, ns_t *user, ns_t *system)
{
	struct task *t;

	spin_lock(&p->lock);
	*user = p->dead_user_ns;
	*system = p->dead_system_ns;
	list_for_each_entry (t, &p->tasks, link) {
		ns_t u, s;

		task_cpu_time(t, &u, &s);
		*user += u;
		*system += s;
	}
	spin_unlock(&p->lock);
}

/* --- small questions --- */

u64
process_rlimit(unsigned which)
{
	return atomic_load(&current_process()->rlimit[which].cur);
}

bool
process_privileged(void)
{
	return current_process()->cred.euid == 0;
}

bool
process_may_signal(struct process *p, int sig)
{
	const struct credentials *me = &current_process()->cred;

	if (p == current_process() || me->euid == 0)
		return true;
	if (sig == SIGCONT && p->session == current_process()->session)
		return true;
	return me->euid == p->cred.suid || me->euid == p->cred.uid || me->uid == p->cred.suid ||
	       me->uid == p->cred.uid;
}

/* --- start --- */

static struct fdtable *
ops_current_table(void)
{
	return current_process()->files;
}

static const struct fd_ops fd_table_ops = {.current_table = ops_current_table};

static struct fs_context *
ops_current_fs(void)
{
	return current_thread()->process ? current_process()->fs : NULL;
}

static void
ops_current_ids(u32 *uid, u32 *gid)
{
	*uid = *gid = 0;
	if (current_thread()->process) {
		*uid = current_process()->cred.fsuid;
		*gid = current_process()->cred.fsgid;
	}
}

static bool
ops_capable(void)
{
	return !current_thread()->process || process_privileged();
}

static void
ops_real_ids(u32 *uid, u32 *gid)
{
	*uid = *gid = 0;
	if (current_thread()->process) {
		*uid = current_process()->cred.uid;
		*gid = current_process()->cred.gid;
	}
}

static bool
ops_in_group(u32 gid)
{
	const struct credentials *c;

	if (!current_thread()->process)
		return true;
	c = &current_process()->cred;
	for (u32 i = 0; i < c->ngroups; i++)
		if (c->groups[i] == gid)
			return true;
	return c->fsgid == gid;
}

static void
ops_raise(int sig)
{
	struct siginfo_k info;

	signal_info_user(&info, sig, 0);
	signal_send_task(current_task(), sig, &info);
}

static u64
ops_file_size_limit(void)
{
	return process_rlimit(RLIMIT_FSIZE);
}

static const struct vfs_proc_ops vfs_ops = {
	.raise = ops_raise,
	.file_size_limit = ops_file_size_limit,
	.in_group = ops_in_group,
	.real_ids = ops_real_ids,
	.current_fs = ops_current_fs,
	.current_ids = ops_current_ids,
	.capable = ops_capable,
};

void
processes_init(void)
{
	struct processes *ps = kzalloc(sizeof(*ps));

	if (!ps)
		panic("no memory for the process table");
	spin_init(&ps->lock, "processes", RANK_PROCESS);
	list_init(&ps->all);
	ps->pid_max = machine()->ncores * 1024 > 32768 ? 65536 : 32768;
	machine()->processes = ps;
	fdtable_set_ops(&fd_table_ops);
	vfs_set_proc_ops(&vfs_ops);
	jobs_init();
	if (futex_init() < 0)
		panic("no memory for futexes");
}
