/*
 * From which clusters the pages of programs come, and moving them afterwards (man set_mempolicy,
 * mbind, move_pages). Without a policy a page comes from the cluster that touches it first.
 */
#ifndef MM_POLICY_H
#define MM_POLICY_H

#include "mm/map.h"

static inline bool
policy_equal(const struct mem_policy *a, const struct mem_policy *b)
{
	return a->mode == b->mode && a->nodes == b->nodes && a->flags == b->flags;
}

/* As frame_alloc, by the policy of v (NULL: none) for the page at va, else the thread's. */
struct frame *policy_alloc(const struct vm_mapping *v, vaddr_t va, unsigned order, unsigned how);
/* The same by policy p, for page `index` of what p is for. => p is not the thread's */
struct frame *policy_alloc_by(const struct mem_policy *p, u64 index, unsigned order, unsigned how);
/* The same for page `index` of a shared object. => o->lock held */
struct frame *policy_alloc_shared(struct vm_object *o, u64 index, unsigned how);
/* Sets the policy of n pages of a shared object. 0 or -ENOMEM. */
int __must_check policy_share(struct vm_object *o, u64 first, u64 n, const struct mem_policy *p);
/* The policy of a page of a shared object; false: it has none. */
bool policy_shared_at(struct vm_object *o, u64 index, struct mem_policy *out);
/* For records: a policy without the clusters that this machine lacks; the default if none is left.
 */
void policy_fit(struct mem_policy *p);
/* The ranges of a shared object as fields of one tag. */
void policies_save(struct tag_writer *w, u16 tag, const struct vm_object *o);
int __must_check policies_load(const struct tag_reader *in, u16 tag, struct vm_object *o);
/* => the last reference is gone */
void policies_destroy(struct vm_object *o);
/* The cluster the calling thread's next page comes from by MPOL_INTERLEAVE. */
unsigned policy_next(const struct thread *t);
/* Sets the policy of a range. 0, -EFAULT at a hole, -ENOMEM. `move`: pages that do not conform are
 * moved. `strict`: -EIO when some do not, or could not be. */
int vm_mbind(struct vm_map *m, vaddr_t addr, u64 size, struct mem_policy policy, bool move,
	     bool strict);
/* The policy at an address. 0 or -EFAULT. */
int vm_policy_at(struct vm_map *m, vaddr_t addr, struct mem_policy *out);
/* The cluster of the page at va: -EFAULT no mapping, -ENOENT no page. */
int vm_page_node(struct vm_map *m, vaddr_t va);
/* Moves the page at va. The cluster it is in then, -EFAULT, -ENOENT, -EACCES (others show it too),
 * -EBUSY (in use), -ENOMEM. */
int vm_page_move(struct vm_map *m, vaddr_t va, unsigned cxy);
/* Moves all pages that lie in cluster i to to[i] (i: nothing to do). How many could not be. */
long vm_pages_migrate(struct vm_map *m, const u8 to[MAX_CLUSTERS]);

#endif
