/*
 * few.c - a few pages are written between two checkpoints, of many that are looked at all the time:
 * processors go on with translations from before the checkpoint.
 *
 *   few THREADS PAGES MOST
 *
 * Each thread has PAGES pages, a few in each page table. In each turn it reads all of them, which
 * must be as it left them, and then writes up to MOST. Prints "turn N" now and then; "WRONG ..."
 * and exit status 1 on a difference.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE	  4096ul
#define PER_TABLE 32u
#define TABLE	  (2ul << 20)

static unsigned pages, most;

static volatile uint64_t *
page(char *memory, unsigned i)
{
	return (volatile uint64_t *)(memory + i / PER_TABLE * TABLE + i % PER_TABLE * PAGE);
}

static void
look(char *memory, const uint64_t *left, unsigned turn)
{
	for (unsigned i = 0; i < pages; i++) {
		if (*page(memory, i) == left[i])
			continue;
		printf("WRONG page %u in turn %u: %lx instead of %lx\n", i, turn,
		       (unsigned long)*page(memory, i), (unsigned long)left[i]);
		fflush(stdout);
		_exit(1);
	}
}

static void *
run(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;
	char *memory = mmap(NULL, (pages / PER_TABLE + 1) * TABLE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t *left = calloc(pages, sizeof(*left));

	if (memory == MAP_FAILED || left == NULL)
		_exit(2);
	for (unsigned turn = 1;; turn++) {
		const struct timespec nap = {.tv_nsec = rand_r(&seed) % 1000000};

		look(memory, left, turn);
		for (unsigned n = (unsigned)rand_r(&seed) % (most + 1); n > 0; n--) {
			unsigned i = (unsigned)rand_r(&seed) % pages;

			*page(memory, i) = left[i] = (uint64_t)turn << 32 | i;
		}
		if (turn % 4 == 0)
			nanosleep(&nap, NULL);
		if (turn % 256 == 0) {
			printf("turn %u\n", turn);
			fflush(stdout);
		}
	}
	return NULL;
}

int
main(int argc, char **argv)
{
	pthread_t thread;

	if (argc != 4)
		return 2;
	pages = (unsigned)atoi(argv[2]);
	most = (unsigned)atoi(argv[3]);
	for (int i = 1; i < atoi(argv[1]); i++)
		if (pthread_create(&thread, NULL, run, (void *)(uintptr_t)i))
			return 2;
	run(NULL);
}
