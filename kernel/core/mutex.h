/*
 * Sleeping locks: struct mutex, and struct rwlock (many readers or one writer; waiting writers go
 * first). First come, first served. May sleep; never taken in interrupts or under a spinlock. Not
 * recursive. A thread that holds one may touch user memory unless it is the vm_map's own lock.
 */
#ifndef CORE_MUTEX_H
#define CORE_MUTEX_H

#include "core/spinlock.h"
#include "core/waitq.h"

struct mutex {
	struct spinlock lock;
	struct thread *owner; /* [lock] */
	struct waitq waiters; /* [lock] */
};

#define RWLOCK_WRITER (1u << 31)

/* Readers that meet no writer change one word: it may lie in another cluster. */
struct rwlock {
	struct spinlock lock;
	u32 state; /* [a] readers inside; RWLOCK_WRITER: one is inside or waits, set under [lock] */
	u32 writers_waiting;			  /* [lock] */
	struct thread *writer;			  /* [lock] */
	struct waitq read_waiters, write_waiters; /* [lock] */
};

void mutex_init(struct mutex *m, const char *name);
void mutex_lock(struct mutex *m);
bool mutex_trylock(struct mutex *m);
void mutex_unlock(struct mutex *m);
bool mutex_held(const struct mutex *m); /* by this thread */

void rwlock_init(struct rwlock *l, const char *name);
void rwlock_read(struct rwlock *l);
void rwlock_read_done(struct rwlock *l);
void rwlock_write(struct rwlock *l);
void rwlock_write_done(struct rwlock *l);
bool rwlock_held_write(const struct rwlock *l);

#endif
