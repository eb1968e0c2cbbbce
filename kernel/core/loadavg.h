/*
 * Load averages over 1, 5 and 15 minutes, as in /proc/loadavg: fixed point with 11 bits. There is
 * no tick: context switches sample, at most every 5 seconds, and a reader catches up on idle time.
 */
#ifndef CORE_LOADAVG_H
#define CORE_LOADAVG_H

#include "lib/types.h"

struct loadavg {
	ns_t next;   /* [a] when the next sample is due; who moves it takes the sample */
	u32 load[3]; /* [a] */
};

void loadavg_sample(ns_t now);
void loadavg_read(u32 out[3]);

#endif
