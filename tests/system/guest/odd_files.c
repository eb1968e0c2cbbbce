/*
 * odd_files.c - a folder of files that an export has to get right: sparse ones, names with
 * everything in them, many names for one file, links that lead nowhere, thousands of files.
 *
 *   odd_files DIR [wait]      makes DIR; with `wait` syncs, prints READY and stays
 *
 * What it makes is the same wherever it runs, contents and times too.
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define MANY 2000

static void
check(long got, const char *what)
{
	if (got < 0)
		err(1, "%s", what);
}

/* n bytes that nobody guesses, at `at`. */
static void
put(const char *name, off_t at, size_t n, unsigned seed)
{
	int fd = open(name, O_WRONLY | O_CREAT, 0644);
	char block[4096];

	check(fd, name);
	while (n > 0) {
		size_t now = n < sizeof(block) ? n : sizeof(block);

		for (size_t i = 0; i < now; i++)
			block[i] = (char)((seed = seed * 1103515245 + 12345) >> 16);
		check(pwrite(fd, block, now, at), name);
		at += (off_t)now;
		n -= now;
	}
	close(fd);
}

static void
settle(const char *name, mode_t mode, long second)
{
	const struct timespec times[2] = {{second, 123456789}, {second - 1, 987654321}};

	if (mode != (mode_t)-1)
		check(chmod(name, mode), name);
	check(utimensat(AT_FDCWD, name, times, AT_SYMLINK_NOFOLLOW), name);
}

static void
names(void)
{
	char longest[256];

	memset(longest, 'x', 255);
	longest[255] = 0;
	put("new\nline \"quote\" \\ back", 0, 10, 1);
	put("gr\xc3\xbc\xc3\x9f"
	    "e \xe2\x82\xac",
	    0, 11, 2);
	put("not UTF-8 \xff\xfe", 0, 12, 3);
	put("-rf", 0, 13, 4);
	put(longest, 0, 14, 5);
	put(" ", 0, 15, 6);
	check(mkdir("dir\nline", 0755), "dir");
	put("dir\nline/...", 0, 16, 7);
}

static void
contents(void)
{
	put("empty", 0, 0, 0);
	put("big", 0, 3 << 20, 8);
	put("odd size", 0, 12345, 9);
	put("sparse", 4096 * 3 + 5, 100, 10);
	put("sparse", (off_t)3 << 30, 5000, 11);
	check(truncate("sparse", ((off_t)3 << 30) + 100000), "sparse");
	put("all hole", 0, 1, 12);
	check(truncate("all hole", 0), "all hole");
	check(truncate("all hole", 1 << 30), "all hole");
	put("cut short", 0, 50000, 13);
	check(truncate("cut short", 5001), "cut short");
	check(truncate("cut short", 50000), "cut short");
}

static void
links(void)
{
	check(mkdir("links", 0755), "links");
	put("links/a", 0, 5000, 14);
	check(link("links/a", "links/b"), "link");
	check(link("links/a", "c"), "link");
	check(symlink("round", "links/round"), "symlink");
	check(symlink("/etc/passwd", "links/outside"), "symlink");
	check(symlink("../../../../../..", "links/up"), "symlink");
	check(symlink("nowhere\n", "links/nowhere"), "symlink");
	check(mkfifo("fifo", 0620), "fifo");
}

static void
socket_node(void)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "socket"};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	check(fd, "socket");
	check(bind(fd, (struct sockaddr *)&at, sizeof(at)), "bind");
}

static void
many(void)
{
	char name[64];

	check(mkdir("many", 0755), "many");
	for (int i = 0; i < MANY; i++) {
		if (i % 100 == 0) {
			snprintf(name, sizeof(name), "many/%d", i / 100);
			check(mkdir(name, 0755), name);
		}
		snprintf(name, sizeof(name), "many/%d/%d", i / 100, i);
		put(name, 0, (size_t)i, (unsigned)i);
	}
}

static void
attributes(void)
{
	settle("big", 0400, 1000000000);
	settle("empty", 04755, 2);
	settle("odd size", 0, -5);
	settle("links/round", (mode_t)-1, 77777);
	settle("fifo", 0620, 4000000000);
	check(mkdir("sticky", 0755), "sticky");
	put("sticky/inside", 0, 3, 15);
	settle("sticky/inside", 0640, 5);
	settle("sticky", 01500, 6);
	settle("links", 0755, 7);
}

/* An open file without a name, renamed and removed ones: none of it is in the tree. */
static int
no_names(void)
{
	int fd = open("gone", O_RDWR | O_CREAT, 0600);

	check(fd, "gone");
	check(write(fd, "gone", 4), "gone");
	check(unlink("gone"), "gone");
	put("before", 0, 100, 16);
	check(rename("before", "after"), "rename");
	put("removed", 0, 100, 17);
	check(unlink("removed"), "removed");
	return fd;
}

int
main(int argc, char **argv)
{
	int fd;

	umask(022);
	if (argc < 2)
		return 2;
	check(mkdir(argv[1], 0755), argv[1]);
	check(chdir(argv[1]), argv[1]);
	names();
	contents();
	links();
	socket_node();
	many();
	attributes();
	if (argc > 2)
		sync(); /* of the last epoch recovery may read all: that is a later one */
	fd = no_names();
	if (argc == 2)
		return 0;
	sync();
	printf("READY %d\n", fd);
	fflush(stdout);
	for (;;)
		pause();
}
