/*
 * Copies of pages at a cut (flight.h), made by all cores that stand meanwhile and do not sleep: who
 * collects only notes them, and sees to what is left in the end.
 */
#ifndef MM_COPIES_H
#define MM_COPIES_H

#include "mm/frame.h"

#define COPIES_MAX 2048

struct copies;

/* All => the machine stands still. NULL: out of memory. */
struct copies *copies_create(void);
/* A frame for a copy, beside the last one where it can be; it stays ours. NULL: out of memory.
 * => by one core at a time */
struct frame *copies_frame(struct copies *w);
/* `copy`, which nobody else knows, will have the content of f. Neither is touched before the end.
 * => by one core at a time, at most COPIES_MAX times */
void copies_add(struct copies *w, struct frame *copy, struct frame *f);
/* Makes a few of them, on any core. How many; 0: there are none left just now. */
unsigned copies_make(struct copies *w);
/* Lets go of it and of all its frames; NULL is nothing. The machine may run. */
void copies_free(struct copies *w);
/* All are made on return, or begun by other cores. How many of them by others. => none is added any
 * more */
unsigned copies_end(struct copies *w);
/* What is to be in the copy. => it was added, and the machine is stopped still */
static inline const struct frame *
copies_source(const struct frame *copy)
{
	return (const struct frame *)copy->private;
}

/* hash64() of it. => it was made */
static inline u64
copies_hash(const struct frame *copy)
{
	return copy->index;
}

#endif
