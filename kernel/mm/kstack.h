/* Kernel stacks of KSTACK_SIZE bytes between guard pages, and kernel threads on them. */
#ifndef MM_KSTACK_H
#define MM_KSTACK_H

#include "core/thread.h"

void kstack_init_cluster(void);
/* Lowest byte of a mapped stack in a cluster's memory, or NULL. Cached per cluster: never unmapped
 * once made. */
void *kstack_alloc(unsigned cxy);
void kstack_free(void *stack);
/* Pages of the stacks that wait to be used again, of all clusters. */
u64 kstack_free_pages(void);
/* Makes and starts a kernel thread; NULL when out of memory. affinity 0 means any core. */
struct thread *kthread_create(const char *name, void (*fn)(void *), void *arg, u64 affinity);

#endif
