/* The end of the kernel: registers, backtrace, held locks, the gdb line; exit status 125. */
#ifndef CORE_PANIC_H
#define CORE_PANIC_H

#include "lib/types.h"

struct trapframe;

struct panicking {
	u32 begun;	   /* [a] */
	struct core *core; /* the one that reports */
};

__noreturn void panic(const char *fmt, ...) __printf(1, 2);
__noreturn void panic_trap(struct trapframe *f, const char *what, vaddr_t va);
void backtrace_print(u64 rip, u64 rbp);
/* Set by dev/power.c: tells the host and powers off. */
void panic_set_off_switch(void (*fn)(void));

#endif
