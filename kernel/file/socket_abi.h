/*
 * Numbers of the socket calls that the UAPI headers leave to the C library (man 2 socket, send,
 * man 7 unix; values of x86-64 Linux). Not for files that include lwIP's.
 */
#ifndef FILE_SOCKET_ABI_H
#define FILE_SOCKET_ABI_H

#include "lib/types.h"

#define AF_UNSPEC 0
#define AF_UNIX	  1

#define SOCK_STREAM	1
#define SOCK_DGRAM	2
#define SOCK_RAW	3
#define SOCK_SEQPACKET	5
#define SOCK_TYPE_MASK	0xf
#define SOCK_CLOEXEC_K	02000000
#define SOCK_NONBLOCK_K 04000

#define MSG_PEEK	 0x2u
#define MSG_CTRUNC	 0x8u
#define MSG_TRUNC	 0x20u
#define MSG_DONTWAIT	 0x40u
#define MSG_EOR		 0x80u
#define MSG_WAITALL	 0x100u
#define MSG_OOB		 0x1u
#define MSG_NOSIGNAL	 0x4000u
#define MSG_WAITFORONE	 0x10000u
#define MSG_CMSG_CLOEXEC 0x40000000u
#define MSG_CMSG_COMPAT	 0x80000000u

#define SCM_RIGHTS	1
#define SCM_CREDENTIALS 2

/* struct cmsghdr, msghdr, mmsghdr of 64-bit programs. */
struct cmsg_header {
	u64 len; /* header included */
	s32 level, type;
};

struct user_msghdr {
	void __user *name;
	s32 name_len;
	u32 pad0;
	struct iovec __user *vec;
	u64 nvec;
	void __user *control;
	u64 control_len;
	u32 flags;
	u32 pad1;
};

struct user_mmsghdr {
	struct user_msghdr hdr;
	u32 len;
	u32 pad;
};

_Static_assert(sizeof(struct cmsg_header) == 16, "as glibc has it");
_Static_assert(sizeof(struct user_msghdr) == 56, "as glibc has it");
_Static_assert(sizeof(struct user_mmsghdr) == 64, "as glibc has it");

#define CMSG_ALIGN_K(n) ALIGN_UP((size_t)(n), 8UL)

#endif
