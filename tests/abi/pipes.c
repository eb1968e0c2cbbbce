/*
 * pipes.c - pipes and fifos: blocking, atomic writes, ends that close, sizes.
 */
#include "abi.h"
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

static void
set_nonblock(int fd)
{
	OK(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK));
}

CASE(order, "do bytes come out in order, in whatever pieces?")
{
	char text[16];
	int fd[2];

	OK(pipe(fd));
	CHECK_EQ(write(fd[1], "abcdef", 6), 6);
	CHECK_EQ(write(fd[1], "gh", 2), 2);
	CHECK_EQ(read(fd[0], text, 4), 4);
	CHECK(memcmp(text, "abcd", 4) == 0);
	CHECK_EQ(read(fd[0], text, 16), 4);
	CHECK(memcmp(text, "efgh", 4) == 0);
	CHECK_EQ(read(fd[0], text, 0), 0);
}

CASE(flags, "do pipe2's flags hold and unknown ones fail?")
{
	int fd[2];
	char c;

	OK(pipe2(fd, O_CLOEXEC | O_NONBLOCK));
	CHECK_EQ(fcntl(fd[0], F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(fd[1], F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(fd[0], F_GETFL), O_RDONLY | O_NONBLOCK);
	CHECK_EQ(fcntl(fd[1], F_GETFL), O_WRONLY | O_NONBLOCK);
	CHECK_ERR(read(fd[0], &c, 1), EAGAIN);
	CHECK_ERR(write(fd[0], &c, 1), EBADF);
	CHECK_ERR(read(fd[1], &c, 1), EBADF);
	CHECK_ERR(pipe2(fd, 0x10), EINVAL);
	CHECK_ERR(pipe(abi_bad()), EFAULT);
}

CASE(end_of_file, "does read give the rest, then 0, when all writers are gone?")
{
	int fd[2], other;
	char text[8];

	OK(pipe(fd));
	other = OK(dup(fd[1]));
	CHECK_EQ(write(fd[1], "xy", 2), 2);
	OK(close(fd[1]));
	CHECK_EQ(write(other, "z", 1), 1);
	OK(close(other));
	CHECK_EQ(read(fd[0], text, 8), 3);
	CHECK_EQ(read(fd[0], text, 8), 0);
	CHECK_EQ(read(fd[0], text, 8), 0);
}

CASE(broken, "does a blocked writer wake with EPIPE when the reader closes?")
{
	static char data[1 << 18];
	int fd[2];
	pid_t pid;

	OK(pipe(fd));
	pid = abi_fork();
	if (pid == 0) {
		ssize_t got;

		close(fd[0]);
		signal(SIGPIPE, SIG_IGN);
		got = write(fd[1], data, sizeof(data));
		if (got > 0)
			got = write(fd[1], data, 1);
		_exit(got == -1 && errno == EPIPE ? 3 : 1);
	}
	close(fd[1]);
	CHECK_EQ(read(fd[0], data, 1), 1);
	close(fd[0]);
	CHECK_EQ(abi_reap(pid), 3);
}

CASE(full, "does a full pipe block, give EAGAIN, and hold 64 KiB?")
{
	static char data[1 << 17];
	int fd[2], queued;

	OK(pipe(fd));
	set_nonblock(fd[1]);
	CHECK_EQ(write(fd[1], data, sizeof(data)), 65536);
	CHECK_ERR(write(fd[1], data, 1), EAGAIN);
	OK(ioctl(fd[0], FIONREAD, &queued));
	CHECK_EQ(queued, 65536);
	CHECK_EQ(fcntl(fd[0], F_GETPIPE_SZ), 65536);
	CHECK_EQ(read(fd[0], data, 4096), 4096);
	CHECK_EQ(write(fd[1], data, 4096), 4096);
	OK(ioctl(fd[0], FIONREAD, &queued));
	CHECK_EQ(queued, 65536);
}

CASE(atomic_fit, "is a write of PIPE_BUF all or nothing when not blocking?")
{
	char data[PIPE_BUF] = {0};
	int fd[2], i;

	OK(pipe(fd));
	set_nonblock(fd[1]);
	for (i = 0; i < 15; i++)
		CHECK_EQ(write(fd[1], data, PIPE_BUF), PIPE_BUF);
	CHECK_EQ(write(fd[1], data, 100), 100);
	CHECK_ERR(write(fd[1], data, PIPE_BUF), EAGAIN);
}

CASE(sizes, "does F_SETPIPE_SZ grow, shrink not below the content, and round?")
{
	static char data[1 << 17];
	int fd[2];

	OK(pipe(fd));
	CHECK_EQ(fcntl(fd[1], F_SETPIPE_SZ, 100000), 131072);
	CHECK_EQ(fcntl(fd[0], F_GETPIPE_SZ), 131072);
	set_nonblock(fd[1]);
	CHECK_EQ(write(fd[1], data, sizeof(data)), sizeof(data));
	CHECK_ERR(fcntl(fd[1], F_SETPIPE_SZ, 4096), EBUSY);
	CHECK_EQ(read(fd[0], data, sizeof(data)), sizeof(data));
	CHECK_EQ(fcntl(fd[1], F_SETPIPE_SZ, 1), 4096);
	CHECK_EQ(write(fd[1], data, sizeof(data)), 4096);
	CHECK_ERR(fcntl(0, F_GETPIPE_SZ), EBADF);
}

enum { writers = 4, records = 300, record_size = 512 };

static void *
write_records(void *arg)
{
	int *fd = arg, i;
	static atomic_int next;
	char record[record_size];

	memset(record, 'A' + atomic_fetch_add(&next, 1), sizeof(record));
	for (i = 0; i < records; i++)
		CHECK_EQ(write(fd[1], record, sizeof(record)), sizeof(record));
	return NULL;
}

CASE(atomic_records, "are records up to PIPE_BUF of many writers never mixed?")
{
	pthread_t thread[writers];
	char record[record_size];
	int fd[2], i, j;

	OK(pipe(fd));
	for (i = 0; i < writers; i++)
		PT(pthread_create(&thread[i], NULL, write_records, fd));
	for (i = 0; i < writers * records; i++) {
		for (j = 0; j < record_size; j += OK(read(fd[0], record + j, record_size - j)))
			;
		for (j = 1; j < record_size; j++)
			CHECK_EQ(record[j], record[0]);
	}
	for (i = 0; i < writers; i++)
		PT(pthread_join(thread[i], NULL));
}

CASE(bulk, "do 8 MiB pass between processes with every byte right?")
{
	static unsigned char block[30000];
	size_t total = 8 << 20, done = 0, size, i;
	uint64_t seed = 3;
	int fd[2];
	pid_t pid;

	OK(pipe(fd));
	pid = abi_fork();
	if (pid == 0) {
		close(fd[0]);
		while (done < total) {
			size = 1 + abi_random(&seed) % sizeof(block);
			for (i = 0; i < size; i++)
				block[i] = (done + i) * 7 >> 2;
			CHECK_EQ(write(fd[1], block, size), size);
			done += size;
		}
		_exit(0);
	}
	close(fd[1]);
	for (;;) {
		ssize_t got = OK(read(fd[0], block, 1 + done % 9973));

		if (got == 0)
			break;
		for (i = 0; i < (size_t)got; i++)
			CHECK_EQ(block[i], (unsigned char)((done + i) * 7 >> 2));
		done += got;
	}
	CHECK(done >= total);
	CHECK_EQ(abi_reap(pid), 0);
}

struct ping {
	int in, out;
};

static void *
echo_bytes(void *arg)
{
	struct ping *ping = arg;
	char c;

	while (read(ping->in, &c, 1) == 1)
		CHECK_EQ(write(ping->out, &c, 1), 1);
	close(ping->out);
	return NULL;
}

CASE(ping_pong, "is no wake-up lost in 5,000 round trips?")
{
	int there[2], back[2], i;
	struct ping ping;
	pthread_t thread;
	char c;

	OK(pipe(there));
	OK(pipe(back));
	ping = (struct ping){there[0], back[1]};
	PT(pthread_create(&thread, NULL, echo_bytes, &ping));
	for (i = 0; i < 5000; i++) {
		c = i;
		CHECK_EQ(write(there[1], &c, 1), 1);
		c = ~i;
		CHECK_EQ(read(back[0], &c, 1), 1);
		CHECK_EQ(c, (char)i);
	}
	close(there[1]);
	CHECK_EQ(read(back[0], &c, 1), 0);
	PT(pthread_join(thread, NULL));
}

CASE(ring, "does a token go round 30 processes?")
{
	enum { members = 30 };
	int fd[members + 1][2], i, number = 0;

	for (i = 0; i <= members; i++)
		OK(pipe(fd[i]));
	for (i = 0; i < members; i++) {
		if (abi_fork() == 0) {
			CHECK_EQ(read(fd[i][0], &number, 4), 4);
			number++;
			CHECK_EQ(write(fd[i + 1][1], &number, 4), 4);
			_exit(0);
		}
	}
	CHECK_EQ(write(fd[0][1], &number, 4), 4);
	CHECK_EQ(read(fd[members][0], &number, 4), 4);
	CHECK_EQ(number, members);
	for (i = 0; i < members; i++)
		OK(wait(NULL));
}

CASE(faults, "does a bad buffer give EFAULT and leave the pipe whole?")
{
	struct iovec vector[2] = {{"ab", 2}, {abi_bad(), 2}};
	int fd[2], queued;
	char c;

	OK(pipe(fd));
	CHECK_EQ(write(fd[1], "xy", 2), 2);
	CHECK_ERR(read(fd[0], abi_bad(), 2), EFAULT);
	CHECK_ERR(write(fd[1], abi_bad(), 2), EFAULT);
	OK(ioctl(fd[0], FIONREAD, &queued));
	CHECK_EQ(queued, 2);
	CHECK_EQ(read(fd[0], &c, 1), 1);
	CHECK_EQ(c, 'x');
	CHECK_EQ(writev(fd[1], vector, 1), 2);
}

CASE(fstat_pipe, "is a pipe a fifo to fstat, with no name in /proc but pipe:?")
{
	char path[64], text[64] = "";
	struct stat st;
	int fd[2];

	OK(pipe(fd));
	OK(fstat(fd[0], &st));
	CHECK(S_ISFIFO(st.st_mode));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd[0]);
	OK(readlink(path, text, sizeof(text) - 1));
	CHECK(strncmp(text, "pipe:[", 6) == 0);
}

static void *
open_writer(void *arg)
{
	int fd = OK(open(arg, O_WRONLY));

	CHECK_EQ(write(fd, "w", 1), 1);
	close(fd);
	return NULL;
}

CASE(fifo, "does a fifo's open wait for the other side, and ENXIO without?")
{
	pthread_t thread;
	char c;
	int fd;

	OK(mkfifo("p", 0600));
	CHECK_ERR(open("p", O_WRONLY | O_NONBLOCK), ENXIO);
	fd = OK(open("p", O_RDONLY | O_NONBLOCK));
	CHECK_EQ(read(fd, &c, 1), 0);
	OK(close(fd));
	PT(pthread_create(&thread, NULL, open_writer, "p"));
	fd = OK(open("p", O_RDONLY));
	CHECK_EQ(read(fd, &c, 1), 1);
	CHECK_EQ(read(fd, &c, 1), 0);
	PT(pthread_join(thread, NULL));
	fd = OK(open("p", O_RDWR));
	CHECK_EQ(write(fd, "b", 1), 1);
	CHECK_EQ(read(fd, &c, 1), 1);
	CHECK_EQ(c, 'b');
}

#define STREAM	 (16u << 20)
#define PIECE	 65536
#define PAGES	 16
#define APART	 (2u << 20)
#define LIMIT_MS 60000

/* Begins as soon as there is anything, and takes each page into memory that has to be found first:
 * the writer fills the pipe in the midst of a read. */
static void *
read_stream(void *arg)
{
	char *mem = mmap(NULL, PAGES * APART, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct iovec to[PAGES];
	size_t left = STREAM;

	CHECK(mem != MAP_FAILED);
	OK(madvise(mem, PAGES * APART, MADV_NOHUGEPAGE));
	for (int i = 0; i < PAGES; i++)
		to[i] = (struct iovec){mem + i * APART, PIECE / PAGES};
	while (left > 0) {
		ssize_t n = readv(*(int *)arg, to, PAGES);

		if (n < 0) {
			CHECK_EQ(errno, EAGAIN);
			sched_yield();
			continue;
		}
		CHECK(n > 0);
		left -= (size_t)n;
		OK(madvise(mem, PAGES * APART, MADV_DONTNEED));
	}
	return NULL;
}

CASE(room_told, "is who waits for room by epoll told of it, whenever the reader makes it?")
{
	static char data[PIECE];
	struct epoll_event ev = {.events = EPOLLOUT};
	int fd[2], ep = OK(epoll_create1(0));
	size_t left = STREAM;
	pthread_t thread;

	OK(pipe(fd));
	set_nonblock(fd[0]);
	set_nonblock(fd[1]);
	OK(epoll_ctl(ep, EPOLL_CTL_ADD, fd[1], &ev));
	PT(pthread_create(&thread, NULL, read_stream, &fd[0]));
	while (left > 0) {
		ssize_t n = write(fd[1], data, left < PIECE ? left : PIECE);

		if (n < 0) {
			CHECK_EQ(errno, EAGAIN);
			CHECK_EQ(epoll_wait(ep, &ev, 1, LIMIT_MS), 1);
			CHECK(ev.events & EPOLLOUT);
		} else {
			left -= (size_t)n;
		}
	}
	PT(pthread_join(thread, NULL));
}

CASE(proc_reopen, "does opening /proc/self/fd/N of a pipe give the same pipe?")
{
	char path[64], c;
	int fd[2], other;

	OK(pipe(fd));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd[1]);
	other = OK(open(path, O_WRONLY));
	CHECK_EQ(write(other, "r", 1), 1);
	CHECK_EQ(read(fd[0], &c, 1), 1);
	CHECK_EQ(c, 'r');
}

CASE(splice, "do splice and tee move bytes, or say ENOSYS or EINVAL?")
{
	int a[2], b[2];
	char text[4];
	long got;

	OK(pipe(a));
	OK(pipe(b));
	CHECK_EQ(write(a[1], "data", 4), 4);
	got = splice(a[0], NULL, b[1], NULL, 4, 0);
	if (got == -1) {
		CHECK(errno == ENOSYS || errno == EINVAL);
		return;
	}
	CHECK_EQ(got, 4);
	CHECK_EQ(read(b[0], text, 4), 4);
	CHECK(memcmp(text, "data", 4) == 0);
}
