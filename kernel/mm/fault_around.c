/*
 * Pages beside the one that a fault is for: each would cost a fault of its own.
 *
 * Locks: the anon's, held by the caller.
 */
#include "core/core.h"
#include "mm/fault_impl.h"
#include "mm/policy.h"

#define AROUND_MAX 32
#define FILL_AHEAD 31

/* How many pages to take ahead: the more, the more there are before this one, but never as many.
 * FAULT_AHEAD to FILL_AHEAD. => the anon's lock is held */
static unsigned
fill_ahead(struct vm_object *anon, u64 index)
{
	unsigned n = FAULT_AHEAD;

	while (n < FILL_AHEAD && index >= 2 * n + 2 &&
	       radix_get(&anon->pages, index - 2 * n - 2) != NULL)
		n = 2 * n + 1;
	return n;
}

/*
 * A program that fills memory in order gets the next pages along, while memory is plentiful: a
 * fault costs more than a page. => the anon's lock is held; page `index` was just entered
 */
void
fault_fill_ahead(struct fault *f, u64 index)
{
	struct vm_mapping *v = f->v;
	struct vm_object *anon = v->anon;
	vaddr_t end = min(v->end, ALIGN_UP(f->va + PAGE_SIZE, HUGE_SIZE));
	u64 room = (end - f->va) / PAGE_SIZE - 1;
	paddr_t pa[FILL_AHEAD];
	unsigned n, most;

	if (index == 0 || radix_get(&anon->pages, index - 1) == NULL ||
	    frame_free_pages() < FAULT_PLENTY)
		return;
	most = fill_ahead(anon, index);
	for (n = 0; n < most && n < room; n++) {
		struct frame *frame;

		if (!fault_finds_none(anon, index + 1 + n))
			break;
		frame = policy_alloc(v, f->va + (1 + n) * PAGE_SIZE, 0, FRAME_ZERO | FRAME_LOCAL);
		if (frame == NULL)
			break;
		if (object_insert(anon, index + 1 + n, frame)) {
			frame_put(frame);
			break;
		}
		pa[n] = frame_paddr(frame);
	}
	atomic_add_relaxed(&f->map->rss_anon, n);
	if (n > 0)
		pmap_enter_around(f->map->pmap, f->va + PAGE_SIZE, pa, n, fault_ahead_prot(f));
}

/* Whether a frame of the anon may be written as it is: nobody else has it, it is not on its way to
 * the disk (which holds it), and where it is kept is the anon's. => the anon's lock is held */
static bool
may_write(const struct vm_object *anon, const struct frame *f)
{
	return atomic_load_relaxed(&f->refs.value) == 1 && (!persisting() || home_is_own(anon, f));
}

/* Pages of the anon around one that was entered: as many as the mapping and one page table have. */
struct around {
	vaddr_t start;
	unsigned n;
	paddr_t pa[AROUND_MAX]; /* 0: not to be entered */
};

/* The aligned `width` of them; with `writable` those that may be written.
 * => the anon's lock is held */
static void
find_around(const struct fault *f, u64 index, unsigned width, bool writable, struct around *a)
{
	const struct vm_mapping *v = f->v;
	vaddr_t base = ALIGN_DOWN(f->va, HUGE_SIZE);
	vaddr_t lowest = max(v->start, base), end = min(v->end, base + HUGE_SIZE);
	u64 first = ALIGN_DOWN(index, (u64)width);
	struct frame **slot = (struct frame **)radix_find(&v->anon->pages, first);
	vaddr_t va = f->va - ((index - first) << PAGE_SHIFT);

	a->n = 0;
	for (unsigned i = 0; i < width; i++, va += PAGE_SIZE) {
		const struct frame *frame = slot[i];

		if (va < lowest || va >= end)
			continue;
		if (a->n == 0)
			a->start = va;
		if (frame != NULL && writable && !may_write(v->anon, frame))
			frame = NULL;
		a->pa[a->n++] = frame != NULL ? frame_paddr(frame) : 0;
	}
}

/*
 * Where clusters have tables of their own, a page that one has come to is likely to have neighbours
 * that another one's threads filled: they are entered along, each would cost a fault.
 * => the anon's lock is held; page `index` was just entered, for writing if `writable`
 */
void
fault_show_around(struct fault *f, u64 index, bool writable)
{
	struct around a;

	find_around(f, index, FAULT_AROUND, writable, &a);
	pmap_enter_around(f->map->pmap, a.start, a.pa, a.n,
			  (fault_anon_prot(f, writable) & ~PMAP_WRITTEN) | PMAP_UNUSED);
}

/*
 * What was on its way to the disk has lost the right to write, and gets it back when it is written.
 * Its neighbours are likely to be as it is, and to be written, too: they get it back along, each
 * would cost a fault. => the anon's lock is held; page `index` was just entered for writing
 */
void
fault_allow_around(const struct fault *f, u64 index)
{
	struct around a;

	find_around(f, index, AROUND_MAX, true, &a);
	pmap_allow_around(f->map->pmap, a.start, a.pa, a.n);
}

/* Whether the frame is only to be copied because the disk is to have it as it is. */
static bool
is_flying(const struct vm_object *anon, const struct frame *f)
{
	return f != NULL && (atomic_load(&f->flags) & FF_FLIGHT) && frame_is_sole(f) &&
	       home_is_own(anon, f);
}

/* What was changed side by side in one period is mostly changed so again, and to copy some pages
 * more costs less than a fault and a shootdown for each. */
void
fault_copy_ahead(const struct fault *f, u64 index, struct copied *c)
{
	struct vm_mapping *v = f->v;
	void **slot = radix_find(&v->anon->pages, index);
	vaddr_t end = min(v->end, ALIGN_DOWN(f->va, HUGE_SIZE) + HUGE_SIZE);
	u64 room = min((end - f->va) / PAGE_SIZE, GROUP_PAGES - index % GROUP_PAGES);

	c->n = 0;
	if (!home_may_copy())
		return;
	for (unsigned i = 1; i < room && i <= FAULT_AHEAD && is_flying(v->anon, slot[i]); i++) {
		struct frame *old = slot[i];
		struct frame *copy = policy_alloc(v, f->va + i * PAGE_SIZE, 0, FRAME_LOCAL);

		if (copy == NULL)
			return;
		page_copy(frame_virt(copy), frame_virt(old));
		copy->flags |= FF_ANON;
		frame_account(copy, FRAME_USE_ANON, 1);
		home_replace_unwritten(old, copy);
		slot[i] = copy;
		c->old[c->n] = old;
		c->pa[c->n++] = frame_paddr(copy);
	}
}
