/*
 * Each kind of call that sleeps, with a thread asleep in it when the power goes: it sleeps on, ends
 * by what it waits for, and moves each byte once. Writes and reads of pipes and sockets, accept on
 * TCP, flock and epoll_wait are with their objects in resume_files.c and resume_sockets.c.
 */
#include "resume.h"

#include <linux/futex.h>
#include <linux/mempolicy.h>
#include <poll.h>
#include <pty.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <termios.h>

/* A thread in a call, and what became of it. */
struct sleeper {
	long (*call)(struct sleeper *s);
	int fd, to;
	char *data;
	size_t n;
	struct timespec until;
	pthread_t thread;
	atomic_int tid;
	atomic_bool back;
	long result;
	int error;
};

static void *
sleeper_thread(void *arg)
{
	struct sleeper *s = arg;

	s->tid = gettid();
	errno = 0;
	s->result = s->call(s);
	s->error = errno;
	s->back = true;
	return NULL;
}

/* The letter of /proc/.../stat: S is asleep. */
static char
state_of(const char *path)
{
	char text[256] = "", *end;
	int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	close(fd);
	end = n > 0 ? strrchr(text, ')') : NULL;
	return end ? end[2] : '?';
}

/* Twice in a row, as a call may sleep for a moment on its way. */
static void
wait_asleep(int pid, int tid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
	for (int seen = 0; seen < 3; nap_ms(20))
		seen = state_of(path) == 'S' ? seen + 1 : 0;
}

/* => returns when the thread sleeps in its call */
static void
begin(struct sleeper *s)
{
	CHECK(pthread_create(&s->thread, NULL, sleeper_thread, s) == 0);
	while (!s->tid)
		nap_ms(1);
	wait_asleep(getpid(), s->tid);
}

static long
end(struct sleeper *s)
{
	CHECK(pthread_join(s->thread, NULL) == 0);
	errno = s->error;
	return s->result;
}

/* Over the power cut, asleep all the time. */
static void
over_the_cut(struct sleeper *s)
{
	begin(s);
	cut();
	nap_ms(50);
	CHECK(!s->back);
}

static int64_t
time_of(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

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

/* --- reading and writing --- */

static char room[65536];

static long
call_read(struct sleeper *s)
{
	static _Thread_local char buf[4096];
	ssize_t n = read(s->fd, buf, sizeof(buf));

	s->n = (size_t)(unsigned char)buf[0];
	return n;
}

static long
call_write(struct sleeper *s)
{
	return write(s->fd, s->data, s->n);
}

CASE(reading_a_terminal)
{
	struct sleeper s = {.call = call_read};
	int m, t;

	CHECK(openpty(&m, &t, NULL, NULL, NULL) == 0 && write(m, "half ", 5) == 5);
	s.fd = t;
	over_the_cut(&s);
	CHECK(write(m, "a line\n", 7) == 7 && end(&s) == 12 && s.n == 'h');
}

CASE(reading_the_master_of_a_terminal)
{
	struct sleeper s = {.call = call_read};
	int t;

	CHECK(openpty(&s.fd, &t, NULL, NULL, NULL) == 0);
	over_the_cut(&s);
	CHECK(write(t, "word", 4) == 4 && end(&s) == 4 && s.n == 'w');
}

CASE(writing_to_a_terminal_nobody_reads)
{
	struct sleeper s = {.call = call_write, .data = room, .n = sizeof(room)};
	struct termios raw;
	int m;

	CHECK(openpty(&m, &s.fd, NULL, NULL, NULL) == 0 && tcgetattr(s.fd, &raw) == 0);
	cfmakeraw(&raw);
	CHECK(tcsetattr(s.fd, TCSANOW, &raw) == 0);
	fill(room, 0, sizeof(room));
	over_the_cut(&s);
	CHECK(read_pattern(m, 0, sizeof(room)) && end(&s) == sizeof(room));
}

CASE(reading_an_eventfd)
{
	struct sleeper s = {.call = call_read, .fd = eventfd(0, 0)};
	uint64_t seven = 7;

	over_the_cut(&s);
	CHECK(write(s.fd, &seven, 8) == 8 && end(&s) == 8 && s.n == 7);
}

CASE(writing_to_a_full_eventfd)
{
	uint64_t most = UINT64_MAX - 1, two = 2;
	struct sleeper s = {.call = call_write, .fd = eventfd(0, 0), .data = (char *)&two, .n = 8};

	CHECK(write(s.fd, &most, 8) == 8);
	over_the_cut(&s);
	CHECK(read(s.fd, &most, 8) == 8 && most == UINT64_MAX - 1);
	CHECK(end(&s) == 8 && read(s.fd, &most, 8) == 8 && most == 2);
}

CASE(reading_a_timerfd)
{
	struct itimerspec t = {{0, 0}, {0, 800 * 1000000L}};
	struct sleeper s = {.call = call_read, .fd = timerfd_create(CLOCK_MONOTONIC, 0)};
	int64_t start = time_of(CLOCK_MONOTONIC);

	CHECK(timerfd_settime(s.fd, 0, &t, NULL) == 0);
	begin(&s);
	cut();
	CHECK(end(&s) == 8 && s.n == 1);
	CHECK(time_of(CLOCK_MONOTONIC) - start >= 800 * 1000000L);
}

CASE(reading_a_signalfd)
{
	struct sleeper s = {.call = call_read};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
	s.fd = signalfd(-1, &set, 0);
	over_the_cut(&s);
	CHECK(kill(getpid(), SIGUSR1) == 0);
	CHECK(end(&s) == sizeof(struct signalfd_siginfo) && s.n == SIGUSR1);
}

CASE(reading_an_inotify)
{
	struct sleeper s = {.call = call_read, .fd = inotify_init1(0)};

	CHECK(mkdir("/tmp/calls.d", 0755) == 0);
	CHECK(inotify_add_watch(s.fd, "/tmp/calls.d", IN_CREATE) == 1);
	over_the_cut(&s);
	write_file("/tmp/calls.d/x", "x");
	CHECK(end(&s) > 0 && s.n == 1);
}

static long
call_splice(struct sleeper *s)
{
	return splice(s->fd, NULL, s->to, NULL, 5000, 0);
}

CASE(splicing_from_an_empty_pipe)
{
	struct sleeper s = {.call = call_splice};
	int from[2], to[2];

	CHECK(pipe(from) == 0 && pipe(to) == 0);
	s.fd = from[0];
	s.to = to[1];
	over_the_cut(&s);
	fill(room, 0, 100);
	CHECK(write(from[1], room, 100) == 100 && end(&s) == 100 && read_pattern(to[0], 0, 100));
}

CASE(splicing_to_a_full_pipe)
{
	struct sleeper s = {.call = call_splice};
	int from[2], to[2];
	long n;

	CHECK(pipe(from) == 0 && pipe(to) == 0);
	s.fd = from[0];
	s.to = to[1];
	fill(room, 0, sizeof(room));
	CHECK(write(to[1], room, sizeof(room)) == sizeof(room));
	fill(room, sizeof(room), 5000);
	CHECK(write(from[1], room, 5000) == 5000);
	over_the_cut(&s);
	CHECK(read_pattern(to[0], 0, sizeof(room)));
	n = end(&s);
	CHECK(n > 0 && n <= 5000 && read_pattern(to[0], sizeof(room), (size_t)n));
	close(from[1]);
	CHECK(read_pattern(from[0], sizeof(room) + (size_t)n, 5000 - (size_t)n));
	CHECK(read(from[0], room, 1) == 0);
}

static long
call_sendfile(struct sleeper *s)
{
	off_t from = 0;

	return sendfile(s->to, s->fd, &from, s->n) == (ssize_t)s->n ? from : -1;
}

CASE(sending_a_file_to_a_full_socket)
{
	struct sleeper s = {.call = call_sendfile, .n = 3000001};
	char *text = malloc(s.n);
	int p[2];

	fill(text, 0, s.n);
	s.fd = open("/tmp/sent", O_RDWR | O_CREAT, 0600);
	CHECK(write(s.fd, text, s.n) == (ssize_t)s.n &&
	      socketpair(AF_UNIX, SOCK_STREAM, 0, p) == 0);
	s.to = p[0];
	over_the_cut(&s);
	CHECK(read_pattern(p[1], 0, s.n) && end(&s) == (long)s.n);
}

static long
call_writev(struct sleeper *s)
{
	struct iovec v[3] = {
		{s->data, 100}, {s->data + 100, 30000}, {s->data + 30100, s->n - 30100}};

	return writev(s->fd, v, 3);
}

CASE(writing_many_pieces_to_a_full_pipe)
{
	struct sleeper s = {.call = call_writev, .n = 200001};
	int p[2];

	CHECK(pipe(p) == 0);
	s.fd = p[1];
	s.data = malloc(s.n);
	fill(s.data, 0, s.n);
	over_the_cut(&s);
	CHECK(read_pattern(p[0], 0, s.n) && end(&s) == (long)s.n);
}

/* --- sockets --- */

static long
call_receive_all(struct sleeper *s)
{
	struct iovec v[2] = {{s->data, 10}, {s->data + 10, s->n - 10}};
	struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};

	return recvmsg(s->fd, &m, MSG_WAITALL);
}

CASE(receiving_all_of_it)
{
	struct sleeper s = {.call = call_receive_all, .n = 300};
	char text[300];
	int p[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, p) == 0);
	s.fd = p[0];
	s.data = malloc(s.n);
	fill(text, 0, sizeof(text));
	CHECK(write(p[1], text, 123) == 123);
	over_the_cut(&s);
	CHECK(write(p[1], text + 123, 177) == 177);
	CHECK(end(&s) == 300 && is_filled(s.data, 0, 300));
}

static long
call_recvmmsg(struct sleeper *s)
{
	char a[8], b[8];
	struct iovec v[2] = {{a, 8}, {b, 8}};
	struct mmsghdr m[2] = {{.msg_hdr = {.msg_iov = v, .msg_iovlen = 1}},
			       {.msg_hdr = {.msg_iov = v + 1, .msg_iovlen = 1}}};
	long n = recvmmsg(s->fd, m, 2, 0, NULL);

	s->data[0] = a[0];
	s->data[1] = b[0];
	return n;
}

CASE(receiving_several_packets)
{
	char got[2] = "";
	struct sleeper s = {.call = call_recvmmsg, .data = got};
	int p[2];

	CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, p) == 0 && send(p[1], "a", 1, 0) == 1);
	s.fd = p[0];
	over_the_cut(&s);
	CHECK(send(p[1], "b", 1, 0) == 1 && end(&s) == 2 && got[0] == 'a' && got[1] == 'b');
}

static int
unix_listener(struct sockaddr_un *un, const char *path)
{
	int l = socket(AF_UNIX, SOCK_STREAM, 0);

	*un = (struct sockaddr_un){.sun_family = AF_UNIX};
	strcpy(un->sun_path, path);
	CHECK(bind(l, (void *)un, sizeof(*un)) == 0 && listen(l, 0) == 0);
	return l;
}

static long
call_accept(struct sleeper *s)
{
	return accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
}

CASE(accepting)
{
	struct sleeper s = {.call = call_accept};
	int c = socket(AF_UNIX, SOCK_STREAM, 0), a;
	struct sockaddr_un un;

	s.fd = unix_listener(&un, "/tmp/calls.accept");
	over_the_cut(&s);
	CHECK(connect(c, (void *)&un, sizeof(un)) == 0);
	a = (int)end(&s);
	CHECK(a >= 0 && write(c, "x", 1) == 1 && read(a, room, 8) == 1);
}

static long
call_connect(struct sleeper *s)
{
	return connect(s->fd, (void *)s->data, sizeof(struct sockaddr_un));
}

CASE(connecting_to_a_listener_that_is_full)
{
	struct sockaddr_un un;
	int l = unix_listener(&un, "/tmp/calls.connect"), c = socket(AF_UNIX, SOCK_STREAM, 0), a;
	struct sleeper s = {
		.call = call_connect, .fd = socket(AF_UNIX, SOCK_STREAM, 0), .data = (char *)&un};

	CHECK(connect(c, (void *)&un, sizeof(un)) == 0); /* a backlog of 0 has room for one */
	over_the_cut(&s);
	CHECK(accept(l, NULL, NULL) >= 0 && end(&s) == 0);
	a = accept(l, NULL, NULL);
	CHECK(a >= 0 && write(s.fd, "y", 1) == 1 && read(a, room, 8) == 1);
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
	int fd;

	CHECK(mkfifo(path, 0600) == 0);
	over_the_cut(&s);
	fd = open(path, other);
	CHECK(fd >= 0 && end(&s) >= 0);
	if (mine == O_WRONLY)
		CHECK(write((int)s.result, "z", 1) == 1 && read(fd, room, 8) == 1);
	else
		CHECK(write(fd, "z", 1) == 1 && read((int)s.result, room, 8) == 1);
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
