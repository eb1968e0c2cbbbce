/*
 * Threads that are nearly always asleep, each in another call, and check what it returns: no byte
 * lost or repeated, no EINTR, no sleep too short, no wake-up lost, through any number of
 * checkpoints and power cuts.
 *
 *	blocked SECONDS		"turn N" ten times a second; "ok" after so many seconds of
 *				CLOCK_MONOTONIC, or a line with WRONG and status 1
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MS	1000000LL
#define LATE_MS 20000 /* a slow machine, not a wrong one */
#define BLOCK	50000 /* numbers in one write: more than a pipe holds */

#define CHECK(what)                                                                                \
	do {                                                                                       \
		if (!(what))                                                                       \
			wrong(__func__, #what);                                                    \
	} while (0)

static atomic_ulong done[32];
static const char *name[32];
static int roles;
static atomic_int ending;

static void
wrong(const char *where, const char *what)
{
	printf("WRONG %s: %s (errno %d)\n", where, what, errno);
	fflush(stdout);
	_exit(1);
}

static int64_t
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 * MS + t.tv_nsec;
}

static void
nap(int ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * MS};
	int64_t start = now();

	CHECK(nanosleep(&t, NULL) == 0);
	start = now() - start;
	if (start < ms * MS || start >= (ms + LATE_MS) * MS)
		printf("%d ms took %lld us\n", ms, (long long)start / 1000);
	CHECK(start >= ms * MS && start < (ms + LATE_MS) * MS);
}

static void
sleeper(atomic_ulong *n)
{
	nap(300);
	++*n;
}

static void
poller(atomic_ulong *n)
{
	static int ends[2];
	struct pollfd p = {.events = POLLIN};
	int64_t start = now();

	if (!ends[0])
		CHECK(pipe(ends) == 0);
	p.fd = ends[0];
	CHECK(poll(&p, 1, 250) == 0);
	CHECK(now() - start >= 250 * MS && now() - start < (250 + LATE_MS) * MS);
	++*n;
}

/* --- streams of numbers: a writer that fills them up, a reader with odd pieces --- */

static int stream[2][2];

static void
write_numbers(int fd, uint32_t *next)
{
	static _Thread_local uint32_t block[BLOCK];

	for (int i = 0; i < BLOCK; i++)
		block[i] = (*next)++;
	CHECK(write(fd, block, sizeof(block)) == (ssize_t)sizeof(block));
}

static void
read_numbers(int fd, uint32_t *next, size_t *have, char *part)
{
	char buf[12347];
	ssize_t k = read(fd, buf, sizeof(buf));

	CHECK(k > 0);
	for (ssize_t i = 0; i < k; i++) {
		part[(*have)++] = buf[i];
		if (*have < 4)
			continue;
		CHECK(memcmp(part, next, 4) == 0);
		++*next;
		*have = 0;
	}
	nap(5);
}

#define STREAM(kind, index)                                                                        \
	static void kind##_writer(atomic_ulong *n)                                                 \
	{                                                                                          \
		static uint32_t next;                                                              \
		write_numbers(stream[index][1], &next);                                            \
		++*n;                                                                              \
	}                                                                                          \
	static void kind##_reader(atomic_ulong *n)                                                 \
	{                                                                                          \
		static uint32_t next;                                                              \
		static size_t have;                                                                \
		static char part[4];                                                               \
		read_numbers(stream[index][0], &next, &have, part);                                \
		++*n;                                                                              \
	}

STREAM(pipe, 0)
STREAM(socket, 1)

/* --- threads that wake each other --- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static int turn;

static void
take_turn(int mine)
{
	pthread_mutex_lock(&mutex);
	while (turn != mine)
		pthread_cond_wait(&turned, &mutex);
	turn = !mine;
	pthread_cond_broadcast(&turned);
	pthread_mutex_unlock(&mutex);
	usleep(5000);
}

static void
ping(atomic_ulong *n)
{
	take_turn(0);
	++*n;
}

static void
pong(atomic_ulong *n)
{
	take_turn(1);
	++*n;
}

static int counter_fd[2];

static void
event_writer(atomic_ulong *n)
{
	uint64_t one = 1;

	CHECK(write(counter_fd[0], &one, 8) == 8);
	CHECK(read(counter_fd[1], &one, 8) == 8 && one == 1);
	++*n;
	nap(5);
}

static void
event_reader(atomic_ulong *n)
{
	uint64_t one;

	CHECK(read(counter_fd[0], &one, 8) == 8 && one == 1);
	CHECK(write(counter_fd[1], &one, 8) == 8);
	++*n;
}

/* --- timers --- */

static void
ticker(atomic_ulong *n)
{
	static int fd, ep;
	static uint64_t ticks;
	static int64_t start;
	struct itimerspec every = {{0, 100 * MS}, {0, 100 * MS}};
	struct epoll_event ev = {.events = EPOLLIN | EPOLLONESHOT};
	uint64_t more;

	if (!fd) {
		fd = timerfd_create(CLOCK_MONOTONIC, 0);
		ep = epoll_create1(0);
		CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) == 0);
		start = now();
		CHECK(timerfd_settime(fd, 0, &every, NULL) == 0);
	}
	CHECK(epoll_ctl(ep, EPOLL_CTL_MOD, fd, &ev) == 0);
	CHECK(epoll_wait(ep, &ev, 1, -1) == 1);
	CHECK(read(fd, &more, 8) == 8);
	ticks += more;
	CHECK((now() - start) / (100 * MS) >= (int64_t)ticks);
	CHECK((now() - start - LATE_MS * MS) / (100 * MS) <= (int64_t)ticks);
	++*n;
}

/* --- signals: queued ones in order, and those of a timer --- */

static void
queue_signals(atomic_ulong *n)
{
	static int next;

	CHECK(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = next++}) == 0);
	++*n;
	nap(20);
}

static void
wait_signals(atomic_ulong *n)
{
	static int next;
	siginfo_t info;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 1);
	CHECK(sigwaitinfo(&set, &info) == SIGRTMIN + 1);
	CHECK(info.si_value.sival_int == next++);
	++*n;
}

static void
wait_timer(atomic_ulong *n)
{
	static timer_t timer;
	static int made;
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 2};
	struct itimerspec every = {{0, 70 * MS}, {0, 70 * MS}};
	siginfo_t info;
	sigset_t set;

	if (!made++) {
		CHECK(timer_create(CLOCK_MONOTONIC, &ev, &timer) == 0);
		CHECK(timer_settime(timer, 0, &every, NULL) == 0);
	}
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 2);
	CHECK(sigwaitinfo(&set, &info) == SIGRTMIN + 2 && info.si_code == SI_TIMER);
	++*n;
}

/* --- processes --- */

static void
parent(atomic_ulong *n)
{
	int status, code = (int)(*n % 100);
	pid_t child = fork();

	if (child == 0) {
		usleep(100000);
		_exit(code);
	}
	CHECK(child > 0 && waitpid(child, &status, 0) == child);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == code);
	++*n;
}

static void
vfork_parent(atomic_ulong *n)
{
	struct timespec t = {0, 100 * MS};
	int64_t start = now();
	int status;
	pid_t child = vfork();

	if (child == 0) {
		nanosleep(&t, NULL);
		_exit(7);
	}
	CHECK(now() - start >= 100 * MS);
	CHECK(child > 0 && waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7);
	++*n;
}

/* --- connections, locks, a file --- */

static int listener;
static struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/tmp/blocked.sock"};

static void
server(atomic_ulong *n)
{
	unsigned long got;
	int fd = accept(listener, NULL, NULL);

	CHECK(fd >= 0 && recv(fd, &got, 8, MSG_WAITALL) == 8 && got == *n);
	close(fd);
	++*n;
}

static void
client(atomic_ulong *n)
{
	unsigned long mine = *n;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	char end;

	CHECK(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	CHECK(send(fd, &mine, 4, 0) == 4);
	nap(30);
	CHECK(send(fd, (char *)&mine + 4, 4, 0) == 4);
	CHECK(read(fd, &end, 1) == 0);
	close(fd);
	++*n;
}

static void
locker(atomic_ulong *n)
{
	static atomic_int inside;
	int fd = open("/tmp/blocked.lock", O_RDWR | O_CREAT, 0600);

	CHECK(fd >= 0 && flock(fd, LOCK_EX) == 0);
	CHECK(atomic_fetch_add(&inside, 1) == 0);
	usleep(20000);
	CHECK(atomic_fetch_sub(&inside, 1) == 1);
	close(fd);
	++*n;
}

static void
locker_too(atomic_ulong *n)
{
	locker(n);
}

static void
appender(atomic_ulong *n)
{
	static int fd = -1;
	uint32_t k = (uint32_t)*n, last;

	if (fd < 0)
		fd = open("/tmp/blocked.log", O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0600);
	CHECK(fd >= 0 && write(fd, &k, 4) == 4);
	CHECK(lseek(fd, 0, SEEK_END) == (off_t)(4 * (k + 1)));
	CHECK(pread(fd, &last, 4, 4 * k) == 4 && last == k);
	++*n;
	usleep(10000);
}

/* Registers, among them the FPU's, through a moment of computing. */
static void
computer(atomic_ulong *n)
{
	double x = 1, y = 0.5;
	uint64_t a = 1;

	for (int i = 0; i < 50000; i++) {
		x = x * 1.0000001 + y;
		y = y * 0.9999999;
		a = a * 6364136223846793005ULL + 1442695040888963407ULL;
	}
	if (*n == 0)
		memcpy(&done[30], &x, 8), done[31] = a;
	CHECK(memcmp(&done[30], &x, 8) == 0 && done[31] == a);
	++*n;
	nap(20);
}

/* --- all of them --- */

struct role {
	void (*step)(atomic_ulong *n);
	const char *name;
};

static void *
play(void *arg)
{
	const struct role *r = arg;
	int mine = roles++; /* one thread is made at a time */
	pid_t tid = gettid(), pid = getpid();

	name[mine] = r->name;
	while (!ending) {
		r->step(&done[mine]);
		CHECK(gettid() == tid && getpid() == pid);
	}
	return NULL;
}

#define ROLE(f)                                                                                    \
	{                                                                                          \
		f, #f                                                                              \
	}

static const struct role all[] = {
	ROLE(sleeper),	     ROLE(poller),	  ROLE(pipe_writer), ROLE(pipe_reader),
	ROLE(socket_writer), ROLE(socket_reader), ROLE(ping),	     ROLE(pong),
	ROLE(event_writer),  ROLE(event_reader),  ROLE(ticker),	     ROLE(queue_signals),
	ROLE(wait_signals),  ROLE(wait_timer),	  ROLE(parent),	     ROLE(vfork_parent),
	ROLE(server),	     ROLE(client),	  ROLE(locker),	     ROLE(locker_too),
	ROLE(appender),	     ROLE(computer),
};

static void
prepare(void)
{
	sigset_t set;

	sigfillset(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	counter_fd[0] = eventfd(0, EFD_SEMAPHORE);
	counter_fd[1] = eventfd(0, 0);
	CHECK(pipe(stream[0]) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, stream[1]) == 0);
	unlink(address.sun_path);
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK(bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0);
	CHECK(listen(listener, 4) == 0);
}

int
main(int argc, char **argv)
{
	int64_t end = now() + (argc > 1 ? atoi(argv[1]) : 3) * 1000 * MS;
	pthread_t t;

	setvbuf(stdout, NULL, _IOLBF, 0);
	prepare();
	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		int before = roles;

		CHECK(pthread_create(&t, NULL, play, (void *)&all[i]) == 0);
		while (*(volatile int *)&roles == before)
			usleep(100);
	}
	for (int n = 0; now() < end; n++) {
		nap(100);
		printf("turn %d\n", n);
	}
	for (int i = 0; i < roles; i++) {
		printf("%s %lu\n", name[i], done[i]);
		if (done[i] == 0)
			wrong(name[i], "it did nothing");
	}
	printf("ok\n");
	return 0;
}
