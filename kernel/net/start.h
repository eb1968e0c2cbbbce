/* The network's start, for boot/: net.h itself needs lwIP's headers, which only net/ sees. */
#ifndef NET_START_H
#define NET_START_H

#include "core/persist.h"

/* Registers the socket families and starts the network thread; addresses come in the background. */
void net_init(void);
/* The name space is as programs will see it: /etc/resolv.conf may be written. */
void net_files_ready(void);

extern const struct persist_kind inet_persist; /* 128: a socket of AF_INET or AF_INET6 */

#endif
