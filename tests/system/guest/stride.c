/*
 * stride.c - pages that are written in order, all of them or each second to fifth, over and over by
 * two threads: of pages that are on their way to the disk some are written again, and those beside
 * them are not, or only later.
 *
 *   stride TURNS
 *
 * A page has the turn of its last write in a word of its own and all that came before in a sum.
 * Prints "turn N" now and then and "ok" at the end; "WRONG ..." and exit status 1 on a difference.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { page = 4096, pages = 1500, threads = 2 };

struct stamp {
	uint32_t turn, sum;
};

struct part {
	char *at;
	struct stamp want[pages];
	int turns;
};

static struct part part[threads];

static struct stamp *
stamp_of(struct part *p, unsigned i)
{
	return (struct stamp *)(p->at + (size_t)i * page + i % 500 * sizeof(struct stamp));
}

static void
look(struct part *p, unsigned i, const char *who)
{
	const struct stamp *s = stamp_of(p, i);

	if (s->turn == p->want[i].turn && s->sum == p->want[i].sum)
		return;
	printf("WRONG page %u for %s: turn %u sum %u, not %u and %u\n", i, who, s->turn, s->sum,
	       p->want[i].turn, p->want[i].sum);
	fflush(stdout);
	_exit(1);
}

/* A child shows the pages while its parent writes: copies for other reasons come between. */
static void
fork_and_look(struct part *p)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		for (unsigned i = 0; i < pages; i++)
			look(p, i, "the child");
		_exit(0);
	}
	for (unsigned i = 0; i < pages; i += 2)
		look(p, i, "the parent");
	if (waitpid(child, &status, 0) != child || status != 0)
		_exit(1);
}

static void *
turns(void *arg)
{
	struct part *p = arg;

	for (int turn = 1; turn <= p->turns; turn++) {
		unsigned step = turn % 8 < 4 ? 1 : (unsigned)turn % 8 - 2;

		for (unsigned i = (unsigned)turn % step; i < pages; i += step) {
			struct stamp *s = stamp_of(p, i);

			look(p, i, "its thread");
			p->want[i].turn = (uint32_t)turn;
			p->want[i].sum += (uint32_t)turn * 2654435761u;
			*s = p->want[i];
		}
		if (turn % 64 == 0)
			fork_and_look(p);
		if (p == &part[0] && turn % 100 == 0) {
			printf("turn %d\n", turn);
			fflush(stdout);
		}
	}
	for (unsigned i = 0; i < pages; i++)
		look(p, i, "the end");
	return NULL;
}

int
main(int argc, char **argv)
{
	pthread_t t[threads];

	for (int i = 0; i < threads; i++) {
		part[i].turns = argc > 1 ? atoi(argv[1]) : 1000;
		part[i].at = mmap(NULL, (size_t)pages * page, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (part[i].at == MAP_FAILED || pthread_create(&t[i], NULL, turns, &part[i]))
			return 2;
	}
	for (int i = 0; i < threads; i++)
		pthread_join(t[i], NULL);
	printf("ok\n");
	return 0;
}
