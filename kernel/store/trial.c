/*
 * What a commit costs on a disk, beside the same bytes written and flushed raw: the median of
 * TURNS, for some numbers of pages. Only on a store that nothing was committed to: the raw writes
 * go to the disk's last blocks, which such a store does not use.
 */
#include <asm/errno.h>
#include "arch/clock.h"
#include "file/dentry.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "store/disk.h"

#define TURNS	  9u
#define PAGES_MAX 256u
#define TRIAL_OID (STORE_OID_USER + 1)

struct trial {
	struct store_disk *disk;
	struct store *s;
	u8 *mem; /* PAGES_MAX pages */
	ns_t raw[TURNS], commit[TURNS];
};

static ns_t
median(ns_t *t)
{
	for (unsigned i = 1; i < TURNS; i++)
		for (unsigned k = i; k > 0 && t[k] < t[k - 1]; k--) {
			ns_t swap = t[k];

			t[k] = t[k - 1];
			t[k - 1] = swap;
		}
	return t[TURNS / 2];
}

static int
raw_once(struct trial *t, u32 pages, ns_t *took)
{
	struct store_seg seg = {t->mem, pages};
	ns_t start = clock_now();
	int err = store_disk_ops.write(t->disk, t->disk->blocks - pages, &seg, 1);
	int e = store_disk_ops.flush(t->disk);

	*took = clock_now() - start;
	return err ? err : e;
}

static int
commit_once(struct trial *t, u32 pages, ns_t *took)
{
	struct store_note note = {.uptime_ns = (u64)clock_now()};
	ns_t start = clock_now();
	u64 epoch;
	int err = 0;

	for (u32 i = 0; i < pages && !err; i++)
		err = store_put(t->s, TRIAL_OID, STORE_PAGE(i), t->mem + i * PAGE_SIZE, PAGE_SIZE);
	if (!err)
		err = store_commit(t->s, &note, &epoch);
	else
		store_abort(t->s);
	*took = clock_now() - start;
	return err;
}

static int
measure(struct trial *t, u32 pages, char *buf, size_t size, size_t *len)
{
	ns_t raw, commit;
	int err = 0;

	for (unsigned i = 0; i < TURNS && !err; i++) {
		memset(t->mem, (int)(i + pages), pages * PAGE_SIZE);
		err = raw_once(t, pages, &t->raw[i]);
	}
	for (unsigned i = 0; i < TURNS && !err; i++) {
		memset(t->mem, (int)(i + pages), pages * PAGE_SIZE);
		err = commit_once(t, pages, &t->commit[i]);
	}
	if (err)
		return err;
	raw = median(t->raw);
	commit = median(t->commit);
	gen_printf(buf, size, len, "pages %u raw_ns %ld commit_ns %ld percent %ld\n", pages, raw,
		   commit, commit * 100 / (raw ? raw : 1));
	return 0;
}

int
store_trial(struct store_disk *d, char *buf, size_t size)
{
	struct trial *t = kzalloc(sizeof(*t));
	struct store_status st;
	size_t len = 0;
	int err = -ENOMEM;

	if (!t)
		return err;
	t->disk = d;
	t->mem = kmalloc(PAGES_MAX * PAGE_SIZE);
	if (!t->mem)
		goto out;
	err = store_open(&store_disk_ops, d, d->blocks, &(struct store_how){0}, &t->s);
	if (err)
		goto out;
	store_status(t->s, &st);
	err = st.epoch > 0 || st.blocks < 4 * STORE_MIN_BLOCKS ? -EBUSY : 0;
	for (u32 pages = 1; pages <= PAGES_MAX && !err; pages *= 16)
		err = measure(t, pages, buf, size, &len);
	store_close(t->s);
out:
	kfree(t->mem);
	kfree(t);
	return err;
}
