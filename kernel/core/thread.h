/*
 * Kernel threads, and the kernel side of user threads.
 *
 * A struct thread is embedded in proc/'s struct task for user threads and stands alone for kernel
 * threads. Life: thread_init -> thread_start -> ... -> thread_exit -> (switched away for the last
 * time) -> ops->reap, called from the next thread on that core, frees it.
 *
 * States change under the run queue lock of the thread's core (THREAD_SLEEPING -> READY by
 * thread_wake from any core). doc/waitq.md says why a wake-up is not lost.
 */
#ifndef CORE_THREAD_H
#define CORE_THREAD_H

#include "arch/percpu.h"
#include "arch/trap.h"
#include "core/core.h"
#include "core/timer.h"
#include "core/waitq.h"
#include "lib/list.h"

enum thread_state {
	THREAD_NEW,
	THREAD_READY,	 /* on a run queue or running */
	THREAD_SLEEPING, /* in waitq_sleep */
	THREAD_DEAD,
};

/* thread.flags [a] */
#define TF_RESCHED    1u /* give up the core at the next preemption point */
#define TF_SIGNAL     2u /* look at signals before user mode; ends interruptible waits */
#define TF_KILLED     4u /* a fatal signal or exit_group: ends killable waits too */
#define TF_USER_WORK  8u /* proc/ has other work at the return to user mode */
#define TF_KTHREAD    16u
#define TF_PARK	      32u /* stand still at the user boundary: core/quiesce.h */
#define TF_CHECKPOINT 64u /* wait for one at the user boundary: mm/reclaim.h */

struct thread;
struct pmap;
struct process;
struct vm_map;
struct vm_mapping;

/* Which clusters new pages come from; all zero: where the thread runs (mm/policy.c). */
struct mem_policy {
	u8 mode;   /* MPOL_* of linux/mempolicy.h */
	u8 nodes;  /* mask of clusters */
	u16 flags; /* MPOL_F_STATIC_NODES, MPOL_F_RELATIVE_NODES, MPOL_F_NUMA_BALANCING */
};

_Static_assert(MAX_CLUSTERS <= 8, "mem_policy.nodes");

/* What a call that sleeps has behind it: see core/blocked.h. */
struct blocked_call {
	u64 done;	     /* noted by the call, or by the part of it that is under way */
	u64 parts;	     /* noted by a call of several: what those before have done */
	const void *carried; /* bytes that are at no place but in the call's own buffer */
	size_t carried_bytes;
	ns_t deadline; /* while it is issued again: of the sleep that the cut found; or NS_FOREVER
			*/
	bool again;    /* it is issued again */
};

/* The mapping that the thread looked up last: valid while its map has the same count of changes
 * (mm/map.c). */
struct mapping_hint {
	const struct vm_map *map;
	struct vm_mapping *mapping;
	u64 changes;
};

struct thread_ops {
	void (*reap)(struct thread *t);	     /* free; another thread runs already */
	void (*switch_in)(struct thread *t); /* fs base, gs base: just before it runs; irqs off */
	void (*switch_out)(struct thread *t);
};

struct thread {
	u64 rsp;     /* saved kernel stack pointer */
	void *stack; /* [I] lowest byte of the kernel stack */
	struct trapframe
		*frame;	   /* [I] user registers, at the top of the stack; NULL: kernel thread */
	void *fpu;	   /* [I] XSAVE area; NULL: kernel thread */
	u32 flags;	   /* [a] TF_* */
	u32 state;	   /* [rq] enum thread_state */
	bool on_rq;	   /* [rq] in the tree */
	struct core *core; /* [rq] where it runs or ran last */
	u16 home;	   /* [I] once started: the cluster its stack is in and that it runs in */
	struct core *fpu_core;	 /* [c] core whose registers held its FPU state last */
	u64 affinity;		 /* [rq] mask of core indexes */
	int nice;		 /* [rq] -20..19 */
	struct rb_node rq_node;	 /* [rq] */
	ns_t vruntime;		 /* [rq] */
	ns_t woke_at;		 /* [c] when it last woke another thread; 0: not since it slept */
	bool sleeps_after_wake;	 /* [c] it slept right after it last did; see sched.c */
	ns_t run_since;		 /* [c] */
	ns_t user_ns, system_ns; /* [c] CPU time; charged at timer interrupts and switches */
	bool sampled_kernel;	 /* [c] the last timer interrupt found it in the kernel */
	u64 switches_voluntary, switches_forced;
	struct pmap *pmap;	  /* address space; NULL: kernel thread, keeps whatever is loaded */
	struct mem_policy policy; /* [c] */
	u32 interleave;		  /* [c] pages it took by MPOL_INTERLEAVE */
	struct mapping_hint hint; /* [c] */
	u64 fs_base, gs_base;	  /* user segment bases */
	u64 canary;		  /* [I] stack protector's guard */
	tid_t tid;		  /* [I] 0 for kernel threads */
	struct process *process;  /* [I] NULL for kernel threads */
	const struct thread_ops *ops; /* [I] */
	struct waiter *waiting;	      /* what it sleeps on; for debugging and interruption */
	unsigned wait_how;	      /* WAIT_* of the current sleep */
	struct timer wait_timer;
	bool timed_out;
	bool waited;	 /* [c] for a checkpoint, since it found no memory: mm/reclaim.h */
	struct list all; /* in thread_table */
	char name[16];	 /* comm */
	void (*entry)(void *arg);
	void *arg;
	struct blocked_call blocked; /* [c] */
	u32 locks_held;		     /* [c] mutexes and rwlocks */
};

struct thread_table {
	struct spinlock lock; /* rank RANK_PROCESS */
	struct list all;      /* [lock] every thread that was started */
	u64 count;	      /* [lock] */
};

/* Bytes at the top of every kernel stack that hold the user frame of a task. */
static inline size_t
thread_frame_room(void)
{
	return ALIGN_UP(sizeof(struct trapframe), 16);
}

/* => machine()->threads was allocated by the caller (boot). */
void thread_table_init(void);
void thread_list(struct thread *t);
void thread_unlist(struct thread *t);

/* Prepares a thread; `stack` is KSTACK_SIZE bytes, already mapped. Not yet runnable. */
void thread_init(struct thread *t, const char *name, void *stack, void (*entry)(void *), void *arg,
		 const struct thread_ops *ops);
/* Makes a new thread runnable on the core the scheduler chooses within its affinity. */
void thread_start(struct thread *t);
/* Ends the calling thread. */
__noreturn void thread_exit(void);
/* Makes a sleeping thread runnable; no effect in any other state. Returns whether it woke it. */
bool thread_wake(struct thread *t);
/* Sets flags (TF_SIGNAL, TF_KILLED) and ends the wait they interrupt, or kicks the core the thread
 * runs on so that it sees them before it next enters user mode. */
void thread_interrupt(struct thread *t, u32 flags);
/* Whether a wait of kind `how` has to end now. */
bool thread_interrupted(const struct thread *t, unsigned how);
void thread_set_affinity(struct thread *t, u64 mask);
/* Calls fn for every thread, under the table's lock. */
void thread_for_each(void (*fn)(struct thread *t, void *arg), void *arg);

#endif
