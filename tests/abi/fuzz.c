/*
 * fuzz.c - every call number from 0 to 460 with random arguments, in forked
 * children that are confined and cut off. The kernel passes when it lives,
 * every child can be ended, and fork, files and memory still work after it.
 *
 *   fuzz [-s SEED] [-t SECONDS] [-c CHILDREN] [-g]
 *
 * A child's seed is SEED plus its number, so "-s N -c 1" runs one again.
 * Without -g, calls that could hurt a Linux host are left out and children
 * of root become nobody. With -g all run but reboot, and half stay root.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { last_call = 460, calls_per_child = 400, arena_size = 1 << 18 };

/* Left out everywhere: they end the machine or the runner. */
static const int never[] = {
	SYS_reboot,
	SYS_kexec_load,
	SYS_kexec_file_load,
};

/* Left out on a Linux host. */
static const int not_on_host[] = {
	SYS_kill,
	SYS_tkill,
	SYS_tgkill,
	SYS_rt_sigqueueinfo,
	SYS_rt_tgsigqueueinfo,
	SYS_pidfd_send_signal,
	SYS_ptrace,
	SYS_process_vm_writev,
	SYS_process_vm_readv,
	SYS_init_module,
	SYS_finit_module,
	SYS_delete_module,
	SYS_mount,
	SYS_umount2,
	SYS_pivot_root,
	SYS_chroot,
	SYS_move_mount,
	SYS_open_tree,
	SYS_fsopen,
	SYS_fsmount,
	SYS_fspick,
	SYS_fsconfig,
	SYS_mount_setattr,
	SYS_swapon,
	SYS_swapoff,
	SYS_settimeofday,
	SYS_clock_settime,
	SYS_adjtimex,
	SYS_clock_adjtime,
	SYS_sethostname,
	SYS_setdomainname,
	SYS_iopl,
	SYS_ioperm,
	SYS_syslog,
	SYS_acct,
	SYS_quotactl,
	SYS_quotactl_fd,
	SYS_sched_setscheduler,
	SYS_sched_setparam,
	SYS_sched_setattr,
	SYS_sched_setaffinity,
	SYS_setpriority,
	SYS_ioprio_set,
	SYS_bpf,
	SYS_perf_event_open,
	SYS_keyctl,
	SYS_add_key,
	SYS_request_key,
	SYS_userfaultfd,
	SYS_io_uring_setup,
	SYS_io_uring_enter,
	SYS_io_uring_register,
	SYS_shmget,
	SYS_semget,
	SYS_msgget,
	SYS_mq_open,
	SYS_mq_unlink,
	SYS_unshare,
	SYS_setns,
	SYS_vhangup,
	SYS_process_madvise,
	SYS_process_mrelease,
	SYS_migrate_pages,
	SYS_move_pages,
	SYS_prlimit64,
	SYS_sync,
	SYS_syncfs,
	SYS_fork,
	SYS_vfork,
	SYS_clone,
	SYS_clone3,
	SYS_setsid,
	SYS_setpgid,
	SYS_fanotify_init,
	SYS_modify_ldt,
	SYS_lookup_dcookie,
	SYS_set_mempolicy,
	SYS_mbind,
	SYS_pidfd_getfd,
};

/* Made seldom, since a child ends with them. */
static const int fatal[] = {SYS_exit, SYS_exit_group, SYS_rt_sigreturn};

static struct progress {
	volatile long call, arg[6], made;
} * progress;

static uint64_t state;
static bool guest;
static char *arena;
static int fds[16], fd_count;

static uint64_t
random64(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state * 0x2545f4914f6cdd1dULL;
}

static bool
listed(const int *list, size_t count, int number)
{
	size_t i;

	for (i = 0; i < count; i++) {
		if (list[i] == number)
			return true;
	}
	return false;
}

static bool
left_out(int number)
{
	if (listed(never, sizeof(never) / sizeof(int), number))
		return true;
	return !guest && listed(not_on_host, sizeof(not_on_host) / sizeof(int), number);
}

static long
random_pointer(void)
{
	static const uint64_t wild[] = {
		0,
		8,
		0xfff,
		0x7ffffffff000,
		0x7fffffffffff,
		0x800000000000,
		0x8000000000000000,
		0xffff800000000000,
		0xffffffff80000000,
		0xfffffffffffff000,
		~0ULL,
	};
	uint64_t pick = random64();

	switch (pick % 8) {
	case 0:
		return wild[random64() % (sizeof(wild) / sizeof(wild[0]))];
	case 1: /* close to the end of the arena */
		return (long)arena + arena_size - random64() % 64;
	case 2: /* the page after it is read-only */
		return (long)arena + arena_size + random64() % 4096;
	default:
		return (long)arena + (random64() % arena_size & ~7UL);
	}
}

static long
random_argument(void)
{
	uint64_t pick = random64();

	switch (pick % 10) {
	case 0:
	case 1:
	case 2:
		return random_pointer();
	case 3:
	case 4:
		return fds[random64() % fd_count];
	case 5:
	case 6:
		return random64() % 256;
	case 7:
		return 1L << random64() % 64;
	case 8:
		return (long)(random64() % 8192) - 4096;
	default:
		return random64();
	}
}

/* New contents: names, small numbers, pointers, noise. */
static void
stir_arena(void)
{
	static const char *const names[] = {
		"a",
		"b",
		"d",
		"d/c",
		".",
		"..",
		"",
		"/proc/self/maps",
		"/proc/self/fd/4",
		"/dev/null",
		"l",
		"a/b/c",
		"/proc/self/mem",
	};
	int i;

	for (i = 0; i < 64; i++) {
		size_t at = random64() % (arena_size - 256) & ~7UL;
		uint64_t word;

		switch (random64() % 4) {
		case 0:
			strcpy(arena + at, names[random64() % 13]);
			break;
		case 1:
			word = random64() % 1024;
			memcpy(arena + at, &word, 8);
			break;
		case 2:
			word = random_pointer();
			memcpy(arena + at, &word, 8);
			break;
		default:
			word = random64();
			memcpy(arena + at, &word, 8);
		}
	}
}

static void
add_fd(int fd)
{
	if (fd >= 0 && fd_count < 16)
		fds[fd_count++] = fd;
}

static void
open_things(void)
{
	int pair[2], fd = open("/dev/null", O_RDWR);

	dup2(fd, 0);
	dup2(fd, 1);
	dup2(fd, 2);
	fd_count = 0;
	add_fd(fd);
	if (pipe2(pair, O_NONBLOCK) == 0) {
		add_fd(pair[0]);
		add_fd(pair[1]);
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0) {
		add_fd(pair[0]);
		add_fd(pair[1]);
	}
	add_fd(open("a", O_RDWR | O_CREAT, 0666));
	add_fd(open(".", O_RDONLY));
	add_fd(eventfd(1, EFD_NONBLOCK));
	add_fd(epoll_create1(0));
	add_fd(memfd_create("f", 0));
	add_fd(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
	add_fd(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
	add_fd(open("/proc/self/status", O_RDONLY));
	add_fd(open("/dev/zero", O_RDWR));
	mkdir("d", 0777);
	(void)!symlink("a", "l");
}

static void
set_limit(int which, rlim_t value)
{
	struct rlimit limit = {value, value};

	setrlimit(which, &limit);
}

static void
confine(bool keep_root)
{
	set_limit(RLIMIT_CORE, 0);
	set_limit(RLIMIT_AS, 256UL << 20);
	set_limit(RLIMIT_FSIZE, 8UL << 20);
	set_limit(RLIMIT_NOFILE, 128);
	set_limit(RLIMIT_CPU, 10);
	set_limit(RLIMIT_MEMLOCK, 1 << 16);
	set_limit(RLIMIT_NPROC, 64);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (geteuid() != 0)
		return;
	if (!guest)
		(void)!unshare(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS);
	if (keep_root)
		return;
	setgroups(0, NULL);
	if (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0)
		_exit(3);
}

static void
on_alarm(int number)
{
	(void)number;
}

/* A call that could hit others is turned towards the child itself. */
static void
aim_at_self(int number, long *arg)
{
	switch (number) {
	case SYS_kill:
	case SYS_tkill:
	case SYS_tgkill:
	case SYS_ptrace:
	case SYS_rt_sigqueueinfo:
	case SYS_rt_tgsigqueueinfo:
	case SYS_prlimit64:
	case SYS_process_vm_writev:
		arg[0] = getpid();
		break;
	}
}

static void
child(uint64_t seed)
{
	struct sigaction action = {.sa_handler = on_alarm};
	struct itimerval often = {{0, 20000}, {0, 20000}};
	pid_t self;
	int i, j;

	setpgid(0, 0);
	state = seed * 0x9e3779b97f4a7c15ULL + 1;
	confine(guest && seed % 2);
	self = getpid();
	arena = mmap(NULL, arena_size + 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		     -1, 0);
	if (arena == MAP_FAILED)
		_exit(4);
	mprotect(arena + arena_size, 4096, PROT_READ);
	mprotect(arena + arena_size + 4096, 4096, PROT_NONE);
	open_things();
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	for (i = 0; i < calls_per_child; i++) {
		int number = random64() % (last_call + 1);
		long arg[6];

		if (left_out(number) || (listed(fatal, 3, number) && random64() % 16))
			continue;
		stir_arena();
		for (j = 0; j < 6; j++)
			arg[j] = random_argument();
		if (guest)
			aim_at_self(number, arg);
		progress->call = number;
		progress->made++;
		for (j = 0; j < 6; j++)
			progress->arg[j] = arg[j];
		syscall(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
		if (syscall(SYS_getpid) != self)
			syscall(SYS_exit_group, 0);
	}
	_exit(0);
}

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static bool
reaped_within(pid_t pid, int limit_ms)
{
	struct timespec nap = {0, 1000000};
	int64_t end = now_ms() + limit_ms;

	while (waitpid(pid, NULL, WNOHANG) != pid) {
		if (now_ms() > end)
			return false;
		nanosleep(&nap, NULL);
	}
	return true;
}

/* Waits while the child makes calls; false once it has hung in one. */
static bool
ended_by_itself(pid_t pid)
{
	int64_t end = now_ms() + 5000;
	long made = -1;

	while (now_ms() < end) {
		if (reaped_within(pid, 100))
			return true;
		if (progress->made == made)
			return false;
		made = progress->made;
	}
	return false;
}

/* Fork, files, pipes and memory still work. */
static bool
still_works(void)
{
	char text[16] = "";
	int fd[2], status = -1;
	char *memory =
		mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pid_t pid;

	if (memory == MAP_FAILED || memory[12345] != 0)
		return false;
	memset(memory, 1, 1 << 20);
	munmap(memory, 1 << 20);
	if (pipe(fd) != 0)
		return false;
	pid = fork();
	if (pid == 0)
		_exit(write(fd[1], "alive", 5) == 5 ? 9 : 1);
	if (waitpid(pid, &status, 0) != pid || status != 9 << 8 ||
	    read(fd[0], text, sizeof(text)) != 5 || strcmp(text, "alive") != 0)
		return false;
	close(fd[0]);
	close(fd[1]);
	return true;
}

static bool
run_child(uint64_t seed)
{
	pid_t pid = fork();

	if (pid < 0) {
		printf("FAIL fuzz: fork fails with %d\n", errno);
		return false;
	}
	if (pid == 0)
		child(seed);
	if (ended_by_itself(pid)) {
		kill(-pid, SIGKILL);
		return true;
	}
	kill(-pid, SIGKILL);
	kill(pid, SIGKILL);
	if (reaped_within(pid, 20000))
		return true;
	printf("FAIL fuzz: seed %llu cannot be killed in call %ld(%#lx, %#lx, "
	       "%#lx, %#lx, %#lx, %#lx)\n",
	       (unsigned long long)seed, progress->call, progress->arg[0], progress->arg[1],
	       progress->arg[2], progress->arg[3], progress->arg[4], progress->arg[5]);
	return false;
}

int
main(int argc, char **argv)
{
	const char *top = getenv("TMPDIR");
	long long seconds = 2, children = -1, seed = 1, done = 0;
	char directory[256], command[300];
	bool good = true;
	int64_t end;
	int option;

	while ((option = getopt(argc, argv, "s:t:c:gln")) != -1) {
		if (option == 's')
			seed = atoll(optarg);
		else if (option == 't')
			seconds = atoll(optarg);
		else if (option == 'c')
			children = atoll(optarg);
		else if (option == 'g')
			guest = true;
		else if (option == 'l')
			return puts("fuzz: does the kernel live when every "
				    "call gets random arguments?") < 0;
		else if (option == 'n')
			return puts("skip fuzz: needs fork\n"
				    "0 passed, 0 failed") < 0;
		else
			return 2;
	}
	setvbuf(stdout, NULL, _IONBF, 0);
	progress = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	snprintf(directory, sizeof(directory), "%s/fuzz.XXXXXX", top ? top : "/tmp");
	if (progress == MAP_FAILED || !mkdtemp(directory) || chmod(directory, 0777) != 0 ||
	    chdir(directory) != 0) {
		puts("FAIL fuzz: no scratch directory\n0 passed, 1 failed");
		return 1;
	}
	end = now_ms() + seconds * 1000;
	while (good && children != 0 && (now_ms() < end || children > 0)) {
		good = run_child(seed + done++) && still_works();
		children -= children > 0;
	}
	if (chdir("/") == 0) {
		snprintf(command, sizeof(command), "rm -rf '%s'", directory);
		good &= system(command) != 127 << 8;
	}
	if (good)
		printf("ok fuzz (%lld children, %ld calls)\n", done, progress->made);
	else
		printf("FAIL fuzz: after child %lld\n", seed + done - 1);
	puts(good ? "1 passed, 0 failed" : "0 passed, 1 failed");
	return !good;
}
