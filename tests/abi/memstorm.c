/*
 * memstorm.c - many threads change one address space at once: mapping and
 * unmapping, protection, fork with copy on write, faults beside them.
 */
#include "abi.h"
#include <stdatomic.h>

#define PAGE 4096UL
#define RW   (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static atomic_int running;

static void
run(int count, void *(*work)(void *))
{
	pthread_t thread[8];
	intptr_t i;

	atomic_store(&running, count);
	for (i = 0; i < count; i++)
		PT(pthread_create(&thread[i], NULL, work, (void *)(i + 1)));
	for (i = 0; i < count; i++)
		PT(pthread_join(thread[i], NULL));
}

static void *
map_touch_unmap(void *arg)
{
	uint64_t seed = (uintptr_t)arg;
	int i;

	for (i = 0; i < 400; i++) {
		size_t pages = 1 + abi_random(&seed) % 20, p;
		char *map = MAPPED(mmap(NULL, pages * PAGE, RW, ANON, -1, 0));

		for (p = 0; p < pages; p++) {
			CHECK_EQ(map[p * PAGE], 0);
			map[p * PAGE] = (char)seed;
		}
		for (p = 0; p < pages; p++)
			CHECK_EQ(map[p * PAGE], (char)seed);
		OK(munmap(map, pages * PAGE));
	}
	return NULL;
}

CASE(map_unmap, "do threads that map, touch and unmap always get zeroed pages?")
{
	run(6, map_touch_unmap);
}

static char *area;

static void *
touch_same(void *arg)
{
	size_t p;

	for (p = 0; p < 512; p++)
		__atomic_fetch_add((int *)(area + p * PAGE), 1, __ATOMIC_SEQ_CST);
	return arg;
}

CASE(same_page, "if eight threads fault on one page, do they get the same page?")
{
	size_t p;
	int round;

	for (round = 0; round < 10; round++) {
		area = MAPPED(mmap(NULL, 512 * PAGE, RW, ANON, -1, 0));
		run(8, touch_same);
		for (p = 0; p < 512; p++)
			CHECK_EQ(*(int *)(area + p * PAGE), 8);
		OK(munmap(area, 512 * PAGE));
	}
}

static void *
protect_often(void *arg)
{
	char *map = MAPPED(mmap(NULL, 16 * PAGE, RW, ANON, -1, 0));
	int i;

	for (i = 0; i < 300; i++) {
		map[i % 16 * PAGE] = i;
		OK(mprotect(map, 16 * PAGE, PROT_READ));
		CHECK_EQ(map[i % 16 * PAGE], (char)i);
		OK(mprotect(map + i % 16 * PAGE, PAGE, RW));
		map[i % 16 * PAGE] = i + 1;
		OK(mprotect(map, 16 * PAGE, RW));
	}
	OK(munmap(map, 16 * PAGE));
	return arg;
}

CASE(protect, "do threads that change protection not disturb each other?")
{
	run(6, protect_often);
}

static void *
fork_and_check(void *arg)
{
	int i, id = (intptr_t)arg;
	char *map = MAPPED(mmap(NULL, 32 * PAGE, RW, ANON, -1, 0));
	size_t p;

	for (i = 0; i < 15; i++) {
		pid_t pid;

		for (p = 0; p < 32; p++)
			map[p * PAGE] = id + i;
		pid = abi_fork();
		if (pid == 0) {
			for (p = 0; p < 32; p++) {
				if (map[p * PAGE] != (char)(id + i))
					_exit(1);
				map[p * PAGE] = 100;
			}
			_exit(0);
		}
		for (p = 0; p < 32; p += 2)
			map[p * PAGE] = 50;
		CHECK_EQ(abi_reap(pid), 0);
		for (p = 0; p < 32; p++)
			CHECK_EQ(map[p * PAGE], p % 2 ? (char)(id + i) : 50);
	}
	OK(munmap(map, 32 * PAGE));
	return NULL;
}

CASE(fork_storm, "does copy on write hold when four threads fork and write?")
{
	run(4, fork_and_check);
}

static void *
mixed(void *arg)
{
	switch ((intptr_t)arg % 3) {
	case 0:
		return map_touch_unmap(arg);
	case 1:
		return protect_often(arg);
	default:
		return fork_and_check(arg);
	}
}

CASE(mixed_storm, "does mapping, protecting and forking at once keep all data?")
{
	run(6, mixed);
}

static atomic_int stop;

static void *
read_until_stop(void *arg)
{
	volatile int *counter = arg;
	int last = 0, now;

	while (!atomic_load(&stop)) {
		now = *counter;
		if (now < last)
			FAIL("counter went back from %d to %d", last, now);
		last = now;
	}
	return NULL;
}

CASE(fork_reader, "does another thread see every write, through forks between them?")
{
	volatile int *counter = MAPPED(mmap(NULL, PAGE, RW, ANON, -1, 0));
	pthread_t thread;
	int i;

	PT(pthread_create(&thread, NULL, read_until_stop, (void *)counter));
	for (i = 1; i <= 60; i++) {
		pid_t pid = abi_fork();

		if (pid == 0)
			_exit(0);
		*counter = i;
		CHECK_EQ(abi_reap(pid), 0);
		CHECK_EQ(*counter, i);
	}
	atomic_store(&stop, 1);
	PT(pthread_join(thread, NULL));
}

static atomic_int phase;

static void *
read_stale(void *arg)
{
	volatile char *map = arg;
	int round;

	for (round = 1; round <= 100; round++) {
		while (atomic_load(&phase) != round * 2 - 1)
			sched_yield();
		if (*map != (char)round)
			FAIL("old page seen in round %d", round);
		atomic_store(&phase, round * 2);
	}
	return NULL;
}

CASE(shootdown, "does a thread on another processor see the new page after a remap?")
{
	char *map = MAPPED(mmap(NULL, PAGE, RW, ANON, -1, 0));
	pthread_t thread;
	int round;

	PT(pthread_create(&thread, NULL, read_stale, map));
	for (round = 1; round <= 100; round++) {
		MAPPED(mmap(map, PAGE, RW, ANON | MAP_FIXED, -1, 0));
		*map = round;
		atomic_store(&phase, round * 2 - 1);
		while (atomic_load(&phase) != round * 2)
			sched_yield();
	}
	PT(pthread_join(thread, NULL));
}

static void *
use_break(void *arg)
{
	int i;

	for (i = 0; i < 300; i++) {
		char *block = malloc(200000 + i);

		CHECK(block != NULL);
		block[0] = block[199999] = i;
		CHECK_EQ(block[0], (char)i);
		free(block);
	}
	return arg;
}

CASE(big_malloc, "do large allocations of many threads come and go?")
{
	run(8, use_break);
}

/* The calling thread stays on one of the processors it may use. */
static void
pin(int n)
{
	cpu_set_t may, one;
	int cpu, left;

	OK(sched_getaffinity(0, sizeof(may), &may));
	left = n % CPU_COUNT(&may);
	for (cpu = 0; !CPU_ISSET(cpu, &may) || left-- > 0; cpu++)
		;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	OK(sched_setaffinity(0, sizeof(one), &one));
}

#define ZERO_PAGES  48
#define ZERO_READER 7

/* Each round reads the zeros of a new area, lets the writer fill it, and reads again. */
static void *
read_zeros_then_data(void *arg)
{
	int round;
	size_t p;

	pin((intptr_t)arg);
	for (round = 1; round <= 16; round++) {
		while (atomic_load(&phase) != round * 4)
			sched_yield();
		for (p = 0; p < ZERO_PAGES; p++)
			CHECK_EQ(((volatile char *)area)[p * PAGE], 0);
		atomic_store(&phase, round * 4 + 1);
		while (atomic_load(&phase) != round * 4 + 2)
			sched_yield();
		for (p = 0; p < ZERO_PAGES; p++)
			CHECK_EQ(((volatile char *)area)[p * PAGE], (char)(p + round));
		atomic_store(&phase, round * 4 + 3);
	}
	return NULL;
}

static void *
write_after_zeros(void *arg)
{
	int round;
	size_t p;

	for (round = 1; round <= 16; round++) {
		pin(round);
		area = MAPPED(mmap(NULL, ZERO_PAGES * PAGE, RW, ANON, -1, 0));
		atomic_store(&phase, round * 4);
		while (atomic_load(&phase) != round * 4 + 1)
			sched_yield();
		for (p = 0; p < ZERO_PAGES; p++)
			area[p * PAGE] = p + round;
		atomic_store(&phase, round * 4 + 2);
		while (atomic_load(&phase) != round * 4 + 3)
			sched_yield();
		OK(munmap(area, ZERO_PAGES * PAGE));
	}
	return arg;
}

CASE(zeros_elsewhere, "does who has read zeros see what another processor then writes there?")
{
	pthread_t reader, writer;

	PT(pthread_create(&reader, NULL, read_zeros_then_data, (void *)(intptr_t)ZERO_READER));
	PT(pthread_create(&writer, NULL, write_after_zeros, NULL));
	PT(pthread_join(writer, NULL));
	PT(pthread_join(reader, NULL));
}

#define COUNT_PAGES  64
#define COUNT_ROUNDS 12

/* Counts in every page of the common area, while others fork and change the map. */
static void *
count_pinned(void *arg)
{
	int id = (intptr_t)arg, round;
	size_t p;

	pin(id - 1);
	for (round = 0; round < COUNT_ROUNDS; round++) {
		for (p = 0; p < COUNT_PAGES; p++)
			((volatile int *)(area + p * PAGE))[id]++;
		if ((round + id) % 4 == 0) {
			pid_t pid = abi_fork();

			if (pid == 0) {
				for (p = 0; p < COUNT_PAGES; p++)
					((volatile int *)(area + p * PAGE))[id] = -1;
				_exit(0);
			}
			CHECK_EQ(abi_reap(pid), 0);
		}
		if ((round + id) % 4 == 1)
			OK(madvise(area + COUNT_PAGES * PAGE, COUNT_PAGES * PAGE, MADV_DONTNEED));
		area[(COUNT_PAGES + id) * PAGE] = 1;
		if ((round + id) % 4 == 2) {
			char *map = MAPPED(mmap(NULL, 40 * PAGE, RW, ANON, -1, 0));

			map[7 * PAGE] = 1;
			OK(mprotect(map, 20 * PAGE, PROT_READ));
			CHECK_EQ(map[7 * PAGE], 1);
			OK(munmap(map, 40 * PAGE));
		}
	}
	return NULL;
}

CASE(every_core, "do counts in shared pages survive forks and unmapping on every processor?")
{
	size_t p;
	int i;

	area = MAPPED(mmap(NULL, 2 * COUNT_PAGES * PAGE, RW, ANON, -1, 0));
	run(8, count_pinned);
	for (p = 0; p < COUNT_PAGES; p++)
		for (i = 1; i <= 8; i++)
			CHECK_EQ(((int *)(area + p * PAGE))[i], COUNT_ROUNDS);
	OK(munmap(area, 2 * COUNT_PAGES * PAGE));
}

CASE(pipe_between, "are read and write right while pages are copied on write?")
{
	char *map = MAPPED(mmap(NULL, 16 * PAGE, RW, ANON, -1, 0));
	int fd[2], i;
	char back[PAGE];

	OK(pipe(fd));
	for (i = 0; i < 40; i++) {
		pid_t pid;

		memset(map, i, 16 * PAGE);
		pid = abi_fork();
		if (pid == 0) {
			memset(map, 99, 16 * PAGE);
			_exit(0);
		}
		CHECK_EQ(write(fd[1], map + i % 16 * PAGE, PAGE), PAGE);
		CHECK_EQ(read(fd[0], map + (i + 1) % 16 * PAGE, PAGE), PAGE);
		memset(back, i, PAGE);
		CHECK(memcmp(back, map + (i + 1) % 16 * PAGE, PAGE) == 0);
		CHECK_EQ(abi_reap(pid), 0);
	}
}
