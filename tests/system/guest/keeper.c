/*
 * A program that believes fsync, or another call: it appends numbers to a file, and says what was
 *kept. After each turn file and memory must say the same, through failing disks and power cuts.
 *
 *	keeper BYTES [MS [WHERE [CALL]]]	so many bytes a turn, beside the number; MS of sleep
 *between turns. WHERE: over (in a file that is written over; the default), file (one that grows),
 *memory (that grows): after every three refusals all of it is given back, which says "freed", and
 *one block more is kept for good: a disk is full at another place each time
 *
 * CALL is fsync (the default), fdatasync, sync, osync (numbers are appended by writes to a file
 *with O_SYNC) or msync (they are put into a mapping).
 *
 * "kept N" when the call has said so; "refused N E WHERE" when it or a write failed with errno E:
 *then what could be written stays in the file, and the next turn tries again. "WRONG ..." and
 *status 1.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define NUMBERS	   100000
#define PAGE_WORDS 1024u
#define OLD_PAGES  64u

static uint32_t have[NUMBERS], n;
static uint32_t old[OLD_PAGES][PAGE_WORDS]; /* written once; a page is looked at each turn */
static const char *where_to, *call = "fsync";
static uint32_t *numbers;   /* the file, in memory: for msync */
static size_t grown, bytes; /* bytes */
static char *block, *memory;
static int kept_fd, ballast, reserve;
static uint32_t reserved, to_reserve; /* blocks */

#define MEMORY (1ul << 30)

static void
wrong(const char *what)
{
	printf("WRONG at %u: %s (errno %d)\n", n, what, errno);
	fflush(stdout);
	_exit(1);
}

/* The file has all numbers, in order. */
static void
look(void)
{
	static uint32_t got[NUMBERS];
	ssize_t length = pread(kept_fd, got, sizeof(got), 0);

	if (length < 0) {
		printf("unreadable %d\n", errno);
		exit(3);
	}
	if (length != (ssize_t)(n * sizeof(n)))
		wrong("the file's length");
	if (memcmp(got, have, (size_t)length) != 0)
		wrong("the file's numbers");
	for (uint32_t i = 0; i < n; i++)
		if (have[i] != i * 2654435761u)
			wrong("the memory's numbers");
	for (uint32_t i = 0; i < PAGE_WORDS; i++)
		if (old[n % OLD_PAGES][i] != i * 2654435761u + n % OLD_PAGES)
			wrong("the old numbers");
}

static bool
put_ballast(void)
{
	bool over = strcmp(where_to, "over") == 0;

	memset(block, (int)n + 1, bytes);
	if (strcmp(where_to, "memory") == 0)
		memcpy(memory + grown, block, bytes);
	else if (bytes > 0 &&
		 pwrite(ballast, block, bytes, over ? 0 : (off_t)grown) != (ssize_t)bytes)
		return false;
	grown += over ? 0 : bytes;
	return true;
}

/* Once there is room for it. */
static void
put_reserve(void)
{
	static const char page[4096] = "kept for good";

	if (reserved < to_reserve &&
	    pwrite(reserve, page, sizeof(page), (off_t)reserved * 4096) == sizeof(page))
		reserved++;
}

static void
give_back(void)
{
	if (ftruncate(ballast, 0) || madvise(memory, MEMORY, MADV_DONTNEED))
		wrong("give back");
	grown = 0;
	to_reserve++;
	printf("freed\n");
}

static bool
append(uint32_t x)
{
	if (strcmp(call, "msync") == 0) {
		if (ftruncate(kept_fd, (off_t)((n + 1) * sizeof(x))))
			return false;
		numbers[n] = x;
		return true;
	}
	return pwrite(kept_fd, &x, sizeof(x), (off_t)(n * sizeof(x))) == sizeof(x);
}

static bool
keep(void)
{
	if (strcmp(call, "fdatasync") == 0)
		return fdatasync(kept_fd) == 0;
	if (strcmp(call, "msync") == 0)
		return msync(numbers, NUMBERS * sizeof(n), MS_SYNC) == 0;
	if (strcmp(call, "sync") == 0)
		sync();
	else
		return fsync(kept_fd) == 0;
	return true;
}

static const char *
turn(void)
{
	uint32_t x = n * 2654435761u;

	put_reserve();
	if (!put_ballast())
		return "write";
	if (strcmp(call, "osync") == 0) {
		if (write(kept_fd, &x, sizeof(x)) != sizeof(x))
			return call;
		have[n++] = x;
		return NULL;
	}
	if (!append(x))
		return "append";
	have[n++] = x;
	return keep() ? NULL : call;
}

static int
open_kept(void)
{
	int flags = strcmp(call, "osync") == 0 ? O_SYNC | O_APPEND : 0, fd;

	fd = open("/kept", O_RDWR | O_CREAT | O_TRUNC | flags, 0600);
	numbers = mmap(NULL, sizeof(have), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return numbers == MAP_FAILED ? -1 : fd;
}

int
main(int argc, char **argv)
{
	unsigned ms = argc > 2 ? (unsigned)atoi(argv[2]) : 20, refused = 0;

	bytes = argc > 1 ? strtoul(argv[1], NULL, 0) : 0;
	where_to = argc > 3 ? argv[3] : "over";
	for (uint32_t i = 0; i < OLD_PAGES * PAGE_WORDS; i++)
		old[i / PAGE_WORDS][i % PAGE_WORDS] = i % PAGE_WORDS * 2654435761u + i / PAGE_WORDS;
	if (argc > 4)
		call = argv[4];
	kept_fd = open_kept();
	ballast = open("/ballast", O_RDWR | O_CREAT | O_TRUNC, 0600);
	reserve = open("/reserve", O_RDWR | O_CREAT | O_TRUNC, 0600);
	block = malloc(bytes + 1);
	memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (kept_fd < 0 || ballast < 0 || reserve < 0 || !block || memory == MAP_FAILED)
		wrong("start");
	while (n < NUMBERS) {
		const char *where = turn();
		int error = errno;

		look();
		if (where)
			printf("refused %u %d %s\n", n, error, where);
		else
			printf("kept %u\n", n);
		refused = where ? refused + 1 : 0;
		if (refused > 0 && refused % 3 == 0 && strcmp(where_to, "over") != 0)
			give_back();
		usleep(ms * 1000);
	}
	return 0;
}
