/*
 * Terminals: their registry, opening and closing, reading and writing, hang-up, job control.
 *
 * Life: a driver calls tty_create for a terminal that stays; pty.c makes and destroys its own.
 * Every open remembers how many hang-ups there were before it: a later hang-up ends that open only.
 * Locks: the registry's, then a tty's, then the driver's. proc/ is asked with none of them held.
 * Readers and writers take chunks under the tty's lock and touch user memory without it.
 * Left out: baud rates have no effect, modem control lines do not exist.
 */
#include "dev/tty_impl.h"

#include <asm/errno.h>
#include <asm/signal.h>

#include "arch/clock.h"
#include "core/core.h"
#include "core/thread.h"
#include "lib/string.h"
#include "mm/progress.h"
#include "mm/slab.h"

#define CHUNK 256 /* bytes between user memory and a ring at a time; on the stack */

static const struct termios2 default_termios = {
	.c_iflag = ICRNL | IXON | IUTF8,
	.c_oflag = OPOST | ONLCR,
	.c_cflag = B38400 | CS8 | CREAD | HUPCL,
	.c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
	.c_cc = {[VINTR] = 3,
		 [VQUIT] = 28,
		 [VERASE] = 127,
		 [VKILL] = 21,
		 [VEOF] = 4,
		 [VMIN] = 1,
		 [VSTART] = 17,
		 [VSTOP] = 19,
		 [VSUSP] = 26,
		 [VREPRINT] = 18,
		 [VDISCARD] = 15,
		 [VWERASE] = 23,
		 [VLNEXT] = 22},
	.c_ispeed = 38400,
	.c_ospeed = 38400,
};

/* --- registry --- */

struct tty_shared *
tty_shared_root(void)
{
	struct machine *m = machine();
	struct tty_shared *s = atomic_load(&m->ttys);

	if (s)
		return s;
	s = kzalloc(sizeof(*s));
	if (!s)
		return NULL;
	spin_init(&s->lock, "ttys", RANK_FILE);
	list_init(&s->ttys);
	if (!atomic_cas(&m->ttys, (struct tty_shared *)NULL, s)) {
		kfree(s);
		s = atomic_load(&m->ttys);
	}
	return s;
}

struct tty *
tty_alloc(const char *name, const struct tty_driver *drv, void *dev)
{
	struct tty *t = kzalloc(sizeof(*t));

	if (!t)
		return NULL;
	t->in = kmalloc(TTY_IN);
	t->out = kmalloc(TTY_OUT);
	t->delimiter = kzalloc(TTY_IN / 8);
	if (!t->in || !t->out || !t->delimiter) {
		tty_destroy(t);
		return NULL;
	}
	spin_init(&t->lock, "tty", RANK_FILE);
	string_copy(t->name, name, sizeof(t->name));
	t->drv = drv;
	t->dev = dev;
	t->tio = default_termios;
	list_init(&t->link);
	waitq_init(&t->readers);
	waitq_init(&t->feeders);
	waitq_init(&t->writers);
	return t;
}

void
tty_destroy(struct tty *t)
{
	kfree(t->in);
	kfree(t->out);
	kfree(t->delimiter);
	kfree(t);
}

struct tty *
tty_create(const char *name, const struct tty_driver *drv, void *dev)
{
	struct tty_shared *s = tty_shared_root();
	struct tty *t;

	if (!s)
		return NULL;
	t = tty_alloc(name, drv, dev);
	if (!t)
		return NULL;
	spin_lock(&s->lock);
	list_add_tail(&s->ttys, &t->link);
	if (!s->console)
		atomic_store(&s->console, t);
	spin_unlock(&s->lock);
	return t;
}

void
tty_set_console(struct tty *t)
{
	atomic_store(&tty_shared_root()->console, t);
}

struct tty *
tty_console(void)
{
	struct tty_shared *s = tty_shared_root();

	return s ? atomic_load(&s->console) : NULL;
}

void
tty_for_each(void (*fn)(struct tty *t, void *arg), void *arg)
{
	struct tty_shared *s = tty_shared_root();
	struct tty *t;

	if (!s)
		return;
	/* Entries are only added, at the tail, so the walk needs no lock. */
	list_for_each_entry (t, &s->ttys, link)
		fn(t, arg);
}

const char *
tty_name(const struct tty *t)
{
	return t->name;
}

unsigned
tty_device_number(const struct tty *t)
{
	return t->device_number;
}

void
tty_set_device_number(struct tty *t, unsigned major, unsigned minor)
{
	t->device_number = major << 8 | minor;
}

int
tty_pty_index(const struct tty *t)
{
	return t->is_pty ? pty_index(t->dev) : -1;
}

void
tty_set_proc_ops(const struct tty_proc_ops *ops)
{
	struct tty_shared *s = tty_shared_root();

	if (s)
		atomic_store(&s->proc, ops);
}

struct tty *
tty_controlling(void)
{
	const struct tty_proc_ops *p = tty_proc();

	return p ? p->controlling() : NULL;
}

/* --- open and close --- */

void
tty_open(struct tty *t, struct tty_open *o, bool noctty)
{
	const struct tty_proc_ops *p = tty_proc();
	bool take = p && !noctty && p->is_session_leader() && !p->controlling();
	int session = take ? p->current_session() : 0;
	int pgrp = take ? p->current_pgrp() : 0;

	spin_lock(&t->lock);
	t->opens++;
	o->tty = t;
	o->generation = t->generation;
	o->master = false;
	take = take && t->session == 0;
	if (take) {
		t->session = session;
		t->pgrp = pgrp;
	}
	spin_unlock(&t->lock);
	if (take)
		p->set_controlling(t);
}

void
tty_open_again(struct tty *t, struct tty_open *o, u32 generation)
{
	spin_lock(&t->lock);
	t->opens++;
	*o = (struct tty_open){.tty = t, .generation = generation};
	spin_unlock(&t->lock);
}

void
tty_close(struct tty_open *o)
{
	struct tty *t = o->tty;
	bool last;

	spin_lock(&t->lock);
	last = --t->opens == 0;
	if (last)
		t->exclusive = false;
	spin_unlock(&t->lock);
	if (last && t->drv->closed)
		t->drv->closed(t->dev);
}

/* => t->lock held. */
static bool
is_hung_up(const struct tty_open *o)
{
	return o->generation != o->tty->generation;
}

/* --- input and output from the driver's side --- */

void
tty_send_signals(const struct tty_signals *sig)
{
	const struct tty_proc_ops *p = tty_proc();

	if (!p || sig->pgrp <= 0)
		return;
	for (int s = 1; s < 32; s++)
		if (sig->set & 1u << s)
			p->signal_group(sig->pgrp, s);
}

void
tty_input(struct tty *t, const char *s, size_t n)
{
	struct tty_signals sig = {0, 0};

	spin_lock(&t->lock);
	ldisc_receive(t, s, n, &sig);
	spin_unlock(&t->lock);
	if (sig.set)
		tty_send_signals(&sig);
}

void
tty_output_ready(struct tty *t)
{
	spin_lock(&t->lock);
	ldisc_push(t);
	if (ldisc_out_room(t) >= TTY_OUT / 4)
		waitq_wake_events(&t->writers, 1, TTY_POLL_OUT);
	spin_unlock(&t->lock);
}

void
tty_set_winsize(struct tty *t, unsigned rows, unsigned cols)
{
	struct tty_signals sig = {0, 0};

	spin_lock(&t->lock);
	if (t->winsize.ws_row != rows || t->winsize.ws_col != cols) {
		t->winsize.ws_row = rows;
		t->winsize.ws_col = cols;
		sig.set = 1u << SIGWINCH;
		sig.pgrp = t->pgrp;
	}
	spin_unlock(&t->lock);
	tty_send_signals(&sig);
}

/* --- hang-up and sessions --- */

void
tty_hangup(struct tty *t)
{
	const struct tty_proc_ops *p = tty_proc();
	struct tty_signals sig = {1u << SIGHUP | 1u << SIGCONT, 0};
	int session;

	spin_lock(&t->lock);
	t->generation++;
	sig.pgrp = t->pgrp;
	session = t->session;
	t->session = t->pgrp = 0;
	ldisc_flush_input(t);
	t->stopped = false;
	ldisc_flush_output(t);
	t->tio = default_termios;
	waitq_wake_events(&t->readers, ~0u, TTY_POLL_IN | TTY_POLL_HUP | TTY_POLL_ERR);
	waitq_wake_events(&t->writers, ~0u, TTY_POLL_OUT | TTY_POLL_HUP | TTY_POLL_ERR);
	spin_unlock(&t->lock);
	if (p && session > 0)
		p->session_hangup(session);
	tty_send_signals(&sig);
}

void
tty_session_ended(struct tty *t)
{
	struct tty_signals sig = {1u << SIGHUP | 1u << SIGCONT, 0};

	if (!t->is_pty) {
		tty_hangup(t);
		return;
	}
	spin_lock(&t->lock);
	sig.pgrp = t->pgrp;
	t->session = t->pgrp = 0;
	spin_unlock(&t->lock);
	tty_send_signals(&sig);
}

int
tty_check_background(struct tty *t, int sig, bool reading)
{
	const struct tty_proc_ops *p = tty_proc();
	int mine, foreground;

	if (!p || p->controlling() != t)
		return 0;
	mine = p->current_pgrp();
	spin_lock(&t->lock);
	foreground = t->pgrp;
	spin_unlock(&t->lock);
	if (foreground <= 0 || foreground == mine)
		return 0;
	if (p->signal_ignored_or_blocked(sig))
		return reading ? -EIO : 0;
	if (p->pgrp_orphaned(mine))
		return -EIO;
	return p->signal_current_group(sig);
}

/* --- read --- */

/* How a read waits, from VMIN and VTIME (man 3 termios, noncanonical mode). */
struct read_wait {
	size_t min;    /* bytes that end the wait */
	ns_t between;  /* limit between bytes, once there is one; 0: none */
	ns_t deadline; /* for the first byte */
};

/* => t->lock held. */
static void
read_wait_init(struct tty *t, struct read_wait *w, size_t count)
{
	u8 vmin = t->tio.c_cc[VMIN], vtime = t->tio.c_cc[VTIME];
	ns_t time = vtime * (NS_PER_SEC / 10);

	w->deadline = NS_FOREVER;
	w->between = 0;
	w->min = 1;
	if (tty_flag(t->tio.c_lflag, ICANON))
		return;
	w->min = min((size_t)vmin, count);
	if (vmin > 0)
		w->between = time;
	else
		w->deadline = blocked_deadline(clock_now() + time);
}

/* Waits until there is something to take, or nothing will come: 0; or an error.
 * => t->lock held; `done` bytes were read already. */
static int
read_wait(struct tty_open *o, struct read_wait *w, size_t done)
{
	struct tty *t = o->tty;

	for (;;) {
		size_t have = ldisc_readable(t);
		ns_t deadline = w->deadline;
		int err;

		if (have > 0 && (tty_flag(t->tio.c_lflag, ICANON) || done + have >= w->min ||
				 w->min > TTY_IN / 2))
			return 0;
		if (is_hung_up(o) || t->other_side_gone)
			return 0;
		if (w->between && done + have > 0)
			deadline = clock_now() + w->between;
		err = waitq_sleep(&t->readers, &t->lock, deadline, WAIT_INTERRUPTIBLE);
		if (err == -ETIMEDOUT) {
			if (ldisc_readable(t) == have)
				return 0;
			continue;
		}
		if (err)
			return ldisc_readable(t) > 0 && !tty_flag(t->tio.c_lflag, ICANON) ? 0 : err;
	}
}

/* Moves what is there to the user. => t->lock held, dropped and taken again. */
static size_t
read_chunks(struct tty *t, struct uio *u, bool *line_ended)
{
	char buf[CHUNK];
	size_t done = 0;

	*line_ended = false;
	while (u->resid > 0 && !*line_ended) {
		size_t n = ldisc_take(t, buf, min(u->resid, sizeof(buf)), line_ended), put;

		if (n == 0)
			break;
		spin_unlock(&t->lock);
		put = uio_copy_out(u, buf, n);
		spin_lock(&t->lock);
		done += put;
		if (put < n)
			break;
	}
	return done;
}

ssize_t
tty_read(struct tty_open *o, struct uio *u, bool nonblock)
{
	struct tty *t = o->tty;
	struct read_wait w;
	size_t done = 0;
	bool line_ended;
	int err = tty_check_background(t, SIGTTIN, true);

	if (err)
		return err;
	spin_lock(&t->lock);
	read_wait_init(t, &w, u->resid);
	if (is_hung_up(o))
		goto out;
	if (nonblock && ldisc_readable(t) == 0) {
		if (t->other_side_gone)
			err = -EIO;
		else
			err = -EAGAIN;
		goto out;
	}
	if (!nonblock) {
		err = read_wait(o, &w, 0);
		if (err)
			goto out;
	}
	if (ldisc_readable(t) == 0 && t->other_side_gone && !is_hung_up(o))
		err = -EIO;
	done = read_chunks(t, u, &line_ended);
out:
	spin_unlock(&t->lock);
	return err ? err : uio_result(u, done);
}

/* --- write --- */

/* Queues all of buf, waiting for room; how many went, or an error if none did. `before`: bytes that
 * the call has written already. */
static ssize_t
write_chunk(struct tty_open *o, const char *buf, size_t n, size_t before, bool nonblock)
{
	struct tty *t = o->tty;
	size_t done = 0;
	int err = 0;

	spin_lock(&t->lock);
	while (done < n) {
		if (is_hung_up(o) || t->other_side_gone) {
			err = -EIO;
			break;
		}
		done += ldisc_write(t, buf + done, n - done);
		if (done == n)
			break;
		if (nonblock) {
			err = -EAGAIN;
			break;
		}
		progress_note(before + done);
		err = waitq_sleep(&t->writers, &t->lock, NS_FOREVER, WAIT_INTERRUPTIBLE);
		if (err)
			break;
	}
	spin_unlock(&t->lock);
	return done > 0 ? (ssize_t)done : err;
}

ssize_t
tty_write(struct tty_open *o, struct uio *u, bool nonblock)
{
	char buf[CHUNK];
	size_t done;
	bool tostop;
	int err;

	spin_lock(&o->tty->lock);
	tostop = tty_flag(o->tty->tio.c_lflag, TOSTOP);
	spin_unlock(&o->tty->lock);
	err = tostop ? tty_check_background(o->tty, SIGTTOU, false) : 0;
	if (err)
		return err;
	done = progress_begin(u);
	while (u->resid > 0) {
		size_t n = uio_copy_in(u, buf, min(u->resid, sizeof(buf)));
		ssize_t put;

		if (n == 0)
			break;
		put = write_chunk(o, buf, n, done, nonblock);
		if (put < 0) {
			uio_revert(u, n);
			err = (int)put;
			break;
		}
		done += put;
		if (put < n) {
			uio_revert(u, n - put);
			break;
		}
	}
	progress_end();
	return done == 0 && err ? err : uio_result(u, done);
}

int
tty_drain(struct tty_open *o)
{
	struct tty *t = o->tty;
	int err = 0;

	spin_lock(&t->lock);
	while (t->out_tail != t->out_head && !is_hung_up(o) && !t->other_side_gone && !err)
		err = waitq_sleep(&t->writers, &t->lock, NS_FOREVER, WAIT_INTERRUPTIBLE);
	spin_unlock(&t->lock);
	return err;
}

static void
drain_one(struct tty *t, void *arg)
{
	ns_t deadline = *(ns_t *)arg;
	int err = 0;

	spin_lock(&t->lock);
	while (t->out_tail != t->out_head && !t->stopped && !err)
		err = waitq_sleep(&t->writers, &t->lock, deadline, 0);
	spin_unlock(&t->lock);
}

void
ttys_drain(ns_t deadline)
{
	tty_for_each(drain_one, &deadline);
}

unsigned
tty_poll(struct tty_open *o, void (*add)(void *arg, struct waitq *q, struct spinlock *l), void *arg)
{
	struct tty *t = o->tty;
	size_t have, want = 1;
	unsigned events = 0;

	spin_lock(&t->lock);
	add(arg, &t->readers, &t->lock);
	add(arg, &t->writers, &t->lock);
	if (!tty_flag(t->tio.c_lflag, ICANON) && t->tio.c_cc[VTIME] == 0 && t->tio.c_cc[VMIN] > 0)
		want = t->tio.c_cc[VMIN];
	have = ldisc_readable(t);
	if (have >= want)
		events |= TTY_POLL_IN;
	if (is_hung_up(o))
		events |= TTY_POLL_IN | TTY_POLL_OUT | TTY_POLL_ERR | TTY_POLL_HUP;
	if (t->other_side_gone)
		events |= TTY_POLL_HUP;
	if (ldisc_out_room(t) >= TTY_OUT / 4 || t->other_side_gone)
		events |= TTY_POLL_OUT;
	spin_unlock(&t->lock);
	return events;
}
