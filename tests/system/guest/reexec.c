/*
 * reexec.c - a program of several threads that becomes itself again, ROUNDS times.
 *
 *   reexec THREADS ROUNDS
 *
 * Its other threads run in user mode when one calls execve, which waits until they have ended.
 * Prints "N left" now and then, and "all rounds" at the end.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void *
spin(void *arg)
{
	static unsigned long turns;

	for (;;)
		__atomic_fetch_add(&turns, 1, __ATOMIC_RELAXED);
	return arg;
}

int
main(int argc, char **argv)
{
	int threads = argc == 3 ? atoi(argv[1]) : 0, left = argc == 3 ? atoi(argv[2]) : 0;
	char again[16];
	pthread_t t;

	if (threads <= 0 || left < 0) {
		fprintf(stderr, "usage: reexec THREADS ROUNDS\n");
		return 2;
	}
	if (left == 0) {
		puts("all rounds");
		return 0;
	}
	if (left % 100 == 0) {
		printf("%d left\n", left);
		fflush(stdout);
	}
	for (int i = 0; i < threads; i++)
		if (pthread_create(&t, NULL, spin, NULL) != 0) {
			perror("pthread_create");
			return 1;
		}
	snprintf(again, sizeof(again), "%d", left - 1);
	execl("/proc/self/exe", argv[0], argv[1], again, (char *)NULL);
	perror("execl");
	return 1;
}
