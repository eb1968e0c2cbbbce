#include "record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "persist/record.h"

/* The pieces of object id, one behind the other. */
static int
read_pieces(struct store *s, u64 id, u8 **out, size_t *length)
{
	size_t have = 0, room = STORE_BLOCK;
	u8 *buf = malloc(room), *more;
	int err = buf ? 0 : -ENOMEM;
	u32 n = STORE_BLOCK;

	for (u64 i = 0; !err && n == STORE_BLOCK; i++) {
		if (room - have < STORE_BLOCK) {
			more = room < TAGGED_MAX + STORE_BLOCK ? realloc(buf, room * 2) : NULL;
			if (!more) {
				err = -EBADMSG;
				break;
			}
			buf = more;
			room *= 2;
		}
		err = store_get(s, id, i, buf + have, &n);
		if (err == -ENOENT && i > 0) {
			err = 0;
			break;
		}
		have += err ? 0 : n;
	}
	if (err) {
		free(buf);
		return err;
	}
	*out = buf;
	*length = have;
	return 0;
}

int
record_read(struct store *s, u64 id, u16 kind, struct record *out)
{
	struct record_head head;
	size_t length;
	int err;

	*out = (struct record){0};
	err = read_pieces(s, id, &out->buf, &length);
	if (err)
		return err;
	if (length >= sizeof(head)) {
		memcpy(&head, out->buf, sizeof(head));
		out->kind = head.kind;
		out->fields = (struct tag_reader){.buf = out->buf + sizeof(head),
						  .length = length - sizeof(head)};
		if (head.length == out->fields.length && tag_check(&out->fields) &&
		    (!kind || kind == head.kind))
			return 0;
	}
	record_free(out);
	return -EBADMSG;
}

void
record_free(struct record *r)
{
	free(r->buf);
	*r = (struct record){0};
}

/* --- sets --- */

static struct id_pair *
find_slot(struct id_pair *slot, size_t room, u64 id)
{
	size_t at = (size_t)(id * 0x9e3779b97f4a7c15ull >> 32) & (room - 1);

	while (slot[at].full && slot[at].id != id)
		at = (at + 1) & (room - 1);
	return &slot[at];
}

static void
id_map_grow(struct id_map *m)
{
	size_t room = m->room ? m->room * 2 : 64;
	struct id_pair *slot = calloc(room, sizeof(*slot));

	if (!slot) {
		fprintf(stderr, "holdfast-store: no memory\n");
		exit(2);
	}
	for (size_t i = 0; i < m->room; i++)
		if (m->slot[i].full)
			*find_slot(slot, room, m->slot[i].id) = m->slot[i];
	free(m->slot);
	m->slot = slot;
	m->room = room;
}

bool
id_map_add(struct id_map *m, u64 id, u64 *value)
{
	struct id_pair *p;

	if (m->used * 2 >= m->room)
		id_map_grow(m);
	p = find_slot(m->slot, m->room, id);
	if (p->full) {
		*value = p->value;
		return false;
	}
	*p = (struct id_pair){id, *value, true};
	m->used++;
	return true;
}

void
id_map_free(struct id_map *m)
{
	free(m->slot);
	*m = (struct id_map){0};
}
