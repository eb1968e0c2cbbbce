/*
 * From an epoch to running processes: every record is read, its object made, linked, started
 * (core/persist.h). Pages stay on the disk until they are used. Nothing runs in user mode before
 * all of it is done: tasks park at the boundary, those that slept in a call sleep in it again.
 *
 * What a failed resume has made is not taken apart: the machine starts once more, and the count of
 * tries in the store decides for which epoch.
 */
#include <asm/errno.h>

#include "core/klog.h"
#include "core/sched.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "persist/impl.h"
#include "proc/persist.h"

#define PART_BYTES (1u << 20) /* about so long are the parts of what fits no buffer */
#define PART_MAX   (3u << 20) /* no field is longer */

/* Fields of a record that are not its last. */
struct part {
	struct list link;
	struct tag_reader fields; /* which go on in the next part, or the end */
	u8 bytes[];
};

struct loaded {
	struct list link;
	struct entry *entry;
	const struct persist_kind *kind;
	void *object;		  /* NULL: not made */
	struct list parts;	  /* struct part: of very long records */
	struct tag_reader fields; /* behind them */
	const struct tag_reader *first;
	u8 bytes[];
};

/* A record while it is read. */
struct reading {
	struct record_head head;
	struct list parts;
	size_t in_parts; /* bytes */
	u8 *buf;	 /* what is in none yet */
	size_t have, room;
	u32 pieces;
};

struct load {
	struct persist *engine;
	struct persist_reader reader;
	struct loaded *system;
	struct list all;      /* struct loaded */
	struct radix objects; /* id -> struct loaded */
	u8 *block;	      /* for one piece */
};

static void *
alloc_node(void)
{
	return kzalloc(PAGE_SIZE);
}

static const struct radix_mem node_memory = {alloc_node, kfree};

static void *
find(struct persist_reader *r, const struct persist_kind *kind, u64 id)
{
	const struct load *l = container_of(r, struct load, reader);
	const struct loaded *o;

	if (id <= ID_KNOWN_LAST)
		return known_object(id, kind);
	o = radix_get(&l->objects, id);
	return o && o->kind == kind ? o->object : NULL;
}

/* --- reading --- */

static void
free_parts(struct list *parts)
{
	struct part *p, *next;

	list_for_each_entry_safe (p, next, parts, link)
		kfree(p);
}

/* What is whole of the buffer becomes a part. A field that has no end is read to that of the
 * record, or until it is too long for one. */
static int
split(struct reading *r)
{
	const struct tag_reader fields = {.buf = r->buf, .length = r->have};
	size_t n = tag_whole(&fields);
	struct part *p;

	if (n == 0)
		return r->have < PART_MAX ? 0 : -EBADMSG;
	p = kmalloc(sizeof(*p) + n);
	if (!p)
		return -ENOMEM;
	memcpy(p->bytes, r->buf, n);
	p->fields = (struct tag_reader){.buf = p->bytes, .length = n};
	if (!list_empty(&r->parts))
		list_entry(r->parts.prev, struct part, link)->fields.more = &p->fields;
	list_add_tail(&r->parts, &p->link);
	r->in_parts += n;
	r->have -= n;
	memmove(r->buf, r->buf + n, r->have);
	return 0;
}

/* The next piece goes to the buffer. */
static int
add_piece(struct reading *r, const u8 *piece, u32 n)
{
	size_t head = r->pieces == 0 ? sizeof(r->head) : 0;
	u8 *b = r->buf;

	if (n < head)
		return -EBADMSG;
	memcpy(&r->head, piece, head);
	if (r->have + n - head > r->room) {
		r->room = max(r->room * 2, r->have + n - head);
		b = krealloc(r->buf, r->have, r->room);
		if (!b)
			return -ENOMEM;
		r->buf = b;
	}
	memcpy(b + r->have, piece + head, n - head);
	r->have += n - head;
	r->pieces++;
	return r->have < PART_BYTES ? 0 : split(r);
}

/* The record of object id: its pieces one behind the other. */
static int
read_record(struct load *l, u64 id, struct reading *r)
{
	u32 n = STORE_BLOCK;
	int err = 0;

	while (!err && n == STORE_BLOCK) {
		err = store_get(l->engine->store, id, r->pieces, l->block, &n);
		if (!err)
			err = add_piece(r, l->block, n);
	}
	return err == -ENOENT && r->pieces > 0 ? 0 : err;
}

/* The rest of what was read, with the parts before it. */
static struct loaded *
make_loaded(struct reading *r)
{
	struct loaded *o = kzalloc(sizeof(*o) + r->have);

	if (!o)
		return NULL;
	memcpy(o->bytes, r->buf, r->have);
	o->fields = (struct tag_reader){.buf = o->bytes, .length = r->have};
	o->first = &o->fields;
	list_init(&o->parts);
	list_splice_tail(&o->parts, &r->parts);
	if (!list_empty(&o->parts)) {
		list_entry(o->parts.prev, struct part, link)->fields.more = &o->fields;
		o->first = &list_first(&o->parts, struct part, link)->fields;
	}
	return o;
}

static void
free_loaded(struct loaded *o)
{
	free_parts(&o->parts);
	kfree(o);
}

static int
check_loaded(const struct reading *r, const struct loaded *o)
{
	return r->head.length == r->in_parts + r->have && tag_check(o->first) ? 0 : -EBADMSG;
}

/* The hash of a record of parts is not known: the first cut puts it again. */
static int
enter_loaded(struct load *l, u64 id, const struct reading *r, struct loaded *o)
{
	int err;

	o->entry = entry_get(l->engine, id);
	if (!o->entry)
		return -ENOMEM;
	o->entry->stored = true;
	o->entry->pieces = r->pieces;
	if (o->first == &o->fields)
		o->entry->hash = record_hash(o->bytes, o->fields.length);
	o->kind = persist_kind(r->head.kind);
	err = radix_set(&l->objects, id, o);
	if (!err)
		list_add_tail(&l->all, &o->link);
	return err;
}

static int
load_one(struct load *l, u64 id)
{
	struct reading r = {.pieces = 0};
	struct loaded *o = NULL;
	int err;

	list_init(&r.parts);
	err = read_record(l, id, &r);
	if (!err)
		o = make_loaded(&r);
	if (!err)
		err = o ? check_loaded(&r, o) : -ENOMEM;
	if (!err)
		err = enter_loaded(l, id, &r, o);
	if (err && o)
		free_loaded(o);
	else if (err)
		free_parts(&r.parts);
	kfree(r.buf);
	return err == -ENOENT ? 0 : err;
}

/* Everything from object `from` on. */
static int
load_records(struct load *l, u64 from)
{
	struct store_item item;
	int err;

	for (;;) {
		err = store_next(l->engine->store, from, 0, &item);
		if (err)
			return err == -ENOENT ? 0 : err;
		/* An object with pages alone was not written down: what is left of one is dead. */
		err = item.idx < STORE_PAGE(0) ? load_one(l, item.oid) : 0;
		if (!err && item.idx >= STORE_PAGE(0)) {
			struct entry *e = entry_get(l->engine, item.oid);

			err = e ? 0 : -ENOMEM;
			if (e)
				e->stored = true;
		}
		if (err) {
			klog(KLOG_WARN, "persist", "object %lu cannot be read: error %d", item.oid,
			     -err);
			return err;
		}
		from = item.oid + 1;
		sched_point();
	}
}

/* --- making --- */

static void
set_reader(struct load *l, const struct loaded *o)
{
	l->reader.tags = *o->first;
	l->reader.id = o->entry->id;
}

static bool
is_wanted(const struct load *l, const struct loaded *o)
{
	if (!o->kind)
		return false;
	return !l->engine->options.fresh || persist_kind_of_files(o->kind->number);
}

static int
complain(const struct loaded *o, const char *what, int err)
{
	klog(KLOG_WARN, "persist", "%s %lu cannot be %s: error %d", o->kind->name, o->entry->id,
	     what, -err);
	return err;
}

static int
make_objects(struct load *l)
{
	struct persistent *p;
	struct loaded *o;
	int err;

	list_for_each_entry (o, &l->all, link) {
		if (!is_wanted(l, o))
			continue;
		set_reader(l, o);
		err = o->kind->make(&l->reader, &o->object);
		if (err)
			return complain(o, "made", err);
		p = (struct persistent *)((char *)o->object + o->kind->member);
		if (p->id && p->id != o->entry->id) /* what there is once has two records */
			return complain(o, "made", -EBADMSG);
		p->id = o->entry->id;
		p->cut = l->engine->good_cut;
		if (o->kind->marked)
			entry_know(l->engine, o->entry, o->kind, o->object);
		sched_point();
	}
	return 0;
}

static int
link_objects(struct load *l)
{
	struct loaded *o;
	int err;

	list_for_each_entry (o, &l->all, link) {
		if (!o->object || !o->kind->link)
			continue;
		set_reader(l, o);
		err = o->kind->link(&l->reader, o->object);
		if (err)
			return complain(o, "linked", err);
		sched_point();
	}
	return 0;
}

static int
start_objects(struct load *l)
{
	struct loaded *o;
	int err;

	list_for_each_entry (o, &l->all, link) {
		if (!o->object || !o->kind->start)
			continue;
		set_reader(l, o);
		err = o->kind->start(&l->reader, o->object);
		if (err)
			return complain(o, "started", err);
		sched_point();
	}
	return 0;
}

static void
drop_load(struct load *l, bool put)
{
	struct loaded *o, *next;

	list_for_each_entry_safe (o, next, &l->all, link) {
		if (put && o->object && o->kind->put)
			o->kind->put(o->object);
		free_loaded(o);
	}
	radix_destroy(&l->objects);
	kfree(l->block);
	kfree(l);
}

/* Process 1 and all others run, or sleep where they slept. => all is started */
static int
let_go_on(struct load *l)
{
	int err;

	quiesce_begin();
	set_reader(l, l->system);
	err = processes_go_on(system_root(&l->reader, &process_persist));
	if (!err)
		quiesce_wait();
	return err;
}

/* --- the steps --- */

int
resume_read_system(struct persist *p)
{
	struct load *l = kzalloc(sizeof(*l));
	int err = -ENOMEM;

	if (!l)
		return err;
	l->engine = p;
	l->reader.find = find;
	list_init(&l->all);
	radix_init(&l->objects, &node_memory);
	l->block = kmalloc(STORE_BLOCK);
	if (l->block)
		err = load_one(l, ID_SYSTEM);
	if (!err && list_empty(&l->all))
		err = -ENODATA;
	if (!err) {
		l->system = list_first(&l->all, struct loaded, link);
		list_del(&l->system->link);
		set_reader(l, l->system);
		err = system_check(p, &l->reader);
	}
	p->load = l;
	if (err)
		resume_forget(p);
	return err;
}

int
resume_take_system(struct persist *p)
{
	set_reader(p->load, p->load->system);
	return system_load(p, &p->load->reader);
}

void
resume_forget(struct persist *p)
{
	struct load *l = p->load;

	p->load = NULL;
	if (l && l->system)
		free_loaded(l->system);
	if (l)
		drop_load(l, false);
}

int
resume_load(struct persist *p)
{
	struct load *l = p->load;
	int err;

	err = load_records(l, ID_SYSTEM + 1);
	if (!err)
		err = make_objects(l);
	if (!err)
		err = link_objects(l);
	if (!err)
		err = start_objects(l);
	if (!err && !p->options.fresh)
		err = let_go_on(l);
	if (err)
		return err;
	free_loaded(l->system);
	drop_load(l, true);
	p->load = NULL;
	if (!p->options.fresh)
		quiesce_end();
	return 0;
}
