/*
 * Work sent to another core: a ring per core and an IPI. The handlers run in interrupt context on
 * the target with interrupts off; they may not sleep. Every remote procedure is one line of the
 * table in rpc.c.
 */
#ifndef CLUSTER_RPC_H
#define CLUSTER_RPC_H

#include "core/core.h"

enum rpc_number {
	RPC_PING,
	RPC_CALL_FUNCTION, /* fn(arg): function pointers are valid in every cluster */
	RPC_COUNT,
};

/* Waits for the result. => interrupts on, or a caller that answers shootdowns while it spins. */
long rpc_call(struct core *target, enum rpc_number nr, u64 a0, u64 a1);
/* Does not wait. -EAGAIN when the ring is full. */
int rpc_post(struct core *target, enum rpc_number nr, u64 a0, u64 a1);
/* IPI_RPC's part. */
void rpc_serve(void);
void rpc_init(void);

#endif
