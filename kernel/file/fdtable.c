/*
 * Descriptor tables.
 *
 * A look-up takes no lock: it reads the slot, takes a reference unless the count is zero, and looks
 * again whether slot and array are still the same. That is safe because the memory of files is
 * never anything else (file.c) and because arrays that were outgrown live as long as the table
 * (they double, so together they are no larger than the newest).
 *
 * Locks: table->lock (rank RANK_NAMESPACE) for every change; files are put outside of it.
 */
#include <asm/errno.h>
#include "file/dentry.h"
#include "file/fdtable.h"
#include "file/persist.h"
#include "lib/string.h"
#include "mm/slab.h"

#define FIRST_SIZE 64u
#define MAX_SIZE   (1u << 20)

struct fd_array {
	struct fd_array *older; /* [I] outgrown, kept for readers */
	u32 size;		/* [I] a multiple of 64 */
	struct file *slot[];	/* [a] */
};

struct fdtable {
	struct refcount refs;
	struct spinlock lock;
	struct fd_array *array; /* [a] changed under lock */
	u64 *used;		/* [lock] bitmap of array->size */
	u64 *cloexec;		/* [lock] */
	u32 lowest;		/* [lock] no free descriptor below */
	u64 limit;		/* [a] RLIMIT_NOFILE */
	struct persistent persistent;
};

static bool
bit_test(const u64 *map, u32 i)
{
	return map[i / 64] >> (i % 64) & 1;
}

static void
bit_set(u64 *map, u32 i, bool on)
{
	if (on)
		map[i / 64] |= 1ul << (i % 64);
	else
		map[i / 64] &= ~(1ul << (i % 64));
}

/* => lock held or table not shared. Makes room for descriptor `fd`. */
static int
table_grow(struct fdtable *t, u32 fd)
{
	u32 old = t->array ? t->array->size : 0, size = old ? old : FIRST_SIZE;
	struct fd_array *a;
	u64 *maps;

	if (fd >= MAX_SIZE)
		return -EMFILE;
	while (size <= fd)
		size *= 2;
	a = kmalloc(sizeof(*a) + size * sizeof(a->slot[0]));
	maps = kzalloc(size / 64 * 2 * sizeof(u64));
	if (!a || !maps) {
		kfree(a);
		kfree(maps);
		return -ENOMEM;
	}
	a->older = t->array;
	a->size = size;
	if (old) {
		memcpy(a->slot, t->array->slot, old * sizeof(a->slot[0]));
		memcpy(maps, t->used, old / 8);
		memcpy(maps + size / 64, t->cloexec, old / 8);
		kfree(t->used);
	}
	memset(a->slot + old, 0, (size - old) * sizeof(a->slot[0]));
	t->used = maps;
	t->cloexec = maps + size / 64;
	atomic_store(&t->array, a);
	return 0;
}

struct fdtable *
fdtable_create(void)
{
	struct fdtable *t = kzalloc(sizeof(*t));

	if (!t)
		return NULL;
	refcount_init(&t->refs, 1);
	spin_init(&t->lock, "descriptors", RANK_NAMESPACE);
	t->limit = 1024;
	if (table_grow(t, 0)) {
		kfree(t);
		return NULL;
	}
	return t;
}

void
fdtable_get(struct fdtable *t)
{
	refcount_get(&t->refs);
}

/* A descriptor was taken out of the table: what close(2) does with its file. */
static int
close_file(struct fdtable *t, struct file *f)
{
	int err = f->ops->flush ? f->ops->flush(f) : 0;

	if (f->vnode && f->vnode->locks)
		locks_release_owner(f, t);
	file_put(f);
	return err;
}

void
fdtable_put(struct fdtable *t)
{
	struct fd_array *a, *older;

	if (!refcount_put(&t->refs))
		return;
	for (u32 i = 0; i < t->array->size; i++) {
		if (t->array->slot[i])
			close_file(t, t->array->slot[i]);
	}
	for (a = t->array; a; a = older) {
		older = a->older;
		kfree(a);
	}
	kfree(t->used);
	kfree(t);
}

int
fdtable_fork(struct fdtable *from, struct fdtable **out)
{
	struct fdtable *t = fdtable_create();
	int err = 0;

	if (!t)
		return -ENOMEM;
	spin_lock(&from->lock);
	if (from->array->size > t->array->size)
		err = table_grow(t, from->array->size - 1);
	if (err == 0) {
		u32 n = from->array->size;

		memcpy(t->used, from->used, n / 8);
		memcpy(t->cloexec, from->cloexec, n / 8);
		for (u32 i = 0; i < n; i++) {
			t->array->slot[i] = from->array->slot[i];
			if (t->array->slot[i])
				file_get(t->array->slot[i]);
		}
		t->lowest = from->lowest;
		t->limit = from->limit;
	}
	spin_unlock(&from->lock);
	if (err) {
		fdtable_put(t);
		return err;
	}
	*out = t;
	return 0;
}

/* => lock held. Empties slot fd; the file, which the caller now owns, or NULL. */
static struct file *
slot_take(struct fdtable *t, u32 fd)
{
	struct file *f = t->array->slot[fd];

	atomic_store(&t->array->slot[fd], NULL);
	bit_set(t->used, fd, false);
	bit_set(t->cloexec, fd, false);
	if (fd < t->lowest)
		t->lowest = fd;
	return f;
}

void
fdtable_exec(struct fdtable *t)
{
	for (u32 w = 0; w < t->array->size / 64; w++) {
		while (t->cloexec[w]) {
			u32 fd = w * 64 + (u32)__builtin_ctzl(t->cloexec[w]);
			struct file *f;

			spin_lock(&t->lock);
			f = slot_take(t, fd);
			spin_unlock(&t->lock);
			if (f)
				close_file(t, f);
		}
	}
}

struct file *
fdtable_file(struct fdtable *t, int fd)
{
	for (;;) {
		struct fd_array *a = atomic_load(&t->array);
		struct file *f;

		if ((unsigned)fd >= a->size)
			return NULL;
		f = atomic_load(&a->slot[fd]);
		if (!f)
			return atomic_load(&t->array) == a ? NULL : fdtable_file(t, fd);
		if (!refcount_get_unless_zero(&f->refs))
			continue;
		if (atomic_load(&a->slot[fd]) == f && atomic_load(&t->array) == a)
			return f;
		file_put(f);
	}
}

int
fdtable_next(struct fdtable *t, int fd, struct file **out)
{
	int found = -1;

	spin_lock(&t->lock);
	for (u32 i = fd < 0 ? 0 : (u32)fd; i < t->array->size; i++) {
		if (t->used[i / 64] >> (i % 64) == 0) {
			i |= 63;
			continue;
		}
		if (t->array->slot[i]) {
			found = (int)i;
			*out = t->array->slot[i];
			file_get(*out);
			break;
		}
	}
	spin_unlock(&t->lock);
	return found;
}

u64
fdtable_limit(struct fdtable *t)
{
	return atomic_load(&t->limit);
}

void
fdtable_set_limit(struct fdtable *t, u64 limit)
{
	atomic_store(&t->limit, limit);
}

/* --- of the current process --- */

void
fdtable_set_ops(const struct fd_ops *ops)
{
	struct vfs *vfs = vfs_prepare();

	if (vfs)
		vfs->fd_ops = ops;
}

static struct fdtable *
current_table(void)
{
	const struct fd_ops *ops = vfs_get()->fd_ops;

	return ops ? ops->current_table() : NULL;
}

struct file *
fd_get(int fd)
{
	struct fdtable *t = current_table();

	return t ? fdtable_file(t, fd) : NULL;
}

struct file *
fd_get_io(int fd)
{
	struct file *f = fd_get(fd);

	if (f && (f->mode & FILE_PATH)) {
		file_put(f);
		return NULL;
	}
	return f;
}

/* => lock held. The lowest free descriptor >= from, with room made; -EMFILE, -ENOMEM. */
static int
find_free(struct fdtable *t, u32 from)
{
	u32 i = max(from, t->lowest), size = t->array->size;
	int err;

	while (i < size) {
		u64 free = ~t->used[i / 64] >> (i % 64);

		if (free) {
			i += (u32)__builtin_ctzl(free);
			break;
		}
		i = (i | 63) + 1;
	}
	if (i >= t->limit)
		return -EMFILE;
	if (i >= size) {
		err = table_grow(t, i);
		if (err)
			return err;
	}
	if (from <= t->lowest)
		t->lowest = i + 1;
	return (int)i;
}

int
fd_install(struct file *f, int from, bool cloexec)
{
	struct fdtable *t = current_table();
	int fd;

	if (from < 0)
		return -EINVAL;
	spin_lock(&t->lock);
	fd = find_free(t, (u32)from);
	if (fd >= 0) {
		bit_set(t->used, (u32)fd, true);
		bit_set(t->cloexec, (u32)fd, cloexec);
		atomic_store(&t->array->slot[fd], f);
	}
	spin_unlock(&t->lock);
	return fd;
}

int
fd_install_at(struct file *f, int fd, bool cloexec)
{
	struct fdtable *t = current_table();
	struct file *old = NULL;
	int err = 0;

	if (fd < 0 || (u64)fd >= atomic_load(&t->limit))
		return -EBADF;
	spin_lock(&t->lock);
	if ((u32)fd >= t->array->size)
		err = table_grow(t, (u32)fd);
	if (err == 0) {
		old = t->array->slot[fd];
		bit_set(t->used, (u32)fd, true);
		bit_set(t->cloexec, (u32)fd, cloexec);
		atomic_store(&t->array->slot[fd], f);
	}
	spin_unlock(&t->lock);
	if (old)
		close_file(t, old);
	return err ? err : fd;
}

u64
fd_limit(void)
{
	return fdtable_limit(current_table());
}

int
fd_close(int fd)
{
	struct fdtable *t = current_table();
	struct file *f = NULL;

	spin_lock(&t->lock);
	if ((unsigned)fd < t->array->size && t->array->slot[fd])
		f = slot_take(t, (u32)fd);
	spin_unlock(&t->lock);
	return f ? close_file(t, f) : -EBADF;
}

int
fd_close_range(unsigned first, unsigned last, bool only_set_cloexec)
{
	struct fdtable *t = current_table();

	if (first > last)
		return -EINVAL;
	for (u64 i = first; i <= last; i++) {
		struct file *f = NULL;

		spin_lock(&t->lock);
		while (i < t->array->size && i <= last && !bit_test(t->used, (u32)i))
			i++;
		if (i >= t->array->size || i > last) {
			spin_unlock(&t->lock);
			return 0;
		}
		if (only_set_cloexec)
			bit_set(t->cloexec, (u32)i, true);
		else
			f = slot_take(t, (u32)i);
		spin_unlock(&t->lock);
		if (f)
			close_file(t, f);
	}
	return 0;
}

int
fd_get_cloexec(int fd)
{
	struct fdtable *t = current_table();
	int r = -EBADF;

	spin_lock(&t->lock);
	if ((unsigned)fd < t->array->size && t->array->slot[fd])
		r = bit_test(t->cloexec, (u32)fd);
	spin_unlock(&t->lock);
	return r;
}

int
fd_set_cloexec(int fd, bool on)
{
	struct fdtable *t = current_table();
	int r = -EBADF;

	spin_lock(&t->lock);
	if ((unsigned)fd < t->array->size && t->array->slot[fd]) {
		bit_set(t->cloexec, (u32)fd, on);
		r = 0;
	}
	spin_unlock(&t->lock);
	return r;
}

/* --- the store --- */

enum { T_LIMIT = 1, T_FD = 2, T_FILE = 3 };

#define FD_CLOEXEC_BIT (1ul << 32)

/* A number and close-on-exec, then the file, for each descriptor. */
static void
table_save(struct persist_writer *w, void *object)
{
	struct fdtable *t = object;

	tag_u64(&w->tags, T_LIMIT, t->limit);
	for (u32 i = 0; i < t->array->size; i++) {
		if (!t->array->slot[i])
			continue;
		tag_u64(&w->tags, T_FD, i | (bit_test(t->cloexec, i) ? FD_CLOEXEC_BIT : 0));
		persist_ref(w, T_FILE, &file_persist, t->array->slot[i]);
	}
}

static u64
table_version(struct persist_writer *w, void *object)
{
	struct fdtable *t = object;
	u64 h = persist_mix(t->limit, 0);

	for (u32 at = 0; at < t->array->size; at += 64) {
		u64 cloexec = t->cloexec[at / 64];

		h = persist_mix(h, cloexec);
		for (u64 used = t->used[at / 64]; used; used &= used - 1) {
			u32 i = at + (u32)__builtin_ctzl(used);

			h = persist_mix(h, i);
			h = persist_mix_ref(w, h, &file_persist, t->array->slot[i]);
		}
	}
	return h;
}

static int
table_make(struct persist_reader *r, void **out)
{
	struct fdtable *t = fdtable_create();

	if (!t)
		return -ENOMEM;
	t->limit = tag_get_u64(&r->tags, T_LIMIT, t->limit);
	*out = t;
	return 0;
}

static int
table_link(struct persist_reader *r, void *object)
{
	struct tag_field number = {0}, file = {0};
	struct fdtable *t = object;

	while (tag_next(&r->tags, T_FD, &number)) {
		u64 fd = tag_field_u64(&number);
		u32 i = (u32)fd;
		struct file *f = tag_next(&r->tags, T_FILE, &file)
					 ? persist_field(r, &file, &file_persist)
					 : NULL;
		int err = i >= t->array->size ? table_grow(t, i) : 0;

		if (err)
			return err == -EMFILE ? -EBADMSG : err;
		if (!f || t->array->slot[i])
			return -EBADMSG;
		file_get(f);
		t->array->slot[i] = f;
		bit_set(t->used, i, true);
		bit_set(t->cloexec, i, (fd & FD_CLOEXEC_BIT) != 0);
	}
	return 0;
}

static void
table_drop(void *object)
{
	fdtable_put(object);
}

/*
 * Members of struct fdtable over a power cut:
 *	written	array cloexec limit
 *	made	refs lock used lowest persistent
 */
const struct persist_kind fdtable_persist = {
	.name = "descriptors",
	.number = 84,
	.member = offsetof(struct fdtable, persistent),
	.save = table_save,
	.version = table_version,
	.make = table_make,
	.link = table_link,
	.put = table_drop,
};
