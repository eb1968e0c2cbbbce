"""Rows of the failure matrix that are about the first that is read of an epoch, the record of the
system, and the first that is written, the note of the attempt. See test_faults.py.

The youngest epoch is a large one, which recovery believes by its mark: so the record is what the
engine is first to read of it.
"""
import errno
import threading

import pytest

from faultdisk import DROPPED, SIZE, FaultDisk
from guest import ON_LINUX, Guest
from keeper import SHELL
from storeimage import flipped, records

SYSTEM = 16             # the object's number
MARKS = {n * 4096 for n in (17, 257, 513, 769)}
LAST = 3                # turn of the epoch that is left
TURNS = "i=0; while true; do dd if=/dev/urandom of=/f bs=64k count=24 2>/dev/null; sync; " \
    "echo turn $i.; read x; i=$((i+1)); done"
ALONE = r"epoch (\d+) of vda cannot be resumed: error %d; it is left alone, nothing is kept: "

pytestmark = pytest.mark.skipif(ON_LINUX, reason="Linux has no store")


def start(disk, fault=None, bad=(), args=()):
    disk.restart(fault)
    disk.bad = frozenset(bad)
    return Guest(*SHELL, "--disk", disk.url, "--checkpoint", "1000s", *args,
                 argv=["sh", "-c", TURNS])


@pytest.fixture(scope="module")
def left_behind(tmp_path_factory):
    marked = threading.Event()

    def note(kind, number, at, data):
        if kind == "write" and at in MARKS:
            marked.set()
        return 0
    with FaultDisk(tmp_path_factory.mktemp("left") / "d.img", SIZE) as disk:
        with start(disk, note) as machine:
            for turn in range(LAST):
                machine.expect(r"\bturn %d\." % turn)
                marked.clear()
                machine.line("")
            machine.expect(r"\bturn %d\." % LAST)
            assert marked.wait(60)
            machine.power_cut()
        return disk.save()


@pytest.fixture
def left(left_behind, tmp_path):
    """A disk, its image, the youngest epoch, where the record of its system is."""
    with FaultDisk(tmp_path / "d.img", SIZE) as disk:
        disk.load(left_behind)
        _, epoch, _, items = records(left_behind)[-1]
        at, = [(block, offset) for oid, _, block, offset, _ in items if oid == SYSTEM]
        yield disk, left_behind, epoch, at


def goes_on(disk, epoch, turn):
    with start(disk) as machine:
        machine.expect(r"epoch %d, \d+ ms old, goes on" % epoch)
        machine.expect(r"\bturn %d\." % turn)
        machine.line("")
        machine.expect(r"\bturn %d\." % (turn + 1))
        machine.power_cut()
        return machine.text


def left_alone(disk, error, fault=None, **how):
    """The machine runs without the disk. => its text"""
    image = disk.save()
    with start(disk, fault, **how) as machine:
        machine.expect(ALONE % error)
        for turn in range(2):
            machine.expect(r"\bturn %d\." % turn)
            machine.line("")
        machine.power_cut()
        assert "starting again" not in machine.text, machine.text
        assert machine.text.count("nothing is kept") == 1, machine.text
    assert disk.save() == image
    return machine.text


def test_a_system_that_cannot_be_read_is_left_alone(left):
    disk, _, epoch, (block, _) = left
    text = left_alone(disk, errno.EIO, bad=[block])
    assert "or with --epoch for an older one" in text and "write" not in disk.count
    goes_on(disk, epoch, LAST)


def test_an_older_epoch_is_there_where_the_youngest_cannot_be_read(left):
    """The power went before its mark: is all it put read, told, and left as it is?"""
    disk, image, epoch, (block, _) = left
    unmarked = bytearray(image)
    for at in MARKS:
        unmarked[at:at + 4096] = bytes(4096)
    disk.load(bytes(unmarked))
    with start(disk, bad=[block]) as machine:
        machine.expect(r"vda cannot be read \(error 5\); nothing is kept: start again when the disk "
                       r"has no errors, or with --epoch for an older one")
        machine.expect(r"\bturn 0\.")
        machine.power_cut()
    assert "write" not in disk.count
    with start(disk, bad=[block], args=["--epoch", str(epoch - 1)]) as machine:
        machine.expect(r"epoch %d, \d+ ms old, goes on" % (epoch - 1))
        machine.expect(r"\bturn %d\." % (LAST - 1))
        machine.line("")
        machine.expect(r"\bturn %d\." % LAST)
        machine.power_cut()


def test_a_damaged_system_gives_way_to_the_epoch_before(left):
    disk, image, epoch, (block, offset) = left
    disk.load(flipped(image, block * 4096 + offset + 33))
    text = goes_on(disk, epoch - 1, LAST - 1)
    assert "epoch %d cannot be resumed: error 74; starting again" % epoch in text, text
    assert "epoch %d was resumed 3 times and came to nothing" % epoch in text, text


def test_a_processor_that_lacks_something_leaves_it_alone(left):
    disk, _, epoch, _ = left
    text = left_alone(disk, errno.EOPNOTSUPP, args=["--qemu=-cpu", "--qemu=max,-rdrand"])
    assert "this processor lacks what the processes use" in text and "write" not in disk.count
    goes_on(disk, epoch, LAST)


@pytest.mark.parametrize("damaged, answer", [(True, errno.EIO), (False, DROPPED)],
                         ids=["refused", "dropped"])
def test_an_attempt_that_cannot_be_noted_is_not_made(left, damaged, answer):
    """It would be made again and again; the disk may refuse writes, or only say that it took them."""
    disk, image, epoch, (block, offset) = left
    if damaged:
        disk.load(flipped(image, block * 4096 + offset + 33))
    left_alone(disk, errno.EIO, lambda kind, n, at, data: answer if kind == "write" else 0)
    goes_on(disk, epoch - damaged, LAST - damaged)
