/*
 * memory.c - memory of every kind, always in motion, every page checked against what was written
 * there last. On a machine with a store all of it has to go on over a power cut.
 *
 *   memory TURNS [FILE]     FILE: on a memory file system; default /tmp/memory
 *
 * Prints "turn N" now and then, and "ok" at the end; "WRONG ..." and exit status 1 on a difference.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define GIVE_UP() kill(0, SIGKILL) /* the children as well */
#include "model.h"

enum { page = 4096, pages = 700, children = 3 };

/* What a page holds: its number and version all over, or zeros for version 0. */
struct area {
	const char *name;
	uint64_t *at, *again; /* again: another place where the same pages are, or NULL */
	uint32_t *version;    /* [pages] */
	int fd;		      /* -1: no file */
};

static uint64_t seed = CHANCE_SEED;

static uint32_t
chance(uint32_t n)
{
	return chance_of(&seed, n);
}

static uint64_t
word_of(uint32_t number, uint32_t version)
{
	return version == 0 ? 0 : ((uint64_t)version << 32 | number) * 0x9e3779b97f4a7c15u;
}

static void
check_words(const struct area *a, const uint64_t *p, uint32_t n, uint32_t version)
{
	for (unsigned i = 0; i < page / 8; i += 73) {
		if (p[i] == word_of(n, version))
			continue;
		printf("WRONG %s page %u word %u: %lx, not version %u\n", a->name, n, i,
		       (unsigned long)p[i], version);
		fflush(stdout);
		kill(0, SIGKILL);
	}
}

static uint64_t *
page_at(uint64_t *base, uint32_t n)
{
	return base + (size_t)n * (page / 8);
}

static void
check_page(const struct area *a, uint32_t n)
{
	uint64_t copy[page / 8];

	if (a->fd >= 0 && chance(2)) {
		need(pread(a->fd, copy, page, (off_t)n * page) == page, "pread");
		check_words(a, copy, n, a->version[n]);
	} else {
		check_words(a, page_at(a->again && chance(2) ? a->again : a->at, n), n,
			    a->version[n]);
	}
}

static void
write_page(struct area *a, uint32_t n)
{
	uint64_t copy[page / 8];

	a->version[n]++;
	for (unsigned i = 0; i < page / 8; i++)
		copy[i] = word_of(n, a->version[n]);
	if (a->fd >= 0 && chance(2))
		need(pwrite(a->fd, copy, page, (off_t)n * page) == page, "pwrite");
	else
		memcpy(page_at(a->at, n), copy, page);
}

/* Pages that are given back are zeros. */
static void
drop_pages(struct area *a)
{
	uint32_t n = chance(pages), count = 1 + chance(40);

	if (n + count > pages)
		count = pages - n;
	if (a->fd >= 0)
		need(fallocate(a->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)n * page,
			       (off_t)count * page) == 0,
		     "fallocate");
	else
		need(madvise(page_at(a->at, n), (size_t)count * page, MADV_DONTNEED) == 0,
		     "madvise");
	memset(a->version + n, 0, count * sizeof(*a->version));
}

/* A file that was cut short and made long again has zeros there. */
static void
cut_short(struct area *a)
{
	uint32_t n = chance(pages);

	need(ftruncate(a->fd, (off_t)n * page + 100) == 0, "ftruncate");
	need(ftruncate(a->fd, (off_t)pages * page) == 0, "ftruncate");
	memset(a->version + n, 0, (pages - n) * sizeof(*a->version));
	a->version[n]++;
	for (unsigned i = 0; i < page / 8; i++)
		page_at(a->at, n)[i] = word_of(n, a->version[n]);
}

static void
move(struct area *a)
{
	void *to = mmap(NULL, (size_t)pages * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	need(to != MAP_FAILED, "mmap");
	a->at = mremap(a->at, (size_t)pages * page, (size_t)pages * page,
		       MREMAP_MAYMOVE | MREMAP_FIXED, to);
	need(a->at == to, "mremap");
}

static void
protect(struct area *a)
{
	uint32_t n = chance(pages - 1);

	need(mprotect(page_at(a->at, n), page, PROT_READ) == 0, "mprotect");
	check_page(a, n);
	need(mprotect(page_at(a->at, n), page, PROT_READ | PROT_WRITE) == 0, "mprotect");
}

static void
turn(struct area *a)
{
	for (unsigned i = 0; i < 40; i++) {
		uint32_t n = chance(pages);

		check_page(a, n);
		if (chance(2))
			write_page(a, n);
	}
	if (chance(20) == 0)
		drop_pages(a);
	if (a->fd >= 0 && chance(30) == 0)
		cut_short(a);
	if (a->fd < 0 && chance(30) == 0)
		move(a);
	if (chance(30) == 0)
		protect(a);
}

static void
check_all(struct area *a, unsigned n)
{
	for (unsigned k = 0; k < n; k++)
		for (uint32_t i = 0; i < pages; i++)
			check_page(&a[k], i);
}

/* A child has what its parent had at the fork, for as long as it lives; it changes its own pages.
 */
static void
child(struct area *private, unsigned ms)
{
	struct timespec nap = {0, 20000000};

	for (unsigned left = ms / 20; left > 0; left--) {
		check_all(private, 1);
		for (unsigned i = 0; i < 5; i++)
			write_page(private, chance(pages));
		nanosleep(&nap, NULL);
	}
	_exit(0);
}

static void
tend(pid_t *pid, struct area *private)
{
	int status;

	for (unsigned i = 0; i < children; i++) {
		if (pid[i] != 0 && waitpid(pid[i], &status, WNOHANG) == pid[i]) {
			need(status == 0, "a child's end");
			pid[i] = 0;
		}
		if (pid[i] != 0 || chance(10) != 0)
			continue;
		pid[i] = fork();
		seed += (uint64_t)i + 1;
		if (pid[i] == 0)
			child(private, 200 + chance(3000));
	}
}

static void *
map(int flags, int fd)
{
	void *p = mmap(NULL, (size_t)pages * page, PROT_READ | PROT_WRITE, flags, fd, 0);

	need(p != MAP_FAILED, "mmap");
	return p;
}

static struct area
area_make(const char *name, int flags, int fd, bool twice)
{
	struct area a = {.name = name, .fd = fd};

	if (fd >= 0)
		need(ftruncate(fd, (off_t)pages * page) == 0, "ftruncate");
	a.at = map(flags, fd);
	a.again = twice ? map(flags, fd) : NULL;
	a.version = calloc(pages, sizeof(*a.version));
	need(a.version != NULL, "calloc");
	return a;
}

int
main(int argc, char **argv)
{
	const char *path = argc > 2 ? argv[2] : "/tmp/memory";
	pid_t pid[children] = {0};
	struct area a[4];
	unsigned turns = 0, end = argc > 1 ? (unsigned)atoi(argv[1]) : 1000;

	setpgid(0, 0);
	a[0] = area_make("private memory", MAP_PRIVATE | MAP_ANONYMOUS, -1, false);
	a[1] = area_make("shared memory", MAP_SHARED | MAP_ANONYMOUS, -1, false);
	a[1].fd = -1;
	a[2] = area_make("a file", MAP_SHARED, open(path, O_RDWR | O_CREAT | O_TRUNC, 0600), false);
	a[3] = area_make("a memfd", MAP_SHARED, memfd_create("m", 0), true);
	unlink(path);
	do {
		turn(&a[0]);
		turn(&a[2]);
		turn(&a[3]);
		for (unsigned i = 0; i < 10; i++) {
			write_page(&a[1], chance(pages));
			check_page(&a[1], chance(pages));
		}
		tend(pid, a);
		if (++turns % 50 == 0) {
			check_all(a, 4);
			printf("turn %u\n", turns);
			fflush(stdout);
		}
	} while (turns < end);
	for (unsigned i = 0; i < children; i++)
		if (pid[i] != 0)
			waitpid(pid[i], NULL, 0);
	check_all(a, 4);
	printf("ok\n");
	return 0;
}
