/*
 * Anonymous memory: zero-filled pages of MAP_SHARED|MAP_ANONYMOUS areas, and the anons that hold
 * the changed pages of private mappings (see anon.h for how fork shares them).
 *
 * Locks: the object's. A mapping's anon pointer is set once under the map's lock for reading (by
 * compare-and-swap) and replaced only under its lock for writing and its object's lock, so that who
 * holds the latter may use it.
 */
#include <asm/errno.h>

#include "core/core.h"
#include "lib/assert.h"
#include "mm/anon.h"
#include "mm/home.h"
#include "mm/mapping.h"
#include "mm/policy.h"

#define CLONE_BATCH 64
#define DROP_BATCH  64

/* Index room below a stack's first page, for its growth. */
#define STACK_ROOM (1UL << 30)

static int
shared_get_frame(struct vm_object *o, u64 index, bool write, struct frame **out)
{
	struct frame *f = radix_get(&o->pages, index);
	int err;

	if (f == NULL && home_wants(o, index))
		return -EAGAIN;
	if (f == NULL) {
		f = policy_alloc_shared(o, index, FRAME_ZERO);
		if (f == NULL)
			return -ENOMEM;
		if (object_insert(o, index, f)) {
			frame_put(f);
			return -ENOMEM;
		}
	}
	err = write ? object_writable(o, index, &f) : 0;
	if (err)
		return err;
	frame_get(f);
	*out = f;
	return 0;
}

static paddr_t
shared_peek(struct vm_object *o, u64 index)
{
	const struct frame *f = radix_get(&o->pages, index);

	return f == NULL ? 0 : frame_paddr(f);
}

static const struct vm_object_ops anon_ops = {
	.kind = "anon",
	.frame_flag = FF_ANON,
	.get_frame = shared_get_frame,
	.peek = shared_peek,
};

struct vm_object *
vm_object_create_anon(void)
{
	return object_create(&anon_ops);
}

/* Where v begins in a new anon: large areas so that 2 MiB of them lie in one node of the tree. */
static u64
first_offset(const struct vm_mapping *v)
{
	if (v->flags & VM_STACK)
		return STACK_ROOM - min(STACK_ROOM, v->end - v->start);
	return v->end - v->start >= HUGE_SIZE ? v->start & (HUGE_SIZE - 1) : 0;
}

int
anon_ensure(struct vm_mapping *v)
{
	struct vm_object *o;

	if (atomic_load(&v->anon) != NULL)
		return 0;
	o = vm_object_create_anon();
	if (o == NULL)
		return -ENOMEM;
	o->is_private = true;
	/* Faults that race here write the same value. */
	if (atomic_load(&v->anon) == NULL)
		atomic_store_relaxed(&v->anon_offset, first_offset(v));
	if (!atomic_cas(&v->anon, (struct vm_object *)NULL, o)) {
		vm_object_put(o);
		return 0;
	}
	mapping_edited(v);
	spin_lock(&o->lock);
	list_add(&o->mappings, &v->anon_link);
	spin_unlock(&o->lock);
	return 0;
}

static void
set_anon(struct vm_mapping *v, struct vm_object *anon)
{
	if (v->object != NULL)
		spin_lock(&v->object->lock);
	v->anon = anon;
	mapping_edited(v);
	if (v->object != NULL)
		spin_unlock(&v->object->lock);
}

void
anon_attach(struct vm_object *anon, struct vm_mapping *v)
{
	vm_object_get(anon);
	spin_lock(&anon->lock);
	set_anon(v, anon);
	list_add(&anon->mappings, &v->anon_link);
	spin_unlock(&anon->lock);
}

static u64
first_index(const struct vm_mapping *v)
{
	return v->anon_offset >> PAGE_SHIFT;
}

bool
anon_overlaps(const struct vm_mapping *v, u64 first, u64 n)
{
	const struct vm_mapping *w;

	list_for_each_entry (w, &v->anon->mappings, anon_link)
		if (w != v && first_index(w) < first + n &&
		    first < first_index(w) + mapping_pages(w))
			return true;
	return false;
}

/*
 * The first stretch at or behind *pos that no mapping but v shows: *pos moves to its start, its end
 * is returned; both are `end` when there is none. => anon->lock is held
 */
static u64
next_unshown(struct vm_object *anon, const struct vm_mapping *v, u64 *pos, u64 end)
{
	const struct vm_mapping *w;
	u64 stop = end;
	bool moved;

	do {
		moved = false;
		list_for_each_entry (w, &anon->mappings, anon_link) {
			u64 last = first_index(w) + mapping_pages(w);

			if (w == v || *pos < first_index(w) || *pos >= last)
				continue;
			*pos = min(last, end);
			moved = true;
		}
	} while (moved && *pos < end);
	list_for_each_entry (w, &anon->mappings, anon_link)
		if (w != v && first_index(w) > *pos)
			stop = min(stop, first_index(w));
	return *pos < end ? stop : end;
}

/* Pages that are on the disk only are forgotten, too. Without memory for the note of it they
 * stay there, out of use: the anon grows no more. */
static void
forget_absent(struct vm_object *anon, u64 first, u64 end)
{
	if (home_forget(anon, first, end))
		anon->closed = true;
}

/* What is shown is looked up anew under the lock for each batch: another mapping may be extended
 * over pages that nobody shows, but only when they have no frames (anon_can_extend). */
static void
drop_unshown(struct vm_object *anon, const struct vm_mapping *v, u64 first, u64 end)
{
	struct frame *batch[DROP_BATCH];

	while (first < end) {
		unsigned n;
		u64 stop;

		spin_lock(&anon->lock);
		stop = next_unshown(anon, v, &first, end);
		forget_absent(anon, first, stop);
		n = object_take(anon, &first, stop, batch, DROP_BATCH);
		spin_unlock(&anon->lock);
		for (unsigned i = 0; i < n; i++)
			frame_put(batch[i]);
		if (n < DROP_BATCH)
			first = stop;
	}
}

bool
anon_can_extend(const struct vm_mapping *v, u64 first, u64 n)
{
	u64 at = first;

	if (anon_overlaps(v, first, n) || v->anon->closed ||
	    home_wants_any(v->anon, first, first + n))
		return false;
	return radix_next_before(&v->anon->pages, &at, first + n) == NULL;
}

void
anon_drop(struct vm_mapping *v, u64 first, u64 n)
{
	drop_unshown(v->anon, v, first, first + n);
}

void
anon_detach(struct vm_mapping *v)
{
	struct vm_object *anon = v->anon;
	u64 first, n;
	bool last;

	if (anon == NULL)
		return;
	first = first_index(v);
	n = mapping_pages(v);
	spin_lock(&anon->lock);
	list_del(&v->anon_link);
	set_anon(v, NULL);
	last = list_empty(&anon->mappings);
	spin_unlock(&anon->lock);
	if (!last)
		drop_unshown(anon, NULL, first, first + n);
	vm_object_put(anon);
}

/* Takes the page out of every mapping that shows it. => anon->lock is held */
static void
hide_page(struct vm_object *anon, u64 index)
{
	struct vm_mapping *w;

	list_for_each_entry (w, &anon->mappings, anon_link) {
		vaddr_t va = w->start + ((index - first_index(w)) << PAGE_SHIFT);

		if (index < first_index(w) || va >= w->end)
			continue;
		pmap_remove(w->map->pmap, va, va + PAGE_SIZE);
		rss_sub(&w->map->rss_anon, 1);
	}
}

/* Frees what v's anon has of pages behind the end of the file. => the locks of both are held */
static void
cut_behind(struct vm_mapping *v)
{
	u64 from = v->offset >> PAGE_SHIFT, end = DIV_ROUND_UP(v->object->size, PAGE_SIZE);
	u64 first = first_index(v) + (end > from ? end - from : 0);
	u64 last = first_index(v) + mapping_pages(v);

	forget_absent(v->anon, first, last);
	for (; radix_next_before(&v->anon->pages, &first, last) != NULL; first++) {
		hide_page(v->anon, first);
		frame_put(object_extract(v->anon, first));
	}
}

bool
anon_cut_behind(struct vm_object *file)
{
	struct vm_mapping *v;
	bool all = true;

	list_for_each_entry (v, &file->mappings, object_link) {
		struct vm_object *anon = atomic_load(&v->anon);

		if (anon == NULL)
			continue;
		if (!spin_trylock(&anon->lock)) {
			all = false;
			continue;
		}
		cut_behind(v);
		spin_unlock(&anon->lock);
	}
	return all;
}

/* Gives `to` the frames of [first, end) of `from`, which does not change meanwhile: see anon.h. */
static int
share_frames(struct vm_object *from, struct vm_object *to, u64 first, u64 end)
{
	struct frame *frame[CLONE_BATCH];
	u64 index[CLONE_BATCH];
	unsigned n;
	int err = 0;

	do {
		n = 0;
		spin_lock(&from->lock);
		while (n < CLONE_BATCH) {
			frame[n] = radix_next_before(&from->pages, &first, end);
			if (frame[n] == NULL)
				break;
			frame_get(frame[n]);
			index[n++] = first++;
		}
		spin_unlock(&from->lock);
		for (unsigned i = 0; i < n; i++) {
			if (err == 0)
				err = object_insert_shared(to, index[i], frame[i]);
			if (err)
				frame_put(frame[i]);
		}
	} while (n == CLONE_BATCH && err == 0);
	return err;
}

/* The file may have been made shorter while v was between two anons. */
static void
cut_behind_now(struct vm_mapping *v)
{
	spin_lock(&v->anon->lock);
	spin_lock(&v->object->lock);
	cut_behind(v);
	spin_unlock(&v->object->lock);
	spin_unlock(&v->anon->lock);
}

/* Moves v to an anon of its own with the same frames. */
static int
leave_anon(struct vm_mapping *v)
{
	struct vm_object *new = vm_object_create_anon();
	u64 first = first_index(v);
	int err;

	if (new == NULL)
		return -ENOMEM;
	new->is_private = true;
	err = home_share(v->anon, new);
	if (err == 0)
		err = share_frames(v->anon, new, first, first + mapping_pages(v));
	if (err == 0) {
		anon_detach(v);
		anon_attach(new, v);
		if (v->object != NULL)
			cut_behind_now(v);
		v->needs_copy = false;
		mapping_edited(v);
	}
	vm_object_put(new);
	return err;
}

int
anon_unshare(struct vm_mapping *v)
{
	bool overlaps = false;

	assert(rwlock_held_write(&v->map->lock));
	if (v->anon != NULL) {
		spin_lock(&v->anon->lock);
		overlaps = anon_overlaps(v, first_index(v), mapping_pages(v));
		spin_unlock(&v->anon->lock);
	}
	if (overlaps)
		return leave_anon(v);
	v->needs_copy = false;
	mapping_edited(v);
	return 0;
}

int
anon_make_room(struct vm_mapping *v, u64 first, u64 n)
{
	bool room;

	assert(rwlock_held_write(&v->map->lock));
	spin_lock(&v->anon->lock);
	room = anon_can_extend(v, first, n);
	spin_unlock(&v->anon->lock);
	return room ? 0 : leave_anon(v);
}
