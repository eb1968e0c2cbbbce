"""A machine under test: `./holdfast run` as a user types it, and its console.

Guest      a running machine: send, expect, wait
Erlang     a guest at the Erlang shell, with `eval`
run()      a machine that runs one program to its end

Time limits find hangs; they claim nothing about speed. A machine that reaches
one is asked where its cores and threads stand. HOLDFAST_TEST_KERNEL
names another kernel (`linux`: Debian's, the oracle), HOLDFAST_TEST_ACCEL an
accelerator, HOLDFAST_TEST_SCALE stretches every limit, HOLDFAST_TEST_DISK gives
each machine that has no disk one of its own and a checkpoint after each such
period (`100ms`): everything has to work as without.
"""
import codecs
import fcntl
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import tempfile
import termios
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("HOLDFAST_BUILD", os.path.join(TOP, "build"))
HOLDFAST = os.path.join(TOP, "holdfast")
KERNEL = os.environ.get("HOLDFAST_TEST_KERNEL", "")
ACCEL = os.environ.get("HOLDFAST_TEST_ACCEL", "auto")
SCALE = float(os.environ.get("HOLDFAST_TEST_SCALE", "1"))
DISK = os.environ.get("HOLDFAST_TEST_DISK", "")
LIMIT_S = 120
ASK_S = 30
DUMP = re.compile(r"\ncores.*", re.S)

COLOUR = re.compile(r"\x1b\[[\d;]*m")
HALF = re.compile(r"\x1b(\[[\d;]*)?")

ON_LINUX = KERNEL == "linux"
HAS_DISK = bool(DISK) and not ON_LINUX


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def command_line(args, argv):
    out = [HOLDFAST, "run", "--accel", ACCEL]
    if KERNEL:
        out += ["--kernel", KERNEL]
    return out + list(args) + (["--", *argv] if argv else [])


class OwnDisk:
    """What HOLDFAST_TEST_DISK adds to a machine's arguments, and the file behind it."""

    def __init__(self, args):
        self.args = list(args)
        self.folder = None
        if HAS_DISK and not any(a.split("=")[0] == "--disk" for a in self.args):
            self.folder = tempfile.TemporaryDirectory(prefix="holdfast-disk-")
            self.args += ["--disk", os.path.join(self.folder.name, "state.img"),
                          "--checkpoint", DISK]

    def close(self):
        if self.folder:
            self.folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


class Hang(AssertionError):
    """Something that was expected did not come."""


def ask(process):
    """Have a machine that hangs say where it stands, which ends it."""
    if not ON_LINUX:
        process.send_signal(signal.SIGQUIT)


def last(text):
    """The end of what a machine wrote, and all that it said when it was asked."""
    dump = DUMP.search(text)
    return text[-3000:] if not dump else text[:dump.start()][-3000:] + dump.group()


class Guest:
    """A machine on a pseudo terminal."""

    prompt = None

    def __init__(self, *args, argv=None, rows=24, columns=80, env=None):
        self.text = ""          # all the output
        self.seen = 0           # how much of it has been matched
        self._more = threading.Condition()
        self._closed = False
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.disk = OwnDisk(args)
        self.process = subprocess.Popen(
            command_line(self.disk.args, argv), stdin=slave, stdout=slave, stderr=slave, env=env,
            preexec_fn=lambda: self._take_terminal(slave))
        os.close(slave)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @staticmethod
    def _take_terminal(slave):
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

    def _read(self):
        rest = ""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while True:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                data = b""
            with self._more:
                if not data:
                    self._closed = True
                # Colours are of no interest here; hold back half a sequence.
                text = COLOUR.sub("", rest + decoder.decode(data))
                at = text.rfind("\x1b", -8 if data else len(text))
                whole = at < 0 or HALF.fullmatch(text, at) is None
                self.text += text if whole else text[:at]
                rest = "" if whole else text[at:]
                self._more.notify_all()
            if not data:
                return

    def expect(self, pattern, limit=LIMIT_S):
        """Wait for a pattern in output not matched before; => its match"""
        compiled = re.compile(pattern, re.S)
        end = time.monotonic() + limit * SCALE
        with self._more:
            while True:
                found = compiled.search(self.text, self.seen)
                if found:
                    self.seen = found.end()
                    return found
                left = end - time.monotonic()
                if left <= 0 or self._closed:
                    break
                self._more.wait(left)
        why = "output ended" if self._closed else "nothing in %g s" % limit
        raise Hang("%s while waiting for %r; the last output:\n%s" % (
            why, pattern, self._asked()))

    def send(self, text):
        data = text.encode() if isinstance(text, str) else text
        while data:
            data = data[os.write(self.master, data[:1024]):]

    def line(self, text):
        self.send(text + "\n")

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def power_button(self):
        self.process.send_signal(signal.SIGTERM)

    def _children(self):
        with open("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid),
                  encoding="ascii") as file:
            return [int(child) for child in file.read().split()]

    def emulator(self):
        """The process that is the machine."""
        return self._children()[0]

    def power_cut(self):
        """The machine is gone from one instruction to the next."""
        for child in self._children():
            os.kill(child, signal.SIGKILL)
        self.wait()

    def wait(self, limit=LIMIT_S):
        """The exit status, once the machine is off."""
        try:
            return self.process.wait(limit * SCALE)
        except subprocess.TimeoutExpired:
            raise Hang("still on after %g s; the last output:\n%s" % (
                limit, self._asked())) from None

    def _asked(self):
        """The last output; a machine that is on was asked where it stands."""
        if self.process.poll() is None:
            ask(self.process)
            try:
                self.process.wait(ASK_S)
            except subprocess.TimeoutExpired:
                pass
            self._reader.join(1)
        return last(self.text)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        self._reader.join(5)
        os.close(self.master)
        self.disk.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


class Erlang(Guest):
    """A guest at Erlang's shell. Tests' own code is in hf_test.erl."""

    def __init__(self, *args, argv=None, **options):
        super().__init__(*args, argv=argv or ["erl"], **options)
        self.count = 0

    def ready(self, limit=LIMIT_S):
        self.expect(r"\d+> ", limit)
        return self

    def eval(self, expression, limit=LIMIT_S):
        """The value of an expression, as ~0p prints it."""
        self.count += 1
        mark = "@%d@" % (7000 + self.count)
        self.line('io:format("~n@~b@~0p@~n",[%d,(catch begin %s end)]).'
                  % (7000 + self.count, expression))
        value = self.expect(mark + r"(.*?)@\r*\n", limit).group(1)
        self.expect(r"\d+> ", limit)
        return value.replace("\r", "")

    def quit(self):
        self.line("q().")
        return self.wait()


class Result:
    """How a program ended and what it wrote."""

    def __init__(self, status, out, err):
        self.status = status
        self.out = out
        self.err = err

    def __repr__(self):
        return "status %d\n%s\n%s" % (self.status, self.out[-3000:], self.err[-2000:])


def _captured(command, limit, stdin, env):
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=env) as process:
        try:
            out, err = process.communicate(stdin, timeout=limit * SCALE)
        except subprocess.TimeoutExpired:
            ask(process)
            try:
                out, err = process.communicate(timeout=ASK_S)
            except subprocess.TimeoutExpired:
                process.kill()
                out, err = process.communicate()
            raise Hang("still on after %g s:\n%s\n%s" % (
                limit, last(out.decode(errors="replace")),
                err.decode(errors="replace"))) from None
    result = Result(process.returncode, out.decode("utf-8", "replace").replace("\r\n", "\n"),
                    err.decode("utf-8", "replace"))
    print(result)  # pytest shows it where a test fails, and cuts what an assertion says
    return result


def holdfast(*args, limit=300, env=None):
    """`./holdfast ARGS`, whatever they are."""
    return _captured([HOLDFAST, *args], limit, b"", env)


def run(*args, argv=None, limit=LIMIT_S, stdin=b"", env=None):
    """`./holdfast run ARGS -- ARGV` to its end, without a terminal."""
    with OwnDisk(args) as disk:
        return _captured(command_line(["--headless", *disk.args], argv), limit, stdin, env)
