/* Starting a core, in steps so that several are started at once: prepare all, delay, start all,
 * wait for each. */
#ifndef BOOT_WAKE_H
#define BOOT_WAKE_H

#include "boot/boot.h"

struct wake {
	u32 gid;
	struct core *core; /* NULL: the first core of a cluster */
	paddr_t cr3;
	void *stack_top;
	void (*entry)(void *arg);
	void *arg;
};

/* Takes a slot and sends INIT. */
struct boot_slot *wake_prepare(struct boot_state *st, const struct wake *w);
void wake_delay(void);
void wake_start(struct boot_state *st, struct boot_slot *s);
/* NULL when the core came to life, like the boot core, within its limit, which counts from `began`,
 * when it was started; else what is wrong with it, and it waits for a start-up IPI again. */
const char *wake_wait(struct boot_state *st, struct boot_slot *s, ns_t began);
/* The first call of a core that was woken: returns if it may go on. */
void wake_arrive(struct boot_state *st);
/* A checksum of what programs and the kernel see of a core's abilities. */
u32 core_kind(void);

#endif
