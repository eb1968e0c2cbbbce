#!/usr/bin/python3
"""BEAM's test set with a checkpoint every 10 ms, and without any.

Every test has to give what it gives without, and sleeps of a second have to
take as long, within 0.5 %. guest/hf_long.erl is what runs in the guest.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile

import guest

SLEEP_US = 1000000
SLEEP_TOLERANCE = 0.005
BASELINE_S = 60
LINE = re.compile(r"rounds (\d+) wrong (.*?) sleeps (\d+) least (\d+) median (\d+) most (\d+)", re.S)


ALL = "fun hf_test:all/0"


def rounds(seconds, ebin, *args, tests=ALL):
    """=> (rounds, what was wrong, sleeps, their least, median and greatest us)"""
    with guest.Guest("--cpus", "4", "--memory", "768M", "--add", ebin + ":/test/ebin", *args, argv=[
            "erl", "-noshell", "-pa", "/test/ebin", "-eval",
            "hf_long:run(%d, %s), io:format(\"~0p~n\", [holdfast:status()]), halt()." % (
                seconds, tests)]
            ) as machine:
        found = machine.expect(LINE.pattern, 600 + 3 * seconds)
        machine.wait()
        failed = re.search(r"failed => (\d+)", machine.text)
        if failed and failed.group(1) != "0":
            raise guest.Hang("checkpoints failed: " + machine.text[-1000:])
        commits = re.search(r"commits => (\d+)", machine.text)
    numbers = [int(found.group(n)) for n in (3, 4, 5, 6)]
    wrong = re.sub(r"\s+", " ", found.group(2))
    return int(found.group(1)), wrong, numbers, int(commits.group(1)) if commits else 0


def compare(seconds, ebin, say):
    """=> whether all was as it should be"""
    right = True
    medians = []
    for period in ("off", "10ms"):
        with tempfile.TemporaryDirectory() as folder:
            disk = ["--disk", os.path.join(folder, "state.img"), "--checkpoint", period]
            n, wrong, (count, least, median, most), commits = rounds(
                min(seconds, BASELINE_S) if period == "off" else seconds, ebin,
                *(disk if period != "off" else []))
        say("checkpoint %s: %d rounds, %d commits, wrong %s; %d sleeps of 1 s: %.3f to %.3f ms, "
            "median %.3f ms" % (period, n, commits, wrong, count, least / 1000, most / 1000,
                                median / 1000))
        right = right and wrong == "[]" and least >= SLEEP_US
        medians.append(median)
    difference = medians[1] / medians[0] - 1
    say("a sleep takes %+.2f %%" % (100 * difference))
    return right and abs(difference) <= SLEEP_TOLERANCE


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
