/*
 * The tree of load: see place.h. No locks: the counts are atomic, and a choice that was made on a
 * count which is changing is a little worse, not wrong.
 */
#include "core/place.h"
#include "core/thread.h"
#include "lib/assert.h"
#include "lib/atomic.h"

#define ARITY_SHIFT 2
#define ARITY	    (1u << ARITY_SHIFT)

static struct place_node *
node_of(unsigned level, unsigned cxy)
{
	return &machine()->placement->node[level][cxy >> (ARITY_SHIFT * level)];
}

void
place_init(void)
{
	for (u32 i = 0; i < machine()->ncores; i++)
		for (unsigned l = 0; l < PLACE_LEVELS; l++)
			node_of(l, machine()->core[i]->arch.cxy)->cores++;
}

static void
count(unsigned cxy, int change)
{
	for (unsigned l = 0; l < PLACE_LEVELS; l++)
		atomic_add_relaxed(&node_of(l, cxy)->threads, (u32)change);
}

void
place_enter(struct thread *t)
{
	t->home = t->core->arch.cxy;
	count(t->home, 1);
}

void
place_leave(struct thread *t)
{
	count(t->home, -1);
}

u32
place_threads(unsigned cxy)
{
	return atomic_load_relaxed(&node_of(0, cxy)->threads);
}

static bool
has_room(const struct place_node *n)
{
	return atomic_load_relaxed(&n->threads) < n->cores;
}

/* Whether a has more threads a core than b. => both have cores */
static bool
is_fuller(const struct place_node *a, const struct place_node *b)
{
	return (u64)atomic_load_relaxed(&a->threads) * b->cores >
	       (u64)atomic_load_relaxed(&b->threads) * a->cores;
}

/* The least loaded child of the node over `cxy` at this level; cxy's own wins a tie. The child is
 * named by a cluster below it. */
static unsigned
best_child(unsigned level, unsigned cxy)
{
	unsigned step = 1u << (ARITY_SHIFT * (level - 1));
	unsigned first = cxy >> (ARITY_SHIFT * level) << (ARITY_SHIFT * level), best = cxy;

	for (unsigned c = first; c < first + ARITY * step && c < MAX_CLUSTERS; c += step) {
		const struct place_node *n = node_of(level - 1, c);

		if (n->cores > 0 && is_fuller(node_of(level - 1, best), n))
			best = c;
	}
	return best;
}

static unsigned
choose_cluster(unsigned own)
{
	unsigned level = 0, cxy = own;

	if (machine()->nclusters == 1)
		return own;
	while (level < PLACE_LEVELS - 1 && !has_room(node_of(level, own)))
		level++;
	for (unsigned l = level; l > 0; l--)
		cxy = best_child(l, cxy);
	return cxy;
}

struct core *
place_least_loaded(u64 cores)
{
	struct core *best = NULL;
	u32 least = ~0u;

	for (; cores != 0; cores &= cores - 1) {
		struct core *c = machine()->core[__builtin_ctzl(cores)];
		u32 n = atomic_load_relaxed(&c->rq.nr_running);

		if (n < least) {
			least = n;
			best = c;
		}
	}
	return best;
}

struct core *
place_choose(u64 allowed)
{
	struct machine *m = machine();
	struct core *c =
		place_least_loaded(allowed & m->cluster_cores[choose_cluster(arch_core()->cxy)]);

	if (c == NULL)
		c = place_least_loaded(allowed);
	return c != NULL ? c : this_core();
}
