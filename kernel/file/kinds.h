/* Constructors of the kinds of file that have no name. All: 0 and *out with one reference, or -errno. */
#ifndef FILE_KINDS_H
#define FILE_KINDS_H

#include "file/file.h"

int pipe_create(unsigned flags, struct file **rd, struct file **wr);
int eventfd_create(u64 initial, unsigned flags, struct file **out);
int timerfd_create_file(int clock, unsigned flags, struct file **out);
int epoll_create_file(unsigned flags, struct file **out);
int signalfd_create(u64 mask, unsigned flags, struct file **out);
int inotify_create(unsigned flags, struct file **out);
int memfd_create_file(const char *name, unsigned flags, struct file **out);
/* AF_UNIX: type SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET. */
int unix_socket_create(int type, int protocol, unsigned flags, struct file **out);
int unix_socketpair(int type, unsigned flags, struct file **a, struct file **b);
/* Name space changes for inotify: called by namei and file with no spinlock held. */
struct vnode;
void inotify_event(struct vnode *dir, struct vnode *v, const char *name, u32 mask, u32 cookie);
/* Called by file_put of the last reference: takes the file out of every epoll. */
void epoll_forget(struct file *f);

#endif
