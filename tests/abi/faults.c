/*
 * faults.c - signals that the processor's exceptions cause: bad addresses,
 * stack overflow, file mappings past the end, division, invalid instructions.
 */
#include "abi.h"

static volatile sig_atomic_t last;
static volatile siginfo_t got;
static sigjmp_buf jump;

static void
on_fault(int number, siginfo_t *info, void *context)
{
	(void)context;
	last = number;
	got = *info;
	siglongjmp(jump, 1);
}

static int __attribute__((noinline)) recurse(int level)
{
	volatile char pad[4096];

	pad[0] = level;
	if (level < 0)
		return 0;
	return recurse(level + 1) + pad[0];
}

CASE(stack_overflow, "is a stack overflow caught on the alternate stack?")
{
	struct sigaction action = {
		.sa_sigaction = on_fault,
		.sa_flags = SA_SIGINFO | SA_ONSTACK,
	};
	stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};
	struct rlimit limit = {1 << 20, RLIM_INFINITY};
	pid_t pid = abi_fork();

	if (pid == 0) {
		limit.rlim_max = 1 << 20;
		OK(setrlimit(RLIMIT_STACK, &limit));
		OK(sigaltstack(&stack, NULL));
		OK(sigaction(SIGSEGV, &action, NULL));
		if (sigsetjmp(jump, 1) == 0)
			recurse(0);
		_exit(last == SIGSEGV ? 3 : 1);
	}
	CHECK_EQ(abi_reap(pid), 3);
}

static int
fault_at(volatile char *address, int write_it)
{
	last = 0;
	if (sigsetjmp(jump, 1) == 0) {
		if (write_it)
			*address = 1;
		else
			(void)*address;
	}
	return last;
}

CASE(segv, "does SIGSEGV tell the address and whether it was mapped?")
{
	struct sigaction action = {
		.sa_sigaction = on_fault,
		.sa_flags = SA_SIGINFO,
	};
	char *page = MAPPED(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	OK(sigaction(SIGSEGV, &action, NULL));
	CHECK_EQ(fault_at(page + 0x123, 1), SIGSEGV);
	CHECK_EQ(got.si_code, SEGV_ACCERR);
	CHECK(got.si_addr == page + 0x123);
	OK(munmap(page, 4096));
	CHECK_EQ(fault_at(page + 0x45, 0), SIGSEGV);
	CHECK_EQ(got.si_code, SEGV_MAPERR);
	CHECK(got.si_addr == page + 0x45);
	CHECK_EQ(fault_at(abi_bad(), 1), SIGSEGV);
	CHECK(got.si_addr == abi_bad());
	CHECK_EQ(fault_at((void *)0xffffffff80000000, 0), SIGSEGV);
	CHECK_EQ(fault_at((void *)0x8000000000000000, 0), SIGSEGV);
	CHECK_EQ(got.si_code, SI_KERNEL);
}

CASE(bus, "does reading a file mapping past its end give SIGBUS?")
{
	struct sigaction action = {
		.sa_sigaction = on_fault,
		.sa_flags = SA_SIGINFO,
	};
	int fd = OK(open("f", O_RDWR | O_CREAT, 0600));
	char *map;

	OK(ftruncate(fd, 100));
	map = MAPPED(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	OK(sigaction(SIGBUS, &action, NULL));
	CHECK_EQ(fault_at(map + 4000, 1), 0);
	CHECK_EQ(fault_at(map + 4096, 0), SIGBUS);
	CHECK_EQ(got.si_code, BUS_ADRERR);
	CHECK(got.si_addr == map + 4096);
}

static int
fault_by(void (*cause)(void))
{
	last = 0;
	if (sigsetjmp(jump, 1) == 0)
		cause();
	return last;
}

static void
cause_divide(void)
{
	__asm__ volatile("xor %%edx, %%edx; mov $1, %%eax; xor %%ecx, %%ecx;"
			 "div %%ecx" ::
				 : "eax", "ecx", "edx");
}

static void
cause_invalid(void)
{
	__asm__ volatile("ud2");
}

static void
cause_privileged(void)
{
	__asm__ volatile("hlt");
}

static void
cause_breakpoint(void)
{
	__asm__ volatile("int3");
}

CASE(exceptions, "do divide, invalid, privileged and int3 give their signals?")
{
	static const int numbers[] = {SIGFPE, SIGILL, SIGSEGV, SIGTRAP};
	struct sigaction action = {
		.sa_sigaction = on_fault,
		.sa_flags = SA_SIGINFO,
	};
	size_t i;

	for (i = 0; i < 4; i++)
		OK(sigaction(numbers[i], &action, NULL));
	CHECK_EQ(fault_by(cause_divide), SIGFPE);
	CHECK_EQ(got.si_code, FPE_INTDIV);
	CHECK_EQ(fault_by(cause_invalid), SIGILL);
	CHECK_EQ(got.si_code, ILL_ILLOPN);
	CHECK_EQ(fault_by(cause_privileged), SIGSEGV);
	CHECK_EQ(fault_by(cause_breakpoint), SIGTRAP);
}

CASE(segv_blocked, "does a fault with SIGSEGV blocked or ignored still kill?")
{
	struct rlimit none = {0, 0};
	pid_t pid = abi_fork();

	if (pid == 0) {
		sigset_t set;

		sigemptyset(&set);
		sigaddset(&set, SIGSEGV);
		setrlimit(RLIMIT_CORE, &none);
		OK(sigprocmask(SIG_BLOCK, &set, NULL));
		*(volatile char *)abi_bad() = 1;
		_exit(1);
	}
	CHECK_EQ(abi_reap(pid), 128 + SIGSEGV);
	pid = abi_fork();
	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &none);
		signal(SIGSEGV, SIG_IGN);
		*(volatile char *)abi_bad() = 1;
		_exit(1);
	}
	CHECK_EQ(abi_reap(pid), 128 + SIGSEGV);
}
