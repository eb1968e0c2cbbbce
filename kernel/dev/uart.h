/* The drivers of the 16550 ports, for dev/table.c: COM1 (ttyS0), COM2 (the control channel). */
#ifndef DEV_UART_H
#define DEV_UART_H

#include "dev/driver.h"

extern const struct driver uart_driver, uart_control_driver;

#endif
