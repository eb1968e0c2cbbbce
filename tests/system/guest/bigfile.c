/*
 * bigfile.c - a file that may be larger than memory.
 *
 *   bigfile PATH MIB TURNS
 *
 * Writes the file, and then, in each turn, reads all of it and changes some of its pages: whole
 * ones, parts, through a shared mapping, and by punching holes. What each page holds is known from
 * how often it was changed. Prints "written", "turn N" for each turn, and "ok"; "WRONG ..." and
 * exit status 1 on a difference. TURNS 0: for ever.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE  4096ul
#define CHUNK 16ul /* pages that are read and written together */
#define WORDS (PAGE / sizeof(uint64_t))
#define HOLE  255 /* of its number of changes */

static uint8_t *changes;
static uint64_t drawn = 1;

static _Noreturn void
wrong(const char *what, uint64_t page)
{
	printf("WRONG %s, page %lu\n", what, (unsigned long)page);
	exit(1);
}

static uint64_t
draw(uint64_t below)
{
	drawn = drawn * 6364136223846793005 + 1442695040888963407;
	return (drawn >> 33) % below;
}

static uint64_t
word_of(uint64_t page, unsigned i)
{
	uint64_t half = i < WORDS / 2 ? 0 : changes[page];

	return (page * WORDS + i) * 0x9e3779b97f4a7c15 + half;
}

static void
fill(uint64_t *to, uint64_t page)
{
	for (unsigned i = 0; i < WORDS; i++)
		to[i] = word_of(page, i);
}

static void
check(const uint64_t *is, uint64_t page)
{
	for (unsigned i = 0; i < WORDS; i++)
		if (is[i] != (changes[page] == HOLE ? 0 : word_of(page, i)))
			wrong("content", page);
}

static void
write_all(int fd, uint64_t pages)
{
	static uint64_t buf[CHUNK * WORDS];

	for (uint64_t page = 0; page < pages; page += CHUNK) {
		size_t done = 0;

		for (unsigned i = 0; i < CHUNK; i++)
			fill(buf + i * WORDS, page + i);
		while (done < sizeof(buf)) {
			ssize_t n = write(fd, (char *)buf + done, sizeof(buf) - done);

			if (n <= 0)
				wrong("write", page);
			done += (size_t)n;
		}
	}
}

static void
read_all(int fd, uint64_t pages)
{
	static uint64_t buf[CHUNK * WORDS];

	for (uint64_t page = 0; page < pages; page += CHUNK) {
		if (pread(fd, buf, sizeof(buf), (off_t)(page * PAGE)) != (ssize_t)sizeof(buf))
			wrong("read", page);
		for (unsigned i = 0; i < CHUNK; i++)
			check(buf + i * WORDS, page + i);
	}
}

/* The next version of a page: all of it, its second half, or that through memory. */
static void
change(int fd, uint64_t *map, uint64_t page)
{
	static uint64_t buf[WORDS];
	unsigned how = changes[page] == HOLE ? 0 : (unsigned)draw(3);
	ssize_t want = how == 0 ? (ssize_t)PAGE : (ssize_t)PAGE / 2;
	off_t at = (off_t)(page * PAGE) + (how == 0 ? 0 : (off_t)PAGE / 2);

	changes[page] = (uint8_t)((changes[page] + 1) % 200);
	fill(buf, page);
	if (how == 2)
		memcpy((char *)(map + page * WORDS) + PAGE / 2, (char *)buf + PAGE / 2, PAGE / 2);
	else if (pwrite(fd, (char *)buf + (PAGE - (size_t)want), (size_t)want, at) != want)
		wrong("pwrite", page);
}

static void
punch(int fd, uint64_t page)
{
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(page * PAGE), PAGE))
		wrong("fallocate", page);
	changes[page] = HOLE;
}

/* Data and holes are where they should be. Who may have more data than that is no liar: so only
 * what holds something has to be data. */
static void
check_holes(int fd, uint64_t pages)
{
	for (unsigned i = 0; i < 50; i++) {
		uint64_t page = draw(pages);
		off_t at = (off_t)(page * PAGE);

		if (changes[page] != HOLE && lseek(fd, at, SEEK_DATA) != at)
			wrong("SEEK_DATA", page);
		if (changes[page] != HOLE && lseek(fd, at, SEEK_HOLE) < at + (off_t)PAGE)
			wrong("SEEK_HOLE", page);
	}
}

int
main(int argc, char **argv)
{
	unsigned long turns;
	uint64_t pages, *map;
	struct stat st;
	int fd;

	if (argc != 4)
		return 2;
	pages = strtoul(argv[2], NULL, 10) * ((1ul << 20) / PAGE);
	turns = strtoul(argv[3], NULL, 10);
	changes = calloc(pages, 1);
	fd = open(argv[1], O_RDWR | O_CREAT | O_TRUNC, 0644);
	if (fd < 0 || changes == NULL)
		return 2;
	write_all(fd, pages);
	map = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return 2;
	printf("written\n");
	for (unsigned long turn = 1; turns == 0 || turn <= turns; turn++) {
		read_all(fd, pages);
		for (uint64_t i = 0; i < pages / 16; i++)
			change(fd, map, draw(pages));
		for (unsigned i = 0; i < 20; i++)
			punch(fd, draw(pages));
		check_holes(fd, pages);
		printf("turn %lu\n", turn);
		fflush(stdout);
	}
	read_all(fd, pages);
	if (fstat(fd, &st) || (uint64_t)st.st_size != pages * PAGE ||
	    (uint64_t)st.st_blocks * 512 > pages * PAGE + (1u << 20) ||
	    (uint64_t)st.st_blocks * 512 < pages * PAGE - pages / 16 * PAGE)
		wrong("st_blocks", (uint64_t)st.st_blocks);
	printf("ok\n");
	return 0;
}
