/*
 * VM objects: where pages come from. One kind, one file, one ops table:
 *   anon    zero-filled memory of a private mapping or of MAP_SHARED|MAP_ANONYMOUS, with
 *           copy-on-write sharing of single frames between objects (fork)
 *   file    the page cache of a regular file (ram file, memfd, root-image file: frames in place)
 *   device  frames or registers of a device, and the vDSO data page
 *
 * An object holds a reference on each frame in its tree. Page tables hold none: they are a cache.
 * So a frame leaves an object only after every mapping has lost it and the TLBs were flushed.
 * Lock order: vm_map.lock, object.lock (a mapping's anon before its object), pmap.lock, frames.
 * A mapping's place (start, end, offsets) is changed under its map's lock for writing and the locks
 * of both its objects, so either is enough to read it.
 */
#ifndef MM_OBJECT_H
#define MM_OBJECT_H

#include "core/mutex.h"
#include "core/persist.h"
#include "lib/atomic.h"
#include "lib/radix.h"
#include "mm/frame.h"
#include "mm/registry.h"
#include "mm/uio.h"

struct vm_object;
struct vm_mapping;

struct vm_object_ops {
	const char *kind;
	u16 frame_flag; /* FF_ANON, FF_CACHE: what its frames are counted as */
	/* Makes page `index` present in the tree or names it directly: *out gets the frame with a
	 * reference for the caller. `write` asks for a frame that may be written (a root-image file
	 * replaces the image's frame by a copy). 0, -ENOMEM, -EFAULT (beyond the end: SIGBUS),
	 * -EAGAIN (it is on the disk or on its way there: home_page_in(), then again).
	 * => called with object->lock held; does not sleep. */
	int (*get_frame)(struct vm_object *o, u64 index, bool write, struct frame **out);
	/* The address of page `index` if it is there already and may be shown for reading; else 0.
	 * => called with object->lock held */
	paddr_t (*peek)(struct vm_object *o, u64 index);
};

struct vm_object {
	struct refcount refs;		 /* [a] */
	const struct vm_object_ops *ops; /* [I] */
	struct spinlock lock;		 /* rank RANK_OBJECT */
	struct radix pages;		 /* [lock] index -> struct frame */
	u64 size;	      /* [lock] bytes; mappings beyond it get SIGBUS (file kinds) */
	struct list mappings; /* [lock] vm_mapping.object_link; of a mapping's anon: anon_link */
	u64 image_base;	      /* [I] paddr of in-place root image data or device, 0 none */
	u64 image_size;	      /* [lock] bytes of it that are still valid */
	u64 resident;	      /* [lock] frames in the tree */
	bool uncached;	      /* [I] device registers */
	struct registered registered; /* mm/registry.c */
	struct replicas *replicas;    /* [lock] copies of its text in other clusters, or NULL */
	bool is_private; /* [I] the anon of private mappings: these are on `mappings` */
	bool closed;	 /* [lock] an anon that is not to be extended any more */
	struct shared_policy *policies; /* [lock] mm/policy_shared.c */
	/* What follows is for checkpoints, see mm/home.h. */
	struct persistent persistent; /* [cut] */
	struct vm_home *home;	      /* [lock] where its pages are kept on the disk, or NULL */
	struct list borrowed;	      /* [lock] struct home_use: whose pages it shows, too */
	struct list borrower_link;    /* [homes lock] while it does */
	bool borrowed_dirty;	      /* [a] some of these may not be stored yet */
	struct list image_link;	      /* [cut] on homes.images */
	bool image_stored;	      /* [a] what it shows of the root image is on the disk */
	struct list file_link;	      /* [homes lock] on homes.files */
	u64 reclaim_at;		      /* [lock] the page that reclaim.c looks at next */
};

/* Objects start with one reference. NULL: out of memory. */
struct vm_object *vm_object_create_anon(void);
struct vm_object *vm_object_create_file(u64 size);
/* A file whose bytes lie page-aligned at paddr in the root image. */
struct vm_object *vm_object_create_image(paddr_t paddr, u64 size);
/* `n` pages at paddr, not in any tree; uncached for registers. */
struct vm_object *vm_object_create_device(paddr_t paddr, u64 pages);
void vm_object_get(struct vm_object *o);
void vm_object_put(struct vm_object *o);

/* The page cache side of read(2) and write(2). May sleep. The caller serialises writers with the
 * file's own lock. Return bytes done or a negative errno. Reads stop at size; writes extend it. */
ssize_t vm_object_read(struct vm_object *o, struct uio *u, u64 offset);
ssize_t vm_object_write(struct vm_object *o, struct uio *u, u64 offset);
/* Changes the size; frames beyond go away from every mapping, the rest of the last one is zeroed.
 */
int vm_object_truncate(struct vm_object *o, u64 size);
/* Drops the frames of [first, first + n) (MADV_REMOVE, hole punching). 0 or -ENOMEM. */
int __must_check vm_object_drop(struct vm_object *o, u64 first, u64 n);
/* Allocates frames of the range (fallocate). */
int vm_object_allocate(struct vm_object *o, u64 offset, u64 size);
/* SEEK_DATA / SEEK_HOLE: next offset at or after `offset`, -ENXIO. */
s64 vm_object_seek(struct vm_object *o, u64 offset, bool hole);
u64 vm_object_resident(const struct vm_object *o); /* pages with memory of their own */

/* For the kinds. NULL: out of memory. */
struct vm_object *object_create(const struct vm_object_ops *ops);
/* Puts a frame into an empty slot, with the caller's reference. 0 or -ENOMEM. => o->lock held */
int __must_check object_insert(struct vm_object *o, u64 index, struct frame *f);
/* The same for a frame that another object has, too (after fork). */
int __must_check object_insert_shared(struct vm_object *o, u64 index, struct frame *f);
/* Replaces a frame that is on its way to the disk by a copy. 0; -EAGAIN: there is no memory for
 * one, home_page_in() waits until the page may be written.
 * => o->lock held; *f is page `index`; not for a mapping's anon */
int __must_check object_writable(struct vm_object *o, u64 index, struct frame **f);
/* Takes a frame out; the reference is the caller's. NULL: there was none. => o->lock held */
struct frame *object_extract(struct vm_object *o, u64 index);
/* Takes up to n frames of [*first, end) out, *first goes behind the last. How many. => o->lock held
 */
unsigned object_take(struct vm_object *o, u64 *first, u64 end, struct frame **out, unsigned n);
/* Takes the translations of n pages out of every mapping. => o->lock held; not for a mapping's anon
 */
void object_unmap(struct vm_object *o, u64 first, u64 n);
/* Puts the frames of [first, end) in batches, with the lock taken for each. => nothing shows them
 */
void object_release(struct vm_object *o, u64 first, u64 end);

#endif
