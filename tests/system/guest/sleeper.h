/*
 * sleeper.h - a thread in a call that sleeps, over a power cut: for cases of resume.h.
 *
 *	struct sleeper s = {.call = call_read, .fd = fd};
 *	over_the_cut(&s); ... CHECK(end(&s) == 8);
 */
#ifndef SLEEPER_H
#define SLEEPER_H

#include "resume.h"

#include <stdatomic.h>

/* A thread in a call, and what became of it. */
struct sleeper {
	long (*call)(struct sleeper *s);
	int fd, to;
	char *data;
	size_t n;
	struct timespec until;
	pthread_t thread;
	atomic_int tid;
	atomic_bool back;
	long result;
	int error;
};

static inline void *
sleeper_thread(void *arg)
{
	struct sleeper *s = arg;

	s->tid = gettid();
	errno = 0;
	s->result = s->call(s);
	s->error = errno;
	s->back = true;
	return NULL;
}

/* The letter of /proc/.../stat: S is asleep. */
static inline char
state_of(const char *path)
{
	char text[256] = "", *end;
	int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	close(fd);
	end = n > 0 ? strrchr(text, ')') : NULL;
	return end ? end[2] : '?';
}

/* Twice in a row, as a call may sleep for a moment on its way. */
static inline void
wait_asleep(int pid, int tid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
	for (int seen = 0; seen < 3; nap_ms(20))
		seen = state_of(path) == 'S' ? seen + 1 : 0;
}

/* => returns when the thread sleeps in its call */
static inline void
begin(struct sleeper *s)
{
	CHECK(pthread_create(&s->thread, NULL, sleeper_thread, s) == 0);
	while (!s->tid)
		nap_ms(1);
	wait_asleep(getpid(), s->tid);
}

static inline long
end(struct sleeper *s)
{
	CHECK(pthread_join(s->thread, NULL) == 0);
	errno = s->error;
	return s->result;
}

/* Over the power cut, asleep all the time. */
static inline void
over_the_cut(struct sleeper *s)
{
	begin(s);
	cut();
	nap_ms(50);
	CHECK(!s->back);
}

static inline int64_t
time_of(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

#endif
