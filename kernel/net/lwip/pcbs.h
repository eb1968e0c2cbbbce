/*
 * Seen before lwIP's tcp.c and tcp_in.c (Makefile): TCP's lists of pcbs are kept by net/pcbs.c,
 * which finds and takes out a connection without walking a list.
 */
#ifndef NET_LWIP_PCBS_H
#define NET_LWIP_PCBS_H

#include "lwip/priv/tcp_priv.h"

void net_lwip_pcb_list(struct tcp_pcb **list, struct tcp_pcb *pcb);
void net_lwip_pcb_unlist(struct tcp_pcb **list, struct tcp_pcb *pcb);

#undef TCP_REG
#undef TCP_RMV
#define TCP_REG(pcbs, npcb) net_lwip_pcb_list((pcbs), (npcb))
#define TCP_RMV(pcbs, npcb) net_lwip_pcb_unlist((pcbs), (npcb))

#endif
