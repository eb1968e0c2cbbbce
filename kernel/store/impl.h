/*
 * What the store's files share: the store in memory, the tree's nodes, the transaction, the count
 * of every block's holders. doc/store.md has the rules.
 *
 * A block's count is how many reasons there are not to give it out: items in it that some kept
 * epoch has, tree pages and records that recovery needs, the reserved heads. What dies in an epoch
 * keeps its hold until no kept epoch has it (`pending`); records and tree pages die with the tree
 * that replaces them (`base_dead`, then pending).
 */
#ifndef STORE_IMPL_H
#define STORE_IMPL_H

#include <asm/errno.h>
#include "lib/assert.h"
#include "lib/string.h"
#include "store/store.h"

#define MAP_BLOCKS	4096u /* that one item of STORE_OID_MAP counts */
#define BLOCK_HOLDS_MAX 255u
#define PART_ITEMS	(STORE_LEAF_MAX * STORE_EXTENTS) /* of one record, wherever they lie */
#define PART_BLOCKS	PART_ITEMS			 /* each has an item */
#define BASE_ITEMS	16384u
#define SEAL_BLOCKS	256u /* epochs from this size on get a mark */
#define OUT_SEGS	1024u
#define REUSE_BLOCKS	64u /* of payload at most: the epoch goes to blocks that are used again */
#define REUSE_RUNS	12u

#define VEC_PIECE 512u
#define VEC_KEEP  4u /* pieces of an empty one */

/* Numbers, in pieces of a block each: an epoch may be of millions of items, and the kernel has no
 * memory of that length in one. */
struct vec {
	u64 **piece;
	size_t n, pieces, room; /* room: for pointers to pieces */
};

static inline u64 *
vec_at(const struct vec *v, size_t i)
{
	return &v->piece[i / VEC_PIECE][i % VEC_PIECE];
}

/* => vec_room said that there is room */
static inline void
vec_add(struct vec *v, u64 x)
{
	*vec_at(v, v->n++) = x;
}

struct key {
	u64 oid, idx;
};

struct bnode {
	struct bnode *next; /* of tx.made, or of tx.garbage */
	u64 tx;		    /* the transaction whose tree alone has it; old numbers: none */
	bool dead;	    /* made and dropped in one transaction */
	bool replaced;	    /* only the committed tree has it */
	u64 block;	    /* where it lies, 0: nowhere yet */
	struct bnode **kid; /* of an inner node; NULL where not loaded */
	struct store_tree_page *page;
};

struct chunk {
	u8 *count; /* NULL: as in the tree */
	bool dirty;
	u64 new_block; /* while a base is made */
};

struct run {
	u64 at, blocks;
};

struct space {
	struct chunk *chunk;
	u64 chunks;
	u64 cursor; /* where to look next */
	u64 top;    /* of the cursor, so far: what lies below was written before */
	u64 free;
	struct run run[REUSE_RUNS]; /* of free blocks that were written before */
	struct run body, meta;	    /* such, for payload and for heads of small epochs */
	struct run fresh;	    /* being cleared: not to be given out */
};

struct payload {
	const void *data;
	u64 block;
	bool hashed; /* its one item is */
};

struct chain { /* the end of the records so far */
	u64 epoch, seq;
	struct hash128 record;
	u64 next[2];
};

/* The leaf that an item was put into last: the next one mostly belongs beside it. */
struct near {
	struct bnode *leaf; /* of the tree in the making; NULL: not known */
	unsigned at;
	bool bounded;
	struct key limit; /* bounded: below it keys are the leaf's */
};

#define UNDO_WORDS 8u /* leaf, place, the item that was there */

struct tx {
	bool open;
	bool in_place; /* nobody looks at the committed tree before the end */
	int error;     /* of a put: the commit's result */
	u64 number;
	struct bnode *root, *made, *garbage;
	struct vec dead;      /* blocks that lose a holder in this epoch */
	struct vec base_dead; /* at the next base */
	struct vec given;     /* allocated */
	struct vec bufs;      /* our memory that is being written */
	struct vec undo;      /* of leaves of the committed tree; UNDO_WORDS each */
	struct near near;
	struct store_desc_block **desc; /* of the part; [PART_ITEMS / LEAF_MAX] */
	struct payload *blk;		/* of the part; [PART_BLOCKS] */
	u32 items, blks;
	u32 plain; /* of blks: their hashes have to be made */
	u8 *pack;  /* block for small items, one of blk; NULL: none */
	u32 pack_block, pack_used, pack_items;
	struct store_record *head; /* of its first record, */
	u64 head_block;		   /* when it was given to the disk; 0: not yet */
	bool written;		   /* and so was all the rest */
	bool begun;		   /* something was */
	u32 part;
	struct chain chain; /* behind the parts written */
	u64 all_items, all_blks;
	u64 freed; /* bytes of items that end with it */
};

struct out { /* writes that are being merged */
	u64 block, blocks;
	struct store_seg seg[OUT_SEGS];
	u32 segs;
};

struct store {
	const struct store_ops *ops;
	void *dev;
	struct store_super super; /* the last that is durable */
	u64 super_tried;	  /* number of the last that was written */
	u64 super_rides;	  /* of that which goes with the epoch being written, 0: of none */
	bool readonly;
	int failed;
	int tries;    /* failed commits since the last good one */
	bool cut;     /* what may follow our last record has to go first */
	u32 attempts; /* of the shown epoch */
	bool sealed;  /* its mark says so */
	u64 kept;     /* epochs before it have lost blocks to some that were given up */
	u32 base_items;
	struct chain chain; /* the shown epoch */
	u64 horizon;	    /* what died up to here may be reused */
	u64 items_since_base;
	struct bnode *root;
	struct space space;
	struct vec pending; /* pairs: block, epoch of its death */
	size_t pending_head;
	struct vec base_dead;
	struct vec base_bufs; /* that are being written for it */
	struct vec base_out;  /* pairs: block, where its bytes are; until a flush */
	bool base_lost;	      /* a flush failed: write base_out again */
	bool base_waits;      /* no two superblocks tell of new_base yet */
	unsigned base_copies; /* superblocks that are still to say so */
	struct store_base new_base;
	struct store_epoch recent[STORE_KEEP]; /* by epoch % KEEP */
	struct tx tx;
	struct out out;
};

/* super.c */
void *store_zalloc(struct store *s, size_t size);
void *store_buf(struct store *s, struct vec *owner); /* a zeroed block that owner will free */
int vec_grow(struct store *s, struct vec *v, size_t more);
static inline int
vec_room(struct store *s, struct vec *v, size_t more)
{
	return v->n + more <= v->pieces * VEC_PIECE ? 0 : vec_grow(s, v, more);
}
static inline int
vec_push(struct store *s, struct vec *v, u64 x)
{
	int err = vec_room(s, v, 1);

	if (!err)
		vec_add(v, x);
	return err;
}
void vec_drop(struct store *s, struct vec *v, size_t n); /* the first n */
void vec_clear(struct store *s, struct vec *v);		 /* what a large epoch took is given back */
void vec_free(struct store *s, struct vec *v);
void vec_free_bufs(struct store *s, struct vec *v); /* v holds buffers */
int super_read(const struct store_ops *ops, void *dev, u64 blocks, struct store_super *out,
	       unsigned *copies); /* the best; how many slots lead to its base */
void super_seal(struct store_super *sb);
u64 super_number(struct store *s);  /* of the next one to write, which gives its slot */
int super_upgrade(struct store *s); /* durably says all that this code may write */
int mark_read(struct store *s, const struct chain *c, struct store_mark *m);
void mark_seal(struct store *s); /* the epoch is durable; without a flush of its own */
u64 store_oldest(const struct store *s, u64 last, u64 kept);
int mark_flush(struct store *s);		     /* what is known of the shown epoch, durably */
bool extent_valid(u64 blocks, u64 block, u64 count); /* of the data area */

/* space.c */
int space_init(struct store *s);
void space_free(struct store *s);
int space_count(struct store *s, u64 block, u8 **count); /* where it is counted */
int space_hold(struct store *s, u64 block);
void space_drop(struct store *s, u64 block);  /* => a held block */
int space_alloc(struct store *s, u64 *block); /* one, near the last; held, and in tx.given */
int space_is_free(struct store *s, u64 block, bool *free);
int space_take(struct store *s, u64 block, bool *free);	    /* if it is: as by space_alloc */
int space_dying(struct store *s, struct vec *v, u64 block); /* into a list of the dead */
u64 space_reserve(const struct store *s);
u64 space_room(const struct store *s);
void space_mature(struct store *s); /* frees what died up to the horizon */

/* reuse.c */
void reuse_note(struct space *sp, struct run freed);
void reuse_begin(struct space *sp, u64 payload);
int reuse_alloc(struct store *s, struct run *from, u64 *block); /* NULL: as space_alloc */
void reuse_prepare(struct store *s, u64 payload);
void reuse_cleared(struct space *sp);

/* btree.c */
static inline int
key_cmp(u64 aoid, u64 aidx, u64 boid, u64 bidx)
{
	if (aoid != boid)
		return aoid < boid ? -1 : 1;
	return aidx < bidx ? -1 : aidx > bidx;
}
int btree_empty(struct store *s); /* s->root: a leaf of nothing */
int btree_load(struct store *s, u64 block, struct hash128 hash, unsigned level, struct bnode **out);
int btree_kid(struct store *s, struct bnode *n, unsigned i, struct bnode **out);
int btree_next(struct store *s, struct bnode *root, u64 oid, u64 idx, struct store_item *item);
/* Of tx.root. *had: whether there was one, then it is in *old. */
int btree_insert(struct store *s, const struct store_item *item, struct store_item *old, bool *had);
int btree_remove(struct store *s, u64 oid, u64 idx, struct store_item *old);
void btree_free(struct store *s, struct bnode *root);
void btree_settle(struct store *s, bool keep); /* frees the nodes of one of the two trees */

/* tx.c */
int tx_begin(struct store *s);
/* One descriptor, into the tree in the making. `hold`: its block has to be held for it. */
int tx_apply(struct store *s, const struct store_item *item, bool hold);
/* The tree in the making becomes the tree. => what died has room in the lists */
void tx_keep(struct store *s);
void tx_drop(struct store *s); /* and all that was allocated for it */
int out_put(struct store *s, u64 block, const void *data);
int out_end(struct store *s);

/* Frees what no epoch that is kept needs. */
void store_horizon(struct store *s);
int store_cut(struct store *s);

/* recover.c */
int store_recover(struct store *s, u64 want);

/* base.c */
void base_write(struct store *s);	      /* the tree, when it is time for it */
int base_publish(struct store *s, u64 epoch); /* a superblock along with the epoch, if it is time */
void base_durable(struct store *s);	      /* a flush succeeded */
void base_redo(struct store *s);	      /* a flush failed */
int base_again(struct store *s);

/* record.c */
struct hash128 record_fold(struct hash128 sum, const void *block);
void record_seal(struct store_record *r);
bool record_ours(const struct store *s, const struct store_record *r);
/* Reads the record that may follow `c`: 0, or -ENOENT when there is none that is right. */
int record_follow(struct store *s, const struct chain *c, struct store_record *r, u64 *block);
int record_each(struct store *s, const struct store_record *r,
		int (*fn)(struct store *s, const struct store_item *item, void *arg), void *arg);
int item_valid(const struct store *s, const struct store_item *item);
/* Whether these are the bytes that the item was made of, and the hash that says so. */
bool item_is(const struct store_item *item, const void *data);
struct hash128 item_hash(const struct store_item *item, const void *data);
int item_read(struct store *s, const struct store_item *item, u8 *block); /* and checks its hash */

#endif
