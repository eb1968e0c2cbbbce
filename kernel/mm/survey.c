/*
 * What a cut will have to look at, looked at while processes still run (cut.h): to find the entries
 * with a D bit in many page tables takes longer than to collect what they show.
 *
 * Of a large address space the A bits of all page tables are taken away, the TLBs emptied, and then
 * the tables are gone over for D bits. A processor that sets one later has walked the tables since
 * and set A again, and so does code that sets D (pmap.c). At the cut a table without A has no other
 * D bits than those that were found; one with A is gone over again (harvest.c). What was found may
 * be gone by then: the bit went to the frame (pmap.c).
 *
 * Where few tables were walked it is not worth the shootdown.
 *
 * Locks: pmap->lock (a table is not freed under it). At the cut none.
 */
#include "arch/cpu.h"
#include "cluster/cluster.h"
#include "mm/cut.h"
#include "mm/frame.h"
#include "mm/harvest.h"
#include "mm/home.h"
#include "mm/slab.h"

#define TABLE_SIZE   512
#define KERNEL_FIRST 256
#define ROOT_LEVEL   3
#define SPACES	     8	 /* address spaces, at most */
#define TABLES_LEAST 128 /* that were walked, of one address space */

_Static_assert(GROUP_PAGES == TABLE_SIZE, "a table's entries are the size of a group's sets");

struct table_seen {
	vaddr_t va;
	unsigned cxy;
	u64 dirty[GROUP_WORDS]; /* entries that had D */
};

struct space_seen {
	struct pmap *pmap; /* with a reference */
	unsigned n, room;
	struct table_seen *table;
};

struct vm_survey {
	bool harvested;
	unsigned n;
	struct space_seen space[SPACES];
};

static void
hold_large(struct registered *r, void *arg)
{
	struct pmap *p = container_of(r, struct pmap, registered);
	struct vm_survey *s = arg;

	if (s->n < SPACES && atomic_load_relaxed(&p->table_pages) >= TABLES_LEAST &&
	    refcount_get_unless_zero(&p->refs))
		s->space[s->n++].pmap = p;
}

/* The entry for the page table of va, or NULL. => pmap->lock held, or the machine stands still */
static pte_t *
table_entry(const struct pmap *p, unsigned cxy, vaddr_t va)
{
	pte_t *e;

	if (p->root[cxy] == 0)
		return NULL;
	e = (pte_t *)phys_to_virt(p->root[cxy]) + pte_index(va, ROOT_LEVEL);
	for (unsigned level = ROOT_LEVEL; level > 1; level--) {
		if (!(*e & PTE_P))
			return NULL;
		e = pte_table(*e) + pte_index(va, level - 1);
	}
	return (*e & PTE_P) ? e : NULL;
}

/* A page table that was walked: it counts, or is noted where there is room. */
static void
note_table(struct space_seen *x, pte_t *e, unsigned cxy, vaddr_t va)
{
	if (x->table == NULL) {
		x->n++;
	} else if (x->n < x->room) {
		x->table[x->n++] = (struct table_seen){.va = va, .cxy = cxy};
		atomic_fetch_and(e, ~PTE_A);
	}
}

static void
go_over(struct space_seen *x, pte_t *t, unsigned level, unsigned cxy, vaddr_t va)
{
	unsigned n = level == ROOT_LEVEL ? KERNEL_FIRST : TABLE_SIZE;

	for (unsigned i = 0; i < n; i++) {
		vaddr_t at = va + ((vaddr_t)i << (PAGE_SHIFT + 9 * level));

		if ((t[i] & (PTE_P | PTE_A)) != (PTE_P | PTE_A))
			continue;
		if (level == 1)
			note_table(x, &t[i], cxy, at);
		else
			go_over(x, pte_table(t[i]), level - 1, cxy, at);
	}
}

static void
go_over_all(struct space_seen *x)
{
	struct pmap *p = x->pmap;

	x->n = 0;
	spin_lock(&p->lock);
	for (unsigned i = 0; i < machine()->nclusters; i++)
		if (p->root[i] != 0)
			go_over(x, phys_to_virt(p->root[i]), ROOT_LEVEL, i, 0);
	spin_unlock(&p->lock);
}

static void
find_dirty(struct table_seen *seen, const pte_t *t)
{
	for (unsigned i = 0; i < TABLE_SIZE; i++) {
		if (likely(!(t[i] & PTE_D)) || !(t[i] & PTE_P))
			continue;
		seen->dirty[i / 64] |= 1UL << (i % 64);
		/* The cut reads it: then it is near. */
		if (!(t[i] & PTE_PCD))
			(void)atomic_load_relaxed(&frame_of_paddr(t[i] & PTE_ADDR)->flags);
	}
}

static void
survey_space(struct space_seen *x)
{
	struct pmap *p = x->pmap;

	go_over_all(x);
	if (x->n < TABLES_LEAST) {
		x->n = 0;
		return;
	}
	x->room = x->n;
	x->table = kmalloc(x->room * sizeof(*x->table));
	if (x->table == NULL) {
		x->n = 0;
		return;
	}
	go_over_all(x);
	pmap_flush(p, 0, USER_TOP, false);
	for (unsigned i = 0; i < x->n; i++) {
		struct table_seen *seen = &x->table[i];
		const pte_t *e;

		spin_lock(&p->lock);
		e = table_entry(p, seen->cxy, seen->va);
		if (e != NULL)
			find_dirty(seen, pte_table(*e));
		spin_unlock(&p->lock);
	}
}

struct vm_survey *
vm_cut_survey(void)
{
	struct vm_survey *s = kzalloc(sizeof(*s));

	if (s == NULL)
		return NULL;
	registry_look(REGISTRY_PMAPS, hold_large, s);
	for (unsigned i = 0; i < s->n; i++)
		survey_space(&s->space[i]);
	return s;
}

static void
harvest_seen(const struct table_seen *seen, struct harvest *h)
{
	const pte_t *e = table_entry(h->pmap, seen->cxy, seen->va);
	pte_t *t;
	unsigned i;

	if (e == NULL || (*e & PTE_A))
		return;
	t = pte_table(*e);
	h->tables++;
	for_each_in_group(i, seen->dirty)
	{
		h->entries++;
		if (t[i] & PTE_D)
			harvest_leaf(&t[i], seen->va + (vaddr_t)i * PAGE_SIZE, h);
	}
}

void
survey_harvest(struct vm_survey *s, struct harvest *h)
{
	for (unsigned i = 0; i < s->n; i++) {
		h->pmap = s->space[i].pmap;
		for (unsigned k = 0; k < s->space[i].n; k++)
			harvest_seen(&s->space[i].table[k], h);
	}
	s->harvested = true;
}

/* No cut came to the tables: the next one has to. */
static void
put_back(const struct space_seen *x)
{
	spin_lock(&x->pmap->lock);
	for (unsigned i = 0; i < x->n; i++) {
		pte_t *e = table_entry(x->pmap, x->table[i].cxy, x->table[i].va);

		if (e != NULL)
			atomic_fetch_or(e, PTE_A);
	}
	spin_unlock(&x->pmap->lock);
}

void
vm_cut_survey_end(struct vm_survey *s)
{
	if (s == NULL)
		return;
	for (unsigned i = 0; i < s->n; i++) {
		struct space_seen *x = &s->space[i];

		if (!s->harvested)
			put_back(x);
		kfree(x->table);
		pmap_put(x->pmap);
	}
	kfree(s);
}
