/*
 * Connecting AF_UNIX sockets. connect makes the server's half of a connection and puts it on the
 * listener's list; accept gives it a file. Both halves are complete before the listener sees them,
 * so a client may send at once.
 */
#include "file/unix_impl.h"

#include <asm/errno.h>
#include <asm/socket.h>

#include "arch/clock.h"
#include "core/blocked.h"
#include "lib/string.h"

static ns_t
timeout_deadline(ns_t timeout)
{
	return timeout ? blocked_deadline(clock_now() + timeout) : NS_FOREVER;
}

/* Waits for room in the listener's backlog. => other->lock held. */
static int
wait_backlog(struct unix_sock *other, bool nonblock, ns_t deadline)
{
	for (;;) {
		int err;

		if (other->state != UNIX_LISTENING || other->dead || other->shut & SHUT_RECEIVE)
			return -ECONNREFUSED;
		if (other->npending <= other->backlog)
			return 0;
		if (nonblock)
			return -EAGAIN;
		err = waitq_sleep(&other->connecters, &other->lock, deadline,
				  WAIT_INTERRUPTIBLE | WAIT_EXCLUSIVE);
		if (err) {
			waitq_wake_one(&other->connecters);
			return err == -ETIMEDOUT ? -EAGAIN : err;
		}
	}
}

/* Joins s and the fresh half n, and queues n. => other->lock held. A socket that waits for its
 * connection listens to nobody, so no one can hold its lock and want a listener's. */
static void
join(struct unix_sock *s, struct unix_sock *other, struct unix_sock *n)
{
	unix_get(n);
	unix_get(s);
	n->peer = s;
	n->peer_cred = unix_current_cred();
	n->state = UNIX_CONNECTED;
	n->name = other->name;
	n->sndbuf = other->sndbuf;
	n->rcvbuf = other->rcvbuf;
	n->pass_cred = other->pass_cred;
	spin_lock(&s->lock);
	s->peer = n;
	s->peer_cred = other->cred;
	s->state = UNIX_CONNECTED;
	waitq_wake_events(&s->writable, ~0u, POLL_OUT | POLL_WRNORM);
	spin_unlock(&s->lock);
	list_add_tail(&other->pending, &n->accept_link);
	other->npending++;
	waitq_wake_events(&other->readable, 1, POLL_IN | POLL_RDNORM);
}

static int
connect_to(struct unix_sock *s, struct unix_sock *other, bool nonblock)
{
	struct unix_sock *n = unix_sock_alloc(s->type);
	int err;

	if (!n)
		return -ENOMEM;
	spin_lock(&other->lock);
	err = wait_backlog(other, nonblock, timeout_deadline(s->snd_timeout));
	if (!err)
		join(s, other, n);
	spin_unlock(&other->lock);
	if (err)
		unix_put(n);
	return err;
}

/* Claims s for a connection: 0, -EISCONN, -EINVAL, -EALREADY. */
static int
connect_begin(struct unix_sock *s)
{
	int err = 0;

	spin_lock(&s->lock);
	if (s->state == UNIX_CONNECTED)
		err = -EISCONN;
	else if (s->state == UNIX_LISTENING)
		err = -EINVAL;
	else if (s->state == UNIX_CONNECTING)
		err = -EALREADY;
	else
		s->state = UNIX_CONNECTING;
	spin_unlock(&s->lock);
	return err;
}

static int
connect_stream(struct unix_sock *s, const void *addr, unsigned len, bool nonblock)
{
	struct unix_sock *other;
	int err = connect_begin(s);

	if (err)
		return err;
	if (s->pass_cred)
		err = unix_autobind(s);
	if (!err)
		err = unix_find(addr, len, s->type, &other);
	if (!err) {
		err = connect_to(s, other, nonblock);
		unix_put(other);
	}
	if (err) {
		spin_lock(&s->lock);
		s->state = UNIX_IDLE;
		spin_unlock(&s->lock);
	}
	return err;
}

/* A datagram socket's peer is only where its messages go and whom it hears. */
static int
connect_datagram(struct unix_sock *s, const void *addr, unsigned len)
{
	struct unix_sock *other = NULL, *old;
	int err = 0;
	u16 family = 0;

	if (len < sizeof(family))
		return -EINVAL;
	memcpy(&family, addr, sizeof(family));
	if (family != AF_UNSPEC) {
		err = unix_find(addr, len, s->type, &other);
		if (err)
			return err;
		spin_lock(&other->lock);
		if (other->peer && other->peer != s)
			err = -EPERM;
		spin_unlock(&other->lock);
		if (err) {
			unix_put(other);
			return err;
		}
	}
	spin_lock(&s->lock);
	old = s->peer;
	s->peer = other;
	waitq_wake_events(&s->writable, ~0u, POLL_OUT | POLL_WRNORM);
	spin_unlock(&s->lock);
	unix_put(old);
	return 0;
}

int
unix_connect(struct file *f, const void *addr, unsigned len)
{
	struct unix_sock *s = f->private;

	return unix_is_connected_kind(s) ? connect_stream(s, addr, len, file_nonblock(f))
					 : connect_datagram(s, addr, len);
}

int
unix_listen(struct file *f, int backlog)
{
	struct unix_sock *s = f->private;
	int err = 0;

	if (!unix_is_connected_kind(s))
		return -EOPNOTSUPP;
	if (atomic_load(&s->name.len) == 0)
		return -EINVAL;
	spin_lock(&s->lock);
	if (s->state != UNIX_IDLE && s->state != UNIX_LISTENING) {
		err = -EINVAL;
	} else {
		s->state = UNIX_LISTENING;
		s->backlog = min((unsigned)backlog, 4096u); /* net.core.somaxconn */
		s->cred = s->peer_cred = unix_current_cred();
		waitq_wake_all(&s->connecters);
	}
	spin_unlock(&s->lock);
	return err;
}

/* Takes the first connection: 0, -EINVAL, -EAGAIN, ... => s->lock held. */
static int
wait_pending(struct unix_sock *s, bool nonblock)
{
	ns_t deadline = timeout_deadline(s->rcv_timeout);

	for (;;) {
		int err;

		if (s->state != UNIX_LISTENING || s->shut & SHUT_RECEIVE)
			return -EINVAL;
		if (s->npending > 0)
			return 0;
		if (nonblock)
			return -EAGAIN;
		err = waitq_sleep(&s->readable, &s->lock, deadline,
				  WAIT_INTERRUPTIBLE | WAIT_EXCLUSIVE);
		if (err) {
			if (s->npending > 0)
				waitq_wake_events(&s->readable, 1, POLL_PASS_ON);
			return err == -ETIMEDOUT ? -EAGAIN : err;
		}
	}
}

int
unix_accept(struct file *f, unsigned flags, struct file **out, void *addr, unsigned *len)
{
	struct unix_sock *s = f->private, *n = NULL;
	int err;

	if (!unix_is_connected_kind(s))
		return -EOPNOTSUPP;
	spin_lock(&s->lock);
	err = wait_pending(s, file_nonblock(f));
	if (!err) {
		n = list_first(&s->pending, struct unix_sock, accept_link);
		list_del(&n->accept_link);
		s->npending--;
		waitq_wake_one(&s->connecters);
		if (s->npending > 0)
			waitq_wake_events(&s->readable, 1, POLL_PASS_ON);
	}
	spin_unlock(&s->lock);
	if (err)
		return err;
	err = unix_file(n, flags, out);
	if (err) {
		unix_close(n);
		return err;
	}
	if (addr) {
		struct unix_sock *peer;

		spin_lock(&n->lock);
		peer = n->peer;
		if (peer)
			unix_get(peer);
		spin_unlock(&n->lock);
		if (peer)
			unix_name_out(peer, addr, len);
		else
			*len = 0;
		unix_put(peer);
	}
	return 0;
}
