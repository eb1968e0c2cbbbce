/*
 * Signals: sending, masking, delivery on the way to user mode, and system call restart.
 *
 * A call that was interrupted returns -ERESTARTSYS (restart if SA_RESTART or no handler),
 * -ERESTARTNOINTR (always), -ERESTARTNOHAND (only without a handler) or -ERESTART_BLOCK (go on by
 * task.restart); signal_deliver turns them into EINTR or a second try. No program sees them.
 */
#ifndef PROC_SIGNAL_H
#define PROC_SIGNAL_H

#include "lib/list.h"
#include "lib/types.h"

struct process;
struct task;
struct trapframe;

#define NSIG 64
#define SIGBIT(s) (1UL << ((s)-1))

struct siginfo_k { /* what of siginfo_t we carry; written out in the Linux layout */
	int signo, err, code;
	int pid;
	u32 uid;
	int status;
	u64 value;	/* sigval, si_ptr */
	u64 addr;	/* si_addr */
	u64 utime, stime;
	int timer_id, overrun;
	int band, fd;
};

struct sigqueue {
	u64 set;	   /* pending bits */
	struct list infos; /* struct siginfo_item */
};

struct sigaction_k {
	u64 handler; /* 0 default, 1 ignore */
	u64 flags, restorer, mask;
};

/* => may be called from any context; takes process->lock. 0 or -EAGAIN (queue full, rt only). */
int signal_send_process(struct process *p, int sig, const struct siginfo_k *info);
int signal_send_task(struct task *t, int sig, const struct siginfo_k *info);
/* Group and tty signals. */
int signal_send_group(int pgrp, int sig, const struct siginfo_k *info);
/* A fault of the running task: not maskable, default action if blocked or ignored. */
void signal_force(int sig, const struct siginfo_k *info);
/* On the way to user mode: handles what is pending, sets up handler frames, restarts calls. */
void signal_deliver(struct trapframe *f);
bool signal_pending(void); /* for the current task, unmasked */

#endif
