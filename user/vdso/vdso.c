/*
 * Calls that need no kernel: reading clocks. Mapped into every program; glibc and musl find it by
 * AT_SYSINFO_EHDR and use it as linux-vdso.so.1, version LINUX_2.6 (man 7 vdso).
 *
 * The data page in front of the image is written by the kernel (proc/vdso.c).
 */
#include <asm/unistd.h>
#include <linux/time.h>
#include <linux/time_types.h>

#include "proc/vdso_data.h"

#define PUBLIC	   __attribute__((visibility("default")))
#define ALIAS(of)  __attribute__((visibility("default"), weak, alias(of)))
#define NS_PER_SEC 1000000000L

extern const volatile struct vdso_data vdso_data __attribute__((visibility("hidden")));

struct timezone_k {
	int minutes_west, dst_time;
};

int __vdso_clock_gettime(int clock, struct __kernel_timespec *ts);
int __vdso_clock_getres(int clock, struct __kernel_timespec *ts);
int __vdso_gettimeofday(struct __kernel_old_timeval *tv, struct timezone_k *tz);
long __vdso_time(long *out);
long __vdso_getcpu(unsigned *cpu, unsigned *node, void *unused);

static long
call(long number, long a, long b, long c)
{
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	return result;
}

static inline uint64_t
read_tsc(void)
{
	uint32_t lo, hi;

	/* LFENCE: not before the loads of the sequence count (SDM 2B, RDTSC). */
	__asm__ volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
	return (uint64_t)hi << 32 | lo;
}

/* ns of the clock; 0 when the kernel has to be asked. */
static inline int
read_clock(int clock, int64_t *out)
{
	const volatile struct vdso_data *d = &vdso_data;
	uint64_t tsc, base;
	uint32_t seq;
	int64_t ns;

	do {
		seq = __atomic_load_n(&d->seq, __ATOMIC_ACQUIRE);
		if (!d->usable)
			return 0;
		tsc = read_tsc();
		base = d->base_tsc;
		ns = d->base_ns;
		if (tsc > base)
			ns += (int64_t)((unsigned __int128)(tsc - base) * d->mult >> 32);
		ns += d->offset[clock];
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
	} while ((seq & 1) || seq != d->seq);
	*out = ns;
	return 1;
}

#define CLOCK(id) (1u << (id))
#define CLOCKS                                                                                     \
	(CLOCK(CLOCK_REALTIME) | CLOCK(CLOCK_REALTIME_COARSE) | CLOCK(CLOCK_TAI) |                 \
	 CLOCK(CLOCK_MONOTONIC) | CLOCK(CLOCK_MONOTONIC_RAW) | CLOCK(CLOCK_MONOTONIC_COARSE) |     \
	 CLOCK(CLOCK_BOOTTIME))

_Static_assert(CLOCKS >> VDSO_CLOCKS == 0, "each has an offset");

static inline int
is_read_here(int clock)
{
	return (unsigned)clock < VDSO_CLOCKS && (CLOCKS >> clock & 1);
}

PUBLIC int
__vdso_clock_gettime(int clock, struct __kernel_timespec *ts)
{
	int64_t ns;

	if (!is_read_here(clock) || !read_clock(clock, &ns))
		return (int)call(__NR_clock_gettime, clock, (long)ts, 0);
	ts->tv_sec = ns / NS_PER_SEC;
	ts->tv_nsec = ns % NS_PER_SEC;
	return 0;
}

PUBLIC int
__vdso_clock_getres(int clock, struct __kernel_timespec *ts)
{
	if (!is_read_here(clock))
		return (int)call(__NR_clock_getres, clock, (long)ts, 0);
	if (ts) {
		ts->tv_sec = 0;
		ts->tv_nsec = 1;
	}
	return 0;
}

PUBLIC int
__vdso_gettimeofday(struct __kernel_old_timeval *tv, struct timezone_k *tz)
{
	int64_t ns;

	if (tv) {
		if (!read_clock(CLOCK_REALTIME, &ns))
			return (int)call(__NR_gettimeofday, (long)tv, (long)tz, 0);
		tv->tv_sec = ns / NS_PER_SEC;
		tv->tv_usec = ns % NS_PER_SEC / 1000;
	}
	if (tz)
		tz->minutes_west = tz->dst_time = 0;
	return 0;
}

PUBLIC long
__vdso_time(long *out)
{
	int64_t ns;
	long now;

	if (!read_clock(CLOCK_REALTIME, &ns))
		return call(__NR_time, (long)out, 0, 0);
	now = ns / NS_PER_SEC;
	if (out)
		*out = now;
	return now;
}

PUBLIC long
__vdso_getcpu(unsigned *cpu, unsigned *node, void *unused)
{
	return call(__NR_getcpu, (long)cpu, (long)node, (long)unused);
}

int clock_gettime(int clock, struct __kernel_timespec *ts) ALIAS("__vdso_clock_gettime");
int clock_getres(int clock, struct __kernel_timespec *ts) ALIAS("__vdso_clock_getres");
int gettimeofday(struct __kernel_old_timeval *tv, struct timezone_k *tz)
	ALIAS("__vdso_gettimeofday");
long time(long *out) ALIAS("__vdso_time");
long getcpu(unsigned *cpu, unsigned *node, void *unused) ALIAS("__vdso_getcpu");
