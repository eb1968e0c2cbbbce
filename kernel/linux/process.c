/*
 * Calls that make, end, name and wait for processes. Each fetches its arguments and hands them to
 * proc/; the rules are there.
 */
#include "proc/siginfo_uapi.h"
#include <asm/errno.h>
#include <linux/fcntl.h>
#include <linux/futex.h>
#include <linux/resource.h>
#include <linux/sched.h>
#include <linux/time_types.h>
#include <linux/wait.h>
#include <asm/signal.h>

#include "calls.h"
#include "lib/string.h"
#include "linux/time_args.h"
#include "mm/slab.h"
#include "mm/user.h"
#include "proc/futex.h"
#include "proc/process.h"

#define PATH_SIZE 4096

long
sys_clone(unsigned long flags, unsigned long stack, int __user *parent_tid, int __user *child_tid,
	  unsigned long tls)
{
	struct clone_request r = {
		.flags = flags & ~0xffUL,
		.stack = stack,
		.tls = tls,
		.parent_tid = parent_tid,
		.child_tid = child_tid,
		.pidfd = parent_tid,
		.exit_signal = (int)(flags & 0xff),
	};

	if ((r.flags & CLONE_PIDFD) && (r.flags & CLONE_PARENT_SETTID))
		return -EINVAL;
	if (r.flags & CLONE_CLEAR_SIGHAND)
		return -EINVAL;
	return process_clone(&r);
}

long
sys_fork(void)
{
	struct clone_request r = {.exit_signal = SIGCHLD};

	return process_clone(&r);
}

long
sys_vfork(void)
{
	struct clone_request r = {.flags = CLONE_VFORK | CLONE_VM, .exit_signal = SIGCHLD};

	return process_clone(&r);
}

/* The structure may be shorter or longer than ours; what we do not know must be zero. */
static int
fetch_clone_args(struct clone_args *a, const struct clone_args __user *user, size_t size)
{
	u8 byte;

	if (size > PAGE_SIZE)
		return -E2BIG;
	if (size < CLONE_ARGS_SIZE_VER0)
		return -EINVAL;
	memset(a, 0, sizeof(*a));
	if (copy_from_user(a, user, min(size, sizeof(*a))))
		return -EFAULT;
	for (size_t i = sizeof(*a); i < size; i++) {
		if (get_user(byte, (const u8 __user *)user + i))
			return -EFAULT;
		if (byte)
			return -E2BIG;
	}
	return 0;
}

long
sys_clone3(const struct clone_args __user *args, size_t size)
{
	struct clone_args a;
	struct clone_request r;
	int err = fetch_clone_args(&a, args, size);

	if (err)
		return err;
	if ((a.flags & (0xff | CLONE_DETACHED)) || a.set_tid || a.set_tid_size ||
	    (a.flags & CLONE_INTO_CGROUP))
		return -EINVAL;
	if ((a.flags & (CLONE_THREAD | CLONE_PARENT)) && a.exit_signal)
		return -EINVAL;
	if (!a.stack != !a.stack_size || a.exit_signal > SIG_COUNT)
		return -EINVAL;
	r = (struct clone_request){
		.flags = a.flags,
		.stack = a.stack,
		.stack_size = a.stack_size,
		.tls = a.tls,
		.parent_tid = (int __user *)a.parent_tid,
		.child_tid = (int __user *)a.child_tid,
		.pidfd = (int __user *)a.pidfd,
		.exit_signal = (int)a.exit_signal,
	};
	return process_clone(&r);
}

/* --- exec and exit --- */

static char *
fetch_path(const char __user *path, int *err)
{
	char *name = kmalloc(PATH_SIZE);
	long n;

	*err = -ENOMEM;
	if (!name)
		return NULL;
	n = copy_string_from_user(name, path, PATH_SIZE);
	if (n < 0) {
		*err = (int)n;
		kfree(name);
		return NULL;
	}
	*err = 0;
	return name;
}

long
sys_execve(const char __user *path, char *const *argv, char *const *envp)
{
	int err;
	char *name = fetch_path(path, &err);

	if (!name)
		return err;
	err = *name ? exec_file(name, argv, envp, true) : -ENOENT;
	kfree(name);
	return err;
}

static int
open_for_exec(int dirfd, const char *name, int flags, struct file **out)
{
	unsigned how = flags & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0;

	if (*name)
		return vfs_open(dirfd, name, O_RDONLY | how, 0, out);
	if (!(flags & AT_EMPTY_PATH))
		return -ENOENT;
	*out = fd_get(dirfd);
	if (!*out)
		return -EBADF;
	if ((*out)->dentry) {
		struct file *f = *out;
		int err = vfs_open_dentry(f->dentry, O_RDONLY, out);

		file_put(f);
		return err;
	}
	return 0;
}

long
sys_execveat(int dirfd, const char __user *path, char *const *argv, char *const *envp, int flags)
{
	struct file *f;
	char *name;
	int err;

	if (flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
		return -EINVAL;
	name = fetch_path(path, &err);
	if (!name)
		return err;
	err = open_for_exec(dirfd, name, flags, &f);
	if (!err) {
		err = exec_open(f, *name ? name : "/dev/fd/", argv, envp, true);
		file_put(f);
	}
	kfree(name);
	return err;
}

long
sys_exit(int code)
{
	task_exit(code);
}

long
sys_exit_group(int code)
{
	process_exit_group((code & 0xff) << 8);
}

/* --- waiting --- */

static void
rusage_times(struct rusage *ru, ns_t user, ns_t system)
{
	memset(ru, 0, sizeof(*ru));
	ru->ru_utime.tv_sec = user / NS_PER_SEC;
	ru->ru_utime.tv_usec = user % NS_PER_SEC / NS_PER_US;
	ru->ru_stime.tv_sec = system / NS_PER_SEC;
	ru->ru_stime.tv_usec = system % NS_PER_SEC / NS_PER_US;
}

static int
put_wait_usage(const struct wait_result *w, struct rusage __user *ru)
{
	struct rusage r;

	if (!ru)
		return 0;
	rusage_times(&r, w->user_ns, w->system_ns);
	r.ru_maxrss = (long)(w->max_rss * (PAGE_SIZE / 1024));
	return copy_to_user(ru, &r, sizeof(r));
}

long
sys_wait4(int pid, int __user *status, int options, struct rusage __user *ru)
{
	struct wait_result w;
	int which = pid == -1 ? P_ALL : pid > 0 ? P_PID : P_PGID;
	long result;

	if (options & ~(WNOHANG | WUNTRACED | WCONTINUED | __WNOTHREAD | __WCLONE | __WALL))
		return -EINVAL;
	if (pid == INT32_MIN)
		return -ESRCH;
	result = process_wait(which, pid < 0 ? -pid : pid, (unsigned)options | WEXITED, &w);
	if (result <= 0)
		return result;
	if (status && put_user(w.status, (u32 __user *)status))
		return -EFAULT;
	return put_wait_usage(&w, ru) ? -EFAULT : result;
}

static int
put_waitid_info(const struct wait_result *w, bool any, void __user *user)
{
	struct siginfo_k info = {0};
	u8 bytes[128];

	if (!user)
		return 0;
	if (any) {
		info.signo = SIGCHLD;
		info.code = w->code;
		info.pid = w->pid;
		info.uid = w->uid;
		info.status = w->code == CLD_EXITED	 ? (int)(w->status >> 8 & 0xff)
			      : w->code == CLD_STOPPED	 ? (int)(w->status >> 8 & 0xff)
			      : w->code == CLD_CONTINUED ? SIGCONT
							 : (int)(w->status & 0x7f);
	}
	siginfo_to_user(bytes, &info);
	return copy_to_user(user, bytes, sizeof(bytes));
}

long
sys_waitid(int which, int id, void __user *info, int options, struct rusage __user *ru)
{
	struct process *target = NULL;
	struct wait_result w;
	struct file *f;
	long result;

	if (options & ~(WNOHANG | WNOWAIT | WEXITED | WSTOPPED | WCONTINUED | __WNOTHREAD |
			__WCLONE | __WALL))
		return -EINVAL;
	if (!(options & (WEXITED | WSTOPPED | WCONTINUED)))
		return -EINVAL;
	if (which == P_PIDFD) {
		f = fd_get(id);
		if (!f)
			return -EBADF;
		target = pidfd_process(f);
		file_put(f);
		if (!target)
			return -EINVAL;
		which = P_PID;
		id = target->pid;
	} else if (which != P_ALL && which != P_PID && which != P_PGID) {
		return -EINVAL;
	} else if ((which == P_PID && id <= 0) || (which == P_PGID && id < 0)) {
		return -EINVAL;
	}
	result = process_wait(which, id, (unsigned)options, &w);
	process_put(target);
	if (result < 0)
		return result;
	if (put_waitid_info(&w, result > 0, info))
		return -EFAULT;
	return result > 0 && put_wait_usage(&w, ru) ? -EFAULT : 0;
}

/* --- names --- */

long
sys_getpid(void)
{
	return current_process()->pid;
}

long
sys_getppid(void)
{
	struct process *parent;
	long pid;

	spin_lock(&processes()->lock);
	parent = current_process()->parent;
	pid = parent ? parent->pid : 0;
	spin_unlock(&processes()->lock);
	return pid;
}

long
sys_gettid(void)
{
	return current_thread()->tid;
}

long
sys_setpgid(int pid, int pgrp)
{
	return process_setpgid(pid, pgrp);
}

long
sys_getpgrp(void)
{
	return current_process()->pgrp;
}

long
sys_setsid(void)
{
	return process_setsid();
}

long
sys_getpgid(int pid)
{
	return process_getpgid(pid);
}

long
sys_getsid(int pid)
{
	return process_getsid(pid);
}

long
sys_set_tid_address(int __user *tid)
{
	current_task()->clear_tid = tid;
	return current_thread()->tid;
}

long
sys_set_robust_list(void __user *head, size_t len)
{
	if (len != sizeof(struct robust_list_head))
		return -EINVAL;
	current_task()->robust_list = head;
	current_task()->robust_len = len;
	return 0;
}

long
sys_get_robust_list(int tid, void __user *__user *head, size_t __user *len)
{
	struct task *t = tid ? task_find(tid) : NULL;
	void __user *list;

	if (tid && !t)
		return -ESRCH;
	if (t && t->process != current_process() && !process_privileged()) {
		task_put(t);
		return -EPERM;
	}
	list = t ? t->robust_list : current_task()->robust_list;
	task_put(t);
	if (put_user(sizeof(struct robust_list_head), len) || put_user(list, head))
		return -EFAULT;
	return 0;
}

/* --- descriptors of processes --- */

long
sys_pidfd_open(int pid, unsigned flags)
{
	struct process *p;
	struct file *f;
	int fd, err;

	if ((flags & ~O_NONBLOCK) || pid <= 0)
		return -EINVAL;
	p = process_find(pid);
	if (!p)
		return -ESRCH;
	err = pidfd_create(p, flags, &f);
	process_put(p);
	if (err)
		return err;
	fd = fd_install(f, 0, true);
	if (fd < 0)
		file_put(f);
	return fd;
}

long
sys_pidfd_send_signal(int fd, int sig, const void __user *user_info, unsigned flags)
{
	struct file *f = fd_get(fd);
	struct siginfo_k info;
	struct process *p;
	u8 bytes[128];
	int err = 0;

	if (!f)
		return -EBADF;
	p = flags ? NULL : pidfd_process(f);
	if (!p && !flags && procfs_pid_of(f) > 0) {
		p = process_find(procfs_pid_of(f));
		err = p ? 0 : -ESRCH;
	}
	file_put(f);
	if (err)
		return err;
	if (flags || sig < 0 || sig > SIG_COUNT || !p) {
		err = flags || p ? -EINVAL : -EBADF;
		goto out;
	}
	signal_info_user(&info, sig, SI_USER);
	if (user_info) {
		if (copy_from_user(bytes, user_info, sizeof(bytes))) {
			err = -EFAULT;
			goto out;
		}
		siginfo_from_user(&info, bytes);
		if (info.signo != sig)
			err = -EINVAL;
		else if ((info.code >= 0 || info.code == SI_TKILL) && p != current_process())
			err = -EPERM;
		if (err)
			goto out;
	}
	if (p->zombie)
		err = -ESRCH;
	else if (!process_may_signal(p, sig))
		err = -EPERM;
	else
		err = signal_send_process(p, sig, &info);
out:
	process_put(p);
	return err;
}

/* --- usage --- */

static void
usage_of_self(struct rusage *ru)
{
	struct process *p = current_process();
	ns_t user, system;
	struct task *t;

	process_cpu_time(p, &user, &system);
	rusage_times(ru, user, system);
	spin_lock(&p->lock);
	ru->ru_nvcsw = (long)p->dead_voluntary;
	ru->ru_nivcsw = (long)p->dead_forced;
	list_for_each_entry (t, &p->tasks, link) {
		ru->ru_nvcsw += (long)t->thread.switches_voluntary;
		ru->ru_nivcsw += (long)t->thread.switches_forced;
	}
	spin_unlock(&p->lock);
	ru->ru_maxrss = (long)(vm_map_peak(p->map) * (PAGE_SIZE / 1024));
	ru->ru_minflt = (long)p->map->faults_minor;
	ru->ru_majflt = (long)p->map->faults_major;
}

long
sys_getrusage(int who, struct rusage __user *user_ru)
{
	struct process *p = current_process();
	ns_t user, system;
	struct rusage ru;

	switch (who) {
	case RUSAGE_SELF:
		usage_of_self(&ru);
		break;
	case RUSAGE_CHILDREN:
		spin_lock(&processes()->lock);
		rusage_times(&ru, p->children_user_ns, p->children_system_ns);
		ru.ru_maxrss = (long)(p->children_max_rss * (PAGE_SIZE / 1024));
		spin_unlock(&processes()->lock);
		break;
	case RUSAGE_THREAD:
		task_cpu_time(current_task(), &user, &system);
		rusage_times(&ru, user, system);
		ru.ru_nvcsw = (long)current_thread()->switches_voluntary;
		ru.ru_nivcsw = (long)current_thread()->switches_forced;
		break;
	default:
		return -EINVAL;
	}
	return copy_to_user(user_ru, &ru, sizeof(ru));
}
