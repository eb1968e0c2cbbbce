/*
 * /proc: the root, whose processes are answered on look-up, and the directory of a process.
 *
 * Registered files and the links self and thread-self are ordinary dentries of the mount. A
 * process's directories and files are made on each look-up (struct proc_node at vnode->private
 * says which process and what) and go with their last user; their texts come from proc/ through
 * procfs_process_ops. fd/N and fdinfo/N look into the process's descriptor table.
 *
 * No locks of its own: what a node names may be gone, then the answer is ENOENT or ESRCH.
 */
#include <asm/errno.h>
#include <linux/stat.h>
#include "file/dentry.h"
#include "file/fdtable.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/slab.h"

enum node_kind {
	NODE_PID,
	NODE_TASKS,
	NODE_FDS,
	NODE_FDINFOS,
	NODE_TEXT,
	NODE_LINK,
	NODE_FD,
	NODE_FDINFO,
	NODE_MOUNTS
};

struct proc_node {
	enum node_kind kind;
	int pid, tid; /* tid 0: the process's directory */
	int fd;
	const char *what; /* constant */
};

struct entry {
	const char *name;
	u32 mode;
	enum node_kind kind;
};

static const struct entry process_entries[] = {
	{"task", S_IFDIR | 0555, NODE_TASKS},	     {"fd", S_IFDIR | 0500, NODE_FDS},
	{"fdinfo", S_IFDIR | 0555, NODE_FDINFOS},    {"exe", S_IFLNK | 0777, NODE_LINK},
	{"cwd", S_IFLNK | 0777, NODE_LINK},	     {"root", S_IFLNK | 0777, NODE_LINK},
	{"mounts", S_IFREG | 0444, NODE_MOUNTS},     {"mountinfo", S_IFREG | 0444, NODE_MOUNTS},
	{"stat", S_IFREG | 0444, NODE_TEXT},	     {"status", S_IFREG | 0444, NODE_TEXT},
	{"statm", S_IFREG | 0444, NODE_TEXT},	     {"cmdline", S_IFREG | 0444, NODE_TEXT},
	{"comm", S_IFREG | 0644, NODE_TEXT},	     {"maps", S_IFREG | 0444, NODE_TEXT},
	{"clear_refs", S_IFREG | 0200, NODE_TEXT},   {"smaps", S_IFREG | 0444, NODE_TEXT},
	{"smaps_rollup", S_IFREG | 0444, NODE_TEXT}, {"environ", S_IFREG | 0400, NODE_TEXT},
	{"auxv", S_IFREG | 0400, NODE_TEXT},	     {"limits", S_IFREG | 0444, NODE_TEXT},
	{"io", S_IFREG | 0400, NODE_TEXT},	     {"cgroup", S_IFREG | 0444, NODE_TEXT},
	{"oom_score", S_IFREG | 0444, NODE_TEXT},    {"oom_score_adj", S_IFREG | 0644, NODE_TEXT},
	{"wchan", S_IFREG | 0444, NODE_TEXT},	     {"personality", S_IFREG | 0400, NODE_TEXT},
};

static const struct procfs_process_ops *
process_ops(void)
{
	return vfs_get()->process_ops;
}

/* Texts that only who may look into the process gets, whatever their mode says. */
static bool
is_secret(const char *what)
{
	static const char *const secret[] = {"maps", "smaps", "smaps_rollup", "environ",
					     "auxv", "io",    "personality"};

	for (unsigned i = 0; i < ARRAY_SIZE(secret); i++)
		if (strcmp(what, secret[i]) == 0)
			return true;
	return false;
}

static const struct vnode_ops pid_dir_ops, tasks_ops, fds_ops, text_ops, link_ops, fd_link_ops;
static const struct file_ops pid_dir_file_ops, tasks_file_ops, fds_file_ops, root_file_ops;

/* The same for every look-up of the same thing. */
static u64
node_ino(const struct proc_node *n, unsigned index)
{
	return 1ul << 40 | (u64)(n->tid ? n->tid : n->pid) << 24 | (u64)n->kind << 20 |
	       (u64)(n->tid != 0) << 19 | ((u64)(n->fd + index) & 0x7ffff);
}

static int
node_fill(struct dentry *d, const struct proc_node *from, u32 mode, unsigned index)
{
	static const struct {
		const struct vnode_ops *ops;
		const struct file_ops *file;
	} kinds[] = {
		[NODE_PID] = {&pid_dir_ops, &pid_dir_file_ops},
		[NODE_TASKS] = {&tasks_ops, &tasks_file_ops},
		[NODE_FDS] = {&fds_ops, &fds_file_ops},
		[NODE_FDINFOS] = {&fds_ops, &fds_file_ops},
		[NODE_TEXT] = {&text_ops, &gen_file_ops},
		[NODE_LINK] = {&link_ops, NULL},
		[NODE_FD] = {&fd_link_ops, NULL},
		[NODE_FDINFO] = {&text_ops, &gen_file_ops},
		[NODE_MOUNTS] = {&text_ops, &gen_file_ops},
	};
	struct proc_node *n = kmalloc(sizeof(*n));
	struct vnode *v;

	if (!n)
		return -ENOMEM;
	*n = *from;
	v = vnode_create(vfs_get()->proc, kinds[n->kind].ops, kinds[n->kind].file, mode);
	if (!v) {
		kfree(n);
		return -ENOMEM;
	}
	v->private = n;
	v->attr.ino = node_ino(n, index);
	if (!process_ops()->owner(n->pid, &v->attr.uid, &v->attr.gid) && mode != (S_IFDIR | 0555))
		v->attr.uid = v->attr.gid = 0;
	v->attr.blksize = 1024;
	d->vnode = v;
	return 0;
}

static void
node_destroy(struct vnode *v)
{
	kfree(v->private);
}

/* A decimal number without a sign or leading zeros; -1 when it is none. */
static int
number(const char *s, size_t len)
{
	s64 v = 0;

	if (len == 0 || len > 10 || (s[0] == '0' && len > 1))
		return -1;
	for (size_t i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -1;
		v = v * 10 + (s[i] - '0');
	}
	return v > INT32_MAX ? -1 : (int)v;
}

static bool
emit_number(struct dir_sink *s, int n, u64 ino, unsigned type, u64 next)
{
	char name[16];
	int len = format(name, sizeof(name), "%d", n);

	return s->emit(s, name, (size_t)len, ino, type, next);
}

/* "." and ".." of directories that are not in the tree. */
static bool
emit_dots(struct file *f, struct dir_sink *s)
{
	static const char dots[] = "..";

	while (f->pos < 2) {
		struct dentry *d = f->pos == 0 ? f->dentry : f->dentry->parent;

		if (!s->emit(s, dots, f->pos + 1, d->vnode->attr.ino, 4, f->pos + 1))
			return false;
		f->pos++;
	}
	return true;
}

/* --- the root: registered files, then processes --- */

#define ROOT_PIDS (1ul << 32)

static int
root_lookup(struct vnode *dir, struct dentry *d)
{
	const struct procfs_process_ops *ops = process_ops();
	struct proc_node n = {.kind = NODE_PID, .pid = number(d->name, d->len)};

	if (n.pid <= 0 || !ops || !ops->exists(n.pid))
		return -ENOENT;
	return node_fill(d, &n, S_IFDIR | 0555, 0);
}

const struct vnode_ops proc_root_ops = {
	.lookup = root_lookup,
};

static int
root_readdir(struct file *f, struct dir_sink *s)
{
	const struct procfs_process_ops *ops = process_ops();
	struct proc_node n = {.kind = NODE_PID};
	u64 before;
	int pid;

	if (f->pos < ROOT_PIDS) {
		before = f->pos;
		dir_file_ops.readdir(f, s);
		/* Nothing more was taken: either the list is over or the buffer full. */
		if (f->pos != before && f->dentry->dir && f->pos < f->dentry->dir->next_seq)
			return 0;
		f->pos = ROOT_PIDS;
	}
	if (!ops)
		return 0;
	for (pid = ops->next_pid((int)(f->pos - ROOT_PIDS)); pid > 0; pid = ops->next_pid(pid)) {
		n.pid = pid;
		if (!emit_number(s, pid, node_ino(&n, 0), 4, ROOT_PIDS + (u64)pid))
			break;
		f->pos = ROOT_PIDS + (u64)pid;
	}
	return 0;
}

static const struct file_ops root_file_ops = {
	.kind = "directory",
	.persist = &file_reopened,
	.readdir = root_readdir,
};

/* --- a process --- */

static int
pid_lookup(struct vnode *dir, struct dentry *d)
{
	struct proc_node n = *(struct proc_node *)dir->private;

	if (!process_ops()->exists(n.pid))
		return -ENOENT;
	for (unsigned i = 0; i < ARRAY_SIZE(process_entries); i++) {
		const struct entry *e = &process_entries[i];

		if (strlen(e->name) != d->len || memcmp(e->name, d->name, d->len) != 0)
			continue;
		if (n.tid && e->kind == NODE_TASKS)
			return -ENOENT;
		n.kind = e->kind;
		n.what = e->name;
		return node_fill(d, &n, e->mode, i);
	}
	return -ENOENT;
}

static const struct vnode_ops pid_dir_ops = {
	.lookup = pid_lookup,
	.destroy = node_destroy,
};

static int
pid_readdir(struct file *f, struct dir_sink *s)
{
	struct proc_node n = *(struct proc_node *)f->vnode->private;

	if (!process_ops()->exists(n.pid))
		return -ENOENT;
	if (!emit_dots(f, s))
		return 0;
	for (; f->pos - 2 < ARRAY_SIZE(process_entries); f->pos++) {
		const struct entry *e = &process_entries[f->pos - 2];

		if (n.tid && e->kind == NODE_TASKS)
			continue;
		n.kind = e->kind;
		if (!s->emit(s, e->name, strlen(e->name), node_ino(&n, (unsigned)f->pos - 2),
			     e->mode >> 12, f->pos + 1))
			break;
	}
	return 0;
}

static const struct file_ops pid_dir_file_ops = {
	.kind = "directory",
	.persist = &file_reopened,
	.readdir = pid_readdir,
};

int
procfs_pid_of(const struct file *f)
{
	const struct proc_node *n = f->ops == &pid_dir_file_ops ? f->vnode->private : NULL;

	return n && !n->tid ? n->pid : 0;
}

/* --- task/ --- */

static int
tasks_lookup(struct vnode *dir, struct dentry *d)
{
	struct proc_node n = *(struct proc_node *)dir->private;
	int tid = number(d->name, d->len);

	if (tid <= 0 || process_ops()->next_tid(n.pid, tid - 1) != tid)
		return -ENOENT;
	n.kind = NODE_PID;
	n.tid = tid;
	return node_fill(d, &n, S_IFDIR | 0555, 0);
}

static int
tasks_getattr(struct vnode *v, struct attr *a)
{
	const struct proc_node *n = v->private;

	*a = v->attr;
	a->nlink += process_ops()->threads(n->pid);
	return 0;
}

static const struct vnode_ops tasks_ops = {
	.getattr = tasks_getattr,
	.lookup = tasks_lookup,
	.destroy = node_destroy,
};

static int
tasks_readdir(struct file *f, struct dir_sink *s)
{
	struct proc_node n = *(struct proc_node *)f->vnode->private;
	int tid;

	if (!emit_dots(f, s))
		return 0;
	n.kind = NODE_PID;
	for (tid = process_ops()->next_tid(n.pid, (int)f->pos - 2); tid > 0;
	     tid = process_ops()->next_tid(n.pid, tid)) {
		n.tid = tid;
		if (!emit_number(s, tid, node_ino(&n, 0), 4, (u64)tid + 2))
			break;
		f->pos = (u64)tid + 2;
	}
	return 0;
}

static const struct file_ops tasks_file_ops = {
	.kind = "directory",
	.persist = &file_reopened,
	.readdir = tasks_readdir,
};

/* --- fd/ and fdinfo/ --- */

static bool
may_look(const struct vnode *v)
{
	return process_ops()->may_look(((const struct proc_node *)v->private)->pid);
}

static struct file *
node_file(const struct proc_node *n)
{
	struct fdtable *t = process_ops()->fdtable(n->pid);
	struct file *f = t ? fdtable_file(t, n->fd) : NULL;

	if (t)
		fdtable_put(t);
	return f;
}

static int
fds_lookup(struct vnode *dir, struct dentry *d)
{
	struct proc_node n = *(struct proc_node *)dir->private;
	u32 mode = S_IFREG | 0444;
	struct file *f;

	n.fd = number(d->name, d->len);
	f = n.fd >= 0 ? node_file(&n) : NULL;
	if (!f)
		return -ENOENT;
	n.kind = n.kind == NODE_FDS ? NODE_FD : NODE_FDINFO;
	if (n.kind == NODE_FD)
		mode = S_IFLNK | (f->readable ? 0500 : 0) | (f->writable ? 0300 : 0);
	file_put(f);
	return node_fill(d, &n, mode, 0);
}

static const struct vnode_ops fds_ops = {
	.lookup = fds_lookup,
	.destroy = node_destroy,
};

static int
fds_readdir(struct file *f, struct dir_sink *s)
{
	struct proc_node n = *(struct proc_node *)f->vnode->private;
	unsigned type = n.kind == NODE_FDS ? 10 : 8;
	struct fdtable *t;
	struct file *o;

	if (!emit_dots(f, s))
		return 0;
	t = process_ops()->fdtable(n.pid);
	if (!t)
		return -ENOENT;
	n.kind = n.kind == NODE_FDS ? NODE_FD : NODE_FDINFO;
	for (n.fd = (int)f->pos - 2; (n.fd = fdtable_next(t, n.fd, &o)) >= 0; n.fd++) {
		file_put(o);
		if (!emit_number(s, n.fd, node_ino(&n, 0), type, (u64)n.fd + 3))
			break;
		f->pos = (u64)n.fd + 3;
	}
	fdtable_put(t);
	return 0;
}

static const struct file_ops fds_file_ops = {
	.kind = "directory",
	.persist = &file_reopened,
	.readdir = fds_readdir,
};

static int
fd_readlink(struct vnode *v, char *buf, size_t size)
{
	struct file *f = may_look(v) ? node_file(v->private) : NULL;
	int n;

	if (!f)
		return may_look(v) ? -ENOENT : -EACCES;
	if (f->dentry)
		n = dentry_path(f->dentry, buf, size);
	else if (f->ops->name)
		n = (int)f->ops->name(f, buf, size);
	else
		n = format(buf, size, "%s:[%lu]", f->ops->kind, f->ino);
	file_put(f);
	return n;
}

static int
fd_follow(struct vnode *v, struct dentry **out)
{
	struct file *f = may_look(v) ? node_file(v->private) : NULL;
	int err = 0;

	if (!f)
		return may_look(v) ? -ENOENT : -EACCES;
	if (f->dentry) {
		*out = f->dentry;
		dentry_get(*out);
	} else {
		err = anon_dentry(f, out);
	}
	file_put(f);
	return err;
}

static const struct vnode_ops fd_link_ops = {
	.readlink = fd_readlink,
	.follow = fd_follow,
	.destroy = node_destroy,
};

/* --- exe, cwd, root --- */

static int
link_follow(struct vnode *v, struct dentry **out)
{
	struct proc_node *n = v->private;

	return may_look(v) ? process_ops()->link(n->pid, n->what, out) : -EACCES;
}

static int
link_readlink(struct vnode *v, char *buf, size_t size)
{
	struct dentry *d;
	int n = link_follow(v, &d);

	if (n)
		return n;
	n = dentry_path(d, buf, size);
	dentry_put(d);
	return n;
}

static const struct vnode_ops link_ops = {
	.readlink = link_readlink,
	.follow = link_follow,
	.destroy = node_destroy,
};

/* --- texts --- */

struct text_source {
	struct gen_source source; /* first */
	struct proc_node node;
};

static size_t
fdinfo_show(const struct proc_node *n, char *buf, size_t size)
{
	struct file *f = node_file(n);
	size_t len = 0;

	if (!f)
		return (size_t)-ENOENT;
	gen_printf(buf, size, &len, "pos:\t%lu\nflags:\t0%o\nmnt_id:\t%lu\nino:\t%lu\n", f->pos,
		   f->flags, (f->vnode ? f->vnode->mount->dev : vfs_get()->hidden->dev) + 20,
		   f->vnode ? f->vnode->attr.ino : f->ino);
	if (f->ops->fdinfo && len < size)
		len += f->ops->fdinfo(f, buf + len, size - len);
	file_put(f);
	return len;
}

static size_t
text_show(struct gen_source *s, char *buf, size_t size)
{
	struct proc_node *n = &((struct text_source *)s)->node;

	if (n->kind == NODE_FDINFO)
		return fdinfo_show(n, buf, size);
	if (n->kind == NODE_MOUNTS)
		return mounts_show(buf, size, strcmp(n->what, "mountinfo") == 0 ? n : NULL);
	return (size_t)process_ops()->show(n->pid, n->tid, n->what, buf, size);
}

static ssize_t
text_store(struct gen_source *s, const char *buf, size_t len)
{
	struct proc_node *n = &((struct text_source *)s)->node;

	return process_ops()->store(n->pid, n->tid, n->what, buf, len);
}

static void
text_destroy(struct gen_source *s)
{
	kfree(s);
}

static int
text_open(struct vnode *v, struct file *f)
{
	struct proc_node *n = v->private;
	struct text_source *s;
	int err;

	if (!process_ops()->exists(n->pid))
		return -ESRCH;
	if (n->kind == NODE_TEXT && is_secret(n->what) && !may_look(v))
		return -EACCES;
	s = kzalloc(sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->node = *n;
	s->source.show = text_show;
	s->source.destroy = text_destroy;
	if (n->kind == NODE_TEXT && process_ops()->store && (v->attr.mode & 0222))
		s->source.store = text_store;
	err = gen_open(f, &s->source);
	if (err)
		kfree(s);
	return err;
}

static const struct vnode_ops text_ops = {
	.open = text_open,
	.destroy = node_destroy,
};

/* --- registration --- */

void
procfs_set_process_ops(const struct procfs_process_ops *ops)
{
	struct vfs *vfs = vfs_prepare();

	if (vfs)
		vfs->process_ops = ops;
}

int
procfs_add(const char *path, u32 mode, const struct genfile_ops *ops, void *arg)
{
	struct vfs *vfs = vfs_prepare();

	return vfs ? genfile_add(vfs->proc, path, mode, ops, arg) : -ENOMEM;
}

int
procfs_add_link(const char *path, const char *target)
{
	struct vfs *vfs = vfs_prepare();

	return vfs ? genfile_add_link(vfs->proc, path, target) : -ENOMEM;
}

static int
self_readlink(struct vnode *v, char *buf, size_t size)
{
	const struct procfs_process_ops *ops = process_ops();

	if (!ops || ops->self() <= 0)
		return -ENOENT;
	if (v->private)
		return format(buf, size, "%d/task/%d", ops->self(), ops->self_tid());
	return format(buf, size, "%d", ops->self());
}

static const struct vnode_ops self_ops = {
	.readlink = self_readlink,
};

static int
add_self(const char *name, bool thread)
{
	struct mount *m = vfs_get()->proc;
	struct vnode *v = vnode_create(m, &self_ops, NULL, S_IFLNK | 0777);

	if (!v)
		return -ENOMEM;
	v->private = thread ? m : NULL;
	return dentry_add(m->root, name, strlen(name), v, NULL);
}

int
procfs_populate(void)
{
	int err = add_self("self", false);

	vfs_get()->proc->root->vnode->file_ops = &root_file_ops;
	if (err == 0)
		err = add_self("thread-self", true);
	if (err == 0)
		err = procinfo_register();
	if (err == 0)
		err = proctunables_register();
	if (err == 0)
		err = sysrq_register();
	return err;
}
