/* The engine's structures: see README.md for the life of a checkpoint. */
#ifndef PERSIST_IMPL_H
#define PERSIST_IMPL_H

#include "cluster/stop.h"
#include "core/blocked.h"
#include "core/mutex.h"
#include "core/persist.h"
#include "core/quiesce.h"
#include "lib/hash.h"
#include "lib/list.h"
#include "lib/radix.h"
#include "mm/cut.h"
#include "persist/record.h"
#include "store/disk.h"

#define RESUME_TRIES  3u
#define FEATURE_WORDS 7
#define SEED_BYTES    32

struct persist_options {
	char disk[16];
	u64 period_ms, epoch;
	bool fresh;
};

/* What the store has of an object. */
struct entry {
	struct list link; /* in persist->entries, or in cut->dead; an object's of a marked kind in
			     none */
	struct persist_known known; /* of a marked kind: the object */
	u64 id;
	u64 cut;	     /* a recent one that reached it; not for marked kinds */
	u64 version;	     /* kind->version at the last record; 0: not known */
	struct hash128 hash; /* of the record that the store has */
	u32 pieces;	     /* that record has */
	bool stored;
};

/* A record that is to be put; changes of its entry wait until the epoch is durable. */
struct record {
	struct list link;
	struct entry *entry;
	const struct persist_kind *kind; /* NULL: the system's */
	struct hash128 hash;		 /* once it is settled */
	u64 version;
	u32 pieces;	    /* record_put: in the store */
	bool unchanged;	    /* persist-verify: said to be as the last one */
	bool in_room;	    /* of the cut, and freed with it */
	struct list chunks; /* records.c: of one that fits no buffer, all of it */
	size_t length;
	u8 bytes[];
};

struct reached {
	const struct persist_kind *kind;
	void *object;
};

/* What a cut has come to, in pieces: there may be more objects than memory has room for in one. */
struct reached_piece {
	struct list link;
	unsigned n;
	struct reached at[];
};

/* One checkpoint from the cut to its commit. */
struct cut {
	struct persist_writer writer;
	struct persist *engine;
	u64 number;
	struct list queue;   /* struct reached_piece, all but the last full */
	u64 queued;	     /* in it; those behind the walk are written down */
	struct list changed; /* struct persistent: marked before this cut */
	struct list again;   /* the same: to be marked for the next one */
	bool only_marked;    /* what is being written may not refer to other kinds */
	u64 alive;	     /* of persist->entries, that it has come to */
	struct list records; /* struct record */
	struct list room;    /* struct record_room: where most of them lie */
	struct record *big;  /* its parts left the writer: what is being written, or NULL */
	struct list dead;    /* struct entry that this cut did not reach */
	struct vm_cut *memory;
	u8 seed[SEED_BYTES]; /* random numbers for the start from this epoch */
	u64 objects, walked; /* there are; written down */
	u64 processes, threads;
	bool last;					     /* threads stay at the boundary */
	ns_t asked, stopped, walk_end, memory_end, released; /* when */
};

struct figures {
	u64 commits, failed, skipped;
	ns_t wait_ns, pause_ns, commit_ns; /* of the last: for the standstill, in it, to durable */
	ns_t walk_ns, memory_ns;	   /* of the pause: over objects, over pages */
	u64 objects, walked, records, pages; /* of the last */
	u64 copied, beside;		     /* of all: struct vm_cut_figures */
	ns_t pause_max_ns;
};

struct persist {
	struct quiesce quiesce;
	struct persist_options options; /* [I] */
	struct store_disk disk;		/* [I] */
	struct mutex store_lock;	/* around the store */
	struct store *store;		/* [store_lock] */
	struct radix objects;		/* [engine] id -> struct entry */
	struct list entries; /* [engine] of kinds that are not marked, and of no object */
	u64 nentries;	     /* [engine] on the list */
	struct persist_marks marks;
	bool full;		     /* [engine] the next cut trusts no mark */
	bool versions;		     /* [engine] those of objects are what the store has */
	u64 next_id;		     /* [engine] */
	u64 cut;		     /* [engine] number of the last begun */
	u64 good_cut;		     /* [engine] of the last whose walk was complete */
	struct spinlock lock;	     /* rank RANK_FILE: */
	struct waitq work;	     /* [lock] the engine's thread */
	struct waitq done;	     /* [lock] who waits for a commit */
	struct waitq resumed;	     /* [lock] readers of /dev/holdfast */
	u64 asked;		     /* [lock] requests so far */
	u64 begun;		     /* [lock] requests that the cut under way holds */
	u64 finished;		     /* [lock] requests whose commit is over */
	int result;		     /* [lock] of the last such commit */
	u64 committed;		     /* [lock] requests that an epoch holds */
	u64 epoch;		     /* [lock] the last durable one */
	u64 room;		     /* [lock] bytes that files may take until the next */
	u64 size, used;		     /* [lock] bytes of the store, as of the last commit */
	ns_t period;		     /* [lock] NS_FOREVER: none */
	ns_t cut_ns;		     /* [lock] when the last durable one was cut */
	u64 resumes;		     /* [I] of this system, ever */
	u64 resumed_epoch;	     /* [I] 0: this was a clean boot */
	ns_t outage_ns, resume_ns;   /* [I] off; from opening the store to running */
	struct figures figures;	     /* [lock] */
	u64 features[FEATURE_WORDS]; /* [I] the processor's, system.c */
	struct load *load;	     /* while resuming */
	bool dead;		     /* [lock] the engine's thread could not be made */
	bool ended;		     /* [a] process 1 has: the next start is a clean one */
	bool button;		     /* [a] pressed: off after the next commit */
};

/* kinds.c */
const struct persist_kind *persist_kind(u16 number);
/* Whether objects of the kind outlive a start that keeps only the files. */
bool persist_kind_of_files(u16 number);

struct persist_root {
	u16 tag;
	const struct persist_kind *kind;
	void *(*get)(void); /* the object, NULL: none */
};
extern const struct persist_root persist_roots[];
extern const unsigned persist_roots_n;

/* system.c: the record of the system. */
void system_features(u64 word[FEATURE_WORDS]);
void system_save(const struct persist *p, struct persist_writer *w, const u8 seed[SEED_BYTES]);
void system_reach(struct persist_writer *w); /* its references alone */
/* Whether it is a system that can be resumed here, with its processes or without. 0, -EBADMSG,
 * -EOPNOTSUPP: the processor lacks what the processes use */
int __must_check system_check(struct persist *p, struct persist_reader *r);
/* Sets clocks and names. => before the file systems. 0, -EBADMSG */
int __must_check system_load(struct persist *p, struct persist_reader *r);
void *system_root(struct persist_reader *r, const struct persist_kind *kind);
/* Gives what every kernel makes anew the ids that records know it by. */
void known_objects_init(void);
void *known_object(u64 id, const struct persist_kind *kind);

/* cut.c */
void entry_table_init(struct persist *p);
struct entry *entry_get(struct persist *p, u64 id); /* made if there is none; NULL: no memory */
void entry_drop(struct persist *p, struct entry *e);
/* The entry is an object's of a marked kind. */
void entry_know(struct persist *p, struct entry *e, const struct persist_kind *kind, void *object);
/* Stops everything, writes it down, lets it go on. 0, or -ENOMEM, -E2BIG: nothing was cut. */
int __must_check cut_take(struct persist *p, struct cut *c);
/* It was not written: what it found changed is marked again. */
void cut_failed(struct cut *c);
void cut_free(struct cut *c); /* whether it was taken or not */

/* records.c. records_spill is the writer's; what it took goes with the next two, which are for the
 * object that was written last: keeping its record (0, -ENOMEM), dropping it. records_settle drops
 * those that the store has already; that takes time, and need not be done while all stands still.
 * `unchanged`: a panic unless it is one of these. */
int __must_check records_spill(struct tag_writer *w);
struct hash128 record_hash(const void *bytes, size_t length);
int __must_check records_keep(struct cut *c, struct entry *e, const struct persist_kind *kind,
			      u64 version, bool unchanged);
void records_drop(struct cut *c);
void records_settle(struct cut *c);
/* Memory for some records, for before it is needed; it is freed with all that lies there. */
bool records_make_room(struct cut *c);
void records_free_room(struct cut *c);
/* => store_lock held, what the record has stays until the commit is over */
int __must_check record_put(struct store *s, struct record *r);
void record_free(struct record *r);

/* commit.c */
int __must_check cut_commit(struct persist *p, struct cut *c, u64 *epoch);
/* The epoch is durable: lets go of what the cut held, and knows what the store has. */
void cut_committed(struct persist *p, struct cut *c);
int __must_check vm_pager_start(struct persist *p);
void commit_note_room(struct persist *p, int err); /* as the last commit ended. => store_lock */

/* resume.c */
/* Nothing but the record is read, and what it asks for. 0, -ENODATA: the epoch has none; -EBADMSG,
 * -EOPNOTSUPP as system_check, -EIO, -ENOMEM: it is as if it had not been called */
int __must_check resume_read_system(struct persist *p);
int __must_check resume_take_system(struct persist *p); /* => after that; errors as system_load */
void resume_forget(struct persist *p);			/* => nothing but these two was called */
int __must_check resume_load(struct persist *p);

/* engine.c */
void engine_init(void); /* => before programs, and before each cluster has its copy of the roots */
int persist_commit(u64 *epoch);
void persist_set_period(ns_t period);

/* status.c: /proc/holdfast/store */
void status_init(struct persist *p);
int __must_check status_word(const char *buf, size_t n); /* "period MS": 0 or -EINVAL */

/* device.c: /dev/holdfast. => before a resume */
void device_init(void);

static inline struct persist *
persist(void)
{
	return machine()->persist;
}

#endif
