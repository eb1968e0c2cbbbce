/*
 * Lists of all VM objects and of all pmaps, one of each per cluster, for who has to visit every
 * one: the check of the invariants, and whoever takes pages back.
 */
#ifndef MM_REGISTRY_H
#define MM_REGISTRY_H

#include "lib/list.h"
#include "lib/types.h"

enum registry_kind { REGISTRY_OBJECTS, REGISTRY_PMAPS, REGISTRY_KINDS };

struct registered {
	struct list link; /* [the list's lock] */
	u16 cxy;	  /* [I] on which cluster's list */
};

/* => each cluster's first core, after the slabs */
void registry_init_cluster(void);
/* Enters something on the calling core's cluster's list, and takes it off. */
void registry_add(struct registered *r, enum registry_kind kind);
void registry_remove(struct registered *r, enum registry_kind kind);
/* Calls fn for each on every cluster's list. walk: => the machine stands still (cluster/stop.h).
 * look: at any time; fn takes no lock. */
void registry_walk(enum registry_kind kind, void (*fn)(struct registered *r, void *arg), void *arg);
void registry_look(enum registry_kind kind, void (*fn)(struct registered *r, void *arg), void *arg);

#endif
