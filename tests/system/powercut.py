#!/usr/bin/python3
"""Power cuts: one image, N machines one after the other, each killed at a random instant.

In the machine run guest/blocked.c (threads asleep in every kind of call, which check what they
get) and a node of Erlang (guest/hf_cut.erl: a counter, a table of many rows, a timer, a file, a port
program, which check each other). Both print WRONG when something broke. The console is Erlang's
shell, with a variable in it. Every machine has to go on where an epoch of the one before was; a
checker of the store looks at the image in between.
"""
import os
import random
import subprocess
import sys
import tempfile
import time

import guest
import many

LIVES_S = (0.1, 1.0)    # after the first sign
ROWS = 1000000
SECRET = "Secret = {self(), make_ref(), [a | 4711]}."
TELL = 'io:format("~nshell ~0p~n", [Secret]).'


def machine(image, ebin, program, rows):
    return guest.Guest(
        "--cpus", "2", "--memory", "768M", "--disk", image, "--checkpoint", "100ms", "--add", ebin + ":/test/ebin",
        "--add", program + ":/bin/blocked",
        argv=["erl", "-pa", "/test/ebin", "-rows", str(rows), "-s", "hf_cut"])


def wait_for(console, pattern, limit):
    """=> the match; WRONG is never waited through"""
    found = console.expect(pattern + r"|WRONG[^\n]*\n|panic[^\n]*\n", limit)
    if "WRONG" in found.group(0) or "panic" in found.group(0):
        time.sleep(1)
        raise guest.Hang("%s\n%s" % (found.group(0), console.text[-3000:]))
    return found


def check(image):
    result = guest.holdfast("store", "check", image)
    if result.status != 0:
        raise guest.Hang("the store is damaged: %r" % result)


def tell(console, limit):
    """=> the value of the shell's variable"""
    console.line(TELL)
    return wait_for(console, r"\nshell (\{[^\r\n]*\})\r*\n", limit).group(1)


def first_life(image, ebin, program, rows, limit=guest.LIMIT_S):
    """=> the value of the shell's variable"""
    with machine(image, ebin, program, rows) as console:
        wait_for(console, r"node \d+", limit + rows / 5000)
        wait_for(console, r"turn \d+", limit)
        console.line(SECRET)
        secret = tell(console, limit)
        console.line("holdfast:checkpoint().")
        wait_for(console, r"\{ok,\d+\}", limit)
        console.power_cut()
    return secret


def cut(image, ebin, program, rows, secret, limit=guest.LIMIT_S):
    """One machine from power to power cut; => (epoch it went on from, seconds to the first sign)"""
    began = time.monotonic()
    with machine(image, ebin, program, rows) as console:
        epoch = int(wait_for(console, r"epoch (\d+), \d+ ms old, goes on", limit).group(1))
        wait_for(console, r"node \d+", limit)
        took = time.monotonic() - began
        found = tell(console, limit)
        if found != secret:
            raise guest.Hang("the shell's variable is %s, not %s" % (found, secret))
        time.sleep(random.uniform(*LIVES_S))
        console.power_cut()
        if "WRONG" in console.text or "panic" in console.text:
            raise guest.Hang(console.text[-3000:])
    return epoch, took


def powercut(count, ebin, program, say, rows=ROWS):
    """=> raises guest.Hang at the first thing that broke"""
    with tempfile.TemporaryDirectory() as folder:
        image = os.path.join(folder, "state.img")
        before = 0
        secret = first_life(image, ebin, program, rows)
        for n in range(count):
            epoch, took = cut(image, ebin, program, rows, secret)
            if epoch < before:
                raise guest.Hang("epoch %d after %d" % (epoch, before))
            before = epoch
            if n % 10 == 9 or n == count - 1:
                check(image)
            say("%d of %d: epoch %d, %.1f s to the first sign" % (n + 1, count, epoch, took))


def build():
    """The programs for the guest, when pytest is not there to do it."""
    work = os.path.join(guest.BUILD, "tests")
    sources = os.path.join(guest.TOP, "tests", "system", "guest")
    os.makedirs(work, exist_ok=True)
    program = os.path.join(work, "blocked")
    subprocess.run(["gcc", "-O1", "-static", "-pthread", "-o", program,
                    os.path.join(sources, "blocked.c")], check=True)
    subprocess.run(["erlc", "-o", work, os.path.join(sources, "hf_cut.erl")], check=True)
    return work, program


def main():
    return many.main(__doc__.splitlines()[0], 200,
                     lambda count, seed, say: powercut(count, *build(), say),
                     "%d power cuts, nothing broke")


if __name__ == "__main__":
    sys.exit(main())
