/*
 * Generated files of /proc and /sys: a text made by a function when it is read from the start.
 *
 * The text is kept with the open file, so a reader that takes it in pieces sees one version; a read
 * at position 0 makes it anew. Directories of generated files are ordinary dentries, made once by
 * the registrations; nobody but the kernel changes them.
 *
 * Locks: gen_text.lock (a mutex) around the text, since pread of two threads may meet.
 */
#include <stdarg.h>
#include <asm/errno.h>
#include <linux/stat.h>
#include "file/dentry.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/object.h"
#include "mm/slab.h"

#define FIRST_SIZE 2048u
#define MAX_TEXT   (64u << 20)
#define STORE_MAX  PAGE_SIZE

struct gen_text {
	struct mutex lock;
	struct gen_source *source; /* [I] owned */
	char *buf;		   /* [lock] */
	size_t len, room;	   /* [lock] */
	bool made;		   /* [lock] */
};

struct gen_registered {		  /* the source of procfs_add and sysfs_add */
	struct gen_source source; /* first */
	const struct genfile_ops *ops;
	void *arg;
};

void
gen_printf(char *buf, size_t size, size_t *len, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = *len < size ? format_v(buf + *len, size - *len, fmt, ap) : format_v(NULL, 0, fmt, ap);
	va_end(ap);
	if (n > 0)
		*len += (size_t)n;
}

/* => t->lock held. Shows, with more room until the text fits. Negative results are errors. */
static int
text_make(struct gen_text *t)
{
	for (;;) {
		size_t room, need = 0;
		char *bigger;

		if (t->buf) {
			need = t->source->show(t->source, t->buf, t->room);
			if ((ssize_t)need < 0)
				return (int)(ssize_t)need;
			if (need < t->room) {
				t->len = need;
				t->made = true;
				return 0;
			}
		}
		room = max((size_t)FIRST_SIZE, need + need / 4 + 1);
		if (room > MAX_TEXT)
			return -EFBIG;
		bigger = kmalloc(room);
		if (!bigger)
			return -ENOMEM;
		kfree(t->buf);
		t->buf = bigger;
		t->room = room;
	}
}

static ssize_t
gen_read(struct file *f, struct uio *u, u64 *pos)
{
	struct gen_text *t = f->private;
	ssize_t n = 0;

	mutex_lock(&t->lock);
	if (*pos == 0 || !t->made)
		n = text_make(t);
	if (n == 0 && *pos < t->len) {
		size_t done = uio_copy_out(u, t->buf + *pos, min(u->resid, t->len - *pos));

		n = uio_result(u, done);
		if (n > 0)
			*pos += (u64)n;
	}
	mutex_unlock(&t->lock);
	return n;
}

static ssize_t
gen_write(struct file *f, struct uio *u, u64 *pos)
{
	struct gen_text *t = f->private;
	size_t n = min(u->resid, STORE_MAX - 1), got;
	char *buf;
	ssize_t r;

	if (!t->source->store)
		return -EACCES;
	buf = kmalloc(n + 1);
	if (!buf)
		return -ENOMEM;
	got = uio_copy_in(u, buf, n);
	buf[got] = 0;
	r = uio_result(u, got);
	if (r > 0)
		r = t->source->store(t->source, buf, got);
	if (r > 0)
		*pos += (u64)r;
	kfree(buf);
	return r;
}

static void
gen_release(struct file *f)
{
	struct gen_text *t = f->private;

	if (t->source->destroy)
		t->source->destroy(t->source);
	kfree(t->buf);
	kfree(t);
}

const struct file_ops gen_file_ops = {
	.kind = "generated",
	.persist = &file_reopened,
	.read = gen_read,
	.write = gen_write,
	.release = gen_release,
};

int
gen_open(struct file *f, struct gen_source *s)
{
	struct gen_text *t;

	if (f->writable && !s->store)
		return -EACCES;
	t = kzalloc(sizeof(*t));
	if (!t)
		return -ENOMEM;
	mutex_init(&t->lock, "generated text");
	t->source = s;
	f->ops = &gen_file_ops;
	f->private = t;
	f->mode |= FILE_SEEKABLE;
	return 0;
}

/* --- registered files --- */

static size_t
registered_show(struct gen_source *s, char *buf, size_t size)
{
	struct gen_registered *g = (struct gen_registered *)s;

	return g->ops->show ? g->ops->show(buf, size, g->arg) : 0;
}

static ssize_t
registered_store(struct gen_source *s, const char *buf, size_t n)
{
	struct gen_registered *g = (struct gen_registered *)s;

	return g->ops->store(buf, n, g->arg);
}

static int
registered_open(struct vnode *v, struct file *f)
{
	return gen_open(f, v->private); /* never destroyed: it belongs to the vnode */
}

/* O_TRUNC by a shell's redirection changes nothing. */
static int
registered_setattr(struct vnode *v, const struct attr *a, unsigned which)
{
	return which & ~ATTR_SIZE ? -EPERM : 0;
}

static void
registered_destroy(struct vnode *v)
{
	kfree(v->private);
}

static const struct vnode_ops registered_ops = {
	.open = registered_open,
	.setattr = registered_setattr,
	.destroy = registered_destroy,
};

const struct vnode_ops gen_dir_ops = {
	.getattr = NULL,
};

/* The directory of the last component of `path` below `top`, made where it is missing;
 * referenced. *last points at the last component. */
static int
make_dirs(struct mount *m, const char *path, struct dentry **out, const char **last)
{
	struct dentry *d = m->root;

	dentry_get(d);
	for (;;) {
		const char *slash = strchr(path, '/');
		size_t len = slash ? (size_t)(slash - path) : 0;
		struct dentry *child;

		if (!slash)
			break;
		child = dentry_find(d, path, len);
		if (!child) {
			struct vnode *v =
				vnode_create(m, &gen_dir_ops, &dir_file_ops, S_IFDIR | 0555);
			int err = v ? dentry_add(d, path, len, v, &child) : -ENOMEM;

			if (err) {
				dentry_put(d);
				return err;
			}
		}
		dentry_put(d);
		d = child;
		path = slash + 1;
	}
	*out = d;
	*last = path;
	return 0;
}

int
genfile_add(struct mount *m, const char *path, u32 mode, const struct genfile_ops *ops, void *arg)
{
	struct gen_registered *g;
	struct dentry *dir;
	const char *last;
	struct vnode *v;
	int err = make_dirs(m, path, &dir, &last);

	if (err)
		return err;
	err = -ENOMEM;
	g = kzalloc(sizeof(*g));
	if (!g)
		goto put_dir;
	g->source.show = registered_show;
	g->source.store = ops->store ? registered_store : NULL;
	g->ops = ops;
	g->arg = arg;
	v = vnode_create(m, &registered_ops, &gen_file_ops, S_IFREG | (mode & 0777));
	if (!v) {
		kfree(g);
		goto put_dir;
	}
	v->private = g;
	err = dentry_add(dir, last, strlen(last), v, NULL);
put_dir:
	dentry_put(dir);
	return err;
}

int
genfile_add_link(struct mount *m, const char *path, const char *target)
{
	struct dentry *dir;
	const char *last;
	struct vnode *v;
	char *text;
	int err = make_dirs(m, path, &dir, &last);

	if (err)
		return err;
	err = -ENOMEM;
	text = kstrdup(target);
	v = text ? vnode_create(m, &ram_link_ops, NULL, S_IFLNK | 0777) : NULL;
	if (v) {
		v->private = text;
		v->flags = VNODE_TEXT_LINK;
		v->attr.size = strlen(text);
		err = dentry_add(dir, last, strlen(last), v, NULL);
	} else {
		kfree(text);
	}
	dentry_put(dir);
	return err;
}

int
genfile_add_dir(struct mount *m, const char *path, struct dentry **out)
{
	struct dentry *dir;
	const char *last;
	struct vnode *v;
	int err = make_dirs(m, path, &dir, &last);

	if (err)
		return err;
	*out = dentry_find(dir, last, strlen(last));
	if (!*out) {
		v = vnode_create(m, &gen_dir_ops, &dir_file_ops, S_IFDIR | 0555);
		err = v ? dentry_add(dir, last, strlen(last), v, out) : -ENOMEM;
	}
	dentry_put(dir);
	return err;
}
