/*
 * futex.c - the raw futex call: wait, wake, bitset, timeouts, requeue,
 * wake_op, sharing between processes, robust lists, errors.
 */
#include "abi.h"
#include <linux/futex.h>
#include <stdatomic.h>

static long
futex(void *word, int op, uint32_t value, const void *timeout, void *word2, uint32_t value3)
{
	return syscall(SYS_futex, word, op, value, timeout, word2, value3);
}

#define WAIT FUTEX_WAIT_PRIVATE
#define WAKE FUTEX_WAKE_PRIVATE

struct sleeper {
	pthread_t thread;
	atomic_uint *word;
	int op;
	uint32_t value, bits;
	const struct timespec *timeout;
	long result;
	int error;
	atomic_int done;
};

static void *
sleep_on(void *arg)
{
	struct sleeper *self = arg;

	self->result = futex(self->word, self->op, self->value, self->timeout, NULL, self->bits);
	self->error = errno;
	atomic_store(&self->done, 1);
	return NULL;
}

static void
sleeper_start(struct sleeper *sleeper, atomic_uint *word, int op, uint32_t bits)
{
	sleeper->word = word;
	sleeper->op = op;
	sleeper->value = atomic_load(word);
	sleeper->bits = bits;
	sleeper->timeout = NULL;
	sleeper->done = 0;
	PT(pthread_create(&sleeper->thread, NULL, sleep_on, sleeper));
}

/* Wakes until this many have been woken; sleepers may still be on their way. */
static void
wake_in_all(atomic_uint *word, int total)
{
	while (total > 0) {
		long woken = OK(futex(word, WAKE, 1, NULL, NULL, 0));

		CHECK(woken <= 1);
		total -= woken;
		if (woken == 0)
			sched_yield();
	}
}

CASE(value_differs, "does wait return EAGAIN when the value is another?")
{
	atomic_uint word = 5;

	CHECK_ERR(futex(&word, WAIT, 4, NULL, NULL, 0), EAGAIN);
	CHECK_EQ(futex(&word, WAKE, 1, NULL, NULL, 0), 0);
}

CASE(wake_one, "does a wake end one wait, with result 0?")
{
	atomic_uint word = 0;
	struct sleeper sleeper;

	sleeper_start(&sleeper, &word, WAIT, 0);
	wake_in_all(&word, 1);
	PT(pthread_join(sleeper.thread, NULL));
	CHECK_EQ(sleeper.result, 0);
}

CASE(wake_counts, "does wake(n) wake at most n, and say how many?")
{
	struct sleeper sleeper[6];
	atomic_uint word = 0;
	int i, woken = 0, more;

	for (i = 0; i < 6; i++)
		sleeper_start(&sleeper[i], &word, WAIT, 0);
	while (woken < 4) {
		more = OK(futex(&word, WAKE, 4 - woken, NULL, NULL, 0));
		CHECK(more <= 4 - woken);
		woken += more;
	}
	while (woken < 6)
		woken += OK(futex(&word, WAKE, INT_MAX, NULL, NULL, 0));
	CHECK_EQ(woken, 6);
	for (i = 0; i < 6; i++) {
		PT(pthread_join(sleeper[i].thread, NULL));
		CHECK_EQ(sleeper[i].result, 0);
	}
	CHECK_EQ(futex(&word, WAKE, INT_MAX, NULL, NULL, 0), 0);
}

struct two_wakers {
	atomic_uint *word;
	atomic_int *woken;
};

static void *
wake_until(void *arg)
{
	struct two_wakers *wakers = arg;

	while (atomic_load(wakers->woken) == 0)
		atomic_fetch_add(wakers->woken, futex(wakers->word, WAKE, 1, NULL, NULL, 0));
	return NULL;
}

CASE(two_wakers, "what if two threads wake one waiter?")
{
	int round;

	for (round = 0; round < 200; round++) {
		atomic_uint word = 0;
		atomic_int woken = 0;
		struct two_wakers wakers = {&word, &woken};
		struct sleeper sleeper;
		pthread_t thread[2];

		sleeper_start(&sleeper, &word, WAIT, 0);
		PT(pthread_create(&thread[0], NULL, wake_until, &wakers));
		PT(pthread_create(&thread[1], NULL, wake_until, &wakers));
		PT(pthread_join(thread[0], NULL));
		PT(pthread_join(thread[1], NULL));
		PT(pthread_join(sleeper.thread, NULL));
		CHECK_EQ(atomic_load(&woken), 1);
		CHECK_EQ(sleeper.result, 0);
	}
}

CASE(timeout_relative, "does a relative timeout end the wait, not too early?")
{
	struct timespec brief = {0, 20000000}, bad = {0, 1000000000};
	struct timespec negative = {-1, 0}, zero = {0, 0};
	atomic_uint word = 0;
	int64_t start = abi_now_ns(CLOCK_MONOTONIC);

	CHECK_ERR(futex(&word, WAIT, 0, &brief, NULL, 0), ETIMEDOUT);
	CHECK(abi_now_ns(CLOCK_MONOTONIC) - start >= 20000000);
	CHECK_ERR(futex(&word, WAIT, 0, &zero, NULL, 0), ETIMEDOUT);
	CHECK_ERR(futex(&word, WAIT, 0, &bad, NULL, 0), EINVAL);
	CHECK_ERR(futex(&word, WAIT, 0, &negative, NULL, 0), EINVAL);
	CHECK_ERR(futex(&word, WAIT, 0, abi_bad(), NULL, 0), EFAULT);
}

static struct timespec
later(clockid_t clock, int64_t ns)
{
	int64_t then = abi_now_ns(clock) + ns;

	return (struct timespec){then / 1000000000, then % 1000000000};
}

CASE(timeout_absolute, "does WAIT_BITSET take an absolute time of either clock?")
{
	int op = FUTEX_WAIT_BITSET_PRIVATE;
	struct timespec when = later(CLOCK_MONOTONIC, 20000000);
	struct timespec past = {0, 1};
	atomic_uint word = 0;

	CHECK_ERR(futex(&word, op, 0, &when, NULL, ~0u), ETIMEDOUT);
	CHECK(abi_now_ns(CLOCK_MONOTONIC) >= when.tv_sec * 1000000000LL + when.tv_nsec);
	when = later(CLOCK_REALTIME, 20000000);
	CHECK_ERR(futex(&word, op | FUTEX_CLOCK_REALTIME, 0, &when, NULL, ~0u), ETIMEDOUT);
	CHECK(abi_now_ns(CLOCK_REALTIME) >= when.tv_sec * 1000000000LL + when.tv_nsec);
	CHECK_ERR(futex(&word, op, 0, &past, NULL, ~0u), ETIMEDOUT);
	CHECK_ERR(futex(&word, op, 1, &past, NULL, ~0u), EAGAIN);
}

CASE(bitset, "does a wake with other bits leave the sleeper asleep?")
{
	struct sleeper one, two;
	atomic_uint word = 0;
	int i;

	sleeper_start(&one, &word, FUTEX_WAIT_BITSET_PRIVATE, 1);
	sleeper_start(&two, &word, FUTEX_WAIT_BITSET_PRIVATE, 2);
	for (i = 0; i < 50; i++) {
		CHECK_EQ(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 9, NULL, NULL, 4), 0);
		sched_yield();
	}
	while (futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 9, NULL, NULL, 2) == 0)
		sched_yield();
	PT(pthread_join(two.thread, NULL));
	CHECK_EQ(atomic_load(&one.done), 0);
	wake_in_all(&word, 1);
	PT(pthread_join(one.thread, NULL));
	CHECK_ERR(futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, 0), EINVAL);
	CHECK_ERR(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 1, NULL, NULL, 0), EINVAL);
}

/*
 * Linux may wake a thread for no reason; one that was moved then goes back
 * to its first word. So the moves are repeated and not counted exactly.
 */
CASE(requeue, "does requeue move sleepers to the second word?")
{
	struct sleeper sleeper[4];
	atomic_uint first = 0, second = 0;
	int i, woken = 0;

	for (i = 0; i < 4; i++)
		sleeper_start(&sleeper[i], &first, WAIT, 0);
	while (woken < 4) {
		OK(futex(&first, FUTEX_REQUEUE_PRIVATE, 0, (void *)(long)INT_MAX, &second, 0));
		woken += OK(futex(&second, WAKE, INT_MAX, NULL, NULL, 0));
		sched_yield();
	}
	CHECK_EQ(woken, 4);
	for (i = 0; i < 4; i++)
		PT(pthread_join(sleeper[i].thread, NULL));
	CHECK_EQ(futex(&first, WAKE, INT_MAX, NULL, NULL, 0), 0);
}

CASE(cmp_requeue, "does CMP_REQUEUE compare, wake some and move some?")
{
	struct sleeper sleeper[5];
	atomic_uint first = 7, second = 0;
	int i, op = FUTEX_CMP_REQUEUE_PRIVATE, done;

	CHECK_ERR(futex(&first, op, 1, (void *)1L, &second, 8), EAGAIN);
	CHECK_ERR(futex(&first, op, -1, (void *)1L, &second, 7), EINVAL);
	for (i = 0; i < 5; i++)
		sleeper_start(&sleeper[i], &first, WAIT, 0);
	do {
		/* The result counts the woken and the moved. */
		CHECK(OK(futex(&first, op, 1, (void *)2L, &second, 7)) <= 3);
		CHECK(OK(futex(&second, op, 0, (void *)1L, &first, 0)) <= 1);
		CHECK(OK(futex(&second, WAKE, 1, NULL, NULL, 0)) <= 1);
		sched_yield();
		for (done = i = 0; i < 5; i++)
			done += atomic_load(&sleeper[i].done);
	} while (done < 5);
	for (i = 0; i < 5; i++) {
		PT(pthread_join(sleeper[i].thread, NULL));
		CHECK_EQ(sleeper[i].result, 0);
	}
}

CASE(wake_op, "does WAKE_OP change the second word and wake by its old value?")
{
	struct sleeper one, two;
	atomic_uint first = 0, second = 5;
	int op = FUTEX_WAKE_OP_PRIVATE;
	long woken;

	CHECK_EQ(futex(&first, op, 1, (void *)1L, &second,
		       FUTEX_OP(FUTEX_OP_SET, 9, FUTEX_OP_CMP_EQ, 5)),
		 0);
	CHECK_EQ(second, 9);
	OK(futex(&first, op, 1, (void *)1L, &second,
		 FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_GT, 100)));
	CHECK_EQ(second, 12);
	OK(futex(&first, op, 1, (void *)1L, &second,
		 FUTEX_OP(FUTEX_OP_ANDN, 4, FUTEX_OP_CMP_NE, 0)));
	CHECK_EQ(second, 8);
	OK(futex(&first, op, 1, (void *)1L, &second,
		 FUTEX_OP((FUTEX_OP_OR | FUTEX_OP_OPARG_SHIFT), 1, FUTEX_OP_CMP_LT, 0)));
	CHECK_EQ(second, 10);
	OK(futex(&first, op, 1, (void *)1L, &second,
		 FUTEX_OP(FUTEX_OP_XOR, 2, FUTEX_OP_CMP_LE, 0)));
	CHECK_EQ(second, 8);

	sleeper_start(&one, &first, WAIT, 0);
	sleeper_start(&two, &second, WAIT, 0);
	for (woken = 0; woken < 2; sched_yield())
		woken += OK(futex(&first, op, 1, (void *)1L, &second,
				  FUTEX_OP(FUTEX_OP_ADD, 0, FUTEX_OP_CMP_EQ, 8)));
	CHECK_EQ(woken, 2);
	PT(pthread_join(one.thread, NULL));
	PT(pthread_join(two.thread, NULL));
}

CASE(errors, "are bad addresses, alignment and operations refused?")
{
	static uint32_t words[2];
	char *gone = MAPPED(
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	OK(munmap(gone, 4096));
	CHECK_ERR(futex((char *)words + 1, WAIT, 0, NULL, NULL, 0), EINVAL);
	CHECK_ERR(futex((char *)words + 2, WAKE, 1, NULL, NULL, 0), EINVAL);
	CHECK_ERR(futex(gone, WAIT, 0, NULL, NULL, 0), EFAULT);
	CHECK_ERR(futex(gone, FUTEX_WAIT, 0, NULL, NULL, 0), EFAULT);
	CHECK_ERR(futex(gone, FUTEX_WAKE, 1, NULL, NULL, 0), EFAULT);
	CHECK_ERR(futex((void *)0xffffffff80000000, WAIT, 0, NULL, NULL, 0), EFAULT);
	CHECK_ERR(futex(words, 99, 0, NULL, NULL, 0), ENOSYS);
	CHECK_ERR(futex(words, FUTEX_FD, 0, NULL, NULL, 0), ENOSYS);
	CHECK_ERR(futex(words, WAKE | FUTEX_CLOCK_REALTIME, 0, NULL, NULL, 0), ENOSYS);
}

CASE(shared_anon, "does a futex in shared memory work between processes?")
{
	atomic_uint *word = abi_shared(4096);
	pid_t pid = abi_fork();

	if (pid == 0) {
		while (atomic_load(word) == 0)
			futex(word, FUTEX_WAIT, 0, NULL, NULL, 0);
		atomic_store(word + 1, 1);
		futex(word + 1, FUTEX_WAKE, 1, NULL, NULL, 0);
		_exit(0);
	}
	atomic_store(word, 1);
	futex(word, FUTEX_WAKE, 1, NULL, NULL, 0);
	while (atomic_load(word + 1) == 0)
		futex(word + 1, FUTEX_WAIT, 0, NULL, NULL, 0);
	CHECK_EQ(abi_reap(pid), 0);
}

CASE(shared_file, "do two mappings of one file at other addresses share a futex?")
{
	int fd = OK(open("f", O_RDWR | O_CREAT, 0600));
	atomic_uint *a, *b;
	pid_t pid;

	OK(ftruncate(fd, 8192));
	a = MAPPED(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	pid = abi_fork();
	if (pid == 0) {
		b = MAPPED(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 4096));
		CHECK_EQ(futex(b, FUTEX_WAIT, 0, NULL, NULL, 0), 0);
		_exit(5);
	}
	while (futex((char *)a + 4096, FUTEX_WAKE, 1, NULL, NULL, 0) == 0)
		sched_yield();
	CHECK_EQ(abi_reap(pid), 5);
}

CASE(private_apart, "is a private futex apart between parent and child?")
{
	static atomic_uint word;
	struct timespec brief = {0, 30000000};
	struct gate up = gate_make();
	pid_t pid = abi_fork();

	if (pid == 0) {
		gate_open(&up);
		CHECK_ERR(futex(&word, WAIT, 0, &brief, NULL, 0), ETIMEDOUT);
		_exit(0);
	}
	gate_pass(&up);
	while (waitpid(pid, NULL, WNOHANG) == 0)
		CHECK_EQ(futex(&word, WAKE, INT_MAX, NULL, NULL, 0), 0);
}

static void
on_signal(int number)
{
	(void)number;
}

CASE(interrupted, "does a signal without SA_RESTART end a wait with EINTR?")
{
	struct sigaction action = {.sa_handler = on_signal};
	struct sleeper sleeper;
	atomic_uint word = 0;

	OK(sigaction(SIGUSR1, &action, NULL));
	sleeper_start(&sleeper, &word, WAIT, 0);
	while (!atomic_load(&sleeper.done)) {
		pthread_kill(sleeper.thread, SIGUSR1);
		abi_nap_ms(1);
	}
	PT(pthread_join(sleeper.thread, NULL));
	CHECK_EQ(sleeper.result, -1);
	CHECK_EQ(sleeper.error, EINTR);
}

static atomic_uint baton[2];

static void *
pass_baton(void *arg)
{
	int me = (intptr_t)arg, i;

	for (i = 0; i < 3000; i++) {
		while (atomic_load(&baton[me]) == 0)
			futex(&baton[me], WAIT, 0, NULL, NULL, 0);
		atomic_store(&baton[me], 0);
		atomic_store(&baton[!me], 1);
		futex(&baton[!me], WAKE, 1, NULL, NULL, 0);
	}
	return NULL;
}

CASE(ping_pong, "is no wake-up lost in 6,000 hand-overs?")
{
	pthread_t thread[2];

	baton[0] = 1;
	baton[1] = 0;
	PT(pthread_create(&thread[0], NULL, pass_baton, (void *)0));
	PT(pthread_create(&thread[1], NULL, pass_baton, (void *)1));
	PT(pthread_join(thread[0], NULL));
	PT(pthread_join(thread[1], NULL));
}

static atomic_uint simple_lock;
static long guarded;

static void *
lock_often(void *arg)
{
	unsigned int seen;
	int i;

	for (i = 0; i < 5000; i++) {
		seen = 0;
		if (!atomic_compare_exchange_strong(&simple_lock, &seen, 1)) {
			while (atomic_exchange(&simple_lock, 2) != 0)
				futex(&simple_lock, WAIT, 2, NULL, NULL, 0);
		}
		guarded++;
		if (atomic_exchange(&simple_lock, 0) == 2)
			futex(&simple_lock, WAKE, 1, NULL, NULL, 0);
	}
	return arg;
}

CASE(mutex, "does a three-state mutex of eight threads count right?")
{
	pthread_t thread[8];
	int i;

	for (i = 0; i < 8; i++)
		PT(pthread_create(&thread[i], NULL, lock_often, NULL));
	for (i = 0; i < 8; i++)
		PT(pthread_join(thread[i], NULL));
	CHECK_EQ(guarded, 40000);
}

struct timed_storm {
	atomic_uint word;
	atomic_int stop;
};

static void *
wait_briefly(void *arg)
{
	struct timed_storm *storm = arg;
	struct timespec brief = {0, 50000};
	int i;

	for (i = 0; i < 300; i++) {
		if (futex(&storm->word, WAIT, 0, &brief, NULL, 0) != 0)
			CHECK(errno == ETIMEDOUT || errno == EAGAIN);
	}
	atomic_fetch_add(&storm->stop, 1);
	return NULL;
}

CASE(timeout_races, "what if wake and timeout come at the same time?")
{
	struct timed_storm storm = {0};
	pthread_t thread[4];
	int i;

	for (i = 0; i < 4; i++)
		PT(pthread_create(&thread[i], NULL, wait_briefly, &storm));
	while (atomic_load(&storm.stop) < 4) {
		OK(futex(&storm.word, WAKE, 2, NULL, NULL, 0));
		sched_yield();
	}
	for (i = 0; i < 4; i++)
		PT(pthread_join(thread[i], NULL));
}

struct robust_node {
	struct robust_list list;
	atomic_uint word;
};

CASE(robust_list, "does a dying thread mark its robust locks and wake a waiter?")
{
	struct robust_node *node = abi_shared(4096);
	pid_t pid = abi_fork();
	uint32_t value;

	if (pid == 0) {
		struct robust_list_head head = {
			.list = {&node->list},
			.futex_offset = offsetof(struct robust_node, word),
		};

		node->list.next = &head.list;
		OK(syscall(SYS_set_robust_list, &head, sizeof(head)));
		atomic_store(&node->word, gettid() | FUTEX_WAITERS);
		kill(getpid(), SIGKILL);
		_exit(1);
	}
	for (;;) {
		value = atomic_load(&node->word);
		if (value & FUTEX_OWNER_DIED)
			break;
		futex(&node->word, FUTEX_WAIT, value, NULL, NULL, 0);
	}
	CHECK_EQ(value & FUTEX_TID_MASK, 0);
	CHECK(value & FUTEX_WAITERS);
	CHECK_EQ(abi_reap(pid), 128 + SIGKILL);
	CHECK_ERR(syscall(SYS_set_robust_list, NULL, 5), EINVAL);
}

CASE(robust_mutex, "does glibc's robust mutex give EOWNERDEAD across processes?")
{
	pthread_mutex_t *mutex = abi_shared(4096);
	pthread_mutexattr_t attr;
	pid_t pid;

	PT(pthread_mutexattr_init(&attr));
	PT(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST));
	PT(pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED));
	PT(pthread_mutex_init(mutex, &attr));
	pid = abi_fork();
	if (pid == 0) {
		pthread_mutex_lock(mutex);
		_exit(0);
	}
	CHECK_EQ(abi_reap(pid), 0);
	CHECK_EQ(pthread_mutex_lock(mutex), EOWNERDEAD);
	PT(pthread_mutex_consistent(mutex));
	PT(pthread_mutex_unlock(mutex));
	PT(pthread_mutex_lock(mutex));
	PT(pthread_mutex_unlock(mutex));
}

CASE(thread_exit_word, "is the clear-child-tid word zeroed and woken at thread end?")
{
	struct sleeper sleeper;
	atomic_uint word = 0;

	/* pthread_join sleeps on that word, not on a condition of its own. */
	sleeper_start(&sleeper, &word, WAIT, 0);
	wake_in_all(&word, 1);
	PT(pthread_join(sleeper.thread, NULL));
	CHECK_EQ(syscall(SYS_set_tid_address, NULL), gettid());
}

CASE(priority_inheritance, "do the PI operations work or fail cleanly?")
{
	atomic_uint word = 0;
	long result = futex(&word, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0);

	if (result == 0) {
		CHECK_EQ(word & FUTEX_TID_MASK, gettid());
		CHECK_ERR(futex(&word, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0), EDEADLK);
		OK(futex(&word, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0));
		CHECK_EQ(word, 0);
	} else {
		CHECK_EQ(errno, ENOSYS);
	}
}

CASE(waitv, "does futex_waitv work or say ENOSYS?")
{
	atomic_uint word[2] = {1, 2};
	struct futex_waitv list[2] = {
		{.val = 1, .uaddr = (uintptr_t)&word[0], .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG},
		{.val = 9, .uaddr = (uintptr_t)&word[1], .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG},
	};
	long result = syscall(SYS_futex_waitv, list, 2, 0, NULL, 0);

	CHECK_EQ(result, -1);
	CHECK(errno == EAGAIN || errno == ENOSYS);
}
