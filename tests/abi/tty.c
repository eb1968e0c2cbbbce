/*
 * tty.c - terminals, through a pseudo terminal: raw and canonical input,
 * echo, output processing, window size, job control, hang-up.
 */
#include "abi.h"
#include <sys/ioctl.h>
#include <termios.h>

struct pty {
	int master, slave;
	struct termios mode;
};

static struct pty
make_pty(void)
{
	struct pty pty;
	char name[64];

	pty.master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (pty.master < 0)
		FAIL("no /dev/ptmx: %d", errno);
	OK(grantpt(pty.master));
	OK(unlockpt(pty.master));
	PT(ptsname_r(pty.master, name, sizeof(name)));
	pty.slave = OK(open(name, O_RDWR | O_NOCTTY | O_CLOEXEC));
	OK(tcgetattr(pty.slave, &pty.mode));
	return pty;
}

static void
set_mode(struct pty *pty)
{
	OK(tcsetattr(pty->slave, TCSANOW, &pty->mode));
}

static struct pty
make_raw(void)
{
	struct pty pty = make_pty();

	cfmakeraw(&pty.mode);
	set_mode(&pty);
	return pty;
}

static void
put(int fd, const char *text)
{
	CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
}

static void
expect(int fd, const char *text)
{
	char got[256] = "";
	size_t size = strlen(text), done = 0;

	while (done < size) {
		ssize_t more = OK(read(fd, got + done, size - done));

		CHECK(more > 0);
		done += more;
	}
	if (memcmp(got, text, size) != 0)
		FAIL("read \"%s\", not \"%s\"", got, text);
}

CASE(raw, "do raw bytes pass both ways unchanged?")
{
	struct pty pty = make_raw();

	CHECK_EQ(isatty(pty.slave), 1);
	CHECK_EQ(isatty(pty.master), 1);
	put(pty.master, "a\r\n\003\004\177\025z");
	expect(pty.slave, "a\r\n\003\004\177\025z");
	put(pty.slave, "b\n\r\t\033[A");
	expect(pty.master, "b\n\r\t\033[A");
}

CASE(canonical, "does a line wait for its end, and edit keys work?")
{
	struct pty pty = make_pty();
	struct pollfd poller = {.fd = pty.slave, .events = POLLIN};
	int queued;
	char text[64];

	pty.mode.c_lflag &= ~(ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE);
	set_mode(&pty);
	CHECK(pty.mode.c_lflag & ICANON);
	put(pty.master, "half");
	CHECK_EQ(poll(&poller, 1, 0), 0);
	OK(ioctl(pty.slave, FIONREAD, &queued));
	CHECK_EQ(queued, 0);
	put(pty.master, " line\nnext\n");
	CHECK_EQ(read(pty.slave, text, sizeof(text)), 10);
	CHECK(memcmp(text, "half line\n", 10) == 0);
	CHECK_EQ(read(pty.slave, text, 2), 2);
	CHECK_EQ(read(pty.slave, text, sizeof(text)), 3);
	put(pty.master, "abX\177c\r");
	expect(pty.slave, "abc\n");
	put(pty.master, "junk\025kept\n");
	expect(pty.slave, "kept\n");
	put(pty.master, "one two\027three\n");
	expect(pty.slave, "one three\n");
	put(pty.master, "\026\003\n");
	expect(pty.slave, "\003\n");
	put(pty.master, "part\004");
	CHECK_EQ(read(pty.slave, text, sizeof(text)), 4);
	put(pty.master, "\004");
	CHECK_EQ(read(pty.slave, text, sizeof(text)), 0);
}

CASE(echo, "does input echo, with control characters and erasing shown?")
{
	struct pty pty = make_pty();

	put(pty.master, "hi\n");
	expect(pty.master, "hi\r\n");
	expect(pty.slave, "hi\n");
	put(pty.master, "ab\177");
	expect(pty.master, "ab\b \b");
	put(pty.master, "\001\n");
	expect(pty.master, "^A\r\n");
	expect(pty.slave, "a\001\n");
	pty.mode.c_lflag &= ~ECHO;
	pty.mode.c_lflag |= ECHONL;
	set_mode(&pty);
	put(pty.master, "secret\n");
	expect(pty.master, "\r\n");
}

CASE(mapping, "do the input and output newline mappings hold?")
{
	struct pty pty = make_raw();

	pty.mode.c_iflag |= ICRNL;
	set_mode(&pty);
	put(pty.master, "a\rb");
	expect(pty.slave, "a\nb");
	pty.mode.c_iflag = INLCR;
	set_mode(&pty);
	put(pty.master, "a\nb");
	expect(pty.slave, "a\rb");
	pty.mode.c_iflag = IGNCR;
	set_mode(&pty);
	put(pty.master, "a\rb");
	expect(pty.slave, "ab");
	pty.mode.c_oflag = OPOST | ONLCR;
	set_mode(&pty);
	put(pty.slave, "x\ny");
	expect(pty.master, "x\r\ny");
	pty.mode.c_oflag = OPOST | OCRNL;
	set_mode(&pty);
	put(pty.slave, "x\ry");
	expect(pty.master, "x\ny");
}

CASE(attributes, "do attributes read back, and do others say ENOTTY?")
{
	struct pty pty = make_pty();
	struct termios mode = pty.mode, back;
	int pipes[2];

	CHECK_EQ(mode.c_iflag, ICRNL | IXON);
	CHECK_EQ(mode.c_oflag, OPOST | ONLCR);
	CHECK_EQ(mode.c_cc[VINTR], 3);
	CHECK_EQ(mode.c_cc[VEOF], 4);
	CHECK_EQ(mode.c_cc[VERASE], 0x7f);
	CHECK_EQ(mode.c_cc[VMIN], 1);
	mode.c_cc[VINTR] = 'q';
	mode.c_lflag ^= ECHO;
	OK(tcsetattr(pty.slave, TCSADRAIN, &mode));
	OK(tcgetattr(pty.slave, &back));
	CHECK_EQ(back.c_cc[VINTR], 'q');
	CHECK_EQ(back.c_lflag, mode.c_lflag);
	CHECK_EQ(cfgetospeed(&back), B38400);
	OK(tcdrain(pty.slave));
	OK(tcflush(pty.slave, TCIOFLUSH));
	CHECK_ERR(tcflush(pty.slave, 99), EINVAL);
	OK(pipe(pipes));
	CHECK_ERR(tcgetattr(pipes[0], &back), ENOTTY);
	CHECK_ERR(ioctl(pty.slave, 0x54ee, 0), ENOTTY);
	CHECK_EQ(isatty(OK(open("/dev/null", O_RDWR))), 0);
}

CASE(minimum, "do VMIN and VTIME decide when a raw read ends?")
{
	struct pty pty = make_raw();
	char text[16];

	pty.mode.c_cc[VMIN] = 0;
	pty.mode.c_cc[VTIME] = 0;
	set_mode(&pty);
	CHECK_EQ(read(pty.slave, text, 16), 0);
	pty.mode.c_cc[VTIME] = 1;
	set_mode(&pty);
	CHECK_EQ(read(pty.slave, text, 16), 0);
	put(pty.master, "x");
	CHECK_EQ(read(pty.slave, text, 16), 1);
	pty.mode.c_cc[VMIN] = 3;
	pty.mode.c_cc[VTIME] = 0;
	set_mode(&pty);
	put(pty.master, "abc");
	CHECK_EQ(read(pty.slave, text, 16), 3);
	OK(fcntl(pty.slave, F_SETFL, O_NONBLOCK));
	CHECK_ERR(read(pty.slave, text, 16), EAGAIN);
}

static volatile sig_atomic_t resized;

static void
on_resize(int number)
{
	(void)number;
	resized = 1;
}

/* In a child: a session of its own with this terminal. */
static void
take_terminal(struct pty *pty)
{
	CHECK(setsid() > 0);
	OK(ioctl(pty->slave, TIOCSCTTY, 0));
}

CASE(window, "does the window size read back and SIGWINCH come?")
{
	struct winsize size = {.ws_row = 24, .ws_col = 80}, back;
	struct pty pty = make_pty();
	struct gate up = gate_make();
	pid_t pid;

	OK(ioctl(pty.slave, TIOCGWINSZ, &back));
	CHECK_EQ(back.ws_row, 0);
	OK(ioctl(pty.master, TIOCSWINSZ, &size));
	OK(ioctl(pty.slave, TIOCGWINSZ, &back));
	CHECK(back.ws_row == 24 && back.ws_col == 80);
	pid = abi_fork();
	if (pid == 0) {
		sigset_t block, none;

		sigemptyset(&none);
		sigemptyset(&block);
		sigaddset(&block, SIGWINCH);
		sigprocmask(SIG_BLOCK, &block, NULL);
		take_terminal(&pty);
		signal(SIGWINCH, on_resize);
		gate_open(&up);
		while (!resized)
			sigsuspend(&none);
		_exit(0);
	}
	gate_pass(&up);
	size.ws_col = 100;
	OK(ioctl(pty.master, TIOCSWINSZ, &size));
	CHECK_EQ(abi_reap(pid), 0);
}

/* Starts a child that owns the terminal and sleeps; its pid. */
static pid_t
start_foreground(struct pty *pty)
{
	struct gate up = gate_make();
	pid_t pid = abi_fork();

	if (pid == 0) {
		struct rlimit none = {0, 0};

		setrlimit(RLIMIT_CORE, &none);
		close(pty->master);
		take_terminal(pty);
		gate_open(&up);
		for (;;)
			pause();
	}
	gate_pass(&up);
	return pid;
}

CASE(interrupt, "do Ctrl-C and Ctrl-backslash signal the foreground group?")
{
	struct pty pty = make_pty();
	pid_t pid = start_foreground(&pty);

	put(pty.master, "\003");
	CHECK_EQ(abi_reap(pid), 128 + SIGINT);
	pty = make_pty();
	pid = start_foreground(&pty);
	put(pty.master, "\034");
	CHECK_EQ(abi_reap(pid), 128 + SIGQUIT);
}

CASE(controlling, "do /dev/tty, tcgetpgrp and tcgetsid know the session?")
{
	struct pty pty = make_pty();
	pid_t pid = abi_fork();

	if (pid == 0) {
		int tty;

		CHECK(setsid() > 0);
		CHECK_ERR(open("/dev/tty", O_RDWR), ENXIO);
		CHECK_ERR(tcgetpgrp(pty.slave), ENOTTY);
		OK(ioctl(pty.slave, TIOCSCTTY, 0));
		tty = OK(open("/dev/tty", O_RDWR));
		CHECK_EQ(tcgetpgrp(tty), getpid());
		CHECK_EQ(tcgetsid(tty), getpid());
		put(tty, "out");
		expect(pty.master, "out");
		CHECK_ERR(tcsetpgrp(tty, 0x3ffffff), ESRCH);
		_exit(0);
	}
	CHECK_EQ(abi_reap(pid), 0);
}

/* A session leader with a background job that runs the given function. */
static int
background(struct pty *pty, void (*job)(struct pty *))
{
	pid_t leader = abi_fork();

	if (leader == 0) {
		int status;
		pid_t pid;

		take_terminal(pty);
		pid = abi_fork();
		if (pid == 0) {
			setpgid(0, 0);
			job(pty);
			_exit(77);
		}
		setpgid(pid, pid);
		CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
		kill(pid, SIGKILL);
		_exit(WIFSTOPPED(status) ? WSTOPSIG(status) : 100 + WEXITSTATUS(status));
	}
	return abi_reap(leader);
}

static void
job_read(struct pty *pty)
{
	char c;

	(void)!read(pty->slave, &c, 1);
}

static void
job_write(struct pty *pty)
{
	(void)!write(pty->slave, "x", 1);
}

static void
job_take(struct pty *pty)
{
	tcsetpgrp(pty->slave, getpgrp());
}

static void
job_take_ignoring(struct pty *pty)
{
	signal(SIGTTOU, SIG_IGN);
	if (tcsetpgrp(pty->slave, getpgrp()) == 0 && tcgetpgrp(pty->slave) == getpgrp())
		_exit(9);
}

CASE(job_control, "is a background job stopped when it reads, writes or takes?")
{
	struct pty pty = make_pty();

	CHECK_EQ(background(&pty, job_read), SIGTTIN);
	pty = make_pty();
	CHECK_EQ(background(&pty, job_write), 177);
	pty = make_pty();
	pty.mode.c_lflag |= TOSTOP;
	set_mode(&pty);
	CHECK_EQ(background(&pty, job_write), SIGTTOU);
	pty = make_pty();
	CHECK_EQ(background(&pty, job_take), SIGTTOU);
	pty = make_pty();
	CHECK_EQ(background(&pty, job_take_ignoring), 109);
}

CASE(stop_key, "does Ctrl-Z stop the foreground job?")
{
	struct pty pty = make_pty();
	pid_t leader = abi_fork();

	if (leader == 0) {
		struct gate up = gate_make();
		int status;
		pid_t pid;

		take_terminal(&pty);
		signal(SIGTTOU, SIG_IGN);
		pid = abi_fork();
		if (pid == 0) {
			setpgid(0, 0);
			gate_open(&up);
			for (;;)
				pause();
		}
		setpgid(pid, pid);
		OK(tcsetpgrp(pty.slave, pid));
		gate_pass(&up);
		put(pty.master, "\032");
		CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
		CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP);
		kill(pid, SIGKILL);
		_exit(0);
	}
	CHECK_EQ(abi_reap(leader), 0);
}

CASE(hangup, "does closing the master hang up the session and the slave?")
{
	struct pty pty = make_pty();
	struct pollfd poller = {.fd = pty.slave, .events = POLLIN};
	pid_t pid = start_foreground(&pty);
	char c;

	OK(close(pty.master));
	CHECK_EQ(abi_reap(pid), 128 + SIGHUP);
	CHECK_EQ(poll(&poller, 1, -1), 1);
	CHECK(poller.revents & POLLHUP);
	CHECK_EQ(read(pty.slave, &c, 1), 0);
	CHECK_ERR(write(pty.slave, &c, 1), EIO);
}

CASE(slave_closed, "does the master read the rest, then EIO, when the slave closes?")
{
	struct pty pty = make_raw();
	struct pollfd poller = {.fd = pty.master, .events = POLLIN};
	char c;

	put(pty.slave, "z");
	OK(close(pty.slave));
	expect(pty.master, "z");
	CHECK_ERR(read(pty.master, &c, 1), EIO);
	CHECK_EQ(poll(&poller, 1, 0), 1);
	CHECK(poller.revents & POLLHUP);
}

CASE(names, "does ptsname's name lead to the slave, also by /proc/self/fd?")
{
	struct pty pty = make_pty();
	char name[64], path[64], text[64] = "";
	struct stat a, b;

	PT(ptsname_r(pty.master, name, sizeof(name)));
	CHECK(strncmp(name, "/dev/pts/", 9) == 0);
	OK(stat(name, &a));
	OK(fstat(pty.slave, &b));
	CHECK(S_ISCHR(a.st_mode) && a.st_rdev == b.st_rdev);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", pty.slave);
	OK(readlink(path, text, sizeof(text) - 1));
	CHECK(strcmp(text, name) == 0);
	PT(ttyname_r(pty.slave, text, sizeof(text)));
	CHECK(strcmp(text, name) == 0);
}

CASE(peer, "has a slave opened through its master the name, like any other?")
{
	struct pty pty = make_pty();
	char name[64], there[64];
	int slave = OK(ioctl(pty.master, TIOCGPTPEER, O_RDWR | O_NOCTTY));
	struct stat a, b;

	OK(fstat(slave, &a));
	OK(fstat(pty.slave, &b));
	CHECK(a.st_ino == b.st_ino && a.st_dev == b.st_dev && a.st_rdev == b.st_rdev);
	PT(ttyname_r(slave, there, sizeof(there)));
	PT(ptsname_r(pty.master, name, sizeof(name)));
	CHECK(strcmp(name, there) == 0);
}

CASE(utf8, "does IUTF8 erase a whole character?")
{
	struct pty pty = make_pty();

	pty.mode.c_iflag |= IUTF8;
	pty.mode.c_lflag &= ~ECHO;
	set_mode(&pty);
	put(pty.master, "a\303\251\177b\n");
	expect(pty.slave, "ab\n");
}
