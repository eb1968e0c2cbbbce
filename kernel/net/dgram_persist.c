/*
 * Datagram and raw sockets in the store: what is queued, and the pcb, bound and connected as it
 * was.
 */
#include "lib/string.h"
#include "mm/slab.h"
#include "net/persist.h"

enum {
	D_FROM = 1,
	D_TO = 2,
	D_PORT = 3,
	D_INTERFACE = 4,
	D_TTL = 5,
	D_TOS = 6,
	D_STAMP = 7,
	D_DATA = 8, /* in pieces */
};

/*
 * Members of struct dgram over a power cut:
 *	written	p from to from_port ifindex ttl tos stamp
 *	made	link
 */
void
dgram_save_queue(struct persist_writer *w, u16 tag, struct inet *s)
{
	struct dgram *d;

	list_for_each_entry (d, &s->dgrams, link) {
		size_t group = tag_begin(&w->tags, tag);

		address_save(&w->tags, D_FROM, &d->from);
		address_save(&w->tags, D_TO, &d->to);
		tag_u64(&w->tags, D_PORT, d->from_port);
		tag_u64(&w->tags, D_INTERFACE, d->ifindex);
		tag_u64(&w->tags, D_TTL, d->ttl);
		tag_u64(&w->tags, D_TOS, d->tos);
		tag_u64(&w->tags, D_STAMP, (u64)d->stamp);
		pbufs_save(&w->tags, D_DATA, d->p, 0);
		tag_end(&w->tags, group);
	}
}

/* The pieces as one pbuf; NULL: no memory, or too long for a datagram. */
static struct pbuf *
load_data(const struct tag_reader *in)
{
	struct tag_field f = {0};
	struct pbuf *p;
	size_t n = 0;

	while (tag_next(in, D_DATA, &f))
		n += f.length;
	p = n < 0xffff ? pbuf_alloc(PBUF_RAW, (u16)n, PBUF_RAM) : NULL;
	f = (struct tag_field){0};
	n = 0;
	while (p && tag_next(in, D_DATA, &f)) {
		memcpy((u8 *)p->payload + n, f.data, f.length);
		n += f.length;
	}
	return p;
}

static int
load_dgram(const struct tag_reader *in, struct inet *s)
{
	struct dgram *d = kzalloc(sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->p = load_data(in);
	if (!d->p || !address_load(in, D_FROM, &d->from) || !address_load(in, D_TO, &d->to)) {
		int err = d->p ? -EBADMSG : -ENOMEM;

		if (d->p)
			pbuf_free(d->p);
		kfree(d);
		return err;
	}
	d->from_port = (u16)tag_get_u64(in, D_PORT, 0);
	d->ifindex = (u8)tag_get_u64(in, D_INTERFACE, 0);
	d->ttl = (u8)tag_get_u64(in, D_TTL, 0);
	d->tos = (u8)tag_get_u64(in, D_TOS, 0);
	d->stamp = (ns_t)tag_get_u64(in, D_STAMP, 0);
	atomic_fetch_add(&net_root()->rx_held, (u64)d->p->tot_len);
	list_add_tail(&s->dgrams, &d->link);
	s->rx_bytes += d->p->tot_len;
	return 0;
}

int
dgram_load_queue(const struct tag_reader *in, u16 tag, struct inet *s)
{
	struct tag_field f = {0};
	int err = 0;

	while (!err && tag_next(in, tag, &f)) {
		struct tag_reader group = tag_group(&f);

		err = load_dgram(&group, s);
	}
	return err;
}

/* The peer is set without asking for a route, which there is none to yet. */
int
dgram_load(struct inet *s)
{
	bool udp = dgram_is_udp(s);
	bool hdrincl = s->hdrincl;
	u16 port = s->local_port;
	int err = dgram_socket_create(s);

	if (err)
		return err;
	s->hdrincl = hdrincl;
	s->local_port = port;
	if (udp && s->bound) {
		IP_SET_TYPE_VAL(s->udp->local_ip, inet_pcb_type(s));
		ip_set_option(s->udp, SOF_REUSEADDR);
		err = errno_of(udp_bind(s->udp, &s->local, port));
	} else if (s->bound) {
		err = errno_of(raw_bind(s->raw, &s->local));
	}
	if (err || s->state != INET_CONNECTED)
		return err;
	return udp ? errno_of(udp_connect(s->udp, &s->peer, s->peer_port))
		   : errno_of(raw_connect(s->raw, &s->peer));
}
