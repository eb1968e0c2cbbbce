/* What the store's tests on cmocka share, whatever disk they have. */
#ifndef STORE_COMMON_H
#define STORE_COMMON_H

#include <stdio.h>
#include <stdlib.h>
#include "lib/types.h"

void assert_failed(const char *expr, const char *file, int line);
void
assert_failed(const char *expr, const char *file, int line)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, expr);
	abort();
}

static const u8 uuid[16] = "a store of tests";

/* store_check's fault() */
static inline void
print_fault(void *arg, const char *what, u64 a, u64 b)
{
	fprintf(stderr, "fault: ");
	fprintf(stderr, what, (unsigned long long)a, (unsigned long long)b);
	fprintf(stderr, "\n");
}

#endif
