/*
 * Memory before the page allocator: a bump allocator per cluster.
 *
 * It takes from the cluster's largest free range behind the kernel's copies and lives in struct
 * cluster, so it works from the moment the cluster's own kdata is mapped, GS set or not. It is used
 * by the boot procedure and by frame_init_cluster() (frame array, its page tables), by one core at
 * a time. frame_init_cluster() ends it with bootmem_close(), which appends what was taken to
 * boot_info.rsvd[]; from then on rsvd[] is complete: firmware, module, kernel copies, bootmem, boot
 * stacks. Everything in boot_info.range[] that is not in rsvd[] is then the page allocator's.
 *
 * Memory that only the boot procedure needs is in rsvd[] too; after D7 boot/ hands it over with
 * frame_release_range() (mm/frame.h).
 */
#ifndef CLUSTER_BOOTMEM_H
#define CLUSTER_BOOTMEM_H

#include "lib/types.h"

struct bootmem {
	paddr_t start; /* [I] first byte it may give out */
	paddr_t next;  /* first byte not given out */
	paddr_t end;   /* [I] end of the free range */
	bool closed;
};

/* Zeroed memory of this cluster as a physmap pointer; `align` is a power of two, at least 1.
 * NULL when the range is used up. => before bootmem_close(). */
void *bootmem_alloc(size_t size, size_t align);
/* Ends the allocator and enters what it gave out (whole pages) into boot_info.rsvd[]. */
void bootmem_close(void);

/* The same on an explicit allocator, for boot/ before the cluster's kdata is mapped. */
void *bootmem_alloc_from(struct bootmem *b, size_t size, size_t align);

#endif
