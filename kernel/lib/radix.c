/*
 * Radix trees with 512-way nodes of one page (see radix.h).
 *
 * The root grows by a level when an index does not fit, with the old root as its first child; it
 * never shrinks but at radix_destroy, nor are empty nodes given back before: an object that was
 * once filled is likely to be filled again, and a leaf's address stays valid for who holds it.
 * Who uses indexes that move on and on removes with radix_remove_prune.
 */
#include <asm/errno.h>

#include "lib/radix.h"

#define RADIX_MAX_HEIGHT 6 /* 54 bits: more than a 52-bit index needs */

static unsigned
radix_digit(u64 index, unsigned level)
{
	return (index >> (level * RADIX_BITS)) & (RADIX_FAN - 1);
}

static bool
radix_fits(const struct radix *r, u64 index)
{
	return r->height > 0 &&
	       (r->height >= RADIX_MAX_HEIGHT || index >> (r->height * RADIX_BITS) == 0);
}

void
radix_init(struct radix *r, const struct radix_mem *mem)
{
	r->root = NULL;
	r->height = 0;
	r->count = 0;
	r->mem = mem;
}

void **
radix_find(const struct radix *r, u64 index)
{
	void **node = r->root;

	if (!radix_fits(r, index))
		return NULL;
	for (unsigned level = r->height - 1; level > 0; level--) {
		node = node[radix_digit(index, level)];
		if (node == NULL)
			return NULL;
	}
	return &node[radix_digit(index, 0)];
}

void *
radix_get(const struct radix *r, u64 index)
{
	void **slot = radix_find(r, index);

	return slot == NULL ? NULL : *slot;
}

/* Adds levels on top until `index` fits. */
static bool
radix_grow(struct radix *r, u64 index)
{
	while (!radix_fits(r, index)) {
		void **node = r->mem->alloc_zeroed_page();

		if (node == NULL)
			return false;
		node[0] = r->root;
		r->root = node;
		r->height++;
	}
	return true;
}

void **
radix_slot(struct radix *r, u64 index)
{
	void **node;

	if (!radix_grow(r, index))
		return NULL;
	node = r->root;
	for (unsigned level = r->height - 1; level > 0; level--) {
		void **child = &node[radix_digit(index, level)];

		if (*child == NULL) {
			*child = r->mem->alloc_zeroed_page();
			if (*child == NULL)
				return NULL;
		}
		node = *child;
	}
	return &node[radix_digit(index, 0)];
}

int
radix_set(struct radix *r, u64 index, void *value)
{
	void **slot;

	if (value == NULL) {
		radix_remove(r, index);
		return 0;
	}
	slot = radix_slot(r, index);
	if (slot == NULL)
		return -ENOMEM;
	if (*slot == NULL)
		r->count++;
	*slot = value;
	return 0;
}

void *
radix_remove(struct radix *r, u64 index)
{
	void **slot = radix_find(r, index);
	void *old;

	if (slot == NULL || *slot == NULL)
		return NULL;
	old = *slot;
	*slot = NULL;
	r->count--;
	return old;
}

/* What is left mostly lies beside what was removed: the search goes outward from there. */
static bool
node_is_empty(void *const *node, unsigned from)
{
	for (unsigned d = 0; d < RADIX_FAN; d++)
		if ((from >= d && node[from - d] != NULL) ||
		    (from + d < RADIX_FAN && node[from + d] != NULL))
			return false;
	return true;
}

void *
radix_remove_prune(struct radix *r, u64 index)
{
	void *old = radix_remove(r, index);
	void **path[RADIX_MAX_HEIGHT], **node = r->root;
	unsigned level;

	if (old == NULL)
		return NULL;
	for (level = r->height - 1; level > 0; level--) {
		path[level] = node;
		node = node[radix_digit(index, level)];
	}
	for (; node_is_empty(node, radix_digit(index, level)); node = path[level]) {
		r->mem->free_page(node);
		if (++level == r->height) {
			radix_init(r, r->mem);
			break;
		}
		path[level][radix_digit(index, level)] = NULL;
	}
	return old;
}

/* The first entry of the subtree `node` in [*index, last]; both count within the subtree. */
static void *
radix_next_below(void **node, unsigned level, u64 *index, u64 last)
{
	unsigned shift = level * RADIX_BITS;
	u64 mask = (1UL << shift) - 1, rest = *index & mask;
	u64 i = *index >> shift, stop = last >> shift;
	void *found = NULL;

	if (level == 0) {
		while (i < stop && node[i] == NULL)
			i++;
		*index = i;
		return node[i];
	}
	for (; i <= stop && found == NULL; i++) {
		if (node[i] != NULL)
			found = radix_next_below(node[i], level - 1, &rest,
						 i == stop ? last & mask : mask);
		if (found != NULL)
			*index = i << shift | rest;
		rest = 0;
	}
	return found;
}

void *
radix_next_before(const struct radix *r, u64 *index, u64 end)
{
	unsigned bits = r->height * RADIX_BITS;
	u64 at = *index, most = bits < 64 ? (1UL << bits) - 1 : ~0UL;
	void *found;

	if (r->count == 0 || at >= end || at > most)
		return NULL;
	found = radix_next_below(r->root, r->height - 1, &at, min(end - 1, most));
	if (found != NULL)
		*index = at;
	return found;
}

void *
radix_next(const struct radix *r, u64 *index)
{
	return radix_next_before(r, index, ~0UL);
}

unsigned
radix_take(struct radix *r, u64 *index, u64 end, void **out, unsigned n)
{
	unsigned taken = 0;
	void **slot;

	if (n == 0 || radix_next_before(r, index, end) == NULL)
		return 0;
	slot = radix_find(r, *index);
	do {
		out[taken++] = *slot;
		*slot++ = NULL;
		++*index;
	} while (taken < n && *index < end && *index % RADIX_FAN != 0 && *slot != NULL);
	r->count -= taken;
	return taken;
}

static void
radix_free_below(struct radix *r, void **node, unsigned level)
{
	if (level > 0)
		for (unsigned i = 0; i < RADIX_FAN; i++)
			if (node[i] != NULL)
				radix_free_below(r, node[i], level - 1);
	r->mem->free_page(node);
}

void
radix_destroy(struct radix *r)
{
	if (r->root != NULL)
		radix_free_below(r, r->root, r->height - 1);
	radix_init(r, r->mem);
}
