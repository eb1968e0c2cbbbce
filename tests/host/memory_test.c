/* Do range lists stay right, and does the memory test find cells that are shared? */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "lib/memtest.h"
#include "lib/ranges.h"

#define BITS 256

/* The list against a bit for each of BITS units. */
static void
same(const struct boot_ranges *rs, const bool *bits)
{
	u32 at = 0;

	for (u32 i = 0; i < rs->n; i++) {
		assert_true(rs->r[i].size > 0);
		assert_true(i == 0 || rs->r[i].base > at); /* apart: else they were one */
		for (; at < rs->r[i].base; at++)
			assert_false(bits[at]);
		for (; at < rs->r[i].base + rs->r[i].size; at++)
			assert_true(bits[at]);
	}
	for (; at < BITS; at++)
		assert_false(bits[at]);
}

static void
like_bits(void **state)
{
	struct boot_ranges rs = {0};
	bool bits[BITS] = {false};

	(void)state;
	srand(3);
	for (int i = 0; i < 50000; i++) {
		u32 base = (u32)rand() % BITS, size = (u32)rand() % 20 + 1;
		bool add = rand() % 2;

		size = min(size, BITS - base);
		if (add)
			ranges_add(&rs, base, size);
		else
			ranges_remove(&rs, base, size);
		memset(bits + base, add, size);
		same(&rs, bits);
		assert_int_equal(ranges_cover(&rs, base, base + size), add);
	}
}

static void
full_list(void **state)
{
	struct boot_ranges rs = {0};
	u32 i;

	(void)state;
	for (i = 0; i < BOOT_MAP + 5; i++)
		ranges_add(&rs, 10 * i, 5);
	assert_int_equal(rs.n, BOOT_MAP);
	ranges_remove(&rs, 1, 2); /* no place for the part behind the hole */
	assert_int_equal(rs.n, BOOT_MAP);
	assert_int_equal(ranges_bytes(&rs), 5 * BOOT_MAP - 4);
	ranges_add(&rs, 0, 10 * BOOT_MAP);
	assert_int_equal(rs.n, 1);
	ranges_remove(&rs, 0, ~0ul);
	assert_int_equal(rs.n, 0);
}

static void
good_memory(void **state)
{
	u64 size = 1 << 20, *p = malloc(size);

	(void)state;
	memset(p, 1, size);
	assert_int_equal(memtest(p, size, MEMTEST_LINES, NULL), size);
	for (u64 i = 0; i < size / 8; i++)
		assert_int_equal(p[i], i % 8 == 0 ? 0 : 0x0101010101010101);
	assert_int_equal(memtest(p, size, MEMTEST_WORDS, NULL), size);
	for (u64 i = 0; i < size / 8; i++)
		assert_int_equal(p[i], 0);
	free(p);
}

/* an address line that does nothing: two places are the same cells */
static void
shared_cells(void **state)
{
	long page = sysconf(_SC_PAGESIZE);
	int fd = memfd_create("cells", 0);
	u8 *p;

	(void)state;
	assert_int_equal(ftruncate(fd, 2 * page), 0);
	p = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	for (int i = 0; i < 3; i++)
		assert_ptr_equal(mmap(p + i * page, page, PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_FIXED, fd, i == 2 ? 0 : i * page),
				 p + i * page);
	for (int i = 0; i < 2; i++) {
		u32 step = i ? MEMTEST_LINES : MEMTEST_WORDS;

		assert_int_equal(memtest((u64 *)p, 2 * page, step, NULL), 2 * page);
		assert_int_equal(memtest((u64 *)p, 3 * page, step, NULL), 0);
	}
	munmap(p, 3 * page);
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(like_bits),
		cmocka_unit_test(full_list),
		cmocka_unit_test(good_memory),
		cmocka_unit_test(shared_cells),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
