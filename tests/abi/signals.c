/*
 * signals.c - handlers, masks, siginfo, restart, alternate stacks, waiting
 * for signals, queues, errors, stop and continue, signalfd. Signals that the
 * processor's exceptions cause are in faults.c.
 */
#include "abi.h"
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <ucontext.h>

static volatile sig_atomic_t count, depth, deepest, last;
static volatile siginfo_t got;
static volatile sigset_t mask_inside;
static void *volatile stack_inside;

static void
on_count(int number)
{
	count++;
	last = number;
}

static void
on_info(int number, siginfo_t *info, void *context)
{
	(void)context;
	count++;
	last = number;
	got = *info;
}

static void
handle(int number, void (*handler)(int), int flags)
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

	OK(sigaction(number, &action, NULL));
}

static void
handle_info(int number, int flags)
{
	struct sigaction action = {
		.sa_sigaction = on_info,
		.sa_flags = SA_SIGINFO | flags,
	};

	OK(sigaction(number, &action, NULL));
}

static sigset_t
set_of(int number)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, number);
	return set;
}

static void
block(int number)
{
	sigset_t set = set_of(number);

	OK(sigprocmask(SIG_BLOCK, &set, NULL));
}

static void
unblock(int number)
{
	sigset_t set = set_of(number);

	OK(sigprocmask(SIG_UNBLOCK, &set, NULL));
}

CASE(handler, "does a handler run for kill, raise and tgkill to self?")
{
	count = 0;
	handle(SIGUSR1, on_count, 0);
	OK(kill(getpid(), SIGUSR1));
	CHECK_EQ(count, 1);
	OK(raise(SIGUSR1));
	CHECK_EQ(count, 2);
	OK(syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1));
	CHECK_EQ(count, 3);
	CHECK_EQ(last, SIGUSR1);
}

CASE(info_kill, "what does siginfo say for kill, tgkill and sigqueue?")
{
	union sigval value = {.sival_ptr = (void *)0x123456789};

	handle_info(SIGUSR1, 0);
	OK(kill(getpid(), SIGUSR1));
	CHECK_EQ(got.si_signo, SIGUSR1);
	CHECK_EQ(got.si_code, SI_USER);
	CHECK_EQ(got.si_pid, getpid());
	CHECK_EQ(got.si_uid, getuid());
	OK(syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1));
	CHECK_EQ(got.si_code, SI_TKILL);
	CHECK_EQ(got.si_pid, getpid());
	OK(sigqueue(getpid(), SIGUSR1, value));
	CHECK_EQ(got.si_code, SI_QUEUE);
	CHECK_EQ(got.si_pid, getpid());
	CHECK(got.si_value.sival_ptr == value.sival_ptr);
}

CASE(info_child, "what does siginfo say for SIGCHLD?")
{
	sigset_t none;
	pid_t pid;

	count = 0;
	handle_info(SIGCHLD, 0);
	block(SIGCHLD);
	pid = abi_fork();
	if (pid == 0)
		_exit(19);
	sigemptyset(&none);
	CHECK_ERR(sigsuspend(&none), EINTR);
	CHECK_EQ(count, 1);
	CHECK_EQ(got.si_code, CLD_EXITED);
	CHECK_EQ(got.si_pid, pid);
	CHECK_EQ(got.si_status, 19);
	CHECK_EQ(abi_reap(pid), 19);
}

CASE(blocked, "does a blocked signal stay pending, once, until unblocked?")
{
	sigset_t pending;

	count = 0;
	handle(SIGUSR1, on_count, 0);
	block(SIGUSR1);
	raise(SIGUSR1);
	raise(SIGUSR1);
	CHECK_EQ(count, 0);
	OK(sigpending(&pending));
	CHECK_EQ(sigismember(&pending, SIGUSR1), 1);
	CHECK_EQ(sigismember(&pending, SIGUSR2), 0);
	unblock(SIGUSR1);
	CHECK_EQ(count, 1);
	OK(sigpending(&pending));
	CHECK_EQ(sigismember(&pending, SIGUSR1), 0);
}

static volatile int order[16];

static void
on_order(int number, siginfo_t *info, void *context)
{
	(void)context;
	(void)number;
	order[count++] = info->si_value.sival_int;
}

CASE(realtime_queue, "do real-time signals queue in order, lowest number first?")
{
	struct sigaction action = {
		.sa_sigaction = on_order,
		.sa_flags = SA_SIGINFO,
	};
	sigset_t set, old;
	int i;

	count = 0;
	sigfillset(&action.sa_mask);
	OK(sigaction(SIGRTMIN, &action, NULL));
	OK(sigaction(SIGRTMIN + 1, &action, NULL));
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigaddset(&set, SIGRTMIN + 1);
	OK(sigprocmask(SIG_BLOCK, &set, &old));
	for (i = 0; i < 3; i++)
		OK(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 10 + i}));
	for (i = 0; i < 3; i++)
		OK(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i}));
	OK(sigprocmask(SIG_SETMASK, &old, NULL));
	CHECK_EQ(count, 6);
	for (i = 0; i < 3; i++) {
		CHECK_EQ(order[i], i);
		CHECK_EQ(order[3 + i], 10 + i);
	}
}

static void
on_nested(int number)
{
	depth++;
	if (depth > deepest)
		deepest = depth;
	if (count++ < 3)
		raise(number);
	depth--;
}

CASE(nodefer, "is a signal blocked in its handler, unless SA_NODEFER?")
{
	count = depth = deepest = 0;
	handle(SIGUSR1, on_nested, 0);
	raise(SIGUSR1);
	CHECK_EQ(deepest, 1);
	CHECK_EQ(count, 4);
	count = depth = deepest = 0;
	handle(SIGUSR1, on_nested, SA_NODEFER);
	raise(SIGUSR1);
	CHECK_EQ(deepest, 4);
	CHECK_EQ(count, 4);
}

CASE(resethand, "does SA_RESETHAND fall back to the default after one?")
{
	struct sigaction now;

	count = 0;
	handle(SIGUSR1, on_count, SA_RESETHAND);
	raise(SIGUSR1);
	CHECK_EQ(count, 1);
	OK(sigaction(SIGUSR1, NULL, &now));
	CHECK(now.sa_handler == SIG_DFL);
}

static void
on_mask(int number)
{
	sigset_t now;

	(void)number;
	sigprocmask(SIG_SETMASK, NULL, &now);
	memcpy((void *)&mask_inside, &now, sizeof(now));
}

CASE(sa_mask, "is sa_mask in force inside the handler and gone after it?")
{
	struct sigaction action = {.sa_handler = on_mask};
	sigset_t now;

	sigemptyset(&action.sa_mask);
	sigaddset(&action.sa_mask, SIGUSR2);
	OK(sigaction(SIGUSR1, &action, NULL));
	raise(SIGUSR1);
	memcpy(&now, (void *)&mask_inside, sizeof(now));
	CHECK_EQ(sigismember(&now, SIGUSR1), 1);
	CHECK_EQ(sigismember(&now, SIGUSR2), 1);
	CHECK_EQ(sigismember(&now, SIGTERM), 0);
	OK(sigprocmask(SIG_SETMASK, NULL, &now));
	CHECK_EQ(sigismember(&now, SIGUSR1), 0);
	CHECK_EQ(sigismember(&now, SIGUSR2), 0);
}

static void
on_change_mask(int number, siginfo_t *info, void *context)
{
	ucontext_t *user = context;

	(void)number;
	(void)info;
	sigaddset(&user->uc_sigmask, SIGUSR2);
	user->uc_mcontext.gregs[REG_RBX] = 0x1122334455667788;
}

CASE(ucontext, "may a handler change registers and the mask it returns to?")
{
	struct sigaction action = {
		.sa_sigaction = on_change_mask,
		.sa_flags = SA_SIGINFO,
	};
	uint64_t rbx = 1, rax = SYS_tgkill;
	sigset_t now;

	OK(sigaction(SIGUSR1, &action, NULL));
	__asm__ volatile("mov $1, %%rbx; syscall; mov %%rbx, %0"
			 : "=r"(rbx), "+a"(rax)
			 : "D"((long)getpid()), "S"((long)gettid()), "d"((long)SIGUSR1)
			 : "rbx", "rcx", "r11", "memory");
	CHECK_EQ(rax, 0);
	CHECK_EQ(rbx, 0x1122334455667788);
	OK(sigprocmask(SIG_SETMASK, NULL, &now));
	CHECK_EQ(sigismember(&now, SIGUSR2), 1);
	CHECK_EQ(sigismember(&now, SIGUSR1), 0);
}

static void
on_stack(int number)
{
	(void)number;
	stack_inside = __builtin_frame_address(0);
}

CASE(altstack, "does SA_ONSTACK run the handler on the alternate stack?")
{
	size_t size = 65536;
	char *memory = malloc(size);
	stack_t stack = {.ss_sp = memory, .ss_size = size}, old;

	OK(sigaltstack(NULL, &old));
	CHECK_EQ(old.ss_flags, SS_DISABLE);
	OK(sigaltstack(&stack, NULL));
	handle(SIGUSR1, on_stack, SA_ONSTACK);
	raise(SIGUSR1);
	CHECK((char *)stack_inside > memory && (char *)stack_inside < memory + size);
	handle(SIGUSR1, on_stack, 0);
	raise(SIGUSR1);
	CHECK((char *)stack_inside < memory || (char *)stack_inside >= memory + size);
	OK(sigaltstack(NULL, &old));
	CHECK(old.ss_sp == memory && old.ss_size == size);
	CHECK_EQ(old.ss_flags, 0);
	stack.ss_size = 100;
	CHECK_ERR(sigaltstack(&stack, NULL), ENOMEM);
	stack.ss_size = size;
	stack.ss_flags = 0x40;
	CHECK_ERR(sigaltstack(&stack, NULL), EINVAL);
	stack.ss_flags = SS_DISABLE;
	OK(sigaltstack(&stack, NULL));
}

static void
on_alt_query(int number)
{
	stack_t now;

	(void)number;
	if (sigaltstack(NULL, &now) == 0)
		last = now.ss_flags;
	count = sigaltstack(&now, NULL) == -1 && errno == EPERM;
}

CASE(altstack_busy, "is the alternate stack reported in use and kept from change?")
{
	stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};

	OK(sigaltstack(&stack, NULL));
	handle(SIGUSR1, on_alt_query, SA_ONSTACK);
	last = count = 0;
	raise(SIGUSR1);
	CHECK_EQ(last, SS_ONSTACK);
	CHECK_EQ(count, 1);
}

struct reader {
	int fd;
	pid_t tid;
	ssize_t result;
	int error;
	struct gate up;
};

static void *
read_one(void *arg)
{
	struct reader *reader = arg;
	char c;

	reader->tid = gettid();
	gate_open(&reader->up);
	reader->result = read(reader->fd, &c, 1);
	reader->error = errno;
	return NULL;
}

/*
 * Signals a thread that reads from an empty pipe until the handler has run
 * at least once while it may have slept, then feeds the pipe.
 */
static void
interrupt_read(struct reader *reader, int flags, bool feed)
{
	pthread_t thread;
	int fd[2];

	OK(pipe(fd));
	reader->fd = fd[0];
	reader->up = gate_make();
	count = 0;
	handle(SIGUSR1, on_count, flags);
	PT(pthread_create(&thread, NULL, read_one, reader));
	gate_pass(&reader->up);
	abi_let_sleep(reader->tid);
	if (feed) {
		PT(pthread_kill(thread, SIGUSR1));
		while (count == 0)
			sched_yield();
		CHECK_EQ(write(fd[1], "x", 1), 1);
	} else {
		/* The first may come before the read sleeps. */
		while (pthread_tryjoin_np(thread, NULL) != 0) {
			pthread_kill(thread, SIGUSR1);
			abi_nap_ms(1);
		}
		return;
	}
	PT(pthread_join(thread, NULL));
}

CASE(restart, "does SA_RESTART restart a blocked read, and its absence give EINTR?")
{
	struct reader reader;

	interrupt_read(&reader, SA_RESTART, true);
	CHECK_EQ(reader.result, 1);
	interrupt_read(&reader, 0, false);
	CHECK_EQ(reader.result, -1);
	CHECK_EQ(reader.error, EINTR);
}

CASE(pause_interrupts, "does sigsuspend swap the mask at once and put it back?")
{
	sigset_t empty, now;

	count = 0;
	handle(SIGUSR1, on_count, SA_RESTART);
	block(SIGUSR1);
	raise(SIGUSR1);
	CHECK_EQ(count, 0);
	sigemptyset(&empty);
	CHECK_ERR(sigsuspend(&empty), EINTR);
	CHECK_EQ(count, 1);
	OK(sigprocmask(SIG_SETMASK, NULL, &now));
	CHECK_EQ(sigismember(&now, SIGUSR1), 1);
}

CASE(sigtimedwait, "does sigtimedwait take a pending one, time out, and check?")
{
	struct timespec zero = {0, 0}, bad = {0, 1000000000};
	struct timespec brief = {0, 2000000};
	sigset_t set = set_of(SIGUSR1);
	siginfo_t info;

	block(SIGUSR1);
	CHECK_ERR(sigtimedwait(&set, &info, &zero), EAGAIN);
	CHECK_ERR(sigtimedwait(&set, &info, &brief), EAGAIN);
	CHECK_ERR(sigtimedwait(&set, &info, &bad), EINVAL);
	raise(SIGUSR1);
	CHECK_EQ(sigtimedwait(&set, &info, &zero), SIGUSR1);
	CHECK_EQ(info.si_signo, SIGUSR1);
	CHECK_ERR(sigtimedwait(&set, &info, &zero), EAGAIN);
	raise(SIGUSR1);
	CHECK_EQ(sigwaitinfo(&set, NULL), SIGUSR1);
}

static void *
wait_signal(void *arg)
{
	sigset_t set = set_of(SIGUSR2);
	int number;

	PT(sigwait(&set, &number));
	(void)arg;
	return (void *)(intptr_t)number;
}

CASE(sigwait_thread, "does a process signal reach the thread in sigwait?")
{
	pthread_t thread;
	void *number;

	block(SIGUSR2);
	PT(pthread_create(&thread, NULL, wait_signal, NULL));
	OK(kill(getpid(), SIGUSR2));
	PT(pthread_join(thread, &number));
	CHECK_EQ((intptr_t)number, SIGUSR2);
}

static void *
take_signal(void *arg)
{
	struct gate *gate = arg;

	unblock(SIGUSR1);
	gate_open(&gate[0]);
	gate_pass(&gate[1]);
	return NULL;
}

CASE(unblocked_thread, "does a process signal go to a thread that takes it?")
{
	struct gate gate[2] = {gate_make(), gate_make()};
	pthread_t thread;

	count = 0;
	handle(SIGUSR1, on_count, SA_RESTART);
	block(SIGUSR1);
	PT(pthread_create(&thread, NULL, take_signal, gate));
	gate_pass(&gate[0]);
	OK(kill(getpid(), SIGUSR1));
	while (count == 0)
		sched_yield();
	gate_open(&gate[1]);
	PT(pthread_join(thread, NULL));
	CHECK_EQ(count, 1);
}

CASE(errors, "do kill, tgkill, tkill and sigaction refuse nonsense?")
{
	struct sigaction action = {.sa_handler = SIG_IGN};
	sigset_t set;

	CHECK_ERR(kill(getpid(), 65), EINVAL);
	CHECK_ERR(kill(getpid(), -1), EINVAL);
	CHECK_ERR(kill(0x3ffffff, 0), ESRCH);
	OK(kill(getpid(), 0));
	CHECK_ERR(syscall(SYS_tgkill, getpid(), 0x3ffffff, 0), ESRCH);
	CHECK_ERR(syscall(SYS_tgkill, 0x3ffffff, gettid(), 0), ESRCH);
	CHECK_ERR(syscall(SYS_tgkill, 0, gettid(), 0), EINVAL);
	CHECK_ERR(syscall(SYS_tgkill, getpid(), -1, 0), EINVAL);
	CHECK_ERR(syscall(SYS_tkill, 0, 0), EINVAL);
	CHECK_ERR(sigaction(SIGKILL, &action, NULL), EINVAL);
	CHECK_ERR(sigaction(SIGSTOP, &action, NULL), EINVAL);
	CHECK_ERR(syscall(SYS_rt_sigaction, 65, NULL, NULL, 8), EINVAL);
	CHECK_ERR(syscall(SYS_rt_sigaction, SIGUSR1, NULL, NULL, 16), EINVAL);
	CHECK_ERR(syscall(SYS_rt_sigprocmask, 77, &set, NULL, 8), EINVAL);
	CHECK_ERR(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, NULL, 4), EINVAL);
	OK(sigaction(SIGKILL, NULL, &action));
	sigfillset(&set);
	OK(sigprocmask(SIG_SETMASK, &set, NULL));
	OK(sigprocmask(SIG_SETMASK, NULL, &set));
	CHECK_EQ(sigismember(&set, SIGKILL), 0);
	CHECK_EQ(sigismember(&set, SIGSTOP), 0);
}

CASE(queue_errors, "may a process forge si_code only towards itself?")
{
	siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_USER};
	pid_t pid;

	handle_info(SIGUSR1, 0);
	OK(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, &info));
	CHECK_EQ(got.si_code, SI_USER);
	info.si_code = SI_TKILL;
	pid = abi_fork();
	if (pid == 0) {
		CHECK_ERR(syscall(SYS_rt_sigqueueinfo, getppid(), SIGUSR1, &info), EPERM);
		info.si_code = SI_USER;
		CHECK_ERR(syscall(SYS_rt_sigqueueinfo, getppid(), SIGUSR1, &info), EPERM);
		info.si_code = SI_QUEUE;
		OK(syscall(SYS_rt_sigqueueinfo, getppid(), SIGUSR1, &info));
		_exit(0);
	}
	CHECK_EQ(abi_reap(pid), 0);
	CHECK_EQ(got.si_code, SI_QUEUE);
	CHECK_ERR(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, NULL), EFAULT);
}

CASE(permission, "may an ordinary user signal another user's process?")
{
	pid_t pid;

	if (geteuid() != 0)
		SKIP("not root");
	pid = abi_fork();
	if (pid == 0) {
		OK(setresgid(65534, 65534, 65534));
		OK(setresuid(65534, 65534, 65534));
		CHECK_ERR(kill(getppid(), SIGTERM), EPERM);
		CHECK_ERR(kill(getppid(), 0), EPERM);
		_exit(0);
	}
	CHECK_EQ(abi_reap(pid), 0);
}

CASE(sigpipe, "does a write to a pipe without reader give SIGPIPE, then EPIPE?")
{
	int fd[2];
	pid_t pid;

	OK(pipe(fd));
	close(fd[0]);
	pid = abi_fork();
	if (pid == 0) {
		signal(SIGPIPE, SIG_DFL);
		(void)!write(fd[1], "x", 1);
		_exit(0);
	}
	CHECK_EQ(abi_reap(pid), 128 + SIGPIPE);
	count = 0;
	handle(SIGPIPE, on_count, 0);
	CHECK_ERR(write(fd[1], "x", 1), EPIPE);
	CHECK_EQ(count, 1);
	signal(SIGPIPE, SIG_IGN);
	CHECK_ERR(write(fd[1], "x", 1), EPIPE);
	CHECK_EQ(write(fd[1], "x", 0), 0);
}

CASE(stop_continue, "does a child stop and continue, and wait see both?")
{
	struct gate go = gate_make();
	siginfo_t info;
	int status;
	pid_t pid = abi_fork();

	if (pid == 0) {
		raise(SIGSTOP);
		gate_pass(&go);
		_exit(14);
	}
	CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
	CHECK(WIFSTOPPED(status));
	CHECK_EQ(WSTOPSIG(status), SIGSTOP);
	CHECK_EQ(waitpid(pid, &status, WUNTRACED | WNOHANG), 0);
	OK(kill(pid, SIGCONT));
	CHECK_EQ(waitpid(pid, &status, WCONTINUED), pid);
	CHECK(WIFCONTINUED(status));
	gate_open(&go);
	CHECK_EQ(abi_reap(pid), 14);

	pid = abi_fork();
	if (pid == 0) {
		for (;;)
			pause();
	}
	OK(kill(pid, SIGTSTP));
	OK(waitid(P_PID, pid, &info, WSTOPPED));
	CHECK_EQ(info.si_code, CLD_STOPPED);
	CHECK_EQ(info.si_status, SIGTSTP);
	OK(kill(pid, SIGTERM));
	OK(kill(pid, SIGCONT));
	CHECK_EQ(abi_reap(pid), 128 + SIGTERM);
}

CASE(stopped_killed, "does SIGKILL end a stopped process?")
{
	int status;
	pid_t pid = abi_fork();

	if (pid == 0) {
		raise(SIGSTOP);
		_exit(0);
	}
	CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
	OK(kill(pid, SIGKILL));
	CHECK_EQ(abi_reap(pid), 128 + SIGKILL);
}

CASE(continue_handler, "does SIGCONT's handler run, and pending stops vanish?")
{
	sigset_t pending;

	count = 0;
	handle(SIGCONT, on_count, 0);
	block(SIGTSTP);
	raise(SIGTSTP);
	raise(SIGCONT);
	CHECK_EQ(count, 1);
	OK(sigpending(&pending));
	CHECK_EQ(sigismember(&pending, SIGTSTP), 0);
}

CASE(ignored_default, "are SIGCHLD, SIGURG and SIGWINCH ignored by default?")
{
	raise(SIGCHLD);
	raise(SIGURG);
	raise(SIGWINCH);
	raise(SIGCONT);
}

CASE(default_kills, "do the others end the process by default?")
{
	static const int numbers[] = {
		SIGHUP,	 SIGINT,    SIGQUIT, SIGUSR1, SIGUSR2, SIGPIPE,	  SIGALRM, SIGTERM, SIGIO,
		SIGPROF, SIGVTALRM, SIGSYS,  SIGXCPU, SIGPWR,  SIGSTKFLT, 34,	   64,
	};
	struct rlimit none = {0, 0};
	size_t i;

	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		pid_t pid = abi_fork();

		if (pid == 0) {
			setrlimit(RLIMIT_CORE, &none);
			syscall(SYS_kill, getpid(), numbers[i]);
			_exit(0);
		}
		CHECK_EQ(abi_reap(pid), 128 + numbers[i]);
	}
}

CASE(fork_inherits, "are handlers and mask inherited, but not pending signals?")
{
	pid_t pid;

	count = 0;
	handle(SIGUSR1, on_count, 0);
	block(SIGUSR1);
	raise(SIGUSR1);
	pid = abi_fork();
	if (pid == 0) {
		sigset_t set;

		OK(sigpending(&set));
		CHECK_EQ(sigismember(&set, SIGUSR1), 0);
		unblock(SIGUSR1);
		CHECK_EQ(count, 0);
		raise(SIGUSR1);
		CHECK_EQ(count, 1);
		_exit(0);
	}
	CHECK_EQ(abi_reap(pid), 0);
}

CASE(signalfd, "does signalfd read signals, poll, and change its mask?")
{
	sigset_t set = set_of(SIGUSR1);
	struct signalfd_siginfo info[2];
	struct pollfd poller = {.events = POLLIN};
	int fd;

	block(SIGUSR1);
	block(SIGUSR2);
	fd = OK(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
	poller.fd = fd;
	CHECK_ERR(read(fd, info, sizeof(info)), EAGAIN);
	CHECK_EQ(poll(&poller, 1, 0), 0);
	OK(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 77}));
	CHECK_EQ(poll(&poller, 1, -1), 1);
	CHECK_EQ(read(fd, info, sizeof(info)), sizeof(info[0]));
	CHECK_EQ(info[0].ssi_signo, SIGUSR1);
	CHECK_EQ(info[0].ssi_code, SI_QUEUE);
	CHECK_EQ(info[0].ssi_int, 77);
	CHECK_EQ(info[0].ssi_pid, getpid());
	sigaddset(&set, SIGUSR2);
	CHECK_EQ(signalfd(fd, &set, 0), fd);
	raise(SIGUSR2);
	raise(SIGUSR1);
	CHECK_EQ(read(fd, info, sizeof(info)), 2 * sizeof(info[0]));
	CHECK_EQ(info[0].ssi_signo + info[1].ssi_signo, SIGUSR1 + SIGUSR2);
	CHECK_ERR(read(fd, info, 10), EINVAL);
	CHECK_ERR(signalfd(0, &set, 0), EINVAL);
	CHECK_ERR(signalfd(-1, &set, 0x10), EINVAL);
}

CASE(signalfd_outlives, "may the process that put a signalfd into an epoll end first?")
{
	sigset_t set = set_of(SIGUSR1);
	struct epoll_event event = {.events = EPOLLIN};
	int fd, ep, pid;

	block(SIGUSR1);
	fd = OK(signalfd(-1, &set, SFD_NONBLOCK));
	ep = OK(epoll_create1(0));
	for (int i = 0; i < 20; i++) {
		pid = OK(fork());
		if (pid == 0) {
			OK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event));
			_exit(0);
		}
		CHECK_EQ(abi_reap(pid), 0);
		CHECK_EQ(epoll_wait(ep, &event, 1, 0), 0);
		event.events = EPOLLIN;
		if (i % 2)
			OK(epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL));
		else
			OK(close(fd));
		if (i % 2 == 0)
			fd = OK(signalfd(-1, &set, SFD_NONBLOCK));
	}
}

static volatile sig_atomic_t hits[2];

static void
on_hit(int number)
{
	hits[number == SIGUSR2]++;
}

static void *
shoot(void *arg)
{
	pthread_t target = *(pthread_t *)arg;
	int i;

	for (i = 0; i < 2000; i++)
		PT(pthread_kill(target, i & 1 ? SIGUSR1 : SIGUSR2));
	return NULL;
}

CASE(storm, "does computing go on rightly under a storm of signals?")
{
	pthread_t self = pthread_self(), thread[2];
	volatile uint64_t sum = 0, want = 0;
	uint64_t i;

	handle(SIGUSR1, on_hit, SA_RESTART);
	handle(SIGUSR2, on_hit, SA_RESTART);
	PT(pthread_create(&thread[0], NULL, shoot, &self));
	PT(pthread_create(&thread[1], NULL, shoot, &self));
	for (i = 0; i < 300000; i++) {
		sum += i * i;
		want += i * i;
		if ((i & 1023) == 0)
			CHECK_EQ(getppid(), getppid());
	}
	PT(pthread_join(thread[0], NULL));
	PT(pthread_join(thread[1], NULL));
	CHECK(sum == want);
	CHECK(hits[0] > 0 && hits[1] > 0);
}
