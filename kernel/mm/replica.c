/*
 * Read-only pages near their user: a cluster that faults often on the text of a file of the root
 * image gets copies of the pages it executes, in its own memory.
 *
 * Only the image's frames are copied: they never change, and what replaces one (a write to the
 * file) takes every translation away first, by object_unmap(), which drops the copies too. Page
 * tables of different clusters then show different frames with the same bytes; such translations
 * are entered with PMAP_REPLICA. A cluster spends at most a share of its memory on copies, makes
 * none while it is short of frames, and gives them back, the oldest first, when a program there
 * had to be served from another cluster. They are no part of the page cache and not counted there.
 *
 * Locks: the object's for its copies; the cluster's replica lock (rank RANK_SLAB, below it) for the
 * list of all copies there.
 */
#include "cluster/cluster.h"
#include "lib/assert.h"
#include "lib/atomic.h"
#include "mm/replica.h"
#include "mm/slab.h"

#define OFTEN	     8	/* faults of a cluster on an object's text before it gets copies */
#define BUDGET_SHARE 16 /* of a cluster's memory */
#define SCARCE_SHARE 8	/* of it must be free for a copy to be made */
#define GIVE_BACK    64 /* pages at a time */

struct replica {
	struct list link; /* [replica lock] */
	struct vm_object *object;
	u64 index;
	struct frame *frame;
};

struct replicas {
	u32 faults[MAX_CLUSTERS];	   /* [o->lock] */
	struct radix copies[MAX_CLUSTERS]; /* [o->lock] index -> struct replica */
};

struct replica_list {
	struct spinlock lock; /* rank RANK_SLAB */
	struct list all;      /* [lock] oldest first */
	u64 pages;	      /* [lock] */
};

void
replica_init_cluster(void)
{
	struct replica_list *l = kzalloc(sizeof(*l));

	assert(l != NULL);
	spin_init(&l->lock, "replicas", RANK_SLAB);
	list_init(&l->all);
	this_cluster()->replicas = l;
}

u64
replica_pages(unsigned cxy)
{
	return atomic_load_relaxed(&machine()->cluster[cxy]->replicas->pages);
}

static struct replicas *
replicas_of(struct vm_object *o)
{
	struct replicas *r = o->replicas;

	if (r != NULL)
		return r;
	r = kzalloc(sizeof(*r));
	if (r == NULL)
		return NULL;
	for (unsigned i = 0; i < MAX_CLUSTERS; i++)
		radix_init(&r->copies[i], o->pages.mem);
	o->replicas = r;
	return r;
}

/* Whether the calling core's cluster has memory for another copy. */
static bool
can_afford(unsigned cxy)
{
	struct memory_info m;

	memory_info_cluster(cxy, &m);
	return m.free > m.total / SCARCE_SHARE && replica_pages(cxy) < m.total / BUDGET_SHARE;
}

static struct replica *
replica_make(struct vm_object *o, u64 index, struct frame *f, unsigned cxy)
{
	struct replica_list *l = machine()->cluster[cxy]->replicas;
	struct replica *copy = kzalloc(sizeof(*copy));

	if (copy == NULL)
		return NULL;
	copy->frame = frame_alloc_on(cxy, 0, FRAME_LOCAL);
	if (copy->frame == NULL || radix_set(&o->replicas->copies[cxy], index, copy)) {
		if (copy->frame != NULL)
			frame_put(copy->frame);
		kfree(copy);
		return NULL;
	}
	copy->object = o;
	copy->index = index;
	page_copy(frame_virt(copy->frame), frame_virt(f));
	spin_lock(&l->lock);
	list_add_tail(&l->all, &copy->link);
	l->pages++;
	spin_unlock(&l->lock);
	return copy;
}

static bool
is_near(const struct frame *f, unsigned cxy)
{
	return !(f->flags & FF_IMAGE) || f->cxy == cxy || machine()->one_copy;
}

struct frame *
replica_near(struct vm_object *o, u64 index, struct frame *f)
{
	unsigned cxy = this_core()->arch.cxy;
	const struct replicas *r = o->replicas;
	const struct replica *copy;

	if (is_near(f, cxy) || r == NULL || r->faults[cxy] <= OFTEN)
		return f;
	copy = radix_get(&r->copies[cxy], index);
	if (copy != NULL)
		return copy->frame;
	return can_afford(cxy) ? NULL : f;
}

struct frame *
replica_for(struct vm_object *o, u64 index, struct frame *f)
{
	unsigned cxy = this_core()->arch.cxy;
	struct replicas *r;
	struct replica *copy;

	if (is_near(f, cxy))
		return f;
	r = replicas_of(o);
	if (r == NULL)
		return f;
	copy = radix_get(&r->copies[cxy], index);
	if (copy != NULL)
		return copy->frame;
	if (r->faults[cxy]++ < OFTEN || !can_afford(cxy))
		return f;
	copy = replica_make(o, index, f, cxy);
	return copy != NULL ? copy->frame : f;
}

/* => the object's lock is held, or nobody else knows it */
static void
replica_free(struct vm_object *o, unsigned cxy, struct replica *copy)
{
	struct replica_list *l = machine()->cluster[cxy]->replicas;

	radix_remove(&o->replicas->copies[cxy], copy->index);
	spin_lock(&l->lock);
	list_del(&copy->link);
	l->pages--;
	spin_unlock(&l->lock);
	frame_put(copy->frame);
	kfree(copy);
}

void
replicas_drop(struct vm_object *o, u64 first, u64 n)
{
	for (unsigned i = 0; i < machine()->nclusters && o->replicas != NULL; i++) {
		struct replica *copy;
		u64 at = first;

		while ((copy = radix_next(&o->replicas->copies[i], &at)) != NULL && at < first + n)
			replica_free(o, i, copy);
	}
}

void
replicas_destroy(struct vm_object *o)
{
	if (o->replicas == NULL)
		return;
	replicas_drop(o, 0, ~0UL);
	for (unsigned i = 0; i < MAX_CLUSTERS; i++)
		radix_destroy(&o->replicas->copies[i]);
	kfree(o->replicas);
	o->replicas = NULL;
}

/* The oldest copy's object, referenced, and its page. */
static struct vm_object *
oldest(struct replica_list *l, u64 *index)
{
	struct vm_object *o = NULL;
	struct replica *copy;

	spin_lock(&l->lock);
	list_for_each_entry (copy, &l->all, link) {
		*index = copy->index;
		if (!refcount_get_unless_zero(&copy->object->refs))
			continue; /* it is being freed, and this with it */
		o = copy->object;
		break;
	}
	spin_unlock(&l->lock);
	return o;
}

bool
replicas_give_back(void)
{
	struct replica_list *l = this_cluster()->replicas;
	struct vm_object *o;
	u64 index;
	unsigned n;

	for (n = 0; n < GIVE_BACK && (o = oldest(l, &index)) != NULL; n++) {
		spin_lock(&o->lock);
		object_unmap(o, index, 1);
		spin_unlock(&o->lock);
		vm_object_put(o);
	}
	return n > 0;
}

void
replicas_walk(const struct vm_object *o, void (*fn)(unsigned cxy, struct frame *f, void *arg),
	      void *arg)
{
	for (unsigned i = 0; i < MAX_CLUSTERS && o->replicas != NULL; i++) {
		const struct replica *copy;
		u64 at = 0;

		for (; (copy = radix_next(&o->replicas->copies[i], &at)) != NULL; at++)
			fn(i, copy->frame, arg);
	}
}
