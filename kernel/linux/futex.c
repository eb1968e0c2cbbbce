/* futex(2): sorts out its overloaded arguments; proc/futex.c does the work. */
#include <asm/errno.h>
#include <linux/futex.h>
#include <linux/time.h>

#include "arch/clock.h"
#include "calls.h"
#include "linux/dispatch.h"
#include "linux/time_args.h"
#include "proc/futex.h"
#include "proc/process.h"
#include "proc/timers.h"

long
restart_futex_wait(struct restart_block *r)
{
	long err = futex_wait((u32 __user *)r->arg[0], (int)r->arg[3], (u32)r->arg[1], r->deadline,
			      (u32)r->arg[2]);

	return err == -ERESTARTSYS ? -ERESTART_BLOCK : err;
}

/* FUTEX_WAIT's time is relative, FUTEX_WAIT_BITSET's absolute, on either clock. */
static long
call_wait(u32 __user *uaddr, int op, u32 value, const void __user *timeout, u32 bitset)
{
	struct restart_block *r = &current_task()->restart;
	bool absolute = (op & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET;
	int flags = op & (absolute ? ~FUTEX_CMD_MASK : FUTEX_PRIVATE_FLAG), err;
	ns_t when, deadline = NS_FOREVER;
	long result;

	if (timeout) {
		err = fetch_timespec(&when, timeout);
		if (err)
			return err;
		deadline = absolute ? when : clock_deadline(CLOCK_MONOTONIC, when, false);
	}
	result = futex_wait(uaddr, flags, value, deadline, bitset);
	if (result != -ERESTARTSYS || !timeout)
		return result;
	*r = (struct restart_block){
		.fn = restart_futex_wait,
		.deadline = deadline,
		.arg = {(u64)uaddr, value, bitset, (u64)flags},
	};
	return -ERESTART_BLOCK;
}

long
sys_futex(u32 __user *uaddr, int op, u32 value, const void __user *timeout, u32 __user *uaddr2,
	  u32 value3)
{
	bool shared = !(op & FUTEX_PRIVATE_FLAG);
	int command = op & FUTEX_CMD_MASK, second = (int)(u64)timeout;

	if ((op & FUTEX_CLOCK_REALTIME) && command != FUTEX_WAIT && command != FUTEX_WAIT_BITSET)
		return -ENOSYS;
	switch (command) {
	case FUTEX_WAIT:
		return call_wait(uaddr, op, value, timeout, FUTEX_BITSET_MATCH_ANY);
	case FUTEX_WAIT_BITSET:
		return call_wait(uaddr, op, value, timeout, value3);
	case FUTEX_WAKE:
		return futex_wake(uaddr, shared, (int)value, FUTEX_BITSET_MATCH_ANY);
	case FUTEX_WAKE_BITSET:
		return futex_wake(uaddr, shared, (int)value, value3);
	case FUTEX_REQUEUE:
		return futex_requeue(uaddr, uaddr2, shared, (int)value, second, NULL);
	case FUTEX_CMP_REQUEUE:
		return futex_requeue(uaddr, uaddr2, shared, (int)value, second, &value3);
	case FUTEX_WAKE_OP:
		return futex_wake_op(uaddr, uaddr2, shared, (int)value, second, value3);
	}
	return -ENOSYS;
}
