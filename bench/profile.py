#!/usr/bin/python3
"""Where the instructions of a run go, Linux beside Holdfast.

usage: profile.py [--set beam|calls|boot|http|checkpoint|resume] [--kernel NAME,...]
                  [--only NAME,...] [--top N] [--cpus N] [--period MS]
                  [--against KERNEL_ELF [--runs N]]

Runs the BEAM set, the system calls, the boot to the first Erlang expression, or
HTTP requests from the host (needs root; counts are thousands for a thousand
requests), checkpoints of --only PAGES[,MIB] pages, or a resume (with --only MIB resident)
under a QEMU plugin that counts instructions, each program once as a section, and
prints for each what ran in user mode, what in the kernel, and the kernel's
functions with most of it. Counts depend little on how busy the host
is, unlike bench.py's times. With --period Holdfast has a disk and takes a checkpoint
every so many milliseconds, by the guest's clock, which the plugin does not slow.
"""
import argparse
import bisect
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

import checkpoint
import wire
from machines import KERNELS, OUT, TOP, Machine, ask, built, first_reply, free_port

KERNEL_HALF = 1 << 63
HTTP_CONNECTIONS = (1, 50, 1000)
HTTP_S = 5
SETS = ("beam", "calls", "boot", "http", "checkpoint", "resume")
BOUND = 1.03            # of a kernel that another is compared with
KINDS = ("syscall", "iret", "cr3", "invlpg", "wrmsr", "hlt", "pause", "rdtsc", "cpuid", "user pause")


def header():
    """The header of QEMU's plugins, from QEMU's source package."""
    path = os.path.join(OUT, "include", "qemu-plugin.h")
    if not os.path.exists(path):
        with tempfile.TemporaryDirectory(dir=os.path.dirname(OUT)) as work:
            subprocess.run([os.path.join(TOP, "kernel", "net", "lwip", "fetch"), "qemu", work],
                           check=True)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            shutil.copy(os.path.join(work, "src", "include", "qemu", "qemu-plugin.h"), path)
    return path


def plugin():
    """The plugin, built when it is older than its source."""
    path, source = os.path.join(OUT, "plugin.so"), os.path.join(TOP, "bench/profile/plugin.c")
    if not os.path.exists(path) or os.path.getmtime(path) < os.path.getmtime(source):
        subprocess.run(["gcc", "-O2", "-Wall", "-shared", "-fPIC", "-fvisibility=hidden",
                        "-I", os.path.dirname(header()), "-o", path, source], check=True)
    return path


class Symbols:
    """Functions of a kernel by address, from lines as nm and kallsyms print them."""

    def __init__(self, text):
        found = re.findall(r"^([0-9a-f]{16}) [tT] (\S+)", text, re.M)
        pairs = sorted({int(address, 16): name for address, name in found}.items())
        self.starts = [address for address, _ in pairs]
        self.names = [name for _, name in pairs]

    def name(self, address):
        at = bisect.bisect(self.starts, address) - 1
        return self.names[at] if at >= 0 else hex(address)


def symbols(kernel):
    if kernel != "linux":
        elf = os.path.join(TOP, "build", "holdfast.elf") if kernel == "holdfast" else kernel
        return Symbols(subprocess.run(["nm", elf], capture_output=True, text=True,
                                      check=True).stdout)
    with Machine(kernel, ["cat", "/proc/kallsyms"], "--cpus", "1", "--base", "busybox",
                 "--kernel-args", "nokaslr") as machine:
        return Symbols(machine.output(120))


class Section:
    """What was counted between two marks."""

    def __init__(self):
        self.user = self.kernel = 0
        self.functions = {}
        self.kinds = {}
        self.pages = {}

    def add(self, kind, address, count, names):
        kernel = address >= KERNEL_HALF
        if kind != "i":
            kind = kind if kernel or kind == "syscall" else "user " + kind
            self.kinds[kind] = self.kinds.get(kind, 0) + count
        elif kernel:
            name = names.name(address)
            self.kernel += count
            self.functions[name] = self.functions.get(name, 0) + count
        else:
            self.user += count
            self.pages[address >> 20] = self.pages.get(address >> 20, 0) + count


    def divided(self, by):
        """Of a thousand of `by` requests."""
        self.user, self.kernel = self.user * 1000 / by, self.kernel * 1000 / by
        for counts in (self.functions, self.kinds):
            for name in counts:
                counts[name] = counts[name] * 1000 / by
        return self


def sections(path, names):
    """{number: Section} of what the plugin wrote"""
    found, now = {}, None
    with open(path, encoding="ascii") as file:
        for line in file:
            word = line.split()
            if word[0] == "section":
                now = found.setdefault(int(word[1]), Section())
            else:
                now.add(word[0], int(word[1], 16), int(word[2]), names)
    return found


def command(options):
    """(what is run, {section: title} of sections it does not announce)"""
    wanted = ",".join('"%s"' % name for name in options.only)
    if options.set == "calls":
        return ["/bench/syscalls", "-p", *options.only], {}
    if options.set == "checkpoint":
        pages, mib = (*options.only, *("16", "64")[len(options.only):])[:2]
        return ["/bench/resident", mib, "profile", pages], {}
    if options.set == "beam":
        return ["erl", "-noshell", "-pa", "/bench", "-eval",
                "hf_bench:profile([%s]), halt()." % wanted], {}
    return ["sh", "-c", "/bench/mark 2; exec erl -noshell -eval 'halt(0, [{flush, false}]).'"], {
        1: "power-on to user mode", 2: "to the first Erlang expression"}


def loaded_from_host(link, machine):
    """=> returns {section: (title, requests)}"""
    load, done = built("httpload", "httpload.c", []), {}
    machine.until(b"HTTP is up")
    link.wait_for()
    for section, connections in enumerate(HTTP_CONNECTIONS, 1):
        link.run("/bin/busybox", "wget", "-q", "-O", "/dev/null",
                 "http://%s:8080/mark/%d" % (wire.GUEST, section))
        rate = link.run(load, wire.GUEST, "8080", str(connections), str(HTTP_S)).stdout
        link.run("/bin/busybox", "wget", "-q", "-O", "/dev/null",
                 "http://%s:8080/mark/0" % wire.GUEST)
        done[section] = ("HTTP, %d connections" % connections, float(rate) * HTTP_S)
    return done


def counts_file(kernel):
    return os.path.join(OUT, "counts-" + ("other" if os.sep in kernel else kernel))


def profiled_http(kernel, options):
    """{name: Section} of a run of one kernel, for a thousand requests"""
    argv = ["erl", "-noshell", "-pa", "/bench", "-eval", "hf_bench:http(8080)."]
    counts = counts_file(kernel)
    with tempfile.TemporaryDirectory(prefix="holdfast-") as work, wire.Wire(work) as link, \
            Machine(kernel, argv, "--netdev", link.netdev, "--cpus", str(options.cpus),
                    "--memory", "512M", "--qemu=-plugin",
                    "--qemu=%s,out=%s" % (plugin(), counts), *plain(kernel),
                    prefix=link.prefix) as machine:
        done = loaded_from_host(link, machine)
    found = sections(counts, symbols(kernel))
    return {title: found[n].divided(requests) for n, (title, requests) in done.items()}


def plain(kernel):
    """Options without which Linux's functions are nowhere to be found."""
    return ["--kernel-args", "nokaslr"] if kernel == "linux" else []


def profiled_resume(kernel, options):
    """{name: Section} of a node that is resumed, from power-on to its first reply"""
    counts = counts_file(kernel)
    port = free_port()
    where = ("--memory", "6G" if options.only else "512M", "--port", "%d:8080" % port)
    argv = checkpoint.RESPONDER
    if options.only:
        argv = ["/bench/resident", options.only[0], "first", "1", "--", *argv]
    with checkpoint.Disk() as disk:
        with checkpoint.boot(disk, argv, *where) as machine:
            first_reply(machine, port, 900)
            ask(port, b"checkpoint\n")
        with checkpoint.boot(disk, checkpoint.RESPONDER, *where, *plugged(counts, 1),
                             kernel=kernel) as machine:
            first_reply(machine, port)
            ask(port, b"mark\n")
    found = sections(counts, symbols(kernel))
    return {"power-on to the first reply, resumed": found[1]}


def plugged(counts, first=0):
    """Options for the plugin; `first`: the section that power-on begins."""
    return ["--qemu=-plugin", "--qemu=%s,out=%s%s" % (
        plugin(), counts, ",first=%d" % first if first else "")]


def profiled(kernel, options):
    """{name: Section} of a run of one kernel"""
    if options.set == "http":
        return profiled_http(kernel, options)
    if options.set == "resume":
        return profiled_resume(kernel, options)
    argv, titles = command(options)
    counts = counts_file(kernel)
    with checkpoint.Disk() as disk:
        store, memory = (), "512M"
        if options.set == "checkpoint":
            store, memory = disk.options("10000s"), "2560M" if options.only[1:] else memory
        elif options.period and kernel != "linux":
            store = disk.options(options.period + "ms")
        with Machine(kernel, argv, "--cpus", str(options.cpus), "--memory", memory,
                     *plugged(counts, min(titles, default=0)), *plain(kernel), *store) as machine:
            text = machine.output(1200)
    titles.update((int(n), name) for n, name in re.findall(r"^section (\d+) (.+)$", text, re.M))
    return {titles[n]: section for n, section in sections(counts, symbols(kernel)).items()
            if n in titles}


# --- two kernels in turns ---

def compared(options):
    """[(section, ours, the other's, functions that grew)], medians of runs in turns."""
    got = {"holdfast": [], options.against: []}
    for _ in range(options.runs):
        for kernel, runs in got.items():
            runs.append(profiled(kernel, options))
    out = []
    for name in got["holdfast"][0]:
        sides = [[run[name] for run in runs if name in run] for runs in got.values()]
        if not all(sides):
            continue
        functions = [{f: statistics.median(s.functions.get(f, 0) for s in side)
                      for s in side for f in s.functions} for side in sides]
        grown = sorted(((count - functions[1].get(f, 0), f) for f, count in functions[0].items()),
                       reverse=True)
        out.append((name, *[(statistics.median(s.user for s in side),
                             statistics.median(s.kernel for s in side)) for side in sides],
                    grown[:options.top]))
    return out


def show_compared(rows):
    """=> returns whether all is within BOUND"""
    print("%-28s %10s %10s %7s %10s %10s %7s" % (
        "millions of instructions", "other's", "kernel", "", "ours", "kernel", "ratio"))
    good = True
    for name, ours, other, grown in rows:
        ratio = sum(ours) / max(1, sum(other))
        good = good and ratio <= BOUND
        print("%-28s %10.3f %10.3f %7s %10.3f %10.3f %7.3f %s" % (
            name, sum(other) / 1e6, other[1] / 1e6, "", sum(ours) / 1e6, ours[1] / 1e6, ratio,
            "" if ratio <= BOUND else "MISSED"))
        if ratio > BOUND:
            for count, function in grown:
                if count > 0:
                    print("   %+9.3fM %s" % (count / 1e6, function))
    return good


def show(name, sides, top):
    print("== %s" % name)
    for kernel, section in sides.items():
        print("%-9s user %8.2fM  kernel %8.2fM   %s" % (
            kernel, section.user / 1e6, section.kernel / 1e6, "  ".join(
                "%s %d" % (k, section.kinds[k]) for k in KINDS if k in section.kinds)))
    for kernel, section in sides.items():
        most = sorted(section.functions.items(), key=lambda f: -f[1])[:top]
        for function, count in most:
            print("   %-9s %5.1f%% %9.3fM %s" % (
                kernel, 100 * count / max(1, section.kernel), count / 1e6, function))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernel", default=",".join(KERNELS), metavar="NAME,...")
    parser.add_argument("--only", default="", metavar="NAME,...")
    parser.add_argument("--set", choices=SETS, default="beam")
    parser.add_argument("--top", type=int, default=12)
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--period", metavar="MS")
    parser.add_argument("--against", metavar="KERNEL_ELF", help="another Holdfast, in turns: the "
                        "medians of --runs runs, and functions that grew where ours is worse")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    options.only = [name for name in options.only.split(",") if name]
    os.makedirs(OUT, exist_ok=True)
    if options.against:
        return 0 if show_compared(compared(options)) else 1
    got = {kernel: profiled(kernel, options) for kernel in options.kernel.split(",")}
    for name in next(iter(got.values())):
        show(name, {kernel: side[name] for kernel, side in got.items()}, options.top)
    return 0


if __name__ == "__main__":
    sys.exit(main())
