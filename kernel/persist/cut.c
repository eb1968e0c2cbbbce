/*
 * The cut: everything stands still, every object that the roots reach writes itself down, and what
 * differs from what the store has is kept for the commit.
 *
 * The walk is a list of objects still to be written, no recursion. An object that was reached by
 * the last complete walk keeps its id; one that was not gets a new one, since the store has
 * forgotten it. With the machine stopped no lock is needed, and none is held by anybody.
 */
#include <asm/errno.h>

#include "arch/clock.h"
#include "dev/tty.h"
#include "lib/assert.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/slab.h"
#include "persist/impl.h"
#include "proc/persist.h"

#define QUEUE_FIRST 1024u
#define DRAIN_LIMIT NS_PER_SEC

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
	if (radix_set(&p->objects, id, e)) {
		kfree(e);
		return NULL;
	}
	list_add_tail(&p->entries, &e->link);
	return e;
}

void
entry_drop(struct persist *p, struct entry *e)
{
	(void)radix_remove(&p->objects, e->id);
	list_del(&e->link);
	kfree(e);
}

/* --- the walk --- */

static void *
grow_buffer(void *old, size_t length, size_t room)
{
	return krealloc(old, length, room);
}

static bool
queue_add(struct cut *c, const struct persist_kind *kind, void *object)
{
	if (c->queued == c->room) {
		size_t room = c->room ? c->room * 2 : QUEUE_FIRST;
		struct reached *q = krealloc(c->queue, c->room * sizeof(*q), room * sizeof(*q));

		if (!q)
			return false;
		c->queue = q;
		c->room = room;
	}
	c->queue[c->queued++] = (struct reached){kind, object};
	return true;
}

static struct persistent *
persistent_of(const struct persist_kind *kind, void *object)
{
	return (struct persistent *)((char *)object + kind->member);
}

/* The cut has come to an object that the store has, or will have. */
static void
see(struct cut *c, struct entry *e)
{
	c->alive += e->cut != c->number;
	e->cut = c->number;
}

/* An unchanged object of a kind that says so at once needs no turn in the queue: most of what there
 * is are files that nobody touches. */
static bool
is_as_stored(struct cut *c, const struct persist_kind *kind, void *object)
{
	struct entry *e;
	u64 version;

	if (!kind->refs)
		return false;
	e = radix_get(&c->engine->objects, persistent_of(kind, object)->id);
	version = e && e->stored ? kind->version(object) : 0;
	if (!version || version != e->version || !kind->refs(&c->writer, object))
		return false;
	see(c, e);
	c->passed++;
	return true;
}

static u64
reach(struct persist_writer *w, const struct persist_kind *kind, void *object)
{
	struct cut *c = container_of(w, struct cut, writer);
	struct persistent *o = persistent_of(kind, object);

	if (o->id && o->id <= ID_KNOWN_LAST)
		return o->id;
	if (o->cut == c->number)
		return o->id;
	if (!o->id || o->cut < c->engine->good_cut)
		o->id = c->engine->next_id++;
	o->cut = c->number;
	if (!is_as_stored(c, kind, object) && !queue_add(c, kind, object) && w->tags.err >= 0)
		w->tags.err = -ENOMEM;
	return o->id;
}

/* Keeps the writer's record for the commit, if the store has another one. */
static int
keep_record(struct cut *c, struct entry *e, const struct persist_kind *kind, u64 version)
{
	const struct tag_writer *t = &c->writer.tags;
	size_t length = sizeof(struct record_head) + t->length;
	struct record_head head = {kind ? kind->number : ID_SYSTEM, RECORD_VERSION, (u32)t->length};
	struct hash128 hash = hash128(t->buf, t->length);
	struct record *r;

	if (e->stored && hash128_equal(hash, e->hash)) {
		e->version = version;
		return 0;
	}
	r = kmalloc(sizeof(*r) + length);
	if (!r)
		return -ENOMEM;
	r->entry = e;
	r->hash = hash;
	r->version = version;
	r->length = length;
	memcpy(r->bytes, &head, sizeof(head));
	memcpy(r->bytes + sizeof(head), t->buf, t->length);
	list_add_tail(&c->records, &r->link);
	c->bytes += length;
	return 0;
}

static int
write_object(struct cut *c, const struct persist_kind *kind, void *object)
{
	struct entry *e = entry_get(c->engine, persistent_of(kind, object)->id);
	u64 version = kind->version ? kind->version(object) : 0;
	struct persist_writer *w = &c->writer;
	bool only_reach = e && e->stored && version && version == e->version;

	if (!e)
		return -ENOMEM;
	see(c, e);
	tag_reset(&w->tags);
	if (only_reach)
		persist_only_reach(w);
	kind->save(w, object);
	if (w->tags.err < 0)
		return w->tags.err;
	return only_reach ? 0 : keep_record(c, e, kind, version);
}

static int
write_system(struct cut *c)
{
	struct entry *e = entry_get(c->engine, ID_SYSTEM);

	if (!e)
		return -ENOMEM;
	see(c, e);
	tag_reset(&c->writer.tags);
	system_save(c->engine, &c->writer);
	return c->writer.tags.err < 0 ? c->writer.tags.err : 0;
}

static int
walk(struct cut *c)
{
	int err = write_system(c);

	while (!err && c->taken < c->queued) {
		struct reached at = c->queue[c->taken++];

		c->processes += at.kind == &process_persist;
		c->threads += at.kind == &task_persist;
		err = write_object(c, at.kind, at.object);
	}
	if (err)
		return err;
	c->objects = c->queued + c->passed;
	c->engine->good_cut = c->number;
	/* Once more, now that the ids are given: the record has the next free one. */
	err = write_system(c);
	return err ? err : keep_record(c, entry_get(c->engine, ID_SYSTEM), NULL, 0);
}

static void
find_dead(struct cut *c)
{
	struct entry *e, *next;

	if (c->alive == c->engine->objects.count)
		return;
	list_for_each_entry_safe (e, next, &c->engine->entries, link) {
		if (e->cut == c->number)
			continue;
		list_del(&e->link);
		list_add_tail(&c->dead, &e->link);
	}
}

/* --- the stop --- */

/* The last cut waits until terminals have shown what they were given: nobody can do so later. */
static void
stop_everything(struct cut *c, struct machine_stop *stop)
{
	for (;;) {
		quiesce_wait();
		if (c->last)
			ttys_drain(clock_now() + DRAIN_LIMIT);
		machine_stop(stop);
		if (quiesce_reached())
			return;
		machine_go(stop);
	}
}

int
cut_take(struct persist *p, struct cut *c)
{
	struct machine_stop *stop = kmalloc(sizeof(*stop));
	int err;

	if (!stop)
		return -ENOMEM;
	c->engine = p;
	c->number = ++p->cut;
	c->writer.tags.grow = grow_buffer;
	c->writer.reach = reach;
	c->asked = clock_now();
	quiesce_begin();
	stop_everything(c, stop);
	c->stopped = clock_now();
	err = walk(c);
	if (!err)
		err = vm_cut_collect(c->number, &c->memory);
	if (!err)
		find_dead(c);
	machine_go(stop);
	if (!c->last)
		quiesce_end();
	c->released = clock_now();
	kfree(stop);
	kfree(c->writer.tags.buf);
	c->writer.tags.buf = NULL;
	kfree(c->queue);
	c->queue = NULL;
	return err;
}

void
cut_free(struct cut *c)
{
	struct record *r, *next;

	list_for_each_entry_safe (r, next, &c->records, link)
		kfree(r);
	/* A commit that failed has left them: they are dead still, and in the store. */
	list_splice_tail(&c->engine->entries, &c->dead);
}
