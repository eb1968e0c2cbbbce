/*
 * The cut: everything stands still, every object that the roots reach writes itself down, and what
 * differs from what the store has is kept for the commit.
 *
 * The walk is a list of objects still to be written, no recursion. It begins with those that were
 * marked (core/persist.h) and the roots, and ends at objects of marked kinds that were not: these
 * are in the store as they are, with all they refer to. They stay there until they are freed.
 * Objects of other kinds are looked at each time; one that was reached by the last complete walk
 * keeps its id, one that was not gets a new one, since the store has forgotten it.
 *
 * With large parts of the kernel's memory out of the caches by then, or translated anew where the
 * processor is emulated, most of the time goes to places that are looked at first. So what is as it
 * was is told by the object alone (struct persist_kind's version), not by its entry; and records
 * are only copied here, and compared with what the store has when everything goes on.
 *
 * With the machine stopped no lock is needed, and none is held by anybody.
 */
#include <asm/errno.h>

#include "arch/clock.h"
#include "dev/tty.h"
#include "core/random.h"
#include "lib/assert.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/slab.h"
#include "persist/impl.h"
#include "proc/persist.h"

#define QUEUE_PIECE  ((PAGE_SIZE - sizeof(struct reached_piece)) / sizeof(struct reached))
#define RECORD_FIRST 4096u
#define DRAIN_LIMIT  NS_PER_SEC

/* --- what the store has --- */

static void *
alloc_node(void)
{
	return kzalloc(PAGE_SIZE);
}

static const struct radix_mem node_memory = {alloc_node, kfree};

void
entry_table_init(struct persist *p)
{
	radix_init(&p->objects, &node_memory);
	list_init(&p->entries);
}

struct entry *
entry_get(struct persist *p, u64 id)
{
	struct entry *e = radix_get(&p->objects, id);

	if (e)
		return e;
	e = kzalloc(sizeof(*e));
	if (!e)
		return NULL;
	e->id = id;
	list_init(&e->link);
	list_init(&e->known.gone);
	if (radix_set(&p->objects, id, e)) {
		kfree(e);
		return NULL;
	}
	list_add_tail(&p->entries, &e->link);
	p->nentries++;
	return e;
}

void
entry_know(struct persist *p, struct entry *e, const struct persist_kind *kind, void *object)
{
	persist_know((struct persistent *)((char *)object + kind->member), &e->known, kind, object);
	list_del(&e->link);
	p->nentries--;
}

/* => it is on no list that is counted. Ids are given once: what the table has for old ones only is
 * given back. */
void
entry_drop(struct persist *p, struct entry *e)
{
	(void)radix_remove_prune(&p->objects, e->id);
	list_del(&e->link);
	kfree(e);
}

/* --- the walk --- */

static void *
grow_buffer(void *old, size_t length, size_t room)
{
	return krealloc(old, length, room);
}

static struct reached_piece *
queue_grow(struct cut *c)
{
	struct reached_piece *q = kmalloc(PAGE_SIZE);

	if (!q)
		return NULL;
	q->n = 0;
	list_add_tail(&c->queue, &q->link);
	return q;
}

static bool
queue_add(struct cut *c, const struct persist_kind *kind, void *object)
{
	struct reached_piece *q = list_entry(c->queue.prev, struct reached_piece, link);

	if (list_empty(&c->queue) || q->n == QUEUE_PIECE)
		q = queue_grow(c);
	if (!q)
		return false;
	q->at[q->n++] = (struct reached){kind, object};
	c->queued++;
	return true;
}

static void
queue_free(struct cut *c)
{
	struct reached_piece *q, *next;

	list_for_each_entry_safe (q, next, &c->queue, link)
		kfree(q);
	list_init(&c->queue);
}

static struct persistent *
persistent_of(const struct persist_kind *kind, void *object)
{
	return (struct persistent *)((char *)object + kind->member);
}

static struct entry *
entry_of(const struct persistent *o)
{
	return container_of(o->known, struct entry, known);
}

/* Whether the store has this object of a marked kind as it is. */
static bool
is_as_stored(const struct cut *c, const struct persistent *o)
{
	return o->known && !o->changed && !c->engine->full && entry_of(o)->stored;
}

/* A number for an object that has none, or that the store has forgotten under the old one. */
static bool
name_object(struct cut *c, const struct persist_kind *kind, void *object)
{
	struct persist *p = c->engine;
	struct persistent *o = persistent_of(kind, object);
	struct entry *e;

	if (o->known || (!kind->marked && o->id && o->cut >= p->good_cut))
		return true;
	o->id = p->next_id++;
	if (!kind->marked) {
		o->version = 0;
		return true;
	}
	e = entry_get(p, o->id);
	if (e)
		entry_know(p, e, kind, object);
	return e != NULL;
}

static u64
reach(struct persist_writer *w, const struct persist_kind *kind, void *object)
{
	struct cut *c = container_of(w, struct cut, writer);
	struct persistent *o = persistent_of(kind, object);

	if (o->id && o->id <= ID_KNOWN_LAST)
		return o->id;
	assert(kind->marked || !c->only_marked);
	if (o->cut == c->number)
		return o->id;
	if (is_as_stored(c, o) && !machine()->persist_verify)
		return o->id;
	if ((!name_object(c, kind, object) || !queue_add(c, kind, object)) && w->tags.err >= 0)
		w->tags.err = -ENOMEM;
	o->cut = c->number;
	return o->id;
}

/* All that was marked since the last cut. */
static int
queue_marked(struct cut *c)
{
	struct persistent *o;

	list_splice_tail(&c->changed, &c->engine->marks.changed);
	list_for_each_entry (o, &c->changed, mark) {
		if (!queue_add(c, o->known->kind, o->known->object))
			return -ENOMEM;
		o->cut = c->number;
	}
	return 0;
}

/* The walk is over. */
static void
clear_marks(struct cut *c)
{
	struct persistent *o, *next;

	list_for_each_entry_safe (o, next, &c->changed, mark) {
		list_del(&o->mark);
		o->changed = false;
	}
	list_splice_tail(&c->engine->marks.changed, &c->again);
	c->engine->full = false;
	c->engine->versions = true;
}

static void
keep_marks(struct cut *c)
{
	list_splice_tail(&c->engine->marks.changed, &c->changed);
	list_splice_tail(&c->engine->marks.changed, &c->again);
}

/* It changes without being marked, so that the next cut has to look at it, too. */
static void
mark_again(struct cut *c, struct persistent *o)
{
	if (o->changed)
		list_del(&o->mark);
	list_add_tail(&c->again, &o->mark);
	o->changed = true;
}

static int
write_marked(struct cut *c, const struct persist_kind *kind, void *object)
{
	struct persistent *o = persistent_of(kind, object);
	struct entry *e = entry_of(o);
	bool checked = is_as_stored(c, o), restless = kind->restless && kind->restless(object);

	tag_reset(&c->writer.tags);
	c->only_marked = !restless;
	kind->save(&c->writer, object);
	c->only_marked = false;
	if (c->writer.tags.err < 0)
		return c->writer.tags.err;
	if (restless && !checked)
		mark_again(c, o);
	return records_keep(c, e, kind, 0, checked);
}

/* Whether the store has an object with this version, as far as the object itself can tell. */
static bool
is_as_before(const struct cut *c, const struct persistent *o, u64 version)
{
	return version && version == o->version && c->engine->versions;
}

/* => it is not known to be in the store as it is, or to be verified */
static int
write_changed(struct cut *c, const struct persist_kind *kind, void *object, u64 version)
{
	struct persistent *o = persistent_of(kind, object);
	struct entry *e = entry_get(c->engine, o->id);
	bool as_stored;

	if (!e)
		return -ENOMEM;
	e->cut = c->number;
	as_stored = e->stored && version && version == e->version;
	assert(as_stored || !is_as_before(c, o, version));
	o->version = version;
	if (as_stored && !machine()->persist_verify)
		return 0;
	kind->save(&c->writer, object);
	if (c->writer.tags.err < 0)
		return c->writer.tags.err;
	return records_keep(c, e, kind, version, as_stored);
}

/* An object whose version is as at its last record costs a look at it, and at no more. */
static int
write_object(struct cut *c, const struct persist_kind *kind, void *object)
{
	struct persist_writer *w = &c->writer;
	u64 version;

	c->alive++;
	tag_reset(&w->tags);
	version = kind->version ? kind->version(w, object) : 0;
	if (w->tags.err < 0)
		return w->tags.err;
	if (is_as_before(c, persistent_of(kind, object), version) && !machine()->persist_verify)
		return 0;
	return write_changed(c, kind, object, version);
}

static int
reach_roots(struct cut *c)
{
	tag_reset(&c->writer.tags);
	persist_only_reach(&c->writer);
	system_reach(&c->writer);
	return c->writer.tags.err < 0 ? c->writer.tags.err : 0;
}

/* => the ids are given: the record has the next free one */
static int
write_system(struct cut *c)
{
	struct entry *e = entry_get(c->engine, ID_SYSTEM);

	if (!e)
		return -ENOMEM;
	e->cut = c->number;
	c->alive++;
	tag_reset(&c->writer.tags);
	system_save(c->engine, &c->writer, c->seed);
	if (c->writer.tags.err < 0)
		return c->writer.tags.err;
	return records_keep(c, e, NULL, 0, false);
}

static int
write_reached(struct cut *c, const struct reached *at)
{
	c->processes += at->kind == &process_persist;
	c->threads += at->kind == &task_persist;
	return at->kind->marked ? write_marked(c, at->kind, at->object)
				: write_object(c, at->kind, at->object);
}

/* The queue grows while it is gone through. */
static int
write_queue(struct cut *c)
{
	const struct reached_piece *q;
	int err = 0;

	list_for_each_entry (q, &c->queue, link)
		for (unsigned i = 0; i < q->n && !err; i++)
			err = write_reached(c, &q->at[i]);
	return err;
}

static int
walk(struct cut *c)
{
	int err = queue_marked(c);

	if (!err)
		err = reach_roots(c);
	if (!err)
		err = write_queue(c);
	if (!err)
		err = write_system(c);
	if (err) {
		keep_marks(c);
		return err;
	}
	clear_marks(c);
	c->walked = c->queued;
	c->objects = c->engine->objects.count;
	c->engine->good_cut = c->number;
	return 0;
}

static void
bury(struct cut *c, struct entry *e)
{
	if (e->stored)
		list_add_tail(&c->dead, &e->link);
	else
		entry_drop(c->engine, e);
}

/* Entries of all that was reached. */
static void
see_reached(struct cut *c)
{
	const struct reached_piece *q;

	list_for_each_entry (q, &c->queue, link)
		for (unsigned i = 0; i < q->n; i++) {
			const struct reached *at = &q->at[i];
			struct entry *e;

			if (at->kind->marked)
				continue;
			e = radix_get(&c->engine->objects, persistent_of(at->kind, at->object)->id);
			e->cut = c->number;
		}
}

/* What was freed, and what is of no marked kind and was not reached. */
static void
find_dead(struct cut *c)
{
	struct persist *p = c->engine;
	struct entry *e, *next;

	list_for_each_entry_safe (e, next, &p->marks.gone, known.gone) {
		list_del(&e->known.gone);
		bury(c, e);
	}
	if (c->alive == p->nentries)
		return;
	see_reached(c);
	list_for_each_entry_safe (e, next, &p->entries, link) {
		if (e->cut == c->number)
			continue;
		list_del(&e->link);
		p->nentries--;
		bury(c, e);
	}
}

/* --- the stop --- */

/* The last cut waits until terminals have shown what they were given: nobody can do so later. */
static void
stop_everything(struct cut *c)
{
	for (;;) {
		quiesce_wait();
		if (c->last)
			ttys_drain(clock_now() + DRAIN_LIMIT);
		machine_stop();
		if (quiesce_reached())
			return;
		machine_go();
	}
}

/* What most cuts need, so that it is not looked for while all stands still. No harm if there is
 * none: it is asked for again. */
static void
make_room(struct cut *c)
{
	c->writer.tags.buf = kmalloc(RECORD_FIRST);
	c->writer.tags.room = c->writer.tags.buf ? RECORD_FIRST : 0;
	(void)queue_grow(c);
	(void)records_make_room(c);
}

int
cut_take(struct persist *p, struct cut *c)
{
	struct vm_survey *survey;
	int err;

	c->engine = p;
	c->number = ++p->cut;
	c->writer.tags.grow = grow_buffer;
	c->writer.tags.spill = records_spill;
	c->writer.reach = reach;
	list_init(&c->changed);
	list_init(&c->again);
	list_init(&c->queue);
	make_room(c);
	random_bytes(c->seed, sizeof(c->seed));
	survey = vm_cut_survey();
	c->asked = clock_now();
	quiesce_begin();
	stop_everything(c);
	c->stopped = clock_now();
	c->memory = vm_cut_begin(c->number, survey);
	err = c->memory ? walk(c) : -ENOMEM;
	c->walk_end = clock_now();
	if (c->memory)
		err = vm_cut_collect(c->memory, err);
	c->memory_end = clock_now();
	if (!err)
		find_dead(c);
	machine_go();
	if (!c->last)
		quiesce_end();
	c->released = clock_now();
	vm_cut_survey_end(survey);
	records_drop(c);
	kfree(c->writer.tags.buf);
	c->writer.tags.buf = NULL;
	queue_free(c);
	return err;
}

void
cut_failed(struct cut *c)
{
	struct record *r;

	c->engine->versions = false;
	list_for_each_entry (r, &c->records, link)
		persist_mark_known(&r->entry->known);
}

void
cut_free(struct cut *c)
{
	struct record *r, *next;
	struct entry *e, *next_entry;

	list_for_each_entry_safe (r, next, &c->records, link)
		record_free(r);
	records_free_room(c);
	/* A commit that failed has left them: they are dead still, and in the store. */
	list_for_each_entry_safe (e, next_entry, &c->dead, link) {
		list_del(&e->link);
		list_add_tail(&c->engine->entries, &e->link);
		c->engine->nentries++;
	}
}
