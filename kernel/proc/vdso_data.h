/*
 * The page that the kernel writes and the vDSO reads: how to make a time out of the TSC.
 * Readers try again while seq is odd or has changed.
 */
#ifndef PROC_VDSO_DATA_H
#define PROC_VDSO_DATA_H

#include <stdint.h>

struct vdso_data {
	uint32_t seq;
	uint32_t usable; /* 0: the clock is not the TSC, ask the kernel */
	uint64_t base_tsc, mult;
	int64_t base_ns;     /* ns = base_ns + ((tsc - base_tsc) * mult >> 32) */
	int64_t real_offset; /* realtime minus monotonic, ns */
	int64_t boot_offset; /* boottime minus monotonic, ns */
};

#endif
