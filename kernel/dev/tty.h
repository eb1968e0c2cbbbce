/*
 * Terminals: the line discipline (termios, echo, editing, signals, window size, job control) over
 * any character device: 16550, virtio-console, pseudo terminals.
 */
#ifndef DEV_TTY_H
#define DEV_TTY_H

#include "core/spinlock.h"
#include "core/waitq.h"
#include "lib/types.h"

struct tty;

struct tty_driver {
	/* Queues bytes for output; returns how many were taken (the driver calls tty_output_ready when
	 * there is room again). => called with the tty's lock held, any context. */
	size_t (*write)(void *dev, const char *s, size_t n);
	size_t (*room)(void *dev);
};

struct tty *tty_create(const char *name, const struct tty_driver *drv, void *dev);
/* Bytes came in. Interrupt context. */
void tty_input(struct tty *t, const char *s, size_t n);
void tty_output_ready(struct tty *t);
void tty_hangup(struct tty *t);
void tty_set_winsize(struct tty *t, unsigned rows, unsigned cols);

/* What tty/ must ask of proc/: sessions and signals. Set at start. */
struct tty_proc_ops {
	void (*signal_group)(int pgrp, int sig);
	int (*current_session)(void);
	int (*current_pgrp)(void);
	bool (*pgrp_in_session)(int pgrp, int session);
	bool (*pgrp_orphaned)(int pgrp);
	bool (*signal_ignored_or_blocked)(int sig);
	bool (*is_session_leader)(void);
	struct tty *(*controlling)(void);
	void (*set_controlling)(struct tty *t); /* of the current session; NULL drops it */
	void (*session_hangup)(int session);
	int (*signal_current_group)(int sig); /* -ERESTARTSYS */
};
void tty_set_proc_ops(const struct tty_proc_ops *ops);

#endif
