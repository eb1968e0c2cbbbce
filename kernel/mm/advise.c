/*
 * What programs say and ask about ranges: madvise, mincore, msync; and what the rest of the kernel
 * asks about mappings: futex keys, residency, the walk for /proc.
 *
 * MADV_FREE frees at once: Linux may do so at any time. Nothing is ever paged out, so advice about
 * paging (SEQUENTIAL, COLD, ...) is true already. MADV_POPULATE and MADV_WILLNEED fault in.
 */
#include <asm/errno.h>
#include <asm/mman.h>

#include "mm/protect.h"

static bool
is_shared(const struct vm_mapping *v)
{
	return v->flags & VM_SHARED;
}

static bool
is_device(const struct vm_mapping *v)
{
	return v->flags & VM_DEVICE;
}

static bool
is_not_anonymous(const struct vm_mapping *v)
{
	return v->object != NULL || (v->flags & VM_SHARED);
}

struct forget_args {
	struct pmap_batch batch;
	int advice;
};

/* First pass: what may not be forgotten is refused, what may is no longer shown. */
static int
hide_one(struct vm_mapping *v, void *arg)
{
	struct forget_args *a = arg;

	if ((v->flags & (VM_LOCKED | VM_DEVICE)) || (a->advice == MADV_FREE && is_not_anonymous(v)))
		return -EINVAL;
	if (v->anon != NULL && v->needs_copy && anon_unshare(v))
		return -ENOMEM;
	pmap_batch_remove(&a->batch, v->start, v->end);
	return 0;
}

/* Second pass, after the flush: private pages are freed; shared ones stay with their object. */
static int
forget_one(struct vm_mapping *v, void *arg)
{
	u64 before;

	if (v->anon == NULL)
		return 0;
	before = vm_object_resident(v->anon);
	anon_drop(v, anon_index(v, v->start), mapping_pages(v));
	rss_sub(&v->map->rss_anon, before - min(before, vm_object_resident(v->anon)));
	return 0;
}

/* => the range is cut out of its mappings while the lock is held, and joined again */
static int
forget(struct vm_map *m, vaddr_t addr, u64 size, int advice)
{
	struct forget_args a = {.advice = advice};
	int err, hidden;

	rwlock_write(&m->lock);
	pmap_batch_begin(&a.batch, m->pmap);
	hidden = map_for_range(m, addr, addr + size, hide_one, &a);
	pmap_batch_end(&a.batch);
	err = hidden == 0 || hidden == -ENOMEM
		      ? map_for_range(m, addr, addr + size, forget_one, NULL)
		      : 0;
	map_join_range(m, addr, addr + size);
	rwlock_write_done(&m->lock);
	return hidden ? hidden : err;
}

static int
remove_one(struct vm_mapping *v, void *arg)
{
	if (!(v->flags & VM_SHARED) || (v->flags & VM_DEVICE) || (v->flags & VM_LOCKED))
		return -EINVAL;
	if (!(v->max_prot & VM_WRITE))
		return -EACCES;
	return vm_object_drop(v->object, v->offset >> PAGE_SHIFT, mapping_pages(v));
}

/* MADV_REMOVE: holes in the shared object. */
static int
punch(struct vm_map *m, vaddr_t addr, u64 size)
{
	int err;

	rwlock_write(&m->lock);
	err = map_for_range(m, addr, addr + size, remove_one, NULL);
	map_join_range(m, addr, addr + size);
	rwlock_write_done(&m->lock);
	return err;
}

/* -ENOMEM when something in the range is not mapped. */
static int
check_mapped(struct vm_map *m, vaddr_t addr, u64 size)
{
	const struct vm_mapping *v;
	vaddr_t at = addr;

	rwlock_read(&m->lock);
	for (v = mapping_from(m, addr); v != NULL && v->start <= at && at < addr + size;
	     v = mapping_next(v))
		at = v->end;
	rwlock_read_done(&m->lock);
	return at < addr + size ? -ENOMEM : 0;
}

static int
populate_for(struct vm_map *m, vaddr_t addr, u64 size, unsigned access)
{
	int err = check_mapped(m, addr, size);

	if (err == 0)
		err = vm_populate(m, addr, size, access);
	if (err == -EACCES)
		return -EINVAL;
	if (err == -ENXIO)
		return -EFAULT;
	return err;
}

int
vm_madvise(struct vm_map *m, vaddr_t addr, u64 size, int advice)
{
	struct flag_change c = {0};

	if (!IS_ALIGNED(addr, PAGE_SIZE) || !range_ok(addr, size))
		return -EINVAL;
	switch (advice) {
	case MADV_DONTNEED:
	case MADV_FREE:
		return size == 0 ? 0 : forget(m, addr, size, advice);
	case MADV_REMOVE:
		return size == 0 ? 0 : punch(m, addr, size);
	case MADV_POPULATE_READ:
		return populate_for(m, addr, size, VM_READ);
	case MADV_POPULATE_WRITE:
		return populate_for(m, addr, size, VM_WRITE);
	case MADV_NORMAL:
	case MADV_RANDOM:
	case MADV_SEQUENTIAL:
	case MADV_WILLNEED: /* files are in memory as a whole */
	case MADV_COLD:
	case MADV_PAGEOUT:
	case MADV_DONTDUMP:
	case MADV_DODUMP:
		return check_mapped(m, addr, size);
	case MADV_DONTFORK:
		c.set = VM_NOFORK;
		break;
	case MADV_DOFORK:
		c.clear = VM_NOFORK;
		c.refuse = is_device;
		break;
	case MADV_WIPEONFORK:
		c.set = VM_WIPEFORK;
		c.refuse = is_not_anonymous;
		break;
	case MADV_KEEPONFORK:
		c.clear = VM_WIPEFORK;
		break;
	case MADV_HUGEPAGE:
		c.clear = VM_NOHUGE;
		c.refuse = is_device;
		break;
	case MADV_NOHUGEPAGE:
		c.set = VM_NOHUGE;
		break;
	default:
		return -EINVAL;
	}
	return size == 0 ? 0 : map_change_flags(m, addr, size, &c);
}

/* Whether the page at va is in memory. => map->lock held for reading */
static bool
is_resident(struct vm_mapping *v, vaddr_t va)
{
	struct vm_object *anon = atomic_load(&v->anon), *o = v->object;
	bool in = false;

	if (anon != NULL) {
		spin_lock(&anon->lock);
		in = radix_get(&anon->pages, anon_index(v, va)) != NULL;
		spin_unlock(&anon->lock);
	}
	if (!in && o != NULL) {
		spin_lock(&o->lock);
		in = o->ops->peek(o, (v->offset + (va - v->start)) >> PAGE_SHIFT) != 0;
		spin_unlock(&o->lock);
	}
	return in;
}

int
vm_mincore(struct vm_map *m, vaddr_t addr, u64 size, u8 *out)
{
	struct vm_mapping *v = NULL;
	int err = 0;

	rwlock_read(&m->lock);
	for (vaddr_t va = addr; va < addr + size && err == 0; va += PAGE_SIZE) {
		if (v == NULL || va >= v->end)
			v = mapping_find(m, va);
		if (v == NULL)
			err = -ENOMEM;
		else
			*out++ = is_resident(v, va);
	}
	rwlock_read_done(&m->lock);
	return err;
}

int
vm_msync(struct vm_map *m, vaddr_t addr, u64 size)
{
	return size == 0 ? 0 : check_mapped(m, addr, size);
}

int
vm_futex_key(struct vm_map *m, vaddr_t va, struct vm_object **obj, u64 *offset)
{
	struct vm_mapping *v;
	int err = 0;

	rwlock_read(&m->lock);
	v = mapping_find(m, va);
	*obj = NULL;
	*offset = va;
	if (v == NULL) {
		err = -EFAULT;
	} else if (is_shared(v) && v->object != NULL) {
		vm_object_get(v->object);
		*obj = v->object;
		*offset = v->offset + (va - v->start);
	}
	rwlock_read_done(&m->lock);
	return err;
}

int
vm_map_for_each(struct vm_map *m, int (*fn)(struct vm_mapping *v, void *arg), void *arg)
{
	struct rb_node *n;
	int err = 0;

	rwlock_read(&m->lock);
	for (n = rb_first(&m->mappings); n != NULL && err == 0; n = rb_next(n))
		err = fn(rb_entry(n, struct vm_mapping, node), arg);
	rwlock_read_done(&m->lock);
	return err;
}

static u64
count_range(struct vm_object *o, u64 first, u64 n)
{
	u64 end = first + n, count = 0;

	spin_lock(&o->lock);
	for (; radix_next_before(&o->pages, &first, end) != NULL; first++)
		count++;
	spin_unlock(&o->lock);
	return count;
}

u64
vm_mapping_resident(struct vm_mapping *v)
{
	struct vm_object *anon = atomic_load(&v->anon);
	u64 pages = 0;

	if (anon != NULL)
		pages = count_range(anon, anon_index(v, v->start), mapping_pages(v));
	if (v->object != NULL)
		pages += min(atomic_load_relaxed(&v->file_pages), mapping_pages(v) - pages);
	return pages << PAGE_SHIFT;
}
