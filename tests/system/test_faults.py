"""What becomes of checkpoints when the disk fails: the failure matrix of doc/store.md, row by row.

Disks of other kinds, slow ones and some that do not answer are in
test_faults_disks.py. Disks are tests' own (faultdisk.py). What runs is guest/keeper.c, which
believes fsync: whatever happens, each number that it called kept is there
after the next power cut, and in the meantime it runs on.
"""
import os
import random
import re

import pytest

import crashboot
from faultdisk import SIZE, FaultDisk, PowerCut, counted, fails_from, fails_once
from guest import Guest, ON_LINUX, holdfast
from keeper import SHELL, Keeper
from storeimage import flipped, records

# `make faults` tries every place, or every so many; `make test` some.
EVERY = int(os.environ.get("HOLDFAST_TEST_SWEEP", "0"))

pytestmark = pytest.mark.skipif(ON_LINUX, reason="Linux has no store")


def some(numbers, step):
    return list(numbers)[::EVERY or step]


# --- errors of writes and flushes ---

@pytest.mark.parametrize("kind, numbers", [("write", some(range(1, 101), 33)),
                                           ("flush", some(range(1, 11), 5))])
def test_one_error_costs_one_checkpoint(programs, disk, kind, numbers):
    """A failed flush loses all that it was to write, as disks and kernels do. One machine meets all
    of them: the n-th write from now on, and when it goes on, the next."""
    keeper = Keeper(disk, programs, 0)
    with keeper.start() as machine:
        machine.expect(r"\bkept 2\r*\n")
        for number in numbers:
            before = len(machine.text)
            disk.fault = counted(fails_once(kind, number))
            machine.expect(r"refused \d+ 5 fsync|WRONG")
            machine.expect(r"checkpoints go on with epoch")
            machine.expect(r"\bkept \d+\r*\n.*\bkept \d+\r*\n")
            text = machine.text[before:]
            assert text.count("no checkpoint (error 5), it is tried again") == 1, (number, text)
            assert text.count("refused") == 1, (number, text)
        keeper.off(machine)
    keeper.goes_on()


@pytest.mark.parametrize("kind", ["write", "flush"])
def test_a_disk_that_fails_for_good(programs, disk, kind):
    """The program runs on without checkpoints; the next start is at the last durable one."""
    keeper = Keeper(disk, programs, 0)
    for number in some(range(1, 9), 8):
        with keeper.start() as machine:
            machine.expect(r"\bkept \d+\r*\n.*\bkept \d+\r*\n")
            disk.fault = counted(fails_from(kind, number))
            machine.expect(r"refused \d+ 5 fsync")
            machine.expect(r"no more checkpoints, the disk failed twice")
            for _ in range(3):
                machine.expect(r"refused \d+ 5 fsync")
            keeper.off(machine)
            assert machine.text.count("no more checkpoints") == 1
    keeper.goes_on()


# --- errors of reads: while it is resumed, and later ---

@pytest.fixture(scope="module")
def left_behind(programs, tmp_path_factory):
    """A machine's disk after a power cut: (the image, what was kept, reads of the next machine until
    its first checkpoint)"""
    with FaultDisk(tmp_path_factory.mktemp("left") / "d.img", SIZE, volatile=True) as disk:
        keeper = Keeper(disk, programs, 5000)
        with keeper.start() as machine:
            for _ in range(6):
                machine.expect(r"\bkept \d+\r*\n")
            keeper.off(machine)
        image, kept, reads = disk.save(), keeper.kept, []

        def note(kind, number, at, data):
            if kind == "write" and number > 1:      # the first is the mark
                reads.append(disk.count["read"])
            return 0
        with keeper.start(note) as machine:
            machine.expect(r"goes on")
            machine.expect(r"\bkept \d+\r*\n.*\bkept \d+\r*\n")
            machine.power_cut()
    return image, kept, reads[0]


@pytest.fixture
def left(programs, disk, left_behind):
    """The same for one test: (its keeper, the image, the reads)"""
    image, kept, reads = left_behind
    disk.load(image)
    keeper = Keeper(disk, programs, 5000)
    keeper.kept = kept
    return keeper, image, reads


def test_an_error_of_a_read_while_resuming(left, disk):
    """It goes on, if need be at the second try; or runs without a store, which says so and writes
    nothing. A page that is read before the first checkpoint may be init's."""
    keeper, image, reads = left
    ways = set()
    for number in some(range(1, reads + 1), reads // 4):
        disk.load(image)
        with keeper.start(fails_once("read", number)) as machine:
            way = machine.expect(r"goes on|vda cannot be read \(error 5\); nothing is kept|"
                                 r"cannot be resumed: error 5; starting again").group(0)
            ways.add(way.split()[-1])
            if way.endswith("again"):
                machine.expect(r"goes on")
            if not way.endswith("kept"):
                machine.expect(r"\bkept \d+\r*\n|gets SIGBUS")
            machine.power_cut()
            assert not re.search(r"WRONG|panic", machine.text), machine.text
        disk.power_cut()
        keeper.check()
        if way.endswith("kept"):
            assert disk.save() == image
    keeper.goes_on(1)
    assert ways, ways


def test_a_page_that_cannot_be_read_later(left, disk):
    """It is SIGBUS to who uses it (the machine's end, if that is init), and a line; nobody gets
    other bytes. The blocks of all pages go bad at the first write behind the mark, when everything
    goes on: until then they may be the resume's own, such as those that two objects show. What was
    read together with others may be in memory by then; not all that keeper reads in its turns."""
    keeper, image, _ = left
    pages = frozenset(i[2] for _, _, _, items in records(image) for i in items
                      if i[1] >= 1 << 32 and i[4] == 4096)

    def fault(kind, number, at, data):
        if kind == "write" and number > 1:
            disk.bad = pages
        return 0
    with keeper.start(fault) as machine:
        machine.expect(r"page \d+ of object \d+ cannot be read: error 5; who uses it gets SIGBUS")
        assert machine.wait() != 0
        assert "WRONG" not in machine.text, machine.text


# --- damage ---

@pytest.mark.parametrize("where", ["head", "page", "record"])
def test_damage_in_the_newest_epoch(left, disk, where):
    """The one before is taken, and all that was kept until then is there."""
    keeper, image, _ = left
    seq, epoch, head, items = records(image)[-1]
    if where == "head":
        at = head * 4096 + 100
    else:
        *_, block, offset, _ = [i for i in items if (i[1] >= 1 << 32) == (where == "page")][-1]
        at = block * 4096 + offset + 5
    disk.load(flipped(image, at))
    keeper.kept -= 2        # what the last epoch had is gone
    with keeper.start() as machine:
        assert int(machine.expect(r"epoch (\d+), .* goes on").group(1)) == epoch - 1
        machine.expect(r"\bkept \d+\r*\n")
        keeper.off(machine)
    keeper.goes_on()


def lasting(image, of):
    """An item of the first epoch that no later one replaced."""
    found = records(image)
    later = {i[:2] for r in found[1:] for i in r[3]}
    return [i for i in found[0][3] if i[:2] not in later and of(i)]


def test_a_damaged_record_ends_in_a_clean_start(left, disk):
    """No epoch can be resumed without it; the machine starts again for each, then without any."""
    keeper, image, _ = left
    oid, _, block, offset, length = lasting(image, lambda i: i[1] < 1 << 32 and i[4] > 40)[-1]
    disk.load(flipped(image, block * 4096 + offset + 33))
    result = holdfast("store", "check", disk.path)
    assert result.status == 1 and "damaged" in result.out, result
    with keeper.start() as machine:
        machine.expect(r"object %d cannot be read: error 74" % oid)
        machine.expect(r"epoch \d+ cannot be resumed: error 74; starting again")
        machine.expect(r"epoch \d+ was resumed 3 times and came to nothing")
        machine.expect(r"a clean start, with the files alone")
        machine.expect(r"a clean start: files and processes are forgotten")
        keeper.kept = 0
        machine.expect(r"\bkept \d+\r*\n")
        keeper.off(machine)
    keeper.goes_on()


def test_any_flipped_bit_is_found_or_harmless(left, disk):
    keeper, image, _ = left
    used = [b for b in range(16, len(image) // 4096) if any(image[b * 4096:b * 4096 + 4096])]
    chance = random.Random(1)
    for _ in range(max(4, 200 // EVERY) if EVERY else 4):
        disk.load(flipped(image, chance.choice(used) * 4096 + chance.randrange(4096)))
        with keeper.start() as machine:
            machine.expect(r"\bkept \d+\r*\n|unreadable|SIGBUS")
            machine.power_cut()
            assert not re.search(r"WRONG|panic|assert", machine.text), machine.text[-4000:]
        disk.power_cut()


# --- cuts in cuts ---

def cut_at(kind, number):
    """There; or at the second write, if there are not so many reads before the first checkpoint."""
    def fault(k, n, at, data):
        if (k == kind and n >= number) or (kind == "read" and k == "write" and n > 1):
            raise PowerCut
        return 0
    return fault


def tries_left(disk):
    """Of the youngest epoch; behind the last the one before is taken."""
    tried = re.search(r"was resumed (\d+) times", holdfast("store", "info", disk.path).out)
    return 3 - int(tried.group(1)) if tried else 3


def places_of_cuts(reads):
    """In the reading, in the reading after that, at the mark, in the first checkpoint; `make faults`
    has all of these one behind the other, so that each is in what comes up after others."""
    chance = random.Random(2)
    if EVERY:
        places = [("read", n) for n in range(1, reads + 1)] + [("write", n) for n in range(1, 21)] + \
            [("flush", n) for n in range(1, 6)]
        chance.shuffle(places)
        return places[::EVERY]
    return [place for _ in range(2) for place in (
        ("read", chance.randrange(1, reads)), ("read", chance.randrange(1, reads)),
        chance.choice([("write", 1), ("flush", 1)]),
        chance.choice([("write", chance.randrange(2, 30)), ("flush", 2)]))]


def test_cuts_while_it_recovers_from_cuts(left, disk):
    keeper, _, reads = left
    for kind, number in places_of_cuts(reads):
        if tries_left(disk) == 1:
            keeper.goes_on()
        with keeper.start(cut_at(kind, number)) as machine:
            assert disk.cut.wait(60), machine.text[-3000:]
            keeper.off(machine, 0.5)
    keeper.goes_on()


# --- a disk that lies ---

def after_lies(disk, most):
    """The power is cut at the flush behind so many lies."""
    told = []

    def fault(kind, n, at, data):
        if kind == "flush" and disk.lying:
            if len(told) == most:
                raise PowerCut
            told.append(n)
        return 0
    return fault


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.7])
def test_dropped_flushes_lose_epochs_and_nothing_else(programs, disk, keep):
    """Four epochs can be opened: with three of them lost, two by lies and the one under way, the last
    that was flushed is among them. Of some that are lost so much is there that each is tried first,
    and found to be damaged."""
    keeper = Keeper(disk, programs, 5000)
    with keeper.start() as machine:
        machine.expect(r"\bkept 3\r*\n")
        keeper.off(machine)
    with keeper.start(after_lies(disk, 2)) as machine:
        machine.expect(r"goes on")
        disk.lying = True
        assert disk.cut.wait(60), machine.text[-3000:]
        disk.lying = False
        machine.power_cut()
        assert not re.search(r"WRONG|panic", machine.text), machine.text[-3000:]
    disk.power_cut(keep)
    whole = holdfast("store", "check", disk.path).status == 0
    assert whole or keep > 0.0
    with keeper.start() as machine:
        found = machine.expect(r"\bkept \d+\r*\n|page \d+ of object \d+ cannot be read")
        assert whole or "cannot be read" in machine.text, machine.text[-3000:]
        if found.group().startswith("page"):
            return              # the epoch is there but for a page: SIGBUS to who uses it
        keeper.off(machine)
    keeper.goes_on()


# --- a full disk ---

@pytest.mark.parametrize("where", ["file", "memory"])
def test_the_last_blocks_of_a_disk(programs, tmp_path, where):
    """The edge lands at another block each time. What was kept is kept, and there is room again for
    who gives back."""
    with FaultDisk(tmp_path / "full.img", 20 << 20) as disk:
        keeper = Keeper(disk, programs, 300000, 1, where)
        with keeper.start() as machine:
            for _ in some(range(1000), 1000):
                machine.expect(r"refused \d+ 28 " + ("write" if where == "file" else "fsync"))
                machine.expect(r"freed\r*\n")
                machine.expect(r"\bkept \d+\r*\n.*\bkept \d+\r*\n")
            keeper.off(machine)
        keeper.goes_on()


# --- an epoch that does not come up ---

def test_a_clean_start_after_the_last_epoch(disk):
    """Three times as it was, three times its files alone, then nothing of it."""
    def machine(script):
        return Guest(*SHELL, "--disk", disk.url, "--checkpoint", "1000s",
                     argv=["sh", "-c", script + "; sleep 1000"])
    with machine("echo mark > /m; sync; echo ready") as first:
        first.expect(r"\nready")
        first.power_cut()
    disk.power_cut()
    disk.volatile = False
    for way in (r"epoch 1, .* goes on",) * 3 + (
            r"epoch 1 was resumed \d times.*a clean start, with the files alone.*"
            r"its files without its processes.*mark",) * 3 + (
            r"epoch 1 was resumed 6 times.*files and processes are forgotten.*can't open '/m'",):
        with machine("cat /m") as again:
            again.expect(way)
            again.power_cut()


# --- what power cuts leave of a real run ---

def test_crash_states_of_a_real_run_boot(programs):
    """Four of them; `make crashboot` starts 200."""
    crashboot.crashboot(4, 1, os.path.join(programs, "blocked"), lambda line: None)
