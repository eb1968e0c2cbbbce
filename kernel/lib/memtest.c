/* The memory test: see memtest.h. */
#include "lib/memtest.h"

/* Neighbouring words differ in about half of their bits. */
static u64
pattern(const volatile u64 *p)
{
	return (u64)(uintptr_t)p * 0x9e3779b97f4a7c15UL;
}

u64
memtest(u64 *p, u64 size, void (*flush)(const void *p, u64 size))
{
	static const u64 flips[] = {0, ~0UL};
	volatile u64 *word = p;
	u64 n = size / sizeof(u64);

	for (u32 pass = 0; pass < ARRAY_SIZE(flips); pass++) {
		for (u64 i = 0; i < n; i++)
			word[i] = pattern(&word[i]) ^ flips[pass];
		if (flush)
			flush(p, size);
		for (u64 i = 0; i < n; i++)
			if (word[i] != (pattern(&word[i]) ^ flips[pass]))
				return i * sizeof(u64);
	}
	for (u64 i = 0; i < n; i++)
		word[i] = 0;
	return size;
}
