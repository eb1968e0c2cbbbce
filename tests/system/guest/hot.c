/*
 * hot.c - pages that are written all the time, so that most of them are written again on their way
 * to the disk and each cut takes copies of them. Every word is checked before it is written.
 *
 *   hot THREADS PAGES     of each thread
 *
 * A thread writes its round's number into its pages, one after the other. Prints "round N copied N
 * beside N" now and then: the round of the slowest, and of the kernel's copies how many were made
 * by other cores than the one that takes the cut. "WRONG ..." and exit status 1 on a difference.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { page = 4096, words = page / 8, threads_max = 16 };

struct writer {
	pthread_t thread;
	unsigned number;
	uint64_t round;
};

static struct writer writers[threads_max];
static unsigned threads, pages;

static uint64_t
word_of(const struct writer *w, unsigned n, uint64_t round)
{
	return round == 0 ? 0 : round << 32 | w->number << 24 | n;
}

static void
write_page(const struct writer *w, volatile uint64_t *p, unsigned n, uint64_t round)
{
	uint64_t old = word_of(w, n, round - 1), new = word_of(w, n, round);

	for (unsigned i = 0; i < words; i++) {
		if (p[i] != old) {
			printf("WRONG thread %u page %u word %u: %lx, not of round %lu\n",
			       w->number, n, i, (unsigned long)p[i], (unsigned long)round - 1);
			fflush(stdout);
			_exit(1);
		}
		p[i] = new;
	}
}

static void *
write_all(void *arg)
{
	struct writer *w = arg;
	uint64_t *p = mmap(NULL, (size_t)pages * page, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		_exit(2);
	for (uint64_t round = 1;; round++) {
		for (unsigned n = 0; n < pages; n++)
			write_page(w, p + (size_t)n * words, n, round);
		__atomic_store_n(&w->round, round, __ATOMIC_RELAXED);
	}
	return NULL;
}

static unsigned long
figure(const char *name)
{
	FILE *f = fopen("/proc/holdfast/store", "r");
	char line[128], what[64];
	unsigned long n, found = 0;

	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "%63[^ ] %lu", what, &n) == 2 && __builtin_strcmp(what, name) == 0)
			found = n;
	if (f)
		fclose(f);
	return found;
}

int
main(int argc, char **argv)
{
	threads = argc > 2 ? (unsigned)atoi(argv[1]) : 0;
	pages = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
	if (threads == 0 || threads > threads_max || pages == 0)
		return 2;
	for (unsigned i = 0; i < threads; i++) {
		writers[i].number = i;
		if (pthread_create(&writers[i].thread, NULL, write_all, &writers[i]))
			return 2;
	}
	for (;;) {
		uint64_t least = ~0ul;

		usleep(100000);
		for (unsigned i = 0; i < threads; i++) {
			uint64_t r = __atomic_load_n(&writers[i].round, __ATOMIC_RELAXED);

			least = r < least ? r : least;
		}
		printf("round %lu copied %lu beside %lu\n", (unsigned long)least, figure("copied"),
		       figure("copied_beside"));
		fflush(stdout);
	}
}
