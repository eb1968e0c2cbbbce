/*
 * Stream sockets over lwIP's raw TCP: bind, listen, accept, shutdown, poll, close, and what lwIP
 * reports. Connecting is in tcp_connect.c, reading and writing are in tcp_io.c.
 *
 * lwIP's callbacks run under net->lock and change what readers see under the socket's lock. The
 * pcb's end comes by on_error (it is freed already) or, after an orderly end, by on_destroy alone.
 * Not here: TCP Fast Open.
 */
#include "arch/clock.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/net.h"
#include "net/pcbs.h"
#include "net/persist.h"

#define BACKLOG_LEAST 128u  /* a shorter queue only makes peers try again */
#define BACKLOG_MOST  4096u /* somaxconn */
#define HALF_OPEN_MAX 1024u

/* ---- what lwIP reports ---- */

static void
on_destroy(u8_t id, void *arg)
{
	struct inet *s = arg;

	if (s)
		s->tcp = NULL;
}

static const struct tcp_ext_arg_callbacks ext_callbacks = {.destroy = on_destroy};

/* The connection is over: nothing more comes, nothing more goes. */
static void
over(struct inet *s, int error)
{
	spin_lock(&s->lock);
	if (error && !s->error)
		s->error = error;
	s->state = INET_OVER;
	s->rx_eof = true;
	s->tx_shut = true;
	inet_wake(s, POLL_IN | POLL_OUT | POLL_RDHUP | POLL_HUP | (error ? POLL_ERR : 0));
	spin_unlock(&s->lock);
}

/* The connection's pcb goes; a port that was bound stays the socket's, if there is memory. */
static void
keep_port(struct inet *s)
{
	if (s->tcp) /* lwIP frees it when we return: not our new one's end */
		tcp_ext_arg_set(s->tcp, 0, NULL);
	s->tcp = NULL;
	if (s->port_from == PORT_BOUND && tcp_socket_create(s) == 0)
		tcp_port_put(s, &s->local, s->local_port);
}

static void
on_error(void *arg, err_t err)
{
	struct inet *s = arg;

	if (!s)
		return;
	keep_port(s);
	if (err == ERR_CLSD)
		over(s, 0);
	else if (err == ERR_RST)
		over(s, s->state == INET_CONNECTING ? ECONNREFUSED
			: s->rx_eof		    ? EPIPE
						    : ECONNRESET);
	else
		over(s, ETIMEDOUT);
}

static err_t
on_sent(void *arg, struct tcp_pcb *pcb, u16_t n)
{
	struct inet *s = arg;

	if (!s)
		return ERR_OK;
	s->progress = clock_now();
	tcp_update_room(s);
	return ERR_OK;
}

/* Every second: the time-outs that a program may set (man 7 tcp, TCP_USER_TIMEOUT, TCP_SYNCNT). */
static err_t
on_poll(void *arg, struct tcp_pcb *pcb)
{
	struct inet *s = arg;

	if (s && pcb->state == SYN_SENT && pcb->nrtx > s->syncnt) {
		tcp_abort(pcb); /* on_error: ERR_ABRT, ETIMEDOUT */
		return ERR_ABRT;
	}
	if (!s || !s->user_timeout_ms || (!pcb->unacked && !pcb->unsent))
		return ERR_OK;
	if (clock_now() - s->progress < s->user_timeout_ms * NS_PER_MS)
		return ERR_OK;
	tcp_abort(pcb);
	return ERR_ABRT;
}

static void
set_callbacks(struct inet *s, struct tcp_pcb *pcb)
{
	tcp_arg(pcb, s);
	tcp_ext_arg_set(pcb, 0, s);
	tcp_ext_arg_set_callbacks(pcb, 0, &ext_callbacks);
	tcp_recv(pcb, tcp_on_recv);
	tcp_sent(pcb, on_sent);
	tcp_err(pcb, on_error);
	tcp_poll(pcb, on_poll, 2);
}

void
tcp_clear_callbacks(struct tcp_pcb *pcb)
{
	tcp_arg(pcb, NULL);
	tcp_ext_arg_set(pcb, 0, NULL);
	if (pcb->state == LISTEN)
		return;
	tcp_recv(pcb, NULL);
	tcp_sent(pcb, NULL);
	tcp_err(pcb, NULL);
	tcp_poll(pcb, NULL, 0);
}

static void
connected(struct inet *s, struct tcp_pcb *pcb)
{
	spin_lock(&s->lock);
	s->state = INET_CONNECTED;
	ip_addr_copy(s->local, pcb->local_ip);
	ip_addr_copy(s->peer, pcb->remote_ip);
	s->local_port = pcb->local_port;
	s->peer_port = pcb->remote_port;
	spin_unlock(&s->lock);
	s->progress = clock_now();
	s->rx_seq = pcb->rcv_nxt;
	if (s->rcvbuf < TCP_WND) { /* a smaller buffer: that much of the window stays shut */
		s->withheld = min((u32)(TCP_WND - s->rcvbuf), (u32)pcb->rcv_wnd / 2);
		pcb->rcv_wnd -= s->withheld;
		pcb->rcv_ann_wnd = min(pcb->rcv_ann_wnd, pcb->rcv_wnd);
	}
	/* Without window scaling, which some peers do not have, the window is small. */
	s->window_step = ((u32)TCP_WND_MAX(pcb) - s->withheld) / 4;
	tcp_update_room(s);
}

err_t
tcp_on_connected(void *arg, struct tcp_pcb *pcb, err_t err)
{
	struct inet *s = arg;

	if (!s)
		return ERR_OK;
	connected(s, pcb);
	spin_lock(&s->lock);
	inet_wake(s, POLL_OUT);
	spin_unlock(&s->lock);
	return ERR_OK;
}

/* ---- listening ---- */

static void
inherit_options(struct inet *c, const struct inet *s)
{
	c->v6only = s->v6only;
	c->reuseaddr = s->reuseaddr;
	c->reuseport = s->reuseport;
	c->keepalive = s->keepalive;
	c->nodelay = s->nodelay;
	c->linger = s->linger;
	c->linger_s = s->linger_s;
	c->priority = s->priority;
	c->tos = s->tos;
	c->ttl = s->ttl;
	c->tclass = s->tclass;
	c->hops = s->hops;
	c->sndbuf = s->sndbuf;
	c->rcvbuf = s->rcvbuf;
	c->keepidle = s->keepidle;
	c->keepintvl = s->keepintvl;
	c->keepcnt = s->keepcnt;
	c->user_timeout_ms = s->user_timeout_ms;
	c->rcvtimeo = s->rcvtimeo;
	c->sndtimeo = s->sndtimeo;
	c->bound_if = s->bound_if;
	c->uid = s->uid;
}

static err_t
on_accept(void *arg, struct tcp_pcb *pcb, err_t err)
{
	struct inet *s = arg, *c;

	if (!s || !pcb || err != ERR_OK || s->pending_nr >= s->backlog + BACKLOG_MOST)
		return ERR_MEM; /* lwIP resets it */
	c = inet_alloc(atomic_load_relaxed(&s->user_cxy), s->family, s->type, s->protocol);
	if (!c)
		return ERR_MEM;
	inherit_options(c, s);
	c->tcp = pcb;
	c->bound = true;
	c->port_from = PORT_INHERITED;
	c->listener = s;
	c->connect_told = true;
	list_add_tail(&net_root()->sockets, &c->link);
	set_callbacks(c, pcb);
	inet_apply_options(c);
	connected(c, pcb);
	spin_lock(&s->lock);
	list_add_tail(&s->pending, &c->queue_link);
	atomic_store_relaxed(&s->pending_nr, s->pending_nr + 1);
	inet_wake(s, POLL_IN | POLL_RDNORM);
	spin_unlock(&s->lock);
	return ERR_OK;
}

static int
bind_to(struct inet *s, ip_addr_t *ip, u16 *port)
{
	int err = 0;

	if (s->bound || s->state != INET_FRESH || !s->tcp)
		return -EINVAL;
	if (!inet_addr_is_ours(ip))
		return -EADDRNOTAVAIL;
	if (!*port && s->bind_no_port)
		s->tcp->local_ip = *ip; /* connect() will choose the port */
	else
		err = tcp_port_bind(s, ip, *port);
	*port = s->tcp->local_port;
	return err;
}

static int
stream_bind(struct file *f, const void *addr, unsigned len)
{
	return inet_bind(inet_of(f), addr, len, bind_to);
}

int
tcp_listen_again(struct inet *s)
{
	err_t err;
	struct tcp_pcb *l;

	ip_reset_option(s->tcp, SOF_REUSEADDR); /* lwIP knows no SO_REUSEPORT; we have looked */
	l = tcp_listen_with_backlog_and_err(s->tcp, 255, &err);
	if (l) {
		s->tcp = l; /* on_destroy took the old one */
		tcp_ext_arg_set(l, 0, s);
		tcp_arg(l, s);
		tcp_accept(l, on_accept);
	}
	inet_apply_options(s);
	return errno_of(err);
}

static int
start_listening(struct inet *s)
{
	int err;

	if (!s->bound) { /* an ephemeral port */
		ip_addr_t ip = s->tcp->local_ip;

		err = tcp_port_bind(s, &ip, 0);
		if (err)
			return err;
		ip_addr_copy(s->local, ip);
		s->local_port = s->tcp->local_port;
		s->bound = true;
	}
	err = tcp_port_listen(s);
	return err ? err : tcp_listen_again(s);
}

static int
stream_listen(struct file *f, int backlog)
{
	struct inet *s = inet_of(f);
	int err = 0;

	net_lock();
	if (s->state == INET_FRESH && s->tcp)
		err = start_listening(s);
	else if (s->state != INET_LISTENING)
		err = -EINVAL;
	if (!err) {
		spin_lock(&s->lock);
		s->state = INET_LISTENING;
		s->backlog = min(max((unsigned)backlog, BACKLOG_LEAST), BACKLOG_MOST);
		spin_unlock(&s->lock);
	}
	net_unlock();
	return err;
}

static int
wait_for_child(struct file *f, struct inet *s, struct inet **out)
{
	ns_t deadline = inet_deadline(s->rcvtimeo);
	int err = 0;

	spin_lock(&s->lock);
	while (list_empty(&s->pending)) {
		if (s->state != INET_LISTENING)
			err = -EINVAL;
		else if (f->flags & O_NONBLOCK)
			err = -EAGAIN;
		else
			err = inet_wait_result(waitq_sleep(&s->rq, &s->lock, deadline,
							   WAIT_INTERRUPTIBLE | WAIT_EXCLUSIVE),
					       s->rcvtimeo);
		if (err)
			break;
	}
	if (!err) {
		*out = list_first(&s->pending, struct inet, queue_link);
		list_del(&(*out)->queue_link);
		atomic_store_relaxed(&s->pending_nr, s->pending_nr - 1);
	}
	spin_unlock(&s->lock);
	return err;
}

void
inet_abandon(struct inet *c)
{
	net_lock();
	if (c->type == SOCK_STREAM && c->tcp) {
		struct tcp_pcb *pcb = c->tcp;

		tcp_clear_callbacks(pcb);
		if (pcb->state == LISTEN)
			tcp_close(pcb);
		else
			tcp_abort(pcb);
	} else if (c->type != SOCK_STREAM) {
		dgram_forget(c);
	}
	list_del(&c->link);
	net_unlock();
	inet_free(c);
}

static int
stream_accept(struct file *f, unsigned flags, struct file **out, void *addr, unsigned *len)
{
	struct inet *s = inet_of(f), *c = NULL;
	struct file *nf;
	int err;

	inet_used_here(s);
	err = wait_for_child(f, s, &c);
	if (err)
		return err;
	inet_used_here(s);
	nf = file_create(&inet_stream_ops.file, O_RDWR | (flags & O_NONBLOCK), c);
	if (!nf) {
		inet_abandon(c);
		return -ENOMEM;
	}
	nf->readable = nf->writable = true;
	c->ino = nf->ino;
	c->listener = NULL;
	if (addr)
		inet_addr_out(c, &c->peer, c->peer_port, addr, len);
	*out = nf;
	return 0;
}

/* ---- the end ---- */

static int
stream_shutdown(struct file *f, int how)
{
	struct inet *s = inet_of(f);
	int err = 0;

	net_lock();
	if (s->state == INET_LISTENING && how != SHUT_WR) {
		/* No more connections: accept fails, pollers hear it. */
		struct tcp_pcb *pcb = s->tcp;

		if (pcb) {
			tcp_clear_callbacks(pcb);
			s->tcp = NULL;
			tcp_close(pcb);
		}
		over(s, 0);
	} else if (s->state != INET_CONNECTED || !s->tcp) {
		err = -ENOTCONN;
	} else {
		spin_lock(&s->lock);
		if (how != SHUT_WR)
			s->rx_shut = true;
		if (how != SHUT_RD)
			s->tx_shut = true;
		inet_wake(s, POLL_IN | POLL_OUT | POLL_RDHUP | POLL_RDNORM);
		spin_unlock(&s->lock);
		if (how != SHUT_RD)
			tcp_shutdown(s->tcp, 0, 1);
	}
	net_unlock();
	return err;
}

static unsigned
stream_poll(struct file *f, struct poll_table *pt)
{
	struct inet *s = inet_of(f);
	unsigned ev = 0;

	spin_lock(&s->lock);
	poll_add(pt, &s->rq, &s->lock);
	poll_add(pt, &s->wq, &s->lock);
	if (s->state == INET_LISTENING) {
		ev = list_empty(&s->pending) ? 0 : POLL_IN | POLL_RDNORM;
		goto out;
	}
	if (s->error)
		ev |= POLL_ERR;
	if (s->state == INET_FRESH)
		ev |= POLL_HUP | POLL_OUT | POLL_WRNORM;
	if (s->state == INET_OVER || ((s->rx_eof || s->rx_shut) && s->tx_shut))
		ev |= POLL_HUP;
	if (s->rx_eof || s->rx_shut)
		ev |= POLL_IN | POLL_RDNORM | POLL_RDHUP;
	if (urgent_readable(s) >= (u64)s->rcvlowat)
		ev |= POLL_IN | POLL_RDNORM;
	if (s->urgent == URGENT_HERE)
		ev |= POLL_PRI;
	if (s->state == INET_CONNECTED && !s->tx_shut && s->tx_room < s->sndbuf / 3)
		s->tx_full = true;
	else if (s->state == INET_CONNECTED || s->state == INET_OVER)
		ev |= POLL_OUT | POLL_WRNORM;
out:
	spin_unlock(&s->lock);
	return ev;
}

/* Waits, for SO_LINGER, until the peer has acknowledged everything (=> net->lock). */
static void
linger(struct inet *s, struct tcp_pcb *pcb)
{
	ns_t deadline = clock_now() + s->linger_s * NS_PER_SEC;
	int err = 0;

	tcp_shutdown(pcb, 0, 1);
	while (!err && s->tcp == pcb && (pcb->unsent || pcb->unacked) && clock_now() < deadline) {
		net_unlock();
		spin_lock(&s->lock);
		s->tx_full = true;
		err = waitq_sleep(&s->wq, &s->lock, min(deadline, clock_now() + 50 * NS_PER_MS),
				  WAIT_INTERRUPTIBLE);
		if (err == -ETIMEDOUT)
			err = 0;
		spin_unlock(&s->lock);
		net_lock();
	}
}

static void
close_pcb(struct inet *s)
{
	struct tcp_pcb *pcb = s->tcp;

	if (s->linger && s->linger_s > 0 && pcb->state == ESTABLISHED)
		linger(s, pcb);
	pcb = s->tcp; /* that of a connection that ended may be another */
	if (!pcb)
		return;
	if (pcb->state != LISTEN) {
		tcp_give_window(s);
		pcb->rcv_wnd += s->withheld;
	}
	tcp_clear_callbacks(pcb);
	s->tcp = NULL;
	if (pcb->state != LISTEN && s->linger && s->linger_s == 0)
		tcp_abort(pcb);
	else if (tcp_close(pcb) != ERR_OK)
		tcp_abort(pcb);
}

void
tcp_socket_release(struct file *f)
{
	struct inet *s = inet_of(f), *c, *tmp;
	struct list children;

	list_init(&children);
	net_lock();
	if (s->tcp)
		close_pcb(s);
	list_del(&s->link);
	net_unlock();
	spin_lock(&s->lock);
	list_splice_tail(&children, &s->pending);
	spin_unlock(&s->lock);
	list_for_each_entry_safe (c, tmp, &children, queue_link)
		inet_abandon(c);
	inet_free(s);
}

int
tcp_socket_create(struct inet *s)
{
	struct tcp_pcb *pcb = tcp_new_ip_type(inet_pcb_type(s));

	if (!pcb)
		return -ENOMEM;
	s->tcp = pcb;
	set_callbacks(s, pcb);
	inet_apply_options(s);
	return 0;
}

/*
 * Keeps the lists that TCP searches short: connections to ourselves need no TIME_WAIT (nothing of
 * theirs is still on the way), and of the others and of half-open ones only so many are kept, the
 * oldest go first.
 */
void
tcp_reap_time_wait(void)
{
	struct tcp_pcb *p, *next;
	unsigned waiting = 0, half_open = 0;

	for (p = tcp_tw_pcbs; p; p = next) { /* youngest first */
		next = p->next;
		if (++waiting > net_root()->time_wait_most || inet_addr_is_ours(&p->remote_ip))
			tcp_abort(p);
	}
	for (p = tcp_active_pcbs; p; p = next) {
		next = p->next;
		if (p->state == SYN_RCVD && ++half_open > HALF_OPEN_MAX)
			tcp_abandon(p, 0);
	}
}

/* ---- operations ---- */

static ssize_t
stream_read(struct file *f, struct uio *u, u64 *pos)
{
	struct socket_msg m = {.data = u};

	return tcp_socket_recv(f, &m);
}

static ssize_t
stream_write(struct file *f, struct uio *u, u64 *pos)
{
	struct socket_msg m = {.data = u};

	return tcp_socket_send(f, &m);
}

const struct socket_file_ops inet_stream_ops = {
	.file =
		{
			.kind = "socket",
			.read = stream_read,
			.write = stream_write,
			.poll = stream_poll,
			.ioctl = inet_ioctl,
			.release = tcp_socket_release,
			.name = inet_file_name,
			.persist = &inet_stream_persist,
		},
	.socket =
		{
			.bind = stream_bind,
			.connect = tcp_socket_connect,
			.listen = stream_listen,
			.accept = stream_accept,
			.getname = inet_getname,
			.send = tcp_socket_send,
			.recv = tcp_socket_recv,
			.shutdown = stream_shutdown,
			.setsockopt = inet_setsockopt,
			.getsockopt = inet_getsockopt,
		},
	.family = AF_INET,
};
