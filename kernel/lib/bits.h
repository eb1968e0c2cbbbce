/* Counting bits without a library call (the compiler's builtin needs libgcc on plain x86-64). */
#ifndef LIB_BITS_H
#define LIB_BITS_H

#include "lib/types.h"

static inline unsigned
bits_count(u64 v)
{
	unsigned n = 0;

	for (; v != 0; v &= v - 1)
		n++;
	return n;
}

#endif
