/* A fast 32-bit checksum of memory: finds copies that went wrong, not attackers. */
#ifndef LIB_CHECKSUM_H
#define LIB_CHECKSUM_H

#include "lib/types.h"

u32 checksum32(const void *data, size_t size);

#endif
