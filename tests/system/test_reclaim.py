"""Files larger than memory: pages that the last epoch has leave memory, and come in again.

guest/bigfile.c knows what each page of its file holds. With persist-verify the kernel
compares what leaves and what comes in with what it stored, too.
"""
import errno
import os
import re
import subprocess

from faultdisk import FaultDisk
from guest import Guest, ON_LINUX, run

import pytest

VERIFY = ("--kernel-args", "persist-verify")
ENDS = r"WRONG [^\n]*|panic|out of memory|cannot be read"

needs_store = pytest.mark.skipif(ON_LINUX, reason="Linux has no store")


def machine_args(programs, *more, image=None):
    disk = ("--disk", str(image), "--disk-size", "1G") if image else ()
    add = [word for name in ("bigfile", "holds")
           for word in ("--add", "%s:/bin/%s" % (os.path.join(programs, name), name))]
    return ("--base", "busybox", *disk, *add, *more)


def test_the_program_itself(programs, tmp_path):
    """On Linux."""
    done = subprocess.run([os.path.join(programs, "bigfile"), str(tmp_path / "big"), "32", "3"],
                          check=False, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.endswith("ok\n"), done


@needs_store
@pytest.mark.parametrize("machine", (
    ("--cpus", "2", "--memory", "96M", "--checkpoint", "100ms", *VERIFY),
    ("--cpus", "4", "--clusters", "2", "--memory", "128M", "--checkpoint", "10ms"),
    ("--cpus", "1", "--memory", "96M", "--checkpoint", "off"),
), ids=("verify", "clusters", "off"))
def test_a_file_larger_than_memory(programs, tmp_path, machine):
    result = run(*machine_args(programs, *machine, image=tmp_path / "d.img"),
                 argv=["sh", "-c", "bigfile /big 128 1; grep broken /proc/holdfast/check"])
    assert result.status == 0 and "\nok\n" in result.out, result
    assert "broken 0\n" in result.out, result


@needs_store
def test_power_cuts_with_a_file_larger_than_memory(programs, tmp_path):
    """Its pages are partly in memory, partly on the disk only, when the power goes; and the next
    machine has another size."""
    for turn, memory in enumerate(("128M", "96M", "256M", "128M")):
        args = machine_args(programs, "--cpus", "2", "--memory", memory, "--checkpoint", "50ms",
                            image=tmp_path / "d.img")
        with Guest(*args, argv=["bigfile", "/big", "144", "0"]) as machine:
            if turn > 0:
                machine.expect(r"epoch \d+, \d+ ms old, goes on")
            for _ in range(2):
                machine.expect(r"turn \d+\r*\n|" + ENDS)
            machine.power_cut()
        assert not re.search(ENDS, machine.text), machine.text[-4000:]


@needs_store
def test_files_are_there_after_a_clean_start(programs, tmp_path):
    """More of them than memory, read anew."""
    def sums(*more, command):
        args = machine_args(programs, "--cpus", "2", "--memory", "128M", "--checkpoint", "100ms",
                            *more, image=tmp_path / "d.img")
        result = run(*args, argv=["sh", "-c", command])
        assert result.status == 0, result
        return re.findall(r"[0-9a-f]{32}  /f\d", result.out)

    made = sums(command="for i in 1 2 3; do dd if=/dev/urandom of=/f$i bs=64k count=1000; done; "
                        "md5sum /f1 /f2 /f3")
    assert len(made) == 3 and sums("--fresh", command="md5sum /f1 /f2 /f3") == made


@needs_store
@pytest.mark.parametrize("period", ("50ms", "off"))
def test_files_give_way_to_processes(programs, tmp_path, period):
    """Memory is full of files, most of them not stored yet where checkpoints are off."""
    args = machine_args(programs, "--cpus", "2", "--memory", "128M", "--checkpoint", period,
                        image=tmp_path / "d.img")
    with Guest(*args, argv=["sh", "-c", "dd if=/dev/zero of=/f bs=64k count=1200 && "
                                        "holds 80 private"]) as machine:
        for _ in range(3):
            machine.expect(r"turn \d+\r*\n|" + ENDS)
        machine.power_cut()
    assert not re.search(ENDS, machine.text), machine.text[-4000:]


def fails_from(kind, number):
    return lambda what, n, _at, _data: errno.EIO if what == kind and n >= number else 0


@needs_store
@pytest.mark.parametrize("kind", ("read", "write"))
def test_a_disk_that_fails_under_a_file_larger_than_memory(programs, tmp_path, kind):
    """What left memory is an error to who reads it; what cannot be stored stays in memory until
    there is none. Nobody hangs, and nobody gets other bytes."""
    with FaultDisk(tmp_path / "d.img", 512 << 20) as disk:
        args = machine_args(programs, "--cpus", "2", "--memory", "96M", "--checkpoint", "50ms",
                            "--disk", disk.url)
        with Guest(*args, argv=["bigfile", "/big", "144", "0"]) as machine:
            if kind == "write":
                machine.expect(r"goes on from|blk: vda|store: vda")
            else:
                machine.expect(r"turn 1\r*\n")
            disk.fault = fails_from(kind, disk.count.get(kind, 0) + 20)
            found = machine.expect(r"WRONG (?!content)[^\n]*|SIGBUS|out of memory|WRONG content|panic")
            assert not re.search("content|panic", found.group(0)), machine.text[-4000:]
            machine.power_cut()
