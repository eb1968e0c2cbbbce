/*
 * Connections to the outside over a power cut: to the host's port HOST_PORT of the environment,
 * from it to our 7777; and what is typed at the terminal.
 */
#include "resume.h"

#include <arpa/inet.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>

static struct sockaddr_in
address(uint32_t ip, int port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons((uint16_t)port),
				    .sin_addr.s_addr = htonl(ip)};
}

static int
to_host(void)
{
	struct sockaddr_in a = address(0x0a000202, atoi(getenv("HOST_PORT")));
	int fd;

	for (int i = 0; i < 100; i++) { /* until there is an address */
		fd = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(fd, (void *)&a, sizeof(a)) == 0)
			return fd;
		close(fd);
		nap_ms(100);
	}
	return -1;
}

struct reading {
	int fd, error;
	ssize_t result;
};

static void *
read_blocked(void *arg)
{
	struct reading *r = arg;
	char c;

	r->result = read(r->fd, &c, 1);
	r->error = errno;
	return NULL;
}

/* What had come may be read, then it is over; a blocked reader hears it, too. */
CASE(to_the_outside)
{
	int data = to_host(), idle = to_host();
	struct reading r = {.fd = to_host()};
	struct pollfd p = {.fd = idle, .events = POLLIN};
	char buf[64];
	pthread_t t;

	CHECK(data >= 0 && idle >= 0 && r.fd >= 0);
	CHECK(write(data, "x", 1) == 1 && recv(data, buf, 5, MSG_WAITALL | MSG_PEEK) == 5);
	CHECK(pthread_create(&t, NULL, read_blocked, &r) == 0);
	nap_ms(100);
	cut();
	CHECK(read(data, buf, sizeof(buf)) == 5 && memcmp(buf, "hello", 5) == 0);
	CHECK(read(data, buf, 1) == -1 && errno == ECONNRESET && read(data, buf, 1) == 0);
	CHECK(poll(&p, 1, 5000) == 1 && (p.revents & POLLERR) && (p.revents & POLLHUP));
	CHECK(write(idle, "x", 1) == -1 && errno == ECONNRESET);
	CHECK(pthread_join(t, NULL) == 0 && r.result == -1 && r.error == ECONNRESET);
	data = to_host();
	CHECK(data >= 0 && write(data, "x", 1) == 1 && recv(data, buf, 5, MSG_WAITALL) == 5);
}

/* A server is found at the address that it had. */
CASE(from_the_outside)
{
	struct sockaddr_in a = address(INADDR_ANY, 7777);
	int l = socket(AF_INET, SOCK_STREAM, 0), c;

	CHECK(bind(l, (void *)&a, sizeof(a)) == 0 && listen(l, 5) == 0);
	cut();
	c = accept(l, NULL, NULL);
	CHECK(c >= 0 && write(c, "served", 6) == 6);
}

/* Half of it was typed before the cut, in a mode of the program's. */
CASE(the_terminal)
{
	char line[64] = "";
	struct termios t;
	int n = 0;

	CHECK(tcgetattr(0, &t) == 0);
	t.c_lflag &= ~(tcflag_t)(ECHO | ICANON);
	t.c_cc[VMIN] = 11;
	CHECK(tcsetattr(0, TCSANOW, &t) == 0);
	printf("TYPE\n");
	while (ioctl(0, FIONREAD, &n) == 0 && n < 5)
		nap_ms(20);
	cut();
	CHECK(read(0, line, sizeof(line)) == 11 && strcmp(line, "half a line") == 0);
	CHECK(tcgetattr(0, &t) == 0 && !(t.c_lflag & ECHO));
}
