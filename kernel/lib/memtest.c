/* The memory test: see memtest.h. */
#include "lib/memtest.h"

/* Neighbouring words differ in about half of their bits; the next word's value is this much more.
 */
#define GROWTH (sizeof(u64) * 0x9e3779b97f4a7c15UL)
#define TURN   4u /* words at a time: it is a good part of the boot */

static u64
pattern(const volatile u64 *p)
{
	return (u64)(uintptr_t)p * 0x9e3779b97f4a7c15UL;
}

/* n words, each `step` behind the one before, which has `growth` less. */
static void
fill(volatile u64 *word, u64 n, u32 step, u64 x, u64 growth)
{
	for (; n >= TURN; n -= TURN, word += TURN * step, x += TURN * growth) {
		word[0] = x;
		word[step] = x + growth;
		word[2 * step] = x + 2 * growth;
		word[3 * step] = x + 3 * growth;
	}
	for (; n > 0; n--, word += step, x += growth)
		*word = x;
}

/* => how many words are as filled before the first that is not */
static u64
count_right(const volatile u64 *word, u64 n, u32 step, u64 x, u64 growth)
{
	u64 i = 0;

	for (; i + TURN <= n; i += TURN, word += TURN * step, x += TURN * growth)
		if ((word[0] ^ x) | (word[step] ^ (x + growth)) |
		    (word[2 * step] ^ (x + 2 * growth)) | (word[3 * step] ^ (x + 3 * growth)))
			break;
	for (; i < n && *word == x; i++, word += step, x += growth)
		;
	return i;
}

u64
memtest(u64 *p, u64 size, u32 step, void (*flush)(const void *p, u64 size))
{
	u64 n = DIV_ROUND_UP(size / sizeof(u64), step), growth = step * GROWTH, right;
	volatile u64 *word = p;

	for (u32 pass = 0; pass < 2; pass++) {
		u64 x = pass ? ~pattern(word) : pattern(word);

		fill(word, n, step, x, pass ? -growth : growth);
		if (flush)
			flush(p, size);
		right = count_right(word, n, step, x, pass ? -growth : growth);
		if (right < n)
			return right * step * sizeof(u64);
	}
	fill(word, n, step, 0, 0);
	return size;
}
