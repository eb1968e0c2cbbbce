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
/* By polling and without a lock, 255 bytes at most: for the panic's own output. */
void panic_say(const char *fmt, ...) __printf(1, 2);
/* Whether `p` may be a word in kernel memory. */
bool panic_may_read(u64 p);
/* Calls fn for `rip` if it is not 0, and for up to `most` return addresses from frame `rbp` on. */
void stack_walk(u64 rip, u64 rbp, unsigned most, void (*fn)(u64 rip));
void backtrace_print(u64 rip, u64 rbp);
/* Set by dev/power.c: tells the host and powers off. */
void panic_set_off_switch(void (*fn)(void));

#endif
