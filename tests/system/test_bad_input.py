"""Foreign data and programs that mean no good: the kernel lives, memory comes back.

Images go to the kernel by QEMU's own -initrd, past the checks of the command line.
"""
import os
import random
import re
import subprocess

import pytest

import guest
from guest import holdfast, run

BUSYBOX = ("--base", "busybox", "--cpus", "2")
DIRECTORY, REGULAR, LINK, DEVICE = 0o40755, 0o100755, 0o120777, 0o20666
HEADER = 110


def entry(name, mode, data=b"", nlink=1, ino=7):
    name = name if isinstance(name, bytes) else name.encode()
    fields = [ino, mode, 0, 0, nlink, 99, len(data), 8, 1, 4, 64, len(name) + 1, 0]
    head = b"070701" + b"".join(b"%08x" % f for f in fields) + name + b"\0"
    head += b"\0" * (-len(head) % 4)
    return head + data + b"\0" * (-len(data) % 4)


END = entry("TRAILER!!!", 0)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("images") / "base.cpio")
    assert holdfast("pack", "-o", path, "--base", "busybox").status == 0
    with open(path, "rb") as file:
        return file.read()


@pytest.fixture
def boot(tmp_path):
    """Boots an image of these bytes under the kernel alone."""
    def with_image(image, script, *args):
        path = str(tmp_path / "image")
        with open(path, "wb") as file:
            file.write(image)
        return run(*BUSYBOX, "--qemu=-initrd", "--qemu=" + path, *args,
                   argv=["sh", "-c", script])
    return with_image


def no_panic(result):
    assert result.status != 125 and "panic" not in result.err + result.out, result


def test_image_cut_in_its_padding(base, boot):
    """Does what is whole run when the archive has no end?"""
    cut = base[:base.rindex(b"TRAILER!!!") - HEADER]
    result = boot(cut, "exit 7")
    assert result.status == 7, result


def test_image_with_a_tail_of_an_entry(base, boot):
    """Is a half entry left out, with a line that says where?"""
    tail = entry("etc/cut", REGULAR, b"x" * 10000)[:-3000]
    result = boot(base + tail, "[ ! -e /etc/cut ] && exit 7")
    assert result.status == 7, result
    assert re.search(r"root image is damaged at byte \d+ of \d+: the archive ends inside",
                     result.out), result


def odd_entries():
    """An archive of nonsense that must not keep the rest from running."""
    deep = "/".join("d" * 30000)
    return b"".join([
        entry("proc", REGULAR, b"not a folder"), entry("dev", LINK, b"nowhere"),
        entry("sys", LINK, b"sys"), entry("tmp", DEVICE), entry("var", REGULAR),
        entry("a/..", DIRECTORY), entry("a/.", DIRECTORY), entry("a/../b", REGULAR, b"x"),
        entry("..", REGULAR), entry("/", REGULAR), entry("", DIRECTORY), entry("///c", REGULAR),
        entry(deep, DIRECTORY), entry("n" * 256, REGULAR), entry("n" * 60000, REGULAR),
        entry("t", 0o170000), entry("t", 0), entry("l", LINK), entry("l", LINK, b"x" * 5000),
        entry("loop1", LINK, b"loop2"), entry("loop2", LINK, b"loop1"),
        entry("loop1/x", REGULAR, b"x"), entry("c/under-a-file", REGULAR, b"x"),
        # The first name of a file with two is taken away by another entry.
        entry("one", REGULAR, b"", 2, 99), entry("one", REGULAR, b"other"),
        entry("two", REGULAR, b"data", 2, 99), entry("three", REGULAR, b"", 2, 99),
        entry(b"\xff\xfe\n\x1b", REGULAR, b"x"), END])


def test_odd_entries(base, boot):
    """Are entries left out that make no sense, and folders made that have to be there?"""
    script = ("[ -d /proc/self ] && [ -c /dev/null ] && [ -d /sys/devices ] && "
              "touch /tmp/x /var/tmp/x && [ $(cat /two /three) = datadata ] && "
              "[ $(cat /one) = other ] && [ $(ls -a /a | grep -c '^[.]') = 2 ] && exit 7")
    result = boot(odd_entries() + base, script)
    no_panic(result)
    assert result.status == 7, result


@pytest.mark.parametrize("seed", range(2))
def test_flipped_bytes(base, boot, seed):
    """Whatever a damaged header says, is it a program's status or a clear line, not a panic?"""
    chance = random.Random(seed)
    image = bytearray(base)
    headers = [m.start() for m in re.finditer(b"070701", base)]
    for at in chance.sample(headers[len(headers) // 2:], 20):
        for _ in range(2):
            image[at + 6 + chance.randrange(HEADER - 6)] = chance.choice(b"0123456789abcdefF")
    result = boot(bytes(image), "exit 7")
    no_panic(result)
    assert result.status in (7, 127), result


def test_garbage_for_an_image(boot):
    """Does the boot end, with a line that says why, when there is no program to run?"""
    result = boot(random.Random(1).randbytes(1 << 20), "exit 7")
    no_panic(result)
    assert result.status == 127, result
    assert "root image is damaged at byte 0" in result.out, result


def test_image_larger_than_memory(tmp_path, base):
    """Is it refused by the command line, and does the machine stop by itself without it?"""
    path = str(tmp_path / "large")
    with open(path, "wb") as file:
        file.write(base)
        file.truncate(200 << 20)
    result = run("--rootfs", path, "--memory", "128M", argv=["sh", "-c", "exit 7"])
    assert result.status == 2 and "too little" in result.err, result
    # By Multiboot: with PVH it is QEMU that looks at the size.
    result = run(*BUSYBOX, "--kernel", os.path.join(guest.BUILD, "holdfast.elf"),
                 "--qemu=-initrd", "--qemu=" + path, "--qemu=-m", "--qemu=128M",
                 argv=["sh", "-c", "exit 7"])
    assert result.status == 125, result
    assert "kernel panic: too little memory" in result.err, result


def test_too_little_memory_for_the_names(base, boot):
    """Does an image whose names do not fit end the boot with a line that says so?"""
    names = b"".join(entry("many/%d-%s" % (i, "x" * 200), REGULAR, b"", 1, i)
                     for i in range(60000))
    result = boot(base + names, "exit 7", "--qemu=-m", "--qemu=56M")
    assert result.status == 125, result
    assert "no memory for its" in result.out, result


@pytest.mark.parametrize("line", [
    "clusters=4294967295 cores=4294967295 kill=4294967294 -d 999 -i -5 -f x -e",
    "clusters=99999999999999999999 cores=0 kill=0 clusters= =x -- -- --",
    "quiet '" + "x" * 3000, " ".join("v%d=w" % i for i in range(200)) + " -- " + "w " * 300 + '"\\',
])
def test_hostile_command_line(line):
    result = run(*BUSYBOX, "--kernel-args", line, argv=["sh", "-c", "exit 7"])
    no_panic(result)
    assert result.status == 7, result


@pytest.mark.parametrize("cpus", [1, 4])
def test_hogs_and_random_calls(programs, cpus):
    """Does the kernel outlive those who take all there is, and does a shell still work?"""
    subprocess.run(["make", "-s", "abi"], cwd=guest.TOP, check=True)
    script = """
        free_kb() { while read -r name kb _; do
            [ $name = MemFree: ] && echo $kb; done </proc/meminfo; }
        /test/fuzz -g -t 4 -s 1000 >/dev/null && echo calls 1
        sleep 1; before=$(free_kb)
        /test/fuzz -g -t 8 -s 2000 >/dev/null && echo calls 2
        sleep 1; echo lost $((before - $(free_kb))) kB
        /test/hogs -g
        seq 1000 | grep -c 7 | sed 's/^/alive /'; exit 7"""
    result = run("--base", "busybox", "--cpus", str(cpus), "--memory", "256M",
                 "--add", os.path.join(guest.TOP, "build", "abi", "fuzz") + ":/test/fuzz",
                 "--add", os.path.join(programs, "hogs") + ":/test/hogs",
                 argv=["sh", "-c", script], limit=300)
    no_panic(result)
    assert result.status == 7 and "alive 271" in result.out, result
    assert "calls 1" in result.out and "calls 2" in result.out, result
    assert re.search(r"10 passed, 0 failed", result.out), result
    assert int(re.search(r"lost (-?\d+) kB", result.out).group(1)) < 2048, result
