/*
 * The cpio reader. A header is 110 bytes of ASCII: a magic of 6 and 13 fields of 8 hexadecimal
 * digits; the name with its zero follows, then the data, each padded to 4 bytes. An entry named
 * TRAILER!!! ends an archive. Names may carry more than one zero at the end: that is how an archive
 * is written whose data lies page-aligned.
 */
#ifdef HOLDFAST_HOST
#include <errno.h>
#else
#include <asm/errno.h>
#endif
#include "lib/cpio.h"
#include "lib/string.h"

#define HEADER_SIZE	110u
#define FIELDS		13
#define NAME_MAX_PADDED 65536u

enum field {
	F_INO,
	F_MODE,
	F_UID,
	F_GID,
	F_NLINK,
	F_MTIME,
	F_SIZE,
	F_DEVMAJ,
	F_DEVMIN,
	F_RDEVMAJ,
	F_RDEVMIN,
	F_NAMESIZE,
	F_CHECK
};

void
cpio_init(struct cpio_reader *r, const void *data, u64 size)
{
	*r = (struct cpio_reader){.data = data, .size = size};
}

static bool
hex8(const u8 *p, u32 *out)
{
	u32 v = 0;

	for (int i = 0; i < 8; i++) {
		u8 c = p[i];

		if (c >= '0' && c <= '9')
			c = (u8)(c - '0');
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			c = (u8)((c | 32) - 'a' + 10);
		else
			return false;
		v = v << 4 | c;
	}
	*out = v;
	return true;
}

static int
fail(struct cpio_reader *r, const char *why)
{
	r->error = why;
	return -EINVAL;
}

/* Zeros between archives and behind the last one. */
static void
skip_zeros(struct cpio_reader *r)
{
	while (r->pos < r->size && r->data[r->pos] == 0)
		r->pos++;
}

static int
read_header(struct cpio_reader *r, u32 f[FIELDS])
{
	const u8 *h = r->data + r->pos;

	if (r->size - r->pos < HEADER_SIZE)
		return fail(r, "the archive ends inside a header");
	if (memcmp(h, "070701", 6) != 0 && memcmp(h, "070702", 6) != 0)
		return fail(r, "there is no header where one should be");
	for (int i = 0; i < FIELDS; i++)
		if (!hex8(h + 6 + i * 8, &f[i]))
			return fail(r, "a header field is not hexadecimal");
	if (f[F_NAMESIZE] == 0 || f[F_NAMESIZE] > NAME_MAX_PADDED)
		return fail(r, "a name has no sensible length");
	return 0;
}

int
cpio_next(struct cpio_reader *r, struct cpio_entry *e)
{
	u32 f[FIELDS];
	u64 name, data;
	int err;

	for (;;) {
		if (r->pos >= r->size || r->data[r->pos] == 0)
			skip_zeros(r);
		if (r->pos >= r->size)
			return 0;
		err = read_header(r, f);
		if (err)
			return err;
		name = r->pos + HEADER_SIZE;
		if (f[F_NAMESIZE] > r->size - name)
			return fail(r, "the archive ends inside a name");
		data = ALIGN_UP(name + f[F_NAMESIZE], (u64)4);
		if (f[F_SIZE] > 0 && (data > r->size || f[F_SIZE] > r->size - data))
			return fail(r, "the archive ends inside a file's data");
		r->pos = ALIGN_UP(data + f[F_SIZE], (u64)4);
		e->name = (const char *)r->data + name;
		e->name_len = 0;
		while (e->name_len < f[F_NAMESIZE] && e->name[e->name_len])
			e->name_len++;
		if (e->name_len == f[F_NAMESIZE])
			return fail(r, "a name is not terminated");
		if (e->name_len != 10 || memcmp(e->name, "TRAILER!!!", 10) != 0)
			break;
	}
	e->ino = f[F_INO];
	e->mode = f[F_MODE];
	e->uid = f[F_UID];
	e->gid = f[F_GID];
	e->nlink = f[F_NLINK];
	e->mtime = f[F_MTIME];
	e->dev_major = f[F_DEVMAJ];
	e->dev_minor = f[F_DEVMIN];
	e->rdev_major = f[F_RDEVMAJ];
	e->rdev_minor = f[F_RDEVMIN];
	e->data = data;
	e->size = f[F_SIZE];
	return 1;
}
