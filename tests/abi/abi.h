/*
 * abi.h - what the programs of tests/abi share.
 *
 * A program is a list of cases. CASE(name, "question?") { ... } puts a case
 * in the program's table; main() is here. Each case runs in its own forked
 * child in its own process group, in a scratch directory that is removed at
 * the end. A limit in seconds ends a case that hangs; it is no performance
 * claim. CHECK and its relatives print "FAIL name: why" and end the case.
 *
 *   program            run every case
 *   program NAME...    run the named cases
 *   program -l         list names and questions
 *   program -n         no fork: cases run in this process, one after another
 *   program -t SEC     hang limit of a case (60)
 *
 * The last line is "N passed, N failed"; the status is 1 if any case failed.
 * A program that runs itself again defines ABI_CHILD before it includes this
 * file and gets argv of "program --child ..." in abi_child().
 */
#ifndef ABI_H
#define ABI_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct abi_case {
	const char *name;
	const char *question;
	void (*run)(void);
	int line;
};

#define CASE(id, question_text)                                                                    \
	static void case_##id(void);                                                               \
	static const struct abi_case abi_case_##id = {#id, question_text, case_##id, __LINE__};    \
	static const struct abi_case *const abi_ref_##id                                           \
		__attribute__((section("abi_cases"), used)) = &abi_case_##id;                      \
	static void case_##id(void)

extern const struct abi_case *const __start_abi_cases[];
extern const struct abi_case *const __stop_abi_cases[];

enum {
	ABI_FAILED = 1, /* exit of a case that printed its reason */
	ABI_SKIPPED = 77,
	ABI_CHILD_FAILED = 99, /* exit of a case's child whose CHECK failed */
};

static const char *abi_name = "main";
static pid_t abi_pid;
static bool abi_inline;
static sigjmp_buf abi_jump;
static char abi_self[PATH_MAX];
static char abi_dir[PATH_MAX];

static inline void __attribute__((noreturn)) abi_end(int status)
{
	if (abi_inline && getpid() == abi_pid && gettid() == abi_pid)
		siglongjmp(abi_jump, status);
	if (getpid() != abi_pid && status == ABI_FAILED)
		status = ABI_CHILD_FAILED;
	_exit(status);
}

static inline void __attribute__((noreturn, format(printf, 3, 4)))
abi_fail(const char *file, int line, const char *format, ...)
{
	char why[400], text[600];
	va_list list;
	int length;

	va_start(list, format);
	vsnprintf(why, sizeof(why), format, list);
	va_end(list);
	length = snprintf(text, sizeof(text), "FAIL %s: %s:%d: %s\n", abi_name, file, line, why);
	if (write(1, text, length) != length)
		_exit(ABI_CHILD_FAILED);
	abi_end(ABI_FAILED);
}

#define FAIL(...) abi_fail(__FILE__, __LINE__, __VA_ARGS__)

#define SKIP(why)                                                                                  \
	do {                                                                                       \
		dprintf(1, "skip %s: %s\n", abi_name, why);                                        \
		abi_end(ABI_SKIPPED);                                                              \
	} while (0)

#define CHECK(what)                                                                                \
	do {                                                                                       \
		if (!(what))                                                                       \
			FAIL("%s (errno %d)", #what, errno);                                       \
	} while (0)

#define CHECK_EQ(got, want)                                                                        \
	do {                                                                                       \
		long long got_ = (long long)(got), want_ = (long long)(want);                      \
		if (got_ != want_)                                                                 \
			FAIL("%s is %lld, not %lld (errno %d)", #got, got_, want_, errno);         \
	} while (0)

/* The call fails with exactly this errno. */
#define CHECK_ERR(call, error)                                                                     \
	do {                                                                                       \
		errno = 0;                                                                         \
		long long got_ = (long long)(call);                                                \
		int errno_ = errno;                                                                \
		if (got_ != -1)                                                                    \
			FAIL("%s is %lld, should fail with %s", #call, got_, #error);              \
		if (errno_ != (error))                                                             \
			FAIL("%s fails with %d, not %s", #call, errno_, #error);                   \
	} while (0)

/* The call does not fail; its value. */
#define OK(call)                                                                                   \
	({                                                                                         \
		errno = 0;                                                                         \
		long long ok_ = (long long)(call);                                                 \
		if (ok_ < 0)                                                                       \
			FAIL("%s fails with %d", #call, errno);                                    \
		ok_;                                                                               \
	})

/* A mapping that is there. */
#define MAPPED(call)                                                                               \
	({                                                                                         \
		void *map_ = (call);                                                               \
		if (map_ == MAP_FAILED)                                                            \
			FAIL("%s fails with %d", #call, errno);                                    \
		map_;                                                                              \
	})

/* A pthread call that returns 0. */
#define PT(call)                                                                                   \
	do {                                                                                       \
		int pt_ = (call);                                                                  \
		if (pt_ != 0)                                                                      \
			FAIL("%s gives %d", #call, pt_);                                           \
	} while (0)

static inline pid_t
abi_fork(void)
{
	pid_t pid = fork();

	if (pid < 0)
		FAIL("fork fails with %d", errno);
	return pid;
}

/* The child's exit status, or 128 plus the signal that ended it. */
static inline int
abi_reap(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) != pid) {
		if (errno != EINTR)
			FAIL("waitpid(%d) fails with %d", pid, errno);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* A gate that one side opens and the other passes, between processes too. */
struct gate {
	int fd[2];
};

static inline struct gate
gate_make(void)
{
	struct gate gate;

	OK(pipe2(gate.fd, O_CLOEXEC));
	return gate;
}

static inline void
gate_open(struct gate *gate)
{
	while (write(gate->fd[1], "g", 1) != 1) {
		if (errno != EINTR)
			FAIL("gate_open: %d", errno);
	}
}

static inline void
gate_pass(struct gate *gate)
{
	char c;

	while (read(gate->fd[0], &c, 1) != 1) {
		if (errno != EINTR)
			FAIL("gate_pass: %d", errno);
	}
}

static inline int64_t
abi_now_ns(clockid_t clock)
{
	struct timespec now;

	OK(clock_gettime(clock, &now));
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static inline void
abi_nap_ms(int ms)
{
	struct timespec left = {ms / 1000, ms % 1000 * 1000000L};

	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		;
}

/*
 * Gives a thread of this process time to fall asleep in the kernel. A case
 * that calls this must also be right when the thread has not yet slept.
 */
static inline void
abi_let_sleep(pid_t tid)
{
	char path[64], line[256], *state;
	int fd, round;
	ssize_t got;

	snprintf(path, sizeof(path), "/proc/%d/stat", tid);
	for (round = 0; round < 500; round++) {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			break;
		got = read(fd, line, sizeof(line) - 1);
		close(fd);
		if (got <= 0)
			break;
		line[got] = 0;
		state = strrchr(line, ')');
		if (state && state[1] == ' ' && state[2] == 'S')
			return;
		abi_nap_ms(1);
	}
	abi_nap_ms(20);
}

/* Memory that stays shared with the children forked after it. */
static inline void *
abi_shared(size_t size)
{
	return MAPPED(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
}

/* A pointer that is never mapped, hidden from the compiler. */
static inline void *
abi_bad(void)
{
	void *volatile bad = (void *)8;

	return bad;
}

static inline uint32_t
abi_random(uint64_t *state)
{
	*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
	return *state >> 33;
}

static inline void
abi_put_file(const char *path, const void *data, size_t size, mode_t mode)
{
	int fd = OK(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));

	CHECK_EQ(write(fd, data, size), size);
	OK(close(fd));
}

#ifdef ABI_CHILD
static int abi_child(int argc, char **argv);
#endif

static inline void
abi_on_alarm(int signal_number)
{
	(void)signal_number;
}

static inline int
abi_by_line(const void *a, const void *b)
{
	const struct abi_case *const *left = a, *const *right = b;

	return (*left)->line - (*right)->line;
}

static inline int
abi_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	remove(path);
	return 0;
}

/* A case starts with descriptors 0 to 2 only. */
static inline void
abi_close_others(void)
{
	int fd;

	for (fd = 3; fd < 1024; fd++)
		close(fd);
}

/* A case starts with default actions, whatever the caller ignores. */
static inline void
abi_reset_signals(void)
{
	sigset_t none;
	int number;

	for (number = 1; number <= 64; number++) {
		signal(number, SIG_IGN); /* forgets what is pending */
		signal(number, SIG_DFL);
	}
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* => the case's exit status; -1 for a hang, 1000 + signal when killed */
static inline int
abi_run_forked(const struct abi_case *test, unsigned int limit_s)
{
	int status;
	pid_t pid = fork(), got;

	if (pid < 0)
		return ABI_CHILD_FAILED;
	if (pid == 0) {
		signal(SIGALRM, SIG_DFL);
		setpgid(0, 0);
		abi_pid = getpid();
		test->run();
		_exit(0);
	}
	setpgid(pid, pid);
	alarm(limit_s);
	got = waitpid(pid, &status, 0);
	alarm(0);
	if (got != pid) {
		kill(-pid, SIGKILL);
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		return -1;
	}
	kill(-pid, SIGKILL);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static inline int
abi_run_inline(const struct abi_case *test, unsigned int limit_s)
{
	int status;

	abi_close_others();
	abi_reset_signals();
	alarm(limit_s);
	status = sigsetjmp(abi_jump, 1);
	if (status == 0)
		test->run();
	alarm(0);
	return status;
}

/* Runs one case in a fresh directory; true unless it failed. */
static inline bool
abi_run(const struct abi_case *test, unsigned int limit_s)
{
	const char *top = getenv("TMPDIR");
	int status;

	snprintf(abi_dir, sizeof(abi_dir), "%s/abi.XXXXXX", top ? top : "/tmp");
	if (!mkdtemp(abi_dir) || chdir(abi_dir) != 0)
		abi_dir[0] = 0;
	abi_name = test->name;
	status = abi_inline ? abi_run_inline(test, limit_s) : abi_run_forked(test, limit_s);
	if (abi_dir[0] && chdir("/") == 0)
		nftw(abi_dir, abi_remove, 8, FTW_DEPTH | FTW_PHYS);

	if (status == 0)
		dprintf(1, "ok %s\n", test->name);
	else if (status == -1)
		dprintf(1, "FAIL %s: hangs (%u s)\n", test->name, limit_s);
	else if (status > 1000)
		dprintf(1, "FAIL %s: ended by signal %d\n", test->name, status - 1000);
	else if (status != ABI_FAILED && status != ABI_SKIPPED)
		dprintf(1, "FAIL %s: exit status %d\n", test->name, status);
	return status == 0 || status == ABI_SKIPPED;
}

static inline bool
abi_chosen(const struct abi_case *test, char **names, int count)
{
	int i;

	for (i = 0; i < count; i++) {
		if (strcmp(names[i], test->name) == 0)
			return true;
	}
	return count == 0;
}

static inline void
abi_find_self(const char *name)
{
	char here[PATH_MAX];

	if (name[0] == '/' || !getcwd(here, sizeof(here)))
		here[0] = 0;
	if (strlen(here) + strlen(name) + 2 > sizeof(abi_self))
		_exit(2);
	strcpy(abi_self, here);
	if (here[0])
		strcat(abi_self, "/");
	strcat(abi_self, name);
}

int
main(int argc, char **argv)
{
	size_t count = __stop_abi_cases - __start_abi_cases, i;
	const struct abi_case *table[count];
	struct sigaction on_alarm = {.sa_handler = abi_on_alarm};
	unsigned int limit_s = 60;
	int option, passed = 0, failed = 0, ran = 0;
	bool list = false;

	abi_pid = getpid();
	abi_find_self(argc > 0 ? argv[0] : "");
#ifdef ABI_CHILD
	if (argc > 1 && strcmp(argv[1], "--child") == 0)
		return abi_child(argc, argv);
#endif
	while ((option = getopt(argc, argv, "lnt:")) != -1) {
		if (option == 'l')
			list = true;
		else if (option == 'n')
			abi_inline = true;
		else if (option == 't')
			limit_s = atoi(optarg);
		else
			return 2;
	}
	abi_close_others();
	abi_reset_signals();
	memcpy(table, __start_abi_cases, sizeof(table));
	qsort(table, count, sizeof(table[0]), abi_by_line);
	sigaction(SIGALRM, &on_alarm, NULL);
	for (i = 0; i < count; i++) {
		if (!abi_chosen(table[i], argv + optind, argc - optind))
			continue;
		ran++;
		if (list)
			dprintf(1, "%s: %s\n", table[i]->name, table[i]->question);
		else if (abi_run(table[i], limit_s))
			passed++;
		else
			failed++;
	}
	if (!list)
		dprintf(1, "%d passed, %d failed\n", passed, failed);
	return failed > 0 || ran == 0;
}

#endif
