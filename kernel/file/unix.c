/*
 * AF_UNIX sockets (man 7 unix): life, readiness, options. Streams, datagrams, sequenced packets.
 *
 * A socket is counted: its file, its peer, each of its messages that nobody has read. A stream pair
 * points at each other until one side closes. Sending puts a message on the receiver's queue and
 * charges the sender, who waits while its charge exceeds its send buffer; reading (or closing)
 * takes the charge off again. So the memory in flight is bounded by the senders' buffers.
 *
 * Other files: unix_name.c (bind, look-up), unix_connect.c (connect, listen, accept), unix_msg.c
 * (send, receive), unix_rights.c (control messages, descriptors in flight and their collection).
 * Left out: SO_PEEK_OFF, SO_PEERSEC, MSG_OOB: refused.
 */
#include "file/unix_impl.h"

#include <asm/errno.h>
#include <asm/fcntl.h>
#include <asm/ioctls.h>
#include <asm/socket.h>

#include "file/dentry.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "mm/user.h"

static const struct socket_file_ops unix_ops;

bool
unix_is_connected_kind(const struct unix_sock *s)
{
	return s->type != SOCK_DGRAM;
}

struct unix_sock *
unix_of(struct file *f)
{
	return f->ops == &unix_ops.file ? f->private : NULL;
}

struct unix_cred
unix_current_cred(void)
{
	const struct procfs_process_ops *p = vfs_get()->process_ops;
	struct ids who = current_ids();

	return (struct unix_cred){p ? p->self() : 0, who.uid, who.gid};
}

struct unix_sock *
unix_sock_alloc(int type)
{
	struct unix_sock *s = kzalloc(sizeof(*s));

	if (!s)
		return NULL;
	refcount_init(&s->refs, 1);
	spin_init(&s->lock, "unix socket", RANK_FILE);
	s->type = type;
	s->sndbuf = s->rcvbuf = UNIX_BUFFER;
	list_init(&s->rx);
	list_init(&s->pending);
	list_init(&s->accept_link);
	list_init(&s->name_link);
	list_init(&s->inflight_link);
	waitq_init(&s->readable);
	waitq_init(&s->writable);
	waitq_init(&s->connecters);
	spin_lock(&unix_root()->lock);
	list_add_tail(&unix_root()->all, &s->all_link);
	spin_unlock(&unix_root()->lock);
	return s;
}

void
unix_put(struct unix_sock *s)
{
	if (!s || !refcount_put(&s->refs))
		return;
	spin_lock(&unix_root()->lock);
	list_del(&s->all_link);
	spin_unlock(&unix_root()->lock);
	kfree(s);
}

int
unix_file(struct unix_sock *s, unsigned flags, struct file **out)
{
	*out = file_create(&unix_ops.file, O_RDWR | (flags & O_NONBLOCK), s);
	if (!*out)
		return -ENOMEM;
	s->file = *out;
	return 0;
}

static int
create_file(int type, unsigned flags, struct unix_sock **sock, struct file **out)
{
	int err;

	*sock = unix_sock_alloc(type);
	if (!*sock)
		return -ENOMEM;
	err = unix_file(*sock, flags, out);
	if (err)
		unix_put(*sock);
	return err;
}

int
unix_socket_create(int type, int protocol, unsigned flags, struct file **out)
{
	struct unix_sock *s;

	if (protocol != 0 && protocol != AF_UNIX)
		return -EPROTONOSUPPORT;
	if (type == SOCK_RAW)
		type = SOCK_DGRAM;
	if (type != SOCK_STREAM && type != SOCK_DGRAM && type != SOCK_SEQPACKET)
		return -ESOCKTNOSUPPORT;
	return create_file(type, flags, &s, out);
}

int
unix_socketpair(int type, unsigned flags, struct file **a, struct file **b)
{
	struct unix_cred cred = unix_current_cred();
	struct unix_sock *sa, *sb;
	int err;

	if (type != SOCK_STREAM && type != SOCK_DGRAM && type != SOCK_SEQPACKET)
		return -ESOCKTNOSUPPORT;
	err = create_file(type, flags, &sa, a);
	if (err)
		return err;
	err = create_file(type, flags, &sb, b);
	if (err) {
		file_put(*a);
		return err;
	}
	unix_get(sa);
	unix_get(sb);
	sa->peer = sb;
	sb->peer = sa;
	sa->cred = sb->cred = sa->peer_cred = sb->peer_cred = cred;
	if (unix_is_connected_kind(sa))
		sa->state = sb->state = UNIX_CONNECTED;
	return 0;
}

/* --- closing and shutting down --- */

/* => s->lock held. */
static void
wake_all(struct unix_sock *s)
{
	waitq_wake_events(&s->readable, ~0u,
			  POLL_IN | POLL_RDNORM | POLL_RDHUP | POLL_HUP | POLL_ERR);
	waitq_wake_events(&s->writable, ~0u, POLL_OUT | POLL_WRNORM | POLL_HUP | POLL_ERR);
	waitq_wake_all(&s->connecters);
}

/* The other side of a connection goes, with `unread` messages of ours or none. */
static void
tell_peer(struct unix_sock *peer, bool unread)
{
	spin_lock(&peer->lock);
	peer->shut = SHUT_BOTH;
	if (unread)
		peer->error = ECONNRESET;
	wake_all(peer);
	spin_unlock(&peer->lock);
}

static void
close_pending(struct list *pending)
{
	while (!list_empty(pending)) {
		struct unix_sock *s = list_first(pending, struct unix_sock, accept_link);

		list_del(&s->accept_link);
		unix_close(s);
	}
}

void
unix_close(struct unix_sock *s)
{
	struct list msgs, pending;
	struct unix_sock *peer;
	bool unread;

	list_init(&msgs);
	list_init(&pending);
	unix_unbind(s);
	spin_lock(&s->lock);
	s->dead = true;
	s->shut = SHUT_BOTH;
	peer = s->peer;
	s->peer = NULL;
	/* A connection that nobody accepted counts as cut off. */
	unread = !list_empty(&s->rx) || !s->file;
	list_splice_tail(&msgs, &s->rx);
	s->rx_bytes = 0;
	list_splice_tail(&pending, &s->pending);
	s->npending = 0;
	wake_all(s);
	spin_unlock(&s->lock);
	if (peer && unix_is_connected_kind(s))
		tell_peer(peer, unread);
	unix_put(peer);
	close_pending(&pending);
	unix_discard(&msgs);
	unix_put(s);
}

static void
unix_release(struct file *f)
{
	unix_close(f->private);
	unix_collect();
}

static int
unix_shutdown(struct file *f, int how)
{
	struct unix_sock *s = f->private, *peer;
	unsigned mine = how + 1, theirs;

	if (how < 0 || how > 2)
		return -EINVAL;
	theirs = (mine & SHUT_RECEIVE ? SHUT_SEND : 0) | (mine & SHUT_SEND ? SHUT_RECEIVE : 0);
	spin_lock(&s->lock);
	if (unix_is_connected_kind(s) && s->state == UNIX_IDLE) {
		spin_unlock(&s->lock);
		return -ENOTCONN;
	}
	s->shut |= mine;
	peer = unix_is_connected_kind(s) ? s->peer : NULL;
	if (peer)
		unix_get(peer);
	wake_all(s);
	spin_unlock(&s->lock);
	if (!peer)
		return 0;
	spin_lock(&peer->lock);
	peer->shut |= theirs;
	wake_all(peer);
	spin_unlock(&peer->lock);
	unix_put(peer);
	return 0;
}

/* --- readiness --- */

/* As Linux: a quarter of the send buffer in flight is the limit of being writable.
 * => s->lock held */
bool
unix_can_send(const struct unix_sock *s)
{
	return s->tx_charge * 4 <= s->sndbuf;
}

static unsigned
unix_poll(struct file *f, struct poll_table *pt)
{
	struct unix_sock *s = f->private;
	unsigned events = 0;

	spin_lock(&s->lock);
	poll_add(pt, &s->readable, &s->lock);
	poll_add(pt, &s->writable, &s->lock);
	if (s->error)
		events |= POLL_ERR;
	if (s->shut == SHUT_BOTH)
		events |= POLL_HUP;
	if (s->shut & SHUT_RECEIVE)
		events |= POLL_RDHUP | POLL_IN | POLL_RDNORM;
	if (!list_empty(&s->rx) || s->npending > 0)
		events |= POLL_IN | POLL_RDNORM;
	if (unix_is_connected_kind(s) && s->state == UNIX_IDLE)
		events |= POLL_HUP;
	if (s->state != UNIX_LISTENING && unix_can_send(s))
		events |= POLL_OUT | POLL_WRNORM;
	spin_unlock(&s->lock);
	return events;
}

/* --- options --- */

static int
set_timeout(ns_t *to, const void *val, unsigned len)
{
	s64 tv[2];

	if (len < sizeof(tv))
		return -EINVAL;
	memcpy(tv, val, sizeof(tv));
	if (tv[1] < 0 || tv[1] >= 1000000)
		return -EDOM;
	*to = tv[0] < 0 || tv[0] > NS_FOREVER / NS_PER_SEC / 2
		      ? 0
		      : tv[0] * NS_PER_SEC + tv[1] * NS_PER_US;
	return 0;
}

/* => s->lock held. */
static int
set_option(struct unix_sock *s, int name, int v)
{
	switch (name) {
	case SO_SNDBUF:
	case SO_SNDBUFFORCE:
		s->sndbuf = max(UNIX_BUFFER_MIN, min((u32)v, UNIX_BUFFER) * 2);
		return 0;
	case SO_RCVBUF:
	case SO_RCVBUFFORCE:
		s->rcvbuf = max(2304u, min((u32)v, UNIX_BUFFER) * 2);
		return 0;
	case SO_PASSCRED:
		s->pass_cred = v != 0;
		return 0;
	case SO_REUSEADDR:
	case SO_KEEPALIVE:
	case SO_BROADCAST:
	case SO_DONTROUTE:
	case SO_OOBINLINE:
		if (v)
			s->flag_options |= 1u << name;
		else
			s->flag_options &= ~(1u << name);
		return 0;
	default:
		return -ENOPROTOOPT;
	}
}

static int
unix_setsockopt(struct file *f, int level, int name, const void *val, unsigned len)
{
	struct unix_sock *s = f->private;
	int v, err;

	if (level != SOL_SOCKET)
		return -EOPNOTSUPP;
	if (len < sizeof(v))
		return -EINVAL;
	memcpy(&v, val, sizeof(v));
	spin_lock(&s->lock);
	if (name == SO_RCVTIMEO_OLD)
		err = set_timeout(&s->rcv_timeout, val, len);
	else if (name == SO_SNDTIMEO_OLD)
		err = set_timeout(&s->snd_timeout, val, len);
	else
		err = set_option(s, name, v);
	spin_unlock(&s->lock);
	return err;
}

/* => s->lock held. */
static int
get_number(struct unix_sock *s, int name)
{
	int v;

	switch (name) {
	case SO_TYPE:
		return s->type;
	case SO_DOMAIN:
		return AF_UNIX;
	case SO_PROTOCOL:
		return 0;
	case SO_ERROR:
		v = s->error;
		s->error = 0;
		return v;
	case SO_SNDBUF:
		return s->sndbuf;
	case SO_RCVBUF:
		return s->rcvbuf;
	case SO_PASSCRED:
		return s->pass_cred;
	case SO_ACCEPTCONN:
		return s->state == UNIX_LISTENING;
	case SO_REUSEADDR:
	case SO_KEEPALIVE:
	case SO_BROADCAST:
	case SO_DONTROUTE:
	case SO_OOBINLINE:
		return s->flag_options >> name & 1;
	default:
		return -ENOPROTOOPT;
	}
}

static void
put_option(void *val, unsigned *len, const void *v, unsigned n)
{
	*len = min(*len, n);
	memcpy(val, v, *len);
}

static int
unix_getsockopt(struct file *f, int level, int name, void *val, unsigned *len)
{
	struct unix_sock *s = f->private;
	struct unix_cred cred;
	s64 tv[2];
	ns_t t;
	int v;

	if (level != SOL_SOCKET)
		return -EOPNOTSUPP;
	spin_lock(&s->lock);
	cred = s->state == UNIX_CONNECTED || s->peer ? s->peer_cred
						     : (struct unix_cred){0, ~0u, ~0u};
	t = name == SO_RCVTIMEO_OLD ? s->rcv_timeout : s->snd_timeout;
	v = get_number(s, name);
	spin_unlock(&s->lock);
	switch (name) {
	case SO_PEERCRED:
		put_option(val, len, &cred, sizeof(cred));
		return 0;
	case SO_RCVTIMEO_OLD:
	case SO_SNDTIMEO_OLD:
		tv[0] = t / NS_PER_SEC;
		tv[1] = t % NS_PER_SEC / NS_PER_US;
		put_option(val, len, tv, sizeof(tv));
		return 0;
	default:
		if (v < 0)
			return v;
		put_option(val, len, &v, sizeof(v));
		return 0;
	}
}

/* --- the file's side --- */

static ssize_t
unix_read(struct file *f, struct uio *u, u64 *pos)
{
	struct socket_msg m = {.data = u};

	return unix_recv(f, &m);
}

static ssize_t
unix_write(struct file *f, struct uio *u, u64 *pos)
{
	struct socket_msg m = {.data = u};

	return unix_send(f, &m);
}

static long
unix_ioctl(struct file *f, unsigned cmd, unsigned long arg)
{
	struct unix_sock *s = f->private;
	int n;

	if (cmd != FIONREAD && cmd != TIOCOUTQ)
		return socket_interface_ioctl(cmd, arg);
	spin_lock(&s->lock);
	if (cmd == TIOCOUTQ)
		n = s->tx_charge;
	else if (s->type == SOCK_STREAM || list_empty(&s->rx))
		n = s->rx_bytes;
	else
		n = list_first(&s->rx, struct unix_msg, link)->size;
	if (cmd == FIONREAD && s->state == UNIX_LISTENING)
		n = -EINVAL;
	spin_unlock(&s->lock);
	return n < 0 ? n : put_user(n, (int __user *)arg);
}

static size_t
unix_file_name(struct file *f, char *buf, size_t size)
{
	return format(buf, size, "socket:[%lu]", (unsigned long)f->ino);
}

static const struct socket_file_ops unix_ops = {
	.file =
		{
			.kind = "socket",
			.read = unix_read,
			.write = unix_write,
			.poll = unix_poll,
			.ioctl = unix_ioctl,
			.release = unix_release,
			.name = unix_file_name,
			.persist = &unix_file_persist,
		},
	.socket =
		{
			.bind = unix_bind,
			.connect = unix_connect,
			.listen = unix_listen,
			.accept = unix_accept,
			.getname = unix_getname,
			.send = unix_send,
			.recv = unix_recv,
			.shutdown = unix_shutdown,
			.setsockopt = unix_setsockopt,
			.getsockopt = unix_getsockopt,
		},
	.family = AF_UNIX,
};

static const struct socket_family unix_family = {
	.family = AF_UNIX,
	.create = unix_socket_create,
};

void
unix_register(void)
{
	file_persist_register(&unix_ops.file);
}

int
unix_init(void)
{
	struct unix_sockets *u = kzalloc(sizeof(*u));

	if (!u)
		return -ENOMEM;
	spin_init(&u->lock, "unix sockets", RANK_FILE);
	for (int i = 0; i < UNIX_BUCKETS; i++)
		list_init(&u->names[i]);
	list_init(&u->all);
	list_init(&u->inflight);
	list_init(&u->dead);
	machine()->unix_sockets = u;
	socket_family_register(&unix_family);
	return unix_proc_init();
}
