/*
 * Address spaces: life, and the ordered mappings (see map.h and mapping.h).
 *
 * A map lives from vm_map_create or vm_map_fork until the last reference goes; then all mappings go
 * with their translations retired in one step. map->lock (sleeping, many readers): faults read the
 * mappings under it, calls that change them hold it for writing. A mapping that was removed is
 * detached from its objects under the lock and released behind it, since releasing a file may
 * sleep.
 *
 * Cutting a mapping copies nothing: both parts list themselves at the same objects. Joining undoes
 * it, so a program that changes protections back and forth keeps few mappings.
 */
#include <asm/errno.h>

#include "arch/cpu.h"
#include "core/core.h"
#include "core/panic.h"
#include "core/random.h"
#include "lib/assert.h"
#include "lib/string.h"
#include "mm/mapping.h"
#include "mm/policy.h"
#include "mm/slab.h"

#define COUNT_STEP	  512u
#define STACK_RANDOM_BITS 22 /* pages */
#define MMAP_RANDOM_BITS  28
#define STACK_ROOM_MIN	  (128UL << 20)
#define STACK_DEFAULT	  (8UL << 20)

void
mm_init(void)
{
	struct mm *mm = kzalloc(sizeof(*mm));

	if (mm != NULL)
		mm->zero = frame_alloc(0, FRAME_ZERO);
	if (mm == NULL || mm->zero == NULL)
		panic("no memory for the memory manager");
	mm->zero->flags |= FF_RESERVED;
	machine()->mm = mm;
}

void
vm_map_set_file_ops(const struct vm_file_ops *ops)
{
	machine()->mm->file_ops = ops;
}

u64
vm_random_offset(unsigned bits)
{
	return (random_u64() & ((1UL << bits) - 1)) << PAGE_SHIFT;
}

struct vm_map *
vm_map_create(void)
{
	struct vm_map *m = kzalloc(sizeof(*m));

	if (m == NULL)
		return NULL;
	m->pmap = pmap_create(m);
	if (m->pmap == NULL) {
		kfree(m);
		return NULL;
	}
	refcount_init(&m->refs, 1);
	rwlock_init(&m->lock, "map");
	list_init(&m->filed);
	m->changes = rdtsc(); /* a hint for a map that was here before is of another number */
	m->limit_pages = ~0UL;
	m->stack_limit = STACK_DEFAULT;
	return m;
}

void
vm_map_lay_out(struct vm_map *m, bool random)
{
	m->stack_top = USER_TOP - (random ? vm_random_offset(STACK_RANDOM_BITS) : 0);
	m->mmap_base = m->stack_top - STACK_ROOM_MIN;
	m->mmap_base -= random ? vm_random_offset(MMAP_RANDOM_BITS) : 0;
	m->search_top = m->mmap_base;
}

u64
vm_map_peak(const struct vm_map *m)
{
	return max(m->max_rss, m->rss_anon + m->rss_file);
}

void
vm_map_get(struct vm_map *m)
{
	refcount_get(&m->refs);
}

struct vm_mapping *
mapping_create(struct vm_map *m, vaddr_t start, vaddr_t end)
{
	struct vm_mapping *v = kzalloc(sizeof(*v));

	if (v == NULL)
		return NULL;
	v->map = m;
	v->start = start;
	v->end = end;
	list_init(&v->object_link);
	list_init(&v->anon_link);
	list_init(&v->file_link);
	return v;
}

void
mapping_set_object(struct vm_mapping *v, struct vm_object *o, u64 offset)
{
	v->offset = offset;
	v->object = o;
	if (o == NULL)
		return;
	vm_object_get(o);
	spin_lock(&o->lock);
	list_add(&o->mappings, &v->object_link);
	spin_unlock(&o->lock);
}

struct vm_mapping *
mapping_clone(struct vm_map *m, const struct vm_mapping *v, vaddr_t start, vaddr_t end)
{
	struct vm_mapping *w = mapping_create(m, start, end);

	if (w == NULL)
		return NULL;
	w->needs_copy = v->needs_copy;
	w->shows_zeros = v->shows_zeros;
	w->prot = v->prot;
	w->max_prot = v->max_prot;
	w->flags = v->flags;
	w->policy = v->policy;
	w->file = v->file;
	w->label = v->label;
	w->anon_offset = v->anon_offset + (start - v->start);
	mapping_set_object(w, v->object, v->offset + (start - v->start));
	if (v->anon != NULL)
		anon_attach(v->anon, w);
	if (w->file != NULL)
		machine()->mm->file_ops->get(w->file);
	return w;
}

void
mapping_place(struct vm_mapping *v, vaddr_t start, vaddr_t end, u64 offset, u64 anon_offset)
{
	if (v->anon != NULL)
		spin_lock(&v->anon->lock);
	if (v->object != NULL)
		spin_lock(&v->object->lock);
	v->start = start;
	v->end = end;
	v->offset = offset;
	v->anon_offset = anon_offset;
	if (v->object != NULL)
		spin_unlock(&v->object->lock);
	if (v->anon != NULL)
		spin_unlock(&v->anon->lock);
}

static struct vm_mapping *
mapping_search(const struct vm_map *m, vaddr_t va)
{
	struct rb_node *n = m->mappings.root;
	struct vm_mapping *best = NULL;

	while (n != NULL) {
		struct vm_mapping *v = rb_entry(n, struct vm_mapping, node);

		if (v->end > va) {
			best = v;
			n = n->left;
		} else {
			n = n->right;
		}
	}
	return best;
}

/* The tree may be in another cluster's memory, and most threads fault in one mapping again and
 * again. */
struct vm_mapping *
mapping_from(const struct vm_map *m, vaddr_t va)
{
	struct mapping_hint *h = &current_thread()->hint;
	struct vm_mapping *v = h->mapping;

	if (h->map == m && h->changes == m->changes && v->start <= va && va < v->end)
		return v;
	v = mapping_search(m, va);
	if (v != NULL)
		*h = (struct mapping_hint){m, v, m->changes};
	return v;
}

struct vm_mapping *
mapping_find(const struct vm_map *m, vaddr_t va)
{
	struct vm_mapping *v = mapping_from(m, va);

	return v != NULL && v->start <= va ? v : NULL;
}

struct vm_mapping *
mapping_next(const struct vm_mapping *v)
{
	struct rb_node *n = rb_next(&v->node);

	return n == NULL ? NULL : rb_entry(n, struct vm_mapping, node);
}

struct vm_mapping *
mapping_prev(const struct vm_mapping *v)
{
	struct rb_node *n = rb_prev(&v->node);

	return n == NULL ? NULL : rb_entry(n, struct vm_mapping, node);
}

void
mapping_insert(struct vm_mapping *v)
{
	struct rb_tree *t = &v->map->mappings;
	struct rb_node **link = &t->root, *parent = NULL;

	while (*link != NULL) {
		struct vm_mapping *w = rb_entry(*link, struct vm_mapping, node);

		assert(v->end <= w->start || v->start >= w->end);
		parent = *link;
		link = v->start < w->start ? &parent->left : &parent->right;
	}
	rb_insert(t, &v->node, parent, link);
	if (v->file != NULL)
		list_add(&v->map->filed, &v->file_link);
	mapping_edited(v);
	v->map->size_pages += mapping_pages(v);
	if (mapping_commits(v))
		v->map->committed_pages += mapping_pages(v);
}

void
mapping_unlink(struct vm_mapping *v)
{
	v->map->changes++;
	rb_remove(&v->map->mappings, &v->node);
	list_del(&v->file_link);
	mapping_edited(v);
	v->map->size_pages -= mapping_pages(v);
	if (mapping_commits(v))
		v->map->committed_pages -= mapping_pages(v);
}

int
map_cut(struct vm_map *m, vaddr_t at)
{
	struct vm_mapping *v = mapping_find(m, at), *upper;

	if (v == NULL || v->start == at)
		return 0;
	upper = mapping_clone(m, v, at, v->end);
	if (upper == NULL)
		return -ENOMEM;
	mapping_unlink(v);
	mapping_place(v, v->start, at, v->offset, v->anon_offset);
	mapping_insert(v);
	mapping_insert(upper);
	return 0;
}

/* Frees what a mapping holds that may sleep or is not guarded by the map. */
void
mappings_bury(struct vm_mapping *dead)
{
	while (dead != NULL) {
		struct vm_mapping *next = dead->next_dead;

		if (dead->object != NULL)
			vm_object_put(dead->object);
		if (dead->file != NULL)
			machine()->mm->file_ops->put(dead->file);
		kfree(dead);
		dead = next;
	}
}

/* In steps: pages are many, and others wait for the lock. */
static u64
object_count(struct vm_object *o, u64 first, u64 n)
{
	u64 end = first + n, count = 0, stop;

	for (; first < end; first = stop) {
		stop = min(end, ALIGN_UP(first + 1, (u64)COUNT_STEP));
		spin_lock(&o->lock);
		for (; radix_next_before(&o->pages, &first, stop) != NULL; first++)
			count++;
		spin_unlock(&o->lock);
	}
	return count;
}

/* The pages of v are resident in its map no more. => they are there still */
static void
mapping_uncount(struct vm_mapping *v)
{
	struct vm_map *m = v->map;

	rss_sub(&m->rss_file, v->file_pages);
	if (v->anon != NULL)
		rss_sub(&m->rss_anon,
			object_count(v->anon, anon_index(v, v->start), mapping_pages(v)));
}

/* Takes v off its objects' lists. => its translations are gone */
static void
mapping_detach(struct vm_mapping *v)
{
	anon_detach(v);
	if (v->object != NULL) {
		spin_lock(&v->object->lock);
		list_del(&v->object_link);
		spin_unlock(&v->object->lock);
	}
}

int
map_remove(struct vm_map *m, vaddr_t start, vaddr_t end, struct vm_mapping **dead)
{
	struct vm_mapping *v, *next, *gone = NULL;
	struct pmap_batch batch;
	int err = map_cut(m, start);

	if (err == 0)
		err = map_cut(m, end);
	if (err)
		return err;
	pmap_batch_begin(&batch, m->pmap);
	for (v = mapping_from(m, start); v != NULL && v->start < end; v = next) {
		next = mapping_next(v);
		mapping_unlink(v);
		pmap_batch_remove(&batch, v->start, v->end);
		v->next_dead = gone;
		gone = v;
	}
	pmap_batch_end(&batch);
	if (gone != NULL)
		map_note_hole(m, end);
	for (v = gone; v != NULL; v = next) {
		next = v->next_dead;
		mapping_uncount(v);
		mapping_detach(v);
		v->next_dead = *dead;
		*dead = v;
	}
	return 0;
}

/* Whether b, which begins where a ends, is its continuation but for the anons. */
static bool
continues(const struct vm_mapping *a, const struct vm_mapping *b)
{
	if (a->end != b->start || a->prot != b->prot || a->max_prot != b->max_prot ||
	    a->flags != b->flags || a->object != b->object || a->file != b->file ||
	    a->label != b->label || !policy_equal(&a->policy, &b->policy) ||
	    (a->flags & (VM_STACK | VM_DEVICE)))
		return false;
	return a->object == NULL || a->offset + (a->end - a->start) == b->offset;
}

/* Lets `v`, which has no anon, show the pages of with's anon that lie where it lies. */
static bool
adopt_anon(struct vm_mapping *v, struct vm_mapping *with)
{
	struct vm_object *anon = with->anon;
	s64 offset = (s64)with->anon_offset + (s64)(v->start - with->start);
	bool fits;

	if (offset < 0)
		return false;
	spin_lock(&anon->lock);
	fits = anon_can_extend(with, offset >> PAGE_SHIFT, mapping_pages(v));
	if (fits) {
		v->anon = anon;
		v->anon_offset = offset;
		list_add(&anon->mappings, &v->anon_link);
	}
	spin_unlock(&anon->lock);
	if (!fits)
		return false;
	vm_object_get(anon);
	v->needs_copy = with->needs_copy;
	mapping_edited(v);
	return true;
}

static bool
anons_fit(struct vm_mapping *a, struct vm_mapping *b)
{
	if (a->anon == NULL && b->anon == NULL)
		return true;
	if (b->anon == NULL)
		return adopt_anon(b, a);
	if (a->anon == NULL)
		return adopt_anon(a, b);
	return a->anon == b->anon && a->needs_copy == b->needs_copy &&
	       a->anon_offset + (a->end - a->start) == b->anon_offset;
}

/* Makes a cover b as well, if it may. References that b held are dropped, none is the last. */
static bool
join(struct vm_mapping *a, struct vm_mapping *b)
{
	if (!continues(a, b) || !anons_fit(a, b))
		return false;
	mapping_unlink(a);
	mapping_unlink(b);
	mapping_place(a, a->start, b->end, a->offset, a->anon_offset);
	a->file_pages += b->file_pages;
	a->shows_zeros |= b->shows_zeros;
	mapping_insert(a);
	if (b->anon != NULL) {
		spin_lock(&b->anon->lock);
		list_del(&b->anon_link);
		spin_unlock(&b->anon->lock);
		vm_object_put(b->anon);
	}
	if (b->object != NULL) {
		spin_lock(&b->object->lock);
		list_del(&b->object_link);
		spin_unlock(&b->object->lock);
	}
	b->next_dead = NULL;
	mappings_bury(b);
	return true;
}

struct vm_mapping *
mapping_join(struct vm_mapping *v)
{
	struct vm_mapping *other = mapping_prev(v);

	if (other != NULL && join(other, v))
		v = other;
	other = mapping_next(v);
	if (other != NULL)
		join(v, other);
	return v;
}

void
map_join_range(struct vm_map *m, vaddr_t start, vaddr_t end)
{
	struct vm_mapping *v = mapping_from(m, start > 0 ? start - 1 : 0), *next;

	while (v != NULL && v->start <= end) {
		next = mapping_next(v);
		if (next == NULL || next->start > end)
			break;
		if (!join(v, next))
			v = next;
	}
}

void
vm_map_put(struct vm_map *m)
{
	struct vm_mapping *dead = NULL;
	struct rb_node *n;

	if (!refcount_put(&m->refs))
		return;
	pmap_retire(m->pmap);
	while ((n = rb_first(&m->mappings)) != NULL) {
		struct vm_mapping *v = rb_entry(n, struct vm_mapping, node);

		mapping_unlink(v);
		mapping_detach(v);
		v->next_dead = dead;
		dead = v;
	}
	mappings_bury(dead);
	atomic_store(&m->pmap->map, (struct vm_map *)NULL);
	pmap_put(m->pmap);
	kfree(m->files);
	kfree(m);
}
