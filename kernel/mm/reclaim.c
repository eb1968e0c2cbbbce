/*
 * Pages of files that leave memory (reclaim.h).
 *
 * What a page needs to leave is that the last epoch has it as it is (home_may_leave). The first
 * round over all files leaves out what was read or written since it was looked at last, and files
 * that are mapped; the second one only the latter; the third none but what is locked. While memory
 * is low but not short there is only the first. Rounds go from object to object on homes.files,
 * whose first one is where the next search begins, with reclaim_at in it.
 *
 * When a search does not find enough, what is left of files is dirty, or in use. Until there is
 * clearly more of them nobody who can do without looks again (`searched`); and when it was the
 * search behind a checkpoint, nobody who can do without waits for another (`bound`). So memory that
 * is taken by processes costs those nothing here.
 *
 * Locks: the object's, for one group at a time; homes->lock for the list.
 */
#include "core/persist.h"
#include "core/sched.h"
#include "core/thread.h"
#include "lib/assert.h"
#include "mm/map.h"
#include "mm/object.h"
#include "mm/reclaim.h"

#define BATCH	     64	 /* frames that are freed together */
#define SOME	     256 /* pages that one who lacks memory takes out */
#define MORE_SHARE   128 /* of memory: files have grown clearly */
#define TARGET_SHARE 32	 /* of memory: above what is low */
#define LEAST_SHARE  16	 /* of memory: with less it is short */

enum round { UNUSED, UNMAPPED, UNLOCKED };

struct search {
	enum round round;
	u64 want, got;
};

/* Whether there are clearly more pages of files than those that stayed. */
static bool
are_more_than(const u64 *stayed)
{
	return frame_cached_pages() >
	       atomic_load_relaxed(stayed) + frame_total_pages() / MORE_SHARE;
}

static bool
is_locked(const struct vm_object *o)
{
	const struct vm_mapping *v;

	list_for_each_entry (v, &o->mappings, object_link)
		if (v->flags & VM_LOCKED)
			return true;
	return false;
}

/* => o->lock held */
static bool
round_skips(const struct vm_object *o, enum round round)
{
	if (o->image_base != 0 || o->pages.count == 0)
		return true;
	if (list_empty(&o->mappings))
		return round == UNLOCKED;
	return round < UNLOCKED || is_locked(o);
}

static bool
leaves(struct vm_object *o, u64 index, struct frame *f, enum round round)
{
	if (!home_may_leave(o, f))
		return false;
	if (round == UNUSED && (f->flags & FF_USED)) {
		atomic_fetch_and(&f->flags, (u16)~FF_USED);
		return false;
	}
	if (round < UNLOCKED)
		return true;
	object_unmap(o, index, 1);
	return home_may_leave(o, f);
}

/* Frames of one group at most from o->reclaim_at on; false: there are no more. */
static bool
take_some(struct vm_object *o, struct search *s)
{
	struct frame *batch[BATCH], *f = NULL;
	unsigned n = 0;
	u64 at, end;

	spin_lock(&o->lock);
	if (!round_skips(o, s->round)) {
		at = o->reclaim_at;
		end = ALIGN_DOWN(at, (u64)GROUP_PAGES) + GROUP_PAGES;
		while (n < min((u64)BATCH, s->want - s->got) &&
		       (f = radix_next(&o->pages, &at)) != NULL && at < end) {
			if (leaves(o, at, f, s->round)) {
				home_send_away(o, at, f);
				batch[n++] = f;
			}
			at++;
		}
		o->reclaim_at = f != NULL ? at : 0;
	}
	spin_unlock(&o->lock);
	for (unsigned i = 0; i < n; i++)
		frame_put(batch[i]);
	s->got += n;
	return f != NULL;
}

/* The first object of the list, with a reference; NULL: it is being freed, or there is none. */
static struct vm_object *
first_file(void)
{
	struct homes *h = homes();
	struct vm_object *o = NULL;

	spin_lock(&h->lock);
	if (!list_empty(&h->files)) {
		o = list_entry(h->files.next, struct vm_object, file_link);
		if (!refcount_get_unless_zero(&o->refs)) {
			list_del(&o->file_link);
			list_add_tail(&h->files, &o->file_link);
			o = NULL;
		}
	}
	spin_unlock(&h->lock);
	return o;
}

static void
to_the_end(struct vm_object *o)
{
	struct homes *h = homes();

	spin_lock(&h->lock);
	list_del(&o->file_link);
	list_add_tail(&h->files, &o->file_link);
	spin_unlock(&h->lock);
}

static void
one_round(struct search *s)
{
	u64 n = atomic_load_relaxed(&homes()->nfiles);

	for (u64 i = 0; i <= n && s->got < s->want; i++) {
		struct vm_object *o = first_file();

		if (o == NULL)
			continue;
		while (take_some(o, s) && s->got < s->want)
			sched_point();
		if (s->got < s->want)
			to_the_end(o);
		vm_object_put(o);
		sched_point();
	}
}

static bool
memory_is_short(void)
{
	return frame_free_pages() < frame_total_pages() / LEAST_SHARE;
}

/* Up to `want` pages, in rounds up to `last`. How many. */
static u64
take_out(u64 want, enum round last)
{
	struct search s = {.want = want};

	for (s.round = UNUSED; s.round <= last && s.got < want; s.round++)
		one_round(&s);
	atomic_store(&homes()->searched, s.got < want ? frame_cached_pages() : 0);
	return s.got;
}

bool
reclaim_some(void)
{
	return persisting() && take_out(SOME, UNLOCKED) > 0;
}

/* Not if that was in vain lately. */
static bool
found_some(void)
{
	return are_more_than(&homes()->searched) &&
	       take_out(SOME, memory_is_short() ? UNLOCKED : UNUSED) == SOME;
}

void
reclaim_ahead_low(void)
{
	(void)found_some();
}

/* What others have read leaves before anybody waits. */
void
reclaim_balance_low(void)
{
	if (!are_more_than(&homes()->bound))
		return;
	if (!memory_is_short())
		persist_ask();
	else if (!found_some())
		atomic_fetch_or(&current_thread()->flags, TF_CHECKPOINT);
}

u64
reclaim_available(void)
{
	u64 cached = frame_cached_pages(), bound;

	if (!persisting())
		return 0;
	bound = atomic_load_relaxed(&homes()->bound);
	return cached > bound ? cached - bound : 0;
}

/* A checkpoint may help, but once: what it does not help against is the end of the memory. */
bool
reclaim_later(void)
{
	struct thread *t = current_thread();

	if (!persisting() || t->waited)
		return false;
	t->waited = true;
	atomic_fetch_or(&t->flags, TF_CHECKPOINT);
	return true;
}

/* Where the checkpoint failed, pages that were written cannot leave: those who wait would wait for
 * nothing. */
void
reclaim_after_cut(int err)
{
	struct homes *h = homes();
	u64 target, free;

	if (memory_is_low() && are_more_than(&h->bound)) {
		target = h->copy_keep + frame_total_pages() / TARGET_SHARE;
		free = frame_free_pages();
		(void)take_out(target > free ? target - free : 0,
			       memory_is_short() ? UNLOCKED : UNUSED);
		atomic_store(&h->bound, atomic_load_relaxed(&h->searched));
	}
	if (err)
		atomic_store(&h->bound, frame_cached_pages());
}
