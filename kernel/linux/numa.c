/*
 * Memory policies: set_mempolicy, get_mempolicy, mbind, move_pages, migrate_pages. Clusters are
 * Linux's nodes. The work is done in mm/policy.c and mm/move.c; here arguments are fetched and
 * checked as the manual pages say.
 */
#include <asm/errno.h>
#include <linux/mempolicy.h>

#include "calls.h"
#include "core/sched.h"
#include "mm/policy.h"
#include "mm/user.h"
#include "proc/process.h"

#define MODE_FLAGS (MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES)

static u64
all_nodes(void)
{
	return (1UL << machine()->nclusters) - 1;
}

/* A node mask of maxnode - 1 bits; a bit beyond what a machine could have is -EINVAL. */
static int
get_nodes(const unsigned long __user *mask, unsigned long maxnode, u64 *out)
{
	unsigned long word, bits = maxnode > 1 ? maxnode - 1 : 0, words = DIV_ROUND_UP(bits, 64);

	*out = 0;
	if (mask == NULL || bits == 0)
		return 0;
	if (bits > PAGE_SIZE * 8)
		return -EINVAL;
	for (unsigned long i = 0; i < words; i++) {
		if (copy_from_user(&word, mask + i, sizeof(word)))
			return -EFAULT;
		if (i == words - 1 && bits % 64)
			word &= (1UL << bits % 64) - 1;
		if (i == 0)
			*out = word;
		else if (word != 0)
			return -EINVAL;
	}
	return 0;
}

static int
put_nodes(unsigned long __user *mask, unsigned long maxnode, u64 nodes)
{
	unsigned long words = DIV_ROUND_UP(maxnode - 1, 64);

	if (words > PAGE_SIZE / sizeof(nodes))
		return -EINVAL;
	if (words == 0)
		return 0;
	if (copy_to_user(mask, &nodes, sizeof(nodes)))
		return -EFAULT;
	return clear_user(mask + 1, (words - 1) * sizeof(nodes));
}

/* Mode and nodes of a set_mempolicy or mbind call as a policy. */
static int
make_policy(int mode, u64 nodes, struct mem_policy *out)
{
	unsigned flags = mode & MPOL_MODE_FLAGS;

	mode &= ~MPOL_MODE_FLAGS;
	if (mode < 0 || mode >= MPOL_MAX || (flags & MODE_FLAGS) == MODE_FLAGS ||
	    ((flags & MPOL_F_NUMA_BALANCING) && mode != MPOL_BIND))
		return -EINVAL;
	if (mode == MPOL_DEFAULT || mode == MPOL_LOCAL)
		if (nodes != 0 || (mode == MPOL_LOCAL && flags))
			return -EINVAL;
	if (nodes == 0 && mode == MPOL_PREFERRED) {
		if (flags)
			return -EINVAL;
		mode = MPOL_LOCAL;
	}
	if (mode != MPOL_DEFAULT && mode != MPOL_LOCAL && (nodes & all_nodes()) == 0)
		return -EINVAL;
	*out = (struct mem_policy){.mode = mode, .nodes = nodes & all_nodes(), .flags = flags};
	if (mode == MPOL_PREFERRED)
		out->nodes &= -out->nodes;
	return 0;
}

long
sys_set_mempolicy(int mode, const unsigned long __user *mask, unsigned long maxnode)
{
	struct mem_policy p;
	u64 nodes;
	int err = get_nodes(mask, maxnode, &nodes);

	if (err == 0)
		err = make_policy(mode, nodes, &p);
	if (err == 0)
		current_thread()->policy = p;
	return err;
}

/* What get_mempolicy tells in place of the mode for MPOL_F_NODE, or a negative error. */
static int
node_told(const struct mem_policy *p, unsigned long addr, unsigned long flags)
{
	struct vm_map *m = current_process()->map;
	int err;

	if (!(flags & MPOL_F_ADDR))
		return p->mode == MPOL_INTERLEAVE ? (int)policy_next(current_thread()) : -EINVAL;
	err = vm_populate(m, addr & PAGE_MASK, PAGE_SIZE, VM_READ);
	if (err)
		return -EFAULT;
	err = vm_page_node(m, addr);
	return err == -ENOENT ? 0 : err; /* the page of zeros */
}

long
sys_get_mempolicy(int __user *mode, unsigned long __user *mask, unsigned long maxnode,
		  unsigned long addr, unsigned long flags)
{
	struct mem_policy p = current_thread()->policy;
	int told, err = 0;

	if (flags & ~(unsigned long)(MPOL_F_NODE | MPOL_F_ADDR | MPOL_F_MEMS_ALLOWED))
		return -EINVAL;
	if (mask != NULL && maxnode < machine()->nclusters)
		return -EINVAL;
	if (flags & MPOL_F_MEMS_ALLOWED) {
		if (flags & (MPOL_F_NODE | MPOL_F_ADDR))
			return -EINVAL;
		p = (struct mem_policy){.nodes = all_nodes()};
	} else if (flags & MPOL_F_ADDR) {
		err = vm_policy_at(current_process()->map, addr, &p);
	} else if (addr != 0) {
		return -EINVAL;
	}
	if (err)
		return err;
	told = flags & MPOL_F_NODE ? node_told(&p, addr, flags) : p.mode | p.flags;
	if (told < 0)
		return told;
	if (mode != NULL && copy_to_user(mode, &told, sizeof(told)))
		return -EFAULT;
	return mask != NULL ? put_nodes(mask, maxnode, p.nodes) : 0;
}

long
sys_mbind(unsigned long addr, unsigned long len, int mode, const unsigned long __user *mask,
	  unsigned long maxnode, unsigned flags)
{
	bool move = flags & (MPOL_MF_MOVE | MPOL_MF_MOVE_ALL);
	struct mem_policy p;
	u64 nodes;
	int err;

	if (flags & ~(unsigned)MPOL_MF_VALID)
		return -EINVAL;
	if ((flags & MPOL_MF_MOVE_ALL) && !process_privileged())
		return -EPERM;
	if (!IS_ALIGNED(addr, PAGE_SIZE) || len > USER_TOP)
		return -EINVAL;
	err = get_nodes(mask, maxnode, &nodes);
	if (err == 0)
		err = make_policy(mode, nodes, &p);
	if (err)
		return err;
	len = ALIGN_UP(len, PAGE_SIZE);
	if (addr + len < addr)
		return -EINVAL;
	if (len == 0)
		return 0;
	if (addr + len > USER_TOP)
		return -EFAULT;
	return vm_mbind(current_process()->map, addr, len, p, move && p.mode != MPOL_DEFAULT,
			(flags & MPOL_MF_STRICT) && p.mode != MPOL_DEFAULT);
}

/* The map of a process whose pages the caller may move, with a reference. */
static int
map_of(int pid, struct vm_map **out)
{
	struct process *p = pid == 0 ? NULL : process_find(pid);
	int err = 0;

	if (pid != 0 && p == NULL)
		return -ESRCH;
	if (p != NULL && !process_privileged() && p->cred.uid != current_process()->cred.uid)
		err = -EPERM;
	*out = NULL;
	if (err == 0)
		*out = process_map_get(p != NULL ? p : current_process());
	if (err == 0 && *out == NULL)
		err = -EINVAL;
	if (p != NULL)
		process_put(p);
	return err;
}

/* One page of move_pages; what its status is to be, or 1 << 16 more when it should have moved. */
#define NOT_MOVED (1 << 16)

static int
place_page(struct vm_map *m, const void __user *const __user *pages, const int __user *nodes,
	   unsigned long i, int *status)
{
	const void __user *page;
	int node;

	if (copy_from_user(&page, pages + i, sizeof(page)) ||
	    (nodes != NULL && copy_from_user(&node, nodes + i, sizeof(node))))
		return -EFAULT;
	if (nodes == NULL) {
		*status = vm_page_node(m, (vaddr_t)page);
		return 0;
	}
	if (node < 0 || node >= machine()->nclusters)
		return -ENODEV;
	*status = vm_page_move(m, (vaddr_t)page, node);
	return *status == node ? 0 : NOT_MOVED;
}

long
sys_move_pages(int pid, unsigned long count, const void __user *const __user *pages,
	       const int __user *nodes, int __user *status, int flags)
{
	struct vm_map *m;
	long missed = 0;
	int err;

	if (flags & ~(MPOL_MF_MOVE | MPOL_MF_MOVE_ALL))
		return -EINVAL;
	if ((flags & MPOL_MF_MOVE_ALL) && !process_privileged())
		return -EPERM;
	err = map_of(pid, &m);
	if (err)
		return err;
	for (unsigned long i = 0; i < count && err >= 0; i++) {
		int result = 0;

		err = place_page(m, pages, nodes, i, &result);
		missed += err == NOT_MOVED;
		if (err >= 0 && copy_to_user(status + i, &result, sizeof(result)))
			err = -EFAULT;
		if (err >= 0 && thread_interrupted(current_thread(), WAIT_KILLABLE))
			err = -EINTR;
		sched_point();
	}
	vm_map_put(m);
	return err < 0 ? err : missed;
}

long
sys_migrate_pages(int pid, unsigned long maxnode, const unsigned long __user *from_mask,
		  const unsigned long __user *to_mask)
{
	u64 from, to, left;
	u8 map[MAX_CLUSTERS];
	struct vm_map *m;
	long missed;
	int err = get_nodes(from_mask, maxnode, &from);

	if (err == 0)
		err = get_nodes(to_mask, maxnode, &to);
	if (err)
		return err;
	if ((to & ~all_nodes()) || to == 0)
		return -EINVAL;
	left = to;
	for (unsigned i = 0; i < MAX_CLUSTERS; i++) {
		map[i] = i;
		if (!(from >> i & 1))
			continue;
		map[i] = __builtin_ctzl(left);
		left &= left - 1;
		left = left ? left : to;
	}
	err = map_of(pid, &m);
	if (err)
		return err;
	missed = vm_pages_migrate(m, map);
	vm_map_put(m);
	return missed;
}
