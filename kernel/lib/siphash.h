/*
 * SipHash-2-4 (Aumasson and Bernstein, 2012): a keyed hash of 64 bits. Who does not know the key
 * can neither tell the next value nor make two inputs meet.
 */
#ifndef LIB_SIPHASH_H
#define LIB_SIPHASH_H

#include "lib/types.h"

u64 siphash(const u64 key[2], const void *data, size_t size);

#endif
