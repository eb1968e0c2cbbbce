/*
 * Which call returned which error, and how often: /proc/holdfast/errors, a line "CALL ERROR COUNT"
 * for each that was returned at all, with the number where the call has no name. Only when the
 * kernel's command line says `count-errors`; else the calls' entry does not know of it.
 *
 * An interrupted call counts when its program sees EINTR (proc/signal_deliver.c).
 */
#include <asm/errno.h>
#include <asm/unistd.h>

#include "arch/trap.h"
#include "core/core.h"
#include "file/vnode.h"
#include "file/dentry.h"
#include "linux/dispatch.h"
#include "linux/names.h"
#include "mm/slab.h"
#include "proc/trap.h"

static void
dispatch_counted(struct trapframe *f)
{
	u64 number = f->orig_rax;

	linux_dispatch(f);
	/* That one leaves what the interrupted program had. */
	if (number != __NR_rt_sigreturn)
		call_note_error(machine()->linux_calls, number, (s64)f->rax);
}

static size_t
errors_show(char *buf, size_t size, void *arg)
{
	const struct linux_calls *lc = arg;
	size_t len = 0;

	for (u64 i = 0; i < CALL_NUMBERS * CALL_ERRORS; i++) {
		const char *name = linux_call_name(i / CALL_ERRORS);
		u32 n = atomic_load_relaxed(&lc->errors[i]);

		if (n == 0)
			continue;
		if (name)
			gen_printf(buf, size, &len, "%s %lu %u\n", name, i % CALL_ERRORS, n);
		else
			gen_printf(buf, size, &len, "%lu %lu %u\n", i / CALL_ERRORS,
				   i % CALL_ERRORS, n);
	}
	return len;
}

int
errors_init(struct linux_calls *lc)
{
	static const struct genfile_ops ops = {errors_show};

	lc->errors = kzalloc((size_t)CALL_NUMBERS * CALL_ERRORS * sizeof(*lc->errors));
	if (!lc->errors)
		return -ENOMEM;
	machine()->dispatch = dispatch_counted;
	return procfs_add("holdfast/errors", 0444, &ops, lc);
}
