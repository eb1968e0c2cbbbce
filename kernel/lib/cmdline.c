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

static int
digit(char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	if (ch >= 'a' && ch <= 'f')
		return ch - 'a' + 10;
	return ch >= 'A' && ch <= 'F' ? ch - 'A' + 10 : 16;
}

/* A number of `base` at *s, which moves behind it. */
static bool
scan_number(const char **s, u32 base, u64 *v)
{
	const char *start = *s;

	for (*v = 0; (u32)digit(**s) < base; (*s)++) {
		if (*v > (UINT64_MAX - 15) / base)
			return false;
		*v = *v * base + (u32)digit(**s);
	}
	return *s > start;
}

static bool
parse_number(const char *s, u32 *v)
{
	u64 n;

	if (!scan_number(&s, 10, &n) || *s || n > UINT32_MAX)
		return false;
	*v = (u32)n;
	return true;
}

static bool
parse_address(const char *s, u64 *v)
{
	bool hex = s[0] == '0' && s[1] == 'x';
	u64 n;

	s += hex ? 2 : 0;
	if (!scan_number(&s, hex ? 16 : 10, &n) || *s)
		return false;
	*v = n;
	return true;
}

/* 3 or 3,5,7: added to those of other words. */
static bool
parse_kills(struct cmdline *c, const char *s)
{
	u32 list[CMDLINE_KILLS], n = 0;
	u64 v;

	do {
		if (n == CMDLINE_KILLS - c->nkill || !scan_number(&s, 10, &v) || v > UINT32_MAX)
			return false;
		list[n++] = (u32)v;
	} while (*s++ == ',');
	if (s[-1])
		return false;
	memcpy(c->kill + c->nkill, list, n * sizeof(list[0]));
	c->nkill += n;
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
	const struct {
		const char *name;
		u32 *value;
	} numbers[] = {
		{"clusters=", &c->clusters},
		{"cores=", &c->cores},
		{"mem=", &c->mem},
		{"io=", &c->io},
		{"stall=", &c->stall},
		{"odd=", &c->odd},
		{"patience=", &c->patience},
		{"barriers=", &c->barriers},
		{"disk-patience=", &c->disk_patience},
	};
	u32 v;

	for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++) {
		size_t n = strlen(numbers[i].name);

		if (strncmp(word, numbers[i].name, n) != 0)
			continue;
		if (!parse_number(word + n, &v))
			return false;
		*numbers[i].value = v;
		return true;
	}
	if (!strncmp(word, "kill=", 5))
		return parse_kills(c, word + 5);
	if (!strncmp(word, "badmem=", 7))
		return parse_address(word + 7, &c->badmem);
	return false;
}

static bool
parse_flag(struct cmdline *c, const char *word)
{
	if (!strcmp(word, "quiet"))
		c->quiet = true;
	else if (!strcmp(word, "noarch"))
		c->noarch = true;
	else if (!strcmp(word, "replicas=off"))
		c->replicas_off = true;
	else if (!strcmp(word, "persist-verify"))
		c->persist_verify = true;
	else if (!strcmp(word, "count-errors"))
		c->count_errors = true;
	else if (!strcmp(word, "memtest=full"))
		c->memtest_full = true;
	else
		return false;
	return true;
}

static void
parse_word(struct scan *sc, const char *word)
{
	struct cmdline *c = sc->c;

	if (parse_flag(c, word) || parse_level(sc, word) || parse_setting(c, word))
		return;
	if (word[0] != '-' && word[0] != '=' && strchr(word, '='))
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
	c->io = c->odd = c->stall = UINT32_MAX;
	c->badmem = UINT64_MAX;
	while ((word = next_word(&sc)) && strcmp(word, "--") != 0) {
		bool is_name =
			first && word[0] != '-' && !strchr(word, '=') && !parse_flag(c, word);

		first = false;
		if (!is_name) /* QEMU and GRUB put the kernel's file name first */
			parse_word(&sc, word);
	}
	if (!word)
		return;
	while ((word = next_word(&sc)))
		add(c, c->argv, &c->nargv, word);
}
