/* Sleeping locks over wait queues: see mutex.h. Ownership is handed to nobody: woken ones compete.
 */
#include "core/mutex.h"
#include "core/thread.h"
#include "lib/assert.h"

void
mutex_init(struct mutex *m, const char *name)
{
	spin_init(&m->lock, name, RANK_WAITQ);
	m->owner = NULL;
	waitq_init(&m->waiters);
}

void
mutex_lock(struct mutex *m)
{
	struct thread *t = current_thread();

	debug_assert(may_sleep());
	spin_lock(&m->lock);
	assert(m->owner != t);
	while (m->owner)
		(void)!waitq_sleep(&m->waiters, &m->lock, NS_FOREVER, WAIT_EXCLUSIVE);
	m->owner = t;
	t->locks_held++;
	spin_unlock(&m->lock);
}

bool
mutex_trylock(struct mutex *m)
{
	struct thread *t = current_thread();
	bool got;

	spin_lock(&m->lock);
	got = !m->owner;
	if (got) {
		m->owner = t;
		t->locks_held++;
	}
	spin_unlock(&m->lock);
	return got;
}

void
mutex_unlock(struct mutex *m)
{
	spin_lock(&m->lock);
	assert(m->owner == current_thread());
	m->owner = NULL;
	current_thread()->locks_held--;
	waitq_wake_one(&m->waiters);
	spin_unlock(&m->lock);
}

bool
mutex_held(const struct mutex *m)
{
	return m->owner == current_thread();
}

void
rwlock_init(struct rwlock *l, const char *name)
{
	spin_init(&l->lock, name, RANK_WAITQ);
	l->readers = 0;
	l->writers_waiting = 0;
	l->writer = NULL;
	waitq_init(&l->read_waiters);
	waitq_init(&l->write_waiters);
}

void
rwlock_read(struct rwlock *l)
{
	debug_assert(may_sleep());
	spin_lock(&l->lock);
	assert(l->writer != current_thread());
	while (l->writer || l->writers_waiting)
		(void)!waitq_sleep(&l->read_waiters, &l->lock, NS_FOREVER, 0);
	l->readers++;
	current_thread()->locks_held++;
	spin_unlock(&l->lock);
}

/* Lets in whoever may go now. => l->lock held, no writer inside. */
static void
let_in(struct rwlock *l)
{
	if (l->writers_waiting) {
		if (l->readers == 0)
			waitq_wake_one(&l->write_waiters);
	} else {
		waitq_wake_all(&l->read_waiters);
	}
}

void
rwlock_read_done(struct rwlock *l)
{
	spin_lock(&l->lock);
	assert(l->readers > 0);
	l->readers--;
	current_thread()->locks_held--;
	let_in(l);
	spin_unlock(&l->lock);
}

void
rwlock_write(struct rwlock *l)
{
	struct thread *t = current_thread();

	debug_assert(may_sleep());
	spin_lock(&l->lock);
	assert(l->writer != t);
	l->writers_waiting++;
	while (l->writer || l->readers)
		(void)!waitq_sleep(&l->write_waiters, &l->lock, NS_FOREVER, WAIT_EXCLUSIVE);
	l->writers_waiting--;
	l->writer = t;
	t->locks_held++;
	spin_unlock(&l->lock);
}

void
rwlock_write_done(struct rwlock *l)
{
	spin_lock(&l->lock);
	assert(l->writer == current_thread());
	l->writer = NULL;
	current_thread()->locks_held--;
	let_in(l);
	spin_unlock(&l->lock);
}

bool
rwlock_held_write(const struct rwlock *l)
{
	return l->writer == current_thread();
}
