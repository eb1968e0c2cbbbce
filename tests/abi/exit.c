/*
 * exit.c - how processes end: wait, exit, threads at the end, orphans.
 */
#include "abi.h"
#include <sys/prctl.h>
#include <sys/syscall.h>

static const pid_t no_such_pid = 0x3ffffff;

CASE(wait_status, "does wait tell exit status and signals apart?")
{
	int status;
	pid_t pid = abi_fork();

	if (pid == 0)
		_exit(0x1234);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0x3400);
	pid = abi_fork();
	if (pid == 0) {
		for (;;)
			pause();
	}
	OK(kill(pid, SIGTERM));
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFSIGNALED(status));
	CHECK_EQ(WTERMSIG(status), SIGTERM);
}

CASE(wait_nohang, "does WNOHANG give 0 while the child runs?")
{
	struct gate go = gate_make();
	int status = 0x55;
	pid_t pid = abi_fork();

	if (pid == 0) {
		gate_pass(&go);
		_exit(0);
	}
	CHECK_EQ(waitpid(pid, &status, WNOHANG), 0);
	CHECK_EQ(status, 0x55);
	CHECK_EQ(waitpid(-1, &status, WNOHANG), 0);
	gate_open(&go);
	CHECK_EQ(abi_reap(pid), 0);
	CHECK_ERR(waitpid(-1, &status, WNOHANG), ECHILD);
}

CASE(wait_errors, "does wait refuse strangers and unknown options?")
{
	siginfo_t info;

	CHECK_ERR(waitpid(getpid(), NULL, 0), ECHILD);
	CHECK_ERR(waitpid(no_such_pid, NULL, 0), ECHILD);
	CHECK_ERR(waitpid(-1, NULL, 0x10000), EINVAL);
	CHECK_ERR(waitid(P_ALL, 0, &info, 0), EINVAL);
	CHECK_ERR(waitid(P_ALL, 0, &info, WEXITED), ECHILD);
	CHECK_ERR(waitid(77, 0, &info, WEXITED), EINVAL);
	CHECK_ERR(waitpid(INT_MIN, NULL, 0), ESRCH);
}

CASE(waitid_info, "does waitid fill siginfo, and WNOWAIT leave the child?")
{
	siginfo_t info;
	pid_t pid = abi_fork();

	if (pid == 0)
		_exit(17);
	memset(&info, 0x55, sizeof(info));
	OK(waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
	CHECK_EQ(info.si_signo, SIGCHLD);
	CHECK_EQ(info.si_code, CLD_EXITED);
	CHECK_EQ(info.si_pid, pid);
	CHECK_EQ(info.si_uid, getuid());
	CHECK_EQ(info.si_status, 17);
	CHECK_EQ(abi_reap(pid), 17);

	pid = abi_fork();
	if (pid == 0) {
		kill(getpid(), SIGKILL);
		_exit(1);
	}
	OK(waitid(P_ALL, 0, &info, WEXITED));
	CHECK_EQ(info.si_code, CLD_KILLED);
	CHECK_EQ(info.si_status, SIGKILL);
}

CASE(waitid_nohang, "does waitid with WNOHANG zero si_pid?")
{
	struct gate go = gate_make();
	siginfo_t info;
	pid_t pid = abi_fork();

	if (pid == 0) {
		gate_pass(&go);
		_exit(0);
	}
	memset(&info, 0x55, sizeof(info));
	OK(waitid(P_PID, pid, &info, WEXITED | WNOHANG));
	CHECK_EQ(info.si_pid, 0);
	CHECK_EQ(info.si_signo, 0);
	gate_open(&go);
	CHECK_EQ(abi_reap(pid), 0);
}

CASE(wait_rusage, "does wait4 give the child's processor time?")
{
	struct rusage usage;
	int status;
	pid_t pid = abi_fork();

	if (pid == 0) {
		int64_t end = abi_now_ns(CLOCK_PROCESS_CPUTIME_ID) + 50000000;

		while (abi_now_ns(CLOCK_PROCESS_CPUTIME_ID) < end)
			;
		_exit(0);
	}
	memset(&usage, 0, sizeof(usage));
	CHECK_EQ(wait4(pid, &status, 0, &usage), pid);
	CHECK(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec +
		      (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 >=
	      30000);
	CHECK(usage.ru_maxrss > 0);
	OK(getrusage(RUSAGE_CHILDREN, &usage));
	CHECK(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec + usage.ru_utime.tv_sec +
		      usage.ru_stime.tv_sec >
	      0);
}

CASE(wait_group, "can wait choose by process group?")
{
	struct gate go = gate_make();
	int status;
	pid_t other = abi_fork(), same;

	if (other == 0) {
		gate_pass(&go);
		_exit(1);
	}
	OK(setpgid(other, other));
	same = abi_fork();
	if (same == 0)
		_exit(2);
	CHECK_EQ(waitpid(0, &status, 0), same);
	CHECK_EQ(waitpid(-other, &status, WNOHANG), 0);
	CHECK_ERR(waitpid(0, &status, 0), ECHILD);
	gate_open(&go);
	CHECK_EQ(waitpid(-other, &status, 0), other);
	CHECK_EQ(WEXITSTATUS(status), 1);
}

static void *
wait_for_pid(void *arg)
{
	return (void *)(intptr_t)abi_reap(*(pid_t *)arg);
}

CASE(wait_other_thread, "can a thread wait for a child another one forked?")
{
	pthread_t thread;
	void *status;
	pid_t pid = abi_fork();

	if (pid == 0)
		_exit(21);
	PT(pthread_create(&thread, NULL, wait_for_pid, &pid));
	PT(pthread_join(thread, &status));
	CHECK_EQ((intptr_t)status, 21);
}

CASE(sigchld_ignored, "do children vanish by themselves when SIGCHLD is ignored?")
{
	int status;

	signal(SIGCHLD, SIG_IGN);
	if (abi_fork() == 0)
		_exit(1);
	if (abi_fork() == 0)
		_exit(2);
	CHECK_ERR(wait(&status), ECHILD);
	signal(SIGCHLD, SIG_DFL);
}

static void *
exit_soon(void *arg)
{
	gate_pass(arg);
	_exit(11);
}

static void *
block_forever(void *arg)
{
	struct gate never = gate_make();

	gate_open(arg);
	gate_pass(&never);
	return NULL;
}

CASE(exit_group_threads, "does exit_group end threads that are blocked?")
{
	struct gate go = gate_make(), up = gate_make();
	pid_t pid = abi_fork();
	int i;

	if (pid == 0) {
		pthread_t thread;

		for (i = 0; i < 10; i++) {
			PT(pthread_create(&thread, NULL, block_forever, &up));
			gate_pass(&up);
		}
		PT(pthread_create(&thread, NULL, exit_soon, &go));
		gate_open(&go);
		for (;;)
			pause();
	}
	CHECK_EQ(abi_reap(pid), 11);
}

static void *
spin(void *arg)
{
	gate_open(arg);
	for (;;)
		__asm__ volatile("pause");
	return NULL;
}

CASE(exit_group_spinning, "does exit_group end threads that never enter the kernel?")
{
	struct gate up = gate_make();
	pid_t pid = abi_fork();
	int i;

	if (pid == 0) {
		pthread_t thread;

		for (i = 0; i < 4; i++)
			PT(pthread_create(&thread, NULL, spin, &up));
		for (i = 0; i < 4; i++)
			gate_pass(&up);
		_exit(12);
	}
	CHECK_EQ(abi_reap(pid), 12);
}

CASE(leader_exits_first, "does the process live on when its first thread ends?")
{
	struct gate go = gate_make();
	pid_t pid = abi_fork();

	if (pid == 0) {
		pthread_t thread;

		PT(pthread_create(&thread, NULL, exit_soon, &go));
		syscall(SYS_exit, 3);
	}
	CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
	gate_open(&go);
	CHECK_EQ(abi_reap(pid), 11);
}

CASE(killed_with_threads, "does SIGKILL end a process of many threads?")
{
	struct gate up = gate_make();
	pid_t pid = abi_fork();
	int i;

	if (pid == 0) {
		pthread_t thread;

		for (i = 0; i < 20; i++)
			PT(pthread_create(&thread, NULL, i & 1 ? spin : block_forever, &up));
		for (;;)
			pause();
	}
	for (i = 0; i < 20; i++)
		gate_pass(&up);
	OK(kill(pid, SIGKILL));
	CHECK_EQ(abi_reap(pid), 128 + SIGKILL);
}

CASE(exit_closes, "does a killed child's end of a pipe close?")
{
	int fd[2];
	char c;
	pid_t pid;

	OK(pipe(fd));
	pid = abi_fork();
	if (pid == 0) {
		close(fd[0]);
		for (;;)
			pause();
	}
	close(fd[1]);
	OK(kill(pid, SIGKILL));
	CHECK_EQ(read(fd[0], &c, 1), 0);
	CHECK_EQ(abi_reap(pid), 128 + SIGKILL);
}

CASE(orphan_subreaper, "does an orphan go to the nearest subreaper?")
{
	struct gate go = gate_make();
	pid_t *orphan = abi_shared(4096), middle;
	int status;

	OK(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
	middle = abi_fork();
	if (middle == 0) {
		pid_t pid = abi_fork();

		if (pid == 0) {
			gate_pass(&go);
			_exit(getppid() == abi_pid ? 23 : 24);
		}
		*orphan = pid;
		_exit(0);
	}
	CHECK_EQ(abi_reap(middle), 0);
	gate_open(&go);
	CHECK_EQ(wait(&status), *orphan);
	CHECK_EQ(WEXITSTATUS(status), 23);
	OK(prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0));
}

CASE(orphan_reparented, "does getppid change when the parent dies?")
{
	struct gate dead = gate_make(), done = gate_make();
	int *good = abi_shared(4096);
	pid_t middle = abi_fork();

	if (middle == 0) {
		pid_t self = getpid();

		if (abi_fork() == 0) {
			gate_pass(&dead);
			*good = getppid() != self && getppid() != abi_pid;
			gate_open(&done);
			_exit(0);
		}
		_exit(0);
	}
	CHECK_EQ(abi_reap(middle), 0);
	gate_open(&dead);
	gate_pass(&done);
	CHECK_EQ(*good, 1);
}

CASE(parent_death_signal, "does PR_SET_PDEATHSIG tell the child?")
{
	struct gate ready = gate_make();
	int fd[2];
	char c;
	pid_t middle;

	OK(pipe(fd));
	middle = abi_fork();
	if (middle == 0) {
		if (abi_fork() == 0) {
			OK(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0));
			gate_open(&ready);
			for (;;)
				pause();
		}
		gate_pass(&ready);
		_exit(0);
	}
	close(fd[1]);
	CHECK_EQ(abi_reap(middle), 0);
	CHECK_EQ(read(fd[0], &c, 1), 0);
}

CASE(abort_default, "does abort end the process with SIGABRT?")
{
	struct rlimit none = {0, 0};
	pid_t pid = abi_fork();

	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &none);
		abort();
	}
	CHECK_EQ(abi_reap(pid), 128 + SIGABRT);
}

CASE(atexit_runs, "do exit handlers run and buffers flush on exit?")
{
	char text[8] = "";
	int fd[2];
	pid_t pid;

	OK(pipe(fd));
	pid = abi_fork();
	if (pid == 0) {
		FILE *out = fdopen(fd[1], "w");

		fputs("flush", out);
		exit(9);
	}
	CHECK_EQ(abi_reap(pid), 9);
	CHECK_EQ(read(fd[0], text, sizeof(text)), 5);
	CHECK(strcmp(text, "flush") == 0);
}

enum { leavers = 4 };

static pthread_barrier_t leave_together;

static void *
leave(void *arg)
{
	(void)arg;
	pthread_barrier_wait(&leave_together);
	syscall(SYS_exit, 0);
	return NULL;
}

CASE(exit_together, "does a process end, once, when all its threads end at the same moment?")
{
	pthread_t thread;
	int round, i;

	for (round = 0; round < 200; round++) {
		pid_t pid = abi_fork();

		if (pid == 0) {
			PT(pthread_barrier_init(&leave_together, NULL, leavers + 1));
			for (i = 0; i < leavers; i++)
				PT(pthread_create(&thread, NULL, leave, NULL));
			leave(NULL);
		}
		CHECK_EQ(abi_reap(pid), 0);
	}
}
