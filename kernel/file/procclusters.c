/*
 * /proc/holdfast: what the clusters do.
 *   clusters  a line of figures for each (holdfast:clusters() in Erlang reads it)
 *   rpc       remote calls from cluster to cluster, and the table of procedures
 *   selftest  measures remote calls and barriers (selftest.c)
 *   chdevs    each bound device or channel of one: its index, the cluster that serves it, its core,
 *             its interrupts (strays: in another cluster), a network queue's packets
 *   check     stops the machine and walks all memory (mm/check.c); "broken 0" when all is well
 */
#include <asm/errno.h>

#include "cluster/cluster.h"
#include "core/place.h"
#include "dev/driver.h"
#include "dev/netdev.h"
#include "file/dentry.h"
#include "mm/check.h"
#include "mm/frame.h"
#include "mm/replica.h"

static u64
sum_of_cores(const struct cluster *c, size_t offset)
{
	u64 sum = 0;

	for (u32 i = 0; i < c->cores_nr; i++)
		sum += atomic_load_relaxed((u64 *)((char *)c->core[i] + offset));
	return sum;
}

static u64
run_queue_length(const struct cluster *c)
{
	u64 sum = 0;

	for (u32 i = 0; i < c->cores_nr; i++)
		sum += atomic_load_relaxed(&c->core[i]->rq.nr_running);
	return sum;
}

/* "key value" pairs, a cluster to a line, so that a reader need not know them all. */
static size_t
clusters_show(char *buf, size_t size, void *arg)
{
	size_t len = 0;

	for (u32 i = 0; i < machine()->nclusters; i++) {
		const struct cluster *c = machine()->cluster[i];
		struct memory_info m;

		memory_info_cluster(i, &m);
		gen_printf(buf, size, &len, "cluster %u cores %u total_kb %lu free_kb %lu", i,
			   c->cores_nr, m.total * 4, m.free * 4);
		gen_printf(buf, size, &len, " allocs_local %lu allocs_remote %lu helped %lu",
			   c->allocs_local, c->allocs_remote, c->allocs_helped);
		gen_printf(buf, size, &len, " faults %lu rpcs %lu ipis_sent %lu ipis_saved %lu",
			   sum_of_cores(c, offsetof(struct core, stat_faults)), c->rpcs,
			   sum_of_cores(c, offsetof(struct core, stat_ipis_sent)),
			   sum_of_cores(c, offsetof(struct core, stat_ipis_saved)));
		gen_printf(buf, size, &len, " shootdowns %lu shootdowns_served %lu", c->shootdowns,
			   sum_of_cores(c, offsetof(struct core, stat_shootdowns)));
		gen_printf(buf, size, &len,
			   " threads %u taken %lu running %lu switches %lu page_tables_kb %lu"
			   " replicas %lu\n",
			   place_threads(i), sum_of_cores(c, offsetof(struct core, stat_taken)),
			   run_queue_length(c),
			   sum_of_cores(c, offsetof(struct core, stat_switches)), m.page_tables * 4,
			   replica_pages(i));
	}
	return len;
}

static size_t
rpc_show(char *buf, size_t size, void *arg)
{
	size_t len = 0;

	gen_printf(buf, size, &len, "from to calls posts ipis mean_ns worst_ns\n");
	for (u32 i = 0; i < machine()->nclusters; i++)
		for (u32 k = 0; k < machine()->nclusters; k++) {
			const struct rpc_pair *p = &machine()->cluster[i]->rpc_to[k];
			u64 calls = atomic_load_relaxed(&p->calls);

			gen_printf(buf, size, &len, "%u %u %lu %lu %lu %lu %lu\n", i, k, calls,
				   p->posts, p->ipis, calls ? p->calls_ns / calls : 0, p->worst_ns);
		}
	gen_printf(buf, size, &len, "procedures");
	for (u32 i = 0; i < RPC_COUNT; i++)
		gen_printf(buf, size, &len, " %s", rpc_name(i));
	gen_printf(buf, size, &len, "\n");
	return len;
}

/* A cluster's local APICs: interrupts that they took, vectors that its cores have bound. */
static void
show_internal(const struct chdev *c, char *buf, size_t size, size_t *len)
{
	const struct cluster *cl = machine()->cluster[c->cxy];
	unsigned vectors = 0;

	for (u32 i = 0; i < cl->cores_nr; i++)
		vectors += irq_bound(cl->core[i]);
	gen_printf(buf, size, len, "%s internal cluster %u core %u cores %u irqs %lu vectors %u\n",
		   c->name, c->cxy, c->core->arch.index, cl->cores_nr,
		   sum_of_cores(cl, offsetof(struct core, stat_irqs)), vectors);
}

static size_t
chdevs_show(char *buf, size_t size, void *arg)
{
	struct devices *devs = machine()->devices;
	const struct chdev *c;
	size_t len = 0;

	if (devs == NULL)
		return 0;
	spin_lock(&devs->lock);
	list_for_each_entry (c, &devs->chdevs, link) {
		if (c->internal) {
			show_internal(c, buf, size, &len);
			continue;
		}
		gen_printf(buf, size, &len, "%s index %u cluster %u core %u irqs %lu strays %lu",
			   c->name, c->index, c->cxy, c->core->arch.index,
			   atomic_load_relaxed(&c->irqs), atomic_load_relaxed(&c->strays));
		if (c->net != NULL)
			gen_printf(buf, size, &len, " received %lu sent %lu", c->net->rx_packets,
				   c->net->tx_packets);
		gen_printf(buf, size, &len, "\n");
	}
	spin_unlock(&devs->lock);
	return len;
}

static size_t
check_show(char *buf, size_t size, void *arg)
{
	return (size_t)memory_check(buf, size);
}

int
proc_clusters_register(void)
{
	static const struct genfile_ops clusters = {clusters_show}, rpc = {rpc_show},
					chdevs = {chdevs_show}, check = {check_show},
					selftest = {selftest_show};
	struct selftest *s = selftest_create();
	int err = s == NULL ? -ENOMEM : procfs_add("holdfast/clusters", 0444, &clusters, NULL);

	if (err == 0)
		err = procfs_add("holdfast/rpc", 0444, &rpc, NULL);
	if (err == 0)
		err = procfs_add("holdfast/chdevs", 0444, &chdevs, NULL);
	if (err == 0)
		err = procfs_add("holdfast/check", 0400, &check, NULL);
	if (err == 0)
		err = procfs_add("holdfast/selftest", 0400, &selftest, s);
	return err;
}
