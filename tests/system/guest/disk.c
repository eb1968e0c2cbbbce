/*
 * A disk as a file: /dev/vda, or a plain file where there is no disk to spoil.
 *
 *	disk FILE BYTES SEED	asks what the file is, then THREADS threads write pieces of all
 *sizes at all offsets of their share and read them back; ends with fsync
 *
 * What is on the disk afterwards is `expected(SEED)`, which tests/system/test_disk.py computes,
 *too. Exit status 0 when all was right.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define THREADS 4
#define PIECE	(300 << 10)
#define WRITES	40

static const char *path;
static uint64_t bytes;
static uint32_t seed;
static int bad;

#define CHECK(what)                                                                                \
	do {                                                                                       \
		if (!(what)) {                                                                     \
			printf("%d: not so: %s (errno %d)\n", __LINE__, #what, errno);             \
			__atomic_store_n(&bad, 1, __ATOMIC_SEQ_CST);                               \
		}                                                                                  \
	} while (0)

/* Numerical Recipes' generator: short enough to write twice. */
static uint32_t
step(uint32_t *x)
{
	return *x = *x * 1664525u + 1013904223u;
}

static void
fill(unsigned char *p, size_t n, uint32_t *x)
{
	uint32_t v = step(x);

	for (size_t i = 0; i < n; i++)
		p[i] = (unsigned char)(v + i);
}

/* One thread's share: an eighth of the pieces are long, the rest up to two sectors. */
static void *
worker(void *arg)
{
	uint64_t share = bytes / THREADS, start = share * (uintptr_t)arg;
	uint32_t x = seed + (uint32_t)(uintptr_t)arg;
	unsigned char *buf = malloc(PIECE), *back = malloc(PIECE);
	int fd = open(path, O_RDWR);

	CHECK(fd >= 0 && buf && back);
	for (int i = 0; i < WRITES && !bad; i++) {
		size_t n = step(&x) % 8 == 0 ? 1 + step(&x) % PIECE : 1 + step(&x) % 1024;
		uint64_t at = start + step(&x) % (uint32_t)(share - n);

		fill(buf, n, &x);
		CHECK(pwrite(fd, buf, n, (off_t)at) == (ssize_t)n);
		CHECK(pread(fd, back, n, (off_t)at) == (ssize_t)n);
		CHECK(memcmp(buf, back, n) == 0);
		if (i % 8 == 0)
			CHECK(fdatasync(fd) == 0);
	}
	close(fd);
	free(buf);
	free(back);
	return NULL;
}

static void
ask(void)
{
	int fd = open(path, O_RDONLY), n = 0;
	void *volatile nowhere = (void *)8;
	uint64_t size = 0;
	struct stat st;
	char c;

	CHECK(fd >= 0 && fstat(fd, &st) == 0);
	CHECK((uint64_t)lseek(fd, 0, SEEK_END) == bytes);
	CHECK(read(fd, &c, 1) == 0);
	CHECK(write(fd, "x", 1) == -1 && errno == EBADF);
	if (S_ISBLK(st.st_mode)) {
		CHECK(ioctl(fd, BLKGETSIZE64, &size) == 0 && size == bytes);
		CHECK(ioctl(fd, BLKSSZGET, &n) == 0 && n == 512);
		CHECK(ioctl(fd, BLKROGET, &n) == 0 && n == 0);
		close(fd);
		fd = open(path, O_WRONLY);
		CHECK(pwrite(fd, "xy", 2, (off_t)bytes) == -1 && errno == ENOSPC);
		CHECK(pwrite(fd, "xy", 2, (off_t)bytes - 1) == 1);
		CHECK(pwrite(fd, nowhere, 600, 0) == -1 && errno == EFAULT);
	}
	close(fd);
}

int
main(int argc, char **argv)
{
	pthread_t t[THREADS];
	int fd;

	if (argc != 4)
		return 2;
	path = argv[1];
	bytes = strtoull(argv[2], NULL, 10);
	seed = (uint32_t)strtoul(argv[3], NULL, 10);
	ask();
	for (uintptr_t i = 0; i < THREADS; i++)
		CHECK(pthread_create(&t[i], NULL, worker, (void *)i) == 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	fd = open(path, O_RDWR | O_SYNC);
	CHECK(pwrite(fd, "the end", 7, 0) == 7);
	CHECK(fsync(fd) == 0);
	close(fd);
	printf("%s\n", bad ? "wrong" : "right");
	return bad;
}
