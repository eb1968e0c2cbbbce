/*
 * A reader of cpio archives in the "new" portable format (magic 070701 and 070702, cpio(5)).
 * Pure: it looks only at the bytes it was given, never beyond them, and allocates nothing.
 * Archives may follow one another, with zeros between, as Linux's initramfs allows.
 */
#ifndef LIB_CPIO_H
#define LIB_CPIO_H

#include "lib/types.h"

struct cpio_reader {
	const u8 *data;
	u64 size;
	u64 pos;	   /* of the next header */
	const char *error; /* why cpio_next failed */
};

struct cpio_entry {
	const char *name; /* in the archive, not terminated beyond name_len */
	size_t name_len;  /* without padding zeros */
	u32 ino, mode, uid, gid, nlink, mtime;
	u32 dev_major, dev_minor, rdev_major, rdev_minor;
	u64 data; /* offset in the archive */
	u32 size;
};

void cpio_init(struct cpio_reader *r, const void *data, u64 size);
/* 1: *e is the next entry; 0: the end; -EINVAL: damaged here, r->error says how; what came before
 * is whole. */
int __must_check cpio_next(struct cpio_reader *r, struct cpio_entry *e);

#endif
