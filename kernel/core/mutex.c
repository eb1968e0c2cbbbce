/* Sleeping locks over wait queues: see mutex.h. Ownership is handed to nobody: woken ones compete.
 */
#include "core/mutex.h"
#include "core/thread.h"
#include "lib/assert.h"
#include "lib/atomic.h"

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
	l->state = 0;
	l->writers_waiting = 0;
	l->writer = NULL;
	waitq_init(&l->read_waiters);
	waitq_init(&l->write_waiters);
}

static void
read_after_writers(struct rwlock *l)
{
	spin_lock(&l->lock);
	assert(l->writer != current_thread());
	while (atomic_load(&l->state) & RWLOCK_WRITER)
		(void)!waitq_sleep(&l->read_waiters, &l->lock, NS_FOREVER, 0);
	atomic_fetch_add(&l->state, 1);
	spin_unlock(&l->lock);
}

void
rwlock_read(struct rwlock *l)
{
	u32 state = atomic_load_relaxed(&l->state);

	debug_assert(may_sleep());
	while (!(state & RWLOCK_WRITER) && !atomic_cas(&l->state, state, state + 1))
		state = atomic_load_relaxed(&l->state);
	if (state & RWLOCK_WRITER)
		read_after_writers(l);
	current_thread()->locks_held++;
}

void
rwlock_read_done(struct rwlock *l)
{
	u32 before = atomic_fetch_sub(&l->state, 1);

	assert((before & ~RWLOCK_WRITER) > 0);
	current_thread()->locks_held--;
	if (before != (RWLOCK_WRITER | 1))
		return;
	/* The last reader that a writer waits for: it set the bit, and then looked at the readers
	 * under the lock. */
	spin_lock(&l->lock);
	waitq_wake_one(&l->write_waiters);
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
	atomic_fetch_or(&l->state, RWLOCK_WRITER);
	while (l->writer || atomic_load(&l->state) != RWLOCK_WRITER)
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
	if (l->writers_waiting) {
		waitq_wake_one(&l->write_waiters);
	} else {
		atomic_fetch_and(&l->state, ~RWLOCK_WRITER);
		waitq_wake_all(&l->read_waiters);
	}
	spin_unlock(&l->lock);
}

bool
rwlock_held_write(const struct rwlock *l)
{
	return l->writer == current_thread();
}
