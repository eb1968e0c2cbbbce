"""A machine of four clusters while it works: are its memory's rules whole afterwards?"""
import os
import re
import subprocess

import pytest

import guest
from guest import BUILD, run
from test_cluster_boot import nodes

pytestmark = pytest.mark.skipif(guest.ON_LINUX, reason="reads /proc/holdfast")

FOUR = ("--cpus", "8", "--clusters", "4", "--memory", "1G")


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
            # A thread that the walk stops half-way has a page that nobody names: other threads
            # of BEAM still run. A page that is lost stays so, and this never ends.
            "Walk = fun F() -> {ok, B} = file:read_file(\"/proc/holdfast/check\"), "
            "case binary:match(B, <<\"in_flight 0\\n\">>) of nomatch -> F(); _ -> B end end, "
            "io:put_chars(Walk()), halt().")
    found = check(run(*FOUR, argv=["erl", "-noshell", "-eval", busy]))
    assert found["user_tables"] > 20 and found["roots"] >= 8
    assert found["replicas"] > 300, "BEAM's text is executed in its own cluster only"


def test_clusters_in_erlang():
    """Does holdfast:clusters() tell of each cluster, and of pages taken from its own memory?"""
    ask = ("C = holdfast:clusters(), 4 = length(C), "
           "[begin #{cluster := N, cores := 2, allocs_local := L, allocs_remote := 0, "
           "faults := F} = M, true = L > 0, true = F >= 0 end || {N, M} <- "
           "lists:zip(lists:seq(0, 3), C)], io:format(\"all four~n\"), halt().")
    result = run(*FOUR, argv=["erl", "-noshell", "-eval", ask])
    assert result.status == 0 and "all four" in result.out, result


def test_first_touch(abi):
    """Of 256 MiB that a thread pinned to a cluster touches, does it get 99 % from there?"""
    result = run("--cpus", "4", "--clusters", "2", "--memory", "1G", "--base", "busybox",
                 "--add", abi + "/numa:/abi/numa",
                 argv=["sh", "-c", "ABI_NUMA_MIB=256 /abi/numa first_touch"])
    assert result.status == 0 and "1 passed, 0 failed" in result.out, result


def counters(text):
    """The lines of /proc/holdfast/clusters, as a list of dictionaries."""
    lines = re.findall(r"^(cluster \d+ .*?)\r?$", text, re.M)
    return [{k: int(v) for k, v in re.findall(r"(\w+) (\d+)", line)} for line in lines]


def test_cluster_out_of_memory():
    """Does a cluster without memory take from others, count it, and is it all given back?"""
    show = "cat /proc/holdfast/clusters"
    fill = "taskset 2 dd if=/dev/zero of=/tmp/x bs=1M count=400 2>/dev/null; "
    # A store knows of each part of the disk that it has used, and has what is gone for a few epochs.
    epochs = "for i in 1 2 3 4 5 6; do echo $i >/tmp/n; sync; done; " if guest.HAS_DISK else ""
    before = fill + "rm /tmp/x; " + epochs if guest.HAS_DISK else ""
    script = (before + show + "; " + fill + show + "; rm /tmp/x; " + epochs + show +
              "; cat /proc/holdfast/check")
    result = run(*FOUR, "--base", "busybox", argv=["sh", "-c", script])
    check(result)
    found = counters(result.out)
    before, full, after = found[0:4], found[4:8], found[8:12]
    assert full[0]["allocs_remote"] - before[0]["allocs_remote"] > 100 * 256, result
    assert sum(c["helped"] for c in full) == sum(c["allocs_remote"] for c in full), result
    assert full[0]["free_kb"] < 8 << 10, result
    for was, now in zip(before, after):
        assert now["free_kb"] > was["free_kb"] - (2 << 10), result


def test_copies_of_text_are_given_back(abi):
    """Does a cluster give its copies of program text back when its memory is short?"""
    script = ("cd /abi; for c in 4 8 10; do taskset $c ./memstorm map_unmap protect; "
              "taskset $c ls -lR /sys >/dev/null; done; cat /proc/holdfast/clusters; "
              "ABI_NUMA_MIB=400 taskset 4 ./numa first_touch; cat /proc/holdfast/clusters; "
              "cat numa >memstorm; taskset 10 ./memstorm policy_kept; cat /proc/holdfast/check")
    result = run(*FOUR, "--base", "busybox", "--add", abi + "/memstorm:/abi/memstorm",
                 "--add", abi + "/numa:/abi/numa", argv=["sh", "-c", script])
    check(result)
    found = counters(result.out)
    before, after = found[0:4], found[4:8]
    assert before[1]["replicas"] > 10, result
    assert after[1]["replicas"] < before[1]["replicas"], result
    assert "ok policy_kept" in result.out, "the text of a file that was written since"


def test_shootdowns_stay_at_home(abi):
    """Does a program of one cluster, mapping and unmapping, leave the others alone?"""
    show = "cat /proc/holdfast/clusters"
    script = show + "; taskset 3 /abi/memstorm map_unmap protect; " + show
    result = run(*FOUR, "--base", "busybox", "--add", abi + "/memstorm:/abi/memstorm",
                 argv=["sh", "-c", script])
    assert result.status == 0, result
    found = counters(result.out)
    served = [b["shootdowns_served"] - a["shootdowns_served"]
              for a, b in zip(found[0:4], found[4:8])]
    assert served[0] > 10 and max(served[1:]) < 10, result


def test_threads_stay_at_home():
    """Are BEAM's schedulers dealt to the clusters evenly, and hardly ever taken from them?"""
    busy = ("Me = self(), Ps = [spawn_link(fun() -> Me ! {self(), length(lists:sort("
            "[rand:uniform() || _ <- lists:seq(1, 20000)]))} end) || _ <- lists:seq(1, 64)], "
            "[receive {P, R} -> R end || P <- Ps], "
            "{ok, B} = file:read_file(\"/proc/holdfast/clusters\"), io:put_chars(B), halt().")
    result = run(*FOUR, argv=["erl", "-noshell", "-eval", busy])
    assert result.status == 0, result
    threads = [c["threads"] for c in counters(result.out)]
    assert len(threads) == 4 and max(threads) - min(threads) <= 2, result


def test_overloaded_cluster_is_helped():
    """Are threads of an overloaded cluster run by others that have nothing to do?"""
    hogs = "for i in 1 2 3 4; do while :; do :; done & P=\"$P $!\"; done; "
    show = "sleep 0.3; cat /proc/holdfast/clusters; "
    script = ("taskset 3 sh -c '" + hogs + show + "for p in $P; do taskset -p ff $p; done; "
              "while grep -q \"running [4-9]\" /proc/holdfast/clusters; do sleep 0.1; done; " +
              show + "kill $P'")
    result = run(*FOUR, "--base", "busybox", argv=["sh", "-c", script])
    found = counters(result.out)
    assert len(found) == 8, result
    assert found[0]["running"] >= 4 and sum(c["running"] for c in found[1:4]) <= 1, result
    assert sum(c["taken"] for c in found[5:8]) >= 2, result
    assert max(c["running"] for c in found[4:8]) <= 3 + guest.HAS_DISK, result


def test_help_lasts_over_checkpoints(tmp_path):
    """Do threads that another cluster helps stay there when all have stood still for a checkpoint?"""
    show = "grep -o \"taken [0-9]*\" /proc/holdfast/clusters; echo; "
    script = ("taskset 1 sh -c 'for i in 1 2 3; do while :; do :; done & P=\"$P $!\"; done; "
              "for p in $P; do taskset -p f $p; done; sleep 1; " + show +
              "was=$(cat /proc/holdfast/store | grep commits); sleep 1; " + show +
              "echo $was; grep commits /proc/holdfast/store; kill $P'")
    result = run("--cpus", "4", "--clusters", "4", "--base", "busybox", "--disk",
                 str(tmp_path / "d.img"), "--checkpoint", "20ms", argv=["sh", "-c", script])
    taken = [int(n) for n in re.findall(r"^taken (\d+)", result.out, re.M)]
    commits = [int(n) for n in re.findall(r"^commits (\d+)", result.out, re.M)]
    assert len(taken) == 8 and sum(taken[:4]) >= 2, result
    assert commits[1] - commits[0] > 5, result
    assert sum(taken[4:]) - sum(taken[:4]) < (commits[1] - commits[0]) / 2, result


def test_nearest_cluster_helps():
    """With unequal distances, do memory and time come from the nearest cluster that has some?"""
    far = [(0, 1, 40), (0, 2, 30), (0, 3, 15), (1, 2, 20), (1, 3, 35), (2, 3, 25)]
    show = "cat /proc/holdfast/clusters; "
    fill = "dd if=/dev/zero of=/tmp/x bs=1M count=%d 2>/dev/null; "
    hogs = "for i in 1 2 3; do while :; do :; done & P=\"$P $!\"; done; "
    line = "grep \"^cluster 3\" /proc/holdfast/clusters | grep -o \"taken [0-9]*\""
    script = ("taskset 3 sh -c '" + fill % 300 + show + fill % 560 + show + "rm /tmp/x; " + hogs +
              "sleep 0.1; was=$(" + line + "); " + show +
              "for p in $P; do taskset -p ff $p; done; "
              "while [ \"$(" + line + ")\" = \"$was\" ]; do sleep 0.1; done; " + show + "kill $P'")
    result = run(*nodes([256] * 4, [[0, 1], [2, 3], [4, 5], [6, 7]], far), "--base", "busybox",
                 argv=["sh", "-c", script])
    found = counters(result.out)
    assert len(found) == 16, result
    first, more, before, after = (found[i:i + 4] for i in (0, 4, 8, 12))
    assert first[3]["helped"] > 40 * 256, result
    assert first[1]["helped"] == first[2]["helped"] == more[1]["helped"] == 0, result
    assert more[2]["helped"] > 20 * 256, result
    assert [b["taken"] - a["taken"] for a, b in zip(before, after)][1:3] == [0, 0], result
    assert after[3]["taken"] > before[3]["taken"], result


@pytest.mark.parametrize("clusters", [1, 2, 4])
def test_devices_are_dealt_to_clusters(clusters):
    """Is each device served by the cluster of its index modulo the clusters, on a core there?"""
    more = ["--qemu=-device", "--qemu=virtio-rng-pci"] * 5
    result = run("--cpus", "4", "--clusters", str(clusters), "--base", "busybox", *more,
                 argv=["cat", "/proc/holdfast/chdevs"])
    found = devices(result)
    check_placement(result, clusters, 4 // clusters)
    assert len(found) >= 6 and len({d["core"] for d in found.values()}) == 4, result
    assert found["rng0"]["irqs"] > 0, result
    for name, d in found.items():
        assert d["strays"] == 0, "%s interrupts a core of another cluster" % name


def devices(result):
    """/proc/holdfast/chdevs: {name: {figure: number}} of the external ones"""
    lines = re.findall(r"^(\w+) (index .*?)\r?$", result.out, re.M)
    return {name: {k: int(v) for k, v in re.findall(r"(\w+) (\d+)", rest)}
            for name, rest in lines}


def check_placement(result, clusters, cores):
    """Internal devices: one set a cluster, in order; external: by index modulo the clusters."""
    inside = re.findall(r"^icu(\d+) internal cluster (\d+) core (\d+) cores (\d+) irqs (\d+) "
                        r"vectors (\d+)\r?$", result.out, re.M)
    assert [[int(x) for x in line[:4]] for line in inside] == \
        [[n, n, n * cores, cores] for n in range(clusters)], result
    found = devices(result)
    assert [d["index"] for d in found.values()] == list(range(len(found))), result
    for d in found.values():
        assert d["cluster"] == d["index"] % clusters, result
        assert d["core"] // cores == d["cluster"], result
    if len(found) >= clusters:
        assert all(int(line[5]) > 0 for line in inside), "a device's vector in each cluster"


def test_disks_interrupt_their_cluster(tmp_path):
    """Do completions of each kind of disk come in the cluster that the disk belongs to, on a
    machine one cluster of which has died?"""
    drives = []
    for n, device in enumerate(("virtio-blk-pci", "nvme,serial=1", "ide-hd,bus=ide.0")):
        image = tmp_path / ("disk%d" % n)
        image.write_bytes(bytes(1 << 20))
        drives += ["-drive", "if=none,id=d%d,format=raw,file=%s" % (n, image),
                   "-device", "%s,drive=d%d" % (device, n)]
    script = ("for d in vda nvme0n1 sda; do dd if=/dev/$d of=/dev/null bs=4k count=32 2>/dev/null "
              "|| echo no $d; done; cat /proc/holdfast/chdevs")
    result = run("--cpus", "8", "--clusters", "4", "--base", "busybox", "--netdev", "none",
                 "--kernel-args", "kill=2,3", *("--qemu=" + word for word in drives),
                 argv=["sh", "-c", script])
    assert result.status == 0 and "no " not in result.out.partition("D7 done")[2], result
    check_placement(result, 3, 2)
    found = devices(result)
    assert sorted(found) == ["disk%d" % n for n in range(3 + guest.HAS_DISK)], result
    for name, d in found.items():
        assert d["irqs"] > 0 and d["strays"] == 0, (name, result)


def test_topology_of_debian():
    """Do numactl and lscpu tell of four nodes with two processors each?"""
    result = run(*FOUR, "--base", "busybox", "--debian", "numactl", "--debian", "util-linux",
                 argv=["sh", "-c", "numactl -H; lscpu; numactl --membind=2 numactl --show"])
    assert result.status == 0, result
    assert "available: 4 nodes (0-3)" in result.out, result
    for n in range(4):
        cpus = "%d %d" % (2 * n, 2 * n + 1)
        assert re.search(r"node %d cpus: %s$" % (n, cpus), result.out, re.M), result
        assert re.search(r"NUMA node%d CPU\(s\): +%s$" % (n, cpus.replace(" ", ",")),
                         result.out, re.M), result
    assert re.search(r"^  0:  10  20  20  20", result.out, re.M), result
    assert re.search(r"policy: bind\npreferred node: 2\n(.*\n)*membind: 2 $", result.out,
                     re.M), result


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
