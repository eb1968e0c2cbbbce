/* The ELF reader: what it lets through needs no further distrust (see lib/elf.h). */
#include "fuzz.h"
#include "lib/elf.h"

#define LIMIT 0x7ffffffff000UL

static void
check_segments(const struct elf_image *img, u64 file_size)
{
	u64 end = 0;

	CHECK(img->segments > 0 && img->segments <= ELF_SEGMENTS);
	for (u32 i = 0; i < img->segments; i++) {
		const struct elf_segment *s = &img->segment[i];

		CHECK(s->mem_size > 0 && s->file_size <= s->mem_size);
		CHECK(s->offset <= file_size && s->file_size <= file_size - s->offset);
		CHECK(s->vaddr >= end && s->vaddr < LIMIT && s->mem_size <= LIMIT - s->vaddr);
		CHECK(((s->offset ^ s->vaddr) & (PAGE_SIZE - 1)) == 0);
		CHECK(s->vaddr >= img->low && s->vaddr + s->mem_size <= img->high);
		end = s->vaddr + s->mem_size;
	}
	CHECK(img->low < img->high && img->high <= LIMIT);
	CHECK(IS_ALIGNED(img->low, PAGE_SIZE) && IS_ALIGNED(img->high, PAGE_SIZE));
}

/* As exec does it: the header, then the table that the header names. */
int
LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct elf_image img;
	size_t bytes;

	if (elf_read_header(data, size, &img, &bytes) != 0)
		return 0;
	CHECK(bytes > 0 && bytes <= 65536);
	if (img.phdr_offset > size || bytes > size - img.phdr_offset)
		return 0;
	if (elf_read_phdrs(data + img.phdr_offset, bytes, size, LIMIT, &img) != 0)
		return 0;
	check_segments(&img, size);
	CHECK(img.entry < LIMIT);
	if (img.interp_offset)
		touch(data + img.interp_offset, img.interp_size);
	return 0;
}
