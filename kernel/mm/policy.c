/*
 * Memory policies: see policy.h; move.c moves pages.
 *
 * A mapping has a policy, and each thread, and shared memory (policy_shared.c); MPOL_DEFAULT in a
 * mapping means the thread's, in a thread the core's own cluster. Only user memory is taken by
 * policy, never the kernel's own. MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES are kept and told:
 * clusters do not come and go.
 */
#include <asm/errno.h>
#include <linux/mempolicy.h>

#include "core/core.h"
#include "core/sched.h"
#include "lib/assert.h"
#include "mm/policy.h"
#include "mm/protect.h"

/* From the clusters of a mask, nearest first; `home` is where to start from. */
static struct frame *
alloc_nearest(unsigned nodes, unsigned order, unsigned how)
{
	struct machine *m = machine();
	unsigned home = this_core()->arch.cxy;

	while (nodes != 0) {
		unsigned best = __builtin_ctz(nodes);
		struct frame *f;

		for (unsigned i = best; i < m->nclusters; i++)
			if ((nodes >> i & 1) && m->distance[home][i] < m->distance[home][best])
				best = i;
		f = frame_alloc_on(best, order, how | FRAME_LOCAL);
		if (f != NULL)
			return f;
		nodes &= ~(1u << best);
	}
	return NULL;
}

static unsigned
nth_node(unsigned nodes, u64 n)
{
	unsigned count = 0;

	for (unsigned left = nodes; left != 0; left &= left - 1)
		count++;
	for (n %= count; n > 0; n--)
		nodes &= nodes - 1;
	return __builtin_ctz(nodes);
}

unsigned
policy_next(const struct thread *t)
{
	return nth_node(t->policy.nodes, t->interleave);
}

struct frame *
policy_alloc(const struct vm_mapping *v, vaddr_t va, unsigned order, unsigned how)
{
	struct thread *t = current_thread();

	if (v != NULL && v->policy.mode != MPOL_DEFAULT)
		return policy_alloc_by(&v->policy, (v->offset + (va - v->start)) >> PAGE_SHIFT,
				       order, how);
	return policy_alloc_by(
		&t->policy, t->policy.mode == MPOL_INTERLEAVE ? (u64)t->interleave++ << order : 0,
		order, how);
}

struct frame *
policy_alloc_by(const struct mem_policy *p, u64 index, unsigned order, unsigned how)
{
	struct frame *f;

	switch (p->mode) {
	case MPOL_PREFERRED:
		return frame_alloc_on(__builtin_ctz(p->nodes), order, how);
	case MPOL_INTERLEAVE:
		return frame_alloc_on(nth_node(p->nodes, index >> order), order, how);
	case MPOL_BIND:
		return alloc_nearest(p->nodes, order, how);
	case MPOL_PREFERRED_MANY:
		f = alloc_nearest(p->nodes, order, how);
		return f != NULL || (how & FRAME_LOCAL) ? f : frame_alloc(order, how);
	default:
		return frame_alloc(order, how);
	}
}

void
policy_fit(struct mem_policy *p)
{
	if (p->mode == MPOL_DEFAULT || p->mode == MPOL_LOCAL)
		return;
	p->nodes &= (__typeof__(p->nodes))((1u << machine()->nclusters) - 1);
	if (p->nodes == 0)
		*p = (struct mem_policy){.mode = MPOL_DEFAULT};
}

static bool
is_shared(const struct vm_mapping *v)
{
	return (v->flags & VM_SHARED) && !(v->flags & VM_DEVICE);
}

static int
bind_one(struct vm_mapping *v, void *arg)
{
	if (v->object != NULL && is_shared(v))
		return policy_share(v->object, v->offset >> PAGE_SHIFT, mapping_pages(v), arg);
	v->policy = *(const struct mem_policy *)arg;
	mapping_edited(v);
	return 0;
}

/* Whether a page there is as the policy wants it. */
static bool
conforms(const struct mem_policy *p, int node)
{
	return node < 0 || p->nodes == 0 || (p->nodes >> node & 1);
}

/* Moves what does not conform, if asked to; whether all does then. */
static bool
make_conform(struct vm_map *m, vaddr_t addr, u64 size, const struct mem_policy *p, bool move)
{
	bool all = true;

	for (vaddr_t va = addr; va < addr + size; va += PAGE_SIZE) {
		int node = vm_page_node(m, va);

		if (!conforms(p, node) && move)
			node = vm_page_move(m, va, nth_node(p->nodes, va >> PAGE_SHIFT));
		if (!conforms(p, node) || (node < 0 && node != -ENOENT))
			all = false;
		sched_point();
	}
	return all;
}

int
vm_mbind(struct vm_map *m, vaddr_t addr, u64 size, struct mem_policy policy, bool move, bool strict)
{
	int err;

	rwlock_write(&m->lock);
	err = map_for_range(m, addr, addr + size, bind_one, &policy);
	if (err == -ENOMEM && mapping_find(m, addr) == NULL)
		err = -EFAULT;
	map_join_range(m, addr, addr + size);
	rwlock_write_done(&m->lock);
	if (err || (!move && !strict))
		return err;
	return make_conform(m, addr, size, &policy, move) || !strict ? 0 : -EIO;
}

int
vm_policy_at(struct vm_map *m, vaddr_t addr, struct mem_policy *out)
{
	const struct vm_mapping *v;

	rwlock_read(&m->lock);
	v = mapping_find(m, addr);
	if (v != NULL)
		*out = v->policy.mode != MPOL_DEFAULT ? v->policy : current_thread()->policy;
	if (v != NULL && v->object != NULL && is_shared(v))
		(void)!policy_shared_at(v->object, (v->offset + (addr - v->start)) >> PAGE_SHIFT,
					out);
	rwlock_read_done(&m->lock);
	return v != NULL ? 0 : -EFAULT;
}
