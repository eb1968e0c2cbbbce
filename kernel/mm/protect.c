/*
 * Changing what mappings allow: mprotect, and the flags that madvise and mlock set on ranges.
 * Rights that are taken away leave the page tables at once; rights that are added come by fault.
 */
#include <asm/errno.h>

#include "core/sched.h"
#include "mm/mapping.h"
#include "mm/protect.h"

int
map_for_range(struct vm_map *m, vaddr_t start, vaddr_t end,
	      int (*change)(struct vm_mapping *v, void *arg), void *arg)
{
	struct vm_mapping *v;
	vaddr_t at = start;
	int err = map_cut(m, start);

	if (err == 0)
		err = map_cut(m, end);
	if (err)
		return err;
	for (v = mapping_from(m, start); v != NULL && v->start < end; v = mapping_next(v)) {
		if (v->start > at)
			return -ENOMEM;
		err = change(v, arg);
		if (err)
			return err;
		at = v->end;
	}
	return at < end ? -ENOMEM : 0;
}

struct protect_args {
	struct pmap_batch batch;
	u8 prot;
};

static int
protect_one(struct vm_mapping *v, void *arg)
{
	struct protect_args *a = arg;
	u8 old = v->prot;

	if (a->prot & ~v->max_prot)
		return -EACCES;
	if (old == a->prot)
		return 0;
	mapping_unlink(v);
	v->prot = a->prot;
	mapping_insert(v);
	if (old & ~a->prot)
		pmap_batch_protect(&a->batch, v->start, v->end, a->prot);
	return 0;
}

int
vm_mprotect(struct vm_map *m, vaddr_t addr, u64 size, u8 prot)
{
	struct protect_args a = {.prot = prot};
	int err;

	if (!IS_ALIGNED(addr, PAGE_SIZE))
		return -EINVAL;
	if (size == 0)
		return 0;
	if (!range_ok(addr, size))
		return -ENOMEM;
	rwlock_write(&m->lock);
	pmap_batch_begin(&a.batch, m->pmap);
	err = map_for_range(m, addr, addr + size, protect_one, &a);
	pmap_batch_end(&a.batch);
	map_join_range(m, addr, addr + size);
	rwlock_write_done(&m->lock);
	return err;
}

static int
flags_one(struct vm_mapping *v, void *arg)
{
	const struct flag_change *c = arg;

	if (c->refuse != NULL && c->refuse(v))
		return -EINVAL;
	v->flags = (v->flags & ~c->clear) | c->set;
	mapping_edited(v);
	return 0;
}

int
map_change_flags(struct vm_map *m, vaddr_t addr, u64 size, const struct flag_change *c)
{
	int err;

	rwlock_write(&m->lock);
	err = map_for_range(m, addr, addr + size, flags_one, (void *)c);
	map_join_range(m, addr, addr + size);
	rwlock_write_done(&m->lock);
	return err;
}

/* The last part of mlock: everything in the range that is readable is brought in. */
static int
populate_range(struct vm_map *m, vaddr_t addr, u64 size)
{
	vaddr_t at = addr;

	while (at < addr + size) {
		struct vm_mapping *v;
		vaddr_t start, end;
		unsigned access = 0;
		int err;

		rwlock_read(&m->lock);
		v = mapping_from(m, at);
		start = v != NULL ? max(v->start, at) : addr + size;
		end = v != NULL ? min(v->end, addr + size) : addr + size;
		if (v != NULL && (v->prot & VM_WRITE) && !(v->flags & VM_SHARED))
			access = VM_WRITE;
		else if (v != NULL && v->prot != 0)
			access = VM_READ;
		rwlock_read_done(&m->lock);
		err = access && start < end ? vm_populate(m, start, end - start, access) : 0;
		if (err)
			return err == -ENXIO || err == -EFAULT ? -ENOMEM : err;
		at = end;
	}
	return 0;
}

int
vm_mlock(struct vm_map *m, vaddr_t addr, u64 size, bool lock, bool populate)
{
	struct flag_change c = {.clear = VM_LOCKED, .set = lock ? VM_LOCKED : 0};
	int err;

	if (size == 0)
		return 0;
	if (!range_ok(addr, size))
		return -ENOMEM;
	err = map_change_flags(m, addr, size, &c);
	if (err || !lock || !populate)
		return err;
	return populate_range(m, addr, size);
}

int
vm_mlock_all(struct vm_map *m, bool now, bool future, bool populate)
{
	struct rb_node *n;

	rwlock_write(&m->lock);
	m->future_flags = future ? VM_LOCKED : 0;
	for (n = rb_first(&m->mappings); n != NULL && (now || !future); n = rb_next(n)) {
		struct vm_mapping *v = rb_entry(n, struct vm_mapping, node);

		v->flags &= ~VM_LOCKED;
		if (now && !(v->flags & VM_DEVICE))
			v->flags |= VM_LOCKED;
		mapping_edited(v);
	}
	rwlock_write_done(&m->lock);
	if (now && populate) {
		/* As on Linux, what cannot be brought in does not fail the call. */
		int ignored = populate_range(m, 0, USER_TOP);

		(void)ignored;
	}
	return 0;
}
