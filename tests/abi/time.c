/*
 * time.c - clocks, the vDSO's agreement with the kernel, sleeping, interval
 * and POSIX timers, processor time.
 */
#include "abi.h"
#include <linux/futex.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/timex.h>
#include <utime.h>

#define MS 1000000LL

static int64_t
raw_now_ns(clockid_t clock)
{
	struct timespec now;

	OK(syscall(SYS_clock_gettime, clock, &now));
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

CASE(clocks, "does every clock that Linux has give a sane time?")
{
	static const clockid_t clocks[] = {
		CLOCK_REALTIME,		 CLOCK_MONOTONIC,     CLOCK_PROCESS_CPUTIME_ID,
		CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE,
		CLOCK_MONOTONIC_COARSE,	 CLOCK_BOOTTIME,
	};
	struct timespec now, step;
	size_t i;

	for (i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
		OK(clock_gettime(clocks[i], &now));
		CHECK(now.tv_sec >= 0);
		CHECK(now.tv_nsec >= 0 && now.tv_nsec < 1000000000);
		OK(clock_getres(clocks[i], &step));
		CHECK(step.tv_sec == 0 && step.tv_nsec > 0);
	}
	OK(clock_gettime(CLOCK_REALTIME, &now));
	CHECK(now.tv_sec > 1600000000);
	CHECK_ERR(syscall(SYS_clock_gettime, 99, &now), EINVAL);
	CHECK_ERR(clock_gettime(99, &now), EINVAL);
	CHECK_ERR(clock_getres(99, &now), EINVAL);
	CHECK_ERR(syscall(SYS_clock_gettime, CLOCK_REALTIME, abi_bad()), EFAULT);
	OK(clock_getres(CLOCK_MONOTONIC, NULL));
}

CASE(vdso_agrees, "do the vDSO and the system call never step back against each other?")
{
	static const clockid_t clocks[] = {
		CLOCK_REALTIME,
		CLOCK_MONOTONIC,
		CLOCK_BOOTTIME,
		CLOCK_MONOTONIC_RAW,
	};
	int64_t last, now;
	size_t c;
	int i;

	for (c = 0; c < 4; c++) {
		last = 0;
		for (i = 0; i < 2000; i++) {
			now = i & 1 ? abi_now_ns(clocks[c]) : raw_now_ns(clocks[c]);
			CHECK(now >= last);
			last = now;
		}
	}
}

CASE(other_calls, "do time, gettimeofday and clock_gettime agree?")
{
	struct timeval tv;
	int64_t before = abi_now_ns(CLOCK_REALTIME), after;
	time_t now, given;

	OK(gettimeofday(&tv, NULL));
	after = abi_now_ns(CLOCK_REALTIME);
	CHECK(tv.tv_sec * 1000000LL + tv.tv_usec >= before / 1000);
	CHECK(tv.tv_sec * 1000000LL + tv.tv_usec <= after / 1000);
	now = syscall(SYS_time, &given);
	CHECK_EQ(now, given);
	CHECK(now >= before / 1000000000 - 1);
	now = time(NULL);
	CHECK(now >= before / 1000000000 - 1);
	OK(syscall(SYS_gettimeofday, &tv, NULL));
	CHECK(tv.tv_usec >= 0 && tv.tv_usec < 1000000);
}

static volatile int64_t shared_last;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *
read_clock(void *arg)
{
	int64_t now;
	int i;

	for (i = 0; i < 20000; i++) {
		PT(pthread_mutex_lock(&lock));
		now = abi_now_ns(CLOCK_MONOTONIC);
		if (now < shared_last)
			FAIL("clock went back %lld ns", (long long)(shared_last - now));
		shared_last = now;
		PT(pthread_mutex_unlock(&lock));
	}
	return arg;
}

CASE(monotonic, "does the monotonic clock never go back across threads?")
{
	pthread_t thread[4];
	int i;

	for (i = 0; i < 4; i++)
		PT(pthread_create(&thread[i], NULL, read_clock, NULL));
	for (i = 0; i < 4; i++)
		PT(pthread_join(thread[i], NULL));
}

CASE(monotonic_cpus, "does it not go back when the thread moves between processors?")
{
	int64_t last = 0, now;
	cpu_set_t all, one;
	int round, cpu;

	OK(sched_getaffinity(0, sizeof(all), &all));
	for (round = 0; round < 20; round++) {
		for (cpu = 0; cpu < 64; cpu++) {
			if (!CPU_ISSET(cpu, &all))
				continue;
			CPU_ZERO(&one);
			CPU_SET(cpu, &one);
			OK(sched_setaffinity(0, sizeof(one), &one));
			now = abi_now_ns(CLOCK_MONOTONIC);
			CHECK(now >= last);
			last = now;
		}
	}
}

CASE(sleep, "does nanosleep sleep at least its time, and check it?")
{
	struct timespec brief = {0, 15 * MS}, bad = {0, 1000000000};
	struct timespec negative = {-1, 0};
	int64_t start = abi_now_ns(CLOCK_MONOTONIC);

	OK(nanosleep(&brief, NULL));
	CHECK(abi_now_ns(CLOCK_MONOTONIC) - start >= 15 * MS);
	OK(nanosleep(&(struct timespec){0, 0}, NULL));
	CHECK_ERR(nanosleep(&bad, NULL), EINVAL);
	CHECK_ERR(nanosleep(&negative, NULL), EINVAL);
	CHECK_ERR(nanosleep(abi_bad(), NULL), EFAULT);
}

CASE(sleep_until, "does an absolute sleep end at its time, and at once if past?")
{
	static const clockid_t clocks[] = {
		CLOCK_MONOTONIC,
		CLOCK_REALTIME,
		CLOCK_BOOTTIME,
	};
	struct timespec when;
	int64_t then;
	int i;

	for (i = 0; i < 3; i++) {
		then = abi_now_ns(clocks[i]) + 10 * MS;
		when = (struct timespec){then / 1000000000, then % 1000000000};
		CHECK_EQ(clock_nanosleep(clocks[i], TIMER_ABSTIME, &when, NULL), 0);
		CHECK(abi_now_ns(clocks[i]) >= then);
		CHECK_EQ(clock_nanosleep(clocks[i], TIMER_ABSTIME, &when, NULL), 0);
	}
	CHECK_EQ(clock_nanosleep(99, 0, &when, NULL), EINVAL);
	CHECK_EQ(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &when, NULL), EINVAL);
}

static volatile sig_atomic_t ticks;
static volatile siginfo_t tick_info;

static void
on_tick(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	ticks++;
	tick_info = *info;
}

static void catch (int number)
{
	struct sigaction action = {.sa_sigaction = on_tick, .sa_flags = SA_SIGINFO};

	ticks = 0;
	OK(sigaction(number, &action, NULL));
}

CASE(sleep_interrupted, "does a signal end nanosleep with the time that is left?")
{
	struct itimerval timer = {.it_value = {0, 5000}, .it_interval = {0, 5000}};
	struct timespec longer = {30, 0}, left = {0, 0};

	catch (SIGALRM);
	OK(setitimer(ITIMER_REAL, &timer, NULL));
	CHECK_ERR(nanosleep(&longer, &left), EINTR);
	CHECK(left.tv_sec >= 1 && left.tv_sec < 30);
	timer.it_value.tv_usec = timer.it_interval.tv_usec = 0;
	OK(setitimer(ITIMER_REAL, &timer, NULL));
	CHECK(ticks >= 1);
}

CASE(itimer, "does ITIMER_REAL repeat, read back and stop?")
{
	struct itimerval timer = {.it_value = {0, 2000}, .it_interval = {0, 3000}}, now;
	struct timeval bad = {0, 1000000};

	catch (SIGALRM);
	OK(setitimer(ITIMER_REAL, &timer, NULL));
	while (ticks < 3)
		pause();
	OK(getitimer(ITIMER_REAL, &now));
	CHECK_EQ(now.it_interval.tv_usec, 3000);
	CHECK(now.it_value.tv_sec == 0 && now.it_value.tv_usec <= 3000);
	memset(&timer, 0, sizeof(timer));
	OK(setitimer(ITIMER_REAL, &timer, NULL));
	OK(getitimer(ITIMER_REAL, &now));
	CHECK_EQ(now.it_value.tv_usec, 0);
	timer.it_value = bad;
	CHECK_ERR(setitimer(ITIMER_REAL, &timer, NULL), EINVAL);
	CHECK_ERR(setitimer(9, &timer, NULL), EINVAL);
	CHECK_EQ(alarm(100), 0);
	CHECK(alarm(0) >= 99);
}

CASE(itimer_cpu, "do ITIMER_VIRTUAL and ITIMER_PROF run while computing?")
{
	struct itimerval timer = {.it_value = {0, 5000}};

	catch (SIGVTALRM);
	OK(setitimer(ITIMER_VIRTUAL, &timer, NULL));
	while (ticks == 0)
		;
	catch (SIGPROF);
	OK(setitimer(ITIMER_PROF, &timer, NULL));
	while (ticks == 0)
		;
}

CASE(posix_timer, "does timer_create deliver its value, repeat, and delete?")
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL,
				 .sigev_signo = SIGUSR1,
				 .sigev_value.sival_int = 4711};
	struct itimerspec when = {.it_value = {0, 1 * MS}, .it_interval = {0, 2 * MS}}, now;
	timer_t timer;

	catch (SIGUSR1);
	OK(timer_create(CLOCK_MONOTONIC, &event, &timer));
	OK(timer_settime(timer, 0, &when, NULL));
	while (ticks < 3)
		pause();
	CHECK_EQ(tick_info.si_code, SI_TIMER);
	CHECK_EQ(tick_info.si_value.sival_int, 4711);
	OK(timer_gettime(timer, &now));
	CHECK_EQ(now.it_interval.tv_nsec, 2 * MS);
	CHECK(OK(timer_getoverrun(timer)) >= 0);
	OK(timer_delete(timer));
	CHECK_ERR(syscall(SYS_timer_delete, 12345), EINVAL);
	CHECK_ERR(timer_create(99, &event, &timer), EINVAL);
	event.sigev_signo = 99;
	CHECK_ERR(timer_create(CLOCK_MONOTONIC, &event, &timer), EINVAL);
}

CASE(timer_storm, "does a timer of a tiny period let its program run, and lose no period?")
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	struct itimerspec when = {.it_value = {0, 2000}, .it_interval = {0, 2000}}, none = {0};
	struct timespec pause_of = {0, 20 * MS};
	int64_t start, periods;
	sigset_t set, before;
	siginfo_t info;
	timer_t timer;
	int i;

	catch (SIGUSR1);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	OK(sigprocmask(SIG_BLOCK, &set, &before));
	OK(timer_create(CLOCK_MONOTONIC, &event, &timer));
	start = abi_now_ns(CLOCK_MONOTONIC);
	OK(timer_settime(timer, 0, &when, NULL));
	OK(nanosleep(&pause_of, NULL));
	CHECK_EQ(sigtimedwait(&set, &info, &pause_of), SIGUSR1);
	periods = 1 + info.si_overrun;
	CHECK(periods >= 20 * MS / 2000);
	CHECK(periods <= (abi_now_ns(CLOCK_MONOTONIC) - start) / 2000);
	for (i = 0; i < 20; i++)
		CHECK_EQ(sigtimedwait(&set, &info, &pause_of), SIGUSR1);
	CHECK_EQ(info.si_code, SI_TIMER);
	/* Ignored for a while, it goes on after. */
	signal(SIGUSR1, SIG_IGN);
	OK(sigprocmask(SIG_SETMASK, &before, NULL));
	OK(nanosleep(&(struct timespec){0, 1 * MS}, NULL));
	OK(sigprocmask(SIG_BLOCK, &set, NULL));
	catch (SIGUSR1);
	CHECK_EQ(sigtimedwait(&set, &info, &pause_of), SIGUSR1);
	OK(timer_settime(timer, 0, &none, NULL));
	OK(timer_delete(timer));
}

CASE(itimer_storm, "does ITIMER_REAL of 1 us let its program run while the signal is blocked?")
{
	struct itimerval timer = {.it_value = {0, 1}, .it_interval = {0, 1}}, none = {0};
	struct timespec enough = {10, 0};
	sigset_t set;
	int i;

	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	OK(sigprocmask(SIG_BLOCK, &set, NULL));
	OK(setitimer(ITIMER_REAL, &timer, NULL));
	for (i = 0; i < 20; i++)
		CHECK_EQ(sigtimedwait(&set, NULL, &enough), SIGALRM);
	OK(nanosleep(&(struct timespec){0, 10 * MS}, NULL));
	CHECK_EQ(sigtimedwait(&set, NULL, &enough), SIGALRM);
	OK(setitimer(ITIMER_REAL, &none, &timer));
	CHECK_EQ(timer.it_interval.tv_usec, 1);
}

CASE(timer_silent, "does a SIGEV_NONE timer count down, period after period?")
{
	struct sigevent event = {.sigev_notify = SIGEV_NONE};
	struct itimerspec when = {.it_value = {0, 1 * MS}, .it_interval = {10, 0}}, now;
	timer_t timer;

	OK(timer_create(CLOCK_MONOTONIC, &event, &timer));
	OK(timer_settime(timer, 0, &when, NULL));
	OK(nanosleep(&(struct timespec){0, 5 * MS}, NULL));
	OK(timer_gettime(timer, &now));
	CHECK(now.it_value.tv_sec >= 5 && now.it_value.tv_sec < 10);
	when.it_interval.tv_sec = 0;
	OK(timer_settime(timer, 0, &when, NULL));
	OK(nanosleep(&(struct timespec){0, 5 * MS}, NULL));
	OK(timer_gettime(timer, &now));
	CHECK_EQ(now.it_value.tv_sec, 0);
	CHECK_EQ(now.it_value.tv_nsec, 0);
	OK(timer_delete(timer));
}

CASE(timer_absolute, "do absolute and past timers fire?")
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	struct itimerspec when = {.it_value = {1, 0}};
	int64_t then;
	timer_t timer;

	catch (SIGUSR1);
	OK(timer_create(CLOCK_REALTIME, &event, &timer));
	OK(timer_settime(timer, TIMER_ABSTIME, &when, NULL));
	while (ticks < 1)
		sched_yield();
	then = abi_now_ns(CLOCK_REALTIME) + 5 * MS;
	when.it_value.tv_sec = then / 1000000000;
	when.it_value.tv_nsec = then % 1000000000;
	OK(timer_settime(timer, TIMER_ABSTIME, &when, NULL));
	while (ticks < 2)
		sched_yield();
	CHECK(abi_now_ns(CLOCK_REALTIME) >= then);
	OK(timer_delete(timer));
}

static void
burn(int64_t ns)
{
	int64_t end = abi_now_ns(CLOCK_THREAD_CPUTIME_ID) + ns;

	while (abi_now_ns(CLOCK_THREAD_CPUTIME_ID) < end)
		;
}

static void *
burn_thread(void *arg)
{
	burn(*(int64_t *)arg);
	return NULL;
}

CASE(processor_time, "does processor time grow by what is computed, per thread too?")
{
	/* More than a virtual machine's host may keep a processor away for. */
	int64_t amount = 300 * MS, process, thread_time;
	struct rusage before, after;
	pthread_t thread;

	process = abi_now_ns(CLOCK_PROCESS_CPUTIME_ID);
	thread_time = abi_now_ns(CLOCK_THREAD_CPUTIME_ID);
	OK(getrusage(RUSAGE_SELF, &before));
	PT(pthread_create(&thread, NULL, burn_thread, &amount));
	PT(pthread_join(thread, NULL));
	CHECK(abi_now_ns(CLOCK_PROCESS_CPUTIME_ID) - process >= amount);
	CHECK(abi_now_ns(CLOCK_THREAD_CPUTIME_ID) - thread_time < amount);
	burn(amount);
	OK(getrusage(RUSAGE_SELF, &after));
	CHECK((after.ru_utime.tv_sec - before.ru_utime.tv_sec + after.ru_stime.tv_sec -
	       before.ru_stime.tv_sec) *
			      1000000 +
		      after.ru_utime.tv_usec - before.ru_utime.tv_usec + after.ru_stime.tv_usec -
		      before.ru_stime.tv_usec >=
	      40000);
	OK(getrusage(RUSAGE_THREAD, &after));
	CHECK_ERR(getrusage(77, &after), EINVAL);
	CHECK_ERR(getrusage(RUSAGE_SELF, abi_bad()), EFAULT);
}

CASE(times, "does times count ticks of parent and children?")
{
	struct tms now;
	clock_t start = times(&now);
	pid_t pid = abi_fork();

	CHECK_EQ(sysconf(_SC_CLK_TCK), 100);
	if (pid == 0) {
		burn(60 * MS);
		_exit(0);
	}
	CHECK_EQ(abi_reap(pid), 0);
	CHECK(times(&now) - start >= 5);
	CHECK(now.tms_cutime + now.tms_cstime >= 4);
}

CASE(foreign_clock, "can another process's and thread's clock be read?")
{
	struct timespec now;
	clockid_t clock;

	PT(clock_getcpuclockid(0, &clock));
	OK(clock_gettime(clock, &now));
	PT(pthread_getcpuclockid(pthread_self(), &clock));
	OK(clock_gettime(clock, &now));
	CHECK(now.tv_sec * 1000000000LL + now.tv_nsec > 0);
	CHECK(clock_getcpuclockid(0x3ffffff, &clock) == ESRCH);
}

CASE(set_refused, "may an ordinary user not set the clock?")
{
	struct timespec now;
	pid_t pid = abi_fork();

	if (pid == 0) {
		if (geteuid() == 0) {
			OK(setresgid(65534, 65534, 65534));
			OK(setresuid(65534, 65534, 65534));
		}
		OK(clock_gettime(CLOCK_REALTIME, &now));
		CHECK_ERR(clock_settime(CLOCK_REALTIME, &now), EPERM);
		CHECK_ERR(clock_settime(CLOCK_MONOTONIC, &now), EINVAL);
		_exit(0);
	}
	CHECK_EQ(abi_reap(pid), 0);
}

static struct timespec
real_in(int64_t ms)
{
	int64_t ns = abi_now_ns(CLOCK_REALTIME) + ms * MS;

	return (struct timespec){ns / 1000000000, ns % 1000000000};
}

static void
move_clock(int64_t seconds)
{
	struct timespec to = real_in(seconds * 1000);

	OK(clock_settime(CLOCK_REALTIME, &to));
}

/* In an hour by the clock: a sleep, and a futex wait that times out. */
static void *
sleep_an_hour(void *arg)
{
	struct timespec then = real_in(3600 * 1000);

	(void)arg;
	CHECK_EQ(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &then, NULL), 0);
	return NULL;
}

static void *
wait_an_hour(void *arg)
{
	struct timespec then = real_in(3600 * 1000);
	uint32_t word = 0;

	(void)arg;
	CHECK_ERR(syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, 0,
			  &then, NULL, FUTEX_BITSET_MATCH_ANY),
		  ETIMEDOUT);
	return NULL;
}

static int
timerfd_in(int flags, int64_t ms)
{
	int fd = OK(timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK));
	struct itimerspec when = {.it_value = real_in(ms)};

	OK(timerfd_settime(fd, TFD_TIMER_ABSTIME | flags, &when, NULL));
	return fd;
}

CASE(set_moves, "do absolute sleeps, waits and timers end when the clock is set forward?")
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	struct itimerspec when = {0};
	struct pollfd fd = {.events = POLLIN};
	pthread_t sleeper, waiter;
	uint64_t count;
	timer_t timer;
	int cancelled;
	sigset_t usr1;

	if (getenv("ABI_MACHINE") == NULL)
		SKIP("this machine's clock is not ours to set");
	catch (SIGUSR1);
	OK(timer_create(CLOCK_REALTIME, &event, &timer));
	when.it_value = real_in(3600 * 1000);
	OK(timer_settime(timer, TIMER_ABSTIME, &when, NULL));
	fd.fd = timerfd_in(0, 3600 * 1000);
	cancelled = timerfd_in(TFD_TIMER_CANCEL_ON_SET, 7200 * 1000);
	/* The timer's signal is for whichever thread takes it: it would end the others' waits. */
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	PT(pthread_sigmask(SIG_BLOCK, &usr1, NULL));
	PT(pthread_create(&sleeper, NULL, sleep_an_hour, NULL));
	PT(pthread_create(&waiter, NULL, wait_an_hour, NULL));
	PT(pthread_sigmask(SIG_UNBLOCK, &usr1, NULL));
	abi_nap_ms(20);
	CHECK_EQ(ticks, 0);
	CHECK_EQ(poll(&fd, 1, 0), 0);
	move_clock(3601);
	while (ticks < 1)
		sched_yield();
	CHECK_EQ(poll(&fd, 1, -1), 1);
	CHECK_EQ(read(fd.fd, &count, 8), 8);
	CHECK_EQ(count, 1);
	CHECK_ERR(read(cancelled, &count, 8), ECANCELED);
	CHECK_ERR(read(cancelled, &count, 8), EAGAIN);
	CHECK_EQ(pthread_join(sleeper, NULL), 0);
	CHECK_EQ(pthread_join(waiter, NULL), 0);
	move_clock(-3601);
}

CASE(set_back, "do absolute timers wait longer when it is set back, and relative ones not?")
{
	struct timespec brief = {0, 10 * MS};
	struct itimerspec left;
	struct pollfd fd = {.events = POLLIN};
	uint64_t count;

	if (getenv("ABI_MACHINE") == NULL)
		SKIP("this machine's clock is not ours to set");
	fd.fd = timerfd_in(0, 200);
	move_clock(-3600);
	if (poll(&fd, 1, 0) == 1)
		SKIP("it took 200 ms to set a clock");
	OK(clock_nanosleep(CLOCK_REALTIME, 0, &brief, NULL));
	OK(timerfd_gettime(fd.fd, &left));
	CHECK(left.it_value.tv_sec >= 3599);
	CHECK_EQ(poll(&fd, 1, 220), 0);
	move_clock(3600);
	CHECK_EQ(poll(&fd, 1, -1), 1);
	CHECK_EQ(read(fd.fd, &count, 8), 8);
}

static void *
sleep_some(void *arg)
{
	int i, step = (intptr_t)arg;

	for (i = 0; i < 20; i++) {
		int64_t start = abi_now_ns(CLOCK_MONOTONIC);
		struct timespec brief = {0, (step % 7 + 1) * 100000};

		OK(nanosleep(&brief, NULL));
		CHECK(abi_now_ns(CLOCK_MONOTONIC) - start >= brief.tv_nsec);
	}
	return NULL;
}

CASE(sleep_storm, "do 50 threads of different sleeps all wake, none early?")
{
	pthread_t thread[50];
	intptr_t i;

	for (i = 0; i < 50; i++)
		PT(pthread_create(&thread[i], NULL, sleep_some, (void *)i));
	for (i = 0; i < 50; i++)
		PT(pthread_join(thread[i], NULL));
}
