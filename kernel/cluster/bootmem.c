/* The allocator before the page allocator: see bootmem.h. One core of the cluster at a time. */
#include "cluster/bootmem.h"
#include "arch/layout.h"
#include "cluster/boot_info.h"
#include "cluster/cluster.h"
#include "lib/assert.h"
#include "lib/string.h"

void *
bootmem_alloc_from(struct bootmem *b, size_t size, size_t align)
{
	paddr_t p = ALIGN_UP(b->next, align);

	assert(!b->closed);
	if (p < b->next || p > b->end || size > b->end - p)
		return NULL;
	b->next = p + size;
	return memset(phys_to_virt(p), 0, size);
}

void *
bootmem_alloc(size_t size, size_t align)
{
	return bootmem_alloc_from(&local_cluster.bootmem, size, align);
}

void
bootmem_close(void)
{
	struct bootmem *b = &local_cluster.bootmem;

	assert(!b->closed && boot_info.rsvd_nr < BOOT_RSVD);
	b->closed = true;
	if (b->next == b->start)
		return;
	boot_info.rsvd[boot_info.rsvd_nr++] = (struct boot_range){
		.base = b->start,
		.size = ALIGN_UP(b->next, PAGE_SIZE) - b->start,
	};
}
