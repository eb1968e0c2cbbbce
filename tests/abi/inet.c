/*
 * inet.c - TCP over loopback, IPv4 and IPv6: connecting, names, options,
 * ends of connections, transfers. UDP and netlink are in udp.c.
 */
#include "abi.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

struct address {
	struct sockaddr_storage name;
	socklen_t size;
};

static struct sockaddr *
sa(struct address *address)
{
	return (struct sockaddr *)&address->name;
}

static struct address
loopback(int family, uint16_t port)
{
	struct address address = {0};
	struct sockaddr_in *v4 = (void *)&address.name;
	struct sockaddr_in6 *v6 = (void *)&address.name;

	address.name.ss_family = family;
	if (family == AF_INET) {
		v4->sin_port = port;
		v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		address.size = sizeof(*v4);
	} else {
		v6->sin6_port = port;
		v6->sin6_addr = in6addr_loopback;
		address.size = sizeof(*v6);
	}
	return address;
}

static struct address
own_name(int fd)
{
	struct address address = {.size = sizeof(address.name)};

	OK(getsockname(fd, sa(&address), &address.size));
	return address;
}

static uint16_t
port_of(struct address *address)
{
	return ((struct sockaddr_in *)&address->name)->sin_port;
}

/* A listening socket on a free port, and its name. */
static int
listen_any(int family, struct address *name)
{
	int fd = OK(socket(family, SOCK_STREAM, 0));
	struct address any = loopback(family, 0);

	OK(bind(fd, sa(&any), any.size));
	OK(listen(fd, 128));
	*name = own_name(fd);
	return fd;
}

static int
connect_to(struct address *name)
{
	int fd = OK(socket(name->name.ss_family, SOCK_STREAM, 0));

	OK(connect(fd, sa(name), name->size));
	return fd;
}

static void
make_pair(int family, int fd[2])
{
	struct address name;
	int listener = listen_any(family, &name);

	fd[0] = connect_to(&name);
	fd[1] = OK(accept(listener, NULL, NULL));
	OK(close(listener));
}

static void
wait_for(int fd, short events)
{
	struct pollfd poller = {.fd = fd, .events = events};

	CHECK_EQ(poll(&poller, 1, -1), 1);
}

static void
talk(int family)
{
	struct address name, peer = {.size = sizeof(peer.name)}, own;
	int listener = listen_any(family, &name), client, server;
	char text[16];

	client = connect_to(&name);
	server = OK(accept4(listener, sa(&peer), &peer.size, SOCK_CLOEXEC));
	own = own_name(client);
	CHECK_EQ(peer.size, own.size);
	CHECK(memcmp(&peer.name, &own.name, own.size) == 0);
	CHECK_EQ(fcntl(server, F_GETFD), FD_CLOEXEC);
	own = own_name(server);
	CHECK(memcmp(&own.name, &name.name, name.size) == 0);
	peer.size = sizeof(peer.name);
	OK(getpeername(client, sa(&peer), &peer.size));
	CHECK(memcmp(&peer.name, &name.name, name.size) == 0);
	CHECK_EQ(write(client, "hello", 5), 5);
	CHECK_EQ(recv(server, text, 5, MSG_WAITALL), 5);
	CHECK(memcmp(text, "hello", 5) == 0);
	CHECK_EQ(send(server, "bye", 3, 0), 3);
	OK(close(server));
	CHECK_EQ(recv(client, text, 16, MSG_WAITALL), 3);
	CHECK_EQ(read(client, text, 1), 0);
}

CASE(talk_v4, "do two IPv4 ends find each other and tell their names?")
{
	talk(AF_INET);
}

CASE(talk_v6, "do two IPv6 ends find each other and tell their names?")
{
	talk(AF_INET6);
}

CASE(mapped, "does an IPv6 listener on :: take IPv4, unless V6ONLY?")
{
	struct address any = loopback(AF_INET6, 0), name, v4;
	struct address peer = {.size = sizeof(peer.name)};
	int fd = OK(socket(AF_INET6, SOCK_STREAM, 0)), on = 1, off = 0;
	struct sockaddr_in6 *v6 = (void *)&any.name;
	char text[INET6_ADDRSTRLEN];

	v6->sin6_addr = in6addr_any;
	OK(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)));
	OK(bind(fd, sa(&any), any.size));
	OK(listen(fd, 1));
	name = own_name(fd);
	v4 = loopback(AF_INET, port_of(&name));
	OK(connect(OK(socket(AF_INET, SOCK_STREAM, 0)), sa(&v4), v4.size));
	OK(accept(fd, sa(&peer), &peer.size));
	v6 = (void *)&peer.name;
	CHECK(IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr));
	CHECK(inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof(text)) &&
	      strcmp(text, "::ffff:127.0.0.1") == 0);
	fd = OK(socket(AF_INET6, SOCK_STREAM, 0));
	OK(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)));
	OK(bind(fd, sa(&any), any.size));
	OK(listen(fd, 1));
	name = own_name(fd);
	v4 = loopback(AF_INET, port_of(&name));
	CHECK_ERR(connect(OK(socket(AF_INET, SOCK_STREAM, 0)), sa(&v4), v4.size), ECONNREFUSED);
}

CASE(refused, "is a connection to a closed port refused, blocking and not?")
{
	static const int families[] = {AF_INET, AF_INET6};
	struct address name;
	socklen_t size;
	int fd, i, error;

	for (i = 0; i < 2; i++) {
		close(listen_any(families[i], &name));
		fd = OK(socket(families[i], SOCK_STREAM, 0));
		CHECK_ERR(connect(fd, sa(&name), name.size), ECONNREFUSED);
		fd = OK(socket(families[i], SOCK_STREAM | SOCK_NONBLOCK, 0));
		CHECK_ERR(connect(fd, sa(&name), name.size), EINPROGRESS);
		wait_for(fd, POLLOUT);
		size = sizeof(error);
		OK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size));
		CHECK_EQ(error, ECONNREFUSED);
		OK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size));
		CHECK_EQ(error, 0);
	}
}

CASE(nonblocking, "does a non-blocking connect and accept go through poll?")
{
	struct address name;
	int listener = listen_any(AF_INET, &name), client, error;
	socklen_t size = sizeof(error);
	char c;

	OK(fcntl(listener, F_SETFL, O_NONBLOCK));
	CHECK_ERR(accept(listener, NULL, NULL), EAGAIN);
	client = OK(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
	/* To ourselves too, where the answer is there at once. */
	CHECK_ERR(connect(client, sa(&name), name.size), EINPROGRESS);
	wait_for(client, POLLOUT);
	OK(getsockopt(client, SOL_SOCKET, SO_ERROR, &error, &size));
	CHECK_EQ(error, 0);
	OK(connect(client, sa(&name), name.size));
	CHECK_ERR(connect(client, sa(&name), name.size), EISCONN);
	wait_for(listener, POLLIN);
	OK(accept4(listener, NULL, NULL, SOCK_NONBLOCK));
	CHECK_ERR(read(client, &c, 1), EAGAIN);
	CHECK_ERR(recv(client, &c, 1, MSG_DONTWAIT), EAGAIN);
}

CASE(errors, "does each wrong use of a TCP socket give its errno?")
{
	struct address name, other;
	int listener = listen_any(AF_INET, &name);
	int fd = OK(socket(AF_INET, SOCK_STREAM, 0));
	char c;

	CHECK_ERR(bind(fd, sa(&name), name.size), EADDRINUSE);
	CHECK_ERR(bind(fd, sa(&name), 4), EINVAL);
	other = loopback(AF_INET, 0);
	((struct sockaddr_in *)&other.name)->sin_addr.s_addr = inet_addr("192.0.2.1");
	CHECK_ERR(bind(fd, sa(&other), other.size), EADDRNOTAVAIL);
	CHECK_ERR(send(fd, "x", 1, MSG_NOSIGNAL), EPIPE);
	CHECK_ERR(recv(fd, &c, 1, 0), ENOTCONN);
	CHECK_ERR(shutdown(fd, SHUT_WR), ENOTCONN);
	CHECK_ERR(accept(fd, NULL, NULL), EINVAL);
	CHECK_ERR(getpeername(fd, sa(&other), &other.size), ENOTCONN);
	CHECK_ERR(connect(listener, sa(&name), name.size), EISCONN);
	CHECK_ERR(accept4(listener, NULL, NULL, 0x1), EINVAL);
	OK(connect(fd, sa(&name), name.size));
	other = loopback(AF_INET, 0);
	CHECK_ERR(bind(fd, sa(&other), other.size), EINVAL);
	CHECK_ERR(listen(fd, 1), EINVAL);
	CHECK_ERR(connect(fd, sa(&name), name.size), EISCONN);
	other = loopback(AF_INET, 0);
	other.name.ss_family = 77;
	CHECK_ERR(connect(OK(socket(AF_INET, SOCK_STREAM, 0)), sa(&other), other.size),
		  EAFNOSUPPORT);
	CHECK_ERR(socket(AF_INET, SOCK_SEQPACKET, 0), ESOCKTNOSUPPORT);
	CHECK_ERR(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
	CHECK_ERR(lseek(fd, 0, SEEK_SET), ESPIPE);
}

static int
get_int(int fd, int level, int name)
{
	int value = -1;
	socklen_t size = sizeof(value);

	if (getsockopt(fd, level, name, &value, &size) != 0)
		FAIL("getsockopt %d %d: %d", level, name, errno);
	return value;
}

static void
set_int(int fd, int level, int name, int value)
{
	if (setsockopt(fd, level, name, &value, sizeof(value)) != 0)
		FAIL("setsockopt %d %d: %d", level, name, errno);
	if (get_int(fd, level, name) != value)
		FAIL("option %d %d is %d, not %d", level, name, get_int(fd, level, name), value);
}

CASE(options, "do the options that Erlang sets read back as set?")
{
	struct linger linger = {1, 7};
	socklen_t size = sizeof(linger);
	int fd = OK(socket(AF_INET, SOCK_STREAM, 0)), value = 65536;

	set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_int(fd, SOL_SOCKET, SO_BROADCAST, 1);
	set_int(fd, SOL_SOCKET, SO_OOBINLINE, 1);
	set_int(fd, SOL_SOCKET, SO_DONTROUTE, 1);
	set_int(fd, SOL_SOCKET, SO_RCVLOWAT, 10);
	set_int(fd, SOL_SOCKET, SO_PRIORITY, 3);
	set_int(fd, SOL_SOCKET, SO_TIMESTAMP, 1);
	set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_int(fd, IPPROTO_TCP, TCP_CORK, 1);
	set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, 100);
	set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, 20);
	set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, 4);
	set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 5000);
	set_int(fd, IPPROTO_TCP, TCP_SYNCNT, 3);
	set_int(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, 0);
	set_int(fd, IPPROTO_IP, IP_TOS, 0x10);
	set_int(fd, IPPROTO_IP, IP_TTL, 33);
	set_int(fd, IPPROTO_IP, IP_RECVTOS, 1);
	CHECK_EQ(get_int(fd, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
	CHECK_EQ(get_int(fd, SOL_SOCKET, SO_PROTOCOL), IPPROTO_TCP);
	CHECK_EQ(get_int(fd, SOL_SOCKET, SO_DOMAIN), AF_INET);
	CHECK_EQ(get_int(fd, SOL_SOCKET, SO_ACCEPTCONN), 0);
	CHECK(get_int(fd, IPPROTO_TCP, TCP_MAXSEG) > 0);
	OK(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &value, sizeof(value)));
	CHECK_EQ(get_int(fd, SOL_SOCKET, SO_SNDBUF), 2 * value);
	OK(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, sizeof(value)));
	CHECK_EQ(get_int(fd, SOL_SOCKET, SO_RCVBUF), 2 * value);
	OK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	memset(&linger, 0, sizeof(linger));
	OK(getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &size));
	CHECK(linger.l_onoff == 1 && linger.l_linger == 7);
	CHECK_ERR(setsockopt(fd, IPPROTO_TCP, 9999, &value, 4), ENOPROTOOPT);
	CHECK_ERR(setsockopt(fd, 9999, 1, &value, 4), ENOPROTOOPT);
	CHECK_ERR(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, abi_bad(), 4), EFAULT);
	CHECK_ERR(setsockopt(fd, SOL_SOCKET, SO_LINGER, &value, 4), EINVAL);
	fd = OK(socket(AF_INET6, SOCK_STREAM, 0));
	set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	set_int(fd, IPPROTO_IPV6, IPV6_TCLASS, 0x20);
	set_int(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
	set_int(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 44);
}

CASE(info, "does TCP_INFO tell that the connection stands?")
{
	struct tcp_info info = {0};
	socklen_t size = sizeof(info);
	int fd[2];

	make_pair(AF_INET, fd);
	OK(getsockopt(fd[0], IPPROTO_TCP, TCP_INFO, &info, &size));
	CHECK_EQ(info.tcpi_state, TCP_ESTABLISHED);
	CHECK(info.tcpi_snd_mss > 0);
}

CASE(half_close, "does data still flow back after shutdown of one side?")
{
	char text[8];
	int fd[2];

	make_pair(AF_INET, fd);
	CHECK_EQ(write(fd[0], "ask", 3), 3);
	OK(shutdown(fd[0], SHUT_WR));
	CHECK_EQ(recv(fd[1], text, 8, MSG_WAITALL), 3);
	CHECK_EQ(write(fd[1], "reply", 5), 5);
	CHECK_EQ(recv(fd[0], text, 5, MSG_WAITALL), 5);
	CHECK_ERR(send(fd[0], "x", 1, MSG_NOSIGNAL), EPIPE);
	OK(close(fd[1]));
	CHECK_EQ(read(fd[0], text, 1), 0);
}

CASE(reset_linger, "does a close with zero linger reset the peer?")
{
	struct linger linger = {1, 0};
	int fd[2];
	char c;

	make_pair(AF_INET, fd);
	OK(setsockopt(fd[0], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	OK(close(fd[0]));
	wait_for(fd[1], POLLIN);
	CHECK_ERR(read(fd[1], &c, 1), ECONNRESET);
	CHECK_EQ(read(fd[1], &c, 1), 0);
	CHECK_ERR(send(fd[1], "x", 1, MSG_NOSIGNAL), EPIPE);
}

CASE(reset_unread, "does a close with unread data reset the peer?")
{
	int fd[2];
	char c;

	make_pair(AF_INET, fd);
	CHECK_EQ(write(fd[0], "unread", 6), 6);
	wait_for(fd[1], POLLIN);
	OK(close(fd[1]));
	wait_for(fd[0], POLLIN);
	CHECK_ERR(read(fd[0], &c, 1), ECONNRESET);
}

CASE(broken, "does writing to a closed peer end in EPIPE and SIGPIPE?")
{
	struct pollfd poller = {.events = POLLHUP};
	int fd[2];
	pid_t pid;

	make_pair(AF_INET, fd);
	OK(close(fd[1]));
	CHECK_EQ(write(fd[0], "first", 5), 5);
	poller.fd = fd[0];
	CHECK_EQ(poll(&poller, 1, -1), 1);
	pid = abi_fork();
	if (pid == 0) {
		signal(SIGPIPE, SIG_DFL);
		(void)!write(fd[0], "x", 1);
		(void)!write(fd[0], "x", 1);
		_exit(0);
	}
	CHECK_EQ(abi_reap(pid), 128 + SIGPIPE);
}

CASE(peek, "do MSG_PEEK, FIONREAD, MSG_WAITALL and MSG_TRUNC agree?")
{
	char text[8];
	int fd[2], queued;

	make_pair(AF_INET, fd);
	CHECK_EQ(write(fd[0], "abcdef", 6), 6);
	CHECK_EQ(recv(fd[1], text, 6, MSG_PEEK | MSG_WAITALL), 6);
	OK(ioctl(fd[1], FIONREAD, &queued));
	CHECK_EQ(queued, 6);
	CHECK_EQ(recv(fd[1], text, 2, MSG_PEEK), 2);
	CHECK_EQ(recv(fd[1], NULL, 2, MSG_TRUNC), 2);
	CHECK_EQ(recv(fd[1], text, 8, 0), 4);
	CHECK(memcmp(text, "cdef", 4) == 0);
}

CASE(out_of_band, "does urgent data arrive apart, or inline on wish?")
{
	char text[8];
	int fd[2], at;

	make_pair(AF_INET, fd);
	CHECK_EQ(send(fd[0], "ab", 2, 0), 2);
	CHECK_EQ(send(fd[0], "!", 1, MSG_OOB), 1);
	wait_for(fd[1], POLLPRI);
	CHECK_EQ(recv(fd[1], text, 1, MSG_OOB), 1);
	CHECK_EQ(text[0], '!');
	CHECK_EQ(recv(fd[1], text, 8, 0), 2);
	OK(ioctl(fd[1], SIOCATMARK, &at));
	CHECK_EQ(at, 1);
}

struct transfer {
	int fd;
	size_t total;
	uint32_t sum;
};

static void *
send_all(void *arg)
{
	static const size_t step = 30011;
	struct transfer *transfer = arg;
	unsigned char *block = malloc(step);
	size_t done = 0, i;
	uint64_t seed = 11;

	while (done < transfer->total) {
		size_t size = transfer->total - done;

		size = size < step ? size : step;
		for (i = 0; i < size; i++) {
			block[i] = abi_random(&seed);
			transfer->sum = transfer->sum * 31 + block[i];
		}
		for (i = 0; i < size;)
			i += OK(send(transfer->fd, block + i, size - i, 0));
		done += size;
	}
	OK(shutdown(transfer->fd, SHUT_WR));
	free(block);
	return NULL;
}

static uint32_t
receive_sum(int fd, size_t *total)
{
	unsigned char block[16384];
	uint32_t sum = 0;
	ssize_t got, i;

	*total = 0;
	while ((got = OK(read(fd, block, sizeof(block)))) > 0) {
		for (i = 0; i < got; i++)
			sum = sum * 31 + block[i];
		*total += got;
	}
	return sum;
}

static void
transfer(int family, size_t total)
{
	struct transfer there = {.total = total};
	pthread_t thread;
	uint32_t sum;
	size_t got;
	int fd[2];

	make_pair(family, fd);
	there.fd = fd[0];
	PT(pthread_create(&thread, NULL, send_all, &there));
	sum = receive_sum(fd[1], &got);
	PT(pthread_join(thread, NULL));
	CHECK_EQ(got, total);
	CHECK_EQ(sum, there.sum);
}

CASE(transfer_v4, "do 16 MiB arrive over IPv4 with the same checksum?")
{
	transfer(AF_INET, 16 << 20);
}

CASE(transfer_v6, "do 8 MiB arrive over IPv6 with the same checksum?")
{
	transfer(AF_INET6, 8 << 20);
}

CASE(transfer_both, "do both directions at once carry every byte?")
{
	struct transfer one = {.total = 4 << 20}, two = {.total = 3 << 20};
	uint32_t *sums = abi_shared(4096), sum;
	pthread_t thread;
	size_t got;
	int fd[2];
	pid_t pid;

	make_pair(AF_INET, fd);
	pid = abi_fork();
	if (pid == 0) {
		two.fd = fd[1];
		close(fd[0]);
		PT(pthread_create(&thread, NULL, send_all, &two));
		sums[0] = receive_sum(fd[1], &got);
		PT(pthread_join(thread, NULL));
		sums[1] = two.sum;
		_exit(got == one.total ? 0 : 1);
	}
	close(fd[1]);
	one.fd = fd[0];
	PT(pthread_create(&thread, NULL, send_all, &one));
	sum = receive_sum(fd[0], &got);
	PT(pthread_join(thread, NULL));
	CHECK_EQ(got, two.total);
	CHECK_EQ(abi_reap(pid), 0);
	CHECK_EQ(sum, sums[1]);
	CHECK_EQ(one.sum, sums[0]);
}

CASE(sendfile, "does sendfile and writev send a file's bytes over TCP?")
{
	struct iovec vector[2] = {{"head", 4}, {"tail", 4}};
	char *text = malloc(100000), *back = malloc(100008);
	size_t done = 0;
	int fd[2], file;

	memset(text, 'k', 100000);
	abi_put_file("f", text, 100000, 0600);
	file = OK(open("f", O_RDONLY));
	make_pair(AF_INET, fd);
	CHECK_EQ(writev(fd[0], vector, 2), 8);
	CHECK_EQ(recv(fd[1], back, 8, MSG_WAITALL), 8);
	if (abi_fork() == 0) {
		while (done < 100000)
			done += OK(sendfile(fd[0], file, NULL, 100000 - done));
		_exit(0);
	}
	CHECK_EQ(recv(fd[1], back, 100000, MSG_WAITALL), 100000);
	CHECK(memcmp(text, back, 100000) == 0);
	OK(wait(NULL));
	free(text);
	free(back);
}

CASE(full, "does a full connection give EAGAIN, then EPOLLOUT once drained?")
{
	struct epoll_event event = {.events = EPOLLOUT | EPOLLET};
	static char block[65536];
	int fd[2], ep = OK(epoll_create1(0));
	long sent = 0, got = 0, count;

	make_pair(AF_INET, fd);
	OK(fcntl(fd[0], F_SETFL, O_NONBLOCK));
	while ((count = write(fd[0], block, sizeof(block))) > 0)
		sent += count;
	CHECK_EQ(errno, EAGAIN);
	OK(epoll_ctl(ep, EPOLL_CTL_ADD, fd[0], &event));
	while (got < sent)
		got += OK(read(fd[1], block, sizeof(block)));
	CHECK_EQ(epoll_wait(ep, &event, 1, -1), 1);
	CHECK(event.events & EPOLLOUT);
	CHECK(write(fd[0], block, 1) == 1);
}

struct server {
	int listener, connections;
};

static void *
serve_epoll(void *arg)
{
	struct server *server = arg;
	struct epoll_event event = {.events = EPOLLIN}, list[32];
	int ep = OK(epoll_create1(0)), open_count = 0, done = 0, i;
	char text[16];

	event.data.fd = server->listener;
	OK(epoll_ctl(ep, EPOLL_CTL_ADD, server->listener, &event));
	while (done < server->connections) {
		int count = OK(epoll_wait(ep, list, 32, -1));

		for (i = 0; i < count; i++) {
			int fd = list[i].data.fd;
			ssize_t got;

			if (fd == server->listener) {
				event.data.fd = OK(accept(fd, NULL, NULL));
				OK(epoll_ctl(ep, EPOLL_CTL_ADD, event.data.fd, &event));
				open_count++;
				continue;
			}
			got = OK(read(fd, text, sizeof(text)));
			if (got > 0) {
				CHECK_EQ(write(fd, text, got), got);
				continue;
			}
			OK(close(fd));
			done++;
		}
	}
	CHECK_EQ(open_count, server->connections);
	return NULL;
}

static void
serve_many(int family, int connections, int rounds)
{
	struct server server = {.connections = connections};
	int *fd = malloc(connections * sizeof(int)), i, round, back;
	struct rlimit limit = {4096, 4096};
	struct address name;
	pthread_t thread;

	setrlimit(RLIMIT_NOFILE, &limit);
	server.listener = listen_any(family, &name);
	PT(pthread_create(&thread, NULL, serve_epoll, &server));
	for (i = 0; i < connections; i++)
		fd[i] = connect_to(&name);
	for (round = 0; round < rounds; round++) {
		for (i = 0; i < connections; i++)
			CHECK_EQ(write(fd[i], &i, sizeof(i)), sizeof(i));
		for (i = 0; i < connections; i++) {
			CHECK_EQ(recv(fd[i], &back, sizeof(back), MSG_WAITALL), sizeof(back));
			CHECK_EQ(back, i);
		}
	}
	for (i = 0; i < connections; i++)
		OK(close(fd[i]));
	PT(pthread_join(thread, NULL));
	free(fd);
}

CASE(many_v4, "are 500 connections at once all answered rightly?")
{
	serve_many(AF_INET, 500, 3);
}

CASE(many_v6, "are 100 IPv6 connections at once all answered rightly?")
{
	serve_many(AF_INET6, 100, 3);
}

CASE(acceptors, "do four processes that accept on one socket share 200 clients?")
{
	struct address name;
	int listener = listen_any(AF_INET, &name), i, status;
	pid_t pid[4];

	for (i = 0; i < 4; i++) {
		pid[i] = abi_fork();
		if (pid[i] == 0) {
			for (;;) {
				int fd = OK(accept(listener, NULL, NULL));
				char c;

				while (read(fd, &c, 1) == 1) {
					if (c == 'q')
						_exit(0);
					CHECK_EQ(write(fd, &c, 1), 1);
				}
				close(fd);
			}
		}
	}
	for (i = 0; i < 200; i++) {
		int fd = connect_to(&name);
		char c = 'a';

		CHECK_EQ(write(fd, &c, 1), 1);
		CHECK_EQ(read(fd, &c, 1), 1);
		close(fd);
	}
	for (i = 0; i < 4; i++)
		CHECK_EQ(write(connect_to(&name), "q", 1), 1);
	for (i = 0; i < 4; i++)
		OK(wait(&status));
}

CASE(reuse, "may a listener bind again at once while old connections end?")
{
	struct address name;
	int listener = listen_any(AF_INET, &name), client, server, one = 1;

	OK(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
	client = connect_to(&name);
	server = OK(accept(listener, NULL, NULL));
	OK(close(server));
	OK(close(client));
	OK(close(listener));
	listener = OK(socket(AF_INET, SOCK_STREAM, 0));
	OK(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
	OK(bind(listener, sa(&name), name.size));
	OK(listen(listener, 1));
}

CASE(listener_closed, "does closing a listener refuse what waits and comes?")
{
	struct address name;
	int listener = listen_any(AF_INET, &name), client;
	char c;

	client = connect_to(&name);
	OK(close(listener));
	wait_for(client, POLLIN);
	CHECK_ERR(read(client, &c, 1), ECONNRESET);
	CHECK_ERR(connect(OK(socket(AF_INET, SOCK_STREAM, 0)), sa(&name), name.size), ECONNREFUSED);
}

static void *
read_one(void *arg)
{
	char c;

	return (void *)(intptr_t)read(*(int *)arg, &c, 1);
}

CASE(shutdown_wakes, "does shutdown wake a thread that reads?")
{
	pthread_t thread;
	void *result;
	int fd[2];

	make_pair(AF_INET, fd);
	PT(pthread_create(&thread, NULL, read_one, &fd[0]));
	OK(shutdown(fd[0], SHUT_RD));
	PT(pthread_join(thread, &result));
	CHECK_EQ((intptr_t)result, 0);
}

CASE(loopback_net, "is all of 127/8 this machine, with 127.0.0.1 as the client?")
{
	int listener = OK(socket(AF_INET, SOCK_STREAM, 0)),
	    one = OK(socket(AF_INET, SOCK_DGRAM, 0));
	struct address any = loopback(AF_INET, 0), name, peer = {.size = sizeof(peer.name)}, away;
	struct sockaddr_in *in = (void *)&any.name;
	int client, server, two;
	char c = 'x';

	in->sin_addr.s_addr = htonl(INADDR_ANY);
	OK(bind(listener, sa(&any), any.size));
	OK(listen(listener, 8));
	name = own_name(listener);
	((struct sockaddr_in *)&name.name)->sin_addr.s_addr = inet_addr("127.200.3.4");
	client = connect_to(&name);
	server = OK(accept(listener, sa(&peer), &peer.size));
	CHECK_EQ(((struct sockaddr_in *)&peer.name)->sin_addr.s_addr, htonl(INADDR_LOOPBACK));
	name = own_name(server);
	CHECK_EQ(((struct sockaddr_in *)&name.name)->sin_addr.s_addr, inet_addr("127.200.3.4"));
	CHECK_EQ(OK(write(client, &c, 1)), 1);
	CHECK_EQ(OK(read(server, &c, 1)), 1);

	in->sin_addr.s_addr = inet_addr("127.0.1.1");
	OK(bind(one, sa(&any), any.size));
	name = own_name(one);
	two = OK(socket(AF_INET, SOCK_DGRAM, 0));
	CHECK_EQ(OK(sendto(two, &c, 1, 0, sa(&name), name.size)), 1);
	peer.size = sizeof(peer.name);
	CHECK_EQ(OK(recvfrom(one, &c, 1, 0, sa(&peer), &peer.size)), 1);
	CHECK_EQ(((struct sockaddr_in *)&peer.name)->sin_addr.s_addr, htonl(INADDR_LOOPBACK));
	CHECK_EQ(OK(sendto(one, &c, 1, 0, sa(&peer), peer.size)), 1);
	CHECK_EQ(OK(recvfrom(two, &c, 1, 0, sa(&peer), &peer.size)), 1);
	CHECK_EQ(((struct sockaddr_in *)&peer.name)->sin_addr.s_addr, inet_addr("127.0.1.1"));

	away = loopback(AF_INET, htons(9));
	((struct sockaddr_in *)&away.name)->sin_addr.s_addr = inet_addr("192.0.2.1");
	CHECK(sendto(one, &c, 1, 0, sa(&away), away.size) < 0);
	two = OK(socket(AF_INET, SOCK_STREAM, 0));
	OK(bind(two, sa(&any), any.size));
	CHECK(connect(two, sa(&away), away.size) < 0);
}

CASE(unbound_listen, "does listen without bind pick a port?")
{
	int fd = OK(socket(AF_INET, SOCK_STREAM, 0));
	struct address name;

	OK(listen(fd, 1));
	name = own_name(fd);
	CHECK(port_of(&name) != 0);
	CHECK_EQ(get_int(fd, SOL_SOCKET, SO_ACCEPTCONN), 1);
	name = loopback(AF_INET, port_of(&name));
	connect_to(&name);
}
