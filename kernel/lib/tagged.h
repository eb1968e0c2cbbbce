/*
 * Tagged fields: how a kernel object is written down so that a later kernel can read it.
 *
 * A record is fields one behind the other, each {u16 tag, u16 0, u32 length, bytes} and filled up
 * to 8 bytes with zeros; little endian. A tag may come any number of times, in an order that means
 * something. A group is a field whose bytes are fields. Readers skip tags they do not know.
 * What is read back is foreign data: lengths are checked here, meanings by whoever asks.
 */
#ifndef LIB_TAGGED_H
#define LIB_TAGGED_H

#include "lib/types.h"

#define TAGGED_MAX   (256u << 20) /* bytes of one record */
#define TAGGED_SPILL (256u << 10) /* with so many in it the buffer is emptied */

struct tag_writer {
	u8 *buf;
	size_t length, room;
	int err; /* the first error; from then on nothing is written */
	/* Gives `old` (of `length` bytes in use, or NULL) room for `room` bytes: NULL, no memory.
	 */
	void *(*grow)(void *old, size_t length, size_t room);
	/* Optional: takes what is in the buffer, whole fields, away, for records that fit no
	 * buffer; the writer goes on at its start. 0 or a negative errno. */
	int (*spill)(struct tag_writer *w);
	size_t spilled; /* bytes so far */
	unsigned depth; /* of groups that are open: their beginning has to stay */
};

/* Empties the writer; its buffer stays for the next record. */
void tag_reset(struct tag_writer *w);
/* Errors are kept in w->err: -ENOMEM, -E2BIG. */
void tag_bytes(struct tag_writer *w, u16 tag, const void *data, size_t n);
void tag_u64(struct tag_writer *w, u16 tag, u64 value);
void tag_string(struct tag_writer *w, u16 tag, const char *s); /* NULL: not written at all */
/* A group: what is written between the two is inside. Groups nest. */
size_t tag_begin(struct tag_writer *w, u16 tag);
void tag_end(struct tag_writer *w, size_t begin);

struct tag_reader {
	const u8 *buf;
	size_t length;
	const struct tag_reader
		*more; /* or NULL: the record goes on there; parts are whole fields */
};

struct tag_field {
	u16 tag;
	const u8 *data; /* aligned to 8 if the record is; NULL before the first */
	size_t length;
};

/* How many bytes at its beginning are whole fields; of the first part. */
size_t tag_whole(const struct tag_reader *r);
/* Whether all of it is well-formed fields (not what groups hold). */
bool tag_check(const struct tag_reader *r);
/* The next field with this tag behind *f (start with a zeroed one). False: there is none. */
bool tag_next(const struct tag_reader *r, u16 tag, struct tag_field *f);
/* The group in f as a reader of its own. */
struct tag_reader tag_group(const struct tag_field *f);
/* The first field with this tag as a number; `otherwise` if it is missing or no number. */
u64 tag_get_u64(const struct tag_reader *r, u16 tag, u64 otherwise);
/* The number in f; 0 if it has another length. */
u64 tag_field_u64(const struct tag_field *f);
/* Exactly n bytes. False, and nothing written: missing or of another length. */
bool tag_get_bytes(const struct tag_reader *r, u16 tag, void *to, size_t n);
/* At most size - 1 bytes and a 0. False: missing, longer, or with a 0 inside. */
bool tag_get_string(const struct tag_reader *r, u16 tag, char *to, size_t size);

#endif
