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

struct loaded {
	struct list link;
	struct entry *entry;
	const struct persist_kind *kind;
	void *object; /* NULL: not made */
	size_t length;
	u8 bytes[]; /* head and fields */
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

/* The record of object id: its pieces one behind the other. */
static int
read_record(struct load *l, u64 id, u8 **out, size_t *length, u32 *pieces)
{
	struct store *s = l->engine->store;
	size_t room = 0, have = 0;
	u8 *buf = NULL;
	u32 n, i = 0;
	int err;

	for (;; i++) {
		err = store_get(s, id, i, l->block, &n);
		if (err)
			break;
		if (have + n > room) {
			size_t more = max(room * 2, have + n);
			u8 *b = more <= TAGGED_MAX ? krealloc(buf, room, more) : NULL;

			if (!b) {
				err = -ENOMEM;
				break;
			}
			buf = b;
			room = more;
		}
		memcpy(buf + have, l->block, n);
		have += n;
		if (n < STORE_BLOCK) {
			i++;
			break;
		}
	}
	if (err == -ENOENT && have > 0)
		err = 0;
	if (err) {
		kfree(buf);
		return err;
	}
	*out = buf;
	*length = have;
	*pieces = i;
	return 0;
}

static int
load_one(struct load *l, u64 id)
{
	const struct record_head *head;
	struct tag_reader fields;
	struct loaded *o = NULL;
	size_t length;
	u32 pieces;
	u8 *buf;
	int err = read_record(l, id, &buf, &length, &pieces);

	if (err)
		return err == -ENOENT ? 0 : err;
	head = (const struct record_head *)buf;
	fields = (struct tag_reader){buf + sizeof(*head), length - sizeof(*head)};
	err = -EBADMSG;
	if (length < sizeof(*head) || head->length != fields.length || !tag_check(&fields))
		goto out;
	err = -ENOMEM;
	o = kzalloc(sizeof(*o) + length);
	if (!o)
		goto out;
	o->entry = entry_get(l->engine, id);
	if (!o->entry)
		goto out;
	o->entry->stored = true;
	o->entry->pieces = pieces;
	o->entry->hash = hash128(fields.buf, fields.length);
	o->kind = persist_kind(head->kind);
	o->length = length;
	memcpy(o->bytes, buf, length);
	err = radix_set(&l->objects, id, o);
	if (err)
		goto out;
	list_add_tail(&l->all, &o->link);
	o = NULL;
out:
	kfree(o);
	kfree(buf);
	return err;
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
	l->reader.tags = (struct tag_reader){o->bytes + sizeof(struct record_head),
					     o->length - sizeof(struct record_head)};
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
		kfree(o);
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

/* --- the two steps --- */

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
		err = system_load(p, &l->reader);
	}
	if (err) {
		drop_load(l, false);
		return err;
	}
	p->load = l;
	return 0;
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
	kfree(l->system);
	drop_load(l, true);
	p->load = NULL;
	if (!p->options.fresh)
		quiesce_end();
	return 0;
}
