/*
 * What all kinds of VM objects share: life, the tree of frames, and the way from an object to the
 * page tables that show it (see object.h; the kinds are object_anon.c, object_file.c and
 * object_device.c).
 *
 * Each mapping of an object holds a reference and is on its list. A frame leaves the tree under the
 * object's lock after object_unmap() took its translations away under the same lock, so no fault
 * can enter it again in between: faults look up and enter under that lock too.
 */
#include <asm/errno.h>

#include "core/core.h"
#include "lib/assert.h"
#include "mm/home.h"
#include "mm/map.h"
#include "mm/object.h"
#include "mm/policy.h"
#include "mm/replica.h"
#include "mm/slab.h"

#define RELEASE_BATCH 128

/* Tree nodes serve user memory: they leave the kernel's reserve alone. */
static void *
node_alloc(void)
{
	struct frame *f = frame_alloc(0, FRAME_ZERO | FRAME_KERNEL);

	return f == NULL ? NULL : frame_virt(f);
}

static const struct radix_mem node_mem = {node_alloc, page_free};

struct vm_object *
object_create(const struct vm_object_ops *ops)
{
	struct vm_object *o = kzalloc(sizeof(*o));

	if (o == NULL)
		return NULL;
	refcount_init(&o->refs, 1);
	o->ops = ops;
	spin_init(&o->lock, "object", RANK_OBJECT);
	radix_init(&o->pages, &node_mem);
	list_init(&o->mappings);
	list_init(&o->borrowed);
	list_init(&o->borrower_link);
	list_init(&o->image_link);
	list_init(&o->file_link);
	registry_add(&o->registered, REGISTRY_OBJECTS);
	return o;
}

void
vm_object_get(struct vm_object *o)
{
	refcount_get(&o->refs);
}

void
vm_object_put(struct vm_object *o)
{
	if (!refcount_put(&o->refs))
		return;
	assert(list_empty(&o->mappings));
	registry_remove(&o->registered, REGISTRY_OBJECTS);
	replicas_destroy(o);
	policies_destroy(o);
	object_release(o, 0, ~0UL);
	persist_gone(&o->persistent);
	home_abandon(o);
	radix_destroy(&o->pages);
	kfree(o);
}

int
object_insert_shared(struct vm_object *o, u64 index, struct frame *f)
{
	int err = radix_set(&o->pages, index, f);

	if (err == 0) {
		o->resident++;
		persist_touch(&o->persistent);
	}
	return err;
}

int
object_insert(struct vm_object *o, u64 index, struct frame *f)
{
	int err = home_adopt(o, index, f);

	if (err == 0)
		err = object_insert_shared(o, index, f);
	if (err)
		return err;
	if (!(f->flags & (FF_ANON | FF_CACHE | FF_RESERVED))) {
		f->flags |= o->ops->frame_flag;
		frame_account(f, f->flags & FF_ANON ? FRAME_USE_ANON : FRAME_USE_CACHE, 1);
	}
	return 0;
}

struct frame *
object_extract(struct vm_object *o, u64 index)
{
	struct frame *f = radix_remove(&o->pages, index);

	if (f != NULL) {
		o->resident--;
		persist_touch(&o->persistent);
		home_leave(o, index, f);
	}
	return f;
}

unsigned
object_take(struct vm_object *o, u64 *first, u64 end, struct frame **out, unsigned n)
{
	unsigned taken = 0, more;

	if (unlikely(persisting())) {
		while (taken < n && radix_next_before(&o->pages, first, end) != NULL)
			out[taken++] = object_extract(o, (*first)++);
		return taken;
	}
	do {
		more = radix_take(&o->pages, first, end, (void **)out + taken, n - taken);
		taken += more;
	} while (more > 0);
	o->resident -= taken;
	return taken;
}

void
object_unmap(struct vm_object *o, u64 first, u64 n)
{
	struct vm_mapping *v;
	u64 from = first << PAGE_SHIFT, to = (first + n) << PAGE_SHIFT;

	list_for_each_entry (v, &o->mappings, object_link) {
		u64 start = max(from, v->offset);
		u64 end = min(to, v->offset + (v->end - v->start));

		if (start < end)
			pmap_remove(v->map->pmap, v->start + (start - v->offset),
				    v->start + (end - v->offset));
	}
	replicas_drop(o, first, n);
}

void
object_release(struct vm_object *o, u64 first, u64 end)
{
	struct frame *batch[RELEASE_BATCH];
	unsigned n;

	do {
		spin_lock(&o->lock);
		n = object_take(o, &first, end, batch, RELEASE_BATCH);
		spin_unlock(&o->lock);
		for (unsigned i = 0; i < n; i++)
			frame_put(batch[i]);
	} while (n == RELEASE_BATCH);
}

int
object_writable(struct vm_object *o, u64 index, struct frame **f)
{
	struct frame *old = *f, *copy;
	void **slot;

	if (!(atomic_load(&old->flags) & FF_FLIGHT))
		return 0;
	copy = home_may_copy() ? policy_alloc(NULL, index << PAGE_SHIFT, 0, 0) : NULL;
	if (copy == NULL)
		return -EAGAIN;
	object_unmap(o, index, 1);
	page_copy(frame_virt(copy), frame_virt(old));
	copy->flags |= o->ops->frame_flag;
	frame_account(copy, copy->flags & FF_ANON ? FRAME_USE_ANON : FRAME_USE_CACHE, 1);
	slot = radix_find(&o->pages, index);
	assert(slot != NULL && *slot == old);
	home_replace(old, copy);
	*slot = copy;
	frame_put(old);
	*f = copy;
	return 0;
}

u64
vm_object_resident(const struct vm_object *o)
{
	const struct vm_home *h = atomic_load(&o->home);
	u64 n = atomic_load_relaxed(&o->resident);

	if (h != NULL)
		n += atomic_load_relaxed(&h->absent) + atomic_load_relaxed(&h->away);
	return n;
}
