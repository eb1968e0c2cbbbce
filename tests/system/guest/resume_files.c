/* Files, names, pipes and events, before and after the power goes. */
#include "resume.h"

#include <dirent.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

/* --- names and attributes --- */

CASE(offsets_are_shared)
{
	char c[4] = "";
	int fd = open("/tmp/shared", O_RDWR | O_CREAT | O_TRUNC, 0600), copy;

	CHECK(write(fd, "abcdef", 6) == 6 && lseek(fd, 2, SEEK_SET) == 2);
	copy = dup(fd);
	cut();
	CHECK(read(fd, c, 1) == 1 && read(copy, c + 1, 1) == 1 && strcmp(c, "cd") == 0);
	CHECK((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR);
	CHECK(pwrite(copy, "X", 1, 0) == 1 && lseek(fd, 0, SEEK_SET) == 0);
	CHECK(read(fd, c, 1) == 1 && c[0] == 'X');
}

CASE(page_faults_are_counted_on)
{
	struct rusage before, after;
	char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	for (size_t i = 0; i < 1 << 20; i += 4096)
		p[i] = 1;
	CHECK(getrusage(RUSAGE_SELF, &before) == 0 && before.ru_minflt >= 1);
	cut();
	CHECK(getrusage(RUSAGE_SELF, &after) == 0 && after.ru_minflt >= before.ru_minflt);
}

CASE(attributes)
{
	struct timespec times[2] = {{12345, 67}, {23456, 89}};
	struct stat was, is;
	uid_t owner;

	write_file("/tmp/attributes", "x");
	owner = chown("/tmp/attributes", 12, 34) == 0 ? 12 : 0; /* a namespace may not have it */
	CHECK(chmod("/tmp/attributes", 06751) == 0);
	CHECK(link("/tmp/attributes", "/tmp/attributes2") == 0);
	CHECK(utimensat(AT_FDCWD, "/tmp/attributes", times, 0) == 0);
	CHECK(stat("/tmp/attributes", &was) == 0);
	cut();
	CHECK(stat("/tmp/attributes2", &is) == 0);
	CHECK(is.st_ino == was.st_ino && is.st_dev == was.st_dev && is.st_nlink == 2);
	CHECK(is.st_mode == (S_IFREG | 06751) && is.st_uid == owner);
	CHECK(is.st_mtim.tv_sec == 23456 && is.st_mtim.tv_nsec == 89);
	CHECK(is.st_atim.tv_nsec == 67 && is.st_ctim.tv_sec == was.st_ctim.tv_sec);
	CHECK(unlink("/tmp/attributes") == 0 && stat("/tmp/attributes2", &is) == 0);
	CHECK(is.st_nlink == 1);
}

CASE(links_and_directories)
{
	char text[64] = "";
	struct stat st;

	CHECK(mkdir("/tmp/tree", 0755) == 0 && mkdir("/tmp/tree/a", 0755) == 0);
	CHECK(mkdir("/tmp/tree/a/b", 01755) == 0 && symlink("a/b/../x", "/tmp/tree/l") == 0);
	write_file("/tmp/tree/a/x", "through the link");
	CHECK(rename("/tmp/tree/a/b", "/tmp/tree/c") == 0);
	CHECK(symlink("../x", "/tmp/tree/c/up") == 0);
	CHECK(chdir("/tmp/tree/c") == 0);
	cut();
	CHECK(readlink("/tmp/tree/l", text, sizeof(text)) == 8 && !strcmp(text, "a/b/../x"));
	CHECK(stat("../c", &st) == 0 && st.st_nlink == 2 && (st.st_mode & 07777) == 01755);
	CHECK(stat("/tmp/tree", &st) == 0 && st.st_nlink == 4);
	CHECK(getcwd(text, sizeof(text)) && strcmp(text, "/tmp/tree/c") == 0);
	CHECK(rmdir("/tmp/tree/a") == -1 && errno == ENOTEMPTY);
	write_file("../x", "up");
	CHECK(file_is("/tmp/tree/c/up", "up") && file_is("/tmp/tree/a/x", "through the link"));
	CHECK(rename("/tmp/tree/c", "/tmp/tree/d") == 0 && file_is("/tmp/tree/d/up", "up"));
	CHECK(mkdir("/tmp/tree/new", 0700) == 0 && access("/tmp/tree/new", F_OK) == 0);
}

CASE(a_directory_is_read_on)
{
	char name[64], seen[400] = "";
	struct dirent *e;
	DIR *d;

	CHECK(mkdir("/tmp/many", 0755) == 0);
	for (int i = 0; i < 400; i++) {
		snprintf(name, sizeof(name), "/tmp/many/%d-a-rather-long-name-of-a-file", i);
		if (i % 3)
			write_file(name, "");
		else
			CHECK(mkdir(name, 0755) == 0);
	}
	d = opendir("/tmp/many");
	CHECK(d != NULL);
	for (int i = 0; i < 100; i++)
		if ((e = readdir(d)) && e->d_name[0] != '.')
			seen[atoi(e->d_name)]++;
	cut();
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			seen[atoi(e->d_name)]++;
	for (int i = 0; i < 400; i++)
		CHECK(seen[i] == 1);
}

CASE(files_without_a_name)
{
	int fd = open("/tmp/gone", O_RDWR | O_CREAT, 0600);
	int tmp = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	char c[8] = "", path[64];
	struct stat st;

	CHECK(fd >= 0 && tmp >= 0 && write(fd, "gone", 4) == 4 && write(tmp, "tmp", 3) == 3);
	CHECK(unlink("/tmp/gone") == 0);
	cut();
	CHECK(access("/tmp/gone", F_OK) == -1);
	CHECK(pread(fd, c, 8, 0) == 4 && strcmp(c, "gone") == 0);
	CHECK(fstat(fd, &st) == 0 && st.st_nlink == 0 && ftruncate(fd, 2) == 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", tmp);
	CHECK(linkat(AT_FDCWD, path, AT_FDCWD, "/tmp/named", AT_SYMLINK_FOLLOW) == 0);
	CHECK(file_is("/tmp/named", "tmp"));
}

CASE(a_directory_that_is_gone)
{
	char path[64];

	CHECK(mkdir("/tmp/nowhere", 0755) == 0 && chdir("/tmp/nowhere") == 0);
	CHECK(rmdir("/tmp/nowhere") == 0);
	cut();
	CHECK(!getcwd(path, sizeof(path)) && errno == ENOENT);
	CHECK(open("x", O_WRONLY | O_CREAT, 0600) == -1 && errno == ENOENT);
	CHECK(chdir("..") == 0 && getcwd(path, sizeof(path)) && strcmp(path, "/tmp") == 0);
}

CASE(memfds)
{
	int fd = memfd_create("code", MFD_ALLOW_SEALING);
	char *rw, *rx;

	CHECK(ftruncate(fd, 8192) == 0);
	rw = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	rx = mmap(NULL, 8192, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	CHECK(rw != MAP_FAILED && rx != MAP_FAILED);
	CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW) == 0);
	rw[5000] = 'x';
	cut();
	CHECK(rx[5000] == 'x');
	rw[5001] = 'y';
	CHECK(rx[5001] == 'y');
	CHECK(fcntl(fd, F_GET_SEALS) == F_SEAL_GROW && ftruncate(fd, 9000) == -1);
	CHECK(ftruncate(fd, 5000) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
}

CASE(a_mount)
{
	CHECK(mkdir("/tmp/mount", 0755) == 0 && mount("t", "/tmp/mount", "tmpfs", 0, "") == 0);
	write_file("/tmp/mount/f", "inside");
	cut();
	CHECK(file_is("/tmp/mount/f", "inside"));
	CHECK(rename("/tmp/mount/f", "/tmp/f") == -1 && errno == EXDEV);
	CHECK(umount("/tmp/mount") == 0 && access("/tmp/mount/f", F_OK) == -1);
}

CASE(files_of_the_kernel)
{
	int null = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDONLY);
	int status = open("/proc/self/status", O_RDONLY), dir = open("/proc/self", O_RDONLY);
	int random = open("/dev/urandom", O_RDONLY), path = open("/tmp", O_PATH);
	int maps = open("/proc/self/maps", O_RDONLY);
	bool made = resume_cuts > 0; /* not on the host, where it would stay */
	const char *mine = "/dev/mine";
	char buf[4096] = "", name[64];
	struct stat st;

	if (made)
		CHECK(symlink("null", mine) == 0 && chmod("/dev/full", 0640) == 0);
	CHECK(null >= 0 && zero >= 0 && status >= 0 && dir >= 0 && random >= 0 && path >= 0);
	CHECK(maps >= 0);
	cut();
	CHECK(write(null, "x", 1) == 1 && read(null, buf, 1) == 0 && read(zero, buf, 9) == 9);
	CHECK(read(random, buf, 16) == 16);
	CHECK(pread(status, buf, sizeof(buf) - 1, 0) > 0);
	snprintf(name, sizeof(name), "Pid:\t%d\n", getpid());
	CHECK(strstr(buf, name) && faccessat(dir, "maps", R_OK, 0) == 0);
	CHECK(read(maps, buf, sizeof(buf)) > 0); /* not everybody may */
	CHECK(fstat(path, &st) == 0 && S_ISDIR(st.st_mode));
	CHECK(!made || readlink(mine, buf, sizeof(buf)) == 4);
	CHECK(!made || (stat("/dev/full", &st) == 0 && (st.st_mode & 07777) == 0640));
}

/* --- locks --- */

static bool
others_may_lock(const char *path, int how)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct flock l = {.l_type = F_WRLCK, .l_start = 10, .l_len = 10};
		int fd = open(path, O_RDWR);

		if (how == LOCK_EX)
			_exit(flock(fd, LOCK_EX | LOCK_NB) != 0);
		_exit(fcntl(fd, how, &l) != 0);
	}
	return waitpid(pid, &status, 0) == pid && status == 0;
}

CASE(locks)
{
	struct flock l = {.l_type = F_WRLCK, .l_start = 5, .l_len = 10};
	int fd[3];

	for (int i = 0; i < 3; i++) {
		char path[16];

		snprintf(path, sizeof(path), "/tmp/lock%d", i);
		fd[i] = open(path, O_RDWR | O_CREAT, 0600);
	}
	CHECK(fcntl(fd[0], F_SETLK, &l) == 0 && flock(fd[1], LOCK_EX) == 0);
	CHECK(fcntl(fd[2], F_OFD_SETLK, &l) == 0);
	cut();
	CHECK(!others_may_lock("/tmp/lock0", F_SETLK) && !others_may_lock("/tmp/lock1", LOCK_EX));
	CHECK(!others_may_lock("/tmp/lock2", F_OFD_SETLK));
	l.l_type = F_UNLCK;
	CHECK(fcntl(fd[0], F_SETLK, &l) == 0);
	close(fd[1]);
	close(fd[2]);
	CHECK(others_may_lock("/tmp/lock0", F_SETLK) && others_may_lock("/tmp/lock1", LOCK_EX));
	CHECK(others_may_lock("/tmp/lock2", F_OFD_SETLK));
}

/* --- pipes --- */

CASE(a_pipe)
{
	static char text[30000];
	int p[2];

	CHECK(pipe2(p, O_NONBLOCK) == 0 && fcntl(p[0], F_SETPIPE_SZ, 32768) == 32768);
	fill(text, 0, sizeof(text));
	CHECK(write(p[1], text, sizeof(text)) == sizeof(text));
	CHECK(read_pattern(p[0], 0, 777));
	cut();
	CHECK(fcntl(p[0], F_GETPIPE_SZ) == 32768 && (fcntl(p[1], F_GETFL) & O_NONBLOCK));
	CHECK(read_pattern(p[0], 777, sizeof(text) - 777));
	CHECK(read(p[0], text, 1) == -1 && errno == EAGAIN);
	close(p[1]);
	CHECK(read(p[0], text, 1) == 0);
}

CASE(a_fifo)
{
	char c[4] = "";
	int fd;

	CHECK(mkfifo("/tmp/fifo", 0600) == 0);
	fd = open("/tmp/fifo", O_RDWR | O_NONBLOCK);
	CHECK(fd >= 0 && write(fd, "ab", 2) == 2);
	cut();
	CHECK(read(open("/tmp/fifo", O_RDONLY), c, 2) == 2 && strcmp(c, "ab") == 0);
	CHECK(write(open("/tmp/fifo", O_WRONLY | O_NONBLOCK), "c", 1) == 1);
	CHECK(read(fd, c, 4) == 1 && c[0] == 'c');
}

struct blocked {
	int fd;
	size_t n;
	ssize_t result;
	int error;
};

static void *
write_all(void *arg)
{
	struct blocked *b = arg;
	char *text = malloc(b->n);

	fill(text, 0, b->n);
	b->result = write(b->fd, text, b->n);
	b->error = errno;
	free(text);
	return NULL;
}

CASE(a_blocked_write_goes_on)
{
	struct blocked b = {.n = 300001};
	pthread_t t;
	int p[2];

	CHECK(pipe(p) == 0);
	b.fd = p[1];
	CHECK(pthread_create(&t, NULL, write_all, &b) == 0);
	CHECK(read_pattern(p[0], 0, 70000));
	nap_ms(100);
	cut();
	CHECK(read_pattern(p[0], 70000, b.n - 70000));
	CHECK(pthread_join(t, NULL) == 0 && b.result == (ssize_t)b.n);
	close(p[1]);
	CHECK(read(p[0], &b, 1) == 0);
}

static void *
read_one(void *arg)
{
	struct blocked *b = arg;
	char c = 0;

	b->result = read(b->fd, &c, 1);
	b->error = errno;
	b->n = (size_t)c;
	return NULL;
}

CASE(a_blocked_read_goes_on)
{
	struct blocked b = {0};
	pthread_t t;
	int p[2];

	CHECK(pipe(p) == 0);
	b.fd = p[0];
	CHECK(pthread_create(&t, NULL, read_one, &b) == 0);
	nap_ms(100);
	cut();
	CHECK(write(p[1], "z", 1) == 1 && pthread_join(t, NULL) == 0);
	CHECK(b.result == 1 && b.n == 'z');
}

CASE(blocked_in_a_lock)
{
	int fd = open("/tmp/wait", O_RDWR | O_CREAT, 0600), status;
	pid_t pid;

	CHECK(flock(fd, LOCK_EX) == 0);
	pid = fork();
	if (pid == 0)
		_exit(flock(open("/tmp/wait", O_RDWR), LOCK_EX) != 0);
	nap_ms(100);
	cut();
	CHECK(waitpid(pid, &status, WNOHANG) == 0 && flock(fd, LOCK_UN) == 0);
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

/* --- events --- */

CASE(eventfds)
{
	int e = eventfd(5, EFD_NONBLOCK), s = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
	uint64_t v;

	cut();
	CHECK(read(e, &v, 8) == 8 && v == 5 && read(e, &v, 8) == -1 && errno == EAGAIN);
	CHECK(read(s, &v, 8) == 8 && v == 1 && read(s, &v, 8) == 8 && v == 1);
	CHECK(read(s, &v, 8) == -1 && errno == EAGAIN);
}

CASE(timerfds)
{
	struct itimerspec once = {.it_value = {.tv_sec = 3}}, now;
	struct itimerspec often = {{0, 20000000}, {0, 20000000}};
	int a = timerfd_create(CLOCK_MONOTONIC, 0), b = timerfd_create(CLOCK_MONOTONIC, 0);
	int done = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	struct timespec from, to;
	uint64_t v;

	CHECK(timerfd_settime(b, 0, &often, NULL) == 0);
	clock_gettime(CLOCK_MONOTONIC, &from);
	CHECK(timerfd_settime(a, 0, &once, NULL) == 0);
	once.it_value = (struct timespec){0, 1};
	CHECK(timerfd_settime(done, 0, &once, NULL) == 0);
	nap_ms(50);
	cut();
	CHECK(read(done, &v, 8) == 8 && v == 1 && timerfd_gettime(done, &now) == 0);
	CHECK(now.it_value.tv_sec == 0 && now.it_value.tv_nsec == 0);
	CHECK(read(b, &v, 8) == 8 && v >= 2 && read(b, &v, 8) == 8 && v >= 1 && v < 20);
	CHECK(read(a, &v, 8) == 8 && v == 1);
	clock_gettime(CLOCK_MONOTONIC, &to);
	CHECK((to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000 >= 2999);
}

static int
watch(int ep, int fd, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.u64 = (uint64_t)fd << 32 | events};

	return epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
}

/* The events of fd among those that are ready; 0: none. */
static uint32_t
ready_for(int ep, int fd)
{
	struct epoll_event ev[16];
	int n = epoll_wait(ep, ev, 16, 0);

	for (int i = 0; i < n; i++)
		if (ev[i].data.u64 >> 32 == (uint64_t)fd)
			return ev[i].events;
	return 0;
}

CASE(epolls)
{
	int ep = epoll_create1(0), outer = epoll_create1(0), once = eventfd(1, 0);
	int level = eventfd(1, 0), edge = eventfd(0, 0), quiet = eventfd(0, 0), copy;
	uint64_t one = 1;

	CHECK(!watch(ep, level, EPOLLIN) && !watch(ep, edge, EPOLLIN | EPOLLET));
	CHECK(!watch(ep, once, EPOLLIN | EPOLLONESHOT) && !watch(ep, quiet, EPOLLIN));
	CHECK(!watch(outer, ep, EPOLLIN));
	CHECK(ready_for(ep, once) == EPOLLIN); /* and it is disabled */
	copy = dup(quiet);
	close(quiet);
	cut();
	CHECK(ready_for(outer, ep) == EPOLLIN && ready_for(ep, level) == EPOLLIN);
	CHECK(ready_for(ep, once) == 0 && ready_for(ep, edge) == 0 && ready_for(ep, quiet) == 0);
	CHECK(write(edge, &one, 8) == 8 && ready_for(ep, edge) == EPOLLIN);
	CHECK(ready_for(ep, edge) == 0 && write(copy, &one, 8) == 8);
	CHECK(ready_for(ep, quiet) == EPOLLIN);
	CHECK(epoll_ctl(ep, EPOLL_CTL_MOD, once,
			&(struct epoll_event){EPOLLIN, {.u64 = (uint64_t)once << 32}}) == 0);
	CHECK(ready_for(ep, once) == EPOLLIN);
	CHECK(epoll_ctl(ep, EPOLL_CTL_DEL, level, NULL) == 0 && ready_for(ep, level) == 0);
}

static void *
wait_epoll(void *arg)
{
	struct blocked *b = arg;
	struct epoll_event ev;

	b->result = epoll_wait(b->fd, &ev, 1, 30000);
	b->error = errno;
	return NULL;
}

CASE(blocked_in_epoll_wait)
{
	int ep = epoll_create1(0), e = eventfd(0, 0);
	struct blocked b = {.fd = ep};
	uint64_t one = 1;
	pthread_t t;

	CHECK(watch(ep, e, EPOLLIN | EPOLLET) == 0);
	CHECK(pthread_create(&t, NULL, wait_epoll, &b) == 0);
	nap_ms(100);
	cut();
	CHECK(write(e, &one, 8) == 8 && pthread_join(t, NULL) == 0 && b.result == 1);
}

CASE(signalfds)
{
	int ep = epoll_create1(0), fd;
	struct signalfd_siginfo info;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	fd = signalfd(-1, &set, SFD_NONBLOCK);
	CHECK(watch(ep, fd, EPOLLIN) == 0 && kill(getpid(), SIGUSR1) == 0);
	cut();
	CHECK(ready_for(ep, fd) == EPOLLIN);
	CHECK(read(fd, &info, sizeof(info)) == sizeof(info) && info.ssi_signo == SIGUSR1);
	CHECK(ready_for(ep, fd) == 0 && kill(getpid(), SIGUSR2) == 0);
	CHECK(ready_for(ep, fd) == EPOLLIN);
}

CASE(inotifies)
{
	char buf[512] __attribute__((aligned(8)));
	struct inotify_event *e = (void *)buf;
	int fd = inotify_init1(IN_NONBLOCK), wd;

	CHECK(mkdir("/tmp/watched", 0755) == 0);
	wd = inotify_add_watch(fd, "/tmp/watched", IN_CREATE | IN_DELETE);
	write_file("/tmp/watched/one", "1");
	cut();
	write_file("/tmp/watched/two", "2");
	CHECK(read(fd, buf, sizeof(*e) + 16) > 0 && e->wd == wd && e->mask == IN_CREATE);
	CHECK(strcmp(e->name, "one") == 0);
	CHECK(read(fd, buf, sizeof(buf)) > 0 && strcmp(e->name, "two") == 0);
	CHECK(inotify_rm_watch(fd, wd) == 0 && read(fd, buf, sizeof(buf)) > 0);
	CHECK(e->mask == IN_IGNORED);
}

/* What fdinfo says: -1 for a process that nobody can find any more. */
static int
pid_of_pidfd(int fd)
{
	char path[64], line[64];
	int pid = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Pid: %d", &pid) == 1)
			break;
	if (f)
		fclose(f);
	return pid;
}

/* Its number is free, and is not taken again by its ghost. */
CASE(pidfd_of_one_that_was_reaped)
{
	pid_t pid = fork();
	char path[32];
	int fd;

	if (pid == 0)
		_exit(0);
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	CHECK(fd >= 0 && waitpid(pid, NULL, 0) == pid && pid_of_pidfd(fd) == -1);
	cut();
	snprintf(path, sizeof(path), "/proc/%d", pid);
	CHECK(pid_of_pidfd(fd) == -1);
	CHECK(kill(pid, 0) == -1 && errno == ESRCH && access(path, F_OK) == -1);
	CHECK(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0) == -1 && errno == ESRCH);
}

CASE(pidfds)
{
	pid_t pid = fork();
	struct pollfd p = {.events = POLLIN};
	int status;

	if (pid == 0) {
		for (;;)
			pause();
	}
	p.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	cut();
	CHECK(poll(&p, 1, 0) == 0);
	CHECK(syscall(SYS_pidfd_send_signal, p.fd, SIGTERM, NULL, 0) == 0);
	CHECK(poll(&p, 1, 10000) == 1 && waitpid(pid, &status, 0) == pid);
	CHECK(WTERMSIG(status) == SIGTERM);
}

CASE(close_on_exec_stays)
{
	int keep = dup2(0, 200), lose = fcntl(0, F_DUPFD_CLOEXEC, 100);

	cut();
	CHECK(keep == 200 && fcntl(200, F_GETFD) == 0 && fcntl(lose, F_GETFD) == FD_CLOEXEC);
	CHECK(dup(0) < 100); /* the lowest free number */
	CHECK((umask(022), umask(022)) == 022);
}
