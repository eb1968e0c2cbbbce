/*
 * Off, reboot, and the channel by which the host learns the exit status: COM2 carries lines
 * "exit N" or "panic TEXT"; then ACPI S5 (FADT, \_S5), or the reset register.
 */
#ifndef DEV_POWER_H
#define DEV_POWER_H

#include "lib/types.h"

__noreturn void power_off(void);
__noreturn void power_reboot(void);
/* Writes one line to the control channel (COM2). Any context. */
void control_line(const char *fmt, ...) __printf(1, 2);
/* Called when the ACPI power button is pressed (SCI): set by proc/ to signal init. */
void power_set_button(void (*fn)(void));

#endif
