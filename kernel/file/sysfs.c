/*
 * /sys: processors and NUMA nodes (the clusters) as glibc, BEAM and hwloc read them, huge pages,
 * and an empty control group hierarchy.
 */
#include <asm/errno.h>
#include <linux/fcntl.h>
#include <linux/stat.h>
#include "cluster/cluster.h"
#include "file/dentry.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/frame.h"

#define CPU  "devices/system/cpu/"
#define NODE "devices/system/node/"

int
sysfs_add(const char *path, u32 mode, const struct genfile_ops *ops, void *arg)
{
	struct vfs *vfs = vfs_prepare();

	return vfs ? genfile_add(vfs->sys, path, mode, ops, arg) : -ENOMEM;
}

int
sysfs_add_link(const char *path, const char *target)
{
	struct vfs *vfs = vfs_prepare();

	return vfs ? genfile_add_link(vfs->sys, path, target) : -ENOMEM;
}

/* "0-3,8" of a mask. */
static void
show_list(char *buf, size_t size, size_t *len, u64 mask)
{
	const char *comma = "";

	for (int i = 0; i < 64; i++) {
		int first = i;

		if (!(mask >> i & 1))
			continue;
		while (i < 63 && (mask >> (i + 1) & 1))
			i++;
		gen_printf(buf, size, len, first == i ? "%s%d" : "%s%d-%d", comma, first, i);
		comma = ",";
	}
	gen_printf(buf, size, len, "\n");
}

/* "ffffffff,0000000f": 32 bits a word, as wide as the machine. */
static void
show_mask(char *buf, size_t size, size_t *len, u64 mask)
{
	if (machine()->ncores > 32)
		gen_printf(buf, size, len, "%08x,", (u32)(mask >> 32));
	gen_printf(buf, size, len, "%08x\n", (u32)mask);
}

static u64
all_cores(void)
{
	return machine()->ncores >= 64 ? ~0ul : (1ul << machine()->ncores) - 1;
}

static u64
cores_of(u32 cxy)
{
	u64 mask = 0;

	for (u32 i = 0; i < machine()->ncores; i++)
		if (machine()->core[i]->arch.cxy == cxy)
			mask |= 1ul << i;
	return mask;
}

/* `arg` of the shows below: what, and for which core or cluster. */
enum what {
	CPUS,
	NODES,
	NODES_CPU,
	KERNEL_MAX,
	NODE_LIST,
	NODE_MAP,
	NODE_MEM,
	NODE_DISTANCE,
	NODE_STAT,
	CORE_ID,
	PACKAGE_ID,
	SELF_LIST,
	SELF_MAP,
	PACKAGE_LIST,
	PACKAGE_MAP,
	ONE,
	EMPTY,
	HUGE
};

static void *
arg_of(enum what w, u32 n)
{
	return (void *)((u64)w | (u64)n << 8);
}

static u64
nodes_with_cores(void)
{
	u64 mask = 0;

	for (u32 i = 0; i < machine()->nclusters; i++)
		if (cores_of(i))
			mask |= 1ul << i;
	return mask;
}

static void
show_node_memory(char *buf, size_t size, size_t *len, u32 n)
{
	struct memory_info m;

	memory_info_cluster(n, &m);
	gen_printf(buf, size, len,
		   "Node %u MemTotal:       %8lu kB\nNode %u MemFree:        %8lu kB\n"
		   "Node %u MemUsed:        %8lu kB\nNode %u HugePages_Total:     0\n"
		   "Node %u HugePages_Free:      0\n",
		   n, m.total * 4, n, m.free * 4, n, (m.total - m.free) * 4, n, n);
}

static size_t
info_show(char *buf, size_t size, void *arg)
{
	u32 n = (u32)((u64)arg >> 8), cxy = 0;
	enum what w = (enum what)((u64)arg & 255);
	size_t len = 0;

	if (w >= CORE_ID && w <= PACKAGE_MAP)
		cxy = machine()->core[n]->arch.cxy;
	switch (w) {
	case CPUS:
		show_list(buf, size, &len, all_cores());
		break;
	case NODES:
		show_list(buf, size, &len, (1ul << machine()->nclusters) - 1);
		break;
	case NODES_CPU:
		show_list(buf, size, &len, nodes_with_cores());
		break;
	case KERNEL_MAX:
		gen_printf(buf, size, &len, "%d\n", MAX_CORES - 1);
		break;
	case NODE_LIST:
		show_list(buf, size, &len, cores_of(n));
		break;
	case NODE_MAP:
		show_mask(buf, size, &len, cores_of(n));
		break;
	case NODE_MEM:
		show_node_memory(buf, size, &len, n);
		break;
	case NODE_DISTANCE:
		for (u32 i = 0; i < machine()->nclusters; i++)
			gen_printf(buf, size, &len, "%s%u", i ? " " : "",
				   machine()->distance[n][i]);
		gen_printf(buf, size, &len, "\n");
		break;
	case NODE_STAT:
		gen_printf(buf, size, &len, "numa_hit %lu\nnuma_miss %lu\nnuma_foreign %lu\n",
			   machine()->cluster[n]->allocs_local,
			   machine()->cluster[n]->allocs_helped,
			   machine()->cluster[n]->allocs_remote);
		break;
	case CORE_ID:
		gen_printf(buf, size, &len, "%u\n", machine()->core[n]->arch.lid);
		break;
	case PACKAGE_ID:
		gen_printf(buf, size, &len, "%u\n", cxy);
		break;
	case SELF_LIST:
		show_list(buf, size, &len, 1ul << n);
		break;
	case SELF_MAP:
		show_mask(buf, size, &len, 1ul << n);
		break;
	case PACKAGE_LIST:
		show_list(buf, size, &len, cores_of(cxy));
		break;
	case PACKAGE_MAP:
		show_mask(buf, size, &len, cores_of(cxy));
		break;
	case ONE:
		gen_printf(buf, size, &len, "1\n");
		break;
	case EMPTY:
		gen_printf(buf, size, &len, "\n");
		break;
	case HUGE:
		gen_printf(buf, size, &len, "[always] madvise never\n");
		break;
	}
	return len;
}

static const struct genfile_ops info_ops = {info_show};

static int
add(const char *dir, u32 n, const char *name, enum what w)
{
	char path[96];

	format(path, sizeof(path), "%s%u/%s", dir, n, name);
	return sysfs_add(path, 0444, &info_ops, arg_of(w, n));
}

static int
add_link(const char *dir, u32 n, const char *name, u32 k, const char *up)
{
	char path[96], target[96];

	format(path, sizeof(path), "%s%u/%s%u", dir, n, name, k);
	format(target, sizeof(target), "../../%s/%s%u", up, name, k);
	return sysfs_add_link(path, target);
}

static int
register_cores(void)
{
	static const struct {
		const char *name;
		enum what what;
	} files[] = {{"online", ONE},
		     {"topology/core_id", CORE_ID},
		     {"topology/physical_package_id", PACKAGE_ID},
		     {"topology/die_id", PACKAGE_ID},
		     {"topology/thread_siblings", SELF_MAP},
		     {"topology/thread_siblings_list", SELF_LIST},
		     {"topology/core_cpus", SELF_MAP},
		     {"topology/core_cpus_list", SELF_LIST},
		     {"topology/core_siblings", PACKAGE_MAP},
		     {"topology/core_siblings_list", PACKAGE_LIST},
		     {"topology/package_cpus", PACKAGE_MAP},
		     {"topology/package_cpus_list", PACKAGE_LIST}};
	int err = 0;

	for (u32 n = 0; n < machine()->ncores && err == 0; n++) {
		for (unsigned i = 0; i < ARRAY_SIZE(files) && err == 0; i++)
			err = add(CPU "cpu", n, files[i].name, files[i].what);
		if (err == 0)
			err = add_link(CPU "cpu", n, "node", machine()->core[n]->arch.cxy, "node");
	}
	return err;
}

static int
register_nodes(void)
{
	static const struct {
		const char *name;
		enum what what;
	} files[] = {{"cpulist", NODE_LIST},
		     {"cpumap", NODE_MAP},
		     {"meminfo", NODE_MEM},
		     {"distance", NODE_DISTANCE},
		     {"numastat", NODE_STAT}};
	int err = 0;

	for (u32 n = 0; n < machine()->nclusters && err == 0; n++) {
		for (unsigned i = 0; i < ARRAY_SIZE(files) && err == 0; i++)
			err = add(NODE "node", n, files[i].name, files[i].what);
		for (u32 c = 0; c < machine()->ncores && err == 0; c++)
			if (machine()->core[c]->arch.cxy == n)
				err = add_link(NODE "node", n, "cpu", c, "cpu");
	}
	return err;
}

/* No controllers: what is there to read says so. */
static int
mount_cgroup(void)
{
	static const char *const files[] = {"cgroup.controllers", "cgroup.subtree_control"};
	struct dentry *dir;
	int err = genfile_add_dir(vfs_get()->sys, "fs/cgroup", &dir);

	if (err)
		return err;
	err = mount_at(vfs_get()->cgroup, dir);
	dentry_put(dir);
	for (unsigned i = 0; i < ARRAY_SIZE(files) && err == 0; i++)
		err = genfile_add(vfs_get()->cgroup, files[i], 0444, &info_ops, arg_of(EMPTY, 0));
	return err;
}

int
sysfs_populate(void)
{
	static const struct {
		const char *path;
		enum what what;
	} files[] = {{CPU "online", CPUS},	  {CPU "possible", CPUS},
		     {CPU "present", CPUS},	  {CPU "offline", EMPTY},
		     {CPU "isolated", EMPTY},	  {CPU "kernel_max", KERNEL_MAX},
		     {NODE "online", NODES},	  {NODE "possible", NODES},
		     {NODE "has_memory", NODES},  {NODE "has_normal_memory", NODES},
		     {NODE "has_cpu", NODES_CPU}, {"kernel/mm/transparent_hugepage/enabled", HUGE}};
	struct dentry *d;
	int err = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(files) && err == 0; i++)
		err = sysfs_add(files[i].path, 0444, &info_ops, arg_of(files[i].what, 0));
	if (err == 0)
		err = register_cores();
	if (err == 0)
		err = register_nodes();
	if (err == 0)
		err = mount_cgroup();
	if (err == 0) {
		err = genfile_add_dir(vfs_get()->sys, "class/net", &d);
		if (err == 0)
			dentry_put(d);
	}
	return err;
}
