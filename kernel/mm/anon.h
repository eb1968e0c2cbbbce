/*
 * The anon of a private mapping: the pages it changed, shared copy-on-write after fork.
 *
 * An anon is listed by every mapping that shows part of it. The ranges they show overlap only
 * after fork, and then each of them has needs_copy: as long as two overlap, no page in the overlap
 * changes. The one that wants to write gets an anon of its own with the same frames (anon_unshare);
 * frames with more than one owner are copied when written. What no mapping shows is freed, and so
 * are, in all anons, the pages behind the end of a file that is made shorter.
 */
#ifndef MM_ANON_H
#define MM_ANON_H

#include "mm/map.h"

/* Gives v an anon if it has none. 0 or -ENOMEM. => map lock held for reading at least */
int __must_check anon_ensure(struct vm_mapping *v);
/* Lists v as showing `anon`, with a new reference. => v is not yet visible to others */
void anon_attach(struct vm_object *anon, struct vm_mapping *v);
/* Ends it: frames that no other mapping shows are freed. => v's translations are gone */
void anon_detach(struct vm_mapping *v);
/* Whether another mapping shows any of these pages of v's anon. => anon->lock held */
bool anon_overlaps(const struct vm_mapping *v, u64 first, u64 n);
/* Whether v may be extended over these pages of its anon: nobody shows them, and they are empty.
 * => anon->lock held */
bool anon_can_extend(const struct vm_mapping *v, u64 first, u64 n);
/* Makes v the only one to show its pages. 0 or -ENOMEM. => map lock held for writing */
int __must_check anon_unshare(struct vm_mapping *v);
/* Sees to it that v may be extended over these pages of its anon, if need be by giving it one of
 * its own. 0 or -ENOMEM. => map lock held for writing; they adjoin v's pages */
int __must_check anon_make_room(struct vm_mapping *v, u64 first, u64 n);
/* Frees the frames of the pages [first, first + n) that no other mapping shows. => v's translations
 * are gone; map lock held for writing */
void anon_drop(struct vm_mapping *v, u64 first, u64 n);

/* Frees the private copies of the pages behind a file's end, which nothing may show again. False
 * when it was not all: an anon's lock is held by somebody who may want the file's next.
 * => file->lock held */
bool __must_check anon_cut_behind(struct vm_object *file);

/* The index into v's anon of the page at va. */
static inline u64
anon_index(const struct vm_mapping *v, vaddr_t va)
{
	return (v->anon_offset + (va - v->start)) >> PAGE_SHIFT;
}

static inline u64
mapping_pages(const struct vm_mapping *v)
{
	return (v->end - v->start) >> PAGE_SHIFT;
}

#endif
