/*
 * The output half of the line discipline: OPOST processing, the cursor's column, echo, flow
 * control.
 *
 * Bytes go through a ring of TTY_OUT bytes to the device. Writers stop when the ring is full and
 * are woken by tty_output_ready; echo that finds no room is dropped. Everything here runs with the
 * tty's lock held, in any context, and does not sleep.
 */
#include "dev/tty_impl.h"

#include "lib/string.h"

#define TAB 8u

size_t
ldisc_out_room(const struct tty *t)
{
	return TTY_OUT - (t->out_head - t->out_tail);
}

static void
out_put(struct tty *t, char c)
{
	t->out[t->out_head++ & (TTY_OUT - 1)] = c;
}

static void
put_newline(struct tty *t)
{
	if (tty_flag(t->tio.c_oflag, ONLRET))
		t->column = 0;
	if (tty_flag(t->tio.c_oflag, ONLCR)) {
		out_put(t, '\r');
		t->column = 0;
	}
	out_put(t, '\n');
}

static void
put_return(struct tty *t)
{
	if (tty_flag(t->tio.c_oflag, ONOCR) && t->column == 0)
		return;
	if (tty_flag(t->tio.c_oflag, OCRNL)) {
		if (tty_flag(t->tio.c_oflag, ONLRET))
			t->column = 0;
		out_put(t, '\n');
		return;
	}
	t->column = 0;
	out_put(t, '\r');
}

static void
put_tab(struct tty *t)
{
	u32 n = TAB - t->column % TAB;

	t->column += n;
	if ((t->tio.c_oflag & TABDLY) != XTABS) {
		out_put(t, '\t');
		return;
	}
	while (n-- > 0)
		out_put(t, ' ');
}

/* One byte through OPOST. => there is room for TAB bytes. */
static void
put_processed(struct tty *t, u8 c)
{
	switch (c) {
	case '\n':
		put_newline(t);
		return;
	case '\r':
		put_return(t);
		return;
	case '\t':
		put_tab(t);
		return;
	case '\b':
		if (t->column > 0)
			t->column--;
		break;
	default:
		if (tty_flag(t->tio.c_oflag, OLCUC) && c >= 'a' && c <= 'z')
			c -= 'a' - 'A';
		if (c >= ' ' && c != 0x7f &&
		    !(tty_flag(t->tio.c_iflag, IUTF8) && (c & 0xc0) == 0x80))
			t->column++;
	}
	out_put(t, c);
}

size_t
ldisc_write(struct tty *t, const char *s, size_t n)
{
	size_t i;

	if (!tty_flag(t->tio.c_oflag, OPOST)) {
		n = min(n, ldisc_out_room(t));
		for (i = 0; i < n; i++)
			out_put(t, s[i]);
	} else {
		for (i = 0; i < n && ldisc_out_room(t) >= TAB; i++)
			put_processed(t, s[i]);
	}
	ldisc_push(t);
	return i;
}

void
ldisc_echo_raw(struct tty *t, const char *s, size_t n)
{
	for (size_t i = 0; i < n && ldisc_out_room(t) >= TAB; i++) {
		if (tty_flag(t->tio.c_oflag, OPOST))
			put_processed(t, s[i]);
		else
			out_put(t, s[i]);
	}
}

void
ldisc_echo(struct tty *t, u8 c)
{
	char shown[2] = {'^', c ^ 0100};

	if (tty_flag(t->tio.c_lflag, ECHOCTL) && (c < ' ' || c == 0x7f) && c != '\t')
		ldisc_echo_raw(t, shown, 2);
	else
		ldisc_echo_raw(t, (const char *)&c, 1);
}

void
ldisc_push(struct tty *t)
{
	while (!t->stopped && t->out_tail != t->out_head) {
		u32 at = t->out_tail & (TTY_OUT - 1);
		u32 n = min(t->out_head - t->out_tail, TTY_OUT - at);
		size_t done = t->drv->write(t->dev, t->out + at, n);

		t->out_tail += done;
		if (done < n)
			break;
	}
}

void
ldisc_flush_output(struct tty *t)
{
	t->out_tail = t->out_head;
	if (t->drv->flush)
		t->drv->flush(t->dev);
	waitq_wake_events(&t->writers, 1, TTY_POLL_OUT);
}

void
ldisc_start(struct tty *t)
{
	if (!t->stopped)
		return;
	t->stopped = false;
	ldisc_push(t);
	waitq_wake_events(&t->writers, 1, TTY_POLL_OUT);
}

void
ldisc_stop(struct tty *t)
{
	t->stopped = true;
}
