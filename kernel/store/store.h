/*
 * The store: what was put under (object, index) before a commit is found again after it, whatever
 * happened to the machine in between; a commit is there in whole or not at all (doc/store.md).
 *
 *	err = store_open(&ops, dev, blocks, &(struct store_how){0}, &s);
 *	err = store_put(s, oid, idx, data, length);	any number of them
 *	err = store_commit(s, &note, &epoch);		durable when it returns 0
 *	err = store_get(s, oid, idx, buf, &length);
 *
 * Between the first put and the commit, store_get and store_next show the last epoch. A commit that
 * fails changes nothing: what was put is forgotten, and may be put and committed once more.
 * Pure code over struct store_ops, for the kernel and the host. The caller serialises all calls on
 * a store; each may sleep as far as the operations do.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "store/format.h"

struct store_seg {
	const void *data; /* whole blocks */
	u32 blocks;
};

/* Blocks are of STORE_BLOCK bytes; 0 or a negative errno. */
struct store_ops {
	int (*read)(void *dev, u64 block, void *buf, u32 blocks);
	/* Writes segments one behind the other, from push, flush_begin or flush on if not at once.
	 * Their memory stays as it is until flush returns; an error may also be told by flush. */
	int (*write)(void *dev, u64 block, const struct store_seg *seg, u32 segs);
	/* Waits for the writes given so far and makes them durable; -EIO if one of them failed. */
	int (*flush)(void *dev);
	void *(*alloc)(size_t size); /* NULL: no memory */
	void (*free)(void *p);
	/* Or NULL. Begins all writes that were given so far. */
	void (*push)(void *dev);
	/* Or NULL. Begins the flush for the writes given so far, and does not wait: the next
	 * `flush` waits for it, and speaks of these writes alone. */
	void (*flush_begin)(void *dev);
	/* Or NULL. Called between the two, when nothing of what was put is needed any more but for
	 * the writes under way. */
	void (*written)(void *dev);
};

struct store;

struct store_how {
	bool readonly;
	u64 epoch;	/* to open; 0: the last one */
	u32 base_items; /* write the tree after so many; 0: the default */
};

enum store_kind { STORE_IS, STORE_BLANK, STORE_OTHER };

struct store_status {
	u8 uuid[16];
	u64 blocks, used, created_ns;
	u64 epoch;  /* that the store shows */
	u64 oldest; /* that can be opened */
	u64 base;   /* epoch of the tree on the disk */
	u64 items_since_base;
	u64 room;     /* blocks that may be put at most, older epochs given up for them */
	u32 attempts; /* to resume this epoch so far */
	bool readonly;
	int failed; /* 0, or why there are no more commits */
};

struct store_epoch {
	u64 epoch, records, items;
	u64 payload; /* blocks */
	struct store_note note;
};

/* What the disk holds: a store, nothing at all, or something that is not ours to write. */
int __must_check store_probe(const struct store_ops *ops, void *dev, u64 blocks,
			     enum store_kind *kind);
/* Makes an empty store, epoch 0. */
int __must_check store_format(const struct store_ops *ops, void *dev, u64 blocks, const u8 uuid[16],
			      u64 now_ns);
/* Opens the last epoch that was committed, or the one asked for, if it is kept. Writes nothing.
 * -ENODEV: no store; -EOPNOTSUPP: of a later format; -ENXIO: the disk is shorter than the store;
 * -ENOENT: no such epoch; -EBADMSG: damaged; -EIO; -ENOMEM. */
int __must_check store_open(const struct store_ops *ops, void *dev, u64 blocks,
			    const struct store_how *how, struct store **out);
void store_close(struct store *s); /* what was not committed is forgotten */

/* 1 to 4096 bytes. Less than a block is copied; a whole block is taken where it lies, and must stay
 * as it is until the commit. -ENOMEM, -ENOSPC, -EROFS, -EIO, -EBADMSG: all that was put is
 * forgotten, as by store_abort. */
int __must_check store_put(struct store *s, u64 oid, u64 idx, const void *data, u32 length);
/* The same for a whole block whose hash64() is known. */
int __must_check store_put_hashed(struct store *s, u64 oid, u64 idx, const void *block, u64 hash);
/* Takes out what the object has from index `first` to `last`. Errors as store_put. */
int __must_check store_delete(struct store *s, u64 oid, u64 first, u64 last);
int __must_check store_commit(struct store *s, const struct store_note *note, u64 *epoch);
void store_abort(struct store *s);
/* After -ENOSPC: commits epochs that change nothing until what was deleted can be used again, at
 * the price of the older epochs. 0: there is more room than before; -ENOSPC, and errors as
 * store_commit. */
int __must_check store_recycle(struct store *s);

/* buf has room for a block. -ENOENT, -EBADMSG (not what was put), -EIO, -ENOMEM. */
int __must_check store_get(struct store *s, u64 oid, u64 idx, void *buf, u32 *length);
/* The first item at or after the key. -ENOENT: none. */
int __must_check store_next(struct store *s, u64 oid, u64 idx, struct store_item *item);

void store_status(const struct store *s, struct store_status *st);
/* One of the epochs from `oldest` to the shown one. -ENOENT. */
int __must_check store_epoch(struct store *s, u64 epoch, struct store_epoch *e);
/* Counts an attempt to resume the shown epoch, durably. What it wrote is read again: flash that has
 * come to its end says that it takes writes. -EROFS, -ENOMEM, -EIO: not counted. */
int __must_check store_attempt(struct store *s);
/* Takes the last one back: that it came to nothing says nothing of the epoch. Errors as there. */
int __must_check store_attempt_void(struct store *s);

/* Reads everything that the shown epoch leads to and counts every block. Tells each fault in a
 * line; => returns how many there were, or a negative errno. */
struct store_report {
	void (*fault)(void *arg, const char *what, u64 a, u64 b);
	void *arg;
	u64 items, pages, bytes; /* out */
};
long store_check(struct store *s, struct store_report *r);

#endif
