/*
 * Asks too much of a system, one way a mode, and says what came of it.
 *
 *   stress fork N      N children at once, or as many as there can be
 *   stress hog         a child that touches memory until it is ended
 *   stress threads N   N threads at once, or as many as there can be
 *   stress files N     N open descriptors, or as many as there can be
 *   stress elf N       runs N damaged copies of /bin/busybox
 *   stress calls S     children that make random calls for S seconds
 *   stress memory      prints the free memory in KiB
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t state = 88172645463325252ull;

static uint64_t
next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static void
too_many_children(int wanted)
{
	pid_t *child = calloc(wanted, sizeof *child);
	int count = 0, reason = 0;

	while (count < wanted) {
		pid_t pid = fork();
		if (pid == 0) {
			/* If we are ended for want of memory, they go too. */
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (;;)
				pause();
		}
		if (pid < 0) {
			reason = errno;
			break;
		}
		child[count++] = pid;
	}
	for (int i = 0; i < count; i++)
		kill(child[i], SIGKILL);
	int reaped = 0;
	while (wait(NULL) > 0)
		reaped++;
	printf("%d children, %d reaped, %s\n", count, reaped, reason ? strerror(reason) : "no limit");
}

static void
hog(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		for (;;) {
			size_t size = 1 << 20;
			char *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
			if (p == MAP_FAILED)
				_exit(12);
			memset(p, 1, size);
		}
	}
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status))
		printf("hog ended by signal %d\n", WTERMSIG(status));
	else
		printf("hog ended with %d\n", WEXITSTATUS(status));
}

static void *
wait_for_ever(void *arg)
{
	pause();
	return arg;
}

static void
too_many_threads(int wanted)
{
	pthread_attr_t attr;
	pthread_t thread;
	int count = 0, err = 0;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	while (count < wanted && (err = pthread_create(&thread, &attr, wait_for_ever, NULL)) == 0)
		count++;
	printf("%d threads, %s\n", count, err ? strerror(err) : "no limit");
}

static void
too_many_files(int wanted)
{
	struct rlimit limit = {wanted + 16, wanted + 16};
	int count = 0;

	setrlimit(RLIMIT_NOFILE, &limit);
	while (count < wanted && open("/dev/null", O_RDONLY) >= 0)
		count++;
	printf("%d files, %s\n", count, count < wanted ? strerror(errno) : "no limit");
}

static int
run_limited(const char *path, int seconds)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct rlimit cpu = {seconds, seconds}, space = {64 << 20, 64 << 20};
		int null = open("/dev/null", O_RDWR);
		setrlimit(RLIMIT_CPU, &cpu);
		setrlimit(RLIMIT_AS, &space);
		dup2(null, 0);
		dup2(null, 1);
		dup2(null, 2);
		alarm(seconds);
		execl(path, "true", (char *)NULL);
		_exit(errno == ENOEXEC ? 100 : 101);
	}
	waitpid(pid, &status, 0);
	return status;
}

static void
damaged_programs(int count)
{
	struct stat info;
	int from = open("/bin/busybox", O_RDONLY);
	int refused = 0, ended = 0, ran = 0;

	fstat(from, &info);
	unsigned char *whole = malloc(info.st_size);
	if (read(from, whole, info.st_size) != info.st_size)
		exit(1);
	for (int i = 0; i < count; i++) {
		unsigned char *copy = malloc(info.st_size);
		memcpy(copy, whole, info.st_size);
		/* The headers, and of those mostly the program headers. */
		for (int n = 1 + next_random() % 4; n--;)
			copy[next_random() % 1024] = next_random() % 3 ? next_random() : 0xff;
		size_t size = next_random() % 4 ? (size_t)info.st_size
						: next_random() % info.st_size;
		int fd = open("/tmp/damaged", O_WRONLY | O_CREAT | O_TRUNC, 0755);
		if (write(fd, copy, size) != (ssize_t)size)
			exit(1);
		close(fd);
		free(copy);
		int status = run_limited("/tmp/damaged", 5);
		if (WIFSIGNALED(status))
			ended++;
		else if (WEXITSTATUS(status) >= 100)
			refused++;
		else
			ran++;
	}
	printf("%d damaged programs: %d refused, %d ended, %d ran\n", count, refused, ended, ran);
}

/* Calls that do what they are asked to the whole machine. */
static int
left_out(long number)
{
	static const long list[] = {
		SYS_reboot, SYS_kill, SYS_tkill, SYS_tgkill, SYS_rt_sigqueueinfo,
		SYS_rt_tgsigqueueinfo, SYS_pidfd_send_signal, SYS_settimeofday, SYS_clock_settime,
		SYS_adjtimex, SYS_clock_adjtime, SYS_sethostname, SYS_setdomainname, SYS_umount2,
		SYS_mount, SYS_move_mount, SYS_pivot_root, SYS_chroot, SYS_swapon, SYS_swapoff,
		SYS_iopl, SYS_ioperm, SYS_init_module, SYS_finit_module, SYS_delete_module,
		SYS_kexec_load, SYS_kexec_file_load, SYS_syslog, SYS_vhangup, SYS_exit_group,
		SYS_exit, SYS_pause, SYS_ptrace, SYS_process_vm_writev, SYS_unshare, SYS_setns,
		SYS_acct, SYS_quotactl, SYS_unlink, SYS_unlinkat, SYS_rename, SYS_renameat,
		SYS_renameat2, SYS_rmdir, SYS_truncate, SYS_bpf, SYS_mount_setattr, SYS_fsmount,
		SYS_setpriority, SYS_sched_setscheduler, SYS_sched_setattr, SYS_prlimit64,
		SYS_mlockall, SYS_rt_sigsuspend, SYS_rt_sigreturn,
	};

	for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
		if (list[i] == number)
			return 1;
	}
	return 0;
}

static char *area;

static long
random_argument(void)
{
	switch (next_random() % 10) {
	case 0:
		return next_random() % 16;
	case 1:
		return -(long)(next_random() % 200);
	case 2:
		return (long)next_random();
	case 3:
		return (long)(area + next_random() % 8192);
	case 4:
		return (long)(area + 4096 - next_random() % 64); /* across a page's end */
	case 5:
		return (long)0xffffffff80000000 + (long)(next_random() % 65536);
	case 6:
		return (long)(0x7ffffffff000ul - next_random() % 64);
	case 7:
		return 1l << (next_random() % 64);
	case 8:
		return (long)next_random() & 0xfff;
	default:
		return 0;
	}
}

static void
random_calls(uint64_t seed)
{
	state = seed * 2654435761u + 1;
	area = mmap(NULL, 12288, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(area + 8192, 4096);
	for (int fd = 0; fd < 3; fd++)
		dup2(open("/dev/null", O_RDWR), fd);
	struct rlimit files = {256, 256}, space = {256 << 20, 256 << 20}, procs = {64, 64};
	setrlimit(RLIMIT_NOFILE, &files);
	setrlimit(RLIMIT_AS, &space);
	setrlimit(RLIMIT_NPROC, &procs);
	setsid();
	if (chdir("/tmp"))
		_exit(1);
	for (int i = 0; i < 3000; i++) {
		long number = next_random() % 460;
		if (left_out(number))
			continue;
		/* No fork: the children would go on from here. */
		if (number == SYS_fork || number == SYS_vfork || number == SYS_clone ||
		    number == SYS_clone3)
			continue;
		syscall(number, random_argument(), random_argument(), random_argument(),
			random_argument(), random_argument(), random_argument());
	}
	_exit(0);
}

static void
many_random_calls(int seconds)
{
	time_t end = time(NULL) + seconds;
	int children = 0;

	while (time(NULL) < end) {
		pid_t pid = fork();
		if (pid == 0) {
			alarm(3);
			random_calls(children);
		}
		/* It may have blocked its alarm, or stopped itself. */
		for (int i = 0; i < 500 && waitpid(pid, NULL, WNOHANG) == 0; i++)
			usleep(10000);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		children++;
	}
	printf("%d children made random calls\n", children);
}

static void
free_memory(void)
{
	struct sysinfo info;

	sync();
	sysinfo(&info);
	printf("free %llu\n", (unsigned long long)info.freeram * info.mem_unit / 1024);
}

int
main(int argc, char **argv)
{
	int count = argc > 2 ? atoi(argv[2]) : 0;

	if (argc < 2)
		return 2;
	if (strcmp(argv[1], "fork") == 0)
		too_many_children(count);
	else if (strcmp(argv[1], "hog") == 0)
		hog();
	else if (strcmp(argv[1], "threads") == 0)
		too_many_threads(count);
	else if (strcmp(argv[1], "files") == 0)
		too_many_files(count);
	else if (strcmp(argv[1], "elf") == 0)
		damaged_programs(count);
	else if (strcmp(argv[1], "calls") == 0)
		many_random_calls(count);
	else if (strcmp(argv[1], "memory") == 0)
		free_memory();
	else
		return 2;
	return 0;
}
