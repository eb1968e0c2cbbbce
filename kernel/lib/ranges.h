/* Sorted lists of physical ranges, for the time before there is an allocator. Pure. */
#ifndef LIB_RANGES_H
#define LIB_RANGES_H

#include "lib/types.h"

#define BOOT_MAP 128

struct boot_range {
	u64 base;
	u64 size; /* bytes; base + size does not overflow */
};

struct boot_ranges {
	u32 n;
	struct boot_range r[BOOT_MAP]; /* sorted, apart */
};

/* Adds a range and keeps the list sorted and merged; a list that is full stays as it is. */
void ranges_add(struct boot_ranges *rs, u64 base, u64 size);
/* Takes [base, base + size) out; where that would need a place more than there is, the part behind
 * the hole goes too. */
void ranges_remove(struct boot_ranges *rs, u64 base, u64 size);
/* The first range that overlaps [base, end). */
bool ranges_overlap(const struct boot_ranges *rs, u64 base, u64 end, struct boot_range *hit);
/* Whether all of [base, end) is in the list. */
bool ranges_cover(const struct boot_ranges *rs, u64 base, u64 end);
/* The free piece (in [base, end), not in `taken`) at or behind *at: false when there is none. */
bool ranges_free(const struct boot_ranges *taken, u64 *at, u64 end, u64 *free_end);
u64 ranges_free_bytes(const struct boot_ranges *taken, u64 base, u64 end);
u64 ranges_bytes(const struct boot_ranges *rs);

#endif
