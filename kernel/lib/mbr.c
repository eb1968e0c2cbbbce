/* PC partition tables: entries of 16 bytes from 446 on, then 55 AA. */
#include "lib/mbr.h"
#include "lib/string.h"

static u32
number(const u8 *p)
{
	u32 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

bool
mbr_find(const u8 sector[512], u8 type, u64 sectors, u64 *first, u64 *count)
{
	if (sector[510] != 0x55 || sector[511] != 0xaa)
		return false;
	for (const u8 *e = sector + 446; e < sector + 510; e += 16) {
		u64 start = number(e + 8), n = number(e + 12);

		if (e[4] != type || start == 0 || n == 0 || start >= sectors || n > sectors - start)
			continue;
		*first = start;
		*count = n;
		return true;
	}
	return false;
}
