/* Futexes: see futex.c. All: as man 2 futex. */
#ifndef PROC_FUTEX_H
#define PROC_FUTEX_H

#include "core/persist.h"

struct task;

int futex_init(void);
/* flags: FUTEX_PRIVATE_FLAG, FUTEX_CLOCK_REALTIME. The deadline is absolute, NS_FOREVER for none.
 * 0 woken; -EAGAIN: the word had another value; -ETIMEDOUT; -ERESTARTSYS; -EFAULT. */
long futex_wait(u32 __user *uaddr, int flags, u32 value, ns_t deadline, u32 bitset);
long futex_wake(u32 __user *uaddr, bool shared, int count, u32 bitset);
/* compare: NULL, or the value the word must have (else -EAGAIN). */
long futex_requeue(u32 __user *from, u32 __user *to, bool shared, int wake, int move,
		   const u32 *compare);
long futex_wake_op(u32 __user *a, u32 __user *b, bool shared, int wake_a, int wake_b, u32 op);
/* The word in shared memory that a task sleeps on, whatever is mapped where by now, and the group
 * that it is in. 0, -EBADMSG. */
void futex_save(struct persist_writer *w, u16 tag, const struct task *t);
int __must_check futex_load(struct persist_reader *r, u16 tag, struct task *t);
bool futex_saves(const struct task *t); /* whether there is such a word */
/* At exit and exec: marks the mutexes of the robust list dead and wakes a waiter of each. */
void futex_exit_robust(struct task *t);

#endif
