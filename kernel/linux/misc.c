/*
 * Calls about the system and the process as a whole: names, limits, prctl, random bytes, the log,
 * and the way to switch the machine off.
 */
#include <asm/errno.h>
#include <asm/prctl.h>
#include <linux/capability.h>
#include <linux/personality.h>
#include <linux/prctl.h>
#include <linux/random.h>
#include <linux/reboot.h>
#include <linux/resource.h>
#include <linux/sysinfo.h>
#include <linux/utsname.h>

#include "arch/clock.h"
#include "calls.h"
#include "core/klog.h"
#include "core/persist.h"
#include "core/klog_ring.h"
#include "core/loadavg.h"
#include "core/random.h"
#include "core/klog_ring.h"
#include "core/loadavg.h"
#include "core/sched.h"
#include "dev/power.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/slab.h"
#include "mm/user.h"
#include "proc/process.h"

#define RELEASE	     "6.1.0-holdfast"
#define VERSION	     "#1 SMP PREEMPT Holdfast"
#define NAME_MAX_UTS 64
#define LOG_MAX	     (256 * 1024)

/* --- names --- */

long
sys_uname(struct new_utsname __user *buf)
{
	struct processes *ps = processes();
	struct new_utsname u;

	memset(&u, 0, sizeof(u));
	string_copy(u.sysname, "Linux", sizeof(u.sysname));
	string_copy(u.release, RELEASE, sizeof(u.release));
	string_copy(u.version, VERSION, sizeof(u.version));
	string_copy(u.machine, "x86_64", sizeof(u.machine));
	spin_lock(&ps->lock);
	memcpy(u.nodename, ps->hostname, sizeof(u.nodename));
	memcpy(u.domainname, ps->domainname, sizeof(u.domainname));
	spin_unlock(&ps->lock);
	return copy_to_user(buf, &u, sizeof(u));
}

static long
set_name(char *name, const char __user *user, int len)
{
	char copy[NAME_MAX_UTS + 1] = {0};

	if (!process_privileged())
		return -EPERM;
	if (len < 0 || len > NAME_MAX_UTS)
		return -EINVAL;
	if (len && copy_from_user(copy, user, (size_t)len))
		return -EFAULT;
	spin_lock(&processes()->lock);
	memcpy(name, copy, sizeof(copy));
	spin_unlock(&processes()->lock);
	return 0;
}

long
sys_sethostname(const char __user *name, int len)
{
	return set_name(processes()->hostname, name, len);
}

long
sys_setdomainname(const char __user *name, int len)
{
	return set_name(processes()->domainname, name, len);
}

long
sys_sysinfo(struct sysinfo __user *info)
{
	struct memory_info m;
	struct sysinfo s;
	u32 load[3];

	memory_info(&m);
	loadavg_read(load);
	memset(&s, 0, sizeof(s));
	s.uptime = clock_now() / NS_PER_SEC;
	for (int i = 0; i < 3; i++)
		s.loads[i] = (unsigned long)load[i] << (SI_LOAD_SHIFT - 11);
	s.totalram = m.total;
	s.freeram = m.free;
	s.bufferram = 0;
	s.procs = (u16)min(atomic_load(&processes()->tasks), 65535u);
	s.mem_unit = PAGE_SIZE;
	return copy_to_user(info, &s, sizeof(s));
}

/* --- limits --- */

static int
check_limit(unsigned which, const struct rlimit_pair *new, const struct rlimit_pair *old)
{
	if (new->cur > new->max)
		return -EINVAL;
	if (new->max > old->max && !process_privileged())
		return -EPERM;
	if (which == RLIMIT_NOFILE && new->max > 1UL << 30)
		return -EPERM;
	return 0;
}

/* Limits that others keep a copy of. */
static void
spread_limit(struct process *p, unsigned which, u64 value)
{
	if (which == RLIMIT_NOFILE && p->files)
		fdtable_set_limit(p->files, value);
	else if (which == RLIMIT_STACK && p->map)
		atomic_store(&p->map->stack_limit, value);
	else if (which == RLIMIT_AS && p->map)
		atomic_store(&p->map->limit_pages,
			     value == RLIM64_INFINITY ? ~0UL : value >> PAGE_SHIFT);
}

static int
exchange_limit(struct process *p, unsigned which, const struct rlimit_pair *new,
	       struct rlimit_pair *old)
{
	int err = 0;

	if (which >= PROC_RLIMITS)
		return -EINVAL;
	spin_lock(&p->lock);
	*old = p->rlimit[which];
	if (new) {
		err = check_limit(which, new, old);
		if (!err)
			p->rlimit[which] = *new;
	}
	spin_unlock(&p->lock);
	if (new && !err)
		spread_limit(p, which, new->cur);
	return err;
}

long
sys_prlimit64(int pid, unsigned which, const struct rlimit64 __user *new,
	      struct rlimit64 __user *old)
{
	struct rlimit_pair want, was;
	struct process *p;
	int err;

	if (new &&copy_from_user(&want, new, sizeof(want)))
		return -EFAULT;
	p = process_find(pid ? pid : current_process()->pid);
	if (!p)
		return -ESRCH;
	if (p != current_process() && !process_privileged() &&
	    p->cred.uid != current_process()->cred.uid)
		err = -EPERM;
	else
		err = exchange_limit(p, which, new ? &want : NULL, &was);
	process_put(p);
	if (err || !old)
		return err;
	return copy_to_user(old, &was, sizeof(was));
}

long
sys_getrlimit(unsigned which, void __user *limit)
{
	return limit ? sys_prlimit64(0, which, NULL, limit) : -EFAULT;
}

long
sys_setrlimit(unsigned which, const void __user *limit)
{
	return limit ? sys_prlimit64(0, which, limit, NULL) : -EFAULT;
}

/* --- prctl --- */

static long
set_task_name(const char __user *user)
{
	char name[16] = {0};
	long n = copy_string_from_user(name, user, sizeof(name));

	if (n < 0 && n != -ENAMETOOLONG)
		return n;
	name[sizeof(name) - 1] = 0;
	memcpy(current_thread()->name, name, sizeof(name));
	if (current_thread()->tid == current_process()->pid)
		memcpy(current_process()->comm, name, sizeof(name));
	return 0;
}

static long
prctl_set(struct process *p, int option, unsigned long a2, unsigned long a3)
{
	switch (option) {
	case PR_SET_PDEATHSIG:
		if (a2 > SIG_COUNT)
			return -EINVAL;
		p->pdeath_signal = (int)a2;
		return 0;
	case PR_SET_DUMPABLE:
		if (a2 > 1)
			return -EINVAL;
		p->dumpable = a2;
		return 0;
	case PR_SET_KEEPCAPS:
		if (a2 > 1)
			return -EINVAL;
		p->keep_caps = a2;
		return 0;
	case PR_SET_CHILD_SUBREAPER:
		p->subreaper = a2 != 0;
		return 0;
	case PR_SET_NO_NEW_PRIVS:
		if (a2 != 1 || a3)
			return -EINVAL;
		p->no_new_privs = true;
		return 0;
	case PR_SET_TIMERSLACK:
		current_task()->timer_slack_ns = a2 ? (ns_t)a2 : 50 * NS_PER_US;
		return 0;
	case PR_SET_NAME:
		return set_task_name((const char __user *)a2);
	}
	return -EINVAL;
}

long
sys_prctl(int option, unsigned long a2, unsigned long a3, unsigned long a4, unsigned long a5)
{
	struct process *p = current_process();
	int subreaper;

	switch (option) {
	case PR_GET_PDEATHSIG:
		return put_user(p->pdeath_signal, (int __user *)a2);
	case PR_GET_DUMPABLE:
		return p->dumpable;
	case PR_GET_KEEPCAPS:
		return p->keep_caps;
	case PR_GET_CHILD_SUBREAPER:
		subreaper = p->subreaper;
		return put_user(subreaper, (int __user *)a2);
	case PR_GET_NO_NEW_PRIVS:
		return a2 || a3 || a4 || a5 ? -EINVAL : p->no_new_privs;
	case PR_GET_TIMERSLACK:
		return current_task()->timer_slack_ns;
	case PR_GET_NAME:
		return copy_to_user((char __user *)a2, current_thread()->name, 16);
	case PR_CAPBSET_READ:
		return a2 <= CAP_LAST_CAP ? 1 : -EINVAL;
	case PR_GET_TID_ADDRESS:
		return put_user(current_task()->clear_tid, (int __user *__user *)a2);
	}
	return prctl_set(p, option, a2, a3);
}

long
sys_arch_prctl(int option, unsigned long addr)
{
	struct task *t = current_task();

	switch (option) {
	case ARCH_SET_FS:
		if (addr >= USER_TOP)
			return -EPERM;
		task_set_bases(t, addr, t->thread.gs_base);
		return 0;
	case ARCH_SET_GS:
		if (addr >= USER_TOP)
			return -EPERM;
		task_set_bases(t, t->thread.fs_base, addr);
		return 0;
	case ARCH_GET_FS:
		return put_user(t->thread.fs_base, (u64 __user *)addr);
	case ARCH_GET_GS:
		return put_user(t->thread.gs_base, (u64 __user *)addr);
	case ARCH_GET_CPUID:
		return 1;
	}
	return -EINVAL;
}

long
sys_personality(unsigned persona)
{
	struct process *p = current_process();
	u32 old = p->personality;

	if (persona == 0xffffffffu)
		return old;
	if (persona & ~(unsigned)(PER_MASK | ADDR_NO_RANDOMIZE))
		return -EINVAL;
	if ((persona & PER_MASK) != PER_LINUX)
		return -EINVAL;
	p->personality = persona;
	return old;
}

/* --- random bytes --- */

long
sys_getrandom(void __user *buf, size_t n, unsigned flags)
{
	size_t done = 0;
	u8 block[256];

	if (flags & ~(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE))
		return -EINVAL;
	if ((flags & GRND_RANDOM) && (flags & GRND_INSECURE))
		return -EINVAL;
	n = min(n, (size_t)INT32_MAX & PAGE_MASK);
	while (done < n) {
		size_t part = min(n - done, sizeof(block));

		random_bytes(block, part);
		if (copy_to_user((char __user *)buf + done, block, part))
			return done ? (long)done : -EFAULT;
		done += part;
		if (done > PAGE_SIZE && signal_pending())
			break;
		sched_point();
	}
	memset(block, 0, sizeof(block));
	return (long)done;
}

/* --- the log --- */

/* The last `len` bytes of the log. */
static long
read_log(char __user *buf, size_t len)
{
	char *all = kmalloc(LOG_MAX);
	size_t have = 0, n, skip;
	u64 seq = 0;
	long result;

	if (!all)
		return -ENOMEM;
	while (have < LOG_MAX && (n = klog_read(all + have, LOG_MAX - have, &seq)) > 0)
		have += n;
	skip = have > len ? have - len : 0;
	result = copy_to_user(buf, all + skip, have - skip) ? -EFAULT : (long)(have - skip);
	kfree(all);
	return result;
}

long
sys_syslog(int type, char __user *buf, int len)
{
	switch (type) {
	case 3: /* SYSLOG_ACTION_READ_ALL */
		if (!buf || len < 0)
			return -EINVAL;
		return read_log(buf, (size_t)len);
	case 9: /* SYSLOG_ACTION_SIZE_UNREAD: nobody takes lines away */
		return 0;
	case 10: /* SYSLOG_ACTION_SIZE_BUFFER */
		return (long)machine()->ncores * (long)KLOG_RING;
	}
	return process_privileged() ? -EINVAL : -EPERM;
}

/* --- off --- */

long
sys_reboot(int magic1, int magic2, unsigned cmd, void __user *arg)
{
	if (!process_privileged())
		return -EPERM;
	if ((unsigned)magic1 != LINUX_REBOOT_MAGIC1 ||
	    (magic2 != LINUX_REBOOT_MAGIC2 && magic2 != LINUX_REBOOT_MAGIC2A &&
	     magic2 != LINUX_REBOOT_MAGIC2B && magic2 != LINUX_REBOOT_MAGIC2C))
		return -EINVAL;
	switch (cmd) {
	case LINUX_REBOOT_CMD_POWER_OFF:
	case LINUX_REBOOT_CMD_HALT:
		klog(KLOG_INFO, "linux", "power off");
		persist_ending();
		power_off();
	case LINUX_REBOOT_CMD_RESTART:
		klog(KLOG_INFO, "linux", "restart");
		persist_ending();
		power_reboot();
	}
	return -EINVAL;
}
