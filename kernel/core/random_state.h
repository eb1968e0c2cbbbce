/* State of the random generators; allocated (zeroed) by boot for the machine and for each core. */
#ifndef CORE_RANDOM_STATE_H
#define CORE_RANDOM_STATE_H

#include "core/spinlock.h"
#include "lib/types.h"

struct random {
	struct spinlock lock;
	u8 pool[32] __attribute__((aligned(8))); /* [lock] */
	u32 at, stirs;				 /* [lock] */
	u64 generation;				 /* [a] grows when something was added */
};

struct random_core {
	u32 key[8];
	u64 generation; /* of the pool, when the key was taken; 0: never */
};

#endif
