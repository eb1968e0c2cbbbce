/* Linux numbers that no UAPI header has: families, types, MSG_ flags (man 2 socket, send, recv). */
#ifndef NET_ABI_H
#define NET_ABI_H

#include <asm/errno.h>
#include <asm/fcntl.h>
#include <asm/socket.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ipv6.h>
#include "lib/types.h"

#ifndef AF_UNSPEC
#define AF_UNSPEC  0
#define AF_INET	   2
#define AF_INET6   10
#define AF_NETLINK 16
#endif

#ifndef SOCK_STREAM
#define SOCK_STREAM   1
#define SOCK_DGRAM    2
#define SOCK_RAW      3
#define SOCK_NONBLOCK O_NONBLOCK
#define SOCK_CLOEXEC  O_CLOEXEC
#endif

#ifndef MSG_PEEK
#define MSG_OOB		 0x01
#define MSG_PEEK	 0x02
#define MSG_DONTROUTE	 0x04
#define MSG_CTRUNC	 0x08
#define MSG_TRUNC	 0x20
#define MSG_DONTWAIT	 0x40
#define MSG_EOR		 0x80
#define MSG_WAITALL	 0x100
#define MSG_CONFIRM	 0x800
#define MSG_ERRQUEUE	 0x2000
#define MSG_NOSIGNAL	 0x4000
#define MSG_MORE	 0x8000
#define MSG_WAITFORONE	 0x10000
#define MSG_FASTOPEN	 0x20000000
#define MSG_CMSG_CLOEXEC 0x40000000
#endif

#define SOL_RAW_K 255

#ifndef SHUT_RD
#define SHUT_RD	  0
#define SHUT_WR	  1
#define SHUT_RDWR 2
#endif

struct net_cmsghdr {
	u64 len;
	s32 level, type;
};

#endif
