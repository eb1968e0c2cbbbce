/*
 * numa.c - memory policies and where pages are: set_mempolicy, get_mempolicy,
 * mbind, move_pages, migrate_pages, getcpu. Right on any number of nodes; on
 * one it asks less.
 */
#include "abi.h"
#include <linux/mempolicy.h>
#include <sched.h>
#include <sys/syscall.h>

#define PAGE	 4096UL
#define RW	 (PROT_READ | PROT_WRITE)
#define ANON	 (MAP_PRIVATE | MAP_ANONYMOUS)
#define MAX_NODE 1024

typedef unsigned long nodes_t[MAX_NODE / 64];

static long
set_policy(int mode, unsigned long node_bits, unsigned long max)
{
	nodes_t nodes = {node_bits};

	return syscall(SYS_set_mempolicy, mode, max ? nodes : NULL, max);
}

static long
get_policy(int *mode, unsigned long *nodes, void *addr, unsigned long flags)
{
	return syscall(SYS_get_mempolicy, mode, nodes, nodes ? MAX_NODE : 0, addr, flags);
}

static long
bind_range(void *addr, size_t len, int mode, unsigned long node_bits, unsigned flags)
{
	nodes_t nodes = {node_bits};

	return syscall(SYS_mbind, addr, len, mode, node_bits ? nodes : NULL,
		       node_bits ? MAX_NODE : 0, flags);
}

/* The nodes that memory may come from, as a mask. */
static unsigned long
nodes_allowed(void)
{
	nodes_t nodes = {0};
	int mode;

	OK(get_policy(&mode, nodes, NULL, MPOL_F_MEMS_ALLOWED));
	CHECK(nodes[0] != 0);
	return nodes[0];
}

static int
node_of(void *page)
{
	int status = -1;

	OK(syscall(SYS_move_pages, 0, 1UL, &page, NULL, &status, 0));
	return status;
}

/* On the first processor of a node; whether there is one it may use. */
static int
go_to_node(int node)
{
	cpu_set_t may, one;
	unsigned cpu, at;
	int c;

	OK(sched_getaffinity(0, sizeof(may), &may));
	for (c = 0; c < CPU_SETSIZE; c++) {
		if (!CPU_ISSET(c, &may))
			continue;
		CPU_ZERO(&one);
		CPU_SET(c, &one);
		OK(sched_setaffinity(0, sizeof(one), &one));
		OK(syscall(SYS_getcpu, &cpu, &at, NULL));
		CHECK_EQ(cpu, (unsigned)c);
		if ((int)at == node)
			return 1;
	}
	OK(sched_setaffinity(0, sizeof(may), &may));
	return 0;
}

#define EACH_NODE(n, bits)                                                                         \
	for (n = 0; n < 64; n++)                                                                   \
		if ((bits) >> n & 1)

/* ABI_NUMA_MIB: how much to touch; little by default. */
static void
touch_pinned(int node)
{
	const char *say = getenv("ABI_NUMA_MIB");
	size_t size = (say ? strtoul(say, NULL, 10) : 16) << 20, p, wrong = 0;
	char *map = MAPPED(mmap(NULL, size, RW, ANON, -1, 0));

	if (go_to_node(node)) {
		for (p = 0; p < size; p += PAGE)
			map[p] = 1;
		for (p = 0; p < size; p += PAGE)
			wrong += node_of(map + p) != node;
		CHECK(wrong * 100 <= size / PAGE);
	}
	OK(munmap(map, size));
}

CASE(first_touch, "does memory come from the node of the thread that touches it?")
{
	cpu_set_t may;
	int n;

	OK(sched_getaffinity(0, sizeof(may), &may));
	EACH_NODE(n, nodes_allowed())
	{
		touch_pinned(n);
		OK(sched_setaffinity(0, sizeof(may), &may));
	}
}

CASE(policy_kept, "does get_mempolicy tell what set_mempolicy set, and a child inherit it?")
{
	unsigned long all = nodes_allowed(), first = all & -all;
	nodes_t nodes = {0};
	int mode = -1;
	pid_t pid;

	OK(get_policy(&mode, nodes, NULL, 0));
	CHECK_EQ(mode, MPOL_DEFAULT);
	CHECK_EQ(nodes[0], 0);
	OK(set_policy(MPOL_BIND, first, MAX_NODE));
	OK(get_policy(&mode, nodes, NULL, 0));
	CHECK_EQ(mode, MPOL_BIND);
	CHECK_EQ(nodes[0], first);
	OK(set_policy(MPOL_INTERLEAVE | MPOL_F_STATIC_NODES, all, MAX_NODE));
	OK(get_policy(&mode, nodes, NULL, 0));
	CHECK_EQ(mode, MPOL_INTERLEAVE | MPOL_F_STATIC_NODES);
	CHECK_EQ(nodes[0], all);
	OK(set_policy(MPOL_PREFERRED, 0, 0));
	OK(get_policy(&mode, nodes, NULL, 0));
	CHECK_EQ(nodes[0], 0);
	OK(set_policy(MPOL_PREFERRED, first, MAX_NODE));
	pid = abi_fork();
	if (pid == 0) {
		nodes[0] = 0;
		OK(get_policy(&mode, nodes, NULL, 0));
		_exit(mode != MPOL_PREFERRED || nodes[0] != first);
	}
	CHECK_EQ(abi_reap(pid), 0);
	OK(set_policy(MPOL_DEFAULT, 0, 0));
}

CASE(policy_errors, "are wrong modes, flags and nodes refused as the manual says?")
{
	unsigned long all = nodes_allowed();
	nodes_t nodes;
	int mode;

	CHECK_ERR(set_policy(MPOL_MAX + 7, all, MAX_NODE), EINVAL);
	CHECK_ERR(set_policy(MPOL_DEFAULT, all, MAX_NODE), EINVAL);
	CHECK_ERR(set_policy(MPOL_BIND, 0, 0), EINVAL);
	CHECK_ERR(set_policy(MPOL_LOCAL, all, MAX_NODE), EINVAL);
	CHECK_ERR(set_policy(MPOL_INTERLEAVE | MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES, all,
			     MAX_NODE),
		  EINVAL);
	CHECK_ERR(syscall(SYS_set_mempolicy, MPOL_BIND, (void *)8, 64UL), EFAULT);
	CHECK_ERR(get_policy(&mode, nodes, NULL, 128), EINVAL);
	CHECK_ERR(get_policy(&mode, nodes, NULL, MPOL_F_NODE), EINVAL);
	CHECK_ERR(get_policy(&mode, NULL, (void *)PAGE, MPOL_F_ADDR), EFAULT);
	CHECK_ERR(get_policy(&mode, NULL, &mode, 0), EINVAL);
	CHECK_ERR(get_policy(&mode, nodes, NULL, MPOL_F_MEMS_ALLOWED | MPOL_F_NODE), EINVAL);
	CHECK_ERR(syscall(SYS_move_pages, 0, 0UL, NULL, NULL, NULL, 64), EINVAL);
	CHECK_ERR(syscall(SYS_move_pages, 0x7ffffff0, 0UL, NULL, NULL, NULL, 0), ESRCH);
}

CASE(bound, "does each page of a bound area come from the node it is bound to?")
{
	unsigned long all = nodes_allowed();
	char *map = MAPPED(mmap(NULL, 64 * PAGE, RW, ANON, -1, 0));
	int n, mode, node;
	size_t p;

	EACH_NODE(n, all)
	{
		nodes_t nodes = {0};

		OK(bind_range(map, 64 * PAGE, MPOL_BIND, 1UL << n, 0));
		for (p = 0; p < 64; p++)
			map[p * PAGE] = 1;
		for (p = 0; p < 64; p++)
			CHECK_EQ(node_of(map + p * PAGE), n);
		OK(get_policy(&mode, nodes, map + PAGE, MPOL_F_ADDR));
		CHECK_EQ(mode, MPOL_BIND);
		CHECK_EQ(nodes[0], 1UL << n);
		OK(get_policy(&node, NULL, map + PAGE, MPOL_F_ADDR | MPOL_F_NODE));
		CHECK_EQ(node, n);
		OK(madvise(map, 64 * PAGE, MADV_DONTNEED));
	}
	CHECK_ERR(bind_range(map, 64 * PAGE, MPOL_BIND, 0, 0), EINVAL);
	CHECK_ERR(bind_range(map + 1, PAGE, MPOL_DEFAULT, 0, 0), EINVAL);
	CHECK_ERR(bind_range(map, PAGE, MPOL_DEFAULT, 0, 1u << 20), EINVAL);
	OK(munmap(map, 64 * PAGE));
	CHECK_ERR(bind_range(map, 64 * PAGE, MPOL_DEFAULT, 0, 0), EFAULT);
}

CASE(interleaved, "does an interleaved area use each of its nodes alike?")
{
	unsigned long all = nodes_allowed();
	size_t count[64] = {0}, n_nodes = __builtin_popcountl(all), p;
	char *map = MAPPED(mmap(NULL, 96 * PAGE, RW, ANON, -1, 0));
	int n;

	OK(bind_range(map, 96 * PAGE, MPOL_INTERLEAVE, all, 0));
	for (p = 0; p < 96; p++) {
		map[p * PAGE] = 1;
		n = node_of(map + p * PAGE);
		CHECK(n >= 0 && n < 64);
		count[n]++;
	}
	EACH_NODE(n, all)
	CHECK(count[n] >= 96 / n_nodes - 1 && count[n] <= 96 / n_nodes + 1);
	OK(munmap(map, 96 * PAGE));
}

CASE(shared, "does a policy of shared memory hold for each mapping of it, and after the last?")
{
	unsigned long all = nodes_allowed(), last = 1UL << (63 - __builtin_clzl(all));
	int fd = OK(syscall(SYS_memfd_create, "shared", 0)), mode, p;
	nodes_t nodes = {0};
	char *one, *two;

	OK(ftruncate(fd, 8 * PAGE));
	one = MAPPED(mmap(NULL, 8 * PAGE, RW, MAP_SHARED, fd, 0));
	OK(bind_range(one + 2 * PAGE, 5 * PAGE, MPOL_BIND, last, 0));
	OK(bind_range(one + 3 * PAGE, PAGE, MPOL_PREFERRED, last, 0));
	OK(bind_range(one + 5 * PAGE, PAGE, MPOL_DEFAULT, 0, 0));
	OK(munmap(one, 8 * PAGE));
	two = MAPPED(mmap(NULL, 7 * PAGE, RW, MAP_SHARED, fd, PAGE));
	for (p = 1; p < 8; p++) {
		int want = p == 3			? MPOL_PREFERRED
			   : p == 1 || p == 5 || p == 7 ? MPOL_DEFAULT
							: MPOL_BIND;

		OK(get_policy(&mode, nodes, two + (p - 1) * PAGE, MPOL_F_ADDR));
		CHECK_EQ(mode, want);
		CHECK_EQ(nodes[0], want == MPOL_DEFAULT ? 0 : last);
		two[(p - 1) * PAGE] = 1;
		if (want != MPOL_DEFAULT)
			CHECK_EQ(1L << node_of(two + (p - 1) * PAGE), last);
	}
	OK(munmap(two, 7 * PAGE));
	OK(close(fd));
}

CASE(moved, "do pages that are moved keep their data and change their node?")
{
	unsigned long all = nodes_allowed();
	char *map = MAPPED(mmap(NULL, 16 * PAGE, RW, ANON, -1, 0));
	void *pages[16];
	int nodes[16], status[16], n;
	size_t p;

	for (p = 0; p < 16; p++) {
		pages[p] = map + p * PAGE;
		map[p * PAGE] = p;
	}
	EACH_NODE(n, all)
	{
		for (p = 0; p < 16; p++)
			nodes[p] = n;
		OK(syscall(SYS_move_pages, 0, 16UL, pages, nodes, status, MPOL_MF_MOVE));
		for (p = 0; p < 16; p++) {
			CHECK_EQ(status[p], n);
			CHECK_EQ(node_of(pages[p]), n);
			CHECK_EQ(map[p * PAGE], (char)p);
		}
	}
	OK(madvise(map, PAGE, MADV_DONTNEED));
	CHECK_EQ(node_of(map), -ENOENT);
	OK(munmap(map, 16 * PAGE));
	CHECK_EQ(node_of(map), -EFAULT);
	nodes[0] = 63;
	CHECK_ERR(syscall(SYS_move_pages, 0, 1UL, pages, nodes, status, MPOL_MF_MOVE), ENODEV);
}

CASE(migrated, "does migrate_pages take a process's pages to the other node?")
{
	unsigned long all = nodes_allowed(), first = all & -all, last;
	nodes_t from = {0}, to = {0};
	char *map = MAPPED(mmap(NULL, 16 * PAGE, RW, ANON, -1, 0));
	size_t p;

	last = 1UL << (63 - __builtin_clzl(all));
	OK(bind_range(map, 16 * PAGE, MPOL_PREFERRED, first, 0));
	for (p = 0; p < 16; p++)
		map[p * PAGE] = p;
	OK(bind_range(map, 16 * PAGE, MPOL_DEFAULT, 0, 0));
	from[0] = first;
	to[0] = last;
	CHECK(syscall(SYS_migrate_pages, 0, (unsigned long)MAX_NODE, from, to) >= 0);
	for (p = 0; p < 16; p++) {
		CHECK_EQ(node_of(map + p * PAGE), __builtin_ctzl(last));
		CHECK_EQ(map[p * PAGE], (char)p);
	}
	OK(munmap(map, 16 * PAGE));
}

static char *shared;

static void *
count_up(void *arg)
{
	int i;

	for (i = 0; i < 20000; i++)
		__atomic_fetch_add((int *)(shared + i % 4 * PAGE), 1, __ATOMIC_SEQ_CST);
	return arg;
}

CASE(moved_in_use, "is no write lost while pages are moved under the threads that write?")
{
	unsigned long all = nodes_allowed();
	void *pages[4];
	int nodes[4], status[4], round, n, i, sum = 0;
	pthread_t thread[3];

	shared = MAPPED(mmap(NULL, 4 * PAGE, RW, ANON, -1, 0));
	for (i = 0; i < 3; i++)
		PT(pthread_create(&thread[i], NULL, count_up, NULL));
	for (round = 0; round < 50; round++)
		EACH_NODE(n, all)
		{
			for (i = 0; i < 4; i++) {
				pages[i] = shared + i * PAGE;
				nodes[i] = n;
			}
			CHECK(syscall(SYS_move_pages, 0, 4UL, pages, nodes, status, MPOL_MF_MOVE) >=
			      0);
		}
	for (i = 0; i < 3; i++)
		PT(pthread_join(thread[i], NULL));
	for (i = 0; i < 4; i++)
		sum += *(int *)(shared + i * PAGE);
	CHECK_EQ(sum, 60000);
	OK(munmap(shared, 4 * PAGE));
}

/* Referenced of the mapping that begins at `map`, in kB, from smaps. */
static long
referenced(const char *map)
{
	char line[512], want[32];
	FILE *f = fopen("/proc/self/smaps", "r");
	int here = 0;
	long kb = -1;

	CHECK(f != NULL);
	snprintf(want, sizeof(want), "%lx-", (unsigned long)map);
	while (kb < 0 && fgets(line, sizeof(line), f)) {
		if (strncmp(line, want, strlen(want)) == 0)
			here = 1;
		if (here)
			sscanf(line, "Referenced: %ld kB", &kb);
	}
	fclose(f);
	return kb;
}

CASE(accesses, "are accesses from every node noted once forgotten, and added up?")
{
	unsigned long all = nodes_allowed();
	char *base = MAPPED(mmap(NULL, 66 * PAGE, PROT_NONE, ANON, -1, 0)), *map = base + PAGE;
	int fd = OK(open("/proc/self/clear_refs", O_WRONLY)), n, page = 0;
	cpu_set_t may;

	OK(sched_getaffinity(0, sizeof(may), &may));
	OK(mprotect(map, 64 * PAGE, RW)); /* between two others: it stays a mapping by itself */
	memset(map, 1, 64 * PAGE);
	CHECK_EQ(referenced(map), 64 * 4);
	CHECK_EQ(write(fd, "1", 1), 1);
	/* Linux leaves it to chance when the processor forgets what it has cached. */
	OK(mprotect(map, 64 * PAGE, PROT_READ));
	OK(mprotect(map, 64 * PAGE, RW));
	CHECK_EQ(referenced(map), 0);
	EACH_NODE(n, all)
	{
		if (go_to_node(n)) {
			CHECK_EQ(((volatile char *)map)[page * PAGE], 1);
			((volatile char *)map)[(page + 1) * PAGE] = 2;
			page += 2;
		}
		OK(sched_setaffinity(0, sizeof(may), &may));
	}
	CHECK_EQ(referenced(map), page * 4);
	CHECK_ERR(write(fd, "9", 1), EINVAL);
	OK(close(fd));
	OK(munmap(base, 66 * PAGE));
}
