/*
 * ports.c - local ports: from which range they come, when two sockets may have the same one, what
 * happens when none is left, and many short connections at once.
 */
#include "abi.h"
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif

/* On Linux, ports of our own where we may: others' come and go. */
static void __attribute__((constructor)) own_network(void)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd;

	if (unshare(CLONE_NEWNET) != 0)
		return;
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) != 0)
		_exit(2);
	close(fd);
}

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
	address.size = family == AF_INET ? sizeof(*v4) : sizeof(*v6);
	if (family == AF_INET) {
		v4->sin_port = htons(port);
		v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	} else {
		v6->sin6_port = htons(port);
		v6->sin6_addr = in6addr_loopback;
	}
	return address;
}

static uint16_t
port_of(int fd)
{
	struct address address = {.size = sizeof(address.name)};

	OK(getsockname(fd, sa(&address), &address.size));
	return ntohs(((struct sockaddr_in *)&address.name)->sin_port);
}

static int
tcp_socket(int family)
{
	return OK(socket(family, SOCK_STREAM, 0));
}

static int
bind_to(int fd, int family, uint16_t port)
{
	struct address name = loopback(family, port);

	return bind(fd, sa(&name), name.size);
}

static int
connect_to(int fd, int family, uint16_t port)
{
	struct address name = loopback(family, port);

	return connect(fd, sa(&name), name.size);
}

static void
set(int fd, int level, int option, int value)
{
	OK(setsockopt(fd, level, option, &value, sizeof(value)));
}

static void
set_range(int fd, uint16_t low, uint16_t high)
{
	set(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE, (int)((uint32_t)high << 16 | low));
}

static int
listen_any(int family)
{
	int fd = tcp_socket(family);

	OK(bind_to(fd, family, 0));
	OK(listen(fd, 4096));
	return fd;
}

static void
read_range(int *low, int *high)
{
	FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "r");

	CHECK(file);
	CHECK_EQ(fscanf(file, "%d %d", low, high), 2);
	fclose(file);
}

/* At any address of either family. */
static bool
bind_everywhere(int fd, uint16_t port)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	return bind(fd, (void *)&any, sizeof(any)) == 0;
}

/* The first of n ports in a row that nobody has, not even a connection of the other family that a
 * case before left in TIME_WAIT. */
static uint16_t
free_row(int type, int n)
{
	int low, high, port, i, fd[64];

	read_range(&low, &high);
	for (port = low + 1000 + getpid() % 5000; port + n <= high; port += n) {
		bool all = true;

		for (i = 0; i < n; i++) {
			fd[i] = OK(socket(AF_INET6, type, 0));
			all &= bind_everywhere(fd[i], port + i);
		}
		while (i-- > 0)
			OK(close(fd[i]));
		if (all)
			return port;
	}
	FAIL("no %d ports in a row are free", n);
}

CASE(range, "do chosen ports lie in the range that /proc tells?")
{
	int low, high, i, listener = listen_any(AF_INET), peer = port_of(listener), fd, port;

	read_range(&low, &high);
	CHECK(low >= 1024 && low < high && high < 65536);
	for (i = 0; i < 300; i++) {
		fd = OK(socket(AF_INET, i % 3 == 2 ? SOCK_DGRAM : SOCK_STREAM, 0));
		if (i % 3 == 0)
			OK(connect_to(fd, AF_INET, peer));
		else
			OK(bind_to(fd, AF_INET, 0));
		port = port_of(fd);
		CHECK(port >= low && port <= high);
		OK(close(fd));
	}
}

CASE(not_in_order, "is the next port hard to guess, for connect, bind and UDP?")
{
	int listener = listen_any(AF_INET), peer = port_of(listener);
	int kind, i, fd, port = 0, last, step = 0, same;

	for (kind = 0; kind < 3; kind++) {
		for (i = 0, same = 0; i < 16; i++) {
			fd = OK(socket(AF_INET, kind == 2 ? SOCK_DGRAM : SOCK_STREAM, 0));
			OK(kind ? bind_to(fd, AF_INET, 0) : connect_to(fd, AF_INET, peer));
			last = port;
			port = port_of(fd);
			same += i > 1 && port - last == step;
			step = port - last;
		}
		CHECK(same < 12);
	}
}

/* Two peers, one port; a third connection has none. */
static void
share(int family)
{
	int one = listen_any(family), two = listen_any(family);
	uint16_t port = free_row(SOCK_STREAM, 1);
	int a = tcp_socket(family), b = tcp_socket(family), c = tcp_socket(family);

	set_range(a, port, port);
	set_range(b, port, port);
	set_range(c, port, port);
	OK(connect_to(a, family, port_of(one)));
	OK(connect_to(b, family, port_of(two)));
	CHECK_EQ(port_of(a), port);
	CHECK_EQ(port_of(b), port);
	CHECK_ERR(connect_to(c, family, port_of(one)), EADDRNOTAVAIL);
	CHECK_EQ(port_of(c), 0);
	CHECK_ERR(connect_to(c, family, port_of(two)), EADDRNOTAVAIL);
	OK(close(one));
	one = listen_any(family);
	OK(connect_to(c, family, port_of(one))); /* a peer that is new */
	CHECK_EQ(port_of(c), port);
	CHECK_EQ(write(a, "a", 1), -1); /* its listener was closed before accept */
	CHECK_EQ(write(b, "b", 1), 1);
	CHECK_EQ(write(c, "c", 1), 1);
}

CASE(share_v4, "may connections to two peers have one local port?")
{
	signal(SIGPIPE, SIG_IGN);
	share(AF_INET);
}

CASE(share_v6, "the same over IPv6?")
{
	signal(SIGPIPE, SIG_IGN);
	share(AF_INET6);
}

CASE(all_taken, "does connect end with EADDRNOTAVAIL when the range is used up for a peer?")
{
	int one = listen_any(AF_INET), two = listen_any(AF_INET), fd[17], i, more;
	uint16_t low = free_row(SOCK_STREAM, 16);
	uint32_t seen = 0;

	for (i = 0; i < 16; i++) {
		fd[i] = tcp_socket(AF_INET);
		set_range(fd[i], low, low + 15);
		OK(connect_to(fd[i], AF_INET, port_of(one)));
		seen |= 1u << (port_of(fd[i]) - low);
	}
	CHECK_EQ(seen, 0xffff);
	more = tcp_socket(AF_INET);
	set_range(more, low, low + 15);
	CHECK_ERR(connect_to(more, AF_INET, port_of(one)), EADDRNOTAVAIL);
	OK(connect_to(more, AF_INET, port_of(two)));
}

CASE(time_wait, "is the port of a connection in TIME_WAIT to ourselves taken again?")
{
	int listener = listen_any(AF_INET), a = tcp_socket(AF_INET), b, server;
	uint16_t port = free_row(SOCK_STREAM, 1);
	char c;

	set_range(a, port, port);
	OK(connect_to(a, AF_INET, port_of(listener)));
	server = OK(accept(listener, NULL, NULL));
	OK(shutdown(a, SHUT_WR));
	CHECK_EQ(read(server, &c, 1), 0);
	OK(close(server));
	CHECK_EQ(read(a, &c, 1), 0);
	OK(close(a));
	abi_nap_ms(1100); /* tcp_tw_reuse_delay */
	b = tcp_socket(AF_INET);
	set_range(b, port, port);
	OK(connect_to(b, AF_INET, port_of(listener)));
	CHECK_EQ(port_of(b), port);
	server = OK(accept(listener, NULL, NULL));
	CHECK_EQ(write(b, "x", 1), 1);
	CHECK_EQ(read(server, &c, 1), 1);
}

CASE(server_time_wait, "is a client heard again whose last connection the server closed?")
{
	int listener = listen_any(AF_INET), client, server, i;
	uint16_t port = free_row(SOCK_STREAM, 1);
	char c;

	for (i = 0; i < 20; i++) {
		client = tcp_socket(AF_INET);
		set(client, SOL_SOCKET, SO_REUSEADDR, 1);
		OK(bind_to(client, AF_INET, port));
		OK(connect_to(client, AF_INET, port_of(listener)));
		server = OK(accept(listener, NULL, NULL));
		CHECK_EQ(write(server, "xy", 2), 2);
		CHECK_EQ(read(client, &c, 1), 1);
		CHECK_EQ(read(client, &c, 1), 1);
		OK(close(server));
		CHECK_EQ(read(client, &c, 1), 0);
		OK(close(client));
	}
}

CASE(bind_zero, "is a port from bind(0) one's own, and does connect pass over it?")
{
	int listener = listen_any(AF_INET), fd[5], i;
	uint16_t low = free_row(SOCK_STREAM, 4);

	for (i = 0; i < 4; i++) {
		fd[i] = tcp_socket(AF_INET);
		set_range(fd[i], low, low + 3);
		OK(bind_to(fd[i], AF_INET, 0));
	}
	fd[4] = tcp_socket(AF_INET);
	set_range(fd[4], low, low + 3);
	CHECK_ERR(bind_to(fd[4], AF_INET, 0), EADDRINUSE);
	CHECK_ERR(listen(fd[4], 1), EADDRINUSE);
	CHECK_ERR(connect_to(fd[4], AF_INET, port_of(listener)), EADDRNOTAVAIL);
	for (i = 0; i < 4; i++)
		OK(connect_to(fd[i], AF_INET, port_of(listener)));
	OK(close(fd[2]));
	OK(close(fd[3]));
}

CASE(no_port, "does IP_BIND_ADDRESS_NO_PORT leave the port to connect?")
{
	int one = listen_any(AF_INET), two = listen_any(AF_INET), fd[2], i, on = 0;
	uint16_t port = free_row(SOCK_STREAM, 1);
	struct address name = {.size = sizeof(name.name)};
	socklen_t size = sizeof(on);

	for (i = 0; i < 2; i++) {
		fd[i] = tcp_socket(AF_INET);
		set_range(fd[i], port, port);
		set(fd[i], IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
		OK(bind_to(fd[i], AF_INET, 0));
		CHECK_EQ(port_of(fd[i]), 0);
	}
	OK(getsockname(fd[0], sa(&name), &name.size));
	CHECK_EQ(((struct sockaddr_in *)&name.name)->sin_addr.s_addr, htonl(INADDR_LOOPBACK));
	OK(getsockopt(fd[0], IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, &size));
	CHECK_EQ(on, 1);
	OK(connect_to(fd[0], AF_INET, port_of(one)));
	OK(connect_to(fd[1], AF_INET, port_of(two)));
	CHECK_EQ(port_of(fd[0]), port);
	CHECK_EQ(port_of(fd[1]), port);
}

CASE(no_port_listen, "does listen give a port where bind gave none?")
{
	int fd = tcp_socket(AF_INET), client = tcp_socket(AF_INET);

	set(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
	OK(bind_to(fd, AF_INET, 0));
	OK(listen(fd, 1));
	CHECK(port_of(fd) != 0);
	OK(connect_to(client, AF_INET, port_of(fd)));
}

CASE(reuse_address, "may two with SO_REUSEADDR connect from one port, but not to one peer?")
{
	int one = listen_any(AF_INET), two = listen_any(AF_INET), fd[3], i;
	uint16_t port = free_row(SOCK_STREAM, 1);

	for (i = 0; i < 3; i++) {
		fd[i] = tcp_socket(AF_INET);
		set(fd[i], SOL_SOCKET, SO_REUSEADDR, 1);
		OK(bind_to(fd[i], AF_INET, port));
	}
	OK(connect_to(fd[0], AF_INET, port_of(one)));
	OK(connect_to(fd[1], AF_INET, port_of(two)));
	CHECK_ERR(connect_to(fd[2], AF_INET, port_of(one)), EADDRNOTAVAIL);
	CHECK_EQ(port_of(fd[2]), port);
	OK(listen(fd[2], 1));
	CHECK_ERR(bind_to(tcp_socket(AF_INET), AF_INET, port), EADDRINUSE);
}

CASE(refused_keeps, "does a bound port stay the socket's after a refusal?")
{
	uint16_t port = free_row(SOCK_STREAM, 2);
	int fd = tcp_socket(AF_INET), other = tcp_socket(AF_INET), listener;

	OK(bind_to(fd, AF_INET, port));
	CHECK_ERR(connect_to(fd, AF_INET, port + 1), ECONNREFUSED);
	CHECK_ERR(bind_to(other, AF_INET, port), EADDRINUSE);
	listener = listen_any(AF_INET);
	OK(connect_to(fd, AF_INET, port_of(listener)));
	CHECK_EQ(port_of(fd), port);
}

CASE(udp, "does UDP run out of ports with EADDRINUSE, or EAGAIN where it is not asked for?")
{
	uint16_t low = free_row(SOCK_DGRAM, 4);
	struct address to = loopback(AF_INET, low);
	uint32_t seen = 0;
	int fd, i;

	for (i = 0; i < 4; i++) {
		fd = OK(socket(AF_INET, SOCK_DGRAM, 0));
		set_range(fd, low, low + 3);
		OK(i % 2 ? bind_to(fd, AF_INET, 0) : connect_to(fd, AF_INET, low + 4));
		seen |= 1u << (port_of(fd) - low);
	}
	CHECK_EQ(seen, 15);
	fd = OK(socket(AF_INET, SOCK_DGRAM, 0));
	set_range(fd, low, low + 3);
	CHECK_ERR(bind_to(fd, AF_INET, 0), EADDRINUSE);
	CHECK_ERR(sendto(fd, "x", 1, 0, sa(&to), to.size), EAGAIN);
	CHECK_ERR(connect_to(fd, AF_INET, low), EAGAIN);
}

/* How many of n connections to the port each of two listeners gets. */
static void
divide(int family, uint16_t port, const int listener[2], int n, int got[2])
{
	int i, fd;

	got[0] = got[1] = 0;
	for (i = 0; i < n; i++)
		OK(connect_to(tcp_socket(family), family, port));
	for (i = 0; i < 2; i++) {
		if (listener[i] < 0)
			continue;
		OK(fcntl(listener[i], F_SETFL, O_NONBLOCK));
		while ((fd = accept(listener[i], NULL, NULL)) >= 0)
			got[i]++;
		CHECK_EQ(errno, EAGAIN);
	}
}

static void
reuse_port(int family)
{
	int listener[2], got[2], i, other = tcp_socket(family), third = tcp_socket(family);
	uint16_t port = free_row(SOCK_STREAM, 1);

	for (i = 0; i < 2; i++) {
		listener[i] = tcp_socket(family);
		set(listener[i], SOL_SOCKET, SO_REUSEPORT, 1);
		OK(bind_to(listener[i], family, port));
	}
	for (i = 0; i < 2; i++)
		OK(listen(listener[i], 100));
	CHECK_ERR(bind_to(other, family, port), EADDRINUSE);
	set(other, SOL_SOCKET, SO_REUSEADDR, 1);
	CHECK_ERR(bind_to(other, family, port), EADDRINUSE);
	divide(family, port, listener, 80, got);
	CHECK(got[0] >= 10 && got[1] >= 10 && got[0] + got[1] == 80);
	OK(close(listener[0]));
	listener[0] = -1;
	divide(family, port, listener, 20, got);
	CHECK_EQ(got[1], 20);
	set(third, SOL_SOCKET, SO_REUSEPORT, 1);
	OK(bind_to(third, family, port)); /* beside connections that stand */
	OK(listen(third, 100));
	OK(close(listener[1]));
	listener[1] = third;
	divide(family, port, listener, 20, got);
	CHECK_EQ(got[1], 20);
}

CASE(reuse_port_v4, "do two listeners with SO_REUSEPORT share the connections to a port?")
{
	reuse_port(AF_INET);
}

CASE(reuse_port_v6, "the same over IPv6?")
{
	reuse_port(AF_INET6);
}

CASE(reuse_port_owner, "may another user not join the listeners of a port?")
{
	int listener = tcp_socket(AF_INET), fd;
	uint16_t port = free_row(SOCK_STREAM, 1);

	if (geteuid() != 0)
		SKIP("only root becomes another user");
	set(listener, SOL_SOCKET, SO_REUSEPORT, 1);
	OK(bind_to(listener, AF_INET, port));
	OK(listen(listener, 5));
	OK(seteuid(12345));
	fd = tcp_socket(AF_INET);
	set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	CHECK_ERR(bind_to(fd, AF_INET, port), EADDRINUSE);
}

CASE(best_listener, "does the listener whose address fits best hear of a connection?")
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	uint16_t port = free_row(SOCK_STREAM, 1);
	int fd[3], i, off = 0, got;

	v4.sin_port = v6.sin6_port = htons(port);
	for (i = 0; i < 3; i++) {
		fd[i] = tcp_socket(i == 0 ? AF_INET6 : AF_INET);
		set(fd[i], SOL_SOCKET, SO_REUSEADDR, 1);
	}
	OK(setsockopt(fd[0], IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)));
	OK(bind(fd[0], (void *)&v6, sizeof(v6)));
	OK(bind(fd[1], (void *)&v4, sizeof(v4)));
	OK(bind_to(fd[2], AF_INET, port));
	OK(listen(fd[0], 5));
	CHECK_ERR(listen(fd[1], 5), EADDRINUSE);
	CHECK_ERR(listen(fd[2], 5), EADDRINUSE);
	OK(close(fd[0]));
	OK(close(fd[1]));
	OK(listen(fd[2], 5));
	OK(connect_to(tcp_socket(AF_INET), AF_INET, port));
	got = OK(accept(fd[2], NULL, NULL));
	CHECK_EQ(port_of(got), port);
}

CASE(range_option, "does IP_LOCAL_PORT_RANGE read back, and refuse one that is upside down?")
{
	int fd = tcp_socket(AF_INET), wrong = 40000 << 16 | 40001, range = 0;
	socklen_t size = sizeof(range);

	CHECK_ERR(setsockopt(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE, &wrong, sizeof(wrong)), EINVAL);
	set_range(fd, 40000, 40001);
	OK(getsockopt(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE, &range, &size));
	CHECK_EQ((uint32_t)range, 40001u << 16 | 40000);
	set_range(fd, 1, 2); /* outside of the machine's: as if it were not there */
	OK(bind_to(fd, AF_INET, 0));
	CHECK(port_of(fd) > 1024);
}

CASE(raw_udp, "does a raw socket for UDP send without a port?")
{
	int fd = socket(AF_INET, SOCK_RAW, IPPROTO_UDP), to;
	uint8_t packet[9] = {0x12, 0x34, 0, 0, 0, 9, 0, 0, 'r'};
	struct address name;
	char c;

	if (fd < 0)
		SKIP("raw sockets are not allowed here");
	to = OK(socket(AF_INET, SOCK_DGRAM, 0));
	OK(bind_to(to, AF_INET, 0));
	name = loopback(AF_INET, 0);
	packet[2] = port_of(to) >> 8;
	packet[3] = port_of(to) & 255;
	CHECK_EQ(sendto(fd, packet, sizeof(packet), 0, sa(&name), name.size), sizeof(packet));
	CHECK_EQ(read(to, &c, 1), 1);
	CHECK_EQ(c, 'r');
}

/* ---- many ---- */

#define CLIENTS	 4
#define EACH	 400
#define SERVANTS 2

struct storm {
	int listener, family;
	uint16_t port;
	bool bind; /* clients bind to a free port before */
};

/* Every other connection is closed here first. */
static void *
serve(void *arg)
{
	struct storm *storm = arg;
	int fd, n;
	char c;

	while ((fd = accept(storm->listener, NULL, NULL)) >= 0) {
		CHECK_EQ(read(fd, &c, 1), 1);
		n = c == 'q' ? 0 : write(fd, &c, 1);
		if (n == 1 && c & 1)
			CHECK_EQ(read(fd, &c, 1), 0);
		OK(close(fd));
		if (n == 0)
			break;
	}
	return NULL;
}

static void *
call(void *arg)
{
	struct storm *storm = arg;
	int i, fd, own;
	char c;

	for (i = 0; i < EACH; i++) {
		own = listen_any(storm->family); /* a port that comes and goes */
		fd = tcp_socket(storm->family);
		if (storm->bind)
			OK(bind_to(fd, storm->family, 0));
		OK(connect_to(fd, storm->family, storm->port));
		c = 'a' + i % 2;
		CHECK_EQ(write(fd, &c, 1), 1);
		CHECK_EQ(read(fd, &c, 1), 1);
		if (!(c & 1))
			CHECK_EQ(read(fd, &c, 1), 0);
		OK(close(fd));
		OK(close(own));
	}
	return NULL;
}

static void
storm_of(int family, bool bind)
{
	struct storm storm = {.listener = listen_any(family), .family = family, .bind = bind};
	pthread_t client[CLIENTS], servant[SERVANTS];
	int i, fd;

	storm.port = port_of(storm.listener);
	for (i = 0; i < SERVANTS; i++)
		PT(pthread_create(&servant[i], NULL, serve, &storm));
	for (i = 0; i < CLIENTS; i++)
		PT(pthread_create(&client[i], NULL, call, &storm));
	for (i = 0; i < CLIENTS; i++)
		PT(pthread_join(client[i], NULL));
	for (i = 0; i < SERVANTS; i++) {
		fd = tcp_socket(family);
		OK(connect_to(fd, family, storm.port));
		CHECK_EQ(write(fd, "q", 1), 1);
	}
	for (i = 0; i < SERVANTS; i++)
		PT(pthread_join(servant[i], NULL));
}

CASE(storm_v4, "do 1600 short connections of four threads all come about?")
{
	storm_of(AF_INET, false);
}

CASE(storm_v6, "the same over IPv6, with bind before connect?")
{
	storm_of(AF_INET6, true);
}
