/*
 * Calls about scheduling. There is one class of threads, with nice values; batch and idle policies
 * are remembered and act as nice values of their own choosing do. Realtime policies are refused.
 */
#include <asm/errno.h>
#include <linux/resource.h>
#include <linux/sched.h>

#include "calls.h"
#include "core/sched.h"
#include "linux/time_args.h"
#include "mm/user.h"
#include "proc/process.h"

#define NICE_MIN (-20)
#define NICE_MAX 19
#define RT_MIN	 1
#define RT_MAX	 99

/* The task of a tid, 0 is the caller: referenced. */
static struct task *
task_of(int tid)
{
	if (tid != 0)
		return tid > 0 ? task_find(tid) : NULL;
	refcount_get(&current_task()->refs);
	return current_task();
}

static bool
may_change(const struct task *t)
{
	const struct credentials *me = &current_process()->cred;

	return me->euid == 0 || me->euid == t->process->cred.euid ||
	       me->euid == t->process->cred.uid;
}

long
sys_sched_yield(void)
{
	sched_yield();
	return 0;
}

/* --- nice --- */

struct nice_walk {
	int which, who;
	int best; /* the highest priority found, as 20 - nice */
	bool set;
	int nice;
	int error; /* of the last refusal; -ESRCH when nobody matched */
};

static bool
nice_matches(const struct nice_walk *w, const struct process *p)
{
	switch (w->which) {
	case PRIO_PGRP:
		return p->pgrp == (w->who ? w->who : current_process()->pgrp);
	case PRIO_USER:
		return p->cred.uid == (w->who ? (u32)w->who : current_process()->cred.uid);
	}
	return false;
}

static void
nice_visit(struct nice_walk *w, struct task *t)
{
	if (w->error == -ESRCH)
		w->error = 0;
	w->best = max(w->best, 20 - t->thread.nice);
	if (!w->set)
		return;
	if (!may_change(t))
		w->error = -EPERM;
	else if (w->nice < t->thread.nice && !process_privileged())
		w->error = -EACCES;
	else
		t->thread.nice = w->nice;
}

static void
nice_walk(struct nice_walk *w)
{
	struct process *p;
	struct task *t;

	if (w->which == PRIO_PROCESS) {
		t = task_of(w->who);
		if (t)
			nice_visit(w, t);
		task_put(t);
		return;
	}
	spin_lock(&processes()->lock);
	list_for_each_entry (p, &processes()->all, all) {
		if (!nice_matches(w, p))
			continue;
		spin_lock(&p->lock);
		list_for_each_entry (t, &p->tasks, link)
			nice_visit(w, t);
		spin_unlock(&p->lock);
	}
	spin_unlock(&processes()->lock);
}

long
sys_getpriority(int which, int who)
{
	struct nice_walk w = {.which = which, .who = who, .error = -ESRCH};

	if (which < PRIO_PROCESS || which > PRIO_USER)
		return -EINVAL;
	nice_walk(&w);
	return w.error ? w.error : w.best;
}

long
sys_setpriority(int which, int who, int nice)
{
	struct nice_walk w = {.which = which, .who = who, .set = true, .error = -ESRCH};

	if (which < PRIO_PROCESS || which > PRIO_USER)
		return -EINVAL;
	w.nice = nice < NICE_MIN ? NICE_MIN : nice > NICE_MAX ? NICE_MAX : nice;
	nice_walk(&w);
	return w.error;
}

/* --- policies --- */

static bool
policy_known(int policy)
{
	return policy == SCHED_NORMAL || policy == SCHED_BATCH || policy == SCHED_IDLE ||
	       policy == SCHED_FIFO || policy == SCHED_RR || policy == SCHED_DEADLINE;
}

static bool
policy_is_realtime(int policy)
{
	return policy == SCHED_FIFO || policy == SCHED_RR;
}

static long
set_policy(int tid, int policy, const void __user *param)
{
	struct task *t;
	int priority;
	long err = 0;

	if (!param || tid < 0)
		return -EINVAL;
	if (get_user(priority, (const int __user *)param))
		return -EFAULT;
	t = task_of(tid);
	if (!t)
		return -ESRCH;
	if (policy < 0)
		policy = t->policy;
	policy &= ~SCHED_RESET_ON_FORK;
	if (!policy_known(policy) || policy == SCHED_DEADLINE)
		err = -EINVAL;
	else if (policy_is_realtime(policy))
		err = priority < RT_MIN || priority > RT_MAX ? -EINVAL : -EPERM;
	else if (priority != 0)
		err = -EINVAL;
	else if (!may_change(t))
		err = -EPERM;
	else
		t->policy = policy;
	task_put(t);
	return err;
}

long
sys_sched_setparam(int tid, const void __user *param)
{
	return set_policy(tid, -1, param);
}

long
sys_sched_setscheduler(int tid, int policy, const void __user *param)
{
	return policy < 0 ? -EINVAL : set_policy(tid, policy, param);
}

long
sys_sched_getparam(int tid, void __user *param)
{
	struct task *t;
	int priority = 0;

	if (!param || tid < 0)
		return -EINVAL;
	t = task_of(tid);
	if (!t)
		return -ESRCH;
	task_put(t);
	return put_user(priority, (int __user *)param);
}

long
sys_sched_getscheduler(int tid)
{
	struct task *t = task_of(tid);
	int policy;

	if (!t)
		return tid < 0 ? -EINVAL : -ESRCH;
	policy = t->policy;
	task_put(t);
	return policy;
}

long
sys_sched_get_priority_max(int policy)
{
	return !policy_known(policy) ? -EINVAL : policy_is_realtime(policy) ? RT_MAX : 0;
}

long
sys_sched_get_priority_min(int policy)
{
	return !policy_known(policy) ? -EINVAL : policy_is_realtime(policy) ? RT_MIN : 0;
}

long
sys_sched_rr_get_interval(int tid, void __user *ts)
{
	struct task *t = task_of(tid);

	if (!t)
		return tid < 0 ? -EINVAL : -ESRCH;
	task_put(t);
	return put_timespec(ts, 4 * NS_PER_MS); /* the slice of core/sched.c */
}

/* --- affinity --- */

static u64
all_cores(void)
{
	u32 n = machine()->ncores;

	return n >= 64 ? ~0UL : (1UL << n) - 1;
}

long
sys_sched_setaffinity(int tid, unsigned len, const void __user *mask)
{
	struct task *t;
	u64 bits = 0;
	long err = 0;

	if (copy_from_user(&bits, mask, min((size_t)len, sizeof(bits))))
		return -EFAULT;
	bits &= all_cores();
	t = task_of(tid);
	if (!t)
		return -ESRCH;
	if (!may_change(t))
		err = -EPERM;
	else if (bits == 0)
		err = -EINVAL;
	else
		thread_set_affinity(&t->thread, bits);
	task_put(t);
	return err;
}

long
sys_sched_getaffinity(int tid, unsigned len, void __user *mask)
{
	struct task *t;
	u64 bits;

	if (len < sizeof(bits) || len % sizeof(bits))
		return -EINVAL;
	t = task_of(tid);
	if (!t)
		return -ESRCH;
	bits = t->thread.affinity & all_cores();
	task_put(t);
	return copy_to_user(mask, &bits, sizeof(bits)) ? -EFAULT : (long)sizeof(bits);
}

long
sys_getcpu(unsigned __user *cpu, unsigned __user *node, void __user *unused)
{
	unsigned index = arch_core()->index, cxy = arch_core()->cxy;

	if (cpu && put_user(index, cpu))
		return -EFAULT;
	return node ? put_user(cxy, node) : 0;
}
