/* What net/ gives the store (core/persist.h), and what its files share for that. */
#ifndef NET_PERSIST_H
#define NET_PERSIST_H

#include "file/persist.h"
#include "net/net.h"

extern const struct persist_kind inet_persist; /* 128: a socket of AF_INET or AF_INET6 */

/* Tags of an inet's record above 200 are tcp_persist.c's. */

/* A connection to ourselves that goes on, or how it ends. => when saving */
void tcp_save(struct persist_writer *w, struct inet *s);
/* Makes the pcb; nothing is sent yet. => when linking, net->lock */
int __must_check tcp_load(struct persist_reader *r, struct inet *s);
/* Listens, or sends what was on its way. => everything is linked, net->lock */
int __must_check tcp_restart(struct persist_reader *r, struct inet *s);
/* The same for datagram and raw sockets. */
int __must_check dgram_load(struct inet *s);
void dgram_save_queue(struct persist_writer *w, u16 tag, struct inet *s);
int __must_check dgram_load_queue(const struct tag_reader *in, u16 tag, struct inet *s);

/* Bytes as pbufs at the end of the stream that readers see. -ENOMEM */
int __must_check inet_load_stream(struct inet *s, const void *data, size_t n);
/* A field for each piece of a pbuf chain (linked by next), without its first `skip` bytes. */
void pbufs_save(struct tag_writer *w, u16 tag, const struct pbuf *p, size_t skip);
void address_save(struct tag_writer *w, u16 tag, const ip_addr_t *ip);
/* False: none that makes sense, *ip is not written. */
bool address_load(const struct tag_reader *r, u16 tag, ip_addr_t *ip);

/* Sockets' files: inet_persist.c, netlink.c. */
extern const struct file_persist inet_stream_persist, inet_dgram_persist;

#endif
