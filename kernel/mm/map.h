/*
 * Address spaces: ordered mappings over objects, and the page faults that fill the pmap from them.
 *
 * A mapping shows [offset, offset + size) of `object` (NULL: zero-filled), with privately changed
 * pages in `anon` on top (NULL: none yet). fork shares both; `needs_copy` says that anon is shared
 * and has to be cloned before the next write (its frames stay shared by reference count).
 */
#ifndef MM_MAP_H
#define MM_MAP_H

#include "core/mutex.h"
#include "core/thread.h"
#include "lib/rbtree.h"
#include "mm/object.h"
#include "mm/pmap.h"

#define VM_READ	 1u
#define VM_WRITE 2u
#define VM_EXEC	 4u

#define VM_SHARED	   1u
#define VM_NORESERVE	   2u
#define VM_STACK	   4u /* grows down to its limit */
#define VM_FIXED	   8u /* replace what is there */
#define VM_FIXED_NOREPLACE 16u
#define VM_DEVICE	   32u
#define VM_NOFORK	   64u /* MADV_DONTFORK */
#define VM_WIPEFORK	   128u
#define VM_LOCKED	   256u
#define VM_NOHUGE	   512u
#define VM_POPULATE	   1024u
#define VM_32BIT	   2048u

struct vm_mapping {
	struct rb_node node;	  /* [map] by start */
	vaddr_t start, end;	  /* [map] */
	struct vm_map *map;	  /* [I] */
	struct vm_object *object; /* [I] */
	u64 offset;		  /* [map] bytes into object of `start` */
	struct vm_object *anon;	  /* [map, anon faults] */
	u64 anon_offset;	  /* [map] */
	bool needs_copy;	  /* [map] */
	bool shows_zeros;	  /* [anon->lock] a table may show the page of zeros for it */
	u8 prot;		  /* [map] VM_READ... */
	u8 max_prot; /* [I] what mprotect may give (file opened read-only and shared) */
	u32 flags;   /* [map] */
	struct mem_policy policy;     /* [map] MPOL_DEFAULT: the thread's */
	struct list object_link;      /* [object->lock] */
	struct list anon_link;	      /* [anon->lock] */
	u64 file_pages;		      /* [a] pages of object it entered, for rss_file */
	struct vm_mapping *next_dead; /* [map] between removal and release */
	void *file;	       /* [I] struct file with a reference, for /proc/self/maps; or NULL */
	struct list file_link; /* [map] in map->filed, if there is a file */
	const char *label;     /* [I] "[heap]", "[stack]", "[vdso]", NULL */
};

struct vm_map {
	struct refcount refs;
	struct rwlock lock;
	struct rb_tree mappings; /* [lock] */
	u64 changes;		 /* [lock] grows when a mapping goes or becomes another range */
	u64 edits;		 /* [a] grows with each change of what is written of a mapping */
	struct list filed;	 /* [lock] struct vm_mapping: those of a file */
	void **files;		 /* [cut] their files, as of files_edits, up to a NULL; or NULL */
	u64 files_edits;	 /* [cut] of edits */
	struct pmap *pmap;	 /* [I] */
	u64 size_pages;		 /* [lock] mapped, all */
	u64 committed_pages;	 /* [lock] private writable without NORESERVE */
	u64 limit_pages;	 /* [lock] RLIMIT_AS; ~0 none */
	u64 rss_anon, rss_file;	 /* [a] approximations for /proc */
	u64 max_rss;		 /* pages; vm_map_peak() */
	vaddr_t mmap_base;	 /* [I] top of the area for mmap, randomised */
	vaddr_t search_top;	 /* [lock] no hole above it is larger than search_hole */
	u64 search_hole;
	vaddr_t brk_start, brk;				/* [lock] */
	vaddr_t stack_top;				/* [I] */
	u64 stack_limit;				/* [lock] bytes */
	vaddr_t arg_start, arg_end, env_start, env_end; /* [I] after exec */
	vaddr_t vdso;					/* [I] */
	u64 faults_minor, faults_major;			/* [a] */
	u32 future_flags;	      /* [lock] VM_LOCKED after mlockall(MCL_FUTURE) */
	u32 membarrier;		      /* [a] what the process registered for */
	struct persistent persistent; /* [cut] */
};

struct vm_mmap_args {
	vaddr_t addr; /* hint, or the place with VM_FIXED */
	u64 size;
	u8 prot, max_prot;
	u32 flags;
	struct vm_object *object; /* NULL: anonymous. A reference is taken. */
	u64 offset;
	void *file; /* a reference is taken through vm_file_ops */
	const char *label;
};

/* struct file is above mm: how to hold and release one. Set once by file/. */
struct vm_file_ops {
	void (*get)(void *file);
	void (*put)(void *file);
	const struct persist_kind *persist; /* how one is written down; NULL: it is not */
};
void vm_map_set_file_ops(const struct vm_file_ops *ops);

struct vm_map *vm_map_create(void); /* with no place for anything yet; NULL: no memory */
/* Where the stack and the area of mmap are: anywhere, or at the same place each time. => nothing is
 * mapped yet */
void vm_map_lay_out(struct vm_map *m, bool random);
void vm_map_get(struct vm_map *m);
void vm_map_put(struct vm_map *m); /* the last one unmaps everything */
/* The most pages that were resident at once, about. */
u64 vm_map_peak(const struct vm_map *m);
/* A copy for fork: shares objects, copy-on-write for private memory. */
int __must_check vm_map_fork(struct vm_map *parent, struct vm_map **out);

/* All: 0 or a negative errno as in man 2; sizes and addresses already page-rounded by the caller.
 */
int __must_check vm_mmap(struct vm_map *m, const struct vm_mmap_args *a, vaddr_t *out);
int vm_munmap(struct vm_map *m, vaddr_t addr, u64 size);
int vm_mprotect(struct vm_map *m, vaddr_t addr, u64 size, u8 prot);
int vm_mremap(struct vm_map *m, vaddr_t old, u64 old_size, u64 new_size, unsigned flags,
	      vaddr_t new_addr, vaddr_t *out);
int vm_madvise(struct vm_map *m, vaddr_t addr, u64 size, int advice);
int vm_mincore(struct vm_map *m, vaddr_t addr, u64 size, u8 *out);
int vm_mlock(struct vm_map *m, vaddr_t addr, u64 size, bool lock, bool populate);
/* mlockall and munlockall: `now` for what there is (brought in with `populate`), `future` for what
 * will be mapped. */
int vm_mlock_all(struct vm_map *m, bool now, bool future, bool populate);
int vm_msync(struct vm_map *m, vaddr_t addr, u64 size);
vaddr_t vm_brk(struct vm_map *m, vaddr_t brk); /* the break afterwards, changed or not */

/* Serves a fault at `va`. 0; -EFAULT: SIGSEGV, no mapping; -EACCES: SIGSEGV, protection;
 * -ENXIO: SIGBUS; -ENOMEM: out of memory (the process is ended with a log line). May sleep. */
int vm_fault(struct vm_map *m, vaddr_t va, unsigned access);
/* Faults a range in for reading or writing; 0 or as vm_fault. */
int vm_populate(struct vm_map *m, vaddr_t addr, u64 size, unsigned access);
/* Copies between another process's memory and a kernel buffer (ptrace-like: /proc/pid/mem, argv).
 */
ssize_t vm_map_copy(struct vm_map *m, vaddr_t addr, void *buf, size_t n, bool write);
/* A key for futexes: (object, byte offset) for shared memory, (map, address) for private.
 * Takes a reference of the object, dropped with vm_object_put when *obj is not NULL. */
int vm_futex_key(struct vm_map *m, vaddr_t va, struct vm_object **obj, u64 *offset);
/* Calls fn for each mapping in order, under the read lock (for /proc/pid/maps, smaps). */
int vm_map_for_each(struct vm_map *m, int (*fn)(struct vm_mapping *v, void *arg), void *arg);
/* Bytes of `v` that have frames. */
u64 vm_mapping_resident(struct vm_mapping *v);
/* A random multiple of the page size below 2^(bits + 12), for ASLR. */
u64 vm_random_offset(unsigned bits);
void mm_init(void); /* machine-wide, boot core, end of D3 */

#endif
