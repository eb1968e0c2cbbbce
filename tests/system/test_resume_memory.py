"""Memory over checkpoints and power cuts: guest/memory.c checks every page it has.

The kernel checks, too: with persist-verify each cut compares what it takes for
unchanged with what it stored, and panics at a difference.
"""
import errno
import os
import re
import subprocess

from faultdisk import FaultDisk
from guest import Guest, ON_LINUX, TOP, run

import pytest

MACHINE = ("--base", "busybox", "--cpus", "2", "--clusters", "2", "--memory", "256M")
VERIFY = ("--kernel-args", "persist-verify")

needs_store = pytest.mark.skipif(ON_LINUX, reason="Linux has no store")


def test_the_program_itself(programs, tmp_path):
    """On Linux, on a memory file system."""
    done = subprocess.run([os.path.join(programs, "memory"), "3000", "/dev/shm/holdfast-memory"],
                          check=False, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.endswith("ok\n"), done


@needs_store
def test_cuts_one_after_the_other_see_every_write(programs, tmp_path):
    result = run(*MACHINE, *VERIFY, "--disk", str(tmp_path / "d.img"), "--checkpoint", "30ms",
                 "--add", os.path.join(programs, "memory") + ":/bin/memory",
                 argv=["sh", "-c", "memory 50; grep broken /proc/holdfast/check"])
    assert result.status == 0 and "\nok\n" in result.out, result
    assert "broken 0\n" in result.out, result


@needs_store
def test_cuts_that_look_at_many_tables_before(programs, tmp_path):
    """Is every write seen in address spaces whose tables are gone over while threads run?"""
    result = run("--base", "busybox", "--cpus", "4", "--memory", "256M", *VERIFY,
                 "--disk", str(tmp_path / "d.img"), "--checkpoint", "30ms",
                 "--add", os.path.join(programs, "sparse") + ":/bin/sparse",
                 argv=["sh", "-c", "sparse 40; grep broken /proc/holdfast/check"])
    assert result.status == 0 and "\nok\n" in result.out, result
    assert "broken 0\n" in result.out, result


@needs_store
def test_pages_beside_one_that_is_copied(programs, tmp_path):
    """A page that is written on its way to the disk is copied, and those behind it along, whether
    they are written or not."""
    done = subprocess.run([os.path.join(programs, "stride"), "300"],
                          check=False, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.endswith("ok\n"), done
    where = ("--disk", str(tmp_path / "d.img"),
             "--add", os.path.join(programs, "stride") + ":/bin/stride")
    for machine_args in (MACHINE, (*MACHINE[:4], "--memory", "256M"), MACHINE):
        with Guest(*machine_args, *VERIFY, *where, "--checkpoint", "10ms",
                   argv=["stride", "1000000"]) as machine:
            machine.expect(r"turn \d+.*turn \d+|WRONG.*\n|panic.*\n")
            machine.power_cut()
            assert not re.search("WRONG|panic", machine.text), machine.text


@needs_store
def test_an_address_space_that_changes_is_the_same_after_a_cut(programs, tmp_path):
    """Does each cut have the mappings as they are, though a map's record is made only when it says
    that it changed? Does getrusage go on from what it had counted? guest/mappings.c looks."""
    done = subprocess.run([os.path.join(programs, "mappings"), "1000"],
                          check=False, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.endswith("ok\n"), done
    disk = ("--disk", str(tmp_path / "d.img"), "--checkpoint", "20ms")
    args = (*MACHINE, *VERIFY, *disk, "--add", os.path.join(programs, "mappings") + ":/bin/mappings")
    for turn in range(4):
        with Guest(*args, argv=["mappings", "1000000"]) as machine:
            if turn:
                machine.expect(r"epoch \d+, \d+ ms old, goes on")
            for _ in range(5 + turn):
                machine.expect(r"round \d+\r*\n|WRONG.*\n|panic.*\n")
            machine.power_cut()
            assert not re.search("WRONG|panic", machine.text), machine.text


@needs_store
def test_what_was_not_marked_has_not_changed(tmp_path):
    """With persist-verify each cut writes down all objects, and panics when one that nobody marked
    as changed is not as it was stored."""
    subprocess.run(["make", "-s", "abi"], cwd=TOP, check=True)
    result = run("--base", "busybox", "--cpus", "2", "--clusters", "2", *VERIFY,
                 "--disk", str(tmp_path / "d.img"), "--checkpoint", "30ms",
                 "--add", os.path.join(TOP, "build/abi") + ":/abi",
                 argv=["sh", "-c", "sh /abi/run-guest files paths mmap; cat /proc/holdfast/store"])
    assert result.status == 0 and re.search(r"total: \d+ passed, 0 failed", result.out), result
    assert int(re.search(r"^commits (\d+)", result.out, re.M).group(1)) > 20, result


@needs_store
def test_memory_of_every_kind_goes_on_after_a_power_cut(programs, tmp_path):
    """Twice, so that what was read from the disk is stored and read again."""
    where = ("--disk", str(tmp_path / "d.img"),
             "--add", os.path.join(programs, "memory") + ":/bin/memory")
    for _ in range(2):
        with Guest(*MACHINE, *where, "--checkpoint", "50ms", argv=["memory", "400"]) as machine:
            machine.expect(r"turn \d+.*turn \d+")
            machine.power_cut()
    with Guest(*MACHINE, *VERIFY, *where, argv=["memory", "400"]) as machine:
        machine.expect(r"\bok\r*\n")
        assert machine.wait() == 0
        assert "WRONG" not in machine.text


@needs_store
@pytest.mark.parametrize("cpus, clusters, helped", ((1, 1, "0"), (2, 1, "[1-9]"), (4, 2, "[1-9]")))
def test_pages_that_cores_copy_side_by_side_are_as_they_were(programs, tmp_path, cpus, clusters,
                                                             helped):
    """Does what goes to the disk in place of pages that are written all the time have their
    content as of the cut, whichever core copied it?"""
    args = ("--base", "busybox", "--cpus", str(cpus), "--clusters", str(clusters), "--memory", "256M",
            *VERIFY, "--disk", str(tmp_path / "d.img"), "--checkpoint", "10ms",
            "--add", os.path.join(programs, "hot") + ":/bin/hot")
    for turn in range(2):
        with Guest(*args, argv=["hot", "4", "200"]) as machine:
            if turn:
                machine.expect(r"epoch \d+, \d+ ms old, goes on")
            machine.expect(r"copied [1-9]\d* beside %s|WRONG|panic" % helped)
            machine.power_cut()
            assert not re.search("WRONG|panic", machine.text), machine.text[-4000:]


@needs_store
@pytest.mark.parametrize("cpus, clusters", ((2, 1), (4, 1), (4, 2)))
def test_what_one_thread_writes_others_see_over_checkpoints(programs, tmp_path, cpus, clusters):
    """A page that is written on its way to the disk: the core that does so is sometimes the first
    to come to it since the cut, and tells no other."""
    args = ("--base", "busybox", "--cpus", str(cpus), "--clusters", str(clusters), "--memory", "256M",
            "--disk", str(tmp_path / "d.img"), "--checkpoint", "10ms",
            "--add", os.path.join(programs, "seen") + ":/bin/seen")
    with Guest(*args, argv=["seen", str(cpus - 1), "100"]) as machine:
        for _ in range(30):
            machine.expect(r"round \d+\r*\n|WRONG|panic")
        machine.power_cut()
        assert not re.search("WRONG|panic", machine.text), machine.text[-4000:]


@needs_store
@pytest.mark.parametrize("cpus, clusters, most", ((2, 1, 8), (4, 1, 60), (4, 2, 8)))
def test_what_is_written_over_translations_from_before_a_checkpoint(programs, tmp_path, cpus,
                                                                    clusters, most):
    """Where a cut changed few pages, processors keep the rest of their translations: is each write
    over one of them seen by the next cut?"""
    args = ("--base", "busybox", "--cpus", str(cpus), "--clusters", str(clusters), "--memory", "256M",
            *VERIFY, "--disk", str(tmp_path / "d.img"), "--checkpoint", "10ms",
            "--add", os.path.join(programs, "few") + ":/bin/few")
    for turn in range(2):
        with Guest(*args, argv=["few", str(cpus), "400", str(most)]) as machine:
            if turn:
                machine.expect(r"epoch \d+, \d+ ms old, goes on")
            for _ in range(8):
                machine.expect(r"turn \d+\r*\n|WRONG|panic")
            machine.power_cut()
            assert not re.search("WRONG|panic", machine.text), machine.text[-4000:]


def start_holds(programs, tmp_path, machine_args, mib, kind):
    return Guest("--base", "busybox", *machine_args, "--disk", str(tmp_path / "d.img"),
                 "--checkpoint", "100ms", "--add", os.path.join(programs, "holds") + ":/bin/holds",
                 argv=["holds", str(mib), kind])


def power_cut_in_turn(machine, resumed):
    if resumed:
        machine.expect(r"epoch \d+, \d+ ms old, goes on")
    for _ in range(3 if resumed else 40):
        machine.expect(r"turn \d+\r*\n|WRONG|panic|out of memory")
    machine.power_cut()
    assert not re.search("WRONG|panic|out of memory", machine.text), machine.text[-4000:]


@needs_store
@pytest.mark.parametrize("kind", ("private", "shared"))
def test_less_or_more_memory_than_before(programs, tmp_path, kind):
    for turn, machine_args in enumerate((
            ("--memory", "256M"), ("--memory", "128M"), ("--memory", "1G"),
            ("--cpus", "4", "--clusters", "2", "--memory", "192M"), ("--memory", "128M"))):
        with start_holds(programs, tmp_path, machine_args, 40, kind) as machine:
            power_cut_in_turn(machine, turn > 0)


@needs_store
@pytest.mark.parametrize("kind", ("private", "shared"))
def test_too_little_memory_is_told_and_costs_nothing(programs, tmp_path, kind):
    """More often than an epoch is tried, which waits for a machine with room for it. What is
    private is counted before anything is resumed, what is shared is read then."""
    with start_holds(programs, tmp_path, ("--memory", "256M"), 160, kind) as machine:
        power_cut_in_turn(machine, False)
    for _ in range(4):
        with start_holds(programs, tmp_path, ("--memory", "128M"), 160, kind) as machine:
            assert machine.wait() == 125
            assert re.search(r"epoch \d+ of vda needs more memory than this machine has; "
                             r"it is left alone: start with more \(--memory\)", machine.text)
            assert not re.search("turn|panic|starting again", machine.text), machine.text
            assert kind == "shared" or re.search(
                r"the processes have 16\d MiB in memory; this machine has \d+ free, that one had 2",
                machine.text), machine.text
    with start_holds(programs, tmp_path, ("--memory", "256M"), 160, kind) as machine:
        power_cut_in_turn(machine, True)


@needs_store
def test_a_writer_without_room_for_copies_waits_for_the_disk(programs, tmp_path):
    result = run("--base", "busybox", "--memory", "64M", "--disk", str(tmp_path / "d.img"),
                 "--checkpoint", "20ms", "--add", os.path.join(programs, "rewrite") + ":/bin/rewrite",
                 argv=["sh", "-c", "rewrite 80 6; sync && echo synced"])
    assert result.status == 0 and "ok\nsynced\n" in result.out, result


@needs_store
def test_pages_of_a_checkpoint_that_failed_are_in_the_next(programs, tmp_path):
    """Many pages are written again on their way to the disk."""
    args = (*MACHINE[:4], *VERIFY, "--checkpoint", "20ms",
            "--add", os.path.join(programs, "memory") + ":/bin/memory")

    def fails_once(kind, number, _at, _data):
        return errno.EIO if (kind, number) == ("flush", 30) else 0

    with FaultDisk(tmp_path / "d.img", 512 << 20, volatile=True) as disk:
        for fault, words in ((fails_once, r"checkpoints go on with epoch"),
                             (None, r"goes on.*turn \d+.*turn \d+")):
            disk.restart(fault)
            with Guest(*args, "--disk", disk.url, argv=["memory", "1000000"]) as machine:
                machine.expect(words + "|WRONG")
                machine.power_cut()
                disk.power_cut(0.0)
            assert not re.search(r"WRONG|panic", machine.text), machine.text[-4000:]
