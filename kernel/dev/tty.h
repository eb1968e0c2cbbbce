/*
 * Terminals: the line discipline (termios, echo, editing, signals, window size, job control) over
 * any character device: 16550, virtio-console, pseudo terminals. The device nodes and file
 * operations are file/ttyfile.c's; this header is what it and the drivers call.
 */
#ifndef DEV_TTY_H
#define DEV_TTY_H

#include "core/persist.h"
#include "core/spinlock.h"
#include "core/waitq.h"
#include "lib/list.h"
#include "lib/types.h"
#include "mm/uio.h"

struct tty;
struct pty;

struct tty_driver {
	/* Queues bytes for output; returns how many were taken (the driver calls tty_output_ready
	 * when there is room again). => called with the tty's lock held, any context. */
	size_t (*write)(void *dev, const char *s, size_t n);
	size_t (*room)(void *dev);
	/* Drops what is queued and not yet sent (TCFLSH). NULL: nothing is queued. */
	void (*flush)(void *dev);
	/* The last open file of the tty was closed. NULL: nothing to do. => no lock held. */
	void (*closed)(void *dev);
};

/* Registers a terminal; it lives for ever unless tty_destroy is called. NULL: no memory. */
struct tty *tty_create(const char *name, const struct tty_driver *drv, void *dev);
/* Makes `t` the machine's /dev/console. */
void tty_set_console(struct tty *t);
struct tty *tty_console(void); /* NULL: the machine has none */
/* => nobody has it open and its driver calls nothing any more. */
void tty_destroy(struct tty *t);
/* Bytes came in. Interrupt context. */
void tty_input(struct tty *t, const char *s, size_t n);
void tty_output_ready(struct tty *t);
/* Ends every open of the terminal: reads give end of file, writes -EIO; SIGHUP to its session. */
void tty_hangup(struct tty *t);
/* Waits until the machine's terminals have taken what they were given, those that were stopped by a
 * key aside. May sleep. */
void ttys_drain(ns_t deadline);
void tty_set_winsize(struct tty *t, unsigned rows, unsigned cols);
/* The session's leader exits (proc/): hangs up or lets go of the terminal, SIGHUP and SIGCONT to
 * the foreground group. */
void tty_session_ended(struct tty *t);
const char *tty_name(const struct tty *t);
/* Calls fn for every terminal but pseudo terminals. Sleeping allowed: they never go away. */
void tty_for_each(void (*fn)(struct tty *t, void *arg), void *arg);

/* An open file's view: the terminal and the number of hang-ups it had when it was opened. */
struct tty_open {
	struct tty *tty;
	u32 generation;
	bool master; /* asked through a pseudo terminal's master */
};

/* Opens; becomes the controlling terminal of a session leader that has none unless `noctty`. */
void tty_open(struct tty *t, struct tty_open *o, bool noctty);
/* The same for an open file that a resume makes: `generation` is what it remembered. */
void tty_open_again(struct tty *t, struct tty_open *o, u32 generation);
void tty_close(struct tty_open *o);
ssize_t tty_read(struct tty_open *o, struct uio *u, bool nonblock);
ssize_t tty_write(struct tty_open *o, struct uio *u, bool nonblock);
/* Poll bits as POLL_* of file/poll.h. `add` hangs the caller's waiter on a queue. */
unsigned tty_poll(struct tty_open *o, void (*add)(void *arg, struct waitq *q, struct spinlock *l),
		  void *arg);
long tty_ioctl(struct tty_open *o, unsigned cmd, unsigned long arg);
/* The calling process's controlling terminal, NULL. */
struct tty *tty_controlling(void);
unsigned tty_device_number(const struct tty *t); /* major << 8 | minor, for /proc/pid/stat */
int tty_pty_index(const struct tty *t);		 /* of a pseudo terminal's slave; -1 */
void tty_set_device_number(struct tty *t, unsigned major, unsigned minor);

/*
 * Pseudo terminals. A pair lives from pty_create until both sides are closed. `dropped` is called
 * when the number is free again.
 */
int pty_create(struct pty **out);
int pty_index(const struct pty *p);
bool pty_locked(const struct pty *p);
struct tty *pty_slave(struct pty *p);
/* The pair of an index with a reference for an open of its slave: NULL (none), or locked: -EIO. */
int pty_find(int index, struct pty **out);
void pty_put(struct pty *p);
void pty_master_close(struct pty *p);
ssize_t pty_master_read(struct pty *p, struct uio *u, bool nonblock);
ssize_t pty_master_write(struct pty *p, struct uio *u, bool nonblock);
unsigned pty_master_poll(struct pty *p, void (*add)(void *arg, struct waitq *q, struct spinlock *l),
			 void *arg);
/* Everything but TIOCGPTPEER. */
long pty_master_ioctl(struct pty *p, unsigned cmd, unsigned long arg);

void pty_get(struct pty *p);

/* The store (tty_persist.c). A terminal is referred to by these, as a pseudo terminal's slave
 * is not an object of its own; the last is for linking, NULL: there is none. */
void tty_save_ref(struct persist_writer *w, u16 tag, struct tty *t);
u64 tty_mix_ref(struct persist_writer *w, u64 h, struct tty *t); /* as persist_mix_ref */
struct tty *tty_load_ref(struct persist_reader *r, const struct tag_reader *in, u16 tag);
extern const struct persist_kind tty_persist; /* 160: a terminal of the machine */
extern const struct persist_kind pty_persist; /* 161: a pair */

/* What tty/ must ask of proc/: sessions and signals. Set at start. No lock of a tty is held in a
 * call; signal_group is called in interrupt context too. */
struct tty_proc_ops {
	void (*signal_group)(int pgrp, int sig);
	int (*current_session)(void);
	int (*current_pgrp)(void);
	int (*pgrp_in_session)(int pgrp, int session); /* 0, -ESRCH: no such group, -EPERM */
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
