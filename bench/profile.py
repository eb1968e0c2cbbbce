#!/usr/bin/python3
"""Where the instructions of a run go, Linux beside Holdfast.

usage: profile.py [--set beam|calls|boot|http] [--kernel NAME,...] [--only NAME,...] [--top N]

Runs the BEAM set, the system calls, the boot to the first Erlang expression, or
HTTP requests from the host (needs root; counts are thousands for a thousand
requests) under a QEMU plugin that counts instructions, each program once as a
section, and prints for each what ran in user mode, what in the kernel, and the
kernel's functions with most of it. Counts depend little on how busy the host
is, unlike bench.py's times.
"""
import argparse
import bisect
import os
import re
import shutil
import subprocess
import sys
import tempfile

import wire
from machines import KERNELS, OUT, TOP, Machine, built

KERNEL_HALF = 1 << 63
HTTP_CONNECTIONS = (1, 50, 1000)
HTTP_S = 5
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


def profiled(kernel, options):
    """{name: Section} of a run of one kernel"""
    if options.set == "http":
        return profiled_http(kernel, options)
    argv, titles = command(options)
    counts = counts_file(kernel)
    loaded = "%s,out=%s%s" % (plugin(), counts, ",first=1" if titles else "")
    with Machine(kernel, argv, "--cpus", str(options.cpus), "--memory", "512M", "--qemu=-plugin",
                 "--qemu=" + loaded, *plain(kernel)) as machine:
        text = machine.output(1200)
    titles.update((int(n), name) for n, name in re.findall(r"^section (\d+) (.+)$", text, re.M))
    return {titles[n]: section for n, section in sections(counts, symbols(kernel)).items()}


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
    parser.add_argument("--set", choices=("beam", "calls", "boot", "http"), default="beam")
    parser.add_argument("--top", type=int, default=12)
    parser.add_argument("--cpus", type=int, default=2)
    options = parser.parse_args()
    options.only = [name for name in options.only.split(",") if name]
    os.makedirs(OUT, exist_ok=True)
    got = {kernel: profiled(kernel, options) for kernel in options.kernel.split(",")}
    for name in next(iter(got.values())):
        show(name, {kernel: side[name] for kernel, side in got.items()}, options.top)
    return 0


if __name__ == "__main__":
    sys.exit(main())
