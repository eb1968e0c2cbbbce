/* Tagged fields: what was written is read back; what is damaged is not followed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "lib/tagged.h"

static bool refuse;

static void *
grow(void *old, size_t length, size_t room)
{
	return refuse ? NULL : realloc(old, room);
}

static void
round_trip(void **state)
{
	struct tag_writer w = {.grow = grow};
	struct tag_reader r, inner;
	struct tag_field f = {0};
	char text[8];
	u8 three[3];
	size_t g;

	tag_u64(&w, 1, 0x1122334455667788);
	tag_string(&w, 2, "seven77");
	tag_string(&w, 3, NULL);
	for (u64 i = 0; i < 300; i++) {
		g = tag_begin(&w, 4);
		tag_u64(&w, 1, i);
		tag_bytes(&w, 2, "abc", 3);
		tag_end(&w, g);
	}
	tag_bytes(&w, 5, NULL, 0);
	assert_int_equal(w.err, 0);
	r = (struct tag_reader){w.buf, w.length};
	assert_true(tag_check(&r));
	assert_true(tag_get_u64(&r, 1, 0) == 0x1122334455667788);
	assert_int_equal(tag_get_u64(&r, 2, 5), 5);
	assert_true(tag_get_string(&r, 2, text, sizeof(text)));
	assert_string_equal(text, "seven77");
	assert_false(tag_get_string(&r, 2, text, 7));
	assert_false(tag_get_string(&r, 3, text, sizeof(text)));
	for (u64 i = 0; i < 300; i++) {
		assert_true(tag_next(&r, 4, &f));
		inner = tag_group(&f);
		assert_true(tag_check(&inner));
		assert_int_equal(tag_get_u64(&inner, 1, 1000), i);
		assert_true(tag_get_bytes(&inner, 2, three, 3));
		assert_memory_equal(three, "abc", 3);
		assert_false(tag_get_bytes(&inner, 2, three, 2));
	}
	assert_false(tag_next(&r, 4, &f));
	f = (struct tag_field){0};
	assert_true(tag_next(&r, 5, &f));
	assert_int_equal(f.length, 0);
	assert_false(tag_next(&r, 5, &f));
	free(w.buf);
}

static void
cut_short_anywhere(void **state)
{
	struct tag_writer w = {.grow = grow};
	struct tag_field f;
	size_t whole = 0;

	tag_u64(&w, 1, 1);
	tag_bytes(&w, 2, "12345", 5);
	tag_u64(&w, 1, 2);
	for (size_t n = 0; n <= w.length; n++) {
		u8 *copy = malloc(n ? n : 1);
		struct tag_reader r = {copy, n};

		memcpy(copy, w.buf, n);
		whole += tag_check(&r);
		f = (struct tag_field){0};
		while (tag_next(&r, 1, &f))
			assert_in_range(tag_field_u64(&f), 1, 2);
		free(copy);
	}
	assert_int_equal(whole, 4);
	free(w.buf);
}

static void
lengths_that_lie(void **state)
{
	u64 words[4] = {0};
	struct tag_reader r = {(u8 *)words, sizeof(words)};
	struct tag_field f = {0};
	u32 lies[] = {25, 0x7fffffff, 0xffffffff, 0xfffffff9};

	for (unsigned i = 0; i < ARRAY_SIZE(lies); i++) {
		memcpy((u8 *)words + 4, &lies[i], 4);
		assert_false(tag_check(&r));
		assert_false(tag_next(&r, 0, &f));
	}
}

static void
no_memory_is_remembered(void **state)
{
	struct tag_writer w = {.grow = grow};

	refuse = true;
	tag_u64(&w, 1, 1);
	refuse = false;
	tag_u64(&w, 2, 1);
	assert_true(w.err < 0);
	assert_int_equal(w.length, 0);
	tag_reset(&w);
	tag_bytes(&w, 1, &w, TAGGED_MAX + 1UL);
	assert_true(w.err < 0);
	free(w.buf);
}

struct parts {
	struct tag_writer w;
	struct tag_reader part[64];
	unsigned n;
};

static void
keep_part(struct parts *p)
{
	u8 *copy = malloc(p->w.length);

	memcpy(copy, p->w.buf, p->w.length);
	p->part[p->n] = (struct tag_reader){.buf = copy, .length = p->w.length};
	if (p->n > 0)
		p->part[p->n - 1].more = &p->part[p->n];
	p->n++;
}

static int
take_part(struct tag_writer *w)
{
	keep_part(container_of(w, struct parts, w));
	return 0;
}

/* What if a record, and now and then one group of it, is longer than the writer's buffer? */
static void
parts_are_whole_fields(void **state)
{
	struct parts p = {.w = {.grow = grow, .spill = take_part}};
	const u64 groups = 20000, numbers = 100000;
	struct tag_reader inner;
	struct tag_field f = {0};
	u64 count = 0;
	size_t g;

	for (u64 i = 0; i < groups; i++) {
		g = tag_begin(&p.w, 4);
		for (u64 k = 0; k < (i == 15000 ? numbers : 3); k++)
			tag_u64(&p.w, 1, i + k);
		tag_end(&p.w, g);
		tag_bytes(&p.w, 5, NULL, 0);
	}
	assert_int_equal(p.w.err, 0);
	keep_part(&p);
	assert_in_range(p.n, 4, 64);
	assert_true(tag_check(&p.part[0]));
	for (u64 i = 0; i < groups; i++) {
		assert_true(tag_next(&p.part[0], 4, &f));
		inner = tag_group(&f);
		assert_true(tag_get_u64(&inner, 1, 0) == i);
		assert_int_equal(inner.length, (i == 15000 ? numbers : 3) * 16);
	}
	assert_false(tag_next(&p.part[0], 4, &f));
	for (f = (struct tag_field){0}; tag_next(&p.part[0], 5, &f);)
		count++;
	assert_true(count == groups);
	p.part[1].length -= 4;
	assert_false(tag_check(&p.part[0]));
	for (unsigned i = 0; i < p.n; i++)
		free((void *)p.part[i].buf);
	free(p.w.buf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(cut_short_anywhere),
		cmocka_unit_test(lengths_that_lie),
		cmocka_unit_test(no_memory_is_remembered),
		cmocka_unit_test(parts_are_whole_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
