/*
 * Stopping the machine for a moment, to look at what is otherwise in motion: every other core
 * stands still (arch/stand.h) with no spinlock held, so all that spinlocks guard is whole. Cores
 * that wait for work stand where they are and are not woken, the others in an interrupt. They
 * answer TLB shootdowns meanwhile, since one of them may be waited for. What each has in CR3 is
 * core->arch.standing_root.
 *
 * Cores that stand and do not sleep can do a share of what there is to do meanwhile:
 * machine_share() offers it, machine_share_end() takes the offer back.
 *
 * Locks: stop_lock, a mutex, from machine_stop to machine_go.
 */
#ifndef CLUSTER_STOP_H
#define CLUSTER_STOP_H

#include "arch/stand.h"
#include "core/core.h"

void machine_stop_init(void);
/* => no spinlock held; may sleep, until another stop is over. Interrupts are off on return. */
void machine_stop(void);
/* From now on other cores may do pieces of w, which has to be in memory that all clusters see at
 * one address. => the machine is stopped by this core, nothing is shared */
void machine_share(struct stand_work *w);
/* Nobody does pieces any more on return. => something is shared */
void machine_share_end(void);
/* Returns at once; the others go on when they come to it. */
void machine_go(void);

#endif
