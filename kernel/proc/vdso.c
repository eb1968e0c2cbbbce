/*
 * The vDSO: clocks that programs read without a system call.
 *
 * One file object for the whole machine: page 0 is the data (proc/vdso_data.h), the rest is the
 * image that the kernel carries. Each program maps the data page read-only and the image behind
 * it; the kernel writes the data through its own view of the frame. After a resume the sequence
 * count goes on: who was cut half-way through a reading must find another one.
 *
 * Locks: the writer holds processes->lock; readers use the sequence count.
 */
#include <asm/errno.h>
#include <linux/time.h>

#include "arch/clock.h"
#include "lib/atomic.h"
#include "mm/frame.h"
#include "proc/process.h"
#include "proc/vdso_data.h"

extern const u8 embed_vdso_start[], embed_vdso_end[];

void
vdso_update(void)
{
	const struct clock_params *c = clock_params();
	struct vdso_data *d = processes()->vdso_data;

	if (!d)
		return;
	spin_lock(&processes()->lock);
	atomic_store(&d->seq, d->seq + 1);
	atomic_fence();
	d->base_tsc = c->base_tsc;
	d->mult = c->mult;
	d->base_ns = c->base_ns;
	d->offset[CLOCK_REALTIME] = clock_real_offset();
	d->offset[CLOCK_REALTIME_COARSE] = d->offset[CLOCK_TAI] = d->offset[CLOCK_REALTIME];
	d->offset[CLOCK_BOOTTIME] = clock_boot_offset();
	d->usable = 1;
	atomic_store(&d->seq, d->seq + 1);
	spin_unlock(&processes()->lock);
}

u32
vdso_sequence(void)
{
	const struct vdso_data *d = processes()->vdso_data;

	return d ? atomic_load(&d->seq) : 0;
}

int
vdso_init(void)
{
	u64 size = (u64)(embed_vdso_end - embed_vdso_start);
	u64 pages = DIV_ROUND_UP(size, PAGE_SIZE);
	struct vm_object *o = vm_object_create_file((1 + pages) * PAGE_SIZE);
	struct vdso_data *d;
	struct frame *data;
	struct uio u;
	ssize_t n;
	int err;

	if (!o)
		return -ENOMEM;
	uio_kernel(&u, (void *)embed_vdso_start, size);
	n = vm_object_write(o, &u, PAGE_SIZE);
	err = n < 0 ? (int)n : n < (ssize_t)size ? -ENOMEM : vm_object_allocate(o, 0, PAGE_SIZE);
	if (!err) {
		spin_lock(&o->lock);
		err = o->ops->get_frame(o, 0, true, &data);
		spin_unlock(&o->lock);
	}
	if (err) {
		vm_object_put(o);
		return err;
	}
	processes()->vdso_data = d = frame_virt(data); /* the reference stays for ever */
	d->seq = processes()->vdso_seq;
	processes()->vdso_pages = pages;
	processes()->vdso = o;
	vdso_update();
	return 0;
}

int
vdso_map(struct vm_map *m)
{
	struct processes *ps = processes();
	struct vm_mmap_args a = {
		.size = (1 + ps->vdso_pages) * PAGE_SIZE,
		.max_prot = VM_READ | VM_EXEC,
		.flags = VM_NORESERVE,
		.object = ps->vdso,
		.prot = VM_READ,
		.label = "[vvar]",
	};
	vaddr_t at, image;
	int err;

	if (!ps->vdso)
		return 0;
	err = vm_mmap(m, &a, &at);
	if (err)
		return err;
	a.addr = at + PAGE_SIZE;
	a.size -= PAGE_SIZE;
	a.offset = PAGE_SIZE;
	a.prot = VM_READ | VM_EXEC;
	a.flags |= VM_FIXED;
	a.label = "[vdso]";
	err = vm_mmap(m, &a, &image);
	if (!err)
		m->vdso = image;
	return err;
}
