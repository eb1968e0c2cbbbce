/*
 * xxHash's hash of 128 bits (XXH3_128bits, unkeyed) and its older one of 64 (XXH64, seed 0): tell
 * bytes apart that went wrong or are old, not an attacker's. The code is libxxhash-dev's header,
 * built for what the kernel may use of the CPU: in general registers the one of 64 bits takes half
 * the time of the other for a page, and a fifth of it where multiplying is emulated.
 */
#ifndef LIB_HASH_H
#define LIB_HASH_H

#include "lib/types.h"

struct hash128 {
	u64 low, high;
};

struct hash128 hash128(const void *data, size_t size);
u64 hash64(const void *data, size_t size);
/* hash64() of what it copies, each word read once. => both aligned to 8 bytes, not overlapping;
 * size a multiple of 32, not 0 */
u64 hash64_copy(void *to, const void *from, size_t size);

static inline bool
hash128_equal(struct hash128 a, struct hash128 b)
{
	return a.low == b.low && a.high == b.high;
}

#endif
