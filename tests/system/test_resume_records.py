"""Epochs whose records lie, with right hashes: the kernel comes up or refuses, and never panics.

tests/fuzz/records.py has more of it: `make fuzz-records N=100`.
"""
import os
import subprocess
import sys

import pytest

from guest import ON_LINUX, TOP

sys.path.insert(0, os.path.join(TOP, "tests", "fuzz"))

import records  # noqa: E402

pytestmark = pytest.mark.skipif(ON_LINUX, reason="Linux has no store")

# Kind, field, word and what it says; what has to become of it. The numbers are in */record.h and
# beside the kinds' code.
LIES = [
    ("flags that no program may have", (49, "4", 20, 0x4202), "refused"),
    ("nice far out of range", (49, "8", 0, 1000000), "refused"),
    ("zombies that run", (48, "10", 0, 0x1fff), "refused"),
    ("pages without end", (32, "7/10", 0, 1 << 51), "up"),
    ("a descriptor of 4294967295", (84, "2", 0, 0xffffffff), "refused"),
    ("what there is once, in every mount", (81, "1", 0, 1), "refused"),
]


@pytest.fixture(scope="module")
def left(programs, tmp_path_factory):
    """A store with one of everything, after a power cut."""
    subprocess.run(["make", "-s", "build/mutate-records"], cwd=TOP, check=True)
    path = str(tmp_path_factory.mktemp("records") / "all.img")
    records.make_image(path, programs)
    return path


def resumed(left, tmp_path, programs, *change):
    copy = str(tmp_path / "one.img")
    subprocess.run(["cp", "--sparse=always", left, copy], check=True)
    changes = records.mutate(copy, *change)
    outcome, text = records.resume(copy, programs, records.last_epoch(copy))
    assert outcome in ("up", "refused"), "%s\n%s\n%s" % (outcome, changes, text[-3000:])
    return outcome


@pytest.mark.parametrize("lie,outcome", [lie[1:] for lie in LIES], ids=[lie[0] for lie in LIES])
def test_lies_that_were_believed(left, programs, tmp_path, lie, outcome):
    assert resumed(left, tmp_path, programs, "set", *lie) == outcome


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_lies_by_chance(left, programs, tmp_path, seed):
    resumed(left, tmp_path, programs, seed, 2)
