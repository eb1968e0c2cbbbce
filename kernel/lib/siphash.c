/* SipHash-2-4, as its paper writes it down in section 2. */
#include "lib/siphash.h"
#include "lib/string.h"

static u64
rotl(u64 v, int n)
{
	return v << n | v >> (64 - n);
}

static void
rounds(u64 v[4], int n)
{
	while (n-- > 0) {
		v[0] += v[1];
		v[1] = rotl(v[1], 13) ^ v[0];
		v[0] = rotl(v[0], 32);
		v[2] += v[3];
		v[3] = rotl(v[3], 16) ^ v[2];
		v[0] += v[3];
		v[3] = rotl(v[3], 21) ^ v[0];
		v[2] += v[1];
		v[1] = rotl(v[1], 17) ^ v[2];
		v[2] = rotl(v[2], 32);
	}
}

static void
take(u64 v[4], u64 word)
{
	v[3] ^= word;
	rounds(v, 2);
	v[0] ^= word;
}

u64
siphash(const u64 key[2], const void *data, size_t size)
{
	u64 v[4] = {key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d,
		    key[0] ^ 0x6c7967656e657261, key[1] ^ 0x7465646279746573};
	u64 word, last = (u64)size << 56;
	const u8 *p = data;
	size_t at = 0;

	for (; at + 8 <= size; at += 8) {
		memcpy(&word, p + at, 8);
		take(v, word);
	}
	for (unsigned i = 0; at + i < size; i++)
		last |= (u64)p[at + i] << (8 * i);
	take(v, last);
	v[2] ^= 0xff;
	rounds(v, 4);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}
