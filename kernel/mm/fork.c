/*
 * A copy of an address space for fork. Nothing is copied but the mappings: parent and child show
 * the same anons with needs_copy, and the parent's page tables lose the right to write, in one
 * batch. The child's tables start empty. What the first writes do is in object_anon.c and fault.c.
 */
#include <asm/errno.h>

#include "mm/mapping.h"

static void
copy_layout(struct vm_map *to, const struct vm_map *from)
{
	to->limit_pages = from->limit_pages;
	to->mmap_base = from->mmap_base;
	to->search_top = from->search_top;
	to->search_hole = from->search_hole;
	to->brk_start = from->brk_start;
	to->brk = from->brk;
	to->stack_top = from->stack_top;
	to->stack_limit = from->stack_limit;
	to->arg_start = from->arg_start;
	to->arg_end = from->arg_end;
	to->env_start = from->env_start;
	to->env_end = from->env_end;
	to->vdso = from->vdso;
	to->rss_anon = from->rss_anon;
	to->max_rss = from->rss_anon;
	to->membarrier = from->membarrier;
}

/* The child's mapping without what the parent changed. */
static struct vm_mapping *
clone_wiped(struct vm_map *child, struct vm_mapping *v)
{
	struct vm_object *anon = v->anon;
	struct vm_mapping *w;

	v->anon = NULL;
	w = mapping_clone(child, v, v->start, v->end);
	v->anon = anon;
	if (w != NULL)
		w->needs_copy = false;
	return w;
}

static int
fork_mapping(struct vm_map *child, struct vm_mapping *v, struct pmap_batch *batch)
{
	bool shares = !(v->flags & (VM_SHARED | VM_WIPEFORK)) && v->anon != NULL;
	bool wrote = shares && !v->needs_copy;
	struct vm_mapping *w;

	if (v->flags & VM_NOFORK)
		return 0;
	if (shares) {
		v->needs_copy = true;
		mapping_edited(v);
	}
	if (wrote)
		pmap_batch_protect(batch, v->start, v->end, VM_READ | VM_EXEC);
	w = v->flags & VM_WIPEFORK ? clone_wiped(child, v)
				   : mapping_clone(child, v, v->start, v->end);
	if (w == NULL)
		return -ENOMEM;
	w->flags &= ~VM_LOCKED;
	mapping_insert(w);
	return 0;
}

int
vm_map_fork(struct vm_map *parent, struct vm_map **out)
{
	struct vm_map *child = vm_map_create();
	struct pmap_batch batch;
	struct rb_node *n;
	int err = 0;

	if (child == NULL)
		return -ENOMEM;
	rwlock_write(&parent->lock);
	copy_layout(child, parent);
	pmap_batch_begin(&batch, parent->pmap);
	for (n = rb_first(&parent->mappings); n != NULL && err == 0; n = rb_next(n))
		err = fork_mapping(child, rb_entry(n, struct vm_mapping, node), &batch);
	pmap_batch_end(&batch);
	rwlock_write_done(&parent->lock);
	if (err) {
		vm_map_put(child);
		return err;
	}
	*out = child;
	return 0;
}
