/* The C library's memory and string functions that the kernel uses; same contracts as in man 3. */
#ifndef LIB_STRING_H
#define LIB_STRING_H

#ifdef HOLDFAST_HOST
#include <string.h>
#include "lib/types.h"
#else
#include "lib/types.h"

void *memcpy(void *dst, const void *src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
void *memchr(const void *s, int c, size_t n);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
char *strrchr(const char *s, int c);
char *strstr(const char *hay, const char *needle);

/* The kernel's flags let gcc assume nothing of these names. A few words are not worth a call, and
 * more are never to become string instructions (string.c). */
#define INLINE_MAX 64
#define memcpy(dst, src, n)                                                                        \
	(__builtin_constant_p(n) && (n) <= INLINE_MAX ? __builtin_memcpy(dst, src, n)              \
						      : (memcpy)(dst, src, n))
#define memset(dst, c, n)                                                                          \
	(__builtin_constant_p(n) && (n) <= INLINE_MAX ? __builtin_memset(dst, c, n)                \
						      : (memset)(dst, c, n))
#endif

/* Copies at most size - 1 bytes and always terminates; returns strlen(src). */
size_t string_copy(char *dst, const char *src, size_t size);

#endif
