/*
 * Traps: exceptions, interrupts and system calls, and the way back to user mode.
 *
 * Every entry from user mode builds a struct trapframe at the top of the thread's kernel stack and
 * returns through trap_return_user(), which calls trap_ops->user_return (signals, rescheduling,
 * FPU restore) with interrupts off until it has nothing more to do.
 */
#ifndef ARCH_TRAP_H
#define ARCH_TRAP_H

#include "lib/types.h"

/* Order is that of the pushes in entry.S; checked by arch/offsets.c. */
struct trapframe {
	u64 r15, r14, r13, r12, rbp, rbx;
	u64 r11, r10, r9, r8;
	u64 rax, rcx, rdx, rsi, rdi;
	u64 orig_rax; /* system call number; -1 when the entry was no system call */
	u64 vector;   /* 256 for a system call */
	u64 error;
	u64 rip, cs, rflags, rsp, ss;
};

#define SEL_KCODE 0x08
#define SEL_KDATA 0x10
#define SEL_UDATA 0x1b
#define SEL_UCODE 0x23
#define SEL_TSS	  0x28

#define VECTOR_NMI	    2
#define VECTOR_PAGE_FAULT   14
#define VECTOR_DEVICE_FIRST 0x30
#define VECTOR_DEVICE_LAST  0xdf
#define VECTOR_TIMER	    0xef
#define VECTOR_IPI	    0xf0
#define VECTOR_SPURIOUS	    0xff
#define VECTOR_SYSCALL	    256

static inline bool
trapframe_is_user(const struct trapframe *f)
{
	return (f->cs & 3) == 3;
}

/* What the kernel above arch/ does with traps. One constant table, set per core at start. */
struct trap_ops {
	/* => interrupts on; sets f->rax. */
	void (*syscall)(struct trapframe *f);
	/* Page fault at `va`. 0: handled, retry the instruction; else a negative errno.
	 * => interrupts on when they were on at the fault; may sleep then. */
	int (*page_fault)(struct trapframe *f, vaddr_t va);
	/* Any other exception from user mode, and page faults that were not handled: send a signal.
	 */
	void (*user_exception)(struct trapframe *f, vaddr_t va);
	/* => interrupts off; in interrupt context. */
	void (*timer)(void);
	void (*ipi)(u32 reasons);
	/* Device interrupt. => interrupts off. */
	void (*irq)(unsigned vector);
	/* Last thing before user mode. => called with interrupts off, may turn them on, returns
	 * with them off. */
	void (*user_return)(struct trapframe *f);
	/* After an interrupt taken in kernel mode, before returning: nothing may be rescheduled
	 * here. */
};

/* Sets up GDT, TSS, IDT, SYSCALL MSRs, CR0/CR4/EFER bits and GS for the calling core. */
struct arch_core;
void trap_init_core(struct arch_core *c, const struct trap_ops *ops);

/* Does what was put off while spinlocks were held: see core/spinlock.h. => irq_off_depth is 0 */
void trap_settle(struct arch_core *c);

/* Leaves for user mode with the registers in the current thread's frame. */
__noreturn void trap_enter_user(struct trapframe *f);

/* In entry.S: copy with fault catching; returns bytes NOT copied. Wrapped by mm/user.h. */
size_t arch_copy_user(void *dst, const void *src, size_t n);
size_t arch_clear_user(void *dst, size_t n);
/* Copies a string of at most n bytes; returns length without NUL, n if none was found, -EFAULT. */
long arch_copy_user_string(char *dst, const char *src, size_t n);
/* Atomic operations on a user word; 0 or -EFAULT. */
int arch_user_load32(u32 *out, const u32 *uaddr);
int arch_user_cas32(u32 *old_out, u32 *uaddr, u32 expected, u32 desired);
int arch_user_xchg32(u32 *old_out, u32 *uaddr, u32 value);

#endif
