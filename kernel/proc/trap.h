/* The kernel's answer to traps, as arch/trap.h asks for it: see trap.c. */
#ifndef PROC_TRAP_H
#define PROC_TRAP_H

#include "arch/trap.h"
#include "core/core.h"
#include "lib/atomic.h"
#include "lib/types.h"

extern const struct trap_ops proc_trap_ops;

#define RFLAGS_FROM_USER 0x50dd5UL /* what a program may set: AC RF OF DF TF SF ZF AF PF CF */

#define LINUX_RESTARTS 3 /* functions that a restart_block may have */

struct restart_block;

/* What there is of the Linux calls beside their entry, machine()->linux_calls. */
struct linux_calls {
	/* Their numbers, from 1, are in the store: none is ever another's. */
	long (*restart[LINUX_RESTARTS])(struct restart_block *);
	u64 unknown;	/* [a] calls that nobody implements */
	u64 logged[16]; /* [a] bit n: unknown call n was logged */
	u32 *errors;	/* [a] by call and error, see call_note_error(); NULL: not counted */
};

#define CALL_NUMBERS 512u
#define CALL_ERRORS  134u /* EHWPOISON is the last */

/* Call `number` gives the program this result. Those that it does not see, as the call is issued
 * again, do not count. */
static inline void
call_note_error(const struct linux_calls *lc, u64 number, s64 result)
{
	if (lc->errors && number < CALL_NUMBERS && result < 0 && result > -(s64)CALL_ERRORS)
		atomic_add_relaxed(&lc->errors[number * CALL_ERRORS + (u64)-result], 1);
}

/* Makes the current thread's saved FPU area hold its registers. */
void fpu_sync_current(void);
/* The area was changed: the registers no longer hold it. */
void fpu_drop_current(void);

#endif
