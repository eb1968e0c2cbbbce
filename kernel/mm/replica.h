/*
 * Copies of program text near who executes it: see replica.c.
 */
#ifndef MM_REPLICA_H
#define MM_REPLICA_H

#include "mm/object.h"

struct replicas; /* of one object, by cluster and page */

/* What this cluster is to execute instead of the root image's frame f, page `index` of o: a copy
 * of its own, or f. => o->lock held */
struct frame *replica_for(struct vm_object *o, u64 index, struct frame *f);
/* The same for a page that is not executed yet: no copy is made; NULL if one would be. */
struct frame *replica_near(struct vm_object *o, u64 index, struct frame *f);
/* Frees the copies of n pages. => o->lock held, nothing shows them */
void replicas_drop(struct vm_object *o, u64 first, u64 n);
/* Frees all that an object has left. => the last reference is gone */
void replicas_destroy(struct vm_object *o);
/* Gives some of this cluster's copies back, because its memory is short. Whether there were any.
 * => no spinlock held */
bool replicas_give_back(void);
/* Calls fn for each copy of an object. => the machine stands still */
void replicas_walk(const struct vm_object *o, void (*fn)(unsigned cxy, struct frame *f, void *arg),
		   void *arg);
/* Pages of copies in a cluster. */
u64 replica_pages(unsigned cxy);
void replica_init_cluster(void);

#endif
