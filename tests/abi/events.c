/*
 * events.c - eventfd, timerfd and inotify.
 */
#include "abi.h"
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>

#define MS 1000000L

CASE(eventfd_count, "does an eventfd add up writes and give them in one read?")
{
	struct pollfd poller = {.events = POLLIN | POLLOUT};
	int fd = OK(eventfd(3, EFD_NONBLOCK | EFD_CLOEXEC));
	uint64_t value = 4;

	poller.fd = fd;
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(write(fd, &value, 8), 8);
	CHECK_EQ(poll(&poller, 1, 0), 1);
	CHECK_EQ(poller.revents, POLLIN | POLLOUT);
	CHECK_EQ(read(fd, &value, 8), 8);
	CHECK_EQ(value, 7);
	CHECK_ERR(read(fd, &value, 8), EAGAIN);
	CHECK_EQ(poll(&poller, 1, 0), 1);
	CHECK_EQ(poller.revents, POLLOUT);
	value = ~0ULL - 1;
	CHECK_EQ(write(fd, &value, 8), 8);
	CHECK_EQ(poll(&poller, 1, 0), 1);
	CHECK_EQ(poller.revents, POLLIN);
	value = 1;
	CHECK_ERR(write(fd, &value, 8), EAGAIN);
	value = ~0ULL;
	CHECK_ERR(write(fd, &value, 8), EINVAL);
	CHECK_ERR(write(fd, &value, 4), EINVAL);
	CHECK_ERR(read(fd, &value, 7), EINVAL);
	CHECK_ERR(eventfd(0, 0x10), EINVAL);
}

CASE(eventfd_semaphore, "does EFD_SEMAPHORE give one at a time?")
{
	int fd = OK(eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK));
	uint64_t value;

	CHECK_EQ(read(fd, &value, 8), 8);
	CHECK_EQ(value, 1);
	CHECK_EQ(read(fd, &value, 8), 8);
	CHECK_ERR(read(fd, &value, 8), EAGAIN);
}

static atomic_long sum;

static void *
read_events(void *arg)
{
	uint64_t value = 0;

	while (value < 1000000) {
		CHECK_EQ(read(*(int *)arg, &value, 8), 8);
		atomic_fetch_add(&sum, value % 1000000);
	}
	return NULL;
}

CASE(eventfd_threads, "is no count lost between a writer and a reader?")
{
	int fd = OK(eventfd(0, 0)), i;
	pthread_t thread;
	uint64_t value;

	PT(pthread_create(&thread, NULL, read_events, &fd));
	for (i = 0; i < 5000; i++) {
		value = 1;
		CHECK_EQ(write(fd, &value, 8), 8);
	}
	value = 1000000;
	CHECK_EQ(write(fd, &value, 8), 8);
	PT(pthread_join(thread, NULL));
	CHECK_EQ(atomic_load(&sum), 5000);
}

CASE(eventfd_blocks, "does a write that would overflow wait for a read?")
{
	int fd = OK(eventfd(0, 0));
	uint64_t value = ~0ULL - 1;
	pid_t pid;

	CHECK_EQ(write(fd, &value, 8), 8);
	pid = abi_fork();
	if (pid == 0) {
		value = 5;
		_exit(write(fd, &value, 8) == 8 ? 0 : 1);
	}
	CHECK_EQ(read(fd, &value, 8), 8);
	CHECK_EQ(value, ~0ULL - 1);
	CHECK_EQ(read(fd, &value, 8), 8);
	CHECK_EQ(value, 5);
	CHECK_EQ(abi_reap(pid), 0);
}

CASE(timerfd_once, "does a timerfd expire once, not early, and read back?")
{
	struct itimerspec when = {.it_value = {0, 20 * MS}}, now;
	struct pollfd poller = {.events = POLLIN};
	int64_t start = abi_now_ns(CLOCK_MONOTONIC);
	int fd = OK(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
	uint64_t count;

	poller.fd = fd;
	OK(timerfd_settime(fd, 0, &when, NULL));
	CHECK_EQ(poll(&poller, 1, 0), 0);
	OK(timerfd_gettime(fd, &now));
	CHECK(now.it_value.tv_sec == 0 && now.it_value.tv_nsec <= 20 * MS);
	CHECK_EQ(poll(&poller, 1, -1), 1);
	CHECK(abi_now_ns(CLOCK_MONOTONIC) - start >= 20 * MS);
	CHECK_EQ(read(fd, &count, 8), 8);
	CHECK_EQ(count, 1);
	OK(timerfd_gettime(fd, &now));
	CHECK_EQ(now.it_value.tv_nsec, 0);
	CHECK_EQ(poll(&poller, 1, 0), 0);
}

CASE(timerfd_repeat, "does an interval count expirations that were missed?")
{
	struct itimerspec when = {.it_value = {0, MS}, .it_interval = {0, MS}};
	struct itimerspec none = {0}, old;
	int fd = OK(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
	struct pollfd poller = {.fd = fd, .events = POLLIN};
	uint64_t count, total = 0;

	CHECK_ERR(read(fd, &count, 8), EAGAIN);
	OK(timerfd_settime(fd, 0, &when, NULL));
	abi_nap_ms(5);
	CHECK_EQ(read(fd, &count, 8), 8);
	CHECK(count >= 5);
	while (total < 3) {
		CHECK_EQ(poll(&poller, 1, -1), 1);
		CHECK_EQ(read(fd, &count, 8), 8);
		total += count;
	}
	OK(timerfd_settime(fd, 0, &none, &old));
	CHECK_EQ(old.it_interval.tv_nsec, MS);
	CHECK_ERR(read(fd, &count, 8), EAGAIN);
}

CASE(timerfd_absolute, "do absolute, past and changed times work on each clock?")
{
	static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME};
	struct itimerspec when = {0};
	uint64_t count;
	int64_t then;
	int i, fd;

	for (i = 0; i < 3; i++) {
		fd = OK(timerfd_create(clocks[i], 0));
		then = abi_now_ns(clocks[i]) + 5 * MS;
		when.it_value.tv_sec = then / 1000000000;
		when.it_value.tv_nsec = then % 1000000000;
		OK(timerfd_settime(fd, TFD_TIMER_ABSTIME, &when, NULL));
		CHECK_EQ(read(fd, &count, 8), 8);
		CHECK_EQ(count, 1);
		CHECK(abi_now_ns(clocks[i]) >= then);
		when.it_value.tv_sec = 0;
		when.it_value.tv_nsec = 1;
		OK(timerfd_settime(fd, TFD_TIMER_ABSTIME, &when, NULL));
		CHECK_EQ(read(fd, &count, 8), 8);
	}
	CHECK_ERR(timerfd_create(99, 0), EINVAL);
	CHECK_ERR(timerfd_create(CLOCK_REALTIME, 0x10), EINVAL);
	when.it_value.tv_nsec = 1000000000;
	CHECK_ERR(timerfd_settime(fd, 0, &when, NULL), EINVAL);
	CHECK_ERR(timerfd_settime(0, 0, &when, NULL), EINVAL);
	CHECK_ERR(timerfd_settime(fd, 0x100, &when, NULL), EINVAL);
	CHECK_ERR(read(fd, &count, 4), EINVAL);
}

static void *
read_timer(void *arg)
{
	uint64_t count = 0;

	CHECK_EQ(read(*(int *)arg, &count, 8), 8);
	return (void *)count;
}

CASE(timerfd_rearm, "does moving a timer forward wake a blocked reader?")
{
	struct itimerspec far = {.it_value = {1000, 0}};
	struct itimerspec soon = {.it_value = {0, 1}};
	int fd = OK(timerfd_create(CLOCK_MONOTONIC, 0));
	pthread_t thread;
	void *count;

	OK(timerfd_settime(fd, 0, &far, NULL));
	PT(pthread_create(&thread, NULL, read_timer, &fd));
	abi_nap_ms(2);
	OK(timerfd_settime(fd, 0, &soon, NULL));
	PT(pthread_join(thread, &count));
	CHECK_EQ((intptr_t)count, 1);
}

/* The next event; its name in the given buffer of 32. */
static uint32_t
next_event(int fd, int *watch, uint32_t *cookie, char *name)
{
	static char buffer[4096] __attribute__((aligned(8)));
	static ssize_t have, at;
	struct inotify_event *event;

	if (at >= have) {
		have = OK(read(fd, buffer, sizeof(buffer)));
		at = 0;
	}
	event = (struct inotify_event *)(buffer + at);
	at += sizeof(*event) + event->len;
	*watch = event->wd;
	*cookie = event->cookie;
	strcpy(name, event->len ? event->name : "");
	return event->mask;
}

#define EXPECT(mask_, name_)                                                                       \
	do {                                                                                       \
		CHECK_EQ(next_event(fd, &watch, &cookie, name), mask_);                            \
		if (strcmp(name, name_) != 0)                                                      \
			FAIL("name is %s, not %s", name, name_);                                   \
	} while (0)

CASE(inotify_dir, "does a watched folder tell of each change, in order?")
{
	int fd = OK(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)), watch, wanted;
	char name[256];
	uint32_t cookie, from;

	wanted = OK(inotify_add_watch(fd, ".", IN_ALL_EVENTS & ~(IN_OPEN | IN_ACCESS | IN_CLOSE)));
	abi_put_file("a", "text", 4, 0600);
	EXPECT(IN_CREATE, "a");
	CHECK_EQ(watch, wanted);
	EXPECT(IN_MODIFY, "a");
	OK(chmod("a", 0644));
	EXPECT(IN_ATTRIB, "a");
	OK(rename("a", "b"));
	EXPECT(IN_MOVED_FROM, "a");
	from = cookie;
	EXPECT(IN_MOVED_TO, "b");
	CHECK(cookie == from && cookie != 0);
	OK(mkdir("d", 0700));
	EXPECT(IN_CREATE | IN_ISDIR, "d");
	OK(unlink("b"));
	EXPECT(IN_DELETE, "b");
	OK(inotify_rm_watch(fd, wanted));
	EXPECT(IN_IGNORED, "");
	CHECK_ERR(read(fd, name, sizeof(name)), EAGAIN);
	CHECK_ERR(inotify_rm_watch(fd, wanted), EINVAL);
}

CASE(inotify_file, "does a watched file tell of open, write, close and deletion?")
{
	int fd = OK(inotify_init1(0)), watch, file, queued;
	struct pollfd poller = {.fd = fd, .events = POLLIN};
	uint32_t cookie;
	char name[256];

	abi_put_file("f", "text", 4, 0600);
	OK(inotify_add_watch(fd, "f", IN_ALL_EVENTS));
	CHECK_EQ(poll(&poller, 1, 0), 0);
	file = OK(open("f", O_RDWR));
	CHECK_EQ(poll(&poller, 1, 0), 1);
	OK(ioctl(fd, FIONREAD, &queued));
	CHECK_EQ(queued, sizeof(struct inotify_event));
	CHECK_EQ(write(file, "x", 1), 1);
	OK(close(file));
	EXPECT(IN_OPEN, "");
	EXPECT(IN_MODIFY, "");
	EXPECT(IN_CLOSE_WRITE, "");
	OK(unlink("f"));
	EXPECT(IN_ATTRIB, "");
	EXPECT(IN_DELETE_SELF, "");
	EXPECT(IN_IGNORED, "");
}

CASE(inotify_errors, "are bad names, masks and buffers refused?")
{
	int fd = OK(inotify_init1(IN_NONBLOCK));
	char small[8];

	CHECK_ERR(inotify_init1(0x10), EINVAL);
	CHECK_ERR(inotify_add_watch(fd, "missing", IN_CREATE), ENOENT);
	CHECK_ERR(inotify_add_watch(fd, ".", 0), EINVAL);
	CHECK_ERR(inotify_add_watch(0, ".", IN_CREATE), EINVAL);
	CHECK_ERR(inotify_add_watch(999, ".", IN_CREATE), EBADF);
	CHECK_ERR(inotify_add_watch(fd, abi_bad(), IN_CREATE), EFAULT);
	abi_put_file("f", "", 0, 0600);
	CHECK_ERR(inotify_add_watch(fd, "f", IN_CREATE | IN_ONLYDIR), ENOTDIR);
	OK(inotify_add_watch(fd, ".", IN_CREATE));
	abi_put_file("g", "", 0, 0600);
	CHECK_ERR(read(fd, small, sizeof(small)), EINVAL);
}
