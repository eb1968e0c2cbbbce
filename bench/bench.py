#!/usr/bin/python3
"""Holdfast beside Linux: the table of figures.

usage: bench.py [--only FIGURE,...] [--runs N] [--json FILE]

Both kernels take turns in one run, with the same root tree and the same
QEMU flags; every figure is the median of its runs. Linux is Debian's cloud
kernel with the init of tools/linux, which does no more than is needed.
Figures of the checkpoint have their baselines in the same boot (checkpoint.py).
"""
import argparse
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

import checkpoint
import wire
from figures import Row, progress, save, table
from machines import KERNELS, OUT, TOP, Machine, Stuck, WrongUse, built

IDLE_S = 30
HTTP_CONNECTIONS = (1, 50)
HTTP_S = 8
FIRST = b"\nFIRST"


def paired(runs, measure):
    """{kernel: median} of a measurement of either kernel, in turns."""
    got = {kernel: [] for kernel in KERNELS}
    for n in range(runs):
        for kernel in KERNELS:
            value = measure(kernel)
            got[kernel].append(value)
            progress("%s %d/%d: %.3f" % (kernel, n + 1, runs, value))
    return {kernel: statistics.median(values) for kernel, values in got.items()}


def boot(runs):
    """Power-on to the first Erlang expression."""
    def measure(kernel):
        argv = ["erl", "-noshell", "-eval", 'io:put_chars("\\nFIRST\\n"), halt().']
        with Machine(kernel, argv, "--cpus", "2", "--memory", "512M") as machine:
            return machine.until(FIRST)
    return [Row("boot to the first Erlang expression", "s", paired(runs, measure), 0.40, 0.25)]


def user(runs):
    """Power-on to the first user instruction."""
    def measure(kernel):
        with Machine(kernel, ["/bench/first"], "--cpus", "2", "--memory", "512M") as machine:
            return machine.until(FIRST)
    return [Row("boot to the first user instruction", "s", paired(runs, measure), 0.25, 0.05)]


def _reaches_shell(kernel, mib):
    try:
        with Machine(kernel, ["erl"], "--base", "minimal", "--cpus", "1",
                     "--memory", "%dM" % mib, bench=False) as machine:
            machine.until(b"1> ", 60)
            return True
    except (Stuck, WrongUse):
        return False


def memory(_runs):
    """The smallest memory, in steps of 4 MiB, that reaches the shell."""
    found = {}
    for kernel in KERNELS:
        low, high = 20, 256     # does not, does
        while high - low > 4:
            middle = (low + high) // 8 * 4
            if _reaches_shell(kernel, middle):
                high = middle
            else:
                low = middle
            progress("%s: %dM to %dM" % (kernel, low, high))
        found[kernel] = high
    return [Row("smallest memory that reaches the shell", "MiB", found, 96, 48, "value")]


def _lines(kernel, argv, runs):
    """{name: median} of a program that prints 'name number' lines."""
    got = {}
    for _ in range(runs):
        with Machine(kernel, argv, "--cpus", "2", "--memory", "512M") as machine:
            text = machine.output(900)
        for name, value in re.findall(r"^([\w:+ -]+?) (\d+)$", text, re.M):
            got.setdefault(name, []).append(int(value))
    if not got:
        raise Stuck("no figures in: " + text[-400:])
    return {name: statistics.median(values) for name, values in got.items()}


def _set(title, unit, argv, runs, must, aim, worst):
    sides = {kernel: [] for kernel in KERNELS}
    for _ in range(runs):
        for kernel in KERNELS:
            sides[kernel].append(_lines(kernel, argv, 1))
            progress("%s: %s done" % (title, kernel))
    rows, ratios = [], []
    for name in sides["linux"][0]:
        both = {k: statistics.median([s[name] for s in sides[k]]) for k in KERNELS}
        ratios.append(both["holdfast"] / max(1, both["linux"]))
        rows.append(Row("  " + name, unit, both, worst))
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    return [Row(title, "ratio", {"linux": 1.0, "holdfast": mean}, must, aim)] + rows


def beam(runs):
    """The BEAM set, time against Linux."""
    argv = ["erl", "-noshell", "-pa", "/bench", "-eval", "hf_bench:main(), halt()."]
    return _set("BEAM set, geometric mean", "us", argv, max(1, runs // 2), 1.0, 0.6, 1.5)


def calls(runs):
    """System calls, time against Linux."""
    return _set("system calls, geometric mean", "ns", ["/bench/syscalls"], max(1, runs // 2),
                1.0, 0.5, 1.0)


def http(runs):
    """Requests a second over keep-alive connections from the host."""
    if not wire.available():
        progress("left out: needs root and /dev/net/tun")
        return []
    load = built("httpload", "httpload.c", [])
    argv = ["erl", "-noshell", "-pa", "/bench", "-eval", "hf_bench:http(8080)."]

    def measure(kernel):
        with tempfile.TemporaryDirectory(prefix="holdfast-") as work, wire.Wire(work) as link, \
                Machine(kernel, argv, "--netdev", link.netdev, "--cpus", "2",
                        "--memory", "512M", prefix=link.prefix) as machine:
            machine.until(b"HTTP is up")
            link.wait_for()
            return [float(link.run(load, wire.GUEST, "8080", str(n), str(HTTP_S)).stdout)
                    for n in HTTP_CONNECTIONS]

    # A boot each: how threads fell on processors at its start lasts as long as it does.
    got = {kernel: [] for kernel in KERNELS}
    for _ in range(runs):
        for kernel in KERNELS:
            got[kernel].append(measure(kernel))
            progress("%s: %s" % (kernel, ", ".join("%.0f/s over %d" % pair for pair in
                                                   zip(got[kernel][-1], HTTP_CONNECTIONS))))
    return [Row("HTTP keep-alive, %d connection%s" % (n, "s" * (n > 1)), "1/s",
                {k: statistics.median(rates[i] for rates in got[k]) for k in KERNELS}, 1.5, 2.5,
                more=True) for i, n in enumerate(HTTP_CONNECTIONS)]


def idle(_runs):
    """Host processor time of an idle shell."""
    def measure(kernel):
        with Machine(kernel, ["erl"], "--cpus", "2", "--memory", "512M") as machine:
            machine.until(b"1> ")
            time.sleep(10)
            before = machine.cpu_seconds()
            time.sleep(IDLE_S)
            return machine.cpu_seconds() - before
    return [Row("host CPU of an idle shell, %d s" % IDLE_S, "s", paired(1, measure), 1.0, 0.5)]


def size(_runs):
    """Bytes of kernel code."""
    kernel = os.path.join(TOP, "build", "holdfast.elf")
    text = subprocess.run(["objdump", "-h", "-w", kernel], capture_output=True, text=True,
                          check=True).stdout
    code = sum(int(m.group(1), 16) for m in
               re.finditer(r"^\s*\d+ \S+\s+([0-9a-f]+) .*CODE", text, re.M))
    return [Row("kernel code", "KiB", {"holdfast": code / 1024}, 2048, 1024, "value")]


FIGURES = {"user": user, "boot": boot, "memory": memory, "beam": beam, "http": http,
           "idle": idle, "calls": calls, "size": size, **checkpoint.FIGURES}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(FIGURES), metavar="FIGURE,...",
                        help=", ".join(FIGURES))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", default=os.path.join(OUT, "result.json"), metavar="FILE")
    options = parser.parse_args()
    rows, failed = [], False
    for name in options.only.split(","):
        if name not in FIGURES:
            parser.error("no figure %s; there are %s" % (name, " ".join(FIGURES)))
        progress(FIGURES[name].__doc__.split("\n")[0])
        try:
            rows += FIGURES[name](options.runs)
        except Stuck as stuck:
            progress("%s FAILED: %s" % (name, stuck))
            failed = True
    table(rows)
    save(rows, options.json)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
