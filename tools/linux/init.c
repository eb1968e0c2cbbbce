/*
 * First program of the Linux guests that Holdfast is measured against and
 * that the tests use as their oracle. It does what Holdfast's kernel and
 * init do there: file systems, network by DHCP, one command on the first
 * serial port, its exit status as a line on the second one, power off.
 *
 * Built statically, packed by tools/holdfast/linux.py. The command, its
 * environment and the window's size are files in /holdfast, the modules
 * to load are in /holdfast/modules in the order of their names.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define MAX_STRINGS 256
#define BUTTONS	    4

static int console, control;

static void
mount_all(void)
{
	mkdir("/dev/pts", 0755);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	mkdir("/dev/pts", 0755);
	mkdir("/dev/shm", 01777);
	mount("devpts", "/dev/pts", "devpts", 0, "ptmxmode=0666,mode=0620");
	mount("tmpfs", "/dev/shm", "tmpfs", 0, "mode=1777");
	mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, NULL);
	symlink("/proc/self/fd", "/dev/fd");
	symlink("/proc/self/fd/0", "/dev/stdin");
	symlink("/proc/self/fd/1", "/dev/stdout");
	symlink("/proc/self/fd/2", "/dev/stderr");
}

static void
load_modules(void)
{
	struct dirent **names;
	char path[512];
	int count = scandir("/holdfast/modules", &names, NULL, alphasort);

	for (int i = 0; i < count; i++) {
		snprintf(path, sizeof path, "/holdfast/modules/%s", names[i]->d_name);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0) {
			syscall(SYS_finit_module, fd, "", 0);
			close(fd);
		}
	}
}

static void
interface_up(const char *name)
{
	struct ifreq request = {0};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	if (ioctl(fd, SIOCGIFFLAGS, &request) == 0) {
		request.ifr_flags |= IFF_UP;
		ioctl(fd, SIOCSIFFLAGS, &request);
	}
	close(fd);
}

static void
start_network(void)
{
	interface_up("lo");
	interface_up("eth0");
	if (access("/sys/class/net/eth0", F_OK) != 0 || fork() != 0)
		return;
	int null = open("/dev/null", O_RDWR);
	dup2(null, 0);
	dup2(null, 1);
	dup2(null, 2);
	execl("/bin/busybox", "udhcpc", "-q", "-n", "-f", "-i", "eth0", "-s", "/holdfast/dhcp",
	      "-S", (char *)NULL);
	_exit(127);
}

/* The NUL-terminated strings of a file, NULL at the end. */
static char **
strings_of(const char *path)
{
	char **list = calloc(MAX_STRINGS + 1, sizeof *list);
	struct stat info;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &info) != 0)
		return list;
	char *text = calloc(1, info.st_size + 1);
	ssize_t length = read(fd, text, info.st_size);
	close(fd);
	int count = 0;
	for (char *at = text; at < text + length && count < MAX_STRINGS; at += strlen(at) + 1)
		list[count++] = at;
	return list;
}

static void
set_window(const char *text)
{
	struct winsize size = {0};

	if (sscanf(text, "%hu %hu", &size.ws_row, &size.ws_col) == 2)
		ioctl(console, TIOCSWINSZ, &size);
}

static pid_t
start_program(void)
{
	char **words = strings_of("/holdfast/argv");
	char **environment = strings_of("/holdfast/env");
	char **window = strings_of("/holdfast/winsize");
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setpgid(0, 0);
	signal(SIGTTOU, SIG_IGN);
	tcsetpgrp(console, getpid());
	signal(SIGTTOU, SIG_DFL);
	if (window[0])
		set_window(window[0]);
	dup2(console, 0);
	dup2(console, 1);
	dup2(console, 2);
	clearenv();
	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	setenv("HOME", "/root", 1);
	setenv("LANG", "C.UTF-8", 1);
	for (; *environment; environment++)
		putenv(*environment);
	chdir("/root");
	execvp(words[0], words);
	dprintf(2, "%s: %s\n", words[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

static void
power_off(int status)
{
	dprintf(control, "exit %d\n", status);
	tcdrain(control);
	tcdrain(console);
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

static void
reap(pid_t program)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == program)
			power_off(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	}
}

static void
control_line(void)
{
	static char text[128];
	static size_t used;
	ssize_t got = read(control, text + used, sizeof text - used - 1);

	if (got <= 0)
		return;
	used += got;
	text[used] = 0;
	char *end = strchr(text, '\n');
	if (end) {
		if (strncmp(text, "winsize ", 8) == 0)
			set_window(text + 8);
		used = 0;
	} else if (used == sizeof text - 1) {
		used = 0;
	}
}

static void
button(int fd, pid_t program)
{
	struct input_event event;

	while (read(fd, &event, sizeof event) == sizeof event) {
		if (event.type == EV_KEY && event.code == KEY_POWER && event.value == 1)
			kill(program, SIGTERM);
	}
}

static void
wait_for(pid_t program, int signals)
{
	struct signalfd_siginfo info;
	struct pollfd fds[2 + BUTTONS] = {{signals, POLLIN, 0}, {control, POLLIN, 0}};

	for (int i = 0; i < BUTTONS; i++) {
		char path[32];
		snprintf(path, sizeof path, "/dev/input/event%d", i);
		fds[2 + i].fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		fds[2 + i].events = POLLIN;
	}
	for (;;) {
		reap(program);
		poll(fds, 2 + BUTTONS, -1);
		if (fds[0].revents)
			read(signals, &info, sizeof info);
		if (fds[1].revents)
			control_line();
		for (int i = 0; i < BUTTONS; i++) {
			if (fds[2 + i].revents)
				button(fds[2 + i].fd, program);
		}
	}
}

int
main(void)
{
	struct termios raw;
	struct rlimit files = {65536, 65536};
	sigset_t child;

	mount_all();
	load_modules();
	console = open("/dev/ttyS0", O_RDWR | O_NOCTTY | O_CLOEXEC);
	control = open("/dev/ttyS1", O_RDWR | O_NOCTTY | O_CLOEXEC);
	tcgetattr(control, &raw);
	cfmakeraw(&raw);
	tcsetattr(control, TCSANOW, &raw);
	/* Here and not in the program: when a session's leader ends, Linux
	 * throws away what its terminal has not yet written. */
	setsid();
	ioctl(console, TIOCSCTTY, 1);
	sethostname("holdfast", 8);
	setrlimit(RLIMIT_NOFILE, &files);
	start_network();
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	wait_for(start_program(), signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK));
}
