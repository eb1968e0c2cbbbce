/*
 * Each kind of call that sleeps, with a thread asleep in it when the power goes: it sleeps on and
 * ends by what it waits for. Those that read and write are in resume_io.c, flock and epoll_wait
 * with their objects in resume_files.c and resume_sockets.c.
 */
#include "sleeper.h"

#include <linux/futex.h>
#include <linux/mempolicy.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>

/* --- futexes --- */

static long
futex(uint32_t *word, int op, uint32_t value, long value2, uint32_t *word2, uint32_t value3)
{
	return syscall(SYS_futex, word, op, value, value2, word2, value3);
}

static long
call_futex(struct sleeper *s)
{
	return futex((uint32_t *)s->data, s->to, 0, 0, NULL, (uint32_t)s->n);
}

static void
moved_and_woken(uint32_t *word, int private)
{
	struct sleeper s = {.call = call_futex, .data = (char *)word, .to = FUTEX_WAIT | private};

	begin(&s);
	CHECK(futex(word, FUTEX_CMP_REQUEUE | private, 0, 1, word + 1, 0) == 1);
	cut();
	word[0] = 1;
	CHECK(futex(word, FUTEX_WAKE | private, 1, 0, NULL, 0) == 0 && !s.back);
	CHECK(futex(word + 1, FUTEX_WAKE | private, 1, 0, NULL, 0) == 1);
	CHECK(end(&s) == 0);
}

static void *
shared_page(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

CASE(a_futex_moved_in_private_memory)
{
	static uint32_t word[2];

	moved_and_woken(word, FUTEX_PRIVATE_FLAG);
}

CASE(a_futex_moved_in_shared_memory)
{
	moved_and_woken(shared_page(), 0);
}

/* The sleeper is another process, with the page at an address of its own. */
CASE(a_futex_moved_from_another_process)
{
	int fd = memfd_create("words", 0), status;
	uint32_t *word;
	pid_t pid;

	CHECK(ftruncate(fd, 4096) == 0);
	word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	pid = fork();
	if (pid == 0) {
		uint32_t *mine = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);

		munmap(word, 4096);
		_exit(futex(mine, FUTEX_WAIT, 0, 0, NULL, 0) == 0 ? 0 : errno);
	}
	nap_ms(100);
	wait_asleep(pid, pid);
	CHECK(futex(word, FUTEX_REQUEUE, 0, 1, word + 5, 0) == 1);
	cut();
	CHECK(futex(word, FUTEX_WAKE, 1, 0, NULL, 0) == 0);
	CHECK(futex(word + 5, FUTEX_WAKE, 1, 0, NULL, 0) == 1);
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

CASE(a_futex_whose_mapping_is_gone)
{
	uint32_t *word = shared_page(), *again = mremap(word, 0, 4096, MREMAP_MAYMOVE);
	struct sleeper s = {.call = call_futex, .data = (char *)word, .to = FUTEX_WAIT};

	CHECK(again != MAP_FAILED);
	begin(&s);
	munmap(word, 4096);
	cut();
	CHECK(futex(again, FUTEX_WAKE, 1, 0, NULL, 0) == 1 && end(&s) == 0);
}

CASE(a_futex_with_bits)
{
	uint32_t *word = shared_page();
	struct sleeper s = {
		.call = call_futex, .data = (char *)word, .to = FUTEX_WAIT_BITSET, .n = 4};

	over_the_cut(&s);
	CHECK(futex(word, FUTEX_WAKE_BITSET, 1, 0, NULL, 3) == 0);
	CHECK(futex(word, FUTEX_WAKE_BITSET, 1, 0, NULL, 6) == 1 && end(&s) == 0);
}

/* --- waiting for readiness --- */

static long
call_poll(struct sleeper *s)
{
	struct pollfd p = {.fd = s->fd, .events = POLLIN};

	return poll(&p, 1, -1) == 1 ? p.revents : -1;
}

static long
call_ppoll(struct sleeper *s)
{
	struct pollfd p = {.fd = s->fd, .events = POLLIN};
	struct timespec t = {1000, 0};
	sigset_t none;

	sigemptyset(&none);
	return ppoll(&p, 1, &t, &none) == 1 ? p.revents : -1;
}

static long
call_select(struct sleeper *s)
{
	struct timeval t = {1000, 0};
	fd_set set;

	FD_ZERO(&set);
	FD_SET(s->fd, &set);
	return select(s->fd + 1, &set, NULL, NULL, &t) == 1 && FD_ISSET(s->fd, &set) ? POLLIN : -1;
}

static long
call_pselect(struct sleeper *s)
{
	sigset_t none;
	fd_set set;

	sigemptyset(&none);
	FD_ZERO(&set);
	FD_SET(s->fd, &set);
	return pselect(s->fd + 1, &set, NULL, NULL, NULL, &none) == 1 ? POLLIN : -1;
}

static long
call_epoll_pwait(struct sleeper *s)
{
	struct epoll_event e = {.events = EPOLLIN};
	int ep = epoll_create1(0);
	sigset_t none;

	sigemptyset(&none);
	if (epoll_ctl(ep, EPOLL_CTL_ADD, s->fd, &e))
		return -1;
	return epoll_pwait(ep, &e, 1, 1000000, &none) == 1 ? POLLIN : -1;
}

static void
until_readable(long (*call)(struct sleeper *))
{
	struct sleeper s = {.call = call};
	int p[2];

	CHECK(pipe(p) == 0);
	s.fd = p[0];
	over_the_cut(&s);
	CHECK(write(p[1], "x", 1) == 1 && end(&s) == POLLIN);
}

CASE(in_poll)
{
	until_readable(call_poll);
}
CASE(in_ppoll)
{
	until_readable(call_ppoll);
}
CASE(in_select)
{
	until_readable(call_select);
}
CASE(in_pselect)
{
	until_readable(call_pselect);
}
CASE(in_epoll_pwait)
{
	until_readable(call_epoll_pwait);
}

/* --- time --- */

static long
call_nanosleep(struct sleeper *s)
{
	return nanosleep(&s->until, NULL);
}

static long
call_sleep_until(struct sleeper *s)
{
	return clock_nanosleep(s->to, TIMER_ABSTIME, &s->until, NULL);
}

CASE(sleeping_for_a_time)
{
	struct sleeper s = {.call = call_nanosleep, .until = {0, 900 * 1000000L}};
	int64_t start = time_of(CLOCK_MONOTONIC);

	begin(&s);
	cut();
	CHECK(end(&s) == 0 && time_of(CLOCK_MONOTONIC) - start >= 900 * 1000000L);
}

static void
sleep_until(clockid_t clock)
{
	struct sleeper s = {.call = call_sleep_until, .to = clock};
	int64_t then = time_of(clock) + 900 * 1000000L;

	s.until = (struct timespec){then / 1000000000L, then % 1000000000L};
	begin(&s);
	cut();
	CHECK(end(&s) == 0 && time_of(clock) >= then);
}

CASE(sleeping_until_a_time)
{
	sleep_until(CLOCK_MONOTONIC);
}
CASE(sleeping_until_a_time_of_day)
{
	sleep_until(CLOCK_REALTIME);
}

/* --- signals --- */

static atomic_int caught;

static void catch (int sig)
{
	caught = sig;
}

static long
call_pause(struct sleeper *s __attribute__((unused)))
{
	return pause();
}

static long
call_sigsuspend(struct sleeper *s __attribute__((unused)))
{
	sigset_t none;

	sigemptyset(&none);
	return sigsuspend(&none);
}

static void
until_caught(long (*call)(struct sleeper *), bool blocked)
{
	struct sigaction act = {.sa_handler = catch};
	struct sleeper s = {.call = call};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	CHECK(sigaction(SIGUSR2, &act, NULL) == 0);
	CHECK(!blocked || pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
	over_the_cut(&s);
	CHECK(caught == 0 && pthread_kill(s.thread, SIGUSR2) == 0);
	CHECK(end(&s) == -1 && errno == EINTR && caught == SIGUSR2);
}

CASE(in_pause)
{
	until_caught(call_pause, false);
}
CASE(in_sigsuspend)
{
	until_caught(call_sigsuspend, true);
}

static long
call_sigtimedwait(struct sleeper *s __attribute__((unused)))
{
	struct timespec t = {1000, 0};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	return sigtimedwait(&set, NULL, &t);
}

CASE(in_sigtimedwait)
{
	struct sleeper s = {.call = call_sigtimedwait};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
	over_the_cut(&s);
	CHECK(pthread_kill(s.thread, SIGUSR1) == 0 && end(&s) == SIGUSR1);
}

/* --- processes --- */

static pid_t
child_that_exits_at(int fd)
{
	pid_t pid = fork();
	char c = 0;

	if (pid == 0) {
		(void)!read(fd, &c, 1);
		_exit(c);
	}
	CHECK(pid > 0);
	return pid;
}

static long
call_wait4(struct sleeper *s __attribute__((unused)))
{
	int status = 0;

	return wait4(-1, &status, 0, NULL) > 0 ? WEXITSTATUS(status) : -1;
}

static long
call_waitid(struct sleeper *s)
{
	siginfo_t info = {0};

	return waitid(P_PID, (id_t)s->to, &info, WEXITED | WNOWAIT) == 0 ? info.si_status : -1;
}

static void
until_exit(long (*call)(struct sleeper *))
{
	struct sleeper s = {.call = call};
	int p[2], status;

	CHECK(pipe(p) == 0);
	s.to = child_that_exits_at(p[0]);
	over_the_cut(&s);
	CHECK(write(p[1], "\5", 1) == 1 && end(&s) == 5);
	CHECK(call == call_wait4 || (waitpid(s.to, &status, 0) == s.to && status == 5 << 8));
}

CASE(in_wait4)
{
	until_exit(call_wait4);
}
CASE(in_waitid)
{
	until_exit(call_waitid);
}

CASE(a_stopped_process)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		raise(SIGSTOP);
		_exit(3);
	}
	CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
	cut();
	nap_ms(50);
	CHECK(waitpid(pid, &status, WNOHANG) == 0 && kill(pid, SIGCONT) == 0);
	CHECK(waitpid(pid, &status, 0) == pid && status == 3 << 8);
}

/* --- locks and FIFOs --- */

static void
until_unlocked(int command, int unlock)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = 10};
	char path[32];
	int fd, status;
	pid_t pid;

	snprintf(path, sizeof(path), "/tmp/calls.lock%d", command);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	CHECK(fcntl(fd, unlock, &l) == 0);
	pid = fork();
	if (pid == 0)
		_exit(fcntl(open(path, O_RDWR), command, &l) != 0);
	nap_ms(100);
	wait_asleep(pid, pid);
	cut();
	nap_ms(50);
	CHECK(waitpid(pid, &status, WNOHANG) == 0);
	l.l_type = F_UNLCK;
	CHECK(fcntl(fd, unlock, &l) == 0);
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

CASE(waiting_for_a_record_lock)
{
	until_unlocked(F_SETLKW, F_SETLK);
}
CASE(waiting_for_a_lock_of_an_open_file)
{
	until_unlocked(F_OFD_SETLKW, F_OFD_SETLK);
}

static long
call_open(struct sleeper *s)
{
	return open(s->data, s->to);
}

static void
until_both_sides(const char *path, int mine, int other)
{
	struct sleeper s = {.call = call_open, .data = (char *)path, .to = mine};
	char got[8];
	int fd;

	CHECK(mkfifo(path, 0600) == 0);
	over_the_cut(&s);
	fd = open(path, other);
	CHECK(fd >= 0 && end(&s) >= 0);
	if (mine == O_WRONLY)
		CHECK(write((int)s.result, "z", 1) == 1 && read(fd, got, 8) == 1);
	else
		CHECK(write(fd, "z", 1) == 1 && read((int)s.result, got, 8) == 1);
}

CASE(opening_a_fifo_to_read)
{
	until_both_sides("/tmp/calls.fifo1", O_RDONLY, O_WRONLY);
}
CASE(opening_a_fifo_to_write)
{
	until_both_sides("/tmp/calls.fifo2", O_WRONLY, O_RDONLY);
}

/* --- policies of memory --- */

/* Of all nodes, so that a start with fewer of them has something left to choose from. */
CASE(the_policy_of_shared_memory)
{
	unsigned long all = 0, nodes = 0, left;
	char *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int mode = -1;

	CHECK(syscall(SYS_get_mempolicy, NULL, &all, 64, NULL, MPOL_F_MEMS_ALLOWED) == 0);
	CHECK(syscall(SYS_mbind, p + 4096, 8192, MPOL_INTERLEAVE, &all, 64, 0) == 0);
	cut();
	CHECK(syscall(SYS_get_mempolicy, NULL, &left, 64, NULL, MPOL_F_MEMS_ALLOWED) == 0);
	CHECK(syscall(SYS_get_mempolicy, &mode, &nodes, 64, p + 8192, MPOL_F_ADDR) == 0);
	CHECK(mode == MPOL_INTERLEAVE && nodes == (all & left));
	CHECK(syscall(SYS_get_mempolicy, &mode, &nodes, 64, p + 12288, MPOL_F_ADDR) == 0);
	CHECK(mode == MPOL_DEFAULT);
	memset(p, 1, 65536);
}
