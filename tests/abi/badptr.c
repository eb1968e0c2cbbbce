/*
 * badptr.c - EFAULT for every pointer argument of the calls in common use:
 * null page, unmapped, kernel and non-canonical addresses, pages that are
 * read-only, and buffers that end at an unmapped page.
 */
#include "abi.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <termios.h>

/* What the arguments of a call stand for. */
enum {
	BAD = 0x7eee0001, /* the bad pointer under test */
	PIPE_IN,
	PIPE_OUT, /* ends of a pipe that holds data */
	FILE_FD,
	DIR_FD,
	SOCKET_FD,
	PAIR_FD,
	LISTEN_FD,
	EPOLL_FD,
	EVENT_FD,
	TIMER_FD,
	WATCH_FD,
	TTY_FD,
	PATH,	 /* the name of a file that exists */
	PROGRAM, /* the name of this program */
	LINK,	 /* the name of a symbolic link */
	GOOD,	 /* a page of zeros */
};

struct row {
	const char *name;
	long number;
	long arg[6];
	int error; /* 0 stands for EFAULT */
};

/* Calls that read what the bad pointer points to. */
static const struct row readers[] = {
	{"write", SYS_write, {PIPE_OUT, BAD, 8}, 0},
	{"write file", SYS_write, {FILE_FD, BAD, 8}, 0},
	{"write event", SYS_write, {EVENT_FD, BAD, 8}, 0},
	{"write socket", SYS_write, {PAIR_FD, BAD, 8}, 0},
	{"pwrite64", SYS_pwrite64, {FILE_FD, BAD, 8, 0}, 0},
	{"writev", SYS_writev, {PIPE_OUT, BAD, 1}, 0},
	{"readv", SYS_readv, {PIPE_IN, BAD, 1}, 0},
	{"open", SYS_open, {BAD, 0, 0}, 0},
	{"openat", SYS_openat, {AT_FDCWD, BAD, 0, 0}, 0},
	{"stat path", SYS_stat, {BAD, GOOD}, 0},
	{"lstat path", SYS_lstat, {BAD, GOOD}, 0},
	{"newfstatat path", SYS_newfstatat, {AT_FDCWD, BAD, GOOD, 0}, 0},
	{"statx path", SYS_statx, {AT_FDCWD, BAD, 0, 0xfff, GOOD}, 0},
	{"access", SYS_access, {BAD, 0}, 0},
	{"faccessat", SYS_faccessat, {AT_FDCWD, BAD, 0}, 0},
	{"chdir", SYS_chdir, {BAD}, 0},
	{"mkdir", SYS_mkdir, {BAD, 0700}, 0},
	{"mkdirat", SYS_mkdirat, {AT_FDCWD, BAD, 0700}, 0},
	{"rmdir", SYS_rmdir, {BAD}, 0},
	{"unlink", SYS_unlink, {BAD}, 0},
	{"unlinkat", SYS_unlinkat, {AT_FDCWD, BAD, 0}, 0},
	{"rename old", SYS_rename, {BAD, PATH}, 0},
	{"rename new", SYS_rename, {PATH, BAD}, 0},
	{"renameat2", SYS_renameat2, {AT_FDCWD, BAD, AT_FDCWD, PATH, 0}, 0},
	{"link old", SYS_link, {BAD, PATH}, 0},
	{"link new", SYS_link, {PATH, BAD}, 0},
	{"symlink text", SYS_symlink, {BAD, PATH}, 0},
	{"symlink name", SYS_symlink, {PATH, BAD}, 0},
	{"readlink path", SYS_readlink, {BAD, GOOD, 100}, 0},
	{"chmod", SYS_chmod, {BAD, 0600}, 0},
	{"fchmodat", SYS_fchmodat, {AT_FDCWD, BAD, 0600}, 0},
	{"chown", SYS_chown, {BAD, -1, -1}, 0},
	{"truncate", SYS_truncate, {BAD, 0}, 0},
	{"utimensat path", SYS_utimensat, {AT_FDCWD, BAD, 0, 0}, 0},
	{"utimensat times", SYS_utimensat, {AT_FDCWD, PATH, BAD, 0}, 0},
	{"statfs path", SYS_statfs, {BAD, GOOD}, 0},
	{"mknod", SYS_mknod, {BAD, S_IFREG | 0600, 0}, 0},
	{"execve path", SYS_execve, {BAD, 0, 0}, 0},
	{"execve argv", SYS_execve, {PROGRAM, BAD, 0}, 0},
	{"execve envp", SYS_execve, {PROGRAM, 0, BAD}, 0},
	{"rt_sigaction", SYS_rt_sigaction, {SIGUSR1, BAD, 0, 8}, 0},
	{"rt_sigprocmask", SYS_rt_sigprocmask, {0, BAD, 0, 8}, 0},
	{"rt_sigsuspend", SYS_rt_sigsuspend, {BAD, 8}, 0},
	{"rt_sigtimedwait", SYS_rt_sigtimedwait, {BAD, 0, 0, 8}, 0},
	{"rt_sigqueueinfo", SYS_rt_sigqueueinfo, {0x3ffffff, 10, BAD}, 0},
	{"sigaltstack", SYS_sigaltstack, {BAD, 0}, 0},
	{"signalfd4", SYS_signalfd4, {-1, BAD, 8, 0}, 0},
	{"nanosleep", SYS_nanosleep, {BAD, 0}, 0},
	{"clock_nanosleep", SYS_clock_nanosleep, {1, 0, BAD, 0}, 0},
	{"setitimer", SYS_setitimer, {1, BAD, 0}, 0},
	{"timer_create", SYS_timer_create, {1, BAD, GOOD}, 0},
	{"timerfd_settime", SYS_timerfd_settime, {TIMER_FD, 0, BAD, 0}, 0},
	{"futex time", SYS_futex, {GOOD, 0, 0, BAD, 0, 0}, 0},
	{"futex wait", SYS_futex, {BAD, 128, 0, 0, 0, 0}, 0},
	{"poll", SYS_poll, {BAD, 1, 0}, 0},
	{"ppoll", SYS_ppoll, {BAD, 1, 0, 0, 8}, 0},
	{"ppoll mask", SYS_ppoll, {0, 0, 0, BAD, 8}, 0},
	{"select in", SYS_select, {10, BAD, 0, 0, GOOD}, 0},
	{"select out", SYS_select, {10, 0, BAD, 0, GOOD}, 0},
	{"pselect6", SYS_pselect6, {0, 0, 0, 0, BAD, 0}, 0},
	{"epoll_ctl", SYS_epoll_ctl, {EPOLL_FD, 1, EVENT_FD, BAD}, 0},
	{"epoll_pwait mask", SYS_epoll_pwait, {EPOLL_FD, GOOD, 1, 0, BAD, 8}, 0},
	{"inotify_add_watch", SYS_inotify_add_watch, {WATCH_FD, BAD, 2}, 0},
	{"bind", SYS_bind, {SOCKET_FD, BAD, 16}, 0},
	{"connect", SYS_connect, {SOCKET_FD, BAD, 16}, 0},
	{"sendto", SYS_sendto, {PAIR_FD, BAD, 8, 0, 0, 0}, 0},
	{"sendto name", SYS_sendto, {SOCKET_FD, GOOD, 8, 0, BAD, 16}, 0},
	{"sendmsg", SYS_sendmsg, {PAIR_FD, BAD, 0}, 0},
	{"recvmsg", SYS_recvmsg, {PAIR_FD, BAD, 0}, 0},
	{"setsockopt", SYS_setsockopt, {SOCKET_FD, 1, 2, BAD, 4}, 0},
	{"getsockopt size", SYS_getsockopt, {SOCKET_FD, 1, 3, GOOD, BAD}, 0},
	{"sendfile offset", SYS_sendfile, {PIPE_OUT, FILE_FD, BAD, 1}, 0},
	{"prlimit64 new", SYS_prlimit64, {0, 4, BAD, 0}, 0},
	{"setrlimit", SYS_setrlimit, {4, BAD}, 0},
	{"sched_setaffinity", SYS_sched_setaffinity, {0, 8, BAD}, 0},
	{"sched_setparam", SYS_sched_setparam, {0, BAD}, 0},
	{"memfd_create", SYS_memfd_create, {BAD, 0}, 0},
	{"prctl name", SYS_prctl, {15, BAD, 0, 0, 0}, 0},
	{"clone3", SYS_clone3, {BAD, 64}, 0},
	{"fcntl lock", SYS_fcntl, {FILE_FD, F_SETLK, BAD}, 0},
	{"tcsetattr", SYS_ioctl, {TTY_FD, TCSETS, BAD}, 0},
	{"set window", SYS_ioctl, {TTY_FD, TIOCSWINSZ, BAD}, 0},
};

/* Calls that write to what the bad pointer points to. */
static const struct row writers[] = {
	{"read", SYS_read, {PIPE_IN, BAD, 8}, 0},
	{"read file", SYS_read, {FILE_FD, BAD, 8}, 0},
	{"read socket", SYS_read, {PAIR_FD, BAD, 8}, 0},
	{"read event", SYS_read, {EVENT_FD, BAD, 8}, 0},
	{"pread64", SYS_pread64, {FILE_FD, BAD, 8, 0}, 0},
	{"pipe", SYS_pipe, {BAD}, 0},
	{"pipe2", SYS_pipe2, {BAD, 0}, 0},
	{"stat", SYS_stat, {PATH, BAD}, 0},
	{"lstat", SYS_lstat, {PATH, BAD}, 0},
	{"fstat", SYS_fstat, {FILE_FD, BAD}, 0},
	{"newfstatat", SYS_newfstatat, {AT_FDCWD, PATH, BAD, 0}, 0},
	{"statx", SYS_statx, {AT_FDCWD, PATH, 0, 0xfff, BAD}, 0},
	{"statfs", SYS_statfs, {PATH, BAD}, 0},
	{"fstatfs", SYS_fstatfs, {FILE_FD, BAD}, 0},
	{"readlink", SYS_readlink, {LINK, BAD, 100}, 0},
	{"readlinkat", SYS_readlinkat, {AT_FDCWD, LINK, BAD, 100}, 0},
	{"getcwd", SYS_getcwd, {BAD, 4000}, 0},
	{"getdents64", SYS_getdents64, {DIR_FD, BAD, 4000}, 0},
	{"uname", SYS_uname, {BAD}, 0},
	{"sysinfo", SYS_sysinfo, {BAD}, 0},
	{"times", SYS_times, {BAD}, 0},
	{"getrusage", SYS_getrusage, {0, BAD}, 0},
	{"getrlimit", SYS_getrlimit, {4, BAD}, 0},
	{"prlimit64 old", SYS_prlimit64, {0, 4, 0, BAD}, 0},
	{"gettimeofday", SYS_gettimeofday, {BAD, 0}, 0},
	{"time", SYS_time, {BAD}, 0},
	{"clock_gettime", SYS_clock_gettime, {1, BAD}, 0},
	{"clock_getres", SYS_clock_getres, {1, BAD}, 0},
	{"getitimer", SYS_getitimer, {0, BAD}, 0},
	{"timer_create id", SYS_timer_create, {1, 0, BAD}, 0},
	{"timerfd_gettime", SYS_timerfd_gettime, {TIMER_FD, BAD}, 0},
	{"rt_sigaction old", SYS_rt_sigaction, {SIGUSR1, 0, BAD, 8}, 0},
	{"rt_sigprocmask old", SYS_rt_sigprocmask, {0, 0, BAD, 8}, 0},
	{"rt_sigpending", SYS_rt_sigpending, {BAD, 8}, 0},
	{"sigaltstack old", SYS_sigaltstack, {0, BAD}, 0},
	{"getrandom", SYS_getrandom, {BAD, 16, 0}, 0},
	{"getgroups", SYS_getgroups, {100, BAD}, -1},
	{"getresuid", SYS_getresuid, {BAD, GOOD, GOOD}, 0},
	{"getresgid", SYS_getresgid, {GOOD, GOOD, BAD}, 0},
	{"sched_getaffinity", SYS_sched_getaffinity, {0, 128, BAD}, 0},
	{"sched_getparam", SYS_sched_getparam, {0, BAD}, 0},
	{"sched_rr", SYS_sched_rr_get_interval, {0, BAD}, 0},
	{"getcpu", SYS_getcpu, {BAD, 0, 0}, 0},
	{"epoll_wait", SYS_epoll_wait, {EPOLL_FD, BAD, 1, 0}, 0},
	{"socketpair", SYS_socketpair, {AF_UNIX, SOCK_STREAM, 0, BAD}, 0},
	{"getsockname", SYS_getsockname, {PAIR_FD, BAD, GOOD}, -2},
	{"getsockname size", SYS_getsockname, {PAIR_FD, GOOD, BAD}, 0},
	{"recvfrom", SYS_recvfrom, {PAIR_FD, BAD, 8, 0, 0, 0}, 0},
	{"prctl get", SYS_prctl, {16, BAD, 0, 0, 0}, 0},
	{"arch_prctl", SYS_arch_prctl, {0x1003, BAD}, 0},
	{"FIONREAD", SYS_ioctl, {PIPE_IN, FIONREAD, BAD}, 0},
	{"tcgetattr", SYS_ioctl, {TTY_FD, TCGETS, BAD}, 0},
	{"get window", SYS_ioctl, {TTY_FD, TIOCGWINSZ, BAD}, 0},
	{"mincore", SYS_mincore, {GOOD, 4096, BAD}, 0},
	{"capget", SYS_capget, {BAD, GOOD}, 0},
};

static int fds[TTY_FD - BAD + 1];
static char *good;

static void
prepare(void)
{
	uint64_t one = 1;
	int pair[2];

	OK(pipe(pair));
	fds[PIPE_IN - BAD] = pair[0];
	fds[PIPE_OUT - BAD] = pair[1];
	OK(fcntl(pair[0], F_SETFL, O_NONBLOCK));
	CHECK_EQ(write(pair[1], "sixteen bytes of", 16), 16);
	OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair));
	fds[PAIR_FD - BAD] = pair[0];
	CHECK_EQ(write(pair[1], "sixteen bytes of", 16), 16);
	abi_put_file("file", "sixteen bytes of", 16, 0755);
	OK(symlink("file", "link"));
	fds[FILE_FD - BAD] = OK(open("file", O_RDWR));
	fds[DIR_FD - BAD] = OK(open(".", O_RDONLY));
	fds[SOCKET_FD - BAD] = OK(socket(AF_INET, SOCK_DGRAM, 0));
	fds[EPOLL_FD - BAD] = OK(epoll_create1(0));
	fds[EVENT_FD - BAD] = OK(eventfd(1, EFD_NONBLOCK));
	fds[TIMER_FD - BAD] = OK(timerfd_create(CLOCK_MONOTONIC, 0));
	fds[WATCH_FD - BAD] = OK(inotify_init());
	fds[TTY_FD - BAD] = open("/dev/ptmx", O_RDWR | O_NOCTTY);
	OK(epoll_ctl(fds[EPOLL_FD - BAD], EPOLL_CTL_ADD, fds[PIPE_IN - BAD],
		     &(struct epoll_event){.events = EPOLLIN}));
	CHECK_EQ(write(fds[EVENT_FD - BAD], &one, 8), 8);
	good = MAPPED(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

static long
resolve(long arg, void *bad)
{
	switch (arg) {
	case BAD:
		return (long)bad;
	case PATH:
		return (long)"file";
	case PROGRAM:
		return (long)abi_self;
	case LINK:
		return (long)"link";
	case GOOD:
		return (long)good;
	default:
		if (arg > BAD && arg <= TTY_FD)
			return fds[arg - BAD];
		return arg;
	}
}

static void
try_row(const struct row *row, void *bad)
{
	uint64_t one = 1;
	long arg[6], got;
	int i;

	/* A read that faults may have taken the count. */
	CHECK_EQ(write(fds[EVENT_FD - BAD], &one, 8), 8);
	for (i = 0; i < 6; i++)
		arg[i] = resolve(row->arg[i], bad);
	if (row->arg[0] == TTY_FD && arg[0] < 0)
		return;
	memset(good, 0, 64);
	errno = 0;
	got = syscall(row->number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
	if (row->error == -1 && got == 0)
		return; /* no groups: nothing to write */
	if (row->error == -2)
		return; /* size 0: nothing to write */
	if (row->number == SYS_futex && errno == EINVAL && (uintptr_t)bad & 3)
		return; /* alignment is looked at first */
	if (got != -1 || errno != EFAULT)
		FAIL("%s with %p gives %ld, errno %d, not EFAULT", row->name, bad, got,
		     got == -1 ? errno : 0);
}

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void
try_both(void *bad)
{
	size_t i;

	for (i = 0; i < COUNT(readers); i++)
		try_row(&readers[i], bad);
	for (i = 0; i < COUNT(writers); i++)
		try_row(&writers[i], bad);
}

CASE(low, "is EFAULT the answer to pointers into the first page?")
{
	prepare();
	try_both((void *)8);
	try_both((void *)0xfff);
}

CASE(unmapped, "is EFAULT the answer to an unmapped page?")
{
	char *page;

	prepare();
	page = MAPPED(mmap(NULL, 12288, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	try_both(page + 4096);
	OK(munmap(page, 12288));
	try_both(page + 4096);
}

CASE(kernel, "is EFAULT the answer to kernel and non-canonical addresses?")
{
	prepare();
	try_both((void *)0xffffffff80000000);
	try_both((void *)0xffff800000000000);
	try_both((void *)0xfffffffffffff000);
	try_both((void *)0x0000800000000000);
	try_both((void *)0x8000000000000000);
}

CASE(top, "is EFAULT the answer at the very end of the user addresses?")
{
	prepare();
	try_both((void *)0x7ffffffff000);
	try_both((void *)0x7fffffffffff);
}

CASE(read_only, "is EFAULT the answer where only reading is allowed?")
{
	char *page;
	size_t i;

	prepare();
	page = MAPPED(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	for (i = 0; i < COUNT(writers); i++) {
		if (writers[i].number == SYS_capget)
			continue; /* reads first */
		try_row(&writers[i], page);
	}
}

CASE(page_end, "is EFAULT the answer when a structure runs into an unmapped page?")
{
	char *page;
	size_t i;

	prepare();
	page = MAPPED(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	OK(munmap(page + 4096, 4096));
	memset(page, 'x', 4096);
	for (i = 0; i < COUNT(writers); i++) {
		switch (writers[i].number) {
		case SYS_read:
		case SYS_pread64:
		case SYS_readlink:
		case SYS_readlinkat:
		case SYS_recvfrom:
		case SYS_getrandom:
		case SYS_getdents64:
		case SYS_getcwd:
		case SYS_mincore:
		case SYS_getcpu:
		case SYS_capget:
		case SYS_getsockname:
			break; /* may fit, or stop short */
		default:
			try_row(&writers[i], page + 4095);
		}
	}
	memset(page, 'x', 4096);
	CHECK_ERR(open(page + 4000, O_RDONLY), EFAULT);
	memcpy(page + 4091, "file", 5);
	OK(close(OK(open(page + 4091, O_RDONLY))));
}

CASE(partial, "is data that fits before the unmapped page delivered whole or not lost?")
{
	char *page;
	int fd;
	ssize_t got;

	prepare();
	page = MAPPED(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	OK(munmap(page + 4096, 4096));
	fd = OK(open("file", O_RDWR));
	got = read(fd, page + 4088, 16);
	CHECK(got == 8 || (got == -1 && errno == EFAULT));
	if (got == 8)
		CHECK(memcmp(page + 4088, "sixteen ", 8) == 0);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), got == 8 ? 8 : 0);
	got = pwrite(fd, page + 4088, 16, 100);
	CHECK(got == 8 || (got == -1 && errno == EFAULT));
}

CASE(null_allowed, "are null pointers taken where the manual allows them?")
{
	prepare();
	OK(syscall(SYS_rt_sigaction, SIGUSR1, NULL, NULL, 8));
	OK(syscall(SYS_rt_sigprocmask, 0, NULL, NULL, 8));
	OK(syscall(SYS_sigaltstack, NULL, NULL));
	OK(syscall(SYS_prlimit64, 0, 4, NULL, NULL));
	OK(syscall(SYS_gettimeofday, NULL, NULL));
	OK(syscall(SYS_time, NULL));
	OK(syscall(SYS_times, NULL));
	OK(syscall(SYS_clock_getres, 1, NULL));
	OK(syscall(SYS_utimensat, AT_FDCWD, "file", NULL, 0));
	OK(syscall(SYS_read, fds[PIPE_IN - BAD], NULL, 0));
	OK(syscall(SYS_write, fds[PIPE_OUT - BAD], NULL, 0));
	OK(syscall(SYS_poll, NULL, 0, 0));
	CHECK_ERR(syscall(SYS_wait4, -1, NULL, 0, NULL), ECHILD);
}

static void *
map_and_unmap(void *arg)
{
	char *volatile *shared = arg;
	char *page = *shared;
	int i;

	for (i = 0; i < 500; i++) {
		OK(munmap(page, 4096));
		MAPPED(mmap(page, 4096, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	}
	*shared = NULL;
	return NULL;
}

CASE(unmapped_meanwhile, "what if another thread unmaps the buffer of a read or write?")
{
	char *page = MAPPED(
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	char *volatile shared = page;
	pthread_t thread;
	char text[16];
	int fd[2];

	OK(pipe2(fd, O_NONBLOCK));
	PT(pthread_create(&thread, NULL, map_and_unmap, (void *)&shared));
	while (shared) {
		CHECK(write(fd[1], page, 16) == 16 || errno == EFAULT || errno == EAGAIN);
		CHECK(read(fd[0], page, 16) >= 0 || errno == EFAULT || errno == EAGAIN);
		while (read(fd[0], text, sizeof(text)) > 0)
			;
	}
	PT(pthread_join(thread, NULL));
}
