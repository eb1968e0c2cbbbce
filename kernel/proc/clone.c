/*
 * fork, vfork, clone, clone3: a new task, in this process or in a new one.
 *
 * Everything is allocated first; then the new task enters the tables under the lock of all
 * processes, where a fatal signal that came meanwhile is noticed, and runs. Its first step returns
 * to user mode from a copy of its parent's frame with rax zero.
 */
#include <asm/errno.h>
#include <asm/signal.h>
#include <linux/resource.h>
#include <linux/sched.h>

#include "arch/context.h"
#include "arch/trap.h"
#include "core/blocked.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "mm/user.h"
#include "proc/process.h"
#include "proc/trap.h"

#define CLONE_KNOWN                                                                                \
	(0xffUL | CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_PIDFD | CLONE_VFORK |  \
	 CLONE_PARENT | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID |        \
	 CLONE_CHILD_CLEARTID | CLONE_DETACHED | CLONE_UNTRACED | CLONE_CHILD_SETTID | CLONE_IO |  \
	 CLONE_PTRACE | CLONE_CLEAR_SIGHAND)

struct clone_work {
	const struct clone_request *r;
	struct process *process; /* of the child */
	struct task *task;
	struct pid *pid;
	struct file *pidfd;
	int pidfd_number;
};

/* First code of a new task in the kernel. => interrupts as the scheduler leaves them */
static void
clone_start(void *arg)
{
	struct task *t = arg;

	if (t->set_child_tid)
		(void)!put_user(t->thread.tid, t->set_child_tid);
	t->set_child_tid = NULL;
	trap_enter_user(t->thread.frame);
}

static int
clone_check(const struct clone_request *r)
{
	u64 f = r->flags;

	if (f & ~CLONE_KNOWN)
		return -EINVAL;
	if ((f & CLONE_SIGHAND) && !(f & CLONE_VM))
		return -EINVAL;
	if ((f & CLONE_THREAD) && !(f & CLONE_SIGHAND))
		return -EINVAL;
	if ((f & CLONE_CLEAR_SIGHAND) && (f & CLONE_SIGHAND))
		return -EINVAL;
	if ((f & CLONE_PIDFD) && (f & (CLONE_THREAD | CLONE_DETACHED)))
		return -EINVAL;
	if ((f & CLONE_PARENT) && current_process() == processes()->init)
		return -EINVAL;
	if ((f & CLONE_SETTLS) && r->tls >= USER_TOP)
		return -EPERM;
	if (r->exit_signal < 0 || r->exit_signal > SIG_COUNT)
		return -EINVAL;
	return 0;
}

/* RLIMIT_NPROC binds only the unprivileged; there it counts tasks of all users, which errs low. */
static int
clone_check_limits(void)
{
	u64 limit = process_rlimit(RLIMIT_NPROC);

	if (!process_privileged() && atomic_load(&processes()->tasks) >= limit)
		return -EAGAIN;
	return 0;
}

static void
copy_process_values(struct process *p, struct process *from)
{
	spin_lock(&from->lock);
	p->cred = from->cred;
	memcpy(p->rlimit, from->rlimit, sizeof(p->rlimit));
	memcpy(p->comm, from->comm, sizeof(p->comm));
	memcpy(p->auxv, from->auxv, sizeof(p->auxv));
	p->auxv_words = from->auxv_words;
	p->dumpable = from->dumpable;
	p->no_new_privs = from->no_new_privs;
	p->keep_caps = from->keep_caps;
	p->personality = from->personality;
	p->oom_score_adj = from->oom_score_adj;
	p->exe = from->exe;
	process_exe_get(p->exe);
	spin_unlock(&from->lock);
}

/* What a new process shares with its parent or copies from it. */
static int
copy_process_parts(struct process *p, const struct clone_request *r)
{
	struct process *me = current_process();
	int err;

	if (r->flags & CLONE_SIGHAND) {
		refcount_get(&me->handlers->refs);
		p->handlers = me->handlers;
	} else {
		p->handlers = sighandlers_copy(me->handlers);
	}
	if (!p->handlers)
		return -ENOMEM;
	if (r->flags & CLONE_CLEAR_SIGHAND)
		sighandlers_clear(p->handlers);
	if (r->flags & CLONE_FS) {
		fs_context_get(me->fs);
		p->fs = me->fs;
	} else {
		p->fs = fs_context_fork(me->fs);
	}
	if (!p->fs)
		return -ENOMEM;
	if (r->flags & CLONE_FILES) {
		fdtable_get(me->files);
		p->files = me->files;
		p->files_shared = me->files_shared = true;
	} else {
		err = fdtable_fork(me->files, &p->files);
		if (err)
			return err;
	}
	if (r->flags & CLONE_VM) {
		vm_map_get(me->map);
		p->map = me->map;
		return 0;
	}
	return vm_map_fork(me->map, &p->map);
}

/* Drops what copy_process_parts and copy_process_values made. */
static void
discard_process(struct process *p)
{
	if (p->map)
		vm_map_put(p->map);
	if (p->files)
		fdtable_put(p->files);
	if (p->fs)
		fs_context_put(p->fs);
	process_exe_put(p->exe);
	p->map = NULL;
	p->files = NULL;
	p->fs = NULL;
	p->exe = NULL;
	process_put(p);
}

static int
make_process(struct clone_work *w)
{
	int err;

	w->process = process_create();
	if (!w->process)
		return -ENOMEM;
	copy_process_values(w->process, current_process());
	w->process->exit_signal = w->r->exit_signal;
	err = copy_process_parts(w->process, w->r);
	if (err) {
		discard_process(w->process);
		w->process = NULL;
	}
	return err;
}

/* Registers, FPU, mask and the rest of the calling task. */
static int
make_task(struct clone_work *w)
{
	struct task *me = current_task(), *t = task_create(w->process, clone_start);
	const struct clone_request *r = w->r;

	if (!t)
		return -ENOMEM;
	w->task = t;
	*t->thread.frame = *me->thread.frame;
	t->thread.frame->rax = 0;
	if (r->stack)
		t->thread.frame->rsp = r->stack + r->stack_size;
	t->thread.fs_base = r->flags & CLONE_SETTLS ? r->tls : me->thread.fs_base;
	t->thread.gs_base = me->thread.gs_base;
	fpu_sync_current();
	memcpy(t->thread.fpu, me->thread.fpu, fpu_area_size());
	memcpy(t->thread.name, me->thread.name, sizeof(t->thread.name));
	t->thread.nice = me->thread.nice;
	t->thread.affinity = me->thread.affinity;
	t->thread.policy = me->thread.policy;
	t->blocked = me->blocked;
	t->policy = me->policy;
	t->timer_slack_ns = me->timer_slack_ns;
	if (!(r->flags & CLONE_VM) || (r->flags & CLONE_VFORK)) {
		t->altstack_base = me->altstack_base;
		t->altstack_size = me->altstack_size;
		t->altstack_flags = me->altstack_flags;
	}
	if (r->flags & CLONE_CHILD_CLEARTID)
		t->clear_tid = r->child_tid;
	if (r->flags & CLONE_CHILD_SETTID)
		t->set_child_tid = r->child_tid;
	task_set_map(t, w->process->map);
	return 0;
}

static int
make_pidfd(struct clone_work *w)
{
	int err;

	if (!(w->r->flags & CLONE_PIDFD))
		return 0;
	err = pidfd_create(w->process, 0, &w->pidfd);
	if (err)
		return err;
	w->pidfd_number = fd_install(w->pidfd, 0, true);
	if (w->pidfd_number < 0) {
		file_put(w->pidfd);
		return w->pidfd_number;
	}
	err = put_user(w->pidfd_number, w->r->pidfd);
	if (err)
		fd_close(w->pidfd_number);
	return err;
}

/* The place of a new process in the tree. => processes->lock held */
static void
enter_tree(struct process *p, u64 flags)
{
	struct process *me = current_process();

	p->parent = flags & CLONE_PARENT ? me->parent : me;
	if (flags & CLONE_PARENT)
		p->exit_signal = me->exit_signal;
	list_add_tail(&p->parent->children, &p->sibling);
	p->session = me->session;
	p->tty = me->tty;
	process_join_group(p, pid_lookup(me->pgrp));
	list_add_tail(&pid_lookup(p->session)->session, &p->session_link);
}

/* The point of no return: visible from here on. -ERESTARTNOINTR if the caller is being killed. */
static int
enter_tables(struct clone_work *w)
{
	struct process *me = current_process();
	bool dying;

	spin_lock(&processes()->lock);
	spin_lock(&me->lock);
	dying = me->exiting || (me->execing && me->execing != current_task()) ||
		(w->process != me && signal_pending());
	spin_unlock(&me->lock);
	if (!dying) {
		if (w->process != me)
			enter_tree(w->process, w->r->flags);
		task_enter(w->task, w->pid, w->process != me);
	} else {
		pid_release(w->pid);
	}
	spin_unlock(&processes()->lock);
	return dying ? -ERESTARTNOINTR : 0;
}

static void
wait_for_vfork(struct process *child)
{
	blocked_note((u64)child->pid);
	spin_lock(&child->lock);
	while (!child->vfork_done)
		if (waitq_sleep(&child->vfork_wait, &child->lock, NS_FOREVER,
				WAIT_KILLABLE | WAIT_QUIET))
			break;
	spin_unlock(&child->lock);
	blocked_note(0);
}

/* The child was made before the cut: only the wait for it goes on. */
static long
wait_for_vfork_again(int pid)
{
	struct process *child = process_find(pid);

	if (child)
		wait_for_vfork(child);
	process_put(child);
	blocked_note(0);
	return pid;
}

static int
clone_prepare(struct clone_work *w)
{
	int err = clone_check_limits();

	if (err)
		return err;
	w->pid = pid_alloc(&err);
	if (!w->pid)
		return err;
	w->process = current_process();
	if (!(w->r->flags & CLONE_THREAD)) {
		err = make_process(w);
		if (err)
			goto free_pid;
		w->process->pid = w->pid->nr;
	}
	err = make_task(w);
	if (err)
		goto free_process;
	err = make_pidfd(w);
	if (err)
		goto free_task;
	if (w->r->flags & CLONE_PARENT_SETTID)
		(void)!put_user(w->pid->nr, w->r->parent_tid);
	err = enter_tables(w);
	if (!err)
		return 0;
	w->pid = NULL;
	if (w->r->flags & CLONE_PIDFD)
		fd_close(w->pidfd_number);
free_task:
	task_discard(w->task);
free_process:
	if (w->process != current_process())
		discard_process(w->process);
free_pid:
	if (w->pid) {
		spin_lock(&processes()->lock);
		pid_release(w->pid);
		spin_unlock(&processes()->lock);
	}
	return err;
}

long
process_clone(const struct clone_request *r)
{
	struct clone_work w = {.r = r};
	int tid, err = clone_check(r);

	if (err)
		return err;
	if (blocked_done())
		return wait_for_vfork_again((int)blocked_done());
	err = clone_prepare(&w);
	if (err)
		return err;
	tid = w.pid->nr; /* the child may be gone and its number free after thread_start */
	if (w.process != current_process()) {
		if (!(r->flags & CLONE_VFORK))
			w.process->vfork_done = true;
		/* From process_create: the caller's, kept until the child has let go of vfork. */
		thread_start(&w.task->thread);
		if (r->flags & CLONE_VFORK)
			wait_for_vfork(w.process);
		process_put(w.process);
	} else {
		thread_start(&w.task->thread);
	}
	return tid;
}
