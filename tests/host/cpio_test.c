/* The cpio reader: whole archives, padding, every truncation, every damaged byte. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "lib/cpio.h"

struct archive {
	unsigned char buf[8192];
	size_t n;
};

static void
put(struct archive *a, const char *name, size_t zeros, unsigned mode, const char *data)
{
	size_t len = strlen(data);

	a->n += (size_t)sprintf((char *)a->buf + a->n,
				"070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", 7u,
				mode, 1u, 2u, 1u, 99u, (unsigned)len, 8u, 1u, 4u, 64u,
				(unsigned)(strlen(name) + zeros), 0u);
	memcpy(a->buf + a->n, name, strlen(name));
	a->n += strlen(name) + zeros;
	a->n = (a->n + 3) & ~3ul;
	memcpy(a->buf + a->n, data, len);
	a->n = (a->n + len + 3) & ~3ul;
}

static void
build(struct archive *a)
{
	memset(a, 0, sizeof(*a));
	put(a, "etc", 1, 0040755, "");
	put(a, "etc/passwd", 300, 0100644, "root:x:0:0::/:/bin/sh\n");
	put(a, "TRAILER!!!", 1, 0, "");
	a->n += 512;
	put(a, "second", 1, 0100600, "2");
	put(a, "TRAILER!!!", 1, 0, "");
}

static void
reads_all_entries(void **state)
{
	struct archive a;
	struct cpio_reader r;
	struct cpio_entry e;

	build(&a);
	cpio_init(&r, a.buf, a.n);
	assert_int_equal(cpio_next(&r, &e), 1);
	assert_int_equal(e.name_len, 3);
	assert_int_equal(e.mode, 0040755);
	assert_int_equal(cpio_next(&r, &e), 1);
	assert_int_equal(e.name_len, 10);
	assert_int_equal(e.size, 22);
	assert_memory_equal(a.buf + e.data, "root:x", 6);
	assert_int_equal(e.rdev_minor, 64);
	assert_int_equal(cpio_next(&r, &e), 1);
	assert_memory_equal(e.name, "second", 6);
	assert_int_equal(cpio_next(&r, &e), 0);
	assert_int_equal(cpio_next(&r, &e), 0);
}

/* Reads a copy of exactly n bytes, so that ASan sees a step beyond. */
static void
read_through(const unsigned char *p, size_t n)
{
	unsigned char *copy = malloc(n ? n : 1);
	struct cpio_reader r;
	struct cpio_entry e;
	int k, left = 1000;

	memcpy(copy, p, n);
	cpio_init(&r, copy, n);
	while ((k = cpio_next(&r, &e)) == 1 && left-- > 0) {
		assert_true(e.size == 0 || e.data + e.size <= n);
		assert_true(e.name + e.name_len < (char *)copy + n);
	}
	assert_true(left > 0);
	if (k < 0)
		assert_non_null(r.error);
	free(copy);
}

static void
survives_truncation(void **state)
{
	struct archive a;

	build(&a);
	for (size_t n = 0; n <= a.n; n++)
		read_through(a.buf, n);
}

static void
survives_damage(void **state)
{
	static const unsigned char values[] = {0, 0xff, 'f', '0', 'F', 'g'};
	struct archive a;

	build(&a);
	for (size_t i = 0; i < a.n; i++) {
		unsigned char was = a.buf[i];

		for (size_t k = 0; k < sizeof(values); k++) {
			a.buf[i] = values[k];
			read_through(a.buf, a.n);
		}
		a.buf[i] = was;
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_all_entries),
		cmocka_unit_test(survives_truncation),
		cmocka_unit_test(survives_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
