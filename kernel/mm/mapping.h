/*
 * Inside mm/: the ordered mappings of an address space, and how they are cut and joined.
 * All need map->lock held for writing unless they say otherwise.
 */
#ifndef MM_MAPPING_H
#define MM_MAPPING_H

#include "mm/anon.h"
#include "mm/map.h"

#define VM_KEPT_FLAGS                                                                              \
	(VM_SHARED | VM_NORESERVE | VM_STACK | VM_DEVICE | VM_NOFORK | VM_WIPEFORK | VM_LOCKED |   \
	 VM_NOHUGE)

#define STACK_GUARD (256 * PAGE_SIZE) /* kept free below a growing stack */
#define MIN_ADDRESS 0x10000UL

/* What the machine's cores share: machine()->mm. */
struct mm {
	const struct vm_file_ops *file_ops; /* [I] after start */
	struct frame *zero;		    /* [I] a frame of zeros, mapped read-only */
	struct homes *homes;		    /* [I] after start; mm/home.h; NULL: no store */
};

struct vm_mapping *mapping_create(struct vm_map *m, vaddr_t start, vaddr_t end);
/* A copy of `v` for [start, end) of it, in map m, showing the same object and anon. */
struct vm_mapping *mapping_clone(struct vm_map *m, const struct vm_mapping *v, vaddr_t start,
				 vaddr_t end);
void mapping_set_object(struct vm_mapping *v, struct vm_object *o, u64 offset);
/* Changes the place; the offsets are those of the new start. */
void mapping_place(struct vm_mapping *v, vaddr_t start, vaddr_t end, u64 offset, u64 anon_offset);

/* => lock for reading suffices */
struct vm_mapping *mapping_find(const struct vm_map *m, vaddr_t va);
struct vm_mapping *mapping_from(const struct vm_map *m,
				vaddr_t va); /* the first ending behind va */
struct vm_mapping *mapping_next(const struct vm_mapping *v);
struct vm_mapping *mapping_prev(const struct vm_mapping *v);

void mapping_insert(struct vm_mapping *v);
void mapping_unlink(struct vm_mapping *v);
/* Whoever changes a field of v that map_persist.c writes says so, but where v is inserted or
 * unlinked beside it. => lock for reading suffices */
static inline void
mapping_edited(struct vm_mapping *v)
{
	atomic_add_relaxed(&v->map->edits, 1);
}

/* Cuts so that `at` is no inner address of a mapping. 0 or -ENOMEM. */
int __must_check map_cut(struct vm_map *m, vaddr_t at);
/* Joins v with its neighbours where they fit; returns what covers v now. */
struct vm_mapping *mapping_join(struct vm_mapping *v);
/* Joins whatever fits within and around [start, end). */
void map_join_range(struct vm_map *m, vaddr_t start, vaddr_t end);

/* Takes the mappings of a range away. They go to *dead, for mappings_bury() after unlocking. */
int __must_check map_remove(struct vm_map *m, vaddr_t start, vaddr_t end, struct vm_mapping **dead);
void mappings_bury(struct vm_mapping *dead);

/* A free range of this size, or 0. */
vaddr_t map_find_hole(struct vm_map *m, u64 size, bool low);
/* A hole came to be that ends at or behind `end`. */
void map_note_hole(struct vm_map *m, vaddr_t end);
bool map_is_free(const struct vm_map *m, vaddr_t start, vaddr_t end);

static inline bool
mapping_commits(const struct vm_mapping *v)
{
	return (v->prot & VM_WRITE) && !(v->flags & (VM_SHARED | VM_NORESERVE));
}

static inline bool
range_ok(vaddr_t addr, u64 size)
{
	return size <= USER_TOP && addr <= USER_TOP - size;
}

static inline void
rss_sub(u64 *counter, u64 n)
{
	u64 v = atomic_load_relaxed(counter);

	atomic_add_relaxed(counter, -(n < v ? n : v));
}

#endif
