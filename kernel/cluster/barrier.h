/*
 * Two-level reusable barriers for the boot procedure (spec 7.9): cores of a cluster meet on a
 * counter in their own kdata, the first cores of all clusters on one in the boot cluster, and the
 * last arrival releases each cluster by writing that cluster's own epoch word. They neither
 * allocate nor schedule. After a time limit the list of who is missing is printed and it panics.
 */
#ifndef CLUSTER_BARRIER_H
#define CLUSTER_BARRIER_H

#include "lib/types.h"

struct local_barrier {
	u32 arrived;	  /* [a] */
	u32 epoch;	  /* [a] */
	u32 global_epoch; /* [a] written by the last arrival of the global barrier */
	u64 here;	  /* [a] lids that arrived, for the report */
};

struct global_barrier {
	u32 arrived; /* [a] */
	u64 here;    /* [a] clusters that arrived, for the report */
};

void barrier_local(void);  /* all cores of this cluster */
void barrier_global(void); /* the first core of every cluster; called by lid 0 only */
void barrier_all(void);	   /* all cores of all clusters: local, global, local */

#endif
