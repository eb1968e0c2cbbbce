/*
 * Records on their way from the walk to the commit.
 *
 * Most are one buffer. What fits none, the names of a large directory, leaves the writer's buffer
 * in parts (lib/tagged.h) and lies in chunks, each a number of whole blocks but the last.
 */
#include <asm/errno.h>

#include "lib/string.h"
#include "mm/slab.h"
#include "persist/impl.h"

struct record_chunk {
	struct list link;
	u32 length;
	u8 bytes[];
};

#define CHUNK_BYTES ALIGN_DOWN((u32)(TAGGED_SPILL - sizeof(struct record_chunk)), STORE_BLOCK)

static struct record *
record_alloc(size_t length)
{
	struct record *r = kmalloc(sizeof(*r) + length);

	if (!r)
		return NULL;
	r->length = length;
	list_init(&r->chunks);
	return r;
}

void
record_free(struct record *r)
{
	struct record_chunk *c, *next;

	list_for_each_entry_safe (c, next, &r->chunks, link)
		kfree(c);
	kfree(r);
}

void
records_drop(struct cut *c)
{
	if (c->big)
		record_free(c->big);
	c->big = NULL;
}

/* The chunk that has room; NULL: no memory. */
static struct record_chunk *
last_chunk(struct record *r)
{
	struct record_chunk *k = list_entry(r->chunks.prev, struct record_chunk, link);

	if (!list_empty(&r->chunks) && k->length < CHUNK_BYTES)
		return k;
	k = kmalloc(sizeof(*k) + CHUNK_BYTES);
	if (!k)
		return NULL;
	k->length = 0;
	list_add_tail(&r->chunks, &k->link);
	return k;
}

static int
append(struct record *r, const u8 *from, size_t n)
{
	while (n > 0) {
		struct record_chunk *k = last_chunk(r);
		u32 some;

		if (!k)
			return -ENOMEM;
		some = (u32)min(n, (size_t)(CHUNK_BYTES - k->length));
		memcpy(k->bytes + k->length, from, some);
		k->length += some;
		from += some;
		n -= some;
	}
	return 0;
}

/* Only whether a record is as the last one of its object depends on it, in memory: 64 bits, and the
 * length. It is made while everything stands still, for each record that is written down. */
struct hash128
record_hash(const void *bytes, size_t length)
{
	return (struct hash128){.low = hash64(bytes, length), .high = length};
}

/* The hash of a record of parts is made of theirs. */
static struct hash128
add_hash(struct hash128 before, struct hash128 part)
{
	struct hash128 both[2] = {before, part};

	return record_hash(both, sizeof(both));
}

int
records_spill(struct tag_writer *w)
{
	struct cut *c = container_of(w, struct cut, writer.tags);
	static const struct record_head no_head;
	int err = 0;

	if (!c->big) {
		c->big = record_alloc(0);
		if (!c->big)
			return -ENOMEM;
		c->big->hash = (struct hash128){0};
		err = append(c->big, (const u8 *)&no_head, sizeof(no_head));
	}
	if (!err)
		err = append(c->big, w->buf, w->length);
	c->big->hash = add_hash(c->big->hash, record_hash(w->buf, w->length));
	return err;
}

struct hash128
records_hash(const struct cut *c)
{
	const struct tag_writer *t = &c->writer.tags;
	struct hash128 last = record_hash(t->buf, t->length);

	return c->big ? add_hash(c->big->hash, last) : last;
}

static struct record *
end_big(struct cut *c, const struct record_head *head)
{
	struct record *r = c->big;

	if (append(r, c->writer.tags.buf, c->writer.tags.length))
		return NULL;
	memcpy(list_first(&r->chunks, struct record_chunk, link)->bytes, head, sizeof(*head));
	c->big = NULL;
	return r;
}

static struct record *
make_small(struct cut *c, const struct record_head *head)
{
	const struct tag_writer *t = &c->writer.tags;
	struct record *r = record_alloc(sizeof(*head) + t->length);

	if (!r)
		return NULL;
	memcpy(r->bytes, head, sizeof(*head));
	memcpy(r->bytes + sizeof(*head), t->buf, t->length);
	return r;
}

int
records_keep(struct cut *c, struct entry *e, const struct persist_kind *kind, u64 version)
{
	const struct tag_writer *t = &c->writer.tags;
	size_t length = t->spilled + t->length;
	struct record_head head = {kind ? kind->number : ID_SYSTEM, RECORD_VERSION, (u32)length};
	struct hash128 hash = records_hash(c);
	struct record *r;

	if (e->stored && hash128_equal(hash, e->hash)) {
		records_drop(c);
		e->version = version;
		return 0;
	}
	r = c->big ? end_big(c, &head) : make_small(c, &head);
	if (!r)
		return -ENOMEM;
	r->entry = e;
	r->hash = hash;
	r->version = version;
	list_add_tail(&c->records, &r->link);
	c->bytes += sizeof(head) + length;
	return 0;
}

static int
put_bytes(struct store *s, u64 id, u32 *piece, const u8 *from, size_t n)
{
	int err = 0;

	for (size_t at = 0; at < n && !err; at += STORE_BLOCK)
		err = store_put(s, id, (*piece)++, from + at,
				(u32)min(n - at, (size_t)STORE_BLOCK));
	return err;
}

int
record_put(struct store *s, struct record *r)
{
	const struct entry *e = r->entry;
	struct record_chunk *k;
	int err;

	r->pieces = 0;
	err = put_bytes(s, e->id, &r->pieces, r->bytes, r->length);
	list_for_each_entry (k, &r->chunks, link)
		if (!err)
			err = put_bytes(s, e->id, &r->pieces, k->bytes, k->length);
	if (!err && e->stored && e->pieces > r->pieces)
		err = store_delete(s, e->id, r->pieces, STORE_PAGE(0) - 1);
	return err;
}
