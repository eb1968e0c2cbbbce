/*
 * Terminals as files: /dev/console, /dev/tty, the machine's own terminals, /dev/ptmx and /dev/pts/N
 * over dev/tty.h. Each open has a struct tty_file; that of a pseudo terminal's slave holds the
 * pair, whose node in /dev/pts lives as long as its master is open.
 */
#include <asm/errno.h>
#include <asm/fcntl.h>
#include <asm/ioctls.h>
#include <linux/stat.h>

#include "dev/tty.h"
#include "file/dentry.h"
#include "file/fdtable.h"
#include "file/ipc_impl.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/slab.h"

#define PTS_MODE 0620

struct tty_file {
	struct tty_open open;
	struct pty *pty; /* of a slave: with a reference; NULL */
};

static void
table_add(void *arg, struct waitq *q, struct spinlock *l)
{
	poll_add(arg, q, l);
}

/* --- terminals --- */

static ssize_t
ttyfile_read(struct file *f, struct uio *u, u64 *pos)
{
	struct tty_file *t = f->private;

	return tty_read(&t->open, u, file_nonblock(f));
}

static ssize_t
ttyfile_write(struct file *f, struct uio *u, u64 *pos)
{
	struct tty_file *t = f->private;

	return tty_write(&t->open, u, file_nonblock(f));
}

static unsigned
ttyfile_poll(struct file *f, struct poll_table *pt)
{
	struct tty_file *t = f->private;

	return tty_poll(&t->open, table_add, pt);
}

static long
ttyfile_ioctl(struct file *f, unsigned cmd, unsigned long arg)
{
	struct tty_file *t = f->private;

	return tty_ioctl(&t->open, cmd, arg);
}

static void
ttyfile_release(struct file *f)
{
	struct tty_file *t = f->private;

	if (!t)
		return; /* an open that failed */
	tty_close(&t->open);
	if (t->pty)
		pty_put(t->pty);
	kfree(t);
}

/* --- the store --- */

enum { OPEN_TTY = 1, OPEN_GENERATION = 2, OPEN_PTY = 3 };

static void
ttyfile_save(struct persist_writer *w, struct file *f)
{
	struct tty_file *t = f->private;

	tty_save_ref(w, OPEN_TTY, t->open.tty);
	tag_u64(&w->tags, OPEN_GENERATION, t->open.generation);
	persist_ref(w, OPEN_PTY, &pty_persist, t->pty);
}

static u64
ttyfile_version(struct persist_writer *w, u64 h, struct file *f)
{
	struct tty_file *t = f->private;

	h = tty_mix_ref(w, h, t->open.tty);
	h = persist_mix(h, t->open.generation);
	return persist_mix_ref(w, h, &pty_persist, t->pty);
}

static int
ttyfile_link(struct persist_reader *r, const struct tag_reader *in, struct file *f)
{
	struct tty *tty = tty_load_ref(r, in, OPEN_TTY);
	struct tty_file *t;

	if (!tty)
		return -EBADMSG;
	t = kzalloc(sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->pty = persist_get(r, in, OPEN_PTY, &pty_persist);
	if (t->pty)
		pty_get(t->pty);
	tty_open_again(tty, &t->open, (u32)tag_get_u64(in, OPEN_GENERATION, 0));
	f->private = t;
	return 0;
}

static const struct file_persist ttyfile_persist = {
	.number = FILE_TTY,
	.save = ttyfile_save,
	.version = ttyfile_version,
	.link = ttyfile_link,
};

static const struct file_ops tty_file_ops = {
	.kind = "tty",
	.persist = &ttyfile_persist,
	.read = ttyfile_read,
	.write = ttyfile_write,
	.poll = ttyfile_poll,
	.ioctl = ttyfile_ioctl,
	.release = ttyfile_release,
};

/* Makes f an open of t; takes over the reference on pty (NULL: no pseudo terminal). */
static int
open_terminal(struct file *f, struct tty *t, struct pty *pty, bool noctty)
{
	struct tty_file *tf = kzalloc(sizeof(*tf));

	if (!tf) {
		if (pty)
			pty_put(pty);
		return -ENOMEM;
	}
	tf->pty = pty;
	tty_open(t, &tf->open, noctty);
	f->private = tf;
	f->ops = &tty_file_ops;
	return 0;
}

static int
named_open(struct vnode *v, struct file *f)
{
	return open_terminal(f, devfs_arg(v), NULL, (f->flags & O_NOCTTY) != 0);
}

/* /dev/console never becomes a controlling terminal by being opened, as on Linux. */
static int
console_open(struct vnode *v, struct file *f)
{
	struct tty *t = tty_console();

	return t ? open_terminal(f, t, NULL, true) : -ENODEV;
}

static int
controlling_open(struct vnode *v, struct file *f)
{
	struct tty *t = tty_controlling();
	struct pty *pty = NULL;
	int err;

	if (!t)
		return -ENXIO;
	/* A pseudo terminal has to be held like any other open of its slave. */
	if (tty_pty_index(t) >= 0) {
		err = pty_find(tty_pty_index(t), &pty);
		if (err)
			return err;
	}
	return open_terminal(f, t, pty, true);
}

/* --- pseudo terminals --- */

static int
pts_open_index(struct file *f, int index, bool noctty)
{
	struct pty *p;
	int err = pty_find(index, &p);

	return err ? err : open_terminal(f, pty_slave(p), p, noctty);
}

static int
pts_open(struct vnode *v, struct file *f)
{
	return pts_open_index(f, (long)devfs_arg(v), (f->flags & O_NOCTTY) != 0);
}

static ssize_t
master_read(struct file *f, struct uio *u, u64 *pos)
{
	return pty_master_read(f->private, u, file_nonblock(f));
}

static ssize_t
master_write(struct file *f, struct uio *u, u64 *pos)
{
	return pty_master_write(f->private, u, file_nonblock(f));
}

static unsigned
master_poll(struct file *f, struct poll_table *pt)
{
	return pty_master_poll(f->private, table_add, pt);
}

static void
pts_name(char *buf, size_t size, int index)
{
	format(buf, size, "pts/%d", index);
}

/* The slave's node as the file's name, as if it had been opened by it. */
static void
give_name(struct file *f, int index)
{
	char name[16];
	struct dentry *d;

	pts_name(name, sizeof(name), index);
	d = dentry_find(vfs_get()->pts->root, name + 4, strlen(name + 4));
	if (!d)
		return;
	f->dentry = d;
	f->vnode = d->vnode;
	vnode_get(f->vnode);
}

/* TIOCGPTPEER: a descriptor of the slave without a walk by name, nor its permissions. */
static long
open_peer(struct pty *p, unsigned long flags)
{
	struct file *f;
	long r;

	if (flags & ~(unsigned long)(O_ACCMODE | O_NOCTTY | O_CLOEXEC | O_NONBLOCK))
		return -EINVAL;
	f = file_create(&tty_file_ops, flags & (O_ACCMODE | O_NONBLOCK), NULL);
	if (!f)
		return -ENOMEM;
	r = pts_open_index(f, pty_index(p), (flags & O_NOCTTY) != 0);
	if (r) {
		file_put(f);
		return r;
	}
	give_name(f, pty_index(p));
	r = fd_install(f, 0, (flags & O_CLOEXEC) != 0);
	if (r < 0)
		file_put(f);
	return r;
}

static long
master_ioctl(struct file *f, unsigned cmd, unsigned long arg)
{
	return cmd == TIOCGPTPEER ? open_peer(f->private, arg)
				  : pty_master_ioctl(f->private, cmd, arg);
}

static void
master_release(struct file *f)
{
	struct pty *p = f->private;
	char name[16];

	pts_name(name, sizeof(name), pty_index(p));
	devfs_remove(name);
	pty_master_close(p);
}

enum { MASTER_PTY = 1 };

static void
master_save(struct persist_writer *w, struct file *f)
{
	persist_ref(w, MASTER_PTY, &pty_persist, f->private);
}

static u64
master_version(struct persist_writer *w, u64 h, struct file *f)
{
	return persist_mix_ref(w, h, &pty_persist, f->private);
}

/* The node in /dev/pts. */
static int
add_node(struct pty *p)
{
	long index = pty_index(p);
	char name[16];

	pts_name(name, sizeof(name), pty_index(p));
	return devfs_add(name, S_IFCHR | PTS_MODE, 136 + index / 256, index % 256, pts_open,
			 (void *)index);
}

static int
master_link(struct persist_reader *r, const struct tag_reader *in, struct file *f)
{
	struct pty *p = persist_get(r, in, MASTER_PTY, &pty_persist);
	int err = p ? add_node(p) : -EBADMSG;

	if (err)
		return err;
	pty_get(p);
	f->private = p;
	return 0;
}

static const struct file_persist master_persist = {
	.number = FILE_PTMX,
	.save = master_save,
	.version = master_version,
	.link = master_link,
};

static const struct file_ops pty_master_ops = {
	.kind = "ptmx",
	.persist = &master_persist,
	.read = master_read,
	.write = master_write,
	.poll = master_poll,
	.ioctl = master_ioctl,
	.release = master_release,
};

static int
ptmx_open(struct vnode *v, struct file *f)
{
	struct pty *p;
	int err = pty_create(&p);

	if (err)
		return err;
	err = add_node(p);
	if (err) {
		pty_master_close(p);
		return err;
	}
	f->private = p;
	f->ops = &pty_master_ops;
	return 0;
}

/* --- start --- */

struct add_result {
	int err;
};

static void
add_terminal(struct tty *t, void *arg)
{
	struct add_result *r = arg;
	unsigned number = tty_device_number(t);

	if (!r->err)
		r->err = devfs_add(tty_name(t), S_IFCHR | 0660, number >> 8, number & 0xff,
				   named_open, t);
}

int
tty_files_init(void)
{
	struct add_result r = {0};

	file_persist_register(&tty_file_ops);
	file_persist_register(&pty_master_ops);
	tty_for_each(add_terminal, &r);
	if (!r.err)
		r.err = devfs_add("tty", S_IFCHR | 0666, 5, 0, controlling_open, NULL);
	if (!r.err)
		r.err = devfs_add("console", S_IFCHR | 0600, 5, 1, console_open, NULL);
	if (!r.err)
		r.err = devfs_add("ptmx", S_IFCHR | 0666, 5, 2, ptmx_open, NULL);
	return r.err;
}
