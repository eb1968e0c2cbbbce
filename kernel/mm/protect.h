/* Inside mm/: changes to every mapping of a range. */
#ifndef MM_PROTECT_H
#define MM_PROTECT_H

#include "mm/mapping.h"

/* Calls change() for the mappings of exactly [start, end), cut to it, in order. -ENOMEM at a hole,
 * after what lies before it was changed, as Linux does. => map->lock held for writing */
int __must_check map_for_range(struct vm_map *m, vaddr_t start, vaddr_t end,
			       int (*change)(struct vm_mapping *v, void *arg), void *arg);

struct flag_change {
	u32 clear, set;
	bool (*refuse)(const struct vm_mapping *v); /* or NULL; refused: -EINVAL */
};
int __must_check map_change_flags(struct vm_map *m, vaddr_t addr, u64 size,
				  const struct flag_change *c);

#endif
