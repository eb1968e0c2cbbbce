/*
 * Page tables of an address space, a replica per cluster (see pmap.h; tlb.c has the flushing).
 *
 * Life: pmap_create -> pmap_enter on faults, pmap_remove and pmap_protect -> pmap_retire when the
 * last thread is gone: all cores go over to their cluster's own root and the tables are freed.
 * Tables are made under the pmap's lock (rank RANK_PMAP, frames below it) and come from the cluster
 * whose replica they serve. A table goes away when a removal covers all that it maps.
 *
 * A 2 MiB translation is thrown away as a whole when part of it is removed, or when one of its
 * pages is entered otherwise; the faults that follow bring 4 KiB pages. Removal drops no frame:
 * what the tables say is only ever a copy of what the objects say. With a store it notes what was
 * written: an entry that goes away, or may not be written any more, leaves its D bit with the
 * frame. So an entry with D shows a frame that is one object's alone (mm/home.h).
 */
#include <asm/errno.h>

#include "arch/cpu.h"
#include "cluster/cluster.h"
#include "core/thread.h"
#include "lib/assert.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/home.h"
#include "mm/map.h"
#include "mm/pmap.h"
#include "mm/registry.h"
#include "mm/slab.h"

#define TABLE_FLAGS  (PTE_P | PTE_W | PTE_U | PTE_A)
#define TABLE_SIZE   512
#define KERNEL_FIRST 256 /* first entry of the kernel's half in a root */
#define ROOT_LEVEL   3

struct pmap *
pmap_create(struct vm_map *map)
{
	struct pmap *p = kzalloc(sizeof(*p));

	if (p == NULL)
		return NULL;
	refcount_init(&p->refs, 1);
	spin_init(&p->lock, "pmap", RANK_PMAP);
	p->map = map;
	if (pmap_root(p) == 0) {
		kfree(p);
		return NULL;
	}
	registry_add(&p->registered, REGISTRY_PMAPS);
	return p;
}

void
pmap_get(struct pmap *p)
{
	refcount_get(&p->refs);
}

void
pmap_put(struct pmap *p)
{
	if (!refcount_put(&p->refs))
		return;
	if (!p->retired)
		pmap_retire(p);
	registry_remove(&p->registered, REGISTRY_PMAPS);
	kfree(p);
}

/* => p->lock is held */
static pte_t *
table_make(struct pmap *p, unsigned cxy, unsigned level, unsigned how)
{
	struct frame *f = frame_alloc_on(cxy, 0, FRAME_ZERO | FRAME_KERNEL | how);

	if (f == NULL)
		return NULL;
	f->flags = FF_TABLE;
	f->private = level;
	frame_account(f, FRAME_USE_TABLE, 1);
	p->table_pages++;
	return frame_virt(f);
}

/* An entry that said so is gone. => its frame is still its object's */
static void
note_written(pte_t e)
{
	if ((e & PTE_D) && (e & PTE_P) && !(e & PTE_PCD) && persisting())
		frame_note_dirty(frame_of_paddr(e & PTE_ADDR));
}

/* => no core uses the tables any more */
static void
tables_free(struct list *tables)
{
	while (!list_empty(tables)) {
		struct frame *f = list_first(tables, struct frame, link);
		const pte_t *t = frame_virt(f);

		list_del(&f->link);
		for (unsigned i = 0; i < TABLE_SIZE && f->private == 0 && persisting(); i++)
			note_written(t[i]);
		frame_account(f, FRAME_USE_TABLE, -1);
		frame_put(f);
	}
}

paddr_t
pmap_root(struct pmap *p)
{
	unsigned cxy = this_core()->arch.cxy;
	const pte_t *master = phys_to_virt(this_cluster()->master_root);
	paddr_t root;

	spin_lock(&p->lock);
	if (p->root[cxy] == 0 && !p->retired) {
		pte_t *t = table_make(p, cxy, ROOT_LEVEL, FRAME_RESERVE);

		if (t != NULL) {
			memcpy(t + KERNEL_FIRST, master + KERNEL_FIRST,
			       (TABLE_SIZE - KERNEL_FIRST) * sizeof(pte_t));
			atomic_store(&p->root[cxy], virt_to_phys(t));
		}
	}
	root = p->root[cxy];
	spin_unlock(&p->lock);
	return root;
}

/* The entry for `va` at `level`, or the 2 MiB entry above it; NULL: no table there.
 * => p->lock is held */
static pte_t *
find_entry(const struct pmap *p, unsigned cxy, vaddr_t va, unsigned level)
{
	pte_t *t;

	if (p->root[cxy] == 0)
		return NULL;
	t = phys_to_virt(p->root[cxy]);
	for (unsigned l = ROOT_LEVEL; l > level; l--) {
		pte_t e = t[pte_index(va, l)];

		if (!(e & PTE_P))
			return NULL;
		if (e & PTE_PS)
			return &t[pte_index(va, l)];
		t = pte_table(e);
	}
	return &t[pte_index(va, level)];
}

/* The same, making tables on the way; NULL: out of memory. => p->lock is held */
static pte_t *
make_entry(struct pmap *p, unsigned cxy, vaddr_t va, unsigned level)
{
	pte_t *t = phys_to_virt(p->root[cxy]);

	for (unsigned l = ROOT_LEVEL; l > level; l--) {
		pte_t *e = &t[pte_index(va, l)];

		if (*e & PTE_PS)
			return e;
		if (!(*e & PTE_P)) {
			pte_t *below = table_make(p, cxy, l - 1, 0);

			if (below == NULL)
				return NULL;
			*e = virt_to_phys(below) | TABLE_FLAGS;
		} else if (!(*e & PTE_A)) {
			/* The entry may get D without a walk: pmap_harvest() has to find it. */
			atomic_fetch_or(e, PTE_A);
		}
		t = pte_table(*e);
	}
	return &t[pte_index(va, level)];
}

static pte_t
make_pte(paddr_t pa, unsigned prot)
{
	pte_t e = pa | PTE_P | PTE_U;

	if (!(prot & PMAP_UNUSED))
		e |= PTE_A;
	if (prot & VM_WRITE)
		e |= PTE_W;
	if (prot & PMAP_WRITTEN)
		e |= PTE_D;
	if (!(prot & VM_EXEC))
		e |= PTE_NX;
	if (prot & PMAP_UNCACHED)
		e |= PTE_PCD | PTE_PWT;
	return e;
}

/* See FF_CODE. */
static void
note_code(paddr_t pa, unsigned prot, unsigned shift)
{
	struct frame *f = frame_of_paddr(pa);

	if (!(prot & VM_EXEC) || (prot & PMAP_UNCACHED))
		return;
	for (u64 i = 0; i < 1UL << (shift - PAGE_SHIFT); i++)
		if (!(atomic_load_relaxed(&f[i].flags) & FF_CODE))
			atomic_fetch_or(&f[i].flags, FF_CODE);
}

/* Whether the entry of a replica for `va`, or NULL, shows something else than the frame `pa` of
 * size 1 << shift. */
static bool
shows_other(const pte_t *e, vaddr_t va, paddr_t pa, unsigned shift)
{
	if (e == NULL || !(*e & PTE_P))
		return false;
	if (shift == HUGE_SHIFT)
		return !(*e & PTE_PS) || (*e & PTE_ADDR) != pa;
	if (*e & PTE_PS)
		return (*e & PTE_ADDR & ~(HUGE_SIZE - 1)) + (va & (HUGE_SIZE - 1)) != pa;
	return (*e & PTE_ADDR) != pa;
}

/* Takes away what any replica shows instead of `pa`, flushed; true when the lock was dropped.
 * => p->lock is held, and again on return */
static bool
clear_others(struct pmap *p, vaddr_t va, paddr_t pa, unsigned shift)
{
	bool other = false;

	for (unsigned i = 0; i < MAX_CLUSTERS && !other; i++)
		other = shows_other(find_entry(p, i, va, shift == HUGE_SHIFT ? 1 : 0), va, pa,
				    shift);
	if (!other)
		return false;
	spin_unlock(&p->lock);
	pmap_remove(p, va, va + (1UL << shift));
	spin_lock(&p->lock);
	return true;
}

/* A core that has the old entry with its D bit writes on without setting it: the new one keeps it.
 */
static void
replace_entry(pte_t *e, pte_t new)
{
	pte_t old = atomic_xchg(e, new);

	note_written(old);
	if ((old & new &(PTE_W | PTE_P)) == (PTE_W | PTE_P) && (old & PTE_D) &&
	    ((old ^ new) & PTE_ADDR) == 0)
		atomic_fetch_or(e, PTE_D);
}

/* => p->lock is held */
static int
enter_locked(struct pmap *p, vaddr_t va, paddr_t pa, unsigned prot, unsigned shift)
{
	unsigned cxy = this_core()->arch.cxy;
	pte_t *e = make_entry(p, cxy, va, shift == HUGE_SHIFT ? 1 : 0);
	pte_t new = make_pte(pa, prot);

	if (e == NULL)
		return -ENOMEM;
	if (shift == HUGE_SHIFT) {
		atomic_store(e, new | PTE_PS);
		return 0;
	}
	if (*e & PTE_PS) {
		/* Part of a 2 MiB translation to the same frames: enough, or in the way. */
		if ((!(new &PTE_W) || (*e & PTE_W)) && ((new &PTE_NX) || !(*e & PTE_NX)))
			return 0;
		return -EAGAIN;
	}
	if (persisting())
		replace_entry(e, new);
	else
		atomic_store(e, new);
	return 0;
}

static int
enter(struct pmap *p, vaddr_t va, paddr_t pa, unsigned prot, unsigned shift)
{
	struct core *c = this_core();
	int err;

	if (p->root[c->arch.cxy] == 0 && pmap_root(p) == 0)
		return -ENOMEM;
	note_code(pa, prot, shift);
	spin_lock(&p->lock);
	for (;;) {
		if (p->root[c->arch.cxy] == 0) { /* retired meanwhile */
			err = -ENOMEM;
			break;
		}
		if (!(prot & (PMAP_REPLICA | PMAP_AGREED)) && clear_others(p, va, pa, shift))
			continue;
		err = enter_locked(p, va, pa, prot, shift);
		if (err != -EAGAIN)
			break;
		spin_unlock(&p->lock);
		pmap_remove(p, va, va + PAGE_SIZE);
		spin_lock(&p->lock);
	}
	spin_unlock(&p->lock);
	/* There was no root here when the thread was switched to. */
	if (err == 0 && c->loaded_pmap != p && current_thread()->pmap == p) {
		irq_push_off();
		pmap_activate(p);
		irq_pop_off();
	}
	return err;
}

int
pmap_enter(struct pmap *p, vaddr_t va, paddr_t pa, unsigned prot)
{
	return enter(p, va, pa, prot, PAGE_SHIFT);
}

int
pmap_enter_huge(struct pmap *p, vaddr_t va, paddr_t pa, unsigned prot)
{
	assert(IS_ALIGNED(va, HUGE_SIZE) && IS_ALIGNED(pa, HUGE_SIZE));
	assert(!(prot & PMAP_AGREED)); /* a table in its place is to go */
	return enter(p, va, pa, prot, HUGE_SHIFT);
}

/* Strikes out the pages for which another cluster shows something else: a page of zeros, where
 * memory came since. => p->lock is held; all are below one table */
static void
leave_to_others(const struct pmap *p, vaddr_t va, paddr_t *pa, unsigned n)
{
	unsigned own = this_core()->arch.cxy;

	for (unsigned c = 0; c < machine()->nclusters; c++) {
		const pte_t *e = c != own ? find_entry(p, c, va, 0) : NULL;

		for (unsigned i = 0; e != NULL && i < n; i++)
			if (shows_other(*e & PTE_PS ? e : &e[i], va + i * PAGE_SIZE, pa[i],
					PAGE_SHIFT))
				pa[i] = 0;
	}
}

unsigned
pmap_enter_around(struct pmap *p, vaddr_t va, paddr_t *pa, unsigned n, unsigned prot)
{
	unsigned cxy = this_core()->arch.cxy, entered = 0;
	pte_t *e, like = make_pte(0, prot);

	spin_lock(&p->lock);
	e = p->root[cxy] != 0 ? make_entry(p, cxy, va, 0) : NULL;
	if (!(prot & (PMAP_REPLICA | PMAP_AGREED)))
		leave_to_others(p, va, pa, n);
	if (e != NULL && !(*e & PTE_PS))
		for (unsigned i = 0; i < n; i++)
			if (pa[i] != 0 && !(e[i] & PTE_P)) {
				note_code(pa[i], prot, PAGE_SHIFT);
				atomic_store(&e[i], pa[i] | like);
				entered++;
			}
	spin_unlock(&p->lock);
	return entered;
}

void
pmap_allow_around(struct pmap *p, vaddr_t va, const paddr_t *pa, unsigned n)
{
	pte_t *e;

	spin_lock(&p->lock);
	e = find_entry(p, this_core()->arch.cxy, va, 0);
	for (unsigned i = 0; e != NULL && !(*e & PTE_PS) && i < n; i++)
		if (pa[i] != 0 && (e[i] & (PTE_P | PTE_W | PTE_ADDR)) == (PTE_P | pa[i]))
			atomic_fetch_or(&e[i], PTE_W);
	spin_unlock(&p->lock);
}

bool
pmap_allows(struct pmap *p, vaddr_t va, unsigned access)
{
	pte_t *e, v;

	spin_lock(&p->lock);
	e = find_entry(p, this_core()->arch.cxy, va, 0);
	v = e != NULL ? *e : 0;
	spin_unlock(&p->lock);
	return (v & PTE_P) && (!(access & VM_WRITE) || (v & PTE_W)) &&
	       (!(access & VM_EXEC) || !(v & PTE_NX));
}

void
pmap_batch_begin(struct pmap_batch *b, struct pmap *p)
{
	b->pmap = p;
	b->start = ~0UL;
	b->end = 0;
	list_init(&b->tables);
}

static void
batch_changed(struct pmap_batch *b, vaddr_t start, vaddr_t end)
{
	b->start = min(b->start, start);
	b->end = max(b->end, end);
}

/* Puts a table and all below it on the batch's list. */
static void
detach_table(struct pmap *p, struct list *tables, pte_t *t, unsigned level)
{
	unsigned n = level == ROOT_LEVEL ? KERNEL_FIRST : TABLE_SIZE;

	for (unsigned i = 0; level > 0 && i < n; i++)
		if ((t[i] & PTE_P) && !(t[i] & PTE_PS))
			detach_table(p, tables, pte_table(t[i]), level - 1);
	list_add(tables, &frame_of_virt(t)->link);
	p->table_pages--;
}

static pte_t
reduce(pte_t e, unsigned prot)
{
	if (!(prot & VM_WRITE))
		e &= ~PTE_W;
	if (!(prot & VM_EXEC))
		e |= PTE_NX;
	return e;
}

/* Gives an entry its new value, with what the processor notes in it meanwhile: D goes to the frame
 * with the right to write. => returns the old one */
static pte_t
set_entry(pte_t *e, pte_t new)
{
	pte_t old;

	if (!persisting())
		return atomic_xchg(e, new);
	do
		old = atomic_load_relaxed(e);
	while (!atomic_cas(e, old, new &PTE_W ? new | (old & PTE_D) : new & ~PTE_D));
	if (!(new &PTE_W))
		note_written(old);
	return old;
}

/* What a change does: takes a whole range away, reduces its rights, or forgets accesses. */
struct change {
	struct pmap_batch *batch;
	vaddr_t start, end;
	bool remove, forget;
	unsigned prot;
};

/* One entry that is present; its own range is [va, va + span). */
static void change_entry(struct change *c, pte_t *e, unsigned level, vaddr_t va);

/* The first entry from i on that is there; `end`: none is. */
static u64
next_present(const pte_t *t, u64 i, u64 end)
{
	while (i + 4 <= end && !((t[i] | t[i + 1] | t[i + 2] | t[i + 3]) & PTE_P))
		i += 4;
	while (i < end && !(t[i] & PTE_P))
		i++;
	return i;
}

static void
change_table(struct change *c, pte_t *t, unsigned level, vaddr_t base)
{
	u64 span = 1UL << (PAGE_SHIFT + 9 * level);
	vaddr_t from = max(base, ALIGN_DOWN(c->start, span));
	u64 end = min((u64)(level == ROOT_LEVEL ? KERNEL_FIRST : TABLE_SIZE),
		      DIV_ROUND_UP(c->end - base, span));

	for (u64 i = next_present(t, (from - base) / span, end); i < end;
	     i = next_present(t, i + 1, end))
		change_entry(c, &t[i], level, base + i * span);
}

static void
change_entry(struct change *c, pte_t *e, unsigned level, vaddr_t va)
{
	u64 span = 1UL << (PAGE_SHIFT + 9 * level);
	bool is_table = level > 0 && !(*e & PTE_PS);
	bool whole = va >= c->start && va + span <= c->end;
	pte_t old = *e, new;

	if (is_table && !(c->remove && whole)) {
		change_table(c, pte_table(*e), level - 1, va);
		return;
	}
	if (is_table) {
		atomic_store(e, 0);
		detach_table(c->batch->pmap, &c->batch->tables, pte_table(old), level - 1);
		batch_changed(c->batch, va, va + span);
		return;
	}
	if (c->forget) {
		if (atomic_fetch_and(e, ~(PTE_A | PTE_WAS_A)) & PTE_A)
			batch_changed(c->batch, va, va + span);
		return;
	}
	new = c->remove || !whole ? 0 : reduce(old, c->prot);
	if (new == old)
		return;
	/* What has not been used since it lost A, and TLBs were emptied, is in none: a processor
	 * sets A before it keeps a translation (SDM 3A 4.10.2.2). */
	if (set_entry(e, new) & PTE_A)
		batch_changed(c->batch, va, va + span);
}

static void
change_all(struct change *c)
{
	struct pmap *p = c->batch->pmap;

	if (c->start >= c->end)
		return;
	spin_lock(&p->lock);
	for (unsigned i = 0; i < MAX_CLUSTERS; i++)
		if (p->root[i] != 0)
			change_table(c, phys_to_virt(p->root[i]), ROOT_LEVEL, 0);
	spin_unlock(&p->lock);
}

void
pmap_batch_remove(struct pmap_batch *b, vaddr_t start, vaddr_t end)
{
	struct change c = {.batch = b, .start = start, .end = end, .remove = true};

	change_all(&c);
}

void
pmap_batch_protect(struct pmap_batch *b, vaddr_t start, vaddr_t end, unsigned prot)
{
	struct change c = {.batch = b, .start = start, .end = end, .prot = prot};

	c.remove = !(prot & (VM_READ | VM_WRITE | VM_EXEC));
	change_all(&c);
}

void
pmap_forget_accesses(struct pmap *p, vaddr_t start, vaddr_t end)
{
	struct pmap_batch b;
	struct change c = {.batch = &b, .start = start, .end = end, .forget = true};

	pmap_batch_begin(&b, p);
	change_all(&c);
	pmap_batch_end(&b);
}

/* Counts in one table's worth of pages. t[]: each cluster's entry for `va`, or the 2 MiB entry
 * above it, or NULL. */
static void
count_noted(pte_t *const t[MAX_CLUSTERS], vaddr_t va, vaddr_t end, struct pmap_noted *out)
{
	for (unsigned n = 0; va < end; va += PAGE_SIZE, n++) {
		pte_t bits = 0;

		for (unsigned i = 0; i < MAX_CLUSTERS; i++)
			if (t[i] != NULL)
				bits |= *t[i] & PTE_PS ? *t[i] : t[i][n] & PTE_P ? t[i][n] : 0;
		out->accessed += (bits & (PTE_A | PTE_WAS_A)) != 0;
		out->dirty += (bits & PTE_D) != 0;
	}
}

struct pmap_noted
pmap_count_noted(struct pmap *p, vaddr_t start, vaddr_t end)
{
	struct pmap_noted sum = {0};
	vaddr_t next;

	for (vaddr_t va = start; va < end; va = next) {
		pte_t *t[MAX_CLUSTERS];
		bool any = false;

		next = min(end, ALIGN_DOWN(va, HUGE_SIZE) + HUGE_SIZE);
		spin_lock(&p->lock);
		for (unsigned i = 0; i < MAX_CLUSTERS; i++) {
			t[i] = find_entry(p, i, va, 0);
			any = any || t[i] != NULL;
		}
		if (any)
			count_noted(t, va, next, &sum);
		spin_unlock(&p->lock);
	}
	return sum;
}

void
pmap_batch_end(struct pmap_batch *b)
{
	if (b->start >= b->end)
		return;
	pmap_flush(b->pmap, b->start, b->end, !list_empty(&b->tables));
	tables_free(&b->tables);
}

void
pmap_remove(struct pmap *p, vaddr_t start, vaddr_t end)
{
	struct pmap_batch b;

	pmap_batch_begin(&b, p);
	pmap_batch_remove(&b, start, end);
	pmap_batch_end(&b);
}

void
pmap_protect(struct pmap *p, vaddr_t start, vaddr_t end, unsigned prot)
{
	struct pmap_batch b;

	pmap_batch_begin(&b, p);
	pmap_batch_protect(&b, start, end, prot);
	pmap_batch_end(&b);
}

void
pmap_retire(struct pmap *p)
{
	struct list tables;

	list_init(&tables);
	spin_lock(&p->lock);
	atomic_store(&p->retired, true);
	for (unsigned i = 0; i < MAX_CLUSTERS; i++) {
		if (p->root[i] != 0)
			detach_table(p, &tables, phys_to_virt(p->root[i]), ROOT_LEVEL);
		atomic_store(&p->root[i], 0);
	}
	spin_unlock(&p->lock);
	pmap_leave_all(p);
	tables_free(&tables);
}
