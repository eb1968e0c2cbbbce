/*
 * Calls that move bytes, with a thread asleep in each when the power goes: it sleeps on, ends by
 * what it waits for, and moves each byte once. Other calls are in resume_calls.c; writes and reads
 * of pipes, accept on TCP and epoll_wait with their objects in resume_files.c and resume_sockets.c;
 * those that wait for the disk in keeper.c.
 */
#include "sleeper.h"

#include <pty.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <termios.h>

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
