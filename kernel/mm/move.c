/*
 * Moving the pages of a program to another cluster (see policy.h).
 *
 * Under the lock of the object that holds it the page is taken from every page table, copied, and
 * replaced in the object's tree: a fault that waits for the lock finds the new one. Only a page
 * with no other owner is moved, and one of an anon only if no other mapping shows it.
 */
#include <asm/errno.h>

#include "core/core.h"
#include "core/sched.h"
#include "lib/assert.h"
#include "mm/home.h"
#include "mm/mapping.h"
#include "mm/policy.h"

/* Where a page is: in the mapping's anon or else its object. */
struct place {
	struct vm_object *object;
	u64 index;
	bool anon;
};

/* The objects that may hold the page at va, the anon first. => map->lock held */
static unsigned
places_of(struct vm_mapping *v, vaddr_t va, struct place out[2])
{
	struct vm_object *anon = atomic_load(&v->anon);
	unsigned n = 0;

	if (anon != NULL)
		out[n++] = (struct place){anon, anon_index(v, va), true};
	if (v->object != NULL && !(v->flags & VM_DEVICE))
		out[n++] = (struct place){v->object, (v->offset + (va - v->start)) >> PAGE_SHIFT,
					  false};
	return n;
}

static int
node_of_page(struct vm_mapping *v, vaddr_t va)
{
	struct place place[2];
	unsigned n = places_of(v, va, place);
	int node = -ENOENT;

	for (unsigned i = 0; i < n && node == -ENOENT; i++) {
		struct vm_object *o = place[i].object;
		paddr_t at;

		spin_lock(&o->lock);
		at = o->ops->peek(o, place[i].index);
		if (at != 0)
			node = frame_of_paddr(at)->cxy;
		spin_unlock(&o->lock);
	}
	return node;
}

int
vm_page_node(struct vm_map *m, vaddr_t va)
{
	struct vm_mapping *v;
	int node = -EFAULT;

	rwlock_read(&m->lock);
	v = mapping_find(m, va);
	if (v != NULL)
		node = node_of_page(v, va & PAGE_MASK);
	rwlock_read_done(&m->lock);
	return node;
}

/* => the object's lock is held; `new` is used up when the result is its cluster */
static int
replace_page(struct vm_mapping *v, vaddr_t va, const struct place *at, struct frame *new,
	     struct frame **old)
{
	void **slot = radix_find(&at->object->pages, at->index);
	struct frame *f = slot != NULL ? *slot : NULL;

	if (f == NULL)
		return -ENOENT;
	if (f->cxy == new->cxy)
		return f->cxy;
	if (at->anon && anon_overlaps(v, at->index, 1))
		return -EACCES;
	if (!frame_is_sole(f) || !(f->flags & (FF_ANON | FF_CACHE)))
		return -EBUSY;
	if (at->anon)
		pmap_remove(v->map->pmap, va, va + PAGE_SIZE);
	else
		object_unmap(at->object, at->index, 1);
	page_copy(frame_virt(new), frame_virt(f));
	new->flags = f->flags &(FF_ANON | FF_CACHE | FF_DIRTY);
	home_replace(f, new);
	frame_account(new, f->flags & FF_ANON ? FRAME_USE_ANON : FRAME_USE_CACHE, 1);
	*slot = new;
	*old = f;
	return new->cxy;
}

static int
move_page(struct vm_mapping *v, vaddr_t va, struct frame *new, struct frame **old)
{
	struct place place[2];
	unsigned n = places_of(v, va, place);
	int node = -ENOENT;

	for (unsigned i = 0; i < n && node == -ENOENT; i++) {
		spin_lock(&place[i].object->lock);
		node = replace_page(v, va, &place[i], new, old);
		spin_unlock(&place[i].object->lock);
	}
	return node;
}

int
vm_page_move(struct vm_map *m, vaddr_t va, unsigned cxy)
{
	struct frame *new = frame_alloc_on(cxy, 0, FRAME_LOCAL), *old = NULL;
	struct vm_mapping *v;
	int node = -EFAULT;

	if (new == NULL)
		return -ENOMEM;
	rwlock_read(&m->lock);
	v = mapping_find(m, va);
	if (v != NULL)
		node = move_page(v, va & PAGE_MASK, new, &old);
	rwlock_read_done(&m->lock);
	frame_put(old != NULL ? old : new);
	return node;
}

/* The next mapped page at or behind va, 0 when there is none. */
static vaddr_t
next_mapped(struct vm_map *m, vaddr_t va)
{
	struct vm_mapping *v;

	rwlock_read(&m->lock);
	v = mapping_from(m, va);
	va = v == NULL ? 0 : max(va, v->start);
	rwlock_read_done(&m->lock);
	return va;
}

long
vm_pages_migrate(struct vm_map *m, const u8 to[MAX_CLUSTERS])
{
	long failed = 0;

	for (vaddr_t va = next_mapped(m, 0); va != 0; va = next_mapped(m, va + PAGE_SIZE)) {
		int node = vm_page_node(m, va);

		if (node >= 0 && to[node] != node && vm_page_move(m, va, to[node]) != to[node])
			failed++;
		if (thread_interrupted(current_thread(), WAIT_KILLABLE))
			break;
		sched_point();
	}
	return failed;
}
