/*
 * Signals: handler tables, queues, and sending.
 *
 * Each process and each task has a queue: a set of bits and the infos that go with them. Standard
 * signals are queued once, realtime ones as often as they are sent, in order. A sender marks one
 * task that does not block the signal (TF_SIGNAL), which ends its interruptible wait or its stay in
 * user mode; signal_deliver.c does the rest. A signal whose default ends the process without a core
 * image does so at once: all tasks get TF_KILLED.
 *
 * Locks: process->lock guards queues, masks and states; sighandlers->lock inside it the handlers.
 * Everything but signal_set_action may be called from interrupts.
 */
#include "proc/siginfo_uapi.h"
#include <asm/errno.h>
#include <asm/signal.h>
#include <linux/resource.h>

#include "lib/string.h"
#include "mm/slab.h"
#include "proc/process.h"
#include "proc/timers.h"

#define SIG_DEFAULT 0
#define SIG_IGNORED 1

#define STOP_SIGNALS	(SIGBIT(SIGSTOP) | SIGBIT(SIGTSTP) | SIGBIT(SIGTTIN) | SIGBIT(SIGTTOU))
#define DEFAULT_IGNORED (SIGBIT(SIGCONT) | SIGBIT(SIGCHLD) | SIGBIT(SIGWINCH) | SIGBIT(SIGURG))
#define DEFAULT_CORE                                                                               \
	(SIGBIT(SIGQUIT) | SIGBIT(SIGILL) | SIGBIT(SIGTRAP) | SIGBIT(SIGABRT) | SIGBIT(SIGFPE) |   \
	 SIGBIT(SIGSEGV) | SIGBIT(SIGBUS) | SIGBIT(SIGSYS) | SIGBIT(SIGXCPU) | SIGBIT(SIGXFSZ))

/* --- handlers --- */

struct sighandlers *
sighandlers_create(void)
{
	struct sighandlers *h = kzalloc(sizeof(*h));

	if (h) {
		refcount_init(&h->refs, 1);
		spin_init(&h->lock, "sighandlers", RANK_SIGNAL);
	}
	return h;
}

struct sighandlers *
sighandlers_copy(struct sighandlers *from)
{
	struct sighandlers *h = sighandlers_create();

	if (h) {
		spin_lock(&from->lock);
		memcpy(h->action, from->action, sizeof(h->action));
		spin_unlock(&from->lock);
	}
	return h;
}

void
sighandlers_put(struct sighandlers *h)
{
	if (!refcount_put(&h->refs))
		return;
	persist_gone(&h->persistent);
	kfree(h);
}

void
sighandlers_reset(struct sighandlers *h)
{
	spin_lock(&h->lock);
	for (int i = 0; i < SIG_COUNT; i++) {
		u64 handler = h->action[i].handler == SIG_IGNORED ? SIG_IGNORED : SIG_DEFAULT;

		h->action[i] = (struct sigaction_k){.handler = handler};
	}
	persist_touch(&h->persistent);
	spin_unlock(&h->lock);
}

void
sighandlers_clear(struct sighandlers *h)
{
	spin_lock(&h->lock);
	memset(h->action, 0, sizeof(h->action));
	persist_touch(&h->persistent);
	spin_unlock(&h->lock);
}

struct sigaction_k
signal_action(struct process *p, int sig)
{
	struct sigaction_k a;

	spin_lock(&p->handlers->lock);
	a = p->handlers->action[sig - 1];
	spin_unlock(&p->handlers->lock);
	return a;
}

static bool
action_ignores(const struct sigaction_k *a, int sig)
{
	return a->handler == SIG_IGNORED ||
	       (a->handler == SIG_DEFAULT && (DEFAULT_IGNORED & SIGBIT(sig)));
}

int
signal_set_action(int sig, const struct sigaction_k *new, struct sigaction_k *old)
{
	struct process *p = current_process();
	struct sigaction_k *a;
	struct task *t;

	if (sig < 1 || sig > SIG_COUNT || (new && (sig == SIGKILL || sig == SIGSTOP)))
		return -EINVAL;
	a = &p->handlers->action[sig - 1];
	spin_lock(&p->lock);
	spin_lock(&p->handlers->lock);
	if (old)
		*old = *a;
	if (new) {
		*a = *new;
		persist_touch(&p->handlers->persistent);
		a->mask &= ~(SIGBIT(SIGKILL) | SIGBIT(SIGSTOP));
	}
	spin_unlock(&p->handlers->lock);
	/* POSIX: what is pending and now ignored is dropped, blocked or not. */
	if (new &&action_ignores(new, sig)) {
		sigqueue_remove(&p->pending, SIGBIT(sig));
		list_for_each_entry (t, &p->tasks, link)
			sigqueue_remove(&t->pending, SIGBIT(sig));
		timers_signals_dropped(p, SIGBIT(sig));
	}
	spin_unlock(&p->lock);
	return 0;
}

/* --- queues --- */

void
sigqueue_init(struct sigqueue *q)
{
	q->set = 0;
	q->count = 0;
	list_init(&q->infos);
}

void
sigqueue_remove(struct sigqueue *q, u64 mask)
{
	struct siginfo_item *i, *next;

	q->set &= ~mask;
	list_for_each_entry_safe (i, next, &q->infos, link) {
		if (!(SIGBIT(i->info.signo) & mask))
			continue;
		list_del(&i->link);
		q->count--;
		kfree(i);
	}
}

void
sigqueue_flush(struct sigqueue *q)
{
	sigqueue_remove(q, ~0UL);
}

/* 0, or -EAGAIN for a realtime signal of a program when the queue is full or memory is out. A
 * standard signal gets through without its info. */
static int
sigqueue_add(struct process *p, struct sigqueue *q, int sig, const struct siginfo_k *info)
{
	bool must_queue = sig >= SIGRTMIN && info->code != SI_KERNEL && info->code != SI_TIMER;
	struct siginfo_item *i = NULL;

	if (q->count < p->rlimit[RLIMIT_SIGPENDING].cur || sig < SIGRTMIN)
		i = kmalloc(sizeof(*i));
	if (!i)
		return must_queue && info->code != SI_USER ? -EAGAIN : 0;
	i->info = *info;
	i->info.signo = sig;
	list_add_tail(&q->infos, &i->link);
	q->count++;
	return 0;
}

/* --- sending --- */

void
signal_info_user(struct siginfo_k *info, int sig, int code)
{
	*info = (struct siginfo_k){
		.signo = sig,
		.code = code,
		.pid = current_process()->pid,
		.uid = current_process()->cred.uid,
	};
}

void
signal_info_kernel(struct siginfo_k *info, int sig)
{
	*info = (struct siginfo_k){.signo = sig, .code = SI_KERNEL};
}

void
signal_kill_group(struct process *p, u32 status)
{
	struct task *t;

	p->exiting = true;
	p->exit_code = status;
	p->stopped = false;
	list_for_each_entry (t, &p->tasks, link)
		thread_interrupt(&t->thread, TF_SIGNAL | TF_KILLED);
	waitq_wake_all(&p->stop_wait);
}

/* Stop signals and SIGCONT cancel each other when they are sent, blocked or not. */
static void
apply_job_control(struct process *p, int sig)
{
	u64 cancel = 0;
	struct task *t;

	if (STOP_SIGNALS & SIGBIT(sig))
		cancel = SIGBIT(SIGCONT);
	else if (sig == SIGCONT)
		cancel = STOP_SIGNALS;
	else
		return;
	sigqueue_remove(&p->pending, cancel);
	list_for_each_entry (t, &p->tasks, link)
		sigqueue_remove(&t->pending, cancel);
	timers_signals_dropped(p, cancel);
	if (sig != SIGCONT)
		return;
	p->stop_dequeued = false;
	if (p->stopped) {
		p->stopped = false;
		p->continued = true;
		p->continue_untold = true;
		waitq_wake_all(&p->stop_wait);
	}
}

static bool
task_takes(const struct task *t, int sig)
{
	return !(t->blocked & SIGBIT(sig));
}

/* Which task of the process shall see a signal to the process: the first, else any that does not
 * block it. NULL: all block it, it stays pending. */
static struct task *
choose_task(struct process *p, int sig)
{
	struct task *t;

	if (current_thread()->process == p && task_takes(current_task(), sig))
		return current_task();
	list_for_each_entry (t, &p->tasks, link)
		if (task_takes(t, sig))
			return t;
	return NULL;
}

/* Whether nobody would notice: ignored, and not blocked (a blocked one may be waited for). init is
 * shielded from what it has no handler for, as nobody would be left to reap. */
static bool
dropped(struct process *p, struct task *t, int sig, const struct siginfo_k *info)
{
	struct sigaction_k a = signal_action(p, sig);
	bool unblocked = t ? task_takes(t, sig) : choose_task(p, sig) != NULL;

	if (p == processes()->init && a.handler == SIG_DEFAULT && info->code <= 0 && unblocked)
		return true;
	return unblocked && sig != SIGKILL && sig != SIGSTOP && action_ignores(&a, sig);
}

static bool
ends_at_once(struct process *p, int sig)
{
	struct sigaction_k a = signal_action(p, sig);

	if (sig == SIGKILL)
		return true;
	return a.handler == SIG_DEFAULT &&
	       !((DEFAULT_IGNORED | DEFAULT_CORE | STOP_SIGNALS) & SIGBIT(sig));
}

int
signal_send_locked(struct process *p, struct task *t, int sig, const struct siginfo_k *info)
{
	struct sigqueue *q = t ? &t->pending : &p->pending;
	struct task *target;
	int err;

	if (p->nlive == 0 || p->exiting || (t && list_empty(&t->link)))
		return 0;
	apply_job_control(p, sig);
	if (dropped(p, t, sig, info))
		return 0;
	if (sig < SIGRTMIN && (q->set & SIGBIT(sig)))
		return 0;
	err = sigqueue_add(p, q, sig, info);
	if (err)
		return err;
	q->set |= SIGBIT(sig);
	waitq_wake_events(&p->signal_wait, ~0u, POLL_IN);
	target = t ? (task_takes(t, sig) ? t : NULL) : choose_task(p, sig);
	if (!target)
		return 0;
	if (ends_at_once(p, sig))
		signal_kill_group(p, (u32)sig);
	else
		thread_interrupt(&target->thread, TF_SIGNAL);
	return 0;
}

int
signal_send_process(struct process *p, int sig, const struct siginfo_k *info)
{
	int err;

	if (sig == 0)
		return 0;
	spin_lock(&p->lock);
	err = signal_send_locked(p, NULL, sig, info);
	spin_unlock(&p->lock);
	return err;
}

int
signal_send_task(struct task *t, int sig, const struct siginfo_k *info)
{
	struct process *p = t->process;
	int err;

	if (sig == 0)
		return 0;
	spin_lock(&p->lock);
	err = signal_send_locked(p, t, sig, info);
	spin_unlock(&p->lock);
	return err;
}

int
signal_send_group_locked(int pgrp, int sig, const struct siginfo_k *info)
{
	struct pid *group = pid_lookup(pgrp);
	struct process *p;

	if (!group || list_empty(&group->group))
		return -ESRCH;
	list_for_each_entry (p, &group->group, group_link)
		(void)signal_send_process(p, sig, info);
	return 0;
}

int
signal_send_group(int pgrp, int sig, const struct siginfo_k *info)
{
	int err;

	spin_lock(&processes()->lock);
	err = signal_send_group_locked(pgrp, sig, info);
	spin_unlock(&processes()->lock);
	return err;
}

void
signal_force(int sig, const struct siginfo_k *info)
{
	struct task *t = current_task();
	struct process *p = t->process;
	struct sigaction_k *a = &p->handlers->action[sig - 1];

	spin_lock(&p->lock);
	spin_lock(&p->handlers->lock);
	if (a->handler == SIG_IGNORED || !task_takes(t, sig) || p == processes()->init)
		a->handler =
			a->handler > SIG_IGNORED && task_takes(t, sig) ? a->handler : SIG_DEFAULT;
	persist_touch(&p->handlers->persistent);
	spin_unlock(&p->handlers->lock);
	t->blocked &= ~SIGBIT(sig);
	if (!(t->pending.set & SIGBIT(sig)))
		(void)!sigqueue_add(p, &t->pending, sig, info);
	t->pending.set |= SIGBIT(sig);
	thread_interrupt(&t->thread, TF_SIGNAL);
	spin_unlock(&p->lock);
}

void
signal_retarget(struct process *p, const struct task *except)
{
	struct task *t;

	if (!p->pending.set)
		return;
	list_for_each_entry (t, &p->tasks, link)
		if (t != except && (p->pending.set & ~t->blocked))
			thread_interrupt(&t->thread, TF_SIGNAL);
}
