/* What socket.c and socket_msg.c share. */
#ifndef LINUX_SOCKET_CALLS_H
#define LINUX_SOCKET_CALLS_H

#include "file/socket.h"

#define SOCKADDR_MAX 128 /* struct sockaddr_storage */

struct sockaddr_buf {
	char bytes[SOCKADDR_MAX] __attribute__((aligned(8)));
};

/* A referenced socket and its operations, or NULL and *err: -EBADF, -ENOTSOCK. */
struct file *socket_get(int fd, const struct socket_ops **ops, long *err);
/* 0, -EINVAL, -EFAULT. */
int sockaddr_from_user(struct sockaddr_buf *to, const void __user *addr, int len);
/* Copies what fits into *len bytes and stores the actual length there. */
int sockaddr_to_user(const struct sockaddr_buf *from, unsigned actual, void __user *addr,
		     int __user *len);

static inline unsigned
min_room(unsigned actual)
{
	return actual < SOCKADDR_MAX ? actual : SOCKADDR_MAX;
}

#endif
