/* The entry of all Linux calls: see dispatch.c. */
#ifndef LINUX_DISPATCH_H
#define LINUX_DISPATCH_H

/* Registers the dispatcher (machine()->dispatch); before the first program starts. 0/-ENOMEM. */
int linux_init(void);

#endif
