/* Checksums that find copies that went wrong, not attackers. */
#ifndef LIB_CHECKSUM_H
#define LIB_CHECKSUM_H

#include "lib/types.h"

/* A fast one of the kernel's own. */
u32 checksum32(const void *data, size_t size);
/* The CRC-32 of IEEE 802.3; `crc` is that of what comes before, 0 at the start. */
u32 crc32(u32 crc, const void *data, size_t size);

#endif
