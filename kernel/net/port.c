/*
 * What lwIP calls of the kernel: time, random numbers, copies, checksums, contradictions, and the
 * look at a segment before TCP sees it.
 */
#include "arch/clock.h"
#include "arch/layout.h"
#include "core/panic.h"
#include "core/random.h"
#include "mm/user.h"
#include "net/net.h"

#include "lwip/prot/tcp.h"
#include "lwip/sys.h"

u32_t sys_now(void);

u32_t
sys_now(void)
{
	return (u32_t)(clock_now() / NS_PER_MS);
}

u32
net_lwip_random(void)
{
	return (u32)random_u64();
}

void
net_lwip_assert(const char *what, const char *file, int line)
{
	panic("lwip: %s (%s:%d)", what, file, line);
}

int
net_lwip_atoi(const char *s)
{
	int v = 0;

	while (*s >= '0' && *s <= '9')
		v = v * 10 + (*s++ - '0');
	return v;
}

/*
 * memcpy, but that a source below USER_TOP is memory of the program that sends: so tcp_write copies
 * from it straight into its segments. The sender has looked at the pages before; one that went away
 * meanwhile reads as zeroes and is reported by copy_fault.
 */
void
net_lwip_copy(void *dst, const void *src, size_t n)
{
	if (likely((vaddr_t)src >= USER_TOP)) {
		memcpy(dst, src, n);
		return;
	}
	if (copy_from_user(dst, (const void __user *)src, n)) {
		memset(dst, 0, n);
		net_root()->copy_fault = true;
	}
}

/* The Internet checksum's sum (RFC 1071), not complemented, in the byte order of memory. */
u16
net_lwip_checksum(const void *data, int len)
{
	const u8 *p = data;
	u64 sum = 0, word;
	u32 half;

	for (; len >= 8; len -= 8, p += 8) {
		__builtin_memcpy(&word, p, 8);
		sum += word;
		sum += sum < word;
	}
	if (len > 0) {
		word = 0;
		for (int i = 0; i < len; i++)
			word |= (u64)p[i] << (8 * i);
		sum += word;
		sum += sum < word;
	}
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	half = (u32)(sum & 0xffff) + (u32)(sum >> 16);
	half = (half & 0xffff) + (half >> 16);
	return (u16)half;
}

/*
 * Before TCP sees a segment: a listener whose queue is full does not hear a new SYN, so the peer
 * tries again later, as with Linux. The pcb that a SYN makes goes to where connections of the
 * listener are accepted. One that has no socket yet has the listener's argument, who may be gone.
 */
int
net_lwip_tcp_input(struct tcp_pcb *pcb, struct tcp_hdr *hdr)
{
	struct inet *s = pcb->state == SYN_RCVD ? NULL : pcb->callback_arg;

	if (s && pcb->state != LISTEN && unlikely(TCPH_FLAGS(hdr) & TCP_URG))
		urgent_announce(s, hdr->seqno + lwip_ntohs(hdr->urgp) - 1);
	if (pcb->state != LISTEN || !s || !(TCPH_FLAGS(hdr) & TCP_SYN))
		return ERR_OK;
	if (atomic_load_relaxed(&s->pending_nr) > s->backlog)
		return ERR_MEM;
	net_root()->place_next = (u16)(atomic_load_relaxed(&s->user_cxy) + 1);
	return ERR_OK;
}
