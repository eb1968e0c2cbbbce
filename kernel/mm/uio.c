/*
 * Scatter lists being consumed (see uio.h). User memory is touched through mm/user.h only.
 */
#include "lib/assert.h"
#include "lib/string.h"
#include "mm/uio.h"
#include "mm/user.h"

void
uio_user(struct uio *u, void __user *base, size_t len)
{
	u->single = (struct uio_vec){.base = (__force void *)base, .len = len};
	uio_vec(u, &u->single, 1, true);
}

void
uio_kernel(struct uio *u, void *base, size_t len)
{
	u->single = (struct uio_vec){.base = base, .len = len};
	uio_vec(u, &u->single, 1, false);
}

void
uio_vec(struct uio *u, const struct uio_vec *vec, unsigned n, bool user)
{
	u->vec = vec;
	u->nvec = n;
	u->skip = 0;
	u->resid = 0;
	u->user = user;
	u->fault = false;
	for (unsigned i = 0; i < n; i++)
		u->resid += vec[i].len;
}

/* The current piece: its address, and its length limited to `max`; 0 when the list is used up. */
static size_t
piece(struct uio *u, void **at, size_t limit)
{
	while (u->nvec > 0 && u->skip == u->vec->len) {
		u->vec++;
		u->nvec--;
		u->skip = 0;
	}
	if (u->nvec == 0)
		return 0;
	*at = u->vec->base + u->skip;
	return min(limit, u->vec->len - u->skip);
}

static void
advance(struct uio *u, size_t n)
{
	u->skip += n;
	u->resid -= n;
}

size_t
uio_copy_out(struct uio *u, const void *src, size_t n)
{
	size_t done = 0, len, moved;
	void *at;

	while (done < n && !u->fault && (len = piece(u, &at, n - done)) > 0) {
		if (u->user) {
			moved = copy_to_user_some((__force void __user *)at, src + done, len);
		} else {
			memcpy(at, src + done, len);
			moved = len;
		}
		advance(u, moved);
		done += moved;
		u->fault = moved < len;
	}
	return done;
}

size_t
uio_copy_in(struct uio *u, void *dst, size_t n)
{
	size_t done = 0, len, moved;
	void *at;

	while (done < n && !u->fault && (len = piece(u, &at, n - done)) > 0) {
		if (u->user) {
			moved = copy_from_user_some(dst + done, (__force void __user *)at, len);
		} else {
			memcpy(dst + done, at, len);
			moved = len;
		}
		advance(u, moved);
		done += moved;
		u->fault = moved < len;
	}
	return done;
}

size_t
uio_zero_out(struct uio *u, size_t n)
{
	size_t done = 0, len;
	void *at;

	while (done < n && !u->fault && (len = piece(u, &at, n - done)) > 0) {
		if (!u->user)
			memset(at, 0, len);
		else if (clear_user((__force void __user *)at, len) != 0)
			u->fault = true;
		if (u->fault)
			break;
		advance(u, len);
		done += len;
	}
	return done;
}

void
uio_advance(struct uio *u, size_t n)
{
	n = min(n, u->resid);
	u->resid -= n;
	while (u->nvec > 0 && n >= u->vec->len - u->skip) {
		n -= u->vec->len - u->skip;
		u->skip = 0;
		u->vec++;
		u->nvec--;
	}
	u->skip += n;
}

void
uio_revert(struct uio *u, size_t n)
{
	u->resid += n;
	while (n > u->skip) {
		n -= u->skip;
		u->vec--;
		u->nvec++;
		u->skip = u->vec->len;
	}
	u->skip -= n;
}
