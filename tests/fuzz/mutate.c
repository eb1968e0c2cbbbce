/*
 * mutate-records FILE SEED [COUNT]: writes a new epoch in which COUNT records say something else
 * than the kernel had written, with right hashes. One line for each change on stdout. The same file
 * and seed give the same changes.
 *
 * mutate-records FILE set KIND TAG[/TAG]... WORD VALUE: the field of that path has the number VALUE
 * as its word WORD, in all records of the kind that have one.
 *
 * A field is changed in its place, so that the record stays well-formed: numbers become others,
 * references lead to other objects, fields get tags that nobody knows, lists become shorter, or
 * have what a field elsewhere has.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../tools/store/record.h"
#include "persist/record.h"

#define UNKNOWN	  0xfff0
#define KINDS_MAX 64
#define HEAD	  8u

void assert_failed(const char *expr, const char *file, int line);

void
assert_failed(const char *expr, const char *file, int line)
{
	fprintf(stderr, "mutate-records: %s:%d: %s\n", file, line, expr);
	abort();
}

static u64 state;

/* 0 to n - 1. */
static u64
chance(u64 n)
{
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return (state >> 33) % n;
}

static void
need(bool right, const char *what)
{
	if (right)
		return;
	fprintf(stderr, "mutate-records: %s\n", what);
	exit(2);
}

/* --- the disk --- */

static int
disk_read(void *dev, u64 block, void *buf, u32 blocks)
{
	size_t want = (size_t)blocks * STORE_BLOCK;

	return pread(*(int *)dev, buf, want, (off_t)(block * STORE_BLOCK)) == (ssize_t)want ? 0
											    : -EIO;
}

static int
disk_write(void *dev, u64 block, const struct store_seg *seg, u32 segs)
{
	for (u32 i = 0; i < segs; i++) {
		size_t n = (size_t)seg[i].blocks * STORE_BLOCK;

		if (pwrite(*(int *)dev, seg[i].data, n, (off_t)(block * STORE_BLOCK)) != (ssize_t)n)
			return -EIO;
		block += seg[i].blocks;
	}
	return 0;
}

static int
disk_flush(void *dev)
{
	return 0;
}

static const struct store_ops ops = {disk_read, disk_write, disk_flush, malloc, free};

/* --- the objects --- */

struct object {
	u64 id;
	u16 kind;
};

static struct object *objects;
static size_t nobjects;

static void
list_objects(struct store *s)
{
	struct store_item item;
	struct record r;

	for (u64 id = STORE_OID_USER; store_next(s, id, 0, &item) == 0; id = item.oid + 1) {
		if (item.idx != 0 || record_read(s, item.oid, 0, &r))
			continue;
		objects = realloc(objects, (nobjects + 1) * sizeof(*objects));
		need(objects, "no memory");
		objects[nobjects++] = (struct object){item.oid, r.kind};
		record_free(&r);
	}
	need(nobjects > 0, "no records");
}

/* Each kind as often as any other, however many objects it has; one of `kind`, if that is not 0. */
static const struct object *
pick_object(u16 kind)
{
	u16 kinds[KINDS_MAX];
	size_t n = 0, of = 0;

	for (size_t i = 0; i < nobjects && !kind; i++) {
		size_t k = 0;

		while (k < n && kinds[k] != objects[i].kind)
			k++;
		if (k == n && n < KINDS_MAX)
			kinds[n++] = objects[i].kind;
	}
	kind = kind ? kind : kinds[chance(n)];
	for (size_t i = 0; i < nobjects; i++)
		of += objects[i].kind == kind;
	of = chance(of);
	for (size_t i = 0;; i++)
		if (objects[i].kind == kind && of-- == 0)
			return &objects[i];
}

/* --- a field --- */

struct field { /* where it lies in a record */
	u8 *head;
	u16 tag;
	u32 length;
};

static bool
next_field(u8 *buf, size_t length, size_t *at, struct field *f)
{
	if (length - *at < HEAD)
		return false;
	f->head = buf + *at;
	memcpy(&f->tag, f->head, 2);
	memcpy(&f->length, f->head + 4, 4);
	*at += HEAD + ALIGN_UP((size_t)f->length, 8);
	return *at <= length;
}

static bool
is_group(const struct field *f)
{
	const struct tag_reader in = {f->head + HEAD, f->length};

	return f->length > 8 && f->length % 8 == 0 && f->head[HEAD] != 0 && tag_check(&in);
}

/* Any field of it, those inside groups too. False: it has none. */
static bool
pick_field(u8 *buf, size_t length, struct field *out)
{
	struct field f;
	size_t at = 0, n = 0;

	while (next_field(buf, length, &at, &f))
		if (chance(++n) == 0)
			*out = f;
	if (n == 0)
		return false;
	if (is_group(out) && chance(5))
		return pick_field(out->head + HEAD, out->length, out);
	return true;
}

/* --- changes --- */

static u64
another_number(u64 old)
{
	static const u64 odd[] = {0,	      1,	  2,	      3,	  255,
				  4096,	      1u << 16,	  1u << 31,   1ull << 32, 1ull << 40,
				  1ull << 47, 1ull << 52, 1ull << 63, ~0ull >> 1, ~0ull,
				  0xffffffff, 0xffff8000};

	switch (chance(6)) {
	case 0:
		return old + 1;
	case 1:
		return old - 1;
	case 2:
		return old ^ 1ull << chance(64);
	case 3:
		return objects[chance(nobjects)].id;
	case 4:
		return pick_object(0)->id;
	default:
		return odd[chance(sizeof(odd) / sizeof(odd[0]))];
	}
}

static void
change_number(struct field *f)
{
	u8 *at = f->head + HEAD;
	u64 old, new;

	if (f->length >= 8) {
		at += chance(f->length / 8) * 8;
		memcpy(&old, at, 8);
		do
			new = another_number(old);
		while (new == old);
		memcpy(at, &new, 8);
		printf("word %td: %" PRIx64 " becomes %" PRIx64 "\n", (at - f->head - HEAD) / 8,
		       old, new);
	} else if (f->length > 0) {
		at += chance(f->length);
		*at ^= (u8)(1u << chance(8));
		printf("byte %td becomes %02x\n", at - f->head - HEAD, *at);
	} else {
		printf("is empty and stays so\n");
	}
}

static void
change_tag(struct field *f)
{
	u16 tag = chance(3) ? UNKNOWN : (u16)(f->tag + 1 - 2 * chance(2));

	memcpy(f->head, &tag, 2);
	printf("the tag becomes %u\n", tag);
}

/* What is cut off is a field that nobody knows. */
static void
change_length(struct field *f)
{
	u32 whole = (u32)ALIGN_UP((size_t)f->length, 8), left, rest;
	u16 tag = UNKNOWN;

	if (whole < 8) {
		change_tag(f);
		return;
	}
	left = (u32)chance(whole / 8) * 8;
	rest = whole - left - HEAD;
	memset(f->head + HEAD + left, 0, whole - left);
	memcpy(f->head + HEAD + left, &tag, 2);
	memcpy(f->head + HEAD + left + 4, &rest, 4);
	memcpy(f->head + 4, &left, 4);
	printf("%u bytes become %u\n", f->length, left);
}

/* The contents of a field with this tag in another object of the kind. */
static void
change_for_another(struct store *s, const struct object *o, struct field *f)
{
	const struct object *other = pick_object(o->kind);
	struct record r;
	struct field from = {0};

	need(record_read(s, other->id, 0, &r) == 0, "a record went away");
	for (int i = 0; i < 100; i++)
		if (pick_field((u8 *)r.fields.buf, r.fields.length, &from) &&
		    from.length == f->length && from.tag == f->tag)
			break;
	if (from.length == f->length) {
		memcpy(f->head + HEAD, from.head + HEAD, f->length);
		printf("it gets what field %u of object %" PRIu64 " has\n", from.tag, other->id);
	} else {
		change_number(f);
	}
	record_free(&r);
}

/* The store takes whole blocks where they lie: what is put is not freed. */
static void
put_record(struct store *s, u64 id, const struct record *r)
{
	size_t length = HEAD + r->fields.length;

	for (size_t at = 0; at < length; at += STORE_BLOCK)
		need(store_put(s, id, at / STORE_BLOCK, r->buf + at,
			       (u32)min(length - at, (size_t)STORE_BLOCK)) == 0,
		     "a put failed");
}

static void
change(struct store *s)
{
	const struct object *o = pick_object(0);
	struct field f = {0};
	struct record r;

	need(record_read(s, o->id, 0, &r) == 0, "a record went away");
	printf("object %" PRIu64 " of kind %u, ", o->id, o->kind);
	if (chance(12) == 0) {
		printf("is gone\n");
		need(store_delete(s, o->id, 0, STORE_PAGE(0) - 1) == 0, "a deletion failed");
		record_free(&r);
		return;
	}
	if (!pick_field((u8 *)r.fields.buf, r.fields.length, &f)) {
		printf("without fields\n");
		record_free(&r);
		return;
	}
	printf("field %u: ", f.tag);
	switch (chance(8)) {
	case 0:
		change_tag(&f);
		break;
	case 1:
		change_length(&f);
		break;
	case 2:
		change_for_another(s, o, &f);
		break;
	default:
		change_number(&f);
	}
	put_record(s, o->id, &r);
}

/* --- one lie, where it is wanted --- */

static unsigned
set_in(u8 *buf, size_t length, const char *path, size_t word, u64 value)
{
	u16 tag = (u16)strtoul(path, NULL, 10);
	const char *inner = strchr(path, '/');
	struct field f;
	size_t at = 0;
	unsigned n = 0;

	while (next_field(buf, length, &at, &f)) {
		if (f.tag != tag)
			continue;
		if (inner) {
			n += set_in(f.head + HEAD, f.length, inner + 1, word, value);
		} else if (f.length >= (word + 1) * 8) {
			memcpy(f.head + HEAD + word * 8, &value, 8);
			n++;
		}
	}
	return n;
}

static void
set_all(struct store *s, char **argv)
{
	u16 kind = (u16)strtoul(argv[0], NULL, 10);
	struct record r;
	unsigned n = 0, here;

	for (size_t i = 0; i < nobjects; i++) {
		if (objects[i].kind != kind || record_read(s, objects[i].id, 0, &r))
			continue;
		here = set_in((u8 *)r.fields.buf, r.fields.length, argv[1],
			      strtoul(argv[2], NULL, 0), strtoull(argv[3], NULL, 0));
		if (here)
			put_record(s, objects[i].id, &r);
		else
			record_free(&r);
		n += here;
	}
	need(n > 0, "no record has that field");
	printf("%u fields\n", n);
}

int
main(int argc, char **argv)
{
	bool set = argc == 7 && strcmp(argv[2], "set") == 0;
	const struct store_note note = {0};
	struct store *s;
	u64 epoch, size;
	int fd;

	need(argc >= 3, "usage: mutate-records FILE SEED [COUNT]");
	fd = open(argv[1], O_RDWR | O_CLOEXEC);
	need(fd >= 0, strerror(errno));
	size = (u64)lseek(fd, 0, SEEK_END);
	need(store_open(&ops, &fd, size / STORE_BLOCK, &(struct store_how){0}, &s) == 0,
	     "the store cannot be opened");
	state = (strtoull(argv[2], NULL, 10) + 1) * 0x9e3779b97f4a7c15ull;
	list_objects(s);
	if (set)
		set_all(s, argv + 3);
	for (long n = set ? 0 : argc > 3 ? atol(argv[3]) : 1; n > 0; n--)
		change(s);
	need(store_commit(s, &note, &epoch) == 0, "the commit failed");
	store_close(s);
	need(store_open(&ops, &fd, size / STORE_BLOCK, &(struct store_how){.epoch = epoch}, &s) ==
		     0,
	     "what was committed is not there");
	store_close(s);
	return 0;
}
