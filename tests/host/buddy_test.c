/* Buddy allocator: blocks are aligned, disjoint, merged again, and stay in their cluster. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include "lib/types.h"
#include <cmocka.h>

#include "lib/assert.h"
#include "mm/buddy.h"

#define FRAMES 8192

void
assert_failed(const char *expr, const char *file, int line)
{
	fail_msg("%s:%d: %s", file, line, expr);
	abort();
}

static struct frame *
make(struct buddy *b, u64 first, u64 n)
{
	struct frame *base = calloc(FRAMES, sizeof(*base));

	for (u64 i = 0; i < FRAMES; i++) {
		base[i].cxy = i >= first && i < first + n ? 1 : 0;
		base[i].flags = base[i].cxy ? 0 : FF_RESERVED;
	}
	buddy_init(b, base, 1);
	buddy_add(b, first, n);
	return base;
}

/* Does everything merge back after random use, whatever the edges? */
static void
random_use(void **state)
{
	struct {
		struct frame *f;
		unsigned order;
	} held[256] = {0};
	struct buddy b;
	struct frame *base = make(&b, 3, 7001);
	unsigned char *used = calloc(FRAMES, 1);
	u64 whole = 0;

	srand(3);
	for (unsigned step = 0; step < 50000; step++) {
		unsigned i = (unsigned)rand() % 256;

		if (held[i].f) {
			u64 at = held[i].f - base;

			for (u64 j = 0; j < 1UL << held[i].order; j++)
				used[at + j] = 0;
			buddy_free(&b, held[i].f, held[i].order);
			held[i].f = NULL;
			continue;
		}
		held[i].order = (unsigned)rand() % 7;
		held[i].f = buddy_alloc(&b, held[i].order);
		if (held[i].f == NULL)
			continue;
		assert_int_equal((held[i].f - base) & ((1L << held[i].order) - 1), 0);
		for (u64 j = 0; j < 1UL << held[i].order; j++) {
			assert_int_equal(used[held[i].f - base + j], 0);
			assert_int_equal(held[i].f[j].cxy, 1);
			used[held[i].f - base + j] = 1;
		}
	}
	for (unsigned i = 0; i < 256; i++)
		if (held[i].f)
			buddy_free(&b, held[i].f, held[i].order);
	assert_int_equal(b.nfree, 7001);
	while (buddy_alloc(&b, FRAME_MAX_ORDER))
		whole++;
	assert_int_equal(whole, 5); /* frames 1024 to 6143 in whole blocks */
	free(used);
	free(base);
}

/* Is every single frame given out once, and then none? */
static void
exhaustion(void **state)
{
	struct buddy b;
	struct frame *base = make(&b, 100, 1000);

	for (unsigned i = 0; i < 1000; i++)
		assert_non_null(buddy_alloc(&b, 0));
	assert_null(buddy_alloc(&b, 0));
	assert_int_equal(b.nfree, 0);
	for (unsigned i = 0; i < 1000; i++)
		buddy_free(&b, &base[100 + i], 0);
	assert_int_equal(b.nfree, 1000);
	assert_non_null(buddy_alloc(&b, 9)); /* 512 to 1023 */
	assert_null(buddy_alloc(&b, 9));
	free(base);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_use),
		cmocka_unit_test(exhaustion),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
