/* The inside of AF_NETLINK sockets, for netlink.c and netlink_persist.c. */
#ifndef NET_NETLINK_IMPL_H
#define NET_NETLINK_IMPL_H

#include "net/persist.h"

struct nl_answer {
	struct list link;
	size_t len;
	u8 bytes[];
};

struct nl_socket {
	struct spinlock lock; /* rank RANK_FILE */
	struct waitq rq;      /* [lock] */
	struct list answers;  /* [lock] struct nl_answer */
	unsigned answers_nr;  /* [lock] */
	u32 port;	      /* [lock] nl_pid */
	int type;	      /* [I] */
	u64 ino;	      /* [I] */
};

static inline struct nl_socket *
nl_of(struct file *f)
{
	return f->private;
}

/* netlink.c. NULL: no memory. */
struct nl_socket *nl_alloc(int type);

/* netlink_persist.c */
extern const struct file_persist netlink_persist;

#endif
