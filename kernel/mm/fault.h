/* The page fault part of trap_ops. */
#ifndef MM_FAULT_H
#define MM_FAULT_H

#include "lib/types.h"

struct frame;
struct trapframe;
struct vm_map;

/* Serves a fault of the current thread: as vm_fault() (map.h) for its address space; -EFAULT at
 * once for kernel addresses and where the kernel may not sleep (spinlock held, interrupts off).
 * => interrupts as at the fault; may sleep */
int mm_trap_page_fault(struct trapframe *f, vaddr_t va);
/* Serves a fault at va: as vm_fault(). *out, if out is not NULL, gets the frame with a reference.
 */
int fault_frame(struct vm_map *m, vaddr_t va, unsigned access, struct frame **out);

#endif
