"""What becomes of checkpoints when the disk fails: the failure matrix of doc/store.md, row by row.

Disks are tests' own (faultdisk.py). What runs is guest/keeper.c, which
believes fsync: whatever happens, each number that it called kept is there
after the next power cut, and in the meantime it runs on.
"""
import errno
import os
import re
import subprocess
import time

import pytest

from faultdisk import FaultDisk, PowerCut
from guest import Guest, ON_LINUX, holdfast

SHELL = ("--base", "busybox", "--cpus", "2", "--netdev", "none")
SIZE = 64 << 20
# `make faults SWEEP=1` tries every place, `make test` some.
EVERY = 1 if os.environ.get("HOLDFAST_TEST_SWEEP") else 0

pytestmark = pytest.mark.skipif(ON_LINUX, reason="Linux has no store")


def some(numbers, step):
    return list(numbers)[::EVERY or step]


class Keeper:
    """Machines one after the other on one disk, and the last number that was kept."""

    def __init__(self, disk, programs, *words, args=()):
        self.disk = disk
        self.words = words
        self.args = (*SHELL, "--disk", disk.url, *args,
                     "--add", os.path.join(programs, "keeper") + ":/bin/keeper")
        self.kept = 0

    def start(self, fault=None):
        self.disk.restart(fault)
        return Guest(*self.args, argv=["keeper", *map(str, self.words)])

    def note(self, machine):
        """=> the words of keeper in this machine; nothing broke"""
        text = machine.text
        assert not re.search(r"WRONG|panic|assert", text), text[-4000:]
        kept = [int(n) for n in re.findall(r"\bkept (\d+)\r*\n", text)]
        if kept:
            assert kept[0] >= self.kept, (kept[0], self.kept, text[-3000:])
            self.kept = kept[-1]
        return kept

    def off(self, machine, keep=0.0):
        machine.power_cut()
        self.note(machine)
        self.disk.power_cut(keep)

    def check(self):
        result = holdfast("store", "check", self.disk.path)
        assert result.status == 0, result

    def goes_on(self, turns=2):
        """The next machine goes on from what was promised."""
        with self.start() as machine:
            machine.expect(r"epoch \d+, \d+ ms old, goes on")
            for _ in range(turns):
                machine.expect(r"\bkept \d+\r*\n")
            self.off(machine)
        self.check()


@pytest.fixture
def disk(tmp_path):
    with FaultDisk(tmp_path / "d.img", SIZE, volatile=True) as made:
        yield made


def fails_once(kind, number, error=errno.EIO):
    return lambda k, n, at, data: error if (k, n) == (kind, number) else 0


def fails_from(kind, number, error=errno.EIO):
    return lambda k, n, at, data: error if k == kind and n >= number else 0


# --- errors of writes and flushes ---

@pytest.mark.parametrize("kind, numbers", [("write", some(range(5, 300), 60)),
                                           ("flush", some(range(6, 16), 4))])
def test_one_error_costs_one_checkpoint(programs, disk, kind, numbers):
    """A failed flush loses all that it was to write, as disks and kernels do."""
    keeper = Keeper(disk, programs, 0)
    for number in numbers:
        with keeper.start(fails_once(kind, number)) as machine:
            machine.expect(r"refused \d+ 5 fsync|WRONG")
            machine.expect(r"checkpoints go on with epoch")
            machine.expect(r"\bkept \d+\r*\n.*\bkept \d+\r*\n")
            keeper.off(machine)
            assert len(re.findall(r"no checkpoint \(error 5\), it is tried again", machine.text)) == 1
            assert len(re.findall(r"refused", machine.text)) == 1, machine.text[-3000:]
    keeper.goes_on()


@pytest.mark.parametrize("kind", ["write", "flush"])
def test_a_disk_that_fails_for_good(programs, disk, kind):
    """The program runs on without checkpoints; the next start is at the last durable one."""
    keeper = Keeper(disk, programs, 0)
    with keeper.start(fails_from(kind, 60 if kind == "write" else 9)) as machine:
        machine.expect(r"refused \d+ 5 fsync")
        machine.expect(r"no more checkpoints, the disk failed twice")
        for _ in range(3):
            machine.expect(r"refused \d+ 5 fsync")
        keeper.off(machine)
        assert machine.text.count("no more checkpoints") == 1
    keeper.goes_on()
