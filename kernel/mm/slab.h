/*
 * Kernel memory by the object: power-of-two and midway size classes from 16 bytes to 8 KiB in slabs
 * per cluster, larger sizes in whole frames. Freed memory goes back to its home cluster. Never
 * sleeps; any context; NULL when there is no memory, so every caller has an error path.
 */
#ifndef MM_SLAB_H
#define MM_SLAB_H

#include "lib/types.h"

void slab_init_cluster(void);
void *kmalloc(size_t size);
/* kzalloc for what a given cluster will use most, from its memory. */
void *kzalloc_on(unsigned cxy, size_t size);
void *kzalloc(size_t size);
void *kcalloc(size_t n, size_t size); /* checks the product */
void *krealloc(void *p, size_t old_size, size_t size);
void kfree(void *p); /* NULL does nothing */
char *kstrdup(const char *s);
size_t ksize(const void *p);

#endif
