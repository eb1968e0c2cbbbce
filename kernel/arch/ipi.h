/*
 * Inter-processor interrupts: one vector, a mailbox word of reasons per core.
 *
 * The sender ORs a reason into the target's mailbox and sends the vector when the word was zero;
 * the receiver exchanges the word with zero and handles every bit: coalesced IPIs lose nothing. A
 * core that is in an interrupt handler is sent none: it clears in_irq, then looks at its mailbox
 * once more, and the sender ORs before it looks at in_irq, with full fences in both.
 *
 * The host of a virtual machine takes an IPI as a reason to run the target's thread at once,
 * perhaps in the sender's place. A sender that held a spinlock then would keep everybody waiting
 * for the host's scheduler, so wake-ups are sent when the last lock has been released.
 */
#ifndef ARCH_IPI_H
#define ARCH_IPI_H

#include "arch/percpu.h"

#define IPI_RESCHED 1u
#define IPI_TLB	    2u
#define IPI_RPC	    4u
#define IPI_TIMER   8u
#define IPI_STOP    16u
#define IPI_STAND   32u

void ipi_send(struct arch_core *target, u32 reasons);
/* Sends IPI_RESCHED when this core has released its last spinlock. => one is held */
void ipi_send_later(struct arch_core *target);
void ipi_send_put_off(struct arch_core *c);
/* Serves IPI_TLB if it is in this core's mailbox: for cores that spin with interrupts off. */
void ipi_poll(void);
/* Stops every other core by NMI; for panic. */
void ipi_stop_others(void);

#endif
