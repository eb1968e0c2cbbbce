/*
 * Names of AF_UNIX sockets: nodes in the name space (vnode->socket), and abstract names in a hash
 * table. Both are guarded by unix->lock; a name is set once and stays until the socket closes. The
 * node of a path stays when the socket is gone, as man 7 unix says.
 */
#include "file/unix_impl.h"

#include <asm/errno.h>
#include <linux/fcntl.h>
#include <linux/stat.h>

#include "lib/format.h"
#include "lib/string.h"

#define PATH_OFFSET offsetof(struct sockaddr_un, sun_path)

/* Checks an address and takes its name: 0; -EINVAL. A path ends at its first zero. */
static int
name_fetch(struct unix_name *n, const void *addr, unsigned len)
{
	const struct sockaddr_un *un = addr;

	if (len <= PATH_OFFSET || len > sizeof(*un) || un->sun_family != AF_UNIX)
		return -EINVAL;
	n->len = len - PATH_OFFSET;
	memcpy(n->path, un->sun_path, n->len);
	if (n->path[0])
		n->len = strnlen(n->path, n->len);
	return 0;
}

static struct list *
bucket(const struct unix_name *n)
{
	u32 h = 2166136261u;

	for (u32 i = 0; i < n->len; i++)
		h = (h ^ (u8)n->path[i]) * 16777619u;
	return &unix_root()->names[h % UNIX_BUCKETS];
}

/* => unix->lock held. */
static struct unix_sock *
abstract_find(const struct unix_name *n, int type)
{
	struct unix_sock *s;

	list_for_each_entry (s, bucket(n), name_link)
		if (s->name.len == n->len && memcmp(s->name.path, n->path, n->len) == 0 &&
		    (type == 0 || s->type == type))
			return s;
	return NULL;
}

static int
bind_abstract(struct unix_sock *s, const struct unix_name *n)
{
	struct unix_sockets *u = unix_root();
	int err = 0;

	spin_lock(&u->lock);
	if (s->name.len > 0) {
		err = -EINVAL;
	} else if (abstract_find(n, s->type)) {
		err = -EADDRINUSE;
	} else {
		s->name = *n;
		list_add(bucket(n), &s->name_link);
	}
	spin_unlock(&u->lock);
	return err;
}

void
unix_name_restore(struct unix_sock *s)
{
	spin_lock(&unix_root()->lock);
	list_add(bucket(&s->name), &s->name_link);
	spin_unlock(&unix_root()->lock);
}

/* A name of five hexadecimal digits that is free. */
int
unix_autobind(struct unix_sock *s)
{
	struct unix_sockets *u = unix_root();
	struct unix_name n = {.len = 6};
	char digits[8];
	int err;

	for (u32 tries = 0; tries < 1u << 20; tries++) {
		u32 number = atomic_add_fetch(&u->next_auto, 1) & 0xfffff;

		format(digits, sizeof(digits), "%05x", number);
		memcpy(n.path + 1, digits, 5);
		err = bind_abstract(s, &n);
		if (err != -EADDRINUSE)
			return err == -EINVAL ? 0 : err; /* it has a name already */
	}
	return -ENOSPC;
}

static int
bind_path(struct unix_sock *s, const struct unix_name *n)
{
	struct unix_sockets *u = unix_root();
	char path[sizeof(n->path) + 1];
	struct dentry *d;
	int err;

	memcpy(path, n->path, n->len);
	path[n->len] = 0;
	if (atomic_load(&s->name.len) > 0)
		return -EINVAL;
	err = vfs_mknod(AT_FDCWD, path, S_IFSOCK | 0777, 0, &d);
	if (err)
		return err == -EEXIST ? -EADDRINUSE : err;
	spin_lock(&u->lock);
	if (s->name.len > 0) {
		err = -EINVAL;
	} else {
		s->name = *n;
		s->bound = d;
		dentry_vnode(d)->socket = s;
	}
	spin_unlock(&u->lock);
	if (err)
		dentry_put(d);
	return err;
}

int
unix_bind(struct file *f, const void *addr, unsigned len)
{
	const struct sockaddr_un *un = addr;
	struct unix_sock *s = f->private;
	struct unix_name n;
	int err;

	if (len == PATH_OFFSET && un->sun_family == AF_UNIX)
		return unix_autobind(s);
	err = name_fetch(&n, addr, len);
	if (err)
		return err;
	return n.path[0] ? bind_path(s, &n) : bind_abstract(s, &n);
}

void
unix_unbind(struct unix_sock *s)
{
	struct unix_sockets *u = unix_root();
	struct dentry *d;

	spin_lock(&u->lock);
	list_del(&s->name_link);
	d = s->bound;
	s->bound = NULL;
	if (d && dentry_vnode(d)->socket == s)
		dentry_vnode(d)->socket = NULL;
	spin_unlock(&u->lock);
	if (d)
		dentry_put(d);
}

static int
find_path(const struct unix_name *n, struct unix_sock **out)
{
	struct unix_sockets *u = unix_root();
	char path[sizeof(n->path) + 1];
	struct dentry *d;
	struct vnode *v;
	int err;

	memcpy(path, n->path, n->len);
	path[n->len] = 0;
	err = path_lookup(AT_FDCWD, path, 0, &d);
	if (err)
		return err;
	v = dentry_vnode(d);
	err = v ? vnode_permission(v, 2) : -ENOENT;
	if (!err) {
		spin_lock(&u->lock);
		*out = v->socket;
		if (*out)
			unix_get(*out);
		else
			err = -ECONNREFUSED;
		spin_unlock(&u->lock);
	}
	dentry_put(d);
	return err;
}

/* A referenced socket of the type, or -ECONNREFUSED, -EPROTOTYPE, ... */
int
unix_find(const void *addr, unsigned len, int type, struct unix_sock **out)
{
	struct unix_sockets *u = unix_root();
	struct unix_name n;
	int err = name_fetch(&n, addr, len);

	if (err)
		return err;
	if (n.path[0]) {
		err = find_path(&n, out);
		if (!err && (*out)->type != type) {
			unix_put(*out);
			err = -EPROTOTYPE;
		}
		return err;
	}
	spin_lock(&u->lock);
	*out = abstract_find(&n, type);
	if (*out)
		unix_get(*out);
	spin_unlock(&u->lock);
	return *out ? 0 : -ECONNREFUSED;
}

void
unix_name_out(const struct unix_sock *s, void *addr, unsigned *len)
{
	struct unix_sockets *u = unix_root();
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	u32 n;

	spin_lock(&u->lock);
	n = s->name.len;
	memcpy(un.sun_path, s->name.path, n);
	spin_unlock(&u->lock);
	/* A path is given with its zero where there is room for one. */
	if (n > 0 && un.sun_path[0] && n < sizeof(un.sun_path))
		n++;
	n += PATH_OFFSET;
	memcpy(addr, &un, min(*len, n));
	*len = n;
}

int
unix_getname(struct file *f, bool peer, void *addr, unsigned *len)
{
	struct unix_sock *s = f->private, *other = s;

	if (peer) {
		spin_lock(&s->lock);
		other = s->peer;
		if (other)
			unix_get(other);
		spin_unlock(&s->lock);
		if (!other)
			return -ENOTCONN;
	}
	unix_name_out(other, addr, len);
	if (peer)
		unix_put(other);
	return 0;
}
