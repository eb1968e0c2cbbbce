/*
 * The buddy system over an array of struct frame: blocks of 2^order frames, aligned to their size.
 * Pure: it takes no lock and knows no addresses; frame.c has one per cluster.
 */
#ifndef MM_BUDDY_H
#define MM_BUDDY_H

#include "mm/frame.h"

struct buddy {
	struct list free[FRAME_MAX_ORDER + 1]; /* [caller] */
	u64 nfree;			       /* [caller] frames on the lists */
	struct frame *base;		       /* [I] frame of page number 0 */
	u8 cxy;				       /* [I] only frames of this cluster are merged */
};

void buddy_init(struct buddy *b, struct frame *base, u8 cxy);
/* NULL when no block is large enough. The frames' refs and flags are the caller's. */
struct frame *buddy_alloc(struct buddy *b, unsigned order);
/* => struct frames up to the enclosing block of the largest order are readable */
void buddy_free(struct buddy *b, struct frame *f, unsigned order);
/* Gives n frames from page number `first` on, in blocks as large as they can be. */
void buddy_add(struct buddy *b, u64 first, u64 n);

#endif
