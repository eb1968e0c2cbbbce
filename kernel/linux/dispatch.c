/*
 * From a system call's number to its handler. The table is generated from calls.tbl. A call
 * that is not in it gives -ENOSYS, is counted, and is logged the first time.
 */
#include <asm/errno.h>

#include "arch/trap.h"
#include "calls.h"
#include "core/core.h"
#include "core/klog.h"
#include "core/thread.h"
#include "lib/atomic.h"
#include "linux/dispatch.h"
#include "linux/names.h"
#include "mm/slab.h"
#include "proc/trap.h"

static long
unknown_call(u64 number)
{
	struct linux_calls *lc = machine()->linux_calls;
	const char *name = linux_call_name(number);
	u64 word = number / 64, bit = 1UL << number % 64;

	atomic_add_relaxed(&lc->unknown, 1);
	if (word >= ARRAY_SIZE(lc->logged))
		return -ENOSYS;
	if (!(atomic_fetch_or(&lc->logged[word], bit) & bit))
		klog(KLOG_INFO, "linux", "%s: call %lu (%s) is not implemented",
		     current_thread()->name, number, name ? name : "no such call");
	return -ENOSYS;
}

void
linux_dispatch(struct trapframe *f)
{
	const struct linux_call_entry *e;
	u64 number = f->orig_rax;

	e = number < LINUX_CALLS ? &linux_call_table[number] : NULL;
	if (likely(e && e->fn))
		f->rax = (u64)e->fn((long)f->rdi, (long)f->rsi, (long)f->rdx, (long)f->r10,
				    (long)f->r8, (long)f->r9);
	else if (e && e->refused)
		f->rax = (u64) - (long)e->refused;
	else
		f->rax = (u64)unknown_call(number);
}

int
linux_init(void)
{
	struct linux_calls *lc = kzalloc(sizeof(*lc));

	if (!lc)
		return -ENOMEM;
	lc->restart[0] = restart_sleep;
	lc->restart[1] = restart_futex_wait;
	lc->restart[2] = restart_poll;
	machine()->linux_calls = lc;
	machine()->dispatch = linux_dispatch;
	return machine()->count_errors ? errors_init(lc) : 0;
}
