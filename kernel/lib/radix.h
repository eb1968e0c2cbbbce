/*
 * A radix tree from a 52-bit index to a pointer: 512-way nodes of one page, so that a leaf covers
 * exactly the 512 pages of a 2 MiB page. Height grows with the largest index. The caller locks.
 * Nodes are allocated through the two functions given at initialisation (in the kernel: zeroed
 * pages of the page allocator; on the host: calloc).
 */
#ifndef LIB_RADIX_H
#define LIB_RADIX_H

#include "lib/types.h"

#define RADIX_BITS 9
#define RADIX_FAN  (1u << RADIX_BITS)

struct radix_mem {
	void *(*alloc_zeroed_page)(void); /* NULL when out of memory */
	void (*free_page)(void *page);
};

struct radix {
	void **root;
	unsigned height; /* 0: empty */
	u64 count;	 /* entries that are not NULL */
	const struct radix_mem *mem;
};

void radix_init(struct radix *r, const struct radix_mem *mem);
void *radix_get(const struct radix *r, u64 index);
/* The slot of `index` if its node exists, else NULL: to look up or change without allocating. */
void **radix_find(const struct radix *r, u64 index);
/* Returns the slot of `index`, making nodes on the way (NULL: out of memory). The caller who fills
 * or empties a slot by hand keeps r->count right; radix_set does it itself. */
void **radix_slot(struct radix *r, u64 index);
/* 0, or -ENOMEM. A NULL value removes. */
int __must_check radix_set(struct radix *r, u64 index, void *value);
void *radix_remove(struct radix *r, u64 index);
/* The same, and gives back the nodes that it leaves empty. => nobody holds a slot */
void *radix_remove_prune(struct radix *r, u64 index);
/* Removes up to n of the entries at or behind *index and before `end`, as long as they follow each
 * other in one node; out[] gets them. Returns how many; *index is behind the last. */
unsigned radix_take(struct radix *r, u64 *index, u64 end, void **out, unsigned n);
/* The first entry at or behind *index (NULL: none); *index becomes its index. */
void *radix_next(const struct radix *r, u64 *index);
/* The same, looking no further than before `end`: a sparse tree is long. */
void *radix_next_before(const struct radix *r, u64 *index, u64 end);
/* Frees all nodes (not what the entries point to). */
void radix_destroy(struct radix *r);

#endif
