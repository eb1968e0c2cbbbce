"""Fixtures of the system tests: compiled helpers and machines to share."""
import glob
import os
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import faultdisk  # noqa: E402
import guest  # noqa: E402

WORK = os.path.join(guest.TOP, "build", "tests")
SOURCES = os.path.join(guest.TOP, "tests", "system", "guest")

# Tests of the power button without a store: there the program is asked to end. With one, the
# button means a last checkpoint (test_resume.py), and no program hears of it.
asks_the_program = pytest.mark.skipif(guest.HAS_DISK, reason="with a disk, the button keeps all")


@pytest.fixture(scope="session")
def ebin():
    """Folder with the tests' Erlang modules, compiled."""
    out = os.path.join(WORK, "ebin")
    os.makedirs(out, exist_ok=True)
    for source in sorted(glob.glob(SOURCES + "/*.erl")):
        beam = os.path.join(out, os.path.basename(source)[:-4] + ".beam")
        if not os.path.exists(beam) or os.path.getmtime(beam) < os.path.getmtime(source):
            subprocess.run(["erlc", "+deterministic", "-Werror", "-o", out, source], check=True)
    return out


@pytest.fixture(scope="session")
def programs():
    """Folder with the tests' C programs, built statically."""
    out = os.path.join(WORK, "bin")
    os.makedirs(out, exist_ok=True)
    headers = max(os.path.getmtime(header) for header in glob.glob(SOURCES + "/*.h"))
    for source in sorted(glob.glob(SOURCES + "/*.c")):
        program = os.path.join(out, os.path.basename(source)[:-2])
        if not os.path.exists(program) or \
                os.path.getmtime(program) < max(os.path.getmtime(source), headers):
            subprocess.run(["gcc", "-O1", "-static", "-pthread", "-Wall", "-Wextra", "-Werror",
                            "-o", program, source], check=True)
    return out


@pytest.fixture
def disk(tmp_path):
    """A disk with a write cache, whose faults the test decides."""
    with faultdisk.FaultDisk(tmp_path / "d.img", faultdisk.SIZE, volatile=True) as made:
        yield made


@pytest.fixture(scope="session")
def testing(ebin):
    """Arguments that put the tests' Erlang modules on the guest's path."""
    return ["--add", ebin + ":/test/ebin", "--env", "ERL_LIBS=/test"]


def erlang_guest(testing, *args, **options):
    return guest.Erlang(*testing, *args, argv=["erl", "-pa", "/test/ebin"], **options)


@pytest.fixture(scope="module")
def erlang(testing):
    """One machine with 4 cores at the shell, for all tests of a module."""
    with erlang_guest(testing, "--cpus", "4", "--memory", "768M") as machine:
        machine.ready()
        yield machine
