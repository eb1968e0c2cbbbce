/*
 * Memory at a cut: which pages have changed since the last one, and keeping them as they were until
 * they are on the disk (doc/store.md). Used by persist/ only.
 *
 *	vm_persist_start(&pager)	when there is a store, before the first process
 *	each cut, beside processes:
 *		survey = vm_cut_survey();
 *	with the world at a standstill:
 *		cut = vm_cut_begin(number, survey);	while cores that stand begin to collect
 *		err = the walk over all objects;
 *		err = vm_cut_collect(cut, err);
 *	then, while processes run:
 *		while (vm_cut_next(cut, &item))	deletions of a page come before its put
 *			store_put or store_delete
 *		vm_cut_landed(cut)		when nobody reads the pages any more, perhaps
 *		vm_cut_done(cut)		when the epoch is durable, else vm_cut_failed(cut)
 *
 * Pages are items (id, STORE_PAGE(index)) of a vm_object or, where objects have pages in common
 * after fork, of a vm_pages, which only names them. A page that is not stored is zero.
 * One cut is under way at a time. Without vm_persist_start nothing of this costs anything.
 */
#ifndef MM_CUT_H
#define MM_CUT_H

#include "core/persist.h"
#include "lib/types.h"

/* Reading pages of the last committed epoch. Both may sleep, for one disk access or a commit. */
struct vm_pager_ops {
	/* Fills up to n pages from index on, as far as they are stored and can be read. How many;
	 * of the first one, what is wrong with it: -ENOENT (it is not stored), -EIO, -EBADMSG,
	 * -ENOMEM. */
	int (*read)(u64 id, u64 index, void *const *page, unsigned n);
	/* The first stored page at or behind *index goes to *index; 0, -ENOENT: none, or as above.
	 */
	int (*next)(u64 id, u64 *index);
};

struct vm_cut;
struct vm_survey;

struct vm_cut_item {
	u64 id;
	u64 index; /* of the page: the item is STORE_PAGE(index) */
	u64 last;  /* for a deletion: of the last page; STORE_PAGE(last) does not overflow */
	const void
		*data; /* NULL: delete the pages index..last; stays as it is until done or failed */
	u32 length;    /* 1..4096; the rest of the page is zero */
	bool hashed;   /* `hash` is hash64() of all 4096 */
	u64 hash;
};

struct vm_cut_figures {
	u64 pages, deletions; /* in the cut */
	u64 copied, beside;   /* pages, and by other cores than the one that collects */
	u64 tables, entries;  /* page tables and their entries looked at */
};

/* From now on what changes is noted; what there is already counts as changed. With `persist-verify`
 * on the kernel's command line every page that a cut does not collect is compared with what was
 * put; a difference is a panic. -ENOMEM. => once, at boot, before the first process */
int __must_check vm_persist_start(const struct vm_pager_ops *ops);

/* Looks for what changed in large address spaces, so that the cut need not; may sleep. NULL: no
 * memory, the cut does all of it. Whether one came or not the survey has to be ended, which frees
 * it (NULL: nothing to do). */
struct vm_survey *vm_cut_survey(void);
void vm_cut_survey_end(struct vm_survey *s);

/* Collects what changed since the last cut in objects that a cut has reached, this one or one
 * before. NULL: out of memory. Else vm_cut_collect() has to follow; between the two, other cores
 * may go over page tables and take pages for the cut.
 * => the machine is stopped by this core, nothing is shared; the last cut is done or failed */
struct vm_cut *vm_cut_begin(u64 cut, struct vm_survey *s);
/* Collects the rest. `err`: 0, or that of the walk, which is handed on. Not 0, as well when there
 * is no memory: nothing is collected, c is freed, and the next cut finds it. */
int __must_check vm_cut_collect(struct vm_cut *c, int err);
/* The next item; false: there are no more. */
bool vm_cut_next(struct vm_cut *c, struct vm_cut_item *item);
/* Starts over with the first item. */
void vm_cut_rewind(struct vm_cut *c);
/* The pages were written, durable or not: lets go of them. What follows is done or failed. */
void vm_cut_landed(struct vm_cut *c);
/* The epoch is durable, or will never be: lets go of the pages, and frees c. After failed the next
 * cut has all of it again. */
void vm_cut_done(struct vm_cut *c);
void vm_cut_failed(struct vm_cut *c);
const struct vm_cut_figures *vm_cut_figures(const struct vm_cut *c);

/* Kinds 32, 33 and 34. A vm_map's files are reached through vm_file_ops.persist (mm/map.h); who has
 * an object or a map reaches it with persist_ref(w, tag, &vm_object_persist, o). */
extern const struct persist_kind vm_object_persist;
extern const struct persist_kind vm_map_persist;
extern const struct persist_kind vm_pages_persist;

#endif
