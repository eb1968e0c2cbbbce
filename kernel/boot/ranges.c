/* Sorted lists of physical ranges, for the time before there is an allocator. Pure. */
#include "boot/boot.h"
#include "lib/string.h"

/* Adds a range and keeps the list sorted and merged. A list that is full drops the smallest. */
void
ranges_add(struct boot_ranges *rs, u64 base, u64 size)
{
	u64 end = base + size;
	u32 i = 0, j;

	if (size == 0 || end < base)
		return;
	while (i < rs->n && rs->r[i].base + rs->r[i].size < base)
		i++;
	for (j = i; j < rs->n && rs->r[j].base <= end; j++) {
		base = min(base, rs->r[j].base);
		end = max(end, rs->r[j].base + rs->r[j].size);
	}
	if (i == j) {
		if (rs->n == BOOT_MAP)
			return;
		memmove(&rs->r[i + 1], &rs->r[i], (rs->n - i) * sizeof(rs->r[0]));
		rs->n++;
	} else {
		memmove(&rs->r[i + 1], &rs->r[j], (rs->n - j) * sizeof(rs->r[0]));
		rs->n -= j - i - 1;
	}
	rs->r[i] = (struct boot_range){base, end - base};
}

/* The first range that overlaps [base, end). */
bool
ranges_overlap(const struct boot_ranges *rs, u64 base, u64 end, struct boot_range *hit)
{
	for (u32 i = 0; i < rs->n; i++) {
		if (rs->r[i].base < end && rs->r[i].base + rs->r[i].size > base) {
			*hit = rs->r[i];
			return true;
		}
	}
	return false;
}

bool
ranges_free(const struct boot_ranges *taken, u64 *at, u64 end, u64 *free_end)
{
	struct boot_range hit;

	while (*at < end && ranges_overlap(taken, *at, end, &hit)) {
		if (hit.base > *at) {
			*free_end = hit.base;
			return true;
		}
		*at = hit.base + hit.size;
	}
	*free_end = end;
	return *at < end;
}

u64
ranges_free_bytes(const struct boot_ranges *taken, u64 base, u64 end)
{
	u64 at = base, to, sum = 0;

	while (ranges_free(taken, &at, end, &to)) {
		sum += to - at;
		at = to;
	}
	return sum;
}
