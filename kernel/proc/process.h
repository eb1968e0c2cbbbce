/*
 * Processes and tasks.
 *
 * A process owns what its threads share: address space, descriptors, signal handlers, the place in
 * the tree of processes. A task is a user thread: struct thread plus its signal mask, its robust
 * list and the like. Process life: fork/first task -> exec -> last task exits: zombie -> waited
 * for by the parent: freed. Locks: processes->lock (tree, pid table, groups, sessions) before
 * process->lock (signals, task list).
 */
#ifndef PROC_PROCESS_H
#define PROC_PROCESS_H

#include "core/thread.h"
#include "core/waitq.h"
#include "file/fdtable.h"
#include "file/vnode.h"
#include "mm/map.h"
#include "proc/signal.h"

struct rlimit_pair {
	u64 cur, max;
};
#define PROC_RLIMITS 16

struct credentials {
	u32 uid, euid, suid, fsuid;
	u32 gid, egid, sgid, fsgid;
	u32 ngroups;
	u32 groups[32];
};

struct process {
	struct refcount refs;
	int pid;				/* [I] */
	struct process *parent;			/* [tree] */
	struct list children, sibling;		/* [tree] */
	int pgrp, session;			/* [tree] */
	struct tty *tty;			/* [tree] controlling terminal of the session */
	struct list all;			/* [tree] */
	struct spinlock lock;			/* rank RANK_PROCESS */
	struct list tasks;			/* [lock] */
	u32 ntasks;				/* [lock] */
	struct vm_map *map;			/* [exec: single-threaded then] */
	struct fdtable *files;			/* [I] between execs */
	struct fs_context *fs;
	struct sighandlers *handlers;		/* shared by CLONE_SIGHAND */
	struct sigqueue pending;		/* [lock] for the process */
	struct waitq child_wait;		/* [lock] wait4 */
	struct waitq signal_wait;		/* [lock] sigtimedwait, signalfd */
	u32 exit_code;				/* [lock] as wait4 gives it */
	bool exiting, zombie, stopped, continued, stop_reported; /* [lock] */
	u32 stop_signal;
	int exit_signal;			/* [I] to the parent, SIGCHLD */
	struct credentials cred;		/* [lock] */
	struct rlimit_pair rlimit[PROC_RLIMITS];
	char comm[16];
	struct dentry *exe;			/* /proc/pid/exe */
	ns_t start_time;
	ns_t dead_user_ns, dead_system_ns;	/* [lock] of tasks that are gone */
	ns_t children_user_ns, children_system_ns;
	u64 children_max_rss;
	struct waitq vfork_wait;		/* [lock] parent waits until exec or exit */
	bool vfork_done;
	void *itimers, *posix_timers;		/* proc/timers.c */
	int pdeath_signal;
	bool dumpable, subreaper, did_exec;
	int oom_score_adj;
	u64 io_read_bytes, io_write_bytes, syscalls;
};

struct task {
	struct thread thread; /* first */
	struct process *process;
	struct list link;	    /* [process->lock] tasks */
	u64 blocked;		    /* [c] signal mask, bit n-1; changed by its own task under process->lock */
	u64 saved_blocked;	    /* [c] sigsuspend, ppoll: to restore after the handler */
	bool restore_blocked;
	struct sigqueue pending;    /* [process->lock] for this thread */
	void __user *clear_tid;	    /* set_tid_address */
	void __user *robust_list;
	u64 robust_len;
	u64 altstack_base, altstack_size;
	u32 altstack_flags;
	int exit_code;
	struct restart_block {	    /* for ERESTART_BLOCK: restart_syscall */
		long (*fn)(struct restart_block *);
		ns_t deadline;
		u64 arg[4];
	} restart;
	u64 rseq;
};

static inline struct task *
current_task(void)
{
	return (struct task *)current_thread();
}

static inline struct process *
current_process(void)
{
	return current_task()->process;
}

/* By pid: referenced, NULL when there is none (zombies count). */
struct process *process_find(int pid);
void process_put(struct process *p);
void processes_init(void);
/* Starts /sbin/init (embedded) as pid 1; the last step of boot. */
int process_start_init(void);
/* Ends the calling process: all tasks, status as for wait4. */
__noreturn void process_exit_group(int status);
__noreturn void task_exit(int code);
/* execve for the calling task: path in kernel memory, vectors in user memory or kernel. */
int __must_check exec_file(const char *path, char *const *argv, char *const *envp, bool user_vectors);
/* fork family. Returns the child's tid. */
struct clone_request {
	u64 flags;
	u64 stack, stack_size; /* size 0: stack is the top already */
	u64 tls;
	int __user *parent_tid, *child_tid;
	int __user *pidfd;
	int exit_signal;
};
long process_clone(const struct clone_request *r);

#endif
