/*
 * AF_UNIX sockets and their unread messages in the store.
 *
 * A socket is reached from its file, its peer, the queue of a listener, or as the sender of a
 * message. Each message is an object of its own, as it does not change but for how far it was read.
 * Whose file is gone stays dead; a sender is charged again for what nobody has read.
 */
#include "file/unix_impl.h"

#include <asm/errno.h>

#include "file/dentry.h"
#include "lib/hash.h"
#include "lib/string.h"
#include "mm/slab.h"

/* --- sockets --- */

enum {
	S_TYPE = 1,
	S_STATE = 2,
	S_DEAD = 3,
	S_SHUT = 4,
	S_ERROR = 5,
	S_PEER = 6,
	S_MESSAGE = 7, /* in order */
	S_SNDBUF = 8,
	S_RCVBUF = 9,
	S_PENDING = 10, /* in order */
	S_BACKLOG = 11,
	S_CRED = 12, /* pid, uid, gid: three numbers */
	S_PEER_CRED = 13,
	S_PASS_CRED = 14,
	S_RCV_TIMEOUT = 15,
	S_SND_TIMEOUT = 16,
	S_OPTIONS = 17,
	S_NAME = 18,
	S_BOUND = 19, /* the node's place */
	S_BOUND_VNODE = 20,
	S_ABSTRACT = 21, /* it is found by its name */
};

static void
cred_save(struct tag_writer *t, u16 tag, const struct unix_cred *c)
{
	tag_u64(t, tag, (u64)(s64)c->pid);
	tag_u64(t, tag, c->uid);
	tag_u64(t, tag, c->gid);
}

static void
cred_load(const struct tag_reader *t, u16 tag, struct unix_cred *c)
{
	struct tag_field f = {0};

	if (tag_next(t, tag, &f))
		c->pid = (int)tag_field_u64(&f);
	if (tag_next(t, tag, &f))
		c->uid = (u32)tag_field_u64(&f);
	if (tag_next(t, tag, &f))
		c->gid = (u32)tag_field_u64(&f);
}

static void
save_queues(struct persist_writer *w, struct unix_sock *s)
{
	struct unix_msg *m;
	struct unix_sock *n;

	list_for_each_entry (m, &s->rx, link)
		persist_ref(w, S_MESSAGE, &unix_msg_persist, m);
	list_for_each_entry (n, &s->pending, accept_link)
		persist_ref(w, S_PENDING, &unix_sock_persist, n);
}

static void
sock_save(struct persist_writer *w, void *object)
{
	struct unix_sock *s = object;
	struct tag_writer *t = &w->tags;

	tag_u64(t, S_TYPE, (u64)s->type);
	/* Whoever was connecting begins again. */
	tag_u64(t, S_STATE, s->state == UNIX_CONNECTING ? UNIX_IDLE : s->state);
	tag_u64(t, S_DEAD, s->dead);
	tag_u64(t, S_SHUT, s->shut);
	tag_u64(t, S_ERROR, (u64)s->error);
	persist_ref(w, S_PEER, &unix_sock_persist, s->peer);
	tag_u64(t, S_SNDBUF, s->sndbuf);
	tag_u64(t, S_RCVBUF, s->rcvbuf);
	tag_u64(t, S_BACKLOG, s->backlog);
	cred_save(t, S_CRED, &s->cred);
	cred_save(t, S_PEER_CRED, &s->peer_cred);
	tag_u64(t, S_PASS_CRED, s->pass_cred);
	tag_u64(t, S_RCV_TIMEOUT, (u64)s->rcv_timeout);
	tag_u64(t, S_SND_TIMEOUT, (u64)s->snd_timeout);
	tag_u64(t, S_OPTIONS, s->flag_options);
	if (s->name.len)
		tag_bytes(t, S_NAME, s->name.path, s->name.len);
	if (!list_empty(&s->name_link))
		tag_u64(t, S_ABSTRACT, 1);
	place_save(w, S_BOUND, s->bound);
	if (s->bound)
		persist_ref(w, S_BOUND_VNODE, &vnode_persist, s->bound->vnode);
	save_queues(w, s);
}

static u64
mix_cred(u64 h, const struct unix_cred *c)
{
	return persist_mix(persist_mix(h, (u64)c->pid), (u64)c->uid << 32 | c->gid);
}

static u64
mix_queues(struct persist_writer *w, u64 h, struct unix_sock *s)
{
	struct unix_msg *m;
	struct unix_sock *n;

	list_for_each_entry (m, &s->rx, link)
		h = persist_mix_ref(w, h, &unix_msg_persist, m);
	h = persist_mix(h, 0); /* here one list ends */
	list_for_each_entry (n, &s->pending, accept_link)
		h = persist_mix_ref(w, h, &unix_sock_persist, n);
	return h;
}

static u64
sock_version(struct persist_writer *w, void *object)
{
	struct unix_sock *s = object;
	u64 h = persist_mix(s->state, s->dead | s->shut << 1 | s->pass_cred << 3 |
					      !list_empty(&s->name_link) << 4 |
					      (u64)(u32)s->error << 32);

	h = persist_mix_ref(w, h, &unix_sock_persist, s->peer);
	h = persist_mix(h, s->sndbuf);
	h = persist_mix(h, s->rcvbuf);
	h = persist_mix(h, (u64)s->backlog << 32 | s->flag_options);
	h = mix_cred(mix_cred(h, &s->cred), &s->peer_cred);
	h = persist_mix(h, (u64)s->rcv_timeout);
	h = persist_mix(h, (u64)s->snd_timeout);
	if (s->name.len)
		h = persist_mix(h, hash64(s->name.path, s->name.len));
	h = place_version(w, h, s->bound);
	return h ? mix_queues(w, h, s) : 0;
}

static int
sock_make(struct persist_reader *r, void **out)
{
	u64 type = tag_get_u64(&r->tags, S_TYPE, 0);
	u64 state = tag_get_u64(&r->tags, S_STATE, UNIX_IDLE);
	const struct tag_reader *t = &r->tags;
	struct tag_field name = {0};
	struct unix_sock *s;

	if (type != SOCK_STREAM && type != SOCK_DGRAM && type != SOCK_SEQPACKET)
		return -EBADMSG;
	if (state > UNIX_LISTENING)
		return -EBADMSG;
	s = unix_sock_alloc((int)type);
	if (!s)
		return -ENOMEM;
	s->state = (enum unix_state)state;
	s->dead = tag_get_u64(t, S_DEAD, 0) != 0;
	s->shut = (unsigned)tag_get_u64(t, S_SHUT, 0);
	s->error = (int)tag_get_u64(t, S_ERROR, 0);
	s->sndbuf = tag_get_u64(t, S_SNDBUF, s->sndbuf);
	s->rcvbuf = tag_get_u64(t, S_RCVBUF, s->rcvbuf);
	s->backlog = (unsigned)tag_get_u64(t, S_BACKLOG, 0);
	cred_load(t, S_CRED, &s->cred);
	cred_load(t, S_PEER_CRED, &s->peer_cred);
	s->pass_cred = tag_get_u64(t, S_PASS_CRED, 0) != 0;
	s->rcv_timeout = (ns_t)tag_get_u64(t, S_RCV_TIMEOUT, 0);
	s->snd_timeout = (ns_t)tag_get_u64(t, S_SND_TIMEOUT, 0);
	s->flag_options = (u32)tag_get_u64(t, S_OPTIONS, 0);
	if (tag_next(t, S_NAME, &name) && name.length <= sizeof(s->name.path)) {
		s->name.len = (u32)name.length;
		memcpy(s->name.path, name.data, name.length);
	}
	*out = s;
	return 0;
}

static int
link_queues(struct persist_reader *r, struct unix_sock *s)
{
	struct tag_field f = {0};

	while (tag_next(&r->tags, S_MESSAGE, &f)) {
		struct unix_msg *m = persist_field(r, &f, &unix_msg_persist);

		if (!m || !list_empty(&m->link))
			return -EBADMSG;
		refcount_get(&m->refs);
		list_add_tail(&s->rx, &m->link);
		s->rx_bytes += m->size - m->start;
	}
	f = (struct tag_field){0};
	while (tag_next(&r->tags, S_PENDING, &f)) {
		struct unix_sock *n = persist_field(r, &f, &unix_sock_persist);

		if (!n || !list_empty(&n->accept_link))
			return -EBADMSG;
		unix_get(n);
		list_add_tail(&s->pending, &n->accept_link);
		s->npending++;
	}
	return 0;
}

/* The node of a path, which may be another file by now: then nobody finds the socket, as before. */
static int
link_name(struct persist_reader *r, struct unix_sock *s)
{
	struct vnode *v = persist_get(r, &r->tags, S_BOUND_VNODE, &vnode_persist);
	int err = v ? place_load(r, &r->tags, S_BOUND, &s->bound) : 0;

	if (err)
		return err == -ENOENT ? -EBADMSG : err;
	if (v) {
		if (v->socket)
			return -EBADMSG;
		v->socket = s;
	} else if (tag_get_u64(&r->tags, S_ABSTRACT, 0)) {
		unix_name_restore(s);
	}
	return 0;
}

static int
sock_link(struct persist_reader *r, void *object)
{
	struct unix_sock *s = object;
	int err;

	s->peer = persist_get(r, &r->tags, S_PEER, &unix_sock_persist);
	if (s->peer)
		unix_get(s->peer);
	err = link_name(r, s);
	return err ? err : link_queues(r, s);
}

static void
sock_drop(void *object)
{
	unix_put(object);
}

/*
 * Members of struct unix_sock over a power cut:
 *	written	type state dead shut error peer rx sndbuf rcvbuf pending backlog cred
 *		peer_cred pass_cred rcv_timeout snd_timeout flag_options name bound
 *		name_link
 *	made	refs file lock rx_bytes tx_charge readable writable accept_link npending
 *		connecters inflight inflight_link all_link gc_count gc_candidate
 *		persistent
 */
const struct persist_kind unix_sock_persist = {
	.name = "unix socket",
	.number = 87,
	.member = offsetof(struct unix_sock, persistent),
	.save = sock_save,
	.version = sock_version,
	.make = sock_make,
	.link = sock_link,
	.put = sock_drop,
};

/* --- messages --- */

enum { MSG_SENDER = 1, MSG_CRED = 2, MSG_DATA = 3, MSG_START = 4, MSG_FILE = 5 };

static void
msg_save(struct persist_writer *w, void *object)
{
	struct unix_msg *m = object;

	persist_ref(w, MSG_SENDER, &unix_sock_persist, m->sender);
	cred_save(&w->tags, MSG_CRED, &m->cred);
	tag_u64(&w->tags, MSG_START, m->start);
	tag_bytes(&w->tags, MSG_DATA, m->data, m->size);
	for (unsigned i = 0; i < m->nfiles; i++)
		persist_ref(w, MSG_FILE, &file_persist, m->files[i]);
}

static u64
msg_version(struct persist_writer *w, void *object)
{
	struct unix_msg *m = object;
	u64 version = persist_mix_ref(w, m->start, &unix_sock_persist, m->sender);

	for (unsigned i = 0; i < m->nfiles; i++)
		version = persist_mix_ref(w, version, &file_persist, m->files[i]);
	return version;
}

static int
msg_make(struct persist_reader *r, void **out)
{
	struct tag_field data = {0};
	struct unix_msg *m;

	if (!tag_next(&r->tags, MSG_DATA, &data))
		return -EBADMSG;
	m = kzalloc(sizeof(*m) + data.length);
	if (!m)
		return -ENOMEM;
	list_init(&m->link);
	refcount_init(&m->refs, 1);
	cred_load(&r->tags, MSG_CRED, &m->cred);
	m->size = data.length;
	m->start = min(tag_get_u64(&r->tags, MSG_START, 0), m->size);
	memcpy(m->data, data.data, data.length);
	*out = m;
	return 0;
}

static int
link_files(struct persist_reader *r, struct unix_msg *m)
{
	struct tag_field f = {0};

	while (tag_next(&r->tags, MSG_FILE, &f)) {
		struct file *file = persist_field(r, &f, &file_persist);

		if (!file || m->nfiles == UNIX_RIGHTS_MAX)
			return -EBADMSG;
		if (!m->files)
			m->files = kcalloc(UNIX_RIGHTS_MAX, sizeof(*m->files));
		if (!m->files)
			return -ENOMEM;
		file_get(file);
		m->files[m->nfiles++] = file;
	}
	return 0;
}

static int
msg_link(struct persist_reader *r, void *object)
{
	struct unix_msg *m = object;

	m->sender = persist_get(r, &r->tags, MSG_SENDER, &unix_sock_persist);
	if (!m->sender)
		return -EBADMSG;
	unix_get(m->sender);
	m->charge = m->size + sizeof(*m);
	m->sender->tx_charge += m->charge;
	return link_files(r, m);
}

/* Files know their sockets by now. */
static int
msg_start(struct persist_reader *r, void *object)
{
	unix_rights_restore(object);
	return 0;
}

static void
msg_drop(void *object)
{
	unix_msg_put(object);
}

/*
 * Members of struct unix_msg over a power cut:
 *	written	sender cred start size nfiles files data
 *	made	link refs charge persistent
 */
const struct persist_kind unix_msg_persist = {
	.name = "unix message",
	.number = 88,
	.member = offsetof(struct unix_msg, persistent),
	.save = msg_save,
	.version = msg_version,
	.make = msg_make,
	.link = msg_link,
	.start = msg_start,
	.put = msg_drop,
};

/* --- a socket's file --- */

enum { FILE_SOCKET = 1 };

static void
unix_file_save(struct persist_writer *w, struct file *f)
{
	persist_ref(w, FILE_SOCKET, &unix_sock_persist, f->private);
}

static u64
unix_file_version(struct persist_writer *w, u64 h, struct file *f)
{
	return persist_mix_ref(w, h, &unix_sock_persist, f->private);
}

static int
unix_file_link(struct persist_reader *r, const struct tag_reader *in, struct file *f)
{
	struct unix_sock *s = persist_get(r, in, FILE_SOCKET, &unix_sock_persist);

	if (!s || s->file)
		return -EBADMSG;
	unix_get(s);
	s->file = f;
	f->private = s;
	return 0;
}

const struct file_persist unix_file_persist = {
	.number = FILE_UNIX,
	.save = unix_file_save,
	.version = unix_file_version,
	.link = unix_file_link,
};
