/*
 * Work sent to another core: a ring per core, and an IPI when the target is not looking at it
 * already. The handlers run in interrupt context on the target with interrupts off; they may not
 * sleep. Every remote procedure is one line of RPC_TABLE.
 */
#ifndef CLUSTER_RPC_H
#define CLUSTER_RPC_H

#include "core/core.h"

/* number, handler: long handler(u64 a0, u64 a1) */
#define RPC_TABLE(X)                                                                               \
	X(RPC_PING, rpc_ping)			/* a0 + a1: for measuring */                       \
	X(RPC_CALL_FUNCTION, rpc_call_function) /* a0(a1): functions are everywhere the same */

#define RPC_NUMBER(number, handler) number,
enum rpc_number { RPC_TABLE(RPC_NUMBER) RPC_COUNT };
#undef RPC_NUMBER

/* What a cluster's cores asked of another's. */
struct rpc_pair {
	u64 calls, posts, ipis; /* [a] ipis: how many of them had to interrupt */
	u64 calls_ns, worst_ns; /* [a] round trips of the calls */
};

/* Waits for the result. => interrupts on, no spinlock held. */
long rpc_call(struct core *target, enum rpc_number nr, u64 a0, u64 a1);
/* Does not wait. -EAGAIN when the ring is full. */
int __must_check rpc_post(struct core *target, enum rpc_number nr, u64 a0, u64 a1);
/* IPI_RPC's part. */
void rpc_serve(void);
void rpc_init(void);
const char *rpc_name(enum rpc_number nr);

#endif
