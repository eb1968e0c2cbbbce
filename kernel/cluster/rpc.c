/*
 * Remote procedures: see rpc.h. A ring of slots per core, filled by any core, emptied by its owner
 * in interrupt context. A caller waits on a word on its own stack, which the target reaches through
 * the kernel stacks' shared mapping; while it waits it serves its own ring and shootdowns, so two
 * cores that call each other do not stop.
 *
 * A core that looks at its ring anyway (it waits for a reply, or is serving) has `attentive` set
 * and is not interrupted. It clears the word first and looks at the ring once more afterwards, who
 * sends fills the ring first and looks at the word afterwards, with a full fence in both: nothing
 * is forgotten. That an interrupt handler which is running will look before it returns is the rule
 * for all reasons (arch/ipi.c).
 *
 * Locks: ring->lock (rank RANK_RPC) for the producers; the owner takes it too, so that a slot is
 * never read half written.
 */
#include "cluster/rpc_table.h"
#include "arch/clock.h"
#include "arch/cpu.h"
#include "arch/ipi.h"
#include "cluster/cluster.h"
#include "lib/assert.h"
#include "lib/atomic.h"
#include <asm/errno.h>

#define RPC_SLOTS 64u

struct rpc_request {
	enum rpc_number nr;
	u64 a0, a1;
	struct rpc_reply *reply; /* NULL: nobody waits */
};

struct rpc_reply {
	long result;
	u32 done; /* [a] */
};

struct rpc_ring {
	struct spinlock lock;		    /* rank RANK_RPC */
	u32 head, tail;			    /* [lock] written, read */
	bool attentive;			    /* [a] the owner looks here without being told */
	struct rpc_request slot[RPC_SLOTS]; /* [lock] */
};

long
rpc_ping(u64 a0, u64 a1)
{
	return (long)(a0 + a1);
}

long
rpc_call_function(u64 a0, u64 a1)
{
	((void (*)(void *))a0)((void *)a1);
	return 0;
}

#define RPC_ENTRY(number, handler) [number] = handler,
static long (*const rpc_table[RPC_COUNT])(u64 a0, u64 a1) = {RPC_TABLE(RPC_ENTRY)};

const char *
rpc_name(enum rpc_number nr)
{
#define RPC_NAME(number, handler) [number] = #handler,
	static const char *const name[RPC_COUNT] = {RPC_TABLE(RPC_NAME)};

	return name[nr];
}

void
rpc_init(void)
{
	struct cluster *cl = this_cluster();

	assert(arch_core()->lid == 0);
	for (u32 i = 0; i < cl->cores_nr; i++) {
		struct rpc_ring *r = bootmem_alloc(sizeof(*r), 64);

		assert(r); /* bootmem ends long after the structures of the cores */
		spin_init(&r->lock, "rpc", RANK_RPC);
		cl->rpc[i] = r;
	}
}

static struct rpc_ring *
ring_of(const struct core *c)
{
	return c->cluster->rpc[c->arch.lid];
}

static struct rpc_pair *
pair_to(const struct core *target)
{
	return &this_cluster()->rpc_to[target->arch.cxy];
}

static int
ring_put(struct core *target, const struct rpc_request *q)
{
	struct rpc_ring *r = ring_of(target);
	int err = -EAGAIN;

	spin_lock(&r->lock);
	if (r->head - r->tail < RPC_SLOTS) {
		r->slot[r->head % RPC_SLOTS] = *q;
		atomic_store(&r->head, r->head + 1);
		err = 0;
	}
	spin_unlock(&r->lock);
	atomic_fence();
	if (err || atomic_load(&r->attentive))
		return err;
	atomic_add_relaxed(&pair_to(target)->ipis, 1);
	ipi_send(&target->arch, IPI_RPC);
	return 0;
}

int
rpc_post(struct core *target, enum rpc_number nr, u64 a0, u64 a1)
{
	assert(nr < RPC_COUNT);
	atomic_add_relaxed(&pair_to(target)->posts, 1);
	return ring_put(target, &(struct rpc_request){.nr = nr, .a0 = a0, .a1 = a1});
}

static bool
ring_is_empty(const struct rpc_ring *r)
{
	return atomic_load_relaxed(&r->head) == atomic_load_relaxed(&r->tail);
}

/* Ends what an attentive core began; `before` is what the word was. */
static void
attention_end(struct rpc_ring *r, bool before)
{
	atomic_store(&r->attentive, before);
	atomic_fence();
	if (!before && !ring_is_empty(r))
		ipi_send(&this_core()->arch, IPI_RPC);
}

static void
count_call(struct rpc_pair *pair, u64 ns)
{
	atomic_add_relaxed(&pair->calls, 1);
	atomic_add_relaxed(&pair->calls_ns, ns);
	if (ns > atomic_load_relaxed(&pair->worst_ns))
		atomic_store_relaxed(&pair->worst_ns, ns);
}

/* Serves this core's ring until `q` is sent and answered. => r is its ring, interrupts on */
static void
send_and_wait(struct core *target, const struct rpc_request *q)
{
	while (ring_put(target, q) == -EAGAIN) {
		rpc_serve();
		ipi_poll();
		cpu_pause();
	}
	while (!atomic_load(&q->reply->done)) {
		rpc_serve();
		ipi_poll();
		cpu_pause();
	}
}

long
rpc_call(struct core *target, enum rpc_number nr, u64 a0, u64 a1)
{
	struct rpc_reply reply = {0};
	struct rpc_request q = {.nr = nr, .a0 = a0, .a1 = a1, .reply = &reply};
	struct rpc_ring *own = ring_of(this_core());
	ns_t began = clock_now();
	bool before;

	assert(nr < RPC_COUNT && arch_core()->irq_off_depth == 0);
	if (target == this_core())
		return rpc_table[nr](a0, a1);
	before = atomic_xchg(&own->attentive, true);
	send_and_wait(target, &q);
	attention_end(own, before);
	count_call(pair_to(target), clock_now() - began);
	return reply.result;
}

static bool
ring_take(struct rpc_ring *r, struct rpc_request *q)
{
	bool found = false;

	spin_lock(&r->lock);
	if (r->tail != r->head) {
		*q = r->slot[r->tail++ % RPC_SLOTS];
		found = true;
	}
	spin_unlock(&r->lock);
	return found;
}

/* Interrupts are off from taking a request to its end: handlers do not nest. */
static void
serve_all(struct core *c, struct rpc_ring *r)
{
	struct rpc_request q;

	while (!ring_is_empty(r) && ring_take(r, &q)) {
		long result = rpc_table[q.nr](q.a0, q.a1);

		atomic_add_relaxed(&c->cluster->rpcs, 1);
		if (!q.reply)
			continue;
		q.reply->result = result;
		atomic_store(&q.reply->done, 1);
	}
}

void
rpc_serve(void)
{
	struct core *c = this_core();
	struct rpc_ring *r = ring_of(c);
	bool before;

	if (ring_is_empty(r))
		return;
	irq_push_off();
	before = atomic_xchg(&r->attentive, true);
	serve_all(c, r);
	attention_end(r, before);
	irq_pop_off();
}
