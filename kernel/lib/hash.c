/* xxHash as the package has it; this is the only file that sees its header. */
#define XXH_INLINE_ALL
#define XXH_NO_STREAM
/* Words are read as words: its other way is memcpy, a call where gcc may assume nothing of it. */
#define XXH_FORCE_MEMORY_ACCESS 1
#include <stddef.h>

/* Named by functions of the header that nothing here calls. */
void *malloc(size_t size);
void free(void *p);

#include <xxhash.h>
#include "lib/atomic.h"
#include "lib/hash.h"

struct hash128
hash128(const void *data, size_t size)
{
	XXH128_hash_t h = XXH3_128bits(data, size);

	return (struct hash128){.low = h.low64, .high = h.high64};
}

u64
hash64(const void *data, size_t size)
{
	return XXH64(data, size, 0);
}

/* The steps of its specification for whole stripes of 32 bytes. Loads, stores and sums one after
 * the other: an emulator puts every register that was changed back into memory before it touches
 * the guest's memory. */
u64
hash64_copy(void *to, const void *from, size_t size)
{
	u64 v1 = XXH_PRIME64_1 + XXH_PRIME64_2, v2 = XXH_PRIME64_2, v3 = 0, v4 = -XXH_PRIME64_1, h;
	const u64 *s = from, *end = s + size / sizeof(*s);
	u64 *d = to;

	for (; s < end; s += 4, d += 4) {
		u64 a = s[0], b = s[1], c = s[2], e = s[3];

		__asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(e));
		d[0] = a;
		d[1] = b;
		d[2] = c;
		d[3] = e;
		compiler_barrier();
		v1 = XXH64_round(v1, a);
		v2 = XXH64_round(v2, b);
		v3 = XXH64_round(v3, c);
		v4 = XXH64_round(v4, e);
	}
	h = XXH_rotl64(v1, 1) + XXH_rotl64(v2, 7) + XXH_rotl64(v3, 12) + XXH_rotl64(v4, 18);
	h = XXH64_mergeRound(h, v1);
	h = XXH64_mergeRound(h, v2);
	h = XXH64_mergeRound(h, v3);
	h = XXH64_mergeRound(h, v4);
	return XXH64_avalanche(h + size);
}
