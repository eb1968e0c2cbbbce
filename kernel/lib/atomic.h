/*
 * Atomic operations on plain integers, in the compiler's own builtins.
 * Members used so carry [a] in their structure's legend. The default order is sequentially
 * consistent; _relaxed is for counters that nobody synchronises on.
 */
#ifndef LIB_ATOMIC_H
#define LIB_ATOMIC_H

#include "lib/types.h"

#define atomic_load(p)		   __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define atomic_load_relaxed(p)	   __atomic_load_n((p), __ATOMIC_RELAXED)
#define atomic_store(p, v)	   __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define atomic_store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define atomic_xchg(p, v)	   __atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST)
#define atomic_fetch_add(p, v)	   __atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST)
#define atomic_fetch_sub(p, v)	   __atomic_fetch_sub((p), (v), __ATOMIC_SEQ_CST)
#define atomic_add_fetch(p, v)	   __atomic_add_fetch((p), (v), __ATOMIC_SEQ_CST)
#define atomic_sub_fetch(p, v)	   __atomic_sub_fetch((p), (v), __ATOMIC_SEQ_CST)
#define atomic_fetch_or(p, v)	   __atomic_fetch_or((p), (v), __ATOMIC_SEQ_CST)
#define atomic_fetch_and(p, v)	   __atomic_fetch_and((p), (v), __ATOMIC_SEQ_CST)
#define atomic_add_relaxed(p, v)   __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)
#define atomic_fence()		   __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define compiler_barrier()	   __asm__ volatile("" ::: "memory")

/* Stores `new` if *p is `old`; returns whether it did. */
#define atomic_cas(p, old, new)                                                                    \
	({                                                                                         \
		__typeof__(*(p)) cas_expected = (old);                                             \
		__atomic_compare_exchange_n((p), &cas_expected, (new), false, __ATOMIC_SEQ_CST,    \
					    __ATOMIC_SEQ_CST);                                     \
	})

/* A reference count. refcount_put returns true to the one who dropped the last reference. */
struct refcount {
	u32 value; /* [a] */
};

static inline void
refcount_init(struct refcount *r, u32 n)
{
	atomic_store_relaxed(&r->value, n);
}

static inline void
refcount_get(struct refcount *r)
{
	atomic_add_relaxed(&r->value, 1);
}

/* Takes a reference unless the count is zero already. */
static inline bool
refcount_get_unless_zero(struct refcount *r)
{
	u32 v = atomic_load(&r->value);

	while (v != 0)
		if (__atomic_compare_exchange_n(&r->value, &v, v + 1, false, __ATOMIC_SEQ_CST,
						__ATOMIC_SEQ_CST))
			return true;
	return false;
}

static inline bool
refcount_put(struct refcount *r)
{
	return atomic_sub_fetch(&r->value, 1) == 0;
}

#endif
