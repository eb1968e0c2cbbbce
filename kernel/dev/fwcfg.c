/*
 * QEMU's fw_cfg device through its two ports (docs/specs/fw_cfg): a selector, then bytes of the
 * selected item from its start. The directory is read anew for each request: it is short and a
 * request is rare.
 *
 * Locks: fwcfg->lock for the selector and what follows it.
 */
#include "dev/fwcfg.h"
#include "arch/cpu.h"
#include "core/core.h"
#include "lib/string.h"
#include <asm/errno.h>

#define PORT_SELECT   0x510
#define PORT_DATA     0x511
#define KEY_SIGNATURE 0
#define KEY_DIRECTORY 0x19
#define FILES_MAX     4096

struct fwcfg_file { /* big-endian */
	u32 size;
	u16 key;
	u16 reserved;
	char name[56];
};

_Static_assert(sizeof(struct fwcfg_file) == 64, "a directory entry of fw_cfg");

static void
read_bytes(void *buf, size_t n)
{
	u16 port = PORT_DATA;

	__asm__ volatile("rep insb" : "+D"(buf), "+c"(n) : "d"(port) : "memory");
}

void
fwcfg_init(void)
{
	struct fwcfg *f = machine()->fwcfg;
	char signature[4];

	spin_init(&f->lock, "fwcfg", RANK_LOG);
	outw(PORT_SELECT, KEY_SIGNATURE);
	read_bytes(signature, sizeof(signature));
	f->present = !memcmp(signature, "QEMU", 4);
}

/* => fwcfg->lock held */
static int
find(const char *name, u32 *size, u16 *key)
{
	u32 count;

	outw(PORT_SELECT, KEY_DIRECTORY);
	read_bytes(&count, sizeof(count));
	count = min(__builtin_bswap32(count), (u32)FILES_MAX);
	for (u32 i = 0; i < count; i++) {
		struct fwcfg_file e;

		read_bytes(&e, sizeof(e));
		e.name[sizeof(e.name) - 1] = '\0';
		if (strcmp(e.name, name) != 0)
			continue;
		*size = __builtin_bswap32(e.size);
		*key = __builtin_bswap16(e.key);
		return 0;
	}
	return -ENOENT;
}

s64
fwcfg_size(const char *name)
{
	struct fwcfg *f = machine()->fwcfg;
	u32 size;
	u16 key;
	int err;

	if (!f->present)
		return -ENOENT;
	spin_lock(&f->lock);
	err = find(name, &size, &key);
	spin_unlock(&f->lock);
	return err ? err : (s64)size;
}

ssize_t
fwcfg_read(const char *name, void *buf, size_t n)
{
	struct fwcfg *f = machine()->fwcfg;
	u32 size;
	u16 key;
	int err;

	if (!f->present)
		return -ENOENT;
	spin_lock(&f->lock);
	err = find(name, &size, &key);
	if (!err) {
		n = min(n, (size_t)size);
		outw(PORT_SELECT, key);
		read_bytes(buf, n);
	}
	spin_unlock(&f->lock);
	return err ? err : (ssize_t)n;
}
