/* Radix trees: what is set is found, by index and in order, and nothing leaks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include "lib/types.h"
#include <cmocka.h>
#include <errno.h>

#include "lib/radix.h"

static long pages;
static long pages_left = -1; /* -1: no limit */

static void *
page_get(void)
{
	if (pages_left == 0)
		return NULL;
	if (pages_left > 0)
		pages_left--;
	pages++;
	return calloc(1, PAGE_SIZE);
}

static void
page_drop(void *page)
{
	pages--;
	free(page);
}

static const struct radix_mem mem = {page_get, page_drop};

/* Is every kind of index found again, and its neighbour not? */
static void
set_and_get(void **state)
{
	static const u64 indexes[] = {
		0, 1, 511, 512, 513, 262143, 262144, 1UL << 30, (1UL << 40) + 5, (1UL << 52) - 1};
	struct radix r;

	radix_init(&r, &mem);
	assert_null(radix_get(&r, 0));
	assert_null(radix_remove(&r, 77));
	for (unsigned i = 0; i < ARRAY_SIZE(indexes); i++)
		assert_int_equal(radix_set(&r, indexes[i], (void *)(indexes[i] + 8)), 0);
	assert_int_equal(r.count, ARRAY_SIZE(indexes));
	for (unsigned i = 0; i < ARRAY_SIZE(indexes); i++)
		assert_ptr_equal(radix_get(&r, indexes[i]), (void *)(indexes[i] + 8));
	assert_null(radix_get(&r, 2));
	assert_null(radix_get(&r, (1UL << 52) - 2));
	assert_int_equal(radix_set(&r, 513, NULL), 0);
	assert_null(radix_get(&r, 513));
	assert_ptr_equal(radix_remove(&r, 512), (void *)520);
	assert_int_equal(r.count, ARRAY_SIZE(indexes) - 2);
	radix_destroy(&r);
	assert_int_equal(pages, 0);
}

/* Do indexes that move on and on take no more memory than what is there at a time? And does what is
 * left stay, when nodes beside it go? */
static void
prune(void **state)
{
	enum { alive = 700 };
	struct radix r;

	radix_init(&r, &mem);
	assert_null(radix_remove_prune(&r, 0));
	assert_int_equal(radix_set(&r, 3, (void *)8), 0);
	for (u64 i = 4; i < 1000000; i++) {
		assert_int_equal(radix_set(&r, i, (void *)(i + 8)), 0);
		if (i < 4 + alive)
			continue;
		assert_ptr_equal(radix_remove_prune(&r, i - alive), (void *)(i - alive + 8));
		assert_null(radix_remove_prune(&r, i - alive));
	}
	assert_int_equal(r.count, alive + 1);
	assert_in_range(pages, 4, 8);
	assert_ptr_equal(radix_get(&r, 3), (void *)8);
	for (u64 i = 1000000 - alive; i < 1000000; i++)
		assert_ptr_equal(radix_remove_prune(&r, i), (void *)(i + 8));
	assert_int_equal(pages, 3);
	assert_ptr_equal(radix_remove_prune(&r, 3), (void *)8);
	assert_int_equal(pages, 0);
	assert_int_equal(radix_set(&r, 5, (void *)8), 0);
	assert_ptr_equal(radix_get(&r, 5), (void *)8);
	radix_destroy(&r);
	assert_int_equal(pages, 0);
}

/* Does radix_next visit all entries in order, from any start? */
static void
walk(void **state)
{
	struct radix r;
	u64 at = 0, n = 0;
	void *v;

	radix_init(&r, &mem);
	for (u64 i = 0; i < 2000; i++)
		assert_int_equal(radix_set(&r, i * i * 37, (void *)(i + 1)), 0);
	for (; (v = radix_next(&r, &at)) != NULL; at++, n++) {
		assert_int_equal(at, n * n * 37);
		assert_ptr_equal(v, (void *)(n + 1));
	}
	assert_int_equal(n, 2000);
	at = 38;
	assert_ptr_equal(radix_next(&r, &at), (void *)3);
	assert_int_equal(at, 4 * 37);
	at = 1999UL * 1999 * 37 + 1;
	assert_null(radix_next(&r, &at));
	at = 1UL << 51;
	assert_null(radix_next(&r, &at));
	/* And not beyond a bound? */
	for (u64 i = 1; i < 2000; i++) {
		u64 here = i * i * 37;

		at = (i - 1) * (i - 1) * 37 + 1;
		assert_null(radix_next_before(&r, &at, here));
		assert_ptr_equal(radix_next_before(&r, &at, here + 1), (void *)(i + 1));
		assert_int_equal(at, here);
		assert_null(radix_next_before(&r, &at, here));
		assert_ptr_equal(radix_next_before(&r, &at, ~0UL), (void *)(i + 1));
	}
	radix_destroy(&r);
	assert_int_equal(pages, 0);
}

/* Are neighbours taken out together, in order, within the bounds, and counted? */
static void
take(void **state)
{
	void *out[8];
	struct radix r;
	u64 at = 0;

	radix_init(&r, &mem);
	for (u64 i = 507; i < 523; i++)
		if (i != 515)
			assert_int_equal(radix_set(&r, i, (void *)i), 0);
	assert_int_equal(radix_take(&r, &at, 500, out, 8), 0);
	assert_int_equal(radix_take(&r, &at, 600, out, 3), 3);
	assert_int_equal(at, 510);
	assert_ptr_equal(out[0], (void *)507);
	assert_int_equal(radix_take(&r, &at, 600, out, 8), 2); /* the node ends */
	assert_ptr_equal(out[1], (void *)511);
	assert_int_equal(radix_take(&r, &at, 600, out, 8), 3); /* 515 is missing */
	assert_int_equal(radix_take(&r, &at, 600, out, 0), 0);
	assert_int_equal(radix_take(&r, &at, 518, out, 8), 2);
	assert_int_equal(at, 518);
	assert_ptr_equal(out[0], (void *)516);
	assert_null(radix_get(&r, 517));
	assert_ptr_equal(radix_get(&r, 518), (void *)518);
	assert_int_equal(r.count, 5);
	radix_destroy(&r);
	assert_int_equal(pages, 0);
}

/* Does running out of pages at any point leave a tree that still works? */
static void
out_of_memory(void **state)
{
	for (long limit = 0; limit < 8; limit++) {
		struct radix r;

		radix_init(&r, &mem);
		pages_left = 2;
		assert_int_equal(radix_set(&r, 600, (void *)8), -ENOMEM);
		pages_left = 1;
		assert_int_equal(radix_set(&r, 600, (void *)8), 0);
		pages_left = limit;
		if (radix_set(&r, 1UL << 50, (void *)16) == 0)
			assert_ptr_equal(radix_get(&r, 1UL << 50), (void *)16);
		else
			assert_null(radix_get(&r, 1UL << 50));
		assert_ptr_equal(radix_get(&r, 600), (void *)8);
		pages_left = -1;
		radix_destroy(&r);
		assert_int_equal(pages, 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_and_get),	 cmocka_unit_test(prune),
		cmocka_unit_test(walk),		 cmocka_unit_test(take),
		cmocka_unit_test(out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
