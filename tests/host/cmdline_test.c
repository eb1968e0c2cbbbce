/* Does the command line's grammar hold, and does no input break the parser? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/cmdline.h"

static void
parse(struct cmdline *c, const char *s)
{
	cmdline_parse(c, s, strlen(s));
}

/* what does a Phantom boot entry give? */
static void
whole_line(void **state)
{
	struct cmdline c;

	(void)state;
	parse(&c, "holdfast.elf -d 10 root.boot=ru.dz quiet -i=3 clusters=4 replicas=off foo -- "
		  "/bin/sh -c ls");
	assert_int_equal(c.max_error, 10);
	assert_int_equal(c.max_info, 3);
	assert_int_equal(c.max_flow, -1);
	assert_true(c.quiet);
	assert_int_equal(c.clusters, 4);
	assert_true(c.replicas_off);
	assert_int_equal(c.nenv, 1);
	assert_string_equal(c.env[0], "root.boot=ru.dz");
	assert_int_equal(c.nunknown, 1);
	assert_string_equal(c.unknown[0], "foo");
	assert_int_equal(c.nargv, 3);
	assert_string_equal(c.argv[2], "ls");
	assert_false(c.truncated);
}

/* do quotes and backslashes keep blanks, and are they gone afterwards? */
static void
quotes(void **state)
{
	struct cmdline c;

	(void)state;
	parse(&c, "'A=b  c' B=\"d 'e'\" -- x\\ y \"\" 'a\\b'");
	assert_int_equal(c.nenv, 2);
	assert_string_equal(c.env[0], "A=b  c");
	assert_string_equal(c.env[1], "B=d 'e'");
	assert_int_equal(c.nargv, 3);
	assert_string_equal(c.argv[0], "x y");
	assert_string_equal(c.argv[1], "");
	assert_string_equal(c.argv[2], "a\\b");
}

/* do the words of clusters take what they mean, and nothing else? */
static void
machine_words(void **state)
{
	struct cmdline c;

	(void)state;
	parse(&c, "h noarch mem=64 io=2 kill=3,5 kill=7 memtest=full count-errors badmem=0x1Fa000 "
		  "patience=2 "
		  "disk-patience=5");
	assert_true(c.noarch && c.memtest_full);
	assert_int_equal(c.mem, 64);
	assert_int_equal(c.io, 2);
	assert_int_equal(c.nkill, 3);
	assert_int_equal(c.kill[2], 7);
	assert_int_equal(c.badmem, 0x1fa000);
	assert_true(c.count_errors);
	assert_int_equal(c.patience, 2);
	assert_int_equal(c.disk_patience, 5);
	assert_int_equal(c.nunknown + c.nenv, 0);
	parse(&c, "h kill=1, kill=,2 kill=1,,2 kill=x badmem=0x badmem=0x10000000000000000 io=-1");
	assert_int_equal(c.nkill, 0);
	assert_int_equal(c.badmem, UINT64_MAX);
	assert_int_equal(c.io, UINT32_MAX);
	assert_int_equal(c.nenv, 7); /* as every other key=value */
	parse(&c, "h kill=1,2,3,4,5,6,7,8,9,10 kill=1,2,3,4,5,6,7,8 badmem=4096");
	assert_int_equal(c.nkill, 10);
	assert_int_equal(c.badmem, 4096);
}

/* is what is wrong reported and nothing else disturbed? */
static void
wrong(void **state)
{
	struct cmdline c;

	(void)state;
	parse(&c, "k -d x -i 999 clusters=a cores= =v A=1");
	assert_int_equal(c.max_error, -1);
	assert_int_equal(c.max_info, -1);
	assert_int_equal(c.clusters, 0);
	assert_string_equal(c.env[c.nenv - 1], "A=1");
	parse(&c, "A=1 'open");
	assert_true(c.truncated);
	parse(&c, "");
	assert_int_equal(c.nenv + c.nargv + c.nunknown, 0);
}

/* does any string stay inside its bounds? (ASan watches) */
static void
random_strings(void **state)
{
	static const char letters[] = "ab=-'\"\\ dif5\t";
	struct cmdline c;

	(void)state;
	srand(1);
	for (int i = 0; i < 20000; i++) {
		size_t n = (size_t)rand() % (i % 50 ? 80 : 4000);
		char *s = malloc(n + 1);

		for (size_t k = 0; k < n; k++)
			s[k] = letters[rand() % (int)(sizeof(letters) - 1)];
		cmdline_parse(&c, s, n);
		free(s);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_line),	  cmocka_unit_test(machine_words),
		cmocka_unit_test(quotes),	  cmocka_unit_test(wrong),
		cmocka_unit_test(random_strings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
