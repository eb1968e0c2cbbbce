/*
 * The inside of a terminal, shared by tty.c, tty_ioctl.c, ldisc_in.c and ldisc_out.c; nobody else
 * includes it.
 */
#ifndef DEV_TTY_IMPL_H
#define DEV_TTY_IMPL_H

#include <asm/termios.h>

#include "dev/tty.h"
#include "lib/atomic.h"

#define TTY_IN	4096u /* power of two */
#define TTY_OUT 4096u

#define TTY_POLL_IN  (0x001u | 0x040u)
#define TTY_POLL_OUT (0x004u | 0x100u)
#define TTY_POLL_ERR 0x008u
#define TTY_POLL_HUP 0x010u

struct tty {
	struct list link;	      /* [shared->lock] */
	char name[16];		      /* [I] */
	const struct tty_driver *drv; /* [I] */
	void *dev;		      /* [I] */
	bool is_pty;		      /* [I] */
	unsigned device_number;	      /* [I] */
	struct spinlock lock;	      /* rank RANK_FILE */
	struct termios2 tio;	      /* [lock] */
	struct winsize winsize;	      /* [lock] */
	u32 opens;		      /* [lock] */
	u32 generation;		      /* [lock] hang-ups so far */
	int session, pgrp;	      /* [lock] 0: none */
	bool exclusive;		      /* [lock] TIOCEXCL */
	/* Input: positions grow for ever, the ring index is their low bits. */
	char *in;	      /* [lock] */
	u8 *delimiter;	      /* [lock] a bit for each byte of `in`: it ends a line */
	u32 in_tail, in_head; /* [lock] */
	u32 line_end;	      /* [lock] behind the last complete line */
	bool literal_next;    /* [lock] after VLNEXT */
	bool other_side_gone; /* [lock] pty: the master was closed */
	struct waitq readers; /* [lock] */
	struct waitq feeders; /* [lock] wait for room for input: a pty's master */
	/* Output, ready for the device. */
	char *out;		/* [lock] */
	u32 out_tail, out_head; /* [lock] */
	u32 column;		/* [lock] of the cursor, for tabs and erasing */
	u32 line_column;	/* [lock] where the line being typed began */
	bool stopped;		/* [lock] by VSTOP or TCOOFF */
	struct waitq writers;	/* [lock] */
	struct persistent persistent;
};

#define PTY_RING 16384u /* power of two */
#define PTYS_MAX 4096	/* as Linux's kernel.pty.max */

struct pty {
	struct refcount refs;
	int index;	      /* [I] */
	struct tty *slave;    /* [I] */
	struct spinlock lock; /* rank RANK_FILE, after the slave's */
	char *ring;	      /* [lock] output of the slave */
	u32 tail, head;	      /* [lock] */
	bool slave_locked;    /* [lock] TIOCSPTLCK */
	bool master_closed;   /* [lock] */
	bool slave_closed;    /* [lock] the last open of the slave ended: EIO at the master */
	bool wants_room;      /* [lock] the slave was told there is none */
	struct waitq readers; /* [lock] the master reads */
	struct persistent persistent;
};

struct tty_shared {
	struct spinlock lock;		 /* rank RANK_FILE; before a tty's */
	struct list ttys;		 /* [lock] */
	struct tty *console;		 /* [a] */
	const struct tty_proc_ops *proc; /* [a] NULL until proc/ starts */
	void *log_device;		 /* [a] the driver's device for kernel lines */
	struct pty **ptys;		 /* [lock] by index */
	unsigned ptys_room;		 /* [lock] */
};

struct tty_shared *tty_shared_root(void); /* made on first use; NULL: no memory */

static inline const struct tty_proc_ops *
tty_proc(void)
{
	struct tty_shared *s = tty_shared_root();

	return s ? atomic_load(&s->proc) : NULL;
}

struct tty *tty_alloc(const char *name, const struct tty_driver *drv, void *dev);

static inline bool
tty_flag(unsigned flags, unsigned f)
{
	return (flags & f) != 0;
}

/* A control character that is set (0 is _POSIX_VDISABLE). */
static inline bool
tty_is_cc(const struct tty *t, unsigned which, u8 c)
{
	return c != 0 && t->tio.c_cc[which] == c;
}

/* A signal mask's bits that the input asks for, sent after the lock is dropped. */
struct tty_signals {
	u32 set;
	int pgrp;
};

/* ldisc_in.c. => t->lock held. */
void ldisc_receive(struct tty *t, const char *s, size_t n, struct tty_signals *sig);
void ldisc_flush_input(struct tty *t);
/* How many more bytes input will surely keep. */
size_t ldisc_in_room(const struct tty *t);
/* Bytes that a read may have now: a line in canonical mode. */
size_t ldisc_readable(const struct tty *t);
bool ldisc_has_line(const struct tty *t);
/* Takes up to n bytes; *line_ended says that a line delimiter was consumed. */
size_t ldisc_take(struct tty *t, char *buf, size_t n, bool *line_ended);
/* termios changed: recounts lines. */
void ldisc_mode_changed(struct tty *t, const struct termios2 *old);

/* ldisc_out.c. => t->lock held. */
size_t ldisc_out_room(const struct tty *t);
/* Processes as OPOST says and queues; how many bytes of s were used. */
size_t ldisc_write(struct tty *t, const char *s, size_t n);
void ldisc_echo(struct tty *t, u8 c);
void ldisc_echo_raw(struct tty *t, const char *s, size_t n);
void ldisc_push(struct tty *t); /* to the device, as far as it takes it */
void ldisc_flush_output(struct tty *t);
void ldisc_start(struct tty *t);
void ldisc_stop(struct tty *t);

/* pty.c: with a number of its own, or the lowest free one if index is below 0. 0, -ENOSPC, -EBUSY,
 * -ENOMEM. */
int pty_create_at(int index, struct pty **out);

/* tty.c */
/* 0; -ERESTARTSYS after sig was sent to a background group; -EIO for an orphaned one. */
int tty_check_background(struct tty *t, int sig, bool reading);
void tty_send_signals(const struct tty_signals *sig);
/* Waits until all output has gone to the device. */
int tty_drain(struct tty_open *o);

#endif
