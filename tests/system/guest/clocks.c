/*
 * Time and chance over power cuts.
 *
 * A thread on each core reads each clock, by the vDSO and by the call, and compares it with the
 * greatest value that any core has read before. Timers of every kind count how often they wake
 * somebody. After each resume it prints
 *
 *	woken NAME N		for each kind, in the first 100 ms; at most 10 are due
 *	random HEX		getrandom, /dev/urandom, and what a new program is given by exec
 *	resumed MS		the outage, as /dev/holdfast tells it
 *
 * and WRONG with what is wrong. "reading" is printed when all threads are at work.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PERIOD_MS 10
#define CLOCKS	  6

static const clockid_t clocks[CLOCKS] = {CLOCK_MONOTONIC,	 CLOCK_MONOTONIC_RAW,
					 CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME,
					 CLOCK_REALTIME,	 CLOCK_REALTIME_COARSE};
static _Atomic int64_t greatest[CLOCKS];

enum { BY_MONOTONIC, BY_REALTIME, BY_BOOTTIME, BY_ITIMER, BY_SIGNAL, BY_SLEEP, TIMERS };
static const char *const timer_name[TIMERS] = {"monotonic", "realtime", "boottime",
					       "setitimer", "timer",	"nanosleep"};
static atomic_long woken[TIMERS];

static int64_t
read_clock(int i, bool by_call)
{
	struct timespec t;

	if (by_call)
		syscall(SYS_clock_gettime, clocks[i], &t);
	else
		clock_gettime(clocks[i], &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void
check_clock(int core, int i, bool by_call)
{
	int64_t before = atomic_load(&greatest[i]), t = read_clock(i, by_call), seen = before;

	if (t < before) {
		printf("WRONG clock %d on core %d by %s: %lld after %lld\n", clocks[i], core,
		       by_call ? "call" : "vDSO", (long long)t, (long long)before);
		_exit(1);
	}
	while (seen < t && !atomic_compare_exchange_weak(&greatest[i], &seen, t))
		;
}

static void *
reader(void *arg)
{
	int core = (int)(intptr_t)arg;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(core, &set);
	sched_setaffinity(0, sizeof(set), &set);
	for (;;) {
		for (int n = 0; n < 200; n++)
			for (int i = 0; i < CLOCKS; i++)
				check_clock(core, i, n & 1);
		usleep(1000); /* others want a core, too */
	}
	return NULL;
}

static void *
timerfd_reader(void *arg)
{
	static const clockid_t clock[] = {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME};
	struct itimerspec every = {{0, PERIOD_MS * 1000000}, {0, PERIOD_MS * 1000000}};
	int which = (int)(intptr_t)arg, fd = timerfd_create(clock[which], 0);
	uint64_t n;

	timerfd_settime(fd, 0, &every, NULL);
	while (read(fd, &n, 8) == 8)
		woken[which]++;
	return NULL;
}

static void *
sleeper(void *arg)
{
	struct timespec t = {0, PERIOD_MS * 1000000};

	for (;;) {
		nanosleep(&t, NULL);
		woken[*(int *)arg]++;
	}
	return NULL;
}

/* SIGALRM of setitimer, SIGUSR1 of timer_create; blocked everywhere else. */
static void *
signal_reader(void *arg)
{
	struct itimerval every = {{0, PERIOD_MS * 1000}, {0, PERIOD_MS * 1000}};
	struct itimerspec often = {{0, PERIOD_MS * 1000000}, {0, PERIOD_MS * 1000000}};
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	timer_t timer;
	int sig;

	timer_create(CLOCK_REALTIME, &ev, &timer);
	timer_settime(timer, 0, &often, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	while (sigwait(arg, &sig) == 0)
		woken[sig == SIGALRM ? BY_ITIMER : BY_SIGNAL]++;
	return NULL;
}

/* A reading of the vDSO that a power cut has interrupted must not take the new data for its own. */
static void
check_sequence(void)
{
	const volatile uint32_t *seq = (void *)(getauxval(AT_SYSINFO_EHDR) - getpagesize());
	static uint32_t before;

	if (before == *seq)
		printf("WRONG sequence count of the vDSO: %u as before\n", before);
	before = *seq;
}

static void
print_random(const uint8_t *bytes, int n)
{
	printf("random ");
	while (n-- > 0)
		printf("%02x", *bytes++);
	printf("\n");
	fflush(stdout);
}

static void
randomness(void)
{
	uint8_t bytes[16];
	int fd = open("/dev/urandom", O_RDONLY);
	pid_t pid;

	if (getrandom(bytes, sizeof(bytes), 0) == sizeof(bytes))
		print_random(bytes, sizeof(bytes));
	if (read(fd, bytes, sizeof(bytes)) == sizeof(bytes))
		print_random(bytes, sizeof(bytes));
	close(fd);
	pid = fork();
	if (pid == 0)
		execl("/proc/self/exe", "clocks", "auxv", NULL);
	waitpid(pid, NULL, 0);
}

static void
start(void *(*run)(void *), void *arg)
{
	pthread_t t;

	if (pthread_create(&t, NULL, run, arg))
		_exit(2);
}

static void
start_all(sigset_t *signals)
{
	static int sleeping = BY_SLEEP;

	for (long i = 0; i < sysconf(_SC_NPROCESSORS_ONLN); i++)
		start(reader, (void *)i);
	for (long i = BY_MONOTONIC; i <= BY_BOOTTIME; i++)
		start(timerfd_reader, (void *)i);
	start(sleeper, &sleeping);
	start(signal_reader, signals);
}

int
main(int argc, char **argv)
{
	struct timespec window = {0, 100 * 1000000};
	long before[TIMERS], after[TIMERS];
	char line[65] = "";
	sigset_t signals;
	int fd;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 1 && strcmp(argv[1], "auxv") == 0) {
		print_random((const uint8_t *)getauxval(AT_RANDOM), 16);
		return 0;
	}
	sigemptyset(&signals);
	sigaddset(&signals, SIGALRM);
	sigaddset(&signals, SIGUSR1);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	start_all(&signals);
	fd = open("/dev/holdfast", O_RDONLY);
	nanosleep(&window, NULL);
	check_sequence();
	sync(); /* from here on a power cut is a resume of this */
	printf("reading\n");
	while (read(fd, line, 64) == 64) {
		check_sequence();
		for (int i = 0; i < TIMERS; i++)
			before[i] = woken[i];
		nanosleep(&window, NULL);
		for (int i = 0; i < TIMERS; i++)
			after[i] = woken[i];
		for (int i = 0; i < TIMERS; i++)
			printf("woken %s %ld\n", timer_name[i], after[i] - before[i]);
		randomness();
		printf("%s", line);
	}
	return 2;
}
