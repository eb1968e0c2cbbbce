/*
 * The cluster manager: one struct cluster per kernel instance, static in its kdata (the only
 * mutable static beside boot_info), reached by other clusters through machine()->cluster[].
 */
#ifndef CLUSTER_CLUSTER_H
#define CLUSTER_CLUSTER_H

#include "cluster/barrier.h"
#include "cluster/boot_info.h"
#include "cluster/bootmem.h"
#include "cluster/rpc.h"
#include "core/core.h"
#include "core/mutex.h"

struct page_allocator;
struct slab_caches;

struct cluster {
	u16 cxy;		      /* [I] */
	u16 cores_nr;		      /* [I] */
	struct core *core[MAX_CORES]; /* [I] by lid */
	paddr_t master_root;	      /* [I] PML4 whose upper half every root of this cluster has */
	struct page_allocator *pages; /* [I] mm/frame.c */
	struct slab_caches *slabs;    /* [I] mm/slab.c */
	struct kstacks *kstacks;      /* [I] mm/kstack.c */
	struct registry *registry;    /* [I] mm/registry.c */
	struct replica_list *replicas;	 /* [I] mm/replica.c */
	struct bootmem bootmem;		 /* [c] until the page allocator takes over */
	struct rpc_ring *rpc[MAX_CORES]; /* [I] by lid; rpc.c */
	struct local_barrier local_barrier;
	struct global_barrier global_barrier; /* of use in the boot cluster only */
	struct mutex stop_lock;		      /* the same: stop.c */
	u64 allocs_local, allocs_remote;      /* [a] blocks of frames asked for here, and whence */
	u64 allocs_helped;		      /* [a] blocks given because another had none */
	u64 rpcs, shootdowns;		      /* [a] served here; begun here */
	struct rpc_pair rpc_to[MAX_CLUSTERS]; /* [a] by the target's cxy */
};

extern struct cluster local_cluster; /* this cluster's, at the same address everywhere */

static inline struct cluster *
this_cluster(void)
{
	return this_core()->cluster;
}

#endif
