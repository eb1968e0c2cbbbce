"""Bad input and too much of it: the kernel lives, memory comes back."""
import random
import re

import pytest

import guest
from guest import run

LOST_KIB = 8192 if guest.ON_LINUX else 2048     # what caches may keep


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """A small image as bytes."""
    path = tmp_path_factory.mktemp("images") / "root.cpio"
    assert guest.holdfast("pack", "-o", str(path), "--base", "busybox").status == 0
    return path.read_bytes()


def survived(result):
    """The machine ended by itself, by a program's status or init's."""
    assert result.status not in (124, 125, 126), result


def _cut(data, numbers):
    return data[:numbers.randrange(200, len(data)) & ~3]


def _spoil_headers(data, numbers):
    out = bytearray(data)
    at = -1
    while (at := data.find(b"070701", at + 1)) >= 0:
        if numbers.random() < 0.1:
            out[at + numbers.randrange(0, 110)] = numbers.choice(b"0fFzZ\0\xff ")
    return bytes(out)


def _spoil_names(data, numbers):
    return data.replace(b"usr/bin/", b"../../..", 40)


@pytest.mark.skipif(guest.ON_LINUX, reason="Linux panics on some of these")
@pytest.mark.parametrize("spoil", [_cut, _spoil_headers, _spoil_names])
@pytest.mark.parametrize("seed", [1, 2])
def test_damaged_image(image, tmp_path, spoil, seed):
    """Does a damaged root leave a machine that ends with a word, not a panic?"""
    path = tmp_path / "bad.cpio"
    path.write_bytes(spoil(image, random.Random(seed)))
    survived(run("--rootfs", str(path), "--timeout", "60", argv=["/bin/busybox", "true"]))


@pytest.mark.skipif(guest.ON_LINUX, reason="Linux cannot unpack it either, and panics")
def test_image_larger_than_memory(image, tmp_path):
    path = tmp_path / "large.cpio"
    path.write_bytes(image)
    result = run("--rootfs", str(path), "--timeout", "60", "--memory", "24M",
                 argv=["/bin/busybox", "true"])
    survived(result)


@pytest.fixture(scope="module")
def stressed(programs):
    """One machine goes through everything; its output by step."""
    steps = ["elf 60"] + ["fork 1500", "hog", "threads 5000", "files 20000", "calls 10"] * 2
    script = "\n".join(
        "echo @%d; /test/stress memory; /test/stress %s; sleep 1; /test/stress memory"
        % (n, step) for n, step in enumerate(steps))
    script = "ulimit -c 0; /test/stress elf 3; /test/stress fork 50; /test/stress calls 1\n" \
        + script + "\necho @end; cat /proc/meminfo; exit 9"
    result = run("--base", "busybox", "--cpus", "4", "--memory", "256M",
                 "--add", programs + ":/test", argv=["sh", "-c", script], limit=900)
    parts = {}
    for n, step in enumerate(steps):
        found = re.search(r"@%d\n(.*?)(?=\n@)" % n, result.out, re.S)
        parts.setdefault(step, []).append(found.group(1) if found else None)
    return result, parts


def test_lives_to_the_end(stressed):
    result, parts = stressed
    assert result.status == 9, result
    assert all(text is not None for texts in parts.values() for text in texts), result


@pytest.mark.parametrize("step, pattern", [
    ("elf 60", r"60 damaged programs: \d+ refused, \d+ ended, \d+ ran"),
    ("fork 1500", r"(\d+) children, \1 reaped"),
    ("hog", r"hog ended by signal 9"),
    ("threads 5000", r"[1-9]\d* threads, "),
    ("files 20000", r"20000 files, no limit"),
    ("calls 10", r"[1-9]\d* children made random calls"),
])
def test_step(stressed, step, pattern):
    for text in stressed[1][step]:
        assert re.search(pattern, text), text


@pytest.mark.parametrize("step", ["fork 1500", "hog", "threads 5000", "files 20000", "calls 10"])
def test_memory_returns(stressed, step):
    """Is all of it back? The second time: the first one fills caches."""
    text = stressed[1][step][1]
    before, after = map(int, re.findall(r"^free (\d+)$", text, re.M))
    assert before - after < LOST_KIB, stressed[1][step]
