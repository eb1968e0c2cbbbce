"""How machines of clusters come up: the planner, tested hardware, arch_info.bin, barriers.

Each boot prints /proc/holdfast/boot, where every instance is held against its own boot_info;
Machine checks that whatever the test is about.
"""
import os
import re
import struct
import subprocess
import zlib

import pytest

import guest
from guest import run

pytestmark = pytest.mark.skipif(guest.ON_LINUX, reason="about this kernel's boot")

ARCH_INFO = os.path.join(guest.TOP, "tools", "arch-info")
HUGE = 2 << 20


class Cluster:
    """What /proc/holdfast/boot says of a cluster."""

    def __init__(self, text):
        head = re.search(r"pxm (\d+), memory (\w+) to (\w+)(, of other domains too)?, cores(.*)", text)
        self.pxm, self.joined = int(head.group(1)), bool(head.group(4))
        self.cores = [int(x) for x in head.group(5).split()]
        self.distances = [int(x) for x in re.search(r"distances(.*)", text).group(1).split()]
        self.ranges = [tuple(int(x, 16) for x in r.split("+"))
                       for r in re.search(r"ranges(.*)", text).group(1).split()]
        self.size = sum(size for _, size in self.ranges)
        self.copy = re.search(r"boot_info at (\w+) of kdata, kcode (\w+) check (\w+) now (\w+), "
                              r"general (\w+) now (\w+)", text).groups()
        self.page = re.search(r"kcode page (.*)", text).group(1)
        self.pages = {name: int(n) for name, n in re.findall(r"(\w+) (\d+)",
                      re.search(r": (pages .*)", text).group(1))}


class Machine:
    """A machine that came up, and what it says of how."""

    def __init__(self, result):
        assert result.status == 0, result
        text = result.out
        self.result = result
        self.facts = dict(re.findall(r"^(\w+): (.*)$", text, re.M))
        self.decided = re.findall(r"^decided: (.*)$", text, re.M)
        count = int(self.facts["clusters"])
        self.clusters = [Cluster("\n".join(re.findall(r"^cluster %d: .*$" % i, text, re.M)))
                         for i in range(count)]
        self.cores = [core for c in self.clusters for core in c.cores]
        self._check()

    def _check(self):
        """The spec's checks of every instance: copies, tables, memory."""
        for c in self.clusters:
            where, kcode, check, now, general, general_now = c.copy
            assert where == "0" and int(kcode, 16) % HUGE == 0
            assert any(base <= int(kcode, 16) and int(kcode, 16) + HUGE <= base + size
                       for base, size in c.ranges)
            assert check == now == self.clusters[0].copy[2]
            assert general == general_now == self.clusters[0].copy[4]
            assert c.page == "2M read-only execute global"
            kept = sum(c.pages[x] for x in ("kernel", "tables", "image", "bad"))
            assert c.pages["given"] + kept == c.pages["pages"] == c.size // 4096
            assert c.distances[self.clusters.index(c)] == 10
        assert len(set(c.copy[1] for c in self.clusters)) == len(self.clusters)
        assert len(set(self.cores)) == len(self.cores) == int(self.facts["cores"])
        bytes_of = sorted(r for c in self.clusters for r in c.ranges)
        assert all(a[0] + a[1] <= b[0] for a, b in zip(bytes_of, bytes_of[1:]))
        assert "nproc %d" % len(self.cores) in self.result.out

    def said(self, words):
        return any(words in line for line in self.decided)


SCRIPT = "cat /proc/holdfast/boot; echo nproc $(nproc)"


def boot(*args, kernel_args="", status=None):
    result = run("--base", "busybox", "--kernel-args", kernel_args, *args,
                 argv=["sh", "-c", SCRIPT])
    if status is not None:
        assert result.status == status, result
        return result
    return Machine(result)


def nodes(sizes, cpus, distances=(), initiators=None):
    """QEMU's words for nodes of these MiB and processors; distances are (from, to, how far)."""
    out = ["--memory", "%dM" % sum(sizes), "--cpus", str(sum(len(c) for c in cpus))]
    words = []
    for i, size in enumerate(sizes):
        node = "node,nodeid=%d" % i + "".join(",cpus=%d" % c for c in cpus[i])
        if size:
            words += ["-object", "memory-backend-ram,id=node%d,size=%dM" % (i, size)]
            node += ",memdev=node%d" % i
        if initiators:
            node += ",initiator=%d" % initiators[i]
        words += ["-numa", node]
    for one, other, far in distances:
        words += ["-numa", "dist,src=%d,dst=%d,val=%d" % (one, other, far)]
    return out + ["--qemu=" + word for word in words]


# --- even machines ---

@pytest.mark.parametrize("clusters", [1, 2, 4, 8])
def test_nodes_of_the_firmware(clusters):
    """Does each node get an instance of its own, and do 300 rounds of barriers stay in step?"""
    machine = boot("--cpus", "8", "--clusters", str(clusters), kernel_args="barriers=300")
    assert len(machine.clusters) == clusters and len(machine.cores) == 8
    assert machine.facts["source"] == "ACPI"
    assert machine.facts["barriers"].startswith("300 rounds")
    assert machine.facts["boot_cxy"] == machine.facts["io_cxy"] == "0"


@pytest.mark.parametrize("clusters", [2, 4, 8])
def test_forced_clusters(clusters):
    machine = boot("--cpus", "8", kernel_args="clusters=%d" % clusters)
    assert len(machine.clusters) == clusters
    assert [len(c.cores) for c in machine.clusters] == [8 // clusters] * clusters
    assert {d for c in machine.clusters for d in c.distances} == {10, 20}


# --- uneven machines ---

def test_cores_without_memory_and_memory_without_cores():
    """Do they join the nearest? Node 1 has cores alone, node 3 memory alone, node 2 most of it."""
    machine = boot(*nodes([64, 0, 400, 48], [[0], [1, 2], [3], []],
                          [(0, 1, 40), (0, 2, 20), (0, 3, 25), (1, 2, 15), (1, 3, 20), (2, 3, 12)]))
    first, second = machine.clusters
    assert first.cores == [0] and second.cores == [1, 2, 3]
    assert second.pxm == 2 and second.joined and not first.joined
    assert first.distances == [10, 20]
    assert machine.said("domain 1, 2 cores and 0 MiB, joins cluster 1")


def test_boot_core_beside_a_tiny_bank():
    """Is the boot core moved to where a kernel fits?"""
    machine = boot(*nodes([8, 504], [[0], [1]]))
    assert [c.pxm for c in machine.clusters] == [1]
    assert machine.clusters[0].cores == [0, 1]


def test_huge_bank_with_a_hole():
    """Does a node on both sides of the PCI hole keep both parts, and one beyond 4 GiB run?"""
    machine = boot(*nodes([2560, 256], [[0], [1]]))
    assert len(machine.clusters) == 2
    assert len(machine.clusters[0].ranges) == 3
    assert machine.clusters[1].ranges[0][0] >= 4 << 30


def test_distances_of_the_hmat():
    """Without a SLIT, are latencies distances, and does memory go to the initiator it names?"""
    words = ["-machine", "hmat=on"]
    for core in (0, 1):
        for goal in (0, 1, 2):
            lb = "hmat-lb,initiator=%d,target=%d,hierarchy=memory,data-type=access-" % (core, goal)
            words += ["-numa", lb + "latency,latency=%d" % (10 if core == goal else 25 + core),
                      "-numa", lb + "bandwidth,bandwidth=100M"]
    machine = boot(*nodes([128, 128, 64], [[0], [1], []], initiators=[0, 1, 1]),
                   *["--qemu=" + word for word in words])
    assert [c.distances for c in machine.clusters] == [[10, 25], [26, 10]]
    assert machine.said("domain 2, 0 cores and 63 MiB, joins cluster 1")


# --- only tested hardware ---

def test_dead_cores():
    """Are dead cores left out and lids renumbered, a dead or odd first core replaced, and a dead
    cluster's memory given to the nearest?"""
    far = [(0, 1, 20), (0, 2, 20), (0, 3, 30), (1, 2, 30), (1, 3, 20), (2, 3, 15)]
    machine = boot(*nodes([128] * 4, [[0, 1], [2, 3], [4, 5], [6, 7]], far),
                   kernel_args="kill=1 kill=6,4,5 kill=0 odd=2")
    assert [c.cores for c in machine.clusters] == [[0], [3], [7]]
    assert machine.said("core 2 of cluster 1 is another kind of processor: left out")
    assert machine.clusters[2].size > 255 << 20 and machine.clusters[2].joined
    assert machine.clusters[2].distances == [30, 20, 10]
    for core in (1, 4, 5, 6):
        assert machine.said("core %d of cluster" % core)
    assert machine.said("cluster 2 is given up: its memory goes to cluster 3")
    assert machine.said("the boot core runs already")


def test_core_that_is_not_there(tmp_path):
    """Is a core that the firmware names and that never answers waited for, and left out?"""
    body = struct.pack("<II", 0xfee00000, 1) + struct.pack("<BBBBI", 0, 8, 9, 9, 1)
    (tmp_path / "madt").write_bytes(body)
    machine = boot("--cpus", "2", "--qemu=-acpitable",
                   "--qemu=sig=APIC,data=%s" % (tmp_path / "madt"))
    assert machine.cores == [0, 1]
    assert machine.decided == ["core 9 of cluster 0 does not start: left out"]


def test_bad_memory_under_an_anchor():
    """Does the kernel's copy move off a page that fails, and is only that page lost?"""
    machine = boot("--cpus", "2", "--clusters", "2", "--memory", "256M",
                   kernel_args="badmem=0x8100123")
    assert machine.clusters[1].copy[1] == "8200000"
    assert [c.pages["bad"] for c in machine.clusters] == [0, 1]
    assert machine.said("memory at 8100000 fails its test: 4 KiB left out")


def test_bad_bank():
    """Is a bank whose beginning fails left out as a whole, and a cluster that it was all of?"""
    bank = 128 << 20
    machine = boot(*nodes([128, 64, 64], [[0], [1], []]), kernel_args="badmem=%d" % bank)
    assert [c.cores for c in machine.clusters] == [[0, 1]]
    assert machine.clusters[0].pages["bad"] == (64 << 20) >> 12
    assert machine.said("memory at 8000000 fails its test: 65536 KiB left out")
    assert machine.said("cluster 1 is given up")
    machine = boot(*nodes([128, 64, 64], [[0], [1], []]), kernel_args="badmem=%d" % (3 * bank // 2))
    assert [c.cores for c in machine.clusters] == [[0], [1]]
    # What the boot loader put there stays; the firmware keeps more of its end where there is a disk.
    pages, size = machine.clusters[0].pages, dict(machine.clusters[0].ranges)[3 * bank // 2]
    assert size > 63 << 20 and pages["bad"] + pages["image"] == size // 4096
    assert machine.clusters[1].pages["bad"] == 0


def test_all_memory():
    machine = boot("--cpus", "2", "--clusters", "2", "--memory", "192M",
                   kernel_args="memtest=full badmem=0x7123456")
    assert any(re.match(r"memtest=full: 1[78]\d MiB tested, 4 KiB left out", line)
               for line in machine.decided)
    assert [c.pages["bad"] for c in machine.clusters] == [0, 1]


def test_limits_and_another_cluster_for_devices():
    """Do mem=, cores= and io= hold?"""
    machine = boot("--cpus", "6", "--clusters", "2", kernel_args="mem=64 cores=2 io=1")
    assert [len(c.cores) for c in machine.clusters] == [2, 2]
    assert all(c.size <= (64 << 20) + (4 << 20) for c in machine.clusters)
    assert machine.facts["io_cxy"] == "1"


@pytest.mark.parametrize("stalled, missing", [
    (3, "(local|global) barrier: missing after 1 s: cluster 1 core 3"),
    (0, "global barrier: missing after 1 s: cluster 0 core 0"),
])
def test_who_is_missing(stalled, missing):
    """Does a core that comes to no barrier end the boot with its name?"""
    result = boot("--cpus", "4", "--clusters", "2", status=125,
                  kernel_args="stall=%d patience=1" % stalled)
    assert re.search(missing, result.err), result


# --- arch_info.bin ---

REGROUPED = """
name by hand
io 7
cluster 3 pxm 50
core 0
core 3
ram 0 640K
ram 1M 95M
distance 10 30
cluster 7 pxm 51
core 2
core 1 disabled
core 9
far 96M 32M
ram 128M 64M
reserved 150M 1M
distance 30 10
"""


@pytest.fixture(scope="module")
def regrouped(tmp_path_factory):
    """A file for a machine of 4 cores and 256 MiB."""
    folder = tmp_path_factory.mktemp("arch")
    (folder / "text").write_text(REGROUPED)
    path = str(folder / "arch_info.bin")
    subprocess.run([ARCH_INFO, "write", str(folder / "text"), "-o", path], check=True)
    return path


FOUR = ("--cpus", "4", "--memory", "256M")


def test_file_regroups_and_leaves_out(regrouped):
    machine = boot(*FOUR, "--arch-info", regrouped)
    assert machine.facts["source"] == "arch_info.bin by hand"
    assert [c.cores for c in machine.clusters] == [[0, 3], [2]]
    assert [c.pxm for c in machine.clusters] == [50, 51]
    assert [c.distances for c in machine.clusters] == [[10, 30], [30, 10]]
    assert machine.clusters[1].size == 95 << 20
    assert int(machine.clusters[1].copy[1], 16) >= 128 << 20   # not in the far RAM
    assert machine.facts["io_cxy"] == "1"
    assert machine.said("core 9 is not in this machine")


def test_file_made_from_a_boot(tmp_path):
    """Does what a machine says of itself, as a file, give the same machine?"""
    machine = boot("--cpus", "4", "--clusters", "2", "--memory", "256M")
    (tmp_path / "boot").write_text(machine.result.out)
    done = subprocess.run([ARCH_INFO, "boot", str(tmp_path / "boot")], check=True,
                          capture_output=True)
    path = str(tmp_path / "arch_info.bin")
    subprocess.run([ARCH_INFO, "write", "-", "-o", path], input=done.stdout, check=True)
    same = boot("--cpus", "4", "--clusters", "2", "--memory", "256M", "--arch-info", path)
    assert same.facts["source"] == "arch_info.bin Holdfast"
    assert [c.ranges for c in same.clusters] == [c.ranges for c in machine.clusters]
    assert [c.cores for c in same.clusters] == [[0, 1], [2, 3]]


def test_file_and_command_line(regrouped):
    """Is the file not looked at with noarch, and cut by clusters=?"""
    assert len(boot(*FOUR, "--arch-info", regrouped, kernel_args="noarch").cores) == 4
    machine = boot(*FOUR, "--arch-info", regrouped, kernel_args="clusters=3")
    assert [c.cores for c in machine.clusters] == [[0], [2], [3]]


# QEMU hands over one module by PVH, other monitors may give several: the list is made longer by
# gdb, before the kernel's first instruction. The file lies at FILE_AT, the list behind it.
FILE_AT, LIST_AT = 64 << 20, 65 << 20
SECOND_MODULE = """
target remote %(socket)s
hbreak *(long)boot_pvh_entry
continue
set $list = *(long *)($rbx + 16)
set *(long *)(LIST) = *(long *)$list
set *(long *)(LIST + 8) = *(long *)($list + 8)
set *(long *)(LIST + 32) = %(paddr)d
set *(long *)(LIST + 40) = %(size)d
set *(long *)($rbx + 16) = LIST
set *(int *)($rbx + 12) = 2
detach
""".replace("LIST", str(LIST_AT))


def test_file_as_the_second_module_of_pvh(regrouped, tmp_path):
    socket, script = str(tmp_path / "gdb"), tmp_path / "script"
    script.write_text(SECOND_MODULE % {"socket": socket, "paddr": FILE_AT,
                                       "size": os.path.getsize(regrouped)})
    kernel = os.path.join(guest.BUILD, "holdfast.elf")
    gdb = subprocess.Popen(["sh", "-c", 'until [ -S "$0" ]; do sleep 0.1; done; exec gdb -batch '
                            '-nx -x "$1" "$2"', socket, str(script), kernel])
    try:
        machine = boot(*FOUR, *("--qemu=" + word for word in (
            "-S", "-gdb", "unix:path=%s,server=on,wait=off" % socket,
            "-device", "loader,file=%s,addr=%d,force-raw=on" % (regrouped, FILE_AT))))
    finally:
        gdb.kill()
        gdb.wait()
    assert "started by PVH" in machine.result.out + machine.result.err
    assert machine.facts["source"] == "arch_info.bin by hand"
    assert [c.cores for c in machine.clusters] == [[0, 3], [2]]


def wrong_checksum(data):
    data[200] ^= 1


def lying_size(data):
    data[8] += 64


def overlapping_runs(data):
    data[128 + 64 + 4] = 1      # the second cluster's cores begin with one of the first's
    seal(data)


def phantom_memory(data):
    ranges = int.from_bytes(data[44:48], "little")
    data[ranges + 3 * 32 + 8:ranges + 3 * 32 + 16] = (512 << 20).to_bytes(8, "little")
    seal(data)


def seal(data):
    data[16:20] = bytes(4)
    data[16:20] = zlib.crc32(data).to_bytes(4, "little")


@pytest.mark.parametrize("spoil, why", [
    (wrong_checksum, "wrong checksum"), (lying_size, "size is not what it says"),
    (overlapping_runs, "runs of clusters overlap"), (phantom_memory, "no such memory"),
])
def test_refused_file(regrouped, tmp_path, spoil, why):
    """Is a wrong file refused with one line, and does the boot go on from ACPI?"""
    with open(regrouped, "rb") as file:
        data = bytearray(file.read())
    spoil(data)
    path = tmp_path / "wrong.bin"
    path.write_bytes(data)
    machine = boot(*FOUR, "--arch-info", str(path))
    assert machine.facts["source"] == "ACPI" and len(machine.cores) == 4
    refusals = [line for line in machine.decided if "refused" in line]
    assert len(refusals) == len(machine.decided) == 1 and why in refusals[0]
