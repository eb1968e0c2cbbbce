/* Sockets and terminals, before and after the power goes. */
#include "resume.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/tcp.h>
#include <pty.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>

/* --- AF_UNIX --- */

static void
unix_address(struct sockaddr_un *un, socklen_t *len, const char *name)
{
	size_t n = strlen(name);

	memset(un, 0, sizeof(*un));
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, name, n);
	if (name[0] == '@')
		un->sun_path[0] = 0;
	*len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (name[0] != '@'));
}

static int
unix_socket(int type, const char *bind_to, const char *connect_to)
{
	int fd = socket(AF_UNIX, type, 0);
	struct sockaddr_un un;
	socklen_t len;

	if (bind_to) {
		unix_address(&un, &len, bind_to);
		CHECK(bind(fd, (void *)&un, len) == 0);
	}
	if (connect_to) {
		unix_address(&un, &len, connect_to);
		CHECK(connect(fd, (void *)&un, len) == 0);
	}
	return fd;
}

CASE(unix_stream)
{
	int s[2], size = 300000, on = 1;
	socklen_t len = sizeof(size);
	static char text[40000];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	CHECK(setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) == 0);
	CHECK(getsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &size, &len) == 0);
	CHECK(setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) == 0);
	fill(text, 0, sizeof(text));
	CHECK(write(s[0], text, sizeof(text)) == sizeof(text));
	CHECK(read_pattern(s[1], 0, 1234));
	CHECK(write(s[1], "back", 4) == 4 && shutdown(s[1], SHUT_WR) == 0);
	cut();
	CHECK(getsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &on, &len) == 0 && on == size);
	CHECK(read_pattern(s[1], 1234, sizeof(text) - 1234));
	CHECK(read(s[0], text, 9) == 4 && memcmp(text, "back", 4) == 0 && read(s[0], text, 1) == 0);
	CHECK(write(s[0], "x", 1) == 1 && read(s[1], text, 9) == 1);
	close(s[0]);
	CHECK(read(s[1], text, 9) == 0);
}

CASE(unix_packets)
{
	int d = unix_socket(SOCK_DGRAM, "/tmp/datagrams", NULL), p[2];
	int c = unix_socket(SOCK_DGRAM, "@client", "/tmp/datagrams");
	struct sockaddr_un from;
	socklen_t len = sizeof(from);
	char buf[64];

	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, p) == 0);
	CHECK(send(c, "one", 3, 0) == 3 && send(c, "", 0, 0) == 0 && send(c, "three", 5, 0) == 5);
	CHECK(send(p[0], "a", 1, 0) == 1 && send(p[0], "bcd", 3, 0) == 3);
	cut();
	CHECK(recvfrom(d, buf, 64, 0, (void *)&from, &len) == 3);
	CHECK(len == 2 + 7 && memcmp(from.sun_path, "\0client", 7) == 0);
	CHECK(sendto(d, "answer", 6, 0, (void *)&from, len) == 6);
	CHECK(recv(c, buf, 64, 0) == 6 && recv(d, buf, 64, 0) == 0 && recv(d, buf, 64, 0) == 5);
	CHECK(recv(p[1], buf, 64, 0) == 1 && recv(p[1], buf, 64, 0) == 3);
	CHECK(unix_socket(SOCK_DGRAM, NULL, "/tmp/datagrams") >= 0);
}

CASE(unix_listeners)
{
	int l = unix_socket(SOCK_STREAM, "/tmp/listener", NULL), c, a;
	int abstract = unix_socket(SOCK_STREAM, "@abstract", NULL);
	struct ucred cred;
	socklen_t len = sizeof(cred);
	char buf[16];

	CHECK(listen(l, 5) == 0 && listen(abstract, 5) == 0);
	c = unix_socket(SOCK_STREAM, NULL, "/tmp/listener");
	CHECK(write(c, "early", 5) == 5);
	cut();
	a = accept(l, NULL, NULL);
	CHECK(a >= 0 && read(a, buf, 16) == 5 && write(a, "late", 4) == 4);
	CHECK(read(c, buf, 16) == 4);
	CHECK(getsockopt(c, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 && cred.pid == getpid());
	CHECK(unix_socket(SOCK_STREAM, NULL, "@abstract") >= 0 &&
	      accept(abstract, NULL, NULL) >= 0);
	CHECK(unix_socket(SOCK_STREAM, NULL, "/tmp/listener") >= 0 && accept(l, NULL, NULL) >= 0);
	close(abstract);
	CHECK(unix_socket(SOCK_STREAM, "@abstract", NULL) >= 0);
}

union control {
	struct cmsghdr h;
	char room[CMSG_SPACE(sizeof(int))];
};

static void
send_fd(int socket, int fd)
{
	union control c = {.h = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
	struct iovec v = {"f", 1};
	struct msghdr m = {
		.msg_iov = &v, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c)};

	memcpy(CMSG_DATA(&c.h), &fd, sizeof(fd));
	CHECK(sendmsg(socket, &m, 0) == 1);
}

static int
receive_fd(int socket)
{
	union control c;
	char byte;
	struct iovec v = {&byte, 1};
	struct msghdr m = {
		.msg_iov = &v, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c)};
	int fd;

	CHECK(recvmsg(socket, &m, 0) == 1 && m.msg_controllen >= CMSG_LEN(sizeof(int)));
	memcpy(&fd, CMSG_DATA(&c.h), sizeof(fd));
	return fd;
}

CASE(descriptors_in_flight)
{
	int s[2], inner[2], p[2], fd;
	char c;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0 && pipe(p) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, inner) == 0);
	send_fd(inner[0], p[0]); /* a descriptor in a socket that is in flight itself */
	send_fd(s[0], inner[1]);
	close(inner[1]);
	close(p[0]);
	CHECK(write(p[1], "p", 1) == 1);
	cut();
	fd = receive_fd(receive_fd(s[1]));
	CHECK(read(fd, &c, 1) == 1 && c == 'p');
	close(p[1]);
	CHECK(read(fd, &c, 1) == 0);
}

/* --- the internet --- */

static struct sockaddr_in
local(int port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons((uint16_t)port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* Of either family: their ports lie in the same place. */
static int
port_of(int fd)
{
	struct sockaddr_in6 a;
	socklen_t len = sizeof(a);

	CHECK(getsockname(fd, (void *)&a, &len) == 0);
	return ntohs(a.sin6_port);
}

static int
listener(void)
{
	struct sockaddr_in a = local(0);
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	CHECK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0);
	CHECK(bind(fd, (void *)&a, sizeof(a)) == 0 && listen(fd, 5) == 0);
	return fd;
}

static int
connected(int port)
{
	struct sockaddr_in a = local(port);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	CHECK(connect(fd, (void *)&a, sizeof(a)) == 0);
	return fd;
}

CASE(tcp_listener)
{
	int l = listener(), on = 0, other = socket(AF_INET, SOCK_STREAM, 0), v6;
	struct sockaddr_in a = local(port_of(l));
	struct sockaddr_in6 any = {.sin6_family = AF_INET6};
	socklen_t len = sizeof(on);

	v6 = socket(AF_INET6, SOCK_STREAM, 0);
	CHECK(bind(v6, (void *)&any, sizeof(any)) == 0 && listen(v6, 1) == 0);
	cut();
	CHECK(getsockopt(l, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 && on == 1);
	CHECK(getsockopt(l, SOL_SOCKET, SO_REUSEADDR, &on, &len) == 0 && on == 1);
	CHECK(bind(other, (void *)&a, sizeof(a)) == -1 && errno == EADDRINUSE);
	CHECK(connected(port_of(l)) >= 0 && accept(l, NULL, NULL) >= 0);
	CHECK(connected(port_of(v6)) >= 0 && accept(v6, NULL, NULL) >= 0);
}

CASE(tcp_to_ourselves)
{
	int l = listener(), c = connected(port_of(l)), a = accept(l, NULL, NULL), one = 1, late;
	struct sockaddr_in peer, was;
	socklen_t len = sizeof(peer);
	char buf[16];

	CHECK(a >= 0 && setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0);
	CHECK(write(c, "to the server", 13) == 13 && write(a, "to the client", 13) == 13);
	late = connected(port_of(l));
	CHECK(write(late, "queued", 6) == 6 && getpeername(a, (void *)&was, &len) == 0);
	CHECK(read(a, buf, 3) == 3);
	cut();
	CHECK(getpeername(a, (void *)&peer, &len) == 0 && peer.sin_port == was.sin_port);
	CHECK(getsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, &len) == 0 && one);
	CHECK(read(a, buf, 16) == 10 && memcmp(buf, "the server", 10) == 0);
	CHECK(read(c, buf, 16) == 13 && memcmp(buf, "to the client", 13) == 0);
	CHECK(write(a, "more", 4) == 4 && read(c, buf, 16) == 4);
	CHECK(write(c, "and back", 8) == 8 && read(a, buf, 16) == 8);
	one = accept(l, NULL, NULL);
	CHECK(one >= 0 && read(one, buf, 16) == 6 && write(one, "hi", 2) == 2);
	CHECK(read(late, buf, 16) == 2);
	close(c);
	CHECK(read(a, buf, 16) == 0);
}

static void
one_port_only(int fd, int port)
{
	unsigned range = (unsigned)port << 16 | (unsigned)port;

	CHECK(setsockopt(fd, IPPROTO_IP, 51 /* IP_LOCAL_PORT_RANGE */, &range, sizeof(range)) == 0);
}

/* A port that bind gave, one that two connections share, one that is still to be chosen. */
CASE(tcp_ports)
{
	int one = listener(), two = listener(), bound = listener(), on = 1, fd[4], other;
	struct sockaddr_in a[2] = {local(port_of(one)), local(port_of(two))}, any = local(0);
	int port, kept = socket(AF_INET, SOCK_STREAM, 0);
	char c;

	CHECK(bind(kept, (void *)&any, sizeof(any)) == 0);
	port = port_of(bound); /* of the range, and nobody's then */
	close(bound);
	for (int i = 0; i < 4; i++) {
		fd[i] = socket(AF_INET, SOCK_STREAM, 0);
		one_port_only(fd[i], port);
	}
	CHECK(setsockopt(fd[3], IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) == 0);
	CHECK(bind(fd[3], (void *)&any, sizeof(any)) == 0);
	CHECK(connect(fd[0], (void *)&a[0], sizeof(a[0])) == 0);
	CHECK(connect(fd[1], (void *)&a[1], sizeof(a[1])) == 0);
	cut();
	CHECK(port_of(fd[0]) == port && port_of(fd[1]) == port && port_of(fd[3]) == 0);
	CHECK(connect(fd[2], (void *)&a[0], sizeof(a[0])) == -1 && errno == EADDRNOTAVAIL);
	CHECK(write(fd[0], "0", 1) == 1 && write(fd[1], "1", 1) == 1);
	other = accept(one, NULL, NULL);
	CHECK(other >= 0 && read(other, &c, 1) == 1 && c == '0');
	other = accept(two, NULL, NULL);
	CHECK(other >= 0 && read(other, &c, 1) == 1 && c == '1');
	CHECK(listen(kept, 1) == 0);
	a[0] = local(port_of(kept));
	CHECK(connect(fd[3], (void *)&a[0], sizeof(a[0])) == 0 && port_of(fd[3]) == port);
	CHECK(bind(fd[2], (void *)&a[0], sizeof(a[0])) == -1 && errno == EADDRINUSE);
}

struct sending {
	int fd;
	size_t n;
	ssize_t result;
};

static void *
send_all(void *arg)
{
	struct sending *s = arg;
	char *text = malloc(s->n);

	fill(text, 0, s->n);
	s->result = write(s->fd, text, s->n);
	free(text);
	return NULL;
}

/* More than all buffers on the way hold. */
CASE(tcp_with_a_blocked_writer)
{
	int l = listener(), c = connected(port_of(l)), a = accept(l, NULL, NULL);
	struct sending s = {.fd = c, .n = 9000001};
	pthread_t t;

	CHECK(pthread_create(&t, NULL, send_all, &s) == 0);
	CHECK(read_pattern(a, 0, 100000));
	nap_ms(200);
	cut();
	CHECK(read_pattern(a, 100000, s.n - 100000));
	CHECK(pthread_join(t, NULL) == 0 && s.result == (ssize_t)s.n);
}

CASE(unix_with_a_blocked_writer)
{
	struct sending s = {.n = 2000001};
	pthread_t t;
	int p[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, p) == 0);
	s.fd = p[0];
	CHECK(pthread_create(&t, NULL, send_all, &s) == 0);
	CHECK(read_pattern(p[1], 0, 100000));
	nap_ms(100);
	cut();
	CHECK(read_pattern(p[1], 100000, s.n - 100000));
	CHECK(pthread_join(t, NULL) == 0 && s.result == (ssize_t)s.n);
}

CASE(tcp_half_closed)
{
	int l = listener(), c = connected(port_of(l)), a = accept(l, NULL, NULL);
	int gone = connected(port_of(l)), b = accept(l, NULL, NULL);
	char buf[64];

	CHECK(write(c, "last words", 10) == 10 && shutdown(c, SHUT_WR) == 0);
	CHECK(write(gone, "testament", 9) == 9 && close(gone) == 0);
	nap_ms(50);
	cut();
	CHECK(read(a, buf, 64) == 10 && read(a, buf, 64) == 0);
	CHECK(write(a, "answer", 6) == 6 && read(c, buf, 64) == 6);
	close(a);
	CHECK(read(c, buf, 64) == 0);
	CHECK(read(b, buf, 64) == 9 && read(b, buf, 64) == 0);
}

CASE(udp)
{
	int s = socket(AF_INET, SOCK_DGRAM, 0), c = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in a = local(0), from;
	socklen_t len = sizeof(from), alen = sizeof(a);
	char buf[64];

	CHECK(bind(s, (void *)&a, sizeof(a)) == 0 && getsockname(s, (void *)&a, &alen) == 0);
	CHECK(connect(c, (void *)&a, sizeof(a)) == 0);
	CHECK(send(c, "first", 5, 0) == 5 && send(c, "second one", 10, 0) == 10);
	nap_ms(20);
	cut();
	CHECK(recvfrom(s, buf, 64, 0, (void *)&from, &len) == 5 && recv(s, buf, 64, 0) == 10);
	CHECK(sendto(s, "reply", 5, 0, (void *)&from, len) == 5 && recv(c, buf, 64, 0) == 5);
	CHECK(send(c, "again", 5, 0) == 5 && recv(s, buf, 64, 0) == 5);
}

CASE(interfaces_are_asked)
{
	struct ifaddrs *list;
	int fd = socket(AF_NETLINK, SOCK_RAW, 0);

	cut();
	CHECK(fd >= 0 && getifaddrs(&list) == 0 && list);
	freeifaddrs(list);
}

CASE(a_blocked_accept)
{
	int l = listener(), status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(accept(l, NULL, NULL) < 0);
	nap_ms(100);
	cut();
	CHECK(connected(port_of(l)) >= 0 && waitpid(pid, &status, 0) == pid && status == 0);
}

/* --- terminals --- */

CASE(pseudo_terminals)
{
	struct winsize size = {.ws_row = 33, .ws_col = 99}, now = {0};
	char buf[64] = "", name[64], slave_name[64];
	struct termios t;
	int m, s;

	CHECK(openpty(&m, &s, slave_name, NULL, &size) == 0 && tcgetattr(s, &t) == 0);
	t.c_lflag &= ~(tcflag_t)ECHO;
	t.c_cc[VERASE] = 'Z';
	CHECK(tcsetattr(s, TCSANOW, &t) == 0);
	CHECK(write(m, "a line\nhalf", 11) == 11 && write(s, "out\n", 4) == 4);
	cut();
	CHECK(ttyname_r(s, name, sizeof(name)) == 0 && strcmp(name, slave_name) == 0);
	CHECK(ioctl(m, TIOCGWINSZ, &now) == 0 && now.ws_row == 33 && now.ws_col == 99);
	CHECK(tcgetattr(s, &t) == 0 && !(t.c_lflag & ECHO) && t.c_cc[VERASE] == 'Z');
	CHECK(read(m, buf, 64) == 5 && memcmp(buf, "out\r\n", 5) == 0);
	CHECK(read(s, buf, 64) == 7 && memcmp(buf, "a line\n", 7) == 0);
	CHECK(write(m, "Z time\n", 7) == 7 && read(s, buf, 64) == 9 &&
	      memcmp(buf, "hal time\n", 9) == 0);
	CHECK((s = open(slave_name, O_RDWR | O_NOCTTY)) >= 0 && write(s, "x", 1) == 1);
	close(m);
	CHECK(read(s, buf, 1) == 0);
}

CASE(a_session_and_its_terminal)
{
	int m, status;
	char c = 3;
	pid_t pid = forkpty(&m, NULL, NULL, NULL);

	if (pid == 0) {
		for (;;)
			pause();
	}
	nap_ms(100);
	cut();
	CHECK(tcgetpgrp(m) == pid && write(m, &c, 1) == 1);
	CHECK(waitpid(pid, &status, 0) == pid && WTERMSIG(status) == SIGINT);
}
