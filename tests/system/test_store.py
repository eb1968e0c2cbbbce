"""`holdfast store` on images that power cuts left behind. Boots nothing."""
import fcntl
import os
import pty
import re
import subprocess

import pytest

from guest import BUILD, HOLDFAST, TOP, holdfast

BLOCK = 4096
DATA_FIRST = 1024 * BLOCK


@pytest.fixture(scope="session")
def left(tmp_path_factory):
    """A store after a few dozen power cuts, the last in the middle of a commit."""
    subprocess.run(["make", "-s", "build/crashstates", "build/holdfast-store"], cwd=TOP, check=True)
    path = tmp_path_factory.mktemp("store") / "state.img"
    subprocess.run([os.path.join(BUILD, "crashstates"), "-n", "2000", "-s", "2", "-o", str(path)],
                   check=True, capture_output=True)
    return path


@pytest.fixture
def image(left, tmp_path):
    path = tmp_path / "state.img"
    path.write_bytes(left.read_bytes())
    return path


def store(*args):
    return holdfast("store", *map(str, args))


def refused(result, *words):
    assert result.status == 2 and result.out == "", result
    assert result.err.count("\n") == 1 and result.err.startswith("holdfast: "), result
    for word in words:
        assert word in result.err, result


def format_(path):
    return subprocess.run([os.path.join(BUILD, "holdfast-store"), "format", str(path)],
                          capture_output=True, text=True, check=False)


def test_help_names_the_actions():
    text = store("--help").out
    assert "info" in text and "check" in text
    assert "--epoch" in store("check", "--help").out
    refused(store(), "ACTION")
    refused(store("mend", "x"), "mend")


def test_info_says_what_is_there(image):
    result = store("info", image)
    assert result.status == 0, result
    assert re.search(r"^store [0-9a-f]{8}-[0-9a-f]{4}-", result.out)
    assert "size   8M, " in result.out
    numbers = [int(n) for n in re.findall(r"^epoch (\d+)", result.out, re.M)]
    assert 3 <= len(numbers) <= 4 and numbers == sorted(numbers, reverse=True), result.out


def test_check_is_content_and_writes_nothing(image):
    before = image.read_bytes()
    result = store("check", image)
    assert result.status == 0 and re.search(r"epoch \d+ is right: \d+ items", result.out), result
    assert image.read_bytes() == before


def test_older_epochs_can_be_checked(image):
    epochs = re.findall(r"^epoch (\d+)", store("info", image).out, re.M)
    for epoch in epochs:
        assert "epoch %s is right" % epoch in store("check", image, "--epoch", epoch).out
    refused(store("check", image, "--epoch", 1), "no such epoch")


def test_damage_is_found(image):
    """Blocks are spoilt one after another until the check has found some of each kind."""
    data = bytearray(image.read_bytes())
    found = opened = 0
    for at in range(DATA_FIRST, len(data), 37 * BLOCK):
        if not any(data[at:at + BLOCK]):
            continue
        spoilt = bytearray(data)
        for byte in range(at, at + BLOCK, 64):
            spoilt[byte] ^= 0x10
        image.write_bytes(spoilt)
        result = store("check", image)
        assert result.status in (0, 1, 2), result
        opened += result.status == 1
        found += result.status != 0
        if result.status == 1:
            assert "fault" in result.err and ("damaged" in result.out or "use" in result.out)
    assert found > 0 and opened > 0


def test_files_without_a_store_are_refused(tmp_path):
    path = tmp_path / "disk"
    refused(store("info", path), "No such file")
    path.write_bytes(b"\0" * (8 << 20))
    refused(store("info", path), "there is no store on it")
    path.write_bytes(b"short")
    refused(store("check", path), "there is no store on it")


def test_only_blank_disks_are_formatted(tmp_path):
    path = tmp_path / "disk"
    path.write_bytes(b"\0" * (16 << 20))
    assert format_(path).returncode == 0
    assert "nothing has been committed" in store("info", path).out
    assert "a store on it already" in format_(path).stderr
    for at in (1080, 65536, (16 << 20) - 512):
        data = bytearray(16 << 20)
        data[at] = 0x53
        path.write_bytes(data)
        result = format_(path)
        assert result.returncode == 2 and "something else" in result.stderr
        assert path.read_bytes() == data
    path.write_bytes(b"\0" * (1 << 20))
    assert "too small" in format_(path).stderr


def test_wiping_is_asked_for(image, tmp_path):
    """Nothing is forgotten without a yes, and everything with it."""
    kernel = tmp_path / "kernel.elf"
    kernel.write_bytes(b"\x7fELF")
    (tmp_path / "tree").mkdir()
    before = image.read_bytes()

    def run(*args, stdin=subprocess.DEVNULL):
        return subprocess.run([HOLDFAST, "run", "--headless", "--accel", "tcg", "--netdev", "none",
                               "--kernel", str(kernel), "--tree", str(tmp_path / "tree"),
                               "--disk", str(image), *args, "--", "x"], capture_output=True,
                              text=True, check=False, stdin=stdin)
    for args, word in ((["--wipe"], "--fresh"), (["--yes"], "--wipe"),
                       (["--fresh", "--wipe", "--epoch", "3"], "no epoch"),
                       (["--fresh", "--wipe"], "no terminal")):
        result = run(*args)
        assert result.returncode == 2 and word in result.stderr, result
    with open(image, "rb") as file:
        fcntl.lockf(os.open(image, os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 100)
        result = run("--fresh", "--wipe", "--yes")
        assert result.returncode == 2 and "a machine runs with it" in result.stderr, result
        assert file.read() == before
    for answer, wiped in ((b"\n", False), (b"n\n", False), (b"y\n", True)):
        master, slave = pty.openpty()
        os.write(master, answer)
        result = run("--fresh", "--wipe", stdin=slave)
        assert "forget 0 processes? [y/N]" in result.stderr, result
        assert ("nothing was changed" in result.stderr) != wiped
        assert (image.read_bytes() == before) != wiped
        os.close(master)
        os.close(slave)
    assert "nothing has been committed" in store("info", image).out
    assert store("check", image).status == 0
    assert image.stat().st_blocks * 512 < 2 << 20


def test_a_partition_is_found(tmp_path):
    """The store is in the partition of type 0xD3, and nothing outside it is touched."""
    path = tmp_path / "disk"
    data = bytearray(os.urandom(64 << 20))
    first, count = 2048, (32 << 20) // 512
    data[446:512] = bytes(66)
    data[446 + 16 + 4] = 0xD3
    data[446 + 16 + 8:446 + 32] = first.to_bytes(4, "little") + count.to_bytes(4, "little")
    data[510:512] = b"\x55\xaa"
    data[first * 512:(first + count) * 512] = bytes(count * 512)
    path.write_bytes(data)
    assert format_(path).returncode == 0
    assert "size   32M" in store("info", path).out
    after = path.read_bytes()
    assert after[:first * 512] == data[:first * 512]
    assert after[(first + count) * 512:] == data[(first + count) * 512:]


def test_a_disk_is_made_where_there_is_none(tmp_path):
    kernel, path = tmp_path / "kernel.elf", tmp_path / "disk"
    kernel.write_bytes(b"\x7fELF")
    (tmp_path / "tree").mkdir()

    def run(*args):
        return holdfast("run", "--headless", "--accel", "tcg", "--netdev", "none", "--kernel",
                        str(kernel), "--tree", str(tmp_path / "tree"), *args, "--", "x")
    assert "virtio-blk-pci" in run("--dry-run", "--disk", str(path)).out
    assert "ide-hd" in run("--dry-run", "--disk", str(path), "--disk-bus", "ahci").out
    assert "aio=threads,file=nbd:unix:/x" in run("--dry-run", "--disk", "nbd:unix:/x").out
    assert not path.exists()
    refused(run("--disk", "nbd:unix:/x", "--disk-size", "1G"), "--disk-size is for a file")
    refused(run("--disk-size", "1G"), "--disk FILE")
    refused(run("--disk", str(path), "--disk-size", "1K"), "at least 8M")
    refused(run("--disk", str(tmp_path)), "not a file")
    run("--disk", str(path), "--disk-size", "1G")
    assert path.stat().st_size == 1 << 30 and path.stat().st_blocks == 0
    refused(run("--disk", str(path), "--disk-size", "2G"), "there already")
