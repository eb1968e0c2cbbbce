/*
 * Who has pages served (fault.c): the processor's page faults, mlock and MAP_POPULATE, and copies
 * from and to another process's memory.
 */
#include <asm/errno.h>

#include "arch/trap.h"
#include "core/core.h"
#include "core/sched.h"
#include "lib/string.h"
#include "mm/fault.h"
#include "mm/map.h"

#define ERROR_WRITE 2u
#define ERROR_RSVD  8u
#define ERROR_FETCH 16u

int
mm_trap_page_fault(struct trapframe *f, vaddr_t va)
{
	struct core *c = this_core();
	struct thread *t = current_thread();
	unsigned access = VM_READ;
	struct vm_map *map;

	atomic_add_relaxed(&c->stat_faults, 1);
	if (va >= USER_TOP || t == NULL || t->pmap == NULL || (f->error & ERROR_RSVD))
		return -EFAULT;
	if (!trapframe_is_user(f) &&
	    (c->arch.irq_off_depth > 0 || c->arch.in_irq || !(f->rflags & 0x200)))
		return -EFAULT;
	if (f->error & ERROR_WRITE)
		access = VM_WRITE;
	else if (f->error & ERROR_FETCH)
		access = VM_EXEC;
	map = atomic_load(&t->pmap->map);
	return map == NULL ? -EFAULT : vm_fault(map, va, access);
}

int
vm_populate(struct vm_map *m, vaddr_t addr, u64 size, unsigned access)
{
	for (vaddr_t va = addr; va < addr + size; va += PAGE_SIZE) {
		int err;

		if (pmap_allows(m->pmap, va, access))
			continue;
		err = vm_fault(m, va, access);
		if (err)
			return err;
		sched_point();
	}
	return 0;
}

ssize_t
vm_map_copy(struct vm_map *m, vaddr_t addr, void *buf, size_t n, bool write)
{
	size_t done = 0;

	while (done < n) {
		size_t at = (addr + done) & (PAGE_SIZE - 1), len = min(n - done, PAGE_SIZE - at);
		struct frame *frame = NULL;
		int err = fault_frame(m, addr + done, write ? VM_WRITE : VM_READ, &frame);

		if (err)
			return done > 0 ? (ssize_t)done : err;
		if (write)
			memcpy(frame_virt(frame) + at, buf + done, len);
		else
			memcpy(buf + done, frame_virt(frame) + at, len);
		frame_put(frame);
		done += len;
	}
	return done;
}
