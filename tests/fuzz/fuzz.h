/*
 * What the fuzz targets share: input taken piece by piece, and CHECK, which ends the run with the
 * input saved, like a finding of the sanitizers.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdio.h>
#include <stdlib.h>

#include "lib/string.h"
#include "lib/types.h"

#define CHECK(what)                                                                                \
	do {                                                                                       \
		if (!(what)) {                                                                     \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what);         \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

struct input {
	const u8 *data;
	size_t left;
};

/* The next n bytes as a number; zeros once there is no more. */
static inline u64
take(struct input *in, unsigned n)
{
	u64 v = 0;

	for (unsigned i = 0; i < n && in->left > 0; i++, in->left--)
		v |= (u64)*in->data++ << 8 * i;
	return v;
}

/* Reads every byte, for the sanitizers to object to. */
static inline void
touch(const void *p, size_t n)
{
	const u8 *b = p;
	volatile u8 sum = 0;

	for (size_t i = 0; i < n; i++)
		sum = (u8)(sum + b[i]);
}

#endif
