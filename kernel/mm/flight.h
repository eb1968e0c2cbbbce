/*
 * Between cut.c, which collects at a cut, and flight.c, which has what was collected until it is
 * durable: runs of pages of one group, in the order in which they were found.
 */
#ifndef MM_FLIGHT_H
#define MM_FLIGHT_H

#include "arch/stand.h"
#include "mm/copies.h"
#include "mm/cut.h"
#include "mm/home.h"

/* Pages of one group, of one kind: in `frame`, in the root image, or to be deleted. */
struct cut_run {
	struct list link;
	struct vm_home *home; /* with a reference; the group is its */
	struct home_group *group;
	u64 id;
	u64 set[GROUP_WORDS];
	const u8 *image;	  /* or NULL: where the group's first page is, in the root image */
	u64 image_end;		  /* of the bytes in the image, counted from there */
	struct vm_object *whole;  /* with a reference: stored with this run */
	struct vm_object *object; /* until the machine goes on: whose tree has the frames */
	bool deleted;
	bool shielded;	       /* nobody has the right to write */
	unsigned last;	       /* the last page in the set, plus 1 */
	unsigned room;	       /* for frames, while it is open */
	unsigned n;	       /* how many frames, each with a reference or a copy; */
	struct frame *frame[]; /* of the set, in order */
};

/* Memory for runs. */
struct cut_chunk {
	struct list link;
	u8 room[];
};

enum harvest_state { HARVEST_WAITS, HARVEST_UNDER_WAY, HARVEST_OVER };

struct vm_cut {
	u64 number;
	struct stand_work work; /* for cores that stand */
	u32 harvest;		/* [a] enum harvest_state */
	int harvest_err;	/* when it is over */
	struct vm_survey *survey;
	struct list runs;
	struct list chunks;    /* the last one has room from free to end */
	u8 *free, *end;	       /* behind the last run */
	unsigned may_copy;     /* pages, still; */
	unsigned may_guess;    /* and of them such as are not hot */
	struct copies *copies; /* [a] NULL: there are none */
	struct cut_run *open;  /* the last run, while frames are added to it */
	bool verify;
	struct cut_run *run; /* where vm_cut_next is */
	unsigned at;	     /* which page of it */
	unsigned nth;	     /* which frame */
	struct vm_cut_figures figures;
};

/* NULL: out of memory. */
struct vm_cut *flight_create(u64 cut);
/* An empty run of the group's pages, with a reference to its home; NULL: out of memory. */
struct cut_run *flight_run(struct vm_cut *c, struct home_group *g);
/* Begins a run of frames of o. `shielded`: nobody will have the right to write them. 0 or -ENOMEM.
 */
int __must_check flight_open(struct vm_cut *c, struct vm_object *o, struct home_group *g,
			     bool shielded);
/* Whether the frame can be added to the run that was begun last. */
static inline bool
flight_fits(const struct vm_cut *c, const struct frame *f, bool shielded)
{
	const struct cut_run *run = c->open;

	return run != NULL && run->group == f->owner && run->last <= f->index % GROUP_PAGES &&
	       run->shielded == shielded && run->n < run->room;
}

/* A frame for a copy of one that is likely to be written on its way, to go to the disk in its
 * place; NULL: it goes itself. */
struct frame *flight_copy(struct vm_cut *c, struct frame *f);
/* The changed frame, or its copy, is on its way to the disk: it gets the flag and a reference; the
 * group knows when the run is closed, and the copy is made by flight_copied(). => it fits; the
 * machine stands still, so that nothing here has to be atomic */
static inline void
flight_add(struct vm_cut *c, struct frame *f, struct frame *copy)
{
	struct cut_run *run = c->open;
	unsigned i = f->index % GROUP_PAGES;

	if (likely(copy == NULL)) {
		f->flags = (u16)((f->flags & ~FF_DIRTY) | FF_FLIGHT);
		f->refs.value++;
		run->frame[run->n++] = f;
	} else {
		f->flags &= (u16)~FF_DIRTY;
		run->frame[run->n++] = copy;
		copies_add(c->copies, copy, f);
		c->figures.copied++;
	}
	run->last = i + 1;
	run->set[i / 64] |= 1UL << (i % 64);
}

/* Ends the run that was begun last, if it has not been. */
void flight_close(struct vm_cut *c);
/* Makes some of the copies; false: there is nothing to do just now. Any core. */
bool flight_make_copies(struct vm_cut *c);
/* All copies are made on return, or begun by other cores. => before the machine goes on, and before
 * the cut fails */
void flight_copied(struct vm_cut *c);
/* While a cut is under way, who has no memory for a copy waits for its end. */
void flight_begin(void);

#endif
