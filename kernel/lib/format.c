/*
 * printf formatting without floating point: see format.h for what it knows. Output goes through
 * struct out, which counts everything and stores what fits.
 */
#include "lib/format.h"
#include "lib/string.h"

struct out {
	char *buf;
	size_t size;
	size_t len;
};

struct spec {
	bool left, zero, plus, space, alt, upper;
	int width;
	int precision; /* -1: none */
	int length;    /* bytes of the integer */
};

static void
put(struct out *o, char c)
{
	if (o->len + 1 < o->size)
		o->buf[o->len] = c;
	o->len++;
}

static void
pad(struct out *o, char c, int n)
{
	while (n-- > 0)
		put(o, c);
}

static void
put_string(struct out *o, const struct spec *s, const char *str)
{
	size_t n;

	if (!str)
		str = "(null)";
	n = s->precision >= 0 ? strnlen(str, s->precision) : strlen(str);
	if (!s->left)
		pad(o, ' ', s->width - (int)n);
	for (size_t i = 0; i < n; i++)
		put(o, str[i]);
	if (s->left)
		pad(o, ' ', s->width - (int)n);
}

static void
put_number(struct out *o, const struct spec *s, u64 v, unsigned base, char sign)
{
	const char *digits = s->upper ? "0123456789ABCDEF" : "0123456789abcdef";
	char tmp[24];
	int n = 0, zeros, total;
	int prefix = s->alt && base == 16 && v != 0 ? 2 : 0;

	do {
		tmp[n++] = digits[v % base];
		v /= base;
	} while (v != 0);
	if (s->precision == 0 && n == 1 && tmp[0] == '0')
		n = 0;
	zeros = s->precision > n ? s->precision - n : 0;
	total = n + zeros + prefix + (sign != 0);
	if (s->zero && !s->left && s->precision < 0 && s->width > total) {
		zeros += s->width - total;
		total = s->width;
	}
	if (!s->left)
		pad(o, ' ', s->width - total);
	if (sign)
		put(o, sign);
	if (prefix) {
		put(o, '0');
		put(o, s->upper ? 'X' : 'x');
	}
	pad(o, '0', zeros);
	while (n > 0)
		put(o, tmp[--n]);
	if (s->left)
		pad(o, ' ', s->width - total);
}

static const char *
parse_number(const char *f, int *out)
{
	*out = 0;
	while (*f >= '0' && *f <= '9')
		*out = *out * 10 + (*f++ - '0');
	return f;
}

static const char *
parse_flags(const char *f, struct spec *s)
{
	for (;; f++) {
		if (*f == '-')
			s->left = true;
		else if (*f == '0')
			s->zero = true;
		else if (*f == '+')
			s->plus = true;
		else if (*f == ' ')
			s->space = true;
		else if (*f == '#')
			s->alt = true;
		else
			return f;
	}
}

static const char *
parse_length(const char *f, struct spec *s)
{
	s->length = 4;
	for (;; f++) {
		if (*f == 'l' || *f == 'z' || *f == 'j' || *f == 't')
			s->length = 8;
		else if (*f == 'h')
			s->length = s->length == 2 ? 1 : 2;
		else
			return f;
	}
}

static u64
take_unsigned(va_list *ap, int length)
{
	if (length == 8)
		return va_arg(*ap, u64);
	if (length == 4)
		return va_arg(*ap, u32);
	return length == 2 ? (u16)va_arg(*ap, u32) : (u8)va_arg(*ap, u32);
}

static s64
take_signed(va_list *ap, int length)
{
	if (length == 8)
		return va_arg(*ap, s64);
	if (length == 4)
		return va_arg(*ap, s32);
	return length == 2 ? (s16)va_arg(*ap, s32) : (s8)va_arg(*ap, s32);
}

static void
put_signed(struct out *o, const struct spec *s, s64 v)
{
	char sign = v < 0 ? '-' : s->plus ? '+' : s->space ? ' ' : 0;

	put_number(o, s, v < 0 ? -(u64)v : (u64)v, 10, sign);
}

/* Handles the conversion character; returns false for one it does not know. */
static bool
convert(struct out *o, struct spec *s, char c, va_list *ap)
{
	switch (c) {
	case 'd':
	case 'i':
		put_signed(o, s, take_signed(ap, s->length));
		return true;
	case 'u':
		put_number(o, s, take_unsigned(ap, s->length), 10, 0);
		return true;
	case 'X':
		s->upper = true;
		/* fall through */
	case 'x':
		put_number(o, s, take_unsigned(ap, s->length), 16, 0);
		return true;
	case 'o':
		put_number(o, s, take_unsigned(ap, s->length), 8, 0);
		return true;
	case 'p':
		s->alt = true;
		put_number(o, s, (u64)va_arg(*ap, void *), 16, 0);
		return true;
	case 'c':
		put(o, (char)va_arg(*ap, int));
		return true;
	case 's':
		put_string(o, s, va_arg(*ap, const char *));
		return true;
	case '%':
		put(o, '%');
		return true;
	}
	return false;
}

int
format_v(char *buf, size_t size, const char *f, va_list args)
{
	struct out o = {buf, size, 0};
	va_list ap;

	va_copy(ap, args);
	while (*f) {
		struct spec s = {.precision = -1};

		if (*f != '%') {
			put(&o, *f++);
			continue;
		}
		f = parse_flags(f + 1, &s);
		if (*f == '*') {
			s.width = va_arg(ap, int);
			f++;
		} else {
			f = parse_number(f, &s.width);
		}
		if (*f == '.' && f[1] == '*') {
			s.precision = va_arg(ap, int);
			f += 2;
		} else if (*f == '.') {
			f = parse_number(f + 1, &s.precision);
		}
		f = parse_length(f, &s);
		if (!convert(&o, &s, *f, &ap))
			break;
		f++;
	}
	va_end(ap);
	if (size > 0)
		buf[o.len < size ? o.len : size - 1] = 0;
	return (int)o.len;
}

int
format(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = format_v(buf, size, fmt, ap);
	va_end(ap);
	return n;
}
