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
 * write brings 2 MiB at once where the area covers them, memory is plentiful and there is no store;
 * else some pages behind it if those before it are there (fault_around.c). Faults on files enter up
 * to 15 resident neighbours too.
 */
#include <asm/errno.h>

#include "core/core.h"
#include "mm/fault_impl.h"
#include "mm/home.h"
#include "mm/policy.h"
#include "mm/reclaim.h"
#include "mm/replica.h"

#define RETRY	   1 /* begin the step again */
#define UPGRADE	   2 /* begin with the map's lock for writing */
#define PAGE_IN	   3 /* the object's page may be on the disk */
#define HUGE_ORDER 9
#define HUGE_PAGES (1u << HUGE_ORDER)
#define HUGE_SHARE 4 /* 2 MiB pages while more than 1/4 of memory is free, and FAULT_PLENTY */
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
	vaddr_t base = ALIGN_DOWN(f->va, FAULT_AROUND * PAGE_SIZE);
	vaddr_t start = max(base, v->start), end = min(base + FAULT_AROUND * PAGE_SIZE, v->end);
	bool copies = is_text(v) && machine()->nclusters > 1;
	paddr_t pa[FAULT_AROUND];
	unsigned n = 0, some = 0;

	for (vaddr_t va = start; va < end; va += PAGE_SIZE, n++) {
		pa[n] = 0;
		if (va == f->va)
			continue;
		if (v->anon == NULL || fault_finds_none(v->anon, anon_index(v, va)))
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
					 (fault_prot(f, writable) & ~PMAP_WRITTEN) |
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
		      : pmap_enter(f->map->pmap, f->va, pa, fault_prot(f, true) | uncached);
	if (err == 0 && f->result != NULL) {
		err = o->uncached ? -EIO : 0;
		if (err == 0)
			fault_found(f, frame_of_paddr(pa));
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
	err = o->ops->get_frame(o, object_index(f->v, f->va), fault_is_write(f), &frame);
	if (err == 0) {
		writable = !(frame->flags & (FF_IMAGE | FF_FLIGHT));
		err = pmap_enter(f->map->pmap, f->va, frame_paddr(frame), fault_prot(f, writable));
		if (err == 0)
			enter_around(f, writable);
		if (err == 0)
			fault_found(f, frame);
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
				 fault_prot(f, false) | (is_text(f->v) ? PMAP_REPLICA : 0));
		if (err == 0)
			enter_around(f, false);
		if (err == 0)
			fault_found(f, frame);
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
	fault_found(f, frame);
	return pmap_enter(f->map->pmap, f->va, frame_paddr(frame), fault_anon_prot(f, true));
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

/* A page that the anon has: as it is, in place, or copied from one that others show too.
 * => the anon's lock is held; false in *done: a spare frame is needed first */
static int
fault_present(struct fault *f, u64 index, struct frame *old, bool *done)
{
	struct vm_object *anon = f->v->anon;
	bool sole = atomic_load(&old->refs.value) == 1 && !f->v->needs_copy;
	bool flying = (atomic_load(&old->flags) & FF_FLIGHT) && !f->v->needs_copy;
	struct frame *copy = f->spare;
	struct copied ahead = {0};
	void **slot;
	int err;

	*done = true;
	if (sole && persisting() && !home_is_own(anon, old)) {
		err = home_bring(anon, index, old);
		if (err)
			return err;
	}
	if (sole || !fault_is_write(f)) {
		fault_found(f, old);
		err = pmap_enter(f->map->pmap, f->va, frame_paddr(old), fault_anon_prot(f, sole));
		if (err == 0 && machine()->nclusters > 1 && !machine()->one_copy)
			fault_show_around(f, index, sole);
		if (err == 0 && persisting() && fault_is_write(f))
			fault_allow_around(f, index);
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
	fault_found(f, copy);
	if (flying) {
		atomic_add_relaxed(&f->map->pmap->rewritten, 1);
		fault_copy_ahead(f, index, &ahead);
	}
	/* Removes the old frames from every replica before anybody can free them. */
	if (ahead.n > 0)
		pmap_remove(f->map->pmap, f->va, f->va + (1 + ahead.n) * PAGE_SIZE);
	err = pmap_enter(f->map->pmap, f->va, frame_paddr(copy), fault_prot(f, true));
	if (err)
		pmap_remove(f->map->pmap, f->va, f->va + PAGE_SIZE);
	else if (ahead.n > 0)
		pmap_enter_around(f->map->pmap, f->va + PAGE_SIZE, ahead.pa, ahead.n,
				  fault_ahead_prot(f) | PMAP_UNUSED);
	frame_put(old);
	for (unsigned i = 0; i < ahead.n; i++)
		frame_put(ahead.old[i]);
	return err;
}

/* Whether the whole 2 MiB around the fault may come at once. With a store they may not: what is
 * written is noted by the page, and copies of single pages take such a block to pieces, so that for
 * the next one memory is taken that was never used. */
static bool
may_be_huge(const struct fault *f)
{
	const struct vm_mapping *v = f->v;
	vaddr_t base = ALIGN_DOWN(f->va, HUGE_SIZE);

	return !f->no_huge && !persisting() && fault_is_write(f) && v->object == NULL &&
	       base >= v->start && base + HUGE_SIZE <= v->end &&
	       !(v->flags & (VM_NOHUGE | VM_STACK)) && anon_index(v, base) % HUGE_PAGES == 0 &&
	       frame_free_pages() > max(frame_total_pages() / HUGE_SHARE, (u64)FAULT_PLENTY);
}

/* => the anon's lock is held; there is no store */
static bool
none_present(struct vm_object *o, u64 first)
{
	u64 at = first;

	return radix_next_before(&o->pages, &at, first + HUGE_PAGES) == NULL;
}

/* Fills a node of the anon's tree with the block. => the anon's lock is held */
static int
use_huge(struct fault *f, u64 first)
{
	struct vm_object *anon = f->v->anon;
	vaddr_t base = ALIGN_DOWN(f->va, HUGE_SIZE);
	struct frame *block = f->huge;
	void **slots = radix_slot(&anon->pages, first);

	if (slots == NULL)
		return -ENOMEM;
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
	fault_found(f, block + ((f->va - base) >> PAGE_SHIFT));
	if (pmap_enter_huge(f->map->pmap, base, frame_paddr(block), fault_prot(f, true)) == 0)
		return 0;
	return pmap_enter(f->map->pmap, f->va, frame_paddr(block) + (f->va - base),
			  fault_anon_prot(f, true));
}

/* A page of zeros for a read, or new memory for a write. => the anon's lock is held */
static int
fault_absent(struct fault *f, u64 index)
{
	u64 first = ALIGN_DOWN(index, (u64)HUGE_PAGES);
	int err;

	if (f->v->object != NULL)
		return fault_is_write(f) ? copy_private_file(f, index) : read_private_file(f);
	if (!fault_is_write(f)) {
		f->v->shows_zeros = true;
		fault_found(f, machine()->mm->zero);
		return pmap_enter(f->map->pmap, f->va, frame_paddr(machine()->mm->zero),
				  fault_prot(f, false));
	}
	if (f->huge != NULL && none_present(f->v->anon, first))
		return use_huge(f, first);
	err = use_spare(f, index);
	if (err == 0)
		fault_fill_ahead(f, index);
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
	else if (fault_is_write(f) && f->spare == NULL && f->huge == NULL)
		done = false;
	else if (fault_is_write(f) && f->spare == NULL &&
		 !none_present(v->anon, ALIGN_DOWN(index, (u64)HUGE_PAGES)))
		done = false; /* somebody else filled part of it: the block is of no use */
	else if (fault_is_write(f) && f->spare != NULL && v->object == NULL && !f->spare_zeroed)
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
	if (fault_is_write(f) && v->needs_copy && !(v->flags & VM_SHARED)) {
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
		} else if (err == -ENOMEM && reclaim_some()) {
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
	reclaim_balance();
	rss = m->rss_anon + m->rss_file;
	if (rss > m->max_rss)
		m->max_rss = rss;
	return err;
}
