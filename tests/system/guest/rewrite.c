/*
 * rewrite.c - nearly all free memory, written over and over: with a store there is no room for
 * copies of what is on its way to the disk, so the writer has to wait for it.
 *
 *   rewrite PERCENT TURNS     of MemFree
 *
 * Prints "ok" when every page held what was written last.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static size_t
free_pages(void)
{
	FILE *f = fopen("/proc/meminfo", "r");
	char line[128];
	size_t kb = 0;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemFree: %zu", &kb) == 1)
			break;
	return kb / 4;
}

int
main(int argc, char **argv)
{
	size_t n = argc > 2 ? free_pages() * (size_t)atoi(argv[1]) / 100 : 0;
	int turns = argc > 2 ? atoi(argv[2]) : 0;
	char *p = mmap(NULL, n << 12, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (n == 0 || p == MAP_FAILED)
		return 2;
	for (int turn = 0; turn < turns; turn++)
		for (size_t i = 0; i < n; i++) {
			int *word = (int *)(p + (i << 12) + i % 1000 * 4);

			if (*word != turn * 3) {
				printf("WRONG page %zu has %d in turn %d\n", i, *word, turn);
				return 1;
			}
			*word += 3;
		}
	printf("ok\n");
	return 0;
}
