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

#include "core/mutex.h"
#include "core/persist.h"
#include "core/thread.h"
#include "core/waitq.h"
#include "file/fdtable.h"
#include "file/vnode.h"
#include "lib/rbtree.h"
#include "mm/map.h"
#include "proc/signal.h"

struct rlimit_pair {
	u64 cur, max;
};
#define PROC_RLIMITS 16
#define PROC_AUXV    48 /* words */

struct credentials {
	u32 uid, euid, suid, fsuid;
	u32 gid, egid, sgid, fsgid;
	u32 ngroups;
	u32 groups[32];
};

/* A number in use: by a task, a process, a group or a session. Freed when nobody uses it. */
struct pid {
	struct rb_node node;	 /* [tree] in processes->pids, by nr */
	int nr;			 /* [I] */
	struct task *task;	 /* [tree] not referenced; it leaves the table before it is freed */
	struct process *process; /* [tree] likewise */
	struct list group;	 /* [tree] process.group_link */
	struct list session;	 /* [tree] process.session_link */
};

struct processes {
	struct spinlock lock;		   /* rank RANK_PROCESS; "tree" in the legends */
	struct rb_tree pids;		   /* [tree] struct pid */
	struct list all;		   /* [tree] process.all, zombies too */
	int last_pid;			   /* [tree] */
	int pid_max;			   /* [a] */
	u32 count, tasks;		   /* [a] */
	u64 forks;			   /* [a] */
	struct process *init;		   /* [I] once started */
	char hostname[65], domainname[65]; /* [tree] */
	struct vm_object *vdso;		   /* [I] page 0 is data, the rest the image */
	void *vdso_data;		   /* [I] kernel's view of page 0 */
	u32 vdso_seq;			   /* [I] of the last life: this one counts on */
	u64 vdso_pages;			   /* [I] of the image */
};

struct process {
	struct refcount refs;
	int pid;			      /* [I] */
	struct process *parent;		      /* [tree] */
	struct list children, sibling;	      /* [tree] */
	int pgrp, session;		      /* [tree] */
	struct list group_link, session_link; /* [tree] */
	struct tty *tty;		      /* [tree] controlling terminal of the session */
	struct list all;		      /* [tree] */
	struct spinlock lock;		      /* rank RANK_PROCESS */
	struct list tasks;		      /* [lock] */
	u32 ntasks;			      /* [lock] on the list */
	u32 nlive;			      /* [lock] that may still use its memory */
	struct waitq tasks_wait;	      /* [lock] exec waits until it is alone */
	struct task *execing;		      /* [lock] who is ending the others */
	struct vm_map *map;		      /* [exec: single-threaded then; lock to read it] */
	struct fdtable *files;		      /* [I] between execs; [lock] for others to read */
	bool files_shared;		      /* by CLONE_FILES with another process */
	struct fs_context *fs;		      /* as files */
	struct sighandlers *handlers;	      /* shared by CLONE_SIGHAND */
	struct sigqueue pending;	      /* [lock] for the process */
	struct waitq child_wait;	      /* [tree] wait4: something happened to a child */
	struct waitq signal_wait;	      /* [lock] sigtimedwait, signalfd */
	struct waitq stop_wait;		      /* [lock] stopped tasks */
	struct waitq exit_wait;		      /* [tree] pidfd */
	u32 exit_code;			      /* [lock] as wait4 gives it */
	bool exiting, zombie, stopped, continued, stop_reported; /* [lock] */
	bool reaped;	      /* [tree] its parent has waited for it */
	bool stop_dequeued;   /* [lock] a stop signal is being acted on */
	bool continue_untold; /* [lock] the parent has to hear of SIGCONT */
	u32 stop_signal;
	int exit_signal;			 /* [I] to the parent, SIGCHLD */
	struct credentials cred;		 /* [lock] */
	struct rlimit_pair rlimit[PROC_RLIMITS]; /* [lock] */
	char comm[16];
	struct dentry *exe;  /* /proc/pid/exe; [lock] */
	u64 auxv[PROC_AUXV]; /* /proc/pid/auxv */
	u32 auxv_words;
	ns_t start_time;
	ns_t dead_user_ns, dead_system_ns;	   /* [lock] of tasks that are gone */
	u64 dead_voluntary, dead_forced;	   /* [lock] switches of tasks that are gone */
	ns_t children_user_ns, children_system_ns; /* [tree] */
	u64 children_max_rss;			   /* [tree] */
	u64 max_rss, faults_minor, faults_major;   /* [lock] kept when the map goes */
	struct waitq vfork_wait;		   /* [lock] parent waits until exec or exit */
	bool vfork_done;			   /* [lock] */
	struct mutex timer_mutex;		   /* serialises changes of the timers below */
	struct list posix_timers;		   /* [timer_mutex] proc/timers.c */
	int next_timer_id;			   /* [timer_mutex] */
	struct process_itimers *itimers;	   /* [I] once made, proc/timers.c */
	int pdeath_signal;
	bool dumpable, subreaper, did_exec, no_new_privs, keep_caps;
	u32 personality;
	int oom_score_adj;
	u64 io_read_bytes, io_write_bytes;
	struct persistent persistent;
	struct place_seen exe_place; /* [cut] */
};

struct restart_block { /* for ERESTART_BLOCK: restart_syscall */
	long (*fn)(struct restart_block *);
	ns_t deadline;
	u64 arg[4];
};

struct task {
	struct thread thread;	 /* first */
	struct refcount refs;	 /* one of its own until it is reaped */
	struct process *process; /* [I] referenced */
	struct list link;	 /* [process->lock] tasks */
	u64 blocked; /* [c] signal mask, bit n-1; changed by its own task under process->lock */
	u64 saved_blocked;		  /* [c] sigsuspend, ppoll: to restore after the handler */
	bool restore_blocked;		  /* [c] */
	struct sigqueue pending;	  /* [process->lock] for this thread */
	u64 waiting_for;		  /* [process->lock] mask of sigtimedwait */
	int __user *clear_tid;		  /* [c] set_tid_address */
	int __user *set_child_tid;	  /* [c] written by the new task itself */
	void __user *robust_list;	  /* [c] */
	u64 robust_len;			  /* [c] */
	u64 altstack_base, altstack_size; /* [c] */
	u32 altstack_flags;		  /* [c] */
	int exit_code;			  /* [c] */
	struct restart_block restart;	  /* [c] */
	ns_t timer_slack_ns;
	void *fpu_memory;		  /* [I] what kmalloc gave for thread.fpu */
	struct pmap *pmap;		  /* [c] the reference that thread.pmap stands on */
	int policy;			  /* sched_setscheduler: SCHED_OTHER, BATCH, IDLE */
	u64 fault_addr;			  /* [c] of the last page fault, for sigcontext */
	u64 fault_vector, fault_error;	  /* [c] of the last exception */
	int fault_errno;		  /* [c] why a page fault was not served */
	const struct futex_waiter *futex; /* [c] while it sleeps on one */
	struct vm_object
		*futex_object; /* [c] referenced: after a resume, of that in shared memory */
	u64 futex_offset;      /* [c] and where there */
	struct persistent persistent;
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
void process_get(struct process *p);
void process_put(struct process *p);
/* By tid: referenced, NULL. */
struct task *task_find(int tid);
void task_put(struct task *t);
/* The number's entry or NULL. => processes->lock held */
struct pid *pid_lookup(int nr);
/* Makes room for a number: allocated but unused. NULL: no memory or none free (*err). */
struct pid *pid_alloc(int *err);
/* Takes a number out of the table if nobody uses it any more. => processes->lock held; the entry is
 * returned for kfree when it is free, else NULL */
void pid_release(struct pid *pid);

void processes_init(void);
/* Starts /sbin/init (embedded) as pid 1; the last step of boot. */
int process_start_init(void);
/* A process with nothing in it but what is always there; not in any table. */
struct process *process_create(void);
/* A task of p with kernel stack and FPU area; not in any table, not running. NULL: no memory. */
struct task *task_create(struct process *p, void (*entry)(void *));
/* The same without a process yet. */
struct task *task_alloc(const char *name, void (*entry)(void *));
/* Undoes task_create for a task that never ran. */
void task_discard(struct task *t);
/* FS and GS bases of the current task. */
void task_set_bases(struct task *t, u64 fs, u64 gs);
/* Enters task and process into the tables. => processes->lock held */
void task_enter(struct task *t, struct pid *pid, bool leader);
/* The frame at the top of a thread's kernel stack. */
struct trapframe *task_frame(struct task *t);

/* Ends the calling process: all tasks, status as for wait4. */
__noreturn void process_exit_group(int status);
__noreturn void task_exit(int code);
/* Ends all other tasks of the process: 0, or -EAGAIN/-EINTR when somebody else was first. */
int process_become_single(void);
/* A child changed state: SIGCHLD and the parent's wait queue. => processes->lock held */
void process_notify_parent(struct process *p, int code, int status);
/* clear_child_tid and the robust list, in the old address space. */
void task_release_user(struct task *t);
/* Removes a zombie child for ever, adding its times to its parent. The caller puts the reference of
 * the table afterwards. => processes->lock held */
void process_reap(struct process *p);
void process_vfork_done(struct process *p);
/* Gives the task another address space (exec; NULL: none any more). => t is current or new */
void task_set_map(struct task *t, struct vm_map *m);
/* The program of a process, NULL: none. While it is held nobody may write to its file; the first
 * to hold it has denied writing already. */
void process_exe_get(struct dentry *exe);
void process_exe_put(struct dentry *exe);

/* For a resume: tables and lists get what the records say. 0, -ENOMEM, -EBADMSG: it is there. */
int __must_check pid_restore_process(struct process *p);
int __must_check pid_restore_task(struct task *t);
/* The power button tells process 1. */
void process_power_button(void);

/* execve for the calling task: path in kernel memory, vectors in user memory or kernel. */
int __must_check exec_file(const char *path, char *const *argv, char *const *envp,
			   bool user_vectors);
/* The same for an open file (execveat with AT_EMPTY_PATH, init). `name` is AT_EXECFN. */
int __must_check exec_open(struct file *f, const char *name, char *const *argv, char *const *envp,
			   bool user_vectors);

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

/* wait4 and waitid: see man 2 waitid. which: P_ALL, P_PID, P_PGID. */
struct wait_result {
	int pid;
	u32 uid;
	u32 status; /* as wait4 */
	int code;   /* CLD_* */
	ns_t user_ns, system_ns;
	u64 max_rss;
};
/* The pid, 0 with WNOHANG, or -ECHILD, -ERESTARTSYS. */
long process_wait(int which, int id, unsigned options, struct wait_result *out);

/* CPU time. */
void process_cpu_time(struct process *p, ns_t *user, ns_t *system);
void task_cpu_time(struct task *t, ns_t *user, ns_t *system);

/* jobs.c: sessions and groups. 0 or -errno. */
int process_setpgid(int pid, int pgrp);
int process_setsid(void);
int process_getpgid(int pid);
int process_getsid(int pid);
/* => processes->lock held */
void process_leave_group(struct process *p);
void process_join_group(struct process *p, struct pid *group);
bool process_group_orphaned(int pgrp, const struct process *without);
void process_orphan_check(struct process *p, struct process *parent);
void jobs_init(void);

u64 process_rlimit(unsigned which);
/* May the current process signal p? */
bool process_may_signal(struct process *p, int sig);
bool process_privileged(void); /* euid 0 */
/* The process's address space, referenced; NULL when it has none any more. */
struct vm_map *process_map_get(struct process *p);

void procinfo_init(void);
void control_device_init(void);

/* pidfd.c */
void pidfd_register(void); /* to the store, at start */
int pidfd_create(struct process *p, unsigned flags, struct file **out);
struct process *pidfd_process(struct file *f); /* referenced; NULL: another kind */

/* vdso.c */
int vdso_init(void);
int vdso_map(struct vm_map *m);
void vdso_update(void);	 /* the realtime offset changed */
u32 vdso_sequence(void); /* of the data now; 0: there is none */

static inline struct processes *
processes(void)
{
	return machine()->processes;
}

#endif
