"""Figures of the checkpoint: what it stops, slows, writes, and how soon all is there again.

Baselines are measured in the same boot, by the kernel or by the program in the guest; but for a
cold boot, which takes turns with the resume of it. Disks are files in the build folder, on the
drive that `holdfast run --disk` would give QEMU: past the host's page cache where the file system
can, and a flush of the guest's is an fdatasync of the host's.
"""
import contextlib
import os
import re
import statistics
import subprocess
import tempfile
import time

from figures import Row, progress
from machines import BUILD, MIB, OUT, Machine, Stuck, ask, first_reply, free_port, run

PERIODS_MS = {1000: (0.98, 1.0), 100: (0.95, 0.98), 10: (0.80, 0.95)}
QUIET_S = 60
PERIOD_TURNS = 6                # for each run
SMALL, LARGE = 64, 4096         # MiB
LARGE_MEMORY = "6G"
FIRST_PAGES = SMALL * 256 // 100
RESPONDER = ["erl", "-noshell", "-pa", "/bench", "-eval", "hf_bench:reply(8080)."]


class Disk:
    """With-block around a folder with the path of a disk that is not there yet."""

    def __enter__(self):
        os.makedirs(OUT, exist_ok=True)
        self.folder = tempfile.TemporaryDirectory(prefix="disk-", dir=OUT)
        self.path = os.path.join(self.folder.name, "state.img")
        return self

    def __exit__(self, *error):
        self.folder.cleanup()

    def options(self, period, size="8G"):
        words = ("--disk", self.path, "--checkpoint", period)
        return words if os.path.exists(self.path) else (*words, "--disk-size", size)


def boot(disk, argv, *options, period="10000s", kernel="holdfast"):
    return Machine(kernel, argv, "--cpus", "2", *disk.options(period), *options)


def named(text):
    """{words: number} of lines that end in a number"""
    return {name: int(value) for name, value in re.findall(r"^(.+?) (-?\d+)$", text, re.M)}


def said(port):
    """What the kernel says of its checkpoints, by RESPONDER."""
    return named(ask(port, b"figures\n").decode().replace(",", "\n"))


# --- the standstill ---

def standstill(figures, form):
    """Milliseconds; the wait for the last thread is a part of it for all others."""
    return (figures[form + " wait_us"] + figures[form + " pause_us"]) / 1e3


def tell_standstill(title, figures, form):
    parts = ", ".join("%s %d" % (name, figures[form + " " + name]) for name in
                      ("wait_us", "pause_us", "walk_us", "memory_us", "commit_us", "pages"))
    progress("%s, %s: %s; fork %d us" % (title, form, parts, figures[form + " fork_ns"] // 1000))


def pause(_runs):
    """The standstill at 1 GiB resident with 1 % dirty, against fork() of that process."""
    forms = ("packed", "spread")
    words = [word for form in forms for word in (form, str((1 << 18) // 100))]
    with Disk() as disk, boot(disk, ["/bench/resident", "1024", *words],
                              "--memory", "2560M") as machine:
        figures = named(machine.output(900))
    rows = []
    for form in forms:
        tell_standstill("1 GiB", figures, form)
        rows.append(Row("pause at 1 GiB against fork(), 1 %% dirty, %s" % form, "ms",
                        {"fork": figures[form + " fork_ns"] / 1e6,
                         "holdfast": standstill(figures, form)}, 0.20, 0.05))
    return rows


def resumed(disk, memory):
    """=> (seconds from power-on to the first reply of what is on the disk, what the disk saw)"""
    port = free_port()
    with boot(disk, RESPONDER, "--memory", memory, "--port", "%d:8080" % port) as machine:
        took = first_reply(machine, port)
        seen, figures = machine.disk(), said(port)
        if not figures["resumed_epoch"]:
            raise Stuck("the machine was not resumed")
        progress("reply %.3f s after power-on; resumed in %d ms; %.1f MiB in %d reads" % (
            took, figures["resume_ms"], seen["rd_bytes"] / MIB, seen["rd_operations"]))
        ask(port, b"checkpoint\n")      # else the third try of an epoch is its last
    return took, seen


def _fill(disk, mib):
    """A node beside that much memory, on the disk; => the figures of its standstills"""
    port = free_port()
    argv = ["/bench/resident", str(mib), "first", str(FIRST_PAGES), "spread", str(FIRST_PAGES),
            "--", *RESPONDER]
    with boot(disk, argv, "--memory", LARGE_MEMORY, "--port", "%d:8080" % port) as machine:
        machine.until(b"\ndone", 900)
        first_reply(machine, port)
        figures = named(machine.text.decode("utf-8", "replace").replace("\r", ""))
        ask(port, b"checkpoint\n")
    for form in ("first", "spread"):
        tell_standstill("%d MiB" % mib, figures, form)
    return figures


def large(runs):
    """4 GiB resident against 64 MiB: the standstill and the resume."""
    with Disk() as small_disk, Disk() as big_disk:
        small, big = _fill(small_disk, SMALL), _fill(big_disk, LARGE)
        times = [(resumed(small_disk, LARGE_MEMORY)[0], resumed(big_disk, LARGE_MEMORY)[0])
                 for _ in range(runs)]
    rows = [Row("pause at 4 GiB against 64 MiB, %s" % what, "ms",
                {"64 MiB": standstill(small, form), "holdfast": standstill(big, form)}, must, aim)
            for form, what, must, aim in (
                ("first", "the same dirty set", 2.0, 1.25),
                ("spread", "as many dirty over all of it", None, None))]
    small_s, big_s = map(statistics.median, zip(*times))
    return rows + [Row("first reply after resume, 4 GiB against 64 MiB", "s",
                       {"64 MiB": small_s, "holdfast": big_s}, 2.0, 1.3)]


# --- what it slows ---

def _turns(text):
    """[(period in ms, seconds that the set took)], one behind the other"""
    took = {}
    for turn, period, took_us in re.findall(r"^turn (\d+) period (\d+) .+ (\d+)$", text, re.M):
        period, before = took.get(int(turn), (int(period), 0))
        took[int(turn)] = period, before + int(took_us) / 1e6
    return [took[turn] for turn in sorted(took)]


def periods(runs):
    """Throughput of the BEAM set with a checkpoint every so often, against the turns without one
    before and behind: the host is not as fast now as half a minute ago. Many turns, as they differ
    by more than the figures' distance from what is asked for."""
    runs = PERIOD_TURNS * max(1, runs)
    argv = ["erl", "-noshell", "-pa", "/bench", "-eval",
            "hf_bench:periods([%s], %d), halt()." % (",".join(map(str, PERIODS_MS)), runs)]
    with Disk() as disk, boot(disk, argv, "--memory", "512M") as machine:
        text = machine.output(1200)
    turns = _turns(text)
    if len(turns) != 2 * runs * len(PERIODS_MS) + 1:
        raise Stuck("no figures in: " + text[-400:])
    ratios = {}
    for (_, before), (period, took), (_, behind) in zip(turns[::2], turns[1::2], turns[2::2]):
        ratios.setdefault(period, []).append((before + behind) / 2 / took)
        progress("period %d ms: %.2f s, without %.2f s and %.2f s" % (period, took, before, behind))
    off = statistics.median(took for _, took in turns[::2])
    return [Row("throughput of the BEAM set, period %d ms" % period, "1/s",
                {"off": 1 / off, "holdfast": 1 / off * statistics.median(ratios[period])},
                must, aim, more=True)
            for period, (must, aim) in PERIODS_MS.items()]


# --- what it writes ---

SHELL = ("--base", "busybox", "--memory", "512M")


TRIALS = 5


def _trial_disk(disk, letter):
    """A disk that the kernel may try the store on; => QEMU's arguments for it"""
    with open(disk.path, "wb") as file:
        file.truncate(64 * MIB)
    subprocess.run([os.path.join(BUILD, "holdfast-store"), "format", disk.path], check=True,
                   stdout=subprocess.DEVNULL)
    return ["--qemu=-drive", "--qemu=id=%s,if=none,format=raw,discard=unmap,%s,file=%s"
            % (letter, run.disk_how(disk.path), disk.path),
            "--qemu=-device", "--qemu=virtio-blk-pci,drive=" + letter]


def commit(_runs):
    """A commit of 64 KiB, against one raw write of as much and a flush, in turns."""
    disks = ["vd" + chr(ord("b") + n) for n in range(TRIALS)]
    script = ("for d in %s; do echo $d > /proc/holdfast/store-trial; "
              "cat /proc/holdfast/store-trial; /bench/resident 64 packed 16; done" % " ".join(disks))
    with contextlib.ExitStack() as stack:
        disk = stack.enter_context(Disk())
        others = [word for name in disks
                  for word in _trial_disk(stack.enter_context(Disk()), name)]
        with boot(disk, ["sh", "-c", script], *SHELL, *others) as machine:
            text = machine.output(300)
    trials = re.findall(r"^pages 16 raw_ns (\d+) commit_ns (\d+)(.*?)^done", text, re.M | re.S)
    if len(trials) != TRIALS:
        raise Stuck("no figures in: " + text[-400:])
    raw, stored, whole = [], [], []
    for raw_ns, commit_ns, rest in trials:
        figures = named(rest)
        tell_standstill("64 KiB", figures, "packed")
        raw.append(int(raw_ns) / 1e3)
        stored.append(int(commit_ns) / 1e3)
        whole.append(figures["packed pause_us"] + figures["packed commit_us"])
    baseline = statistics.median(raw)
    return [Row("commit of 64 KiB, cut to durable, against a raw write", "us",
                {"raw": baseline, "holdfast": statistics.median(whole)}, 2.0, 1.15),
            Row("  the store's part", "us",
                {"raw": baseline, "holdfast": statistics.median(stored)})]


def grown(before, after):
    """=> (bytes written, in so many requests, flushes) from one look at the disk to the other"""
    return tuple(after[name] - before[name] for name in
                 ("wr_bytes", "wr_operations", "flush_operations"))


def written_for(pages):
    """=> (bytes written, requests, flushes, bytes that changed) of checkpoints of random pages"""
    with Disk() as disk, boot(disk, ["/bench/resident", "64", "random", str(pages)],
                              *SHELL) as machine:
        machine.until(b"random ready")
        before = machine.disk()
        machine.type(b"\n")
        machine.until(b"\ndone", 600)
        after = machine.disk()
        changed = named(machine.text.decode().replace("\r", ""))["random pages"] * 4096
    return (*grown(before, after), changed)


def written(_runs):
    """Bytes that the disk was given, over bytes of pages that changed."""
    rows = []
    for pages in (256, 1024):
        bytes_, requests, flushes, changed = written_for(pages)
        progress("%d pages: %.2f MiB in %d requests and %d flushes, of %.2f MiB that changed" % (
            pages, bytes_ / MIB, requests, flushes, changed / MIB))
        rows.append(Row("bytes written over bytes dirty, %d random pages" % pages, "MiB",
                        {"dirty": changed / MIB, "holdfast": bytes_ / MIB}, 1.25, 1.06))
    return rows


def quiet(_runs):
    """Commits of an idle shell."""
    with Disk() as disk, boot(disk, ["erl"], "--memory", "512M", period="1s") as machine:
        machine.until(b"1> ")
        time.sleep(10)
        before = machine.disk()
        time.sleep(QUIET_S)
        after = machine.disk()
    bytes_, requests, flushes = grown(before, after)
    progress("%d bytes in %d requests, %d flushes" % (bytes_, requests, flushes))
    return [Row("commits of an idle shell in %d s" % QUIET_S, "1", {"holdfast": flushes}, 60, 0,
                "value")]


def resume(runs):
    """Power-on to the first reply after a power cut, against a cold boot to the same."""
    cold, warm = [], []
    for _ in range(runs):
        port = free_port()
        with Disk() as disk:
            with boot(disk, RESPONDER, "--memory", "512M", "--port", "%d:8080" % port) as machine:
                cold.append(first_reply(machine, port))
                progress("cold reply after %.3f s" % cold[-1])
                ask(port, b"checkpoint\n")
            warm.append(resumed(disk, "512M")[0])
    return [Row("first reply after resume, against a cold boot", "s",
                {"cold": statistics.median(cold), "holdfast": statistics.median(warm)},
                0.40, 0.05)]


FIGURES = {"pause": pause, "large": large, "periods": periods, "commit": commit,
           "written": written, "resume": resume, "quiet": quiet}
