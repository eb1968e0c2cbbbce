/*
 * How memory objects are written down and made again (core/persist.h; kinds 32 and 34).
 *
 * An object's record has no list of pages: these are the items of its id, and come in when they are
 * needed. Pages that it has in common with others after fork belong to a vm_pages, whose record is
 * empty; the object names them in stretches, and a resume brings them in at once, so that each is
 * one frame again however many objects show it.
 */
#include <asm/errno.h>

#include "core/core.h"
#include "lib/assert.h"
#include "mm/home.h"
#include "mm/policy.h"
#include "mm/record.h"
#include "mm/slab.h"

#define PAGES_TAG 1
#define INDEX_MAX (1UL << 52)

struct part {
	struct vm_home *home;
	u64 first, end;
};

static void
save_part(struct persist_writer *w, const struct part *p)
{
	size_t begin;

	if (p->home == NULL)
		return;
	begin = tag_begin(&w->tags, OBJECT_PART);
	persist_ref(w, PART_PAGES, &vm_pages_persist, p->home);
	tag_u64(&w->tags, PART_FIRST, p->first);
	tag_u64(&w->tags, PART_COUNT, p->end - p->first);
	tag_end(&w->tags, begin);
}

static void
mark_used(struct vm_object *o, const struct vm_home *h)
{
	struct home_use *u;

	list_for_each_entry (u, &o->borrowed, link)
		if (u->home == h)
			u->seen = true;
}

/* What the object has no page of any more is let go of when the machine goes on: until then the cut
 * may have come to it. */
static void
part_with_unused(struct vm_object *o)
{
	struct home_use *u, *next;

	list_for_each_entry_safe (u, next, &o->borrowed, link) {
		if (!u->seen) {
			list_del(&u->link);
			list_add_tail(&homes()->unused, &u->link);
			continue;
		}
		u->seen = false;
	}
	if (list_empty(&o->borrowed))
		list_del(&o->borrower_link);
}

static void
save_borrowed(struct persist_writer *w, struct vm_object *o)
{
	struct part part = {0};
	const struct frame *f;

	for (u64 at = 0; (f = radix_next(&o->pages, &at)) != NULL; at++) {
		const struct home_group *g = f->owner;
		struct vm_home *h = g == NULL || home_is_own(o, f) ? NULL : g->home;

		if (h != part.home || at != part.end) {
			save_part(w, &part);
			part = (struct part){h, at, at};
			mark_used(o, h);
		}
		part.end = at + 1;
	}
	save_part(w, &part);
	part_with_unused(o);
}

/* What it shows of the root image becomes pages like all others. */
static u64
save_image(struct vm_object *o)
{
	u64 pages = DIV_ROUND_UP(o->image_size, PAGE_SIZE);

	if (!o->image_stored && list_empty(&o->image_link))
		list_add_tail(&homes()->images, &o->image_link);
	return pages;
}

static void
object_save(struct persist_writer *w, void *object)
{
	struct vm_object *o = object;
	struct tag_writer *t = &w->tags;
	struct vm_home *h = o->home;
	u64 image;

	if (h != NULL)
		h->stored_id = o->persistent.id;
	image = o->image_base != 0 ? save_image(o) : 0;
	tag_u64(t, OBJECT_KIND, o->ops->frame_flag == FF_ANON ? OBJECT_ANON : OBJECT_FILE);
	tag_u64(t, OBJECT_SIZE, o->size);
	tag_u64(t, OBJECT_PRIVATE, o->is_private);
	if (image > 0 || (h != NULL && h->high > 0)) {
		tag_u64(t, OBJECT_FIRST, image > 0 ? 0 : h->low);
		tag_u64(t, OBJECT_END, max(image, h != NULL ? h->high : 0UL));
		tag_u64(t, OBJECT_PAGES, max(image, vm_object_resident(o)));
	}
	policies_save(t, OBJECT_POLICY, o);
	if (!list_empty(&o->borrowed))
		save_borrowed(w, o);
}

/* Its part of the root image gets to the disk in the commit, behind the cut. */
static bool
object_restless(const void *object)
{
	const struct vm_object *o = object;

	return o->image_base != 0 && !o->image_stored;
}

static struct vm_object *
object_make_kind(const struct tag_reader *in)
{
	struct vm_object *o = NULL;

	if (tag_get_u64(in, OBJECT_KIND, ~0UL) == OBJECT_ANON)
		o = vm_object_create_anon();
	else
		o = vm_object_create_file(0);
	if (o != NULL)
		o->size = tag_get_u64(in, OBJECT_SIZE, 0);
	if (o != NULL)
		o->is_private = tag_get_u64(in, OBJECT_PRIVATE, 0);
	return o;
}

static int
object_make(struct persist_reader *r, void **out)
{
	u64 first = tag_get_u64(&r->tags, OBJECT_FIRST, 0),
	    end = tag_get_u64(&r->tags, OBJECT_END, 0);
	struct vm_object *o;

	if (tag_get_u64(&r->tags, OBJECT_KIND, ~0UL) > OBJECT_FILE || end > INDEX_MAX ||
	    first > end)
		return -EBADMSG;
	o = object_make_kind(&r->tags);
	if (o == NULL)
		return -ENOMEM;
	o->persistent.id = r->id;
	if (end > 0 && home_own(o) == NULL) {
		vm_object_put(o);
		return -ENOMEM;
	}
	if (end > 0) {
		o->home->stored_id = r->id;
		o->home->low = o->home->lazy_first = first;
		o->home->high = o->home->lazy_end = end;
		o->home->absent = min(tag_get_u64(&r->tags, OBJECT_PAGES, 0), end - first);
	}
	*out = o;
	return 0;
}

/* A page of a vm_pages, once for all that show it. NULL in *out: it is a hole. */
static int
load_shared(struct vm_home *h, u64 index, struct frame **out)
{
	struct frame *f = radix_get(&h->loaded, index);
	struct home_group *g;
	void *page;
	int err;

	*out = f;
	if (f != NULL)
		return 0;
	f = frame_alloc(0, 0);
	if (f == NULL)
		return -ENOMEM;
	page = frame_virt(f);
	err = min(homes()->pager->read(h->stored_id, index, &page, 1), 0);
	g = err ? NULL : home_group_make(h, index);
	if (err == 0 && (g == NULL || radix_set(&h->loaded, index, f)))
		err = -ENOMEM;
	if (err) {
		frame_put(f);
		return err == -ENOENT ? 0 : err;
	}
	f->owner = g;
	f->index = index;
	f->flags |= FF_ANON;
	frame_account(f, FRAME_USE_ANON, 1);
	group_set(g->stored, index);
	home_note_put(g, index, frame_virt(f));
	*out = f;
	return 0;
}

/* There is no page at *index: moves it to just before the next one. True: there are no more; the
 * stretch that a record names may be much longer than what there is. */
static bool
skip_hole(const struct vm_home *h, u64 *index)
{
	u64 at = *index + 1;

	if (homes()->pager->next(h->stored_id, &at))
		return true;
	*index = at - 1;
	return false;
}

static int
link_part(struct persist_reader *r, const struct tag_reader *in, struct vm_object *o)
{
	struct vm_home *h = persist_get(r, in, PART_PAGES, &vm_pages_persist);
	u64 first = tag_get_u64(in, PART_FIRST, 0), n = tag_get_u64(in, PART_COUNT, 0);
	struct frame *f;
	int err;

	if (h == NULL || first > INDEX_MAX || n > INDEX_MAX)
		return -EBADMSG;
	err = home_borrow(o, h);
	for (u64 i = first; i < first + n && err == 0; i++) {
		err = load_shared(h, i, &f);
		if (err == 0 && f == NULL && skip_hole(h, &i))
			break;
		if (err || f == NULL || radix_get(&o->pages, i) != NULL)
			continue;
		frame_get(f);
		err = object_insert_shared(o, i, f);
		if (err)
			frame_put(f);
	}
	return err;
}

static int
object_link(struct persist_reader *r, void *object)
{
	struct tag_field field = {0};
	struct vm_object *o = object;
	int err = policies_load(&r->tags, OBJECT_POLICY, o);

	if (err)
		return err;
	while (tag_next(&r->tags, OBJECT_PART, &field)) {
		struct tag_reader in = tag_group(&field);

		err = link_part(r, &in, o);
		if (err)
			return err;
	}
	o->borrowed_dirty = false;
	return 0;
}

static void
object_put(void *object)
{
	vm_object_put(object);
}

/*
 * Members of struct vm_object over a power cut:
 *	written	ops pages size is_private home borrowed policies
 *	made	refs lock mappings image_base image_size resident uncached registered
 *		replicas closed persistent borrower_link borrowed_dirty image_link
 *		image_stored file_link reclaim_at
 */
const struct persist_kind vm_object_persist = {
	.name = "vm_object",
	.number = RECORD_OBJECT,
	.member = offsetof(struct vm_object, persistent),
	.save = object_save,
	.marked = true,
	.restless = object_restless,
	.make = object_make,
	.link = object_link,
	.put = object_put,
};

static void
pages_save(struct persist_writer *w, void *object)
{
	struct vm_home *h = object;

	h->stored_id = h->persistent.id;
	tag_u64(&w->tags, PAGES_TAG, 1);
}

static int
pages_make(struct persist_reader *r, void **out)
{
	struct vm_home *h = home_create();

	if (h == NULL)
		return -ENOMEM;
	h->persistent.id = h->stored_id = r->id;
	*out = h;
	return 0;
}

/* All objects that show some of them have them now. */
static int
pages_start(struct persist_reader *r, void *object)
{
	struct vm_home *h = object;
	struct frame *f;

	for (u64 at = 0; (f = radix_next(&h->loaded, &at)) != NULL; at++)
		frame_put(f);
	radix_destroy(&h->loaded);
	return 0;
}

static void
pages_put(void *object)
{
	home_put(object);
}

/*
 * Members of struct vm_home over a power cut:
 *	written	low high absent away
 *	made	refs persistent object stored_id groups lazy_first lazy_end paging
 *		next_in loaded
 */
/*
 * Members of struct home_group over a power cut:
 *	made	home first link queued dirty stored gone known kept away put
 */
/*
 * Members of struct home_use over a power cut:
 *	written	home
 *	made	link seen
 */
const struct persist_kind vm_pages_persist = {
	.name = "vm_pages",
	.number = RECORD_PAGES,
	.marked = true,
	.member = offsetof(struct vm_home, persistent),
	.save = pages_save,
	.make = pages_make,
	.start = pages_start,
	.put = pages_put,
};
