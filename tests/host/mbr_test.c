/* Partition tables: found by type, and never outside the disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "lib/mbr.h"

static void
entry(u8 *sector, unsigned i, u8 type, u32 first, u32 count)
{
	sector[446 + 16 * i + 4] = type;
	memcpy(sector + 446 + 16 * i + 8, &first, 4);
	memcpy(sector + 446 + 16 * i + 12, &count, 4);
	sector[510] = 0x55;
	sector[511] = 0xaa;
}

static void
found_by_type(void **state)
{
	u8 sector[512] = {0};
	u64 first = 0, count = 0;

	assert_false(mbr_find(sector, MBR_TYPE_STORE, 10000, &first, &count));
	entry(sector, 0, 0x83, 1, 100);
	assert_false(mbr_find(sector, MBR_TYPE_STORE, 10000, &first, &count));
	entry(sector, 3, MBR_TYPE_STORE, 2048, 5000);
	assert_true(mbr_find(sector, MBR_TYPE_STORE, 10000, &first, &count));
	assert_int_equal(first, 2048);
	assert_int_equal(count, 5000);
	sector[511] = 0;
	assert_false(mbr_find(sector, MBR_TYPE_STORE, 10000, &first, &count));
}

static void
inside_the_disk(void **state)
{
	u8 sector[512] = {0};
	u64 first, count;

	entry(sector, 0, MBR_TYPE_STORE, 0, 50);
	entry(sector, 1, MBR_TYPE_STORE, 9000, 1001);
	entry(sector, 2, MBR_TYPE_STORE, 0xffffffff, 0xffffffff);
	assert_false(mbr_find(sector, MBR_TYPE_STORE, 10000, &first, &count));
	entry(sector, 1, MBR_TYPE_STORE, 9000, 1000);
	assert_true(mbr_find(sector, MBR_TYPE_STORE, 10000, &first, &count));
	assert_int_equal(first, 9000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(found_by_type),
		cmocka_unit_test(inside_the_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
