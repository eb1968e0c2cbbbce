"""Rows of the failure matrix that are about the disk itself: one of another kind, one that is slow,
one that does not answer. See test_faults.py.
"""
import os
import struct
import time

import pytest

from faultdisk import SIZE
from guest import ON_LINUX
from keeper import Keeper

pytestmark = pytest.mark.skipif(ON_LINUX, reason="Linux has no store")


# --- a slow disk ---

def test_a_slow_disk_slows_programs_down(programs, disk):
    """1 MB/s and half a second a flush: commits go on, writers wait, no memory runs out."""
    def slow(kind, number, at, data):
        time.sleep(0.5 if kind == "flush" else len(data) / 1e6)
        return 0
    keeper = Keeper(disk, programs, 1500000, 1, args=("--memory", "48M", "--checkpoint", "100ms"))
    with keeper.start() as machine:
        machine.expect(r"\bkept 1\r*\n")
        disk.fault = slow
        machine.expect(r"\bkept 2\r*\n")
        machine.expect(r"\bkept \d+\r*\n")
        disk.fault = None
        keeper.off(machine)
        assert "refused" not in machine.text and "no checkpoint" not in machine.text
    keeper.goes_on()


# --- other disks ---

@pytest.mark.parametrize("bus", ["ahci", "nvme"])
def test_the_engine_on_other_disks(programs, disk, bus):
    keeper = Keeper(disk, programs, 5000, args=("--disk-bus", bus))
    with keeper.start() as machine:
        machine.expect(r"\bkept 3\r*\n")
        keeper.off(machine)
    keeper.goes_on()


def test_the_engine_on_a_partition(programs, disk):
    """Of type 0xD3; nothing around it is touched."""
    around = bytearray(os.urandom(SIZE))
    first, count = 2048, (40 << 20) // 512
    around[446:512] = bytes(66)
    around[446 + 4] = 0x83
    around[446 + 8:446 + 16] = struct.pack("<II", 1, 2047)
    around[446 + 16 + 4] = 0xD3
    around[446 + 16 + 8:446 + 32] = struct.pack("<II", first, count)
    around[510:512] = b"\x55\xaa"
    around[first * 512:(first + count) * 512] = bytes(count * 512)
    disk.load(bytes(around))
    keeper = Keeper(disk, programs, 5000)
    with keeper.start() as machine:
        machine.expect(r"\bkept 3\r*\n")
        keeper.off(machine)
    keeper.goes_on()
    after = disk.save()
    assert after[:first * 512] == around[:first * 512]
    assert after[(first + count) * 512:] == around[(first + count) * 512:]


def test_a_disk_that_holds_something_else_is_left_alone(programs, disk):
    other = bytes(1080) + b"\x53\xef" + os.urandom(SIZE - 1082)
    disk.load(other)
    keeper = Keeper(disk, programs, 0)
    with keeper.start() as machine:
        machine.expect(r"vda is no store: it holds something else and is left alone")
        machine.expect(r"\bkept 3\r*\n")
        machine.power_cut()
        assert machine.text.count("is no store") == 1
    assert disk.save() == other and "write" not in disk.count


# --- a disk that does not answer ---

BUSES = ["virtio-blk", "ahci", "nvme"]


def stalls(kind, number, seconds, turns=1):
    """The n-th command and `turns` in all of those after it take so long. (QEMU waits for them when
    the kernel resets the disk: a disk that never answers stops QEMU itself.)"""
    left = [turns]

    def fault(k, n, at, data):
        if k == kind and n >= number and left[0]:
            left[0] -= 1
            time.sleep(seconds)
        return 0
    return fault


@pytest.mark.parametrize("bus", BUSES)
def test_a_disk_that_does_not_answer_is_reset(programs, disk, bus):
    """What it had is tried once more: nobody sees an error."""
    name = {"virtio-blk": "vda", "ahci": "sda", "nvme": "nvme0n1"}[bus]
    keeper = Keeper(disk, programs, 5000, args=("--disk-bus", bus,
                                                "--kernel-args", "disk-patience=1"))
    with keeper.start() as machine:
        machine.expect(r"\bkept 2\r*\n")
        for kind in ("write", "flush"):
            disk.fault = stalls(kind, 1, 1.6)
            machine.expect(r"block: %s does not answer: reset" % name)
            machine.expect(r"\bkept \d+\r*\n.*\bkept \d+\r*\n")
        keeper.off(machine)
        assert "refused" not in machine.text and "no checkpoint" not in machine.text
    keeper.goes_on()


@pytest.mark.parametrize("bus", BUSES[1:])
def test_a_disk_that_does_not_answer_twice(programs, disk, bus):
    """The second time it is an error; the next checkpoint finds a disk that works. (QEMU's
    virtio-blk finishes what it has before it lets itself be reset: there is no second time.)"""
    keeper = Keeper(disk, programs, 5000, args=("--disk-bus", bus,
                                                "--kernel-args", "disk-patience=1"))
    with keeper.start() as machine:
        machine.expect(r"\bkept 2\r*\n")
        disk.fault = stalls("flush", 1, 1.6, 2)
        machine.expect(r"does not answer: reset.*does not answer: reset")
        machine.expect(r"refused \d+ 5 fsync")
        machine.expect(r"checkpoints go on")
        machine.expect(r"\bkept \d+\r*\n")
        keeper.off(machine)
    keeper.goes_on()
