/*
 * Signals on the receiving side: masks, taking signals off the queues, waiting for them, and what
 * happens on the way to user mode: stop, end, handler, and the second try of interrupted calls.
 *
 * Locks: process->lock; stops and their report to the parent also processes->lock before it.
 * signal_deliver runs with no lock held and may not return.
 */
#include "proc/siginfo_uapi.h"
#include <asm/errno.h>
#include <asm/signal.h>
#include <asm/unistd.h>

#include "arch/trap.h"
#include "core/klog.h"
#include "file/kinds.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/persist.h"
#include "proc/process.h"
#include "proc/timers.h"
#include "proc/trap.h"

#define UNBLOCKABLE  (SIGBIT(SIGKILL) | SIGBIT(SIGSTOP))
#define STOP_SIGNALS (SIGBIT(SIGSTOP) | SIGBIT(SIGTSTP) | SIGBIT(SIGTTIN) | SIGBIT(SIGTTOU))
#define SYNCHRONOUS                                                                                \
	(SIGBIT(SIGSEGV) | SIGBIT(SIGBUS) | SIGBIT(SIGILL) | SIGBIT(SIGTRAP) | SIGBIT(SIGFPE) |    \
	 SIGBIT(SIGSYS))
#define DEFAULT_IGNORED (SIGBIT(SIGCONT) | SIGBIT(SIGCHLD) | SIGBIT(SIGWINCH) | SIGBIT(SIGURG))

/* --- masks --- */

bool
signal_pending(void)
{
	struct task *t = current_task();
	u64 set = atomic_load(&t->pending.set) | atomic_load(&t->process->pending.set);

	return (set & ~t->blocked) || atomic_load(&t->process->exiting) ||
	       (atomic_load(&t->thread.flags) & TF_KILLED);
}

static void
set_blocked_locked(struct task *t, u64 mask)
{
	struct process *p = t->process;
	u64 newly = mask & ~t->blocked;

	t->blocked = mask & ~UNBLOCKABLE;
	if (p->pending.set & newly)
		signal_retarget(p, t);
	if ((t->pending.set | p->pending.set) & ~t->blocked)
		atomic_fetch_or(&t->thread.flags, TF_SIGNAL);
}

void
signal_set_blocked(u64 mask)
{
	struct task *t = current_task();

	spin_lock(&t->process->lock);
	set_blocked_locked(t, mask);
	spin_unlock(&t->process->lock);
}

void
signal_set_temporary_mask(u64 mask)
{
	struct task *t = current_task();

	spin_lock(&t->process->lock);
	if (!t->restore_blocked)
		t->saved_blocked = t->blocked;
	t->restore_blocked = true;
	set_blocked_locked(t, mask);
	spin_unlock(&t->process->lock);
}

void
signal_restore_mask(void)
{
	struct task *t = current_task();

	if (!t->restore_blocked)
		return;
	t->restore_blocked = false;
	signal_set_blocked(t->saved_blocked);
}

/* --- taking --- */

static int
pick_signal(u64 set)
{
	if (set & SYNCHRONOUS)
		set &= SYNCHRONOUS;
	return set ? __builtin_ctzl(set) + 1 : 0;
}

/* Takes `sig` off q: its first info, or a bare one when memory was out at sending. */
static void
take_from(struct sigqueue *q, int sig, struct siginfo_k *out)
{
	struct siginfo_item *i, *found = NULL;
	bool more = false;

	list_for_each_entry (i, &q->infos, link) {
		if (i->info.signo != sig)
			continue;
		if (found) {
			more = true;
			break;
		}
		found = i;
	}
	if (!more)
		q->set &= ~SIGBIT(sig);
	if (!found) {
		*out = (struct siginfo_k){.signo = sig, .code = SI_USER};
		return;
	}
	*out = found->info;
	list_del(&found->link);
	q->count--;
	kfree(found);
}

/* => p->lock held */
static int
dequeue_locked(struct task *t, u64 mask, struct siginfo_k *out)
{
	struct process *p = t->process;
	int sig = pick_signal(t->pending.set & mask);

	if (sig) {
		take_from(&t->pending, sig, out);
	} else {
		sig = pick_signal(p->pending.set & mask);
		if (sig)
			take_from(&p->pending, sig, out);
	}
	if (sig)
		timers_signal_taken(p, out);
	return sig;
}

int
signal_dequeue(u64 mask, struct siginfo_k *out)
{
	struct task *t = current_task();
	int sig;

	spin_lock(&t->process->lock);
	sig = dequeue_locked(t, mask & ~UNBLOCKABLE, out);
	spin_unlock(&t->process->lock);
	return sig;
}

bool
signal_peek(u64 mask)
{
	struct task *t = current_task();

	return (t->pending.set | t->process->pending.set) & mask & ~UNBLOCKABLE;
}

int
signal_wait(u64 mask, struct siginfo_k *out, ns_t deadline)
{
	struct task *t = current_task();
	struct process *p = t->process;
	int sig, err = 0;

	mask &= ~UNBLOCKABLE;
	spin_lock(&p->lock);
	for (;;) {
		sig = dequeue_locked(t, mask, out);
		if (sig || err)
			break;
		err = waitq_sleep(&p->signal_wait, &p->lock, deadline, WAIT_INTERRUPTIBLE);
	}
	spin_unlock(&p->lock);
	if (sig)
		return sig;
	return err == -ETIMEDOUT ? -EAGAIN : -EINTR;
}

/* --- for signalfd --- */

/* struct signalfd_siginfo of <linux/signalfd.h>, by its offsets (man 2 signalfd). */
static void
write_signalfd_info(u8 *out, const struct siginfo_k *i)
{
	memset(out, 0, 128);
	memcpy(out + 0, &i->signo, 4);
	memcpy(out + 4, &i->err, 4);
	memcpy(out + 8, &i->code, 4);
	memcpy(out + 12, &i->pid, 4);
	memcpy(out + 16, &i->uid, 4);
	memcpy(out + 20, &i->fd, 4);
	memcpy(out + 24, &i->timer_id, 4);
	memcpy(out + 28, &i->band, 4);
	memcpy(out + 32, &i->overrun, 4);
	memcpy(out + 40, &i->status, 4);
	memcpy(out + 44, &i->value, 4);
	memcpy(out + 48, &i->value, 8);
	memcpy(out + 56, &i->utime, 8);
	memcpy(out + 64, &i->stime, 8);
	memcpy(out + 72, &i->addr, 8);
}

static int
signalfd_op_dequeue(u64 mask, void *out)
{
	struct siginfo_k info;
	int sig = signal_dequeue(mask, &info);

	if (sig)
		write_signalfd_info(out, &info);
	return sig;
}

static struct waitq *
signalfd_op_queue(struct spinlock **lock)
{
	*lock = &current_process()->lock;
	return &current_process()->signal_wait;
}

static void *
signalfd_op_owner_get(void)
{
	process_get(current_process());
	return current_process();
}

static void
signalfd_op_owner_put(void *owner)
{
	process_put(owner);
}

static void
signalfd_op_owner_hold(void *owner)
{
	process_get(owner);
}

static struct waitq *
signalfd_op_owner_queue(void *owner, struct spinlock **lock)
{
	struct process *p = owner;

	*lock = &p->lock;
	return &p->signal_wait;
}

static const struct signalfd_ops signalfd_operations = {
	.dequeue = signalfd_op_dequeue,
	.pending = signal_peek,
	.queue = signalfd_op_queue,
	.owner_get = signalfd_op_owner_get,
	.owner_put = signalfd_op_owner_put,
	.owner_hold = signalfd_op_owner_hold,
	.owner_queue = signalfd_op_owner_queue,
	.owner_kind = &process_persist,
};

void
signal_init(void)
{
	signalfd_set_ops(&signalfd_operations);
	pidfd_register();
}

/* --- delivery --- */

/* The call that is being left was interrupted: what does the program see? */
static void
restart_call(struct trapframe *f, const struct sigaction_k *handler)
{
	s64 result = (s64)f->rax;
	bool again;

	if (f->orig_rax == ~0UL || f->vector != VECTOR_SYSCALL)
		return;
	if (result != -ERESTARTSYS && result != -ERESTARTNOINTR && result != -ERESTARTNOHAND &&
	    result != -ERESTART_BLOCK)
		return;
	again = !handler || result == -ERESTARTNOINTR ||
		(result == -ERESTARTSYS && (handler->flags & SA_RESTART));
	if (!again) {
		f->rax = (u64)-EINTR;
		call_note_error(machine()->linux_calls, f->orig_rax, -EINTR);
	} else {
		f->rax = result == -ERESTART_BLOCK ? __NR_restart_syscall : f->orig_rax;
		f->rip -= 2; /* SYSCALL is two bytes */
	}
	f->orig_rax = ~0UL;
}

/* Default action of a stop signal. Stops the whole process unless SIGCONT or an end came first. */
static void
stop_process(struct process *p, int sig)
{
	struct task *t;

	spin_lock(&processes()->lock);
	if (sig != SIGSTOP && process_group_orphaned(p->pgrp, NULL))
		goto out;
	spin_lock(&p->lock);
	if (!p->stop_dequeued || p->exiting || p->execing) {
		spin_unlock(&p->lock);
		goto out;
	}
	p->stop_dequeued = false;
	p->stopped = true;
	p->stop_reported = false;
	p->continued = false;
	p->stop_signal = (u32)sig;
	list_for_each_entry (t, &p->tasks, link)
		thread_interrupt(&t->thread, TF_SIGNAL);
	spin_unlock(&p->lock);
	process_notify_parent(p, CLD_STOPPED, sig);
out:
	spin_unlock(&processes()->lock);
}

/* Sleeps while the process is stopped. => p->lock held, still held on return */
static void
stay_stopped(struct process *p)
{
	bool tell;

	while (p->stopped && !p->exiting && !p->execing)
		(void)!waitq_sleep(&p->stop_wait, &p->lock, NS_FOREVER, WAIT_BOUNDARY);
	tell = p->continue_untold;
	p->continue_untold = false;
	if (!tell)
		return;
	spin_unlock(&p->lock);
	spin_lock(&processes()->lock);
	process_notify_parent(p, CLD_CONTINUED, SIGCONT);
	spin_unlock(&processes()->lock);
	spin_lock(&p->lock);
}

/* The next thing to do: a signal number with info and action, 0 for nothing. Does not return when
 * the task has to end. */
static int
next_signal(struct task *t, struct siginfo_k *info, struct sigaction_k *act)
{
	struct process *p = t->process;
	bool ends;
	int sig = 0;

	atomic_fetch_and(&t->thread.flags, ~TF_SIGNAL);
	spin_lock(&p->lock);
	if (p->stopped || p->continue_untold)
		stay_stopped(p);
	ends = p->exiting || (p->execing && p->execing != t);
	if (!ends)
		sig = dequeue_locked(t, ~t->blocked, info);
	if (sig) {
		struct sigaction_k *a = &p->handlers->action[sig - 1];

		spin_lock(&p->handlers->lock);
		*act = *a;
		if (a->handler > 1 && (a->flags & SA_RESETHAND)) {
			a->handler = 0;
			persist_touch(&p->handlers->persistent);
		}
		spin_unlock(&p->handlers->lock);
		if (STOP_SIGNALS & SIGBIT(sig))
			p->stop_dequeued = true;
	}
	spin_unlock(&p->lock);
	if (ends)
		task_exit(0);
	return sig;
}

static void
default_action(struct process *p, int sig)
{
	if (DEFAULT_IGNORED & SIGBIT(sig))
		return;
	if (STOP_SIGNALS & SIGBIT(sig)) {
		stop_process(p, sig);
		return;
	}
	klog(KLOG_INFO, "proc", "%s[%d]: ended by signal %d", current_thread()->name, p->pid, sig);
	process_exit_group(sig);
}

/* Gives the handler its frame and the mask for its time. */
static void
run_handler(struct trapframe *f, int sig, const struct siginfo_k *info,
	    const struct sigaction_k *act)
{
	struct task *t = current_task();
	u64 blocked = t->blocked | act->mask;

	restart_call(f, act);
	if (sigframe_setup(f, sig, info, act, t->restore_blocked ? t->saved_blocked : t->blocked)) {
		struct siginfo_k segv;

		signal_info_kernel(&segv, SIGSEGV);
		if (sig == SIGSEGV) {
			struct sigaction_k dfl = {0};

			(void)signal_set_action(SIGSEGV, &dfl, NULL);
		}
		signal_force(SIGSEGV, &segv);
		return;
	}
	t->restore_blocked = false;
	if (!(act->flags & SA_NODEFER))
		blocked |= SIGBIT(sig);
	signal_set_blocked(blocked);
}

void
signal_deliver(struct trapframe *f)
{
	struct task *t = current_task();
	struct sigaction_k act;
	struct siginfo_k info;
	int sig;

	while ((sig = next_signal(t, &info, &act)) != 0) {
		if (act.handler == 1)
			continue;
		if (act.handler == 0)
			default_action(t->process, sig);
		else
			run_handler(f, sig, &info, &act);
	}
	restart_call(f, NULL);
	signal_restore_mask();
}
