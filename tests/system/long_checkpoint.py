#!/usr/bin/python3
"""BEAM's test set with a checkpoint every 10 ms, and without any.

Every test has to give what it gives without, and sleeps of a second have to
take as long, within 0.5 %. guest/hf_long.erl is what runs in the guest: rounds
of both ways by turns in one machine, since other work of this host delays
sleeps, too, and by the same on both sides only at about the same time. How long
the machine's own threads had to wait for a core of this host is told with each:
a checkpoint needs all cores of the machine at once, so where they wait as long
as a standstill lasts, sleeps show that and not the checkpoints.
"""
import argparse
import errno
import glob
import os
import re
import statistics
import subprocess
import sys
import tempfile

import guest

SLEEP_US = 1000000
SLEEP_TOLERANCE = 0.005
ROUND_S = 900   # finds a round that hangs
ROUND = re.compile(r"\nround (\d+) way (\w+) took (\d+) ms")
WAY = r"\nway %s wrong (.*?) errors \[(.*?)\] sleeps \[([\d,\s]*)\] end"

ALL = "fun hf_test:all/0"


class HostTime:
    """What this host gave the machine's threads since the last look, by way."""

    def __init__(self, machine):
        self.machine = machine
        self.last = (0, 0, 0)
        self.ways = {}

    def _sum(self):
        """=> ns on a core, ns of waiting for one, how often (/proc/PID/schedstat)"""
        total = [0, 0, 0]
        for path in glob.glob("/proc/%d/task/*/schedstat" % self.machine.emulator()):
            try:
                with open(path, encoding="ascii") as file:
                    total = [a + int(b) for a, b in zip(total, file.read().split())]
            except OSError:
                pass    # the thread has ended
        return total

    def look(self, way):
        now = self._sum()
        before = self.ways.get(way, (0, 0, 0))
        self.ways[way] = [b + n - l for b, n, l in zip(before, now, self.last)]
        self.last = now

    def wait_ms(self, way):
        """How long a thread waited for a core, each time, on average."""
        _, waited, times = self.ways[way]
        return waited / max(times, 1) / 1e6


class Way:
    """The rounds of one way: how many, what was wrong in them, the sleeps in us."""

    def __init__(self, text, name, host):
        self.host_ms = host.wait_ms(name)
        found = re.search(WAY % name, text, re.S)
        self.took_ms = [int(r.group(3)) for r in ROUND.finditer(text) if r.group(2) == name]
        self.wrong = re.sub(r"\s+", " ", found.group(1))
        self.errors = {(call, int(error)): int(n) for call, error, n in re.findall(
            r"\{(\w+),(\d+),(\d+)\}", re.sub(r"\s", "", found.group(2)))}
        self.sleeps = [int(n) for n in found.group(3).split(",") if n.strip()]

    def median(self):
        return statistics.median(self.sleeps)

    def __str__(self):
        return "%d rounds of %.1f s, wrong %s; %d sleeps of 1 s: %.3f to %.3f ms, " \
            "median %.3f ms; the host's cores were waited for %.3f ms each time" % (
            len(self.took_ms), statistics.median(self.took_ms) / 1000, self.wrong,
            len(self.sleeps), min(self.sleeps) / 1000, max(self.sleeps) / 1000,
            self.median() / 1000, self.host_ms)


def rounds(seconds, ebin, *args, tests=ALL, ways=("off", "10")):
    """`seconds` of rounds of the last of the ways, and as many of the others.
    => (a Way for each, the figures of the checkpoints)"""
    with guest.Guest("--cpus", "4", "--memory", "768M", "--add", ebin + ":/test/ebin", *args, argv=[
            "erl", "-noshell", "-pa", "/test/ebin", "-eval",
            "hf_long:run(%d, %s, [%s]), io:format(\"figures ~0p.~n\", [holdfast:status()]), halt()."
            % (seconds, tests, ",".join(ways))]) as machine:
        host = HostTime(machine)
        while True:
            found = machine.expect(ROUND.pattern + r"|\nfigures [^.]*\.", ROUND_S)
            if not found.group(2):
                break
            host.look(found.group(2))
        machine.wait()
        text = machine.text.replace("\r", "")
    figures = dict((name, int(n)) for name, n in re.findall(
        r"(\w+) => (\d+)", text[text.rindex("\nfigures"):]))
    if figures["failed"]:
        raise guest.Hang("checkpoints failed: " + text[-1000:])
    return [Way(text, name, host) for name in ways], figures


def compare(seconds, ebin, say):
    """=> whether all was as it should be"""
    with tempfile.TemporaryDirectory() as folder:
        (without, each), figures = rounds(
            seconds, ebin, "--disk", os.path.join(folder, "state.img"), "--checkpoint", "off",
            "--kernel-args", "count-errors")
    say("without checkpoints: %s" % without)
    say("one each 10 ms: %s" % each)
    difference = each.median() / without.median() - 1
    say("%d commits, the longest standstill %.1f ms; a sleep takes %+.2f %%" % (
        figures["commits"], figures["pause_max_us"] / 1000, 100 * difference))
    new = {"%s %s" % (call, errno.errorcode.get(error, error)): n
           for (call, error), n in each.errors.items() if (call, error) not in without.errors}
    say("calls and their errors: %d without, %d with; new ones: %s" % (
        len(without.errors), len(each.errors), new or "none"))
    return not new and each.wrong == "[]" and min(each.sleeps) >= SLEEP_US and \
        abs(difference) <= SLEEP_TOLERANCE


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--time", type=int, default=600, metavar="SECONDS")
    options = parser.parse_args()
    ebin = os.path.join(guest.BUILD, "tests", "long")
    sources = os.path.join(guest.TOP, "tests", "system", "guest")
    os.makedirs(ebin, exist_ok=True)
    subprocess.run(["erlc", "-o", ebin, *[os.path.join(sources, name) for name in (
        "hf_long.erl", "hf_test.erl")]], check=True)
    return 0 if compare(options.time, ebin, lambda line: print(line, flush=True)) else 1


if __name__ == "__main__":
    sys.exit(main())
