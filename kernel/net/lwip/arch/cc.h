/*
 * What lwIP wants to know of the compiler and the kernel: types, packing, byte order, diagnostics,
 * random numbers. Included by lwIP's arch.h; lwIP's own files see nothing else of the kernel.
 */
#ifndef NET_LWIP_ARCH_CC_H
#define NET_LWIP_ARCH_CC_H

#include <asm/errno.h>
#include "lib/string.h"
#include "lib/types.h"

#define LWIP_NO_STDINT_H   0
#define LWIP_NO_INTTYPES_H 1
#define LWIP_NO_LIMITS_H   1
#define LWIP_NO_UNISTD_H   1
#define LWIP_NO_CTYPE_H	   1
#define SSIZE_MAX	   INT64_MAX
#ifndef INT_MAX
#define INT_MAX 0x7fffffff
#endif

#define X8_F  "02x"
#define U16_F "u"
#define S16_F "d"
#define X16_F "x"
#define U32_F "u"
#define S32_F "d"
#define X32_F "x"
#define SZT_F "zu"

#ifndef BYTE_ORDER
#define BYTE_ORDER 1234
#endif

#define PACK_STRUCT_STRUCT __attribute__((packed))

/* kernel/net/port.c */
__noreturn void net_lwip_assert(const char *what, const char *file, int line);
u32 net_lwip_random(void);
int net_lwip_atoi(const char *s);
void net_lwip_copy(void *dst, const void *src, size_t n);
u16 net_lwip_checksum(const void *data, int len);
struct tcp_pcb;
struct tcp_hdr;
int net_lwip_tcp_input(struct tcp_pcb *pcb, struct tcp_hdr *hdr);
struct ip_addr;
u32 net_lwip_isn(const struct ip_addr *local, u16 local_port, const struct ip_addr *remote,
		 u16 remote_port); /* kernel/net/ports.c */

#define LWIP_PLATFORM_DIAG(x)	((void)0)
#define LWIP_PLATFORM_ASSERT(x) net_lwip_assert(x, __FILE__, __LINE__)
#define LWIP_RAND()		net_lwip_random()
#define atoi(s)			net_lwip_atoi(s)

#endif
