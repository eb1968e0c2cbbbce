/*
 * Random numbers: a ChaCha20 generator per core, keyed from RDRAND/RDSEED, the TSC and device
 * timing through one pool; reseeded when the pool has gathered more. For getrandom and ASLR.
 */
#ifndef CORE_RANDOM_H
#define CORE_RANDOM_H

#include "lib/types.h"

void random_init(void);
void random_bytes(void *buf, size_t n);
u64 random_u64(void);
/* Stirs timing or host-given bytes in. Any context. */
void random_add(const void *data, size_t n);

#endif
