/*
 * process.c - processes: fork, vfork, clone, clone3, process groups,
 * sessions, pidfd. How they end is in exit.c, exec in exec.c.
 */
#include "abi.h"
#include <linux/sched.h>
#include <sys/syscall.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

static const pid_t no_such_pid = 0x3ffffff;

CASE(fork_twice, "does fork return 0 in the child and its pid in the parent?")
{
	pid_t self = getpid(), pid = abi_fork();

	if (pid == 0)
		_exit(getppid() == self && getpid() != self ? 7 : 8);
	CHECK(pid > 0 && pid != self);
	CHECK_EQ(abi_reap(pid), 7);
}

CASE(fork_private, "is memory private after fork, both ways?")
{
	static int data = 1;
	int stack = 2, *heap = malloc(sizeof(int));
	struct gate go = gate_make();
	pid_t pid;

	*heap = 3;
	pid = abi_fork();
	if (pid == 0) {
		gate_pass(&go);
		_exit(data == 1 && stack == 2 && *heap == 3 ? 0 : 1);
	}
	data = stack = *heap = 9;
	gate_open(&go);
	CHECK_EQ(abi_reap(pid), 0);
	pid = abi_fork();
	if (pid == 0) {
		data = stack = *heap = 5;
		_exit(0);
	}
	CHECK_EQ(abi_reap(pid), 0);
	CHECK(data == 9 && stack == 9 && *heap == 9);
	free(heap);
}

CASE(fork_offset, "do parent and child share a file's offset?")
{
	int fd = OK(open("f", O_RDWR | O_CREAT, 0600));
	pid_t pid;

	CHECK_EQ(write(fd, "0123456789", 10), 10);
	OK(lseek(fd, 2, SEEK_SET));
	pid = abi_fork();
	if (pid == 0) {
		char c[3];

		_exit(read(fd, c, 3) == 3 && c[0] == '2' ? 0 : 1);
	}
	CHECK_EQ(abi_reap(pid), 0);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 5);
}

CASE(fork_many, "do 300 forks one after another leave nothing behind?")
{
	int i;

	for (i = 0; i < 300; i++) {
		pid_t pid = abi_fork();

		if (pid == 0)
			_exit(i & 0x7f);
		CHECK_EQ(abi_reap(pid), i & 0x7f);
	}
	CHECK_ERR(wait(NULL), ECHILD);
}

CASE(fork_wide, "what if 100 children live at once and wait takes any?")
{
	struct gate go = gate_make();
	int i, status, seen[100] = {0};

	for (i = 0; i < 100; i++) {
		if (abi_fork() == 0) {
			gate_pass(&go);
			_exit(i);
		}
	}
	for (i = 0; i < 100; i++)
		gate_open(&go);
	for (i = 0; i < 100; i++) {
		OK(wait(&status));
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) < 100);
		seen[WEXITSTATUS(status)]++;
	}
	for (i = 0; i < 100; i++)
		CHECK_EQ(seen[i], 1);
	CHECK_ERR(wait(&status), ECHILD);
}

static void *
fork_often(void *arg)
{
	int i;

	for (i = 0; i < 40; i++) {
		pid_t pid = abi_fork();

		if (pid == 0)
			_exit(33);
		CHECK_EQ(abi_reap(pid), 33);
	}
	return arg;
}

CASE(fork_threads, "what if four threads fork at the same time?")
{
	pthread_t thread[4];
	int i;

	for (i = 0; i < 4; i++)
		PT(pthread_create(&thread[i], NULL, fork_often, NULL));
	for (i = 0; i < 4; i++)
		PT(pthread_join(thread[i], NULL));
}

static void *
pass_gate(void *arg)
{
	gate_pass(arg);
	return NULL;
}

CASE(fork_one_thread, "does only the calling thread live on in the child?")
{
	struct gate stop = gate_make();
	pthread_t thread;
	pid_t pid;

	PT(pthread_create(&thread, NULL, pass_gate, &stop));
	pid = abi_fork();
	if (pid == 0) {
		struct stat st;

		if (stat("/proc/self/task", &st) == 0)
			_exit(st.st_nlink == 3 ? 0 : 1);
		_exit(0);
	}
	CHECK_EQ(abi_reap(pid), 0);
	gate_open(&stop);
	PT(pthread_join(thread, NULL));
}

CASE(vfork_waits, "does the parent wait in vfork, and is memory shared?")
{
	static volatile int mark;
	pid_t pid;

	mark = 1;
	pid = vfork();
	if (pid == 0) {
		mark = 2;
		_exit(5);
	}
	CHECK(pid > 0);
	CHECK_EQ(mark, 2);
	CHECK_EQ(abi_reap(pid), 5);
}

CASE(vfork_killed, "does vfork's parent go on when the child is killed?")
{
	pid_t pid = vfork();

	if (pid == 0) {
		kill(getpid(), SIGKILL);
		_exit(1);
	}
	CHECK(pid > 0);
	CHECK_EQ(abi_reap(pid), 128 + SIGKILL);
}

static int
set_shared(void *arg)
{
	*(volatile int *)arg = 42;
	return 6;
}

CASE(clone_vm, "does clone with CLONE_VM share memory on its own stack?")
{
	static char stack[65536] __attribute__((aligned(16)));
	volatile int mark = 0;
	pid_t pid;

	pid = OK(clone(set_shared, stack + sizeof(stack), CLONE_VM | SIGCHLD, (void *)&mark));
	CHECK_EQ(abi_reap(pid), 6);
	CHECK_EQ(mark, 42);
}

CASE(clone_tids, "are the tid words set in parent and child?")
{
	int *tids = abi_shared(4096);
	pid_t pid = syscall(SYS_clone, CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD, 0,
			    &tids[0], &tids[1], 0);

	if (pid == 0)
		_exit(tids[1] == getpid() ? 0 : 1);
	CHECK(pid > 0);
	CHECK_EQ(abi_reap(pid), 0);
	CHECK_EQ(tids[0], pid);
}

CASE(clone_no_signal, "does a clone without exit signal need __WCLONE?")
{
	int status;
	pid_t pid = syscall(SYS_clone, 0, 0, 0, 0, 0);

	if (pid == 0)
		_exit(4);
	CHECK(pid > 0);
	CHECK_ERR(waitpid(pid, &status, 0), ECHILD);
	CHECK_EQ(waitpid(pid, &status, __WCLONE), pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 4);
}

CASE(clone_errors, "are senseless clone flags refused?")
{
	CHECK_ERR(syscall(SYS_clone, CLONE_THREAD, 0, 0, 0, 0), EINVAL);
	CHECK_ERR(syscall(SYS_clone, CLONE_SIGHAND, 0, 0, 0, 0), EINVAL);
	CHECK_ERR(syscall(SYS_clone, CLONE_SIGHAND | CLONE_THREAD, 0, 0, 0, 0), EINVAL);
}

CASE(clone3_plain, "does clone3 fork with an exit signal and give a pidfd?")
{
	int pidfd = -1;
	struct clone_args args = {
		.flags = CLONE_PIDFD,
		.exit_signal = SIGCHLD,
		.pidfd = (uintptr_t)&pidfd,
	};
	struct pollfd poller;
	pid_t pid = syscall(SYS_clone3, &args, sizeof(args));

	if (pid == 0)
		_exit(3);
	CHECK(pid > 0);
	CHECK(pidfd >= 0);
	CHECK_EQ(fcntl(pidfd, F_GETFD), FD_CLOEXEC);
	poller = (struct pollfd){.fd = pidfd, .events = POLLIN};
	CHECK_EQ(poll(&poller, 1, -1), 1);
	CHECK_EQ(abi_reap(pid), 3);
}

CASE(clone3_errors, "does clone3 check size, flags and stack?")
{
	struct clone_args args = {.exit_signal = SIGCHLD};
	char *big = calloc(1, 8192);

	CHECK_ERR(syscall(SYS_clone3, &args, 8), EINVAL);
	CHECK_ERR(syscall(SYS_clone3, big, 8192), E2BIG);
	args.flags = CLONE_DETACHED;
	CHECK_ERR(syscall(SYS_clone3, &args, sizeof(args)), EINVAL);
	args.flags = 0;
	args.exit_signal = 0x100;
	CHECK_ERR(syscall(SYS_clone3, &args, sizeof(args)), EINVAL);
	args.exit_signal = SIGCHLD;
	args.stack = (uintptr_t)big;
	CHECK_ERR(syscall(SYS_clone3, &args, sizeof(args)), EINVAL);
	args.stack = 0;
	args.stack_size = 4096;
	CHECK_ERR(syscall(SYS_clone3, &args, sizeof(args)), EINVAL);
	CHECK_ERR(syscall(SYS_clone3, NULL, sizeof(args)), EFAULT);
	free(big);
}

CASE(groups, "do setpgid and getpgid agree and refuse strangers?")
{
	pid_t pid;

	CHECK_EQ(getpgrp(), getpgid(0));
	CHECK_ERR(getpgid(no_such_pid), ESRCH);
	CHECK_ERR(setpgid(no_such_pid, 0), ESRCH);
	CHECK_ERR(setpgid(0, -1), EINVAL);
	CHECK_ERR(setpgid(0, no_such_pid), EPERM);
	pid = abi_fork();
	if (pid == 0) {
		CHECK_EQ(getpgrp(), getpgid(getppid()));
		OK(setpgid(0, 0));
		CHECK_EQ(getpgrp(), getpid());
		_exit(0);
	}
	CHECK_EQ(abi_reap(pid), 0);
}

CASE(sessions, "does setsid make a session, a group, and fail for a leader?")
{
	pid_t pid;

	CHECK_ERR(getsid(no_such_pid), ESRCH);
	pid = abi_fork();
	if (pid == 0) {
		CHECK_EQ(setsid(), getpid());
		CHECK_EQ(getsid(0), getpid());
		CHECK_EQ(getpgrp(), getpid());
		CHECK_ERR(setsid(), EPERM);
		CHECK_ERR(setpgid(0, 0), EPERM);
		CHECK_ERR(open("/dev/tty", O_RDWR), ENXIO);
		_exit(0);
	}
	CHECK_EQ(abi_reap(pid), 0);
}

CASE(group_kill, "does a signal to a group reach each member?")
{
	struct gate up = gate_make();
	pid_t pid[3];
	int i;

	for (i = 0; i < 3; i++) {
		pid[i] = abi_fork();
		if (pid[i] == 0) {
			gate_open(&up);
			for (;;)
				pause();
		}
		OK(setpgid(pid[i], pid[0]));
	}
	for (i = 0; i < 3; i++)
		gate_pass(&up);
	OK(kill(-pid[0], SIGUSR1));
	for (i = 0; i < 3; i++)
		CHECK_EQ(abi_reap(pid[i]), 128 + SIGUSR1);
	CHECK_ERR(kill(-pid[0], 0), ESRCH);
}

CASE(pidfd, "do pidfd_open, poll, pidfd_send_signal and P_PIDFD work?")
{
	struct pollfd poller = {.events = POLLIN};
	siginfo_t info;
	pid_t pid = abi_fork();
	int fd;

	if (pid == 0) {
		for (;;)
			pause();
	}
	fd = OK(syscall(SYS_pidfd_open, pid, 0));
	poller.fd = fd;
	CHECK_EQ(poll(&poller, 1, 0), 0);
	OK(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0));
	CHECK_EQ(poll(&poller, 1, -1), 1);
	OK(waitid(P_PIDFD, fd, &info, WEXITED));
	CHECK_EQ(info.si_pid, pid);
	CHECK_EQ(info.si_status, SIGTERM);
	CHECK_ERR(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0), ESRCH);
	CHECK_ERR(syscall(SYS_pidfd_open, pid, 0), ESRCH);
	CHECK_ERR(syscall(SYS_pidfd_open, getpid(), 0x5), EINVAL);
	CHECK_ERR(syscall(SYS_pidfd_open, -1, 0), EINVAL);
}

CASE(pidfd_proc, "does pidfd_send_signal take a descriptor of /proc/PID?")
{
	char path[32];
	pid_t pid = abi_fork();
	int fd;

	if (pid == 0) {
		for (;;)
			pause();
	}
	snprintf(path, sizeof(path), "/proc/%d", pid);
	fd = OK(open(path, O_DIRECTORY | O_CLOEXEC));
	OK(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0));
	OK(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0));
	CHECK_EQ(abi_reap(pid), 128 + SIGTERM);
	CHECK_ERR(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0), ESRCH);
	snprintf(path, sizeof(path), "/proc/%d/task", getpid());
	fd = OK(open(path, O_DIRECTORY | O_CLOEXEC));
	CHECK_ERR(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0), EBADF);
}
