/*
 * Types in the prototypes of the Linux calls. Structures come from the linux-libc-dev headers
 * (asm/, linux/); here they are only named, each family includes what it needs.
 */
#ifndef LINUX_CALLS_TYPES_H
#define LINUX_CALLS_TYPES_H

#include "lib/types.h"

struct iovec;
struct sockaddr;
struct msghdr;
struct mmsghdr;
struct stat;
struct statx;
struct statfs;
struct pollfd;
struct epoll_event;
struct rusage;
struct rlimit64;
struct sysinfo;
struct new_utsname;
struct tms;
struct clone_args;
struct open_how;
struct siginfo;
struct sigaltstack;
struct sigevent;
struct robust_list_head;

#endif
