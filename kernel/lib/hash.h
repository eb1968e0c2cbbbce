/*
 * xxHash's 128-bit hash (XXH3_128bits, unkeyed): tells bytes apart that went wrong or are old, not
 * an attacker's. The code is libxxhash-dev's header, built for what the kernel may use of the CPU.
 */
#ifndef LIB_HASH_H
#define LIB_HASH_H

#include "lib/types.h"

struct hash128 {
	u64 low, high;
};

struct hash128 hash128(const void *data, size_t size);

static inline bool
hash128_equal(struct hash128 a, struct hash128 b)
{
	return a.low == b.low && a.high == b.high;
}

#endif
