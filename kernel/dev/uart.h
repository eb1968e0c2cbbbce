/* The 16550 ports: COM1 is ttyS0, COM2 the control channel (its output is dev/power.c's). */
#ifndef DEV_UART_H
#define DEV_UART_H

#include "dev/driver.h"
#include "dev/tty.h"

extern const struct driver uart_driver, uart_control_driver;
/* Gives a console the window size the host said at start (fw_cfg opt/holdfast/winsize). */
void console_winsize_init(struct tty *t);

#endif
