/*
 * lwIP for this kernel: no fixed numbers (everything comes from kmalloc), one lock around it
 * (net->lock, so no locking of its own), our own timers (kernel/net/timers.c) and sockets.
 */
#ifndef NET_LWIP_LWIPOPTS_H
#define NET_LWIP_LWIPOPTS_H

#define NO_SYS			       1
#define SYS_LIGHTWEIGHT_PROT	       0
#define LWIP_NETCONN		       0
#define LWIP_SOCKET		       0
#define LWIP_TIMERS		       1
#define LWIP_TIMERS_CUSTOM	       1
#define LWIP_PROVIDE_ERRNO	       0
#define LWIP_ERRNO_INCLUDE	       <asm/errno.h>
#define LWIP_STATS		       0
#define LWIP_DISABLE_TCP_SANITY_CHECKS 1

/* Memory. */
#define MEM_ALIGNMENT	8
#define MEM_LIBC_MALLOC 1
#define MEMP_MEM_MALLOC 1
#define MEM_SIZE	(256 * 1024 * 1024)
#define mem_clib_malloc kmalloc
#define mem_clib_free	kfree
#define mem_clib_calloc kcalloc
void *kmalloc(unsigned long size);
void *kcalloc(unsigned long n, unsigned long size);
void kfree(void *p);
#define MEMP_NUM_SYS_TIMEOUT 16
#define MEMP_NUM_TCP_PCB     65535
/* A source below USER_TOP is the memory of the program that sends (see net/port.c). */
#define MEMCPY(dst, src, len)	 net_lwip_copy((dst), (src), (len))
#define PBUF_POOL_BUFSIZE	 1536
#define LWIP_SUPPORT_CUSTOM_PBUF 1
#define PBUF_LINK_HLEN		 16

/* Checksums: per interface, because loopback needs none and a device may have checked already. */
#define LWIP_CHECKSUM_CTRL_PER_NETIF 1
#define LWIP_CHKSUM		     net_lwip_checksum
#define CHECKSUM_GEN_IP		     1
#define CHECKSUM_GEN_UDP	     1
#define CHECKSUM_GEN_TCP	     1

/* Interfaces. */
#define LWIP_HAVE_LOOPIF		   0 /* net/loopback.c is ours: it copies no data */
#define LWIP_NETIF_LOOPBACK		   1 /* to one's own address of another interface */
#define LWIP_NETIF_LOOPBACK_MULTITHREADING 0
#define LWIP_LOOPBACK_MAX_PBUFS		   0
#define LWIP_NETIF_STATUS_CALLBACK	   1
#define LWIP_NETIF_LINK_CALLBACK	   1
#define LWIP_NETIF_EXT_STATUS_CALLBACK	   1
#define LWIP_NETIF_HOSTNAME		   1
#define LWIP_NETIF_HWADDRHINT		   1
#define LWIP_NETIF_TX_SINGLE_PBUF	   0
#define LWIP_NUM_NETIF_CLIENT_DATA	   1
#define LWIP_SINGLE_NETIF		   0

/* IPv4. */
#define LWIP_IPV4		      1
#define IP_FORWARD		      0
#define IP_REASSEMBLY		      1
#define IP_FRAG			      1
#define IP_REASS_MAX_PBUFS	      512
#define MEMP_NUM_REASSDATA	      32
#define ARP_TABLE_SIZE		      127
#define ARP_QUEUEING		      1
#define MEMP_NUM_ARP_QUEUE	      256
#define ARP_QUEUE_LEN		      16
#define ETHARP_TRUST_IP_MAC	      0
#define ETHARP_SUPPORT_STATIC_ENTRIES 1
#define LWIP_ICMP		      1
#define LWIP_BROADCAST_PING	      0
#define LWIP_RAW		      1
#define LWIP_DHCP		      1
#define LWIP_DHCP_DOES_ACD_CHECK      0
#define DHCP_DOES_ARP_CHECK	      0
#define LWIP_DHCP_BOOTP_FILE	      0
#define LWIP_DHCP_GET_NTP_SRV	      0
#define LWIP_DHCP_MAX_DNS_SERVERS     3
#define LWIP_AUTOIP		      0
#define LWIP_IGMP		      1
#define LWIP_MULTICAST_TX_OPTIONS     1
#define LWIP_DNS		      1
#define DNS_MAX_SERVERS		      3
#define IP_SOF_BROADCAST	      1
#define IP_SOF_BROADCAST_RECV	      0
#define SO_REUSE		      1
#define SO_REUSE_RXTOALL	      1

/* IPv6. */
#define LWIP_IPV6		       1
#define LWIP_IPV6_NUM_ADDRESSES	       6
#define LWIP_IPV6_FORWARD	       0
#define LWIP_IPV6_AUTOCONFIG	       1
#define LWIP_IPV6_SEND_ROUTER_SOLICIT  1
#define LWIP_IPV6_DHCP6		       1
#define LWIP_IPV6_DHCP6_STATELESS      1
#define LWIP_DHCP6_MAX_DNS_SERVERS     3
#define LWIP_DHCP6_PROVIDE_DNS_SERVERS 1
#define LWIP_ND6_RDNSS_MAX_DNS_SERVERS 3
#define LWIP_ND6_NUM_NEIGHBORS	       64
#define LWIP_ND6_NUM_DESTINATIONS      64
#define LWIP_IPV6_MLD		       1
#define LWIP_ICMP6		       1
#define LWIP_IPV6_FRAG		       1
#define LWIP_IPV6_REASS		       1
#define LWIP_IPV6_SCOPES	       1

/* UDP and TCP. */
#define LWIP_UDP						       1
#define LWIP_TCP						       1
#define LWIP_CALLBACK_API					       1
#define TCP_LISTEN_BACKLOG					       0 /* net/tcp.c bounds its own queue and drops SYNs beyond it */
#define LWIP_TCP_PCB_NUM_EXT_ARGS				       1
#define LWIP_TCP_KEEPALIVE					       1
#define LWIP_TCP_SACK_OUT					       1
#define LWIP_TCP_TIMESTAMPS					       0
#define LWIP_WND_SCALE						       1
#define TCP_RCV_SCALE						       4
#define TCP_MSS							       32512 /* the most, on loopback; Ethernet's follows from its MTU */
#define TCP_WND							       (512 * 1024)
#define TCP_WND_UPDATE_THRESHOLD				       16384
#define TCP_SND_BUF						       (512 * 1024)
#define TCP_SND_QUEUELEN					       16384
#define TCP_SNDLOWAT						       16384
#define TCP_OVERSIZE						       1400
#define TCP_QUEUE_OOSEQ						       1
#define TCP_OOSEQ_MAX_BYTES					       (512 * 1024)
#define TCP_OOSEQ_MAX_PBUFS					       1024
#define TCP_CALCULATE_EFF_SEND_MSS				       1
#define TCP_MSL							       15000UL
#define LWIP_HOOK_TCP_INPACKET_PCB(pcb, hdr, optlen, opt1len, opt2, p) net_lwip_tcp_input(pcb, hdr)
#define LWIP_HOOK_TCP_ISN(local, local_port, remote, remote_port)                                  \
	net_lwip_isn((local), (local_port), (remote), (remote_port))

/* Our own addresses are reached through the loopback (net/loopback.c). */
struct netif;
struct pbuf;
struct ip4_addr;
struct ip6_addr;
struct netif *net_lwip_route4(const struct ip4_addr *dest);
struct netif *net_lwip_route6(const struct ip6_addr *dest);
/* 127/8 from outside is dropped. => true: it was */
_Bool net_lwip_martian(struct pbuf *p, struct netif *in);
#define LWIP_HOOK_IP4_INPUT(p, in)	   net_lwip_martian((p), (in))
#define LWIP_HOOK_IP4_ROUTE_SRC(src, dest) net_lwip_route4(dest)
#define LWIP_HOOK_IP6_ROUTE(src, dest)	   net_lwip_route6(dest)

/* 64-bit pointers do not fit in the fragment header that reassembly would reuse. */
#define IPV6_FRAG_COPYHEADER 1

#endif
