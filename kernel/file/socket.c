/*
 * Sockets of any family: finding the family's constructor, and a file's socket operations. The
 * families keep their own state; their file_ops is the first member of a struct socket_file_ops.
 */
#include "file/ipc_impl.h"

#include <asm/errno.h>
#include <asm/signal.h>
#include <asm/socket.h>

#include "file/dentry.h"
#include "file/socket_abi.h"
#include "lib/atomic.h"
#include "lib/string.h"

const struct socket_ops *
file_socket_ops(struct file *f)
{
	if (strcmp(f->ops->kind, "socket") != 0)
		return NULL;
	return &container_of(f->ops, const struct socket_file_ops, file)->socket;
}

void
socket_broken(struct file *f)
{
	const struct socket_ops *ops = file_socket_ops(f);
	unsigned len = sizeof(int);
	int type = 0;

	if (ops->getsockopt && ops->getsockopt(f, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
	    type == SOCK_STREAM)
		current_raise(SIGPIPE);
}

int
socket_create(int family, int type, int protocol, unsigned flags, struct file **out)
{
	const struct socket_family *fam;

	if (family < 0 || family >= SOCKET_FAMILIES)
		return -EAFNOSUPPORT;
	fam = atomic_load(&ipc_root()->family[family]);
	if (!fam)
		return -EAFNOSUPPORT;
	return fam->create(type, protocol, flags, out);
}

void
socket_set_interface_ioctl(long (*fn)(unsigned cmd, unsigned long arg))
{
	atomic_store(&ipc_root()->interface_ioctl, fn);
}

long
socket_interface_ioctl(unsigned cmd, unsigned long arg)
{
	long (*fn)(unsigned cmd, unsigned long arg) = atomic_load(&ipc_root()->interface_ioctl);

	return fn ? fn(cmd, arg) : -ENOTTY;
}
