/*
 * The store on the disk, in blocks of 4 KiB, little endian; doc/store.md tells the protocol.
 *
 *	block 0..15	never touched: boot sector, partition table
 *	SLOT_BLOCK[i]	the superblock's slots, each in a MiB of its own
 *	MARK_BLOCK[i]	slots by epoch: the attempts to resume it
 *	DATA_FIRST..	records, items, tree pages, as space_alloc gives them out
 *
 * An epoch is one record or several in a chain; each names the two places where its follower's head
 * may lie. A record is a head, descriptor blocks, and the payload they describe. Everything is
 * checked by a hash that its referrer holds, or, for heads and superblocks, that it holds itself.
 */
#ifndef STORE_FORMAT_H
#define STORE_FORMAT_H

#include "lib/hash.h"
#include "lib/types.h"

#define STORE_BLOCK	   4096u
#define STORE_DATA_FIRST   1024u
#define STORE_MIN_BLOCKS   2048u
#define STORE_MAX_BLOCKS   (1ull << 31)
#define STORE_SLOTS	   4u
#define STORE_SLOT_BLOCK   ((const u64[]){16, 256, 512, 768})
#define STORE_MARKS	   4u
#define STORE_MARK_BLOCK   ((const u64[]){17, 257, 513, 769})
#define STORE_VERSION	   1u
#define STORE_KEEP	   4u /* epochs that can be resumed */
#define STORE_SUPER_MAGIC  0x314552304f545348ull
#define STORE_RECORD_MAGIC 0x314443524f545348ull
#define STORE_MARK_MAGIC   0x314b524d4f545348ull
#define STORE_TREE_MAGIC   0x45455254u

/* Features an implementation must know to read (incompat) or to write (ro_compat). */
#define STORE_COMPAT	     0ull
#define STORE_RO_COMPAT	     0ull
#define STORE_INCOMPAT_SUM64 1ull /* there may be items with STORE_SUM_64 */
#define STORE_INCOMPAT	     STORE_INCOMPAT_SUM64

/*
 * What is stored: bytes under (object, index), at most a block of them, inside one block. Index 0
 * to 2^32 - 1 are the pieces of an object's record, from 2^32 on its pages.
 */
#define STORE_OID_MAP  0ull /* of the store itself: counts of 4096 blocks an item */
#define STORE_OID_USER 16ull
#define STORE_PAGE(i)  ((1ull << 32) + (i))

struct store_item { /* of a tree leaf, and of a record's descriptors */
	u64 oid, idx;
	u64 block; /* STORE_DELETE: the last index */
	u16 offset;
	u16 length; /* 1..4096 */
	u16 op;
	u16 sum; /* what `hash` is */
	struct hash128 hash;
};

#define STORE_PUT    0u
#define STORE_DELETE 1u /* all of the object from idx to the index in `block` */

#define STORE_SUM_128 0u /* XXH3_128bits */
#define STORE_SUM_64  1u /* XXH64 in `low`, `high` is 0 */

struct store_child {  /* of an inner tree page */
	u64 oid, idx; /* nothing below comes before this key */
	u64 block;
	struct hash128 hash;
};

#define STORE_LEAF_MAX	85u
#define STORE_INNER_MAX 102u
#define STORE_HEIGHT	12u

struct store_tree_page {
	u32 magic;
	u16 level; /* 0: a leaf */
	u16 count;
	u64 zero;
	union {
		struct store_item item[STORE_LEAF_MAX];
		struct store_child child[STORE_INNER_MAX];
	};
};

struct store_desc_block {
	struct store_item item[STORE_LEAF_MAX];
	u64 zero[2];
};

/* What an epoch says of itself, for people. All may be 0. */
struct store_note {
	u64 real_ns; /* when, by the wall clock */
	u64 uptime_ns;
	u64 processes, threads, memory_bytes, files, file_bytes;
	u64 cause; /* of the checkpoint; the engine's numbers */
};

/* A tree page that others lead to, and where the records after it begin. */
struct store_base {
	u64 epoch;
	u64 seq; /* of the epoch's last record */
	struct hash128 record;
	u64 next[2];
	u64 root; /* 0: an empty tree */
	struct hash128 root_hash;
	u64 root_level;
	u64 used; /* blocks */
};

struct store_super { /* one sector; the rest of its block is zero */
	u64 magic;
	u32 version, block_size;
	u64 compat, ro_compat, incompat;
	u8 uuid[16];
	u64 seq;
	u64 blocks;
	u64 created_ns; /* wall clock */
	struct store_base base;
	u64 zero[41];
	struct hash128 hash; /* of all before it */
};

#define STORE_EXTENTS 192u
#define STORE_INLINE  64u

struct store_extent {
	u64 block, count;
};

struct store_record {
	u64 magic;
	u8 uuid[16];
	u64 seq, epoch;
	struct hash128 prev; /* the `hash` of the record before */
	u64 next[2];	     /* where the follower's head lies: [1] counts before [0] */
	u32 flags;
	u32 items;
	u32 extents; /* of descriptor blocks; 0: the descriptors are in here */
	u32 part;
	u64 payload; /* blocks */
	u64 payload_epoch;
	struct hash128 desc_hash; /* of the descriptor blocks in a chain, see record_fold */
	struct store_note note;
	u64 kept; /* epochs before this one cannot be opened any more; 0: as by STORE_KEEP */
	u64 zero[102];
	union {
		struct store_item item[STORE_INLINE];
		struct store_extent extent[STORE_EXTENTS];
	};
	struct hash128 hash; /* of all before it */
};

#define STORE_LAST 1u /* the epoch ends with this record */

struct store_mark { /* one sector */
	u64 magic;
	u8 uuid[16];
	u64 epoch;
	struct hash128 record; /* the epoch's last */
	u32 attempts;	       /* to resume it */
	u32 sealed;	       /* it was flushed: its payload need not be read to believe it */
	u64 kept;	       /* as in the record; where the epochs after this one were given up */
	struct hash128 hash;
};

_Static_assert(sizeof(struct store_item) == 48, "disk format");
_Static_assert(sizeof(struct store_child) == 40, "disk format");
_Static_assert(sizeof(struct store_tree_page) == STORE_BLOCK, "disk format");
_Static_assert(sizeof(struct store_desc_block) == STORE_BLOCK, "disk format");
_Static_assert(sizeof(struct store_super) == 512, "disk format");
_Static_assert(sizeof(struct store_record) == STORE_BLOCK, "disk format");

#endif
