/* Does SipHash-2-4 agree with the vectors of its authors? */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/siphash.h"

static void
authors_vectors(void **state)
{
	static const struct {
		size_t size;
		uint64_t hash;
	} want[] = {
		{0, 0x726fdb47dd0e0e31}, {1, 0x74f839c593dc67fd}, {2, 0x0d6c8009d9a94f5a},
		{3, 0x85676696d7fb7e2d}, {8, 0x93f5f5799a932462}, {15, 0xa129ca6149be45e5},
	};
	const u64 key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
	uint8_t bytes[16];

	(void)state;
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	for (unsigned i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		assert_int_equal(siphash(key, bytes, want[i].size), want[i].hash);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(authors_vectors)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
