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
#endif

/* Copies at most size - 1 bytes and always terminates; returns strlen(src). */
size_t string_copy(char *dst, const char *src, size_t size);

#endif
