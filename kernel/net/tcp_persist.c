/*
 * TCP sockets in the store.
 *
 * A listening socket listens again. A connection to the outside is over at a resume: what had come
 * may be read, then it is ECONNRESET; so is one that was being made. A connection to ourselves
 * (127/8, ::1) goes on: both ends are written at the same cut, each with what the other has not
 * received yet, and meet again with their sequence numbers. Of such a connection whose other end's
 * socket was closed already, what was still on its way is written as if it had come.
 *
 * Locks: saving is done while nothing else runs; all else under net->lock.
 */
#include "lib/string.h"
#include "net/pcbs.h"
#include "net/persist.h"

enum {
	T_CONNECTION = 200, /* 1: goes on. What follows up to T_MSS is there then only */
	T_SEND_SEQ = 201,   /* of the first byte that the other end has not received */
	T_RECEIVE_SEQ = 202,
	T_RECEIVE_WINDOW = 203,
	T_SEND_WINDOW = 204, /* the other end's receive window */
	T_MSS = 205,
	T_RECEIVED = 206, /* in order, in pieces */
	T_ON_ITS_WAY = 207,
	T_PENDING = 208, /* of a listener, in order: connections to ourselves */
};

#define PIECE 16384u

/* --- writing --- */

static bool
is_local(const ip_addr_t *ip)
{
	return inet_addr_is_loop4(ip) || (IP_IS_V6(ip) && ip6_addr_isloopback(ip_2_ip6(ip)));
}

/* The other end of a connection to ourselves; NULL: it is elsewhere, or gone. */
static struct tcp_pcb *
other_end(const struct inet *s)
{
	const struct tcp_pcb *p = s->tcp;

	if (s->state != INET_CONNECTED || !p || !is_local(&p->remote_ip))
		return NULL;
	return net_pcb_find(&p->remote_ip, p->remote_port, &p->local_ip, p->local_port);
}

static bool
goes_on(const struct tcp_pcb *p)
{
	return p->state == ESTABLISHED || p->state == FIN_WAIT_1 || p->state == FIN_WAIT_2 ||
	       p->state == CLOSE_WAIT || p->state == CLOSING || p->state == LAST_ACK;
}

/* Whether both ends belong to sockets, so that both are written. */
static bool
is_pair(const struct inet *s, const struct tcp_pcb *other)
{
	return other && goes_on(s->tcp) && goes_on(other) && other->callback_arg;
}

/* The bytes of a list of segments from sequence number `from` on. */
static void
save_segments(struct tag_writer *w, u16 tag, const struct tcp_seg *seg, u32 from)
{
	for (; seg; seg = seg->next) {
		u32 start = lwip_ntohl(seg->tcphdr->seqno);
		u32 skip = TCP_SEQ_LT(start, from) ? from - start : 0;
		size_t head = (size_t)((u8 *)seg->tcphdr - (u8 *)seg->p->payload);

		if (skip < seg->len)
			pbufs_save(w, tag, seg->p, head + TCPH_HDRLEN_BYTES(seg->tcphdr) + skip);
	}
}

static void
save_unreceived(struct tag_writer *w, u16 tag, const struct tcp_pcb *from, u32 seq)
{
	save_segments(w, tag, from->unacked, seq);
	save_segments(w, tag, from->unsent, seq);
}

static void
save_connection(struct tag_writer *w, struct inet *s, const struct tcp_pcb *other)
{
	tag_u64(w, T_CONNECTION, 1);
	tag_u64(w, T_SEND_SEQ, other->rcv_nxt);
	tag_u64(w, T_RECEIVE_SEQ, s->tcp->rcv_nxt);
	tag_u64(w, T_RECEIVE_WINDOW, s->tcp->rcv_wnd);
	tag_u64(w, T_SEND_WINDOW, other->rcv_wnd);
	tag_u64(w, T_MSS, s->tcp->mss);
	save_unreceived(w, T_ON_ITS_WAY, s->tcp, other->rcv_nxt);
}

void
tcp_save(struct persist_writer *w, struct inet *s)
{
	struct tcp_pcb *other = other_end(s);
	struct inet *c;

	pbufs_save(&w->tags, T_RECEIVED, s->rx_head, s->rx_skip);
	if (s->state == INET_CONNECTED && s->tcp)
		pbufs_save(&w->tags, T_RECEIVED, s->tcp->refused_data, 0);
	if (is_pair(s, other)) {
		save_connection(&w->tags, s, other);
	} else if (other && !other->callback_arg && other->state != SYN_RCVD) {
		save_unreceived(&w->tags, T_RECEIVED, other, s->tcp->rcv_nxt);
		tag_u64(&w->tags, T_CONNECTION, 0); /* its end comes behind that */
	} else if (s->state == INET_CONNECTED && s->tcp && is_local(&s->tcp->remote_ip) &&
		   s->rx_eof) {
		tag_u64(&w->tags, T_CONNECTION, 0);
	}
	if (s->state != INET_LISTENING)
		return;
	list_for_each_entry (c, &s->pending, queue_link)
		if (is_pair(c, other_end(c)))
			persist_ref(w, T_PENDING, &inet_persist, c);
}

/* --- reading --- */

static int
load_received(const struct tag_reader *t, struct inet *s)
{
	struct tag_field f = {0};
	int err = 0;

	while (!err && tag_next(t, T_RECEIVED, &f))
		err = inet_load_stream(s, f.data, f.length);
	return err;
}

/* As over() in tcp.c, but that nobody waits yet. */
static void
end(struct inet *s, int error)
{
	if (error && !s->error)
		s->error = error;
	s->state = INET_OVER;
	s->rx_eof = s->tx_shut = true;
	s->urgent = URGENT_NONE;
}

/* Puts a new pcb where the old one was, whoever else has the port. */
static int
new_pcb(struct inet *s)
{
	int err = tcp_socket_create(s);

	if (err)
		return err;
	if (s->bound || !ip_addr_isany(&s->local))
		ip_addr_copy(s->tcp->local_ip, s->local);
	if (s->bound)
		s->tcp->local_port = s->local_port;
	tcp_port_from(s);
	return 0;
}

static int
load_bound(struct inet *s)
{
	int err = new_pcb(s);

	if (!err && s->bound)
		TCP_REG(&tcp_bound_pcbs, s->tcp);
	return err;
}

static int
load_connection(const struct tag_reader *t, struct inet *s)
{
	int err = new_pcb(s);
	struct tcp_pcb *p = s->tcp;

	if (err)
		return err;
	ip_addr_copy(p->remote_ip, s->peer);
	p->remote_port = s->peer_port;
	p->state = ESTABLISHED;
	p->flags |= TF_WND_SCALE;
	p->snd_scale = p->rcv_scale = TCP_RCV_SCALE;
	p->mss = (u16)min(max(tag_get_u64(t, T_MSS, 536), 536ul), (u64)TCP_MSS);
	p->cwnd = 10 * p->mss; /* RFC 6928 */
	p->snd_nxt = p->snd_lbb = p->lastack = p->snd_wl2 = (u32)tag_get_u64(t, T_SEND_SEQ, 0);
	p->rcv_nxt = p->snd_wl1 = (u32)tag_get_u64(t, T_RECEIVE_SEQ, 0);
	p->snd_wnd = p->snd_wnd_max = (u32)min(tag_get_u64(t, T_SEND_WINDOW, 0), (u64)TCP_WND);
	p->rcv_wnd = p->rcv_ann_wnd = (u32)min(tag_get_u64(t, T_RECEIVE_WINDOW, 0), (u64)TCP_WND);
	p->rcv_ann_right_edge = p->rcv_nxt + p->rcv_ann_wnd;
	s->rx_seq = p->rcv_nxt;
	TCP_REG_ACTIVE(p);
	tcp_update_room(s);
	return 0;
}

static int
load_pending(struct persist_reader *r, struct inet *s)
{
	struct tag_field f = {0};

	while (tag_next(&r->tags, T_PENDING, &f)) {
		struct inet *c = persist_field(r, &f, &inet_persist);

		if (!c || c->listener || c == s)
			return -EBADMSG;
		c->listener = s;
		list_add_tail(&s->pending, &c->queue_link);
		s->pending_nr++;
	}
	return 0;
}

int
tcp_load(struct persist_reader *r, struct inet *s)
{
	struct tag_field f = {0};
	int err = load_received(&r->tags, s);

	if (err)
		return err;
	switch (s->state) {
	case INET_FRESH:
	case INET_LISTENING:
		err = load_bound(s);
		return err ? err : load_pending(r, s);
	case INET_CONNECTED:
		if (tag_get_u64(&r->tags, T_CONNECTION, 0) == 1)
			return load_connection(&r->tags, s);
		end(s, tag_next(&r->tags, T_CONNECTION, &f) ? 0 : ECONNRESET);
		return 0;
	case INET_CONNECTING:
		end(s, ECONNRESET);
		return 0;
	default:
		return 0;
	}
}

/* Sends once more what had not arrived; the end of the stream comes behind it. */
static int
send_again(const struct tag_reader *t, struct inet *s)
{
	struct tag_field f = {0};

	while (s->tcp && tag_next(t, T_ON_ITS_WAY, &f)) {
		for (size_t at = 0; s->tcp && at < f.length; at += PIECE)
			if (tcp_write(s->tcp, f.data + at, (u16)min(f.length - at, (size_t)PIECE),
				      TCP_WRITE_FLAG_COPY) != ERR_OK)
				return -ENOMEM;
		if (s->tcp)
			tcp_output(s->tcp);
	}
	if (s->tcp && s->tx_shut)
		tcp_shutdown(s->tcp, 0, 1);
	tcp_update_room(s);
	return 0;
}

int
tcp_restart(struct persist_reader *r, struct inet *s)
{
	if (s->state == INET_LISTENING)
		return tcp_listen_again(s);
	return s->state == INET_CONNECTED && s->tcp ? send_again(&r->tags, s) : 0;
}
