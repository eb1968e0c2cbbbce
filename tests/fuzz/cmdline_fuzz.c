/* The command line: every word it hands out lies, terminated, in its own text. */
#include "fuzz.h"
#include "lib/cmdline.h"

static void
check_words(const struct cmdline *c, const char *const *list, unsigned count)
{
	const char *end = c->text + sizeof(c->text);

	CHECK(count <= CMDLINE_WORDS);
	for (unsigned i = 0; i < count; i++) {
		CHECK(list[i] >= c->text && list[i] < end);
		CHECK(strnlen(list[i], (size_t)(end - list[i])) < (size_t)(end - list[i]));
	}
}

static void
check_level(int level)
{
	CHECK(level >= -1 && level <= 255);
}

int
LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct cmdline *c = malloc(sizeof(*c));

	CHECK(c);
	cmdline_parse(c, (const char *)data, size);
	check_words(c, c->env, c->nenv);
	check_words(c, c->argv, c->nargv);
	check_words(c, c->unknown, c->nunknown);
	for (unsigned i = 0; i < c->nenv; i++)
		CHECK(strchr(c->env[i], '=') && c->env[i][0] != '=');
	check_level(c->max_error);
	check_level(c->max_info);
	check_level(c->max_flow);
	free(c);
	return 0;
}
