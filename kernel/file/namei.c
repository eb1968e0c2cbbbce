/*
 * Path walks: from a string to a dentry.
 *
 * A walk runs under the name space lock of its own core as far as it can: names that are in the
 * tree, ".", "..", mount points and ordinary symbolic links need no reference and no sleep. What a
 * file system has to answer itself (/proc/<pid>/..., links that lead to an object) is a slow step:
 * a reference is taken, the lock is left, the step is made, the walk goes on. Links are written
 * before the rest of the path, at the end of one buffer, so no step copies the rest.
 *
 * Limits: 40 links, 255 bytes a name, 4096 a path. Negative answers are not cached: a miss in a ram
 * directory costs one probe of its hash table.
 */
#include <asm/errno.h>
#include <asm/fcntl.h>
#include <linux/fcntl.h>
#include <linux/stat.h>
#include "file/dentry.h"
#include "file/fdtable.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "mm/user.h"

#define STEP_SLOW 1

static int
walk_start(struct walk *w, int dirfd)
{
	struct file *f;
	int err = fs_get_root(&w->root);

	if (err)
		return err;
	if (*w->rest == '/' && !(w->how & LOOKUP_IN_ROOT)) {
		if (w->how & LOOKUP_BENEATH)
			return -EXDEV;
		w->at = w->root;
		dentry_get(w->at);
		return 0;
	}
	if (dirfd == AT_FDCWD) {
		err = fs_get_cwd(&w->at);
	} else {
		f = fd_get(dirfd);
		if (!f)
			return -EBADF;
		if (f->dentry) {
			w->at = f->dentry;
			dentry_get(w->at);
		} else {
			err = -ENOTDIR;
		}
		file_put(f);
	}
	if (err == 0 && (w->how & (LOOKUP_BENEATH | LOOKUP_IN_ROOT))) {
		dentry_put(w->root);
		w->root = w->at;
		dentry_get(w->root);
	}
	return err;
}

/* Puts a link's text before the rest of the path. */
static int
push_link(struct walk *w, const char *text, size_t len, bool trailing)
{
	size_t rest = strlen(w->rest);
	char *end, *p;

	if (++w->links > SYMLINKS_MAX)
		return -ELOOP;
	if (len == 0)
		return -ENOENT;
	if (!w->links_buf) {
		w->links_buf = kmalloc(PATH_LENGTH_MAX);
		if (!w->links_buf)
			return -ENOMEM;
	}
	if (rest + len + 2 > PATH_LENGTH_MAX)
		return -ENAMETOOLONG;
	end = w->links_buf + PATH_LENGTH_MAX - 1;
	p = end - rest;
	memmove(p, w->rest, rest);
	*end = 0;
	if (rest > 0 || trailing)
		*--p = '/';
	if ((size_t)(p - w->links_buf) < len)
		return -ENAMETOOLONG;
	p -= len;
	memcpy(p, text, len);
	w->rest = p;
	if (*p == '/') {
		if (w->how & LOOKUP_BENEATH)
			return -EXDEV;
		if ((w->how & LOOKUP_NO_XDEV) && w->root->vnode->mount != w->at->vnode->mount)
			return -EXDEV;
		return 1; /* from the root */
	}
	return 0;
}

/* => ns lock held. One directory up, across mounts, not beyond the root. */
static int
walk_up(struct walk *w)
{
	struct dentry *d = w->at;

	if (d == w->root)
		return w->how & LOOKUP_BENEATH ? -EXDEV : 0;
	while (d->parent == d) {
		struct mount *m = d->vnode->mount;

		if (m->root != d || !m->point)
			return 0;
		if (w->how & LOOKUP_NO_XDEV)
			return -EXDEV;
		d = m->point;
	}
	w->at = dentry_cross(d->parent);
	return 0;
}

static int
walk_finish(struct walk *w)
{
	if ((w->trailing || (w->how & LOOKUP_DIRECTORY)) && w->at->vnode &&
	    !vnode_is_dir(w->at->vnode))
		return -ENOTDIR;
	return 0;
}

static bool
must_follow(const struct walk *w)
{
	return *w->rest || w->trailing || !(w->how & LOOKUP_NOFOLLOW);
}

/* Cuts the next component off: w->last, last_len, last_kind, trailing; rest is behind it. */
static int
next_component(struct walk *w)
{
	const char *p = w->rest;
	size_t n = 0;

	while (p[n] && p[n] != '/')
		n++;
	if (n > NAME_LENGTH_MAX)
		return -ENAMETOOLONG;
	w->last = p;
	w->last_len = n;
	w->last_kind = LAST_NORMAL;
	if (p[0] == '.' && n == 1)
		w->last_kind = LAST_DOT;
	else if (p[0] == '.' && n == 2 && p[1] == '.')
		w->last_kind = LAST_DOTDOT;
	p += n;
	while (*p == '/')
		p++;
	w->trailing = !*p && p != w->last + n;
	w->rest = p;
	return 0;
}

/* A child that is in the tree. 0: moved on, STEP_SLOW, or -errno. */
static int
walk_into(struct walk *w, struct dentry *d)
{
	struct vnode *v;
	int r;

	if (d->mounted && (w->how & LOOKUP_NO_XDEV))
		return -EXDEV;
	d = dentry_cross(d);
	v = d->vnode;
	if (S_ISLNK(v->attr.mode) && must_follow(w)) {
		if (w->how & LOOKUP_NO_LINKS)
			return -ELOOP;
		if (!(v->flags & VNODE_TEXT_LINK))
			return STEP_SLOW;
		r = push_link(w, v->private, strlen(v->private), w->trailing);
		if (r > 0)
			w->at = w->root;
		w->trailing = false;
		return r > 0 ? 0 : r;
	}
	w->at = d;
	return 0;
}

/* => ns lock held. Walks until the end, an error, or a slow step. Moves w->at without references.
 */
static int
walk_run(struct walk *w)
{
	for (;;) {
		struct dentry *d;
		int err;

		while (*w->rest == '/')
			w->rest++;
		if (!*w->rest)
			return walk_finish(w);
		if (!w->at->vnode)
			return -ENOENT;
		if (!vnode_is_dir(w->at->vnode))
			return -ENOTDIR;
		err = permission_check(w->at->vnode, 1, &w->ids);
		if (err == 0)
			err = next_component(w);
		if (err)
			return err;
		if (!*w->rest && (w->how & LOOKUP_PARENT))
			return 0;
		if (w->last_kind == LAST_DOT)
			continue;
		if (w->last_kind == LAST_DOTDOT) {
			err = walk_up(w);
			if (err)
				return err;
			continue;
		}
		d = dentry_child(w->at, w->last, w->last_len, name_hash(w->last, w->last_len));
		if (!d) {
			if (w->at->vnode->ops->lookup || (!*w->rest && (w->how & LOOKUP_CREATE)))
				return STEP_SLOW;
			return -ENOENT;
		}
		err = walk_into(w, d);
		if (err)
			return err;
	}
}

int
dir_lookup_locked(struct dentry *dir, const char *name, size_t len, bool make_negative,
		  struct dentry **out)
{
	struct vnode *v = dir->vnode;
	struct dentry *d = dentry_find(dir, name, len);
	int err = 0;

	if (d) {
		*out = d;
		return 0;
	}
	if (!v->ops->lookup && !make_negative)
		return -ENOENT;
	d = dentry_create(dir, name, len);
	if (!d)
		return -ENOMEM;
	if (v->ops->lookup)
		err = v->ops->lookup(v, d);
	if (err == 0 && !d->vnode && !make_negative)
		err = -ENOENT;
	if (err) {
		dentry_put(d);
		return err;
	}
	*out = d;
	return 0;
}

int
dir_lookup(struct dentry *dir, const char *name, size_t len, bool make_negative,
	   struct dentry **out)
{
	struct vnode *v = dir->vnode;
	int err;

	if (!v->ops->lookup)
		return dir_lookup_locked(dir, name, len, make_negative, out);
	rwlock_read(&v->lock);
	err = dir_lookup_locked(dir, name, len, make_negative, out);
	rwlock_read_done(&v->lock);
	return err;
}

/* Follows a link that the file system answers: to an object, or by its text. Consumes d. */
static int
follow_slow(struct walk *w, struct dentry *d)
{
	struct vnode *v = d->vnode;
	struct dentry *to;
	char *text;
	int n;

	if ((w->how & LOOKUP_NO_LINKS) || (v->ops->follow && (w->how & LOOKUP_NO_MAGIC))) {
		dentry_put(d);
		return -ELOOP;
	}
	if (v->ops->follow) {
		n = w->how & (LOOKUP_BENEATH | LOOKUP_IN_ROOT) ? -EXDEV : v->ops->follow(v, &to);
		if (n == 0) {
			dentry_put(w->at);
			w->at = to;
			n = ++w->links > SYMLINKS_MAX ? -ELOOP : 0;
		}
		dentry_put(d);
		return n;
	}
	text = kmalloc(PATH_LENGTH_MAX);
	n = text ? v->ops->readlink(v, text, PATH_LENGTH_MAX) : -ENOMEM;
	if (n >= 0)
		n = push_link(w, text, (size_t)n, w->trailing);
	kfree(text);
	dentry_put(d);
	if (n > 0) {
		dentry_put(w->at);
		w->at = w->root;
		dentry_get(w->at);
		n = 0;
	}
	w->trailing = false;
	return n;
}

/* The component w->last in w->at, with sleeping. */
static int
walk_slow(struct walk *w)
{
	bool create = !*w->rest && (w->how & LOOKUP_CREATE);
	struct dentry *d;
	int err = dir_lookup(w->at, w->last, w->last_len, create, &d);

	if (err)
		return err;
	if (d->vnode && S_ISLNK(d->vnode->attr.mode) && must_follow(w))
		return follow_slow(w, d);
	dentry_put(w->at);
	w->at = d;
	return 0;
}

int
walk_path(struct walk *w, int dirfd, const char *name, unsigned how)
{
	int r;

	memset(w, 0, sizeof(*w));
	w->rest = name;
	w->how = how;
	w->last_kind = LAST_ROOT;
	if (!*name && !(how & LOOKUP_EMPTY))
		return -ENOENT;
	w->ids = current_ids();
	r = walk_start(w, dirfd);
	if (r)
		return r;
	for (;;) {
		struct dentry *from = w->at;

		ns_read_lock();
		r = walk_run(w);
		if (w->at != from)
			dentry_get(w->at);
		ns_read_unlock();
		if (w->at != from)
			dentry_put(from);
		if (r <= 0)
			return r;
		r = walk_slow(w);
		if (r < 0)
			return r;
		if (!w->at->vnode) /* the missing last name, for LOOKUP_CREATE */
			return 0;
	}
}

void
walk_done(struct walk *w)
{
	dentry_put(w->at);
	dentry_put(w->root);
	kfree(w->links_buf);
	w->at = w->root = NULL;
	w->links_buf = NULL;
}

int
path_lookup(int dirfd, const char *name, unsigned how, struct dentry **out)
{
	struct walk w;
	int err = walk_path(&w, dirfd, name, how);

	if (err == 0) {
		*out = w.at;
		w.at = NULL;
	}
	walk_done(&w);
	return err;
}

int
path_lookup_user(int dirfd, const char __user *name, unsigned how, struct dentry **out)
{
	struct user_path p;
	int err = user_path_get(&p, name);

	if (err)
		return err;
	err = path_lookup(dirfd, p.name, how, out);
	user_path_put(&p);
	return err;
}

/* Most paths are short: those stay on the stack. */
int
user_path_get(struct user_path *p, const char __user *name)
{
	long n = copy_string_from_user(p->small, name, sizeof(p->small));

	p->name = p->small;
	if (n != -ENAMETOOLONG)
		return n < 0 ? (int)n : 0;
	p->name = kmalloc(PATH_LENGTH_MAX);
	if (!p->name)
		return -ENOMEM;
	n = copy_string_from_user(p->name, name, PATH_LENGTH_MAX);
	if (n < 0)
		user_path_put(p);
	return n < 0 ? (int)n : 0;
}

void
user_path_put(struct user_path *p)
{
	if (p->name != p->small)
		kfree(p->name);
	p->name = p->small;
}
