/*
 * connect() of stream sockets: the local address and port, the attempt and how it ends, and
 * connect(AF_UNSPEC), which takes a connection back. A port that bind() gave stays with the socket
 * through all of it.
 */
#include "net/pcbs.h"

/* A socket whose last attempt failed may try again with a new pcb. A port that was bound stays. */
static int
renew(struct inet *s)
{
	if (!s->tcp) {
		int err = tcp_socket_create(s);

		if (err)
			return err;
		if (s->port_from == PORT_BOUND)
			tcp_port_put(s, &s->local, s->local_port);
	}
	s->state = INET_FRESH;
	s->rx_eof = s->tx_shut = s->rx_shut = false;
	s->connect_told = false;
	return 0;
}

/* Gives an unbound socket its local address, and *to its zone. */
static int
choose_source(struct inet *s, ip_addr_t *to)
{
	struct tcp_pcb *p = s->tcp;
	const ip_addr_t *own;
	struct netif *out;

	if (ip_addr_isany(&p->local_ip) && inet_addr_is_ours(to)) {
		inet_source_to(to, &p->local_ip);
		return 0;
	}
	if (inet_addr_is_loop4(&p->local_ip) && !inet_route(&p->local_ip, to))
		return -EINVAL;
	out = p->netif_idx ? netif_get_by_index(p->netif_idx) : ip_route(&p->local_ip, to);
	own = out ? ip_netif_get_local_ip(out, to) : NULL;
	if (!own)
		return -ENETUNREACH;
	if (ip_addr_isany(&p->local_ip))
		ip_addr_copy(p->local_ip, *own);
	if (IP_IS_V6_VAL(*to) && ip6_addr_lacks_zone(ip_2_ip6(to), IP6_UNICAST))
		ip6_addr_assign_zone(ip_2_ip6(to), IP6_UNICAST, out);
	return 0;
}

/* Sends the SYN. What was chosen for an attempt that does not get so far is taken back. */
static int
begin_connect(struct inet *s, ip_addr_t *to, u16 port)
{
	struct tcp_pcb *p = s->tcp;
	ip_addr_t local = p->local_ip;
	u16 local_port = p->local_port;
	u8 port_from = s->port_from;
	int err = choose_source(s, to);

	if (!err)
		err = tcp_port_connect(s, to, port);
	if (!err) {
		s->state = INET_CONNECTING;
		ip_reset_option(p, SOF_REUSEADDR); /* lwIP would look through all connections */
		err = errno_of(tcp_connect(p, to, port, tcp_on_connected));
		inet_apply_options(s);
	}
	if (err) {
		s->state = INET_FRESH;
		ip_addr_copy(p->local_ip, local);
		p->local_port = local_port;
		s->port_from = port_from;
	}
	return err;
}

static int
start_connect(struct inet *s, ip_addr_t *ip, u16 port)
{
	int err;

	if (s->state == INET_OVER && s->connect_told)
		return -EISCONN;
	err = s->state == INET_OVER || !s->tcp ? renew(s) : 0;
	if (err)
		return err;
	inet_any_to_loopback(ip);
	err = begin_connect(s, ip, port);
	if (err)
		return err;
	spin_lock(&s->lock);
	ip_addr_copy(s->local, s->tcp->local_ip);
	s->local_port = s->tcp->local_port;
	ip_addr_copy(s->peer, *ip);
	s->peer_port = port;
	s->bound = true;
	spin_unlock(&s->lock);
	return 0;
}

/* connect(AF_UNSPEC): the connection is dropped, the socket is as new. */
static int
disconnect(struct inet *s)
{
	int err;

	net_lock();
	if (s->state == INET_LISTENING) {
		net_unlock();
		return -EINVAL;
	}
	if (s->tcp && s->state != INET_FRESH) {
		struct tcp_pcb *pcb = s->tcp;

		tcp_clear_callbacks(pcb);
		s->tcp = NULL;
		tcp_abort(pcb);
	}
	spin_lock(&s->lock);
	s->peer_port = 0;
	if (s->port_from != PORT_BOUND) {
		s->local_port = 0;
		s->bound = false;
		s->port_from = PORT_NONE;
	}
	spin_unlock(&s->lock);
	err = renew(s);
	net_unlock();
	return err;
}

/* Waits until the attempt is decided, and says how it ended. */
static int
wait_connected(struct file *f, struct inet *s)
{
	ns_t deadline = inet_deadline(s->sndtimeo);
	int err = 0;

	spin_lock(&s->lock);
	while (s->state == INET_CONNECTING && !err) {
		if (f->flags & O_NONBLOCK) {
			err = -EINPROGRESS;
			break;
		}
		err = waitq_sleep(&s->wq, &s->lock, deadline, WAIT_INTERRUPTIBLE);
	}
	if (s->state == INET_CONNECTED) {
		err = s->connect_told ? -EISCONN : 0;
		s->connect_told = true;
	} else if (s->state == INET_OVER) {
		err = inet_take_error(s);
		if (!err)
			err = -ECONNABORTED;
	} else if (err == -ETIMEDOUT) {
		err = -EINPROGRESS;
	}
	spin_unlock(&s->lock);
	return err;
}

/* A non-blocking attempt is always EINPROGRESS at first, as Linux has it: programs count on being
 * told by poll, even when a connection to ourselves is decided by now. */
int
tcp_socket_connect(struct file *f, const void *addr, unsigned len)
{
	struct inet *s = inet_of(f);
	bool started = false;
	ip_addr_t ip;
	u16 family, port;
	int err;

	if (len < sizeof(family))
		return -EINVAL;
	memcpy(&family, addr, sizeof(family));
	if (family == AF_UNSPEC)
		return disconnect(s);
	err = inet_addr_in(s, addr, len, &ip, &port);
	if (err)
		return err;
	net_lock();
	switch (s->state) {
	case INET_LISTENING:
		err = -EISCONN;
		break;
	case INET_CONNECTED:
		err = 0; /* wait_connected tells, once */
		break;
	case INET_CONNECTING:
		err = f->flags & O_NONBLOCK ? -EALREADY : 0;
		break;
	case INET_OVER:
		if (s->error) { /* an attempt failed and nobody asked yet */
			err = -s->error;
			s->error = 0;
			break;
		}
		err = start_connect(s, &ip, port);
		started = true;
		break;
	default:
		err = start_connect(s, &ip, port);
		started = true;
		break;
	}
	net_unlock();
	if (!err && started && (f->flags & O_NONBLOCK))
		err = -EINPROGRESS;
	return err ? err : wait_connected(f, s);
}
