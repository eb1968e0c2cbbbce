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
