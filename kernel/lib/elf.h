/*
 * Reading the headers of 64-bit ELF programs for x86-64. Pure: bytes in, checked values out; every
 * field that a loader would act on is checked here, so the loader need not distrust it.
 */
#ifndef LIB_ELF_H
#define LIB_ELF_H

#include "lib/types.h"

#define ELF_SEGMENTS	 24
#define ELF_HEADER_BYTES 64
#define ELF_PHDR_BYTES	 56

struct elf_segment { /* PT_LOAD, page-granular checks done */
	u64 offset, vaddr, file_size, mem_size;
	bool read, write, exec;
};

struct elf_image {
	bool relocatable; /* ET_DYN */
	u64 entry;
	u64 phdr_offset; /* in the file */
	u32 phdr_count;
	u64 phdr_vaddr;	   /* where they are in memory; 0: not mapped */
	u64 low, high;	   /* of all segments: page-aligned span of addresses */
	u64 interp_offset; /* PT_INTERP; 0: none */
	u64 interp_size;
	bool exec_stack;
	u32 segments;
	struct elf_segment segment[ELF_SEGMENTS];
};

/* Checks the first ELF_HEADER_BYTES of a file. 0 and *phdr_offset, *phdr_bytes: what to read next;
 * -ENOEXEC. */
int elf_read_header(const u8 *bytes, size_t n, struct elf_image *out, size_t *phdr_bytes);
/* Checks the program headers against the file's size and the address space limit. 0 or -ENOEXEC. */
int elf_read_phdrs(const u8 *bytes, size_t n, u64 file_size, u64 limit, struct elf_image *out);

#endif
