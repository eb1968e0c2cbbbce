/* The operations behind epoll_ctl and epoll_wait, for linux/epoll.c. */
#ifndef FILE_EPOLL_H
#define FILE_EPOLL_H

#include <linux/eventpoll.h>

#include "file/file.h"

bool file_is_epoll(const struct file *f);
/* op: EPOLL_CTL_*. `ev` is NULL for EPOLL_CTL_DEL. Errors as man 2 epoll_ctl. May sleep. */
int epoll_change(struct file *epf, int op, struct file *f, int fd, const struct epoll_event *ev);
/* Stores at most `max` events at `out`: how many; 0 at the deadline (0: does not wait), -EINTR,
 * -EFAULT. May sleep. */
int epoll_collect(struct file *epf, struct epoll_event __user *out, int max, ns_t deadline);

#endif
