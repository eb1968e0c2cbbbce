/* Does the kernel's printf agree with the C library's? */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "lib/format.h"

#define SAME(...)                                                                                  \
	do {                                                                                       \
		char ours[128], theirs[128];                                                       \
		int a = format(ours, sizeof(ours), __VA_ARGS__);                                   \
		int b = snprintf(theirs, sizeof(theirs), __VA_ARGS__);                             \
		assert_string_equal(ours, theirs);                                                 \
		assert_int_equal(a, b);                                                            \
	} while (0)

static void
integers(void **state)
{
	(void)state;
	SAME("%d %i %u", -5, 7, 4000000000u);
	SAME("%5d|%-5d|%05d|%+d|% d", 42, 42, 42, 42, 42);
	SAME("%lld %llu", (long long)INT64_MIN, (unsigned long long)UINT64_MAX);
	SAME("%hhd %hd %hhu", 300, 70000, 511);
	SAME("%.0d|%.3d|%8.3d", 0, 7, -7);
	SAME("%zu %jd %td", (size_t)9, (intmax_t)-9, (ptrdiff_t)3);
}

static void
hexadecimal(void **state)
{
	(void)state;
	SAME("%x %X %#x %#X %#x", 0xbeef, 0xbeef, 0xbeef, 0xbeef, 0);
	SAME("%016llx|%-10x|%#10x|%#010x", 0x123456789abcULL, 0xa, 0xa, 0xa);
	SAME("%o %3o", 8, 8);
	SAME("%p", (void *)0x1000);
}

static void
strings(void **state)
{
	(void)state;
	SAME("%s|%10s|%-10s|%.3s|%10.3s|%c%%", "holdfast", "ab", "ab", "abcdef", "abcdef", 'x');
	SAME("%*s|%-*s|%.*s", 6, "ab", 6, "ab", 2, "abcdef");
}

static void
short_buffers_are_terminated(void **state)
{
	char buf[4] = "zzz";

	(void)state;
	assert_int_equal(format(buf, sizeof(buf), "%s", "holdfast"), 8);
	assert_string_equal(buf, "hol");
	assert_int_equal(format(NULL, 0, "%d", 12345), 5);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(integers),
		cmocka_unit_test(hexadecimal),
		cmocka_unit_test(strings),
		cmocka_unit_test(short_buffers_are_terminated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
