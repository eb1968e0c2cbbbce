/*
 * Collecting what a cut has to write (cut.h, home.h).
 *
 * At the cut page tables are gone over (harvest.c): a frame that the processor wrote is collected
 * when it is found, and loses the right to be written through that entry. Then every group on the
 * list of changed ones gives its pages that are gone, and its frames that the kernel wrote or that
 * lost a dirty entry since. What is collected is in flight (flight.c) and loses every other right
 * to be written, too: until the epoch is durable who writes gets a copy in its place. Everything
 * else stays writable, and a write to it costs nothing.
 *
 * Pages that several objects have are found by going through these objects, which is done when some
 * of them may not be stored yet. What lies in the root image is stored from where it lies, once.
 *
 * Locks: none, the machine stands still.
 */
#include <asm/errno.h>

#include "arch/cpu.h"
#include "cluster/cluster.h"
#include "cluster/stop.h"
#include "core/panic.h"
#include "lib/assert.h"
#include "lib/string.h"
#include "mm/flight.h"
#include "mm/harvest.h"
#include "mm/slab.h"

#define FAULT_COSTS 32	 /* copies that are made in the time of a fault and its shootdown */
#define FLOWN_MAX   2048 /* pages by which a program is known */

/* --- the start --- */

static void
adopt_all(struct registered *r, void *arg)
{
	struct vm_object *o = container_of(r, struct vm_object, registered);
	struct frame *f;
	int *err = arg;
	u64 at = 0;

	for (; *err == 0 && (f = radix_next(&o->pages, &at)) != NULL; at++) {
		*err = home_adopt(o, at, f);
		if (*err == 0)
			frame_note_dirty(f);
	}
}

int
vm_persist_start(const struct vm_pager_ops *ops)
{
	struct homes *h = kzalloc(sizeof(*h));
	int err = 0;

	if (h == NULL)
		return -ENOMEM;
	h->pager = ops;
	h->verify = machine()->persist_verify;
	homes_init(h);
	machine()->mm->homes = h;
	registry_walk(REGISTRY_OBJECTS, adopt_all, &err);
	return err;
}

/* --- collecting --- */

/* Takes the right to write these pages of o from every mapping. */
static void
shield(struct vm_object *o, u64 first, const u64 *set)
{
	struct list *l;

	for (l = o->mappings.next; l != &o->mappings; l = l->next) {
		struct vm_mapping *v = o->is_private
					       ? list_entry(l, struct vm_mapping, anon_link)
					       : list_entry(l, struct vm_mapping, object_link);
		u64 start = (o->is_private ? v->anon_offset : v->offset) >> PAGE_SHIFT;
		u64 end = start + mapping_pages(v);

		if (end > first && start < first + GROUP_PAGES)
			pmap_shield(v->map->pmap, v->start + ((first - start) << PAGE_SHIFT), set,
				    v->start, v->end);
	}
}

static void
shield_runs(const struct vm_cut *c)
{
	struct cut_run *run;

	list_for_each_entry (run, &c->runs, link)
		if (run->n > 0 && !run->shielded)
			shield(run->object, run->group->first, run->set);
}

/* Whether a frame that is in the group's set of changed ones has to be collected. */
static bool
is_changed(const struct home_group *g, const struct frame *f)
{
	return f != NULL && f->owner == g && !(f->flags & FF_FLIGHT);
}

/* Whether the store has the record of the home, or will have it with this cut. */
static bool
is_known(const struct vm_home *h)
{
	return (h->object != NULL ? h->object->persistent.known : h->persistent.known) != NULL;
}

/* Whether a dirty entry for a page of o is the only one that may be written. Where the mappings of
 * a private object overlap, nothing is. */
static bool
has_one_writer(const struct vm_object *o)
{
	return o->is_private && machine()->nclusters == 1;
}

/* Of what a program has on its way to the disk it writes so much that to copy all of it at the cut
 * costs less than its faults do. How much is known from what is not copied: hot pages that are put
 * to the test, if nothing else. => one cut at a time */
static bool
rewrites_much(const struct pmap *p)
{
	return atomic_load_relaxed(&p->rewritten) * FAULT_COSTS > p->flown;
}

/* What was long ago counts less and less. */
static void
forget_some(struct pmap *p)
{
	if (p->flown < FLOWN_MAX)
		return;
	p->flown /= 2;
	p->rewritten /= 2;
}

struct collecting {
	struct harvest harvest;
	struct vm_cut *cut;
	bool one_writer; /* of the frames in the open run */
	int err;
};

/* Whether this cut takes the frame; if so, there is a run for it. */
static bool
open_for(struct collecting *now, const struct frame *f)
{
	struct home_group *g = f->owner;
	struct vm_object *o;

	if (g == NULL || !(f->flags & (FF_ANON | FF_CACHE)) || now->err)
		return false;
	o = g->home->object;
	if (o == NULL || o->persistent.known == NULL)
		return false;
	now->one_writer = has_one_writer(o);
	now->err = flight_open(now->cut, o, g, now->one_writer);
	return now->err == 0;
}

/* The processor wrote the frame: it is collected, or left for what follows or for another cut. */
static bool
collect_written(struct harvest *h, struct frame *f)
{
	struct collecting *now = container_of(h, struct collecting, harvest);
	struct frame *copy;

	if (f->flags & FF_FLIGHT)
		return true;
	if ((!flight_fits(now->cut, f, now->one_writer) && !open_for(now, f)) ||
	    (!now->one_writer && (f->flags & FF_HOT))) {
		/* One that is copied may be found again: collect_changed() comes to it once. */
		frame_note_dirty(f);
		return false;
	}
	copy = f->flags & FF_HOT || rewrites_much(h->pmap) ? flight_copy(now->cut, f) : NULL;
	flight_add(now->cut, f, copy);
	h->pmap->flown += copy == NULL;
	return copy == NULL;
}

static int
collect_frame(struct vm_cut *c, struct vm_object *o, struct frame *f)
{
	struct frame *copy = f->flags & FF_HOT ? flight_copy(c, f) : NULL;
	bool shielded = copy != NULL;
	int err = flight_fits(c, f, shielded) ? 0 : flight_open(c, o, f->owner, shielded);

	if (err == 0)
		flight_add(c, f, copy);
	return err;
}

/* The frames of the group that were not collected by what the processor noted. */
static int
collect_changed(struct vm_cut *c, struct vm_object *o, const struct home_group *g)
{
	void *const *slots = radix_find(&o->pages, g->first);
	unsigned i;
	int err = 0;

	if (slots == NULL)
		return 0;
	for_each_in_group(i, g->dirty)
	{
		if (err == 0 && is_changed(g, slots[i]))
			err = collect_frame(c, o, slots[i]);
	}
	return err;
}

static bool
is_empty(const u64 *set)
{
	u64 any = 0;

	for (unsigned i = 0; i < GROUP_WORDS; i++)
		any |= set[i];
	return any == 0;
}

/* What was stored and is gone. */
static int
collect_gone(struct vm_cut *c, struct home_group *g)
{
	struct cut_run *run;
	unsigned i;

	if (is_empty(g->gone))
		return 0;
	run = flight_run(c, g);
	if (run == NULL)
		return -ENOMEM;
	run->deleted = true;
	memcpy(run->set, g->gone, sizeof(run->set));
	memset(g->gone, 0, sizeof(g->gone));
	for_each_in_group(i, run->set) c->figures.deletions++;
	return 0;
}

/* A group on the list. When it is left there, the next cut finds it. */
static int
collect_group(struct vm_cut *c, struct home_group *g)
{
	struct vm_object *o = g->home->object;
	int err = 0;

	if (!is_known(g->home))
		return 0;
	if (o != NULL && !is_empty(g->dirty))
		err = collect_changed(c, o, g);
	if (err == 0)
		err = collect_gone(c, g);
	if (err)
		return err;
	if (o != NULL)
		memset(g->dirty, 0, sizeof(g->dirty));
	list_del(&g->link);
	g->queued = 0;
	return 0;
}

/* Of groups whose home is no object's own the sets of changed pages stay until one that shows the
 * page comes to it. */
static bool
is_left_dirty(const struct frame *f)
{
	const struct home_group *g = f->owner;

	return !(f->flags & FF_FLIGHT) && ((f->flags & FF_DIRTY) || group_has(g->dirty, f->index));
}

/* What else the object shows and is not stored yet, in one node of its tree. */
static int
collect_borrowed_node(struct vm_cut *c, struct vm_object *o, void *const *slots)
{
	for (unsigned i = 0; i < GROUP_PAGES; i++) {
		struct frame *f = slots[i];
		int err;

		if (f == NULL || f->owner == NULL || home_is_own(o, f) || !is_left_dirty(f))
			continue;
		err = collect_frame(c, o, f);
		if (err)
			return err;
	}
	return 0;
}

static int
collect_borrowed(struct vm_cut *c, struct vm_object *o)
{
	u64 at = 0;
	int err = 0;

	if (!o->borrowed_dirty || o->persistent.known == NULL)
		return 0;
	flight_close(c);
	while (err == 0 && radix_next(&o->pages, &at) != NULL) {
		at = ALIGN_DOWN(at, (u64)GROUP_PAGES);
		err = collect_borrowed_node(c, o, radix_find(&o->pages, at));
		at += GROUP_PAGES;
	}
	if (err == 0)
		o->borrowed_dirty = false;
	return err;
}

/* One group's part of what lies in the root image. */
static int
collect_image_group(struct vm_cut *c, struct vm_object *o, u64 first, u64 pages)
{
	struct home_group *g = home_group_make(o->home, first);
	struct cut_run *run = g == NULL ? NULL : flight_run(c, g);

	if (run == NULL)
		return -ENOMEM;
	for (u64 i = first; i < min(pages, first + GROUP_PAGES); i++) {
		if (radix_get(&o->pages, i) != NULL)
			continue;
		group_set(run->set, i);
		group_set(g->stored, i);
		c->figures.pages++;
	}
	run->image = phys_to_virt(o->image_base + (first << PAGE_SHIFT));
	run->image_end = o->image_size - (first << PAGE_SHIFT);
	if (first + GROUP_PAGES >= pages) {
		run->whole = o;
		vm_object_get(o);
	}
	return 0;
}

static int
collect_image(struct vm_cut *c, struct vm_object *o)
{
	u64 pages = DIV_ROUND_UP(o->image_size, PAGE_SIZE);
	int err = home_own(o) == NULL ? -ENOMEM : 0;

	if (err || pages == 0)
		return err;
	o->home->low = 0;
	o->home->high = max(o->home->high, pages);
	for (u64 first = 0; first < pages && err == 0; first += GROUP_PAGES)
		err = collect_image_group(c, o, first, pages);
	return err;
}

static int
collect(struct vm_cut *c)
{
	struct homes *h = homes();
	struct vm_object *o, *next_object;
	struct home_group *g, *next;
	int err = 0;

	list_for_each_entry_safe (o, next_object, &h->images, image_link) {
		if (err == 0 && o->persistent.known != NULL)
			err = collect_image(c, o);
		list_del(&o->image_link);
	}
	list_for_each_entry_safe (g, next, &h->changed, link)
		if (err == 0)
			err = collect_group(c, g);
	list_for_each_entry (o, &h->borrowers, borrower_link)
		if (err == 0)
			err = collect_borrowed(c, o);
	return err;
}

static void
harvest_begin_one(struct registered *r, void *arg)
{
	struct pmap *p = container_of(r, struct pmap, registered);

	forget_some(p);
	pmap_harvest_begin(p);
}

static void
harvest_one(struct registered *r, void *arg)
{
	pmap_harvest(container_of(r, struct pmap, registered), arg);
}

static void
harvested_one(struct registered *r, void *arg)
{
	pmap_harvested(container_of(r, struct pmap, registered));
}

/* --- persist-verify --- */

static void
verify_page(const struct vm_object *o, const struct frame *f)
{
	const struct home_group *g = f->owner;
	const u64 *word = frame_virt(f);

	if (!group_has(g->stored, f->index)) {
		for (unsigned i = 0; i < PAGE_SIZE / sizeof(*word); i++)
			if (word[i] != 0)
				panic("page %lu of %s object %lu was written unseen, at %u",
				      f->index, o->ops->kind, home_id(g->home), i);
		return;
	}
	home_check_put(g, f->index, word);
}

static void
verify_object(struct registered *r, void *arg)
{
	const struct vm_object *o = container_of(r, struct vm_object, registered);
	const struct frame *f;

	for (u64 at = 0; (f = radix_next(&o->pages, &at)) != NULL; at++) {
		if (f->owner == NULL)
			panic("page %lu of %s object %lu has no home", at, o->ops->kind,
			      o->persistent.id);
		if (!(f->flags & (FF_DIRTY | FF_RESERVED)))
			verify_page(o, f);
	}
}

/* What was written is in this cut, or its object is not in the store yet. */
static void
verify_collected(struct registered *r, void *arg)
{
	const struct vm_object *o = container_of(r, struct vm_object, registered);
	const struct frame *f;

	for (u64 at = 0; o->persistent.known && (f = radix_next(&o->pages, &at)) != NULL; at++)
		if (f->owner != NULL && is_left_dirty(f))
			panic("page %lu of %s object %lu was written, and no cut takes it", at,
			      o->ops->kind, o->persistent.id);
}

/* --- the spine --- */

/* Goes over all page tables, unless another core has begun to. False: it has. */
static bool
harvest_all(struct vm_cut *c)
{
	struct collecting now = {.harvest.written = collect_written, .cut = c};

	if (atomic_load(&c->harvest) != HARVEST_WAITS ||
	    !atomic_cas(&c->harvest, (u32)HARVEST_WAITS, (u32)HARVEST_UNDER_WAY))
		return false;
	registry_walk(REGISTRY_PMAPS, harvest_begin_one, NULL);
	if (c->survey != NULL)
		survey_harvest(c->survey, &now.harvest);
	registry_walk(REGISTRY_PMAPS, harvest_one, &now.harvest);
	flight_close(c);
	c->figures.tables = now.harvest.tables;
	c->figures.entries = now.harvest.entries;
	c->harvest_err = now.err;
	atomic_store(&c->harvest, (u32)HARVEST_OVER);
	return true;
}

static void
help(struct stand_work *work)
{
	struct vm_cut *c = container_of(work, struct vm_cut, work);

	if (!harvest_all(c))
		(void)flight_make_copies(c);
}

struct vm_cut *
vm_cut_begin(u64 cut, struct vm_survey *s)
{
	struct vm_cut *c = flight_create(cut);

	if (c == NULL)
		return NULL;
	c->survey = s;
	c->work.piece = help;
	machine_share(&c->work);
	return c;
}

/* Whoever does it. */
static int
harvest_end(struct vm_cut *c)
{
	if (!harvest_all(c))
		while (atomic_load(&c->harvest) != HARVEST_OVER)
			if (!flight_make_copies(c))
				cpu_pause();
	return c->harvest_err;
}

int
vm_cut_collect(struct vm_cut *c, int err)
{
	int harvested = harvest_end(c);

	err = err ? err : harvested;
	if (homes()->verify)
		registry_walk(REGISTRY_OBJECTS, verify_object, NULL);
	if (err == 0)
		err = collect(c);
	flight_close(c);
	if (homes()->verify && err == 0)
		registry_walk(REGISTRY_OBJECTS, verify_collected, NULL);
	shield_runs(c);
	registry_walk(REGISTRY_PMAPS, harvested_one, NULL);
	flight_copied(c);
	machine_share_end();
	if (err) {
		vm_cut_failed(c);
		return err;
	}
	flight_begin();
	vm_cut_rewind(c);
	return 0;
}
