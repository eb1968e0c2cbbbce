/*
 * Making and removing mappings: mmap, munmap, brk, and the search for a free place.
 *
 * Places are given from mmap_base downwards. search_top and search_hole remember how far down the
 * space is full, and the largest hole above, so that a program with many mappings does not pay for
 * all of them at each call.
 *
 * Overcommit follows Linux's mode 0: only a single request for more than all memory is refused,
 * MAP_NORESERVE never.
 */
#include <asm/errno.h>

#include "lib/assert.h"
#include "mm/mapping.h"

#define LOW_FIRST 0x40000000UL /* MAP_32BIT */
#define LOW_END	  0x80000000UL

bool
map_is_free(const struct vm_map *m, vaddr_t start, vaddr_t end)
{
	const struct vm_mapping *v = mapping_from(m, start);
	u64 guard = v != NULL && (v->flags & VM_STACK) ? STACK_GUARD : 0;

	return v == NULL || v->start >= end + guard;
}

/* The last mapping that starts below `va`. */
static struct vm_mapping *
mapping_below(const struct vm_map *m, vaddr_t va)
{
	struct rb_node *n = m->mappings.root;
	struct vm_mapping *best = NULL;

	while (n != NULL) {
		struct vm_mapping *v = rb_entry(n, struct vm_mapping, node);

		if (v->start < va) {
			best = v;
			n = n->right;
		} else {
			n = n->left;
		}
	}
	return best;
}

/* The highest hole of this size within [floor, top), or 0; *skipped: the largest one too small. */
static vaddr_t
hole_below(const struct vm_map *m, vaddr_t top, vaddr_t floor, u64 size, u64 *skipped)
{
	const struct vm_mapping *above = mapping_from(m, top), *v = mapping_below(m, top);
	vaddr_t end = top;

	if (above != NULL && (above->flags & VM_STACK) && above->start >= top)
		end = min(end, above->start - STACK_GUARD);
	for (;;) {
		vaddr_t start = v != NULL ? max(v->end, floor) : floor;

		if (end > start && end - start >= size)
			return end - size;
		if (end > start)
			*skipped = max(*skipped, end - start);
		if (v == NULL || v->start <= floor)
			return 0;
		end = min(end, v->flags & VM_STACK ? v->start - STACK_GUARD : v->start);
		v = mapping_prev(v);
	}
}

vaddr_t
map_find_hole(struct vm_map *m, u64 size, bool low)
{
	u64 skipped = 0;
	vaddr_t at;

	if (low)
		return hole_below(m, LOW_END, LOW_FIRST, size, &skipped);
	if (size <= m->search_hole) {
		m->search_top = m->mmap_base;
		m->search_hole = 0;
	}
	skipped = m->search_hole;
	at = hole_below(m, m->search_top, MIN_ADDRESS, size, &skipped);
	if (at != 0) {
		m->search_top = at;
		m->search_hole = skipped;
		return at;
	}
	at = hole_below(m, m->mmap_base, MIN_ADDRESS, size, &skipped);
	return at != 0 ? at : hole_below(m, USER_TOP, m->mmap_base, size, &skipped);
}

void
map_note_hole(struct vm_map *m, vaddr_t end)
{
	const struct vm_mapping *v;

	if (end <= m->search_top || end > m->mmap_base)
		return;
	v = mapping_from(m, end);
	m->search_top = v == NULL ? m->mmap_base : min(m->mmap_base, v->start);
}

static int
check_request(const struct vm_mmap_args *a)
{
	u64 pages = a->size >> PAGE_SHIFT;

	assert(IS_ALIGNED(a->size, PAGE_SIZE) && IS_ALIGNED(a->offset, PAGE_SIZE));
	if (a->size == 0)
		return -EINVAL;
	if (a->size > USER_TOP)
		return -ENOMEM;
	if (a->offset + a->size < a->offset)
		return -EOVERFLOW;
	if (a->flags & (VM_FIXED | VM_FIXED_NOREPLACE)) {
		if (!IS_ALIGNED(a->addr, PAGE_SIZE))
			return -EINVAL;
		if (!range_ok(a->addr, a->size))
			return -ENOMEM;
		if (a->addr < MIN_ADDRESS)
			return -EPERM;
	}
	if (a->object == NULL || !(a->flags & VM_SHARED))
		if ((a->prot & VM_WRITE) && !(a->flags & VM_NORESERVE) &&
		    pages > frame_total_pages())
			return -ENOMEM;
	return 0;
}

/* Decides on the place, clearing it for VM_FIXED. => map->lock held for writing */
static int
find_place(struct vm_map *m, const struct vm_mmap_args *a, vaddr_t *out, struct vm_mapping **dead)
{
	vaddr_t hint = ALIGN_DOWN(a->addr, PAGE_SIZE);

	*out = a->addr;
	if (a->flags & VM_FIXED_NOREPLACE)
		return map_is_free(m, a->addr, a->addr + a->size) ? 0 : -EEXIST;
	if (a->flags & VM_FIXED)
		return map_remove(m, a->addr, a->addr + a->size, dead);
	if (hint >= MIN_ADDRESS && range_ok(hint, a->size) && !(a->flags & VM_32BIT) &&
	    map_is_free(m, hint, hint + a->size)) {
		*out = hint;
		return 0;
	}
	*out = map_find_hole(m, a->size, a->flags & VM_32BIT);
	return *out != 0 ? 0 : -ENOMEM;
}

/* => map->lock held for writing */
static int
map_add(struct vm_map *m, const struct vm_mmap_args *a, vaddr_t *out, struct vm_mapping **dead)
{
	u64 pages = a->size >> PAGE_SHIFT;
	struct vm_mapping *v = mapping_create(m, 0, a->size);
	int err;

	if (v == NULL)
		return -ENOMEM;
	err = m->size_pages + pages > m->limit_pages && !(a->flags & VM_FIXED) ? -ENOMEM : 0;
	if (err == 0)
		err = find_place(m, a, out, dead);
	if (err == 0 && m->size_pages + pages > m->limit_pages)
		err = -ENOMEM;
	if (err) {
		mappings_bury(v);
		return err;
	}
	v->start = *out;
	v->end = *out + a->size;
	v->prot = a->prot;
	v->max_prot = a->max_prot;
	v->flags = (a->flags & VM_KEPT_FLAGS) | m->future_flags;
	v->label = a->label;
	v->file = a->file;
	if (v->file != NULL)
		machine()->mm->file_ops->get(v->file);
	mapping_set_object(v, a->object, a->offset);
	mapping_insert(v);
	mapping_join(v);
	return 0;
}

int
vm_mmap(struct vm_map *m, const struct vm_mmap_args *a, vaddr_t *out)
{
	struct vm_mmap_args args = *a;
	struct vm_mapping *dead = NULL;
	int err = check_request(a);

	if (err)
		return err;
	if (a->object == NULL && (a->flags & VM_SHARED)) {
		args.object = vm_object_create_anon();
		if (args.object == NULL)
			return -ENOMEM;
		args.offset = 0;
	}
	rwlock_write(&m->lock);
	err = map_add(m, &args, out, &dead);
	rwlock_write_done(&m->lock);
	mappings_bury(dead);
	if (args.object != a->object)
		vm_object_put(args.object);
	if (err == 0 && (a->flags & (VM_POPULATE | VM_LOCKED)) && a->prot != 0) {
		/* As on Linux, what cannot be brought in now is left to faults. */
		int ignored = vm_populate(m, *out, a->size,
					  a->prot & VM_WRITE && !(a->flags & VM_SHARED) ? VM_WRITE
											: VM_READ);

		(void)ignored;
	}
	return err;
}

int
vm_munmap(struct vm_map *m, vaddr_t addr, u64 size)
{
	struct vm_mapping *dead = NULL;
	int err;

	if (size == 0 || !range_ok(addr, size) || !IS_ALIGNED(addr, PAGE_SIZE))
		return -EINVAL;
	rwlock_write(&m->lock);
	err = map_remove(m, addr, addr + size, &dead);
	rwlock_write_done(&m->lock);
	mappings_bury(dead);
	return err;
}

/* => map->lock held for writing */
static bool
move_break(struct vm_map *m, vaddr_t from, vaddr_t to, struct vm_mapping **dead)
{
	struct vm_mmap_args a = {
		.addr = from,
		.size = to - from,
		.prot = VM_READ | VM_WRITE,
		.max_prot = VM_READ | VM_WRITE | VM_EXEC,
		.flags = VM_FIXED_NOREPLACE,
		.label = "[heap]",
	};
	vaddr_t at;

	if (to == from)
		return true;
	if (to < from)
		return map_remove(m, to, from, dead) == 0;
	return check_request(&a) == 0 && map_add(m, &a, &at, dead) == 0;
}

vaddr_t
vm_brk(struct vm_map *m, vaddr_t brk)
{
	struct vm_mapping *dead = NULL;
	vaddr_t now;

	rwlock_write(&m->lock);
	if (brk >= m->brk_start && brk < USER_TOP - PAGE_SIZE &&
	    move_break(m, ALIGN_UP(m->brk, PAGE_SIZE), ALIGN_UP(brk, PAGE_SIZE), &dead))
		m->brk = brk;
	now = m->brk;
	rwlock_write_done(&m->lock);
	mappings_bury(dead);
	return now;
}
