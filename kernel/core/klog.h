/*
 * The kernel log: a ring per core, merged by time for readers (/dev/kmsg, syslog(2)); the console
 * shows boot lines, warnings and panics, less with `quiet`, more with `-i LEVEL`/`-f LEVEL`.
 */
#ifndef CORE_KLOG_H
#define CORE_KLOG_H

#include <stdarg.h>
#include "lib/types.h"

enum klog_level {
	KLOG_PANIC = 0,
	KLOG_ERROR = 1,
	KLOG_WARN = 2,
	KLOG_BOOT = 3, /* the boot lines, shown unless `quiet` */
	KLOG_INFO = 4,
	KLOG_DEBUG = 5,
};

/* One line, without a newline. Any context. */
void klog(enum klog_level level, const char *subsystem, const char *fmt, ...) __printf(3, 4);

/* Where lines go: set by the console drivers. Any context, called under the log lock. */
void klog_set_console(void (*write)(const char *s, size_t n));
void klog_set_level(enum klog_level shown);
/* Copies the merged log, oldest first, from *seq on; returns bytes; advances *seq. */
size_t klog_read(char *buf, size_t size, u64 *seq);
/* Early output on the 16550 at 0x3f8, polled; works before anything else. */
void console_early_write(const char *s, size_t n);
/* The same to the host's control channel, COM2, if there is one. */
void control_early_write(const char *s, size_t n);

#endif
