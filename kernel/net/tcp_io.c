/*
 * Reading from and writing to stream sockets.
 *
 * Receive: lwIP's pbufs are queued as they come and copied once, to the reader. A reader that finds
 * data needs no net->lock: it leaves the read pbufs for whoever holds that lock next, and opens
 * the window again (which may send an acknowledgement) only when a good part of it has been read.
 * Send: tcp_write copies once, from the program's memory into the segments (net/port.c); segments
 * go out when the call has queued all it can.
 */
#include <linux/tcp.h>
#include "arch/clock.h"
#include "arch/layout.h"
#include "lib/string.h"
#include "mm/progress.h"
#include "mm/user.h"
#include "net/net.h"

#include "lwip/priv/tcp_priv.h"

#define WRITE_MOST  32768u
#define QUEUE_SPARE 64u

/* ---- receive ---- */

err_t
tcp_on_recv(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
	struct inet *s = arg;
	struct net *n = net_root();

	if (!s) {
		if (p) {
			tcp_recved(pcb, p->tot_len);
			pbuf_free(p);
		}
		return ERR_OK;
	}
	if (p && s->rx_shut) {
		tcp_recved(pcb, p->tot_len);
		pbuf_free(p);
		return ERR_OK;
	}
	if (p && atomic_load_relaxed(&n->rx_held) > n->rx_limit && s->rx_bytes > 0)
		return ERR_MEM; /* lwIP keeps it and offers it again */
	spin_lock(&s->lock);
	if (!p) {
		s->rx_eof = true;
		inet_wake(s, POLL_IN | POLL_RDNORM | POLL_RDHUP);
		spin_unlock(&s->lock);
		return ERR_OK;
	}
	atomic_fetch_add(&n->rx_held, (u64)p->tot_len);
	s->rx_bytes += p->tot_len;
	s->rx_seq += p->tot_len;
	if (unlikely(s->urgent == URGENT_COMING))
		urgent_look(s, p);
	if (s->rx_tail)
		s->rx_tail->next = p;
	else
		s->rx_head = p;
	while (p->next)
		p = p->next;
	s->rx_tail = p;
	inet_wake(s, POLL_IN | POLL_RDNORM);
	spin_unlock(&s->lock);
	return ERR_OK;
}

/* Tells TCP of what was read. => net->lock */
void
tcp_give_window(struct inet *s)
{
	u32 n;

	spin_lock(&s->lock);
	n = s->unacked;
	s->unacked = 0;
	spin_unlock(&s->lock);
	while (n > 0 && s->tcp && s->tcp->state > LISTEN) {
		u16 part = (u16)min(n, 0xffffu);

		tcp_recved(s->tcp, part);
		n -= part;
	}
}

/* Sleeps until there is something to read; 1: yes, 0: end of stream, or -errno.
 * => s->lock held */
static int
wait_data(struct file *f, struct inet *s, u64 want, unsigned flags, ns_t deadline)
{
	bool nonblock = (f->flags & O_NONBLOCK) || (flags & MSG_DONTWAIT);
	int err;
	u64 have;

	for (;;) {
		have = urgent_readable(s);
		if (have >= want || (have > 0 && (s->rx_eof || s->error)))
			return 1;
		if (s->error)
			return inet_take_error(s);
		if (s->rx_eof || s->rx_shut)
			return have > 0;
		if (s->state == INET_FRESH || s->state == INET_LISTENING)
			return -ENOTCONN;
		if (nonblock)
			return have > 0 ? 1 : -EAGAIN;
		err = waitq_sleep(&s->rq, &s->lock, deadline, WAIT_INTERRUPTIBLE | WAIT_EXCLUSIVE);
		if (err)
			return have > 0 ? 1 : inet_wait_result(err, s->rcvtimeo);
	}
}

/* Copies without consuming. => s->rx_lock held */
static size_t
peek(struct inet *s, struct uio *u)
{
	struct pbuf *p, *last;
	size_t done = 0, skip = s->rx_skip;

	spin_lock(&s->lock);
	p = s->rx_head;
	last = s->rx_tail;
	spin_unlock(&s->lock);
	while (p && u->resid > 0) {
		size_t n = min((size_t)p->len - skip, u->resid);
		size_t got = uio_copy_out(u, (u8 *)p->payload + skip, n);

		done += got;
		skip = 0;
		if (got < n || p == last)
			break;
		p = p->next;
	}
	return done;
}

/* The first pbuf was read to its end: it goes. => s->rx_lock held */
static void
head_done(struct inet *s)
{
	struct pbuf *p;

	spin_lock(&s->lock);
	p = s->rx_head;
	s->rx_head = p->next;
	if (!s->rx_head)
		s->rx_tail = NULL;
	spin_unlock(&s->lock);
	s->rx_skip = 0;
	net_bury(p);
}

static size_t
consume(struct inet *s, struct uio *u, bool discard, size_t *skipped_out)
{
	size_t done = 0, skipped = 0;
	bool skip = false;

	while (u->resid > 0) {
		struct pbuf *p;
		size_t n, got;

		spin_lock(&s->lock);
		p = s->rx_head;
		spin_unlock(&s->lock);
		if (!p)
			break;
		n = min((size_t)p->len - s->rx_skip, u->resid);
		if (unlikely(s->urgent != URGENT_NONE)) {
			n = urgent_limit(s, n, done + skipped, &skip);
			if (n == 0)
				break;
		}
		if (skip) {
			n = got = 1;
			skipped++;
		} else if (discard) {
			u->resid -= n;
			got = n;
		} else {
			got = uio_copy_out(u, (u8 *)p->payload + s->rx_skip, n);
		}
		done += skip ? 0 : got;
		skip = false;
		s->rx_skip += (u32)got;
		if (s->rx_skip == p->len)
			head_done(s);
		if (got < n)
			break;
	}
	*skipped_out = skipped;
	return done;
}

/* Books what was read; opens the window when it is worth it. */
static void
account_read(struct inet *s, size_t n)
{
	bool give;

	atomic_fetch_sub(&net_root()->rx_held, (u64)n);
	spin_lock(&s->lock);
	s->rx_bytes -= n;
	s->unacked += (u32)n;
	give = s->unacked >= s->window_step;
	spin_unlock(&s->lock);
	if (!give)
		return;
	net_lock();
	tcp_give_window(s);
	net_unlock();
}

static ssize_t
recv_some(struct file *f, struct inet *s, struct socket_msg *m, u64 want, ns_t deadline)
{
	size_t n, skipped = 0;
	int r;

	spin_lock(&s->lock);
	r = wait_data(f, s, want, m->flags, deadline);
	spin_unlock(&s->lock);
	if (r <= 0)
		return r;
	inet_used_here(s);
	mutex_lock(&s->rx_lock);
	if (m->flags & MSG_PEEK) {
		n = peek(s, m->data);
	} else {
		n = consume(s, m->data, m->flags & MSG_TRUNC, &skipped);
		if (n + skipped > 0)
			account_read(s, n + skipped);
	}
	mutex_unlock(&s->rx_lock);
	if (n == 0 && !m->data->fault)
		return -EAGAIN; /* another reader was faster */
	return uio_result(m->data, n);
}

ssize_t
tcp_socket_recv(struct file *f, struct socket_msg *m)
{
	struct inet *s = inet_of(f);
	ns_t deadline = inet_deadline(s->rcvtimeo);
	unsigned flags = m->flags;
	ssize_t total = 0, n;

	m->name_len = 0;
	m->control_len = 0;
	if (flags & MSG_OOB)
		return urgent_recv(s, m);
	if (flags & MSG_ERRQUEUE)
		return -EAGAIN;
	if (m->data->resid == 0)
		return 0;
	if (flags & MSG_WAITALL)
		total = (ssize_t)progress_begin(m->data);
	do {
		u64 want = flags & MSG_WAITALL ? min((u64)m->data->resid, (u64)s->rcvbuf / 2)
					       : min((u64)m->data->resid, (u64)s->rcvlowat);

		if (flags & MSG_WAITALL)
			progress_note((size_t)total);
		n = recv_some(f, s, m, want, deadline);
		if (n == -EAGAIN && !(f->flags & O_NONBLOCK) && !(flags & MSG_DONTWAIT) &&
		    (deadline == NS_FOREVER || clock_now() < deadline))
			continue;
		if (n <= 0)
			break;
		total += n;
		if (!(flags & MSG_WAITALL) || (flags & MSG_PEEK))
			break;
	} while (m->data->resid > 0);
	if (flags & MSG_WAITALL)
		progress_end();
	m->flags = 0;
	return total > 0 ? total : n;
}

/* ---- send ---- */

void
tcp_update_room(struct inet *s)
{
	struct tcp_pcb *pcb = s->tcp;
	u32 queued, room = 0;

	if (!pcb)
		return;
	queued = TCP_SND_BUF - pcb->snd_buf;
	if (queued < s->sndbuf && pcb->snd_queuelen + QUEUE_SPARE < TCP_SND_QUEUELEN)
		room = s->sndbuf - queued;
	spin_lock(&s->lock);
	s->tx_room = room;
	if (s->tx_full && room >= s->sndbuf / 3) {
		s->tx_full = false;
		inet_wake(s, POLL_OUT | POLL_WRNORM);
	}
	spin_unlock(&s->lock);
}

/* Sleeps until there is room; 0 or -errno. */
static int
wait_room(struct file *f, struct inet *s, unsigned flags, ns_t deadline)
{
	bool nonblock = (f->flags & O_NONBLOCK) || (flags & MSG_DONTWAIT);
	int err = 0;

	spin_lock(&s->lock);
	while (!err) {
		if (s->error)
			err = inet_take_error(s);
		else if (s->tx_shut || s->state == INET_FRESH || s->state == INET_LISTENING)
			err = -EPIPE;
		else if (s->state == INET_CONNECTED && s->tx_room > 0)
			break;
		else if (nonblock)
			err = -EAGAIN;
		s->tx_full = true;
		if (!err)
			err = inet_wait_result(waitq_sleep(&s->wq, &s->lock, deadline,
							   WAIT_INTERRUPTIBLE | WAIT_EXCLUSIVE),
					       s->sndtimeo);
	}
	spin_unlock(&s->lock);
	return err;
}

/* How many of n bytes at `base` can be read: a look at each page. */
static size_t
readable(const void *base, size_t n)
{
	const char *p = base;
	size_t done = 0;
	char c;

	if (!user_range_ok((const void __user *)base, n))
		return 0;
	while (done < n) {
		if (copy_from_user(&c, (const void __user *)(p + done), 1))
			return done;
		done = min(n, ALIGN_UP((size_t)p + done + 1, PAGE_SIZE) - (size_t)p);
	}
	return n;
}

/* Queues what there is room for. => net->lock */
static ssize_t
write_some(struct inet *s, struct uio *u, bool more)
{
	size_t done = 0;

	while (u->resid > 0 && s->tcp && s->tx_room > 0) {
		const char *base;
		size_t n;
		err_t err;

		uio_advance(u, 0); /* over empty pieces */
		if (u->nvec == 0)
			break;
		base = (const char *)u->vec->base + u->skip;
		n = min(u->vec->len - u->skip, u->resid);
		n = min(n, (size_t)s->tx_room);
		n = min(n, (size_t)WRITE_MOST);
		n = min(n, (size_t)tcp_sndbuf(s->tcp));
		if (u->user)
			n = readable(base, n);
		if (n == 0) {
			u->fault = true;
			break;
		}
		err = tcp_write(s->tcp, base, (u16_t)n,
				TCP_WRITE_FLAG_COPY |
					(more || n < u->resid ? TCP_WRITE_FLAG_MORE : 0));
		if (err != ERR_OK)
			return done > 0 ? (ssize_t)done : err == ERR_MEM ? -ENOBUFS : errno_of(err);
		if (!s->tcp->unacked)
			s->progress = clock_now();
		uio_advance(u, n);
		done += n;
		tcp_update_room(s);
	}
	return uio_result(u, done);
}

/* Memory that went away between look and copy: the stream would be wrong, so it ends. */
static bool
copy_failed(struct inet *s)
{
	struct net *n = net_root();

	if (likely(!n->copy_fault))
		return false;
	n->copy_fault = false;
	if (s->tcp)
		tcp_abort(s->tcp);
	return true;
}

static ssize_t
send_locked(struct inet *s, struct uio *u, unsigned flags)
{
	bool more = flags & MSG_MORE;
	ssize_t n;

	if (!s->tcp || s->state != INET_CONNECTED)
		return 0; /* wait_room says why */
	inet_used_here(s);
	n = write_some(s, u, more);
	if (copy_failed(s))
		return -EFAULT;
	if (n > 0 && u->resid == 0 && (flags & MSG_OOB))
		urgent_mark(s);
	if (s->tcp && !more && !s->cork)
		tcp_output(s->tcp);
	else if (s->tcp && TCP_SND_BUF - s->tcp->snd_buf >= s->tcp->mss)
		tcp_output(s->tcp);
	return n;
}

ssize_t
tcp_socket_send(struct file *f, struct socket_msg *m)
{
	struct inet *s = inet_of(f);
	ns_t deadline = inet_deadline(s->sndtimeo);
	struct uio *u = m->data;
	ssize_t total = (ssize_t)progress_begin(u), n = 0;

	do {
		progress_note((size_t)total);
		n = wait_room(f, s, m->flags, deadline);
		if (n < 0)
			break;
		net_lock();
		n = send_locked(s, u, m->flags);
		net_unlock();
		if (n == -ENOBUFS) { /* short of memory or of room in the queue: later */
			if ((f->flags & O_NONBLOCK) || (m->flags & MSG_DONTWAIT)) {
				n = -EAGAIN;
				break;
			}
			n = sleep_until(clock_now() + 10 * NS_PER_MS, WAIT_INTERRUPTIBLE);
			if (n == 0)
				continue;
		}
		if (n < 0)
			break;
		total += n;
		if (u->fault)
			break;
	} while (u->resid > 0);
	progress_end();
	return total > 0 ? total : n;
}

/* ---- TCP_INFO ---- */

static u8
linux_state(const struct inet *s)
{
	static const u8 states[] = {
		[CLOSED] = 7,	   [LISTEN] = 10,    [SYN_SENT] = 2,   [SYN_RCVD] = 3,
		[ESTABLISHED] = 1, [FIN_WAIT_1] = 4, [FIN_WAIT_2] = 5, [CLOSE_WAIT] = 8,
		[CLOSING] = 11,	   [LAST_ACK] = 9,   [TIME_WAIT] = 6,
	};

	return s->tcp ? states[s->tcp->state] : 7;
}

/* What we know and nothing else; the rest is zero. => net->lock */
int
tcp_info_get(struct inet *s, void *val, unsigned *len)
{
	struct tcp_info i;
	struct tcp_pcb *pcb = s->tcp;

	memset(&i, 0, sizeof(i));
	i.tcpi_state = linux_state(s);
	if (pcb && pcb->state != LISTEN) {
		i.tcpi_retransmits = pcb->nrtx;
		i.tcpi_rto = (u32)pcb->rto * TCP_SLOW_INTERVAL * 1000;
		i.tcpi_rtt = (u32)(pcb->sa >> 3) * TCP_SLOW_INTERVAL * 1000;
		i.tcpi_snd_mss = pcb->mss;
		i.tcpi_rcv_mss = pcb->mss;
		i.tcpi_snd_cwnd = pcb->mss ? pcb->cwnd / pcb->mss : 0;
		i.tcpi_snd_ssthresh = pcb->mss ? pcb->ssthresh / pcb->mss : 0;
		i.tcpi_rcv_space = pcb->rcv_wnd;
		i.tcpi_options = (pcb->flags & TF_SACK ? TCPI_OPT_SACK : 0) |
				 (pcb->flags & TF_WND_SCALE ? TCPI_OPT_WSCALE : 0);
	}
	*len = min(*len, (unsigned)sizeof(i));
	memcpy(val, &i, *len);
	return 0;
}
