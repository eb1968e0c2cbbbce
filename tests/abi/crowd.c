/*
 * crowd.c - many TCP connections at once: each segment has to find its own,
 * whatever the order in which connections come, talk and go.
 */
#include "abi.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#define PAIRS 300
#define STEP  97 /* has no divisor in common with PAIRS */

static int client[PAIRS], server[PAIRS];

static void
connect_all(void)
{
	struct sockaddr_in6 name = {.sin6_family = AF_INET6};
	socklen_t size = sizeof(name);
	int listener = OK(socket(AF_INET6, SOCK_STREAM, 0));
	struct sockaddr_in v4 = {.sin_family = AF_INET};

	OK(bind(listener, (struct sockaddr *)&name, size));
	OK(listen(listener, 128));
	OK(getsockname(listener, (struct sockaddr *)&name, &size));
	name.sin6_addr = in6addr_loopback;
	v4.sin_port = name.sin6_port;
	v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (int i = 0; i < PAIRS; i++) {
		client[i] = OK(socket(i % 2 ? AF_INET6 : AF_INET, SOCK_STREAM, 0));
		if (i % 2)
			OK(connect(client[i], (struct sockaddr *)&name, sizeof(name)));
		else
			OK(connect(client[i], (struct sockaddr *)&v4, sizeof(v4)));
		server[i] = OK(accept(listener, NULL, NULL));
	}
	OK(close(listener));
}

/* There and back. */
static void
talk(int i)
{
	int word = -1;

	CHECK_EQ(write(client[i], &i, sizeof(i)), sizeof(i));
	CHECK_EQ(recv(server[i], &word, sizeof(word), MSG_WAITALL), sizeof(word));
	CHECK_EQ(word, i);
	word = ~i;
	CHECK_EQ(write(server[i], &word, sizeof(word)), sizeof(word));
	CHECK_EQ(recv(client[i], &word, sizeof(word), MSG_WAITALL), sizeof(word));
	CHECK_EQ(word, ~i);
}

static void
hang_up(int i)
{
	struct linger now = {.l_onoff = 1};
	char c;

	if (i % 3 == 0) {
		OK(setsockopt(client[i], SOL_SOCKET, SO_LINGER, &now, sizeof(now)));
		OK(close(client[i]));
		CHECK_ERR(read(server[i], &c, 1), ECONNRESET);
	} else {
		OK(close(client[i]));
		CHECK_EQ(read(server[i], &c, 1), 0);
	}
	OK(close(server[i]));
}

CASE(crowd, "do 300 connections stay apart while they come, talk and go in any order?")
{
	connect_all();
	for (int i = 0; i < PAIRS; i++)
		talk(i * STEP % PAIRS);
	for (int i = 0; i < PAIRS; i++) {
		hang_up(i * STEP % PAIRS);
		if (i + 1 < PAIRS)
			talk((i + 1) * STEP % PAIRS);
		if (i + 2 < PAIRS)
			talk((PAIRS - 1) * STEP % PAIRS);
	}
}
