/*
 * Threads apart from scheduling: set-up, the table of all, and interruption.
 *
 * Locks: thread_table->lock (rank RANK_PROCESS) guards the list of all threads.
 */
#include "core/thread.h"
#include "arch/context.h"
#include "arch/ipi.h"
#include "core/quiesce.h"
#include "core/random.h"
#include "core/sched.h"
#include "lib/assert.h"
#include "lib/atomic.h"
#include "lib/string.h"

void
thread_init(struct thread *t, const char *name, void *stack, void (*entry)(void *), void *arg,
	    const struct thread_ops *ops)
{
	memset(t, 0, sizeof(*t));
	t->stack = stack;
	t->ops = ops;
	t->state = THREAD_NEW;
	t->affinity = ~0UL;
	t->sleeps_after_wake = true; /* most new threads end by waking who waits for them */
	t->entry = entry;
	t->arg = arg;
	t->canary = random_u64() & ~0xffUL; /* a NUL byte stops string overruns */
	string_copy(t->name, name, sizeof(t->name));
	list_init(&t->all);
	t->rsp =
		context_make((char *)stack + KSTACK_SIZE - thread_frame_room(), sched_first_run, t);
}

void
thread_table_init(void)
{
	struct thread_table *tt = machine()->threads;

	spin_init(&tt->lock, "threads", RANK_PROCESS);
	list_init(&tt->all);
}

void
thread_list(struct thread *t)
{
	struct thread_table *tt = machine()->threads;

	spin_lock(&tt->lock);
	list_add_tail(&tt->all, &t->all);
	if (quiescing() && t->process)
		atomic_fetch_or(&t->flags, TF_PARK);
	tt->count++;
	spin_unlock(&tt->lock);
}

void
thread_unlist(struct thread *t)
{
	struct thread_table *tt = machine()->threads;

	spin_lock(&tt->lock);
	if (!list_empty(&t->all)) {
		list_del(&t->all);
		tt->count--;
	}
	spin_unlock(&tt->lock);
}

void
thread_for_each(void (*fn)(struct thread *t, void *arg), void *arg)
{
	struct thread_table *tt = machine()->threads;
	struct thread *t;

	spin_lock(&tt->lock);
	list_for_each_entry (t, &tt->all, all)
		fn(t, arg);
	spin_unlock(&tt->lock);
}

bool
thread_interrupted(const struct thread *t, unsigned how)
{
	u32 flags = atomic_load(&t->flags);

	if (how & WAIT_INTERRUPTIBLE)
		return flags & (TF_SIGNAL | TF_KILLED);
	if (how & WAIT_KILLABLE)
		return flags & TF_KILLED;
	return false;
}

void
thread_interrupt(struct thread *t, u32 flags)
{
	struct core *c;

	atomic_fetch_or(&t->flags, flags);
	if (atomic_load(&t->state) == THREAD_SLEEPING) {
		if (thread_interrupted(t, atomic_load(&t->wait_how)))
			thread_wake(t);
		return;
	}
	/* Running in user mode somewhere: make that core look at the flags. */
	c = atomic_load(&t->core);
	if (c && c != this_core() && atomic_load(&c->arch.current) == t)
		ipi_send(&c->arch, IPI_RESCHED);
}
