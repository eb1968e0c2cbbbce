/*
 * Where the pages of memory objects are kept on the disk, and what the next cut has to know about
 * each (mm/cut.h).
 *
 * A frame in an object's tree has a home: a struct vm_home and an index, which name its item in the
 * store. An object's own home goes by the object's id and is where its new pages belong; no frame
 * with that home is in another object. When objects begin to have frames in common (after fork) the
 * home becomes a vm_pages of its own, with the id, and the object begins a new one when it needs
 * it: the frames stay where they are stored, however many objects show them. A frame that only one
 * object shows any more moves to that object's own home when it may be written.
 *
 * Per 512 pages a home has a group with a bit for each page in several sets. What the processor or
 * the kernel wrote is `dirty`; groups with something for the next cut are on a list.
 *
 * After a resume an object's own pages come in when they are first needed: within its home's hull,
 * a page with no frame may be stored unless it is `known` to be absent. A page of a file that the
 * last epoch has as it is may leave memory (reclaim.c): then it is `away`, and comes in the same
 * way.
 */
#ifndef MM_HOME_H
#define MM_HOME_H

#include "core/mutex.h"
#include "core/persist.h"
#include "lib/hash.h"
#include "lib/radix.h"
#include "mm/cut.h"
#include "mm/frame.h"
#include "mm/mapping.h"

#define GROUP_PAGES 512u
#define GROUP_WORDS (GROUP_PAGES / 64)

struct home_group {
	struct vm_home *home;	 /* [I] */
	u64 first;		 /* [I] index of its first page */
	struct list link;	 /* [homes lock] */
	u32 queued;		 /* [a] it is on homes.changed */
	u64 dirty[GROUP_WORDS];	 /* [a] changed since the last cut, or its commit failed */
	u64 stored[GROUP_WORDS]; /* [a] on the disk, or on the way there */
	u64 gone[GROUP_WORDS];	 /* [a] was stored and is no page of the object any more */
	u64 known[GROUP_WORDS];	 /* [a] no need to look for it on the disk */
	u64 kept[GROUP_WORDS];	 /* [a] the last epoch has it as it is, if it is not dirty */
	u64 away[GROUP_WORDS];	 /* [a] it left memory: it is on the disk only */
	struct hash128 *put[GROUP_WORDS]; /* [cut] persist-verify: of what was put, 64 each */
};

struct vm_home {
	struct refcount refs;	      /* [a] the object, borrowers, the cut under way */
	struct persistent persistent; /* [cut] when it is no object's own any more */
	struct vm_object *object;     /* [object->lock] whose own it is, or NULL */
	u64 stored_id;		  /* [cut] the id that its pages are stored under; 0: none are */
	struct radix groups;	  /* [object->lock] index / GROUP_PAGES -> struct home_group */
	u64 low, high;		  /* [object->lock] hull of the pages it ever had */
	u64 lazy_first, lazy_end; /* [object->lock] hull of those that may be on the disk only */
	u64 absent;		  /* [object->lock] about how many these are */
	u64 away;		  /* [object->lock] pages that left memory */
	struct mutex paging;	  /* pages come in for one thread at a time */
	u64 next_in;		  /* [paging] the page behind those that came in last */
	struct radix loaded;	  /* during a resume: frames of a vm_pages, with a reference */
};

struct home_use {
	struct list link;
	struct vm_home *home; /* with a reference */
	bool seen;	      /* [cut] the object has a page of it */
};

/* The machine's: mm->homes, NULL without a store. */
struct homes {
	const struct vm_pager_ops *pager; /* [I] */
	bool verify;			  /* [I] */
	u64 copy_keep;			  /* [I] pages: no copies are made when fewer are free */
	struct spinlock lock;		  /* rank RANK_SLAB */
	struct list changed;		  /* [lock] groups with something dirty or gone */
	struct list borrowers;		  /* [lock] objects with borrowed pages */
	struct list files;		  /* [lock] objects with pages of files; see reclaim.c */
	u64 nfiles;			  /* [lock] so many */
	u64 bound;    /* [a] pages of files that stayed after the last checkpoint in low memory */
	u64 searched; /* [a] and those that stayed when one was searched for in vain */
	struct spinlock flight_lock; /* rank RANK_WAITQ */
	struct waitq landed;	     /* [flight_lock] */
	bool in_flight;		     /* [flight_lock] a cut is being written */
	struct list images; /* [cut] objects whose part of the root image has to be stored */
	struct list unused; /* [cut] struct home_use: of no object any more */
};

static inline struct homes *
homes(void)
{
	return machine()->mm->homes;
}

static inline bool
persisting(void)
{
	return unlikely(homes() != NULL);
}

/* For the kinds of objects; all do nothing without a store. */

/* The frame is about to be page `index` of o: it gets o's own home. 0 or -ENOMEM.
 * => o->lock held */
int __must_check home_adopt(struct vm_object *o, u64 index, struct frame *f);
/* The frame has been taken out of o. => o->lock held */
void home_leave(struct vm_object *o, u64 index, struct frame *f);
/* `new`, with the same content as `old`, takes its place in o; it counts as changed when `old`
 * still had to be written or is being written. => o->lock held */
void home_replace(struct frame *old, struct frame *new);
/* The same for a copy that nobody has written yet, of a page that is being written. */
void home_replace_unwritten(struct frame *old, struct frame *new);
/* A page that was shared and is o's alone now: it may be written, so that where it is kept has to
 * be o's alone, too. 0 or -ENOMEM. => o->lock held */
int __must_check home_bring(struct vm_object *o, u64 index, struct frame *f);
/* The home of a copy of o's page: the page's, if no other object has that. 0 or -ENOMEM.
 * => o->lock held */
int __must_check home_for_copy(struct vm_object *o, u64 index, struct frame *old,
			       struct frame *copy);
/* The frame's content changes, or has, since the last cut. */
void frame_note_dirty(struct frame *f);
/* Whether a frame has no owner but the slot it is found in. */
bool frame_is_sole(const struct frame *f);

/* Whether the page, which has no frame, may be on the disk. => o->lock held */
bool home_wants(const struct vm_object *o, u64 index);
/* Whether that can be true of any page of [first, end). => o->lock held */
bool home_wants_any(const struct vm_object *o, u64 first, u64 end);
/* Brings it in, or finds that it is a hole; a page that is there and on its way to the disk has
 * arrived when it returns. 0, -EIO, -ENOMEM, -EBADMSG. => may sleep; no spinlock held */
int __must_check home_page_in(struct vm_object *o, u64 index);
/* Whether there is memory to copy what is on its way to the disk; if not, who wants to write it
 * waits until nothing is (may sleep). */
bool home_may_copy(void);
void home_wait_landing(void);
/* Brings in all that may be there since the resume. 0, or an error as above. */
int __must_check home_page_in_all(struct vm_object *o);
/* The first page at or behind `index` that left memory; ~0: none. => o->lock held */
u64 home_next_away(const struct vm_object *o, u64 index);
/* Whether the frame may leave memory: nobody else has it, and the last epoch has what it holds, as
 * far as is known without looking at page tables. => o->lock held; f is page `index` of o */
bool home_may_leave(const struct vm_object *o, const struct frame *f);
/* It leaves; the reference is the caller's. => the same, and no translation shows it */
void home_send_away(struct vm_object *o, u64 index, struct frame *f);
/* The pages of the range that have no frame are zero from now on. -ENOMEM: nothing was changed.
 * => o->lock held */
int __must_check home_forget(struct vm_object *o, u64 first, u64 end);

/* `to`, which has none, is about to get frames of `from`, both private: nothing of `from` may be
 * written through page tables any more. 0 or -ENOMEM. => no lock held; the mapping whose range is
 * to be given takes no fault */
int __must_check home_share(struct vm_object *from, struct vm_object *to);
/* The object is being freed; its frames are gone. */
void home_abandon(struct vm_object *o);

/* Between home.c, cut.c and persist.c. */
void homes_init(struct homes *h);
struct vm_home *home_create(void);
/* The object's own home, made when it is first needed; NULL: out of memory. => o->lock held */
struct vm_home *home_own(struct vm_object *o);
void home_get(struct vm_home *h);
void home_put(struct vm_home *h);
u64 home_id(const struct vm_home *h);
struct home_group *home_group_find(const struct vm_home *h, u64 index);
struct home_group *home_group_make(struct vm_home *h, u64 index); /* NULL: out of memory */
void home_queue(struct home_group *g);
int __must_check home_borrow(struct vm_object *o, struct vm_home *h);
/* Whether f is a page of o's own home. */
bool home_is_own(const struct vm_object *o, const struct frame *f);
/* For persist-verify: what was put, and that the page is still that. */
void home_note_put(struct home_group *g, u64 index, const void *page);
void home_check_put(const struct home_group *g, u64 index, const void *page);

static inline bool
group_has(const u64 *set, u64 index)
{
	return atomic_load_relaxed(&set[index % GROUP_PAGES / 64]) >> (index % 64) & 1;
}

/* The first page at or behind `from` that is in the set; GROUP_PAGES: none. */
static inline unsigned
group_next(const u64 *set, unsigned from)
{
	u64 word;

	while (from < GROUP_PAGES) {
		word = set[from / 64] >> (from % 64);
		if (word != 0)
			return from + (unsigned)__builtin_ctzl(word);
		from = ALIGN_DOWN(from, 64u) + 64;
	}
	return GROUP_PAGES;
}

#define for_each_in_group(i, set)                                                                  \
	for (i = group_next(set, 0); i < GROUP_PAGES; i = group_next(set, i + 1))

static inline void
group_set(u64 *set, u64 index)
{
	atomic_fetch_or(&set[index % GROUP_PAGES / 64], 1UL << (index % 64));
}

static inline void
group_clear(u64 *set, u64 index)
{
	atomic_fetch_and(&set[index % GROUP_PAGES / 64], ~(1UL << (index % 64)));
}

#endif
