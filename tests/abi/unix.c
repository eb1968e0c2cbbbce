/*
 * unix.c - AF_UNIX sockets: stream, datagram and sequenced packets, names in
 * the file system and abstract ones, descriptor and credential passing.
 */
#include "abi.h"
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

static socklen_t
name_of(struct sockaddr_un *addr, const char *path)
{
	memset(addr, 0, sizeof(*addr));
	addr->sun_family = AF_UNIX;
	strcpy(addr->sun_path, path);
	return offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1;
}

/* An abstract name of this case alone. */
static socklen_t
abstract(struct sockaddr_un *addr)
{
	memset(addr, 0, sizeof(*addr));
	addr->sun_family = AF_UNIX;
	return offsetof(struct sockaddr_un, sun_path) + 1 +
	       snprintf(addr->sun_path + 1, 60, "abi-%s-%d", abi_name, getpid());
}

static int
listen_at(const char *path, int type)
{
	struct sockaddr_un addr;
	socklen_t size = name_of(&addr, path);
	int fd = OK(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));

	OK(bind(fd, (struct sockaddr *)&addr, size));
	if (type != SOCK_DGRAM)
		OK(listen(fd, 5));
	return fd;
}

static int
connect_to(const char *path, int type)
{
	struct sockaddr_un addr;
	socklen_t size = name_of(&addr, path);
	int fd = OK(socket(AF_UNIX, type, 0));

	OK(connect(fd, (struct sockaddr *)&addr, size));
	return fd;
}

CASE(pair_stream, "does a stream pair carry bytes both ways, without borders?")
{
	char text[16];
	int fd[2];

	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, fd));
	CHECK_EQ(write(fd[0], "abc", 3), 3);
	CHECK_EQ(write(fd[0], "def", 3), 3);
	CHECK_EQ(read(fd[1], text, 16), 6);
	CHECK(memcmp(text, "abcdef", 6) == 0);
	CHECK_EQ(send(fd[1], "xy", 2, 0), 2);
	CHECK_EQ(recv(fd[0], text, 1, MSG_PEEK), 1);
	CHECK_EQ(recv(fd[0], text, 16, 0), 2);
	CHECK_EQ(text[0], 'x');
	CHECK_ERR(recv(fd[0], text, 1, MSG_DONTWAIT), EAGAIN);
	OK(close(fd[1]));
	CHECK_EQ(read(fd[0], text, 1), 0);
	CHECK_ERR(send(fd[0], "x", 1, MSG_NOSIGNAL), EPIPE);
}

CASE(pair_packets, "do datagram and seqpacket pairs keep borders and cut the rest?")
{
	static const int types[] = {SOCK_DGRAM, SOCK_SEQPACKET};
	struct msghdr message = {0};
	struct iovec vector;
	char text[16];
	int fd[2], i;

	for (i = 0; i < 2; i++) {
		OK(socketpair(AF_UNIX, types[i], 0, fd));
		CHECK_EQ(send(fd[0], "abcdef", 6, 0), 6);
		CHECK_EQ(send(fd[0], "gh", 2, 0), 2);
		CHECK_EQ(send(fd[0], "ij", 2, 0), 2);
		vector = (struct iovec){text, 4};
		message.msg_iov = &vector;
		message.msg_iovlen = 1;
		CHECK_EQ(recvmsg(fd[1], &message, 0), 4);
		CHECK_EQ(message.msg_flags & MSG_TRUNC, MSG_TRUNC);
		CHECK_EQ(recv(fd[1], text, 1, MSG_TRUNC), 2);
		CHECK_EQ(recv(fd[1], text, 16, 0), 2);
		CHECK(memcmp(text, "ij", 2) == 0);
		CHECK_ERR(recv(fd[1], text, 16, MSG_DONTWAIT), EAGAIN);
	}
	OK(close(fd[0]));
	CHECK_EQ(recv(fd[1], text, 16, 0), 0);
}

CASE(create_errors, "are unknown families, types, protocols and flags refused?")
{
	int fd[2];

	CHECK_ERR(socket(AF_UNIX, 99, 0), EINVAL);
	CHECK_ERR(socket(AF_UNIX, SOCK_STREAM, 99), EPROTONOSUPPORT);
	CHECK_ERR(socket(99, SOCK_STREAM, 0), EAFNOSUPPORT);
	CHECK_ERR(socket(AF_UNIX, SOCK_STREAM | 0x100000, 0), EINVAL);
	CHECK_ERR(socketpair(AF_INET, SOCK_STREAM, 0, fd), EOPNOTSUPP);
	CHECK_ERR(socketpair(AF_UNIX, SOCK_STREAM, 0, abi_bad()), EFAULT);
	OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd));
	CHECK_EQ(fcntl(fd[0], F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(fd[1], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
}

CASE(named_stream, "do bind, listen, connect and accept meet at a path?")
{
	struct sockaddr_un addr;
	struct stat st;
	socklen_t size;
	int listener = listen_at("s", SOCK_STREAM), client, server;
	char c;

	OK(stat("s", &st));
	CHECK(S_ISSOCK(st.st_mode));
	client = connect_to("s", SOCK_STREAM);
	CHECK_EQ(write(client, "q", 1), 1);
	size = sizeof(addr);
	server = OK(
		accept4(listener, (struct sockaddr *)&addr, &size, SOCK_CLOEXEC | SOCK_NONBLOCK));
	CHECK_EQ(addr.sun_family, AF_UNIX);
	CHECK_EQ(size, sizeof(sa_family_t));
	CHECK_EQ(fcntl(server, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(read(server, &c, 1), 1);
	CHECK_ERR(read(server, &c, 1), EAGAIN);
	size = sizeof(addr);
	OK(getpeername(client, (struct sockaddr *)&addr, &size));
	CHECK(strcmp(addr.sun_path, "s") == 0);
	CHECK_EQ(size, offsetof(struct sockaddr_un, sun_path) + 2);
	size = sizeof(addr);
	OK(getsockname(server, (struct sockaddr *)&addr, &size));
	CHECK(strcmp(addr.sun_path, "s") == 0);
	OK(close(listener));
	CHECK_ERR(connect(OK(socket(AF_UNIX, SOCK_STREAM, 0)), (struct sockaddr *)&addr, size),
		  ECONNREFUSED);
	OK(unlink("s"));
}

CASE(errors, "does each wrong use of a unix socket give its errno?")
{
	struct sockaddr_un addr;
	socklen_t size = name_of(&addr, "s");
	int fd = OK(socket(AF_UNIX, SOCK_STREAM, 0)), other;
	char c;

	CHECK_ERR(connect(fd, (struct sockaddr *)&addr, size), ENOENT);
	CHECK_ERR(listen(fd, 5), EINVAL);
	CHECK_ERR(accept(fd, NULL, NULL), EINVAL);
	CHECK_ERR(send(fd, "x", 1, MSG_NOSIGNAL), ENOTCONN);
	CHECK_ERR(recv(fd, &c, 1, 0), EINVAL);
	CHECK_ERR(getpeername(fd, (struct sockaddr *)&addr, &size), ENOTCONN);
	abi_put_file("s", "", 0, 0600);
	size = name_of(&addr, "s");
	CHECK_ERR(bind(fd, (struct sockaddr *)&addr, size), EADDRINUSE);
	CHECK_ERR(connect(fd, (struct sockaddr *)&addr, size), ECONNREFUSED);
	size = name_of(&addr, "t");
	OK(bind(fd, (struct sockaddr *)&addr, size));
	size = name_of(&addr, "u");
	CHECK_ERR(bind(fd, (struct sockaddr *)&addr, size), EINVAL);
	CHECK_ERR(access("u", F_OK), ENOENT);
	CHECK_ERR(bind(fd, (struct sockaddr *)&addr, 200), EINVAL);
	size = name_of(&addr, "t");
	other = OK(socket(AF_UNIX, SOCK_DGRAM, 0));
	OK(listen(fd, 1));
	CHECK_ERR(connect(other, (struct sockaddr *)&addr, size), EPROTOTYPE);
	CHECK_ERR(listen(other, 1), EOPNOTSUPP);
	CHECK_ERR(accept(other, NULL, NULL), EOPNOTSUPP);
	addr.sun_family = AF_INET;
	CHECK_ERR(connect(OK(socket(AF_UNIX, SOCK_STREAM, 0)), (struct sockaddr *)&addr, size),
		  EINVAL);
	CHECK_ERR(bind(0, (struct sockaddr *)&addr, size), ENOTSOCK);
	CHECK_ERR(send(999, "x", 1, 0), EBADF);
	CHECK_ERR(open("t", O_RDWR), ENXIO);
}

CASE(abstract_names, "do abstract names work, and vanish with the socket?")
{
	struct sockaddr_un addr, peer;
	socklen_t size = abstract(&addr), got = sizeof(peer);
	int fd = OK(socket(AF_UNIX, SOCK_STREAM, 0)), client, again;

	OK(bind(fd, (struct sockaddr *)&addr, size));
	OK(listen(fd, 1));
	again = OK(socket(AF_UNIX, SOCK_STREAM, 0));
	CHECK_ERR(bind(again, (struct sockaddr *)&addr, size), EADDRINUSE);
	client = OK(socket(AF_UNIX, SOCK_STREAM, 0));
	OK(connect(client, (struct sockaddr *)&addr, size));
	OK(getpeername(client, (struct sockaddr *)&peer, &got));
	CHECK_EQ(got, size);
	CHECK(memcmp(&addr, &peer, size) == 0);
	OK(close(fd));
	OK(bind(again, (struct sockaddr *)&addr, size));
}

CASE(autobind, "does bind with no name pick an abstract one?")
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	socklen_t size = sizeof(addr);
	int fd = OK(socket(AF_UNIX, SOCK_DGRAM, 0));

	OK(bind(fd, (struct sockaddr *)&addr, sizeof(sa_family_t)));
	OK(getsockname(fd, (struct sockaddr *)&addr, &size));
	CHECK_EQ(size, sizeof(sa_family_t) + 6);
	CHECK_EQ(addr.sun_path[0], 0);
}

CASE(datagrams, "do named datagrams tell their sender, connected or not?")
{
	struct sockaddr_un addr, from;
	socklen_t size = sizeof(from);
	int server = listen_at("d", SOCK_DGRAM), client;
	char text[8];

	client = listen_at("c", SOCK_DGRAM);
	size = name_of(&addr, "d");
	CHECK_EQ(sendto(client, "one", 3, 0, (struct sockaddr *)&addr, size), 3);
	OK(connect(client, (struct sockaddr *)&addr, size));
	CHECK_EQ(send(client, "two", 3, 0), 3);
	CHECK_EQ(send(client, "", 0, 0), 0);
	size = sizeof(from);
	CHECK_EQ(recvfrom(server, text, 8, 0, (struct sockaddr *)&from, &size), 3);
	CHECK(strcmp(from.sun_path, "c") == 0);
	CHECK_EQ(recv(server, text, 8, 0), 3);
	CHECK_EQ(recv(server, text, 8, 0), 0);
	CHECK_EQ(sendto(server, "re", 2, 0, (struct sockaddr *)&from, size), 2);
	CHECK_EQ(recv(client, text, 8, 0), 2);
	OK(close(server));
	CHECK_ERR(send(client, "x", 1, 0), ECONNREFUSED);
	CHECK_ERR(send(OK(socket(AF_UNIX, SOCK_DGRAM, 0)), "x", 1, 0), ENOTCONN);
}

static void
send_fds(int fd, const int *list, int count)
{
	char control[CMSG_SPACE(64 * sizeof(int))] = {0};
	struct iovec vector = {"f", 1};
	struct msghdr message = {
		.msg_iov = &vector,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = CMSG_SPACE(count * sizeof(int)),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(header), list, count * sizeof(int));
	CHECK_EQ(sendmsg(fd, &message, 0), 1);
}

/* => how many descriptors came; the message's flags */
static int
receive_fds(int fd, int *list, int room, int flags, int *message_flags)
{
	char control[CMSG_SPACE(64 * sizeof(int))], c;
	struct iovec vector = {&c, 1};
	struct msghdr message = {
		.msg_iov = &vector,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = room ? CMSG_SPACE(room * sizeof(int)) : 0,
	};
	struct cmsghdr *header;
	int count;

	CHECK_EQ(recvmsg(fd, &message, flags), 1);
	*message_flags = message.msg_flags;
	header = CMSG_FIRSTHDR(&message);
	if (!header)
		return 0;
	CHECK_EQ(header->cmsg_level, SOL_SOCKET);
	CHECK_EQ(header->cmsg_type, SCM_RIGHTS);
	count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(list, CMSG_DATA(header), count * sizeof(int));
	return count;
}

CASE(pass_fd, "does a passed descriptor work after its sender closed it?")
{
	int pair[2], file, flags, list[4];
	char c;
	pid_t pid;

	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	pid = abi_fork();
	if (pid == 0) {
		file = OK(open("f", O_RDWR | O_CREAT, 0600));
		CHECK_EQ(write(file, "hello", 5), 5);
		OK(lseek(file, 1, SEEK_SET));
		send_fds(pair[1], &file, 1);
		_exit(0);
	}
	CHECK_EQ(receive_fds(pair[0], list, 4, MSG_CMSG_CLOEXEC, &flags), 1);
	CHECK_EQ(abi_reap(pid), 0);
	CHECK_EQ(fcntl(list[0], F_GETFD), FD_CLOEXEC);
	CHECK_EQ(read(list[0], &c, 1), 1);
	CHECK_EQ(c, 'e');
}

CASE(pass_many, "do 20 descriptors pass at once, and does a short buffer drop some?")
{
	int pair[2], pipes[10][2], list[20], flags, i;
	char c;

	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	for (i = 0; i < 10; i++)
		OK(pipe(pipes[i]));
	send_fds(pair[0], &pipes[0][0], 20);
	CHECK_EQ(receive_fds(pair[1], list, 20, 0, &flags), 20);
	CHECK_EQ(flags & MSG_CTRUNC, 0);
	for (i = 0; i < 10; i++) {
		CHECK_EQ(write(pipes[i][1], "p", 1), 1);
		CHECK_EQ(read(list[2 * i], &c, 1), 1);
	}
	send_fds(pair[0], &pipes[0][0], 4);
	CHECK_EQ(receive_fds(pair[1], list, 2, 0, &flags), 2);
	CHECK_EQ(flags & MSG_CTRUNC, MSG_CTRUNC);
	send_fds(pair[0], &pipes[0][0], 1);
	CHECK_EQ(receive_fds(pair[1], list, 0, 0, &flags), 0);
}

CASE(pass_unreceived, "is a descriptor closed that nobody receives?")
{
	int pair[2], fd[2];
	char c;

	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	OK(pipe(fd));
	send_fds(pair[0], &fd[1], 1);
	OK(close(fd[1]));
	OK(fcntl(fd[0], F_SETFL, O_NONBLOCK));
	CHECK_ERR(read(fd[0], &c, 1), EAGAIN);
	OK(close(pair[0]));
	OK(close(pair[1]));
	OK(fcntl(fd[0], F_SETFL, 0));
	CHECK_EQ(read(fd[0], &c, 1), 0);
}

CASE(pass_socket, "may a socket be passed through itself?")
{
	int pair[2], list[1], flags;
	char c;

	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	send_fds(pair[0], &pair[1], 1);
	CHECK_EQ(receive_fds(pair[1], list, 1, 0, &flags), 1);
	CHECK_EQ(write(pair[0], "s", 1), 1);
	CHECK_EQ(read(list[0], &c, 1), 1);
	send_fds(pair[0], &pair[1], 1);
	OK(close(pair[1]));
	OK(close(list[0]));
	OK(close(pair[0]));
}

CASE(pass_errors, "are bad descriptors and control lengths refused?")
{
	char control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec vector = {"f", 1};
	struct msghdr message = {
		.msg_iov = &vector,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	int pair[2], bad = 999;

	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &bad, sizeof(bad));
	CHECK_ERR(sendmsg(pair[0], &message, 0), EBADF);
	header->cmsg_len = 4;
	CHECK_ERR(sendmsg(pair[0], &message, 0), EINVAL);
	header->cmsg_len = 4096;
	CHECK_ERR(sendmsg(pair[0], &message, 0), EINVAL);
	message.msg_control = abi_bad();
	CHECK_ERR(sendmsg(pair[0], &message, 0), EFAULT);
	message.msg_control = NULL;
	message.msg_controllen = 0;
	message.msg_iovlen = 2000;
	CHECK_ERR(sendmsg(pair[0], &message, 0), EMSGSIZE);
}

CASE(credentials, "does SO_PASSCRED bring SCM_CREDENTIALS, and SO_PEERCRED the peer?")
{
	char control[CMSG_SPACE(sizeof(struct ucred))], c;
	struct iovec vector = {&c, 1};
	struct msghdr message = {
		.msg_iov = &vector,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	int pair[2], one = 1;
	struct cmsghdr *header;
	struct ucred cred;
	socklen_t size = sizeof(cred);
	pid_t pid;

	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	OK(setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)));
	OK(getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &cred, &size));
	CHECK_EQ(cred.pid, getpid());
	CHECK_EQ(cred.uid, getuid());
	pid = abi_fork();
	if (pid == 0)
		_exit(write(pair[1], "c", 1) == 1 ? 0 : 1);
	CHECK_EQ(recvmsg(pair[0], &message, 0), 1);
	header = CMSG_FIRSTHDR(&message);
	CHECK(header != NULL);
	CHECK_EQ(header->cmsg_type, SCM_CREDENTIALS);
	memcpy(&cred, CMSG_DATA(header), sizeof(cred));
	CHECK_EQ(cred.pid, pid);
	CHECK_EQ(cred.uid, getuid());
	CHECK_EQ(cred.gid, getgid());
	CHECK_EQ(abi_reap(pid), 0);
}

CASE(shutdown_sides, "does shutdown close one direction for both ends?")
{
	int fd[2];
	char c;

	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, fd));
	CHECK_EQ(write(fd[0], "a", 1), 1);
	OK(shutdown(fd[0], SHUT_WR));
	CHECK_EQ(read(fd[1], &c, 1), 1);
	CHECK_EQ(read(fd[1], &c, 1), 0);
	CHECK_ERR(send(fd[0], "b", 1, MSG_NOSIGNAL), EPIPE);
	CHECK_EQ(write(fd[1], "c", 1), 1);
	CHECK_EQ(read(fd[0], &c, 1), 1);
	OK(shutdown(fd[0], SHUT_RD));
	CHECK_ERR(send(fd[1], "d", 1, MSG_NOSIGNAL), EPIPE);
	CHECK_ERR(shutdown(fd[0], 9), EINVAL);
}

CASE(full, "does a full socket give EAGAIN and become writable again?")
{
	static char block[4096];
	struct pollfd poller = {.events = POLLOUT};
	long sent = 0, got = 0, count;
	int fd[2];

	OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd));
	while ((count = write(fd[0], block, sizeof(block))) > 0)
		sent += count;
	CHECK_EQ(errno, EAGAIN);
	poller.fd = fd[0];
	CHECK_EQ(poll(&poller, 1, 0), 0);
	while ((count = read(fd[1], block, sizeof(block))) > 0)
		got += count;
	CHECK_EQ(got, sent);
	CHECK_EQ(poll(&poller, 1, 0), 1);
}

CASE(peer_reset, "does closing with unread data reset the peer?")
{
	int fd[2];
	char c;

	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, fd));
	CHECK_EQ(write(fd[0], "unread", 6), 6);
	OK(close(fd[1]));
	CHECK_ERR(read(fd[0], &c, 1), ECONNRESET);
	CHECK_EQ(read(fd[0], &c, 1), 0);
}

CASE(options, "do the socket options read back what they should?")
{
	int fd[2], value = 0;
	socklen_t size = sizeof(value);
	struct timeval tv = {0, 20000}, back;
	char c;

	OK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd));
	OK(getsockopt(fd[0], SOL_SOCKET, SO_TYPE, &value, &size));
	CHECK_EQ(value, SOCK_SEQPACKET);
	OK(getsockopt(fd[0], SOL_SOCKET, SO_DOMAIN, &value, &size));
	CHECK_EQ(value, AF_UNIX);
	OK(getsockopt(fd[0], SOL_SOCKET, SO_ERROR, &value, &size));
	CHECK_EQ(value, 0);
	OK(getsockopt(fd[0], SOL_SOCKET, SO_ACCEPTCONN, &value, &size));
	CHECK_EQ(value, 0);
	OK(getsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &value, &size));
	CHECK(value > 0);
	OK(setsockopt(fd[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	size = sizeof(back);
	OK(getsockopt(fd[0], SOL_SOCKET, SO_RCVTIMEO, &back, &size));
	CHECK_EQ(back.tv_usec, 20000);
	CHECK_ERR(recv(fd[0], &c, 1, 0), EAGAIN);
	size = sizeof(value);
	CHECK_ERR(getsockopt(fd[0], SOL_SOCKET, 12345, &value, &size), ENOPROTOOPT);
	CHECK_ERR(setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &value, 1), EINVAL);
	OK(write(fd[1], "xyz", 3));
	OK(ioctl(fd[0], FIONREAD, &value));
	CHECK_EQ(value, 3);
}

static void *
serve(void *arg)
{
	int listener = *(int *)arg, i;
	char c;

	for (i = 0; i < 200; i++) {
		int fd = OK(accept(listener, NULL, NULL));

		CHECK_EQ(read(fd, &c, 1), 1);
		c++;
		CHECK_EQ(write(fd, &c, 1), 1);
		close(fd);
	}
	return NULL;
}

CASE(many_connects, "do 200 connections one after another all answer?")
{
	int listener = listen_at("s", SOCK_STREAM), i;
	pthread_t thread;
	char c;

	PT(pthread_create(&thread, NULL, serve, &listener));
	for (i = 0; i < 200; i++) {
		int fd = connect_to("s", SOCK_STREAM);

		c = i;
		CHECK_EQ(write(fd, &c, 1), 1);
		CHECK_EQ(read(fd, &c, 1), 1);
		CHECK_EQ(c, (char)(i + 1));
		close(fd);
	}
	PT(pthread_join(thread, NULL));
}

CASE(backlog, "does a full backlog give EAGAIN to a non-blocking connect?")
{
	struct sockaddr_un addr;
	socklen_t size = name_of(&addr, "s");
	int listener = OK(socket(AF_UNIX, SOCK_STREAM, 0)), i;

	OK(bind(listener, (struct sockaddr *)&addr, size));
	OK(listen(listener, 2));
	for (i = 0; i < 3; i++)
		connect_to("s", SOCK_STREAM);
	CHECK_ERR(connect(OK(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)),
			  (struct sockaddr *)&addr, size),
		  EAGAIN);
	OK(close(OK(accept(listener, NULL, NULL))));
	connect_to("s", SOCK_STREAM);
}

CASE(bulk, "do 4 MiB pass through a stream pair with every byte right?")
{
	static unsigned char block[20000];
	size_t total = 4 << 20, done = 0, i;
	uint64_t seed = 5;
	int fd[2];
	pid_t pid;

	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, fd));
	pid = abi_fork();
	if (pid == 0) {
		while (done < total) {
			size_t size = 1 + abi_random(&seed) % sizeof(block);

			for (i = 0; i < size; i++)
				block[i] = (done + i) * 13 >> 4;
			CHECK_EQ(send(fd[1], block, size, 0), size);
			done += size;
		}
		_exit(0);
	}
	close(fd[1]);
	for (;;) {
		ssize_t got = OK(read(fd[0], block, 1 + done % 9973));

		if (got == 0)
			break;
		for (i = 0; i < (size_t)got; i++)
			CHECK_EQ(block[i], (unsigned char)((done + i) * 13 >> 4));
		done += got;
	}
	CHECK(done >= total);
	CHECK_EQ(abi_reap(pid), 0);
}
