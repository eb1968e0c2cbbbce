/*
 * The socket calls that make, name, connect and configure sockets of any family (file/socket.h).
 * Transfers are in socket_msg.c.
 */
#include "linux/socket_calls.h"

#include <asm/errno.h>
#include <asm/fcntl.h>

#include "calls.h"
#include "file/fdtable.h"
#include "file/kinds.h"
#include "file/socket_abi.h"
#include "mm/slab.h"
#include "mm/user.h"

#define OPTION_SMALL 128
#define OPTION_MAX   65536
#define TYPE_MAX     10 /* SOCK_PACKET */

struct file *
socket_get(int fd, const struct socket_ops **ops, long *err)
{
	struct file *f = fd_get_io(fd);

	if (!f) {
		*err = -EBADF;
		return NULL;
	}
	*ops = file_socket_ops(f);
	if (*ops)
		return f;
	file_put(f);
	*err = -ENOTSOCK;
	return NULL;
}

int
sockaddr_from_user(struct sockaddr_buf *to, const void __user *addr, int len)
{
	if (len < 0 || len > (int)sizeof(to->bytes))
		return -EINVAL;
	return copy_from_user(to->bytes, addr, len);
}

int
sockaddr_to_user(const struct sockaddr_buf *from, unsigned actual, void __user *addr,
		 int __user *len)
{
	int room;

	if (get_user(room, len))
		return -EFAULT;
	if (room < 0)
		return -EINVAL;
	room = min((unsigned)room, min_room(actual));
	if (copy_to_user(addr, from->bytes, room))
		return -EFAULT;
	return put_user((int)actual, len);
}

static long
install(struct file *f, int flags)
{
	int fd = fd_install(f, 0, (flags & SOCK_CLOEXEC_K) != 0);

	if (fd < 0)
		file_put(f);
	return fd;
}

static bool
type_ok(int type)
{
	return !(type & ~(SOCK_TYPE_MASK | SOCK_CLOEXEC_K | SOCK_NONBLOCK_K)) &&
	       (type & SOCK_TYPE_MASK) <= TYPE_MAX;
}

long
sys_socket(int family, int type, int protocol)
{
	struct file *f;
	int err;

	if (!type_ok(type))
		return -EINVAL;
	err = socket_create(family, type & SOCK_TYPE_MASK, protocol, type & SOCK_NONBLOCK_K, &f);
	return err ? err : install(f, type);
}

long
sys_socketpair(int family, int type, int protocol, int __user *fds)
{
	struct file *a, *b;
	int pair[2], err;

	if (!type_ok(type))
		return -EINVAL;
	if (family != AF_UNIX)
		return family == 2 || family == 10 ? -EOPNOTSUPP : -EAFNOSUPPORT;
	if (protocol != 0 && protocol != AF_UNIX)
		return -EPROTONOSUPPORT;
	err = unix_socketpair(type & SOCK_TYPE_MASK, type & SOCK_NONBLOCK_K, &a, &b);
	if (err)
		return err;
	pair[0] = install(a, type);
	if (pair[0] < 0) {
		file_put(b);
		return pair[0];
	}
	pair[1] = install(b, type);
	if (pair[1] < 0) {
		fd_close(pair[0]);
		return pair[1];
	}
	if (copy_to_user(fds, pair, sizeof(pair))) {
		fd_close(pair[0]);
		fd_close(pair[1]);
		return -EFAULT;
	}
	return 0;
}

static long
with_address(int fd, const void __user *addr, int len, bool connect)
{
	const struct socket_ops *ops;
	struct sockaddr_buf a;
	struct file *f;
	long r;

	f = socket_get(fd, &ops, &r);
	if (!f)
		return r;
	r = sockaddr_from_user(&a, addr, len);
	if (!r) {
		int (*op)(struct file *, const void *, unsigned) =
			connect ? ops->connect : ops->bind;

		r = op ? op(f, a.bytes, len) : -EOPNOTSUPP;
	}
	file_put(f);
	return r;
}

long
sys_bind(int fd, const void __user *addr, int len)
{
	return with_address(fd, addr, len, false);
}

long
sys_connect(int fd, const void __user *addr, int len)
{
	return with_address(fd, addr, len, true);
}

long
sys_listen(int fd, int backlog)
{
	const struct socket_ops *ops;
	struct file *f;
	long r;

	f = socket_get(fd, &ops, &r);
	if (!f)
		return r;
	r = ops->listen ? ops->listen(f, backlog) : -EOPNOTSUPP;
	file_put(f);
	return r;
}

static long
do_accept(struct file *f, const struct socket_ops *ops, void __user *addr, int __user *len,
	  int flags)
{
	struct sockaddr_buf a;
	unsigned actual = sizeof(a.bytes);
	struct file *nf;
	long r = ops->accept(f, flags & SOCK_NONBLOCK_K, &nf, addr ? a.bytes : NULL, &actual);

	if (r)
		return r;
	if (addr) {
		r = sockaddr_to_user(&a, actual, addr, len);
		if (r) {
			file_put(nf);
			return r;
		}
	}
	return install(nf, flags);
}

long
sys_accept4(int fd, void __user *addr, int __user *len, int flags)
{
	const struct socket_ops *ops;
	struct file *f;
	long r;

	if (flags & ~(SOCK_CLOEXEC_K | SOCK_NONBLOCK_K))
		return -EINVAL;
	f = socket_get(fd, &ops, &r);
	if (!f)
		return r;
	r = ops->accept ? do_accept(f, ops, addr, len, flags) : -EOPNOTSUPP;
	file_put(f);
	return r;
}

long
sys_accept(int fd, void __user *addr, int __user *len)
{
	return sys_accept4(fd, addr, len, 0);
}

static long
get_name(int fd, void __user *addr, int __user *len, bool peer)
{
	const struct socket_ops *ops;
	struct sockaddr_buf a;
	unsigned actual = sizeof(a.bytes);
	struct file *f;
	long r;

	f = socket_get(fd, &ops, &r);
	if (!f)
		return r;
	r = ops->getname ? ops->getname(f, peer, a.bytes, &actual) : -EOPNOTSUPP;
	file_put(f);
	return r ? r : sockaddr_to_user(&a, actual, addr, len);
}

long
sys_getsockname(int fd, void __user *addr, int __user *len)
{
	return get_name(fd, addr, len, false);
}

long
sys_getpeername(int fd, void __user *addr, int __user *len)
{
	return get_name(fd, addr, len, true);
}

long
sys_shutdown(int fd, int how)
{
	const struct socket_ops *ops;
	struct file *f;
	long r;

	f = socket_get(fd, &ops, &r);
	if (!f)
		return r;
	r = ops->shutdown ? ops->shutdown(f, how) : -EOPNOTSUPP;
	file_put(f);
	return r;
}

/* --- options --- */

static long
set_option(struct file *f, const struct socket_ops *ops, int level, int name,
	   const void __user *val, unsigned len)
{
	char small[OPTION_SMALL], *buf = small;
	long r = -EFAULT;

	if (len > sizeof(small)) {
		buf = kmalloc(len);
		if (!buf)
			return -ENOBUFS;
	}
	if (!copy_from_user(buf, val, len))
		r = ops->setsockopt(f, level, name, buf, len);
	if (buf != small)
		kfree(buf);
	return r;
}

long
sys_setsockopt(int fd, int level, int name, const void __user *val, int len)
{
	const struct socket_ops *ops;
	struct file *f;
	long r;

	if (len < 0)
		return -EINVAL;
	f = socket_get(fd, &ops, &r);
	if (!f)
		return r;
	if (len > OPTION_MAX)
		r = -ENOBUFS;
	else
		r = ops->setsockopt ? set_option(f, ops, level, name, val, len) : -ENOPROTOOPT;
	file_put(f);
	return r;
}

static long
get_option(struct file *f, const struct socket_ops *ops, int level, int name, void __user *val,
	   unsigned *len)
{
	char small[OPTION_SMALL], *buf = small;
	unsigned room = *len;
	long r;

	if (room > sizeof(small)) {
		buf = kzalloc(room);
		if (!buf)
			return -ENOBUFS;
	}
	r = ops->getsockopt(f, level, name, buf, len);
	if (!r && copy_to_user(val, buf, min(*len, room)))
		r = -EFAULT;
	if (buf != small)
		kfree(buf);
	return r;
}

long
sys_getsockopt(int fd, int level, int name, void __user *val, int __user *len)
{
	const struct socket_ops *ops;
	unsigned n;
	struct file *f;
	long r;
	int room;

	f = socket_get(fd, &ops, &r);
	if (!f)
		return r;
	if (get_user(room, len))
		r = -EFAULT;
	else if (room < 0)
		r = -EINVAL;
	else if (!ops->getsockopt)
		r = -ENOPROTOOPT;
	else
		r = 0;
	if (!r) {
		n = min(room, OPTION_MAX);
		r = get_option(f, ops, level, name, val, &n);
		if (!r && put_user((int)n, len))
			r = -EFAULT;
	}
	file_put(f);
	return r;
}
