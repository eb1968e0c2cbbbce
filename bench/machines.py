"""Machines to measure: the same root, the same QEMU, two kernels.

What `holdfast run` would start is started without it, so that its own time
is not in the figures: power-on is the moment QEMU is started.
"""
import glob
import os
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
OUT = os.path.join(os.environ.get("HOLDFAST_BUILD", os.path.join(TOP, "build")), "bench")


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
    for name in ("first", "syscalls", "mark"):
        built("guest/" + name, "guest/%s.c" % name, ["-static", "-pthread"])
    source = os.path.join(TOP, "bench", "guest", "hf_bench.erl")
    beam = os.path.join(folder, "hf_bench.beam")
    if not os.path.exists(beam) or os.path.getmtime(beam) < os.path.getmtime(source):
        subprocess.run(["erlc", "+deterministic", "-o", folder, source], check=True)
    return folder


class Machine:
    """One run of one kernel; output is kept with the time it came at."""

    def __init__(self, kernel, argv, *options, prefix=(), bench=True):
        self.work = tempfile.TemporaryDirectory(prefix="holdfast-")
        words = ["run", "--accel", os.environ.get("HOLDFAST_BENCH_ACCEL", "tcg"), "--headless",
                 *options]
        if bench:
            words += ["--add", guest_folder() + ":/bench"]
        if kernel == "linux":
            words += ["--kernel", "linux"]
        else:
            words += ["--kernel-args", "quiet"]
        parsed, parsed_argv = cli.parse([*words, "--", *argv])
        parsed.argv = parsed_argv
        machine = run.prepare(parsed, cli.recipe_of(parsed), self.work.name)
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

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.work.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()
