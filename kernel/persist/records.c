/*
 * Records on their way from the walk to the commit.
 *
 * Most are one buffer. What fits none, the names of a large directory, leaves the writer's buffer
 * in parts (lib/tagged.h) and lies in chunks, each a number of whole blocks but the last.
 */
#include <asm/errno.h>

#include "core/panic.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "persist/impl.h"

struct record_chunk {
	struct list link;
	u32 length;
	u8 bytes[];
};

/* Small records lie one behind the other in such, so that little has to be done, and little memory
 * is touched, while everything stands still. */
struct record_room {
	struct list link;
	size_t used;
};

#define ROOM_BYTES  32768u
#define CHUNK_BYTES ALIGN_DOWN((u32)(TAGGED_SPILL - sizeof(struct record_chunk)), STORE_BLOCK)

static void
record_init(struct record *r, size_t length)
{
	r->length = length;
	list_init(&r->chunks);
}

static struct record *
record_alloc(size_t length)
{
	struct record *r = kmalloc(sizeof(*r) + length);

	if (!r)
		return NULL;
	record_init(r, length);
	r->in_room = false;
	return r;
}

bool
records_make_room(struct cut *c)
{
	struct record_room *m = kmalloc(ROOM_BYTES);

	if (!m)
		return false;
	m->used = sizeof(*m);
	list_add_tail(&c->room, &m->link);
	return true;
}

/* Where the next record of that length goes; larger ones, and all without memory for many, are
 * allocated one by one. */
static struct record *
take_room(struct cut *c, size_t length)
{
	size_t n = ALIGN_UP(sizeof(struct record) + length, _Alignof(struct record));
	struct record_room *m = list_entry(c->room.prev, struct record_room, link);
	struct record *r;

	if (n > ROOM_BYTES / 4)
		return record_alloc(length);
	if (list_empty(&c->room) || n > ROOM_BYTES - m->used) {
		if (!records_make_room(c))
			return record_alloc(length);
		m = list_entry(c->room.prev, struct record_room, link);
	}
	r = (struct record *)((u8 *)m + m->used);
	m->used += n;
	record_init(r, length);
	r->in_room = true;
	return r;
}

void
records_free_room(struct cut *c)
{
	struct record_room *m, *next;

	list_for_each_entry_safe (m, next, &c->room, link)
		kfree(m);
}

void
record_free(struct record *r)
{
	struct record_chunk *c, *next;

	list_for_each_entry_safe (c, next, &r->chunks, link)
		kfree(c);
	if (!r->in_room)
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
 * length. */
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

static struct hash128
hash_of(const struct record *r)
{
	const struct record_chunk *k;
	struct hash128 hash = {0};

	if (list_empty(&r->chunks))
		return record_hash(r->bytes + sizeof(struct record_head),
				   r->length - sizeof(struct record_head));
	list_for_each_entry (k, &r->chunks, link)
		hash = add_hash(hash, record_hash(k->bytes, k->length));
	return hash;
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
		err = append(c->big, (const u8 *)&no_head, sizeof(no_head));
	}
	return err ? err : append(c->big, w->buf, w->length);
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
	struct record *r = take_room(c, sizeof(*head) + t->length);

	if (!r)
		return NULL;
	memcpy(r->bytes, head, sizeof(*head));
	memcpy(r->bytes + sizeof(*head), t->buf, t->length);
	return r;
}

int
records_keep(struct cut *c, struct entry *e, const struct persist_kind *kind, u64 version,
	     bool unchanged)
{
	const struct tag_writer *t = &c->writer.tags;
	size_t length = t->spilled + t->length;
	struct record_head head = {kind ? kind->number : ID_SYSTEM, RECORD_VERSION, (u32)length};
	struct record *r = c->big ? end_big(c, &head) : make_small(c, &head);

	if (!r)
		return -ENOMEM;
	r->entry = e;
	r->kind = kind;
	r->version = version;
	r->unchanged = unchanged;
	list_add_tail(&c->records, &r->link);
	return 0;
}

void
records_settle(struct cut *c)
{
	struct record *r, *next;

	list_for_each_entry_safe (r, next, &c->records, link) {
		struct entry *e = r->entry;

		r->hash = hash_of(r);
		if (!e->stored || !hash128_equal(r->hash, e->hash)) {
			if (r->unchanged)
				panic("%s %lu has changed and has not said so", r->kind->name,
				      e->id);
			continue;
		}
		e->version = r->version;
		list_del(&r->link);
		record_free(r);
	}
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
