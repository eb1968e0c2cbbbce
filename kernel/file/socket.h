/*
 * Sockets of any family behind one set of operations; linux/socket.c does the calls on them.
 * Families register a constructor: file/unix.c (AF_UNIX), net/ (AF_INET, AF_INET6, AF_NETLINK).
 * Addresses are kernel copies of sockaddr bytes (at most 128). Return values as the calls',
 * negative errno. f->flags has O_NONBLOCK; `flags` are MSG_*.
 */
#ifndef FILE_SOCKET_H
#define FILE_SOCKET_H

#include "file/file.h"

struct socket_msg {
	struct uio *data;
	void *name;	   /* sockaddr, kernel; NULL */
	unsigned name_len; /* in: room or length; out: length */
	void *control; /* kernel buffer of cmsghdrs; NULL. SCM_RIGHTS hold descriptors of the caller
			*/
	size_t control_len; /* in: room or length; out: used */
	unsigned flags;	    /* MSG_*; out: msg_flags */
};

struct socket_ops {
	int (*bind)(struct file *f, const void *addr, unsigned len);
	int (*connect)(struct file *f, const void *addr, unsigned len);
	int (*listen)(struct file *f, int backlog);
	int (*accept)(struct file *f, unsigned flags, struct file **out, void *addr, unsigned *len);
	int (*getname)(struct file *f, bool peer, void *addr, unsigned *len);
	ssize_t (*send)(struct file *f, struct socket_msg *m);
	ssize_t (*recv)(struct file *f, struct socket_msg *m);
	int (*shutdown)(struct file *f, int how);
	int (*setsockopt)(struct file *f, int level, int name, const void *val, unsigned len);
	int (*getsockopt)(struct file *f, int level, int name, void *val, unsigned *len);
};

/* The socket operations of a file, NULL if it is no socket (ENOTSOCK). A family's file_ops is the
 * first member of a struct socket_file_ops. */
struct socket_file_ops {
	struct file_ops file; /* kind is "socket" */
	struct socket_ops socket;
	int family;
};
const struct socket_ops *file_socket_ops(struct file *f);
/* A transfer met EPIPE: SIGPIPE for a stream. */
void socket_broken(struct file *f);

struct socket_family {
	int family;
	int (*create)(int type, int protocol, unsigned flags, struct file **out);
};
void socket_family_register(const struct socket_family *fam);
/* Interface requests (SIOCGIF...) are answered on sockets of every family: net/ says how; -ENOTTY
 * until then and for what it does not know. */
void socket_set_interface_ioctl(long (*fn)(unsigned cmd, unsigned long arg));
long socket_interface_ioctl(unsigned cmd, unsigned long arg);
int socket_create(int family, int type, int protocol, unsigned flags, struct file **out);

#endif
