/*
 * Where every core and every thread stands: what a machine that hangs says when its host sends it
 * an NMI. By polling, without a lock: the other cores are stopped, in whatever they were doing.
 */
#include "core/dump.h"
#include "arch/cpu.h"
#include "arch/layout.h"
#include "core/core.h"
#include "core/panic.h"
#include "core/quiesce.h"
#include "core/symbols.h"
#include "core/thread.h"

#define FRAMES	   12
#define SHOWN_MAX  2000
#define NOTE_SPINS 1000000
#define SAVED_RBP  5 /* words above a saved rsp: arch/entry.S, context_switch */
#define SAVED_RIP  6

static void
say_frame(u64 rip)
{
	u64 offset;
	const char *name = symbol_of(rip, &offset);

	panic_say(" %s+0x%llx", name ? name : "?", (unsigned long long)offset);
}

static void
say_frames(u64 rip, u64 rbp)
{
	stack_walk(rip, rbp, FRAMES, say_frame);
	panic_say("\n");
}

static void
say_core(const struct core *c)
{
	const struct thread *t = c->arch.current;

	for (int i = 0; i < NOTE_SPINS && !atomic_load(&c->arch.stopped_rip); i++)
		cpu_pause();
	panic_say("core %u, %u runnable: '%s' %d,", c->arch.index, c->rq.nr_running,
		  t ? t->name : "none", t ? t->tid : 0);
	if (!c->arch.stopped_rip)
		panic_say(" does not answer\n");
	else if (c->arch.stopped_rip < USER_TOP)
		panic_say(" user mode at %llx\n", (unsigned long long)c->arch.stopped_rip);
	else
		say_frames(c->arch.stopped_rip, c->arch.stopped_rbp);
}

static void
say_thread(const struct thread *t)
{
	static const char *const states[] = {
		[THREAD_NEW] = "new",
		[THREAD_READY] = "ready",
		[THREAD_SLEEPING] = "asleep",
		[THREAD_DEAD] = "dead",
	};
	const u64 *saved = (const u64 *)t->rsp;

	panic_say("'%s' %d, %s, flags %x, core %d:", t->name, t->tid,
		  t->state < ARRAY_SIZE(states) ? states[t->state] : "?", t->flags,
		  t->core ? (int)t->core->arch.index : -1);
	if (panic_may_read(t->rsp))
		say_frames(saved[SAVED_RIP], saved[SAVED_RBP]);
	else
		panic_say(" ?\n");
}

void
dump_all(void)
{
	struct machine *m = machine();
	struct list *l;
	unsigned n = 0;

	panic_say("cores%s:\n", quiescing() ? ", threads are to stand still for a checkpoint" : "");
	for (u32 i = 0; i < m->ncores; i++)
		if (m->core[i])
			say_core(m->core[i]);
	panic_say("threads that do not run:\n");
	for (l = m->threads->all.next; l != &m->threads->all && n < SHOWN_MAX; l = l->next, n++) {
		const struct thread *t;

		if (!panic_may_read((u64)l))
			break;
		t = container_of(l, struct thread, all);
		if (!t->core || t->core->arch.current != t)
			say_thread(t);
	}
}
