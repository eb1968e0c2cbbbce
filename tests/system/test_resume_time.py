"""Time and chance over power cuts: clocks never step back, timers do not storm after an outage, and
two resumes of one epoch do not draw the same random numbers.
"""
import os
import re
import subprocess

import pytest

from conftest import erlang_guest
from guest import Guest, ON_LINUX

pytestmark = pytest.mark.skipif(ON_LINUX, reason="Linux has no store")

# The hardware's clock of the machines: an outage of years is one line here.
THEN = ["--qemu=-rtc", "--qemu=base=2027-01-01T00:00:00"]
LATER = ["--qemu=-rtc", "--qemu=base=2031-01-01T00:00:00"]
YEARS_MS = 4 * 365 * 86400 * 1000
# Timers of 10 ms in the first 100 ms: 10, and those of the time that the resume took, which the
# monotonic clock has. The outage alone would be twelve thousand million.
DUE = 200
TIMERS = ["monotonic", "realtime", "boottime", "setitimer", "timer", "nanosleep"]


def resumed(machine):
    """After a resume: how often each timer woke somebody, and what was drawn."""
    machine.expect(r"epoch \d+, \d+ ms old, goes on")
    woken = {name: int(machine.expect(r"woken %s (\d+)\s" % name).group(1)) for name in TIMERS}
    drawn = [machine.expect(r"random (\w{32})\s").group(1) for _ in range(3)]
    assert "WRONG" not in machine.text, machine.text
    return woken, drawn


def copied(image, name):
    """The same disk once more: what it holds can be resumed twice."""
    copy = os.path.join(os.path.dirname(image), name)
    subprocess.run(["cp", "--sparse=always", image, copy], check=True)
    return copy


def test_clocks_timers_and_random_numbers(programs, tmp_path):
    """Twice from the same epoch, the second time years later, and once more after that."""
    args = ("--base", "busybox", "--cpus", "4", "--clusters", "2", "--checkpoint", "50ms",
            "--add", os.path.join(programs, "clocks") + ":/bin/clocks")
    first = str(tmp_path / "first.img")
    with Guest(*args, "--disk", first, *THEN, argv=["clocks"]) as machine:
        machine.expect("reading")
        machine.power_cut()
    second = copied(first, "second.img")
    with Guest(*args, "--disk", first, *THEN, argv=["clocks"]) as machine:
        _, drawn = resumed(machine)
        machine.power_cut()
    with Guest(*args, "--disk", second, *THEN, argv=["clocks"]) as machine:
        drawn += resumed(machine)[1]
        machine.power_cut()
    with Guest(*args, "--disk", second, *LATER, argv=["clocks"]) as machine:
        woken, more = resumed(machine)
        drawn += more
        outage = int(machine.expect(r"outage_ms (\d+)\s").group(1))
        assert YEARS_MS * 0.99 < outage < YEARS_MS * 1.01
        assert max(woken.values()) <= DUE, woken
        machine.power_cut()
    assert len(set(drawn)) == len(drawn), drawn


def test_two_resumes_of_an_epoch_in_erlang(testing, tmp_path):
    """With the application's hook OpenSSL's numbers differ, too; timer:send_interval keeps step."""
    disk = ("--cpus", "2", "--disk", str(tmp_path / "d.img"), "--checkpoint", "off")
    with erlang_guest(testing, *disk, *THEN) as erlang:
        erlang.ready()
        erlang.eval("hf_ticks:start(10), ok = holdfast:subscribe(), crypto:strong_rand_bytes(8)")
        epoch = re.match(r"\{ok,(\d+)\}", erlang.eval("holdfast:checkpoint()")).group(1)
        erlang.power_cut()
    seen = []
    for _ in range(2):
        with erlang_guest(testing, *disk, *LATER, "--epoch", epoch) as erlang:
            erlang.count = 100
            erlang.expect(r"epoch %s, \d+ ms old, goes on" % epoch)
            erlang.eval("receive {holdfast, resumed, _} -> ok end")
            assert int(erlang.eval("hf_ticks:after_resume()")) <= DUE
            seen.append(erlang.eval("crypto:strong_rand_bytes(16)"))
            erlang.power_cut()
    assert seen[0] != seen[1]
