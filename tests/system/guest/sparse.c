/*
 * sparse.c - a few pages in each of many page tables, always in motion, for cuts that look at
 * tables while processes run. Each thread has its own stretches of 2 MiB, writes pages of them,
 * gives them back, maps them anew, takes rights away and gives them again, and forks; what it finds
 * has to be what it wrote there last.
 *
 *   sparse TURNS     Prints "turn N" now and then, and "ok" at the end; "WRONG ..." and exit status
 *                    1 on a difference.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model.h"

enum { threads = 3, stretches = 50, used = 3, page = 4096, stretch = 512 * page };

static char *memory;
static long turns;

struct owner {
	pthread_t thread;
	unsigned number;
	uint64_t seed;
	uint64_t word[stretches][used];
};

static char *
stretch_of(const struct owner *o, unsigned s)
{
	return memory + ((size_t)s * threads + o->number) * stretch;
}

static uint64_t *
word_of(const struct owner *o, unsigned s, unsigned i)
{
	return (uint64_t *)(stretch_of(o, s) + (size_t)(i * 83 + s) % 512 * page);
}

static void
check(const struct owner *o, unsigned s, unsigned i)
{
	need(*word_of(o, s, i) == o->word[s][i], "word");
}

static void
write_some(struct owner *o)
{
	for (unsigned s = 0; s < stretches; s++) {
		unsigned i = chance_of(&o->seed, used);

		check(o, s, i);
		*word_of(o, s, i) = o->word[s][i] = o->seed;
	}
}

static void
give_back(struct owner *o, unsigned s)
{
	char *at = stretch_of(o, s);

	if (chance_of(&o->seed, 2))
		need(madvise(at, stretch, MADV_DONTNEED) == 0, "madvise");
	else
		need(mmap(at, stretch, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == at,
		     "mmap");
	memset(o->word[s], 0, sizeof o->word[s]);
}

static void
change_rights(struct owner *o, unsigned s)
{
	need(mprotect(stretch_of(o, s), stretch, PROT_READ) == 0, "mprotect");
	check(o, s, chance_of(&o->seed, used));
	need(mprotect(stretch_of(o, s), stretch, PROT_READ | PROT_WRITE) == 0, "mprotect");
}

static void
fork_once(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	need(pid > 0 && waitpid(pid, NULL, 0) == pid, "fork");
}

static void *
work(void *arg)
{
	struct owner *o = arg;

	for (long turn = 1; turn <= turns; turn++) {
		write_some(o);
		give_back(o, chance_of(&o->seed, stretches));
		change_rights(o, chance_of(&o->seed, stretches));
		if (o->number == 0 && turn % 10 == 0) {
			fork_once();
			printf("turn %ld\n", turn);
			fflush(stdout);
		}
	}
	for (unsigned s = 0; s < stretches; s++)
		for (unsigned i = 0; i < used; i++)
			check(o, s, i);
	return NULL;
}

int
main(int argc, char **argv)
{
	static struct owner owner[threads];

	turns = argc > 1 ? atol(argv[1]) : 100;
	memory = mmap(NULL, (size_t)stretches * threads * stretch, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	need(memory != MAP_FAILED, "memory");
	for (unsigned t = 0; t < threads; t++) {
		owner[t].number = t;
		owner[t].seed = CHANCE_SEED + t;
		need(pthread_create(&owner[t].thread, NULL, work, &owner[t]) == 0, "thread");
	}
	for (unsigned t = 0; t < threads; t++)
		pthread_join(owner[t].thread, NULL);
	puts("ok");
	return 0;
}
