/* The memory test: see memtest.h. */
#include "lib/memtest.h"

/* Neighbouring words differ in about half of their bits; the next word's value is this much more.
 */
#define STEP (sizeof(u64) * 0x9e3779b97f4a7c15UL)
#define TURN 4u /* words at a time: it is a good part of the boot */

static u64
pattern(const volatile u64 *p)
{
	return (u64)(uintptr_t)p * 0x9e3779b97f4a7c15UL;
}

static void
fill(volatile u64 *word, u64 n, u64 x, u64 step)
{
	for (; n >= TURN; n -= TURN, word += TURN, x += TURN * step) {
		word[0] = x;
		word[1] = x + step;
		word[2] = x + 2 * step;
		word[3] = x + 3 * step;
	}
	for (; n > 0; n--, x += step)
		*word++ = x;
}

/* => how many words are as filled before the first that is not */
static u64
count_right(const volatile u64 *word, u64 n, u64 x, u64 step)
{
	u64 i = 0;

	for (; i + TURN <= n; i += TURN, word += TURN, x += TURN * step)
		if ((word[0] ^ x) | (word[1] ^ (x + step)) | (word[2] ^ (x + 2 * step)) |
		    (word[3] ^ (x + 3 * step)))
			break;
	for (; i < n && *word == x; i++, word++, x += step)
		;
	return i;
}

u64
memtest(u64 *p, u64 size, void (*flush)(const void *p, u64 size))
{
	volatile u64 *word = p;
	u64 n = size / sizeof(u64), right;

	for (u32 pass = 0; pass < 2; pass++) {
		u64 x = pass ? ~pattern(word) : pattern(word), step = pass ? -STEP : STEP;

		fill(word, n, x, step);
		if (flush)
			flush(p, size);
		right = count_right(word, n, x, step);
		if (right < n)
			return right * sizeof(u64);
	}
	fill(word, n, 0, 0);
	return size;
}
