/*
 * assert() marks a contradiction inside the kernel; user input never reaches one.
 * It is on in every build. debug_assert() may be costly and is on with DEBUG=1 and SAN=1.
 */
#ifndef LIB_ASSERT_H
#define LIB_ASSERT_H

#include "lib/types.h"

__noreturn void assert_failed(const char *expr, const char *file, int line);

#define assert(e) (likely(e) ? (void)0 : assert_failed(#e, __FILE__, __LINE__))

#ifdef HOLDFAST_DEBUG
#define DEBUG_BUILD	1
#define debug_assert(e) assert(e)
#else
#define DEBUG_BUILD	0
#define debug_assert(e) ((void)sizeof(e))
#endif

#endif
