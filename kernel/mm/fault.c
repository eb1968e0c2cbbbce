/*
 * Page faults: from an address to a frame to a translation.
 *
 * vm_fault() is a spine of steps that share struct fault. Under the map's lock for reading it finds
 * the mapping and checks the access; then one of fault_shared, fault_anon and fault_private_file
 * finds the frame and enters it, under the lock of the object that holds the frame and, for private
 * mappings that may be written, of the anon as well: so no frame leaves, and no older page is
 * entered over a newer one. Steps that lack something return RETRY after dropping the spinlocks;
 * memory is allocated and zeroed there. What must change a mapping (a first write after fork, a
 * stack that grows) drops the lock, takes it for writing, and starts over.
 *
 * Missing pages of private anonymous memory that is only read show a shared frame of zeros. A first
 * write brings 2 MiB at once where the area covers them and memory is plentiful. Faults on files
 * enter up to 15 resident neighbours too.
 */
#include <asm/errno.h>

#include "core/core.h"
#include "mm/fault.h"
#include "mm/home.h"
#include "mm/mapping.h"
#include "mm/policy.h"
#include "mm/replica.h"

#define RETRY	    1 /* begin the step again */
#define UPGRADE	    2 /* begin with the map's lock for writing */
#define PAGE_IN	    3 /* the object's page may be on the disk */
#define AROUND	    16
#define AROUND_MAX  32
#define AHEAD	    7
#define HUGE_ORDER  9
#define HUGE_PAGES  (1u << HUGE_ORDER)
#define ENTER_BATCH 64u
#define HUGE_SHARE  4	  /* 2 MiB pages while more than 1/4 of memory is free, */
#define HUGE_LEAST  32768 /* and at least 128 MiB */

struct fault {
	struct vm_map *map;
	vaddr_t va; /* page */
	unsigned access;
	bool locked_write;
	bool spare_zeroed;
	struct vm_mapping *v;
	struct frame *spare;   /* to be used for the page, or freed at the end */
	struct frame *huge;    /* a block of HUGE_PAGES likewise */
	bool no_huge;	       /* tried in vain */
	struct frame **result; /* if not NULL: gets the frame, with a reference */
};

static bool
is_write(const struct fault *f)
{
	return f->access & VM_WRITE;
}

static void
found(struct fault *f, struct frame *frame)
{
	if (f->result == NULL)
		return;
	frame_get(frame);
	*f->result = frame;
}

/* Frames for the fault. When the cluster has none left, its copies of program text go, so that the
 * next ones need not come from elsewhere. => no spinlock held */
static struct frame *
alloc_for(const struct fault *f, unsigned order, unsigned how)
{
	unsigned cxy = this_core()->arch.cxy;
	struct frame *frame = policy_alloc(f->v, f->va, order, how);

	if ((frame == NULL || frame->cxy != cxy) && frame_is_short(cxy) && replicas_give_back() &&
	    frame == NULL)
		frame = policy_alloc(f->v, f->va, order, how);
	return frame;
}

/* Gets the spare frame. => no spinlock held */
static int
get_spare(struct fault *f, bool zeroed)
{
	if (f->spare != NULL && zeroed && !f->spare_zeroed)
		page_zero(frame_virt(f->spare));
	if (f->spare == NULL)
		f->spare = alloc_for(f, 0, zeroed ? FRAME_ZERO : 0);
	f->spare_zeroed = zeroed;
	return f->spare == NULL ? -ENOMEM : RETRY;
}

static unsigned
entry_prot(const struct fault *f, bool writable)
{
	unsigned prot = f->v->prot & (VM_READ | VM_WRITE | VM_EXEC);

	if (!writable)
		prot &= ~VM_WRITE;
	return prot | (is_write(f) ? PMAP_WRITTEN : 0);
}

/* For a page of anonymous memory that is the anon's own frame, or becomes it: other clusters may
 * show the page of zeros there that was read before, or else this frame or nothing. */
static unsigned
anon_prot(const struct fault *f, bool writable)
{
	bool agreed = f->v->object == NULL && !f->v->shows_zeros;

	return entry_prot(f, writable) | (agreed ? PMAP_AGREED : 0);
}

static u64
object_index(const struct vm_mapping *v, vaddr_t va)
{
	return (v->offset + (va - v->start)) >> PAGE_SHIFT;
}

/* Whether the mapping shows program text, which each cluster may have its own copy of. */
static bool
is_text(const struct vm_mapping *v)
{
	return (v->prot & VM_EXEC) && !(v->prot & VM_WRITE) && !(v->flags & VM_SHARED);
}

/* What get_frame() said, as vm_fault() says it. */
static int
fault_result(int err)
{
	if (err == -EAGAIN)
		return PAGE_IN;
	return err == -EFAULT ? -ENXIO : err;
}

/* Whether an anon has no such page, on the disk neither. => its lock is held */
static bool
is_empty(const struct vm_object *anon, u64 index)
{
	return radix_get(&anon->pages, index) == NULL && !home_wants(anon, index);
}

/* Gets a page from the disk that get_frame() or the anon wants. => no spinlock held */
static int
page_in(struct fault *f, struct vm_object *o, u64 index)
{
	int err = home_page_in(o, index);

	atomic_add_relaxed(&f->map->faults_major, 1);
	if (err == 0)
		return RETRY;
	return err == -ENOMEM ? err : -ENXIO;
}

/* What this cluster shows of program text beside a fault: no copy is made for that, since much of
 * a program is never executed. 0: it waits for its own fault. */
static paddr_t
neighbour_text(struct vm_object *o, u64 index, paddr_t pa)
{
	struct frame *f = replica_near(o, index, frame_of_paddr(pa));

	return f != NULL ? frame_paddr(f) : 0;
}

/* Counts pages of the mapping's file as resident. Those that more than one cluster shows, or that
 * are entered again, count again, but never is it more than the mapping has. */
static void
count_file_pages(struct fault *f, u64 n)
{
	u64 have = atomic_load_relaxed(&f->v->file_pages), all = mapping_pages(f->v);

	n = min(n, all > have ? all - have : 0);
	atomic_add_relaxed(&f->v->file_pages, n);
	atomic_add_relaxed(&f->map->rss_file, n);
}

/*
 * Enters neighbours of a file's page that are resident, read-only or as the page itself.
 * => the object's lock is held, the anon's too if there is one
 */
static void
enter_around(struct fault *f, bool writable)
{
	struct vm_mapping *v = f->v;
	struct vm_object *o = v->object;
	vaddr_t base = ALIGN_DOWN(f->va, AROUND * PAGE_SIZE);
	vaddr_t start = max(base, v->start), end = min(base + AROUND * PAGE_SIZE, v->end);
	bool copies = is_text(v) && machine()->nclusters > 1;
	paddr_t pa[AROUND];
	unsigned n = 0, some = 0;

	for (vaddr_t va = start; va < end; va += PAGE_SIZE, n++) {
		pa[n] = 0;
		if (va == f->va)
			continue;
		if (v->anon == NULL || is_empty(v->anon, anon_index(v, va)))
			pa[n] = o->ops->peek(o, object_index(v, va));
		if (writable && pa[n] != 0 &&
		    (frame_of_paddr(pa[n])->flags & (FF_IMAGE | FF_FLIGHT)))
			pa[n] = 0;
		if (pa[n] != 0 && copies)
			pa[n] = neighbour_text(o, object_index(v, va), pa[n]);
		some += pa[n] != 0;
	}
	if (some > 0)
		some = pmap_enter_around(f->map->pmap, start, pa, n,
					 (entry_prot(f, writable) & ~PMAP_WRITTEN) |
						 (is_text(v) ? PMAP_REPLICA : 0));
	count_file_pages(f, some);
}

static int
fault_device(struct fault *f)
{
	struct vm_object *o = f->v->object;
	unsigned uncached = o->uncached ? PMAP_UNCACHED : 0;
	paddr_t pa;
	int err;

	spin_lock(&o->lock);
	pa = o->ops->peek(o, object_index(f->v, f->va));
	err = pa == 0 ? -ENXIO
		      : pmap_enter(f->map->pmap, f->va, pa, entry_prot(f, true) | uncached);
	if (err == 0 && f->result != NULL) {
		err = o->uncached ? -EIO : 0;
		if (err == 0)
			found(f, frame_of_paddr(pa));
	}
	spin_unlock(&o->lock);
	return err;
}

/* Shared mappings: the object's own frames. */
static int
fault_shared(struct fault *f)
{
	struct vm_object *o = f->v->object;
	struct frame *frame;
	bool writable;
	int err;

	if (f->v->flags & VM_DEVICE)
		return fault_device(f);
	spin_lock(&o->lock);
	err = o->ops->get_frame(o, object_index(f->v, f->va), is_write(f), &frame);
	if (err == 0) {
		writable = !(frame->flags & (FF_IMAGE | FF_FLIGHT));
		err = pmap_enter(f->map->pmap, f->va, frame_paddr(frame), entry_prot(f, writable));
		if (err == 0)
			enter_around(f, writable);
		if (err == 0)
			found(f, frame);
		frame_put(frame);
	}
	spin_unlock(&o->lock);
	if (err == 0)
		count_file_pages(f, 1);
	return fault_result(err);
}

/* Private mappings of a file, read where nothing was changed. => the anon's lock is held if v has
 * one, and has no page there */
static int
read_private_file(struct fault *f)
{
	struct vm_object *o = f->v->object;
	struct frame *frame, *shown;
	int err;

	spin_lock(&o->lock);
	err = o->ops->get_frame(o, object_index(f->v, f->va), false, &frame);
	if (err == 0) {
		shown = is_text(f->v) ? replica_for(o, object_index(f->v, f->va), frame) : frame;
		err = pmap_enter(f->map->pmap, f->va, frame_paddr(shown),
				 entry_prot(f, false) | (is_text(f->v) ? PMAP_REPLICA : 0));
		if (err == 0)
			enter_around(f, false);
		if (err == 0)
			found(f, frame);
		frame_put(frame);
	}
	spin_unlock(&o->lock);
	if (err == 0)
		count_file_pages(f, 1);
	return fault_result(err);
}

/* Puts the spare frame into the anon's empty slot and enters it. => the anon's lock is held */
static int
use_spare(struct fault *f, u64 index)
{
	struct frame *frame = f->spare;
	int err = object_insert(f->v->anon, index, frame);

	if (err)
		return err;
	f->spare = NULL;
	frame_note_dirty(frame);
	atomic_add_relaxed(&f->map->rss_anon, 1);
	found(f, frame);
	return pmap_enter(f->map->pmap, f->va, frame_paddr(frame), anon_prot(f, true));
}

/* For pages that are likely to be written soon. With a store it is worth a walk to know whether
 * they were: what was not is not stored. */
static unsigned
ahead_prot(const struct fault *f)
{
	return anon_prot(f, true) & (persisting() ? ~PMAP_WRITTEN : ~0u);
}

/*
 * A program that fills memory in order gets the next pages along, while memory is plentiful: a
 * fault costs more than a page. => the anon's lock is held; page `index` was just entered
 */
static void
fill_ahead(struct fault *f, u64 index)
{
	struct vm_mapping *v = f->v;
	struct vm_object *anon = v->anon;
	vaddr_t end = min(v->end, ALIGN_UP(f->va + PAGE_SIZE, HUGE_SIZE));
	u64 room = (end - f->va) / PAGE_SIZE - 1;
	paddr_t pa[AHEAD];
	unsigned n;

	if (index == 0 || radix_get(&anon->pages, index - 1) == NULL ||
	    frame_free_pages() < HUGE_LEAST)
		return;
	for (n = 0; n < AHEAD && n < room; n++) {
		struct frame *frame;

		if (!is_empty(anon, index + 1 + n))
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
		pmap_enter_around(f->map->pmap, f->va + PAGE_SIZE, pa, n, ahead_prot(f));
}

/* First write to a page of a private file: a copy of it. => the anon's lock is held */
static int
copy_private_file(struct fault *f, u64 index)
{
	struct vm_object *o = f->v->object;
	struct frame *frame;
	int err;

	spin_lock(&o->lock);
	err = o->ops->get_frame(o, object_index(f->v, f->va), false, &frame);
	spin_unlock(&o->lock);
	if (err)
		return fault_result(err);
	page_copy(frame_virt(f->spare), frame_virt(frame));
	frame_put(frame);
	return use_spare(f, index);
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
static void
show_around(struct fault *f, u64 index, bool writable)
{
	struct around a;

	find_around(f, index, AROUND, writable, &a);
	pmap_enter_around(f->map->pmap, a.start, a.pa, a.n,
			  (anon_prot(f, writable) & ~PMAP_WRITTEN) | PMAP_UNUSED);
}

/*
 * What was on its way to the disk has lost the right to write, and gets it back when it is written.
 * Its neighbours are likely to be as it is, and to be written, too: they get it back along, each
 * would cost a fault. => the anon's lock is held; page `index` was just entered for writing
 */
static void
allow_around(const struct fault *f, u64 index)
{
	struct around a;

	find_around(f, index, AROUND_MAX, true, &a);
	pmap_allow_around(f->map->pmap, a.start, a.pa, a.n);
}

/* A page that the anon has: as it is, in place, or copied from one that others show too.
 * => the anon's lock is held; false in *done: a spare frame is needed first */
static int
fault_present(struct fault *f, u64 index, struct frame *old, bool *done)
{
	struct vm_object *anon = f->v->anon;
	bool sole = atomic_load(&old->refs.value) == 1 && !f->v->needs_copy;
	struct frame *copy = f->spare;
	void **slot;
	int err;

	*done = true;
	if (sole && persisting() && !home_is_own(anon, old)) {
		err = home_bring(anon, index, old);
		if (err)
			return err;
	}
	if (sole || !is_write(f)) {
		found(f, old);
		err = pmap_enter(f->map->pmap, f->va, frame_paddr(old), anon_prot(f, sole));
		if (err == 0 && machine()->nclusters > 1 && !machine()->one_copy)
			show_around(f, index, sole);
		if (err == 0 && persisting() && is_write(f))
			allow_around(f, index);
		return err;
	}
	if (copy == NULL) {
		*done = false;
		return 0;
	}
	page_copy(frame_virt(copy), frame_virt(old));
	copy->flags |= FF_ANON;
	frame_account(copy, FRAME_USE_ANON, 1);
	err = persisting() ? home_for_copy(anon, index, old, copy) : 0;
	if (err)
		return err;
	slot = radix_find(&anon->pages, index);
	*slot = copy;
	f->spare = NULL;
	found(f, copy);
	/* Removes the old frame from every replica before anybody can free it. */
	err = pmap_enter(f->map->pmap, f->va, frame_paddr(copy), entry_prot(f, true));
	if (err)
		pmap_remove(f->map->pmap, f->va, f->va + PAGE_SIZE);
	frame_put(old);
	return err;
}

/* Whether the whole 2 MiB around the fault may come at once. */
static bool
may_be_huge(const struct fault *f)
{
	const struct vm_mapping *v = f->v;
	vaddr_t base = ALIGN_DOWN(f->va, HUGE_SIZE);

	return !f->no_huge && is_write(f) && v->object == NULL && base >= v->start &&
	       base + HUGE_SIZE <= v->end && !(v->flags & (VM_NOHUGE | VM_STACK)) &&
	       anon_index(v, base) % HUGE_PAGES == 0 &&
	       frame_free_pages() > max(frame_total_pages() / HUGE_SHARE, (u64)HUGE_LEAST);
}

/* => the anon's lock is held */
static bool
none_present(struct vm_object *o, u64 first)
{
	u64 at = first;

	return radix_next_before(&o->pages, &at, first + HUGE_PAGES) == NULL &&
	       !home_wants_any(o, first, first + HUGE_PAGES);
}

/* Where what is written is noted, that is by the page. => the anon's lock is held */
static void
enter_block(struct fault *f, vaddr_t base, const struct frame *block)
{
	paddr_t pa[ENTER_BATCH];

	for (unsigned i = 0; i < HUGE_PAGES; i += ENTER_BATCH) {
		for (unsigned k = 0; k < ENTER_BATCH; k++)
			pa[k] = frame_paddr(block + i + k);
		pmap_enter_around(f->map->pmap, base + (vaddr_t)i * PAGE_SIZE, pa, ENTER_BATCH,
				  ahead_prot(f));
	}
}

/* Fills a node of the anon's tree with the block. => the anon's lock is held */
static int
use_huge(struct fault *f, u64 first)
{
	struct vm_object *anon = f->v->anon;
	vaddr_t base = ALIGN_DOWN(f->va, HUGE_SIZE);
	struct frame *block = f->huge;
	void **slots = radix_slot(&anon->pages, first);
	int err = slots == NULL ? -ENOMEM : home_adopt_block(anon, first, block);

	if (err)
		return err;
	f->huge = NULL;
	frame_split(block, HUGE_ORDER);
	for (unsigned i = 0; i < HUGE_PAGES; i++) {
		slots[i] = &block[i];
		block[i].flags = FF_ANON;
	}
	anon->pages.count += HUGE_PAGES;
	anon->resident += HUGE_PAGES;
	frame_account(block, FRAME_USE_ANON, HUGE_PAGES);
	atomic_add_relaxed(&f->map->rss_anon, HUGE_PAGES);
	found(f, block + ((f->va - base) >> PAGE_SHIFT));
	if (persisting())
		enter_block(f, base, block);
	else if (pmap_enter_huge(f->map->pmap, base, frame_paddr(block), entry_prot(f, true)) == 0)
		return 0;
	return pmap_enter(f->map->pmap, f->va, frame_paddr(block) + (f->va - base),
			  anon_prot(f, true));
}

/* A page of zeros for a read, or new memory for a write. => the anon's lock is held */
static int
fault_absent(struct fault *f, u64 index)
{
	u64 first = ALIGN_DOWN(index, (u64)HUGE_PAGES);
	int err;

	if (f->v->object != NULL)
		return is_write(f) ? copy_private_file(f, index) : read_private_file(f);
	if (!is_write(f)) {
		f->v->shows_zeros = true;
		found(f, machine()->mm->zero);
		return pmap_enter(f->map->pmap, f->va, frame_paddr(machine()->mm->zero),
				  entry_prot(f, false));
	}
	if (f->huge != NULL && none_present(f->v->anon, first))
		return use_huge(f, first);
	err = use_spare(f, index);
	if (err == 0)
		fill_ahead(f, index);
	return err;
}

/* Gets what fault_absent() will need. => no spinlock held */
static int
prepare_absent(struct fault *f, u64 index)
{
	bool empty;

	if (may_be_huge(f)) {
		spin_lock(&f->v->anon->lock);
		empty = none_present(f->v->anon, ALIGN_DOWN(index, (u64)HUGE_PAGES));
		spin_unlock(&f->v->anon->lock);
		f->huge = empty ? alloc_for(f, HUGE_ORDER, FRAME_ZERO) : NULL;
		f->no_huge = true;
		if (f->huge != NULL)
			return RETRY;
	}
	return get_spare(f, f->v->object == NULL);
}

/* Private mappings that may be written, or were. */
static int
fault_anon(struct fault *f)
{
	struct vm_mapping *v = f->v;
	u64 index = anon_index(v, f->va);
	struct frame *old;
	bool done = true, flying;
	int err = 0;

	spin_lock(&v->anon->lock);
	old = radix_get(&v->anon->pages, index);
	if (old == NULL && home_wants(v->anon, index)) {
		spin_unlock(&v->anon->lock);
		return page_in(f, v->anon, index);
	}
	flying = old != NULL && (atomic_load(&old->flags) & FF_FLIGHT);
	if (old != NULL)
		err = fault_present(f, index, old, &done);
	else if (is_write(f) && f->spare == NULL && f->huge == NULL)
		done = false;
	else if (is_write(f) && f->spare == NULL &&
		 !none_present(v->anon, ALIGN_DOWN(index, (u64)HUGE_PAGES)))
		done = false; /* somebody else filled part of it: the block is of no use */
	else if (is_write(f) && f->spare != NULL && v->object == NULL && !f->spare_zeroed)
		done = false;
	else
		err = fault_absent(f, index);
	spin_unlock(&v->anon->lock);
	if (done)
		return err;
	if (old == NULL)
		return prepare_absent(f, index);
	err = flying && !home_may_copy() ? -ENOMEM : get_spare(f, false);
	if (err != -ENOMEM || !flying)
		return err;
	home_wait_landing(); /* then it is written in place */
	return RETRY;
}

static int
check_access(const struct fault *f)
{
	unsigned prot = f->v->prot;

	if (f->access & VM_WRITE)
		return prot & VM_WRITE ? 0 : -EACCES;
	if (f->access & VM_EXEC)
		return prot & VM_EXEC ? 0 : -EACCES;
	return prot & (VM_READ | VM_WRITE | VM_EXEC) ? 0 : -EACCES;
}

/* Makes a stack reach down to the fault. => map->lock held for writing */
static int
grow_stack(struct fault *f, struct vm_mapping *v)
{
	struct vm_map *m = f->map;
	const struct vm_mapping *below = mapping_prev(v);
	vaddr_t start = f->va;
	u64 more = v->start - start;

	if (v->end - start > m->stack_limit || start < MIN_ADDRESS)
		return -EFAULT;
	if (below != NULL && below->end + STACK_GUARD > start)
		return -EFAULT;
	if (m->size_pages + (more >> PAGE_SHIFT) > m->limit_pages)
		return -EFAULT;
	if (v->anon != NULL && v->anon_offset < more)
		return -EFAULT;
	if (v->anon != NULL &&
	    anon_make_room(v, anon_index(v, v->start - more), more >> PAGE_SHIFT))
		return -ENOMEM;
	mapping_unlink(v);
	mapping_place(v, start, v->end, v->offset, v->anon != NULL ? v->anon_offset - more : 0);
	mapping_insert(v);
	return 0;
}

/* Finds the mapping for the fault, with what has to be done to it first. */
static int
find_mapping(struct fault *f)
{
	struct vm_mapping *v = mapping_from(f->map, f->va);
	int err;

	if (v == NULL)
		return -EFAULT;
	if (v->start > f->va) {
		if (!(v->flags & VM_STACK))
			return -EFAULT;
		if (!f->locked_write)
			return UPGRADE;
		err = grow_stack(f, v);
		if (err)
			return err;
	}
	f->v = v;
	err = check_access(f);
	if (err)
		return err;
	if (is_write(f) && v->needs_copy && !(v->flags & VM_SHARED)) {
		if (!f->locked_write)
			return UPGRADE;
		return anon_unshare(v);
	}
	return 0;
}

/* => map->lock is held; f->v is the mapping */
static int
fault_mapping(struct fault *f)
{
	int err;

	if (f->v->flags & (VM_SHARED | VM_DEVICE))
		return fault_shared(f);
	if (f->v->anon == NULL && !(f->v->prot & VM_WRITE) && f->v->object != NULL)
		return read_private_file(f);
	err = anon_ensure(f->v);
	return err ? err : fault_anon(f);
}

/* One try. => map->lock is held */
static int
fault_try(struct fault *f)
{
	int err = find_mapping(f);

	if (err == 0)
		err = fault_mapping(f);
	if (err == PAGE_IN)
		err = page_in(f, f->v->object, object_index(f->v, f->va));
	return err;
}

static void
map_lock(struct fault *f)
{
	if (f->locked_write)
		rwlock_write(&f->map->lock);
	else
		rwlock_read(&f->map->lock);
}

static void
map_unlock(struct fault *f)
{
	if (f->locked_write)
		rwlock_write_done(&f->map->lock);
	else
		rwlock_read_done(&f->map->lock);
}

int
fault_frame(struct vm_map *m, vaddr_t va, unsigned access, struct frame **out)
{
	struct fault f = {.map = m, .va = va & PAGE_MASK, .access = access, .result = out};
	int err;

	if (va >= USER_TOP)
		return -EFAULT;
	map_lock(&f);
	do {
		err = fault_try(&f);
		if (err == UPGRADE) {
			map_unlock(&f);
			f.locked_write = true;
			map_lock(&f);
			err = RETRY;
		}
	} while (err == RETRY);
	map_unlock(&f);
	if (f.spare != NULL)
		frame_put(f.spare);
	if (f.huge != NULL)
		frame_free(f.huge, HUGE_ORDER);
	if (err && out != NULL && *out != NULL) {
		frame_put(*out);
		*out = NULL;
	}
	return err;
}

int
vm_fault(struct vm_map *m, vaddr_t va, unsigned access)
{
	u64 rss;
	int err = fault_frame(m, va, access, NULL);

	atomic_add_relaxed(&m->faults_minor, 1);
	rss = m->rss_anon + m->rss_file;
	if (rss > m->max_rss)
		m->max_rss = rss;
	return err;
}
