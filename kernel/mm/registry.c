/*
 * The lists of all VM objects and all pmaps (see registry.h).
 *
 * Locks: one per cluster and list (rank RANK_SLAB: nothing but the entry is done under it).
 */
#include "mm/registry.h"
#include "cluster/cluster.h"
#include "lib/assert.h"
#include "mm/slab.h"

struct registry {
	struct registry_list {
		struct spinlock lock; /* rank RANK_SLAB */
		struct list all;      /* [lock] */
	} list[REGISTRY_KINDS];
};

void
registry_init_cluster(void)
{
	struct registry *g = kzalloc(sizeof(*g));

	assert(g != NULL);
	for (unsigned i = 0; i < REGISTRY_KINDS; i++) {
		spin_init(&g->list[i].lock, "registry", RANK_SLAB);
		list_init(&g->list[i].all);
	}
	this_cluster()->registry = g;
}

void
registry_add(struct registered *r, enum registry_kind kind)
{
	struct registry_list *l = &this_cluster()->registry->list[kind];

	r->cxy = this_cluster()->cxy;
	spin_lock(&l->lock);
	list_add(&l->all, &r->link);
	spin_unlock(&l->lock);
}

void
registry_remove(struct registered *r, enum registry_kind kind)
{
	struct registry_list *l = &machine()->cluster[r->cxy]->registry->list[kind];

	spin_lock(&l->lock);
	list_del(&r->link);
	spin_unlock(&l->lock);
}

void
registry_walk(enum registry_kind kind, void (*fn)(struct registered *r, void *arg), void *arg)
{
	for (u32 i = 0; i < machine()->nclusters; i++) {
		struct registry_list *l = &machine()->cluster[i]->registry->list[kind];
		struct registered *r, *next;

		list_for_each_entry_safe (r, next, &l->all, link)
			fn(r, arg);
	}
}

void
registry_look(enum registry_kind kind, void (*fn)(struct registered *r, void *arg), void *arg)
{
	for (u32 i = 0; i < machine()->nclusters; i++) {
		struct registry_list *l = &machine()->cluster[i]->registry->list[kind];
		struct registered *r;

		spin_lock(&l->lock);
		list_for_each_entry (r, &l->all, link)
			fn(r, arg);
		spin_unlock(&l->lock);
	}
}
