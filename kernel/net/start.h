/* The network's start, for boot/: net.h itself needs lwIP's headers, which only net/ sees. */
#ifndef NET_START_H
#define NET_START_H

#include "core/persist.h"

/* Makes the stack and registers the socket families. Nothing is received yet. */
void net_init(void);
/* Starts the network threads; addresses come in the background. The name space is as programs will
 * see it, as /etc/resolv.conf may be written, and sockets that are resumed are there, as who tries
 * to connect is refused if they are not. */
void net_run(void);

extern const struct persist_kind inet_persist; /* 128: a socket of AF_INET or AF_INET6 */

#endif
