/*
 * system.c - what the system tells about itself: uname, sysinfo, limits,
 * processors, identities, prctl, random numbers, unknown calls.
 */
#include "abi.h"
#include <asm/prctl.h>
#include <grp.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

CASE(uname, "does uname say Linux, x86_64 and a release glibc accepts?")
{
	struct utsname name;

	OK(uname(&name));
	CHECK(strcmp(name.sysname, "Linux") == 0);
	CHECK(strcmp(name.machine, "x86_64") == 0);
	CHECK(atoi(name.release) >= 4);
	CHECK(name.nodename[0] != 0);
	CHECK_ERR(syscall(SYS_uname, abi_bad()), EFAULT);
}

CASE(sysinfo, "does sysinfo give memory, uptime and processes?")
{
	struct sysinfo info;

	OK(sysinfo(&info));
	CHECK(info.totalram > 0 && info.freeram <= info.totalram);
	CHECK(info.mem_unit >= 1);
	CHECK(info.uptime >= 0);
	CHECK(info.procs > 0);
	CHECK_ERR(syscall(SYS_sysinfo, abi_bad()), EFAULT);
}

CASE(sysconf, "are sysconf's numbers those that programs count on?")
{
	long online = sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t set;

	CHECK(online >= 1);
	CHECK(sysconf(_SC_NPROCESSORS_CONF) >= online);
	CHECK_EQ(get_nprocs(), online);
	CHECK_EQ(sysconf(_SC_PAGESIZE), 4096);
	CHECK(sysconf(_SC_PHYS_PAGES) > 0);
	CHECK(sysconf(_SC_AVPHYS_PAGES) > 0);
	CHECK(sysconf(_SC_OPEN_MAX) >= 256);
	CHECK_EQ(sysconf(_SC_CLK_TCK), 100);
	CHECK(sysconf(_SC_ARG_MAX) >= 131072);
	CHECK_EQ(sysconf(_SC_IOV_MAX), 1024);
	OK(sched_getaffinity(0, sizeof(set), &set));
	CHECK(CPU_COUNT(&set) <= sysconf(_SC_NPROCESSORS_CONF));
}

CASE(getcpu, "does getcpu name a processor and node, by vDSO and by call?")
{
	unsigned int cpu, node, cpu2, node2;
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	OK(sched_setaffinity(0, sizeof(one), &one));
	OK(getcpu(&cpu, &node));
	OK(syscall(SYS_getcpu, &cpu2, &node2, NULL));
	CHECK_EQ(cpu, cpu2);
	CHECK_EQ(node, node2);
	CHECK(CPU_ISSET(cpu, &one));
	OK(syscall(SYS_getcpu, NULL, NULL, NULL));
}

CASE(limits, "do get- and setrlimit and prlimit agree, and check?")
{
	struct rlimit old, now, lower = {10, 20};
	int which;
	pid_t pid;

	for (which = 0; which < 16; which++) {
		OK(getrlimit(which, &old));
		CHECK(old.rlim_cur <= old.rlim_max);
	}
	CHECK_ERR(getrlimit(16, &old), EINVAL);
	CHECK_ERR(getrlimit(RLIMIT_CORE, abi_bad()), EFAULT);
	OK(prlimit(0, RLIMIT_CORE, &lower, &old));
	OK(prlimit(getpid(), RLIMIT_CORE, NULL, &now));
	CHECK(now.rlim_cur == 10 && now.rlim_max == 20);
	lower.rlim_cur = 30;
	CHECK_ERR(setrlimit(RLIMIT_CORE, &lower), EINVAL);
	CHECK_ERR(prlimit(0x3ffffff, RLIMIT_CORE, NULL, &now), ESRCH);
	pid = abi_fork();
	if (pid == 0) {
		OK(getrlimit(RLIMIT_CORE, &now));
		CHECK_EQ(now.rlim_max, 20);
		if (geteuid() == 0) {
			OK(setresgid(65534, 65534, 65534));
			OK(setresuid(65534, 65534, 65534));
		}
		now.rlim_max = 21;
		CHECK_ERR(setrlimit(RLIMIT_CORE, &now), EPERM);
		_exit(0);
	}
	CHECK_EQ(abi_reap(pid), 0);
}

CASE(identities, "do the user and group calls agree, and drop for good?")
{
	uid_t r, e, s;
	gid_t list[4] = {7, 8, 9};
	pid_t pid;

	OK(getresuid(&r, &e, &s));
	CHECK(r == getuid() && e == geteuid());
	OK(getresgid(&r, &e, &s));
	CHECK(r == getgid() && e == getegid());
	CHECK(getgroups(0, NULL) >= 0);
	if (geteuid() != 0)
		return;
	pid = abi_fork();
	if (pid == 0) {
		OK(setgroups(3, list));
		memset(list, 0, sizeof(list));
		CHECK_EQ(getgroups(4, list), 3);
		CHECK_EQ(list[1], 8);
		CHECK_ERR(getgroups(2, list), EINVAL);
		OK(setresgid(1000, 1000, 1000));
		OK(setresuid(1000, 1001, 1002));
		CHECK_EQ(geteuid(), 1001);
		OK(seteuid(1002));
		CHECK_EQ(geteuid(), 1002);
		OK(setresuid(1000, 1000, 1000));
		CHECK_ERR(setuid(0), EPERM);
		CHECK_ERR(setgid(0), EPERM);
		CHECK_ERR(setgroups(0, NULL), EPERM);
		CHECK_ERR(setresuid(-1, 5, -1), EPERM);
		_exit(0);
	}
	CHECK_EQ(abi_reap(pid), 0);
}

CASE(prctl, "do the prctl operations in common use work, and others fail?")
{
	char name[16] = "";
	int number = -1;

	OK(prctl(PR_SET_NAME, "a name that is too long", 0, 0, 0));
	OK(prctl(PR_GET_NAME, name, 0, 0, 0));
	CHECK(strcmp(name, "a name that is ") == 0);
	OK(prctl(PR_SET_PDEATHSIG, SIGUSR1, 0, 0, 0));
	OK(prctl(PR_GET_PDEATHSIG, &number, 0, 0, 0));
	CHECK_EQ(number, SIGUSR1);
	OK(prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0));
	CHECK_ERR(prctl(PR_SET_PDEATHSIG, 99, 0, 0, 0), EINVAL);
	CHECK(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) >= 0);
	CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
	OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
	CHECK_ERR(prctl(123456, 0, 0, 0, 0), EINVAL);
	CHECK_ERR(prctl(PR_GET_NAME, abi_bad(), 0, 0, 0), EFAULT);
}

CASE(arch_prctl, "do FS and GS bases read and set per thread?")
{
	unsigned long fs = 0, gs = 0, self;

	OK(syscall(SYS_arch_prctl, ARCH_GET_FS, &fs));
	__asm__("mov %%fs:0, %0" : "=r"(self));
	CHECK_EQ(fs, self);
	OK(syscall(SYS_arch_prctl, ARCH_SET_GS, &self));
	OK(syscall(SYS_arch_prctl, ARCH_GET_GS, &gs));
	CHECK_EQ(gs, (uintptr_t)&self);
	__asm__("mov %%gs:0, %0" : "=r"(gs));
	CHECK_EQ(gs, self);
	sched_yield();
	__asm__("mov %%gs:0, %0" : "=r"(gs));
	CHECK_EQ(gs, self);
	CHECK_ERR(syscall(SYS_arch_prctl, ARCH_SET_FS, 1UL << 63), EPERM);
	CHECK_ERR(syscall(SYS_arch_prctl, 0x9999, 0), EINVAL);
}

CASE(random, "does getrandom fill, differ and check its flags?")
{
	unsigned char a[256], b[256];
	int counts[256] = {0}, i, distinct = 0;

	CHECK_EQ(getrandom(a, sizeof(a), 0), sizeof(a));
	CHECK_EQ(getrandom(b, sizeof(b), GRND_NONBLOCK), sizeof(b));
	CHECK(memcmp(a, b, sizeof(a)) != 0);
	for (i = 0; i < 256; i++)
		distinct += counts[a[i]]++ == 0;
	CHECK(distinct > 100);
	CHECK_EQ(getrandom(a, 0, 0), 0);
	CHECK_ERR(getrandom(a, 1, 0x100), EINVAL);
	CHECK_ERR(getrandom(abi_bad(), 8, 0), EFAULT);
}

CASE(scheduler, "do the scheduling calls answer as for a normal process?")
{
	int nice_value;
	struct sched_param param = {0};
	struct timespec slice;

	CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
	OK(sched_getparam(0, &param));
	CHECK_EQ(param.sched_priority, 0);
	CHECK_EQ(sched_get_priority_max(SCHED_FIFO), 99);
	CHECK_EQ(sched_get_priority_min(SCHED_FIFO), 1);
	CHECK_EQ(sched_get_priority_max(SCHED_OTHER), 0);
	CHECK_ERR(sched_get_priority_max(99), EINVAL);
	OK(sched_rr_get_interval(0, &slice));
	OK(sched_setscheduler(0, SCHED_OTHER, &param));
	param.sched_priority = 5;
	CHECK_ERR(sched_setscheduler(0, SCHED_OTHER, &param), EINVAL);
	CHECK_ERR(sched_getscheduler(0x3ffffff), ESRCH);
	OK(sched_yield());
	errno = 0;
	nice_value = getpriority(PRIO_PROCESS, 0); /* whoever runs this may be nice */
	CHECK(nice_value >= 0 && nice_value <= 19 && errno == 0);
	OK(setpriority(PRIO_PROCESS, 0, 19));
	CHECK_EQ(getpriority(PRIO_PROCESS, 0), 19);
	CHECK_ERR(getpriority(99, 0), EINVAL);
}

CASE(unknown, "do unknown call numbers say ENOSYS, with any arguments?")
{
	static const long numbers[] = {1000, 5000, 100000, -1, -1000, 0x7fffffff};
	size_t i;

	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		CHECK_ERR(syscall(numbers[i], 1, 2, 3, 4, 5, 6), ENOSYS);
	CHECK_ERR(syscall(174 /* create_module */, 0, 0), ENOSYS);
}

CASE(registers, "does a call keep all registers but rax, rcx and r11?")
{
	uint64_t in[12], out[12], result, flags;
	int i;

	for (i = 0; i < 12; i++)
		in[i] = 0x0101010101010101ULL * (i + 17);
	__asm__ volatile("push %%rbp\n push %%rbx\n"
			 "push %1\n push %2\n"
			 "mov %1, %%rax\n"
			 "mov 0(%%rax), %%rbx\n mov 8(%%rax), %%rdx\n"
			 "mov 16(%%rax), %%rsi\n mov 24(%%rax), %%rdi\n"
			 "mov 32(%%rax), %%rbp\n mov 40(%%rax), %%r8\n"
			 "mov 48(%%rax), %%r9\n mov 56(%%rax), %%r10\n"
			 "mov 64(%%rax), %%r12\n mov 72(%%rax), %%r13\n"
			 "mov 80(%%rax), %%r14\n mov 88(%%rax), %%r15\n"
			 "mov $110, %%eax\n"
			 "syscall\n"
			 "mov (%%rsp), %%rcx\n"
			 "mov %%rbx, 0(%%rcx)\n mov %%rdx, 8(%%rcx)\n"
			 "mov %%rsi, 16(%%rcx)\n mov %%rdi, 24(%%rcx)\n"
			 "mov %%rbp, 32(%%rcx)\n mov %%r8, 40(%%rcx)\n"
			 "mov %%r9, 48(%%rcx)\n mov %%r10, 56(%%rcx)\n"
			 "mov %%r12, 64(%%rcx)\n mov %%r13, 72(%%rcx)\n"
			 "mov %%r14, 80(%%rcx)\n mov %%r15, 88(%%rcx)\n"
			 "add $16, %%rsp\n"
			 "pop %%rbx\n pop %%rbp\n"
			 : "=&a"(result)
			 : "r"(in), "r"(out)
			 : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
			   "r14", "r15", "memory", "cc");
	CHECK_EQ(result, getppid());
	for (i = 0; i < 12; i++)
		CHECK_EQ(out[i], in[i]);
	__asm__ volatile("pushf\n pop %0" : "=r"(flags));
	CHECK_EQ(flags & 0x400, 0);
}

CASE(flags, "are the direction, trap and other flags harmless to the kernel?")
{
	uint64_t flags, result;

	__asm__ volatile("std\n mov $110, %%eax\n syscall\n pushf\n pop %1\n"
			 "cld\n"
			 : "=&a"(result), "=&d"(flags)
			 :
			 : "rcx", "r11", "memory", "cc");
	CHECK_EQ(result, getppid());
	CHECK_EQ(flags & 0x400, 0x400);
}

CASE(rseq, "does rseq register once, or say ENOSYS?")
{
	static uint8_t area[32] __attribute__((aligned(32)));
	long got = syscall(SYS_rseq, area, 32, 0, 0x53053053);

	CHECK_EQ(got, -1);
	CHECK(errno == ENOSYS || errno == EBUSY || errno == EINVAL);
}

CASE(membarrier, "does membarrier answer its query, or say ENOSYS?")
{
	long got = syscall(SYS_membarrier, 0, 0, 0);

	CHECK(got >= 0 || errno == ENOSYS);
	if (got >= 0)
		CHECK_ERR(syscall(SYS_membarrier, 1 << 30, 0, 0), EINVAL);
}

CASE(personality, "does personality read as Linux?")
{
	CHECK_EQ(personality(0xffffffff) & PER_MASK, PER_LINUX);
}

CASE(refused, "is an ordinary user refused the calls of the administrator?")
{
	pid_t pid = abi_fork();

	if (pid == 0) {
		if (geteuid() == 0) {
			OK(setresgid(65534, 65534, 65534));
			OK(setresuid(65534, 65534, 65534));
		}
		CHECK_ERR(sethostname("x", 1), EPERM);
		CHECK_ERR(syscall(SYS_reboot, 1, 2, 3, 4), EPERM);
		CHECK_ERR(chroot("/"), EPERM);
		CHECK_ERR(syscall(SYS_mount, "a", "/", "b", 0, 0), EPERM);
		_exit(0);
	}
	CHECK_EQ(abi_reap(pid), 0);
}

CASE(capabilities, "does capget give a version and sets?")
{
	struct {
		uint32_t version;
		int pid;
	} header = {0x20080522, 0};
	struct {
		uint32_t effective, permitted, inheritable;
	} data[2];

	OK(syscall(SYS_capget, &header, data));
	header.version = 0;
	CHECK_ERR(syscall(SYS_capget, &header, data), EINVAL);
	CHECK_EQ(header.version, 0x20080522);
}
