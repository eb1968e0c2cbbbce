/*
 * Remote procedures: see rpc.h. A ring of slots per core, filled by any core, emptied by its owner
 * in interrupt context. A caller waits on a word on its own stack, which the target reaches through
 * the kernel stacks' shared mapping; while it waits it serves its own ring and shootdowns, so two
 * cores that call each other do not stop.
 *
 * Locks: ring->lock (rank RANK_RPC) for the producers; the owner takes it too, so that a slot is
 * never read half written.
 */
#include "cluster/rpc.h"
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
	struct rpc_request slot[RPC_SLOTS]; /* [lock] */
};

static long
rpc_ping(u64 a0, u64 a1)
{
	return (long)(a0 + a1);
}

static long
rpc_call_function(u64 a0, u64 a1)
{
	((void (*)(void *))a0)((void *)a1);
	return 0;
}

static long (*const rpc_table[RPC_COUNT])(u64 a0, u64 a1) = {
	[RPC_PING] = rpc_ping,
	[RPC_CALL_FUNCTION] = rpc_call_function,
};

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

static int
ring_put(struct core *target, const struct rpc_request *q)
{
	struct rpc_ring *r = ring_of(target);
	int err = -EAGAIN;

	spin_lock(&r->lock);
	if (r->head - r->tail < RPC_SLOTS) {
		r->slot[r->head++ % RPC_SLOTS] = *q;
		err = 0;
	}
	spin_unlock(&r->lock);
	if (!err)
		ipi_send(&target->arch, IPI_RPC);
	return err;
}

int
rpc_post(struct core *target, enum rpc_number nr, u64 a0, u64 a1)
{
	assert(nr < RPC_COUNT);
	return ring_put(target, &(struct rpc_request){.nr = nr, .a0 = a0, .a1 = a1});
}

long
rpc_call(struct core *target, enum rpc_number nr, u64 a0, u64 a1)
{
	struct rpc_reply reply = {0};
	struct rpc_request q = {.nr = nr, .a0 = a0, .a1 = a1, .reply = &reply};

	assert(nr < RPC_COUNT);
	if (target == this_core())
		return rpc_table[nr](a0, a1);
	while (ring_put(target, &q) == -EAGAIN) {
		rpc_serve();
		ipi_poll();
		cpu_pause();
	}
	while (!atomic_load(&reply.done)) {
		rpc_serve();
		ipi_poll();
		cpu_pause();
	}
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

void
rpc_serve(void)
{
	struct core *c = this_core();
	struct rpc_ring *r = ring_of(c);
	struct rpc_request q;

	/* Interrupts stay off from taking a request to its end: handlers do not nest. */
	irq_push_off();
	while (atomic_load_relaxed(&r->head) != atomic_load_relaxed(&r->tail) && ring_take(r, &q)) {
		long result = rpc_table[q.nr](q.a0, q.a1);

		atomic_add_relaxed(&c->cluster->rpcs, 1);
		if (!q.reply)
			continue;
		q.reply->result = result;
		atomic_store(&q.reply->done, 1);
	}
	irq_pop_off();
}
