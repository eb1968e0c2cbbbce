/*
 * Persistent objects: what every kind of kernel object says about the power cut.
 *
 * An object that outlives a cut has a struct persistent in it, and its kind a struct persist_kind.
 * At the cut, while no other code of the kernel or of a process runs, the engine (persist/) asks
 * the roots and then everything they reach to write themselves down; references are ids. At resume
 * it goes over all records three times, so that the order of records does not matter:
 *	make	allocates the object and sets what needs no other object
 *	link	finds the objects it refers to, which are all made, and takes its references
 *	start	whatever goes on: timers armed, sockets listening, threads runnable
 * and drops the reference that make gave. No pointer, no place in the kernel and no structure as it
 * lies in memory is ever written. doc/store.md has the rules, persist/kinds.c the list of kinds.
 *
 * Of most kinds each cut goes over all objects that it reaches. Those of a `marked` kind, of which
 * there may be very many, are left out as long as nobody has called persist_touch() for them: they
 * stay in the store, with what they refer to, from the first cut that reaches them until their
 * memory is freed (persist_gone). So whoever changes anything that save writes marks the object,
 * before or after, in one stretch in which no thread can be taken for standing still
 * (core/quiesce.h). What such an object refers to has to be of a marked kind, too, since nobody
 * goes there by way of it; only while it is `restless`, and so written each time, it may refer to
 * others. `persist-verify` on the kernel's command line has each cut compare all that was not
 * marked, or has the version of its record, with what the store has; a difference is a panic.
 */
#ifndef CORE_PERSIST_H
#define CORE_PERSIST_H

#include "core/core.h"
#include "core/spinlock.h"
#include "lib/atomic.h"
#include "lib/list.h"
#include "lib/tagged.h"
#include "lib/types.h"

struct persist_kind;

/* What the engine knows of an object of a marked kind; it outlives the object. */
struct persist_known {
	const struct persist_kind *kind; /* [marks] */
	void *object;			 /* [marks] NULL: it was freed */
	struct list gone;		 /* [marks] in marks->gone then */
};

struct persistent {
	u64 id;	 /* [cut] 0: not written down yet; given once, never again to another */
	u64 cut; /* [cut] the last one that reached it */
	struct persist_known
		*known; /* [marks] NULL: no cut has come here, or the kind is not marked */
	union {
		struct list mark; /* [marks] in marks->changed */
		u64 version;	  /* [cut] of a kind that is not marked: at its last record */
	};
	bool changed; /* [a] the mark is there */
};

/* The machine's, NULL without a store. */
struct persist_marks {
	struct spinlock lock; /* rank RANK_SLAB */
	struct list changed;  /* [lock] struct persistent: since the last cut */
	struct list gone;     /* [lock] struct persist_known: freed since the last cut */
};

#define PERSIST_ONLY_REACH 1 /* in tags.err, which writes nothing then */

struct persist_writer;
struct persist_reader;

struct persist_kind {
	const char *name;
	u16 number;    /* on the disk: never changes, never used again */
	size_t member; /* where its struct persistent is */
	/* Writes the object's fields. No locks are needed; it must not sleep, nor change anything
	 * but what it keeps for its own next cut. Errors stay in w->tags.err. */
	void (*save)(struct persist_writer *w, void *object);
	/* Optional, not for marked kinds. A number that is another whenever save would write other
	 * bytes; 0: not known, save. While it is the one of the last record, that record is kept
	 * and save not run: so what save refers to is reached here, too (persist_mix_ref), but for
	 * what is of a marked kind and was reached by that record. */
	u64 (*version)(struct persist_writer *w, void *object);
	bool marked; /* as said above */
	/* Optional, for marked kinds: true for an object that changes without being marked. It is
	 * marked after each cut for as long as that is so. */
	bool (*restless)(const void *object);
	/* *out: the object with one reference. A negative errno ends the resume; -EBADMSG for a
	 * record that makes no sense. May sleep. */
	int (*make)(struct persist_reader *r, void **out);
	int (*link)(struct persist_reader *r, void *object);  /* NULL: nothing to link */
	int (*start)(struct persist_reader *r, void *object); /* NULL: nothing to start */
	void (*put)(void *object);			      /* drops make's reference */
};

struct persist_writer {
	struct tag_writer tags;
	/* The engine's: gives the object its id, and sees that it is written in this cut. */
	u64 (*reach)(struct persist_writer *w, const struct persist_kind *kind, void *object);
};

struct persist_reader {
	struct tag_reader tags;
	u64 id; /* of the record's object */
	/* The engine's: the made object with this id and kind, or NULL. */
	void *(*find)(struct persist_reader *r, const struct persist_kind *kind, u64 id);
};

/* core/persist.c, for those below. */
void persist_mark(struct persistent *p);
void persist_forget(struct persistent *p);

/* What save writes of the object changes, or has. => see above; any context that may take a lock of
 * rank RANK_SLAB */
static inline void
persist_touch(struct persistent *p)
{
	if (unlikely(atomic_load_relaxed(&p->known) != NULL) && !atomic_load_relaxed(&p->changed))
		persist_mark(p);
}

/* The object is being freed. */
static inline void
persist_gone(struct persistent *p)
{
	if (unlikely(p->known != NULL))
		persist_forget(p);
}

/* The engine's. persist_know: from now on the object is known. persist_mark_known: the mark for an
 * object that may be freed at any time. persist_move: `to`, of an object of the other kind, takes
 * over from `from` all there is in the store, and is marked; `from` is as new. */
void persist_marks_init(struct persist_marks *m);
void persist_know(struct persistent *p, struct persist_known *known,
		  const struct persist_kind *kind, void *object);
void persist_mark_known(struct persist_known *known);
void persist_move(struct persistent *to, struct persistent *from, const struct persist_kind *kind,
		  void *object);

/* For versions: start with any number, add what is written, one by one. Never 0 in the end. */
static inline u64
persist_mix(u64 h, u64 x)
{
	h = (h ^ x) * 0x9e3779b97f4a7c15ul;
	h ^= h >> 29;
	return h ? h : 1;
}

/* => the writer was reset. What is saved next only reaches its targets; nothing is written. */
static inline void
persist_only_reach(struct persist_writer *w)
{
	w->tags.err = PERSIST_ONLY_REACH;
}

/* Returns when an epoch that holds all that was done before the call is durable; at once without a
 * store. For calls that promise so. 0, -EIO, -ENOSPC, -EINTR: the caller is being killed. May sleep
 * for the time of a checkpoint. */
static inline int
persist_durable(void)
{
	return machine()->commit ? machine()->commit() : 0;
}

/* Before a file grows by so many bytes: 0, or -ENOSPC when the store could not keep them. What it
 * lets through may still be too much, memory needs room as well: then persist_durable says so. */
static inline int
persist_room(u64 bytes)
{
	return machine()->room ? machine()->room(bytes) : 0;
}

/* Asks for a checkpoint that is begun after the call. */
static inline void
persist_ask(void)
{
	if (machine()->ask)
		machine()->ask();
}

/* The same, and returns when it is over, well or not, or the caller is being killed. => the thread
 * is on its way to user mode, and in no call */
static inline void
persist_wait(void)
{
	if (machine()->wait)
		machine()->wait();
}

/* Before the machine is switched off because its first program ended: the next start has its files,
 * not its processes. May sleep. */
static inline void
persist_ending(void)
{
	if (machine()->ending)
		machine()->ending();
}

/* The same for a reference, by its id: another one when the store had forgotten the old one. */
static inline u64
persist_mix_ref(struct persist_writer *w, u64 h, const struct persist_kind *kind, void *object)
{
	u64 id = 0;

	if (object && kind->marked)
		id = ((struct persistent *)((char *)object + kind->member))->id;
	if (object && id == 0)
		id = w->reach(w, kind, object);
	return persist_mix(h, id);
}

/* A reference, which makes its target be written in this cut, too; NULL writes nothing. */
static inline void
persist_ref(struct persist_writer *w, u16 tag, const struct persist_kind *kind, void *object)
{
	if (object)
		tag_u64(&w->tags, tag, w->reach(w, kind, object));
}

/* The target, with no reference taken. NULL: none was written, or its record is missing or of
 * another kind; -EBADMSG is then right unless the field may be missing. `in`: r->tags or a group
 * of it. */
static inline void *
persist_get(struct persist_reader *r, const struct tag_reader *in, u16 tag,
	    const struct persist_kind *kind)
{
	u64 id = tag_get_u64(in, tag, 0);

	return id ? r->find(r, kind, id) : NULL;
}

/* The same for a field that was found by tag_next. */
static inline void *
persist_field(struct persist_reader *r, const struct tag_field *f, const struct persist_kind *kind)
{
	u64 id = tag_field_u64(f);

	return id ? r->find(r, kind, id) : NULL;
}

#endif
