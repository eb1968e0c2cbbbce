#!/usr/bin/python3
"""Resumes of epochs whose records lie, with right hashes: the kernel comes up or refuses.

usage: records.py [--count N] [--seed S] [--keep FOLDER]

One machine makes a store with objects of every kind and loses power. Then, N times: a copy of the
store gets an epoch in which some records say something else (mutate.c; the seed is S, S + 1 ...),
and a machine is started with it. It may go on, with whatever that does to its programs, or say that
the epoch cannot be resumed; a panic, a hang or the end of QEMU is a finding. Those are printed with
their seed and what was changed, and their images stay in FOLDER.
"""
import argparse
import os
import re
import shutil
import shutil
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "system"))

import guest  # noqa: E402

PROGRAMS = ("resume_files", "resume_sockets", "blocked")
HANG_S = 60
UP = r"epoch \d+, -?\d+ ms old|nothing is kept"
REFUSED = r"cannot be resumed|came to nothing"
# That process 1 ends of what its memory has become is its own affair.
BAD = r"panic on [^\n]*: (?!init ended with)"


def machine(image, programs, period, extra=()):
    adds = [word for name in PROGRAMS
            for word in ("--add", "%s:/%s" % (os.path.join(programs, name), name))]
    return guest.Guest("--base", "busybox", "--cpus", "2", "--memory", "256M", "--headless",
                       "--netdev", "none", "--disk", image, "--checkpoint", period, *adds, *extra,
                       argv=["sh", "-c", "/blocked 100000 >/dev/null & /resume_sockets 2 & "
                             "exec /resume_files 2"])


def make_image(path, programs):
    """A store with one of everything"""
    with machine(path, programs, "1000s", ("--disk-size", "64M")) as console:
        console.expect(r"READY 1.*READY 1")
        console.power_cut()


def mutate(image, *words):
    done = subprocess.run([os.path.join(guest.BUILD, "mutate-records"), image,
                           *map(str, words)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def last_epoch(image):
    info = guest.holdfast("store", "info", image).out
    found = re.search(r"^epoch (\d+)", info, re.M)
    return int(found.group(1)) if found else 0


def lives(console, image, epoch):
    """Whether all that was made from records stands still, is walked over and written down twice;
    or process 1 has ended, which is its own affair"""
    end = time.monotonic() + HANG_S
    while time.monotonic() < end and not re.search(BAD, console.text):
        if console.process.poll() is not None:
            return console.process.returncode != 126
        if last_epoch(image) >= epoch + 2:
            return True
        time.sleep(0.1)
    time.sleep(0.5)
    return False


def resume(image, programs, epoch):
    """=> ("up", "refused", or what was found; the console's text)"""
    with machine(image, programs, "100ms") as console:
        try:
            found = console.expect("%s|%s|%s" % (BAD, REFUSED, UP), HANG_S)
            outcome = "refused" if re.search(REFUSED, found.group(0)) else "up"
            if re.search(BAD, found.group(0)):
                time.sleep(0.5)
                return "panic", console.text
            if outcome == "up" and not lives(console, image, epoch):
                return "no checkpoint, or a panic", console.text
        except guest.Hang:
            return "no word in %d s, or QEMU ended" % HANG_S, console.text
    return outcome, ""


def run(count, seed, programs, keep=None, say=print):
    """=> how many findings"""
    findings = 0
    tally = {"up": 0, "refused": 0}
    with tempfile.TemporaryDirectory() as folder:
        image = os.path.join(folder, "all.img")
        make_image(image, programs)
        for turn in range(seed, seed + count):
            copy = os.path.join(folder, "%d.img" % turn)
            subprocess.run(["cp", "--sparse=always", image, copy], check=True)
            changes = mutate(copy, turn, 1 + turn % 2)
            outcome, text = resume(copy, programs, last_epoch(copy))
            if outcome in tally:
                tally[outcome] += 1
                os.unlink(copy)
                continue
            findings += 1
            say("seed %d: %s\n%s\n%s" % (turn, outcome, changes, text[-3500:]))
            if keep:
                os.makedirs(keep, exist_ok=True)
                shutil.copy(copy, keep)
    say("%d went on, %d were refused, %d findings" % (tally["up"], tally["refused"], findings))
    return findings


def build():
    """The programs for the guest, when pytest is not there to do it."""
    work = os.path.join(guest.BUILD, "tests", "bin")
    os.makedirs(work, exist_ok=True)
    for name in PROGRAMS:
        subprocess.run(["gcc", "-O1", "-static", "-pthread", "-o", os.path.join(work, name),
                        os.path.join(TOP, "tests", "system", "guest", name + ".c")], check=True)
    return work


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--keep", default=os.path.join(guest.BUILD, "fuzz", "records"))
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else int(time.time())
    print("seed %d" % seed, flush=True)
    findings = run(options.count, seed, build(), options.keep,
                   lambda line: print(line.replace("\r", ""), flush=True))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
