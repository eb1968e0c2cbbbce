/*
 * What pipes, epoll, timerfd, signalfd and sockets share over the machine: one root, made by
 * ipc_init before the name space. The registry of socket families lives here too: it is only
 * written at start, one pointer a family.
 */
#include "file/ipc_impl.h"

#include <asm/errno.h>

#include "lib/assert.h"
#include "lib/atomic.h"
#include "mm/slab.h"

int
ipc_init(void)
{
	struct ipc *ipc = kzalloc(sizeof(*ipc));

	if (!ipc)
		return -ENOMEM;
	mutex_init(&ipc->nesting, "epoll nesting");
	spin_init(&ipc->lock, "ipc", RANK_FILE);
	list_init(&ipc->clock_timers);
	machine()->ipc = ipc;
	pipe_register();
	eventfd_register();
	timerfd_register();
	epoll_register();
	signalfd_register();
	inotify_register();
	unix_register();
	return inotify_init() ? -ENOMEM : unix_init();
}

void
signalfd_set_ops(const struct signalfd_ops *ops)
{
	atomic_store(&ipc_root()->signalfd, ops);
}

void
socket_family_register(const struct socket_family *fam)
{
	assert(fam->family >= 0 && fam->family < SOCKET_FAMILIES);
	atomic_store(&ipc_root()->family[fam->family], fam);
}
