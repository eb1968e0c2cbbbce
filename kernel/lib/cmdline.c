/* The parser of the kernel command line. Pure; the grammar is in cmdline.h. */
#include "lib/cmdline.h"
#include "lib/string.h"

struct scan {
	const char *s;
	size_t n, at;
	struct cmdline *c;
	size_t used; /* of c->text */
};

static bool
is_blank(char ch)
{
	return ch == ' ' || ch == '\t' || ch == '\n' || ch == '\r';
}

static void
put(struct scan *sc, char ch)
{
	if (sc->used < sizeof(sc->c->text))
		sc->c->text[sc->used++] = ch;
	else
		sc->c->truncated = true;
}

/* Takes a character that is not a blank outside of quotes; *quote is the open one or 0. */
static void
scan_char(struct scan *sc, char *quote)
{
	char ch = sc->s[sc->at++];

	if (ch == '\\' && *quote != '\'' && sc->at < sc->n) {
		put(sc, sc->s[sc->at++]);
	} else if (*quote) {
		if (ch == *quote)
			*quote = 0;
		else
			put(sc, ch);
	} else if (ch == '\'' || ch == '"') {
		*quote = ch;
	} else {
		put(sc, ch);
	}
}

/* The next word, unquoted, or NULL at the end. */
static const char *
next_word(struct scan *sc)
{
	size_t start = sc->used;
	char quote = 0;

	while (sc->at < sc->n && is_blank(sc->s[sc->at]))
		sc->at++;
	if (sc->at == sc->n)
		return NULL;
	while (sc->at < sc->n && (quote || !is_blank(sc->s[sc->at])))
		scan_char(sc, &quote);
	if (quote)
		sc->c->truncated = true;
	put(sc, '\0');
	if (sc->c->text[sizeof(sc->c->text) - 1] != '\0' || start >= sizeof(sc->c->text)) {
		sc->c->text[sizeof(sc->c->text) - 1] = '\0';
		sc->c->truncated = true;
		return NULL;
	}
	return sc->c->text + start;
}

static bool
parse_number(const char *s, u32 *v)
{
	u64 n = 0;

	if (!*s)
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return false;
		n = n * 10 + (*s - '0');
		if (n > UINT32_MAX)
			return false;
	}
	*v = n;
	return true;
}

static void
add(struct cmdline *c, const char **list, unsigned *count, const char *word)
{
	if (*count < CMDLINE_WORDS)
		list[(*count)++] = word;
	else
		c->truncated = true;
}

/* -d N, -d=N, -dN: the value may be in the next word. Returns false when it is none of ours. */
static bool
parse_level(struct scan *sc, const char *word)
{
	struct cmdline *c = sc->c;
	const char *value;
	int *out;
	u32 v;

	if (word[0] != '-')
		return false;
	switch (word[1]) {
	case 'd':
	case 'e':
		out = &c->max_error;
		break;
	case 'i':
		out = &c->max_info;
		break;
	case 'f':
		out = &c->max_flow;
		break;
	default:
		return false;
	}
	value = word + 2;
	if (*value == '=')
		value++;
	else if (!*value)
		value = next_word(sc);
	if (!value || !parse_number(value, &v) || v > 255)
		return false;
	*out = (int)v;
	return true;
}

static bool
parse_setting(struct cmdline *c, const char *word)
{
	u32 v;

	if (!strncmp(word, "clusters=", 9) && parse_number(word + 9, &v))
		c->clusters = v;
	else if (!strncmp(word, "cores=", 6) && parse_number(word + 6, &v))
		c->cores = v;
	else if (!strncmp(word, "kill=", 5) && parse_number(word + 5, &v))
		c->kill = v;
	else
		return false;
	return true;
}

static void
parse_word(struct scan *sc, const char *word)
{
	struct cmdline *c = sc->c;

	if (!strcmp(word, "quiet"))
		c->quiet = true;
	else if (parse_level(sc, word) || parse_setting(c, word))
		return;
	else if (word[0] != '-' && word[0] != '=' && strchr(word, '='))
		add(c, c->env, &c->nenv, word);
	else
		add(c, c->unknown, &c->nunknown, word);
}

void
cmdline_parse(struct cmdline *c, const char *s, size_t n)
{
	struct scan sc = {.s = s, .n = strnlen(s, n), .c = c};
	const char *word;
	bool first = true;

	memset(c, 0, sizeof(*c));
	c->max_error = c->max_info = c->max_flow = -1;
	c->kill = UINT32_MAX;
	while ((word = next_word(&sc)) && strcmp(word, "--") != 0) {
		bool is_name =
			first && word[0] != '-' && !strchr(word, '=') && strcmp(word, "quiet") != 0;

		first = false;
		if (!is_name) /* QEMU and GRUB put the kernel's file name first */
			parse_word(&sc, word);
	}
	if (!word)
		return;
	while ((word = next_word(&sc)))
		add(c, c->argv, &c->nargv, word);
}
