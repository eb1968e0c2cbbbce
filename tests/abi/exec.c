/*
 * exec.c - execve: static programs, #! scripts, what stays and what goes,
 * the first stack, errors. The program runs itself as its own child.
 */
#define ABI_CHILD
#include "abi.h"
#include <elf.h>
#include <sys/auxv.h>
#include <sys/personality.h>

extern char **environ;

static int
child_args(int argc, char **argv)
{
	CHECK_EQ(argc, 6);
	CHECK(strcmp(argv[3], "one") == 0);
	CHECK(argv[4][0] == 0);
	CHECK_EQ(strlen(argv[5]), 100000);
	CHECK(argv[6] == NULL);
	CHECK(environ[0] && strcmp(environ[0], "A=1") == 0);
	CHECK(environ[1] && strcmp(environ[1], "B=") == 0);
	CHECK(environ[2] == NULL);
	return 31;
}

static int
child_signals(void)
{
	struct sigaction old;
	sigset_t set;

	OK(sigaction(SIGUSR1, NULL, &old));
	CHECK(old.sa_handler == SIG_DFL);
	OK(sigaction(SIGUSR2, NULL, &old));
	CHECK(old.sa_handler == SIG_IGN);
	OK(sigprocmask(SIG_SETMASK, NULL, &set));
	CHECK(sigismember(&set, SIGTERM) == 1);
	CHECK(sigismember(&set, SIGINT) == 0);
	OK(sigpending(&set));
	CHECK(sigismember(&set, SIGTERM) == 1);
	return 32;
}

static int
child_auxv(void)
{
	const unsigned char *ehdr = (void *)getauxval(AT_SYSINFO_EHDR);
	const unsigned char *random = (void *)getauxval(AT_RANDOM);
	int i, set = 0;

	CHECK_EQ(getauxval(AT_PAGESZ), 4096);
	CHECK_EQ(getauxval(AT_UID), getuid());
	CHECK_EQ(getauxval(AT_EGID), getegid());
	CHECK_EQ(getauxval(AT_SECURE), 0);
	CHECK_EQ(getauxval(AT_CLKTCK), 100);
	CHECK_EQ(getauxval(AT_PHENT), sizeof(Elf64_Phdr));
	CHECK(getauxval(AT_PHNUM) > 0 && getauxval(AT_PHDR) != 0);
	CHECK(getauxval(AT_ENTRY) != 0);
	CHECK(strcmp((char *)getauxval(AT_EXECFN), abi_self) == 0);
	CHECK(random != NULL);
	for (i = 0; i < 16; i++)
		set |= random[i];
	CHECK(set != 0);
	CHECK(ehdr == NULL || memcmp(ehdr, ELFMAG, SELFMAG) == 0);
	CHECK((uintptr_t)__builtin_frame_address(0) % 16 == 0);
	return 33;
}

static int
child_limits(void)
{
	struct rlimit limit;

	OK(getrlimit(RLIMIT_NOFILE, &limit));
	CHECK_EQ(limit.rlim_cur, 123);
	CHECK_EQ(umask(0), 027);
	return access("here", F_OK) == 0 ? 34 : 1;
}

/* Writes where its stack, heap and mappings are. */
static int
child_places(int fd)
{
	uintptr_t at[3] = {(uintptr_t)&fd, (uintptr_t)sbrk(0)};

	at[2] = (uintptr_t)mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return write(fd, at, sizeof(at)) == sizeof(at) ? 39 : 1;
}

static int
abi_child(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[2] : "";
	const char *base = strrchr(what, '/');

	abi_name = "child";
	abi_pid = 0;
	if (strcmp(what, "args") == 0)
		return child_args(argc, argv);
	if (strcmp(what, "signals") == 0)
		return child_signals();
	if (strcmp(what, "auxv") == 0)
		return child_auxv();
	if (strcmp(what, "limits") == 0)
		return child_limits();
	if (strcmp(what, "fds") == 0)
		return fcntl(atoi(argv[3]), F_GETFD) == 0 && fcntl(atoi(argv[4]), F_GETFD) == -1
			       ? 35
			       : 1;
	if (strcmp(what, "places") == 0)
		return child_places(atoi(argv[3]));
	if (strcmp(what, "pid") == 0)
		return getpid() == atoi(argv[3]) && gettid() == getpid() ? 36 : 1;
	if (strcmp(what, "exit") == 0)
		return atoi(argv[3]);
	if (base && strcmp(base, "/script") == 0)
		return argc == 5 && strcmp(argv[3], "x") == 0 && strcmp(argv[4], "y z") == 0 ? 37
											     : 1;
	if (strcmp(what, "two words") == 0)
		return argc == 4 ? 38 : 1;
	return 1;
}

CASE(args, "do arguments and environment arrive whole, empty and long ones too?")
{
	char *longest = malloc(100001);
	char *argv[] = {"name", "--child", "args", "one", "", longest, NULL};
	char *envp[] = {"A=1", "B=", NULL};
	pid_t pid;

	memset(longest, 'x', 100000);
	longest[100000] = 0;
	pid = abi_fork();
	if (pid == 0) {
		execve(abi_self, argv, envp);
		_exit(1);
	}
	CHECK_EQ(abi_reap(pid), 31);
	free(longest);
}

CASE(many_args, "do 20,000 arguments fit?")
{
	static char *argv[20004];
	pid_t pid;
	int i;

	argv[0] = abi_self;
	argv[1] = "--child";
	argv[2] = "exit";
	argv[3] = "55";
	for (i = 4; i < 20003; i++)
		argv[i] = "arg";
	pid = abi_fork();
	if (pid == 0) {
		execv(abi_self, argv);
		_exit(1);
	}
	CHECK_EQ(abi_reap(pid), 55);
}

CASE(vfork_exec, "does vfork and exec work as posix_spawn uses it?")
{
	pid_t pid = vfork();

	if (pid == 0) {
		execl(abi_self, "n", "--child", "exit", "56", NULL);
		_exit(1);
	}
	CHECK(pid > 0);
	CHECK_EQ(abi_reap(pid), 56);
}

static void
on_signal(int number)
{
	(void)number;
}

CASE(signals, "are handlers reset, ignores, mask and pending signals kept?")
{
	sigset_t set;
	pid_t pid = abi_fork();

	if (pid == 0) {
		signal(SIGUSR1, on_signal);
		signal(SIGUSR2, SIG_IGN);
		sigemptyset(&set);
		sigaddset(&set, SIGTERM);
		sigprocmask(SIG_BLOCK, &set, NULL);
		raise(SIGTERM);
		execl(abi_self, "n", "--child", "signals", NULL);
		_exit(1);
	}
	CHECK_EQ(abi_reap(pid), 32);
}

CASE(auxv, "is the auxiliary vector what libc needs?")
{
	pid_t pid = abi_fork();

	if (pid == 0) {
		execl(abi_self, abi_self, "--child", "auxv", NULL);
		_exit(1);
	}
	CHECK_EQ(abi_reap(pid), 33);
}

CASE(kept, "do limits, umask and the current directory stay?")
{
	struct rlimit limit = {123, 456};
	pid_t pid = abi_fork();

	if (pid == 0) {
		OK(setrlimit(RLIMIT_NOFILE, &limit));
		OK(mkdir("d", 0700));
		OK(chdir("d"));
		abi_put_file("here", "", 0, 0600);
		umask(027);
		execl(abi_self, "n", "--child", "limits", NULL);
		_exit(1);
	}
	CHECK_EQ(abi_reap(pid), 34);
}

CASE(cloexec, "are only close-on-exec descriptors closed?")
{
	char keep[16], gone[16];
	pid_t pid;

	snprintf(keep, sizeof(keep), "%d", (int)OK(dup(0)));
	snprintf(gone, sizeof(gone), "%d", (int)OK(fcntl(0, F_DUPFD_CLOEXEC, 50)));
	pid = abi_fork();
	if (pid == 0) {
		execl(abi_self, "n", "--child", "fds", keep, gone, NULL);
		_exit(1);
	}
	CHECK_EQ(abi_reap(pid), 35);
}

static void *
exec_pid(void *arg)
{
	char number[16];

	(void)arg;
	snprintf(number, sizeof(number), "%d", getpid());
	execl(abi_self, "n", "--child", "pid", number, NULL);
	_exit(1);
}

static void *
sleep_forever(void *arg)
{
	for (;;)
		pause();
	return arg;
}

CASE(thread_exec, "does exec in a second thread end the others and keep the pid?")
{
	pthread_t thread;
	pid_t pid = abi_fork();
	int i;

	if (pid == 0) {
		for (i = 0; i < 5; i++)
			PT(pthread_create(&thread, NULL, sleep_forever, NULL));
		PT(pthread_create(&thread, NULL, exec_pid, NULL));
		for (;;)
			pause();
	}
	CHECK_EQ(abi_reap(pid), 36);
}

static void
put_script(const char *path, const char *interpreter, const char *argument)
{
	char text[PATH_MAX + 64];

	snprintf(text, sizeof(text), "#!%s%s%s\nrest\n", interpreter, argument[0] ? " " : "",
		 argument);
	abi_put_file(path, text, strlen(text), 0755);
}

static int
run_script(const char *path)
{
	pid_t pid = abi_fork();

	if (pid == 0) {
		execl(path, "ignored", "x", "y z", NULL);
		_exit(errno == 0 ? 1 : 200 + (errno == ELOOP));
	}
	return abi_reap(pid);
}

CASE(script, "does #! pass the option, the path and the arguments?")
{
	char path[PATH_MAX + 8];

	put_script("script", abi_self, "--child");
	snprintf(path, sizeof(path), "%s/script", abi_dir);
	CHECK_EQ(run_script(path), 37);
	put_script("script", abi_self, "   --child\t ");
	CHECK_EQ(run_script("./script"), 37);
}

CASE(script_nested, "may a script's interpreter be a script, but not for ever?")
{
	char path[PATH_MAX + 8];
	pid_t pid;

	put_script("script", abi_self, "--child");
	snprintf(path, sizeof(path), "%s/script", abi_dir);
	put_script("second", path, "");
	pid = abi_fork();
	if (pid == 0) {
		execl("./second", "n", NULL);
		_exit(1);
	}
	CHECK_EQ(abi_reap(pid), 1);
	snprintf(path, sizeof(path), "%s/loop", abi_dir);
	put_script("loop", path, "");
	CHECK_EQ(run_script("./loop"), 201);
	put_script("none", "/no/such/interpreter", "");
	CHECK_ERR(execl("./none", "n", NULL), ENOENT);
}

CASE(errors, "does each kind of bad program give its errno?")
{
	char *argv[] = {"n", NULL}, *envp[] = {NULL};
	int fd;

	CHECK_ERR(execl("./missing", "n", NULL), ENOENT);
	CHECK_ERR(execl("", "n", NULL), ENOENT);
	CHECK_ERR(execl("/", "n", NULL), EACCES);
	abi_put_file("plain", "text", 4, 0644);
	CHECK_ERR(execl("./plain", "n", NULL), EACCES);
	CHECK_ERR(execl("./plain/x", "n", NULL), ENOTDIR);
	abi_put_file("empty", "", 0, 0755);
	CHECK_ERR(execl("./empty", "n", NULL), ENOEXEC);
	abi_put_file("junk", "\177ELFjunkjunkjunk", 16, 0755);
	CHECK_ERR(execl("./junk", "n", NULL), ENOEXEC);
	OK(symlink("loop", "loop"));
	CHECK_ERR(execl("./loop", "n", NULL), ELOOP);
	CHECK_ERR(execve(abi_bad(), argv, envp), EFAULT);
	CHECK_ERR(execve(abi_self, abi_bad(), envp), EFAULT);
	CHECK_ERR(execve(abi_self, argv, abi_bad()), EFAULT);
	fd = OK(open("busy", O_WRONLY | O_CREAT, 0755));
	CHECK_ERR(execl("./busy", "n", NULL), ETXTBSY);
	close(fd);
}

CASE(too_big, "is an argument of more than 128 KiB refused with E2BIG?")
{
	char *huge = malloc(300000);
	char *argv[] = {"n", huge, NULL};

	memset(huge, 'a', 299999);
	huge[299999] = 0;
	CHECK_ERR(execv(abi_self, argv), E2BIG);
	free(huge);
}

CASE(bad_elf, "are damaged ELF files refused and the caller kept alive?")
{
	unsigned char *image = malloc(4096);
	uint64_t seed = 1;
	int fd = OK(open(abi_self, O_RDONLY)), i, at;

	CHECK_EQ(read(fd, image, 4096), 4096);
	close(fd);
	for (i = 0; i < 60; i++) {
		unsigned char copy[4096];
		pid_t pid;
		int status;

		memcpy(copy, image, sizeof(copy));
		for (at = 0; at < 4; at++)
			copy[16 + abi_random(&seed) % 200] = abi_random(&seed);
		abi_put_file("bad", copy, sizeof(copy), 0755);
		pid = abi_fork();
		if (pid == 0) {
			struct rlimit none = {0, 0};

			setrlimit(RLIMIT_CORE, &none);
			execl("./bad", "n", NULL);
			_exit(1);
		}
		status = abi_reap(pid);
		CHECK(status == 1 || status > 128);
		OK(unlink("bad"));
	}
	free(image);
}

CASE(no_randomize, "with ADDR_NO_RANDOMIZE, does a program lie at the same place twice?")
{
	uintptr_t at[2][3];
	char number[16];
	int fd[2], i;
	pid_t pid;

	OK(pipe(fd));
	snprintf(number, sizeof(number), "%d", fd[1]);
	for (i = 0; i < 2; i++) {
		pid = abi_fork();
		if (pid == 0) {
			OK(personality(ADDR_NO_RANDOMIZE));
			execl(abi_self, abi_self, "--child", "places", number, NULL);
			_exit(1);
		}
		CHECK_EQ(abi_reap(pid), 39);
		CHECK_EQ(read(fd[0], at[i], sizeof(at[i])), sizeof(at[i]));
	}
	CHECK(memcmp(at[0], at[1], sizeof(at[0])) == 0);
}

CASE(fd_exec, "does execveat run an open descriptor?")
{
	char *argv[] = {"n", "--child", "exit", "57", NULL}, *envp[] = {NULL};
	int fd = OK(open(abi_self, O_RDONLY | O_CLOEXEC));
	pid_t pid = abi_fork();

	if (pid == 0) {
		syscall(SYS_execveat, fd, "", argv, envp, AT_EMPTY_PATH);
		_exit(1);
	}
	CHECK_EQ(abi_reap(pid), 57);
	CHECK_ERR(syscall(SYS_execveat, 99, "", argv, envp, AT_EMPTY_PATH), EBADF);
	CHECK_ERR(syscall(SYS_execveat, fd, "", argv, envp, 0), ENOENT);
	CHECK_ERR(syscall(SYS_execveat, fd, "", argv, envp, AT_EMPTY_PATH | 0x4), EINVAL);
}

CASE(proc_exe, "does /proc/self/exe run this program again?")
{
	pid_t pid = abi_fork();

	if (pid == 0) {
		execl("/proc/self/exe", "n", "--child", "exit", "58", NULL);
		_exit(1);
	}
	CHECK_EQ(abi_reap(pid), 58);
}

CASE(unlinked, "can a program be removed while it runs?")
{
	char buffer[65536];
	struct gate go = gate_make();
	int in = OK(open(abi_self, O_RDONLY)), out;
	ssize_t got;
	pid_t pid;

	out = OK(open("copy", O_WRONLY | O_CREAT | O_CLOEXEC, 0755));
	while ((got = read(in, buffer, sizeof(buffer))) > 0)
		CHECK_EQ(write(out, buffer, got), got);
	close(out);
	pid = abi_fork();
	if (pid == 0) {
		int fd = OK(open("copy", O_RDONLY | O_CLOEXEC));
		char *argv[] = {"n", "--child", "exit", "59", NULL};

		OK(unlink("copy"));
		gate_open(&go);
		fexecve(fd, argv, environ);
		_exit(1);
	}
	gate_pass(&go);
	CHECK_EQ(abi_reap(pid), 59);
}

CASE(storm, "do 60 programs started at once all end as they should?")
{
	pid_t pid[60];
	int i;

	for (i = 0; i < 60; i++) {
		pid[i] = abi_fork();
		if (pid[i] == 0) {
			execl(abi_self, "n", "--child", "exit", "60", NULL);
			_exit(1);
		}
	}
	for (i = 0; i < 60; i++)
		CHECK_EQ(abi_reap(pid[i]), 60);
}
