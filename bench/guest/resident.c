/*
 * What a checkpoint of a large process costs it: the standstill, beside fork() of the same process.
 *
 *	resident MIB FORM PAGES [FORM PAGES]... [-- PROGRAM ARGS...]
 *
 * Writes MIB of memory, then for each form, some rounds: writes to PAGES of them, has a checkpoint
 * taken, and reads what the kernel says of it. Prints "FORM figure number": the medians of
 *
 *	fork_ns		from calling fork() to its return in the parent
 *	wait_us		until all threads stood still, from /proc/holdfast/store, as are
 *	pause_us	the standstill
 *	commit_us	from its end until it was durable
 *	pages		that were stored
 *
 * and those of the standstill's parts where the kernel has them. Forms: `packed`, one run of pages;
 * `spread`, over all of the memory; `first`, over its first 64 MiB. `random` waits for a line of
 * input, has pages anywhere stored many times, prints how many, and waits for another line;
 * `profile` does so as a section of a profile. With a program, that runs behind all this, while the
 * memory stays.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "mark.h"

#define ROUNDS	      9
#define FORKS	      5
#define RANDOM_ROUNDS 80
#define PAGE	      4096ul
#define FIRST	      (64ul << 20)

static const char *const names[] = {"wait_us",	 "pause_us",  "walk_us",
				    "memory_us", "commit_us", "pages"};

enum { FIGURES = sizeof names / sizeof names[0], PAGES = FIGURES - 1 };

static char *memory;
static size_t size;

static void
fail(const char *what)
{
	perror(what);
	exit(1);
}

static int64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static int
compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static int64_t
median(int64_t *value, int n)
{
	qsort(value, (size_t)n, sizeof(*value), compare);
	return value[n / 2];
}

static void
checkpoint(void)
{
	int fd = open("/dev/holdfast", O_WRONLY);

	if (fd < 0 || write(fd, "checkpoint\n", 11) != 11)
		fail("/dev/holdfast");
	close(fd);
}

/* The figures of the last checkpoint; -1: the kernel has none of that name. */
static void
read_figures(int64_t *value)
{
	char text[4096], name[64];
	long long number;
	FILE *f = fopen("/proc/holdfast/store", "r");

	if (!f)
		fail("/proc/holdfast/store");
	for (int i = 0; i < FIGURES; i++)
		value[i] = -1;
	while (fgets(text, sizeof text, f))
		if (sscanf(text, "%63s %lld", name, &number) == 2)
			for (int i = 0; i < FIGURES; i++)
				if (strcmp(name, names[i]) == 0)
					value[i] = number;
	fclose(f);
}

/* Everything is written once, no page as another. */
static void
fill(void)
{
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		fail("memory");
	for (size_t at = 0; at < size; at += PAGE)
		*(uint64_t *)(memory + at) = at + 1;
	checkpoint();
}

static void
dirty(const char *form, size_t pages)
{
	size_t room = strcmp(form, "first") == 0 && size > FIRST ? FIRST : size;
	size_t step = strcmp(form, "packed") == 0 ? PAGE : room / pages / PAGE * PAGE;

	for (size_t i = 0; i < pages; i++)
		++*(uint64_t *)(memory + i * step);
}

static int64_t
fork_once(void)
{
	int64_t start = now_ns(), took;
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	took = now_ns() - start;
	if (pid < 0 || waitpid(pid, NULL, 0) != pid)
		fail("fork");
	return took;
}

static void
measure(const char *form, size_t pages)
{
	int64_t value[FIGURES], figure[FIGURES][ROUNDS], forked[FORKS];

	for (int round = 0; round < ROUNDS; round++) {
		dirty(form, pages);
		checkpoint();
		read_figures(value);
		for (int i = 0; i < FIGURES; i++)
			figure[i][round] = value[i];
	}
	for (int round = 0; round < FORKS; round++) {
		dirty(form, pages);
		forked[round] = fork_once();
	}
	for (int i = 0; i < FIGURES; i++)
		printf("%s %s %lld\n", form, names[i], (long long)median(figure[i], ROUNDS));
	printf("%s fork_ns %lld\n", form, (long long)median(forked, FORKS));
	fflush(stdout);
}

/* => how many pages were stored */
static int64_t
write_anywhere(size_t pages)
{
	int64_t value[FIGURES], stored = 0;
	uint64_t at = 1;

	for (int round = 0; round < RANDOM_ROUNDS; round++) {
		for (size_t i = 0; i < pages; i++) {
			at = at * 6364136223846793005ul + 1442695040888963407ul;
			++*(uint64_t *)(memory + (at >> 32) % (size / PAGE) * PAGE);
		}
		checkpoint();
		read_figures(value);
		stored += value[PAGES];
	}
	return stored;
}

/* Between two lines of input: the host looks at the disk then. */
static void
write_watched(size_t pages)
{
	printf("random ready\n");
	fflush(stdout);
	if (getchar() == EOF)
		fail("input");
	printf("random pages %lld\ndone 0\n", (long long)write_anywhere(pages));
	fflush(stdout);
	(void)getchar();
}

/* As a section of a profile. */
static void
write_profiled(size_t pages)
{
	printf("section 1 %d checkpoints of %zu pages\n", RANDOM_ROUNDS, pages);
	fflush(stdout);
	mark(1);
	write_anywhere(pages);
	mark(0);
}

/* => false: it is one of those that are measured */
static bool
do_other(const char *form, size_t pages)
{
	if (strcmp(form, "random") == 0)
		write_watched(pages);
	else if (strcmp(form, "profile") == 0)
		write_profiled(pages);
	else
		return false;
	return true;
}

static void
measure_all(char **form)
{
	fill();
	for (; form[0] && form[1] && strcmp(form[0], "--") != 0; form += 2)
		if (!do_other(form[0], strtoul(form[1], NULL, 10)))
			measure(form[0], strtoul(form[1], NULL, 10));
	printf("done 0\n");
	fflush(stdout);
}

/* Measures in a child that stays; the caller is to be another program then. */
static void
measure_beside(char **form)
{
	int done[2];
	char c;

	if (pipe2(done, O_CLOEXEC))
		fail("pipe");
	if (fork() == 0) {
		measure_all(form);
		close(done[0]);
		close(done[1]);
		for (;;)
			pause();
	}
	close(done[1]);
	if (read(done[0], &c, 1) < 0)
		fail("read");
}

int
main(int argc, char **argv)
{
	char **program = argv + 1;

	while (*program && strcmp(*program, "--") != 0)
		program++;
	if (argc < 4)
		return 2;
	size = strtoul(argv[1], NULL, 10) << 20;
	if (!*program) {
		measure_all(argv + 2);
		return 0;
	}
	measure_beside(argv + 2);
	execvp(program[1], program + 1);
	fail(program[1]);
}
