/*
 * Linux calls on memory: mmap and its family, membarrier.
 *
 * Each fetches and checks its arguments as the manual page says and leaves the work to mm/. The
 * current process's map is used without a reference: it stays until the process's last task ends
 * or an exec, which only a single task can do.
 */
#include <asm/errno.h>
#include <linux/mman.h>
#include <linux/membarrier.h>

#include "arch/cpu.h"
#include "calls.h"
#include "cluster/rpc.h"
#include "core/core.h"
#include "core/persist.h"
#include "core/sched.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/slab.h"
#include "mm/user.h"
#include "proc/process.h"

#define PROT_ALL (PROT_READ | PROT_WRITE | PROT_EXEC)
#define MAP_IGNORED                                                                                \
	(0x0800 /* MAP_DENYWRITE */ | 0x1000 /* MAP_EXECUTABLE */ | MAP_STACK | MAP_NONBLOCK)
#define MAP_KNOWN                                                                                  \
	(MAP_TYPE | MAP_FIXED | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_LOCKED | MAP_NORESERVE |       \
	 MAP_POPULATE | MAP_HUGETLB | MAP_FIXED_NOREPLACE | MAP_32BIT | MAP_SYNC | MAP_IGNORED)

_Static_assert(PROT_READ == VM_READ && PROT_WRITE == VM_WRITE && PROT_EXEC == VM_EXEC,
	       "protection bits are the same inside");

static struct vm_map *
current_map(void)
{
	return current_process()->map;
}

/* Rounds a length up to pages; false when there is no such length. */
static bool
round_pages(unsigned long *len)
{
	if (*len > USER_TOP)
		return false;
	*len = ALIGN_UP(*len, PAGE_SIZE);
	return true;
}

static u32
map_flags(unsigned long flags)
{
	static const struct {
		unsigned long linux_flag;
		u32 flag;
	} table[] = {
		{MAP_FIXED, VM_FIXED},
		{MAP_FIXED_NOREPLACE, VM_FIXED_NOREPLACE},
		{MAP_NORESERVE, VM_NORESERVE},
		{MAP_LOCKED, VM_LOCKED | VM_POPULATE},
		{MAP_POPULATE, VM_POPULATE},
		{MAP_32BIT, VM_32BIT},
		{MAP_GROWSDOWN, VM_STACK},
		{MAP_STACK, VM_NOHUGE}, /* a stack is touched at its end only */
	};
	u32 result = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(table); i++)
		if (flags & table[i].linux_flag)
			result |= table[i].flag;
	if ((flags & MAP_NONBLOCK) && !(flags & MAP_LOCKED))
		result &= ~VM_POPULATE;
	return result;
}

/* 0, or why these flags cannot be had. */
static int
check_map_flags(unsigned long flags)
{
	unsigned long type = flags & MAP_TYPE;

	if (type != MAP_SHARED && type != MAP_PRIVATE && type != MAP_SHARED_VALIDATE)
		return -EINVAL;
	if (type == MAP_SHARED_VALIDATE && (flags & (~MAP_KNOWN | MAP_SYNC)))
		return -EOPNOTSUPP;
	if (flags & ~MAP_KNOWN)
		return -EINVAL;
	if (flags & MAP_HUGETLB)
		return -ENOMEM;
	if ((flags & MAP_GROWSDOWN) && (type != MAP_PRIVATE || !(flags & MAP_ANONYMOUS)))
		return -EINVAL;
	return 0;
}

static int
map_file(struct vm_mmap_args *a, unsigned long fd, vaddr_t *out)
{
	struct file *f = fd_get_io(fd);
	int err = 0;

	if (f == NULL)
		return -EBADF;
	if (!f->readable || ((a->flags & VM_SHARED) && (a->prot & VM_WRITE) && !f->writable))
		err = -EACCES;
	else if (f->ops->mmap == NULL)
		err = -ENODEV;
	if ((a->flags & VM_SHARED) && !f->writable)
		a->max_prot &= ~VM_WRITE;
	a->file = f;
	if (err == 0)
		err = f->ops->mmap(f, a);
	if (err == 0)
		err = vm_mmap(current_map(), a, out);
	file_put(f);
	return err;
}

long
sys_mmap(unsigned long addr, unsigned long len, unsigned long prot, unsigned long flags,
	 unsigned long fd, unsigned long offset)
{
	struct vm_mmap_args a = {.addr = addr, .offset = offset};
	int err = check_map_flags(flags);
	vaddr_t at = 0;

	if (err)
		return err;
	if (len == 0 || !IS_ALIGNED(offset, PAGE_SIZE))
		return -EINVAL;
	if (!round_pages(&len))
		return -ENOMEM;
	a.size = len;
	a.prot = prot & PROT_ALL;
	a.max_prot = PROT_ALL;
	a.flags = map_flags(flags);
	if ((flags & MAP_TYPE) != MAP_PRIVATE)
		a.flags |= VM_SHARED;
	if (flags & MAP_ANONYMOUS) {
		a.offset = 0;
		err = vm_mmap(current_map(), &a, &at);
	} else {
		err = map_file(&a, fd, &at);
	}
	return err ? err : (long)at;
}

long
sys_munmap(unsigned long addr, unsigned long len)
{
	if (!round_pages(&len))
		return -EINVAL;
	return vm_munmap(current_map(), addr, len);
}

struct stack_search {
	vaddr_t addr, start;
};

static int
find_stack(struct vm_mapping *v, void *arg)
{
	struct stack_search *s = arg;

	if (v->end <= s->addr)
		return 0;
	if (v->start <= s->addr && (v->flags & VM_STACK))
		s->start = v->start;
	return 1;
}

long
sys_mprotect(unsigned long addr, unsigned long len, unsigned long prot)
{
	struct stack_search s = {.addr = addr};

	if ((prot & ~(PROT_ALL | PROT_SEM | PROT_GROWSDOWN)) || !IS_ALIGNED(addr, PAGE_SIZE))
		return -EINVAL;
	if (!round_pages(&len))
		return -ENOMEM;
	if (prot & PROT_GROWSDOWN) {
		vm_map_for_each(current_map(), find_stack, &s);
		if (s.start == 0)
			return -EINVAL;
		len += addr - s.start;
		addr = s.start;
	}
	return vm_mprotect(current_map(), addr, len, prot & PROT_ALL);
}

long
sys_brk(unsigned long brk)
{
	return vm_brk(current_map(), brk);
}

long
sys_mremap(unsigned long addr, unsigned long old_len, unsigned long new_len, unsigned long flags,
	   unsigned long new_addr)
{
	vaddr_t at;
	int err;

	if (!round_pages(&old_len) || !round_pages(&new_len))
		return -EINVAL;
	err = vm_mremap(current_map(), addr, old_len, new_len, flags, new_addr, &at);
	return err ? err : (long)at;
}

long
sys_msync(unsigned long addr, unsigned long len, int flags)
{
	int err;

	if ((flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) ||
	    ((flags & MS_ASYNC) && (flags & MS_SYNC)) || !IS_ALIGNED(addr, PAGE_SIZE))
		return -EINVAL;
	if (!round_pages(&len) || addr > USER_TOP - len)
		return -ENOMEM;
	err = vm_msync(current_map(), addr, len);
	return !err && (flags & MS_SYNC) ? persist_durable() : err;
}

long
sys_mincore(unsigned long addr, unsigned long len, unsigned char __user *vec)
{
	u8 *page;
	int err = 0;

	if (!IS_ALIGNED(addr, PAGE_SIZE))
		return -EINVAL;
	if (!round_pages(&len) || addr > USER_TOP - len)
		return -ENOMEM;
	if (!user_range_ok(vec, len >> PAGE_SHIFT))
		return -EFAULT;
	page = kmalloc(PAGE_SIZE);
	if (page == NULL)
		return -ENOMEM;
	while (len > 0 && err == 0) {
		u64 n = min(len >> PAGE_SHIFT, PAGE_SIZE);

		err = vm_mincore(current_map(), addr, n << PAGE_SHIFT, page);
		if (err == 0)
			err = copy_to_user(vec, page, n);
		addr += n << PAGE_SHIFT;
		len -= n << PAGE_SHIFT;
		vec += n;
	}
	kfree(page);
	return err;
}

long
sys_madvise(unsigned long addr, unsigned long len, int advice)
{
	if (!round_pages(&len))
		return -EINVAL;
	return vm_madvise(current_map(), addr, len, advice);
}

static long
change_lock(unsigned long addr, unsigned long len, bool lock, bool populate)
{
	len += addr & (PAGE_SIZE - 1);
	addr &= PAGE_MASK;
	if (!round_pages(&len) || addr > USER_TOP)
		return -ENOMEM;
	return vm_mlock(current_map(), addr, len, lock, populate);
}

long
sys_mlock(unsigned long addr, unsigned long len)
{
	return change_lock(addr, len, true, true);
}

long
sys_mlock2(unsigned long addr, unsigned long len, int flags)
{
	if (flags & ~MLOCK_ONFAULT)
		return -EINVAL;
	return change_lock(addr, len, true, !(flags & MLOCK_ONFAULT));
}

long
sys_munlock(unsigned long addr, unsigned long len)
{
	return change_lock(addr, len, false, false);
}

long
sys_mlockall(int flags)
{
	if (flags == 0 || (flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)) ||
	    flags == MCL_ONFAULT)
		return -EINVAL;
	return vm_mlock_all(current_map(), flags & MCL_CURRENT, flags & MCL_FUTURE,
			    !(flags & MCL_ONFAULT));
}

long
sys_munlockall(void)
{
	return vm_mlock_all(current_map(), false, false, false);
}

#define MEMBARRIER_SUPPORTED                                                                       \
	(MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED |                                 \
	 MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED | MEMBARRIER_CMD_PRIVATE_EXPEDITED |             \
	 MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED | MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE |  \
	 MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE)

/* Every core that runs anything takes an interrupt; an idle one passes fences when it wakes. */
static long
barrier_everywhere(void)
{
	struct machine *m = machine();

	atomic_fence();
	for (u32 i = 0; i < m->ncores; i++)
		if (m->core[i] != this_core() && !sched_is_idle(m->core[i]))
			rpc_call(m->core[i], RPC_PING, 0, 0);
	return 0;
}

/* A private command needs to have been registered by the process. */
static long
barrier_private(u32 registered_as)
{
	struct vm_map *map = current_map();

	if (!(atomic_load(&map->membarrier) & registered_as))
		return -EPERM;
	pmap_barrier(map->pmap);
	return 0;
}

long
sys_membarrier(int cmd, unsigned int flags, int cpu)
{
	if (flags != 0)
		return -EINVAL;
	switch (cmd) {
	case MEMBARRIER_CMD_QUERY:
		return MEMBARRIER_SUPPORTED;
	case MEMBARRIER_CMD_GLOBAL:
	case MEMBARRIER_CMD_GLOBAL_EXPEDITED:
		return barrier_everywhere();
	case MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED:
	case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED:
	case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE:
		atomic_fetch_or(&current_map()->membarrier, (u32)cmd);
		return 0;
	case MEMBARRIER_CMD_PRIVATE_EXPEDITED:
		return barrier_private(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
	case MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE:
		return barrier_private(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE);
	default:
		return -EINVAL;
	}
}
