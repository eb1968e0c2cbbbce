"""Disks: what a program does to /dev/vda is what the image holds; or to /dev/vdb, when the machine
has a store and that disk comes first."""
import os
import re
import subprocess

import pytest

from guest import BUILD, HAS_DISK, TOP, run

SIZE = 32 << 20
THREADS, PIECE, WRITES = 4, 300 << 10, 40


VIRTIO = "vdb" if HAS_DISK else "vda"

# How a disk is attached, and what it is called then.
BUSES = {
    "virtio-blk": ("virtio-blk-pci", VIRTIO),
    "virtio-blk transitional, no flush": ("virtio-blk-pci,disable-modern=on,write-cache=off",
                                          VIRTIO),
    "virtio-blk, no MSI-X": ("virtio-blk-pci,vectors=0", VIRTIO),
    "virtio-blk, one MSI-X entry": ("virtio-blk-pci,vectors=1", VIRTIO),
    "NVMe": ("nvme,serial=1", "nvme0n1"),
    "AHCI": ("ide-hd", "sda"),
}


def disk(path, bus, drive="", file="%s"):
    """Arguments that attach an image."""
    return ["--qemu=-drive", "--qemu=id=d,if=none,format=raw%s,file=%s" % (drive, file % path),
            "--qemu=-device", "--qemu=%s,drive=d" % BUSES[bus][0]]


def expected(seed, size=SIZE):
    """What guest/disk.c leaves on a disk of zeros."""
    data = bytearray(size)
    share = size // THREADS
    for thread in range(THREADS):
        x = seed + thread

        def step():
            nonlocal x
            x = (x * 1664525 + 1013904223) & 0xffffffff
            return x
        for _ in range(WRITES):
            count = 1 + (step() % PIECE if step() % 8 == 0 else step() % 1024)
            at = thread * share + step() % (share - count)
            first = step() & 0xff
            run_ = bytes((first + i) & 0xff for i in range(256))
            data[at:at + count] = (run_ * (count // 256 + 1))[:count]
    data[0:7] = b"the end"
    return data


def test_the_program_itself(programs, tmp_path):
    """On Linux, on a file."""
    path = tmp_path / "disk"
    path.write_bytes(bytes(SIZE))
    subprocess.run([os.path.join(programs, "disk"), str(path), str(SIZE), "1"], check=True, capture_output=True)
    assert path.read_bytes() == expected(1)


@pytest.mark.parametrize("bus", BUSES)
def test_a_disk_holds_what_is_written(programs, tmp_path, bus):
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(SIZE))
    result = run("--base", "busybox", "--cpus", "4", "--add", os.path.join(programs, "disk") + ":/disk",
                 *disk(path, bus), argv=["/disk", "/dev/" + BUSES[bus][1], str(SIZE), "7"])
    assert result.status == 0 and "right" in result.out, result
    want = expected(7)
    want[SIZE - 1] = ord("x")
    assert path.read_bytes() == want


def test_busybox_and_a_disk_of_the_command_line(tmp_path):
    path = tmp_path / "disk.img"
    result = run("--base", "busybox", "--disk", str(path), "--disk-size", "16M", "--checkpoint", "none",
                 argv=["sh", "-c", "blockdev --getsize64 /dev/vda && "
                       "dd if=/dev/zero bs=64k count=20 2>/dev/null | tr '\\0' A | "
                       "dd of=/dev/vda bs=7000 seek=3 conv=fsync 2>/dev/null && "
                       "md5sum /dev/vda && sync"])
    assert result.status == 0, result
    assert "%d" % (16 << 20) in result.out
    data = path.read_bytes()
    assert data == bytes(21000) + b"A" * (20 << 16) + bytes((16 << 20) - 21000 - (20 << 16))


def test_a_read_only_disk(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(1 << 20))
    result = run("--base", "busybox", *disk(path, "virtio-blk", ",readonly=on"),
                 argv=["sh", "-c", "cd /dev; blockdev --getro %s; dd if=%s bs=1M | wc -c; "
                       "echo x > %s" % (VIRTIO, VIRTIO, VIRTIO)])
    assert result.status != 0 and "Read-only file system" in result.out + result.err, result
    assert path.read_bytes() == bytes(1 << 20)


@pytest.mark.parametrize("bus", ["virtio-blk", "NVMe", "AHCI"])
def test_errors_of_the_disk_reach_the_program(tmp_path, bus):
    """QEMU's blkdebug fails one write and one read; the others are not touched. They are where the
    kernel does not look when it asks whether the disk is blank."""
    path, rules = tmp_path / "disk.img", tmp_path / "rules"
    path.write_bytes(bytes(16 << 20))
    rules.write_text('[inject-error]\nevent = "write_aio"\nerrno = "5"\nsector = "12288"\n'
                     'once = "on"\n\n[inject-error]\nevent = "read_aio"\nerrno = "5"\n'
                     'sector = "14336"\nonce = "on"\n')
    result = run("--base", "busybox",
                 *disk(path, bus, ",rerror=report,werror=report", "blkdebug:%s:%%s" % rules),
                 argv=["sh", "-c", "for i in 1 2; do dd if=/dev/zero of=/dev/%s bs=64k seek=96 "
                       "count=1 2>&1; echo write $?; dd if=/dev/%s of=/dev/null bs=64k skip=112 "
                       "count=1 2>&1; echo read $?; done" % (BUSES[bus][1], BUSES[bus][1])])
    words = [line for line in result.out.splitlines() if line.startswith(("write ", "read "))]
    assert words == ["write 1", "read 1", "write 0", "read 0"], result
    assert result.out.count("error") >= 2


def test_the_kernel_knows_a_store(tmp_path):
    """It opens what the host made and what power cuts left, leaves alone what is something else,
    and its commits are right for the host."""
    subprocess.run(["make", "-s", "build/crashstates", "build/holdfast-store"], cwd=TOP, check=True)
    path, left, other = (str(tmp_path / name) for name in ("disk", "left", "other"))
    with open(path, "wb") as file:
        file.truncate(64 << 20)
    subprocess.run([os.path.join(BUILD, "holdfast-store"), "format", path], check=True)
    subprocess.run([os.path.join(BUILD, "crashstates"), "-n", "500", "-o", left], check=True,
                   capture_output=True)
    with open(other, "wb") as file:
        file.write(os.urandom(16 << 20))
    args = ["--disk", path, "--checkpoint", "none"]
    for name, image in (("left", left), ("other", other)):
        args += ["--qemu=-drive", "--qemu=id=%s,if=none,format=raw,file=%s" % (name, image),
                 "--qemu=-device", "--qemu=virtio-blk-pci,drive=%s" % name]
    before = [open(image, "rb").read() for image in (left, other)]
    result = run("--base", "busybox", *args, argv=[
        "sh", "-c", "cd /proc/holdfast; cat disks; for d in vda vdb vdc; do echo $d > store-trial; "
        "echo status $?; done; cat store-trial"])
    lines = dict(re.findall(r"^disk (vd.) (.*)$", result.out, re.M))
    assert "holds store error 0 epoch 0 " in lines["vda"], result
    epoch = re.search(r"^epoch (\d+)", _store("info", left).stdout, re.M).group(1)
    assert re.search(r"holds store error 0 epoch %s " % epoch, lines["vdb"]), result
    assert "holds other" in lines["vdc"] and "vdc holds something else" in result.out, result
    assert re.findall(r"^status (.)", result.out, re.M) == ["0", "1", "1"], result
    assert len(re.findall(r"^pages \d+ raw_ns \d+ commit_ns \d+", result.out, re.M)) == 3, result
    assert [open(image, "rb").read() for image in (left, other)] == before
    assert "epoch 27 is right: 256 items with 1M" in _store("check", path).stdout


def _store(*words):
    return subprocess.run([os.path.join(TOP, "holdfast"), "store", *words], check=True,
                          capture_output=True, text=True)
