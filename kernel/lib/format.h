/*
 * printf formatting: %d %i %u %x %X %o %c %s %p %% with flags - 0 + space #, width, precision,
 * '*', and the lengths hh h l ll z j t. No floating point.
 */
#ifndef LIB_FORMAT_H
#define LIB_FORMAT_H

#include <stdarg.h>
#include "lib/types.h"

/* As vsnprintf: always terminates when size > 0, returns the length it would have had. */
int format_v(char *buf, size_t size, const char *fmt, va_list ap);
int format(char *buf, size_t size, const char *fmt, ...) __printf(3, 4);

#endif
