/* The first frame of a fresh kernel stack; entry.S has the switch itself. */
#include "arch/context.h"

extern const char context_first_entry[];

u64
context_make(void *stack_top, void (*entry)(void *), void *arg)
{
	u64 *sp = (u64 *)stack_top;

	*--sp = 0; /* a return address for context_first_entry: ends backtraces, aligns the stack */
	*--sp = (u64)context_first_entry;
	*--sp = 0;	    /* rbp */
	*--sp = 0;	    /* rbx */
	*--sp = (u64)entry; /* r12 */
	*--sp = (u64)arg;   /* r13 */
	*--sp = 0;	    /* r14 */
	*--sp = 0;	    /* r15 */
	return (u64)sp;
}
