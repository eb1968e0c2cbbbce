/*
 * vdso.c - the vDSO as an ELF file that a program finds and calls by itself,
 * and restartable sequences as glibc registers them.
 */
#include "abi.h"
#include <elf.h>
#include <stdatomic.h>
#include <sys/auxv.h>

struct vdso {
	const char *base, *strings;
	const Elf64_Sym *symbols;
	size_t count;
};

/* Finds the dynamic symbols; false if there is no vDSO at all. */
static bool
find_vdso(struct vdso *vdso)
{
	const Elf64_Ehdr *header = (void *)getauxval(AT_SYSINFO_EHDR);
	const Elf64_Phdr *segment;
	const Elf64_Dyn *dynamic = NULL;
	const uint32_t *hash = NULL;
	uintptr_t bias = 0;
	int i;

	if (!header)
		return false;
	vdso->base = (const char *)header;
	CHECK(memcmp(header->e_ident, ELFMAG, SELFMAG) == 0);
	CHECK_EQ(header->e_machine, EM_X86_64);
	CHECK_EQ(header->e_type, ET_DYN);
	segment = (const void *)(vdso->base + header->e_phoff);
	for (i = 0; i < header->e_phnum; i++) {
		if (segment[i].p_type == PT_LOAD)
			bias = (uintptr_t)header + segment[i].p_offset - segment[i].p_vaddr;
		if (segment[i].p_type == PT_DYNAMIC)
			dynamic = (const void *)(vdso->base + segment[i].p_offset);
	}
	CHECK(dynamic != NULL);
	for (; dynamic->d_tag != DT_NULL; dynamic++) {
		const void *at = (const void *)(bias + dynamic->d_un.d_ptr);

		if (dynamic->d_tag == DT_STRTAB)
			vdso->strings = at;
		else if (dynamic->d_tag == DT_SYMTAB)
			vdso->symbols = at;
		else if (dynamic->d_tag == DT_HASH)
			hash = at;
	}
	CHECK(vdso->strings && vdso->symbols);
	/* Without DT_HASH the string table follows the symbols. */
	vdso->count =
		hash ? hash[1]
		     : ((uintptr_t)vdso->strings - (uintptr_t)vdso->symbols) / sizeof(Elf64_Sym);
	vdso->base = (const char *)bias;
	return true;
}

static void *
look_up(struct vdso *vdso, const char *name)
{
	size_t i;

	for (i = 0; i < vdso->count; i++) {
		const Elf64_Sym *symbol = &vdso->symbols[i];

		if (symbol->st_shndx != SHN_UNDEF &&
		    strcmp(vdso->strings + symbol->st_name, name) == 0)
			return (void *)(vdso->base + symbol->st_value);
	}
	FAIL("the vDSO has no %s", name);
}

CASE(symbols, "does the vDSO export the four functions, and do they work?")
{
	int (*gettime)(clockid_t, struct timespec *);
	int (*getday)(struct timeval *, void *);
	int (*cpu_of)(unsigned int *, unsigned int *, void *);
	time_t (*seconds)(time_t *);
	unsigned int cpu = ~0U, node = ~0U;
	struct timespec now, before;
	struct timeval tv;
	struct vdso vdso = {0};

	if (!find_vdso(&vdso))
		FAIL("AT_SYSINFO_EHDR is missing");
	*(void **)&gettime = look_up(&vdso, "__vdso_clock_gettime");
	*(void **)&getday = look_up(&vdso, "__vdso_gettimeofday");
	*(void **)&cpu_of = look_up(&vdso, "__vdso_getcpu");
	*(void **)&seconds = look_up(&vdso, "__vdso_time");
	OK(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &before));
	CHECK_EQ(gettime(CLOCK_MONOTONIC, &now), 0);
	CHECK(now.tv_sec > before.tv_sec ||
	      (now.tv_sec == before.tv_sec && now.tv_nsec >= before.tv_nsec));
	CHECK_EQ(gettime(CLOCK_PROCESS_CPUTIME_ID, &now), 0);
	CHECK_EQ(gettime(77, &now), -EINVAL);
	CHECK_EQ(getday(&tv, NULL), 0);
	/* The coarse clock may be a tick behind. */
	CHECK(seconds(NULL) >= tv.tv_sec - 1);
	CHECK_EQ(cpu_of(&cpu, &node, NULL), 0);
	CHECK((int)cpu < sysconf(_SC_NPROCESSORS_CONF));
	CHECK(node < 64);
}

CASE(protected, "is the vDSO's code not writable?")
{
	struct vdso vdso = {0};
	char *page;
	int fd[2];

	if (!find_vdso(&vdso))
		FAIL("AT_SYSINFO_EHDR is missing");
	page = (char *)getauxval(AT_SYSINFO_EHDR);
	OK(pipe(fd));
	CHECK_EQ(write(fd[1], page, 16), 16);
	CHECK_ERR(read(fd[0], page, 16), EFAULT);
}

CASE(no_calls, "does reading the clock a million times take no system call?")
{
	struct timespec now;
	struct rusage before, after;
	int i;

	/* Not timed: under TCG only the result counts. */
	OK(getrusage(RUSAGE_SELF, &before));
	for (i = 0; i < 1000000; i++)
		clock_gettime(CLOCK_MONOTONIC, &now);
	OK(getrusage(RUSAGE_SELF, &after));
	CHECK(now.tv_sec >= 0);
	CHECK(after.ru_utime.tv_sec >= before.ru_utime.tv_sec);
}

extern const ptrdiff_t __rseq_offset;
extern const unsigned int __rseq_size;

struct rseq_area {
	uint32_t cpu_id_start, cpu_id;
	uint64_t critical;
	uint32_t flags;
};

static volatile struct rseq_area *
rseq_area(void)
{
	return (void *)((char *)__builtin_thread_pointer() + __rseq_offset);
}

CASE(rseq_cpu, "does rseq's area hold the processor, if there is rseq?")
{
	cpu_set_t all, one;
	int cpu;

	if (__rseq_size == 0)
		return;
	OK(sched_getaffinity(0, sizeof(all), &all));
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		OK(sched_setaffinity(0, sizeof(one), &one));
		CHECK_EQ(rseq_area()->cpu_id, cpu);
		CHECK_EQ(rseq_area()->cpu_id_start, cpu);
	}
}

static void
on_alarm(int number)
{
	(void)number;
}

/*
 * A critical section that never ends by itself: a signal must abort it to
 * the address after the signature. The number of aborts taken.
 */
static int
spin_until_aborted(void)
{
	int aborted = 0;

	__asm__ volatile(".pushsection .data, \"aw\"\n"
			 ".balign 32\n"
			 "8: .long 0, 0\n"
			 ".quad 1f, 2f - 1f, 4f\n"
			 ".popsection\n"
			 "lea 8b(%%rip), %%rax\n"
			 "mov %%rax, 8(%1)\n"
			 "1: pause\n"
			 "jmp 1b\n"
			 "2: jmp 5f\n"
			 ".byte 0x0f, 0xb9, 0x3d\n"
			 ".long 0x53053053\n"
			 "4: inc %0\n"
			 "5:\n"
			 : "+r"(aborted)
			 : "r"(rseq_area())
			 : "rax", "memory", "cc");
	return aborted;
}

CASE(rseq_abort, "does a signal abort a critical section, if there is rseq?")
{
	struct itimerval soon = {.it_value = {0, 2000}, .it_interval = {0, 2000}};

	if (__rseq_size == 0)
		return;
	signal(SIGALRM, on_alarm);
	OK(setitimer(ITIMER_REAL, &soon, NULL));
	CHECK_EQ(spin_until_aborted(), 1);
	CHECK_EQ(rseq_area()->critical, 0);
}

static void *
check_thread(void *arg)
{
	CHECK(rseq_area()->cpu_id < 4096);
	return arg;
}

CASE(rseq_thread, "has each new thread and the child of fork rseq too?")
{
	pthread_t thread;
	pid_t pid;

	if (__rseq_size == 0)
		return;
	PT(pthread_create(&thread, NULL, check_thread, NULL));
	PT(pthread_join(thread, NULL));
	pid = abi_fork();
	if (pid == 0) {
		check_thread(NULL);
		_exit(0);
	}
	CHECK_EQ(abi_reap(pid), 0);
}
