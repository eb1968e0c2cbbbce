/*
 * ELF-64 headers: see elf.h. Works on bytes that the caller read; allocates nothing, touches
 * nothing else, so it runs on the host under a fuzzer.
 *
 * Refused: other machines, classes and byte orders, more than ELF_SEGMENTS loadable segments,
 * segments that overlap, go backwards, wrap around or lie outside the limit, and file parts beyond
 * the end of the file.
 */
#include <asm/errno.h>
#include <linux/elf.h>

#include "lib/elf.h"
#include "lib/string.h"

#define PHDRS_MAX (65536 / ELF_PHDR_BYTES)

int
elf_read_header(const u8 *bytes, size_t n, struct elf_image *out, size_t *phdr_bytes)
{
	Elf64_Ehdr h;

	if (n < sizeof(h))
		return -ENOEXEC;
	memcpy(&h, bytes, sizeof(h));
	if (memcmp(h.e_ident, ELFMAG, SELFMAG) != 0 || h.e_ident[EI_CLASS] != ELFCLASS64 ||
	    h.e_ident[EI_DATA] != ELFDATA2LSB)
		return -ENOEXEC;
	if ((h.e_type != ET_EXEC && h.e_type != ET_DYN) || h.e_machine != EM_X86_64)
		return -ENOEXEC;
	if (h.e_phentsize != sizeof(Elf64_Phdr) || h.e_phnum == 0 || h.e_phnum > PHDRS_MAX)
		return -ENOEXEC;
	memset(out, 0, sizeof(*out));
	out->relocatable = h.e_type == ET_DYN;
	out->entry = h.e_entry;
	out->phdr_offset = h.e_phoff;
	out->phdr_count = h.e_phnum;
	*phdr_bytes = (size_t)h.e_phnum * sizeof(Elf64_Phdr);
	if (h.e_phoff > INT64_MAX - *phdr_bytes)
		return -ENOEXEC;
	return 0;
}

static bool
inside(u64 at, u64 size, u64 limit)
{
	return at <= limit && size <= limit - at;
}

static int
add_segment(const Elf64_Phdr *p, u64 file_size, u64 limit, struct elf_image *out)
{
	struct elf_segment *s;

	if (p->p_memsz == 0)
		return 0;
	if (out->segments == ELF_SEGMENTS || p->p_filesz > p->p_memsz)
		return -ENOEXEC;
	if (!inside(p->p_offset, p->p_filesz, file_size) || !inside(p->p_vaddr, p->p_memsz, limit))
		return -ENOEXEC;
	if (ALIGN_UP(p->p_vaddr + p->p_memsz, PAGE_SIZE) > limit)
		return -ENOEXEC;
	if ((p->p_offset ^ p->p_vaddr) & (PAGE_SIZE - 1))
		return -ENOEXEC;
	if (out->segments > 0) {
		const struct elf_segment *last = &out->segment[out->segments - 1];

		if (p->p_vaddr < last->vaddr + last->mem_size)
			return -ENOEXEC;
	}
	s = &out->segment[out->segments++];
	s->offset = p->p_offset;
	s->vaddr = p->p_vaddr;
	s->file_size = p->p_filesz;
	s->mem_size = p->p_memsz;
	s->read = p->p_flags & PF_R;
	s->write = p->p_flags & PF_W;
	s->exec = p->p_flags & PF_X;
	return 0;
}

/* Where the program headers are in memory: PT_PHDR says it, else the segment that holds them. */
static void
find_phdrs(struct elf_image *out)
{
	u64 size = (u64)out->phdr_count * ELF_PHDR_BYTES;

	if (out->phdr_vaddr != 0)
		return;
	for (u32 i = 0; i < out->segments; i++) {
		const struct elf_segment *s = &out->segment[i];

		if (out->phdr_offset >= s->offset &&
		    inside(out->phdr_offset - s->offset, size, s->file_size)) {
			out->phdr_vaddr = s->vaddr + (out->phdr_offset - s->offset);
			return;
		}
	}
}

int
elf_read_phdrs(const u8 *bytes, size_t n, u64 file_size, u64 limit, struct elf_image *out)
{
	const struct elf_segment *last;
	int err;

	for (u32 i = 0; i < out->phdr_count; i++) {
		Elf64_Phdr p;

		if ((i + 1) * sizeof(p) > n)
			return -ENOEXEC;
		memcpy(&p, bytes + i * sizeof(p), sizeof(p));
		if (p.p_type == PT_LOAD) {
			err = add_segment(&p, file_size, limit, out);
			if (err)
				return err;
		} else if (p.p_type == PT_INTERP) {
			if (!inside(p.p_offset, p.p_filesz, file_size) || p.p_filesz < 2 ||
			    p.p_offset == 0)
				return -ENOEXEC;
			out->interp_offset = p.p_offset;
			out->interp_size = p.p_filesz;
		} else if (p.p_type == PT_GNU_STACK) {
			out->exec_stack = p.p_flags & PF_X;
		} else if (p.p_type == PT_PHDR && p.p_vaddr < limit) {
			out->phdr_vaddr = p.p_vaddr;
		}
	}
	if (out->segments == 0)
		return -ENOEXEC;
	last = &out->segment[out->segments - 1];
	out->low = ALIGN_DOWN(out->segment[0].vaddr, PAGE_SIZE);
	out->high = ALIGN_UP(last->vaddr + last->mem_size, PAGE_SIZE);
	if (out->entry >= limit)
		return -ENOEXEC;
	find_phdrs(out);
	return 0;
}
