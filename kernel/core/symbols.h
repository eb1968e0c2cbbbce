/* Names of kernel functions for backtraces: a sorted table linked in by a second pass of ld. */
#ifndef CORE_SYMBOLS_H
#define CORE_SYMBOLS_H

#include "lib/types.h"

struct symbol {
	u64 address;
	const char *name;
};

/* The table; empty in the first pass of the link. */
extern const struct symbol symbol_table[];
extern const u64 symbol_count;

/* The function that `address` lies in, and how far behind its start; NULL if there is none. */
const char *symbol_of(u64 address, u64 *offset);

#endif
