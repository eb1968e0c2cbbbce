/*
 * The part of the invariant walk that goes down the page tables: every root of every cluster, the
 * kernel's half once per cluster and the user's half of each pmap (see check.c).
 */
#include "cluster/cluster.h"
#include "lib/assert.h"
#include "mm/check_impl.h"

#define TABLE_SIZE   512
#define KERNEL_FIRST 256
#define ROOT_LEVEL   3

struct table_walk {
	struct check *check;
	unsigned cxy; /* whose tables these are */
	bool kernel;
};

static void
check_leaf(struct table_walk *w, pte_t e, vaddr_t va)
{
	const struct frame *f = frame_of_paddr(e & PTE_ADDR);

	w->check->leaves++;
	if (w->kernel || (e & PTE_PCD) || !frame_exists(e & PTE_ADDR) || (f->flags & FF_RESERVED))
		return;
	if ((f->flags & (FF_FREE | FF_TABLE | FF_SLAB)) || atomic_load_relaxed(&f->refs.value) == 0)
		check_broken(w->check, "%lx in cluster %u shows frame %lx with flags %x", va,
			     w->cxy, frame_paddr(f), f->flags);
}

/* Where a table lies, and that it is nobody else's. */
static bool
check_place(struct table_walk *w, paddr_t table)
{
	const struct frame *f = frame_of_paddr(table);

	if (!frame_exists(table)) {
		check_broken(w->check, "table at %lx, which is no memory", table);
		return false;
	}
	if (w->kernel)
		w->check->kernel_tables++;
	else
		w->check->user_tables++;
	if (f->cxy != w->cxy)
		w->check->tables_elsewhere++;
	if (f->flags & FF_RESERVED)
		return true; /* made by the boot procedure */
	if (!(f->flags & FF_TABLE) || (f->flags & FF_FREE))
		check_broken(w->check, "table at %lx has flags %x", table, f->flags);
	if (!(w->kernel && machine()->one_copy)) /* then all clusters share these */
		check_seen(w->check, f);
	return true;
}

static void
check_below(struct table_walk *w, const pte_t *t, unsigned level, vaddr_t base)
{
	unsigned first = level == ROOT_LEVEL && w->kernel ? KERNEL_FIRST : 0;
	unsigned end = level == ROOT_LEVEL && !w->kernel ? KERNEL_FIRST : TABLE_SIZE;

	for (unsigned i = first; i < end; i++) {
		pte_t e = atomic_load_relaxed(&t[i]);
		vaddr_t va = base + ((vaddr_t)i << (PAGE_SHIFT + 9 * level));

		if (!(e & PTE_P))
			continue;
		if (level == 0 || (e & PTE_PS))
			check_leaf(w, e, va);
		else if (check_place(w, e & PTE_ADDR))
			check_below(w, pte_table(e), level - 1, va);
	}
}

static void
check_pmap(struct registered *r, void *arg)
{
	struct check *k = arg;
	const struct pmap *p = container_of(r, struct pmap, registered);

	for (unsigned i = 0; i < machine()->nclusters; i++) {
		struct table_walk w = {.check = k, .cxy = i};
		const pte_t *master = phys_to_virt(machine()->cluster[i]->master_root);
		const pte_t *root = phys_to_virt(p->root[i]);

		if (p->root[i] == 0)
			continue;
		k->roots++;
		if (!check_place(&w, p->root[i]))
			continue;
		check_below(&w, root, ROOT_LEVEL, 0);
		for (unsigned n = KERNEL_FIRST; n < TABLE_SIZE; n++)
			if (root[n] != master[n])
				check_broken(k, "root %lx differs from cluster %u's at %u",
					     p->root[i], i, n);
	}
}

/* What each core has loaded: its cluster's own root, or one of that cluster. */
static void
check_loaded(struct check *k)
{
	for (u32 i = 0; i < machine()->ncores; i++) {
		const struct core *c = machine()->core[i];
		paddr_t want = c->loaded_pmap != NULL ? c->loaded_pmap->root[c->arch.cxy]
						      : c->cluster->master_root;

		if (c->arch.standing_root != want && (want != 0 || !c->loaded_pmap->retired))
			check_broken(k, "core %u has root %lx, not %lx", i, c->arch.standing_root,
				     want);
	}
}

void
check_tables(struct check *k)
{
	for (unsigned i = 0; i < machine()->nclusters; i++) {
		struct table_walk w = {.check = k, .cxy = i, .kernel = true};

		k->roots++;
		if (check_place(&w, machine()->cluster[i]->master_root))
			check_below(&w, phys_to_virt(machine()->cluster[i]->master_root),
				    ROOT_LEVEL, 0);
	}
	registry_walk(REGISTRY_PMAPS, check_pmap, k);
	check_loaded(k);
}
