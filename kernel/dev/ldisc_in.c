/*
 * The input half of the line discipline: what a typed byte does (man 3 termios).
 *
 * Input lies in a ring of TTY_IN bytes between in_tail and in_head. In canonical mode only what is
 * before line_end may be read; a bit beside each byte marks the ends of lines, and an end-of-file
 * character is a marked zero byte that no reader sees. Everything here runs with the tty's lock
 * held, in interrupt context too; signals are gathered and sent by the caller without the lock.
 * ECHOPRT and the parity flags of c_iflag have no effect: no device here reports parity.
 */
#include "dev/tty_impl.h"

#include <asm/signal.h>

#define IN_MASK	     (TTY_IN - 1)
#define EOF_MARK     0
#define LINE_RESERVE 1u /* a full line still has room for its end */

static bool
is_delimiter(const struct tty *t, u32 pos)
{
	pos &= IN_MASK;
	return t->delimiter[pos / 8] >> (pos % 8) & 1;
}

static void
set_delimiter(struct tty *t, u32 pos, bool on)
{
	pos &= IN_MASK;
	if (on)
		t->delimiter[pos / 8] |= 1u << (pos % 8);
	else
		t->delimiter[pos / 8] &= ~(1u << (pos % 8));
}

static u8
in_at(const struct tty *t, u32 pos)
{
	return t->in[pos & IN_MASK];
}

static bool
canonical(const struct tty *t)
{
	return tty_flag(t->tio.c_lflag, ICANON);
}

static void
store(struct tty *t, u8 c, bool delimiter)
{
	u32 room = TTY_IN - (t->in_head - t->in_tail);

	if (room <= (canonical(t) && !delimiter ? LINE_RESERVE : 0)) {
		if (tty_flag(t->tio.c_iflag, IMAXBEL))
			ldisc_echo_raw(t, "\a", 1);
		return;
	}
	t->in[t->in_head & IN_MASK] = c;
	set_delimiter(t, t->in_head, delimiter);
	t->in_head++;
	if (delimiter || !canonical(t))
		t->line_end = t->in_head;
}

/* --- erasing --- */

/* Width on the screen of byte c when the cursor is at `column`. */
static u32
shown_width(const struct tty *t, u8 c, u32 column)
{
	if (c == '\t')
		return 8 - column % 8;
	if (c < ' ' || c == 0x7f)
		return tty_flag(t->tio.c_lflag, ECHOCTL) ? 2 : 0;
	if (tty_flag(t->tio.c_iflag, IUTF8) && (c & 0xc0) == 0x80)
		return 0;
	return 1;
}

static void
rub_out(struct tty *t, u8 c)
{
	u32 column = t->line_column, n;

	if (c != '\t') {
		for (n = shown_width(t, c, 0); n > 0; n--)
			ldisc_echo_raw(t, "\b \b", 3);
		return;
	}
	for (u32 pos = t->line_end; pos != t->in_head; pos++)
		column += shown_width(t, in_at(t, pos), column);
	for (n = t->column > column ? t->column - column : 0; n > 0 && n <= 8; n--)
		ldisc_echo_raw(t, "\b", 1);
}

/* Takes one character (all its bytes in UTF-8) off the line; its first byte. */
static u8
take_back(struct tty *t)
{
	u8 c;

	do
		c = in_at(t, --t->in_head);
	while (tty_flag(t->tio.c_iflag, IUTF8) && (c & 0xc0) == 0x80 && t->in_head != t->line_end);
	return c;
}

static void
erase_char(struct tty *t, u8 typed)
{
	u8 c;

	if (t->in_head == t->line_end)
		return;
	c = take_back(t);
	if (!tty_flag(t->tio.c_lflag, ECHO))
		return;
	if (tty_flag(t->tio.c_lflag, ECHOE))
		rub_out(t, c);
	else
		ldisc_echo(t, typed);
}

static bool
is_word(u8 c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       c == '_' || c >= 0x80;
}

static void
erase_word(struct tty *t)
{
	bool seen = false;

	while (t->in_head != t->line_end) {
		u32 before = t->in_head;
		u8 c = take_back(t);

		if (is_word(c)) {
			seen = true;
		} else if (seen) {
			t->in_head = before;
			return;
		}
		if (tty_flag(t->tio.c_lflag, ECHO))
			rub_out(t, c);
	}
}

static void
erase_line(struct tty *t, u8 typed)
{
	u32 l = t->tio.c_lflag;

	if (!tty_flag(l, ECHO)) {
		t->in_head = t->line_end;
		return;
	}
	if (!tty_flag(l, ECHOK) || !tty_flag(l, ECHOKE) || !tty_flag(l, ECHOE)) {
		t->in_head = t->line_end;
		ldisc_echo(t, typed);
		if (tty_flag(l, ECHOK))
			ldisc_echo_raw(t, "\n", 1);
		return;
	}
	while (t->in_head != t->line_end)
		rub_out(t, take_back(t));
}

static void
reprint(struct tty *t, u8 typed)
{
	ldisc_echo(t, typed);
	ldisc_echo_raw(t, "\n", 1);
	t->line_column = t->column;
	for (u32 pos = t->line_end; pos != t->in_head; pos++)
		ldisc_echo(t, in_at(t, pos));
}

/* --- what a byte does --- */

/* XON/XOFF and signals; true when the byte is used up. */
static bool
receive_control(struct tty *t, u8 c, struct tty_signals *sig)
{
	int signo;

	if (tty_flag(t->tio.c_iflag, IXON)) {
		if (tty_is_cc(t, VSTART, c)) {
			ldisc_start(t);
			return true;
		}
		if (tty_is_cc(t, VSTOP, c)) {
			ldisc_stop(t);
			return true;
		}
		if (t->stopped && tty_flag(t->tio.c_iflag, IXANY))
			ldisc_start(t);
	}
	if (!tty_flag(t->tio.c_lflag, ISIG))
		return false;
	if (tty_is_cc(t, VINTR, c))
		signo = SIGINT;
	else if (tty_is_cc(t, VQUIT, c))
		signo = SIGQUIT;
	else if (tty_is_cc(t, VSUSP, c))
		signo = SIGTSTP;
	else
		return false;
	if (!tty_flag(t->tio.c_lflag, NOFLSH)) {
		ldisc_flush_input(t);
		ldisc_flush_output(t);
	}
	if (tty_flag(t->tio.c_iflag, IXON))
		ldisc_start(t);
	if (tty_flag(t->tio.c_lflag, ECHO))
		ldisc_echo(t, c);
	sig->set |= 1u << signo;
	sig->pgrp = t->pgrp;
	return true;
}

/* Editing characters of canonical mode; true when the byte is used up. */
static bool
receive_editing(struct tty *t, u8 c)
{
	bool extended = tty_flag(t->tio.c_lflag, IEXTEN);

	if (tty_is_cc(t, VERASE, c))
		erase_char(t, c);
	else if (tty_is_cc(t, VKILL, c))
		erase_line(t, c);
	else if (extended && tty_is_cc(t, VWERASE, c))
		erase_word(t);
	else if (extended && tty_is_cc(t, VREPRINT, c) && tty_flag(t->tio.c_lflag, ECHO))
		reprint(t, c);
	else if (tty_is_cc(t, VEOF, c))
		store(t, EOF_MARK, true);
	else
		return false;
	return true;
}

static void
echo_typed(struct tty *t, u8 c)
{
	u32 l = t->tio.c_lflag;

	if (c == '\n' && (tty_flag(l, ECHO) || (tty_flag(l, ECHONL) && canonical(t)))) {
		ldisc_echo_raw(t, "\n", 1);
		return;
	}
	if (!tty_flag(l, ECHO))
		return;
	if (t->in_head == t->line_end)
		t->line_column = t->column;
	ldisc_echo(t, c);
}

static bool
ends_line(const struct tty *t, u8 c)
{
	return canonical(t) && (c == '\n' || tty_is_cc(t, VEOL, c) ||
				(tty_flag(t->tio.c_lflag, IEXTEN) && tty_is_cc(t, VEOL2, c)));
}

static void
receive_byte(struct tty *t, u8 c, struct tty_signals *sig)
{
	u32 i = t->tio.c_iflag;

	if (tty_flag(i, ISTRIP))
		c &= 0x7f;
	if (tty_flag(i, IUCLC) && tty_flag(t->tio.c_lflag, IEXTEN) && c >= 'A' && c <= 'Z')
		c += 'a' - 'A';
	if (t->literal_next) {
		t->literal_next = false;
		echo_typed(t, c);
		store(t, c, false);
		return;
	}
	if (receive_control(t, c, sig))
		return;
	if (c == '\r') {
		if (tty_flag(i, IGNCR))
			return;
		if (tty_flag(i, ICRNL))
			c = '\n';
	} else if (c == '\n' && tty_flag(i, INLCR)) {
		c = '\r';
	}
	if (canonical(t)) {
		if (receive_editing(t, c))
			return;
		if (tty_flag(t->tio.c_lflag, IEXTEN) && tty_is_cc(t, VLNEXT, c)) {
			t->literal_next = true;
			if (tty_flag(t->tio.c_lflag, ECHO) && tty_flag(t->tio.c_lflag, ECHOCTL))
				ldisc_echo_raw(t, "^\b", 2);
			return;
		}
	}
	echo_typed(t, c);
	if (c == 0xff && tty_flag(i, PARMRK))
		store(t, c, false);
	store(t, c, ends_line(t, c));
}

void
ldisc_receive(struct tty *t, const char *s, size_t n, struct tty_signals *sig)
{
	for (size_t k = 0; k < n; k++)
		receive_byte(t, s[k], sig);
	ldisc_push(t);
	if (ldisc_readable(t) > 0 || ldisc_has_line(t))
		waitq_wake_events(&t->readers, 1, TTY_POLL_IN);
}

/* --- what readers see --- */

bool
ldisc_has_line(const struct tty *t)
{
	return canonical(t) && t->line_end != t->in_tail;
}

size_t
ldisc_readable(const struct tty *t)
{
	return (canonical(t) ? t->line_end : t->in_head) - t->in_tail;
}

size_t
ldisc_in_room(const struct tty *t)
{
	size_t room = (TTY_IN - (t->in_head - t->in_tail)) / 2; /* PARMRK may double a byte */

	/* An endless line has to go on until its end: what does not fit is dropped. */
	return room == 0 && canonical(t) && !ldisc_has_line(t) ? 1 : room;
}

size_t
ldisc_take(struct tty *t, char *buf, size_t n, bool *line_ended)
{
	size_t done = 0;

	*line_ended = false;
	while (t->in_tail != (canonical(t) ? t->line_end : t->in_head)) {
		u8 c = in_at(t, t->in_tail);
		bool end = canonical(t) && is_delimiter(t, t->in_tail);

		if (end && c == EOF_MARK) {
			t->in_tail++;
			*line_ended = true;
			break;
		}
		if (done == n)
			break;
		buf[done++] = c;
		t->in_tail++;
		if (end) {
			*line_ended = true;
			break;
		}
	}
	waitq_wake_events(&t->feeders, 1, TTY_POLL_OUT);
	return done;
}

void
ldisc_flush_input(struct tty *t)
{
	t->in_tail = t->line_end = t->in_head;
	t->literal_next = false;
	waitq_wake_events(&t->feeders, 1, TTY_POLL_OUT);
}

void
ldisc_mode_changed(struct tty *t, const struct termios2 *old)
{
	if (((old->c_lflag ^ t->tio.c_lflag) & ICANON) == 0)
		return;
	/* What was typed so far may be read at once: as one line, or byte by byte. */
	if (canonical(t) && t->in_head != t->in_tail)
		set_delimiter(t, t->in_head - 1, true);
	t->line_end = t->in_head;
	t->line_column = t->column;
	t->literal_next = false;
	if (t->in_head != t->in_tail)
		waitq_wake_events(&t->readers, 1, TTY_POLL_IN);
}
