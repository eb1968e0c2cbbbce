/*
 * The walk over all memory that tells whether the invariants hold: see check.c.
 */
#ifndef MM_CHECK_H
#define MM_CHECK_H

#include "lib/types.h"

/* Stops the machine, walks, and writes what it found as text. Returns the length, as format() does,
 * or -ENOMEM. May sleep. */
ssize_t memory_check(char *buf, size_t size);

#endif
