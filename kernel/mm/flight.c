/*
 * What a cut has collected, until it is durable (cut.h, flight.h).
 *
 * A frame in flight has FF_FLIGHT and a reference; who wants to write the page gets a copy in its
 * place (fault.c for private memory, where some pages behind it are copied along; object_writable()
 * for the rest). Runs lie one behind the other in chunks of memory: at the cut each page that is
 * touched counts, and a run may be short.
 *
 * A page that is written again while it is in flight costs a fault, a copy and a shootdown. One
 * that was is hot: at the next cuts a copy of it is made before the machine goes on (copies.c),
 * which goes to the disk, and the page may be written all the time. Of a program that mostly does
 * so (cut.c) all pages are copied. A page is put to the test again now and then. When the cut fails
 * its groups have the pages as changed, wherever their frames are by then.
 *
 * With persist-verify a page in flight that is not what it was at the cut is a panic, be it a copy
 * or the page itself.
 *
 * Locks: adding needs none, the machine stands still. Done and failed run beside processes.
 */
#include "core/panic.h"
#include "lib/assert.h"
#include "lib/string.h"
#include "mm/flight.h"
#include "mm/slab.h"
#include <asm/errno.h>

#define CHUNK_SIZE (4 * PAGE_SIZE)
#define TEST_EVERY 32 /* cuts */
#define GUESS_MAX  (COPIES_MAX / 2)

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

void
flight_begin(void)
{
	set_flight(true);
}

struct vm_cut *
flight_create(u64 cut)
{
	struct vm_cut *c = kzalloc(sizeof(*c));

	if (c == NULL)
		return NULL;
	c->number = cut;
	c->verify = homes()->verify;
	c->may_copy = home_may_copy() ? COPIES_MAX : 0;
	c->may_guess = GUESS_MAX;
	list_init(&c->runs);
	list_init(&c->chunks);
	return c;
}

static bool
add_chunk(struct vm_cut *c)
{
	struct cut_chunk *chunk = kmalloc(CHUNK_SIZE);

	if (chunk == NULL)
		return false;
	list_add_tail(&c->chunks, &chunk->link);
	c->free = chunk->room;
	c->end = (u8 *)chunk + CHUNK_SIZE;
	return true;
}

struct cut_run *
flight_run(struct vm_cut *c, struct home_group *g)
{
	size_t least = sizeof(struct cut_run) + sizeof(struct frame *);
	struct cut_run *run;

	flight_close(c);
	if ((size_t)(c->end - c->free) < least && !add_chunk(c))
		return NULL;
	run = (struct cut_run *)c->free;
	c->free += sizeof(*run);
	run->home = g->home;
	run->group = g;
	run->id = home_id(g->home);
	home_get(g->home);
	for (unsigned i = 0; i < GROUP_WORDS; i++)
		run->set[i] = 0;
	run->image = NULL;
	run->whole = NULL;
	run->object = NULL;
	run->deleted = run->shielded = false;
	run->last = run->room = run->n = 0;
	list_add_tail(&c->runs, &run->link);
	return run;
}

int
flight_open(struct vm_cut *c, struct vm_object *o, struct home_group *g, bool shielded)
{
	struct cut_run *run = flight_run(c, g);

	if (run == NULL)
		return -ENOMEM;
	run->object = o;
	run->shielded = shielded;
	run->room = (unsigned)((c->end - c->free) / sizeof(run->frame[0]));
	c->open = run;
	return 0;
}

struct frame *
flight_copy(struct vm_cut *c, struct frame *f)
{
	u16 hot = f->flags & FF_HOT;
	struct frame *copy;

	if (c->may_copy == 0 || (!hot && c->may_guess == 0))
		return NULL;
	if (c->copies == NULL)
		atomic_store(&c->copies, copies_create());
	f->flags &= (u16)~FF_HOT;
	if (c->copies == NULL || (c->number + f->index) % TEST_EVERY == 0)
		return NULL;
	copy = copies_frame(c->copies);
	if (copy == NULL)
		return NULL;
	f->flags |= hot;
	c->may_copy--;
	c->may_guess -= !hot;
	return copy;
}

bool
flight_make_copies(struct vm_cut *c)
{
	struct copies *w = atomic_load(&c->copies);

	return w != NULL && copies_make(w) > 0;
}

void
flight_copied(struct vm_cut *c)
{
	if (c->copies != NULL)
		c->figures.beside = copies_end(c->copies);
}

/* What goes to the disk from a frame in a run, before copies are made. */
static const void *
content(const struct frame *f)
{
	return frame_virt(f->flags & FF_FLIGHT ? f : copies_source(f));
}

void
flight_close(struct vm_cut *c)
{
	struct cut_run *run = c->open;
	struct home_group *g;
	unsigned i, n = 0;

	if (run == NULL)
		return;
	c->open = NULL;
	c->free = (u8 *)&run->frame[run->n];
	c->figures.pages += run->n;
	g = run->group;
	for (i = 0; i < GROUP_WORDS; i++) {
		u64 word = run->set[i];

		if (word == 0)
			continue;
		g->dirty[i] &= ~word;
		g->gone[i] &= ~word;
		g->kept[i] &= ~word;
		g->stored[i] |= word;
	}
	if (!c->verify)
		return;
	for_each_in_group(i, run->set) home_note_put(g, i, content(run->frame[n++]));
}

/* --- going through them --- */

void
vm_cut_rewind(struct vm_cut *c)
{
	c->run = list_entry(&c->runs, struct cut_run, link);
	c->at = GROUP_PAGES;
}

/* A deletion takes what is next to it along. */
static void
delete_item(struct vm_cut *c, unsigned i, struct vm_cut_item *item)
{
	const struct cut_run *run = c->run;

	item->data = NULL;
	item->length = 0;
	item->index = run->group->first + i;
	while (i < GROUP_PAGES && group_has(run->set, i))
		i++;
	item->last = run->group->first + i - 1;
	c->at = i;
}

static void
put_item(struct vm_cut *c, unsigned i, struct vm_cut_item *item)
{
	const struct cut_run *run = c->run;

	item->index = item->last = run->group->first + i;
	item->length = PAGE_SIZE;
	item->hashed = false;
	if (run->image != NULL) {
		item->data = run->image + (u64)i * PAGE_SIZE;
		item->length = (u32)min(PAGE_SIZE, run->image_end - (u64)i * PAGE_SIZE);
	} else {
		const struct frame *f = run->frame[c->nth++];

		item->data = frame_virt(f);
		item->hashed = !(f->flags & FF_FLIGHT);
		item->hash = copies_hash(f);
	}
	c->at = i + 1;
}

bool
vm_cut_next(struct vm_cut *c, struct vm_cut_item *item)
{
	unsigned i;

	for (;;) {
		i = c->at < GROUP_PAGES ? group_next(c->run->set, c->at) : GROUP_PAGES;
		if (i < GROUP_PAGES)
			break;
		if (c->run->link.next == &c->runs)
			return false;
		c->run = list_entry(c->run->link.next, struct cut_run, link);
		c->at = c->nth = 0;
	}
	item->id = c->run->id;
	if (c->run->deleted)
		delete_item(c, i, item);
	else
		put_item(c, i, item);
	return true;
}

const struct vm_cut_figures *
vm_cut_figures(const struct vm_cut *c)
{
	return &c->figures;
}

/* --- the end --- */

/* persist-verify */
static void
verify_run(const struct cut_run *run)
{
	const struct home_group *g = run->group;
	unsigned i, n = 0;

	if (run->n == 0)
		return;
	for_each_in_group(i, run->set)
	{
		const struct hash128 *put = g->put[i / 64];
		const void *page = frame_virt(run->frame[n++]);

		if (put != NULL && !hash128_equal(hash128(page, PAGE_SIZE), put[i % 64]))
			panic("page %lu of object %lu was written on its way to the disk",
			      g->first + i, run->id);
	}
}

/* A copy goes with all others. */
static void
let_go(struct frame *f)
{
	if (!(f->flags & FF_FLIGHT))
		return;
	atomic_fetch_and(&f->flags, (u16)~FF_FLIGHT);
	frame_put(f);
}

static void
run_landed(const struct vm_cut *c, struct cut_run *run)
{
	if (c->verify)
		verify_run(run);
	for (unsigned i = 0; i < run->n; i++)
		let_go(run->frame[i]);
	run->n = 0;
}

/* The groups know which pages are on their way: a cut that fails after this does not need the
 * frames. */
void
vm_cut_landed(struct vm_cut *c)
{
	struct cut_run *run;

	list_for_each_entry (run, &c->runs, link)
		run_landed(c, run);
	copies_free(c->copies);
	c->copies = NULL;
	set_flight(false);
}

static void
run_end(struct cut_run *run)
{
	home_put(run->home);
	if (run->whole != NULL)
		vm_object_put(run->whole);
}

static void
drop_unused(void)
{
	struct home_use *u, *next;

	list_for_each_entry_safe (u, next, &homes()->unused, link) {
		list_del(&u->link);
		home_put(u->home);
		kfree(u);
	}
}

static void
cut_end(struct vm_cut *c)
{
	struct cut_chunk *chunk, *next_chunk;
	struct cut_run *run, *next;

	vm_cut_landed(c);
	list_for_each_entry_safe (run, next, &c->runs, link)
		run_end(run);
	list_for_each_entry_safe (chunk, next_chunk, &c->chunks, link)
		kfree(chunk);
	drop_unused();
	kfree(c);
}

/* The last epoch has these pages as they were at the cut. */
static void
run_done(struct cut_run *run)
{
	struct home_group *g = run->group;

	for (unsigned i = 0; i < GROUP_WORDS && !run->deleted; i++)
		if (run->set[i] != 0)
			atomic_fetch_or(&g->kept[i], run->set[i]);
	if (run->whole != NULL)
		run->whole->image_stored = true;
}

void
vm_cut_done(struct vm_cut *c)
{
	struct cut_run *run;

	list_for_each_entry (run, &c->runs, link)
		run_done(run);
	cut_end(c);
}

/* The pages are changed still: those that are there at the next cut, by whatever frame. */
static void
run_failed(struct cut_run *run)
{
	struct home_group *g = run->group;

	for (unsigned i = 0; i < GROUP_WORDS; i++)
		atomic_fetch_or(run->deleted ? &g->gone[i] : &g->dirty[i], run->set[i]);
	home_queue(g);
}

void
vm_cut_failed(struct vm_cut *c)
{
	struct cut_run *run;
	struct vm_object *o;

	spin_lock(&homes()->lock);
	list_for_each_entry (o, &homes()->borrowers, borrower_link)
		atomic_store(&o->borrowed_dirty, true);
	spin_unlock(&homes()->lock);
	list_for_each_entry (run, &c->runs, link)
		run_failed(run);
	cut_end(c);
}
