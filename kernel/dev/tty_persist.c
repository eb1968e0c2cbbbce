/*
 * Terminals in the store: settings, size, session, what was typed and not read, what was written
 * and not sent. The device is that of this boot, found by the terminal's name; where there is none
 * of that name, the console takes its place. A pseudo terminal is written as a pair, with its
 * number, its slave's fields among them; whoever refers to a terminal does it by tty_save_ref.
 *
 * Bytes that a device had taken are gone, as on a real line; bytes that it was sent after the cut
 * may come out twice.
 */
#include "dev/tty_impl.h"

#include <asm/errno.h>

#include "lib/hash.h"
#include "lib/string.h"

enum {
	TTY_NAME = 1,
	TTY_MODES = 3, /* iflag, oflag, cflag, lflag, ispeed, ospeed: numbers */
	TTY_LINE = 4,
	TTY_CHARACTERS = 5,
	TTY_SIZE = 6, /* rows, columns, pixels across and down: numbers */
	TTY_GENERATION = 7,
	TTY_SESSION = 8,
	TTY_PGRP = 9,
	TTY_EXCLUSIVE = 10,
	TTY_INPUT = 11,
	TTY_DELIMITER = 12, /* offsets of the bytes of the input that end lines */
	TTY_LINE_END = 13,  /* offset behind the last whole line */
	TTY_LITERAL_NEXT = 14,
	TTY_GONE = 15,
	TTY_OUTPUT = 16,
	TTY_COLUMN = 17,
	TTY_LINE_COLUMN = 18,
	TTY_STOPPED = 19,
	/* pairs */
	PTY_INDEX = 32,
	PTY_OUTPUT = 33, /* for the master to read */
	PTY_LOCKED = 34,
	PTY_MASTER_CLOSED = 35,
	PTY_SLAVE_CLOSED = 36,
	PTY_WANTS_ROOM = 37,
};

/* --- writing --- */

static void
save_modes(struct tag_writer *w, const struct tty *t)
{
	tag_u64(w, TTY_MODES, t->tio.c_iflag);
	tag_u64(w, TTY_MODES, t->tio.c_oflag);
	tag_u64(w, TTY_MODES, t->tio.c_cflag);
	tag_u64(w, TTY_MODES, t->tio.c_lflag);
	tag_u64(w, TTY_MODES, t->tio.c_ispeed);
	tag_u64(w, TTY_MODES, t->tio.c_ospeed);
	tag_u64(w, TTY_LINE, t->tio.c_line);
	tag_bytes(w, TTY_CHARACTERS, t->tio.c_cc, sizeof(t->tio.c_cc));
	tag_u64(w, TTY_SIZE, t->winsize.ws_row);
	tag_u64(w, TTY_SIZE, t->winsize.ws_col);
	tag_u64(w, TTY_SIZE, t->winsize.ws_xpixel);
	tag_u64(w, TTY_SIZE, t->winsize.ws_ypixel);
}

/* The bytes from tail to head of a ring, as one or two fields. */
static void
save_ring(struct tag_writer *w, u16 tag, const char *ring, u32 size, u32 tail, u32 head)
{
	while (tail != head) {
		u32 at = tail & (size - 1), n = min(head - tail, size - at);

		tag_bytes(w, tag, ring + at, n);
		tail += n;
	}
}

static void
save_input(struct tag_writer *w, const struct tty *t)
{
	save_ring(w, TTY_INPUT, t->in, TTY_IN, t->in_tail, t->in_head);
	for (u32 pos = t->in_tail; pos != t->in_head; pos++) {
		u32 bit = pos & (TTY_IN - 1);

		if (t->delimiter[bit / 8] >> (bit % 8) & 1)
			tag_u64(w, TTY_DELIMITER, pos - t->in_tail);
	}
	tag_u64(w, TTY_LINE_END, t->line_end - t->in_tail);
	tag_u64(w, TTY_LITERAL_NEXT, t->literal_next);
}

static void
save_fields(struct tag_writer *w, const struct tty *t)
{
	save_modes(w, t);
	tag_u64(w, TTY_GENERATION, t->generation);
	tag_u64(w, TTY_SESSION, (u64)t->session);
	tag_u64(w, TTY_PGRP, (u64)t->pgrp);
	tag_u64(w, TTY_EXCLUSIVE, t->exclusive);
	save_input(w, t);
	tag_u64(w, TTY_GONE, t->other_side_gone);
	save_ring(w, TTY_OUTPUT, t->out, TTY_OUT, t->out_tail, t->out_head);
	tag_u64(w, TTY_COLUMN, t->column);
	tag_u64(w, TTY_LINE_COLUMN, t->line_column);
	tag_u64(w, TTY_STOPPED, t->stopped);
}

static void
tty_save(struct persist_writer *w, void *object)
{
	struct tty *t = object;

	tag_string(&w->tags, TTY_NAME, t->name);
	save_fields(&w->tags, t);
}

static void
pty_save(struct persist_writer *w, void *object)
{
	struct pty *p = object;

	tag_u64(&w->tags, PTY_INDEX, (u64)p->index);
	save_ring(&w->tags, PTY_OUTPUT, p->ring, PTY_RING, p->tail, p->head);
	tag_u64(&w->tags, PTY_LOCKED, p->slave_locked);
	tag_u64(&w->tags, PTY_MASTER_CLOSED, p->master_closed);
	tag_u64(&w->tags, PTY_SLAVE_CLOSED, p->slave_closed);
	tag_u64(&w->tags, PTY_WANTS_ROOM, p->wants_room);
	save_fields(&w->tags, p->slave);
}

/* h with the fields of one where no bytes wait; 0 for others. */
static u64
mix_fields(u64 h, const struct tty *t)
{
	if (t->in_tail != t->in_head || t->out_tail != t->out_head)
		return 0;
	h = persist_mix(h, hash64(&t->tio, sizeof(t->tio)));
	h = persist_mix(h, hash64(&t->winsize, sizeof(t->winsize)));
	h = persist_mix(h, (u64)t->session << 32 | (u32)t->pgrp);
	h = persist_mix(h, (u64)t->generation << 32 | (t->line_end - t->in_tail));
	h = persist_mix(h, (u64)t->column << 32 | t->line_column);
	return persist_mix(h, t->exclusive | t->literal_next << 1 | t->other_side_gone << 2 |
				      t->stopped << 3);
}

static u64
tty_version(struct persist_writer *w, void *object)
{
	return mix_fields(0, object);
}

static u64
pty_version(struct persist_writer *w, void *object)
{
	const struct pty *p = object;

	if (p->tail != p->head)
		return 0;
	return mix_fields(p->slave_locked | p->master_closed << 1 | p->slave_closed << 2 |
				  p->wants_room << 3,
			  p->slave);
}

u64
tty_mix_ref(struct persist_writer *w, u64 h, struct tty *t)
{
	return t && t->is_pty ? persist_mix_ref(w, h, &pty_persist, t->dev)
			      : persist_mix_ref(w, h, &tty_persist, t);
}

void
tty_save_ref(struct persist_writer *w, u16 tag, struct tty *t)
{
	if (t && t->is_pty)
		persist_ref(w, tag, &pty_persist, t->dev);
	else
		persist_ref(w, tag, &tty_persist, t);
}

struct tty *
tty_load_ref(struct persist_reader *r, const struct tag_reader *in, u16 tag)
{
	struct tty *t = persist_get(r, in, tag, &tty_persist);
	struct pty *p = t ? NULL : persist_get(r, in, tag, &pty_persist);

	return p ? p->slave : t;
}

/* --- reading --- */

struct by_name {
	const char *name;
	struct tty *found;
};

static void
match_name(struct tty *t, void *arg)
{
	struct by_name *b = arg;

	if (strcmp(t->name, b->name) == 0)
		b->found = t;
}

/* The next number of a field that comes several times; false: there are too few. */
static bool
next_number(const struct tag_reader *r, u16 tag, struct tag_field *f, u64 *out)
{
	if (!tag_next(r, tag, f))
		return false;
	*out = tag_field_u64(f);
	return true;
}

static int
load_modes(const struct tag_reader *r, struct tty *t)
{
	struct tag_field modes = {0}, size = {0};
	u64 m[6], s[4];

	for (unsigned i = 0; i < ARRAY_SIZE(m); i++)
		if (!next_number(r, TTY_MODES, &modes, &m[i]))
			return -EBADMSG;
	for (unsigned i = 0; i < ARRAY_SIZE(s); i++)
		if (!next_number(r, TTY_SIZE, &size, &s[i]))
			return -EBADMSG;
	t->tio.c_iflag = (tcflag_t)m[0];
	t->tio.c_oflag = (tcflag_t)m[1];
	t->tio.c_cflag = (tcflag_t)m[2];
	t->tio.c_lflag = (tcflag_t)m[3];
	t->tio.c_ispeed = (speed_t)m[4];
	t->tio.c_ospeed = (speed_t)m[5];
	t->tio.c_line = (cc_t)tag_get_u64(r, TTY_LINE, 0);
	(void)tag_get_bytes(r, TTY_CHARACTERS, t->tio.c_cc, sizeof(t->tio.c_cc));
	/* The window is what the host shows now; where it does not say, as it was. */
	if (t->winsize.ws_row == 0)
		t->winsize = (struct winsize){(u16)s[0], (u16)s[1], (u16)s[2], (u16)s[3]};
	return 0;
}

static int
load_ring(const struct tag_reader *r, u16 tag, char *ring, u32 size, u32 *head)
{
	struct tag_field f = {0};

	while (tag_next(r, tag, &f)) {
		if (f.length > size - *head)
			return -EBADMSG;
		memcpy(ring + *head, f.data, f.length);
		*head += (u32)f.length;
	}
	return 0;
}

/* What was typed at this start of the machine, before the processes went on, comes behind it. */
static int
load_input(const struct tag_reader *r, struct tty *t)
{
	struct tag_field f = {0};
	int err;

	ldisc_flush_input(t);
	t->in_tail = t->in_head = 0;
	memset(t->delimiter, 0, TTY_IN / 8);
	err = load_ring(r, TTY_INPUT, t->in, TTY_IN, &t->in_head);
	while (tag_next(r, TTY_DELIMITER, &f)) {
		u64 pos = tag_field_u64(&f);

		if (pos < t->in_head)
			t->delimiter[pos / 8] |= (u8)(1u << (pos % 8));
	}
	t->line_end = (u32)min(tag_get_u64(r, TTY_LINE_END, 0), (u64)t->in_head);
	t->literal_next = tag_get_u64(r, TTY_LITERAL_NEXT, 0) != 0;
	return err;
}

static int
load_fields(const struct tag_reader *r, struct tty *t)
{
	int err = load_modes(r, t);

	if (!err)
		err = load_input(r, t);
	t->generation = (u32)tag_get_u64(r, TTY_GENERATION, 0);
	t->session = (int)tag_get_u64(r, TTY_SESSION, 0);
	t->pgrp = (int)tag_get_u64(r, TTY_PGRP, 0);
	t->exclusive = tag_get_u64(r, TTY_EXCLUSIVE, 0) != 0;
	t->other_side_gone = tag_get_u64(r, TTY_GONE, 0) != 0;
	t->column = (u32)tag_get_u64(r, TTY_COLUMN, 0);
	t->line_column = (u32)tag_get_u64(r, TTY_LINE_COLUMN, 0);
	t->stopped = tag_get_u64(r, TTY_STOPPED, 0) != 0;
	t->out_tail = t->out_head = 0;
	return err ? err : load_ring(r, TTY_OUTPUT, t->out, TTY_OUT, &t->out_head);
}

static int
tty_make(struct persist_reader *r, void **out)
{
	char name[sizeof(((struct tty *)0)->name)];
	struct by_name b = {.name = name};

	if (!tag_get_string(&r->tags, TTY_NAME, name, sizeof(name)))
		return -EBADMSG;
	tty_for_each(match_name, &b);
	*out = b.found ? b.found : tty_console();
	return *out ? 0 : -ENODEV;
}

static int
tty_link(struct persist_reader *r, void *object)
{
	struct tty *t = object;
	int err;

	spin_lock(&t->lock);
	err = load_fields(&r->tags, t);
	spin_unlock(&t->lock);
	return err;
}

/* What waits for the device goes on its way. */
static int
tty_start(struct persist_reader *r, void *object)
{
	tty_output_ready(object);
	return 0;
}

/* The machine's terminals stay for ever. */
static void
tty_drop(void *object)
{
}

/*
 * Members of struct tty over a power cut:
 *	written	name tio winsize generation session pgrp exclusive in delimiter in_tail
 *		in_head line_end literal_next other_side_gone out out_tail out_head
 *		column line_column stopped
 *	made	link drv dev is_pty device_number lock opens readers feeders writers
 *		persistent
 */
const struct persist_kind tty_persist = {
	.name = "tty",
	.number = 160,
	.member = offsetof(struct tty, persistent),
	.save = tty_save,
	.version = tty_version,
	.make = tty_make,
	.link = tty_link,
	.start = tty_start,
	.put = tty_drop,
};

/* --- pairs --- */

static int
pty_make(struct persist_reader *r, void **out)
{
	const struct tag_reader *t = &r->tags;
	u64 index = tag_get_u64(t, PTY_INDEX, PTYS_MAX);
	struct pty *p;
	int err;

	if (index >= PTYS_MAX)
		return -EBADMSG;
	err = pty_create_at((int)index, &p);
	if (err)
		return err;
	p->slave_locked = tag_get_u64(t, PTY_LOCKED, 0) != 0;
	p->master_closed = tag_get_u64(t, PTY_MASTER_CLOSED, 0) != 0;
	p->slave_closed = tag_get_u64(t, PTY_SLAVE_CLOSED, 0) != 0;
	p->wants_room = tag_get_u64(t, PTY_WANTS_ROOM, 0) != 0;
	p->slave->winsize = (struct winsize){0};
	err = load_ring(t, PTY_OUTPUT, p->ring, PTY_RING, &p->head);
	if (!err)
		err = load_fields(t, p->slave);
	if (err) {
		pty_put(p);
		return err;
	}
	*out = p;
	return 0;
}

static void
pty_drop(void *object)
{
	pty_put(object);
}

/*
 * Members of struct pty over a power cut:
 *	written	index slave ring tail head slave_locked master_closed slave_closed
 *		wants_room
 *	made	refs lock readers persistent
 */
const struct persist_kind pty_persist = {
	.name = "pty",
	.number = 161,
	.member = offsetof(struct pty, persistent),
	.save = pty_save,
	.version = pty_version,
	.make = pty_make,
	.put = pty_drop,
};
