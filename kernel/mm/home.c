/*
 * Where pages are kept on the disk: homes of frames, what changed, and bringing pages in (home.h).
 *
 * Locks: the object's for its home and that home's groups. Bits in groups are atomic and may be set
 * from below it, with a frame in hand: a frame that an object has leads to its group for as long as
 * it is in the object's tree. The list of changed groups has a lock of its own (rank RANK_SLAB).
 * home_page_in sleeps under the home's mutex, so that those who miss one page share the reading.
 */
#include <asm/errno.h>

#include "core/core.h"
#include "core/panic.h"
#include "lib/assert.h"
#include "lib/string.h"
#include "mm/home.h"
#include "mm/mapping.h"
#include "mm/policy.h"
#include "mm/reclaim.h"
#include "mm/slab.h"

/* Kept free from copies, since the commit needs memory, too: by the page that is written, and, in
 * pages, for the store's map and tree however little is written. */
#define COPY_SHARE 8
#define COPY_KEEP  1024

#define AHEAD 32 /* pages that come in together */

static void *
node_alloc(void)
{
	struct frame *f = frame_alloc(0, FRAME_ZERO | FRAME_KERNEL | FRAME_RESERVE);

	return f == NULL ? NULL : frame_virt(f);
}

static const struct radix_mem node_mem = {node_alloc, page_free};

struct vm_home *
home_create(void)
{
	struct vm_home *h = kzalloc(sizeof(*h));

	if (h == NULL)
		return NULL;
	refcount_init(&h->refs, 1);
	radix_init(&h->groups, &node_mem);
	radix_init(&h->loaded, &node_mem);
	mutex_init(&h->paging, "paging");
	h->low = ~0UL;
	return h;
}

void
home_get(struct vm_home *h)
{
	refcount_get(&h->refs);
}

static void
group_free(struct home_group *g)
{
	spin_lock(&homes()->lock);
	if (g->queued)
		list_del(&g->link);
	spin_unlock(&homes()->lock);
	for (unsigned i = 0; i < GROUP_WORDS; i++)
		kfree(g->put[i]);
	kfree(g);
}

void
home_put(struct vm_home *h)
{
	struct home_group *g;

	if (!refcount_put(&h->refs))
		return;
	persist_gone(&h->persistent);
	for (u64 at = 0; (g = radix_next(&h->groups, &at)) != NULL; at++)
		group_free(g);
	radix_destroy(&h->groups);
	radix_destroy(&h->loaded);
	kfree(h);
}

u64
home_id(const struct vm_home *h)
{
	return h->object != NULL ? h->object->persistent.id : h->persistent.id;
}

struct home_group *
home_group_find(const struct vm_home *h, u64 index)
{
	return radix_get(&h->groups, index / GROUP_PAGES);
}

struct home_group *
home_group_make(struct vm_home *h, u64 index)
{
	struct home_group *g = home_group_find(h, index);

	if (g != NULL)
		return g;
	g = kzalloc(sizeof(*g));
	if (g == NULL)
		return NULL;
	g->home = h;
	g->first = ALIGN_DOWN(index, (u64)GROUP_PAGES);
	list_init(&g->link);
	if (radix_set(&h->groups, index / GROUP_PAGES, g) == 0)
		return g;
	kfree(g);
	return NULL;
}

void
home_queue(struct home_group *g)
{
	if (atomic_load(&g->queued))
		return;
	spin_lock(&homes()->lock);
	if (!g->queued) {
		list_add_tail(&homes()->changed, &g->link);
		atomic_store(&g->queued, 1u);
	}
	spin_unlock(&homes()->lock);
}

struct vm_home *
home_own(struct vm_object *o)
{
	if (o->home == NULL) {
		o->home = home_create();
		if (o->home != NULL)
			o->home->object = o;
	}
	return o->home;
}

static void
list_file(struct vm_object *o)
{
	spin_lock(&homes()->lock);
	list_add_tail(&homes()->files, &o->file_link);
	homes()->nfiles++;
	spin_unlock(&homes()->lock);
}

int
home_adopt(struct vm_object *o, u64 index, struct frame *f)
{
	struct home_group *g;
	struct vm_home *h;

	if (!persisting())
		return 0;
	h = home_own(o);
	g = h == NULL ? NULL : home_group_make(h, index);
	if (g == NULL)
		return -ENOMEM;
	if (o->ops->frame_flag == FF_CACHE && list_empty(&o->file_link))
		list_file(o);
	h->low = min(h->low, index);
	h->high = max(h->high, index + 1);
	persist_touch(&o->persistent);
	f->owner = g;
	f->index = index;
	return 0;
}

bool
home_is_own(const struct vm_object *o, const struct frame *f)
{
	const struct home_group *g = f->owner;

	return g != NULL && g->home == o->home;
}

static bool
in_lazy_hull(const struct vm_home *h, u64 index)
{
	return index >= h->lazy_first && index < h->lazy_end;
}

/* A page that was away is in memory again, or is none any more; false: it was not. => the lock of
 * the object whose own the home is */
static bool
no_longer_away(struct home_group *g, u64 index)
{
	if (!group_has(g->away, index))
		return false;
	group_clear(g->away, index);
	g->home->away--;
	return true;
}

/* The page is absent from now on, for this object and on the disk. */
static void
page_gone(struct home_group *g, u64 index)
{
	(void)no_longer_away(g, index);
	group_set(g->known, index);
	group_clear(g->dirty, index);
	if (!group_has(g->stored, index))
		return;
	group_clear(g->stored, index);
	group_set(g->gone, index);
	home_queue(g);
}

/* The frame is no object's any more. What is on its way to the disk lives on for a while. */
static void
lose_home(struct frame *f)
{
	u16 flags;

	f->owner = NULL;
	if (!(f->flags & FF_FLIGHT))
		return;
	flags = atomic_fetch_and(&f->flags, (u16) ~(FF_ANON | FF_CACHE));
	if (flags & (FF_ANON | FF_CACHE))
		frame_account(f, flags & FF_ANON ? FRAME_USE_ANON : FRAME_USE_CACHE, -1);
}

void
home_leave(struct vm_object *o, u64 index, struct frame *f)
{
	if (!persisting() || !home_is_own(o, f))
		return;
	page_gone(f->owner, index);
	lose_home(f);
}

void
frame_note_dirty(struct frame *f)
{
	struct home_group *g;

	if (!persisting() || !(f->flags & (FF_ANON | FF_CACHE)))
		return;
	if (atomic_fetch_or(&f->flags, (u16)FF_DIRTY) & FF_DIRTY)
		return;
	g = f->owner;
	if (g == NULL)
		return;
	group_set(g->dirty, f->index);
	home_queue(g);
}

void
home_replace(struct frame *old, struct frame *new)
{
	struct home_group *g = old->owner;

	if (!persisting())
		return;
	new->owner = g;
	new->index = old->index;
	if (old->flags & FF_FLIGHT)
		atomic_fetch_or(&new->flags, (u16)FF_HOT);
	if (g != NULL && (old->flags & (FF_DIRTY | FF_FLIGHT))) {
		atomic_fetch_or(&new->flags, (u16)FF_DIRTY);
		group_set(g->dirty, new->index);
		home_queue(g);
	}
	lose_home(old);
}

void
home_replace_unwritten(struct frame *old, struct frame *new)
{
	struct home_group *g = old->owner;

	new->owner = g;
	new->index = old->index;
	if (old->flags & FF_DIRTY) {
		atomic_fetch_or(&new->flags, (u16)FF_DIRTY);
		group_set(g->dirty, new->index);
		home_queue(g);
	}
	lose_home(old);
}

int
home_bring(struct vm_object *o, u64 index, struct frame *f)
{
	int err = home_adopt(o, index, f);

	if (err)
		return err;
	atomic_fetch_and(&f->flags, (u16)~FF_DIRTY);
	frame_note_dirty(f);
	return 0;
}

int
home_for_copy(struct vm_object *o, u64 index, struct frame *old, struct frame *copy)
{
	int err = 0;

	if (home_is_own(o, old))
		home_replace(old, copy);
	else
		err = home_adopt(o, index, copy);
	if (err == 0)
		frame_note_dirty(copy);
	return err;
}

bool
frame_is_sole(const struct frame *f)
{
	u16 flags = atomic_load(&f->flags);

	return atomic_load(&f->refs.value) == (flags & FF_FLIGHT ? 2 : 1);
}

void
homes_init(struct homes *h)
{
	h->copy_keep = frame_total_pages() / COPY_SHARE + COPY_KEEP;
	spin_init(&h->lock, "homes", RANK_SLAB);
	spin_init(&h->flight_lock, "flight", RANK_WAITQ);
	waitq_init(&h->landed);
	list_init(&h->changed);
	list_init(&h->borrowers);
	list_init(&h->files);
	list_init(&h->images);
	list_init(&h->unused);
}

bool
home_may_copy(void)
{
	return frame_free_pages() > homes()->copy_keep;
}

void
home_wait_landing(void)
{
	struct homes *h = homes();

	spin_lock(&h->flight_lock);
	while (h->in_flight) {
		int err = waitq_sleep(&h->landed, &h->flight_lock, NS_FOREVER, 0);

		assert(err == 0);
	}
	spin_unlock(&h->flight_lock);
}

/* --- pages that are on the disk only --- */

static bool
wants(const struct vm_home *h, u64 index)
{
	bool lazy = in_lazy_hull(h, index);
	const struct home_group *g;

	if (!lazy && h->away == 0)
		return false;
	g = home_group_find(h, index);
	if (g == NULL)
		return lazy;
	return group_has(g->away, index) || (lazy && !group_has(g->known, index));
}

bool
home_wants(const struct vm_object *o, u64 index)
{
	return o->home != NULL && wants(o->home, index);
}

bool
home_wants_any(const struct vm_object *o, u64 first, u64 end)
{
	const struct vm_home *h = o->home;

	if (h == NULL)
		return false;
	first = max(first, h->lazy_first);
	end = min(end, h->lazy_end);
	for (u64 i = first; i < end; i++)
		if (wants(h, i) && radix_get(&o->pages, i) == NULL)
			return true;
	return false;
}

static void
one_less_absent(struct vm_home *h)
{
	if (h->absent > 0)
		h->absent--;
}

/* The page was read, or is none (`err`). => o->lock held */
static int
page_came(struct vm_object *o, u64 index, struct frame **f, int err)
{
	struct home_group *g = home_group_make(o->home, index);

	if (g == NULL)
		return -ENOMEM;
	if (err == -ENOENT && group_has(g->away, index))
		return -EIO;
	if (err == -ENOENT) {
		group_set(g->known, index);
		return 0;
	}
	if (err)
		return err;
	(*f)->flags |= FF_USED;
	err = object_insert(o, index, *f);
	if (err)
		return err;
	if (no_longer_away(g, index))
		home_check_put(g, index, frame_virt(*f));
	else
		one_less_absent(o->home);
	group_set(g->stored, index);
	group_set(g->kept, index);
	home_note_put(g, index, frame_virt(*f));
	*f = NULL;
	return 0;
}

static bool
is_missing(const struct vm_object *o, u64 index)
{
	return radix_get(&o->pages, index) == NULL && home_wants(o, index);
}

/* How many pages are missing one behind the other from index on, at most n. */
static unsigned
count_missing(struct vm_object *o, u64 index, unsigned n)
{
	unsigned i = 0;

	spin_lock(&o->lock);
	while (i < n && is_missing(o, index + i))
		i++;
	spin_unlock(&o->lock);
	return i;
}

/* Frames for up to n pages, of which the first one is worth looking for memory. How many. */
static unsigned
frames_for(u64 index, unsigned n, struct frame **f, void **page)
{
	unsigned i;

	reclaim_ahead();
	for (i = 0; i < n; i++) {
		do
			f[i] = policy_alloc(NULL, (index + i) << PAGE_SHIFT, 0, 0);
		while (f[i] == NULL && i == 0 && reclaim_some());
		if (f[i] == NULL)
			break;
		page[i] = frame_virt(f[i]);
	}
	return i;
}

/* The first n pages from index on were read, or what is wrong with the first one: that counts, the
 * others are wanted again if they are. => o->lock held */
static int
pages_came(struct vm_object *o, u64 index, struct frame **f, unsigned n, int err)
{
	int first = 0, one = 0;

	for (unsigned i = 0; i < n && one == 0; i++) {
		if (is_missing(o, index + i))
			one = page_came(o, index + i, &f[i], err);
		first = i == 0 ? one : first;
	}
	return first;
}

/* Who goes from page to page gets some more each time. => h->paging held */
static int
page_in_locked(struct vm_object *o, struct vm_home *h, u64 index)
{
	unsigned n = count_missing(o, index, index == h->next_in ? AHEAD : 1), some;
	struct frame *f[AHEAD];
	void *page[AHEAD];
	int got, err;

	if (n == 0)
		return 0;
	n = frames_for(index, n, f, page);
	if (n == 0)
		return -ENOMEM;
	got = homes()->pager->read(h->stored_id, index, page, n);
	some = got < 0 ? 1 : (unsigned)got;
	spin_lock(&o->lock);
	err = pages_came(o, index, f, some, min(got, 0));
	spin_unlock(&o->lock);
	h->next_in = index + some;
	for (unsigned i = 0; i < n; i++)
		if (f[i] != NULL)
			frame_put(f[i]);
	return err;
}

int
home_page_in(struct vm_object *o, u64 index)
{
	const struct frame *there;
	struct vm_home *h;
	bool flying;
	int err = 0;

	spin_lock(&o->lock);
	there = radix_get(&o->pages, index);
	flying = there != NULL && (atomic_load(&there->flags) & FF_FLIGHT);
	h = o->home;
	if (h != NULL)
		home_get(h);
	spin_unlock(&o->lock);
	if (flying)
		home_wait_landing();
	if (h == NULL)
		return 0;
	mutex_lock(&h->paging);
	err = page_in_locked(o, h, index);
	mutex_unlock(&h->paging);
	home_put(h);
	return err;
}

int
home_page_in_all(struct vm_object *o)
{
	struct vm_home *h = o->home;
	u64 index;
	int err = 0;

	if (h == NULL || h->lazy_end == 0)
		return 0;
	for (index = h->lazy_first; index < h->lazy_end; index++) {
		err = homes()->pager->next(h->stored_id, &index);
		if (err || index >= h->lazy_end)
			break;
		err = home_page_in(o, index);
		if (err)
			return err;
	}
	if (err && err != -ENOENT)
		return err;
	spin_lock(&o->lock);
	h->lazy_first = h->lazy_end = h->absent = 0;
	persist_touch(&o->persistent);
	spin_unlock(&o->lock);
	return 0;
}

u64
home_next_away(const struct vm_object *o, u64 index)
{
	const struct vm_home *h = o->home;
	const struct home_group *g;
	u64 at = index / GROUP_PAGES;

	if (h == NULL || h->away == 0)
		return ~0UL;
	for (; (g = radix_next(&h->groups, &at)) != NULL; at++) {
		u64 from = max(index, g->first) - g->first;
		unsigned i = group_next(g->away, (unsigned)from);

		if (i < GROUP_PAGES)
			return g->first + i;
	}
	return ~0UL;
}

bool
home_may_leave(const struct vm_object *o, const struct frame *f)
{
	const struct home_group *g = f->owner;

	return home_is_own(o, f) && !(f->flags & (FF_DIRTY | FF_FLIGHT | FF_RESERVED)) &&
	       atomic_load(&f->refs.value) == 1 && group_has(g->kept, f->index) &&
	       group_has(g->stored, f->index) && !group_has(g->dirty, f->index);
}

void
home_send_away(struct vm_object *o, u64 index, struct frame *f)
{
	struct home_group *g = f->owner;
	const struct frame *was = radix_remove(&o->pages, index);

	assert(was == f && f->index == index);
	home_check_put(g, index, frame_virt(f));
	o->resident--;
	group_set(g->away, index);
	g->home->away++;
	f->owner = NULL;
}

/* The pages of one group in [first, end) that have no frame. What is stored then is what came from
 * the root image, or may be. */
static void
forget_in_group(struct vm_object *o, struct home_group *g, u64 first, u64 end)
{
	for (u64 i = first; i < end; i++) {
		bool maybe = in_lazy_hull(o->home, i) && !group_has(g->known, i) &&
			     !group_has(g->away, i);

		if ((!maybe && !group_has(g->stored, i)) || radix_get(&o->pages, i) != NULL)
			continue;
		group_set(g->stored, i);
		page_gone(g, i);
		if (maybe)
			one_less_absent(o->home);
		persist_touch(&o->persistent);
	}
}

int
home_forget(struct vm_object *o, u64 first, u64 end)
{
	struct vm_home *h = o->home;
	struct home_group *g;
	u64 at;

	if (h == NULL)
		return 0;
	for (at = max(first, h->lazy_first); at < min(end, h->lazy_end);
	     at = ALIGN_DOWN(at, (u64)GROUP_PAGES) + GROUP_PAGES)
		if (home_group_make(h, at) == NULL)
			return -ENOMEM;
	for (at = first / GROUP_PAGES; (g = radix_next(&h->groups, &at)) != NULL && g->first < end;
	     at++)
		forget_in_group(o, g, max(first, g->first), min(end, g->first + GROUP_PAGES));
	return 0;
}

/* --- frames that several objects have --- */

int
home_borrow(struct vm_object *o, struct vm_home *h)
{
	struct home_use *u;

	list_for_each_entry (u, &o->borrowed, link)
		if (u->home == h)
			return 0;
	u = kzalloc(sizeof(*u));
	if (u == NULL)
		return -ENOMEM;
	home_get(h);
	u->home = h;
	spin_lock(&homes()->lock);
	if (list_empty(&o->borrowed))
		list_add(&homes()->borrowers, &o->borrower_link);
	spin_unlock(&homes()->lock);
	list_add_tail(&o->borrowed, &u->link);
	atomic_store(&o->borrowed_dirty, true);
	persist_touch(&o->persistent);
	return 0;
}

/* The object's home goes by its id from now on, and the object gets a new one of each. */
static void
home_detach(struct vm_object *o)
{
	struct vm_home *h = o->home;
	struct vm_mapping *v;

	/* It will be written down under another id. */
	list_for_each_entry (v, &o->mappings, anon_link)
		mapping_edited(v);
	persist_move(&h->persistent, &o->persistent, &vm_pages_persist, h);
	h->object = NULL;
	o->home = NULL;
	home_put(h);
}

/* Takes the right to write from every mapping of o: what is written from now on takes a fault,
 * which brings the page home. A mapping that has yet to copy has no such right. => o->lock held */
static void
forbid_writing(struct vm_object *o)
{
	const struct vm_mapping *v;

	list_for_each_entry (v, &o->mappings, anon_link)
		if (!v->needs_copy)
			pmap_protect(v->map->pmap, v->start, v->end, VM_READ | VM_EXEC);
}

int
home_share(struct vm_object *from, struct vm_object *to)
{
	struct home_use *u;
	int err;

	if (!persisting())
		return 0;
	err = home_page_in_all(from);
	if (err)
		return err;
	spin_lock(&from->lock);
	list_for_each_entry (u, &from->borrowed, link)
		if (err == 0)
			err = home_borrow(to, u->home);
	if (err == 0 && from->home != NULL) {
		err = home_borrow(to, from->home);
		if (err == 0)
			err = home_borrow(from, from->home);
		if (err == 0) {
			forbid_writing(from);
			home_detach(from);
		}
	}
	atomic_store(&from->borrowed_dirty, true);
	spin_unlock(&from->lock);
	return err;
}

void
home_abandon(struct vm_object *o)
{
	struct home_use *u, *next;

	if (!persisting())
		return;
	spin_lock(&homes()->lock);
	list_del(&o->borrower_link);
	homes()->nfiles -= !list_empty(&o->file_link);
	list_del(&o->file_link);
	spin_unlock(&homes()->lock);
	list_for_each_entry_safe (u, next, &o->borrowed, link) {
		list_del(&u->link);
		home_put(u->home);
		kfree(u);
	}
	if (o->home != NULL) {
		o->home->object = NULL;
		home_put(o->home);
	}
}

/* --- persist-verify --- */

void
home_check_put(const struct home_group *g, u64 index, const void *page)
{
	const struct hash128 *put = g->put[index % GROUP_PAGES / 64];

	if (put != NULL && !hash128_equal(hash128(page, PAGE_SIZE), put[index % 64]))
		panic("page %lu of object %lu has changed since it was stored", index,
		      home_id(g->home));
}

void
home_note_put(struct home_group *g, u64 index, const void *page)
{
	unsigned word = index % GROUP_PAGES / 64;

	if (!homes()->verify)
		return;
	if (g->put[word] == NULL)
		g->put[word] = kzalloc(64 * sizeof(struct hash128));
	if (g->put[word] != NULL)
		g->put[word][index % 64] = hash128(page, PAGE_SIZE);
}
