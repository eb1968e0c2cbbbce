/*
 * Who owns which bytes of kernel memory, in SAN=1 builds: a bit for each 16 bytes of a page frame,
 * set while nobody owns them. frame.c and slab.c keep the bits; what the compiler puts before every
 * access of the instrumented files looks at them (kasan.c). Other builds have none of it.
 */
#ifndef MM_KASAN_H
#define MM_KASAN_H

#include "lib/types.h"

#define KASAN_GRANULE 16u

#ifdef HOLDFAST_KASAN
struct frame_poison {
	u64 word[4];
};
/* [p, p + n) is nobody's. => p and n are multiples of the granule */
void kasan_poison(void *p, size_t n);
/* [p, p + n) has an owner. => p is a multiple of the granule */
void kasan_unpoison(void *p, size_t n);
/* Panics when p is nobody's already. */
void kasan_check_free(void *p);
#else
struct frame_poison {
};
static inline void
kasan_poison(void *p, size_t n)
{
}
static inline void
kasan_unpoison(void *p, size_t n)
{
}
static inline void
kasan_check_free(void *p)
{
}
#endif

#endif
