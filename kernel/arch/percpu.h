/*
 * What the hardware-facing code of one core needs to find through GS: the first member of struct
 * core (core/core.h). Offsets used by assembly come from arch/offsets.c, generated.
 */
#ifndef ARCH_PERCPU_H
#define ARCH_PERCPU_H

#include "arch/clock.h"
#include "arch/layout.h"
#include "lib/types.h"

#define HELD_MAX 16

struct spinlock;
struct stand_work;
struct thread;
struct trapframe;
struct trap_ops;

struct tss {
	u32 reserved0;
	u64 rsp[3];
	u64 reserved1;
	u64 ist[7];
	u64 reserved2;
	u16 reserved3;
	u16 iomap_base;
} __packed;

struct idt_gate { /* SDM 3A 6.14.1 */
	u16 offset_low;
	u16 selector;
	u8 ist;
	u8 type;
	u16 offset_middle;
	u32 offset_high;
	u32 reserved;
};

struct arch_core {
	struct arch_core *self; /* [I] gs:0 */
	struct thread *current; /* [c] gs:8; changed by the context switch only */
	u64 kernel_rsp;		/* [c] gs:16: top of the current thread's kernel stack */
	u64 user_rsp;		/* [c] gs:24: scratch of the system call entry */
	u64 spare;		/* gs:32 */
	u64 canary;		/* gs:40: stack protector's guard (-mstack-protector-guard=tls) */
	u32 irq_off_depth;	/* [c] spinlocks held, see core/spinlock.h */
	union {
		u32 any;
		struct {
			bool irq;   /* `irq_vector` came and is to be served */
			bool flag;  /* the interrupt flag is to become `irq_was_on` */
			bool ipi;   /* IPI_RESCHED to `ipi_later` */
			bool timer; /* the timer is to be set to `timer_later` */
		};
	} later;		  /* [c] what is due when the depth returns to zero */
	u8 irq_vector;		  /* [c] */
	bool irq_was_on;	  /* [c] */
	bool in_irq;		  /* [a] an interrupt handler is running */
	bool irq_from_user;	  /* [c] it interrupted user mode */
	u32 mailbox;		  /* [a] IPI reasons, see arch/ipi.h */
	u64 ipi_later;		  /* [c] mask of core indexes */
	ns_t timer_later;	  /* [c] */
	u32 apic_id;		  /* [I] gid */
	u32 index;		  /* [I] dense number of the core over the machine */
	u16 cxy;		  /* [I] cluster identifier (dense index of the cluster) */
	u16 lid;		  /* [I] local index in the cluster */
	struct thread *fpu_owner; /* [c] whose FPU state the registers hold; NULL: nobody's */
	const struct trap_ops *trap_ops; /* [I] upward calls */
	bool smap;			 /* [I] CR4.SMAP is on: STAC and CLAC exist */
	u32 standing;			 /* [a] see arch/stand.h */
	u64 standing_root;		 /* [a] what CR3 holds, while it stands still */
	struct stand_work *stand_work;	 /* while it has STAND_SHARE or STAND_BUSY */
	u64 stopped_rip, stopped_rbp;	 /* [a] where an NMI found it; rbp 0: user mode */
	u64 fpu_features;		 /* [I] XCR0, or what it would be without it */
	u32 fpu_bytes;			 /* [I] of a thread's FPU state */
	struct clock_params time;	 /* [I] when programs run: a copy near the core */
	struct spinlock *held[HELD_MAX]; /* [c] DEBUG=1, SAN=1: locks held, oldest first */
	u32 nheld;			 /* [c] */
	u64 gdt[8];			 /* [I] */
	struct tss tss;			 /* [c] */
	struct idt_gate idt[256];	 /* [I] */
	u8 ist_stack[3][4096]
		__attribute__((aligned(16))); /* [c] NMI, double fault, machine check */
};

static inline struct arch_core *
arch_core(void)
{
	struct arch_core *c;

	__asm__ volatile("mov %%gs:0, %0" : "=r"(c));
	return c;
}

static inline struct thread *
current_thread(void)
{
	struct thread *t;

	__asm__ volatile("mov %%gs:8, %0" : "=r"(t));
	return t;
}

#endif
