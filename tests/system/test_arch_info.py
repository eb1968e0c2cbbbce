"""tools/arch-info and --arch-info, without booting."""
import os
import struct
import subprocess
import zlib

import pytest

from guest import TOP, holdfast

TOOL = os.path.join(TOP, "tools", "arch-info")
TEXT = """\
name two of four
boot 3
io 7
cluster 3 pxm 0
core 0 uid 0
core 1 uid 1
ram 0x0 0xa0000
ram 0x100000 0x7f00000
distance 10 30
cluster 7 pxm 5
core 2 uid 0
core 9 uid 0 disabled
far 0x8000000 0x4000000
ram 0xc000000 0x4000000
reserved 0xc800000 0x100000
device 0x70000 0xfeb00000 0x1000 bdf 0:00:03.0 channels 2
distance 30 10
"""


def tool(*args, text=""):
    return subprocess.run([TOOL, *args], input=text, capture_output=True, text=True, check=False)


@pytest.fixture
def file(tmp_path):
    path = str(tmp_path / "arch_info.bin")
    assert tool("write", "-", "-o", path, text=TEXT).returncode == 0
    return path


def test_there_and_back(file):
    """Is the text that is printed the one that was written?"""
    assert tool("check", file).returncode == 0
    assert tool("print", file).stdout == TEXT


def test_short_forms(tmp_path):
    path = str(tmp_path / "file")
    text = "cluster 2   # the only one\n\ncore 4\nram 1M 1G\n"
    assert tool("write", "-", "-o", path, text=text).returncode == 0
    assert tool("print", path).stdout == (
        "boot 2\nio 2\ncluster 2 pxm 0\ncore 4 uid 0\nram 0x100000 0x40000000\n")


@pytest.mark.parametrize("text, why", [
    ("", "0 clusters"), ("core 1\n", "line 1: core stands before"),
    ("cluster 1\ncore x\n", "line 2: x is not a number"), ("cluster 1\nram 5\n", "line 2: ram"),
    ("cluster 1\nfoo 5\n", "foo is not understood"), ("cluster 1\ncluster 1\n", "same cxy"),
    ("cluster 1\ncore 1\ncore 1\n", "core 1 is there twice"),
    ("cluster 1\nram 0 2M\nram 1M 2M\n", "overlap"), ("cluster 1\nram 5 0\n", "impossible size"),
    ("boot 4\ncluster 1\n", "boot cluster 4"), ("cluster 1\ndistance 11\n", "distances"),
    ("cluster 1\ndistance 10 20\ncluster 2\n", "distances"),
    ("".join("cluster %d\n" % i for i in range(33)), "33 clusters"),
])
def test_wrong_text(tmp_path, text, why):
    """Is it one line that says what is wrong, and no file?"""
    done = tool("write", "-", "-o", str(tmp_path / "file"), text=text)
    assert done.returncode == 1 and why in done.stderr, done
    assert len(done.stderr.splitlines()) == 1 and not os.listdir(tmp_path)


def test_every_damaged_bit(file, tmp_path):
    """Is no damage taken for a file?"""
    with open(file, "rb") as source:
        data = bytearray(source.read())
    path = tmp_path / "damaged"
    for at, bit in ((0, 1), (8, 64), (20, 1), (130, 4), (len(data) - 1, 128)):
        data[at] ^= bit
        path.write_bytes(data)
        assert tool("check", str(path)).returncode == 1
        data[at] ^= bit
    path.write_bytes(data[:-1])
    assert "says it has" in tool("check", str(path)).stderr


@pytest.mark.parametrize("at, form, value, why", [
    (24, "<I", 33, "more than 32"), (28, "<I", 100, "impossible"), (36, "<I", 64 << 20, "beyond"),
    (28, "<I", 256, "overlap"), (64, "<H", 9, "boot cluster 9"), (72, "<I", 4, "distances"),
    (128 + 4, "<I", 9, "goes beyond its table"), (128 + 64 + 4, "<I", 1, "overlap"),
])
def test_lying_file(file, tmp_path, at, form, value, why):
    """With a right checksum, is what the tables say believed?"""
    with open(file, "rb") as source:
        data = bytearray(source.read())
    struct.pack_into(form, data, at, value)
    struct.pack_into("<I", data, 16, 0)
    struct.pack_into("<I", data, 16, zlib.crc32(data))
    path = tmp_path / "lying"
    path.write_bytes(data)
    done = tool("check", str(path))
    assert done.returncode == 1 and why in done.stderr, done


def test_own_tables(tmp_path):
    """Do a machine's MADT, SRAT and SLIT become its text?"""
    madt = bytes(44) + b"".join(struct.pack("<BBBBI", 0, 8, i, 2 * i, i < 3) for i in range(4))
    madt += struct.pack("<BBHIII", 9, 16, 0, 300, 1, 7)
    srat = bytes(48) + b"".join(struct.pack("<BBBBI8x", 0, 16, i // 2, 2 * i, 1) for i in range(4))
    srat += struct.pack("<BBHIIII4x", 2, 24, 0, 1, 300, 1, 0)
    for pxm, base, size, flags in ((0, 0, 1 << 30, 1), (1, 1 << 30, 1 << 30, 1), (1, 9, 9, 0)):
        srat += struct.pack("<BBIHQQIIQ", 1, 40, pxm, 0, base, size, 0, flags, 0)
    slit = bytes(36) + struct.pack("<Q", 2) + bytes([10, 21, 22, 10])
    for name, table in (("APIC", madt), ("SRAT", srat), ("SLIT", slit)):
        (tmp_path / name).write_bytes(table)
    done = tool("acpi", str(tmp_path))
    assert done.returncode == 0, done
    assert done.stdout == (
        "name ACPI\nboot 0\nio 0\ncluster 0 pxm 0\ncore 0 uid 0\ncore 2 uid 1\n"
        "ram 0x0 0x40000000\ndistance 10 21\ncluster 1 pxm 1\ncore 4 uid 2\ncore 300 uid 7\n"
        "ram 0x40000000 0x40000000\ndistance 22 10\n")
    (tmp_path / "SRAT").unlink()
    assert "no SRAT" in tool("acpi", str(tmp_path)).stderr


def test_no_boot_report(tmp_path):
    (tmp_path / "boot").write_text("cluster 0: pxm 0, memory 0 to 1\n")
    assert "no cores" in tool("boot", str(tmp_path / "boot")).stderr
    (tmp_path / "boot").write_text("hello\n")
    assert "no /proc/holdfast/boot" in tool("boot", str(tmp_path / "boot")).stderr


def test_help():
    assert "cluster CXY" in tool("--help").stdout
    assert tool().returncode == 2


def test_run_takes_it(file, tmp_path):
    """Is it a second boot module, and is wrong use one line?"""
    kernel, image = tmp_path / "kernel", str(tmp_path / "image")
    (tmp_path / "tree").mkdir()
    kernel.write_bytes(b"\x7fELF")
    assert holdfast("pack", "-o", image, "--tree", str(tmp_path / "tree")).status == 0
    common = ("run", "--dry-run", "--accel", "tcg", "--rootfs", image, "--netdev", "none")
    done = holdfast(*common, "--kernel", str(kernel), "--arch-info", file, "--", "x")
    assert done.status == 0 and image + "," in done.out, done
    for wrong in (("--kernel", str(kernel), "--arch-info", str(tmp_path / "none")),
                  ("--kernel", "linux", "--arch-info", file)):
        done = holdfast(*common, *wrong, "--", "x")
        assert done.status == 2 and len(done.err.splitlines()) == 1, done
