/*
 * Where a new thread goes: a tree of load over the clusters, four children to a node (the DQDT of
 * ALMOS). Each node counts the threads that live below it and the cores there. From the cluster of
 * who asks the search goes up until a subtree has fewer threads than cores, then down to the child
 * with the fewest threads a core; the asker's own wins a tie. So the threads that a program makes
 * in a row, as BEAM its schedulers, are dealt evenly, and need not be taken from each other later.
 */
#ifndef CORE_PLACE_H
#define CORE_PLACE_H

#include "arch/layout.h"
#include "lib/types.h"

struct core;
struct thread;

#define PLACE_LEVELS 3 /* clusters, groups of four, all of them */

_Static_assert(MAX_CLUSTERS <= 1 << 2 * (PLACE_LEVELS - 1), "one root");

struct placement {
	struct place_node {
		u32 threads; /* [a] */
		u32 cores;   /* [I] after place_init() */
	} node[PLACE_LEVELS][MAX_CLUSTERS];
};

/* => boot core, when the cores of the machine are final */
void place_init(void);
/* The core a new thread of the caller, which may use the cores of `allowed`, had best begin on. */
struct core *place_choose(u64 allowed);
/* The core of a mask with the fewest runnable threads; NULL: the mask is empty. */
struct core *place_least_loaded(u64 cores);
/* A thread begins and ends to live where it was placed. */
void place_enter(struct thread *t);
void place_leave(struct thread *t);
/* Threads that live in a cluster. */
u32 place_threads(unsigned cxy);

#endif
