/*
 * epoll.c - epoll, poll and select: level, edge, one-shot, exclusive,
 * nested, what happens when descriptors are closed or duplicated, time-outs.
 */
#include "abi.h"
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/socket.h>

static void
add(int ep, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.fd = fd};

	OK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event));
}

/* The events of the one descriptor that is ready, or 0. */
static uint32_t
ready(int ep)
{
	struct epoll_event event[4];
	int count = OK(epoll_wait(ep, event, 4, 0));

	CHECK(count <= 1);
	return count ? event[0].events : 0;
}

CASE(level, "is a ready descriptor reported again until it is drained?")
{
	int ep = OK(epoll_create1(EPOLL_CLOEXEC)), fd[2];
	struct epoll_event event;
	char c;

	OK(pipe(fd));
	add(ep, fd[0], EPOLLIN);
	CHECK_EQ(ready(ep), 0);
	CHECK_EQ(write(fd[1], "ab", 2), 2);
	CHECK_EQ(ready(ep), EPOLLIN);
	CHECK_EQ(epoll_wait(ep, &event, 1, -1), 1);
	CHECK_EQ(event.data.fd, fd[0]);
	CHECK_EQ(read(fd[0], &c, 1), 1);
	CHECK_EQ(ready(ep), EPOLLIN);
	CHECK_EQ(read(fd[0], &c, 1), 1);
	CHECK_EQ(ready(ep), 0);
}

CASE(edge, "does EPOLLET report once per new input?")
{
	int ep = OK(epoll_create1(0)), fd[2];
	char c;

	OK(pipe(fd));
	add(ep, fd[0], EPOLLIN | EPOLLET);
	CHECK_EQ(write(fd[1], "a", 1), 1);
	CHECK_EQ(ready(ep), EPOLLIN);
	CHECK_EQ(ready(ep), 0);
	CHECK_EQ(write(fd[1], "b", 1), 1);
	CHECK_EQ(ready(ep), EPOLLIN);
	CHECK_EQ(ready(ep), 0);
	CHECK_EQ(read(fd[0], &c, 1), 1);
	CHECK_EQ(ready(ep), 0);
}

CASE(edge_mod, "does EPOLL_CTL_MOD arm an edge again while input is there?")
{
	int ep = OK(epoll_create1(0)), fd[2];
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};

	OK(pipe(fd));
	CHECK_EQ(write(fd[1], "a", 1), 1);
	add(ep, fd[0], EPOLLIN | EPOLLET);
	CHECK_EQ(ready(ep), EPOLLIN);
	CHECK_EQ(ready(ep), 0);
	OK(epoll_ctl(ep, EPOLL_CTL_MOD, fd[0], &event));
	CHECK_EQ(ready(ep), EPOLLIN);
}

CASE(oneshot, "does EPOLLONESHOT go quiet until armed again?")
{
	int ep = OK(epoll_create1(0)), fd[2];
	struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT};

	OK(pipe(fd));
	add(ep, fd[0], EPOLLIN | EPOLLONESHOT);
	CHECK_EQ(write(fd[1], "a", 1), 1);
	CHECK_EQ(ready(ep), EPOLLIN);
	CHECK_EQ(ready(ep), 0);
	CHECK_EQ(write(fd[1], "b", 1), 1);
	CHECK_EQ(ready(ep), 0);
	OK(epoll_ctl(ep, EPOLL_CTL_MOD, fd[0], &event));
	CHECK_EQ(ready(ep), EPOLLIN);
	CHECK_EQ(ready(ep), 0);
}

CASE(ends, "are EPOLLOUT, EPOLLHUP, EPOLLERR and EPOLLRDHUP reported?")
{
	int ep = OK(epoll_create1(0)), fd[2], pair[2];

	OK(pipe(fd));
	add(ep, fd[1], EPOLLOUT);
	CHECK_EQ(ready(ep), EPOLLOUT);
	OK(close(fd[0]));
	CHECK_EQ(ready(ep), EPOLLOUT | EPOLLERR);
	OK(close(fd[1]));
	OK(pipe(fd));
	add(ep, fd[0], EPOLLIN);
	OK(close(fd[1]));
	CHECK_EQ(ready(ep), EPOLLHUP);
	OK(close(fd[0]));
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	add(ep, pair[0], EPOLLIN | EPOLLRDHUP);
	OK(shutdown(pair[1], SHUT_WR));
	CHECK_EQ(ready(ep), EPOLLIN | EPOLLRDHUP);
	OK(close(pair[1]));
	CHECK_EQ(ready(ep), EPOLLIN | EPOLLRDHUP | EPOLLHUP);
}

CASE(control, "does epoll_ctl check descriptors, twice, and what it cannot watch?")
{
	int ep = OK(epoll_create1(0)), fd[2], file;
	struct epoll_event event = {.events = EPOLLIN};

	OK(pipe(fd));
	OK(epoll_ctl(ep, EPOLL_CTL_ADD, fd[0], &event));
	CHECK_ERR(epoll_ctl(ep, EPOLL_CTL_ADD, fd[0], &event), EEXIST);
	CHECK_ERR(epoll_ctl(ep, EPOLL_CTL_MOD, fd[1], &event), ENOENT);
	CHECK_ERR(epoll_ctl(ep, EPOLL_CTL_DEL, fd[1], NULL), ENOENT);
	OK(epoll_ctl(ep, EPOLL_CTL_DEL, fd[0], NULL));
	CHECK_ERR(epoll_ctl(ep, EPOLL_CTL_DEL, fd[0], NULL), ENOENT);
	CHECK_ERR(epoll_ctl(ep, EPOLL_CTL_ADD, 999, &event), EBADF);
	CHECK_ERR(epoll_ctl(999, EPOLL_CTL_ADD, fd[0], &event), EBADF);
	CHECK_ERR(epoll_ctl(fd[0], EPOLL_CTL_ADD, fd[1], &event), EINVAL);
	CHECK_ERR(epoll_ctl(ep, EPOLL_CTL_ADD, ep, &event), EINVAL);
	CHECK_ERR(epoll_ctl(ep, 9, fd[0], &event), EINVAL);
	CHECK_ERR(epoll_ctl(ep, EPOLL_CTL_ADD, fd[0], abi_bad()), EFAULT);
	file = OK(open("f", O_RDWR | O_CREAT, 0600));
	CHECK_ERR(epoll_ctl(ep, EPOLL_CTL_ADD, file, &event), EPERM);
	CHECK_ERR(epoll_wait(ep, &event, 0, 0), EINVAL);
	CHECK_ERR(epoll_wait(fd[0], &event, 1, 0), EINVAL);
	CHECK_ERR(epoll_wait(999, &event, 1, 0), EBADF);
	CHECK_ERR(epoll_create1(1), EINVAL);
	CHECK_ERR(epoll_create(0), EINVAL);
	CHECK_EQ(write(fd[1], "x", 1), 1);
	OK(epoll_ctl(ep, EPOLL_CTL_ADD, fd[0], &event));
	CHECK_ERR(epoll_wait(ep, abi_bad(), 1, 0), EFAULT);
}

CASE(closing, "does closing drop the watch, but not while a duplicate lives?")
{
	int ep = OK(epoll_create1(0)), fd[2], other;
	struct epoll_event event = {0};

	OK(pipe(fd));
	add(ep, fd[0], EPOLLIN);
	CHECK_EQ(write(fd[1], "a", 1), 1);
	other = OK(dup(fd[0]));
	OK(close(fd[0]));
	CHECK_EQ(epoll_wait(ep, &event, 1, 0), 1);
	CHECK_EQ(event.data.fd, fd[0]);
	CHECK_ERR(epoll_ctl(ep, EPOLL_CTL_DEL, fd[0], NULL), EBADF);
	CHECK_ERR(epoll_ctl(ep, EPOLL_CTL_DEL, other, NULL), ENOENT);
	OK(close(other));
	CHECK_EQ(epoll_wait(ep, &event, 1, 0), 0);
}

CASE(duplicates, "may one pipe be watched through two descriptors?")
{
	int ep = OK(epoll_create1(0)), fd[2], other;
	struct epoll_event event[3];

	OK(pipe(fd));
	other = OK(dup(fd[0]));
	add(ep, fd[0], EPOLLIN);
	add(ep, other, EPOLLIN);
	CHECK_EQ(write(fd[1], "a", 1), 1);
	CHECK_EQ(epoll_wait(ep, event, 3, 0), 2);
	CHECK_EQ(event[0].data.fd + event[1].data.fd, fd[0] + other);
}

CASE(fairness, "does a short event list come round to every ready one?")
{
	int ep = OK(epoll_create1(0)), fd[10], i;
	struct epoll_event event[3];
	bool seen[10] = {false};

	for (i = 0; i < 10; i++) {
		fd[i] = OK(eventfd(1, 0));
		event[0] = (struct epoll_event){.events = EPOLLIN, .data.u32 = i};
		OK(epoll_ctl(ep, EPOLL_CTL_ADD, fd[i], &event[0]));
	}
	for (i = 0; i < 4; i++) {
		int count = OK(epoll_wait(ep, event, 3, 0));

		CHECK_EQ(count, 3);
		while (count-- > 0)
			seen[event[count].data.u32] = true;
	}
	for (i = 0; i < 10; i++)
		CHECK(seen[i]);
}

CASE(nested, "can an epoll be watched by another, and a cycle be refused?")
{
	int inner = OK(epoll_create1(0)), outer = OK(epoll_create1(0));
	struct epoll_event event = {.events = EPOLLIN};
	struct pollfd poller;
	int fd[2];
	char c;

	OK(pipe(fd));
	add(inner, fd[0], EPOLLIN);
	add(outer, inner, EPOLLIN);
	CHECK_EQ(ready(outer), 0);
	CHECK_EQ(write(fd[1], "a", 1), 1);
	CHECK_EQ(ready(outer), EPOLLIN);
	poller = (struct pollfd){.fd = outer, .events = POLLIN};
	CHECK_EQ(poll(&poller, 1, 0), 1);
	CHECK_EQ(read(fd[0], &c, 1), 1);
	CHECK_EQ(ready(outer), 0);
	CHECK_ERR(epoll_ctl(inner, EPOLL_CTL_ADD, outer, &event), ELOOP);
}

struct waiter {
	pthread_t thread;
	int ep, timeout, result;
	uint32_t events;
};

static void *
wait_epoll(void *arg)
{
	struct waiter *waiter = arg;
	struct epoll_event event = {0};

	waiter->result = epoll_wait(waiter->ep, &event, 1, waiter->timeout);
	waiter->events = event.events;
	return NULL;
}

CASE(wake, "does a write, an ADD or a MOD wake a thread in epoll_wait?")
{
	struct epoll_event event = {.events = EPOLLIN};
	struct waiter waiter = {.timeout = -1};
	int fd[2];
	char c;

	OK(pipe(fd));
	waiter.ep = OK(epoll_create1(0));
	add(waiter.ep, fd[0], EPOLLIN);
	PT(pthread_create(&waiter.thread, NULL, wait_epoll, &waiter));
	CHECK_EQ(write(fd[1], "a", 1), 1);
	PT(pthread_join(waiter.thread, NULL));
	CHECK_EQ(waiter.result, 1);

	OK(epoll_ctl(waiter.ep, EPOLL_CTL_DEL, fd[0], NULL));
	PT(pthread_create(&waiter.thread, NULL, wait_epoll, &waiter));
	abi_nap_ms(1);
	add(waiter.ep, fd[0], EPOLLIN);
	PT(pthread_join(waiter.thread, NULL));
	CHECK_EQ(waiter.result, 1);

	event.events = 0;
	OK(epoll_ctl(waiter.ep, EPOLL_CTL_MOD, fd[0], &event));
	PT(pthread_create(&waiter.thread, NULL, wait_epoll, &waiter));
	abi_nap_ms(1);
	event.events = EPOLLIN;
	OK(epoll_ctl(waiter.ep, EPOLL_CTL_MOD, fd[0], &event));
	PT(pthread_join(waiter.thread, NULL));
	CHECK_EQ(waiter.result, 1);
	CHECK_EQ(read(fd[0], &c, 1), 1);
}

CASE(exclusive, "with EPOLLEXCLUSIVE, does each of eight events find a thread?")
{
	struct waiter waiter[8];
	int fd[2], i;
	char c;

	OK(pipe(fd));
	for (i = 0; i < 8; i++) {
		waiter[i] = (struct waiter){.timeout = -1};
		waiter[i].ep = OK(epoll_create1(0));
		add(waiter[i].ep, fd[0], EPOLLIN | EPOLLEXCLUSIVE);
		PT(pthread_create(&waiter[i].thread, NULL, wait_epoll, &waiter[i]));
	}
	CHECK_EQ(write(fd[1], "a", 1), 1);
	for (i = 0; i < 8; i++) {
		/* Only some were woken: each further write wakes another. */
		while (pthread_tryjoin_np(waiter[i].thread, NULL) != 0) {
			CHECK_EQ(write(fd[1], "b", 1), 1);
			sched_yield();
			abi_nap_ms(1);
			CHECK_EQ(read(fd[0], &c, 1), 1);
			CHECK_EQ(write(fd[1], "b", 1), 1);
		}
		CHECK_EQ(waiter[i].result, 1);
	}
	CHECK_ERR(epoll_ctl(waiter[0].ep, EPOLL_CTL_MOD, fd[0],
			    &(struct epoll_event){.events = EPOLLIN}),
		  EINVAL);
}

static atomic_int taken;

static void *
take_events(void *arg)
{
	struct epoll_event event;
	int ep = *(int *)arg;
	uint64_t value;

	for (;;) {
		OK(epoll_wait(ep, &event, 1, -1));
		if (event.data.fd < 0)
			return NULL;
		CHECK_EQ(read(event.data.fd, &value, 8), 8);
		atomic_fetch_add(&taken, value);
		event.events = EPOLLIN | EPOLLONESHOT;
		OK(epoll_ctl(ep, EPOLL_CTL_MOD, event.data.fd, &event));
	}
}

CASE(workers, "do four threads with one-shot descriptors lose no event?")
{
	int ep = OK(epoll_create1(0)), fd[8], stop = OK(eventfd(1, 0)), i;
	struct epoll_event event = {.events = EPOLLIN, .data.fd = -1};
	pthread_t thread[4];
	uint64_t one = 1;

	for (i = 0; i < 8; i++) {
		fd[i] = OK(eventfd(0, 0));
		add(ep, fd[i], EPOLLIN | EPOLLONESHOT);
	}
	for (i = 0; i < 4; i++)
		PT(pthread_create(&thread[i], NULL, take_events, &ep));
	for (i = 0; i < 4000; i++)
		CHECK_EQ(write(fd[i % 8], &one, 8), 8);
	while (atomic_load(&taken) < 4000)
		sched_yield();
	OK(epoll_ctl(ep, EPOLL_CTL_ADD, stop, &event));
	for (i = 0; i < 4; i++)
		PT(pthread_join(thread[i], NULL));
	CHECK_EQ(atomic_load(&taken), 4000);
}

CASE(timeouts, "do time-outs of all four calls pass, and not too early?")
{
	struct timespec brief = {0, 10000000}, left;
	struct timeval brief_us = {0, 10000};
	int ep = OK(epoll_create1(0));
	struct epoll_event event;
	int64_t start = abi_now_ns(CLOCK_MONOTONIC);

	CHECK_EQ(epoll_wait(ep, &event, 1, 10), 0);
	CHECK_EQ(poll(NULL, 0, 10), 0);
	CHECK_EQ(select(0, NULL, NULL, NULL, &brief_us), 0);
	CHECK_EQ(brief_us.tv_usec, 0);
	left = brief;
	CHECK_EQ(ppoll(NULL, 0, &left, NULL), 0);
	CHECK(abi_now_ns(CLOCK_MONOTONIC) - start >= 40000000);
	CHECK_EQ(epoll_wait(ep, &event, 1, 0), 0);
	brief.tv_nsec = 1000000000;
	CHECK_ERR(syscall(SYS_ppoll, NULL, 0, &brief, NULL, 8), EINVAL);
	brief_us.tv_sec = -1;
	CHECK_ERR(select(0, NULL, NULL, NULL, &brief_us), EINVAL);
}

CASE(pwait2, "does epoll_pwait2 take nanoseconds?")
{
	struct timespec brief = {0, 1000};
	int ep = OK(epoll_create1(0));
	struct epoll_event event;

	CHECK_EQ(syscall(SYS_epoll_pwait2, ep, &event, 1, &brief, NULL, 0), 0);
	brief.tv_nsec = -1;
	CHECK_ERR(syscall(SYS_epoll_pwait2, ep, &event, 1, &brief, NULL, 0), EINVAL);
}

static volatile sig_atomic_t signalled;

static void
on_signal(int number)
{
	(void)number;
	signalled = 1;
}

CASE(masks, "do ppoll, pselect and epoll_pwait let a blocked signal in?")
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	sigset_t block, none, now;
	struct epoll_event event;
	int ep = OK(epoll_create1(0)), round;

	sigemptyset(&none);
	sigemptyset(&block);
	sigaddset(&block, SIGUSR1);
	OK(sigaction(SIGUSR1, &action, NULL));
	OK(sigprocmask(SIG_BLOCK, &block, NULL));
	for (round = 0; round < 3; round++) {
		signalled = 0;
		raise(SIGUSR1);
		CHECK_EQ(signalled, 0);
		if (round == 0)
			CHECK_ERR(ppoll(NULL, 0, NULL, &none), EINTR);
		else if (round == 1)
			CHECK_ERR(pselect(0, NULL, NULL, NULL, NULL, &none), EINTR);
		else
			CHECK_ERR(epoll_pwait(ep, &event, 1, -1, &none), EINTR);
		CHECK_EQ(signalled, 1);
		OK(sigprocmask(SIG_SETMASK, NULL, &now));
		CHECK_EQ(sigismember(&now, SIGUSR1), 1);
	}
}

CASE(poll_events, "does poll report input, output, hang-up, error and POLLNVAL?")
{
	struct pollfd poller[5];
	int a[2], b[2];

	OK(pipe(a));
	OK(pipe(b));
	CHECK_EQ(write(a[1], "x", 1), 1);
	close(b[1]);
	poller[0] = (struct pollfd){.fd = a[0], .events = POLLIN};
	poller[1] = (struct pollfd){.fd = a[1], .events = POLLOUT | POLLIN};
	poller[2] = (struct pollfd){.fd = b[0], .events = POLLIN};
	poller[3] = (struct pollfd){.fd = 999, .events = POLLIN};
	poller[4] = (struct pollfd){.fd = -1, .events = POLLIN, .revents = 0x55};
	CHECK_EQ(poll(poller, 5, -1), 4);
	CHECK_EQ(poller[0].revents, POLLIN);
	CHECK_EQ(poller[1].revents, POLLOUT);
	CHECK_EQ(poller[2].revents, POLLHUP);
	CHECK_EQ(poller[3].revents, POLLNVAL);
	CHECK_EQ(poller[4].revents, 0);
	close(a[0]);
	poller[0] = (struct pollfd){.fd = a[1], .events = POLLOUT};
	CHECK_EQ(poll(poller, 1, 0), 1);
	CHECK_EQ(poller[0].revents, POLLOUT | POLLERR);
	CHECK_ERR(poll(abi_bad(), 1, 0), EFAULT);
	CHECK_ERR(poll(poller, 1U << 30, 0), EINVAL);
}

CASE(poll_files, "are regular files, null and directories always ready?")
{
	struct pollfd poller[3];
	int i;

	poller[0].fd = OK(open("f", O_RDWR | O_CREAT, 0600));
	poller[1].fd = OK(open("/dev/null", O_RDWR));
	poller[2].fd = OK(open(".", O_RDONLY));
	for (i = 0; i < 3; i++)
		poller[i].events = POLLIN | POLLOUT;
	CHECK_EQ(poll(poller, 3, -1), 3);
	for (i = 0; i < 3; i++)
		CHECK_EQ(poller[i].revents, POLLIN | POLLOUT);
}

CASE(select_sets, "does select set just the ready bits, and check descriptors?")
{
	struct timeval zero = {0, 0};
	fd_set in, out;
	int a[2], b[2];

	OK(pipe(a));
	OK(pipe(b));
	CHECK_EQ(write(a[1], "x", 1), 1);
	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_SET(a[0], &in);
	FD_SET(b[0], &in);
	FD_SET(b[1], &out);
	CHECK_EQ(select(b[1] + 1, &in, &out, NULL, NULL), 2);
	CHECK(FD_ISSET(a[0], &in) && !FD_ISSET(b[0], &in));
	CHECK(FD_ISSET(b[1], &out));
	FD_ZERO(&in);
	FD_SET(b[0], &in);
	CHECK_EQ(select(b[1] + 1, &in, NULL, NULL, &zero), 0);
	CHECK(!FD_ISSET(b[0], &in));
	FD_SET(60, &in);
	CHECK_ERR(select(61, &in, NULL, NULL, &zero), EBADF);
	CHECK_ERR(select(-1, NULL, NULL, NULL, &zero), EINVAL);
}

static void *
poll_pipe(void *arg)
{
	struct pollfd poller = {.fd = *(int *)arg, .events = POLLIN};

	CHECK_EQ(poll(&poller, 1, -1), 1);
	return (void *)(intptr_t)poller.revents;
}

CASE(poll_many_wake, "do all threads that poll one pipe wake at its hang-up?")
{
	pthread_t thread[6];
	void *events;
	int fd[2], i;

	OK(pipe(fd));
	for (i = 0; i < 6; i++)
		PT(pthread_create(&thread[i], NULL, poll_pipe, &fd[0]));
	close(fd[1]);
	for (i = 0; i < 6; i++) {
		PT(pthread_join(thread[i], &events));
		CHECK_EQ((intptr_t)events, POLLHUP);
	}
}

CASE(many_watched, "are 500 descriptors watched, and the right one found?")
{
	int ep = OK(epoll_create1(0)), fd[500], i;
	struct epoll_event event;
	uint64_t value = 1;

	for (i = 0; i < 500; i++) {
		fd[i] = OK(eventfd(0, EFD_NONBLOCK));
		add(ep, fd[i], EPOLLIN);
	}
	for (i = 0; i < 500; i += 7) {
		CHECK_EQ(write(fd[i], &value, 8), 8);
		CHECK_EQ(epoll_wait(ep, &event, 1, -1), 1);
		CHECK_EQ(event.data.fd, fd[i]);
		CHECK_EQ(read(fd[i], &value, 8), 8);
	}
	CHECK_EQ(epoll_wait(ep, &event, 1, 0), 0);
}

CASE(close_many, "is closing one of 16,000 watched descriptors no dearer than watching it?")
{
	enum { PAIRS = 8000 };
	struct rlimit limit;
	int set = OK(epoll_create1(0)), i;
	int (*pair)[2] = calloc(PAIRS, sizeof(*pair));
	struct epoll_event event = {.events = EPOLLOUT};
	int64_t start, added, closed;

	OK(getrlimit(RLIMIT_NOFILE, &limit));
	if (limit.rlim_max < 2 * PAIRS + 100)
		SKIP("not that many descriptors");
	limit.rlim_cur = limit.rlim_max;
	OK(setrlimit(RLIMIT_NOFILE, &limit));
	start = abi_now_ns(CLOCK_MONOTONIC);
	for (i = 0; i < PAIRS; i++) {
		OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair[i]));
		OK(epoll_ctl(set, EPOLL_CTL_ADD, pair[i][0], &event));
		OK(epoll_ctl(set, EPOLL_CTL_ADD, pair[i][1], &event));
	}
	added = abi_now_ns(CLOCK_MONOTONIC);
	for (i = PAIRS - 1; i >= 0; i--) {
		OK(close(pair[i][0]));
		OK(close(pair[i][1]));
	}
	closed = abi_now_ns(CLOCK_MONOTONIC);
	CHECK_EQ(epoll_wait(set, &event, 1, 0), 0);
	/* A walk over the set for each takes 50 times as long. */
	CHECK(closed - added < 10 * (added - start) + 1000000000);
}

CASE(after_fork, "does the child's epoll share the parent's watches?")
{
	int ep = OK(epoll_create1(0)), fd[2];
	pid_t pid;

	OK(pipe(fd));
	add(ep, fd[0], EPOLLIN);
	CHECK_EQ(write(fd[1], "x", 1), 1);
	pid = abi_fork();
	if (pid == 0)
		_exit(ready(ep) == EPOLLIN ? 0 : 1);
	CHECK_EQ(abi_reap(pid), 0);
}
