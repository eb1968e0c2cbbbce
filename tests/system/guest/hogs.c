/*
 * hogs.c - programs that take all they can get of one thing, each twice: the first time fills
 * caches, after the second the free memory has to be where it was before it. What the kernel keeps
 * of stacks and files to use again is free, too: how much of them there ever was at a time differs.
 *
 *   hogs [-g] [NAME...]     -g: also those that only a guest may be asked to bear
 *
 * Prints "ok NAME" or "FAIL NAME: why", and "N passed, N failed" at the end.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { slack_kb = 2048, settle_s = 20, hog_s = 60, somebody = 4242 };

static void
nap_ms(int ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000L};

	nanosleep(&t, NULL);
}

static void
limit(int which, rlim_t value)
{
	struct rlimit r = {value, value};

	if (setrlimit(which, &r) != 0)
		_exit(90);
}

static long
free_kb(void)
{
	char line[128];
	long kb = 0;
	FILE *f = fopen("/proc/meminfo", "re");

	while (f && fgets(line, sizeof(line), f)) {
		long more = 0;

		if (sscanf(line, "MemFree: %ld", &more) == 1 ||
		    sscanf(line, "KernelStackFree: %ld", &more) == 1 ||
		    sscanf(line, "FilesFree: %ld", &more) == 1)
			kb += more;
	}
	if (f)
		fclose(f);
	return kb;
}

/* --- the hogs; each in a process of its own, 0 when it was stopped as it should be --- */

static int
forks(void)
{
	limit(RLIMIT_NPROC, 150);
	if (setuid(somebody) != 0)
		return 91;
	for (;;) {
		pid_t pid = fork();

		if (pid < 0)
			return errno == EAGAIN ? 0 : 92;
		if (pid > 0)
			pause();
	}
}

/* Every process forks on and on; the end comes from outside. */
static int
bomb(void)
{
	limit(RLIMIT_NPROC, 100);
	if (setuid(somebody) != 0)
		return 91;
	for (;;) {
		if (fork() < 0 && errno != EAGAIN)
			return 92;
	}
}

static int
memory(void)
{
	size_t step = 1 << 20;

	limit(RLIMIT_AS, 96 << 20);
	for (;;) {
		char *p = mmap(NULL, step, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			       0);

		if (p == MAP_FAILED)
			return errno == ENOMEM ? 0 : 92;
		memset(p, 1, step);
	}
}

static int
descriptors(void)
{
	int fd[2], made = 0;

	limit(RLIMIT_NOFILE, 4096);
	for (;;) {
		int err = 0;

		switch (made++ % 6) {
		case 0:
			err = pipe(fd);
			if (err == 0 && write(fd[1], fd, sizeof(fd)) < 0)
				return 93;
			break;
		case 1:
			err = socketpair(AF_UNIX, SOCK_STREAM, 0, fd);
			break;
		case 2:
			err = eventfd(0, 0);
			break;
		case 3:
			err = memfd_create("hog", 0);
			if (err >= 0 && write(err, fd, sizeof(fd)) < 0)
				return 94;
			break;
		case 4:
			err = socket(AF_INET, made % 4 < 2 ? SOCK_STREAM : SOCK_DGRAM, 0);
			break;
		default:
			err = epoll_create1(0);
		}
		if (err < 0)
			return errno == EMFILE ? 0 : 92;
	}
}

static void *
sleeper(void *arg)
{
	pause();
	return arg;
}

static int
threads(void)
{
	pthread_attr_t attr;
	pthread_t thread;
	int made = 0;

	limit(RLIMIT_NPROC, 400);
	if (setuid(somebody) != 0)
		return 91;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	while (pthread_create(&thread, &attr, sleeper, NULL) == 0)
		made++;
	return made > 300 && made <= 400 ? 0 : 92;
}

/* Without a limit: the kernel ends the process that asks for what is not there. */
static int
all_memory(void)
{
	for (;;) {
		char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (p == MAP_FAILED)
			return 0;
		memset(p, 1, 1 << 20);
	}
}

static int
all_memory_by_four(void)
{
	for (int i = 0; i < 3; i++)
		if (fork() == 0)
			break;
	return all_memory();
}

static int
all_in_a_file(void)
{
	static char data[1 << 16];
	int fd = open("/tmp/hog", O_RDWR | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || unlink("/tmp/hog") != 0)
		return 91;
	while (write(fd, data, sizeof(data)) > 0)
		;
	return errno == ENOSPC || errno == ENOMEM ? 0 : 92;
}

static int
all_threads(void)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 16384);
	while (pthread_create(&thread, &attr, sleeper, NULL) == 0)
		;
	return 0;
}

static int
all_descriptors(void)
{
	struct rlimit most = {1 << 20, 1 << 20};

	if (setrlimit(RLIMIT_NOFILE, &most) != 0)
		return 91;
	while (socket(AF_UNIX, SOCK_STREAM, 0) >= 0)
		;
	return 0;
}

static const struct hog {
	const char *name;
	int (*run)(void);
	bool only_guest;
	int end_ms; /* 0: ends by itself; else it is ended then */
} hogs[] = {
	{"forks", forks, false, 1000},
	{"bomb", bomb, false, 1500},
	{"memory", memory, false, 0},
	{"descriptors", descriptors, false, 0},
	{"threads", threads, false, 0},
	{"all_memory", all_memory, true, 0},
	{"all_memory_by_four", all_memory_by_four, true, 0},
	{"all_in_a_file", all_in_a_file, true, 0},
	{"all_threads", all_threads, true, 0},
	{"all_descriptors", all_descriptors, true, 0},
};

/* --- */

static const char *
end_group(pid_t pid)
{
	for (int i = 0; i < settle_s * 100; i++) {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (kill(-pid, SIGKILL) != 0 && errno == ESRCH)
			return NULL;
		nap_ms(10);
	}
	return "its processes cannot be ended";
}

/* => NULL or what went wrong */
static const char *
let(const struct hog *hog)
{
	static char why[100];
	int status = 0, ms = 0, most = hog->end_ms ? hog->end_ms : hog_s * 1000;
	pid_t pid = fork(), got = 0;
	const char *left;

	if (pid < 0)
		return "fork fails";
	if (pid == 0) {
		setpgid(0, 0);
		_exit(hog->run());
	}
	setpgid(pid, pid);
	for (; got == 0 && ms < most; ms += 10) {
		got = waitpid(pid, &status, WNOHANG);
		nap_ms(10);
	}
	left = end_group(pid);
	if (left)
		return left;
	if (got == 0)
		return hog->end_ms ? NULL : "it does not end";
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return NULL;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && hog->only_guest)
		return NULL;
	snprintf(why, sizeof(why), "status %#x", status);
	return why;
}

/* Memory of what just ended comes back in the background. */
static const char *
memory_is_back(long before)
{
	static char why[100];
	long now = 0;

	for (int i = 0; i < settle_s * 20; i++) {
		now = free_kb();
		if (now >= before - slack_kb)
			return NULL;
		nap_ms(50);
	}
	snprintf(why, sizeof(why), "%ld kB were free and %ld kB are", before, now);
	return why;
}

static bool
run(const struct hog *hog)
{
	const char *why = let(hog);
	long before;

	nap_ms(200);
	before = free_kb();
	if (!why)
		why = let(hog);
	if (!why)
		why = memory_is_back(before);
	if (why)
		printf("FAIL %s: %s\n", hog->name, why);
	else
		printf("ok %s (%ld kB)\n", hog->name, before - free_kb());
	return !why;
}

static bool
chosen(const struct hog *hog, bool guest, char **names, int count)
{
	if (count == 0)
		return guest || !hog->only_guest;
	while (count-- > 0)
		if (strcmp(names[count], hog->name) == 0)
			return true;
	return false;
}

int
main(int argc, char **argv)
{
	bool guest = argc > 1 && strcmp(argv[1], "-g") == 0;
	int passed = 0, failed = 0;

	setvbuf(stdout, NULL, _IONBF, 0);
	for (size_t i = 0; i < sizeof(hogs) / sizeof(hogs[0]); i++) {
		if (!chosen(&hogs[i], guest, argv + 1 + guest, argc - 1 - guest))
			continue;
		if (run(&hogs[i]))
			passed++;
		else
			failed++;
	}
	printf("%d passed, %d failed\n", passed, failed);
	return failed != 0;
}
