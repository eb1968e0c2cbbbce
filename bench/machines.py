"""Machines to measure: the same root, the same QEMU, two kernels.

What `holdfast run` would start is started without it, so that its own time
is not in the figures: power-on is the moment QEMU is started.
"""
import glob
import json
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, "tools"))

from holdfast import cli, qemu, run  # noqa: E402
from holdfast.errors import WrongUse  # noqa: E402, F401

KERNELS = ("linux", "holdfast")
BUILD = os.environ.get("HOLDFAST_BUILD", os.path.join(TOP, "build"))
OUT = os.path.join(BUILD, "bench")
MIB = qemu.MIB


class Stuck(Exception):
    """A machine did not do what it was to do in its time."""


def built(name, source, flags):
    """A C program of the bench, compiled when its source is newer."""
    path = os.path.join(OUT, name)
    source = os.path.join(TOP, "bench", source)
    os.makedirs(OUT, exist_ok=True)
    headers = glob.glob(os.path.join(os.path.dirname(source), "*.h"))
    newest = max(os.path.getmtime(file) for file in (source, *headers))
    if not os.path.exists(path) or os.path.getmtime(path) < newest:
        subprocess.run(["gcc", "-O2", "-Wall", *flags, "-o", path, source], check=True)
    return path


def guest_folder():
    """The folder that every measured root has as /bench."""
    folder = os.path.join(OUT, "guest")
    os.makedirs(folder, exist_ok=True)
    for name in ("first", "syscalls", "mark", "resident"):
        built("guest/" + name, "guest/%s.c" % name, ["-static", "-pthread"])
    source = os.path.join(TOP, "bench", "guest", "hf_bench.erl")
    beam = os.path.join(folder, "hf_bench.beam")
    if not os.path.exists(beam) or os.path.getmtime(beam) < os.path.getmtime(source):
        subprocess.run(["erlc", "+deterministic", "-o", folder, source], check=True)
    return folder


def free_port():
    """A port of this host that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(port, line, limit=300):
    """=> the answer to a line over TCP"""
    with socket.create_connection(("127.0.0.1", port), limit) as s:
        s.sendall(line)
        return s.makefile("rb").readline()


ASK_EVERY_S = 0.01
ASKED_MAX = 100


def first_reply(machine, port, limit=180):
    """=> the seconds from power-on until somebody behind the port answers. It is asked anew all
    the time, since what is sent before the machine listens is lost, or repeated late."""
    selector = selectors.DefaultSelector()
    asked, end = [], time.monotonic() + limit
    try:
        while time.monotonic() < end and machine.process.poll() is None:
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(("127.0.0.1", port))
            selector.register(s, selectors.EVENT_WRITE)
            asked.append(s)
            if len(asked) > ASKED_MAX:
                _forget(selector, asked.pop(0))
            until = time.monotonic() + ASK_EVERY_S
            while time.monotonic() < until:
                if _answered(selector, asked, until - time.monotonic()):
                    return time.monotonic() - machine.start
        raise Stuck("no reply; the last output: " + machine.text[-400:].decode("utf-8", "replace"))
    finally:
        for s in asked:
            _forget(selector, s)


def _forget(selector, s):
    selector.unregister(s)
    s.close()


def _answered(selector, asked, limit):
    for key, events in selector.select(max(0, limit)):
        s = key.fileobj
        try:
            if events & selectors.EVENT_WRITE:
                s.sendall(b"here?\n")
                selector.modify(s, selectors.EVENT_READ)
            elif s.recv(64):
                return True
            else:
                raise ConnectionResetError
        except OSError:
            _forget(selector, s)
            asked.remove(s)
    return False


class Machine:
    """One run of one kernel, `linux`, `holdfast` or another ELF file; output is kept with the
    time it came at."""

    def __init__(self, kernel, argv, *options, prefix=(), bench=True):
        self.work = tempfile.TemporaryDirectory(prefix="holdfast-")
        words = ["run", "--accel", os.environ.get("HOLDFAST_BENCH_ACCEL", "tcg"), "--headless",
                 *options]
        if bench:
            words += ["--add", guest_folder() + ":/bench"]
        if kernel != "holdfast":
            words += ["--kernel", kernel]
        if kernel != "linux":
            words += ["--kernel-args", "quiet"]
        parsed, parsed_argv = cli.parse([*words, "--", *argv])
        parsed.argv = parsed_argv
        machine = run.prepare(parsed, cli.recipe_of(parsed), self.work.name)
        self.monitor = os.path.join(self.work.name, "monitor")
        machine.extra += ["-qmp", "unix:%s,server=on,wait=off" % self.monitor]
        self.text = b""
        self.more = threading.Condition()
        self.ended = False
        command = [*prefix, *qemu.command(machine)]
        self.start = time.monotonic()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        while True:
            data = os.read(self.process.stdout.fileno(), 65536)
            with self.more:
                self.text += data
                self.ended = not data
                self.more.notify_all()
            if not data:
                return

    def until(self, mark, limit=180):
        """=> returns the seconds from power-on to `mark` on the console"""
        end = time.monotonic() + limit
        with self.more:
            while mark not in self.text:
                if self.ended or not self.more.wait(max(0, end - time.monotonic())):
                    raise Stuck("no %r; the last output: %s" % (
                        mark, self.text[-400:].decode("utf-8", "replace")))
            return time.monotonic() - self.start

    def type(self, text):
        """Input for the console."""
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def output(self, limit=600):
        """All that comes until the machine is off."""
        try:
            self.process.wait(limit)
        except subprocess.TimeoutExpired:
            raise Stuck("still on after %d s; the last output: %s" % (
                limit, self.text[-400:].decode("utf-8", "replace"))) from None
        self.reader.join(5)
        return self.text.decode("utf-8", "replace").replace("\r", "")

    def cpu_seconds(self):
        """Host processor time that QEMU's threads have used; finer than clock ticks."""
        used = 0
        for task in glob.glob("/proc/%d/task/*/schedstat" % self.process.pid):
            with open(task, encoding="ascii") as file:
                used += int(file.read().split()[0])
        return used / 1e9

    def disk(self):
        """What the device of --disk has seen: QEMU's counters, such as wr_bytes."""
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.monitor)
            lines = s.makefile("rb")
            lines.readline()
            for command in ("qmp_capabilities", "query-blockstats"):
                s.sendall(json.dumps({"execute": command}).encode() + b"\n")
                answer = {}
                while "return" not in answer:
                    answer = json.loads(lines.readline())
        return next(d["stats"] for d in answer["return"] if d.get("device") == "disk0")

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.work.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()
