/* A test of memory that nothing uses: what is in it is lost. Pure. */
#ifndef LIB_MEMTEST_H
#define LIB_MEMTEST_H

#include "lib/types.h"

/* Which words are tested: all, or the first of each cache line. */
#define MEMTEST_WORDS 1u
#define MEMTEST_LINES 8u

/*
 * Every step-th word gets a value made from its address, then the opposite, and is read back: bits
 * that stick, words that share a cell and banks that are not there all show. These words end up
 * zero. `flush` is called behind each pass of writing, so that it is memory that is read and not a
 * cache; NULL: not needed. Returns the offset of the first word that did not keep its value, or
 * `size`.
 * => p and size are multiples of 8
 */
u64 memtest(u64 *p, u64 size, u32 step, void (*flush)(const void *p, u64 size));

#endif
