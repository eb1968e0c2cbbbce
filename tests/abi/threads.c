/*
 * threads.c - threads as glibc makes them: create and join, TLS,
 * cancellation, locks and conditions, many threads, affinity.
 */
#include "abi.h"
#include <semaphore.h>
#include <stdatomic.h>

static int total;

static void *
give_back(void *arg)
{
	return arg;
}

CASE(create_join, "does a thread give its result to join?")
{
	pthread_t thread;
	void *result;

	PT(pthread_create(&thread, NULL, give_back, (void *)0x1234));
	PT(pthread_join(thread, &result));
	CHECK_EQ((intptr_t)result, 0x1234);
}

CASE(create_storm, "do 2,000 threads one after another leave nothing behind?")
{
	int i;

	for (i = 0; i < 2000; i++) {
		pthread_t thread;
		void *result;

		PT(pthread_create(&thread, NULL, give_back, &total));
		PT(pthread_join(thread, &result));
		CHECK(result == &total);
	}
}

static atomic_int ended;

static void *
end_detached(void *arg)
{
	atomic_fetch_add(&ended, 1);
	return arg;
}

CASE(detached, "do detached threads end by themselves?")
{
	pthread_attr_t attr;
	pthread_t thread;
	int i, error;

	PT(pthread_attr_init(&attr));
	PT(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED));
	PT(pthread_attr_setstacksize(&attr, 65536));
	for (i = 0; i < 300; i++) {
		while ((error = pthread_create(&thread, &attr, end_detached, NULL)) == EAGAIN)
			sched_yield();
		CHECK_EQ(error, 0);
	}
	while (atomic_load(&ended) < 300)
		sched_yield();
}

static pthread_barrier_t barrier;
static atomic_int arrived;

static void *
meet(void *arg)
{
	atomic_fetch_add(&arrived, 1);
	pthread_barrier_wait(&barrier);
	return arg;
}

CASE(thousand, "can 1,000 threads live at once?")
{
	static pthread_t thread[1000];
	pthread_attr_t attr;
	int i;

	PT(pthread_attr_init(&attr));
	PT(pthread_attr_setstacksize(&attr, 65536));
	PT(pthread_barrier_init(&barrier, NULL, 1001));
	for (i = 0; i < 1000; i++)
		PT(pthread_create(&thread[i], &attr, meet, NULL));
	pthread_barrier_wait(&barrier);
	CHECK_EQ(atomic_load(&arrived), 1000);
	for (i = 0; i < 1000; i++)
		PT(pthread_join(thread[i], NULL));
}

static __thread int local_data = 7;
static __thread int local_zero;

static void *
use_locals(void *arg)
{
	int i, id = (intptr_t)arg;

	CHECK_EQ(local_data, 7);
	CHECK_EQ(local_zero, 0);
	for (i = 0; i < 1000; i++) {
		local_data = id;
		local_zero = -id;
		if (i % 100 == 0)
			sched_yield();
		CHECK_EQ(local_data, id);
		CHECK_EQ(local_zero, -id);
	}
	return NULL;
}

CASE(tls, "does each thread have its own thread-local data?")
{
	pthread_t thread[8];
	intptr_t i;

	for (i = 0; i < 8; i++)
		PT(pthread_create(&thread[i], NULL, use_locals, (void *)(i + 100)));
	for (i = 0; i < 8; i++)
		PT(pthread_join(thread[i], NULL));
	CHECK_EQ(local_data, 7);
}

static pthread_key_t key;

static void
on_key(void *value)
{
	atomic_fetch_add((atomic_int *)value, 1);
}

static void *
set_key(void *arg)
{
	PT(pthread_setspecific(key, arg));
	return NULL;
}

CASE(keys, "are key destructors run at thread end?")
{
	atomic_int runs = 0;
	pthread_t thread[5];
	int i;

	PT(pthread_key_create(&key, on_key));
	for (i = 0; i < 5; i++)
		PT(pthread_create(&thread[i], NULL, set_key, &runs));
	for (i = 0; i < 5; i++)
		PT(pthread_join(thread[i], NULL));
	CHECK_EQ(atomic_load(&runs), 5);
}

static void *
read_for_ever(void *arg)
{
	struct gate *gate = arg;
	char c;

	gate_open(&gate[0]);
	while (read(gate[1].fd[0], &c, 1) >= 0)
		;
	return NULL;
}

static void
on_cleanup(void *arg)
{
	*(int *)arg = 1;
}

static void *
sleep_with_cleanup(void *arg)
{
	pthread_cleanup_push(on_cleanup, arg);
	for (;;)
		pause();
	pthread_cleanup_pop(0);
	return NULL;
}

CASE(cancel, "does cancellation end a blocked read and run clean-ups?")
{
	struct gate gate[2] = {gate_make(), gate_make()};
	pthread_t thread;
	int cleaned = 0;
	void *result;

	PT(pthread_create(&thread, NULL, read_for_ever, gate));
	gate_pass(&gate[0]);
	PT(pthread_cancel(thread));
	PT(pthread_join(thread, &result));
	CHECK(result == PTHREAD_CANCELED);
	PT(pthread_create(&thread, NULL, sleep_with_cleanup, &cleaned));
	abi_nap_ms(1);
	PT(pthread_cancel(thread));
	PT(pthread_join(thread, &result));
	CHECK(result == PTHREAD_CANCELED);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int turn;

static void *
count_locked(void *arg)
{
	int i;

	for (i = 0; i < 5000; i++) {
		PT(pthread_mutex_lock(&mutex));
		total++;
		PT(pthread_mutex_unlock(&mutex));
	}
	return arg;
}

CASE(mutex_count, "does a mutex keep a counter of eight threads right?")
{
	pthread_t thread[8];
	int i;

	for (i = 0; i < 8; i++)
		PT(pthread_create(&thread[i], NULL, count_locked, NULL));
	for (i = 0; i < 8; i++)
		PT(pthread_join(thread[i], NULL));
	CHECK_EQ(total, 40000);
}

static void *
take_turns(void *arg)
{
	int me = (intptr_t)arg, i;

	PT(pthread_mutex_lock(&mutex));
	for (i = 0; i < 300; i++) {
		while (turn % 4 != me)
			PT(pthread_cond_wait(&cond, &mutex));
		turn++;
		PT(pthread_cond_broadcast(&cond));
	}
	PT(pthread_mutex_unlock(&mutex));
	return NULL;
}

CASE(cond_turns, "do four threads take turns on one condition variable?")
{
	pthread_t thread[4];
	intptr_t i;

	for (i = 0; i < 4; i++)
		PT(pthread_create(&thread[i], NULL, take_turns, (void *)i));
	for (i = 0; i < 4; i++)
		PT(pthread_join(thread[i], NULL));
	CHECK_EQ(turn, 1200);
}

CASE(cond_timeout, "do timed waits time out on either clock?")
{
	pthread_condattr_t attr;
	struct timespec when;
	pthread_cond_t timed;

	OK(clock_gettime(CLOCK_REALTIME, &when));
	when.tv_nsec += 5000000;
	if (when.tv_nsec >= 1000000000) {
		when.tv_sec++;
		when.tv_nsec -= 1000000000;
	}
	PT(pthread_mutex_lock(&mutex));
	CHECK_EQ(pthread_cond_timedwait(&cond, &mutex, &when), ETIMEDOUT);
	PT(pthread_condattr_init(&attr));
	PT(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC));
	PT(pthread_cond_init(&timed, &attr));
	OK(clock_gettime(CLOCK_MONOTONIC, &when));
	CHECK_EQ(pthread_cond_timedwait(&timed, &mutex, &when), ETIMEDOUT);
	PT(pthread_mutex_unlock(&mutex));
}

static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static volatile int pair[2];

static void *
read_pairs(void *arg)
{
	int i;

	for (i = 0; i < 2000; i++) {
		PT(pthread_rwlock_rdlock(&rwlock));
		CHECK_EQ(pair[0], pair[1]);
		PT(pthread_rwlock_unlock(&rwlock));
	}
	return arg;
}

static void *
write_pairs(void *arg)
{
	int i;

	for (i = 0; i < 1000; i++) {
		PT(pthread_rwlock_wrlock(&rwlock));
		pair[0]++;
		pair[1]++;
		PT(pthread_rwlock_unlock(&rwlock));
	}
	return arg;
}

CASE(rwlock_pairs, "do readers never see half a write?")
{
	pthread_t thread[6];
	int i;

	for (i = 0; i < 6; i++)
		PT(pthread_create(&thread[i], NULL, i < 4 ? read_pairs : write_pairs, NULL));
	for (i = 0; i < 6; i++)
		PT(pthread_join(thread[i], NULL));
	CHECK_EQ(pair[0], 2000);
}

static atomic_int rounds[50];

static void *
meet_often(void *arg)
{
	int i;

	for (i = 0; i < 50; i++) {
		atomic_fetch_add(&rounds[i], 1);
		pthread_barrier_wait(&barrier);
		CHECK_EQ(atomic_load(&rounds[i]), 6);
	}
	return arg;
}

CASE(barrier_rounds, "does a barrier hold every round?")
{
	pthread_t thread[6];
	int i;

	PT(pthread_barrier_init(&barrier, NULL, 6));
	for (i = 0; i < 6; i++)
		PT(pthread_create(&thread[i], NULL, meet_often, NULL));
	for (i = 0; i < 6; i++)
		PT(pthread_join(thread[i], NULL));
}

struct ring {
	sem_t full, empty;
	pthread_mutex_t lock;
	int slot[8];
	unsigned int head, tail;
	atomic_long sum;
};

static void *
produce(void *arg)
{
	struct ring *ring = arg;
	int i;

	for (i = 1; i <= 1000; i++) {
		sem_wait(&ring->empty);
		PT(pthread_mutex_lock(&ring->lock));
		ring->slot[ring->head++ % 8] = i;
		PT(pthread_mutex_unlock(&ring->lock));
		sem_post(&ring->full);
	}
	return NULL;
}

static void *
consume(void *arg)
{
	struct ring *ring = arg;
	int i;

	for (i = 1; i <= 1000; i++) {
		sem_wait(&ring->full);
		PT(pthread_mutex_lock(&ring->lock));
		atomic_fetch_add(&ring->sum, ring->slot[ring->tail++ % 8]);
		PT(pthread_mutex_unlock(&ring->lock));
		sem_post(&ring->empty);
	}
	return NULL;
}

CASE(semaphores, "do producers and consumers lose and double nothing?")
{
	struct ring ring = {.lock = PTHREAD_MUTEX_INITIALIZER};
	pthread_t thread[6];
	int i;

	OK(sem_init(&ring.full, 0, 0));
	OK(sem_init(&ring.empty, 0, 8));
	for (i = 0; i < 6; i++)
		PT(pthread_create(&thread[i], NULL, i & 1 ? produce : consume, &ring));
	for (i = 0; i < 6; i++)
		PT(pthread_join(thread[i], NULL));
	CHECK_EQ(atomic_load(&ring.sum), 3 * 500500);
}

static void *
tell_ids(void *arg)
{
	pid_t *ids = arg;

	ids[0] = getpid();
	ids[1] = gettid();
	ids[2] = getppid();
	return NULL;
}

CASE(ids, "do threads share the pid and differ in the tid?")
{
	pid_t ids[3];
	pthread_t thread;

	CHECK_EQ(getpid(), gettid());
	PT(pthread_create(&thread, NULL, tell_ids, ids));
	PT(pthread_join(thread, NULL));
	CHECK_EQ(ids[0], getpid());
	CHECK(ids[1] != gettid());
	CHECK_EQ(ids[2], getppid());
}

static void *
set_name(void *arg)
{
	char name[32];

	PT(pthread_setname_np(pthread_self(), "worker"));
	PT(pthread_getname_np(pthread_self(), name, sizeof(name)));
	CHECK(strcmp(name, "worker") == 0);
	return arg;
}

CASE(names, "does each thread have its own name?")
{
	char name[32];
	pthread_t thread;

	PT(pthread_create(&thread, NULL, set_name, NULL));
	PT(pthread_join(thread, NULL));
	PT(pthread_getname_np(pthread_self(), name, sizeof(name)));
	CHECK(strcmp(name, "worker") != 0);
}

CASE(affinity, "can a thread bind itself to each processor it may use?")
{
	cpu_set_t all, one, now;
	int cpu;

	CHECK(syscall(SYS_sched_getaffinity, 0, sizeof(all), &all) > 0);
	OK(sched_getaffinity(0, sizeof(all), &all));
	CHECK(CPU_COUNT(&all) > 0);
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		OK(sched_setaffinity(0, sizeof(one), &one));
		CHECK_EQ(sched_getcpu(), cpu);
		OK(sched_getaffinity(0, sizeof(now), &now));
		CHECK(CPU_EQUAL(&now, &one));
	}
	CPU_ZERO(&one);
	CHECK_ERR(sched_setaffinity(0, sizeof(one), &one), EINVAL);
	CHECK_ERR(sched_setaffinity(0x3ffffff, sizeof(all), &all), ESRCH);
	CHECK_ERR(syscall(SYS_sched_getaffinity, 0, 1, &all), EINVAL);
	OK(sched_setaffinity(0, sizeof(all), &all));
}

static atomic_int spinning;

static void *
spin_until(void *arg)
{
	while (!atomic_load(&spinning))
		;
	return arg;
}

CASE(preemption, "is a thread that never yields preempted, on one processor?")
{
	cpu_set_t one;
	pthread_t thread;
	int i;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	OK(sched_setaffinity(0, sizeof(one), &one));
	PT(pthread_create(&thread, NULL, spin_until, NULL));
	for (i = 0; i < 20; i++)
		sched_yield();
	atomic_store(&spinning, 1);
	PT(pthread_join(thread, NULL));
}

static void *
small_stack(void *arg)
{
	volatile char pad[8192];

	memset((void *)pad, 1, sizeof(pad));
	*(char *)arg = pad[100];
	return NULL;
}

CASE(own_stack, "does a thread run on a stack the program gives?")
{
	size_t size = 65536;
	char *stack = MAPPED(
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	pthread_attr_t attr;
	pthread_t thread;
	char mark = 0;

	PT(pthread_attr_init(&attr));
	PT(pthread_attr_setstack(&attr, stack, size));
	PT(pthread_create(&thread, &attr, small_stack, &mark));
	PT(pthread_join(thread, NULL));
	CHECK_EQ(mark, 1);
	OK(munmap(stack, size));
}

static void *
allocate(void *arg)
{
	uint64_t seed = (uintptr_t)arg;
	unsigned char *block[32] = {0};
	size_t size[32] = {0};
	int i;

	for (i = 0; i < 2000; i++) {
		int at = abi_random(&seed) % 32;

		if (block[at] && size[at]) {
			CHECK_EQ(block[at][0], at);
			CHECK_EQ(block[at][size[at] - 1], at);
		}
		free(block[at]);
		size[at] = 1 + abi_random(&seed) % 20000;
		block[at] = malloc(size[at]);
		CHECK(block[at] != NULL);
		block[at][0] = block[at][size[at] - 1] = at;
	}
	for (i = 0; i < 32; i++)
		free(block[i]);
	return NULL;
}

CASE(malloc_storm, "does malloc in eight threads keep every block whole?")
{
	pthread_t thread[8];
	intptr_t i;

	for (i = 0; i < 8; i++)
		PT(pthread_create(&thread[i], NULL, allocate, (void *)i));
	for (i = 0; i < 8; i++)
		PT(pthread_join(thread[i], NULL));
}

CASE(fork_then_thread, "can a forked child make threads of its own?")
{
	pthread_t thread;
	pid_t pid;

	PT(pthread_create(&thread, NULL, give_back, NULL));
	pid = abi_fork();
	if (pid == 0) {
		PT(pthread_create(&thread, NULL, give_back, (void *)3));
		PT(pthread_join(thread, NULL));
		_exit(3);
	}
	CHECK_EQ(abi_reap(pid), 3);
	PT(pthread_join(thread, NULL));
}
