/* The entry of all Linux calls: see dispatch.c. */
#ifndef LINUX_DISPATCH_H
#define LINUX_DISPATCH_H

struct linux_calls;

/* Registers the dispatcher (machine()->dispatch); before the first program starts. 0/-ENOMEM. */
int linux_init(void);
struct trapframe;
void linux_dispatch(struct trapframe *f);

/* errors.c: the same entry with every error counted, which /proc/holdfast/errors tells. For
 * `count-errors` on the kernel's command line: without it no call pays for it. 0/-ENOMEM */
int errors_init(struct linux_calls *lc);

struct restart_block;

/* What restart_syscall goes on with. */
long restart_sleep(struct restart_block *r);
long restart_futex_wait(struct restart_block *r);
long restart_poll(struct restart_block *r);

#endif
