/*
 * Requests a second over HTTP keep-alive connections.
 *
 *   httpload ADDRESS PORT CONNECTIONS SECONDS
 *
 * One request at a time on each connection; every answer has to be whole
 * and the same as the first. Prints the number of requests a second.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char request[] = "GET / HTTP/1.1\r\nHost: guest\r\n\r\n";
static char answer[4096];
static size_t answer_size;

struct connection {
	int fd;
	size_t got;
};

static void
fail(const char *what)
{
	fprintf(stderr, "httpload: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double
now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static int
connected(const char *address, int port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	inet_pton(AF_INET, address, &to.sin_addr);
	if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
		fail("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return fd;
}

static void
ask(struct connection *c)
{
	c->got = 0;
	if (send(c->fd, request, sizeof request - 1, 0) != (ssize_t)sizeof request - 1)
		fail("send");
}

/* The first answer tells what all others have to be. */
static void
learn(const char *address, int port)
{
	struct connection c = {connected(address, port), 0};

	ask(&c);
	while (!memmem(answer, answer_size, "Hello there\n", 12)) {
		ssize_t got = recv(c.fd, answer + answer_size, sizeof answer - answer_size, 0);
		if (got <= 0)
			fail("first answer");
		answer_size += got;
	}
	close(c.fd);
}

static int
receive(struct connection *c)
{
	char data[4096];
	ssize_t got = recv(c->fd, data, answer_size - c->got, 0);

	if (got <= 0)
		fail("recv");
	if (memcmp(data, answer + c->got, got) != 0) {
		errno = EBADMSG;
		fail("answer");
	}
	c->got += got;
	return c->got == answer_size;
}

int
main(int argc, char **argv)
{
	if (argc != 5)
		return 2;
	int count = atoi(argv[3]), poll_fd = epoll_create1(0);
	struct connection *all = calloc(count, sizeof *all);
	struct epoll_event events[256];

	learn(argv[1], atoi(argv[2]));
	for (int i = 0; i < count; i++) {
		struct epoll_event event = {EPOLLIN, {.ptr = &all[i]}};
		all[i].fd = connected(argv[1], atoi(argv[2]));
		epoll_ctl(poll_fd, EPOLL_CTL_ADD, all[i].fd, &event);
		ask(&all[i]);
	}
	double start = now_s(), end = start + atof(argv[4]);
	long done = 0;
	while (now_s() < end) {
		int ready = epoll_wait(poll_fd, events, 256, 1000);
		for (int i = 0; i < ready; i++) {
			struct connection *c = events[i].data.ptr;
			if (receive(c)) {
				done++;
				ask(c);
			}
		}
	}
	printf("%.1f\n", done / (now_s() - start));
	return 0;
}
