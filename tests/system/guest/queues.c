/*
 * queues.c - echo servers, one a processor, and a line of questions beside them.
 *
 *   queues CPU...     server i runs on the i-th CPU alone and listens on port 7000 + i
 *
 * Port 6999 takes lines and answers each with /proc/holdfast/chdevs and an empty line: "move I CPU"
 * puts server I on another processor first, "end" ends the program.
 */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { servers_max = 64, first_port = 7000, ask_port = 6999 };

struct server {
	pthread_t thread;
	int listener;
};

static struct server servers[servers_max];

static void
must(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

static int
listen_on(int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	must(s >= 0 && bind(s, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(s, 16) == 0,
	     "listen");
	return s;
}

static void
pin(pthread_t thread, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	must(pthread_setaffinity_np(thread, sizeof(set), &set) == 0, "affinity");
}

static bool
write_all(int s, const char *data, ssize_t n)
{
	for (ssize_t done, at = 0; at < n; at += done) {
		done = write(s, data + at, (size_t)(n - at));
		if (done <= 0)
			return false;
	}
	return true;
}

static void *
echo(void *arg)
{
	const struct server *me = arg;
	static _Thread_local char data[65536];

	for (;;) {
		int s = accept(me->listener, NULL, NULL), on = 1;
		ssize_t n;

		must(s >= 0, "accept");
		must(setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0, "nodelay");
		while ((n = read(s, data, sizeof(data))) > 0 && write_all(s, data, n))
			;
		close(s);
	}
	return NULL;
}

static void
show(int s)
{
	FILE *f = fopen("/proc/holdfast/chdevs", "re");
	static char text[65536];
	size_t n;

	must(f, "chdevs");
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\n';
	write_all(s, text, (ssize_t)n + 1);
}

/* Until the other end goes, or says that this is the end. */
static bool
answer(int s)
{
	FILE *in = fdopen(s, "r");
	char line[80];
	bool end = false;

	must(in, "fdopen");
	while (!end && fgets(line, sizeof(line), in)) {
		int i, cpu;

		if (sscanf(line, "move %d %d", &i, &cpu) == 2)
			pin(servers[i].thread, cpu);
		show(s);
		end = strcmp(line, "end\n") == 0;
	}
	fclose(in);
	return end;
}

int
main(int argc, char **argv)
{
	int asker = listen_on(ask_port), s;

	signal(SIGPIPE, SIG_IGN); /* at a resume connections are over */
	for (int i = 1; i < argc && i <= servers_max; i++) {
		struct server *me = &servers[i - 1];

		me->listener = listen_on(first_port + i - 1);
		pin(pthread_self(), atoi(argv[i])); /* so that it begins there */
		must(pthread_create(&me->thread, NULL, echo, me) == 0, "thread");
	}
	printf("%d servers\n", argc - 1);
	fflush(stdout);
	do {
		s = accept(asker, NULL, NULL);
		must(s >= 0, "accept");
	} while (!answer(s));
	return 0;
}
