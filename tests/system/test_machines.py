"""Machines of other shapes: many cores and clusters, old boards, other loaders."""
import os
import re
import socket
import struct

import pytest

import guest
from guest import run

BUSYBOX = ("--base", "busybox")
LOOK = "nproc; ls -d /sys/devices/system/node/node[0-9]* | wc -l; uname -s"

pytestmark = pytest.mark.skipif(guest.ON_LINUX, reason="about this kernel's boot")


def look(cpus, clusters, *args):
    result = run(*BUSYBOX, "--cpus", str(cpus), *args, argv=["sh", "-c", LOOK])
    assert result.status == 0, result
    words = result.out.split("\r\n" if "\r\n" in result.out else "\n")
    found = [w for w in words if re.fullmatch(r"\d+|\w+", w)]
    assert found[-3:] == [str(cpus), str(clusters), "Linux"], result
    return result.out + result.err


@pytest.mark.parametrize("cpus, clusters", [
    (1, 1), (3, 1), (8, 2), (8, 8), (16, 4), (64, 1), (64, 8),
])
def test_clusters_of_the_firmware(cpus, clusters):
    """Do all cores run in as many clusters as SRAT names?"""
    said = look(cpus, clusters, "--clusters", str(clusters), "--memory", "1G")
    assert "%d cores in %d clusters run" % (cpus, clusters) in said


@pytest.mark.parametrize("cpus, clusters", [(2, 2), (6, 3), (8, 8)])
def test_clusters_of_the_command_line(cpus, clusters):
    """Does clusters=N split a machine that has no SRAT?"""
    look(cpus, clusters, "--kernel-args", "clusters=%d" % clusters)


def test_board_without_mcfg():
    """Are PCI devices found by ports on a board that has no ECAM?"""
    assert "by ports" in look(2, 1, "--qemu=-machine", "--qemu=pc")


def test_board_with_mcfg():
    assert "by ECAM" in look(2, 1)


def test_no_bar_moves_under_the_kernel(tmp_path):
    """Does the machine's map stay as firmware left it? While a BAR goes and comes, QEMU 7.2 can
    take another core's access to any device, as to its own APIC, for one to that BAR's."""
    log = tmp_path / "log"
    look(4, 2, "--clusters", "2", "--disk", str(tmp_path / "disk"), "--disk-size", "64M",
         "--qemu=-device", "--qemu=nvme,serial=n", "--qemu=-d",
         "--qemu=trace:pci_update_mappings_*,trace:fw_cfg_select,trace:virtio_set_status",
         "--qemu=-D", "--qemu=" + str(log))
    firmware, loaded, kernel = log.read_text(encoding="ascii").rpartition("'kernel_entry'")
    assert loaded and "pci_update_mappings_add virtio-net-pci" in firmware, firmware
    assert "pci_update_mappings" not in kernel, kernel
    assert len(set(re.findall(r"virtio_set_status vdev (\w+) val 15\n", kernel))) == 2, kernel


@pytest.mark.parametrize("clusters", [1, 2])
def test_the_root_image_is_whole_among_many_disks(tmp_path, clusters):
    """Is all of it memory? With so many disks the firmware says of its end that it is not."""
    (tmp_path / "disk").write_bytes(bytes(1 << 20))
    disks = []
    for n in range(9):
        disks += ["--qemu=-drive", "--qemu=id=more%d,if=none,format=raw,readonly=on,file=%s"
                  % (n, tmp_path / "disk"), "--qemu=-device", "--qemu=virtio-blk-pci,drive=more%d" % n]
    result = run(*BUSYBOX, "--cpus", "2", "--clusters", str(clusters), *disks, argv=[
        "sh", "-c", "for n in 1 2 3 4 5 6 7 8; do md5sum /bin/busybox | cat; done"])
    sums = re.findall(r"^([0-9a-f]{32})  /bin/busybox\r?$", result.out, re.M)
    assert result.status == 0 and len(sums) == 8 and len(set(sums)) == 1, result


def test_pvh_entry():
    """Does the kernel start by the PVH note alone?"""
    assert "started by PVH" in look(4, 2, "--clusters", "2")


def test_multiboot_entry():
    kernel = os.path.join(guest.BUILD, "holdfast.elf")
    assert "started by Multiboot" in look(4, 2, "--clusters", "2", "--kernel", kernel)


def test_processor_time():
    """Is time in system calls charged as system time, and a loop's as user time?"""
    script = ("t() { set -- $(cut -d' ' -f14,15 /proc/$$/stat); echo user $1 system $2; }; "
              "dd if=/dev/zero of=/dev/null bs=1 count=400000 2>/dev/null; "
              "set -- $(cut -d' ' -f16,17 /proc/$$/stat); echo dd user $1 system $2; "
              "i=0; while [ $i -lt 60000 ]; do i=$((i + 1)); done; t")
    result = run(*BUSYBOX, "--cpus", "2", argv=["sh", "-c", script])
    assert result.status == 0, result
    calls = re.search(r"dd user (\d+) system (\d+)", result.out)
    loop = re.search(r"^user (\d+) system (\d+)", result.out, re.M)
    assert int(calls.group(2)) > int(calls.group(1)) // 4, result
    assert int(loop.group(1)) > int(loop.group(2)), result


def memory_of(folder, console):
    """The guest's memory, by the machine's monitor."""
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.connect(str(folder / "monitor"))
        wait_for(monitor, b"(qemu) ")
        monitor.sendall(b"pmemsave 0 0x8000000 \"%s\"\n" % str(folder / "memory").encode())
        wait_for(monitor, b"(qemu) ")
    console.process.kill()
    return (folder / "memory").read_bytes()


def wait_for(monitor, word):
    said = b""
    while not said.endswith(word):
        more = monitor.recv(4096)
        assert more, said
        said += more


def test_no_free_memory_has_code_that_ran(programs, tmp_path):
    """Emulators slow down writes to pages whose code they have translated: a kernel stack there
    made a machine a hundred times slower."""
    with guest.Guest(*BUSYBOX, "--memory", "128M", "--add", programs + "/ran:/bin/ran",
                     "--qemu=-monitor", "--qemu=unix:%s,server,nowait" % (tmp_path / "monitor"),
                     argv=["ran"]) as console:
        console.expect("gone")
        memory = memory_of(tmp_path, console)
    mark = bytes(0xa5 ^ (k * 37 + 1 & 255) for k in range(16))
    assert len(memory) == 128 << 20 and mark not in memory
    with open(os.path.join(guest.BUILD, "holdfast.elf"), "rb") as file:
        image = file.read()
    # The second segment: the staging copy of the kernel's code, that the boot core ran in.
    _, _, offset, _, at, size = struct.unpack_from("<IIQQQQ", image, 64 + 56)
    assert at > 1 << 20 and size > 1 << 18
    left = [hex(at + i) for i in range(0, size - 4095, 4096)
            if memory[at + i:at + i + 4096] == image[offset + i:offset + i + 4096]]
    assert not left
