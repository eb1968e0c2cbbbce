/*
 * Urgent data of TCP, which lwIP passes on as if it were none (RFC 6093, man 7 tcp): one byte at a
 * time, announced by the header's pointer, read apart with MSG_OOB, and a mark in the stream that
 * no read crosses. With SO_OOBINLINE the byte stays in the stream. SIGURG is not sent.
 */
#include "net/net.h"

#include "lwip/priv/tcp_priv.h"

void
urgent_announce(struct inet *s, u32 seq)
{
	spin_lock(&s->lock);
	if (s->state == INET_CONNECTED && TCP_SEQ_GEQ(seq, s->rx_seq) &&
	    (s->urgent == URGENT_NONE || TCP_SEQ_GT(seq, s->urgent_seq))) {
		s->urgent_seq = seq;
		s->urgent = URGENT_COMING;
	}
	spin_unlock(&s->lock);
}

void
urgent_look(struct inet *s, const struct pbuf *p)
{
	u32 start = s->rx_seq - p->tot_len;

	if (!TCP_SEQ_GEQ(s->urgent_seq, start) || !TCP_SEQ_LT(s->urgent_seq, s->rx_seq))
		return;
	s->urgent_byte = pbuf_get_at(p, (u16)(s->urgent_seq - start));
	s->urgent = URGENT_HERE;
	inet_wake(s, POLL_IN | POLL_PRI);
}

/* TCP's number of the reader's place. */
static u32
place(const struct inet *s)
{
	return s->rx_seq - (u32)s->rx_bytes;
}

bool
urgent_at_mark(const struct inet *s)
{
	return s->urgent != URGENT_NONE && place(s) == s->urgent_seq;
}

u64
urgent_readable(const struct inet *s)
{
	u32 before = s->urgent_seq - place(s);

	if (likely(s->urgent == URGENT_NONE) || s->oobinline || before >= s->rx_bytes)
		return s->rx_bytes;
	return s->rx_bytes - 1;
}

size_t
urgent_limit(struct inet *s, size_t n, size_t taken, bool *skip)
{
	u32 before;

	spin_lock(&s->lock);
	*skip = false;
	before = s->urgent_seq - place(s) - (u32)taken;
	if (s->urgent != URGENT_NONE && before == 0 && taken > 0) {
		n = 0; /* a read ends before the mark */
	} else if (s->urgent != URGENT_NONE && before == 0) {
		*skip = !s->oobinline;
		s->urgent = URGENT_NONE;
	} else if (s->urgent != URGENT_NONE && before < n) {
		n = before;
	}
	spin_unlock(&s->lock);
	return n;
}

ssize_t
urgent_recv(struct inet *s, struct socket_msg *m)
{
	u8 byte;
	int err = 0;

	spin_lock(&s->lock);
	if (s->oobinline || s->urgent == URGENT_NONE || s->urgent == URGENT_READ)
		err = -EINVAL;
	else if (s->urgent == URGENT_COMING)
		err = -EAGAIN;
	byte = s->urgent_byte;
	if (!err && !(m->flags & MSG_PEEK))
		s->urgent = URGENT_READ;
	spin_unlock(&s->lock);
	if (err)
		return err;
	m->flags = MSG_OOB;
	return uio_result(m->data, uio_copy_out(m->data, &byte, 1));
}

void
urgent_mark(struct inet *s)
{
	struct tcp_seg *seg = s->tcp ? s->tcp->unsent : NULL;

	if (!seg)
		return;
	while (seg->next)
		seg = seg->next;
	TCPH_SET_FLAG(seg->tcphdr, TCP_URG | TCP_PSH);
	seg->tcphdr->urgp = lwip_htons(seg->len);
}
