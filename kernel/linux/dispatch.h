/* The entry of all Linux calls: see dispatch.c. */
#ifndef LINUX_DISPATCH_H
#define LINUX_DISPATCH_H

/* Registers the dispatcher (machine()->dispatch); before the first program starts. 0/-ENOMEM. */
int linux_init(void);

struct restart_block;

/* What restart_syscall goes on with. */
long restart_sleep(struct restart_block *r);
long restart_futex_wait(struct restart_block *r);
long restart_poll(struct restart_block *r);

#endif
