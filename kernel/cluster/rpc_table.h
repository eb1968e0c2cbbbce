/* The handlers of RPC_TABLE, for the files that define them. */
#ifndef CLUSTER_RPC_TABLE_H
#define CLUSTER_RPC_TABLE_H

#include "cluster/rpc.h"

#define RPC_HANDLER(number, handler) long handler(u64 a0, u64 a1);
RPC_TABLE(RPC_HANDLER)
#undef RPC_HANDLER

#endif
