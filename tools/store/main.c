/*
 * holdfast-store: what `holdfast store` calls to look into a store without booting.
 *
 *	holdfast-store info FILE [EPOCH]	one line for each thing to say, "name value"
 *	holdfast-store check FILE [EPOCH]	the faults, one a line
 *	holdfast-store export FILE EPOCH PATH DIR [force]	files out of it (export.h)
 *	holdfast-store format FILE		makes a store on a blank file or partition
 *	holdfast-store wipe FILE		makes an empty store of one that nobody uses
 *
 * FILE is a disk image or a device: the partition of type 0xD3 if it has one, else the whole of it.
 * Exit status: 0; 1 faults; 2 FILE or DIR cannot be used, 3 PATH is not there, with one line on
 * stderr that says why.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "export.h"
#include "lib/mbr.h"
#include "store/store.h"

#define SECTOR 512u

void assert_failed(const char *expr, const char *file, int line);

void
assert_failed(const char *expr, const char *file, int line)
{
	fprintf(stderr, "holdfast-store: %s:%d: %s\n", file, line, expr);
	abort();
}

struct disk {
	int fd;
	off_t start; /* bytes */
	u64 blocks;
};

static int
disk_read(void *dev, u64 block, void *buf, u32 blocks)
{
	const struct disk *d = dev;
	size_t want = (size_t)blocks * STORE_BLOCK;

	if (block > d->blocks || blocks > d->blocks - block)
		return -EIO;
	return pread(d->fd, buf, want, d->start + (off_t)(block * STORE_BLOCK)) == (ssize_t)want
		       ? 0
		       : -EIO;
}

static int
disk_write(void *dev, u64 block, const struct store_seg *seg, u32 segs)
{
	const struct disk *d = dev;

	for (u32 i = 0; i < segs; i++) {
		size_t n = (size_t)seg[i].blocks * STORE_BLOCK;

		if (pwrite(d->fd, seg[i].data, n, d->start + (off_t)(block * STORE_BLOCK)) !=
		    (ssize_t)n)
			return -EIO;
		block += seg[i].blocks;
	}
	return 0;
}

static int
disk_flush(void *dev)
{
	const struct disk *d = dev;

	return fsync(d->fd) ? -EIO : 0;
}

static const struct store_ops ops = {
	.read = disk_read,
	.write = disk_write,
	.flush = disk_flush,
	.alloc = malloc,
	.free = free,
};

/* => ends the program */
static void
refuse(const char *file, const char *why)
{
	fprintf(stderr, "%s: %s\n", file, why);
	exit(2);
}

static const char *
reason(int err)
{
	switch (-err) {
	case ENODEV:
		return "there is no store on it";
	case EOPNOTSUPP:
		return "the store's format is newer than this program";
	case ENXIO:
		return "the file is shorter than the store";
	case ENOENT:
		return "no such epoch is kept";
	case EBADMSG:
		return "the store is damaged: no epoch can be read";
	default:
		return strerror(-err);
	}
}

static void
disk_open(struct disk *d, const char *file, int flags)
{
	u8 sector[SECTOR];
	u64 first = 0, count;
	off_t size;

	d->fd = open(file, flags | O_CLOEXEC);
	if (d->fd < 0)
		refuse(file, strerror(errno));
	size = lseek(d->fd, 0, SEEK_END);
	if (size < 0)
		refuse(file, strerror(errno));
	count = (u64)size / SECTOR;
	if (pread(d->fd, sector, sizeof(sector), 0) == (ssize_t)sizeof(sector))
		(void)mbr_find(sector, MBR_TYPE_STORE, count, &first, &count);
	d->start = (off_t)(first * SECTOR);
	d->blocks = count * SECTOR / STORE_BLOCK;
}

static struct store *
store_of(struct disk *d, const char *file, u64 epoch)
{
	struct store_how how = {.readonly = true, .epoch = epoch};
	struct store *s;
	int err;

	disk_open(d, file, O_RDONLY);
	err = store_open(&ops, d, d->blocks, &how, &s);
	if (err)
		refuse(file, reason(err));
	return s;
}

static void
say(const char *name, u64 value)
{
	printf("%s %" PRIu64 "\n", name, value);
}

static int
info(const char *file, u64 epoch)
{
	struct store_status st;
	struct store_epoch e;
	struct disk d;
	struct store *s = store_of(&d, file, epoch);

	store_status(s, &st);
	printf("uuid ");
	for (unsigned i = 0; i < 16; i++)
		printf("%02x%s", st.uuid[i], i == 3 || i == 5 || i == 7 || i == 9 ? "-" : "");
	printf("\n");
	say("bytes", st.blocks * STORE_BLOCK);
	say("used", st.used * STORE_BLOCK);
	say("created", st.created_ns);
	say("attempts", st.attempts);
	for (u64 n = st.oldest; n <= st.epoch; n++) {
		if (n == 0 || store_epoch(s, n, &e))
			continue;
		printf("epoch %" PRIu64 " time %" PRIu64 " items %" PRIu64 " bytes %" PRIu64
		       " processes %" PRIu64 " memory %" PRIu64 " files %" PRIu64
		       " file_bytes %" PRIu64 "\n",
		       n, e.note.real_ns, e.items, e.payload * STORE_BLOCK, e.note.processes,
		       e.note.memory_bytes, e.note.files, e.note.file_bytes);
	}
	inside(s);
	store_close(s);
	return 0;
}

static void
fault(void *arg, const char *what, u64 a, u64 b)
{
	printf("fault ");
	printf(what, (unsigned long long)a, (unsigned long long)b);
	printf("\n");
}

static int
check(const char *file, u64 epoch)
{
	struct store_report r = {.fault = fault};
	struct store_status st;
	struct disk d;
	struct store *s = store_of(&d, file, epoch);
	long faults = store_check(s, &r);

	if (faults < 0)
		refuse(file, strerror((int)-faults));
	store_status(s, &st);
	say("epoch", st.epoch);
	say("items", r.items);
	say("bytes", r.bytes);
	say("used", st.used * STORE_BLOCK);
	store_close(s);
	return faults > 0;
}

static int
export_from(const char *file, char **argv)
{
	struct disk d;
	struct store *s = store_of(&d, file, strtoull(argv[0], NULL, 10));
	int status = export(s, argv[1], argv[2], argv[3] && strcmp(argv[3], "force") == 0);

	store_close(s);
	return status;
}

static int
make_store(struct disk *d, const char *file)
{
	struct timespec now;
	u8 uuid[16];
	int err;

	if (getrandom(uuid, sizeof(uuid), 0) != (ssize_t)sizeof(uuid))
		refuse(file, strerror(errno));
	clock_gettime(CLOCK_REALTIME, &now);
	err = store_format(&ops, d, d->blocks, uuid,
			   (u64)now.tv_sec * 1000000000u + (u64)now.tv_nsec);
	if (err)
		refuse(file, reason(err));
	return 0;
}

static int
format(const char *file)
{
	enum store_kind kind;
	struct disk d;
	int err;

	disk_open(&d, file, O_RDWR);
	err = store_probe(&ops, &d, d.blocks, &kind);
	if (err)
		refuse(file, reason(err));
	if (kind == STORE_IS)
		refuse(file, "there is a store on it already");
	if (kind == STORE_OTHER)
		refuse(file, d.blocks < STORE_MIN_BLOCKS ? "it is too small: a store needs 8M"
							 : "it holds something else; not touched");
	return make_store(&d, file);
}

/* QEMU locks bytes of an image that it uses (its docs/system/images). */
static void
lock_or_refuse(const struct disk *d, const char *file)
{
	struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	if (fcntl(d->fd, F_OFD_SETLK, &all))
		refuse(file, errno == EAGAIN || errno == EACCES ? "a machine runs with it"
								: strerror(errno));
}

static int
zero(struct disk *d, u64 first, u64 end)
{
	static const u8 zeros[STORE_BLOCK];
	int err = 0;

	for (u64 b = first; b < end && !err; b++)
		err = disk_write(d, b, &(struct store_seg){zeros, 1}, 1);
	return err;
}

/* What is on a disk of the length of a file is given back to the host, where that can be. */
static int
clear(struct disk *d)
{
	off_t at = d->start + 16 * STORE_BLOCK, size = (off_t)(d->blocks - 16) * STORE_BLOCK;
	int err = 0;

	if (fallocate(d->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, size))
		err = zero(d, 16, STORE_DATA_FIRST);
	if (!err)
		err = zero(d, d->blocks - 256, d->blocks);
	return err ? err : disk_flush(d);
}

static int
wipe(const char *file)
{
	enum store_kind kind;
	struct disk d;
	int err;

	disk_open(&d, file, O_RDWR);
	lock_or_refuse(&d, file);
	err = store_probe(&ops, &d, d.blocks, &kind);
	if (!err && kind != STORE_IS)
		refuse(file, "there is no store on it");
	if (err && err != -EBADMSG && err != -ENXIO)
		refuse(file, reason(err));
	err = clear(&d);
	if (err)
		refuse(file, reason(err));
	return make_store(&d, file);
}

int
main(int argc, char **argv)
{
	u64 epoch = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;

	if (argc >= 3 && strcmp(argv[1], "info") == 0)
		return info(argv[2], epoch);
	if (argc >= 3 && strcmp(argv[1], "check") == 0)
		return check(argv[2], epoch);
	if (argc == 3 && strcmp(argv[1], "format") == 0)
		return format(argv[2]);
	if (argc == 3 && strcmp(argv[1], "wipe") == 0)
		return wipe(argv[2]);
	if (argc >= 6 && strcmp(argv[1], "export") == 0)
		return export_from(argv[2], argv + 3);
	fprintf(stderr, "usage: holdfast-store info|check|format|wipe FILE [EPOCH]\n"
			"       holdfast-store export FILE EPOCH PATH DIR [force]\n");
	return 2;
}
