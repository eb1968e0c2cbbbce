/*
 * Stopping the machine for a moment, to look at what is otherwise in motion: every other core
 * stands in an interrupt with no spinlock held, so all that spinlocks guard is whole. They answer
 * TLB shootdowns meanwhile, since one of them may be waited for.
 */
#ifndef CLUSTER_STOP_H
#define CLUSTER_STOP_H

#include "core/core.h"

struct machine_stop {
	u32 standing;	     /* [a] */
	u32 go;		     /* [a] */
	u32 left;	     /* [a] */
	u64 root[MAX_CORES]; /* what CR3 holds, by core index */
};

/* => one at a time (the caller's mutex); no spinlock held. Interrupts are off on return. */
void machine_stop(struct machine_stop *s);
/* Returns at once; other cores leave the interrupt when they come to it. */
void machine_go(struct machine_stop *s);
/* Returns when they have: before s is used for something else. */
void machine_gone(struct machine_stop *s);

#endif
