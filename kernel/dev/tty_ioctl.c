/*
 * Control operations of terminals: termios, window size, sessions, flow control, counts (man 2
 * ioctl_tty). All end without effect when an argument is bad; those that change something wait for
 * the foreground first, as man 3 tcsetattr says. TIOCSTI is refused: a known way to fake input.
 */
#include "dev/tty_impl.h"

#include <asm/errno.h>
#include <asm/ioctls.h>
#include <asm/signal.h>

#include "lib/string.h"
#include "mm/user.h"

/* --- termios --- */

enum termios_form { FORM_TERMIOS, FORM_TERMIOS2, FORM_TERMIO };

static size_t
form_size(enum termios_form form)
{
	return form == FORM_TERMIOS ? sizeof(struct termios) : sizeof(struct termios2);
}

static int
termio_put(const struct termios2 *tio, void __user *arg)
{
	struct termio old = {
		.c_iflag = tio->c_iflag,
		.c_oflag = tio->c_oflag,
		.c_cflag = tio->c_cflag,
		.c_lflag = tio->c_lflag,
		.c_line = tio->c_line,
	};

	memcpy(old.c_cc, tio->c_cc, NCC);
	return copy_to_user(arg, &old, sizeof(old));
}

static int
termios_get(struct tty *t, enum termios_form form, void __user *arg)
{
	struct termios2 tio;

	spin_lock(&t->lock);
	tio = t->tio;
	spin_unlock(&t->lock);
	if (form == FORM_TERMIO)
		return termio_put(&tio, arg);
	return copy_to_user(arg, &tio, form_size(form));
}

static const struct {
	u32 code, baud;
} speeds[] = {
	{B0, 0},	   {B50, 50},		{B75, 75},	     {B110, 110},
	{B134, 134},	   {B150, 150},		{B200, 200},	     {B300, 300},
	{B600, 600},	   {B1200, 1200},	{B1800, 1800},	     {B2400, 2400},
	{B4800, 4800},	   {B9600, 9600},	{B19200, 19200},     {B38400, 38400},
	{B57600, 57600},   {B115200, 115200},	{B230400, 230400},   {B460800, 460800},
	{B921600, 921600}, {B1000000, 1000000}, {B4000000, 4000000},
};

/* Speeds have no effect on a device, but they are kept as set. */
static void
termios_fix_speed(struct termios2 *tio, const struct termios2 *old)
{
	u32 code = tio->c_cflag & CBAUD;

	if (code == BOTHER)
		return;
	tio->c_ispeed = tio->c_ospeed = old->c_ospeed;
	for (size_t i = 0; i < ARRAY_SIZE(speeds); i++)
		if (speeds[i].code == code)
			tio->c_ispeed = tio->c_ospeed = speeds[i].baud;
}

static int
termios_fetch(struct tty *t, enum termios_form form, const void __user *arg, struct termios2 *tio)
{
	struct termio old;

	spin_lock(&t->lock);
	*tio = t->tio;
	spin_unlock(&t->lock);
	if (form != FORM_TERMIO)
		return copy_from_user(tio, arg, form_size(form));
	if (copy_from_user(&old, arg, sizeof(old)))
		return -EFAULT;
	tio->c_iflag = (tio->c_iflag & 0xffff0000u) | old.c_iflag;
	tio->c_oflag = (tio->c_oflag & 0xffff0000u) | old.c_oflag;
	tio->c_cflag = (tio->c_cflag & 0xffff0000u) | old.c_cflag;
	tio->c_lflag = (tio->c_lflag & 0xffff0000u) | old.c_lflag;
	memcpy(tio->c_cc, old.c_cc, NCC);
	return 0;
}

/* `how`: 0 now, 1 after the output drained, 2 and with the input flushed. */
static int
termios_set(struct tty_open *o, enum termios_form form, int how, const void __user *arg)
{
	struct tty *t = o->tty;
	struct termios2 tio, old;
	int err = tty_check_background(t, SIGTTOU, false);

	if (!err)
		err = termios_fetch(t, form, arg, &tio);
	if (!err && how > 0)
		err = tty_drain(o);
	if (err)
		return err;
	spin_lock(&t->lock);
	old = t->tio;
	termios_fix_speed(&tio, &old);
	tio.c_line = 0;
	if (how == 2)
		ldisc_flush_input(t);
	t->tio = tio;
	ldisc_mode_changed(t, &old);
	if (!tty_flag(tio.c_iflag, IXON) && tty_flag(old.c_iflag, IXON))
		ldisc_start(t);
	spin_unlock(&t->lock);
	return 0;
}

/* --- window size --- */

static int
winsize_get(struct tty *t, void __user *arg)
{
	struct winsize w;

	spin_lock(&t->lock);
	w = t->winsize;
	spin_unlock(&t->lock);
	return copy_to_user(arg, &w, sizeof(w));
}

static int
winsize_set(struct tty *t, const void __user *arg)
{
	struct tty_signals sig = {0, 0};
	struct winsize w;

	if (copy_from_user(&w, arg, sizeof(w)))
		return -EFAULT;
	spin_lock(&t->lock);
	if (memcmp(&t->winsize, &w, sizeof(w)) != 0) {
		t->winsize = w;
		sig.set = 1u << SIGWINCH;
		sig.pgrp = t->pgrp;
	}
	spin_unlock(&t->lock);
	tty_send_signals(&sig);
	return 0;
}

/* --- sessions --- */

static int
controlling_set(struct tty *t, const struct tty_proc_ops *p)
{
	struct tty *mine;
	int session, pgrp, err = 0;

	if (!p)
		return -EPERM;
	mine = p->controlling();
	session = p->current_session();
	pgrp = p->current_pgrp();
	if (!p->is_session_leader() || (mine && mine != t))
		return -EPERM;
	if (mine == t)
		return 0;
	spin_lock(&t->lock);
	if (t->session != 0 && t->session != session) {
		err = -EPERM; /* stealing (arg 1) is not supported: the other session is alive */
	} else {
		t->session = session;
		t->pgrp = pgrp;
	}
	spin_unlock(&t->lock);
	if (!err)
		p->set_controlling(t);
	return err;
}

static int
controlling_drop(struct tty *t, const struct tty_proc_ops *p)
{
	if (!p || p->controlling() != t)
		return -ENOTTY;
	if (p->is_session_leader())
		tty_session_ended(t);
	p->set_controlling(NULL);
	return 0;
}

/* Through a pseudo terminal's master the caller's own session does not matter. */
static int
pgrp_get(struct tty_open *o, const struct tty_proc_ops *p, int __user *arg)
{
	struct tty *t = o->tty;
	int pgrp;

	if (!p || (p->controlling() != t && !o->master))
		return -ENOTTY;
	spin_lock(&t->lock);
	pgrp = t->pgrp;
	spin_unlock(&t->lock);
	return put_user(pgrp, arg);
}

static int
pgrp_set(struct tty *t, const struct tty_proc_ops *p, const int __user *arg)
{
	int pgrp, session, err;

	if (!p || p->controlling() != t)
		return -ENOTTY;
	err = tty_check_background(t, SIGTTOU, false);
	if (err)
		return err;
	if (get_user(pgrp, arg))
		return -EFAULT;
	if (pgrp < 0)
		return -EINVAL;
	session = p->current_session();
	err = p->pgrp_in_session(pgrp, session);
	if (err)
		return err;
	spin_lock(&t->lock);
	if (t->session == session)
		t->pgrp = pgrp;
	else
		err = -ENOTTY;
	spin_unlock(&t->lock);
	return err;
}

static int
session_get(struct tty_open *o, const struct tty_proc_ops *p, int __user *arg)
{
	struct tty *t = o->tty;
	int session;

	if (!p || (p->controlling() != t && !o->master))
		return -ENOTTY;
	spin_lock(&t->lock);
	session = t->session;
	spin_unlock(&t->lock);
	return session > 0 ? put_user(session, arg) : -ENOTTY;
}

/* --- flow control, flushing, counts --- */

static int
flow_control(struct tty_open *o, unsigned long arg)
{
	struct tty *t = o->tty;
	int err = tty_check_background(t, SIGTTOU, false);
	char c;

	if (err)
		return err;
	spin_lock(&t->lock);
	switch (arg) {
	case TCOOFF:
		ldisc_stop(t);
		break;
	case TCOON:
		ldisc_start(t);
		break;
	case TCIOFF:
	case TCION:
		c = t->tio.c_cc[arg == TCIOFF ? VSTOP : VSTART];
		if (c && ldisc_out_room(t) > 0)
			ldisc_echo_raw(t, &c, 1);
		ldisc_push(t);
		break;
	default:
		err = -EINVAL;
	}
	spin_unlock(&t->lock);
	return err;
}

static int
flush(struct tty_open *o, unsigned long arg)
{
	struct tty *t = o->tty;
	int err = tty_check_background(t, SIGTTOU, false);

	if (err)
		return err;
	if (arg != TCIFLUSH && arg != TCOFLUSH && arg != TCIOFLUSH)
		return -EINVAL;
	spin_lock(&t->lock);
	if (arg != TCOFLUSH)
		ldisc_flush_input(t);
	if (arg != TCIFLUSH)
		ldisc_flush_output(t);
	spin_unlock(&t->lock);
	return 0;
}

static int
count(struct tty *t, bool output, int __user *arg)
{
	int n;

	spin_lock(&t->lock);
	n = output ? t->out_head - t->out_tail : ldisc_readable(t);
	spin_unlock(&t->lock);
	return put_user(n, arg);
}

static int
drain_break(struct tty_open *o)
{
	int err = tty_check_background(o->tty, SIGTTOU, false);

	/* The drivers have no break condition: the drain is all there is to do. */
	return err ? err : tty_drain(o);
}

static int
exclusive_set(struct tty *t, bool on)
{
	spin_lock(&t->lock);
	t->exclusive = on;
	spin_unlock(&t->lock);
	return 0;
}

static int
line_discipline_set(const int __user *arg)
{
	int n;

	if (get_user(n, arg))
		return -EFAULT;
	return n == 0 ? 0 : -EINVAL; /* N_TTY is the only one */
}

static long
ioctl_termios(struct tty_open *o, unsigned cmd, void __user *arg)
{
	switch (cmd) {
	case TCGETS:
		return termios_get(o->tty, FORM_TERMIOS, arg);
	case TCGETS2:
		return termios_get(o->tty, FORM_TERMIOS2, arg);
	case TCGETA:
		return termios_get(o->tty, FORM_TERMIO, arg);
	case TCSETS:
	case TCSETSW:
	case TCSETSF:
		return termios_set(o, FORM_TERMIOS, cmd - TCSETS, arg);
	case TCSETS2:
	case TCSETSW2:
	case TCSETSF2:
		return termios_set(o, FORM_TERMIOS2, (cmd & 0xff) - (TCSETS2 & 0xff), arg);
	case TCSETA:
	case TCSETAW:
	case TCSETAF:
		return termios_set(o, FORM_TERMIO, cmd - TCSETA, arg);
	default:
		return -ENOTTY;
	}
}

static long
ioctl_session(struct tty_open *o, unsigned cmd, void __user *arg)
{
	const struct tty_proc_ops *p = tty_proc();
	struct tty *t = o->tty;

	switch (cmd) {
	case TIOCSCTTY:
		return controlling_set(t, p);
	case TIOCNOTTY:
		return controlling_drop(t, p);
	case TIOCGPGRP:
		return pgrp_get(o, p, arg);
	case TIOCSPGRP:
		return pgrp_set(t, p, arg);
	case TIOCGSID:
		return session_get(o, p, arg);
	default:
		return ENOTTY;
	}
}

long
tty_ioctl(struct tty_open *o, unsigned cmd, unsigned long arg)
{
	void __user *p = (void __user *)arg;
	struct tty *t = o->tty;
	long r;

	if (o->generation != atomic_load(&t->generation))
		return cmd == TIOCSPGRP ? -ENOTTY : -EIO;
	switch (cmd) {
	case TIOCGWINSZ:
		return winsize_get(t, p);
	case TIOCSWINSZ:
		return winsize_set(t, p);
	case TCXONC:
		return flow_control(o, arg);
	case TCFLSH:
		return flush(o, arg);
	case TCSBRK:
	case TCSBRKP:
		return drain_break(o);
	case TIOCINQ:
		return count(t, false, p);
	case TIOCOUTQ:
		return count(t, true, p);
	case TIOCEXCL:
	case TIOCNXCL:
		return exclusive_set(t, cmd == TIOCEXCL);
	case TIOCGEXCL:
		return put_user((int)t->exclusive, (int __user *)p);
	case TIOCGETD:
		return put_user(0, (int __user *)p);
	case TIOCSETD:
		return line_discipline_set(p);
	case TIOCSTI:
		return -EIO;
	case TIOCVHANGUP:
		tty_hangup(t);
		return 0;
	case TIOCGDEV:
		return put_user(t->device_number, (unsigned __user *)p);
	default:
		r = ioctl_session(o, cmd, p);
		return r == ENOTTY ? ioctl_termios(o, cmd, p) : r;
	}
}
