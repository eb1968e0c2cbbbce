/*
 * /proc/holdfast/selftest: what a remote call and a barrier of all cores cost, measured when the
 * file is read. A kernel thread on each core calls the first core of every cluster, then all meet
 * at barriers.
 *
 * Locks: selftest.lock (a mutex), one measurement at a time; the rest is atomic.
 */
#include <asm/errno.h>

#include "arch/clock.h"
#include "cluster/cluster.h"
#include "file/dentry.h"
#include "lib/string.h"
#include "mm/kstack.h"
#include "mm/slab.h"

#define CALLS	 50 /* from each core to each cluster */
#define BARRIERS 100

struct selftest {
	struct mutex lock;
	struct spinlock done_lock;
	struct waitq changed;		 /* [done_lock] */
	enum { WAIT, GO, CANCEL } state; /* [done_lock] */
	u32 left;			 /* [done_lock] threads that have not ended */
	u32 wrong;			 /* [a] calls with a wrong result */
	u64 calls[2], ns[2], best[2];	 /* [done_lock] to the own cluster, to others */
	u64 barrier_ns;			 /* [done_lock] of all rounds */
};

struct measured {
	u64 calls, ns, best;
};

static void
call_cluster(struct selftest *s, const struct cluster *to, struct measured *m)
{
	if (to->core[0] == this_core())
		return;
	for (u32 i = 0; i < CALLS; i++) {
		ns_t began = clock_now();
		u64 took;

		if (rpc_call(to->core[0], RPC_PING, i, arch_core()->index) !=
		    i + arch_core()->index)
			atomic_add_relaxed(&s->wrong, 1);
		took = clock_now() - began;
		m->ns += took;
		m->calls++;
		m->best = m->best == 0 ? took : min(m->best, took);
	}
}

static u64
time_barriers(void)
{
	ns_t began;

	barrier_all();
	began = clock_now();
	for (u32 i = 0; i < BARRIERS; i++)
		barrier_all();
	return clock_now() - began;
}

/* Waits until all cores have their thread: they meet at barriers, so all do it or none. */
static bool
may_begin(struct selftest *s)
{
	bool go;

	spin_lock(&s->done_lock);
	while (s->state == WAIT)
		if (waitq_sleep(&s->changed, &s->done_lock, NS_FOREVER, 0))
			break;
	go = s->state == GO;
	spin_unlock(&s->done_lock);
	return go;
}

static void
run_on_core(struct selftest *s)
{
	struct measured m[2] = {0};
	u64 barrier_ns;

	for (u32 i = 0; i < machine()->nclusters; i++) {
		const struct cluster *to = machine()->cluster[i];

		call_cluster(s, to, &m[to != this_cluster()]);
	}
	barrier_ns = time_barriers();
	spin_lock(&s->done_lock);
	for (unsigned i = 0; i < 2; i++) {
		s->calls[i] += m[i].calls;
		s->ns[i] += m[i].ns;
		if (m[i].calls)
			s->best[i] = s->best[i] ? min(s->best[i], m[i].best) : m[i].best;
	}
	s->barrier_ns = max(s->barrier_ns, barrier_ns);
	spin_unlock(&s->done_lock);
}

static void
selftest_thread(void *arg)
{
	struct selftest *s = arg;

	if (may_begin(s))
		run_on_core(s);
	spin_lock(&s->done_lock);
	s->left--;
	waitq_wake_all(&s->changed);
	spin_unlock(&s->done_lock);
}

/* Runs it on every core to the end. 0 or -ENOMEM. => s->lock held */
static int
run_everywhere(struct selftest *s)
{
	u32 made = 0;
	int err;

	while (made < machine()->ncores &&
	       kthread_create("selftest", selftest_thread, s, 1UL << made) != NULL)
		made++;
	err = made < machine()->ncores ? -ENOMEM : 0;
	spin_lock(&s->done_lock);
	s->left += made;
	s->state = err ? CANCEL : GO;
	waitq_wake_all(&s->changed);
	while (s->left > 0)
		if (waitq_sleep(&s->changed, &s->done_lock, NS_FOREVER, 0))
			break;
	spin_unlock(&s->done_lock);
	return err;
}

size_t
selftest_show(char *buf, size_t size, void *arg)
{
	static const char *const where[2] = {"own_cluster", "other_cluster"};
	struct selftest *s = arg;
	size_t len = 0;
	int err;

	mutex_lock(&s->lock);
	memset(s->calls, 0, sizeof(s->calls));
	memset(s->ns, 0, sizeof(s->ns));
	memset(s->best, 0, sizeof(s->best));
	s->state = WAIT;
	s->barrier_ns = 0;
	s->wrong = 0;
	err = run_everywhere(s);
	for (unsigned i = 0; i < 2 && !err; i++)
		gen_printf(buf, size, &len, "rpc %s calls %lu mean_ns %lu best_ns %lu\n", where[i],
			   s->calls[i], s->calls[i] ? s->ns[i] / s->calls[i] : 0, s->best[i]);
	if (!err)
		gen_printf(buf, size, &len,
			   "rpc wrong %u\nbarrier cores %u rounds %u mean_ns %lu\n", s->wrong,
			   machine()->ncores, BARRIERS, s->barrier_ns / BARRIERS);
	mutex_unlock(&s->lock);
	return err ? (size_t)err : len;
}

struct selftest *
selftest_create(void)
{
	struct selftest *s = kzalloc(sizeof(*s));

	if (s == NULL)
		return NULL;
	mutex_init(&s->lock, "selftest");
	spin_init(&s->done_lock, "selftest", RANK_FILE);
	waitq_init(&s->changed);
	return s;
}
