/*
 * A program that believes fsync: it appends numbers to a file, and says what was kept. After each
 * turn file and memory must say the same, through failing disks and power cuts.
 *
 *	keeper BYTES [MS]	so many bytes a turn, beside the number, in a file that is written
 *				over; MS of sleep between turns
 *
 * "kept N" when fsync has said so; "refused N E WHERE" when it or a write failed with errno E: then
 * what could be written stays in the file, and the next turn tries again. "WRONG ..." and status 1.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NUMBERS 100000

static uint32_t have[NUMBERS], n;

static void
wrong(const char *what)
{
	printf("WRONG at %u: %s (errno %d)\n", n, what, errno);
	fflush(stdout);
	_exit(1);
}

/* The file has all numbers, in order. */
static void
look(int fd)
{
	static uint32_t got[NUMBERS];
	ssize_t bytes = pread(fd, got, sizeof(got), 0);

	if (bytes != (ssize_t)(n * sizeof(n)))
		wrong("the file's length");
	if (memcmp(got, have, (size_t)bytes) != 0)
		wrong("the file's numbers");
	for (uint32_t i = 0; i < n; i++)
		if (have[i] != i * 2654435761u)
			wrong("the memory's numbers");
}

static const char *
turn(int fd, int ballast, char *block, size_t bytes)
{
	uint32_t x = n * 2654435761u;

	memset(block, (int)n, bytes);
	if (bytes > 0 && pwrite(ballast, block, bytes, 0) != (ssize_t)bytes)
		return "write";
	if (pwrite(fd, &x, sizeof(x), n * sizeof(x)) != sizeof(x))
		return "append";
	have[n++] = x;
	if (fsync(fd))
		return "fsync";
	return NULL;
}

int
main(int argc, char **argv)
{
	size_t bytes = argc > 1 ? strtoul(argv[1], NULL, 0) : 0;
	unsigned ms = argc > 2 ? (unsigned)atoi(argv[2]) : 20;
	int fd = open("/kept", O_RDWR | O_CREAT | O_TRUNC, 0600);
	int ballast = open("/ballast", O_RDWR | O_CREAT | O_TRUNC, 0600);
	char *block = malloc(bytes + 1);

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (fd < 0 || ballast < 0 || !block)
		wrong("start");
	while (n < NUMBERS) {
		const char *where = turn(fd, ballast, block, bytes);
		int error = errno;

		look(fd);
		if (where)
			printf("refused %u %d %s\n", n, error, where);
		else
			printf("kept %u\n", n);
		usleep(ms * 1000);
	}
	return 0;
}
