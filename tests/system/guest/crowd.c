/*
 * crowd.c - more open sockets than a list in one piece of memory would have room for, and fsync.
 * Ends when it has read something.
 *
 *   crowd PROCESSES SOCKETS     each so many
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int
open_all(int sockets, int ready)
{
	struct rlimit most = {1 << 20, 1 << 20};

	if (setrlimit(RLIMIT_NOFILE, &most) != 0)
		return 1;
	while (sockets-- > 0)
		if (socket(AF_UNIX, SOCK_STREAM, 0) < 0)
			return 2;
	if (write(ready, "", 1) != 1)
		return 3;
	return pause();
}

int
main(int argc, char **argv)
{
	int processes = atoi(argv[1]), sockets = atoi(argv[2]), ready[2], file;
	char byte;

	if (argc != 3 || pipe(ready) != 0)
		return 1;
	for (int i = 0; i < processes; i++)
		if (fork() == 0)
			_exit(open_all(sockets, ready[1]));
	close(ready[1]);
	for (int i = 0; i < processes; i++)
		if (read(ready[0], &byte, 1) != 1)
			return 2;
	file = open("/tmp/crowd", O_RDWR | O_CREAT, 0600);
	if (file < 0 || write(file, "all", 3) != 3)
		return 3;
	if (fsync(file) != 0) {
		perror("fsync");
		return 4;
	}
	puts("written down");
	if (read(0, &byte, 1) != 1)
		return 5;
	puts("gone on");
	return 0;
}
