#!/usr/bin/python3
"""Crash states of a real run, booted: a machine's writes to its disk are logged, power is cut in
between, and what it may have left is started.

The log is QEMU's (blklogwrites, the format of Linux's dm-log-writes). What was flushed is there; of
what was not, nothing, all, some, sectors of some, with garbage or what lay there a lap of the disk
before in the rest. The kernel has to go on at the last epoch that was flushed whole, or at the next,
and guest/blocked.c, which runs in the machine, must find nothing wrong.
"""
import json
import os
import random
import re
import struct
import sys
import tempfile
import time

import guest
import many
import powercut

SIZE = 24 << 20         # small: the log of records goes round
SECTOR = 512
LOG_MAGIC = 0x6A736677736872
FLUSH, DISCARD = 1, 4
WHOLE = -1              # in place of an address: the disk between two machines
BLOCK = 4096
RECORD = b"HSTORCD1"


def machine(disk, program):
    return guest.Guest("--base", "busybox", "--cpus", "2", "--netdev", "none", "--disk", disk,
                       "--checkpoint", "100ms", "--add", program + ":/bin/blocked",
                       argv=["blocked", "1000000"])


def say_wrong(console):
    if re.search(r"WRONG|panic|assert", console.text):
        time.sleep(0.5)
        raise guest.Hang(console.text[-3000:])


def record(folder, program, life_s):
    """Runs a machine twice, with a power cut in between; => the log's operations"""
    image, logs = os.path.join(folder, "run.img"), []
    with open(image, "wb") as file:
        file.truncate(SIZE)
    for turn in range(2):
        log = os.path.join(folder, "log%d" % turn)
        with open(log, "wb"):
            pass
        disk = "json:" + json.dumps({"driver": "raw", "file": {
            "driver": "blklogwrites", "log-super-update-interval": 1,
            "file": {"driver": "file", "filename": image},
            "log": {"driver": "file", "filename": log}}})
        with machine(disk, program) as console:
            console.expect(r"turn \d+")
            time.sleep(life_s)
            console.power_cut()
            say_wrong(console)
        # The log may lack what was on its way when the power went.
        with open(image, "rb") as file:
            logs += read_log(log) + [(WHOLE, file.read())]
    return logs[:-1]


def read_log(path):
    """=> a list of (byte, data), data is None for a flush"""
    out = []
    with open(path, "rb") as file:
        magic, _, entries, size = struct.unpack("<QQQI", file.read(28))
        assert magic == LOG_MAGIC, path
        at = size
        for _ in range(entries):
            file.seek(at)
            sector, count, flags, _ = struct.unpack("<QQQQ", file.read(32))
            at += size
            if not flags & DISCARD and count:
                file.seek(at)
                out.append((sector * size, file.read(count * size)))
                at += count * size
            if flags & FLUSH:
                out.append((0, None))
    return out


def last_record(image):
    """The epoch of the youngest record head with the flag LAST."""
    found = 0
    for at in range(1024 * BLOCK, len(image), BLOCK):
        if image[at:at + 8] == RECORD:
            epoch, flags = struct.unpack_from("<Q", image, at + 32)[0], \
                struct.unpack_from("<I", image, at + 72)[0]
            found = max(found, epoch if flags & 1 else 0)
    return found


def tear(image, at, data, chance):
    """Some sectors of a write; garbage in others."""
    for first in range(0, len(data), SECTOR):
        way = chance.randrange(6)
        if way < 4:
            image[at + first:at + first + SECTOR] = data[first:first + SECTOR]
        elif way == 4:
            image[at + first:at + first + SECTOR] = chance.randbytes(SECTOR)


def crash(stable, unflushed, chance):
    """=> (what the power left, how)"""
    image = bytearray(stable)
    way = chance.choice(["nothing", "all", "some", "torn", "some torn"])
    torn = chance.randrange(len(unflushed)) if unflushed else 0
    for n, (at, data) in enumerate(unflushed):
        if way == "nothing" or ("some" in way and chance.randrange(2)):
            continue
        if "torn" in way and n == torn:
            tear(image, at, data, chance)
        else:
            image[at:at + len(data)] = data
    return image, way


def states(operations, count, chance):
    """=> yields (image, epoch that is durable, how it was made), in the order of time"""
    cuts = sorted(chance.randrange(len(operations) // 50, len(operations)) for _ in range(count))
    stable, unflushed, done = bytearray(SIZE), [], 0
    for cut in cuts:
        for at, data in operations[done:cut]:
            if data is not None and at != WHOLE:
                unflushed.append((at, data))
                continue
            if at == WHOLE:
                stable, unflushed = bytearray(data), []
            for where, what in unflushed:
                stable[where:where + len(what)] = what
            unflushed = []
        done = cut
        image, way = crash(stable, unflushed, chance)
        yield image, last_record(stable), "%s of %d writes after operation %d" % (
            way, len(unflushed), cut)


def boot(path, durable, program, say):
    """=> raises guest.Hang when it is not right"""
    result = guest.holdfast("store", "check", path)
    found = re.search(r"epoch (\d+) is right", result.out)
    if result.status or not found or int(found.group(1)) not in (durable, durable + 1):
        raise guest.Hang("epoch %d was durable: %r" % (durable, result))
    epoch, began = int(found.group(1)), time.monotonic()
    with machine(path, program) as console:
        if epoch:
            console.expect(r"epoch %d, \d+ ms old, goes on" % epoch)
        console.expect(r"(turn \d+|WRONG|panic).*?(turn \d+|WRONG|panic)")
        console.power_cut()
        say_wrong(console)
    result = guest.holdfast("store", "check", path)
    if result.status:
        raise guest.Hang("after it: %r" % result)
    say("epoch %d goes on, %.1f s" % (epoch, time.monotonic() - began))


def crashboot(count, seed, program, say):
    """=> raises guest.Hang at the first state that is not right"""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        operations = record(folder, program, 1 + count / 20)
        sizes = [len(data) for at, data in operations if data is not None and at != WHOLE]
        say("%d writes with %.0f MiB logged, for a disk of %d MiB" % (
            len(sizes), sum(sizes) / 2 ** 20, SIZE >> 20))
        path = os.path.join(folder, "state.img")
        for n, (image, durable, how) in enumerate(states(operations, count, chance)):
            with open(path, "wb") as file:
                file.write(image)
            try:
                boot(path, durable, program,
                     lambda line, n=n, how=how: say("%d: %s: %s" % (n + 1, how, line)))
            except guest.Hang as error:
                raise guest.Hang("state %d (%s), seed %d: %s" % (n + 1, how, seed, error)) from None


def main():
    return many.main(__doc__.splitlines()[0], 200,
                     lambda count, seed, say: crashboot(count, seed, powercut.build()[1], say),
                     "%d crash states booted, all are right")


if __name__ == "__main__":
    sys.exit(main())
