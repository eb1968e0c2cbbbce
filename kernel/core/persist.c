/*
 * Marks of what has changed since the last cut, and of what is gone (core/persist.h).
 *
 * Life of a mark: persist_touch puts the object on marks->changed, once; a cut, with the machine
 * stopped, takes the whole list, writes these objects down and clears the marks. When a cut or its
 * commit fails, all of it is put back. An object that is freed leaves its persist_known behind on
 * marks->gone, from where the next cut has it deleted from the store.
 *
 * Locks: marks->lock, a leaf. A touch that finds the mark set takes none: with the machine stopped
 * no thread is between this look and the change that it belongs to.
 */
#include "core/persist.h"
#include "lib/assert.h"

void
persist_marks_init(struct persist_marks *m)
{
	spin_init(&m->lock, "marks", RANK_SLAB);
	list_init(&m->changed);
	list_init(&m->gone);
	machine()->marks = m;
}

/* => the lock is held */
static void
mark_locked(struct persist_marks *m, struct persistent *p)
{
	if (p->changed)
		return;
	list_add_tail(&m->changed, &p->mark);
	atomic_store(&p->changed, true);
}

static void
unmark_locked(struct persistent *p)
{
	if (p->changed)
		list_del(&p->mark);
	atomic_store(&p->changed, false);
}

void
persist_mark(struct persistent *p)
{
	struct persist_marks *m = machine()->marks;

	spin_lock(&m->lock);
	if (p->known)
		mark_locked(m, p);
	spin_unlock(&m->lock);
}

void
persist_forget(struct persistent *p)
{
	struct persist_marks *m = machine()->marks;

	spin_lock(&m->lock);
	unmark_locked(p);
	p->known->object = NULL;
	list_add_tail(&m->gone, &p->known->gone);
	p->known = NULL;
	spin_unlock(&m->lock);
}

void
persist_know(struct persistent *p, struct persist_known *known, const struct persist_kind *kind,
	     void *object)
{
	assert(kind->marked && !p->known && !known->object);
	known->kind = kind;
	known->object = object;
	list_init(&known->gone);
	atomic_store(&p->known, known);
}

void
persist_mark_known(struct persist_known *known)
{
	struct persist_marks *m = machine()->marks;

	spin_lock(&m->lock);
	if (known->object)
		mark_locked(m, (struct persistent *)((char *)known->object + known->kind->member));
	spin_unlock(&m->lock);
}

void
persist_move(struct persistent *to, struct persistent *from, const struct persist_kind *kind,
	     void *object)
{
	struct persist_marks *m = machine()->marks;
	struct persist_known *known;

	spin_lock(&m->lock);
	unmark_locked(from);
	known = from->known;
	*to = (struct persistent){.id = from->id, .cut = from->cut, .known = known};
	*from = (struct persistent){0};
	if (known) {
		known->kind = kind;
		known->object = object;
		mark_locked(m, to);
	}
	spin_unlock(&m->lock);
}
