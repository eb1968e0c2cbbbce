/*
 * resume.h - programs that are cut off and go on. A case builds objects of the kernel, waits, and
 * looks at them again; each in a process of its own. Between the two the machine is checkpointed,
 * killed and started again, as many times as the argument says. With 0 (as on Linux) nothing comes
 * between: the case itself is tried.
 *
 *	CASE(name) { int fd = open(...); cut(); CHECK(read(fd, ...) == 1); }
 *
 * Prints "READY 1" when every case is at its cut and the checkpoint is made (then 2, ...), and in
 *the end "N passed, N failed".
 */
#ifndef RESUME_H
#define RESUME_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct resume_case {
	const char *name;
	void (*run)(void);
};

#define CASE(id)                                                                                   \
	static void case_##id(void);                                                               \
	static const struct resume_case resume_case_##id = {#id, case_##id};                       \
	static const struct resume_case *const resume_ref_##id                                     \
		__attribute__((section("resume_cases"), used)) = &resume_case_##id;                \
	static void case_##id(void)

extern const struct resume_case *const __start_resume_cases[];
extern const struct resume_case *const __stop_resume_cases[];

static const char *resume_name;
static int resume_device = -1, resume_ready = -1, resume_cuts;

#define CHECK(what)                                                                                \
	do {                                                                                       \
		if (!(what)) {                                                                     \
			printf("FAIL %s: line %d: %s (errno %d)\n", resume_name, __LINE__, #what,  \
			       errno);                                                             \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

static void
resume_say_ready(void)
{
	if (write(resume_ready, "r", 1) != 1)
		_exit(1);
}

/* A case that ends before its cuts does not keep the others waiting. */
static void
resume_at_exit(void)
{
	while (resume_cuts-- > 0)
		resume_say_ready();
}

/* Here the power goes. */
static inline void
cut(void)
{
	char line[128];

	for (; resume_cuts > 0; resume_cuts--) {
		resume_say_ready();
		if (read(resume_device, line, sizeof(line)) <= 0) {
			printf("FAIL %s: no word of the resume, errno %d\n", resume_name, errno);
			exit(1);
		}
	}
	close(resume_ready);
	close(resume_device);
}

static inline void
nap_ms(int ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000L};

	nanosleep(&t, NULL);
}

/* A byte of a long text, by position. */
static inline char
pattern(size_t i)
{
	return (char)('a' + i * 7 % 26);
}

static inline void
fill(char *buf, size_t from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf[i] = pattern(from + i);
}

static inline bool
is_filled(const char *buf, size_t from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (buf[i] != pattern(from + i))
			return false;
	return true;
}

/* Reads n bytes of the pattern: all of them, in order, nothing twice. */
static inline bool
read_pattern(int fd, size_t from, size_t n)
{
	static char buf[65536];

	while (n > 0) {
		ssize_t got = read(fd, buf, n < sizeof(buf) ? n : sizeof(buf));

		if (got <= 0 || !is_filled(buf, from, (size_t)got))
			return false;
		from += (size_t)got;
		n -= (size_t)got;
	}
	return true;
}

static inline void
write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static inline bool
file_is(const char *path, const char *text)
{
	char buf[256] = "";
	int fd = open(path, O_RDONLY);
	bool same = fd >= 0 && read(fd, buf, sizeof(buf)) == (ssize_t)strlen(text) &&
		    strcmp(buf, text) == 0;

	close(fd);
	return same;
}

static pid_t
start_case(const struct resume_case *c, int ready[2])
{
	pid_t pid = fork();

	if (pid)
		return pid;
	close(ready[0]);
	resume_name = c->name;
	resume_ready = ready[1];
	resume_device = resume_cuts ? open("/dev/holdfast", O_RDONLY | O_CLOEXEC) : -1;
	atexit(resume_at_exit);
	alarm(100);
	c->run();
	exit(0);
}

/* Waits until every case is at its cut, or has failed before, and has the machine written down. */
static void
checkpoint(int number, int ready[2], long n)
{
	int fd = open("/dev/holdfast", O_WRONLY);
	char c;

	while (n > 0 && read(ready[0], &c, 1) == 1)
		n--;
	if (fd < 0 || write(fd, "checkpoint\n", 11) != 11)
		printf("FAIL no checkpoint: errno %d\n", errno);
	close(fd);
	printf("READY %d\n", number);
}

int
main(int argc, char **argv)
{
	long n = __stop_resume_cases - __start_resume_cases, passed = 0;
	pid_t pid[64];
	int ready[2], status;

	setvbuf(stdout, NULL, _IOLBF, 0);
	resume_cuts = argc > 1 ? atoi(argv[1]) : 1;
	if (n > 64 || pipe(ready))
		return 2;
	for (long i = 0; i < n; i++)
		pid[i] = start_case(__start_resume_cases[i], ready);
	for (int i = 1; i <= resume_cuts; i++)
		checkpoint(i, ready, n);
	for (long i = 0; i < n; i++) {
		bool ok = waitpid(pid[i], &status, 0) == pid[i] && status == 0;

		passed += ok;
		if (!ok)
			printf("FAIL %s: status %x\n", __start_resume_cases[i]->name, status);
	}
	printf("%ld passed, %ld failed\n", passed, n - passed);
	return passed != n;
}

#endif
