/*
 * From a cut to a durable epoch, while processes run: records, deletions and pages go to the store,
 * then one commit. What the engine knows of the store changes only when that has returned.
 *
 * Locks: store_lock, also taken for each page that is read from the store.
 */
#include <asm/errno.h>

#include "arch/clock.h"
#include "core/klog.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "persist/impl.h"

static int
put_memory(struct store *s, struct cut *c)
{
	struct vm_cut_item item;
	int err = 0;

	while (!err && vm_cut_next(c->memory, &item)) {
		if (item.data && item.hashed)
			err = store_put_hashed(s, item.id, STORE_PAGE(item.index), item.data,
					       item.hash);
		else if (item.data)
			err = store_put(s, item.id, STORE_PAGE(item.index), item.data, item.length);
		else
			err = store_delete(s, item.id, STORE_PAGE(item.index),
					   STORE_PAGE(item.last));
	}
	return err;
}

static int
put_all(struct store *s, struct cut *c)
{
	struct record *r;
	struct entry *e;
	int err = 0;

	list_for_each_entry (e, &c->dead, link)
		if (!err && e->stored)
			err = store_delete(s, e->id, 0, ~0UL);
	list_for_each_entry (r, &c->records, link)
		if (!err)
			err = record_put(s, r);
	return err ? err : put_memory(s, c);
}

/* The epoch is durable: this is what the store has now. */
static void
note_stored(struct persist *p, struct cut *c)
{
	struct record *r;
	struct entry *e, *next;

	list_for_each_entry (r, &c->records, link) {
		r->entry->hash = r->hash;
		r->entry->version = r->version;
		r->entry->pieces = r->pieces;
		r->entry->stored = true;
	}
	list_for_each_entry_safe (e, next, &c->dead, link)
		entry_drop(p, e);
}

static void
pages_landed(void *memory)
{
	vm_cut_landed(memory);
}

static int
put_and_commit(struct persist *p, struct cut *c, const struct store_note *note, u64 *epoch)
{
	int err = put_all(p->store, c);

	if (err) {
		store_abort(p->store);
		return err;
	}
	p->disk.landed_arg = c->memory;
	p->disk.landed = pages_landed;
	err = store_commit(p->store, note, epoch);
	p->disk.landed = NULL;
	return err;
}

/* What files may take from now on. On a full disk nothing, until a checkpoint is made again: what
 * is taken away from files is a change like others. */
void
commit_note_room(struct persist *p, int err)
{
	struct store_status st;

	store_status(p->store, &st);
	spin_lock(&p->lock);
	p->size = st.blocks * STORE_BLOCK;
	p->used = st.used * STORE_BLOCK;
	if (err == -ENOSPC)
		p->room = 0;
	else if (!err)
		p->room = st.room * STORE_BLOCK;
	spin_unlock(&p->lock);
}

int
cut_commit(struct persist *p, struct cut *c, u64 *epoch)
{
	const struct vm_cut_figures *f = vm_cut_figures(c->memory);
	const struct store_note note = {
		.real_ns = (u64)(c->stopped + clock_real_offset()),
		.uptime_ns = (u64)c->stopped,
		.processes = c->processes,
		.threads = c->threads,
		.memory_bytes = f->pages * PAGE_SIZE,
	};
	int err;

	mutex_lock(&p->store_lock);
	store_disk_read_ahead(&p->disk, false); /* until several pages are missed at once again */
	err = put_and_commit(p, c, &note, epoch);
	if (err == -ENOSPC && store_recycle(p->store) == 0) {
		vm_cut_rewind(c->memory);
		err = put_and_commit(p, c, &note, epoch);
	}
	commit_note_room(p, err);
	mutex_unlock(&p->store_lock);
	if (err) {
		vm_cut_failed(c->memory);
		return err;
	}
	return 0;
}

void
cut_committed(struct persist *p, struct cut *c)
{
	note_stored(p, c);
}

/* --- pages that are read from the store --- */

/* => store_lock held */
static int
read_page(struct persist *p, u64 id, u64 index, void *page)
{
	u32 length = 0;
	int err = store_get(p->store, id, STORE_PAGE(index), page, &length);

	if (!err)
		memset((char *)page + length, 0, PAGE_SIZE - length);
	return err;
}

/* Where more than one is wanted, they are likely to lie side by side on the disk. */
static int
read_pages(u64 id, u64 index, void *const *page, unsigned n)
{
	struct persist *p = persist();
	unsigned got = 0;
	int err = 0;

	mutex_lock(&p->store_lock);
	if (n > 1)
		store_disk_read_ahead(&p->disk, true);
	while (got < n && !err) {
		err = read_page(p, id, index + got, page[got]);
		got += !err;
	}
	mutex_unlock(&p->store_lock);
	if (got == 0 && (err == -EIO || err == -EBADMSG))
		klog(KLOG_WARN, "persist",
		     "page %lu of object %lu cannot be read: error %d; who "
		     "uses it gets SIGBUS",
		     index, id, -err);
	return got > 0 ? (int)got : err;
}

static int
next_page(u64 id, u64 *index)
{
	struct persist *p = persist();
	struct store_item item;
	int err;

	mutex_lock(&p->store_lock);
	err = store_next(p->store, id, STORE_PAGE(*index), &item);
	mutex_unlock(&p->store_lock);
	if (err)
		return err;
	if (item.oid != id)
		return -ENOENT;
	*index = item.idx - STORE_PAGE(0);
	return 0;
}

int
vm_pager_start(struct persist *p)
{
	static const struct vm_pager_ops ops = {.read = read_pages, .next = next_page};

	return vm_persist_start(&ops);
}
