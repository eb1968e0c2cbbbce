/* What the two halves of the invariant walk share (check.c: frames, check_tables.c: tables). */
#ifndef MM_CHECK_IMPL_H
#define MM_CHECK_IMPL_H

#include "cluster/boot_info.h"
#include "cluster/stop.h"
#include "mm/check.h"
#include "mm/mapping.h"
#include "mm/replica.h"
#include "mm/slab.h"

#define CHECK_LINES 16 /* of what is broken are told in words */

struct check_range {
	unsigned cxy;
	u64 first, end; /* page numbers */
	u64 base;	/* index of the first one's word */
};

struct check {
	struct check_range range[MAX_CLUSTERS * BOOT_RANGES];
	unsigned nranges;
	u16 **words; /* pages of words, one a frame: how often it was named */
	u64 nwords;  /* pages */
	u64 free, free_listed, reserved, kernel, tables, objects, in_flight; /* frames */
	u64 replicas, nobjects, roots, kernel_tables, user_tables, leaves;
	u64 tables_elsewhere;
	u64 broken;
	char line[CHECK_LINES][96];
	char *buf;
	size_t size, len;
};

void check_broken(struct check *k, const char *fmt, ...) __printf(2, 3);
/* Counts that something names the frame; its word, or NULL. */
u16 *check_seen(struct check *k, const struct frame *f);
void check_tables(struct check *k);

#endif
