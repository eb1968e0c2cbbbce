"""`holdfast store export` and `info`: what a power cut left, looked at and taken out on the host.

guest/odd_files.c makes a folder in a machine, which loses power; the same program makes it here,
and the two have to be the same.
"""
import fcntl
import hashlib
import os
import re
import stat
import subprocess

import pytest

from guest import Guest, ON_LINUX, holdfast

pytestmark = pytest.mark.skipif(ON_LINUX, reason="Linux has no store")


def export(*args, check=0):
    result = holdfast("store", "export", *map(str, args))
    assert result.status == check, result
    return result


def digest(path):
    """Of what a sparse file holds, without reading its holes."""
    out = hashlib.sha256()
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        at = 0
        while at < size:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            block = os.pread(file.fileno(), 4096, at - at % 4096)
            if block.strip(b"\0"):
                out.update(b"%d:" % (at // 4096) + block)
            at += 4096 - at % 4096
    return out.hexdigest()


def described(path):
    info = os.lstat(path)
    out = [stat.S_IFMT(info.st_mode), info.st_mode & 0o7777, info.st_nlink]
    if os.geteuid() == 0:
        out += [info.st_uid, info.st_gid]
    if stat.S_ISLNK(info.st_mode):
        out.append(os.readlink(path))
    if stat.S_ISREG(info.st_mode):
        out += [info.st_size, digest(path)]
    # Those that the program set itself.
    if info.st_mtime_ns % 1000000000 == 987654321:
        out.append(info.st_mtime_ns)
    return out


def tree(top):
    """What is in a folder, by name; hard links are told by the first of their names."""
    out, first = {}, {}
    for folder, folders, files in os.walk(os.fsencode(top)):
        for name in sorted(folders + files):
            path = os.path.join(folder, name)
            info = os.lstat(path)
            if stat.S_ISSOCK(info.st_mode):
                continue
            short = os.path.relpath(path, os.fsencode(top))
            out[short] = described(path)
            if not stat.S_ISDIR(info.st_mode):
                first.setdefault(info.st_ino, set()).add(short)
    out[b"the same"] = sorted(sorted(names) for names in first.values() if len(names) > 1)
    return out


@pytest.fixture(scope="module")
def left(programs, tmp_path_factory):
    """(a store whose machine lost power, the folder as it should be)"""
    folder = tmp_path_factory.mktemp("export")
    image, program = folder / "state.img", os.path.join(programs, "odd_files")
    with Guest("--base", "busybox", "--cpus", "2", "--headless", "--disk", str(image),
               "--disk-size", "128M", "--checkpoint", "1000s", "--add", program + ":/bin/odd_files",
               argv=["sh", "-c", "mkdir /m; mount -t tmpfs none /m; echo in > /m/in; "
                     "odd_files /odd wait; true"]) as machine:
        machine.expect(r"READY \d+")
        machine.power_cut()
    subprocess.run([program, "odd"], cwd=folder, check=True)
    return image, folder / "odd"


def test_a_folder_comes_out_as_it_was(left, tmp_path):
    image, right = left
    result = export(image, "/odd", tmp_path / "out")
    assert tree(tmp_path / "out") == tree(right)
    assert os.stat(tmp_path / "out").st_mode == os.stat(right).st_mode
    assert os.stat(tmp_path / "out" / "sparse").st_blocks < 100
    assert "/odd/socket: left out, it is a socket" in result.err
    assert re.search(r"^\d+ names with ", result.out, re.M)


def test_all_comes_out_and_single_files(left, tmp_path):
    image, right = left
    export(image, "/", tmp_path / "all")
    assert tree(tmp_path / "all" / "odd") == tree(right)
    assert (tmp_path / "all" / "m" / "in").read_text() == "in\n"
    assert os.listdir(tmp_path / "all" / "proc") == []
    assert os.access(tmp_path / "all" / "bin" / "busybox", os.X_OK)
    export(image, "/odd/links/../odd size", tmp_path / "one")
    assert described(tmp_path / "one" / "odd size") == described(right / "odd size")
    export(image, "/odd/links/round", tmp_path / "link")
    assert os.readlink(tmp_path / "link" / "round") == "round"


def test_what_cannot_be_exported_is_one_line(left, tmp_path):
    image, _ = left
    for path, word in (("/nowhere", "No such file"), ("/odd/big/x", "Not a directory"),
                       ("/odd/links/round/x", "Too many levels"), ("/dev/null", "the kernel"),
                       ("/proc/1", "No such file")):
        result = export(image, path, tmp_path / "none", check=1)
        assert word in result.err and result.err.count("\n") == 1, result
        assert not (tmp_path / "none").exists()


def test_only_an_empty_folder_is_written_to(left, tmp_path):
    image, right = left
    (tmp_path / "sticky").mkdir()
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "big").write_text("old")
    (tmp_path / "outside").write_text("outside")
    (tmp_path / "empty").symlink_to("outside")
    result = export(image, "/odd", tmp_path, check=2)
    assert "not empty" in result.err and result.err.count("\n") == 1, result
    export(image, "/odd", tmp_path, "--force")
    assert (tmp_path / "mine").read_text() == "mine"
    assert (tmp_path / "outside").read_text() == "outside"
    for name in ("mine", "outside"):
        (tmp_path / name).unlink()
    assert tree(tmp_path) == tree(right)


def test_damage_is_named_and_the_rest_goes_on(left, tmp_path):
    """
    Bytes of one file are spoilt on the disk: that file is named, all others are right. They are not
    of the last epoch: while that has no seal, damage to it is a torn commit, and it is not taken.
    """
    image, right = left
    data = bytearray(image.read_bytes())
    page = (right / "big").read_bytes()[4096 * 7:4096 * 8]
    at = data.find(page)
    assert at > 0 and data.find(page, at + 1) < 0
    data[at + 100] ^= 1
    spoilt = tmp_path / "spoilt.img"
    with open(spoilt, "wb") as file:
        file.write(data)
    result = export(spoilt, "/odd", tmp_path / "out", check=1)
    assert "/odd/big: 4096 bytes are damaged, the first at 28672" in result.err, result
    assert "1 fault;" in result.err
    found, wanted = tree(tmp_path / "out"), tree(right)
    assert found.pop(b"big") != wanted.pop(b"big")
    assert found == wanted
    assert (tmp_path / "out" / "big").read_bytes()[4096 * 7:4096 * 8] == bytes(4096)


def test_a_machine_that_runs_is_noticed(left, tmp_path):
    image, _ = left
    with open(image, "r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 100)  # as QEMU does
        result = export(image, "/odd/links", tmp_path / "out")
        assert "a machine runs with it" in result.err, result


def test_info_says_what_is_inside(left):
    result = holdfast("store", "info", str(left[0]))
    assert result.status == 0, result
    epoch = re.search(r"^epoch (\d+)  \S+ \S+  \S+ in \d+ items, 3 processes$", result.out, re.M)
    assert epoch, result
    assert "in epoch %s:" % epoch.group(1) in result.out
    assert re.search(r"^  process 1  init  \d", result.out, re.M), result
    assert re.search(r"^  process \d+  odd_files  \d", result.out, re.M), result
    assert re.search(r"^  2\d\d\d files with 4G", result.out, re.M), result
