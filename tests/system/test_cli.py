"""What `./holdfast` says and returns before any machine is started."""
import errno
import os
import re
import shutil
import socket
import stat
import sys

import pytest

from guest import TOP, holdfast

sys.path.insert(0, os.path.join(TOP, "tools"))

from holdfast import KERNEL, accel, run     # noqa: E402

TREE_FILE = "bin/hello"


@pytest.fixture
def kernel(tmp_path):
    """A file that will do as a kernel when none is started."""
    path = tmp_path / "kernel.elf"
    path.write_bytes(b"\x7fELF")
    return str(path)


@pytest.fixture
def image(tmp_path):
    """A small image without a command of its own."""
    (tmp_path / "tree" / "bin").mkdir(parents=True)
    (tmp_path / "tree" / TREE_FILE).write_text("hello")
    path = str(tmp_path / "root.cpio")
    assert holdfast("pack", "-o", path, "--tree", str(tmp_path / "tree")).status == 0
    return path


def refused(result, *words):
    """One clear line, status 2."""
    assert result.status == 2, result
    assert result.out == ""
    lines = [l for l in result.err.splitlines() if not l.startswith("holdfast: pack")]
    assert len(lines) == 1 and lines[0].startswith("holdfast: "), result
    for word in words:
        assert word in lines[0], result


def dry(kernel, image, *args, argv=("sh",)):
    result = holdfast("run", "--dry-run", "--accel", "tcg", "--kernel", kernel,
                      "--rootfs", image, *args, "--", *argv)
    assert result.status == 0, result
    return result.out


def test_version_and_help():
    assert re.fullmatch(r"holdfast \d+\.\d+\.\d+\n", holdfast("--version").out)
    for args in (["--help"], ["run", "--help"], ["pack", "--help"]):
        result = holdfast(*args)
        assert result.status == 0 and result.err == ""
        assert "holdfast" in result.out
    text = holdfast("run", "--help").out
    for option in ("--cpus", "--memory", "--clusters", "--port", "--env", "--release", "--tree",
                   "--rootfs", "--debian", "--add", "--accel", "--kernel-args", "--headless",
                   "--timeout", "--dry-run"):
        assert option in text


@pytest.mark.parametrize("args, words", [
    ([], ["--help"]),
    (["boot"], ["boot"]),
    (["run", "--frobnicate"], ["--frobnicate"]),
    (["run", "--cpus", "0"], ["--cpus"]),
    (["run", "--cpus", "many"], ["--cpus"]),
    (["run", "--clusters", "9", "--cpus", "8"], ["--clusters", "--cpus"]),
    (["run", "--port", "5555"], ["--port"]),
    (["run", "--port", "0:80"], ["--port"]),
    (["run", "--port", "70000:80"], ["--port"]),
    (["run", "--accel", "xen"], ["--accel"]),
    (["run", "--timeout", "-1"], ["--timeout"]),
    (["run", "--env", "NOVALUE", "--", "sh"], ["--env"]),
    (["run", "--"], ["--"]),
    (["run", "--add", "nowhere"], ["--add"]),
    (["run", "--release", "/nowhere"], ["/nowhere"]),
    (["run", "--tree", "/nowhere", "--", "sh"], ["/nowhere"]),
    (["run", "--tree", "/tmp", "--release", "/tmp"], ["--tree", "--release"]),
    (["run", "--rootfs", "/nowhere", "--", "sh"], ["/nowhere"]),
    (["pack"], ["-o"]),
    (["pack", "-o", "/nowhere/image", "--base", "none"], ["/nowhere"]),
    (["pack", "-o", "x", "--base", "none", "--add", "/nowhere:/x"], ["/nowhere"]),
    (["pack", "-o", "x", "--debian", "no-such-package-at-all"], ["no-such-package-at-all"]),
    (["pack", "-o", "x", "--release", TOP], [TOP]),
])
def test_wrong_use(args, words, kernel):
    if args[:1] == ["run"]:
        args = ["run", "--kernel", kernel] + args[1:]
    refused(holdfast(*args), *words)
    assert not os.path.exists("x")


def test_missing_kernel_is_one_line(image):
    refused(holdfast("run", "--kernel", "/no/kernel", "--rootfs", image, "--", "sh"),
            "/no/kernel", "make")


def test_broken_image_is_one_line(kernel, tmp_path):
    path = tmp_path / "bad.cpio"
    for content in (b"", b"hello" * 100):
        path.write_bytes(content)
        refused(holdfast("run", "--kernel", kernel, "--rootfs", str(path), "--", "sh"), "cpio")


def test_image_without_a_command(kernel, image):
    refused(holdfast("run", "--kernel", kernel, "--rootfs", image), "--")


@pytest.mark.parametrize("size", ["lots", "-1M", "1.5G", "", "16M"])
def test_memory(kernel, image, size):
    refused(holdfast("run", "--kernel", kernel, "--rootfs", image, "--memory=" + size,
                     "--", "sh"), "--memory")


def test_busy_port(kernel, image):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        port = other.getsockname()[1]
        refused(holdfast("run", "--kernel", kernel, "--rootfs", image,
                         "--port", "%d:80" % port, "--", "sh"), str(port), "busy")


def test_qemu_missing_or_failing(kernel, image, tmp_path):
    def start(qemu):
        return holdfast("run", "--kernel", kernel, "--accel", "tcg", "--headless",
                        "--rootfs", image, "--", "sh", env=dict(os.environ, HOLDFAST_QEMU=qemu))
    for qemu in ("no-such-qemu", "/bin/false"):
        result = start(qemu)
        assert result.status == 126 and "QEMU" in result.err.replace("qemu", "QEMU"), result


@pytest.mark.parametrize("script, reason", [
    ("trap '' TERM INT; while :; do sleep 1; done", "no answer in 2 s"),
    ("exit 0", "died"),
    ("echo 'boot: D5 done'; exit 0", "died"),
    ("echo 'boot: D7 done'; exit 1", "cannot start"),
    ("echo 'boot: D7 done'; exit 0", None)])
def test_kvm_is_taken_where_the_kernel_comes_up_on_it(kernel, image, tmp_path, script, reason):
    """Is it TCG, with a line that says why, where KVM hangs, deaf to signals, or ends its guests?"""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        pytest.skip("no /dev/kvm to probe")
    fake = tmp_path / "qemu"
    fake.write_text("#!/bin/sh\n%s\n" % script)
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    result = holdfast("run", "--kernel", kernel, "--dry-run", "--rootfs", image, "--", "sh",
                      env=dict(os.environ, HOLDFAST_QEMU=str(fake),
                               HOLDFAST_BUILD=str(tmp_path / "build")), limit=20)
    assert result.status == 0
    if reason is None:
        assert "-accel kvm" in result.out
    else:
        assert reason in result.err and "TCG" in result.err
        assert "-accel tcg" in result.out


def test_the_kernel_comes_up_as_it_is_tried():
    """Does what `--accel auto` starts on KVM come up where KVM has no part in it?"""
    assert accel.runs_guest(shutil.which("qemu-system-x86_64"), KERNEL, "tcg", 60) is None


@pytest.mark.parametrize("script, aio", [("read word; exit 0", "io_uring"), ("exit 1", "threads"),
                                         ("trap '' TERM; exec sleep 60", "threads")])
def test_io_uring_is_used_where_qemu_opens_a_file_by_it(kernel, image, tmp_path, script, aio):
    fake, disk = tmp_path / "qemu", tmp_path / "disk"
    fake.write_text("#!/bin/sh\n%s\n" % script)
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)

    def used(*args):
        return holdfast("run", "--kernel", kernel, "--dry-run", "--accel", "tcg", "--rootfs", image,
                        *args, "--", "sh", env=dict(os.environ, HOLDFAST_QEMU=str(fake),
                                                    HOLDFAST_BUILD=str(tmp_path / "build")),
                        limit=20).out
    for _ in range(2):              # asked, and remembered
        assert "aio=%s,file=%s" % (aio, disk) in used("--disk", str(disk))
    assert "cache=writeback,aio=threads,file=nbd:unix:/x" in used("--disk", "nbd:unix:/x")
    assert "aio=threads,file=%s" % disk in used("--disk", str(disk), "--disk-aio", "threads")
    assert "aio=io_uring,file=%s" % disk in used("--disk", str(disk), "--disk-aio", "io_uring")


def test_the_host_caches_a_disk_only_where_it_has_to(kernel, image, tmp_path, monkeypatch):
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(8 << 20))

    def no_direct(_path, flags, *_rest):
        assert flags & os.O_DIRECT
        raise OSError(errno.EINVAL, "as a file system does that knows no O_DIRECT")

    try:
        os.close(os.open(disk, os.O_RDONLY | os.O_DIRECT))
        direct = "none"
    except OSError:
        direct = "writeback"
    for words, cache in (((), direct), (("--disk-cache", "none"), "none"),
                         (("--disk-cache", "writeback"), "writeback")):
        line = dry(kernel, image, "--disk", str(disk), *words)
        assert "cache=%s,aio=" % cache in line
    assert run.disk_how(str(tmp_path / "none"), "threads") == "cache=none,aio=threads"
    monkeypatch.setattr(os, "open", no_direct)
    assert run.disk_how(str(disk), "threads") == "cache=writeback,aio=threads"


def test_dry_run_starts_nothing(kernel, image):
    line = dry(kernel, image, "--cpus", "4", "--memory", "300M", "--port", "0.0.0.0:8000:80")
    for words in ("-machine q35", "-smp 4", "-m 307200K", "tcp:0.0.0.0:8000-:80",
                  "virtio-net-pci", "-kernel " + kernel, "-no-reboot", "-nodefaults"):
        assert words in line, words


def test_clusters_become_numa_nodes(kernel, image):
    assert "-numa" not in dry(kernel, image, "--cpus", "8")
    line = dry(kernel, image, "--cpus", "8", "--clusters", "4", "--memory", "513M")
    assert line.count("-numa node") == 4
    for words in ("cpus=0-1", "cpus=6-7", "sockets=4"):
        assert words in line
    sizes = [int(n) for n in re.findall(r"memory-backend-ram,id=ram\d,size=(\d+)", line)]
    assert sum(sizes) == 513 << 20
    line = dry(kernel, image, "--cpus", "3", "--clusters", "2")
    assert "cpus=0," in line and "cpus=1-2" in line


def test_blobs_hold_command_and_environment(kernel, image):
    line = dry(kernel, image, "--env", "A=1", "--env", "B=x y", argv=("echo", "ü", "a b"))
    paths = dict(re.findall(r"name=opt/holdfast/(\w+),file=(\S+)", line))
    with open(paths["argv"], "rb") as file:
        assert file.read() == "echo\0ü\0a b\0".encode()
    with open(paths["env"], "rb") as file:
        words = file.read().split(b"\0")
    assert b"A=1" in words and b"B=x y" in words and words[-1] == b""


def test_default_port_goes_with_the_shell(kernel):
    def line(*args):
        return holdfast("run", "--dry-run", "--accel", "tcg", "--kernel", kernel, *args).out
    assert "hostfwd=tcp:127.0.0.1:5555-:8080" in line()
    assert "hostfwd" not in line("--", "sh")
    own = line("--port", "7000:1")
    assert "7000-:1" in own and "5555" not in own


def test_needs_only_the_standard_library():
    """Does it run with an interpreter that sees no site packages?"""
    python = shutil.which("python3", path="/usr/bin")
    assert python
    import subprocess
    done = subprocess.run([python, "-I", "-S", os.path.join(TOP, "holdfast"), "--version"],
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
