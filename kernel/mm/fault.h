/* The page fault part of trap_ops. */
#ifndef MM_FAULT_H
#define MM_FAULT_H

#include "lib/types.h"

struct trapframe;

/* Serves a fault of the current thread: as vm_fault() (map.h) for its address space; -EFAULT at
 * once for kernel addresses and where the kernel may not sleep (spinlock held, interrupts off).
 * => interrupts as at the fault; may sleep */
int mm_trap_page_fault(struct trapframe *f, vaddr_t va);

#endif
