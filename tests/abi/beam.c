/*
 * beam.c - the patterns in which Debian's beam.smp uses the calls: the
 * forker and its descriptors, ports, the poll thread, the JIT's mappings,
 * large reservations, scheduler threads that sleep and wake.
 */
#define ABI_CHILD
#include "abi.h"
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

/* As "cat": copies its input until the end. */
static int
abi_child(int argc, char **argv)
{
	char text[4096];
	ssize_t got;

	(void)argc;
	(void)argv;
	while ((got = read(0, text, sizeof(text))) > 0) {
		if (write(1, text, got) != got)
			return 1;
	}
	return 7;
}

static void
send_three(int fd, const int *list)
{
	char control[CMSG_SPACE(3 * sizeof(int))] = {0};
	struct iovec vector = {"S", 1};
	struct msghdr message = {
		.msg_iov = &vector,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(3 * sizeof(int));
	memcpy(CMSG_DATA(header), list, 3 * sizeof(int));
	CHECK_EQ(sendmsg(fd, &message, 0), 1);
}

static bool
receive_three(int fd, int *list)
{
	char control[CMSG_SPACE(3 * sizeof(int))], c;
	struct iovec vector = {&c, 1};
	struct msghdr message = {
		.msg_iov = &vector,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};

	if (recvmsg(fd, &message, 0) != 1)
		return false;
	memcpy(list, CMSG_DATA(CMSG_FIRSTHDR(&message)), 3 * sizeof(int));
	return true;
}

/* erl_child_setup: starts a program for each message, tells of its end. */
static void
forker(int fd)
{
	int list[3], status, pid;

	while (receive_three(fd, list)) {
		pid = fork();
		if (pid == 0) {
			setpgid(0, 0);
			dup2(list[0], 0);
			dup2(list[1], 1);
			syscall(SYS_close_range, 3, ~0U, 0);
			execl(abi_self, "cat", "--child", NULL);
			_exit(1);
		}
		CHECK_EQ(write(list[2], &pid, sizeof(pid)), sizeof(pid));
		close(list[0]);
		close(list[1]);
		close(list[2]);
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		CHECK_EQ(write(fd, &status, sizeof(status)), sizeof(status));
	}
	_exit(0);
}

CASE(ports, "do ports to a program work through a forker with passed pipes?")
{
	int pair[2], in[2], out[2], start[2], list[3], status, round;
	struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT};
	int ep = OK(epoll_create1(EPOLL_CLOEXEC));
	char text[8];
	pid_t pid, child;

	OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	pid = abi_fork();
	if (pid == 0) {
		close(pair[0]);
		forker(pair[1]);
	}
	close(pair[1]);
	for (round = 0; round < 20; round++) {
		OK(pipe2(in, O_CLOEXEC));
		OK(pipe2(out, O_CLOEXEC));
		OK(pipe2(start, O_CLOEXEC));
		list[0] = in[0];
		list[1] = out[1];
		list[2] = start[1];
		send_three(pair[0], list);
		close(in[0]);
		close(out[1]);
		close(start[1]);
		CHECK_EQ(read(start[0], &child, sizeof(child)), sizeof(child));
		OK(fcntl(out[0], F_SETFL, O_NONBLOCK));
		OK(epoll_ctl(ep, EPOLL_CTL_ADD, out[0], &event));
		CHECK_EQ(write(in[1], "ping", 4), 4);
		CHECK_EQ(epoll_wait(ep, &event, 1, -1), 1);
		CHECK_EQ(read(out[0], text, 8), 4);
		OK(close(in[1]));
		event.events = EPOLLIN | EPOLLONESHOT;
		OK(epoll_ctl(ep, EPOLL_CTL_MOD, out[0], &event));
		CHECK_EQ(epoll_wait(ep, &event, 1, -1), 1);
		CHECK_EQ(read(out[0], text, 8), 0);
		OK(close(out[0]));
		OK(close(start[0]));
		CHECK_EQ(read(pair[0], &status, sizeof(status)), sizeof(status));
		CHECK_EQ(WEXITSTATUS(status), 7);
		event.events = EPOLLIN | EPOLLONESHOT;
	}
	OK(close(pair[0]));
	CHECK_EQ(abi_reap(pid), 0);
}

CASE(carrier, "does a gigabyte reserved, aligned by cutting and used in parts hold?")
{
	size_t size = 1UL << 30, align = 256UL << 10;
	char *map = MAPPED(mmap(NULL, size + align, PROT_NONE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
	char *start = (char *)(((uintptr_t)map + align - 1) & ~(align - 1));
	int i;

	if (start != map)
		OK(munmap(map, start - map));
	OK(munmap(start + size, map + align - start));
	for (i = 0; i < 40; i++) {
		char *carrier = start + i * align;

		CHECK(MAPPED(mmap(carrier, align, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)) == carrier);
		carrier[0] = carrier[align - 1] = i;
	}
	for (i = 0; i < 40; i += 2) {
		CHECK(MAPPED(mmap(start + i * align, align, PROT_NONE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1,
				  0)) != NULL);
	}
	for (i = 1; i < 40; i += 2)
		CHECK_EQ(start[i * align], i);
	OK(munmap(start, size));
}

enum { schedulers = 4, turns = 2000 };

struct scheduler {
	atomic_int event;
	atomic_long runs;
};

static struct scheduler scheduler[schedulers];

static void
wake(struct scheduler *target)
{
	if (atomic_exchange(&target->event, 1) == -1)
		syscall(SYS_futex, &target->event, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *
schedule(void *arg)
{
	intptr_t self = (intptr_t)arg;
	struct scheduler *own = &scheduler[self];
	int zero;

	while (atomic_load(&own->runs) < turns) {
		zero = 0;
		if (atomic_compare_exchange_strong(&own->event, &zero, -1)) {
			while (atomic_load(&own->event) == -1)
				syscall(SYS_futex, &own->event, FUTEX_WAIT_PRIVATE, -1, NULL, NULL,
					0);
		}
		atomic_store(&own->event, 0);
		atomic_fetch_add(&own->runs, 1);
		wake(&scheduler[(self + 1) % schedulers]);
	}
	wake(&scheduler[(self + 1) % schedulers]);
	return NULL;
}

static void *
keep_waking(void *arg)
{
	atomic_int *stop = arg;
	int i;

	while (!atomic_load(stop)) {
		for (i = 0; i < schedulers; i++)
			wake(&scheduler[i]);
		sched_yield();
	}
	return NULL;
}

CASE(schedulers, "do threads that sleep as ethr_event does never miss a wake-up?")
{
	pthread_t thread[schedulers], waker;
	atomic_int stop = 0;
	intptr_t i;

	PT(pthread_create(&waker, NULL, keep_waking, &stop));
	for (i = 0; i < schedulers; i++)
		PT(pthread_create(&thread[i], NULL, schedule, (void *)i));
	for (i = 0; i < schedulers; i++)
		PT(pthread_join(thread[i], NULL));
	atomic_store(&stop, 1);
	PT(pthread_join(waker, NULL));
}

static void *
interrupt_poll(void *arg)
{
	int *fd = arg, i;

	for (i = 0; i < 500; i++) {
		CHECK_EQ(write(fd[0], "!", 1), 1);
		while (atomic_load((atomic_int *)&fd[1]) <= i)
			sched_yield();
	}
	return NULL;
}

CASE(poll_thread, "does a poll thread with a timer and a wake pipe see both?")
{
	struct itimerspec often = {{0, 1000000}, {0, 1000000}};
	int ep = OK(epoll_create1(0)), timer, wake_pipe[2], ticks = 0, i;
	struct epoll_event event = {.events = EPOLLIN}, list[8];
	int shared[2];
	pthread_t thread;
	uint64_t value;
	char c;

	timer = OK(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
	OK(timerfd_settime(timer, 0, &often, NULL));
	OK(pipe2(wake_pipe, O_CLOEXEC | O_NONBLOCK));
	event.data.fd = timer;
	OK(epoll_ctl(ep, EPOLL_CTL_ADD, timer, &event));
	event.data.fd = wake_pipe[0];
	OK(epoll_ctl(ep, EPOLL_CTL_ADD, wake_pipe[0], &event));
	shared[0] = wake_pipe[1];
	shared[1] = 0;
	PT(pthread_create(&thread, NULL, interrupt_poll, shared));
	while (atomic_load((atomic_int *)&shared[1]) < 500 || ticks < 3) {
		int count = OK(epoll_wait(ep, list, 8, -1));

		for (i = 0; i < count; i++) {
			if (list[i].data.fd == timer) {
				CHECK_EQ(read(timer, &value, 8), 8);
				ticks++;
				continue;
			}
			CHECK_EQ(read(wake_pipe[0], &c, 1), 1);
			atomic_fetch_add((atomic_int *)&shared[1], 1);
		}
	}
	PT(pthread_join(thread, NULL));
}

CASE(code, "does code made in one mapping run at once in other threads?")
{
	static const unsigned char code[] = {0xb8, 0, 0, 0, 0, 0xc3};
	int fd = OK(memfd_create("vmem", MFD_CLOEXEC)), i, value;
	size_t size = 1 << 20;
	char *rw, *rx;
	pid_t pid;

	OK(ftruncate(fd, size));
	rw = MAPPED(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	rx = MAPPED(mmap(NULL, size, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0));
	for (i = 0; i < 2000; i++) {
		size_t at = (size_t)i * 512 % size;

		memcpy(rw + at, code, sizeof(code));
		memcpy(rw + at + 1, &i, sizeof(i));
		value = ((int (*)(void))(uintptr_t)(rx + at))();
		CHECK_EQ(value, i);
	}
	pid = abi_fork();
	if (pid == 0)
		_exit(((int (*)(void))(uintptr_t)(rx + 512))() & 0x7f);
	CHECK_EQ(abi_reap(pid), 1);
}

CASE(descriptors, "can 20,000 descriptors be open, or as many as the limit lets?")
{
	struct rlimit limit;
	int count = 20000, i, fd = -1, pair[2];
	char c;

	OK(getrlimit(RLIMIT_NOFILE, &limit));
	if (limit.rlim_max < 20100)
		count = limit.rlim_max - 100;
	limit.rlim_cur = limit.rlim_max;
	OK(setrlimit(RLIMIT_NOFILE, &limit));
	OK(pipe(pair));
	for (i = 0; i < count; i++)
		fd = OK(dup(pair[1]));
	CHECK(fd >= count);
	CHECK_EQ(write(fd, "x", 1), 1);
	CHECK_EQ(read(pair[0], &c, 1), 1);
	OK(syscall(SYS_close_range, pair[1], ~0U, 0));
	CHECK_EQ(read(pair[0], &c, 1), 0);
}
