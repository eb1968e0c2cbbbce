/*
 * procfs.c - the files of /proc, /sys and /dev that glibc, BEAM, os_mon and
 * busybox read.
 */
#include "abi.h"
#include <sys/prctl.h>
#include <sys/sysmacros.h>

static char text[1 << 18];

/* The whole file, in small pieces, ended by 0; its length. */
static size_t
slurp(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t size = 0;
	ssize_t got;

	if (fd < 0)
		FAIL("cannot open %s: %d", path, errno);
	while ((got = read(fd, text + size, 1000)) > 0) {
		size += got;
		if (size + 1000 >= sizeof(text))
			break;
	}
	if (got < 0)
		FAIL("cannot read %s: %d", path, errno);
	close(fd);
	text[size] = 0;
	return size;
}

/* What follows "key" at the beginning of a line. */
static const char *
value(const char *key)
{
	const char *line = text;

	while (line && strncmp(line, key, strlen(key)) != 0) {
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	if (!line)
		FAIL("no line %s", key);
	return line + strlen(key);
}

CASE(self, "does /proc/self lead to this process, and thread-self to the thread?")
{
	char link[64] = "", want[64];

	OK(readlink("/proc/self", link, sizeof(link) - 1));
	CHECK_EQ(atoi(link), getpid());
	OK(readlink("/proc/thread-self", link, sizeof(link) - 1));
	snprintf(want, sizeof(want), "%d/task/%d", getpid(), gettid());
	CHECK(strcmp(link, want) == 0);
	CHECK_ERR(access("/proc/67108863", F_OK), ENOENT);
}

CASE(exe, "do exe, cwd, root and cmdline tell the program and place?")
{
	char link[PATH_MAX] = "";

	OK(readlink("/proc/self/exe", link, sizeof(link) - 1));
	CHECK(strcmp(strrchr(link, '/'), strrchr(abi_self, '/')) == 0);
	memset(link, 0, sizeof(link));
	OK(readlink("/proc/self/cwd", link, sizeof(link) - 1));
	CHECK(strcmp(link, abi_dir) == 0);
	OK(readlink("/proc/self/root", link, sizeof(link) - 1));
	CHECK_EQ(link[0], '/');
	CHECK(slurp("/proc/self/cmdline") > 0);
	CHECK(strstr(abi_self, strrchr(text, '/') ? strrchr(text, '/') : text) != NULL);
	slurp("/proc/self/environ");
	slurp("/proc/self/comm");
	CHECK(strncmp(strrchr(abi_self, '/') + 1, text, strlen(text) - 1) == 0);
}

CASE(fds, "does /proc/self/fd list the open descriptors and their targets?")
{
	char path[64], link[PATH_MAX] = "", want[PATH_MAX];
	int fd = OK(open("f", O_RDWR | O_CREAT | O_APPEND, 0600)), found = 0;
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;

	CHECK(dir != NULL);
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] != '.' && atoi(entry->d_name) == fd)
			found++;
	}
	closedir(dir);
	CHECK_EQ(found, 1);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	OK(readlink(path, link, sizeof(link) - 1));
	snprintf(want, sizeof(want), "%.4000s/f", abi_dir);
	CHECK(strcmp(link, want) == 0);
	OK(unlink("f"));
	memset(link, 0, sizeof(link));
	OK(readlink(path, link, sizeof(link) - 1));
	strcat(want, " (deleted)");
	CHECK(strcmp(link, want) == 0);
	CHECK_EQ(write(fd, "12345", 5), 5);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	slurp(path);
	CHECK_EQ(atoi(value("pos:")), 5);
	CHECK_EQ(strtol(value("flags:"), NULL, 8) & O_APPEND, O_APPEND);
	OK(close(fd));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK_ERR(readlink(path, link, sizeof(link)), ENOENT);
}

CASE(maps, "does /proc/self/maps show a mapping with its address and rights?")
{
	unsigned long start, end, offset, inode;
	char rights[8], *line, *map;
	unsigned int dev_major, dev_minor;
	int fd = OK(open("f", O_RDWR | O_CREAT, 0600)), found = 0;
	bool stack = false;

	OK(ftruncate(fd, 3 * 4096));
	map = MAPPED(mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 4096));
	CHECK(slurp("/proc/self/maps") > 0);
	for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		CHECK(sscanf(line, "%lx-%lx %4s %lx %x:%x %lu", &start, &end, rights, &offset,
			     &dev_major, &dev_minor, &inode) == 7);
		CHECK(start < end && start % 4096 == 0);
		stack |= start <= (uintptr_t)&start && (uintptr_t)&start < end &&
			 strstr(line, "[stack]");
		if (start != (uintptr_t)map)
			continue;
		found++;
		CHECK_EQ(end - start, 2 * 4096);
		CHECK_EQ(offset, 4096);
		CHECK(strcmp(rights, "rw-s") == 0);
		CHECK(strcmp(line + strlen(line) - 2, "/f") == 0);
	}
	CHECK_EQ(found, 1);
	CHECK(stack);
	slurp("/proc/self/smaps");
}

CASE(status, "does status hold the ids, threads, sizes and signal sets?")
{
	sigset_t set;
	int uid[4];

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	OK(sigprocmask(SIG_BLOCK, &set, NULL));
	slurp("/proc/self/status");
	CHECK_EQ(atoi(value("Pid:")), getpid());
	CHECK_EQ(atoi(value("PPid:")), getppid());
	CHECK_EQ(atoi(value("Tgid:")), getpid());
	CHECK_EQ(atoi(value("Threads:")), 1);
	CHECK(sscanf(value("Uid:"), "%d %d %d %d", &uid[0], &uid[1], &uid[2], &uid[3]) == 4);
	CHECK_EQ(uid[0], getuid());
	CHECK_EQ(uid[1], geteuid());
	CHECK(atoi(value("VmRSS:")) > 0);
	CHECK(atoi(value("VmSize:")) >= atoi(value("VmRSS:")));
	CHECK_EQ(strtoull(value("SigBlk:"), NULL, 16), 1ULL << (SIGUSR1 - 1));
	CHECK(strstr(value("State:"), "R (running)") != NULL);
	value("Cpus_allowed_list:");
}

CASE(resident, "is a page that is shown again and again resident once?")
{
	enum { PAGES = 64, PAGE = 4096 };
	int fd = OK(open("f", O_RDWR | O_CREAT, 0600)), round, i;
	volatile char *map;
	long before;

	OK(ftruncate(fd, PAGES * PAGE));
	map = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(map != MAP_FAILED);
	slurp("/proc/self/status");
	before = atol(value("VmRSS:"));
	for (round = 0; round < 100; round++) {
		OK(mprotect((void *)map, PAGES * PAGE, PROT_NONE));
		OK(mprotect((void *)map, PAGES * PAGE, PROT_READ | PROT_WRITE));
		for (i = 0; i < PAGES; i += 3)
			map[i * PAGE] = round;
	}
	slurp("/proc/self/status");
	CHECK(atol(value("VmRSS:")) - before < 10 * PAGES * PAGE / 1024);
	CHECK(atol(value("VmRSS:")) <= atol(value("VmSize:")));
}

CASE(stat, "does stat hold 52 fields with pid, parent, group and session?")
{
	int pid, parent, group, session, fields = 0;
	char state, *rest;

	slurp("/proc/self/stat");
	CHECK_EQ(atoi(text), getpid());
	pid = atoi(text);
	rest = strrchr(text, ')');
	CHECK(rest != NULL);
	CHECK(sscanf(rest + 1, " %c %d %d %d", &state, &parent, &group, &session) == 4);
	CHECK_EQ(state, 'R');
	CHECK_EQ(pid, getpid());
	CHECK_EQ(parent, getppid());
	CHECK_EQ(group, getpgrp());
	CHECK_EQ(session, getsid(0));
	for (rest++; *rest; rest++)
		fields += *rest == ' ';
	CHECK_EQ(fields, 50);
	slurp("/proc/self/statm");
	CHECK(atoi(text) > 0);
	slurp("/proc/self/limits");
	value("Max open files");
	value("Max stack size");
}

static void *
count_tasks(void *arg)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	int tasks = 0;

	CHECK(dir != NULL);
	while ((entry = readdir(dir)) != NULL)
		tasks += entry->d_name[0] != '.';
	closedir(dir);
	CHECK_EQ(tasks, 2);
	return arg;
}

CASE(tasks, "does /proc/self/task list each thread?")
{
	char path[64];
	pthread_t thread;

	PT(pthread_create(&thread, NULL, count_tasks, NULL));
	PT(pthread_join(thread, NULL));
	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", gettid());
	slurp(path);
	CHECK_EQ(atoi(text), gettid());
}

CASE(others, "is a child seen in /proc, as zombie too, and gone when reaped?")
{
	struct gate go = gate_make();
	char path[64], *state;
	siginfo_t info;
	pid_t pid = abi_fork();

	if (pid == 0) {
		gate_pass(&go);
		_exit(0);
	}
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	slurp(path);
	CHECK_EQ(atoi(value("PPid:")), getpid());
	gate_open(&go);
	OK(waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	slurp(path);
	state = strrchr(text, ')');
	CHECK(state && state[2] == 'Z');
	CHECK_EQ(abi_reap(pid), 0);
	CHECK_ERR(access(path, F_OK), ENOENT);
}

CASE(of_another_user, "may an ordinary user look into its own process, and not into another's?")
{
	char path[64], link[PATH_MAX];
	struct stat st;
	pid_t root = getpid(), pid;

	if (geteuid() != 0)
		SKIP("not root");
	pid = abi_fork();
	if (pid == 0) {
		CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
		OK(setresgid(65534, 65534, 65534));
		OK(setresuid(65534, 65534, 65534));
		CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
		CHECK(opendir("/proc/self/fd") != NULL);
		OK(readlink("/proc/self/fd/1", link, sizeof(link)));
		slurp("/proc/self/maps");
		OK(prctl(PR_SET_DUMPABLE, 1));
		OK(stat("/proc/self/fd", &st));
		CHECK_EQ(st.st_uid, 65534);
		CHECK_EQ(st.st_gid, 65534);
		slurp("/proc/self/environ");
		slurp("/proc/self/auxv");
		OK(readlink("/proc/self/exe", link, sizeof(link)));
		snprintf(path, sizeof(path), "/proc/%d/fd", root);
		CHECK_ERR(open(path, O_RDONLY), EACCES);
		snprintf(path, sizeof(path), "/proc/%d/exe", root);
		CHECK_ERR(readlink(path, link, sizeof(link)), EACCES);
		CHECK_ERR(open(path, O_RDONLY), EACCES);
		snprintf(path, sizeof(path), "/proc/%d/maps", root);
		CHECK_ERR(open(path, O_RDONLY), EACCES);
		snprintf(path, sizeof(path), "/proc/%d/environ", root);
		CHECK_ERR(open(path, O_RDONLY), EACCES);
		snprintf(path, sizeof(path), "/proc/%d/status", root);
		slurp(path);
		_exit(0);
	}
	CHECK_EQ(abi_reap(pid), 0);
}

CASE(renaming, "is nothing in /proc renamed, by whatever name?")
{
	CHECK_ERR(rename("/proc/self/comm", "/proc/self/x"), ENOENT);
	CHECK_ERR(rename("/proc/self/comm", "/proc/self/status"), EPERM);
	CHECK_ERR(rename("/proc/self/task", "/proc/self/fd"), EPERM);
	CHECK_ERR(rename("/proc/self/fd/0", "/proc/self/fd/1"), EPERM);
	CHECK_ERR(rename("/proc/meminfo", "/proc/cpuinfo"), EPERM);
	CHECK_ERR(rename("/proc/1", "/proc/x"), ENOENT);
	CHECK_ERR(rename("/proc/self/status", "status"), EXDEV);
}

CASE(listing, "does listing /proc give this process and the usual files?")
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	int self = 0, named = 0;

	CHECK(dir != NULL);
	while ((entry = readdir(dir)) != NULL) {
		self += atoi(entry->d_name) == getpid();
		named += strcmp(entry->d_name, "meminfo") == 0 ||
			 strcmp(entry->d_name, "self") == 0 ||
			 strcmp(entry->d_name, "cpuinfo") == 0 ||
			 strcmp(entry->d_name, "uptime") == 0;
	}
	closedir(dir);
	CHECK_EQ(self, 1);
	CHECK_EQ(named, 4);
}

CASE(system_files, "do meminfo, cpuinfo, stat, loadavg and uptime hold their lines?")
{
	double load, up, idle;
	int cpus = 0;
	char *at;

	slurp("/proc/meminfo");
	CHECK(atol(value("MemTotal:")) > 0);
	CHECK(atol(value("MemFree:")) <= atol(value("MemTotal:")));
	CHECK(atol(value("MemAvailable:")) > 0);
	value("Buffers:");
	value("Cached:");
	value("SwapTotal:");
	slurp("/proc/cpuinfo");
	for (at = text; (at = strstr(at, "processor\t:")) != NULL; at++)
		cpus++;
	CHECK_EQ(cpus, sysconf(_SC_NPROCESSORS_ONLN));
	value("model name\t:");
	value("flags\t\t:");
	slurp("/proc/stat");
	value("cpu ");
	value("cpu0 ");
	value("ctxt ");
	CHECK(atol(value("btime ")) > 1600000000);
	value("processes ");
	slurp("/proc/loadavg");
	CHECK(sscanf(text, "%lf %lf %lf", &load, &load, &load) == 3);
	CHECK(strchr(text, '/') != NULL);
	slurp("/proc/uptime");
	CHECK(sscanf(text, "%lf %lf", &up, &idle) == 2);
	CHECK(up > 0);
	slurp("/proc/version");
	CHECK(strncmp(text, "Linux version ", 14) == 0);
	slurp("/proc/filesystems");
	slurp("/proc/cmdline");
	slurp("/proc/self/cgroup");
}

/* In mountinfo. What is mounted may be a folder of its file system, such as a Btrfs subvolume. */
static bool
has_mount_at(const char *path)
{
	char at[256];
	const char *line;

	for (line = text; line != NULL; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (sscanf(line, "%*d %*d %*s %*s %255s", at) == 1 && strcmp(at, path) == 0)
			return true;
	}
	return false;
}

CASE(mounts, "do mounts and mountinfo list the root and /proc?")
{
	slurp("/proc/mounts");
	CHECK(strstr(text, " / ") != NULL);
	CHECK(strstr(text, " /proc proc ") != NULL);
	slurp("/proc/self/mountinfo");
	CHECK(has_mount_at("/") && has_mount_at("/proc") && !has_mount_at("/pro"));
	CHECK(strstr(text, " - proc ") != NULL);
	slurp("/proc/self/mounts");
}

CASE(net_files, "do the /proc/net files that tools read exist?")
{
	slurp("/proc/net/dev");
	CHECK(strstr(text, "lo:") != NULL);
	slurp("/proc/net/route");
	slurp("/proc/net/tcp");
	slurp("/proc/net/udp");
	slurp("/proc/net/unix");
}

CASE(sysctl, "do the /proc/sys/kernel files agree with uname and be numbers?")
{
	slurp("/proc/sys/kernel/ostype");
	CHECK(strcmp(text, "Linux\n") == 0);
	slurp("/proc/sys/kernel/osrelease");
	CHECK(atoi(text) >= 4);
	slurp("/proc/sys/kernel/hostname");
	slurp("/proc/sys/kernel/version");
	slurp("/proc/sys/kernel/pid_max");
	CHECK(atoi(text) >= 32768);
	slurp("/proc/sys/kernel/threads-max");
	slurp("/proc/sys/kernel/tainted");
	slurp("/proc/sys/kernel/random/uuid");
	CHECK_EQ(strlen(text), 37);
	slurp("/proc/sys/kernel/random/boot_id");
	CHECK_EQ(strlen(text), 37);
	slurp("/proc/sys/kernel/ngroups_max");
	slurp("/proc/sys/kernel/cap_last_cap");
	slurp("/proc/sys/vm/overcommit_memory");
	slurp("/proc/sys/vm/max_map_count");
	slurp("/proc/sys/fs/file-max");
	slurp("/proc/sys/fs/nr_open");
	slurp("/proc/sys/net/core/somaxconn");
}

CASE(cpu_files, "do the processor files in /sys fit the number of processors?")
{
	int first, last;

	slurp("/sys/devices/system/cpu/online");
	CHECK(sscanf(text, "%d", &first) == 1);
	CHECK_EQ(first, 0);
	last = strchr(text, '-') ? atoi(strchr(text, '-') + 1) : 0;
	CHECK_EQ(last + 1, sysconf(_SC_NPROCESSORS_ONLN));
	slurp("/sys/devices/system/cpu/possible");
	slurp("/sys/devices/system/cpu/present");
	slurp("/sys/devices/system/cpu/cpu0/topology/core_id");
	CHECK(atoi(text) >= 0);
	slurp("/sys/devices/system/cpu/cpu0/topology/physical_package_id");
	CHECK(atoi(text) >= 0);
	slurp("/sys/devices/system/cpu/cpu0/topology/thread_siblings");
	slurp("/sys/devices/system/cpu/cpu0/topology/core_siblings");
}

CASE(node_files, "is each processor in one node of /sys/devices/system/node?")
{
	struct stat st;

	if (access("/sys/devices/system/node", F_OK) != 0)
		SKIP("this kernel has no NUMA");
	slurp("/sys/devices/system/node/online");
	slurp("/sys/devices/system/node/node0/cpulist");
	slurp("/sys/devices/system/node/node0/meminfo");
	CHECK(strstr(text, "Node 0 MemTotal:") != NULL);
	slurp("/sys/devices/system/node/node0/distance");
	CHECK_EQ(atoi(text), 10);
	OK(stat("/sys/devices/system/node/node0/cpu0", &st));
	CHECK(S_ISDIR(st.st_mode));
}

CASE(seek_and_small, "does a /proc file read the same in small pieces and after a seek?")
{
	char once[4096], pieces[4096];
	int fd = OK(open("/proc/self/limits", O_RDONLY));
	ssize_t got = OK(read(fd, once, sizeof(once)));
	size_t size = 0;

	OK(lseek(fd, 0, SEEK_SET));
	while (read(fd, pieces + size, 1) == 1)
		size++;
	CHECK_EQ(size, got);
	CHECK(memcmp(once, pieces, got) == 0);
	CHECK_EQ(pread(fd, pieces, 10, 5), 10);
	CHECK(memcmp(once + 5, pieces, 10) == 0);
	CHECK_ERR(open("/proc/meminfo", O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
	CHECK_ERR(open("/proc/nosuch", O_RDWR | O_CREAT, 0600), ENOENT);
	CHECK(mkdir("/proc/d", 0755) == -1);
}

CASE(comm_write, "does writing comm rename the thread?")
{
	int fd = OK(open("/proc/self/comm", O_RDWR));
	char name[16] = "";

	CHECK_EQ(write(fd, "renamed", 7), 7);
	PT(pthread_getname_np(pthread_self(), name, sizeof(name)));
	CHECK(strcmp(name, "renamed") == 0);
}

static int
device(const char *path, unsigned int major_number, unsigned int minor_number)
{
	struct stat st;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		FAIL("cannot open %s: %d", path, errno);
	OK(fstat(fd, &st));
	CHECK(S_ISCHR(st.st_mode));
	CHECK_EQ(major(st.st_rdev), major_number);
	CHECK_EQ(minor(st.st_rdev), minor_number);
	return fd;
}

CASE(devices, "do null, zero, full, random and urandom do their duty?")
{
	int null = device("/dev/null", 1, 3), zero = device("/dev/zero", 1, 5);
	int full = device("/dev/full", 1, 7);
	int urandom = device("/dev/urandom", 1, 9);
	char a[64], b[64];
	char *map;

	memset(a, 1, sizeof(a));
	memset(b, 0, sizeof(b));
	CHECK_EQ(read(null, a, 64), 0);
	CHECK_EQ(write(null, a, 64), 64);
	CHECK_EQ(read(zero, a, 64), 64);
	CHECK(memcmp(a, b, 64) == 0);
	CHECK_EQ(write(zero, a, 64), 64);
	CHECK_ERR(write(full, a, 1), ENOSPC);
	CHECK_EQ(read(full, a, 64), 64);
	CHECK_EQ(read(urandom, a, 64), 64);
	CHECK_EQ(read(urandom, b, 64), 64);
	CHECK(memcmp(a, b, 64) != 0);
	CHECK_EQ(read(device("/dev/random", 1, 8), a, 16), 16);
	map = MAPPED(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, zero, 0));
	CHECK_EQ(map[5000], 0);
	map[5000] = 1;
	OK(lseek(null, 100, SEEK_SET));
}

CASE(device_links, "do /dev/fd, stdin, shm and pts exist?")
{
	int fd = OK(shm_open("/abi-procfs", O_RDWR | O_CREAT | O_EXCL, 0600));
	char link[64] = "";

	OK(unlink("/dev/shm/abi-procfs"));
	OK(close(fd));
	OK(readlink("/dev/fd", link, sizeof(link) - 1));
	CHECK(strcmp(link, "/proc/self/fd") == 0);
	OK(access("/dev/stdin", F_OK));
	OK(access("/dev/pts", F_OK));
	OK(access("/dev/tty", F_OK));
}
