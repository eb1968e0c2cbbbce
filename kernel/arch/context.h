/*
 * Switching kernel stacks, and the FPU state that goes with a thread.
 *
 * The FPU state of a user thread lives in its fpu area while another thread's is in the registers.
 * It is saved when the thread is switched out (if the registers hold it), and restored on the way
 * to user mode if the registers hold somebody else's: kernel threads and idle cost nothing.
 */
#ifndef ARCH_CONTEXT_H
#define ARCH_CONTEXT_H

#include "lib/types.h"

/* Pushes callee-saved registers, stores rsp in *save, loads rsp from `load`, pops, returns. */
void context_switch(u64 *save, u64 load);

/* Lays out a fresh stack so that the first switch to it calls entry(arg) through
 * context_first_entry, with interrupts off. Returns the rsp to store. */
u64 context_make(void *stack_top, void (*entry)(void *), void *arg);

/* Size of an XSAVE area on this machine (bytes, for all features enabled), at least 576. */
size_t fpu_area_size(void);
/* The XCR0 bits in use; 3 (x87, SSE) without XSAVE. */
u64 fpu_features(void);
/* Detects features on the boot core; enables CR4.OSXSAVE and XCR0 on every core. */
void fpu_init_core(void);
void fpu_area_init(void *area);
void fpu_save(void *area);
void fpu_restore(const void *area);
/* Checks an area that came from user memory (rt_sigreturn) and makes it safe to restore. 0/-EINVAL.
 */
int fpu_area_sanitise(void *area, size_t size);

#endif
