/*
 * Off, reboot, and the channel by which the host learns the exit status: COM2 carries lines
 * "exit N" or "panic TEXT"; then ACPI S5 (FADT, \_S5), or the reset register.
 */
#ifndef DEV_POWER_H
#define DEV_POWER_H

#include "core/spinlock.h"
#include "lib/types.h"

struct power {		      /* machine()->power, allocated (zeroed) by boot */
	struct spinlock lock; /* rank RANK_LOG: lines to COM2 are whole */
	void (*button)(void); /* [a] */
	u32 pressed;	      /* [a] before anybody asked */
	/* Sends what the console still holds, by polling; set by its driver. NULL: nothing. */
	void (*drain)(void *dev);
	void *drain_dev;
};

/* Makes a panic reach the host. Works from the moment struct machine exists. */
void power_init_early(void);
/* ACPI mode and the power button. => after D3; interrupts of the boot core are routed */
void power_init(void);

__noreturn void power_off(void);
__noreturn void power_reboot(void);
/* Writes one line to the control channel (COM2). Any context. */
void control_line(const char *fmt, ...) __printf(1, 2);
/* Called when the ACPI power button is pressed (SCI): set by proc/ to signal init. Interrupt
 * context. A press before this is delivered at once. */
void power_set_button(void (*fn)(void));

#endif
