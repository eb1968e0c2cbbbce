/*
 * Policies of shared memory: what mbind says of a shared mapping belongs to the pages, whoever maps
 * them, for as long as their object lives (man mbind; on Linux: shared memory and tmpfs, which is
 * what all files here are).
 *
 * An object has a list of ranges, ordered and apart; where there is none the thread's policy holds.
 * Lock: the object's.
 */
#include <asm/errno.h>
#include <linux/mempolicy.h>

#include "core/thread.h"
#include "lib/assert.h"
#include "lib/string.h"
#include "mm/object.h"
#include "mm/policy.h"
#include "mm/slab.h"

struct shared_policy {
	struct shared_policy *next;
	u64 first, end; /* pages */
	struct mem_policy policy;
};

static const struct mem_policy *
find(const struct vm_object *o, u64 index)
{
	const struct shared_policy *r = o->policies;

	debug_assert(spin_held(&o->lock));
	while (r != NULL && r->end <= index)
		r = r->next;
	return r != NULL && r->first <= index ? &r->policy : NULL;
}

struct frame *
policy_alloc_shared(struct vm_object *o, u64 index, unsigned how)
{
	const struct mem_policy *p = find(o, index);

	if (p == NULL)
		return policy_alloc(NULL, index << PAGE_SHIFT, 0, how);
	return policy_alloc_by(p, index, 0, how);
}

/* Makes a hole of [first, end). Returns the link behind which a new range belongs; *rest is used up
 * if a range had to become two. => the object's lock is held */
static struct shared_policy **
cut(struct vm_object *o, u64 first, u64 end, struct shared_policy **rest)
{
	struct shared_policy **link = &o->policies, *r;

	while ((r = *link) != NULL && r->first < end) {
		if (r->end <= first) {
			link = &r->next;
		} else if (r->first < first && r->end > end) {
			**rest = (struct shared_policy){r->next, end, r->end, r->policy};
			r->end = first;
			r->next = *rest;
			*rest = NULL;
			return &r->next;
		} else if (r->first < first) {
			r->end = first;
			link = &r->next;
		} else if (r->end > end) {
			r->first = end;
			break;
		} else {
			*link = r->next;
			kfree(r);
		}
	}
	return link;
}

int
policy_share(struct vm_object *o, u64 first, u64 n, const struct mem_policy *p)
{
	struct shared_policy *new = kzalloc(sizeof(*new)), *rest = kzalloc(sizeof(*rest)), **link;

	if (new == NULL || rest == NULL) {
		kfree(new);
		kfree(rest);
		return -ENOMEM;
	}
	spin_lock(&o->lock);
	link = cut(o, first, first + n, &rest);
	if (p->mode != MPOL_DEFAULT) {
		*new = (struct shared_policy){*link, first, first + n, *p};
		*link = new;
		new = NULL;
	}
	persist_touch(&o->persistent);
	spin_unlock(&o->lock);
	kfree(new);
	kfree(rest);
	return 0;
}

bool
policy_shared_at(struct vm_object *o, u64 index, struct mem_policy *out)
{
	const struct mem_policy *p;

	spin_lock(&o->lock);
	p = find(o, index);
	if (p != NULL)
		*out = *p;
	spin_unlock(&o->lock);
	return p != NULL;
}

/* --- over a power cut --- */

enum { RANGE_WORDS = 5 }; /* first, end, mode, nodes, flags */

void
policies_save(struct tag_writer *w, u16 tag, const struct vm_object *o)
{
	for (const struct shared_policy *r = o->policies; r != NULL; r = r->next) {
		const u64 word[RANGE_WORDS] = {r->first, r->end, r->policy.mode, r->policy.nodes,
					       r->policy.flags};

		tag_bytes(w, tag, word, sizeof(word));
	}
}

int
policies_load(const struct tag_reader *in, u16 tag, struct vm_object *o)
{
	struct shared_policy **link = &o->policies, *r;
	struct tag_field f = {0};
	u64 word[RANGE_WORDS], end = 0;

	while (tag_next(in, tag, &f)) {
		if (f.length != sizeof(word))
			return -EBADMSG;
		memcpy(word, f.data, sizeof(word));
		if (word[0] < end || word[1] <= word[0])
			return -EBADMSG;
		r = kzalloc(sizeof(*r));
		if (r == NULL)
			return -ENOMEM;
		end = r->end = word[1];
		r->first = word[0];
		r->policy.mode = (__typeof__(r->policy.mode))word[2];
		r->policy.nodes = (__typeof__(r->policy.nodes))word[3];
		r->policy.flags = (__typeof__(r->policy.flags))word[4];
		policy_fit(&r->policy);
		if (r->policy.mode == MPOL_DEFAULT) {
			kfree(r);
			continue;
		}
		*link = r;
		link = &r->next;
	}
	return 0;
}

void
policies_destroy(struct vm_object *o)
{
	while (o->policies != NULL) {
		struct shared_policy *r = o->policies;

		o->policies = r->next;
		kfree(r);
	}
}
