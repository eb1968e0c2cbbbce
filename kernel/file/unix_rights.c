/*
 * Control messages of AF_UNIX sockets: SCM_RIGHTS, SCM_CREDENTIALS; and the collection of sockets
 * that only messages refer to.
 *
 * A file in a message is held by a reference. Sockets among them are counted (inflight) and listed.
 * When a socket is closed, unix_collect looks for those whose file has no references but in
 * messages: from these it takes away what their own queues hold; those still counted are reached
 * from outside, and so is what they reach; the rest is garbage, and its messages are freed. All of
 * it under unix->lock, under which messages gain and lose files, so the picture does not move.
 *
 * Freeing a message may close a socket with messages of its own: those go to one list that the
 * first on the spot frees in a loop, so that no depth of nesting uses up the kernel stack.
 */
#include "file/unix_impl.h"

#include <asm/errno.h>
#include <asm/socket.h>

#include "file/dentry.h"
#include "file/fdtable.h"
#include "lib/string.h"
#include "mm/slab.h"

/* --- in --- */

/* => unix->lock held. */
static void
inflight_add(struct file *f, int by)
{
	struct unix_sockets *u = unix_root();
	struct unix_sock *s = unix_of(f);

	if (!s)
		return;
	s->inflight += by;
	if (s->inflight == 0)
		list_del(&s->inflight_link);
	else if (list_empty(&s->inflight_link))
		list_add_tail(&u->inflight, &s->inflight_link);
}

static int
rights_in(struct unix_msg *m, const int *fds, unsigned n)
{
	struct unix_sockets *u = unix_root();
	struct file **more;

	if (m->nfiles + n > UNIX_RIGHTS_MAX)
		return -EINVAL;
	more = kcalloc(m->nfiles + n, sizeof(*more));
	if (!more)
		return -ENOMEM;
	if (m->files)
		memcpy(more, m->files, m->nfiles * sizeof(*more));
	kfree(m->files);
	m->files = more;
	for (unsigned i = 0; i < n; i++) {
		struct file *f = fd_get(fds[i]);

		if (!f)
			return -EBADF; /* those before are dropped with the message */
		spin_lock(&u->lock);
		m->files[m->nfiles++] = f;
		inflight_add(f, 1);
		spin_unlock(&u->lock);
	}
	return 0;
}

static int
credentials_in(struct unix_msg *m, const struct unix_cred *c)
{
	struct unix_cred mine = unix_current_cred();

	if (!current_capable() && (c->pid != mine.pid || c->uid != mine.uid || c->gid != mine.gid))
		return -EPERM;
	m->cred = *c;
	return 0;
}

static int
one_in(struct unix_msg *m, const struct cmsg_header *h)
{
	size_t n = h->len - sizeof(*h);
	const void *data = h + 1;

	if (h->level != SOL_SOCKET)
		return 0;
	if (h->type == SCM_RIGHTS)
		return rights_in(m, data, n / sizeof(int));
	if (h->type == SCM_CREDENTIALS)
		return n == sizeof(struct unix_cred) ? credentials_in(m, data) : -EINVAL;
	return -EINVAL;
}

int
unix_control_in(struct unix_msg *m, const struct socket_msg *sm)
{
	size_t at = 0;
	int err;

	while (sm->control_len - at >= sizeof(struct cmsg_header)) {
		const struct cmsg_header *h = (const void *)((char *)sm->control + at);

		if (h->len < sizeof(*h) || h->len > sm->control_len - at)
			return -EINVAL;
		err = one_in(m, h);
		if (err)
			return err;
		at += CMSG_ALIGN_K(h->len);
		if (at >= sm->control_len)
			break;
	}
	return 0;
}

/* --- out --- */

/* Appends a control message; what does not fit is cut and flagged. */
static void
control_put(struct socket_msg *sm, size_t room, int type, const void *data, size_t n)
{
	struct cmsg_header h = {.len = sizeof(h) + n, .level = SOL_SOCKET, .type = type};
	char *to;
	size_t left = room - sm->control_len;

	if (!sm->control || left < sizeof(h)) {
		sm->flags |= MSG_CTRUNC;
		return;
	}
	if (left < h.len) {
		sm->flags |= MSG_CTRUNC;
		h.len = left;
	}
	to = (char *)sm->control + sm->control_len;
	memcpy(to, &h, sizeof(h));
	memcpy(to + sizeof(h), data, h.len - sizeof(h));
	sm->control_len += min(CMSG_ALIGN_K(h.len), left);
}

/* Takes the files out of the message, or copies of the references. */
static struct file **
files_take(struct unix_msg *m, bool peek, unsigned *n)
{
	struct unix_sockets *u = unix_root();
	struct file **files = NULL, **copy = NULL;

	if (peek && m->nfiles > 0) {
		copy = kcalloc(UNIX_RIGHTS_MAX, sizeof(*copy));
		if (!copy)
			return NULL;
	}
	spin_lock(&u->lock);
	*n = m->nfiles;
	for (unsigned i = 0; i < *n; i++) {
		if (peek) {
			copy[i] = m->files[i];
			file_get(copy[i]);
		} else {
			inflight_add(m->files[i], -1);
		}
	}
	if (!peek) {
		files = m->files;
		m->files = NULL;
		m->nfiles = 0;
	}
	spin_unlock(&u->lock);
	return peek ? copy : files;
}

static void
rights_out(struct unix_msg *m, struct socket_msg *sm, size_t room, bool peek)
{
	size_t left = room - sm->control_len, fit;
	int fds[UNIX_RIGHTS_MAX];
	unsigned n = 0, done = 0;
	struct file **files = files_take(m, peek, &n);

	if (!files) {
		sm->flags |= MSG_CTRUNC;
		return;
	}
	fit = sm->control && left > sizeof(struct cmsg_header)
		      ? (left - sizeof(struct cmsg_header)) / sizeof(int)
		      : 0;
	for (unsigned i = 0; i < n; i++) {
		int fd = i < fit && done == i
				 ? fd_install(files[i], 0, (sm->flags & MSG_CMSG_CLOEXEC) != 0)
				 : -EMFILE;

		if (fd < 0)
			file_put(files[i]);
		else
			fds[done++] = fd;
	}
	kfree(files);
	if (done > 0)
		control_put(sm, room, SCM_RIGHTS, fds, done * sizeof(int));
	if (done < n)
		sm->flags |= MSG_CTRUNC;
}

void
unix_control_out(struct unix_sock *s, struct unix_msg *m, struct socket_msg *sm, size_t room,
		 bool peek)
{
	if (s->pass_cred)
		control_put(sm, room, SCM_CREDENTIALS, &m->cred, sizeof(m->cred));
	if (m->nfiles > 0)
		rights_out(m, sm, room, peek);
}

/* --- dropping --- */

void
unix_rights_drop(struct unix_msg *m)
{
	struct unix_sockets *u = unix_root();

	if (m->nfiles > 0) {
		spin_lock(&u->lock);
		for (unsigned i = 0; i < m->nfiles; i++)
			inflight_add(m->files[i], -1);
		spin_unlock(&u->lock);
	}
	for (unsigned i = 0; i < m->nfiles; i++)
		file_put(m->files[i]);
	kfree(m->files);
	m->files = NULL;
	m->nfiles = 0;
}

void
unix_rights_restore(struct unix_msg *m)
{
	spin_lock(&unix_root()->lock);
	for (unsigned i = 0; i < m->nfiles; i++)
		inflight_add(m->files[i], 1);
	spin_unlock(&unix_root()->lock);
}

void
unix_discard(struct list *msgs)
{
	struct unix_sockets *u = unix_root();

	if (list_empty(msgs))
		return;
	spin_lock(&u->lock);
	list_splice_tail(&u->dead, msgs);
	if (u->draining) {
		spin_unlock(&u->lock);
		return;
	}
	u->draining = true;
	while (!list_empty(&u->dead)) {
		struct unix_msg *m = list_first(&u->dead, struct unix_msg, link);

		list_del(&m->link);
		spin_unlock(&u->lock);
		unix_msg_put(m);
		spin_lock(&u->lock);
	}
	u->draining = false;
	spin_unlock(&u->lock);
}

/* --- collection --- */

/* Calls fn for each candidate that a queue of s holds. => unix->lock held. */
static void
for_each_held(struct unix_sock *s, void (*fn)(struct unix_sock *held))
{
	struct unix_sock *n;
	struct unix_msg *m;

	spin_lock(&s->lock);
	list_for_each_entry (m, &s->rx, link)
		for (unsigned i = 0; i < m->nfiles; i++) {
			struct unix_sock *held = unix_of(m->files[i]);

			if (held && held->gc_candidate)
				fn(held);
		}
	list_for_each_entry (n, &s->pending, accept_link)
		for_each_held(n, fn);
	spin_unlock(&s->lock);
}

static void
count_down(struct unix_sock *s)
{
	s->gc_count--;
}

static void
count_reached(struct unix_sock *s)
{
	s->gc_count++;
}

/* Candidates with a count are reached from outside: so is what they hold. */
static void
spread_reach(struct unix_sockets *u)
{
	struct unix_sock *s;
	bool changed = true;

	while (changed) {
		changed = false;
		list_for_each_entry (s, &u->inflight, inflight_link) {
			if (!s->gc_candidate || s->gc_count == 0)
				continue;
			s->gc_candidate = false;
			for_each_held(s, count_reached);
			changed = true;
		}
	}
}

static void
take_garbage(struct unix_sock *s, struct list *garbage)
{
	struct unix_msg *m, *next;
	struct unix_sock *n;

	spin_lock(&s->lock);
	list_for_each_entry_safe (m, next, &s->rx, link) {
		if (m->nfiles == 0)
			continue;
		list_del(&m->link);
		s->rx_bytes -= m->size - m->start;
		list_add_tail(garbage, &m->link);
	}
	list_for_each_entry (n, &s->pending, accept_link)
		take_garbage(n, garbage);
	spin_unlock(&s->lock);
}

void
unix_collect(void)
{
	struct unix_sockets *u = unix_root();
	struct unix_sock *s;
	struct list garbage;

	if (list_empty(&u->inflight))
		return;
	list_init(&garbage);
	spin_lock(&u->lock);
	list_for_each_entry (s, &u->inflight, inflight_link) {
		s->gc_candidate = atomic_load(&s->file->refs.value) == s->inflight;
		s->gc_count = s->inflight;
	}
	list_for_each_entry (s, &u->inflight, inflight_link)
		if (s->gc_candidate)
			for_each_held(s, count_down);
	spread_reach(u);
	list_for_each_entry (s, &u->inflight, inflight_link)
		if (s->gc_candidate)
			take_garbage(s, &garbage);
	spin_unlock(&u->lock);
	unix_discard(&garbage);
}
