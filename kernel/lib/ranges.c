/* Sorted lists of physical ranges: see ranges.h. */
#include "lib/ranges.h"
#include "lib/string.h"

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

void
ranges_remove(struct boot_ranges *rs, u64 base, u64 size)
{
	u64 end = base + size;

	if (end < base)
		return;
	for (u32 i = 0; i < rs->n; i++) {
		struct boot_range r = rs->r[i];
		u64 r_end = r.base + r.size;

		if (r_end <= base || r.base >= end)
			continue;
		memmove(&rs->r[i], &rs->r[i + 1], (--rs->n - i) * sizeof(rs->r[0]));
		i--; /* the parts that stay are looked at again and do not overlap */
		if (r.base < base)
			ranges_add(rs, r.base, base - r.base);
		if (r_end > end)
			ranges_add(rs, end, r_end - end);
	}
}

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
ranges_cover(const struct boot_ranges *rs, u64 base, u64 end)
{
	struct boot_range hit;

	return ranges_overlap(rs, base, end, &hit) && hit.base <= base &&
	       hit.base + hit.size >= end;
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

u64
ranges_bytes(const struct boot_ranges *rs)
{
	u64 sum = 0;

	for (u32 i = 0; i < rs->n; i++)
		sum += rs->r[i].size;
	return sum;
}
