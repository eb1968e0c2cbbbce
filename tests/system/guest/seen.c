/*
 * seen.c - what one thread writes, another one sees, also where a page is written on its way to the
 * disk by somebody who has not read it since the cut, and other cores have.
 *
 *   seen READERS PAGES
 *
 * The writer puts its round's number into all pages, one after the other, reads none of them, and
 * says after each how far it is. Readers look at pages anywhere: one that shows an older round than
 * was said before is an old copy. Prints "round N" now and then; "WRONG ..." and exit
 * status 1 on a difference.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { page_words = 4096 / 8 };

static uint64_t *memory;
static unsigned pages;
static uint64_t written; /* pages, since the start */

static uint64_t
load(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static void *
read_all(void *arg)
{
	for (unsigned n = (unsigned)(uintptr_t)arg;; n = (n * 5 + 3) % pages) {
		uint64_t done = load(&written), least = done / pages + (n < done % pages);
		uint64_t shown = load(&memory[(size_t)n * page_words]);

		if (shown < least) {
			printf("WRONG page %u shows %lu, after %lu\n", n, (unsigned long)shown,
			       (unsigned long)least);
			fflush(stdout);
			_exit(1);
		}
	}
	return NULL;
}

static void *
write_all(void *arg)
{
	for (uint64_t done = load(&written);; done++) {
		__atomic_store_n(&memory[(done % pages) * page_words], done / pages + 1,
				 __ATOMIC_RELEASE);
		__atomic_store_n(&written, done + 1, __ATOMIC_RELEASE);
	}
	return arg;
}

int
main(int argc, char **argv)
{
	unsigned readers = argc > 2 ? (unsigned)atoi(argv[1]) : 0;
	pthread_t thread;

	pages = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
	if (readers == 0 || pages == 0)
		return 2;
	memory = mmap(NULL, (size_t)pages * 4096, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED || pthread_create(&thread, NULL, write_all, NULL))
		return 2;
	for (unsigned i = 0; i < readers; i++)
		if (pthread_create(&thread, NULL, read_all, (void *)(uintptr_t)i))
			return 2;
	for (;;) {
		usleep(100000);
		printf("round %lu\n", (unsigned long)(load(&written) / pages));
		fflush(stdout);
	}
}
