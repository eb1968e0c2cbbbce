/*
 * The first process of Holdfast. It runs one program on the console, reaps what is orphaned, and
 * switches the machine off when the program ends, after telling the host its status.
 *
 * argv[1..] is the program with its arguments; without it /etc/holdfast/start, else an Erlang
 * shell, else a shell. SIGTERM (the power button) is passed on to the program; whoever is left
 * after the grace time is killed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define GRACE_SECONDS  10
#define NOT_EXECUTABLE 126
#define NOT_FOUND      127
#define CONTROL_DEVICE "/dev/holdfast-control"
#define DEFAULT_PATH   "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static char *const default_start[] = {"/etc/holdfast/start", NULL};
static char *const default_erlang[] = {"erl", NULL};
static char *const default_shell[] = {"sh", "-i", NULL};

static void
set_defaults(void)
{
	setenv("PATH", DEFAULT_PATH, 0);
	setenv("HOME", "/root", 0);
	setenv("LANG", "C.UTF-8", 0);
	setenv("TERM", "linux", 0);
	setenv("SHELL", "/bin/sh", 0);
	setenv("USER", "root", 0);
	if (chdir(getenv("HOME")) != 0 && chdir("/") != 0)
		_exit(1);
}

static void
open_console(void)
{
	int fd = open("/dev/console", O_RDWR);

	if (fd < 0)
		return;
	for (int i = 0; i < 3; i++)
		dup2(fd, i);
	if (fd > 2)
		close(fd);
	setsid();
	ioctl(0, TIOCSCTTY, 0);
}

static int
on_path(const char *name)
{
	char file[512], *path = strdup(getenv("PATH")), *dir, *rest = path;
	int found = 0;

	while (!found && (dir = strsep(&rest, ":")) != NULL) {
		snprintf(file, sizeof(file), "%s/%s", *dir ? dir : ".", name);
		found = access(file, X_OK) == 0;
	}
	free(path);
	return found;
}

static char *const *
choose_program(int argc, char **argv)
{
	if (argc > 1)
		return argv + 1;
	if (access(default_start[0], X_OK) == 0)
		return default_start;
	if (on_path(default_erlang[0]))
		return default_erlang;
	return default_shell;
}

/* The program in a group of its own, in the foreground of the console. */
static pid_t
spawn(char *const *program, const sigset_t *mask)
{
	pid_t pid = fork();

	if (pid != 0) {
		if (pid > 0)
			setpgid(pid, pid);
		return pid;
	}
	setpgid(0, 0);
	signal(SIGTTOU, SIG_IGN);
	tcsetpgrp(0, getpgrp());
	signal(SIGTTOU, SIG_DFL);
	sigprocmask(SIG_SETMASK, mask, NULL);
	execvp(program[0], program);
	dprintf(2, "init: %s: %s\n", program[0], strerror(errno));
	_exit(errno == ENOENT ? NOT_FOUND : NOT_EXECUTABLE);
}

static int
exit_number(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Reaps whoever has ended. Sets *status when it was the program. Returns whether it was. */
static int
reap(pid_t program, int *status)
{
	int ended = 0, s;
	pid_t pid;

	while ((pid = waitpid(-1, &s, WNOHANG)) > 0) {
		if (pid == program) {
			*status = s;
			ended = 1;
		}
	}
	return ended;
}

/* Waits for a signal of `set`, at most until `deadline` (0: for ever). 0 at the deadline. */
static int
wait_signal(const sigset_t *set, time_t deadline)
{
	struct timespec now, left = {0, 0};
	int sig;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (deadline != 0 && now.tv_sec >= deadline)
		return 0;
	left.tv_sec = deadline - now.tv_sec;
	sig = sigtimedwait(set, NULL, deadline ? &left : NULL);
	return sig > 0 ? sig : 0;
}

static time_t
grace_end(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + GRACE_SECONDS;
}

/* Runs until the program has ended; its status. */
static int
watch(pid_t program, const sigset_t *set)
{
	time_t deadline = 0;
	int status = 0, sig;

	for (;;) {
		if (reap(program, &status))
			return status;
		sig = wait_signal(set, deadline);
		if (sig == SIGTERM || sig == SIGINT || sig == SIGPWR) {
			kill(program, SIGTERM);
			deadline = deadline ? deadline : grace_end();
		} else if (sig == 0 && deadline) {
			kill(-program, SIGKILL);
			kill(program, SIGKILL);
			deadline = grace_end();
		}
	}
}

/* Ends whatever still runs. */
static void
end_others(const sigset_t *set)
{
	time_t deadline = grace_end();

	if (kill(-1, SIGTERM) != 0)
		return;
	for (;;) {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD)
			return;
		if (wait_signal(set, deadline) == 0)
			break;
	}
	kill(-1, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
}

static void
report(int number)
{
	int fd = open(CONTROL_DEVICE, O_WRONLY);

	if (fd < 0)
		return;
	dprintf(fd, "exit %d\n", number);
	close(fd);
}

int
main(int argc, char **argv)
{
	sigset_t set, old;
	pid_t program;
	int status;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGPWR);
	sigprocmask(SIG_BLOCK, &set, &old);
	open_console();
	set_defaults();
	program = spawn(choose_program(argc, argv), &old);
	if (program < 0) {
		dprintf(2, "init: fork: %s\n", strerror(errno));
		status = NOT_EXECUTABLE << 8;
	} else {
		status = watch(program, &set);
		end_others(&set);
	}
	tcdrain(1); /* what the program printed last */
	report(exit_number(status));
	sync();
	reboot(RB_POWER_OFF);
	return 1;
}
