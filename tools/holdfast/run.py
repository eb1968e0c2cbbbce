"""The `run` command: start QEMU, wait, and tell how the program ended."""
import ctypes
import os
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from . import (BUILD, KERNEL, KERNEL_FOR_MODULES, accel, channels, cpio, linux, pack, qemu, rootfs,
               store, terminal)
from .errors import NO_QEMU, PANIC, TIMEOUT, NoQemu, WrongUse, say

# Without the image, less than this is not enough to start anything.
KERNEL_NEEDS = 16 * qemu.MIB
POWER_OFF_S = 10
BUTTON_S = 30
PR_SET_PDEATHSIG = 1


def _check_ports(ports):
    for address, host, _, proto in ports:
        kind = socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM
        with socket.socket(socket.AF_INET, kind) as probe:
            if proto == "tcp":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, host))
                if proto == "tcp":
                    probe.listen(1)
            except PermissionError as error:
                raise WrongUse("port %d needs root; use another --port HOST:GUEST"
                               % host) from error
            except OSError as error:
                raise WrongUse("port %d on %s is busy; stop what uses it or give another "
                               "--port HOST:GUEST" % (host, address)) from error


def _blob(strings):
    return b"".join(s.encode(errors="surrogateescape") + b"\0" for s in strings)


def _environment(options):
    """What the guest's first program gets on top of init's own."""
    out = ["TERM=" + ("dumb" if options.headless else terminal.kind())]
    for item in options.env:
        name, found, _ = item.partition("=")
        if not found or not name:
            raise WrongUse("--env %s: give NAME=VALUE" % item)
        out.append(item)
    return out


def _image(options, recipe):
    """The image's path and what runs by default in it."""
    if options.rootfs is None:
        return pack.image(recipe), recipe.command()
    if options.debian or options.add:
        raise WrongUse("--rootfs takes the image as it is: use --debian and --add with pack")
    try:
        found = cpio.find(options.rootfs, rootfs.COMMAND_FILE)
    except (OSError, ValueError) as error:
        text = getattr(error, "strerror", None) or str(error)
        raise WrongUse("%s: %s" % (options.rootfs, text)) from error
    return options.rootfs, found.decode().split("\0")[:-1] if found else None


def _arch_info(options, work):
    """A copy of the file, under a name that QEMU's list of modules can hold; None without one."""
    if options.arch_info is None:
        return None
    if options.kernel == "linux":
        raise WrongUse("--arch-info is for Holdfast's kernel, not for Linux")
    path = os.path.join(work, "arch_info.bin")
    try:
        shutil.copyfile(options.arch_info, path)
    except OSError as error:
        raise WrongUse("%s: %s" % (options.arch_info, error.strerror)) from error
    return path


def _choose_accel(wanted, kernel):
    if wanted != "auto":
        return wanted
    reason = accel.why_not_kvm(qemu.program(), kernel)
    if reason is None:
        return "kvm"
    say("no KVM (%s): using TCG, which is slower" % reason)
    return "tcg"


def prepare(options, recipe, work):
    """The machine to run; its small files are left in `work`.

    => raises WrongUse for all that the user can put right
    """
    machine = qemu.Machine()
    qemu.program()
    machine.cpus, machine.clusters = options.cpus, options.clusters
    if machine.clusters > machine.cpus:
        raise WrongUse("--clusters %d needs at least as many --cpus" % machine.clusters)
    environment = _environment(options)
    machine.netdev, machine.extra = options.netdev, list(options.qemu)
    machine.ports = options.port
    if machine.netdev is None and not options.dry_run:
        _check_ports(machine.ports)
    if options.kernel != "linux":
        machine.kernel = options.kernel or (KERNEL_FOR_MODULES if options.arch_info else KERNEL)
        if not os.path.isfile(machine.kernel):
            raise WrongUse("%s: no such kernel; build it first (make)" % machine.kernel)
    machine.image, command = _image(options, recipe)
    command = options.argv or command
    machine.arch_info = _arch_info(options, work)
    if not command:
        raise WrongUse("this image has no command of its own: name one after --")
    _choose_memory(machine, options)
    machine.disk, machine.disk_bus = _disk(options), options.disk_bus
    machine.disk_how = disk_how(options.disk, options.disk_aio, options.disk_cache)
    machine.append = options.kernel_args
    contents = {"argv": _blob(command), "env": _blob(environment)}
    size = None if options.headless or not terminal.interactive() else terminal.size()
    if size is not None:
        contents["winsize"] = b"%d %d" % size
    request = store.request(options)
    if request is not None and options.kernel != "linux":
        contents["store"] = request
    for name, data in contents.items():
        path = os.path.join(work, name)
        with open(path, "wb") as file:
            file.write(data)
        machine.files["opt/holdfast/" + name] = path
    if options.kernel == "linux":
        linux.prepare(machine, contents, work)
    machine.accel = _choose_accel(options.accel,
                                  KERNEL if options.kernel == "linux" else machine.kernel)
    return machine


def _disk(options):
    store.wipe(options)
    if options.disk is None:
        if options.disk_size:
            raise WrongUse("--disk-size needs --disk FILE")
        return None
    if not options.dry_run:
        store.disk(options.disk, options.disk_size)
    return options.disk


def disk_how(path, aio="auto", cache="auto"):
    """How QEMU is to read and write that disk, or None: its words for it."""
    is_file = path is not None and not store.PROTOCOL.match(path)
    if aio == "auto":
        aio = "io_uring" if is_file and accel.has_ring(qemu.program()) else "threads"
    if cache == "auto":
        cache = "none" if is_file and store.opens_direct(path) else "writeback"
    return "cache=%s,aio=%s" % (cache, aio)


def _choose_memory(machine, options):
    need = os.path.getsize(machine.image) + KERNEL_NEEDS
    if options.memory is not None:
        machine.memory = qemu.size(options.memory)
        if machine.memory < need:
            raise WrongUse("--memory %s is too little for this image: it needs %dM at least"
                           % (options.memory, -(-need // qemu.MIB)))
    else:
        machine.memory = max(512, -(-2 * need // (256 * qemu.MIB)) * 256) * qemu.MIB


class Session:
    """One QEMU from start to end.

    Signals: SIGWINCH goes to the guest as its new size, SIGTERM and SIGHUP
    press the power button; a second one, or none of it helping, kills. SIGQUIT
    is for a machine that hangs: it says where its cores and threads stand.
    """

    def __init__(self, machine, timeout, headless):
        self.machine = machine
        self.headless = headless
        self.control = channels.Control()
        self.monitor = channels.Monitor()
        self.deadline = time.monotonic() + timeout if timeout else None
        self.outcome = None     # decided by us, not by the guest
        self.process = None

    def run(self):
        """=> returns the exit status"""
        machine = self.machine
        machine.control = "socket,fd=%d" % self.control.theirs.fileno()
        machine.monitor = self.monitor.theirs.fileno()
        with terminal.Saved():
            self._start()
            try:
                self._wait()
            finally:
                if self.process.poll() is None:
                    accel.kill_group(self.process)
        return self._status()

    def _start(self):
        fds = (self.control.theirs.fileno(), self.monitor.theirs.fileno())
        try:
            self.process = subprocess.Popen(
                qemu.command(self.machine), pass_fds=fds,
                stdin=subprocess.DEVNULL if self.headless else None,
                preexec_fn=self._before_exec)
        except OSError as error:
            raise NoQemu("cannot start QEMU: %s" % error.strerror) from error
        self.control.theirs.close()
        self.monitor.theirs.close()
        self.monitor.start()

    def _before_exec(self):
        """In the child: die with us; lead a group, unless QEMU reads the
        terminal and so must stay in its foreground group."""
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if self.headless or not sys.stdin.isatty():
            os.setsid()

    def _wait(self):
        poll = select.poll()
        wake_read, wake_write = socket.socketpair()
        wake_read.setblocking(False)
        wake_write.setblocking(False)
        old = signal.set_wakeup_fd(wake_write.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGWINCH, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, lambda *_: None)
        child = os.pidfd_open(self.process.pid)
        for fd in (wake_read.fileno(), self.control.ours.fileno(), child):
            poll.register(fd, select.POLLIN)
        try:
            while self.process.poll() is None:
                if not self._step(poll, wake_read):
                    return
        finally:
            signal.set_wakeup_fd(old)
            os.close(child)
        while self.control.receive() and select.select([self.control.ours], [], [], 0)[0]:
            pass

    def _step(self, poll, wake):
        """Wait for one thing; => returns False when QEMU is to be ended"""
        left = None
        if self.deadline is not None:
            left = max(0, self.deadline - time.monotonic()) * 1000
        for fd, _ in poll.poll(left):
            if fd == wake.fileno():
                for number in wake.recv(64):
                    if not self._signal(number):
                        return False
            elif fd == self.control.ours.fileno():
                if not self.control.receive():
                    poll.unregister(fd)
                if self.control.status is not None or self.control.panic is not None:
                    self._shorten(POWER_OFF_S)
        if self.deadline is not None and time.monotonic() >= self.deadline:
            if self.control.status is None and self.control.panic is None:
                self.outcome = self.outcome or TIMEOUT
            return False
        return True

    def _shorten(self, seconds):
        soon = time.monotonic() + seconds
        if self.deadline is None or soon < self.deadline:
            self.deadline = soon

    def _signal(self, number):
        if number == signal.SIGWINCH:
            size = terminal.size()
            if size is not None and not self.headless:
                self.control.send("winsize %d %d" % size)
        elif number == signal.SIGQUIT:
            self.monitor.nmi()
        elif number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            if self.outcome is not None:
                return False
            self.outcome = 128 + number
            self.monitor.power_button()
            self._shorten(BUTTON_S)
        return True

    def _status(self):
        if self.control.again:
            return PANIC
        if self.control.panic is not None:
            say("kernel panic: " + self.control.panic)
            return PANIC
        if self.control.status is not None:
            return self.control.status
        if self.outcome == TIMEOUT:
            say("stopped by --timeout")
        if self.outcome is not None:
            return self.outcome
        code = self.process.returncode
        if code:
            say("QEMU failed" + (" (signal %d)" % -code if code < 0 else ""))
            return NO_QEMU
        say("the machine stopped without a word about its program"
            + ("; try --accel tcg" if self.machine.accel == "kvm" else ""))
        return PANIC


def shell_line(command):
    """A command as one line for a shell."""
    return " ".join(shlex.quote(word) for word in command)


def run(options, recipe):
    """=> returns the exit status"""
    if options.dry_run:
        work = os.path.join(BUILD, "dry-run")  # The files must outlive us.
        os.makedirs(work, exist_ok=True)
        print(shell_line(qemu.command(prepare(options, recipe, work))))
        return 0
    with tempfile.TemporaryDirectory(prefix="holdfast-") as work:
        machine = prepare(options, recipe, work)
        while True:
            session = Session(machine, options.timeout, options.headless)
            status = session.run()
            if not session.control.again:  # an epoch that could not be resumed
                return status
