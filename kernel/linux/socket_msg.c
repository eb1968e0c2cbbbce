/*
 * Transfers on sockets: send, recv and their relatives. A message header is fetched whole, then its
 * vectors, address and control bytes; results go back only after the transfer. SIGPIPE is sent
 * here, to the calling thread, for streams and unless MSG_NOSIGNAL.
 */
#include "linux/socket_calls.h"

#include <asm/errno.h>
#include <asm/signal.h>
#include <asm/socket.h>
#include <linux/uio.h>

#include "calls.h"
#include "core/blocked.h"
#include "file/socket_abi.h"
#include "lib/string.h"
#include "linux/deadline.h"
#include "mm/slab.h"
#include "mm/user.h"
#include "proc/process.h"
#include "proc/signal.h"

#define VECS_SMALL   8
#define VECS_MAX     1024  /* UIO_MAXIOV */
#define CONTROL_MAX  20480 /* net.core.optmem_max */
#define TRANSFER_MAX 0x7ffff000UL

_Static_assert(sizeof(struct iovec) == sizeof(struct uio_vec), "vectors are fetched as they are");

/* A message being sent or received: kernel copies and where the results go. */
struct transfer {
	struct user_msghdr hdr;
	struct uio uio;
	struct uio_vec small[VECS_SMALL], *vec;
	struct sockaddr_buf addr;
	struct socket_msg msg;
};

static ssize_t
send_message(struct file *f, const struct socket_ops *ops, struct socket_msg *m)
{
	unsigned flags = m->flags;
	ssize_t r = ops->send ? ops->send(f, m) : -EOPNOTSUPP;

	if (r == -EPIPE && !(flags & MSG_NOSIGNAL))
		socket_broken(f);
	return r;
}

long
sys_sendto(int fd, const void __user *buf, size_t n, unsigned flags, const void __user *addr,
	   int len)
{
	const struct socket_ops *ops;
	struct sockaddr_buf a;
	struct uio u;
	struct socket_msg m = {.data = &u, .flags = flags & ~MSG_CMSG_COMPAT};
	struct file *f;
	long r;

	n = min(n, TRANSFER_MAX);
	if (!user_range_ok(buf, n))
		return -EFAULT;
	f = socket_get(fd, &ops, &r);
	if (!f)
		return r;
	r = addr ? sockaddr_from_user(&a, addr, len) : 0;
	if (!r) {
		if (addr) {
			m.name = a.bytes;
			m.name_len = len;
		}
		uio_user(&u, (void __user *)buf, n);
		r = send_message(f, ops, &m);
	}
	file_put(f);
	return r;
}

long
sys_recvfrom(int fd, void __user *buf, size_t n, unsigned flags, void __user *addr, int __user *len)
{
	const struct socket_ops *ops;
	struct sockaddr_buf a;
	struct uio u;
	struct socket_msg m = {.data = &u, .flags = flags & ~MSG_CMSG_COMPAT};
	struct file *f;
	long r;

	n = min(n, TRANSFER_MAX);
	if (!user_range_ok(buf, n))
		return -EFAULT;
	f = socket_get(fd, &ops, &r);
	if (!f)
		return r;
	if (addr) {
		m.name = a.bytes;
		m.name_len = sizeof(a.bytes);
	}
	uio_user(&u, buf, n);
	r = ops->recv ? ops->recv(f, &m) : -EOPNOTSUPP;
	file_put(f);
	if (r >= 0 && addr) {
		/* A stream names nobody: the length then is 0. */
		int err = sockaddr_to_user(&a, m.name_len == sizeof(a.bytes) ? 0 : m.name_len, addr,
					   len);

		if (err)
			r = err;
	}
	return r;
}

/* --- message headers --- */

static int
fetch_vectors(struct transfer *t)
{
	size_t n = t->hdr.nvec, total = 0;

	if (n > VECS_MAX)
		return -EMSGSIZE;
	t->vec = t->small;
	if (n > VECS_SMALL) {
		t->vec = kcalloc(n, sizeof(*t->vec));
		if (!t->vec)
			return -ENOMEM;
	}
	if (copy_from_user(t->vec, t->hdr.vec, n * sizeof(*t->vec)))
		goto fault;
	for (size_t i = 0; i < n; i++) {
		if ((ssize_t)t->vec[i].len < 0) {
			if (t->vec != t->small)
				kfree(t->vec);
			return -EINVAL;
		}
		if (!user_range_ok((const void __user __force *)t->vec[i].base, t->vec[i].len))
			goto fault;
		t->vec[i].len = min(t->vec[i].len, TRANSFER_MAX - total);
		total += t->vec[i].len;
	}
	uio_vec(&t->uio, t->vec, n, true);
	return 0;
fault:
	if (t->vec != t->small)
		kfree(t->vec);
	return -EFAULT;
}

/* Everything of a header but control bytes. On success the caller ends with transfer_done. */
static int
fetch_header(struct transfer *t, const void __user *msg)
{
	if (copy_from_user(&t->hdr, msg, sizeof(t->hdr)))
		return -EFAULT;
	if (t->hdr.name_len < 0)
		return -EINVAL;
	if (!t->hdr.name)
		t->hdr.name_len = 0;
	t->hdr.name_len = min(t->hdr.name_len, SOCKADDR_MAX);
	memset(&t->msg, 0, sizeof(t->msg));
	t->msg.data = &t->uio;
	return fetch_vectors(t);
}

static void
transfer_done(struct transfer *t)
{
	kfree(t->msg.control);
	if (t->vec != t->small)
		kfree(t->vec);
}

static int
fetch_sent(struct transfer *t)
{
	if (t->hdr.name_len > 0) {
		if (copy_from_user(t->addr.bytes, t->hdr.name, t->hdr.name_len))
			return -EFAULT;
		t->msg.name = t->addr.bytes;
		t->msg.name_len = t->hdr.name_len;
	}
	if (t->hdr.control_len == 0)
		return 0;
	if (t->hdr.control_len > CONTROL_MAX)
		return -ENOBUFS;
	t->msg.control = kmalloc(t->hdr.control_len);
	if (!t->msg.control)
		return -ENOBUFS;
	t->msg.control_len = t->hdr.control_len;
	return copy_from_user(t->msg.control, t->hdr.control, t->hdr.control_len);
}

static long
do_sendmsg(struct file *f, const struct socket_ops *ops, const void __user *msg, unsigned flags)
{
	struct transfer t;
	long r = fetch_header(&t, msg);

	if (r)
		return r;
	r = fetch_sent(&t);
	if (!r) {
		t.msg.flags = flags & ~MSG_CMSG_COMPAT;
		r = send_message(f, ops, &t.msg);
	}
	transfer_done(&t);
	return r;
}

static int
room_for_received(struct transfer *t)
{
	size_t n = min(t->hdr.control_len, (u64)CONTROL_MAX);

	if (t->hdr.name) {
		t->msg.name = t->addr.bytes;
		t->msg.name_len = sizeof(t->addr.bytes);
	}
	if (n == 0 || !t->hdr.control)
		return 0;
	t->msg.control = kzalloc(n);
	t->msg.control_len = n;
	return t->msg.control ? 0 : -ENOBUFS;
}

static int
store_received(struct transfer *t, struct user_msghdr __user *msg, unsigned asked)
{
	unsigned len = t->msg.name_len == sizeof(t->addr.bytes) ? 0 : t->msg.name_len;
	unsigned copied = min(len, (unsigned)t->hdr.name_len);

	if (t->hdr.name) {
		if (copy_to_user(t->hdr.name, t->addr.bytes, copied) ||
		    put_user((int)len, &msg->name_len))
			return -EFAULT;
	}
	if (t->msg.control && copy_to_user(t->hdr.control, t->msg.control, t->msg.control_len))
		return -EFAULT;
	if (put_user(t->msg.control ? (u64)t->msg.control_len : 0UL, &msg->control_len))
		return -EFAULT;
	return put_user(t->msg.flags | (asked & MSG_CMSG_CLOEXEC), &msg->flags);
}

static long
do_recvmsg(struct file *f, const struct socket_ops *ops, void __user *msg, unsigned flags)
{
	struct transfer t;
	long r = fetch_header(&t, msg);

	if (r)
		return r;
	r = room_for_received(&t);
	if (!r) {
		t.msg.flags = flags & ~MSG_CMSG_COMPAT;
		r = ops->recv ? ops->recv(f, &t.msg) : -EOPNOTSUPP;
		if (r >= 0 && store_received(&t, msg, flags))
			r = -EFAULT;
	}
	transfer_done(&t);
	return r;
}

long
sys_sendmsg(int fd, const struct msghdr __user *msg, unsigned flags)
{
	const struct socket_ops *ops;
	struct file *f;
	long r;

	f = socket_get(fd, &ops, &r);
	if (!f)
		return r;
	r = do_sendmsg(f, ops, msg, flags);
	file_put(f);
	return r;
}

long
sys_recvmsg(int fd, struct msghdr __user *msg, unsigned flags)
{
	const struct socket_ops *ops;
	struct file *f;
	long r;

	f = socket_get(fd, &ops, &r);
	if (!f)
		return r;
	r = do_recvmsg(f, ops, msg, flags);
	file_put(f);
	return r;
}

/* --- several messages --- */

long
sys_sendmmsg(int fd, struct mmsghdr __user *msgs, unsigned n, unsigned flags)
{
	struct user_mmsghdr __user *m = (void __user *)msgs;
	const struct socket_ops *ops;
	struct file *f;
	unsigned i;
	long r;

	f = socket_get(fd, &ops, &r);
	if (!f)
		return r;
	n = min(n, (unsigned)VECS_MAX);
	for (i = (unsigned)blocked_parts_done(), r = 0; i < n; i++) {
		blocked_parts(i);
		r = do_sendmsg(f, ops, &m[i].hdr, flags);
		if (r >= 0)
			r = put_user((u32)r, &m[i].len);
		if (r < 0)
			break;
	}
	blocked_parts(0);
	file_put(f);
	return i > 0 ? (long)i : r;
}

/* As Linux: the time limit is looked at after each message, it does not cut a wait short. */
static long
receive_several(struct file *f, const struct socket_ops *ops, struct user_mmsghdr __user *m,
		unsigned n, unsigned flags, ns_t deadline)
{
	unsigned i;
	long r = 0;

	for (i = (unsigned)blocked_parts_done(); i < n; i++) {
		blocked_parts(i);
		r = do_recvmsg(f, ops, &m[i].hdr, flags & ~MSG_WAITFORONE);
		if (r >= 0)
			r = put_user((u32)r, &m[i].len);
		if (r < 0)
			break;
		if (flags & MSG_WAITFORONE)
			flags |= MSG_DONTWAIT;
		if (deadline != NS_FOREVER && clock_now() >= deadline) {
			i++;
			break;
		}
	}
	blocked_parts(0);
	return i > 0 ? (long)i : r;
}

long
sys_recvmmsg(int fd, struct mmsghdr __user *msgs, unsigned n, unsigned flags, void __user *timeout)
{
	struct __kernel_timespec left;
	const struct socket_ops *ops;
	struct file *f;
	ns_t deadline;
	long r = deadline_from_user(timeout, &deadline);

	if (r)
		return r;
	f = socket_get(fd, &ops, &r);
	if (!f)
		return r;
	r = receive_several(f, ops, (void __user *)msgs, min(n, (unsigned)VECS_MAX), flags,
			    deadline);
	file_put(f);
	if (r > 0 && timeout) {
		left = timespec_from_ns(deadline_left(deadline));
		if (copy_to_user(timeout, &left, sizeof(left)))
			r = -EFAULT;
	}
	return r;
}
