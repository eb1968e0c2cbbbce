"""A machine of four clusters while it works: are its memory's rules whole afterwards?"""
import os
import re
import subprocess

import pytest

import guest
from guest import run

pytestmark = pytest.mark.skipif(guest.ON_LINUX, reason="reads /proc/holdfast")

FOUR = ("--cpus", "8", "--clusters", "4", "--memory", "1G")
BUILD = os.environ.get("HOLDFAST_BUILD", os.path.join(guest.TOP, "build"))


def figures(text):
    """The lines 'name number' of /proc/holdfast/check."""
    return {k: int(v) for k, v in re.findall(r"^(\w+) (\d+)\r?$", text, re.M)}


def check(result):
    """What the walk over all memory found: every rule holds, no page is lost."""
    assert result.status == 0, result
    found = figures(result.out)
    assert "broken" in found and not re.search(r"^broken:", result.out, re.M), result
    assert found["broken"] == 0 and found["tables_elsewhere"] == 0, result
    assert found["in_flight"] == 0, result
    return found


@pytest.fixture(scope="module")
def abi():
    """Programs of tests/abi, for --add."""
    subprocess.run(["make", "-s", "abi"], cwd=guest.TOP, check=True)
    return os.path.join(guest.TOP, "build", "abi")


def test_check_after_beam():
    """After BEAM used all cores, is each page where it belongs and owned once?"""
    busy = ("Work = fun(N) -> T = ets:new(t, []), "
            "[ets:insert(T, {K, binary:copy(<<K:32>>, 500)}) || K <- lists:seq(1, 3000)], "
            "_ = os:cmd(\"cat /proc/loadavg\"), L = lists:sort([rand:uniform() || _ <- "
            "lists:seq(1, 20000)]), length(L) + N end, "
            "Me = self(), Ps = [spawn_link(fun() -> Me ! {self(), Work(N)} end) || "
            "N <- lists:seq(1, 32)], "
            "[receive {P, R} -> R end || P <- Ps], "
            "{ok, B} = file:read_file(\"/proc/holdfast/check\"), io:put_chars(B), halt().")
    found = check(run(*FOUR, argv=["erl", "-noshell", "-eval", busy]))
    assert found["user_tables"] > 20 and found["roots"] >= 8


def test_clusters_in_erlang():
    """Does holdfast:clusters() tell of each cluster, and of pages taken from its own memory?"""
    ask = ("C = holdfast:clusters(), 4 = length(C), "
           "[begin #{cluster := N, cores := 2, allocs_local := L, allocs_remote := 0, "
           "faults := F} = M, true = L > 0, true = F >= 0 end || {N, M} <- "
           "lists:zip(lists:seq(0, 3), C)], io:format(\"all four~n\"), halt().")
    result = run(*FOUR, argv=["erl", "-noshell", "-eval", ask])
    assert result.status == 0 and "all four" in result.out, result


def test_selftest():
    """Do remote calls from every core to every cluster, and barriers, come back?"""
    result = run(*FOUR, "--base", "busybox", argv=["cat", "/proc/holdfast/selftest"])
    assert result.status == 0, result
    assert re.search(r"rpc own_cluster calls 200 mean_ns [1-9]", result.out), result
    assert re.search(r"rpc other_cluster calls 1200 mean_ns [1-9]", result.out), result
    assert "rpc wrong 0" in result.out, result
    assert re.search(r"barrier cores 8 rounds 100 mean_ns [1-9]", result.out), result
    print(result.out)


def test_check_after_storm(abi):
    """After mmap, munmap, mprotect and fork on every core at once, do the rules hold?"""
    script = "/abi/memstorm every_core mixed_storm >/tmp/out && cat /proc/holdfast/check"
    check(run(*FOUR, "--base", "busybox", "--add", abi + "/memstorm:/abi/memstorm",
              argv=["sh", "-c", script]))
