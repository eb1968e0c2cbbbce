/*
 * mappings.c - an address space that is changed all the time in each way there is, compared with
 * what it should be after every change. On a machine with a store that has to hold over a power cut
 * at any instant, and what getrusage counts must not go back.
 *
 *   mappings ROUNDS
 *
 * Prints "round N" now and then, and "ok" at the end; "WRONG ..." and exit status 1 on a
 * difference.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model.h"

#define AREA ((char *)0x200000000000)

enum { page = 4096, pages = 96, longest = 8, text_size = 65536, nap_us = 60000 };

/* What a page of the area is. */
struct model {
	bool mapped, file;
	int prot;
	uint64_t word; /* at its beginning */
};

static struct model model[pages];
static uint64_t seed = CHANCE_SEED;
static uint64_t stamp;
static char text[text_size], line[256];
static struct rusage seen;
static char *heap, *heap_first;

static uint32_t
chance(uint32_t n)
{
	return chance_of(&seed, n);
}

static char *
at(uint32_t n)
{
	return AREA + (size_t)n * page;
}

/* --- changes --- */

static void
new_memory(uint32_t first, uint32_t n)
{
	need(mmap(at(first), n * page, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at(first),
	     "mmap");
	for (uint32_t i = first; i < first + n; i++) {
		model[i] = (struct model){true, false, PROT_READ | PROT_WRITE, 0};
		if (chance(2))
			*(uint64_t *)at(i) = model[i].word = ++stamp;
	}
}

/* Of a file that nothing but the mapping holds. */
static void
new_file(uint32_t first, uint32_t n)
{
	int shared = chance(2) ? MAP_SHARED : MAP_PRIVATE;
	char name[] = "/tmp/mappings-XXXXXX";
	int fd = mkstemp(name);

	need(fd >= 0 && unlink(name) == 0 && ftruncate(fd, longest * page) == 0, "file");
	for (uint32_t i = 0; i < n; i++) {
		stamp++;
		need(pwrite(fd, &stamp, sizeof(stamp), i * page) == sizeof(stamp), "pwrite");
		model[first + i] = (struct model){true, true, PROT_READ, stamp};
	}
	need(mmap(at(first), n * page, PROT_READ, shared | MAP_FIXED, fd, 0) == at(first),
	     "mmap of a file");
	close(fd);
}

static void
unmap(uint32_t first, uint32_t n)
{
	need(munmap(at(first), n * page) == 0, "munmap");
	memset(&model[first], 0, n * sizeof(model[0]));
}

static void
protect(uint32_t first, uint32_t n)
{
	static const int prots[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE};

	for (uint32_t i = first; i < first + n; i++) {
		int prot = prots[chance(model[i].file ? 2 : 3)];

		if (!model[i].mapped)
			continue;
		need(mprotect(at(i), page, prot) == 0, "mprotect");
		model[i].prot = prot;
	}
}

static void
move(uint32_t from, uint32_t to)
{
	if (!model[from].mapped || from == to)
		return;
	need(mremap(at(from), page, page, MREMAP_MAYMOVE | MREMAP_FIXED, at(to)) == at(to),
	     "mremap");
	model[to] = model[from];
	model[from] = (struct model){0};
}

static void
write_some(uint32_t first, uint32_t n)
{
	for (uint32_t i = first; i < first + n; i++)
		if (model[i].prot & PROT_WRITE)
			*(uint64_t *)at(i) = model[i].word = ++stamp;
}

static void
move_break(void)
{
	need(sbrk(0) == heap, "the break is elsewhere");
	heap = heap > heap_first && chance(2) ? heap - page : heap + page;
	need(brk(heap) == 0, "brk");
}

/* --- what is there --- */

static void
check_word(uint32_t i, const char *whose)
{
	if (model[i].prot & PROT_READ)
		need(*(volatile uint64_t *)at(i) == model[i].word, whose);
}

/* Both write while what they have is one copy; or slowly the child alone, with checkpoints in
 * between. */
static void
divide(void)
{
	bool slowly = chance(8) == 0;
	pid_t child = fork();
	int status;

	need(child >= 0, "fork");
	if (slowly && child == 0)
		usleep(nap_us);
	if (!slowly || child == 0)
		write_some(chance(pages / 2), pages / 2);
	if (slowly && child == 0)
		usleep(nap_us);
	for (uint32_t i = 0; i < pages; i++)
		check_word(i, child ? "page of the parent" : "page of the child");
	if (child == 0)
		_exit(0);
	need(waitpid(child, &status, 0) == child && status == 0, "the child");
}

static void
check_text(char *lines)
{
	int prot[pages];
	unsigned long start, end;
	char r, w;

	memset(prot, -1, sizeof(prot));
	for (char *l = lines; l && *l; l = strchr(l, '\n'), l += l != NULL) {
		need(sscanf(l, "%lx-%lx %c%c", &start, &end, &r, &w) == 4, "line of maps");
		for (uint32_t i = 0; i < pages; i++)
			if (start <= (uintptr_t)at(i) && (uintptr_t)at(i) < end)
				prot[i] = (r == 'r' ? PROT_READ : 0) | (w == 'w' ? PROT_WRITE : 0);
	}
	for (uint32_t i = 0; i < pages; i++)
		need(prot[i] == (model[i].mapped ? model[i].prot : -1), "mapping");
}

static void
check(void)
{
	int fd = open("/proc/self/maps", O_RDONLY);
	size_t length = 0;
	ssize_t n;

	need(fd >= 0, "open of maps");
	while ((n = read(fd, text + length, text_size - 1 - length)) > 0)
		length += (size_t)n;
	close(fd);
	text[length] = 0;
	check_text(text);
	for (uint32_t i = 0; i < pages; i++)
		check_word(i, "page");
}

static void
check_counts(void)
{
	struct rusage now;

	need(getrusage(RUSAGE_SELF, &now) == 0, "getrusage");
	need(now.ru_minflt >= seen.ru_minflt, "ru_minflt");
	need(now.ru_majflt >= seen.ru_majflt, "ru_majflt");
	need(now.ru_maxrss >= seen.ru_maxrss, "ru_maxrss");
	seen = now;
}

static void
change(void)
{
	uint32_t n = 1 + chance(longest), first = chance(pages - n);

	switch (chance(20)) {
	case 0:
		divide();
		break;
	case 1 ... 4:
		new_memory(first, n);
		break;
	case 5 ... 6:
		new_file(first, n);
		break;
	case 7 ... 8:
		unmap(first, n);
		break;
	case 9 ... 12:
		protect(first, n);
		break;
	case 13 ... 14:
		move(first, chance(pages));
		break;
	case 15:
		move_break();
		break;
	default:
		write_some(first, n);
	}
}

int
main(int argc, char **argv)
{
	uint64_t rounds = argc == 2 ? strtoull(argv[1], NULL, 10) : 0;

	if (rounds == 0)
		return 2;
	setvbuf(stdout, line, _IOLBF, sizeof(line));
	heap = heap_first = sbrk(0);
	for (uint64_t round = 1; round <= rounds; round++) {
		change();
		check();
		check_counts();
		if (round % 50 == 0)
			printf("round %lu\n", (unsigned long)round);
	}
	printf("ok\n");
	return 0;
}
