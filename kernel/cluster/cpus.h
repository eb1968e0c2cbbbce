/* Starting cores (INIT-SIPI-SIPI) and the four phases' shared state; used by boot/. */
#ifndef CLUSTER_CPUS_H
#define CLUSTER_CPUS_H
#include "core/core.h"

static inline struct core *
core_by_index(u32 index)
{
	return machine()->core[index];
}

#endif
