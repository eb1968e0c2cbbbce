#!/usr/bin/python3
"""Holdfast beside Linux: the table of figures.

usage: bench.py [--only FIGURE,...] [--runs N] [--json FILE]

Both kernels take turns in one run, with the same root tree and the same
QEMU flags; every figure is the median of its runs. Linux is Debian's cloud
kernel with the init of tools/linux, which does no more than is needed.
"""
import argparse
import json
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

import wire
from machines import KERNELS, OUT, TOP, Machine, Stuck, WrongUse, built

IDLE_S = 30
HTTP_S = 8
FIRST = b"\nFIRST"


def progress(text):
    print("  " + text, file=sys.stderr, flush=True)


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
    return [("boot to the first Erlang expression", "s", 0.40, 0.25, paired(runs, measure))]


def user(runs):
    """Power-on to the first user instruction."""
    def measure(kernel):
        with Machine(kernel, ["/bench/first"], "--cpus", "2", "--memory", "512M") as machine:
            return machine.until(FIRST)
    return [("boot to the first user instruction", "s", 0.25, 0.05, paired(runs, measure))]


def _reaches_shell(kernel, mib):
    try:
        with Machine(kernel, ["erl"], "--base", "minimal", "--cpus", "1",
                     "--memory", "%dM" % mib) as machine:
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
    return [("smallest memory that reaches the shell", "MiB", None, None, found)]


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
        rows.append(("  " + name, unit, worst, None, both))
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    return [(title, "ratio", must, aim, {"linux": 1.0, "holdfast": mean})] + rows


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
    sides = {1: {}, 50: {}}
    for kernel in KERNELS:
        with tempfile.TemporaryDirectory(prefix="holdfast-") as work, wire.Wire(work) as link, \
                Machine(kernel, argv, "--netdev", link.netdev, "--cpus", "2",
                        "--memory", "512M", prefix=link.prefix) as machine:
            machine.until(b"HTTP is up")
            link.wait_for()
            for connections, sides_of in sides.items():
                rates = [float(link.run(load, wire.GUEST, "8080", str(connections),
                                        str(HTTP_S)).stdout) for _ in range(runs)]
                sides_of[kernel] = statistics.median(rates)
                progress("%s, %d connections: %.0f/s" % (kernel, connections, sides_of[kernel]))
    return [("HTTP keep-alive, %d connection%s" % (n, "s" * (n > 1)), "1/s", -1.5, -2.5, both)
            for n, both in sides.items()]


def idle(_runs):
    """Host processor time of an idle shell."""
    def measure(kernel):
        with Machine(kernel, ["erl"], "--cpus", "2", "--memory", "512M") as machine:
            machine.until(b"1> ")
            time.sleep(10)
            before = machine.cpu_seconds()
            time.sleep(IDLE_S)
            return machine.cpu_seconds() - before
    return [("host CPU of an idle shell, %d s" % IDLE_S, "s", 1.0, 0.5, paired(1, measure))]


def size(_runs):
    """Bytes of kernel code."""
    kernel = os.path.join(TOP, "build", "holdfast.elf")
    text = subprocess.run(["objdump", "-h", "-w", kernel], capture_output=True, text=True,
                          check=True).stdout
    code = sum(int(m.group(1), 16) for m in
               re.finditer(r"^\s*\d+ \S+\s+([0-9a-f]+) .*CODE", text, re.M))
    return [("kernel code (one 2 MiB page)", "KiB", None, None, {"holdfast": code / 1024})]


FIGURES = {"user": user, "boot": boot, "memory": memory, "beam": beam, "http": http,
           "idle": idle, "calls": calls, "size": size}


def ratio_of(row):
    sides = row[4]
    if "linux" not in sides or not sides["linux"]:
        return None
    return sides["holdfast"] / sides["linux"]


def verdict(row):
    """A negative bound is one to reach, a positive one not to pass."""
    must, aim, ratio = row[2], row[3], ratio_of(row)
    if must is None or ratio is None:
        return ""

    def good(bound):
        return ratio >= -bound if bound < 0 else ratio <= bound
    if aim is not None and good(aim):
        return "aim"
    return "must" if good(must) else "MISSED"


def number(value):
    return "%.0f" % value if value >= 100 else "%.3g" % value


def table(rows):
    print("%-40s %10s %10s %8s %6s  %s" % ("figure", "Linux", "Holdfast", "ratio", "must", ""))
    for row in rows:
        ratio = ratio_of(row)
        linux = number(row[4]["linux"]) if "linux" in row[4] else "-"
        print("%-40s %10s %10s %8s %6s  %s" % (
            "%s, %s" % (row[0], row[1]), linux, number(row[4]["holdfast"]),
            "-" if ratio is None else "%.2f" % ratio,
            "-" if row[2] is None else "%g" % abs(row[2]), verdict(row)))


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
    os.makedirs(os.path.dirname(os.path.abspath(options.json)), exist_ok=True)
    with open(options.json, "w", encoding="utf-8") as file:
        json.dump([{"figure": r[0].strip(), "unit": r[1], "ratio": ratio_of(r), **r[4]}
                   for r in rows], file, indent=1)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
