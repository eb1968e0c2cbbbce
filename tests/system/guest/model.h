/*
 * model.h - for programs that do this and that to something, and compare it all the time with what
 * it should be. GIVE_UP(), if defined before, is how one ends that has found a difference.
 */
#ifndef MODEL_H
#define MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#ifndef GIVE_UP
#define GIVE_UP() _exit(1)
#endif
#define CHANCE_SEED 88172645463325252u

/* A number below n (xorshift64). */
static inline uint32_t
chance_of(uint64_t *seed, uint32_t n)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (uint32_t)(*seed >> 32) % n;
}

static inline void
need(bool ok, const char *what)
{
	if (ok)
		return;
	printf("WRONG %s\n", what);
	fflush(stdout);
	GIVE_UP();
}

#endif
