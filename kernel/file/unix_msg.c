/*
 * Sending and receiving on AF_UNIX sockets.
 *
 * A message is filled from user memory before any lock is taken. The sender charges itself under
 * its own lock, then appends to the receiver's queue under the receiver's. A receiver takes a
 * message off its queue, copies it out without the lock, and puts back what was not wanted; so two
 * threads that read one stream get whole pieces each, in an order of their own, as on Linux.
 * Peeking copies from a message that stays queued, held by a reference.
 */
#include "file/unix_impl.h"

#include <asm/errno.h>

#include "arch/clock.h"
#include "lib/string.h"
#include "mm/progress.h"
#include "mm/slab.h"

/* Bytes of a stream in one message: with its head they fill four pages. */
#define STREAM_PIECE (16384 - sizeof(struct unix_msg))

/* --- messages --- */

void
unix_msg_put(struct unix_msg *m)
{
	struct unix_sock *s = m->sender;

	if (!refcount_put(&m->refs))
		return;
	unix_rights_drop(m);
	if (s) {
		spin_lock(&s->lock);
		s->tx_charge -= m->charge;
		if (unix_can_send(s) || s->type != SOCK_STREAM)
			waitq_wake_events(&s->writable, ~0u, POLL_OUT | POLL_WRNORM);
		spin_unlock(&s->lock);
		unix_put(s);
	}
	kfree(m);
}

static struct unix_msg *
msg_alloc(size_t n)
{
	struct unix_msg *m = kmalloc(sizeof(*m) + n);

	if (!m)
		return NULL;
	memset(m, 0, sizeof(*m));
	list_init(&m->link);
	refcount_init(&m->refs, 1);
	m->cred = unix_current_cred();
	m->size = n;
	return m;
}

/* --- sending --- */

static ns_t
deadline_of(ns_t timeout)
{
	return timeout ? blocked_deadline(clock_now() + timeout) : NS_FOREVER;
}

static bool
would_not_wait(const struct file *f, const struct socket_msg *sm)
{
	return file_nonblock(f) || (sm->flags & MSG_DONTWAIT);
}

/* Waits until the message fits and charges it to s. 0, -EPIPE, -EAGAIN, ... */
static int
charge(struct unix_sock *s, struct unix_msg *m, bool nonblock)
{
	size_t n = m->size + sizeof(*m);
	ns_t deadline = deadline_of(s->snd_timeout);
	int err = 0;

	spin_lock(&s->lock);
	while (!(s->shut & SHUT_SEND) && s->tx_charge > 0 && s->tx_charge + n > s->sndbuf && !err) {
		if (nonblock)
			err = -EAGAIN;
		else
			err = waitq_sleep(&s->writable, &s->lock, deadline, WAIT_INTERRUPTIBLE);
	}
	if (s->shut & SHUT_SEND)
		err = -EPIPE;
	if (!err) {
		m->charge = n;
		s->tx_charge += n;
		unix_get(s);
		m->sender = s;
	}
	spin_unlock(&s->lock);
	return err == -ETIMEDOUT ? -EAGAIN : err;
}

/* Appends to the receiver's queue: 0, or `closed` when it takes nothing any more. */
static int
deliver(struct unix_sock *to, struct unix_msg *m, int closed)
{
	int err = 0;

	spin_lock(&to->lock);
	if (to->dead || to->shut & SHUT_RECEIVE) {
		err = closed;
	} else {
		list_add_tail(&to->rx, &m->link);
		to->rx_bytes += m->size;
		waitq_wake_events(&to->readable, 1, POLL_IN | POLL_RDNORM);
	}
	spin_unlock(&to->lock);
	return err;
}

/* One message to `to`: consumes m unless an error is returned. */
static int
post(struct file *f, struct unix_sock *to, struct unix_msg *m, const struct socket_msg *sm,
     int closed)
{
	int err = charge(f->private, m, would_not_wait(f, sm));

	return err ? err : deliver(to, m, closed);
}

/* The peer with a reference, NULL. */
static struct unix_sock *
peer_of(struct unix_sock *s)
{
	struct unix_sock *p;

	spin_lock(&s->lock);
	p = s->peer;
	if (p)
		unix_get(p);
	spin_unlock(&s->lock);
	return p;
}

static ssize_t
send_stream(struct file *f, struct unix_sock *to, struct socket_msg *sm)
{
	struct uio *u = sm->data;
	size_t done = progress_begin(u);
	int err = 0;

	do {
		size_t n = min(u->resid, STREAM_PIECE);
		struct unix_msg *m;

		if (n == 0 && sm->control_len == 0)
			break;
		m = msg_alloc(n);
		if (!m) {
			err = -ENOBUFS;
			break;
		}
		if (done == 0)
			err = unix_control_in(m, sm);
		if (!err && uio_copy_in(u, m->data, n) < n)
			err = -EFAULT;
		progress_note(done);
		if (!err)
			err = n > 0 ? post(f, to, m, sm, -EPIPE) : -EINVAL;
		if (err) {
			unix_msg_put(m);
			/* Control messages without data go nowhere, as on Linux. */
			if (n == 0)
				err = 0;
			break;
		}
		done += n;
	} while (u->resid > 0);
	progress_end();
	return done > 0 ? (ssize_t)done : err;
}

static ssize_t
send_packet(struct file *f, struct unix_sock *to, struct socket_msg *sm)
{
	struct unix_sock *s = f->private;
	size_t n = sm->data->resid;
	int closed = s->type == SOCK_SEQPACKET ? -EPIPE : -ECONNREFUSED, err;
	struct unix_msg *m;

	if (n + sizeof(*m) > s->sndbuf)
		return -EMSGSIZE;
	m = msg_alloc(n);
	if (!m)
		return -ENOBUFS;
	err = unix_control_in(m, sm);
	if (!err && uio_copy_in(sm->data, m->data, n) < n)
		err = -EFAULT;
	if (!err)
		err = post(f, to, m, sm, closed);
	if (err) {
		unix_msg_put(m);
		return err;
	}
	return n;
}

/* Where a datagram goes: the given address, or the peer. */
static int
datagram_target(struct unix_sock *s, const struct socket_msg *sm, struct unix_sock **to)
{
	int err = 0;

	if (!sm->name || sm->name_len == 0) {
		*to = peer_of(s);
		return *to ? 0 : -ENOTCONN;
	}
	err = unix_find(sm->name, sm->name_len, s->type, to);
	if (err)
		return err;
	spin_lock(&(*to)->lock);
	if ((*to)->peer && (*to)->peer != s)
		err = -EPERM;
	spin_unlock(&(*to)->lock);
	if (err)
		unix_put(*to);
	return err;
}

ssize_t
unix_send(struct file *f, struct socket_msg *sm)
{
	struct unix_sock *s = f->private, *to;
	ssize_t r;

	if (sm->flags & MSG_OOB)
		return -EOPNOTSUPP;
	if (unix_is_connected_kind(s)) {
		if (sm->name && sm->name_len > 0)
			return s->state == UNIX_CONNECTED ? -EISCONN : -EOPNOTSUPP;
		to = peer_of(s);
		if (!to)
			return -ENOTCONN;
		if (s->shut & SHUT_SEND) {
			unix_put(to);
			return -EPIPE;
		}
	} else {
		if (s->pass_cred)
			(void)unix_autobind(s);
		r = datagram_target(s, sm, &to);
		if (r)
			return r;
	}
	r = s->type == SOCK_STREAM ? send_stream(f, to, sm) : send_packet(f, to, sm);
	unix_put(to);
	return r;
}

/* --- receiving --- */

/* Waits for a message: 1; 0 at the end; or an error. => s->lock held. */
static int
wait_message(struct unix_sock *s, bool nonblock, ns_t deadline)
{
	while (list_empty(&s->rx)) {
		int err;

		if (s->error) {
			err = -s->error;
			s->error = 0;
			return err;
		}
		if (s->shut & SHUT_RECEIVE)
			return 0;
		if (unix_is_connected_kind(s) && s->state != UNIX_CONNECTED)
			return s->type == SOCK_STREAM ? -EINVAL : -ENOTCONN;
		if (nonblock)
			return -EAGAIN;
		err = waitq_sleep(&s->readable, &s->lock, deadline, WAIT_INTERRUPTIBLE);
		if (err)
			return err == -ETIMEDOUT ? -EAGAIN : err;
	}
	return 1;
}

static void
name_of_sender(struct unix_msg *m, struct socket_msg *sm)
{
	if (!sm->name)
		return;
	if (atomic_load(&m->sender->name.len) > 0)
		unix_name_out(m->sender, sm->name, &sm->name_len);
	else
		sm->name_len = 0;
}

static bool
same_sender(const struct unix_cred *a, const struct unix_cred *b)
{
	return a->pid == b->pid && a->uid == b->uid && a->gid == b->gid;
}

/* The stream's message at offset `skip` behind the start, for peeking; a reference, or NULL.
 * *at becomes the position in it. => s->lock held. */
static struct unix_msg *
peek_at(struct unix_sock *s, size_t skip, size_t *at)
{
	struct unix_msg *m;

	list_for_each_entry (m, &s->rx, link) {
		if (skip < m->size - m->start) {
			*at = m->start + skip;
			refcount_get(&m->refs);
			return m;
		}
		skip -= m->size - m->start;
	}
	return NULL;
}

/* Takes the first message off, or looks at the one behind `done` bytes. => s->lock held. */
static struct unix_msg *
next_piece(struct unix_sock *s, bool peek, size_t done, size_t *at)
{
	struct unix_msg *m;

	if (peek)
		return peek_at(s, done, at);
	if (list_empty(&s->rx))
		return NULL;
	m = list_first(&s->rx, struct unix_msg, link);
	list_del(&m->link);
	s->rx_bytes -= m->size - m->start;
	*at = m->start;
	return m;
}

/* Drops a message that was read to `at`, or puts the rest of it back. */
static void
piece_done(struct unix_sock *s, struct unix_msg *m, size_t at, bool peek)
{
	if (!peek && at < m->size) {
		spin_lock(&s->lock);
		if (!s->dead) {
			m->start = at;
			list_add(&s->rx, &m->link);
			s->rx_bytes += m->size - at;
			waitq_wake_events(&s->readable, 1, POLL_PASS_ON);
			m = NULL;
		}
		spin_unlock(&s->lock);
	}
	if (m)
		unix_msg_put(m);
}

struct stream_read {
	struct socket_msg *sm;
	size_t room;	       /* for control messages */
	struct unix_cred cred; /* of what was read */
	size_t done;
	bool peek;
};

/* Copies one piece out; whether the read may go on with the next. */
static bool
take_piece(struct unix_sock *s, struct unix_msg *m, size_t at, struct stream_read *r)
{
	struct uio *u = r->sm->data;
	bool files = m->nfiles > 0, first = r->done == 0;
	size_t n, want = min(u->resid, m->size - at);

	if (!first && s->pass_cred && !same_sender(&m->cred, &r->cred)) {
		piece_done(s, m, at, r->peek);
		return false;
	}
	n = uio_copy_out(u, m->data + at, want);
	if (first) {
		r->cred = m->cred;
		name_of_sender(m, r->sm);
	}
	if (n > 0 && (first || files))
		unix_control_out(s, m, r->sm, r->room, r->peek);
	r->done += n;
	piece_done(s, m, at + n, r->peek);
	return n == want && !files && u->resid > 0;
}

static ssize_t
recv_stream(struct file *f, struct socket_msg *sm)
{
	struct unix_sock *s = f->private;
	struct stream_read r = {.sm = sm, .room = sm->control_len, .peek = sm->flags & MSG_PEEK};
	bool all = (sm->flags & MSG_WAITALL) && !r.peek, more;
	ns_t deadline = deadline_of(s->rcv_timeout);
	struct unix_msg *m;
	int err = 0;

	sm->control_len = 0;
	if (sm->data->resid == 0)
		return 0;
	if (all)
		r.done = progress_begin(sm->data);
	do {
		size_t at = 0;

		if (all)
			progress_note(r.done);
		spin_lock(&s->lock);
		if (r.done == 0 || all)
			err = wait_message(s, would_not_wait(f, sm), deadline);
		m = err >= 0 ? next_piece(s, r.peek, r.done, &at) : NULL;
		spin_unlock(&s->lock);
		if (!m)
			break;
		more = take_piece(s, m, at, &r);
	} while (more);
	if (all)
		progress_end();
	sm->flags &= MSG_CTRUNC;
	if (r.done > 0)
		return r.done;
	return err < 0 ? err : uio_result(sm->data, 0);
}

static ssize_t
recv_packet(struct file *f, struct socket_msg *sm)
{
	struct unix_sock *s = f->private;
	bool peek = sm->flags & MSG_PEEK, whole = sm->flags & MSG_TRUNC;
	size_t room = sm->control_len, n;
	struct unix_msg *m = NULL;
	ssize_t r;
	int err;

	sm->control_len = 0;
	spin_lock(&s->lock);
	err = wait_message(s, would_not_wait(f, sm), deadline_of(s->rcv_timeout));
	if (err > 0) {
		m = list_first(&s->rx, struct unix_msg, link);
		if (peek) {
			refcount_get(&m->refs);
		} else {
			list_del(&m->link);
			s->rx_bytes -= m->size;
		}
	}
	spin_unlock(&s->lock);
	if (err <= 0) {
		if (err == 0)
			sm->flags = 0;
		return err;
	}
	n = min(sm->data->resid, m->size);
	r = uio_copy_out(sm->data, m->data, n) < n ? -EFAULT : (ssize_t)(whole ? m->size : n);
	sm->flags = (n < m->size ? MSG_TRUNC : 0) | (s->type == SOCK_SEQPACKET ? MSG_EOR : 0) |
		    (sm->flags & MSG_CMSG_CLOEXEC);
	name_of_sender(m, sm);
	unix_control_out(s, m, sm, room, peek);
	sm->flags &= ~MSG_CMSG_CLOEXEC;
	unix_msg_put(m);
	return r;
}

ssize_t
unix_recv(struct file *f, struct socket_msg *sm)
{
	struct unix_sock *s = f->private;

	if (sm->flags & MSG_OOB)
		return -EOPNOTSUPP;
	sm->flags &= ~MSG_CTRUNC;
	return s->type == SOCK_STREAM ? recv_stream(f, sm) : recv_packet(f, sm);
}
