/*
 * Collecting what a cut has to write, and letting go of it when it is written (cut.h, home.h).
 *
 * At the cut the processors' notes go to the frames (harvest.c); then every group on the list of
 * changed ones is made into a run: its pages that are gone, and its changed frames. These get the
 * flag FF_FLIGHT, a reference, and lose every right to be written: until the epoch is durable who
 * writes gets a copy in their place (fault.c for private memory, object_writable() for the rest).
 * Everything else stays writable, and a write to it costs nothing.
 *
 * Pages that several objects have are found by going through these objects, which is done when some
 * of them may not be stored yet. What lies in the root image is stored from where it lies, once.
 *
 * Locks: collecting needs none, the machine stands still. Done and failed run beside processes.
 */
#include <asm/errno.h>

#include "cluster/cluster.h"
#include "core/panic.h"
#include "lib/assert.h"
#include "lib/string.h"
#include "mm/cut.h"
#include "mm/home.h"
#include "mm/slab.h"

/* Pages of one group. */
struct cut_run {
	struct list link;
	struct vm_home *home; /* with a reference; the group is its */
	struct home_group *group;
	u64 id;
	u64 put[GROUP_WORDS], del[GROUP_WORDS];
	const u8 *image;	 /* or NULL: where the group's first page is, in the root image */
	u64 image_end;		 /* of the bytes in the image, counted from there */
	struct vm_object *whole; /* with a reference: stored with this run */
	unsigned n;
	struct frame *frame[]; /* [n] of the pages in put, in order; each with a reference */
};

struct vm_cut {
	u64 number;
	struct list runs;
	struct cut_run *run; /* where vm_cut_next is */
	unsigned at;	     /* which page of it, deletions first: 0 to 2 * GROUP_PAGES */
	unsigned nth;	     /* which frame */
	struct vm_cut_figures figures;
};

static bool
bit(const u64 *set, unsigned i)
{
	return set[i / 64] >> (i % 64) & 1;
}

static void
set_bit(u64 *set, unsigned i)
{
	set[i / 64] |= 1UL << (i % 64);
}

static unsigned
count_bits(const u64 *set)
{
	unsigned n = 0;

	for (unsigned i = 0; i < GROUP_WORDS; i++)
		for (u64 bits = set[i]; bits; bits &= bits - 1)
			n++;
	return n;
}

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
	spin_init(&h->lock, "homes", RANK_SLAB);
	spin_init(&h->flight_lock, "flight", RANK_WAITQ);
	waitq_init(&h->landed);
	list_init(&h->changed);
	list_init(&h->borrowers);
	list_init(&h->images);
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
take_frame(struct cut_run *run, struct frame *f, unsigned i)
{
	struct home_group *g = run->group;

	f->flags = (u16)((f->flags & ~FF_DIRTY) | FF_FLIGHT);
	frame_get(f);
	run->frame[run->n++] = f;
	g->dirty[i / 64] &= ~(1UL << (i % 64));
	set_bit(g->stored, i);
	home_note_put(g, i, frame_virt(f));
}

static struct cut_run *
run_make(struct vm_cut *c, struct home_group *g, const u64 *put)
{
	struct cut_run *run = kzalloc(sizeof(*run) + count_bits(put) * sizeof(run->frame[0]));

	if (run == NULL)
		return NULL;
	run->home = g->home;
	run->group = g;
	run->id = home_id(g->home);
	home_get(g->home);
	memcpy(run->put, put, sizeof(run->put));
	list_add_tail(&c->runs, &run->link);
	c->figures.pages += count_bits(put);
	return run;
}

/* Makes a run of the frames in o's slots that are in `put`. */
static int
take_pages(struct vm_cut *c, struct vm_object *o, struct home_group *g, void *const *slots,
	   const u64 *put)
{
	struct cut_run *run = run_make(c, g, put);
	unsigned i;

	if (run == NULL)
		return -ENOMEM;
	for_each_in_group(i, put) take_frame(run, slots[i], i);
	if (run->n > 0)
		shield(o, g->first, run->put);
	for (i = 0; i < GROUP_WORDS; i++) {
		run->del[i] = g->gone[i] & ~put[i];
		g->gone[i] = 0;
	}
	c->figures.deletions += count_bits(run->del);
	return 0;
}

static bool
is_changed(const struct home_group *g, const struct frame *f)
{
	return f != NULL && f->owner == g && (f->flags & FF_DIRTY);
}

/* The changed frames of the group among the 512 slots of its object. */
static void
find_changed(const struct home_group *g, void *const *slots, u64 *put)
{
	unsigned i;

	memset(put, 0, GROUP_WORDS * sizeof(*put));
	if (slots == NULL)
		return;
	for_each_in_group(i, g->dirty) if (is_changed(g, slots[i])) set_bit(put, i);
}

/* The same among those of one that shows some of its pages. */
static void
find_borrowed(const struct home_group *g, void *const *slots, u64 *put)
{
	memset(put, 0, GROUP_WORDS * sizeof(*put));
	for (unsigned i = 0; i < GROUP_PAGES; i++)
		if (is_changed(g, slots[i]))
			set_bit(put, i);
}

/* Whether the store has the record of the home, or will have it with this cut. */
static bool
is_known(const struct vm_home *h)
{
	return (h->object != NULL ? h->object->persistent.known : h->persistent.known) != NULL;
}

/* A group on the list. When it is left there, the next cut finds it. */
static int
collect_group(struct vm_cut *c, struct home_group *g)
{
	struct vm_object *o = g->home->object;
	void *const *slots = o != NULL ? radix_find(&o->pages, g->first) : NULL;
	u64 put[GROUP_WORDS];
	int err;

	if (!is_known(g->home))
		return 0;
	find_changed(g, slots, put);
	if (count_bits(put) + count_bits(g->gone) > 0) {
		err = take_pages(c, o, g, slots, put);
		if (err)
			return err;
	}
	memset(g->dirty, 0, sizeof(g->dirty));
	list_del(&g->link);
	g->queued = 0;
	return 0;
}

/* What else the object shows and is not stored yet, in one node of its tree. */
static int
collect_borrowed_node(struct vm_cut *c, struct vm_object *o, void *const *slots)
{
	for (unsigned i = 0; i < GROUP_PAGES; i++) {
		const struct frame *f = slots[i];
		u64 put[GROUP_WORDS];
		int err;

		if (f == NULL || !(f->flags & FF_DIRTY) || f->owner == NULL || home_is_own(o, f))
			continue;
		find_borrowed(f->owner, slots, put);
		err = take_pages(c, o, f->owner, slots, put);
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
	u64 put[GROUP_WORDS] = {0};
	struct cut_run *run;

	if (g == NULL)
		return -ENOMEM;
	for (u64 i = first; i < min(pages, first + GROUP_PAGES); i++) {
		if (radix_get(&o->pages, i) != NULL)
			continue;
		set_bit(put, i - first);
		group_set(g->stored, i);
	}
	run = run_make(c, g, put);
	if (run == NULL)
		return -ENOMEM;
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
	const struct hash128 *put = g->put[f->index % GROUP_PAGES / 64];
	const u64 *word = frame_virt(f);
	struct hash128 now;

	if (!group_has(g->stored, f->index)) {
		for (unsigned i = 0; i < PAGE_SIZE / sizeof(*word); i++)
			if (word[i] != 0)
				panic("page %lu of %s object %lu was written unseen, at %u",
				      f->index, o->ops->kind, home_id(g->home), i);
		return;
	}
	now = hash128(word, PAGE_SIZE);
	if (put != NULL && !hash128_equal(now, put[f->index % 64]))
		panic("page %lu of %s object %lu has changed since it was stored", f->index,
		      o->ops->kind, home_id(g->home));
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

/* --- the spine --- */

static void
set_flight(bool on)
{
	struct homes *h = homes();

	spin_lock(&h->flight_lock);
	h->in_flight = on;
	if (!on)
		waitq_wake_all(&h->landed);
	spin_unlock(&h->flight_lock);
}

int
vm_cut_collect(u64 cut, struct vm_cut **out)
{
	struct vm_cut *c = kzalloc(sizeof(*c));
	struct harvest h = {0};
	int err;

	if (c == NULL)
		return -ENOMEM;
	c->number = cut;
	list_init(&c->runs);
	registry_walk(REGISTRY_PMAPS, harvest_one, &h);
	if (homes()->verify)
		registry_walk(REGISTRY_OBJECTS, verify_object, NULL);
	err = collect(c);
	registry_walk(REGISTRY_PMAPS, harvested_one, NULL);
	c->figures.tables = h.tables;
	c->figures.entries = h.entries;
	if (err) {
		vm_cut_failed(c);
		return err;
	}
	set_flight(true);
	vm_cut_rewind(c);
	*out = c;
	return 0;
}

void
vm_cut_rewind(struct vm_cut *c)
{
	c->run = list_entry(&c->runs, struct cut_run, link);
	c->at = 2 * GROUP_PAGES;
}

/* A deletion takes what is next to it along. */
static void
delete_item(struct vm_cut *c, struct vm_cut_item *item)
{
	const struct cut_run *run = c->run;

	item->data = NULL;
	item->length = 0;
	item->index = run->group->first + c->at;
	while (c->at < GROUP_PAGES && bit(run->del, c->at))
		c->at++;
	item->last = run->group->first + c->at - 1;
}

static void
put_item(struct vm_cut *c, unsigned i, struct vm_cut_item *item)
{
	const struct cut_run *run = c->run;

	item->index = item->last = run->group->first + i;
	item->length = PAGE_SIZE;
	if (run->image != NULL) {
		item->data = run->image + (u64)i * PAGE_SIZE;
		item->length = (u32)min(PAGE_SIZE, run->image_end - (u64)i * PAGE_SIZE);
	} else {
		item->data = frame_virt(run->frame[c->nth++]);
	}
}

/* The first member from i on; GROUP_PAGES: there is none. */
static unsigned
next_bit(const u64 *set, unsigned i)
{
	while (i < GROUP_PAGES) {
		u64 rest = set[i / 64] >> (i % 64);

		if (rest)
			return i + (unsigned)__builtin_ctzl(rest);
		i = (i / 64 + 1) * 64;
	}
	return GROUP_PAGES;
}

bool
vm_cut_next(struct vm_cut *c, struct vm_cut_item *item)
{
	unsigned i;

	for (;;) {
		if (c->at == 2 * GROUP_PAGES) {
			if (c->run->link.next == &c->runs)
				return false;
			c->run = list_entry(c->run->link.next, struct cut_run, link);
			c->at = c->nth = 0;
		}
		item->id = c->run->id;
		if (c->at < GROUP_PAGES)
			c->at = next_bit(c->run->del, c->at);
		if (c->at < GROUP_PAGES) {
			delete_item(c, item);
			return true;
		}
		i = next_bit(c->run->put, c->at - GROUP_PAGES);
		c->at = GROUP_PAGES + min(i + 1, (unsigned)GROUP_PAGES);
		if (i < GROUP_PAGES) {
			put_item(c, i, item);
			return true;
		}
	}
}

static void
let_go(struct frame *f)
{
	atomic_fetch_and(&f->flags, (u16)~FF_FLIGHT);
	frame_put(f);
}

static void
run_free(struct cut_run *run)
{
	for (unsigned i = 0; i < run->n; i++)
		let_go(run->frame[i]);
	home_put(run->home);
	if (run->whole != NULL)
		vm_object_put(run->whole);
	list_del(&run->link);
	kfree(run);
}

void
vm_cut_done(struct vm_cut *c)
{
	struct cut_run *run, *next;

	list_for_each_entry_safe (run, next, &c->runs, link) {
		if (run->whole != NULL)
			run->whole->image_stored = true;
		run_free(run);
	}
	set_flight(false);
	kfree(c);
}

/* What was replaced meanwhile has passed that it is not stored on to what replaced it. */
static void
run_failed(struct cut_run *run)
{
	struct home_group *g = run->group;

	for (unsigned i = 0; i < run->n; i++)
		if (run->frame[i]->owner == g)
			frame_note_dirty(run->frame[i]);
	for (unsigned i = 0; i < GROUP_WORDS; i++)
		if (run->del[i] != 0) {
			atomic_fetch_or(&g->gone[i], run->del[i]);
			home_queue(g);
		}
}

void
vm_cut_failed(struct vm_cut *c)
{
	struct cut_run *run, *next;
	struct vm_object *o;

	spin_lock(&homes()->lock);
	list_for_each_entry (o, &homes()->borrowers, borrower_link)
		atomic_store(&o->borrowed_dirty, true);
	spin_unlock(&homes()->lock);
	list_for_each_entry_safe (run, next, &c->runs, link) {
		run_failed(run);
		run_free(run);
	}
	set_flight(false);
	kfree(c);
}

const struct vm_cut_figures *
vm_cut_figures(const struct vm_cut *c)
{
	return &c->figures;
}
