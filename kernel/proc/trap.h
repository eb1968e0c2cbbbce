/* The kernel's answer to traps, as arch/trap.h asks for it: see trap.c. */
#ifndef PROC_TRAP_H
#define PROC_TRAP_H

#include "arch/trap.h"
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
};

/* Makes the current thread's saved FPU area hold its registers. */
void fpu_sync_current(void);
/* The area was changed: the registers no longer hold it. */
void fpu_drop_current(void);

#endif
