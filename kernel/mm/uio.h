/*
 * A scatter list being consumed: user or kernel memory on one side of a read or write.
 * uio_copy_out/in advance it; they return how many bytes went through (short only at a fault, when
 * uio->fault is set, or when the list is used up). May sleep on user memory.
 */
#ifndef MM_UIO_H
#define MM_UIO_H

#include "lib/types.h"

struct uio_vec {
	void *base; /* __user when uio.user */
	size_t len;
};

struct uio {
	const struct uio_vec *vec; /* current */
	unsigned nvec;		   /* left, the current one included */
	size_t skip;		   /* used up in the current one */
	size_t resid;		   /* bytes left over all */
	bool user;
	bool fault; /* a copy met EFAULT */
	struct uio_vec single;
};

void uio_user(struct uio *u, void __user *base, size_t len);
void uio_kernel(struct uio *u, void *base, size_t len);
void uio_vec(struct uio *u, const struct uio_vec *vec, unsigned n, bool user);
size_t uio_copy_out(struct uio *u, const void *src, size_t n); /* kernel -> uio */
size_t uio_copy_in(struct uio *u, void *dst, size_t n);	       /* uio -> kernel */
size_t uio_zero_out(struct uio *u, size_t n);
/* Goes over n bytes, or all that is left. */
void uio_advance(struct uio *u, size_t n);
/* Puts the position back by n bytes (after a short transfer further on). */
void uio_revert(struct uio *u, size_t n);
/* The result of a transfer: bytes done, or -EFAULT if none was and there was a fault. */
static inline ssize_t
uio_result(const struct uio *u, size_t done)
{
	return done == 0 && u->fault ? -14 : (ssize_t)done;
}

#endif
