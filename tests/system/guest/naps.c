/* A thread for each processor, tied to it, that sleeps 10 ms again and again; prints once a second
 * how often the one that did least has slept. A nap that is late by 20 s is WRONG. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define CPUS_MAX 64
#define LATE_S	 20

static atomic_long naps[CPUS_MAX];

static void *
nap(void *arg)
{
	const struct timespec ms10 = {0, 10000000};
	struct timespec from, to;
	cpu_set_t own;
	long cpu = (long)arg;

	CPU_ZERO(&own);
	CPU_SET(cpu, &own);
	if (sched_setaffinity(0, sizeof(own), &own))
		puts("WRONG affinity");
	for (;;) {
		clock_gettime(CLOCK_MONOTONIC, &from);
		nanosleep(&ms10, NULL);
		clock_gettime(CLOCK_MONOTONIC, &to);
		if (to.tv_sec - from.tv_sec >= LATE_S)
			printf("WRONG nap of %ld s\n", (long)(to.tv_sec - from.tv_sec));
		naps[cpu]++;
	}
	return NULL;
}

int
main(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	pthread_t thread;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (long i = 0; i < cpus; i++)
		pthread_create(&thread, NULL, nap, (void *)i);
	for (long round = 1;; round++) {
		for (long i = 0; i < cpus; i++) {
			const long before = naps[i];

			while (naps[i] < before + 3)
				sched_yield();
		}
		printf("round %ld of all\n", round);
		sleep(1);
	}
}
