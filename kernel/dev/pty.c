/*
 * Pseudo terminals: a terminal whose device is another process, the holder of the master side.
 *
 * A pair is a slave terminal and a ring of its output that the master reads; what the master writes
 * is the terminal's input. Life: pty_create (ptmx opened) with a reference for the master; each
 * open of the slave takes one; the last one frees the pair and its number. Locks: the registry's
 * (numbers); the slave's, then the pair's (the ring and its queues). Left out: packet mode
 * (TIOCPKT), refused with -ENOTTY.
 */
#include "dev/tty_impl.h"

#include <asm/errno.h>
#include <asm/ioctls.h>
#include <asm/signal.h>

#include "core/core.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/progress.h"
#include "mm/slab.h"
#include "mm/user.h"

#define CHUNK 256

/* --- the slave's device --- */

static size_t
pty_device_write(void *dev, const char *s, size_t n)
{
	struct pty *p = dev;
	size_t room;

	spin_lock(&p->lock);
	room = p->master_closed ? n : PTY_RING - (p->head - p->tail);
	if (n > room) {
		n = room;
		p->wants_room = true;
	}
	for (size_t i = 0; i < n && !p->master_closed; i++)
		p->ring[p->head++ & (PTY_RING - 1)] = s[i];
	if (n > 0)
		waitq_wake_events(&p->readers, 1, TTY_POLL_IN);
	spin_unlock(&p->lock);
	return n;
}

static size_t
pty_device_room(void *dev)
{
	struct pty *p = dev;
	size_t room;

	spin_lock(&p->lock);
	room = PTY_RING - (p->head - p->tail);
	spin_unlock(&p->lock);
	return room;
}

static void
pty_device_flush(void *dev)
{
	struct pty *p = dev;

	spin_lock(&p->lock);
	p->tail = p->head;
	spin_unlock(&p->lock);
}

static void
pty_device_closed(void *dev)
{
	struct pty *p = dev;

	spin_lock(&p->lock);
	p->slave_closed = true;
	waitq_wake_events(&p->readers, ~0u, TTY_POLL_IN | TTY_POLL_HUP);
	spin_unlock(&p->lock);
}

static const struct tty_driver pty_tty_driver = {
	.write = pty_device_write,
	.room = pty_device_room,
	.flush = pty_device_flush,
	.closed = pty_device_closed,
};

/* --- life --- */

/* Reserves number `index`, or the lowest free one if it is below 0, for p. => s->lock held. */
static int
number_take(struct tty_shared *s, struct pty *p, int index)
{
	unsigned i = index < 0 ? 0 : (unsigned)index, room;
	struct pty **more;

	while (index < 0 && i < s->ptys_room && s->ptys[i])
		i++;
	if (i >= PTYS_MAX)
		return -ENOSPC;
	if (i < s->ptys_room && s->ptys[i])
		return -EBUSY;
	while (i >= s->ptys_room) {
		room = max(16u, s->ptys_room * 2);
		more = kcalloc(room, sizeof(*more));
		if (!more)
			return -ENOMEM;
		if (s->ptys)
			memcpy(more, s->ptys, s->ptys_room * sizeof(*more));
		kfree(s->ptys);
		s->ptys = more;
		s->ptys_room = room;
	}
	s->ptys[i] = p;
	return i;
}

static void
pty_free(struct pty *p)
{
	if (p->slave)
		tty_destroy(p->slave);
	kfree(p->ring);
	kfree(p);
}

static struct pty *
pty_alloc(void)
{
	struct pty *p = kzalloc(sizeof(*p));

	if (!p)
		return NULL;
	refcount_init(&p->refs, 1);
	spin_init(&p->lock, "pty", RANK_FILE);
	waitq_init(&p->readers);
	p->slave_locked = true;
	p->ring = kmalloc(PTY_RING);
	p->slave = tty_alloc("pts", &pty_tty_driver, p);
	if (p->ring && p->slave)
		return p;
	pty_free(p);
	return NULL;
}

int
pty_create(struct pty **out)
{
	return pty_create_at(-1, out);
}

int
pty_create_at(int index, struct pty **out)
{
	struct tty_shared *s = tty_shared_root();
	struct pty *p = s ? pty_alloc() : NULL;

	if (!p)
		return -ENOMEM;
	p->slave->is_pty = true;
	p->slave->tio.c_iflag &= ~IUTF8; /* whoever holds the master says so */
	spin_lock(&s->lock);
	index = number_take(s, p, index);
	if (index >= 0) {
		p->index = index;
		format(p->slave->name, sizeof(p->slave->name), "pts/%d", index);
		tty_set_device_number(p->slave, 136 + index / 256, index % 256);
	}
	spin_unlock(&s->lock);
	if (index < 0) {
		pty_free(p);
		return index;
	}
	*out = p;
	return 0;
}

void
pty_get(struct pty *p)
{
	refcount_get(&p->refs);
}

int
pty_index(const struct pty *p)
{
	return p->index;
}

bool
pty_locked(const struct pty *p)
{
	return atomic_load(&p->slave_locked);
}

struct tty *
pty_slave(struct pty *p)
{
	return p->slave;
}

int
pty_find(int index, struct pty **out)
{
	struct tty_shared *s = tty_shared_root();
	struct pty *p = NULL;
	int err = -ENXIO;

	if (!s)
		return -ENXIO;
	spin_lock(&s->lock);
	if (index >= 0 && index < s->ptys_room)
		p = s->ptys[index];
	if (p) {
		spin_lock(&p->lock);
		err = p->slave_locked || p->master_closed ? -EIO : 0;
		if (!err) {
			refcount_get(&p->refs);
			p->slave_closed = false;
		}
		spin_unlock(&p->lock);
	}
	spin_unlock(&s->lock);
	*out = p;
	return err;
}

void
pty_put(struct pty *p)
{
	struct tty_shared *s = tty_shared_root();

	spin_lock(&s->lock);
	if (!refcount_put(&p->refs)) {
		spin_unlock(&s->lock);
		return;
	}
	s->ptys[p->index] = NULL;
	spin_unlock(&s->lock);
	pty_free(p);
}

void
pty_master_close(struct pty *p)
{
	struct tty *t = p->slave;

	spin_lock(&t->lock);
	t->other_side_gone = true;
	spin_unlock(&t->lock);
	spin_lock(&p->lock);
	p->master_closed = true;
	p->tail = p->head;
	spin_unlock(&p->lock);
	tty_hangup(t);
	pty_put(p);
}

/* --- the master's file operations --- */

static size_t
ring_take(struct pty *p, char *buf, size_t n)
{
	n = min(n, (size_t)(p->head - p->tail));
	for (size_t i = 0; i < n; i++)
		buf[i] = p->ring[p->tail++ & (PTY_RING - 1)];
	return n;
}

/* => p->lock held. Waits for output of the slave: 0, -EIO (all slaves closed), -EAGAIN, ... */
static int
wait_output(struct pty *p, bool nonblock)
{
	int err = 0;

	while (p->head == p->tail && !err) {
		if (p->slave_closed)
			return -EIO;
		if (nonblock)
			return -EAGAIN;
		err = waitq_sleep(&p->readers, &p->lock, NS_FOREVER, WAIT_INTERRUPTIBLE);
	}
	return err;
}

ssize_t
pty_master_read(struct pty *p, struct uio *u, bool nonblock)
{
	char buf[CHUNK];
	size_t done = 0, n, put;
	bool tell;
	int err;

	spin_lock(&p->lock);
	err = wait_output(p, nonblock);
	while (!err && (n = ring_take(p, buf, min(u->resid, sizeof(buf)))) > 0) {
		spin_unlock(&p->lock);
		put = uio_copy_out(u, buf, n);
		done += put;
		spin_lock(&p->lock);
		if (put < n)
			break;
	}
	tell = p->wants_room && done > 0;
	if (tell)
		p->wants_room = false;
	spin_unlock(&p->lock);
	if (tell)
		tty_output_ready(p->slave);
	return err ? err : uio_result(u, done);
}

/* Waits until the slave takes input: room in bytes, or an error. */
static ssize_t
wait_input_room(struct pty *p, bool nonblock)
{
	struct tty *t = p->slave;
	ssize_t room;
	int err = 0;

	spin_lock(&t->lock);
	while ((room = ldisc_in_room(t)) == 0 && !err) {
		if (nonblock)
			err = -EAGAIN;
		else
			err = waitq_sleep(&t->feeders, &t->lock, NS_FOREVER, WAIT_INTERRUPTIBLE);
	}
	spin_unlock(&t->lock);
	return err ? err : room;
}

ssize_t
pty_master_write(struct pty *p, struct uio *u, bool nonblock)
{
	char buf[CHUNK];
	size_t done = progress_begin(u);
	ssize_t room = 0;

	while (u->resid > 0) {
		size_t n;

		progress_note(done);
		room = wait_input_room(p, nonblock);
		if (room < 0)
			break;
		n = min((size_t)room, sizeof(buf));
		n = uio_copy_in(u, buf, min(n, u->resid));
		if (n == 0)
			break;
		tty_input(p->slave, buf, n);
		done += n;
	}
	progress_end();
	return done == 0 && room < 0 ? room : uio_result(u, done);
}

unsigned
pty_master_poll(struct pty *p, void (*add)(void *arg, struct waitq *q, struct spinlock *l),
		void *arg)
{
	unsigned events = 0;

	spin_lock(&p->lock);
	add(arg, &p->readers, &p->lock);
	if (p->head != p->tail)
		events |= TTY_POLL_IN;
	if (p->slave_closed)
		events |= TTY_POLL_HUP;
	spin_unlock(&p->lock);
	spin_lock(&p->slave->lock);
	add(arg, &p->slave->feeders, &p->slave->lock);
	if (ldisc_in_room(p->slave) > 0)
		events |= TTY_POLL_OUT;
	spin_unlock(&p->slave->lock);
	return events;
}

static long
lock_set(struct pty *p, const int __user *arg)
{
	int on;

	if (get_user(on, arg))
		return -EFAULT;
	atomic_store(&p->slave_locked, on != 0);
	return 0;
}

static long
signal_foreground(struct pty *p, unsigned long signo)
{
	struct tty_signals sig = {0, 0};

	if (signo != SIGINT && signo != SIGQUIT && signo != SIGTSTP)
		return -EINVAL;
	sig.set = 1u << signo;
	spin_lock(&p->slave->lock);
	sig.pgrp = p->slave->pgrp;
	spin_unlock(&p->slave->lock);
	tty_send_signals(&sig);
	return 0;
}

static int
output_count(struct pty *p)
{
	int n;

	spin_lock(&p->lock);
	n = p->head - p->tail;
	spin_unlock(&p->lock);
	return n;
}

long
pty_master_ioctl(struct pty *p, unsigned cmd, unsigned long arg)
{
	struct tty_open o = {
		.tty = p->slave,
		.generation = atomic_load(&p->slave->generation),
		.master = true,
	};

	switch (cmd) {
	case TIOCGPTN:
		return put_user(p->index, (unsigned __user *)arg);
	case TIOCSPTLCK:
		return lock_set(p, (const int __user *)arg);
	case TIOCGPTLCK:
		return put_user((int)pty_locked(p), (int __user *)arg);
	case TIOCSIG:
		return signal_foreground(p, arg);
	case TIOCINQ:
		return put_user(output_count(p), (int __user *)arg);
	case TIOCPKT:
	case TIOCSCTTY:
	case TIOCNOTTY:
		return -ENOTTY;
	default:
		return tty_ioctl(&o, cmd, arg);
	}
}
