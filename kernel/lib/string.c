/*
 * Memory and string functions of the C library, for the kernel (the host has its own).
 *
 * The bulk of a copy goes in unrolled 64-bit moves: under emulation these beat the string
 * instructions, which go one element at a time there, and on hardware they are close.
 */
#include "lib/string.h"

size_t
string_copy(char *dst, const char *src, size_t size)
{
	size_t n = strlen(src);

	if (size > 0) {
		size_t k = n < size - 1 ? n : size - 1;

		memcpy(dst, src, k);
		dst[k] = 0;
	}
	return n;
}

#ifndef HOLDFAST_HOST

typedef u64 __attribute__((may_alias, aligned(1))) word;

static inline void
copy_small(char *d, const char *s, size_t n)
{
	for (; n >= 8; n -= 8, d += 8, s += 8)
		*(word *)d = *(const word *)s;
	while (n-- > 0)
		*d++ = *s++;
}

static void __attribute__((noinline)) copy_large(char *d, const char *s, size_t n)
{
	for (; n >= 64; n -= 64, d += 64, s += 64) {
		u64 a = ((const word *)s)[0], b = ((const word *)s)[1];
		u64 c = ((const word *)s)[2], e = ((const word *)s)[3];
		u64 f = ((const word *)s)[4], g = ((const word *)s)[5];
		u64 h = ((const word *)s)[6], i = ((const word *)s)[7];

		((word *)d)[0] = a;
		((word *)d)[1] = b;
		((word *)d)[2] = c;
		((word *)d)[3] = e;
		((word *)d)[4] = f;
		((word *)d)[5] = g;
		((word *)d)[6] = h;
		((word *)d)[7] = i;
	}
	copy_small(d, s, n);
}

/* Mostly of a few bytes, which need no registers saved. */
void *(memcpy)(void *dst, const void *src, size_t n)
{
	if (n >= 64)
		copy_large(dst, src, n);
	else
		copy_small(dst, src, n);
	return dst;
}

void *
memmove(void *dst, const void *src, size_t n)
{
	char *d = dst;
	const char *s = src;

	if (d <= s || d >= s + n)
		return (memcpy)(dst, src, n);
	for (; n >= 32; n -= 32) {
		word *to = (word *)(d + n);
		const word *from = (const word *)(s + n);
		u64 a = from[-1], b = from[-2], c = from[-3], e = from[-4];

		to[-1] = a;
		to[-2] = b;
		to[-3] = c;
		to[-4] = e;
	}
	for (; n >= 8; n -= 8)
		*(word *)(d + n - 8) = *(const word *)(s + n - 8);
	while (n-- > 0)
		d[n] = s[n];
	return dst;
}

void *(memset)(void *dst, int c, size_t n)
{
	char *d = dst;
	u64 w = 0x0101010101010101UL * (u8)c;

	for (; n >= 64; n -= 64, d += 64) {
		((word *)d)[0] = w;
		((word *)d)[1] = w;
		((word *)d)[2] = w;
		((word *)d)[3] = w;
		((word *)d)[4] = w;
		((word *)d)[5] = w;
		((word *)d)[6] = w;
		((word *)d)[7] = w;
	}
	for (; n >= 8; n -= 8, d += 8)
		*(word *)d = w;
	while (n-- > 0)
		*d++ = (char)c;
	return dst;
}

int
memcmp(const void *a, const void *b, size_t n)
{
	const u8 *x = a, *y = b;

	for (; n >= 8 && *(const word *)x == *(const word *)y; n -= 8, x += 8, y += 8)
		;
	for (; n > 0; n--, x++, y++)
		if (*x != *y)
			return *x < *y ? -1 : 1;
	return 0;
}

void *
memchr(const void *s, int c, size_t n)
{
	const u8 *p = s;

	for (; n > 0; n--, p++)
		if (*p == (u8)c)
			return (void *)p;
	return NULL;
}

size_t
strlen(const char *s)
{
	const char *p = s;

	while (*p)
		p++;
	return p - s;
}

size_t
strnlen(const char *s, size_t max)
{
	size_t n = 0;

	while (n < max && s[n])
		n++;
	return n;
}

int
strcmp(const char *a, const char *b)
{
	for (; *a && *a == *b; a++, b++)
		;
	return (u8)*a - (u8)*b;
}

int
strncmp(const char *a, const char *b, size_t n)
{
	for (; n > 0 && *a && *a == *b; a++, b++, n--)
		;
	return n == 0 ? 0 : (u8)*a - (u8)*b;
}

char *
strchr(const char *s, int c)
{
	for (;; s++) {
		if (*s == (char)c)
			return (char *)s;
		if (!*s)
			return NULL;
	}
}

char *
strrchr(const char *s, int c)
{
	const char *last = NULL;

	for (;; s++) {
		if (*s == (char)c)
			last = s;
		if (!*s)
			return (char *)last;
	}
}

char *
strstr(const char *hay, const char *needle)
{
	size_t n = strlen(needle);

	for (; *hay; hay++)
		if (strncmp(hay, needle, n) == 0)
			return (char *)hay;
	return n == 0 ? (char *)hay : NULL;
}

#endif
