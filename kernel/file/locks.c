/*
 * Advisory locks: fcntl's record locks (owned by a process, that is by its descriptor table), open
 * file description locks and flock (owned by the open file).
 *
 * A vnode's `locks` is made at its first lock and stays until the vnode goes. The ranges of one
 * owner never overlap and neighbours of one type are joined. All lists are guarded by one lock of
 * the machine (vfs->locks_lock): record locks are rare. Waiters sleep on the vnode's queue and try
 * again. Left out: EDEADLK; two processes that wait for each other wait until a signal.
 */
#include <asm/errno.h>
#include <asm/fcntl.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include "file/dentry.h"
#include "file/fdtable.h"
#include "file/persist.h"
#include "lib/assert.h"
#include "mm/slab.h"
#include "mm/user.h"

struct range {
	struct list link;
	u64 start, end; /* inclusive */
	int type;	/* F_RDLCK, F_WRLCK */
	void *owner;	/* struct file if `flock` or by_file, else struct fdtable */
	bool by_file;
	int pid;
	bool flock;
};

struct vnode_locks {
	struct list ranges; /* by start for each owner */
	struct waitq wait;
};

static struct spinlock *
the_lock(void)
{
	return &vfs_get()->locks_lock;
}

static struct vnode_locks *
locks_of(struct vnode *v)
{
	struct vnode_locks *l = atomic_load(&v->locks);

	if (l)
		return l;
	l = kzalloc(sizeof(*l));
	if (!l)
		return NULL;
	list_init(&l->ranges);
	waitq_init(&l->wait);
	if (!atomic_cas(&v->locks, NULL, l)) {
		kfree(l);
		l = atomic_load(&v->locks);
	}
	return l;
}

void
locks_destroy(struct vnode *v)
{
	struct vnode_locks *l = v->locks;

	assert(list_empty(&l->ranges));
	kfree(l);
}

/* => lock held. The first lock of someone else in the way of r. */
static struct range *
conflict(struct vnode_locks *l, const struct range *r)
{
	struct range *o;

	list_for_each_entry (o, &l->ranges, link) {
		if (o->flock != r->flock || o->owner == r->owner)
			continue;
		if (o->end < r->start || o->start > r->end)
			continue;
		if (o->type == F_WRLCK || r->type == F_WRLCK)
			return o;
	}
	return NULL;
}

/* => lock held. Takes [start, end] away from owner's locks; *spare is used when one splits. */
static void
cut(struct vnode_locks *l, const struct range *r, struct range **spare)
{
	struct range *o, *tmp;

	list_for_each_entry_safe (o, tmp, &l->ranges, link) {
		if (o->flock != r->flock || o->owner != r->owner || o->end < r->start ||
		    o->start > r->end)
			continue;
		if (o->start < r->start && o->end > r->end) {
			struct range *tail = *spare; /* once: an owner's ranges do not overlap */

			*spare = NULL;
			*tail = *o;
			tail->start = r->end + 1;
			o->end = r->start - 1;
			list_init(&tail->link);
			list_add(&o->link, &tail->link);
		} else if (o->start < r->start) {
			o->end = r->start - 1;
		} else if (o->end > r->end) {
			o->start = r->end + 1;
		} else {
			list_del(&o->link);
			kfree(o);
		}
	}
}

/* => lock held. Puts r in, swallowing neighbours of the same owner and type. */
static void
join(struct vnode_locks *l, struct range *r)
{
	struct range *o, *tmp;

	list_for_each_entry_safe (o, tmp, &l->ranges, link) {
		if (o->flock != r->flock || o->owner != r->owner || o->type != r->type)
			continue;
		if (o->end + 1 == r->start || (r->end != INT64_MAX && r->end + 1 == o->start)) {
			r->start = min(r->start, o->start);
			r->end = max(r->end, o->end);
			list_del(&o->link);
			kfree(o);
		}
	}
	list_add_tail(&l->ranges, &r->link);
}

/* Sets or clears r->type over its range. wait: sleeps while others are in the way. */
static int
set_lock(struct vnode *v, const struct range *want, bool wait)
{
	struct vnode_locks *l = locks_of(v);
	struct range *r = kzalloc(sizeof(*r)), *spare = kzalloc(sizeof(*spare));
	int err = l && r && spare ? 0 : -ENOLCK;

	if (err)
		goto out;
	spin_lock(the_lock());
	while (want->type != F_UNLCK && conflict(l, want)) {
		err = wait ? waitq_sleep(&l->wait, the_lock(), NS_FOREVER, WAIT_INTERRUPTIBLE)
			   : -EAGAIN;
		if (err)
			break;
	}
	if (err == 0) {
		cut(l, want, &spare);
		if (want->type != F_UNLCK) {
			*r = *want;
			join(l, r);
			r = NULL;
		}
		vnode_touch(v);
		waitq_wake_all(&l->wait);
	}
	spin_unlock(the_lock());
out:
	kfree(r);
	kfree(spare);
	return err;
}

/* flock's base and length as an inclusive range. */
static int
to_range(struct file *f, const struct flock *fl, struct range *r)
{
	struct attr a;
	s64 start = fl->l_start, end;
	int err;

	if (fl->l_whence == SEEK_CUR) {
		start += (s64)f->pos;
	} else if (fl->l_whence == SEEK_END) {
		err = file_getattr(f, &a);
		if (err)
			return err;
		start += (s64)a.size;
	} else if (fl->l_whence != SEEK_SET) {
		return -EINVAL;
	}
	end = INT64_MAX;
	if (fl->l_len > 0 && __builtin_add_overflow(start, fl->l_len - 1, &end))
		return -EOVERFLOW;
	if (fl->l_len < 0) {
		end = start - 1;
		start += fl->l_len;
	}
	if (start < 0 || end < start)
		return -EINVAL;
	r->start = (u64)start;
	r->end = (u64)end;
	return 0;
}

static int
get_lock(struct vnode *v, const struct range *want, struct flock *fl)
{
	struct vnode_locks *l = locks_of(v);
	struct range *o;

	if (!l)
		return -ENOLCK;
	spin_lock(the_lock());
	o = conflict(l, want);
	fl->l_type = F_UNLCK;
	if (o) {
		fl->l_type = (short)o->type;
		fl->l_whence = SEEK_SET;
		fl->l_start = (s64)o->start;
		fl->l_len = o->end == INT64_MAX ? 0 : (s64)(o->end - o->start + 1);
		fl->l_pid = o->pid;
	}
	spin_unlock(the_lock());
	return 0;
}

long
locks_fcntl(struct file *f, unsigned cmd, unsigned long arg)
{
	bool ofd = cmd == F_OFD_SETLK || cmd == F_OFD_SETLKW || cmd == F_OFD_GETLK;
	const struct fd_ops *fd_ops = vfs_get()->fd_ops;
	const struct procfs_process_ops *pops = vfs_get()->process_ops;
	struct range r = {.owner = f, .by_file = ofd, .pid = -1};
	struct flock fl;
	int err;

	if (copy_from_user(&fl, (void __user *)arg, sizeof(fl)))
		return -EFAULT;
	if (!f->vnode || (ofd && fl.l_pid != 0))
		return -EINVAL;
	if (fl.l_type != F_RDLCK && fl.l_type != F_WRLCK && fl.l_type != F_UNLCK)
		return -EINVAL;
	err = to_range(f, &fl, &r);
	if (err)
		return err;
	r.type = fl.l_type;
	if (!ofd) {
		r.owner = fd_ops->current_table();
		r.pid = pops ? pops->self() : 0;
	}
	if (cmd == F_GETLK || cmd == F_OFD_GETLK) {
		err = r.type == F_UNLCK ? -EINVAL : get_lock(f->vnode, &r, &fl);
		return err ? err : copy_to_user((void __user *)arg, &fl, sizeof(fl));
	}
	if ((r.type == F_RDLCK && !f->readable) || (r.type == F_WRLCK && !f->writable))
		return -EBADF;
	return set_lock(f->vnode, &r, cmd == F_SETLKW || cmd == F_OFD_SETLKW);
}

int
locks_flock(struct file *f, int op)
{
	struct range r = {.end = INT64_MAX, .owner = f, .by_file = true, .flock = true, .pid = -1};

	switch (op & ~LOCK_NB) {
	case LOCK_SH:
		r.type = F_RDLCK;
		break;
	case LOCK_EX:
		r.type = F_WRLCK;
		break;
	case LOCK_UN:
		r.type = F_UNLCK;
		break;
	default:
		return -EINVAL;
	}
	return set_lock(f->vnode, &r, !(op & LOCK_NB));
}

static void
release_owner(struct vnode_locks *l, void *owner)
{
	struct range *o, *tmp;
	bool any = false;

	spin_lock(the_lock());
	list_for_each_entry_safe (o, tmp, &l->ranges, link) {
		if (o->owner == owner) {
			list_del(&o->link);
			kfree(o);
			any = true;
		}
	}
	if (any)
		waitq_wake_all(&l->wait);
	spin_unlock(the_lock());
}

void
locks_release_file(struct file *f)
{
	release_owner(f->vnode->locks, f);
}

void
locks_release_owner(struct file *f, void *owner)
{
	release_owner(f->vnode->locks, owner);
}

/* --- the store: fields of the vnode's record; whoever waits asks again --- */

enum {
	LOCK_START = 1,
	LOCK_END = 2,
	LOCK_TYPE = 3,
	LOCK_PID = 4,
	LOCK_FLOCK = 5,
	LOCK_FILE = 6,
	LOCK_TABLE = 7,
};

bool
locks_any(const struct vnode *v)
{
	const struct vnode_locks *l = v->locks;

	return l && !list_empty(&l->ranges);
}

void
locks_save(struct persist_writer *w, u16 tag, struct vnode *v)
{
	struct vnode_locks *l = v->locks;
	struct range *o;

	if (!l)
		return;
	list_for_each_entry (o, &l->ranges, link) {
		size_t group = tag_begin(&w->tags, tag);

		tag_u64(&w->tags, LOCK_START, o->start);
		tag_u64(&w->tags, LOCK_END, o->end);
		tag_u64(&w->tags, LOCK_TYPE, (u64)o->type);
		tag_u64(&w->tags, LOCK_PID, (u64)(s64)o->pid);
		tag_u64(&w->tags, LOCK_FLOCK, o->flock);
		if (o->by_file)
			persist_ref(w, LOCK_FILE, &file_persist, o->owner);
		else
			persist_ref(w, LOCK_TABLE, &fdtable_persist, o->owner);
		tag_end(&w->tags, group);
	}
}

static int
lock_load(struct persist_reader *r, const struct tag_reader *in, struct vnode_locks *l)
{
	struct range *o = kzalloc(sizeof(*o));

	if (!o)
		return -ENOMEM;
	o->start = tag_get_u64(in, LOCK_START, 0);
	o->end = tag_get_u64(in, LOCK_END, INT64_MAX);
	o->type = (int)tag_get_u64(in, LOCK_TYPE, F_RDLCK);
	o->pid = (int)tag_get_u64(in, LOCK_PID, 0);
	o->flock = tag_get_u64(in, LOCK_FLOCK, 0) != 0;
	o->owner = persist_get(r, in, LOCK_FILE, &file_persist);
	o->by_file = o->owner != NULL;
	if (!o->owner)
		o->owner = persist_get(r, in, LOCK_TABLE, &fdtable_persist);
	if (!o->owner || o->end < o->start || (o->type != F_RDLCK && o->type != F_WRLCK)) {
		bool owned = o->owner != NULL;

		kfree(o);
		return owned ? -EBADMSG : 0; /* else of a process that is forgotten */
	}
	list_add_tail(&l->ranges, &o->link);
	return 0;
}

int
locks_load(struct persist_reader *r, u16 tag, struct vnode *v)
{
	struct tag_field f = {0};
	int err = 0;

	while (err == 0 && tag_next(&r->tags, tag, &f)) {
		struct vnode_locks *l = locks_of(v);
		struct tag_reader in = tag_group(&f);

		err = l ? lock_load(r, &in, l) : -ENOMEM;
	}
	return err;
}
