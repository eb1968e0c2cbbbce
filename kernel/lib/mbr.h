/* The partition table of a PC's disk: four entries in its first sector. */
#ifndef LIB_MBR_H
#define LIB_MBR_H

#include "lib/types.h"

#define MBR_TYPE_STORE 0xd3 /* Phantom OS's, and ours */

/* The first partition of this type that lies inside a disk of `sectors` sectors, in sectors of 512
 * bytes. False: none, or no table. */
bool mbr_find(const u8 sector[512], u8 type, u64 sectors, u64 *first, u64 *count);

#endif
