/*
 * mremap: shrinking, growing in place, moving. A move takes the mapping with its frames to the new
 * place; only the translations are lost and come back by faults.
 */
#include <asm/errno.h>
#include <linux/mman.h>

#include "lib/assert.h"
#include "mm/mapping.h"

struct move {
	struct vm_map *map;
	struct vm_mapping *v; /* exactly the old range */
	vaddr_t old, new;     /* new: decided by place_new() */
	u64 old_size, new_size;
	unsigned flags;
	struct vm_mapping *dead; /* to be buried after unlocking */
};

/* Makes v longer. */
static int
extend(struct vm_mapping *v, u64 size)
{
	u64 more = size - (v->end - v->start);

	if (v->anon != NULL) {
		int err = anon_make_room(v, anon_index(v, v->end), more >> PAGE_SHIFT);

		if (err)
			return err;
	}
	mapping_unlink(v);
	mapping_place(v, v->start, v->start + size, v->offset, v->anon_offset);
	mapping_insert(v);
	return 0;
}

static int
check_growth(const struct move *r)
{
	const struct vm_map *m = r->map;
	u64 more = r->new_size > r->old_size ? (r->new_size - r->old_size) >> PAGE_SHIFT : 0;

	if (m->size_pages + more > m->limit_pages)
		return -ENOMEM;
	if (mapping_commits(r->v) && more > frame_total_pages())
		return -ENOMEM;
	if (r->v->object != NULL && r->v->offset + r->new_size < r->v->offset)
		return -EINVAL;
	return 0;
}

/* Where a move goes to, cleared. */
static int
place_new(struct move *r, vaddr_t new_addr)
{
	if (r->flags & MREMAP_FIXED) {
		r->new = new_addr;
		return map_remove(r->map, new_addr, new_addr + r->new_size, &r->dead);
	}
	r->new = map_find_hole(r->map, r->new_size, false);
	return r->new != 0 ? 0 : -ENOMEM;
}

/* What stays behind with MREMAP_DONTUNMAP: the old range, empty. */
static struct vm_mapping *
leave_behind(struct move *r)
{
	struct vm_object *anon = r->v->anon;
	struct vm_mapping *w;

	r->v->anon = NULL;
	w = mapping_clone(r->map, r->v, r->v->start, r->v->end);
	r->v->anon = anon;
	if (w != NULL)
		w->needs_copy = false;
	return w;
}

static int
move_mapping(struct move *r)
{
	struct vm_mapping *v = r->v, *left = NULL;

	if (r->flags & MREMAP_DONTUNMAP) {
		left = leave_behind(r);
		if (left == NULL)
			return -ENOMEM;
	}
	mapping_unlink(v);
	pmap_remove(r->map->pmap, v->start, v->end);
	mapping_place(v, r->new, r->new + (v->end - v->start), v->offset, v->anon_offset);
	mapping_insert(v);
	if (left != NULL)
		mapping_insert(left);
	else
		map_note_hole(r->map, r->old + r->old_size);
	return 0;
}

/* old_size 0: a second mapping of the same shared object. */
static int
duplicate(struct move *r, vaddr_t new_addr, vaddr_t *out)
{
	struct vm_mapping *w;
	int err;

	if (!(r->v->flags & VM_SHARED) || !(r->flags & MREMAP_MAYMOVE))
		return -EINVAL;
	err = check_growth(r);
	if (err == 0)
		err = place_new(r, new_addr);
	if (err)
		return err;
	/* The place may have been cut out of the mapping itself. */
	r->v = mapping_find(r->map, r->old);
	if (r->v == NULL)
		return -EFAULT;
	w = mapping_clone(r->map, r->v, r->old, r->old + r->new_size);
	if (w == NULL)
		return -ENOMEM;
	mapping_place(w, r->new, r->new + r->new_size, w->offset, w->anon_offset);
	mapping_insert(w);
	*out = r->new;
	return 0;
}

static bool
can_grow_here(const struct move *r)
{
	return !(r->flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) && range_ok(r->old, r->new_size) &&
	       map_is_free(r->map, r->old + r->old_size, r->old + r->new_size);
}

/* Cuts the old range free of its neighbours. */
static int
isolate(struct move *r)
{
	int err = map_cut(r->map, r->old);

	if (err == 0)
		err = map_cut(r->map, r->old + r->old_size);
	r->v = mapping_find(r->map, r->old);
	return err;
}

static int
grow_or_move(struct move *r, vaddr_t new_addr, vaddr_t *out)
{
	int err = check_growth(r);

	if (err)
		return err;
	err = isolate(r);
	if (err)
		return err;
	*out = r->old;
	if (can_grow_here(r) && extend(r->v, r->new_size) == 0) {
		mapping_join(r->v);
		return 0;
	}
	err = r->flags & MREMAP_MAYMOVE ? place_new(r, new_addr) : -ENOMEM;
	if (err == 0)
		err = move_mapping(r);
	if (err == 0 && r->new_size > r->old_size)
		err = extend(r->v, r->new_size);
	if (err == 0)
		*out = r->new;
	mapping_join(r->v);
	return err;
}

static int
remap_locked(struct move *r, vaddr_t new_addr, vaddr_t *out)
{
	int err;

	r->v = mapping_find(r->map, r->old);
	if (r->v == NULL || r->v->end < r->old + r->old_size)
		return -EFAULT;
	if (r->flags & MREMAP_DONTUNMAP && (r->v->flags & VM_DEVICE))
		return -EINVAL;
	if (r->old_size == 0)
		return duplicate(r, new_addr, out);
	if (r->new_size < r->old_size) {
		err = map_remove(r->map, r->old + r->new_size, r->old + r->old_size, &r->dead);
		if (err)
			return err;
		r->old_size = r->new_size;
	}
	if (r->new_size == r->old_size && !(r->flags & (MREMAP_FIXED | MREMAP_DONTUNMAP))) {
		*out = r->old;
		return 0;
	}
	return grow_or_move(r, new_addr, out);
}

static int
check_flags(const struct move *r, vaddr_t new_addr)
{
	if (r->flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP))
		return -EINVAL;
	if ((r->flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) && !(r->flags & MREMAP_MAYMOVE))
		return -EINVAL;
	if ((r->flags & MREMAP_DONTUNMAP) && r->old_size != r->new_size)
		return -EINVAL;
	if (!IS_ALIGNED(r->old, PAGE_SIZE) || r->new_size == 0 || !range_ok(r->old, r->old_size))
		return -EINVAL;
	if (r->new_size > USER_TOP)
		return -ENOMEM;
	if (!(r->flags & MREMAP_FIXED))
		return 0;
	if (!IS_ALIGNED(new_addr, PAGE_SIZE) || !range_ok(new_addr, r->new_size))
		return -EINVAL;
	if (new_addr < MIN_ADDRESS)
		return -EPERM;
	if (new_addr < r->old + r->old_size && r->old < new_addr + r->new_size)
		return -EINVAL; /* they overlap */
	return 0;
}

int
vm_mremap(struct vm_map *m, vaddr_t old, u64 old_size, u64 new_size, unsigned flags,
	  vaddr_t new_addr, vaddr_t *out)
{
	struct move r = {.map = m, .old = old, .old_size = old_size, .new_size = new_size};
	int err;

	r.flags = flags;
	err = check_flags(&r, new_addr);
	if (err)
		return err;
	rwlock_write(&m->lock);
	err = remap_locked(&r, new_addr, out);
	rwlock_write_done(&m->lock);
	mappings_bury(r.dead);
	return err;
}
