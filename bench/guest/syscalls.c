/*
 * How long system calls take. Prints "name nanoseconds" for each, the best
 * of several rounds, so that a busy host disturbs little. With -p, each (or
 * those named after it) is run once as a section of a profile.
 *
 * Built statically; the same file runs on Linux and on Holdfast.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "mark.h"

#define ROUNDS 40
#define SHARE  10 /* of `count` in a round: short ones fit between the host's interruptions */

static int64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static void
report(const char *name, void (*run)(int), int count)
{
	int64_t best = INT64_MAX;

	count /= SHARE;
	for (int i = 0; i < ROUNDS; i++) {
		int64_t start = now_ns();
		run(count);
		int64_t took = now_ns() - start;
		if (took < best)
			best = took;
	}
	printf("%s %lld\n", name, (long long)(best / count));
	fflush(stdout);
}

static void
getppids(int count)
{
	while (count--)
		syscall(SYS_getppid);
}

static void
clocks(int count)
{
	struct timespec t;

	while (count--)
		clock_gettime(CLOCK_MONOTONIC, &t);
}

static int ball[2];

static void
futex_wait_for(int *word, int value)
{
	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) != value)
		syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, !value, NULL, NULL, 0);
}

static void
futex_set(int *word, int value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *
futex_partner(void *arg)
{
	for (int count = *(int *)arg; count--;) {
		futex_wait_for(&ball[0], 1);
		ball[0] = 0;
		futex_set(&ball[1], 1);
	}
	return NULL;
}

static void
futexes(int count)
{
	pthread_t partner;
	int rounds = count;

	pthread_create(&partner, NULL, futex_partner, &rounds);
	while (count--) {
		futex_set(&ball[0], 1);
		futex_wait_for(&ball[1], 1);
		ball[1] = 0;
	}
	pthread_join(partner, NULL);
}

static void
pipes(int count)
{
	int there[2], back[2];
	char c = 0;

	if (pipe(there) || pipe(back))
		exit(1);
	pid_t pid = fork();
	if (pid == 0) {
		while (count--) {
			if (read(there[0], &c, 1) != 1 || write(back[1], &c, 1) != 1)
				_exit(1);
		}
		_exit(0);
	}
	while (count--) {
		if (write(there[1], &c, 1) != 1 || read(back[0], &c, 1) != 1)
			exit(1);
	}
	waitpid(pid, NULL, 0);
	close(there[0]);
	close(there[1]);
	close(back[0]);
	close(back[1]);
}

static void
forks(int count)
{
	while (count--) {
		pid_t pid = fork();
		if (pid == 0)
			_exit(0);
		waitpid(pid, NULL, 0);
	}
}

static void
mappings(int count)
{
	enum { SIZE = 64 * 4096 };

	while (count--) {
		char *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			       0);
		for (int at = 0; at < SIZE; at += 4096)
			p[at] = 1;
		munmap(p, SIZE);
	}
}

static void *
nothing(void *arg)
{
	return arg;
}

static void
threads(int count)
{
	while (count--) {
		pthread_t t;
		pthread_create(&t, NULL, nothing, NULL);
		pthread_join(t, NULL);
	}
}

static void
files(int count)
{
	char buffer[4096];

	while (count--) {
		int fd = open("/etc/passwd", O_RDONLY);
		if (read(fd, buffer, sizeof buffer) < 0)
			exit(1);
		close(fd);
	}
}

static void
stats(int count)
{
	struct stat info;

	while (count--)
		stat("/usr/bin/busybox", &info);
}

static void
epolls(int count)
{
	struct epoll_event event = {.events = EPOLLIN};
	int poll_fd = epoll_create1(0), fd = eventfd(0, 0);
	uint64_t one = 1;

	epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event);
	while (count--) {
		if (write(fd, &one, 8) != 8 || epoll_wait(poll_fd, &event, 1, -1) != 1 ||
		    read(fd, &one, 8) != 8)
			exit(1);
	}
	close(fd);
	close(poll_fd);
}

static const struct {
	const char *name;
	void (*run)(int);
	int count;
} set[] = {
	{"getppid", getppids, 200000},
	{"clock_gettime", clocks, 200000},
	{"futex ping-pong", futexes, 5000},
	{"pipe ping-pong", pipes, 5000},
	{"fork+exit", forks, 300},
	{"mmap+touch+munmap", mappings, 500},
	{"thread create", threads, 1000},
	{"open+read+close", files, 20000},
	{"stat", stats, 20000},
	{"eventfd+epoll", epolls, 20000},
};

static void
profile(int section, const char *name, void (*run)(int), int count)
{
	run(count / 10);
	printf("section %d %s\n", section, name);
	fflush(stdout);
	mark(section);
	run(count);
	mark(0);
}

static int
wanted(char **names, const char *name)
{
	if (!*names)
		return 1;
	while (*names && strcmp(*names, name) != 0)
		names++;
	return *names != NULL;
}

int
main(int argc, char **argv)
{
	int profiled = argc > 1 && strcmp(argv[1], "-p") == 0;

	for (int i = 0; i < (int)(sizeof set / sizeof set[0]); i++) {
		if (!profiled)
			report(set[i].name, set[i].run, set[i].count);
		else if (wanted(argv + 2, set[i].name))
			profile(i + 1, set[i].name, set[i].run, set[i].count);
	}
	return 0;
}
