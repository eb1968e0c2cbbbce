/*
 * Laying out a program's address space: segments of the program and of its interpreter, break,
 * stack, vDSO, each at a random place where that is possible.
 *
 * Works on the new map, which nobody else knows yet. Errors leave it half-filled; the caller drops
 * it as a whole.
 */
#include <asm/errno.h>
#include <linux/personality.h>
#include <linux/resource.h>

#include "arch/layout.h"
#include "core/random.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/exec.h"

#define PIE_BASE	 0x555555554000UL
#define PIE_RANDOM_PAGES (1UL << 28)
#define BRK_RANDOM_PAGES 0x2000UL
#define STACK_ROOM	 (128 * 1024UL)
#define PHDRS_BYTES_MAX	 65536

int
exec_read(struct file *f, u64 offset, void *buf, size_t n)
{
	s64 at = (s64)offset;
	struct uio u;
	ssize_t got;

	uio_kernel(&u, buf, n);
	got = file_read(f, &u, &at);
	if (got < 0)
		return (int)got;
	return (size_t)got == n ? 0 : -ENOEXEC;
}

int
exec_read_image(struct file *f, const u8 *head, size_t n, struct elf_image *out)
{
	struct attr attr;
	size_t bytes;
	u8 *phdrs;
	int err = elf_read_header(head, n, out, &bytes);

	if (!err)
		err = file_getattr(f, &attr);
	if (err)
		return err;
	if (bytes > PHDRS_BYTES_MAX)
		return -ENOEXEC;
	phdrs = kmalloc(bytes);
	if (!phdrs)
		return -ENOMEM;
	err = exec_read(f, out->phdr_offset, phdrs, bytes);
	if (!err)
		err = elf_read_phdrs(phdrs, bytes, attr.size, USER_TOP, out);
	kfree(phdrs);
	return err;
}

static u8
segment_prot(const struct elf_segment *s)
{
	return (s->read ? VM_READ : 0) | (s->write ? VM_WRITE : 0) | (s->exec ? VM_EXEC : 0);
}

static int
map_anonymous(struct vm_map *m, u64 start, u64 end, u8 prot)
{
	struct vm_mmap_args a = {
		.addr = start,
		.size = end - start,
		.prot = prot,
		.max_prot = VM_READ | VM_WRITE | VM_EXEC,
		.flags = VM_FIXED,
	};
	vaddr_t at;

	return start < end ? vm_mmap(m, &a, &at) : 0;
}

static int
map_file_part(struct vm_map *m, struct file *f, const struct elf_segment *s, u64 base)
{
	u64 start = ALIGN_DOWN(s->vaddr, PAGE_SIZE), skip = s->vaddr - start;
	struct vm_mmap_args a = {
		.addr = base + start,
		.size = ALIGN_UP(skip + s->file_size, PAGE_SIZE),
		.prot = segment_prot(s),
		.max_prot = VM_READ | VM_WRITE | VM_EXEC,
		.flags = VM_FIXED,
		.offset = s->offset - skip,
		.file = f,
	};
	vaddr_t at;
	int err;

	if (!f->ops->mmap)
		return -ENOEXEC;
	err = f->ops->mmap(f, &a);
	return err ? err : vm_mmap(m, &a, &at);
}

/* Zeroes the rest of the last file page, which becomes private by it, and adds whole zero pages. */
static int
map_zero_part(struct vm_map *m, const struct elf_segment *s, u64 base)
{
	u64 file_end = base + s->vaddr + s->file_size, mem_end = base + s->vaddr + s->mem_size;
	u64 page_end = ALIGN_UP(file_end, PAGE_SIZE), rest = page_end - file_end;
	ssize_t done;
	u8 *zeros;

	if (s->file_size > 0 && rest > 0 && s->write) {
		zeros = kzalloc(rest);
		if (!zeros)
			return -ENOMEM;
		done = vm_map_copy(m, file_end, zeros, rest, true);
		kfree(zeros);
		if (done != (ssize_t)rest)
			return done < 0 ? (int)done : -EFAULT;
	}
	if (s->file_size == 0)
		page_end = ALIGN_DOWN(file_end, PAGE_SIZE);
	return map_anonymous(m, page_end, ALIGN_UP(mem_end, PAGE_SIZE), segment_prot(s));
}

static int
map_segments(struct vm_map *m, struct file *f, const struct elf_image *img, u64 base)
{
	int err = 0;

	for (u32 i = 0; i < img->segments && !err; i++) {
		const struct elf_segment *s = &img->segment[i];

		if (s->file_size > 0)
			err = map_file_part(m, f, s, base);
		if (!err && s->mem_size > s->file_size)
			err = map_zero_part(m, s, base);
	}
	return err;
}

/* Finds a place for an image where mmap would put it. */
static int
find_base(struct vm_map *m, const struct elf_image *img, u64 *base)
{
	struct vm_mmap_args a = {
		.size = img->high - img->low,
		.max_prot = VM_READ | VM_WRITE | VM_EXEC,
		.flags = VM_NORESERVE,
	};
	vaddr_t at;
	int err = vm_mmap(m, &a, &at);

	if (err)
		return err;
	*base = at - img->low;
	return vm_munmap(m, at, a.size);
}

/* 0 for a program that is to lie at the same place each time. */
u64
exec_random_below(u64 n)
{
	return current_process()->personality & ADDR_NO_RANDOMIZE ? 0 : random_u64() % n;
}

/* The map came with places for the stack and the area of mmap. */
static int
place_stack(struct exec_work *w)
{
	u64 need = w->argv.used + w->envp.used + (w->argv.count + w->envp.count + 64) * 8 +
		   strlen(w->name);
	struct vm_mmap_args a = {
		.prot = VM_READ | VM_WRITE | (w->image.exec_stack ? VM_EXEC : 0),
		.max_prot = VM_READ | VM_WRITE | VM_EXEC,
		.flags = VM_FIXED | VM_STACK,
		.label = "[stack]",
	};
	vaddr_t at;

	w->map->stack_limit = process_rlimit(RLIMIT_STACK);
	a.size = ALIGN_UP(need + STACK_ROOM, PAGE_SIZE);
	a.addr = w->map->stack_top - a.size;
	return vm_mmap(w->map, &a, &at);
}

int
exec_load(struct exec_work *w)
{
	int err = place_stack(w);

	if (err)
		return err;
	if (w->image.relocatable)
		w->base = PIE_BASE + exec_random_below(PIE_RANDOM_PAGES) * PAGE_SIZE - w->image.low;
	if (w->base + w->image.high > w->map->mmap_base)
		return -ENOEXEC;
	err = map_segments(w->map, w->file, &w->image, w->base);
	if (err)
		return err;
	w->entry = w->base + w->image.entry;
	w->map->brk_start =
		w->base + w->image.high + exec_random_below(BRK_RANDOM_PAGES) * PAGE_SIZE;
	w->map->brk = w->map->brk_start;
	if (w->interp) {
		if (w->interp_image.relocatable)
			err = find_base(w->map, &w->interp_image, &w->interp_base);
		if (!err)
			err = map_segments(w->map, w->interp, &w->interp_image, w->interp_base);
		if (err)
			return err;
		w->entry = w->interp_base + w->interp_image.entry;
	}
	if (w->entry >= USER_TOP) /* IRET to what is not canonical would fault in the kernel */
		return -EINVAL;
	return vdso_map(w->map);
}
