/*
 * A fault that is being served: between fault.c, which serves it, and fault_around.c, which brings
 * pages beside it along.
 */
#ifndef MM_FAULT_IMPL_H
#define MM_FAULT_IMPL_H

#include "mm/fault.h"
#include "mm/home.h"
#include "mm/mapping.h"

#define FAULT_AROUND 16 /* pages */
#define FAULT_AHEAD  7
#define FAULT_PLENTY 32768 /* pages that are free, 128 MiB: memory is taken ahead */

struct fault {
	struct vm_map *map;
	vaddr_t va; /* page */
	unsigned access;
	bool locked_write;
	bool spare_zeroed;
	struct vm_mapping *v;
	struct frame *spare;   /* to be used for the page, or freed at the end */
	struct frame *huge;    /* a block of HUGE_PAGES likewise */
	bool no_huge;	       /* tried in vain */
	struct frame **result; /* if not NULL: gets the frame, with a reference */
};

/* What fault_copy_ahead() has put into the anon. */
struct copied {
	unsigned n;
	struct frame *old[FAULT_AHEAD]; /* with the anon's references */
	paddr_t pa[FAULT_AHEAD];
};

static inline bool
fault_is_write(const struct fault *f)
{
	return f->access & VM_WRITE;
}

static inline void
fault_found(struct fault *f, struct frame *frame)
{
	if (f->result == NULL)
		return;
	frame_get(frame);
	*f->result = frame;
}

static inline unsigned
fault_prot(const struct fault *f, bool writable)
{
	unsigned prot = f->v->prot & (VM_READ | VM_WRITE | VM_EXEC);

	if (!writable)
		prot &= ~VM_WRITE;
	return prot | (fault_is_write(f) ? PMAP_WRITTEN : 0);
}

/* For a page of anonymous memory that is the anon's own frame, or becomes it: other clusters may
 * show the page of zeros there that was read before, or else this frame or nothing. */
static inline unsigned
fault_anon_prot(const struct fault *f, bool writable)
{
	bool agreed = f->v->object == NULL && !f->v->shows_zeros;

	return fault_prot(f, writable) | (agreed ? PMAP_AGREED : 0);
}

/* For pages that are likely to be written soon. With a store it is worth a walk to know whether
 * they were: what was not is not stored. */
static inline unsigned
fault_ahead_prot(const struct fault *f)
{
	return fault_anon_prot(f, true) & (persisting() ? ~PMAP_WRITTEN : ~0u);
}

/* Whether an anon has no such page, on the disk neither. => its lock is held */
static inline bool
fault_finds_none(const struct vm_object *anon, u64 index)
{
	return radix_get(&anon->pages, index) == NULL && !home_wants(anon, index);
}

/* The next pages of memory that is filled in order. => the anon's lock is held; page `index` was
 * just entered */
void fault_fill_ahead(struct fault *f, u64 index);
/* Enters neighbours that the anon has. => the same; for writing if `writable` */
void fault_show_around(struct fault *f, u64 index, bool writable);
/* Gives neighbours that may be written the right to be. => the same */
void fault_allow_around(const struct fault *f, u64 index);
/* Copies of the pages behind one that was copied because it is on its way to the disk take their
 * places in the anon. => the anon's lock is held; what page tables show of these pages is taken
 * away, and flushed, before that is dropped */
void fault_copy_ahead(const struct fault *f, u64 index, struct copied *c);

#endif
