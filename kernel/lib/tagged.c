#include <asm/errno.h>

#include "lib/string.h"
#include "lib/tagged.h"

struct head {
	u16 tag, zero;
	u32 length;
};

struct field_u64 {
	struct head head;
	u64 value;
};

/* The buffer is aligned to 8 bytes, and so is all in it. */
_Static_assert(sizeof(struct head) == 8 && sizeof(struct field_u64) == 16, "no holes");

#define GROW_FIRST 1024u

void
tag_reset(struct tag_writer *w)
{
	w->length = w->spilled = 0;
	w->err = 0;
	w->depth = 0;
}

/* Empties the buffer, if that is allowed here. */
static bool
spill(struct tag_writer *w)
{
	if (!w->spill || w->depth > 0)
		return true;
	w->err = w->spill(w);
	w->spilled += w->length;
	w->length = 0;
	return w->err == 0;
}

/* As reserve, where the buffer lacks room or is to be emptied. */
static u8 *__attribute__((noinline)) extend(struct tag_writer *w, size_t n)
{
	size_t need, room;
	u8 *p;

	if (w->err)
		return NULL;
	if (n > TAGGED_MAX - w->length - w->spilled) {
		w->err = -E2BIG;
		return NULL;
	}
	if (w->length >= TAGGED_SPILL && !spill(w))
		return NULL;
	need = w->length + n;
	if (need > w->room) {
		for (room = w->room ? w->room : GROW_FIRST; room < need; room *= 2)
			;
		p = w->grow(w->buf, w->length, room);
		if (!p) {
			w->err = -ENOMEM;
			return NULL;
		}
		w->buf = p;
		w->room = room;
	}
	p = w->buf + w->length;
	w->length = need;
	return p;
}

/* Room for n more bytes: where they go, or NULL with w->err set. (What has room in the buffer is
 * below TAGGED_MAX, when nothing was spilled.) */
static inline u8 *
reserve(struct tag_writer *w, size_t n)
{
	size_t at = w->length;

	if (w->err || w->spilled || at >= TAGGED_SPILL || n > w->room - at)
		return extend(w, n);
	w->length = at + n;
	return w->buf + at;
}

void
tag_bytes(struct tag_writer *w, u16 tag, const void *data, size_t n)
{
	struct head h = {.tag = tag, .length = (u32)n};
	u8 *p = n > TAGGED_MAX ? NULL : reserve(w, sizeof(h) + ALIGN_UP(n, 8));

	if (!p) {
		if (!w->err)
			w->err = -E2BIG;
		return;
	}
	*(struct head *)p = h;
	if (n)
		memcpy(p + sizeof(h), data, n);
	if (n % 8)
		memset(p + sizeof(h) + n, 0, ALIGN_UP(n, 8) - n);
}

/* Most fields are such; the time of a checkpoint is spent here. */
void
tag_u64(struct tag_writer *w, u16 tag, u64 value)
{
	struct field_u64 *p = (struct field_u64 *)reserve(w, sizeof(*p));

	if (p)
		*p = (struct field_u64){{.tag = tag, .length = sizeof(value)}, value};
}

void
tag_string(struct tag_writer *w, u16 tag, const char *s)
{
	if (s)
		tag_bytes(w, tag, s, strlen(s));
}

size_t
tag_begin(struct tag_writer *w, u16 tag)
{
	tag_bytes(w, tag, NULL, 0);
	w->depth++;
	return w->length - (w->err ? 0 : sizeof(struct head));
}

void
tag_end(struct tag_writer *w, size_t begin)
{
	u32 length;

	w->depth--;
	if (w->err)
		return;
	length = (u32)(w->length - begin - sizeof(struct head));
	memcpy(w->buf + begin + offsetof(struct head, length), &length, sizeof(length));
}

/* The field at *offset, which moves behind it. False: there is no whole one. */
static bool
field_at(const struct tag_reader *r, size_t *offset, struct tag_field *f)
{
	struct head h;

	if (r->length - *offset < sizeof(h))
		return false;
	memcpy(&h, r->buf + *offset, sizeof(h));
	if (h.zero || ALIGN_UP((size_t)h.length, 8) > r->length - *offset - sizeof(h))
		return false;
	*f = (struct tag_field){h.tag, r->buf + *offset + sizeof(h), h.length};
	*offset += sizeof(h) + ALIGN_UP((size_t)h.length, 8);
	return true;
}

size_t
tag_whole(const struct tag_reader *r)
{
	struct tag_field f;
	size_t offset = 0;

	while (field_at(r, &offset, &f))
		;
	return offset;
}

bool
tag_check(const struct tag_reader *r)
{
	for (; r; r = r->more)
		if (tag_whole(r) != r->length)
			return false;
	return true;
}

/* The part that f is in, whose bytes are behind the head that the part begins with. */
static const struct tag_reader *
part_of(const struct tag_reader *r, const struct tag_field *f)
{
	while (r && !(f->data > r->buf && f->data <= r->buf + r->length))
		r = r->more;
	return r;
}

bool
tag_next(const struct tag_reader *r, u16 tag, struct tag_field *f)
{
	struct tag_field next;
	size_t offset = 0;

	if (f->data) {
		r = part_of(r, f);
		offset = r ? (size_t)(f->data - r->buf) + ALIGN_UP(f->length, 8) : 0;
	}
	for (; r; r = r->more, offset = 0)
		while (field_at(r, &offset, &next))
			if (next.tag == tag) {
				*f = next;
				return true;
			}
	return false;
}

struct tag_reader
tag_group(const struct tag_field *f)
{
	return (struct tag_reader){.buf = f->data, .length = f->length};
}

u64
tag_field_u64(const struct tag_field *f)
{
	u64 value = 0;

	if (f->length == sizeof(value))
		memcpy(&value, f->data, sizeof(value));
	return value;
}

u64
tag_get_u64(const struct tag_reader *r, u16 tag, u64 otherwise)
{
	struct tag_field f = {0};

	if (!tag_next(r, tag, &f) || f.length != sizeof(u64))
		return otherwise;
	return tag_field_u64(&f);
}

bool
tag_get_bytes(const struct tag_reader *r, u16 tag, void *to, size_t n)
{
	struct tag_field f = {0};

	if (!tag_next(r, tag, &f) || f.length != n)
		return false;
	memcpy(to, f.data, n);
	return true;
}

bool
tag_get_string(const struct tag_reader *r, u16 tag, char *to, size_t size)
{
	struct tag_field f = {0};

	if (!tag_next(r, tag, &f) || f.length >= size || memchr(f.data, 0, f.length))
		return false;
	memcpy(to, f.data, f.length);
	to[f.length] = 0;
	return true;
}
