/*
 * Signals: sending, masking, delivery on the way to user mode, and system call restart.
 *
 * A call that was interrupted returns -ERESTARTSYS (restart if SA_RESTART or no handler),
 * -ERESTARTNOINTR (always), -ERESTARTNOHAND (only without a handler) or -ERESTART_BLOCK (go on by
 * task.restart); signal_deliver turns them into EINTR or a second try. No program sees them.
 */
#ifndef PROC_SIGNAL_H
#define PROC_SIGNAL_H

#include "core/persist.h"
#include "core/spinlock.h"
#include "core/waitq.h"
#include "lib/atomic.h"
#include "lib/list.h"
#include "lib/types.h"

struct process;
struct task;
struct trapframe;

#define SIG_COUNT 64
#define SIGBIT(s) (1UL << ((s)-1))

struct siginfo_k { /* what of siginfo_t we carry; written out in the Linux layout */
	int signo, err, code;
	int pid;
	u32 uid;
	int status;
	u64 value; /* sigval, si_ptr */
	u64 addr;  /* si_addr */
	u64 utime, stime;
	int timer_id, overrun;
	int band, fd;
};

struct siginfo_item {
	struct list link;
	struct siginfo_k info;
};

struct sigqueue {
	u64 set;	   /* pending bits */
	struct list infos; /* struct siginfo_item */
	u32 count;	   /* of infos */
};

struct sigaction_k {
	u64 handler; /* 0 default, 1 ignore */
	u64 flags, restorer, mask;
};

/* The handlers of a process; shared between processes by CLONE_SIGHAND without CLONE_THREAD. */
struct sighandlers {
	struct refcount refs;
	struct spinlock lock;		      /* rank RANK_SIGNAL */
	struct sigaction_k action[SIG_COUNT]; /* [lock] */
	struct persistent persistent;
};

struct sighandlers *sighandlers_create(void);
struct sighandlers *sighandlers_copy(struct sighandlers *h);
void sighandlers_put(struct sighandlers *h);
/* For exec: handlers become default, ignored ones stay ignored. */
void sighandlers_reset(struct sighandlers *h);
/* clone's CLEAR_SIGHAND: everything default. */
void sighandlers_clear(struct sighandlers *h);
struct sigaction_k signal_action(struct process *p, int sig);
/* sigaction(2): 0 or -EINVAL. Either pointer may be NULL. */
int signal_set_action(int sig, const struct sigaction_k *new, struct sigaction_k *old);

void sigqueue_init(struct sigqueue *q);
void sigqueue_flush(struct sigqueue *q);
/* Removes the signals of `mask`. => the process lock is held. */
void sigqueue_remove(struct sigqueue *q, u64 mask);

/* => may be called from any context; takes process->lock. 0 or -EAGAIN (queue full, rt only). */
int signal_send_process(struct process *p, int sig, const struct siginfo_k *info);
int signal_send_task(struct task *t, int sig, const struct siginfo_k *info);
/* To the process, or to its task t. => p->lock held */
int signal_send_locked(struct process *p, struct task *t, int sig, const struct siginfo_k *info);
/* Group and tty signals. 0, or -ESRCH when the group is empty. */
int signal_send_group(int pgrp, int sig, const struct siginfo_k *info);
/* The same for callers that hold the lock of all processes. */
int signal_send_group_locked(int pgrp, int sig, const struct siginfo_k *info);
/* A fault of the running task: not maskable, default action if blocked or ignored. */
void signal_force(int sig, const struct siginfo_k *info);
/* On the way to user mode: handles what is pending, sets up handler frames, restarts calls.
 * => interrupts on; may not return (fatal signals). */
void signal_deliver(struct trapframe *f);
bool signal_pending(void); /* for the current task, unmasked */
/* Fills in who sent it: kill(2) and friends. */
void signal_info_user(struct siginfo_k *info, int sig, int code);
void signal_info_kernel(struct siginfo_k *info, int sig);

/* Changes the current task's mask; SIGKILL and SIGSTOP are never in it. */
void signal_set_blocked(u64 mask);
/* For ppoll, pselect, epoll_pwait, sigsuspend: blocks `mask` for the time of the call. The old mask
 * comes back when a handler has its frame, or by signal_restore_mask when there was none. */
void signal_set_temporary_mask(u64 mask);
void signal_restore_mask(void);
/* Takes one pending signal of `mask` off the queues: its number, 0 when there is none. */
int signal_dequeue(u64 mask, struct siginfo_k *out);
bool signal_peek(u64 mask);
/* Waits for one of `mask` until the deadline: the signal, -EAGAIN at the deadline, -EINTR. */
int signal_wait(u64 mask, struct siginfo_k *out, ns_t deadline);
/* Hands the process's pending signals that the current task will not take to other tasks.
 * => process->lock held */
void signal_retarget(struct process *p, const struct task *except);

/* Kills every task of p with `status` (as wait4 gives it). => p->lock held */
void signal_kill_group(struct process *p, u32 status);

/* sigframe.c: the Linux layouts. */
int sigframe_setup(struct trapframe *f, int sig, const struct siginfo_k *info,
		   const struct sigaction_k *act, u64 mask);
long sigframe_return(struct trapframe *f);
/* siginfo_t as Linux lays it out: 128 bytes. */
void siginfo_to_user(u8 out[128], const struct siginfo_k *info);
/* From rt_sigqueueinfo. */
void siginfo_from_user(struct siginfo_k *info, const u8 in[128]);
u64 sigframe_min_stack(void);
void signal_init(void); /* registers what signalfd asks for */

#endif
