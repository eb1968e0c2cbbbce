/*
 * The page that the kernel writes and the vDSO reads: how to make a time out of the TSC.
 * Readers try again while seq is odd or has changed.
 */
#ifndef PROC_VDSO_DATA_H
#define PROC_VDSO_DATA_H

#include <stdint.h>

#define VDSO_CLOCKS 12 /* CLOCK_REALTIME to CLOCK_TAI; those of processes are not among them */

struct vdso_data {
	uint32_t seq;
	uint32_t usable; /* 0: the clock is not the TSC, ask the kernel */
	uint64_t base_tsc, mult;
	int64_t base_ns;	     /* monotonic: base_ns + ((tsc - base_tsc) * mult >> 32) */
	int64_t offset[VDSO_CLOCKS]; /* of the clock of this number to it, ns */
};

#endif
