/* Calls about signals: fetch, check, and hand to proc/signal.h. */
#include "proc/siginfo_uapi.h"
#include <asm/errno.h>
#include <asm/signal.h>
#include <linux/signal.h>

#include "arch/clock.h"
#include "arch/trap.h"
#include "calls.h"
#include "linux/time_args.h"
#include "mm/user.h"
#include "proc/process.h"

#define SIGSET_SIZE 8
#define SA_KNOWN                                                                                   \
	(SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_NODEFER |         \
	 SA_RESETHAND | SA_RESTORER | SA_EXPOSE_TAGBITS)

struct user_sigaction { /* struct sigaction of the kernel's interface, x86-64 */
	u64 handler, flags, restorer, mask;
};

_Static_assert(sizeof(struct user_sigaction) == 32, "struct sigaction of rt_sigaction");

long
sys_rt_sigaction(int sig, const void __user *act, void __user *old, size_t size)
{
	struct sigaction_k new, was;
	struct user_sigaction u;
	int err;

	if (size != SIGSET_SIZE)
		return -EINVAL;
	if (act) {
		if (copy_from_user(&u, act, sizeof(u)))
			return -EFAULT;
		/* Linux drops unknown flags and shows so in the old action: that is how they are
		 * probed. */
		new = (struct sigaction_k){u.handler, u.flags & (u32)SA_KNOWN & ~SA_EXPOSE_TAGBITS,
					   u.restorer, u.mask};
	}
	err = signal_set_action(sig, act ? &new : NULL, &was);
	if (err || !old)
		return err;
	u = (struct user_sigaction){was.handler, was.flags, was.restorer, was.mask};
	return copy_to_user(old, &u, sizeof(u));
}

long
sys_rt_sigprocmask(int how, const u64 __user *set, u64 __user *old, size_t size)
{
	u64 was = current_task()->blocked, mask;

	if (size != SIGSET_SIZE)
		return -EINVAL;
	if (set) {
		if (get_user(mask, set))
			return -EFAULT;
		if (how == SIG_BLOCK)
			signal_set_blocked(was | mask);
		else if (how == SIG_UNBLOCK)
			signal_set_blocked(was & ~mask);
		else if (how == SIG_SETMASK)
			signal_set_blocked(mask);
		else
			return -EINVAL;
	}
	return old && put_user(was, old) ? -EFAULT : 0;
}

long
sys_rt_sigreturn(void)
{
	return sigframe_return(current_thread()->frame);
}

long
sys_pause(void)
{
	int err = sleep_until(NS_FOREVER, WAIT_INTERRUPTIBLE);

	return err ? -ERESTARTNOHAND : 0;
}

long
sys_rt_sigpending(u64 __user *set, size_t size)
{
	struct task *t = current_task();
	u64 pending;

	if (size > SIGSET_SIZE)
		return -EINVAL;
	spin_lock(&t->process->lock);
	pending = (t->pending.set | t->process->pending.set) & t->blocked;
	spin_unlock(&t->process->lock);
	return copy_to_user(set, &pending, size);
}

long
sys_rt_sigtimedwait(const u64 __user *set, void __user *info, const void __user *timeout,
		    size_t size)
{
	ns_t wait, deadline = NS_FOREVER;
	struct siginfo_k got;
	u8 bytes[128];
	u64 mask;
	int sig, err;

	if (size != SIGSET_SIZE)
		return -EINVAL;
	if (get_user(mask, set))
		return -EFAULT;
	if (timeout) {
		err = fetch_timespec(&wait, timeout);
		if (err)
			return err;
		deadline = wait > NS_FOREVER - clock_now() ? NS_FOREVER : clock_now() + wait;
	}
	sig = signal_wait(mask, &got, deadline);
	if (sig < 0 || !info)
		return sig;
	siginfo_to_user(bytes, &got);
	return copy_to_user(info, bytes, sizeof(bytes)) ? -EFAULT : sig;
}

long
sys_rt_sigsuspend(const u64 __user *set, size_t size)
{
	u64 mask;

	if (size != SIGSET_SIZE)
		return -EINVAL;
	if (get_user(mask, set))
		return -EFAULT;
	signal_set_temporary_mask(mask);
	while (!signal_pending())
		if (sleep_until(NS_FOREVER, WAIT_INTERRUPTIBLE))
			break;
	return -ERESTARTNOHAND;
}

/* --- sending --- */

static int
kill_one(struct process *p, int sig)
{
	struct siginfo_k info;

	if (!process_may_signal(p, sig))
		return -EPERM;
	signal_info_user(&info, sig, SI_USER);
	return signal_send_process(p, sig, &info);
}

/* To a group, or to all but init and the caller's process. 0 if one got it. */
static int
kill_many(int pgrp, bool all, int sig)
{
	struct processes *ps = processes();
	int result = -ESRCH, err;
	struct process *p;

	spin_lock(&ps->lock);
	list_for_each_entry (p, &ps->all, all) {
		if (all ? p == ps->init || p == current_process() : p->pgrp != pgrp)
			continue;
		err = kill_one(p, sig);
		if (result != 0)
			result = err;
	}
	spin_unlock(&ps->lock);
	return result;
}

long
sys_kill(int pid, int sig)
{
	struct process *p;
	int err;

	if (sig < 0 || sig > SIG_COUNT)
		return -EINVAL;
	if (pid == INT32_MIN)
		return -ESRCH;
	if (pid <= 0)
		return kill_many(pid == 0 ? current_process()->pgrp : -pid, pid == -1, sig);
	p = process_find(pid);
	if (!p) {
		struct task *t = task_find(pid); /* a thread's number names its process */

		if (!t)
			return -ESRCH;
		p = t->process;
		process_get(p);
		task_put(t);
	}
	err = kill_one(p, sig);
	process_put(p);
	return err;
}

static int
kill_task(int pid, int tid, int sig, const struct siginfo_k *info)
{
	struct task *t;
	int err = -ESRCH;

	if (tid <= 0 || sig < 0 || sig > SIG_COUNT)
		return -EINVAL;
	t = task_find(tid);
	if (t && (pid == 0 || t->process->pid == pid))
		err = process_may_signal(t->process, sig) ? signal_send_task(t, sig, info) : -EPERM;
	task_put(t);
	return err;
}

long
sys_tkill(int tid, int sig)
{
	struct siginfo_k info;

	signal_info_user(&info, sig, SI_TKILL);
	return kill_task(0, tid, sig, &info);
}

long
sys_tgkill(int pid, int tid, int sig)
{
	struct siginfo_k info;

	if (pid <= 0)
		return -EINVAL;
	signal_info_user(&info, sig, SI_TKILL);
	return kill_task(pid, tid, sig, &info);
}

/* A program may not pass for the kernel or for kill() towards others. */
static int
fetch_siginfo(struct siginfo_k *info, const void __user *user, int sig, int pid)
{
	u8 bytes[128];

	if (copy_from_user(bytes, user, sizeof(bytes)))
		return -EFAULT;
	siginfo_from_user(info, bytes);
	info->signo = sig;
	if ((info->code >= 0 || info->code == SI_TKILL) && pid != current_process()->pid)
		return -EPERM;
	return 0;
}

long
sys_rt_sigqueueinfo(int pid, int sig, const void __user *user_info)
{
	struct siginfo_k info;
	struct process *p;
	int err = fetch_siginfo(&info, user_info, sig, pid);

	if (err)
		return err;
	if (sig < 0 || sig > SIG_COUNT)
		return -EINVAL;
	p = process_find(pid);
	if (!p)
		return -ESRCH;
	err = process_may_signal(p, sig) ? signal_send_process(p, sig, &info) : -EPERM;
	process_put(p);
	return err;
}

long
sys_rt_tgsigqueueinfo(int pid, int tid, int sig, const void __user *user_info)
{
	struct siginfo_k info;
	int err;

	if (pid <= 0)
		return -EINVAL;
	err = fetch_siginfo(&info, user_info, sig, pid);
	return err ? err : kill_task(pid, tid, sig, &info);
}

/* --- alternate stack --- */

static bool
on_altstack(const struct task *t)
{
	u64 sp = t->thread.frame->rsp;

	return !(t->altstack_flags & SS_AUTODISARM) && sp > t->altstack_base &&
	       sp - t->altstack_base <= t->altstack_size;
}

static int
set_altstack(struct task *t, const stack_t *new)
{
	u32 mode = (u32) new->ss_flags & ~SS_AUTODISARM;

	if (on_altstack(t))
		return -EPERM;
	if (mode != 0 && mode != SS_ONSTACK && mode != SS_DISABLE)
		return -EINVAL;
	if (mode == SS_DISABLE) {
		t->altstack_base = 0;
		t->altstack_size = 0;
		t->altstack_flags = SS_DISABLE;
		return 0;
	}
	if (new->ss_size < MINSIGSTKSZ || new->ss_size < sigframe_min_stack())
		return -ENOMEM;
	t->altstack_base = (u64) new->ss_sp;
	t->altstack_size = new->ss_size;
	t->altstack_flags = (u32) new->ss_flags &SS_AUTODISARM;
	return 0;
}

long
sys_sigaltstack(const void __user *user_new, void __user *user_old)
{
	struct task *t = current_task();
	stack_t new, old = {
			     .ss_sp = (void *)t->altstack_base,
			     .ss_size = t->altstack_size,
			     .ss_flags = (int)(t->altstack_size == 0 ? SS_DISABLE
					       : on_altstack(t)	     ? SS_ONSTACK
								     : t->altstack_flags),
		     };
	int err;

	if (user_new) {
		if (copy_from_user(&new, user_new, sizeof(new)))
			return -EFAULT;
		err = set_altstack(t, &new);
		if (err)
			return err;
	}
	return user_old ? copy_to_user(user_old, &old, sizeof(old)) : 0;
}

long
sys_restart_syscall(void)
{
	struct restart_block *r = &current_task()->restart;

	return r->fn ? r->fn(r) : -EINTR;
}
