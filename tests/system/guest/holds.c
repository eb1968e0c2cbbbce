/*
 * holds.c - memory that is held and looked at.
 *
 *   holds MIB private|shared
 *
 * Writes each page once, and then looks at all of them over and over. Prints "turn N" for each time
 * it did; "WRONG ..." and exit status 1 on a difference.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define PAGE 4096ul

static uint64_t
word_of(size_t page)
{
	return (page + 1) * 0x9e3779b97f4a7c15;
}

int
main(int argc, char **argv)
{
	const struct timespec nap = {.tv_nsec = 10000000};
	size_t pages;
	char *memory;

	if (argc != 3)
		return 2;
	pages = strtoul(argv[1], NULL, 10) * ((1ul << 20) / PAGE);
	memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
		      MAP_ANONYMOUS | (strcmp(argv[2], "shared") == 0 ? MAP_SHARED : MAP_PRIVATE),
		      -1, 0);
	if (memory == MAP_FAILED)
		return 2;
	for (size_t i = 0; i < pages; i++)
		*(uint64_t *)(memory + i * PAGE) = word_of(i);
	for (unsigned turn = 1;; turn++) {
		for (size_t i = 0; i < pages; i++)
			if (*(volatile uint64_t *)(memory + i * PAGE) != word_of(i)) {
				printf("WRONG page %zu in turn %u\n", i, turn);
				return 1;
			}
		printf("turn %u\n", turn);
		fflush(stdout);
		nanosleep(&nap, NULL);
	}
}
