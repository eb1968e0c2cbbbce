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
	u64 asleep;	  /* [a] lids that halt until they are rung for */
};

struct global_barrier {
	u32 arrived; /* [a] */
	u64 here;    /* [a] clusters that arrived, for the report */
};

struct core;
struct cluster;

/* Whom a wait is for, so that those who are missing can be named. */
struct barrier_who {
	const char *name;
	const u64 *here;	 /* [a] who arrived: lids of `cluster`, or clusters */
	u64 all;		 /* who is to come */
	struct cluster *cluster; /* NULL: first cores of clusters */
	bool boot_core_only;	 /* nobody but the boot core watches the time */
};

/* Waits until *word is not `old`: spins a while, then halts (interrupts on meanwhile, as they were
 * on return). After the time limit (machine()->barrier_limit, ns; 0: a minute) a first core panics
 * with the list of who is missing. who may be NULL: then nobody watches the time. */
void barrier_wait_word(const u32 *word, u32 old, u64 *asleep, const struct barrier_who *who);
/* Rings for the sleepers among core[], by bit. => the word has been changed */
void barrier_wake(struct core *const core[], u64 *asleep, u64 mask);

void barrier_local(void);  /* all cores of this cluster */
void barrier_global(void); /* the first core of every cluster; called by lid 0 only */
void barrier_all(void);	   /* all cores of all clusters: local, global, local */

#endif
