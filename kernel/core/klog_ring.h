/* The rings behind klog(): allocated by boot for each core before its first line. */
#ifndef CORE_KLOG_RING_H
#define CORE_KLOG_RING_H

#include "core/klog.h"
#include "core/spinlock.h"

#define KLOG_RING 8192u

struct klog_record {
	u64 seq; /* 0: nothing here */
	ns_t ns;
	u16 len;
	u8 level;
	char text[];
};

struct klog_ring {
	struct spinlock lock; /* rank RANK_LOG */
	u32 head;	      /* [lock] bytes ever written */
	char data[KLOG_RING + sizeof(struct klog_record)] __attribute__((aligned(8)));
};

struct klog_shared {
	struct spinlock console_lock; /* rank RANK_LOG */
	u64 seq;		      /* [a] of the last record */
	enum klog_level shown;	      /* [a] */
	void (*write)(const char *s, size_t n);
};

/* => zeroed memory. */
static inline void
klog_ring_init(struct klog_ring *r)
{
	spin_init(&r->lock, "klog", RANK_LOG);
}

static inline void
klog_shared_init(struct klog_shared *k)
{
	spin_init(&k->console_lock, "console", RANK_LOG);
	k->shown = KLOG_BOOT;
}

#endif
