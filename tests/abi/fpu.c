/*
 * fpu.c - SSE, AVX, AVX-512 and x87 registers, MXCSR and the x87 control
 * word across preemption, system calls, signals, fork and new threads.
 */
#include "abi.h"
#include <stdatomic.h>

enum { registers = 16 };

struct image {
	uint8_t reg[registers][64];
} __attribute__((aligned(64)));

#define EACH16(op)                                                                                 \
	op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12) op(13)    \
		op(14) op(15)
#define LOAD_X(n) "movups " #n "*64(%1), %%xmm" #n "\n"
#define SAVE_X(n) "movups %%xmm" #n ", " #n "*64(%2)\n"
#define LOAD_Y(n) "vmovups " #n "*64(%1), %%ymm" #n "\n"
#define SAVE_Y(n) "vmovups %%ymm" #n ", " #n "*64(%2)\n"
#define LOAD_Z(n) "vmovups " #n "*64(%1), %%zmm" #n "\n"
#define SAVE_Z(n) "vmovups %%zmm" #n ", " #n "*64(%2)\n"
#define CLOBBER_X                                                                                  \
	"xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",   \
		"xmm11", "xmm12", "xmm13", "xmm14", "xmm15"

/* Loads all registers, counts down or makes a call, stores them again. */
#define ROUND(LOAD, SAVE)                                                                          \
	__asm__ volatile(EACH16(LOAD) "test %3, %3\n"                                              \
				      "jnz 2f\n"                                                   \
				      "1: pause\n"                                                 \
				      "dec %0\n"                                                   \
				      "jnz 1b\n"                                                   \
				      "jmp 3f\n"                                                   \
				      "2: mov %3, %%rax\n"                                         \
				      "syscall\n"                                                  \
				      "3:\n" EACH16(SAVE)                                          \
			 : "+r"(spin)                                                              \
			 : "r"(in), "r"(out), "r"(call)                                            \
			 : "rax", "rcx", "r11", "memory", "cc", CLOBBER_X)

static void
round_sse(struct image *in, struct image *out, long spin, long call)
{
	ROUND(LOAD_X, SAVE_X);
}

static void
round_avx(struct image *in, struct image *out, long spin, long call)
{
	ROUND(LOAD_Y, SAVE_Y);
	__asm__ volatile("vzeroupper" ::: CLOBBER_X);
}

static void
round_avx512(struct image *in, struct image *out, long spin, long call)
{
	ROUND(LOAD_Z, SAVE_Z);
	__asm__ volatile("vzeroupper" ::: CLOBBER_X);
}

struct kind {
	void (*round)(struct image *, struct image *, long, long);
	int width;
};

/* The widest registers this processor and system have. */
static struct kind
widest(void)
{
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx512f"))
		return (struct kind){round_avx512, 64};
	if (__builtin_cpu_supports("avx"))
		return (struct kind){round_avx, 32};
	return (struct kind){round_sse, 16};
}

static void
fill(struct image *image, uint64_t seed)
{
	size_t i;

	for (i = 0; i < sizeof(image->reg); i++)
		image->reg[i / 64][i % 64] = abi_random(&seed);
}

static void
compare(struct image *in, struct image *out, int width, int round)
{
	int i;

	for (i = 0; i < registers; i++) {
		if (memcmp(in->reg[i], out->reg[i], width) != 0)
			FAIL("register %d lost in round %d", i, round);
	}
}

static void *
keep_registers(void *arg)
{
	static const long calls[] = {0, SYS_sched_yield, 0, SYS_getppid};
	struct kind kind = widest();
	struct image in, out;
	int round;

	for (round = 0; round < 400; round++) {
		fill(&in, (uintptr_t)arg * 1000 + round);
		memset(&out, 0, sizeof(out));
		kind.round(&in, &out, 3000, calls[round % 4]);
		compare(&in, &out, kind.width, round);
	}
	return NULL;
}

static void
run_threads(int count, cpu_set_t *where)
{
	pthread_t thread[16];
	intptr_t i;

	if (where)
		OK(sched_setaffinity(0, sizeof(*where), where));
	for (i = 0; i < count; i++)
		PT(pthread_create(&thread[i], NULL, keep_registers, (void *)(i + 1)));
	for (i = 0; i < count; i++)
		PT(pthread_join(thread[i], NULL));
}

CASE(preempted, "do vector registers live through preemption on one processor?")
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	run_threads(6, &one);
}

CASE(migrated, "do vector registers live through moves between processors?")
{
	run_threads(12, NULL);
}

static void
on_trash(int number)
{
	struct image junk, out;

	(void)number;
	memset(&junk, 0xee, sizeof(junk));
	widest().round(&junk, &out, 1, 0);
}

struct traveller {
	int fd[2];
	int cpu[2];
	_Atomic pid_t tid;
	atomic_bool drained;
	struct image in, out;
};

enum { travel_bytes = 1 << 20 };

static void
bind(pid_t tid, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	CHECK(sched_setaffinity(tid, sizeof(set), &set) == 0);
}

/* One write that blocks many times, with the registers full. */
static void
write_with_registers(int fd, const void *data, long size, struct image *in, struct image *out)
{
	register const void *buffer __asm__("rsi") = data;
	register long length __asm__("rdx") = size;
	long result = SYS_write;

	__asm__ volatile(EACH16(LOAD_X) "syscall\n" EACH16(SAVE_X)
			 : "+a"(result)
			 : "r"(in), "r"(out), "D"((long)fd), "r"(buffer),
			   "r"(length)
			 : "rcx", "r11", "memory", "cc", CLOBBER_X);
	CHECK(result == size);
}

static void *
travel(void *arg)
{
	struct traveller *t = arg;
	char *data = calloc(1, travel_bytes);
	struct image first, unused;

	CHECK(data != NULL);
	fill(&first, 1);
	fill(&t->in, 2);
	bind(0, t->cpu[0]);
	round_sse(&first, &unused, 0, SYS_getppid);
	bind(0, t->cpu[1]);
	atomic_store(&t->tid, gettid());
	write_with_registers(t->fd[1], data, travel_bytes, &t->in, &t->out);
	while (!atomic_load(&t->drained))
		sched_yield();
	free(data);
	return NULL;
}

CASE(moved_asleep, "do vector registers live through moves while the thread is inside one call?")
{
	struct traveller t = {.cpu = {0, 0}};
	static char data[4096];
	cpu_set_t allowed;
	pthread_t thread;
	long left = travel_bytes;
	int n = 0;

	CHECK(sched_getaffinity(0, sizeof(allowed), &allowed) == 0);
	for (int cpu = 0; cpu < CPU_SETSIZE && n < 2; cpu++)
		if (CPU_ISSET(cpu, &allowed))
			t.cpu[n++] = cpu;
	if (n < 2)
		SKIP("one processor");
	bind(0, t.cpu[1]);
	CHECK(pipe(t.fd) == 0);
	PT(pthread_create(&thread, NULL, travel, &t));
	while (atomic_load(&t.tid) == 0)
		sched_yield();
	for (int round = 0; left > 0; round++) {
		ssize_t got;

		bind(t.tid, t.cpu[round % 2]);
		got = read(t.fd[0], data, sizeof(data));
		CHECK(got > 0);
		left -= got;
	}
	atomic_store(&t.drained, true);
	PT(pthread_join(thread, NULL));
	compare(&t.in, &t.out, 16, 0);
}

CASE(signals, "do vector registers live through a handler that overwrites them?")
{
	struct itimerval often = {{0, 500}, {0, 500}};
	struct itimerval never = {{0, 0}, {0, 0}};

	signal(SIGALRM, on_trash);
	OK(setitimer(ITIMER_REAL, &often, NULL));
	keep_registers((void *)9);
	OK(setitimer(ITIMER_REAL, &never, NULL));
}

CASE(forked, "does the child of fork have the parent's vector registers?")
{
	struct kind kind = widest();
	struct image in, out;
	int round, status;
	pid_t self = getpid();

	for (round = 0; round < 20; round++) {
		fill(&in, round + 5);
		kind.round(&in, &out, 1, SYS_fork);
		compare(&in, &out, kind.width, round);
		if (getpid() != self)
			_exit(0);
		OK(wait(&status));
		CHECK_EQ(status, 0);
	}
}

static uint32_t
get_mxcsr(void)
{
	uint32_t value;

	__asm__ volatile("stmxcsr %0" : "=m"(value));
	return value;
}

static void
set_mxcsr(uint32_t value)
{
	__asm__ volatile("ldmxcsr %0" : : "m"(value));
}

static uint16_t
get_control(void)
{
	uint16_t value;

	__asm__ volatile("fnstcw %0" : "=m"(value));
	return value;
}

static void
set_control(uint16_t value)
{
	__asm__ volatile("fldcw %0" : : "m"(value));
}

static void *
keep_modes(void *arg)
{
	int i, mode = (intptr_t)arg;

	for (i = 0; i < 300; i++) {
		set_mxcsr(0x1f80 | mode << 13);
		set_control(0x37f & ~(mode << 10));
		sched_yield();
		CHECK_EQ(get_mxcsr(), 0x1f80 | mode << 13);
		CHECK_EQ(get_control(), 0x37f & ~(mode << 10));
	}
	return NULL;
}

CASE(modes, "are MXCSR and the x87 control word each thread's own?")
{
	pthread_t thread[4];
	intptr_t i;

	CHECK_EQ(get_mxcsr() & ~0x3f, 0x1f80);
	CHECK_EQ(get_control(), 0x37f);
	for (i = 0; i < 4; i++)
		PT(pthread_create(&thread[i], NULL, keep_modes, (void *)i));
	for (i = 0; i < 4; i++)
		PT(pthread_join(thread[i], NULL));
	CHECK_EQ(get_mxcsr() & ~0x3f, 0x1f80);
}

static atomic_uint inside;

static void
on_mode(int number)
{
	(void)number;
	atomic_store(&inside, get_mxcsr());
	set_mxcsr(0x1f80 | 2 << 13);
}

CASE(mode_in_handler, "does a handler start with default modes and give the old back?")
{
	signal(SIGUSR1, on_mode);
	set_mxcsr(0x1f80 | 3 << 13);
	raise(SIGUSR1);
	CHECK_EQ(get_mxcsr() & ~0x3f, 0x1f80 | 3 << 13);
	CHECK_EQ(atomic_load(&inside) & ~0x3f, 0x1f80);
	set_mxcsr(0x1f80);
}

static void *
keep_x87(void *arg)
{
	long double value = (intptr_t)arg + 0.125L, back;
	int i;

	for (i = 0; i < 2000; i++) {
		__asm__ volatile("fldt %1\n"
				 "mov %2, %%rax\n"
				 "syscall\n"
				 "fstpt %0\n"
				 : "=m"(back)
				 : "m"(value), "i"(SYS_sched_yield)
				 : "rax", "rcx", "r11", "memory");
		CHECK(back == value);
	}
	return NULL;
}

CASE(x87, "does the x87 stack live through a switch of threads?")
{
	pthread_t thread[4];
	intptr_t i;

	for (i = 0; i < 4; i++)
		PT(pthread_create(&thread[i], NULL, keep_x87, (void *)i));
	for (i = 0; i < 4; i++)
		PT(pthread_join(thread[i], NULL));
}

static void *
compute(void *arg)
{
	double sum = 0, *result = arg;
	int i;

	for (i = 1; i < 300000; i++)
		sum += 1.0 / ((double)i * i);
	*result = sum;
	return NULL;
}

CASE(same_sums, "do eight threads compute the same sum, bit for bit?")
{
	pthread_t thread[8];
	double sum[8], want;
	int i;

	compute(&want);
	for (i = 0; i < 8; i++)
		PT(pthread_create(&thread[i], NULL, compute, &sum[i]));
	for (i = 0; i < 8; i++)
		PT(pthread_join(thread[i], NULL));
	for (i = 0; i < 8; i++)
		CHECK(memcmp(&sum[i], &want, sizeof(want)) == 0);
}
