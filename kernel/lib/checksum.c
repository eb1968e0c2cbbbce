/* A multiplicative hash over 64-bit words, folded to 32 bits, and the usual CRC. Pure. */
#include "lib/checksum.h"
#include "lib/string.h"

u32
checksum32(const void *data, size_t size)
{
	const u64 prime = 0x9e3779b97f4a7c15UL;
	const u8 *p = data;
	u64 h = size * prime, w;

	for (; size >= 8; p += 8, size -= 8) {
		memcpy(&w, p, 8);
		h = ((h << 23 | h >> 41) ^ w) * prime;
	}
	for (; size; p++, size--)
		h = ((h << 23 | h >> 41) ^ *p) * prime;
	return (u32)(h >> 32 ^ h);
}

u32
crc32(u32 crc, const void *data, size_t size)
{
	const u8 *p = data;

	crc = ~crc;
	for (; size; p++, size--) {
		crc ^= *p;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (0xedb88320u & -(crc & 1));
	}
	return ~crc;
}
